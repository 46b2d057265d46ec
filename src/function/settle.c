/* SPDX-License-Identifier: MIT */
#include "function/settle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/catalog_data.h"
#include "function/change.h"
#include "function/scheduler.h"
#include "function/switch.h"
#include "loop/loop.h"

/* While somebody else changes the function, and while there is no room for an instance beside the old ones. */
#define BUSY_MS 50
#define ROOM_MS 30000

struct settler {
    struct loop *loop;
    struct catalog *catalog;
    struct scheduler *scheduler;
    struct switcher *switcher;
    char after[LIMIT_FUNCTION_NAME_MAX + 1]; /* how far settle_all has come, by name */
    bool is_walking;
};

static void walk(struct settler *settler);

/*
 *   WAITING --at rest, something runs--> SWITCHING --> freed
 *     ^  |                                   | refused: without the form
 *     |  +--nothing runs, or no form--> COMMITTING --> freed
 *     +--- busy, no room ----+
 */
struct settling {
    struct settler *settler;
    char *name;
    struct version_prepared prepared;
    struct loop_timer timer;
};

static void step(void *arg);

static void settling_free(struct settling *settling)
{
    loop_timer_stop(&settling->timer);
    free(settling->name);
    free(settling);
}

static void wait_for(struct settling *settling, int64_t after_ms)
{
    if (loop_timer_start(settling->settler->loop, &settling->timer, after_ms, step, settling) == 0)
        return;
    log_error("settle.abandoned", "function=%s error=memory", settling->name);
    settling_free(settling); /* the next start begins again */
}

/* ---- what is to be settled */

static bool is_at_rest(const struct settling *settling, const struct function *function)
{
    return !function->change && function->latest->update != VERSION_UPDATE_IN_PROGRESS &&
           !switch_is_running(settling->settler->switcher, settling->name);
}

/* Does it serve the very model, with the very settings, that the form was made for, and still without it? */
static bool is_meant(const struct settling *settling, const struct function *function)
{
    const struct version *live = function->live;
    if (!live || live->state != VERSION_ACTIVE ||
        live->execution_id != function->latest->execution_id || !version_prepared_is_wanted(live))
        return false;
    struct digest wish = version_prepared_wish(live);
    return memcmp(&wish, &settling->prepared.wish, sizeof(wish)) == 0;
}

static struct version *draft_of(const struct settling *settling, const struct function *function)
{
    struct version *draft = version_copy(function->latest);
    if (!draft)
        return NULL;
    draft->prepared = settling->prepared;
    if (version_prepared_is_chosen(draft) && !version_has_own_engine(draft))
        version_renew_execution(draft); /* instances packed otherwise, or without the form, never mix */
    return draft;
}

/* ---- without anything beside */

static void committed(void *arg, const struct error *err)
{
    struct settling *settling = arg;
    if (err)
        log_error("settle.commit", "function=%s error=%s", settling->name, LOG_TEXT(err->text));
    else
        log_info("settle.done", "function=%s form=%d reason=%s", settling->name,
                 settling->prepared.has_form, LOG_TEXT(settling->prepared.reason));
    settling_free(settling);
}

/* Takes the draft. */
static void commit(struct settling *settling, struct version *draft)
{
    const struct change_plan plan = {.latest = draft, .is_serving = true};
    struct change *change = NULL;
    int r = change_begin(settling->settler->catalog, settling->name, &change);
    if (r < 0) {
        version_unref(draft);
        wait_for(settling, BUSY_MS);
        return;
    }
    r = change_commit(change, &plan, committed, settling);
    if (r < 0)
        wait_for(settling, ROOM_MS);
}

/* ---- beside the instances that serve */

static void switched(void *arg, const struct switch_result *result)
{
    struct settling *settling = arg;
    bool has_no_room = result->err.code == -EAGAIN || result->err.code == -ENOMEM;
    if (result->code == 0) {
        committed(settling, NULL);
        return;
    }
    if (result->code == -EINVAL && !has_no_room) {
        /* Nor is it packed as was measured: as it is, it serves. */
        settling->prepared.has_form = settling->prepared.is_measured = false;
        (void) snprintf(settling->prepared.reason, sizeof(settling->prepared.reason),
                        "its prepared form does not serve here: %.150s", result->err.text);
    }
    /* Not from inside: the switch is not over yet. What failed of ours would start an instance each time. */
    bool is_soon = !has_no_room && (result->code == -EINVAL || result->code == -ECANCELED);
    wait_for(settling, is_soon ? BUSY_MS : ROOM_MS);
}

static void step(void *arg)
{
    struct settling *settling = arg;
    struct settler *settler = settling->settler;
    const struct function *function = catalog_any(settler->catalog, settling->name);
    if (function && !is_at_rest(settling, function)) {
        wait_for(settling, BUSY_MS);
        return;
    }
    if (!function || !is_meant(settling, function)) {
        settling_free(settling);
        return;
    }
    struct version *draft = draft_of(settling, function);
    if (!draft) {
        wait_for(settling, ROOM_MS);
        return;
    }
    bool is_other = draft->execution_id != function->live->execution_id;
    if (!is_other || !scheduler_is_running(settler->scheduler, function->live)) {
        commit(settling, draft);
        return;
    }
    if (switch_settle(settler->switcher, draft, switched, settling) == 0)
        return;
    version_unref(draft);
    wait_for(settling, ROOM_MS);
}

static void prepared(void *arg, const char *name, const struct version_prepared *prepared)
{
    struct settler *settler = arg;
    walk(settler);
    struct settling *settling = mem_new(struct settling);
    char *copy = mem_copy_text(name);
    if (!settling || !copy) {
        log_error("settle.abandoned", "function=%s error=memory", name);
        free(settling);
        free(copy);
        return;
    }
    *settling = (struct settling){.settler = settler, .name = copy, .prepared = *prepared};
    step(settling);
}

struct settler *settler_new(struct loop *loop, struct catalog *catalog, struct scheduler *scheduler,
                            struct switcher *switcher)
{
    struct settler *settler = mem_new(struct settler);
    if (!settler)
        return NULL;
    *settler = (struct settler){
        .loop = loop, .catalog = catalog, .scheduler = scheduler, .switcher = switcher};
    const struct catalog_settler for_catalog = {.loop = loop, .prepared = prepared, .arg = settler};
    catalog_set_settler(catalog, &for_catalog);
    return settler;
}

/* ---- at start */

static bool is_wanted(const struct function *function)
{
    const struct version *live = function->live;
    return live && live->state == VERSION_ACTIVE && version_prepared_is_wanted(live);
}

/* The next one's form: as one comes, one more is asked for. */
static void walk(struct settler *settler)
{
    struct function *function = NULL;
    while (settler->is_walking &&
           (function = catalog_next(settler->catalog, settler->after)) != NULL) {
        (void) !str_copy(str_of(function->name), settler->after, sizeof(settler->after));
        if (!is_wanted(function))
            continue;
        if (catalog_prepare_beside(settler->catalog, function->live) == 0)
            return;
        log_warn("settle.not_started", "function=%s", function->name);
    }
    settler->is_walking = false;
}

void settle_all(struct settler *settler)
{
    settler->after[0] = '\0';
    settler->is_walking = true;
    walk(settler);
    walk(settler);
}
