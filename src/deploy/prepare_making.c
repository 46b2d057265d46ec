// SPDX-License-Identifier: MIT

#include "deploy/prepare_making.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/meminfo.h"
#include "deploy/prepare_job.h"
#include "loop/job.h"

#include <errno.h>
#include <string.h>

enum making_state { MAKING_WAITING, MAKING_RUNNING, MAKING_LATE };

struct making {
    struct prepare_makings *makings;
    struct list link; // of all, in the order in which they were asked for
    struct list waiters;
    enum making_state state;
    struct prepare_wish wish;
    uint64_t memory_bytes;
    struct loop_timer share;
    // Of the job:
    int64_t begin_ms;
    int code;
    struct error err;
    struct prepare_record record;
    struct store_pin *pin;
};

struct prepare_makings {
    struct prepare_config config;
    struct prepare_known *known; // borrowed
    struct job_pool *pool;
    struct list all;
    bool is_ending;
};

static void step(struct prepare_makings *makings);

int prepare_makings_new(const struct prepare_config *config, struct prepare_known *known,
                        struct prepare_makings **ret_makings)
{
    struct prepare_makings *makings = mem_new(struct prepare_makings);
    if (!makings)
        return -ENOMEM;
    makings->config = *config;
    makings->known = known;
    list_init(&makings->all);
    int r = job_pool_new(config->loop, "prepare", PREPARE_WORKERS_MAX, PREPARE_WORKERS_MAX,
                         &makings->pool);
    if (r < 0) {
        free(makings);
        return r;
    }
    *ret_makings = makings;
    return 0;
}

// ---- the job, on its thread

static void making_run(void *arg)
{
    struct making *making = arg;
    const struct prepare_config *config = &making->makings->config;
    const struct prepare_job job = {.store = config->store,
                                    .work_fd = config->work_fd,
                                    .tree_id = making->wish.tree_id,
                                    .path = making->wish.found.path,
                                    .model = making->wish.found.digest,
                                    .has_tree = making->wish.has_tree,
                                    .beside_bytes = making->wish.found.beside_bytes,
                                    .form_bytes_max = config->form_bytes_max,
                                    .time_limit_ms = config->time_limit_ms};
    struct error err = {0};
    making->code = prepare_job_run(&job, &making->record, &making->pin, &making->err);
    // The form is an object by now: after this the next start finds it.
    if (making->code == 0 &&
        prepare_known_write(making->makings->known, &making->wish.key, &making->record, &err) < 0)
        log_warn("prepare.not_remembered", "error=%s", LOG_TEXT(err.text));
}

// ---- its end

static void making_log(const struct making *making)
{
    char hex[DIGEST_HEX_SIZE];
    const struct prepare_found *found = &making->wish.found;
    if (making->code == 0)
        log_info("prepare.done", "model=%.12s bytes=%llu form_bytes=%llu ms=%lld reason=%s",
                 digest_hex(&found->digest, hex), (unsigned long long) found->bytes,
                 (unsigned long long) making->record.bytes,
                 (long long) (clock_monotonic_ms() - making->begin_ms),
                 LOG_TEXT(making->record.reason));
    else
        log_warn("prepare.failed", "model=%.12s bytes=%llu error=%s",
                 digest_hex(&found->digest, hex), (unsigned long long) found->bytes,
                 LOG_TEXT(making->err.text));
}

static void making_end(struct making *making)
{
    struct prepare_makings *makings = making->makings;
    loop_timer_stop(&making->share);
    list_remove(&making->link); // whoever asks from now on finds it known, or tries again
    while (!list_is_empty(&making->waiters)) {
        struct prepare_waiter *waiter =
            LIST_ENTRY(list_take_first(&making->waiters), struct prepare_waiter, link);
        waiter->made(waiter, making->code, &making->record);
    }
    store_unpin(making->pin);
    free(making);
    if (!makings->is_ending)
        step(makings);
}

static void making_done(void *arg, int status)
{
    struct making *making = arg;
    if (status < 0) {
        making->code = status;
        making_end(making);
        return;
    }
    making_log(making);
    if (making->code == 0 &&
        prepare_known_put(making->makings->known, &making->wish.key, &making->record) < 0)
        log_warn("prepare.not_remembered", "error=there are %d", PREPARE_RECORDS_MAX);
    making_end(making);
}

// ---- its beginning

