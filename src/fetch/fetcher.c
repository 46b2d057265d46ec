// SPDX-License-Identifier: MIT

#include "fetch/fetcher.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "fetch/fetch_plan.h"
#include "fetch/file_source.h"
#include "loop/job.h"
#include "store/models.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MEMO_MAX 10000
#define KEY_MAX (S3_URI_MAX + 1 + S3_MARK_MAX)

//   ASK --look--> LOOK (one job for all who came before it began) --fetch--> FLIGHT (one a URI and mark)
//    ^                |  ^ a file that is too young                              |
//    |                timer                                                     |
//    +------------------------- done <--------- link (a job of its own) <-------+

struct fetcher {
    struct fetcher_config config;
    struct job_pool *pool, *file_pool;
    struct file_source *files;
    struct list looks;  // struct look.link: of those whose job may not have begun
    struct map flights; // uri, NUL, mark -> struct flight
    struct map memo;    // the same -> struct fetch_memory: what was made of it
    atomic_bool is_ending;
    struct fetcher_totals totals;
};

struct ask {
    struct fetcher *fetcher;
    struct list link; // of a look or a flight
    bool has_set, is_look, is_file;
    struct digest set;
    int64_t began_ns;
    void (*done)(void *arg, struct fetch_result *result);
    void *arg;
    struct fetch_result result;
};

struct look {
    struct fetcher *fetcher;
    struct list link; // of fetcher->looks
    struct list asks;
    atomic_bool has_begun;
    struct fetch_plan plan;
    struct loop_timer timer; // until a file is to be looked at again
    int code;
    struct error err;
};

struct flight {
    struct fetcher *fetcher;
    struct list asks;
    struct fetch_plan plan;
    bool was_made; // before: it only has to be there still
    struct fetch_memory memory;
    struct fetch_result result;
    size_t key_size;
    char key[KEY_MAX];
};

// ---- Life

int fetcher_new(const struct fetcher_config *config, struct fetcher **ret_fetcher)
{
    struct fetcher *fetcher = mem_new(struct fetcher);
    if (!fetcher)
        return -ENOMEM;
    fetcher->config = *config;
    list_init(&fetcher->looks);
    map_init(&fetcher->flights, FETCH_WAITING_MAX);
    map_init(&fetcher->memo, MEMO_MAX);
    int r = job_pool_new(config->loop, "fetch", FETCH_THREADS, FETCH_WAITING_MAX, &fetcher->pool);
    if (r == 0)
        r = job_pool_new(config->loop, "files", FETCH_FILE_THREADS, FETCH_WAITING_MAX,
                         &fetcher->file_pool);
    if (r == 0)
        r = file_source_new(config->file_fd, config->store, &fetcher->is_ending, &fetcher->files);
    if (r < 0) {
        fetcher_free(fetcher);
        return r;
    }
    *ret_fetcher = fetcher;
    return 0;
}

static void looks_wake(struct fetcher *fetcher);

void fetcher_free(struct fetcher *fetcher)
{
    if (!fetcher)
        return;
    atomic_store(&fetcher->is_ending, true);
    looks_wake(fetcher);
    job_pool_free(fetcher->pool);
    job_pool_free(fetcher->file_pool);
    file_source_free(fetcher->files);
    map_done(&fetcher->flights, NULL);
    map_done(&fetcher->memo, free);
    free(fetcher);
}

void fetcher_totals(const struct fetcher *fetcher, struct fetcher_totals *ret_totals)
{
    *ret_totals = fetcher->totals;
    ret_totals->waiting = job_pool_waiting(fetcher->pool) + job_pool_running(fetcher->pool) +
                          job_pool_waiting(fetcher->file_pool) +
                          job_pool_running(fetcher->file_pool);
}

// ---- The end of an ask

