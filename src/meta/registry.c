// SPDX-License-Identifier: MIT

#include "meta/registry.h"

#include "base/mem.h"
#include "meta/database.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

// What the loop asked for, and later its answer.
struct request {
    struct request *next;
    struct registry_operation *operations; // owned, with their texts
    size_t count;
    bool is_get;
    void (*cb)(void *arg, const struct registry_result *result);
    void (*cb_get)(void *arg, const struct registry_result *result, struct str value);
    void *arg;
    struct error err; // code 0: committed
    int64_t revision;
    char *value; // get: owned
    size_t value_size;
};

struct queue {
    struct request *first, **end;
};

struct registry {
    struct loop *loop;        // borrowed
    struct database database; // the thread's, once it runs
    pthread_t thread;
    bool has_thread; // started by the first commit: lists come before
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct queue waiting; // under the lock
    struct queue done;    // under the lock
    bool is_posted;       // under the lock: `posted` is on its way
    bool is_ending;       // under the lock
    bool is_broken;       // thread: an I/O error; no further commit
    struct loop_posted posted;
    struct registry_stats stats; // under the lock
    size_t outstanding;          // loop thread: requests without an answer
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void queue_add(struct queue *queue, struct request *request)
{
    request->next = NULL;
    *queue->end = request;
    queue->end = &request->next;
}

static struct request *queue_take_all(struct queue *queue)
{
    struct request *first = queue->first;
    queue_init(queue);
    return first;
}

static void request_free(struct request *request)
{
    if (!request)
        return;
    for (size_t i = 0; request->operations && i < request->count; i++) {
        free((char *) (uintptr_t) request->operations[i].kind);
        free((char *) (uintptr_t) request->operations[i].key);
        free((char *) (uintptr_t) request->operations[i].value);
    }
    free(request->operations);
    free(request->value);
    free(request);
}

// ---- The database thread

static int operation_check(struct database *database, const struct registry_operation *operation,
                           struct error *err)
{
    int64_t revision, expected = operation->expected_revision;
    if (expected == REGISTRY_ANY)
        return 0;
    int r = database_get(database, operation->kind, operation->key, &revision, NULL, err);
    if (r < 0 || revision == expected)
        return r;
    int code = expected == REGISTRY_ABSENT                           ? -EEXIST
               : revision == 0 && operation->verb == REGISTRY_DELETE ? -ENOENT
                                                                     : -ESTALE;
    return error_set(err, code, "%s '%s' has revision %lld, not %lld", operation->kind,
                     operation->key, (long long) revision, (long long) expected);
}

static int operation_apply(struct database *database, const struct registry_operation *operation,
                           int64_t revision, struct error *err)
{
    int r = operation_check(database, operation, err);
    if (r < 0)
        return r;
    if (operation->verb == REGISTRY_DELETE)
        return database_remove(database, operation->kind, operation->key, err);
    return database_put(database, operation->kind, operation->key,
                        (struct str){operation->value, operation->value_size}, revision, err);
}

static bool is_refusal(int code)
{
    return code == -ESTALE || code == -EEXIST || code == -ENOENT;
}

// A change that is refused is undone alone. Any other failure ends the group: returned.
static int change_apply(struct database *database, struct request *request)
{
    struct error *err = &request->err;
    int r = database_savepoint(database, err);
    if (r == 0)
        r = database_next_revision(database, &request->revision, err);
    for (size_t i = 0; r == 0 && i < request->count; i++)
        r = operation_apply(database, &request->operations[i], request->revision, err);
    if (r == 0)
        return database_release(database, err);
    return is_refusal(r) ? database_undo(database, NULL) : r;
}

static int get_apply(struct database *database, struct request *request)
{
    const struct registry_operation *operation = &request->operations[0];
    struct str value;
    int r = database_get(database, operation->kind, operation->key, &request->revision, &value,
                         &request->err);
    if (r < 0)
        return r;
    if (request->revision == 0) {
        error_set(&request->err, -ENOENT, "there is no %s '%s'", operation->kind, operation->key);
        return 0;
    }
    request->value = str_copy_heap(value);
    request->value_size = value.size;
    return request->value ? 0 : error_set(&request->err, -ENOMEM, "no memory for a row");
}

static int group_apply(struct registry *registry, struct request *group, struct error *err)
{
    struct database *database = &registry->database;
    int r = database_begin(database, err);
    for (struct request *each = group; r == 0 && each; each = each->next) {
        r = each->is_get ? get_apply(database, each) : change_apply(database, each);
        if (r < 0 && err)
            *err = each->err;
    }
    if (r == 0)
        r = database_commit(database, err);
    if (r < 0)
        database_rollback(database);
    return r;
}

static void group_fail(struct request *group, const struct error *err)
{
    for (struct request *each = group; each; each = each->next)
        each->err = *err;
}

// Every change that waited when the thread looked, in one transaction: one fsync.
static void group_run(struct registry *registry, struct request *group)
{
    struct error err = {0};
    if (registry->is_broken) {
        error_set(&err, -EIO, "the registry had an I/O error: restart the service");
        group_fail(group, &err);
        return;
    }
    int r = group_apply(registry, group, &err);
    if (r < 0)
        group_fail(group, &err);
    if (r == -EIO || r == -EUCLEAN)
        registry->is_broken = true;
}

static void registry_deliver(void *arg);

static void group_answer(struct registry *registry, struct request *group)
{
    pthread_mutex_lock(&registry->lock);
    registry->stats.commits++;
    while (group) {
        struct request *next = group->next;
        registry->stats.failures += group->err.code < 0 && !is_refusal(group->err.code);
        queue_add(&registry->done, group);
        group = next;
    }
    bool must_post = !registry->is_posted;
    registry->is_posted = true;
    pthread_mutex_unlock(&registry->lock);
    if (must_post)
        loop_post(registry->loop, &registry->posted, registry_deliver, registry);
}

static void *registry_thread(void *arg)
{
    struct registry *registry = arg;
    for (;;) {
        pthread_mutex_lock(&registry->lock);
        while (!registry->waiting.first && !registry->is_ending)
            pthread_cond_wait(&registry->wake, &registry->lock);
        struct request *group = queue_take_all(&registry->waiting);
        registry->stats.waiting = 0;
        pthread_mutex_unlock(&registry->lock);
        if (!group)
            return NULL;
        group_run(registry, group);
        group_answer(registry, group);
    }
}

static int registry_start_thread(struct registry *registry)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&registry->thread, NULL, registry_thread, registry);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code)
        return -code;
    (void) pthread_setname_np(registry->thread, "registry"); // for ps only
    registry->has_thread = true;
    return 0;
}

