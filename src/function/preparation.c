/* SPDX-License-Identifier: MIT */
#include "function/preparation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/change.h"
#include "function/version.h"
#include "loop/loop.h"

/* While somebody else changes the function, and after a failure of ours. */
#define BUSY_RETRY_MS 20
#define RETRY_MS 1000
#define REASON_MAX 512

/*
 *   WAITING --its turn--> MAKING --template_made--> COMMITTING --> freed
 *                                                       |  ^ name busy, registry failed
 *                                                       +--+
 */
struct item {
    struct preparation *preparation;
    struct list link; /* while WAITING */
    const struct version *version;
    struct loop_timer timer;
    bool is_ready, is_init_failure;
    char reason[REASON_MAX];
};

struct preparation {
    struct loop *loop;           /* borrowed */
    struct catalog *catalog;     /* borrowed */
    struct scheduler *scheduler; /* borrowed */
    struct list waiting;
    unsigned making;
    struct loop_deferred deferred;
};

static void item_commit(void *arg);

struct preparation *preparation_new(struct loop *loop, struct catalog *catalog,
                                    struct scheduler *scheduler)
{
    struct preparation *preparation = mem_new(struct preparation);
    if (!preparation)
        return NULL;
    preparation->loop = loop;
    preparation->catalog = catalog;
    preparation->scheduler = scheduler;
    list_init(&preparation->waiting);
    return preparation;
}

static void item_free(struct item *item)
{
    loop_timer_stop(&item->timer);
    version_unref(item->version);
    free(item);
}

/* ---- the outcome */

/* The version, if it still waits for this outcome. */
static const struct version *subject(const struct item *item, struct function **ret_function)
{
    struct function *function = catalog_function(item->preparation->catalog, item->version->name);
    const struct version *now =
        function ? function_published(function, version_number(item->version)) : NULL;
    *ret_function = function;
    return now && now->execution_id == item->version->execution_id && now->state == VERSION_PENDING
               ? now
               : NULL;
}

static struct version *outcome(const struct item *item, const struct version *now)
{
    char reason[REASON_MAX + 128];
    struct version *draft = version_copy(now);
    if (!draft)
        return NULL;
    draft->state = item->is_init_failure ? VERSION_FAILED : VERSION_ACTIVE;
    draft->is_optimized = item->is_ready;
    version_set(draft, &draft->state_reason, NULL);
    version_set(draft, &draft->state_reason_code, NULL);
    if (!item->is_ready && !item->is_init_failure)
        snprintf(reason, sizeof(reason),
                 "SnapStart is off for this version, its instances are started one by one: %s",
                 item->reason[0] ? item->reason
                                 : "its runtime cannot be forked, or templates are off here");
    else
        snprintf(reason, sizeof(reason), "%s", item->reason);
    if (!item->is_ready) {
        version_set(draft, &draft->state_reason, reason);
        version_set(draft, &draft->state_reason_code,
                    item->is_init_failure ? "FunctionError" : "SnapStartOff");
    }
    version_touch(draft, 0);
    return draft;
}

static void retry(struct item *item, int64_t after_ms)
{
    if (loop_timer_start(item->preparation->loop, &item->timer, after_ms, item_commit, item) == 0)
        return;
    log_error("snap_start.abandoned", "function=%s error=memory", item->version->name);
    item_free(item); /* the next start finds it PENDING */
}

static void item_committed(void *arg, const struct error *err)
{
    struct item *item = arg;
    if (err) {
        log_error("snap_start.commit", "function=%s error=%s", item->version->name,
                  LOG_TEXT(err->text));
        retry(item, RETRY_MS);
        return;
    }
    if (item->is_ready)
        log_info("snap_start.ready", "function=%s version=%s", item->version->name,
                 item->version->qualifier);
    else
        log_warn("snap_start.off", "function=%s version=%s reason=%s then=%s", item->version->name,
                 item->version->qualifier, LOG_TEXT(item->reason),
                 item->is_init_failure ? "failed" : "processes");
    item_free(item);
}

static void item_commit(void *arg)
{
    struct item *item = arg;
    struct function *function = NULL;
    const struct version *now = subject(item, &function);
    struct change_plan plan = {0};
    struct change *change = NULL;
    if (!now) {
        item_free(item);
        return;
    }
    int r = change_begin(item->preparation->catalog, function->name, &change);
    if (r < 0) {
        retry(item, r == -EBUSY ? BUSY_RETRY_MS : RETRY_MS);
        return;
    }
    plan.replace = outcome(item, now);
    if (!plan.replace)
        change_abort(change);
    if (!plan.replace || change_commit(change, &plan, item_committed, item) < 0)
        retry(item, RETRY_MS);
}

