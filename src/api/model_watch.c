/* SPDX-License-Identifier: MIT */

#include "api/model_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/code.h"
#include "api/model.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/scheduler.h"
#include "function/stats.h"
#include "function/switch.h"
#include "loop/loop.h"
#include "store/store.h"

#define TICK_MS 500
#define WATCH_STEP 1000
#define LOOK_MIN_MS 1000

struct watched {
    struct model_watch *watch;
    char *name;
    int64_t looked_ms;
    uint64_t cold_starts; /* as many as there were at the last tick */
    bool has_started;     /* an instance, since the last look */
    bool is_busy;
    struct store_pin *pin;
};

struct model_watch {
    struct api *api;
    struct loop_timer timer;
    struct map functions; /* by name; those that had a look */
    char after[LIMIT_FUNCTION_NAME_MAX + 1];
};

static void tick(void *arg);

static void watched_free(void *arg)
{
    struct watched *watched = arg;
    store_unpin(watched->pin);
    free(watched->name);
    free(watched);
}

struct model_watch *model_watch_new(struct api *api)
{
    struct model_watch *watch = mem_new(struct model_watch);
    if (!watch)
        return NULL;
    watch->api = api;
    map_init(&watch->functions, CATALOG_FUNCTIONS_MAX);
    if (loop_timer_start(api->config.loop, &watch->timer, TICK_MS, tick, watch) < 0) {
        free(watch);
        return NULL;
    }
    return watch;
}

void model_watch_free(struct model_watch *watch)
{
    if (!watch)
        return;
    loop_timer_stop(&watch->timer);
    map_done(&watch->functions, watched_free);
    free(watch);
}

static struct watched *watched_get(struct model_watch *watch, const char *name)
{
    struct watched *watched = map_get_text(&watch->functions, name);
    if (watched)
        return watched;
    watched = mem_new(struct watched);
    if (!watched)
        return NULL;
    watched->watch = watch;
    watched->name = mem_copy_text(name);
    watched->looked_ms = INT64_MIN / 2;
    if (!watched->name || map_put(&watch->functions, str_of(name), watched) < 0) {
        watched_free(watched);
        return NULL;
    }
    return watched;
}

/* The function, if its $LATEST serves, is at rest, and has a model to look after. */
static const struct function *subject(const struct watched *watched)
{
    const struct api *api = watched->watch->api;
    const struct function *function = catalog_function(api->config.catalog, watched->name);
    if (!function || function->change || !function->live ||
        function->live->execution_id != function->latest->execution_id)
        return NULL;
    const struct version *latest = function->latest;
    bool is_at_rest =
        latest->state == VERSION_ACTIVE && latest->update != VERSION_UPDATE_IN_PROGRESS;
    return is_at_rest && version_has_model_source(latest) && !version_model_is_missing(latest)
               ? function
               : NULL;
}

static void rest(struct watched *watched)
{
    watched->is_busy = false;
    store_unpin(TAKE_PTR(watched->pin));
}

/* ---- another model */

static void switched(void *arg, const struct switch_result *result)
{
    struct watched *watched = arg;
    if (result->code < 0 && result->code != -EINVAL && result->code != -ECANCELED)
        log_warn("model.switch_failed", "function=%s error=%s", watched->name,
                 LOG_TEXT(result->err.text));
    deploy_collect_soon(watched->watch->api->config.deploy);
    rest(watched);
}

static struct version *new_draft(const struct version *latest, const struct fetch_result *result)
{
    struct version *draft = version_copy(latest);
    if (!draft)
        return NULL;
    draft->previous_model = latest->model;
    draft->refused_mark[0] = '\0';
    model_fill(draft, result);
    version_renew_execution(draft);
    code_set_active(draft);
    version_touch(draft, clock_wall_ms());
    return draft;
}