static void ask_finish(struct ask *ask)
{
    struct fetch_result *result = &ask->result;
    result->took_us = (uint64_t) (clock_monotonic_ns() - ask->began_ns) / 1000;
    result->is_file = ask->is_file;
    ask->fetcher->totals.failures += result->code < 0;
    ask->done(ask->arg, result);
    store_unpin(result->pin);
    free(ask);
}

static void ask_fail(struct ask *ask, int code, const struct error *err)
{
    ask->result = (struct fetch_result){.code = code, .err = *err};
    ask_finish(ask);
}

static void asks_fail(struct list *asks, int code, const struct error *err)
{
    struct list *link;
    while ((link = list_take_first(asks)) != NULL)
        ask_fail(LIST_ENTRY(link, struct ask, link), code, err);
}

// ---- Linking into the function's models

static void link_run(void *arg)
{
    struct ask *ask = arg;
    struct fetch_result *result = &ask->result;
    struct store_pin *pin = NULL;
    int r = store_models_put(ask->fetcher->config.store, &ask->set, &result->digest,
                             &result->tree_id, &pin, &result->err);
    if (r < 0) {
        result->code = r;
        return;
    }
    store_unpin(result->pin); // the new one keeps the tree, too
    result->pin = pin;
}

static void link_done(void *arg, int status)
{
    struct ask *ask = arg;
    if (status < 0)
        ask->result.code = error_set(&ask->result.err, status, "the service is ending");
    ask_finish(ask);
}

// ---- Flights

static void ask_give(struct ask *ask, const struct flight *flight)
{
    struct error err = {0};
    ask->result = flight->result;
    ask->result.pin = store_pin_tree(ask->fetcher->config.store, &flight->result.tree_id);
    int r = ask->result.pin ? 0 : -ENOMEM;
    if (r == 0 && ask->has_set)
        r = job_submit(ask->fetcher->pool, link_run, link_done, ask);
    else if (r == 0)
        ask_finish(ask);
    if (r < 0) {
        store_unpin(ask->result.pin);
        error_set_errno(&err, r, "link a model");
        ask_fail(ask, r, &err);
    }
}

// The tree that was made of it before.
static bool flight_again(struct flight *flight)
{
    struct fetch_result *result = &flight->result;
    struct store *store = flight->fetcher->config.store;
    struct error ignored = {0};
    bool is_rebuilt = false;
    result->pin = store_pin_tree(store, &flight->memory.tree_id);
    if (result->pin &&
        store_tree_check(store, &flight->memory.tree_id, &is_rebuilt, &ignored) == 0 &&
        fetch_result_of_tree(store, &flight->memory.tree_id, result, &ignored) == 0)
        return true;
    store_unpin(TAKE_PTR(result->pin));
    return false;
}

// Its tree was collected, its content is there: a function has it, or a bucket.
static bool flight_known(struct flight *flight)
{
    struct fetch_plan *plan = &flight->plan;
    struct error ignored = {0};
    bool is_one = plan->file_count == 1 && !plan->parsed.is_prefix && !plan->files[0].staged &&
                  !digest_equal(&flight->memory.digest, &flight->memory.tree_id);
    if (!is_one)
        return false;
    plan->files[0].is_here = true;
    plan->files[0].digest = flight->memory.digest;
    plan->files[0].bytes = flight->memory.bytes;
    if (fetch_plan_run(plan, flight->fetcher->config.store, &flight->fetcher->is_ending,
                       &flight->result, &ignored) == 0)
        return true;
    plan->files[0].is_here = plan->origin == NULL;
    return false;
}

static void flight_run(void *arg)
{
    struct flight *flight = arg;
    struct fetch_result *result = &flight->result;
    if (flight->was_made && (flight_again(flight) || flight_known(flight)))
        return;
    result->code = fetch_plan_run(&flight->plan, flight->fetcher->config.store,
                                  &flight->fetcher->is_ending, result, &result->err);
    if (result->code == -EUCLEAN && flight->plan.place) // what was known of it was collected
        file_source_forget(flight->fetcher->files, flight->plan.place);
}

