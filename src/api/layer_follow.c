/* SPDX-License-Identifier: MIT */

#include "api/layer_follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/code.h"
#include "api/function_layers.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "deploy/merge.h"
#include "function/catalog.h"
#include "function/change.h"
#include "function/layer.h"
#include "function/switch.h"
#include "loop/loop.h"
#include "store/store.h"

#define BUSY_RETRY_MS 50
#define FAILED_RETRY_MS 5000

struct layer_follow {
    struct api *api;
    struct list all; /* of struct follower */
};

/*
 *   LOOKING ─► MERGING ─► SWITCHING ─► LOOKING ...
 *      │           └─ changed meanwhile, or no longer followed: LOOKING, the draft is dropped
 *      │ nothing newer, or no longer followed: freed
 *      └─ the function is being changed: again after BUSY_RETRY_MS
 */
struct follower {
    struct list link;
    struct layer_follow *follow;
    char *name;
    struct loop_timer timer;
    struct version *draft; /* from MERGING on; owned */
    char base[UUID_SIZE];  /* revision of the $LATEST that it was made of */
    struct store_pin *pin; /* keeps the merged tree until the switch is done */
    bool is_switching;
};

static void look(void *arg);

struct layer_follow *layer_follow_new(struct api *api)
{
    struct layer_follow *follow = mem_new(struct layer_follow);
    if (!follow)
        return NULL;
    follow->api = api;
    list_init(&follow->all);
    return follow;
}

static void follower_free(struct follower *follower)
{
    loop_timer_stop(&follower->timer);
    list_remove(&follower->link);
    version_unref(follower->draft);
    store_unpin(follower->pin);
    free(follower->name);
    free(follower);
}

void layer_follow_free(struct layer_follow *follow)
{
    if (!follow)
        return;
    LIST_FOR_EACH_SAFE (struct follower, each, &follow->all, link)
        follower_free(each);
    free(follow);
}

bool layer_follow_is_on(const struct function *function)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    if (!function->tags_json ||
        json_parse(str_of(function->tags_json), ATTACHMENT_JSON_MAX, &doc, NULL) < 0)
        return false;
    return str_equal(json_str(json_member(yyjson_doc_get_root(doc), LAYER_FOLLOW_TAG)),
                     STR("true"));
}

/* ---- which version */

static bool names(const char *array_json, const char *wanted)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    if (!array_json)
        return true;
    if (json_parse(str_of(array_json), CALL_JSON_MAX, &doc, NULL) < 0)
        return false;
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(yyjson_doc_get_root(doc), &iter);
    yyjson_val *item;
    while ((item = yyjson_arr_iter_next(&iter)) != NULL)
        if (str_equal_text(json_str(item), wanted))
            return true;
    return false;
}

static bool was_refused(const struct version_layer *now, const struct layer_version *version)
{
    return version->number >= now->refused_first && version->number <= now->refused_last;
}

static const struct layer_version *newest(const struct follower *follower,
                                          const struct version *draft, size_t place)
{
    const struct version_layer *now = &draft->layers[place];
    const struct layer *layer =
        layers_find(follower->follow->api->config.layers, str_of(now->name));
    for (size_t i = layer ? layer->count : 0; i-- > 0;) {
        const struct layer_version *version = layer->versions[i];
        if (version->number <= now->number)
            return NULL;
        if (names(version->runtimes_json, draft->runtime) &&
            names(version->architectures_json, "x86_64") && !was_refused(now, version))
            return version;
    }
    return NULL;
}

/* Puts the newest into the draft; whether any is new. */
static bool take_newest(const struct follower *follower, struct version *draft)
{
    bool is_new = false;
    for (size_t i = 0; i < draft->n_layers; i++) {
        struct version_layer *layer = &draft->layers[i];
        const struct layer_version *version = newest(follower, draft, i);
        if (!version)
            continue;
        layer->number = version->number;
        layer->zip_bytes = version->zip_bytes;
        layer->tree_bytes = version->tree_bytes;
        memcpy(layer->tree_id, version->tree_id, sizeof(layer->tree_id));
        is_new = true;
    }
    return is_new;
}

/* ---- steps */

static void wait_for(struct follower *follower, int64_t after_ms, void (*next)(void *arg))
{
    if (loop_timer_start(follower->follow->api->config.loop, &follower->timer, after_ms, next,
                         follower) == 0)
        return;
    log_error("layer.follow", "function=%s error=memory", follower->name);
    follower_free(follower);
}

static void again(struct follower *follower, int64_t after_ms)
{
    wait_for(follower, after_ms, look);
}

static void drop_draft(struct follower *follower)
{
    version_unref(TAKE_PTR(follower->draft));
    store_unpin(TAKE_PTR(follower->pin));
}

static void switched(void *arg, const struct switch_result *result)
{
    struct follower *follower = arg;
    int why = result->code == -EINVAL ? result->err.code : result->code;
    bool has_failed = why < 0 && why != -EINVAL && why != -ECANCELED; /* for want of room, too */
    follower->is_switching = false;
    if (result->code == 0)
        log_info("layer.follow", "function=%s", follower->name);
    drop_draft(follower);
    deploy_collect_soon(follower->follow->api->config.deploy);
    again(follower, has_failed ? FAILED_RETRY_MS : 0);
}

/* Is $LATEST still what the draft was made of, and followed? The switch itself looks only from its start on. */
static bool is_current(const struct follower *follower)
{
    const struct function *function =
        catalog_function(follower->follow->api->config.catalog, follower->name);
    return function && layer_follow_is_on(function) &&
           strcmp(function->latest->revision_id, follower->base) == 0;
}

