// SPDX-License-Identifier: MIT

#include "meta/registry.h"

#include "base/mem.h"
#include "meta/registry_rows.h"
#include "meta/writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// What the loop asked for, and later its answer.
struct request {
    struct writer_request head;
    struct registry_operation *operations; // owned, with their texts
    size_t count;
    void (*cb)(void *arg, const struct registry_result *result);                       // a change
    void (*cb_get)(void *arg, const struct registry_result *result, struct str value); // a read
    void *arg;
    int64_t revision;
    char *value; // read: owned
    size_t value_size;
};

struct registry {
    struct registry_rows rows; // the writer's thread's, once it runs
    struct writer *writer;
    uint64_t changes;
};

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

static int operation_check(struct registry_rows *rows, const struct registry_operation *operation,
                           struct error *err)
{
    int64_t revision, expected = operation->expected_revision;
    if (expected == REGISTRY_ANY)
        return 0;
    int r = rows_get(rows, operation->kind, operation->key, &revision, NULL, err);
    if (r < 0 || revision == expected)
        return r;
    int code = expected == REGISTRY_ABSENT                           ? -EEXIST
               : revision == 0 && operation->verb == REGISTRY_DELETE ? -ENOENT
                                                                     : -ESTALE;
    return error_set(err, code, "%s '%s' has revision %lld, not %lld", operation->kind,
                     operation->key, (long long) revision, (long long) expected);
}

static int operation_apply(struct registry_rows *rows, const struct registry_operation *operation,
                           int64_t revision, struct error *err)
{
    int r = operation_check(rows, operation, err);
    if (r < 0)
        return r;
    if (operation->verb == REGISTRY_DELETE)
        return rows_remove(rows, operation->kind, operation->key, err);
    return rows_put(rows, operation->kind, operation->key,
                    (struct str){operation->value, operation->value_size}, revision, err);
}

static bool is_refusal(int code)
{
    return code == -ESTALE || code == -EEXIST || code == -ENOENT;
}

// A change that is refused is undone alone. Any other failure ends the group.
static int change_apply(struct writer_request *head, void *arg)
{
    struct request *request = container_of(head, struct request, head);
    struct registry_rows *rows = arg;
    struct error *err = &head->err;
    int r = rows_savepoint(rows, err);
    if (r == 0)
        r = rows_next_revision(rows, &request->revision, err);
    for (size_t i = 0; r == 0 && i < request->count; i++)
        r = operation_apply(rows, &request->operations[i], request->revision, err);
    if (r == 0)
        return rows_release(rows, err);
    if (!is_refusal(r))
        return r;
    struct error undo = {0};
    r = rows_undo(rows, &undo);
    if (r == 0)
        return WRITER_REFUSED;
    *err = undo;
    return r;
}

static int get_apply(struct writer_request *head, void *arg)
{
    struct request *request = container_of(head, struct request, head);
    const struct registry_operation *operation = &request->operations[0];
    struct str value;
    int r = rows_get(arg, operation->kind, operation->key, &request->revision, &value, &head->err);
    if (r < 0)
        return r;
    if (request->revision == 0) {
        error_set(&head->err, -ENOENT, "there is no %s '%s'", operation->kind, operation->key);
        return WRITER_REFUSED;
    }
    request->value = str_copy_heap(value);
    request->value_size = value.size;
    return request->value ? 0 : error_set(&head->err, -ENOMEM, "no memory for a row");
}

// ---- The loop thread

static void request_answer(struct writer_request *head)
{
    struct request *request = container_of(head, struct request, head);
    struct registry_result result = {
        .err = head->err.code < 0 ? &head->err : NULL,
        .revision = head->err.code < 0 ? 0 : request->revision,
    };
    if (request->cb_get)
        request->cb_get(request->arg, &result, str_of_data(request->value, request->value_size));
    else
        request->cb(request->arg, &result);
    request_free(request);
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
    int r = rows_open(&registry->rows, path, err);
    if (r == 0) {
        r = writer_new(loop, &registry->rows.sqlite, "registry", REGISTRY_WAITING_MAX,
                       &registry->rows, &registry->writer);
        if (r < 0)
            error_set(err, r, "no memory for the registry");
    }
    if (r < 0) {
        registry_close(registry);
        return r;
    }
    *ret_registry = registry;
    return 0;
}

void registry_close(struct registry *registry)
{
    if (!registry)
        return;
    writer_free(registry->writer);
    rows_close(&registry->rows);
    free(registry);
}

int registry_list(struct registry *registry, const char *kind,
                  int (*visit)(void *arg, const char *key, struct str value, int64_t revision),
                  void *arg, struct error *err)
{
    return rows_list(&registry->rows, kind, visit, arg, err);
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
    request->head.apply = request->cb_get ? get_apply : change_apply;
    request->head.answer = request_answer;
    bool is_change = !request->cb_get;
    int r = writer_submit(registry->writer, &request->head);
    if (r < 0)
        request_free(request);
    else
        registry->changes += is_change;
    return r;
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
    request->cb_get = cb;
    return registry_submit(registry, request);
}

void registry_stats(const struct registry *registry, struct registry_stats *ret_stats)
{
    struct writer_stats stats;
    writer_stats(registry->writer, &stats);
    *ret_stats = (struct registry_stats){
        .changes = registry->changes,
        .commits = stats.commits,
        .failures = stats.failures,
        .waiting = stats.waiting,
    };
}