static size_t count_of(const struct prepare_makings *makings, enum making_state state)
{
    size_t count = 0;
    LIST_FOR_EACH (struct making, making, &makings->all, link)
        count += making->state == state;
    return count;
}

// Of those that run: all that they need, whatever they have taken of it so far.
static uint64_t memory_taken(const struct prepare_makings *makings)
{
    uint64_t bytes = 0;
    LIST_FOR_EACH (struct making, making, &makings->all, link)
        bytes += making->state == MAKING_WAITING ? 0 : making->memory_bytes;
    return bytes;
}

static bool has_memory(const struct prepare_makings *makings, const struct making *making)
{
    uint64_t available;
    const char *path = makings->config.meminfo ? makings->config.meminfo : MEMINFO_PATH;
    return meminfo_available(path, &available) < 0 || // not known: its cgroup limits it
           memory_taken(makings) + making->memory_bytes <= available;
}

static void share_is_over(void *arg)
{
    struct making *making = arg;
    making->state = MAKING_LATE;
    step(making->makings);
}

static int making_begin(struct making *making)
{
    struct prepare_makings *makings = making->makings;
    uint64_t share_ms = makings->config.share_ms;
    if (share_ms == 0)
        share_ms = PREPARE_SHARE_MS(making->wish.found.bytes);
    making->begin_ms = clock_monotonic_ms();
    making->state = MAKING_RUNNING;
    int r = loop_timer_start(makings->config.loop, &making->share, (int64_t) share_ms,
                             share_is_over, making);
    return r < 0 ? r : job_submit(makings->pool, making_run, making_done, making);
}

static void making_fail(struct making *making, int code, const char *text)
{
    making->code = error_set(&making->err, code, "%s", text);
    making_log(making);
    making_end(making);
}

// The first that waits, if it may begin. In the order of asking: small ones do not pass a large one
// for ever.
static void step(struct prepare_makings *makings)
{
    size_t late = count_of(makings, MAKING_LATE), running = count_of(makings, MAKING_RUNNING);
    struct making *first = NULL;
    LIST_FOR_EACH (struct making, making, &makings->all, link)
        if (!first && making->state == MAKING_WAITING)
            first = making;
    if (!first || running >= PREPARE_WORKERS || running + late >= PREPARE_WORKERS_MAX)
        return;
    if (!has_memory(makings, first)) {
        if (running + late == 0) // nobody's end would help
            making_fail(first, -ENOBUFS, "the machine has too little memory available");
        return; // making_fail goes on
    }
    int r = making_begin(first);
    if (r < 0)
        making_fail(first, r, "no memory for a job");
    else
        step(makings);
}

static void step_later(void *arg)
{
    struct making *making = arg;
    if (making->state == MAKING_WAITING)
        step(making->makings);
}

static struct making *making_find(const struct prepare_makings *makings, const struct digest *key)
{
    LIST_FOR_EACH (struct making, making, &makings->all, link)
        if (memcmp(&making->wish.key, key, sizeof(*key)) == 0)
            return making;
    return NULL;
}

int prepare_make(struct prepare_makings *makings, const struct prepare_wish *wish,
                 struct prepare_waiter *waiter)
{
    struct making *making = making_find(makings, &wish->key);
    if (!making) {
        if (count_of(makings, MAKING_WAITING) >= PREPARE_WAITING_MAX)
            return -EAGAIN;
        making = mem_new(struct making);
        if (!making)
            return -ENOMEM;
        making->makings = makings;
        making->wish = *wish;
        making->memory_bytes =
            prepare_job_need(wish->found.bytes + (wish->has_tree ? wish->found.beside_bytes : 0));
        list_init(&making->waiters);
        // In the next turn: nobody is told from inside.
        int r = loop_timer_start(makings->config.loop, &making->share, 0, step_later, making);
        if (r < 0) {
            free(making);
            return r;
        }
        list_add_last(&makings->all, &making->link);
    }
    list_add_last(&making->waiters, &waiter->link);
    return 0;
}

void prepare_makings_free(struct prepare_makings *makings)
{
    if (!makings)
        return;
    makings->is_ending = true;
    job_pool_free(makings->pool); // those that run come to their end here
    while (!list_is_empty(&makings->all)) {
        struct making *making = LIST_ENTRY(list_first(&makings->all), struct making, link);
        making->code = -ECANCELED;
        making_end(making);
    }
    free(makings);
}