// ---- The loop thread

static void request_answer(struct request *request)
{
    struct registry_result result = {
        .err = request->err.code < 0 ? &request->err : NULL,
        .revision = request->err.code < 0 ? 0 : request->revision,
    };
    if (request->is_get)
        request->cb_get(request->arg, &result, str_of_data(request->value, request->value_size));
    else
        request->cb(request->arg, &result);
}

static void registry_deliver(void *arg)
{
    struct registry *registry = arg;
    pthread_mutex_lock(&registry->lock);
    struct request *done = queue_take_all(&registry->done);
    registry->is_posted = false;
    pthread_mutex_unlock(&registry->lock);
    while (done) {
        struct request *next = done->next;
        registry->outstanding--;
        loop_release(registry->loop);
        request_answer(done);
        request_free(done);
        done = next;
    }
}

int registry_open(const char *data_dir, struct loop *loop, struct registry **ret_registry,
                  struct error *err)
{
    char path[4096];
    int size = snprintf(path, sizeof(path), "%s/registry.db", data_dir);
    if (size < 0 || (size_t) size >= sizeof(path))
        return error_set(err, -ENAMETOOLONG, "the data directory's name is too long");
    struct registry *registry = mem_new(struct registry);
    if (!registry)
        return error_set(err, -ENOMEM, "no memory for the registry");
    struct error cause = {0};
    int r = database_open(&registry->database, path, &cause);
    if (r < 0) {
        free(registry);
        return error_set(err, r, "%s", cause.text);
    }
    registry->loop = loop;
    pthread_mutex_init(&registry->lock, NULL);
    pthread_cond_init(&registry->wake, NULL);
    queue_init(&registry->waiting);
    queue_init(&registry->done);
    *ret_registry = registry;
    return 0;
}

