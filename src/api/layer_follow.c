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

struct layer_follow {
    struct api *api;
    struct list all; /* of struct follower */
};

/*
 *   LOOKING ─► MERGING ─► SWITCHING ─► LOOKING ...
 *      │ nothing newer, or no longer followed: freed
 *      └─ the function is being changed: again after BUSY_RETRY_MS
 */
struct follower {
    struct list link;
    struct layer_follow *follow;
    char *name;
    struct loop_timer timer;
    struct version *draft; /* while merging; owned */
    struct store_pin *pin; /* keeps the merged tree until the switch is done */
    struct version_layer refused[VERSION_LAYERS_MAX]; /* what would not serve: not tried again */
    size_t n_refused;
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

static bool was_refused(const struct follower *follower, const struct layer_version *version)
{
    for (size_t i = 0; i < follower->n_refused; i++)
        if (strcmp(follower->refused[i].name, version->name) == 0 &&
            follower->refused[i].number == version->number)
            return true;
    return false;
}

static const struct layer_version *newest(const struct follower *follower,
                                          const struct version *draft,
                                          const struct version_layer *now)
{
    const struct layer *layer =
        layers_find(follower->follow->api->config.layers, str_of(now->name));
    for (size_t i = layer ? layer->count : 0; i-- > 0;) {
        const struct layer_version *version = layer->versions[i];
        if (version->number <= now->number)
            return NULL;
        if (names(version->runtimes_json, draft->runtime) &&
            names(version->architectures_json, "x86_64") && !was_refused(follower, version))
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
        const struct layer_version *version = newest(follower, draft, layer);
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

static void again(struct follower *follower, int64_t after_ms)
{
    if (loop_timer_start(follower->follow->api->config.loop, &follower->timer, after_ms, look,
                         follower) == 0)
        return;
    log_error("layer.follow", "function=%s error=memory", follower->name);
    follower_free(follower);
}

static void refuse(struct follower *follower, const struct version *draft)
{
    const struct function *function =
        catalog_function(follower->follow->api->config.catalog, follower->name);
    const struct version *now = function ? function->latest : NULL;
    for (size_t i = 0; now && i < draft->n_layers && i < now->n_layers; i++)
        if (draft->layers[i].number != now->layers[i].number &&
            follower->n_refused < VERSION_LAYERS_MAX)
            follower->refused[follower->n_refused++] = draft->layers[i];
}

static void switched(void *arg, const struct switch_result *result)
{
    struct follower *follower = arg;
    if (result->code == 0)
        log_info("layer.follow", "function=%s", follower->name);
    else if (result->code == -EINVAL)
        refuse(follower, follower->draft);
    version_unref(follower->draft);
    follower->draft = NULL;
    store_unpin(follower->pin);
    follower->pin = NULL;
    deploy_collect_soon(follower->follow->api->config.deploy);
    again(follower, 0);
}

static void begin_switch(struct follower *follower)
{
    struct version *given = version_ref(follower->draft);
    int r = switch_start(follower->follow->api->config.switcher, given, switched, follower);
    if (r == 0)
        return;
    version_unref(given);
    version_unref(follower->draft);
    follower->draft = NULL;
    store_unpin(follower->pin);
    follower->pin = NULL;
    again(follower, BUSY_RETRY_MS);
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
    again(follower, 0);
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
    refuse(follower, draft);
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

void layer_follow_look(struct layer_follow *follow, const char *name)
{
    LIST_FOR_EACH (struct follower, each, &follow->all, link)
        if (strcmp(each->name, name) == 0)
            return; /* it looks again when its step is done */
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