/* The merged tree is kept while others switch: a layer that hundreds follow is merged once for each. */
static void begin_switch(void *arg)
{
    struct follower *follower = arg;
    if (!is_current(follower)) {
        drop_draft(follower);
        again(follower, 0);
        return;
    }
    struct version *given = version_ref(follower->draft);
    int r = switch_start(follower->follow->api->config.switcher, given, switched, follower);
    follower->is_switching = r == 0;
    if (r == 0)
        return;
    version_unref(given);
    wait_for(follower, BUSY_RETRY_MS, begin_switch);
}

static void merged(void *arg, struct deploy_result *result)
{
    struct follower *follower = arg;
    if (result->status != DEPLOY_OK) {
        log_error("layer.follow", "function=%s error=%s", follower->name,
                  LOG_TEXT(result->err.text));
        follower_free(follower);
        return;
    }
    follower->pin = result->pin;
    result->pin = NULL;
    function_layers_fill(follower->draft, result);
    begin_switch(follower);
}

static void refusal_told(void *arg, const struct error *err)
{
    struct follower *follower = arg;
    if (err)
        log_error("layer.follow", "function=%s error=%s", follower->name, LOG_TEXT(err->text));
    again(follower, err ? FAILED_RETRY_MS : 0);
}

/* Together with the package they are more than AWS allows: the function says so, and stays as it is. */
static void tell_too_large(struct follower *follower, const struct function *function,
                           const struct version *draft, const char *why)
{
    struct change *change = NULL;
    struct change_plan plan = {.latest = version_copy(function->latest), .is_serving = true};
    int r = plan.latest
                ? change_begin(follower->follow->api->config.catalog, follower->name, &change)
                : -ENOMEM;
    if (r < 0) {
        version_unref(plan.latest);
        again(follower, BUSY_RETRY_MS);
        return;
    }
    version_refuse_layers(plan.latest, draft);
    plan.latest->update = VERSION_UPDATE_FAILED;
    version_set(plan.latest, &plan.latest->update_reason, why);
    version_set(plan.latest, &plan.latest->update_reason_code, "InvalidConfiguration");
    version_touch(plan.latest, 0);
    if (change_commit(change, &plan, refusal_told, follower) < 0)
        again(follower, BUSY_RETRY_MS);
}

static void merge(struct follower *follower, struct version *draft)
{
    struct digest trees[VERSION_LAYERS_MAX];
    memcpy(follower->base, draft->revision_id, sizeof(follower->base));
    draft->has_opt_tree = false;
    version_renew_execution(draft);
    code_set_active(draft);
    version_touch(draft, clock_wall_ms());
    for (size_t i = 0; i < draft->n_layers; i++)
        memcpy(trees[i].bytes, draft->layers[i].tree_id, DIGEST_BYTES);
    follower->draft = draft;
    if (deploy_merge_start(follower->follow->api->config.deploy, trees, draft->n_layers, merged,
                           follower) == 0)
        return;
    version_unref(TAKE_PTR(follower->draft));
    again(follower, BUSY_RETRY_MS);
}

static bool is_busy(const struct function *function)
{
    const struct version *latest = function->latest;
    return function->change || latest->state == VERSION_PENDING ||
           latest->update == VERSION_UPDATE_IN_PROGRESS;
}

static void look(void *arg)
{
    struct follower *follower = arg;
    struct api *api = follower->follow->api;
    const struct function *function = catalog_function(api->config.catalog, follower->name);
    struct error err = {0};
    if (!function || !layer_follow_is_on(function) || function->latest->state == VERSION_FAILED) {
        follower_free(follower);
        return;
    }
    if (is_busy(function)) {
        again(follower, BUSY_RETRY_MS);
        return;
    }
    struct version *draft = version_copy(function->latest);
    if (!draft || !take_newest(follower, draft)) {
        version_unref(draft);
        follower_free(follower);
        return;
    }
    if (function_layers_check_size(api, draft, &err) < 0) {
        tell_too_large(follower, function, draft, err.text);
        version_unref(draft);
        return;
    }
    merge(follower, draft);
}

/* ---- who asks */

/* One that works looks again when its step is done; a switch that nobody wants any more goes no further. */
static void look_later(struct follower *follower)
{
    const struct api *api = follower->follow->api;
    const struct function *function = catalog_function(api->config.catalog, follower->name);
    if (follower->is_switching && function && !layer_follow_is_on(function))
        switch_stop(api->config.switcher, follower->name);
}

void layer_follow_look(struct layer_follow *follow, const char *name)
{
    LIST_FOR_EACH (struct follower, each, &follow->all, link)
        if (strcmp(each->name, name) == 0) {
            look_later(each);
            return;
        }
    struct follower *follower = mem_new(struct follower);
    char *copy = mem_copy_text(name);
    if (!follower || !copy) {
        log_error("layer.follow", "function=%s error=memory", name);
        free(follower);
        free(copy);
        return;
    }
    follower->follow = follow;
    follower->name = copy;
    list_add_last(&follow->all, &follower->link);
    again(follower, 0);
}

static bool has_layer(const struct version *version, const char *layer)
{
    for (size_t i = 0; i < version->n_layers; i++)
        if (!layer || strcmp(version->layers[i].name, layer) == 0)
            return true;
    return false;
}

void layer_follow_published(struct layer_follow *follow, const char *layer)
{
    struct catalog *catalog = follow->api->config.catalog;
    for (struct function *function = catalog_next(catalog, NULL); function;
         function = catalog_next(catalog, function->name))
        if (has_layer(function->latest, layer) && layer_follow_is_on(function))
            layer_follow_look(follow, function->name);
}

void layer_follow_all(struct layer_follow *follow)
{
    layer_follow_published(follow, NULL);
}