static void flight_done(void *arg, int status)
{
    struct flight *flight = arg;
    struct fetcher *fetcher = flight->fetcher;
    struct list *link;
    (void) map_remove(&fetcher->flights, str_of_data(flight->key, flight->key_size));
    if (status < 0)
        flight->result.code = error_set(&flight->result.err, status, "the service is ending");
    memcpy(flight->result.mark, flight->plan.mark, sizeof(flight->result.mark));
    fetcher->totals.fetches += flight->result.fetched_bytes > 0;
    fetcher->totals.bytes += flight->result.fetched_bytes;
    if (flight->result.code < 0) {
        asks_fail(&flight->asks, flight->result.code, &flight->result.err);
    } else {
        const struct fetch_memory memory = {.tree_id = flight->result.tree_id,
                                            .digest = flight->result.digest,
                                            .bytes = flight->result.bytes};
        fetcher_remember(fetcher, flight->plan.uri, flight->plan.mark, &memory);
        while ((link = list_take_first(&flight->asks)) != NULL)
            ask_give(LIST_ENTRY(link, struct ask, link), flight);
    }
    store_unpin(flight->result.pin);
    fetch_plan_done(&flight->plan);
    free(flight);
}

static size_t key_make(char key[KEY_MAX], const char *uri, const char *mark)
{
    size_t uri_size = strlen(uri), mark_size = strlen(mark);
    memcpy(key, uri, uri_size + 1);
    memcpy(key + uri_size + 1, mark, mark_size);
    return uri_size + 1 + mark_size;
}

// Takes the look's plan. NULL without memory.
static struct flight *flight_new(struct look *look, const char *key, size_t key_size)
{
    struct fetcher *fetcher = look->fetcher;
    struct flight *flight = mem_new(struct flight);
    if (!flight)
        return NULL;
    flight->fetcher = fetcher;
    list_init(&flight->asks);
    memcpy(flight->key, key, key_size);
    flight->key_size = key_size;
    const struct fetch_memory *memory = map_get(&fetcher->memo, str_of_data(key, key_size));
    if (memory) {
        flight->was_made = true;
        flight->memory = *memory;
    }
    if (map_put(&fetcher->flights, str_of_data(key, key_size), flight) < 0) {
        free(flight);
        return NULL;
    }
    flight->plan = look->plan; // before the job: it may begin at once
    if (job_submit(fetcher->pool, flight_run, flight_done, flight) < 0) {
        (void) map_remove(&fetcher->flights, str_of_data(key, key_size));
        free(flight);
        return NULL;
    }
    look->plan = (struct fetch_plan){0};
    return flight;
}

// ---- Looks

static void look_run(void *arg)
{
    struct look *look = arg;
    atomic_store(&look->has_begun, true);
    look->code = fetch_plan_look(&look->plan, &look->fetcher->config.local, look->fetcher->files,
                                 &look->err);
}

static void asks_told(struct look *look)
{
    // What was read is kept for whoever asks next: those who only look wait until it is in the store.
    bool has_staged = fetch_plan_has_staged(&look->plan);
    bool is_in_place = look->plan.question.is_in_place;
    LIST_FOR_EACH_SAFE (struct ask, ask, &look->asks, link) {
        if (!is_in_place && (!ask->is_look || has_staged))
            continue;
        list_remove(&ask->link);
        memcpy(ask->result.mark, look->plan.mark, sizeof(ask->result.mark));
        ask->result.is_in_place = is_in_place;
        ask->result.bytes = look->plan.question.bytes;
        ask_finish(ask);
    }
}