static void fetched(void *arg, struct fetch_result *result)
{
    struct watched *watched = arg;
    const struct function *function = subject(watched);
    if (result->code < 0)
        log_warn("model.fetch_failed", "function=%s error=%s", watched->name,
                 LOG_TEXT(result->err.text));
    bool is_new = result->code == 0 && function && !result->is_in_place &&
                  memcmp(result->digest.bytes, function->latest->model.digest, DIGEST_BYTES) != 0;
    if (!is_new) {
        rest(watched);
        return;
    }
    watched->pin = TAKE_PTR(result->pin);
    struct version *draft = new_draft(function->latest, result);
    int r = draft ? switch_start(watched->watch->api->config.switcher, draft, switched, watched)
                  : -ENOMEM;
    if (r == 0)
        return;
    version_unref(draft);
    log_warn("model.switch_failed", "function=%s error=%s", watched->name, error_name(r));
    rest(watched);
}

/* ---- looks */

static void looked(void *arg, struct fetch_result *result)
{
    struct watched *watched = arg;
    const struct function *function = subject(watched);
    if (result->code < 0)
        log_warn("model.look_failed", "function=%s error=%s", watched->name,
                 LOG_TEXT(result->err.text));
    /* What became immutable stays the copy that it is, until the function is changed. */
    bool is_other = result->code == 0 && function && !result->is_in_place &&
                    strcmp(result->mark, function->latest->model.mark) != 0 &&
                    strcmp(result->mark, function->latest->refused_mark) != 0;
    if (is_other &&
        model_fetch(watched->watch->api, function->latest, false, fetched, watched) == 0)
        return;
    rest(watched);
}

static void look(struct watched *watched)
{
    struct api *api = watched->watch->api;
    const struct function *function = subject(watched);
    int64_t now_ms = loop_now_ms(api->config.loop);
    if (watched->is_busy || !function || now_ms - watched->looked_ms < LOOK_MIN_MS)
        return;
    watched->looked_ms = now_ms;
    watched->has_started = false;
    watched->is_busy = true;
    if (model_fetch(api, function->latest, true, looked, watched) < 0)
        watched->is_busy = false; /* the next time */
}

/* Instances that were started since the last time: a fork of a template is one, too. */
static bool has_started(struct watched *watched)
{
    const struct function_stats *stats =
        function_stats_find(watched->watch->api->config.scheduler, str_of(watched->name));
    uint64_t before = watched->cold_starts;
    watched->cold_starts = stats ? stats->cold_starts : 0;
    return watched->cold_starts > before;
}

static void consider(struct model_watch *watch, const struct function *function)
{
    const struct version *live = function->live;
    struct watched *watched =
        live && version_has_model_source(live) ? watched_get(watch, function->name) : NULL;
    if (!watched)
        return;
    int64_t interval_ms = (int64_t) version_model_refresh_s(live) * 1000;
    int64_t passed_ms = loop_now_ms(watch->api->config.loop) - watched->looked_ms;
    bool is_due = interval_ms > 0 && passed_ms >= interval_ms;
    watched->has_started |= has_started(watched); /* until there is a look: one may be too recent */
    if (watched->has_started || is_due)
        look(watched);
}

/* Of functions that are gone, once a round: names come and go, the map has a limit. */
static void forget_gone(struct model_watch *watch)
{
    MAP_FOR_EACH (struct watched, watched, &watch->functions) {
        if (watched->is_busy || catalog_function(watch->api->config.catalog, watched->name))
            continue;
        (void) map_remove(&watch->functions, str_of(watched->name));
        watched_free(watched);
    }
}

/* A step through the catalog; the next tick goes on where this one ended. */
static void tick(void *arg)
{
    struct model_watch *watch = arg;
    struct catalog *catalog = watch->api->config.catalog;
    struct function *function = NULL;
    size_t steps = 0;
    for (function = catalog_next(catalog, watch->after); function && steps < WATCH_STEP; steps++) {
        consider(watch, function);
        (void) !str_copy(str_of(function->name), watch->after, sizeof(watch->after));
        function = catalog_next(catalog, watch->after);
    }
    if (!function) {
        watch->after[0] = '\0';
        forget_gone(watch);
    }
    if (loop_timer_start(watch->api->config.loop, &watch->timer, TICK_MS, tick, watch) < 0)
        log_error("model.watch", "error=memory");
}