void registry_close(struct registry *registry)
{
    if (!registry)
        return;
    if (registry->has_thread) {
        pthread_mutex_lock(&registry->lock);
        registry->is_ending = true;
        pthread_cond_signal(&registry->wake);
        pthread_mutex_unlock(&registry->lock);
        pthread_join(registry->thread, NULL);
    }
    (void) loop_unpost(registry->loop, &registry->posted); // what it would deliver comes now
    registry_deliver(registry);
    database_close(&registry->database);
    pthread_cond_destroy(&registry->wake);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

int registry_list(struct registry *registry, const char *kind,
                  int (*visit)(void *arg, const char *key, struct str value, int64_t revision),
                  void *arg, struct error *err)
{
    return database_list(&registry->database, kind, visit, arg, err);
}

// ---- Submitting

static bool operation_is_valid(const struct registry_operation *operation)
{
    size_t kind = operation->kind ? strlen(operation->kind) : 0;
    size_t key = operation->key ? strlen(operation->key) : 0;
    return kind > 0 && kind <= REGISTRY_KIND_MAX && key > 0 && key <= REGISTRY_KEY_MAX &&
           operation->value_size <= REGISTRY_VALUE_MAX &&
           (operation->value || operation->value_size == 0) &&
           operation->expected_revision >= REGISTRY_ANY;
}

static bool operation_copy(const struct registry_operation *from, struct registry_operation *to)
{
    *to = *from;
    to->kind = mem_copy_text(from->kind);
    to->key = mem_copy_text(from->key);
    to->value = str_copy_heap((struct str){from->value, from->value_size});
    return to->kind && to->key && to->value;
}

static int request_new(const struct registry_operation *operations, size_t count, void *arg,
                       struct request **ret_request)
{
    if (count == 0)
        return -EINVAL;
    if (count > REGISTRY_OPERATIONS_MAX)
        return -E2BIG;
    struct request *request = mem_new(struct request);
    if (!request)
        return -ENOMEM;
    request->arg = arg;
    request->operations = calloc(count, sizeof(operations[0]));
    for (size_t i = 0; request->operations && i < count; i++) {
        request->count = i + 1;
        bool is_valid = operation_is_valid(&operations[i]);
        if (!is_valid)
            request->operations[i] = (struct registry_operation){0};
        if (!is_valid || !operation_copy(&operations[i], &request->operations[i])) {
            request_free(request);
            return is_valid ? -ENOMEM : -EINVAL;
        }
    }
    if (!request->operations) {
        request_free(request);
        return -ENOMEM;
    }
    *ret_request = request;
    return 0;
}

static int registry_submit(struct registry *registry, struct request *request)
{
    int r = registry->outstanding >= REGISTRY_WAITING_MAX ? -EAGAIN : 0;
    if (r == 0 && !registry->has_thread)
        r = registry_start_thread(registry);
    if (r < 0) {
        request_free(request);
        return r;
    }
    registry->outstanding++;
    loop_hold(registry->loop);
    pthread_mutex_lock(&registry->lock);
    queue_add(&registry->waiting, request);
    registry->stats.changes += !request->is_get;
    registry->stats.waiting++;
    pthread_cond_signal(&registry->wake);
    pthread_mutex_unlock(&registry->lock);
    return 0;
}

int registry_commit(struct registry *registry, const struct registry_operation *operations,
                    size_t count, void (*cb)(void *arg, const struct registry_result *result),
                    void *arg)
{
    struct request *request;
    int r = request_new(operations, count, arg, &request);
    if (r < 0)
        return r;
    request->cb = cb;
    return registry_submit(registry, request);
}

int registry_put(struct registry *registry, const char *kind, const char *key, struct str value,
                 int64_t expected_revision,
                 void (*cb)(void *arg, const struct registry_result *result), void *arg)
{
    struct registry_operation operation = {
        .verb = REGISTRY_PUT,
        .kind = kind,
        .key = key,
        .value = value.data,
        .value_size = value.size,
        .expected_revision = expected_revision,
    };
    return registry_commit(registry, &operation, 1, cb, arg);
}

int registry_delete(struct registry *registry, const char *kind, const char *key,
                    int64_t expected_revision,
                    void (*cb)(void *arg, const struct registry_result *result), void *arg)
{
    struct registry_operation operation = {
        .verb = REGISTRY_DELETE,
        .kind = kind,
        .key = key,
        .expected_revision = expected_revision,
    };
    return registry_commit(registry, &operation, 1, cb, arg);
}

int registry_get(struct registry *registry, const char *kind, const char *key,
                 void (*cb)(void *arg, const struct registry_result *result, struct str value),
                 void *arg)
{
    struct registry_operation operation = {
        .kind = kind,
        .key = key,
        .expected_revision = REGISTRY_ANY,
    };
    struct request *request;
    int r = request_new(&operation, 1, arg, &request);
    if (r < 0)
        return r;
    request->is_get = true;
    request->cb_get = cb;
    return registry_submit(registry, request);
}

void registry_stats(const struct registry *registry, struct registry_stats *ret_stats)
{
    struct registry *ours = (struct registry *) (uintptr_t) registry;
    pthread_mutex_lock(&ours->lock);
    *ret_stats = registry->stats;
    pthread_mutex_unlock(&ours->lock);
}