static void look_fly(struct look *look)
{
    char key[KEY_MAX];
    size_t size = key_make(key, look->plan.uri, look->plan.mark);
    struct flight *flight = map_get(&look->fetcher->flights, str_of_data(key, size));
    if (!flight)
        flight = flight_new(look, key, size);
    if (flight) {
        list_move_all(&flight->asks, &look->asks);
        return;
    }
    struct error err = {0};
    error_set(&err, -EAGAIN, "%s: too many objects wait to be fetched", look->plan.uri);
    asks_fail(&look->asks, -EAGAIN, &err);
}

static void look_done(void *arg, int status);

static struct job_pool *pool_of(const struct look *look)
{
    return look->plan.place ? look->fetcher->file_pool : look->fetcher->pool;
}

static void look_again(void *arg)
{
    struct look *look = arg;
    int r = job_submit(pool_of(look), look_run, look_done, look);
    if (r == 0)
        return;
    look->code = error_set(&look->err, -EAGAIN, "too many objects wait to be fetched");
    look_done(look, 0);
}

// Whoever asks meanwhile joins it.
static bool look_waits(struct look *look)
{
    atomic_store(&look->has_begun, false);
    return loop_timer_start(look->fetcher->config.loop, &look->timer, look->plan.question.again_ms,
                            look_again, look) == 0;
}

// The service ends: those that wait for a timer have no job that would be cancelled.
static void looks_wake(struct fetcher *fetcher)
{
    LIST_FOR_EACH_SAFE (struct look, look, &fetcher->looks, link) {
        if (!loop_timer_is_running(&look->timer))
            continue;
        loop_timer_stop(&look->timer);
        look_done(look, -ECANCELED);
    }
}

static void look_done(void *arg, int status)
{
    struct look *look = arg;
    if (status == 0 && atomic_load(&look->fetcher->is_ending))
        status = -ECANCELED; // no flight begins any more
    if (status == 0 && look->code == FILE_AGAIN && look_waits(look))
        return;
    list_remove(&look->link);
    if (status == 0 && look->code == FILE_AGAIN)
        status = -ENOMEM;
    if (status < 0)
        look->code = error_set(&look->err, status, "the service is ending");
    if (look->code < 0)
        asks_fail(&look->asks, look->code, &look->err);
    else
        asks_told(look);
    if (!list_is_empty(&look->asks))
        look_fly(look);
    fetch_plan_done(&look->plan);
    free(look);
}

// One for the same URI whose job has not begun: what it will see is as new as the ask.
static bool look_is_of(const struct look *look, const struct fetch_request *request)
{
    if (request->place) // with the same user's rights, too
        return look->plan.place &&
               memcmp(look->plan.place, request->place, sizeof(*request->place)) == 0;
    return !look->plan.place && str_equal_text(request->uri, look->plan.uri);
}

static struct look *look_find(struct fetcher *fetcher, const struct fetch_request *request)
{
    LIST_FOR_EACH (struct look, look, &fetcher->looks, link)
        if (!atomic_load(&look->has_begun) && look_is_of(look, request))
            return look;
    return NULL;
}

static int look_new(struct fetcher *fetcher, const struct fetch_request *request,
                    struct look **ret_look, struct error *err)
{
    struct look *look = mem_new(struct look);
    if (!look)
        return error_set(err, -ENOMEM, "no memory");
    look->fetcher = fetcher;
    list_init(&look->asks);
    int r = request->place
                ? fetch_plan_init_place(&look->plan, request->place, err)
                : fetch_plan_init(&look->plan, request->uri, fetcher->config.origins, err);
    if (r == 0) {
        r = job_submit(pool_of(look), look_run, look_done, look);
        if (r < 0)
            error_set(err, r, "too many objects wait to be fetched");
    }
    if (r < 0) {
        fetch_plan_done(&look->plan);
        free(look);
        return r;
    }
    list_add_last(&fetcher->looks, &look->link);
    *ret_look = look;
    return 0;
}

// ---- Asking