/* ---- their turns */

static void next_make(void *arg);

static void template_made(void *arg, const struct scheduler_prepared *prepared)
{
    struct item *item = arg;
    struct preparation *preparation = item->preparation;
    preparation->making--;
    loop_defer(preparation->loop, &preparation->deferred, next_make, preparation);
    item->is_ready = prepared->is_ready;
    item->is_init_failure = prepared->is_init_failure;
    snprintf(item->reason, sizeof(item->reason), "%s", prepared->reason);
    if (version_is_snap_start(item->version))
        item_commit(item);
    else
        item_free(item);
}

/* Deleted or replaced while it waited for its turn, it is retired, and nobody would end what is made of it. */
static bool is_there(const struct item *item)
{
    const struct function *function =
        catalog_function(item->preparation->catalog, item->version->name);
    const struct version *now = NULL;
    if (function && version_number(item->version) > 0)
        now = function_published(function, version_number(item->version));
    else if (function)
        now = function->live;
    return now && now->execution_id == item->version->execution_id;
}

static void next_make(void *arg)
{
    struct preparation *preparation = arg;
    struct list *link = NULL;
    while (preparation->making < PREPARATIONS_MAX &&
           (link = list_take_first(&preparation->waiting)) != NULL) {
        struct item *item = LIST_ENTRY(link, struct item, link);
        if (!is_there(item)) {
            item_free(item);
            continue;
        }
        preparation->making++;
        scheduler_prepare(preparation->scheduler, item->version, template_made, item);
    }
}

void preparation_add(struct preparation *preparation, const struct version *version)
{
    bool is_pending = version_is_snap_start(version) && version->state == VERSION_PENDING;
    struct item *item = NULL;
    if (!is_pending && !version_is_forked(version))
        return;
    item = mem_new(struct item);
    if (!item) {
        log_error("snap_start.abandoned", "function=%s error=memory", version->name);
        return;
    }
    item->preparation = preparation;
    item->version = version_ref(version);
    list_add_last(&preparation->waiting, &item->link);
    /* Not from inside a change, whose function is still taken. */
    loop_defer(preparation->loop, &preparation->deferred, next_make, preparation);
}

/* ---- beside what serves */

/* Freed when both the scheduler and whoever waits have let go of it. */
struct beside {
    struct loop_timer timer;
    struct loop_deferred deferred;
    struct loop *loop;
    void (*done)(void *arg); /* NULL: told */
    void *arg;
    bool is_made;
};

static void beside_free(void *arg)
{
    free(arg);
}

static void beside_tell(void *arg)
{
    struct beside *beside = arg;
    void (*done)(void *) = beside->done;
    loop_timer_stop(&beside->timer);
    beside->done = NULL;
    if (done)
        done(beside->arg);
    if (beside->is_made)
        loop_defer(beside->loop, &beside->deferred, beside_free, beside);
}

static void beside_made(void *arg, const struct scheduler_prepared *prepared)
{
    struct beside *beside = arg;
    (void) prepared; /* without a template its instances are started: it serves all the same */
    beside->is_made = true;
    if (loop_timer_start(beside->loop, &beside->timer, 0, beside_tell, beside) < 0)
        beside_tell(beside);
}

bool preparation_before(struct preparation *preparation, const struct version *old,
                        const struct version *draft, void (*done)(void *arg), void *arg)
{
    struct beside *beside = NULL;
    if (!version_is_forked(draft) || !scheduler_is_running(preparation->scheduler, old))
        return false;
    beside = mem_new(struct beside);
    if (!beside)
        return false;
    *beside = (struct beside){.loop = preparation->loop, .done = done, .arg = arg};
    if (loop_timer_start(preparation->loop, &beside->timer, PREPARATION_WAIT_MS, beside_tell,
                         beside) < 0) {
        free(beside);
        return false;
    }
    scheduler_prepare(preparation->scheduler, draft, beside_made, beside);
    return true;
}

static void resume_one(void *arg, const struct version *version)
{
    if (version_is_snap_start(version) && version->state == VERSION_PENDING)
        preparation_add(arg, version);
}

void preparation_resume(struct preparation *preparation)
{
    catalog_each_version(preparation->catalog, resume_one, preparation);
}