// "arn:aws:s3:::bucket/", also of the whole bucket: what follows is any of its keys.
static bool may_read_beneath(struct fetcher *fetcher, const struct role_asker *asker,
                             const struct s3_uri *uri)
{
    char arn[S3_ARN_SIZE + 1], bucket_arn[S3_ARN_SIZE];
    const struct s3_uri bucket = {.bucket = uri->bucket};
    s3_uri_arn(uri, arn);
    s3_uri_arn(&bucket, bucket_arn);
    if (uri->key.size == 0)
        (void) snprintf(arn, sizeof(arn), "%s/", bucket_arn);
    return roles_may_all(fetcher->config.roles, asker, "s3:GetObject", arn) &&
           roles_may(fetcher->config.roles, asker, "s3:ListBucket", bucket_arn);
}

// As IAM has it: GetObject on the object, or GetObjectVersion if the URI names a version; of a prefix
// GetObject on all that may be beneath it, whatever is now, and ListBucket on the bucket.
static int may_ask(struct fetcher *fetcher, const struct fetch_request *request, struct error *err)
{
    struct s3_uri uri;
    char arn[S3_ARN_SIZE];
    if (request->refusal) {
        *err = *request->refusal;
        return err->code;
    }
    if (request->place) // filesystem/filesystems.h asked the role already
        return 0;
    int r = s3_uri_parse(request->uri, &uri, err);
    if (r < 0 || !request->asker || !fetcher->config.roles)
        return r;
    const char *action = uri.version_id.size ? "s3:GetObjectVersion" : "s3:GetObject";
    s3_uri_arn(&uri, arn);
    bool may = uri.is_prefix ? may_read_beneath(fetcher, request->asker, &uri)
                             : roles_may(fetcher->config.roles, request->asker, action, arn);
    return may ? 0
               : error_set(err, -EACCES,
                           "s3://" STR_FORMAT "/%.*s: AccessDenied: the role %.200s does not allow "
                           "%s on it",
                           STR_ARGUMENTS(uri.bucket),
                           (int) (uri.key.size < 200 ? uri.key.size : 200),
                           uri.key.size ? uri.key.data : "", request->asker->role, action);
}

static void refuse_later(void *arg)
{
    (void) arg; // said already: only the way back to the loop is needed
}

static void refuse_done(void *arg, int status)
{
    (void) status;
    ask_finish(arg);
}

int fetcher_start(struct fetcher *fetcher, const struct fetch_request *request,
                  void (*done)(void *arg, struct fetch_result *result), void *arg)
{
    struct ask *ask = mem_new(struct ask);
    struct look *look = NULL;
    if (!ask)
        return -ENOMEM;
    *ask = (struct ask){.fetcher = fetcher,
                        .has_set = request->has_set,
                        .is_look = request->is_look,
                        .is_file = request->place || request->refusal,
                        .set = request->set,
                        .began_ns = clock_monotonic_ns(),
                        .done = done,
                        .arg = arg};
    int r = may_ask(fetcher, request, &ask->result.err);
    if (r == 0) {
        look = look_find(fetcher, request);
        if (!look)
            r = look_new(fetcher, request, &look, &ask->result.err);
    }
    if (r == 0) {
        list_add_last(&look->asks, &ask->link);
        return 0;
    }
    ask->result.code = r;
    if (r != -ENOMEM && r != -EAGAIN)
        r = job_submit(fetcher->pool, refuse_later, refuse_done, ask);
    if (r < 0)
        free(ask);
    return r;
}

void fetcher_remember(struct fetcher *fetcher, const char *uri, const char *mark,
                      const struct fetch_memory *memory)
{
    char key[KEY_MAX];
    void *old = NULL;
    if (strlen(uri) >= S3_URI_MAX || strlen(mark) >= S3_MARK_MAX)
        return;
    size_t size = key_make(key, uri, mark);
    struct fetch_memory *copy = mem_copy(memory, sizeof(*memory));
    if (copy && map_replace(&fetcher->memo, str_of_data(key, size), copy, &old) < 0)
        free(copy);
    free(old);
}
