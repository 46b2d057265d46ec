/* SPDX-License-Identifier: MIT */

#include "api/background.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/code.h"
#include "api/concurrency.h"
#include "api/model.h"
#include "api/function_layers.h"
#include "api/layer_follow.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/change.h"
#include "loop/loop.h"
#include "store/store.h"

/* After a failure of ours, and while somebody else changes the function. */
#define RETRY_MS 1000
#define BUSY_RETRY_MS 20
/* A store that cannot be reached: each try has its own retries per range. */
#define FETCHES_MAX 4

/*
 *   WAITING --timer--> DEPLOYING --done--> FETCHING (a model, if one is named) --done--> COMMITTING --done--> freed
 *      ^                   |                   |                                           |
 *      +---- our failure --+-- network's: tried FETCHES_MAX times ----- name busy ---------+    gone or changed: freed
 */
struct background {
    struct api *api;
    char *name;
    char revision_id
        [UUID_SIZE]; /* of the snapshot that asked; another one: nothing to do any more */
    struct digest package;
    struct loop_timer timer;
    struct store_pin *pin;
    struct deploy_result result; /* its pin is above */
    bool has_code;               /* the tree was there: only the model is missing */
    bool has_model;
    unsigned fetches;
    struct fetch_result model; /* its pin is below */
    struct store_pin *model_pin;
    const char *why; /* of a failure; NULL: none */
    const char *why_code;
};

static void deploy_again(void *arg);
static void fetch_again(void *arg);
static void commit(void *arg);

static void background_free(struct background *background)
{
    loop_timer_stop(&background->timer);
    store_unpin(background->pin);
    store_unpin(background->model_pin);
    free(background->name);
    free(background);
}

bool background_is_wanted(const struct function *function)
{
    const struct version *latest = function->latest;
    bool is_open = latest->state == VERSION_PENDING || latest->update == VERSION_UPDATE_IN_PROGRESS;
    return is_open && (!latest->code.has_tree || version_model_is_missing(latest));
}

static void retry(struct background *background, int64_t after_ms, void (*call)(void *arg))
{
    int r = loop_timer_start(background->api->config.loop, &background->timer, after_ms, call,
                             background);
    if (r == 0)
        return;
    log_error("deploy.abandoned", "function=%s error=%s", background->name, error_name(r));
    background_free(background);
}

/* The function, if it still waits for this deployment. */
static struct function *subject(const struct background *background)
{
    struct function *function = catalog_function(background->api->config.catalog, background->name);
    if (!function || strcmp(function->latest->revision_id, background->revision_id) != 0)
        return NULL;
    return function;
}

static void committed(void *arg, const struct error *err)
{
    struct background *background = arg;
    if (err) {
        log_error("deploy.commit", "function=%s error=%s", background->name, LOG_TEXT(err->text));
        retry(background, RETRY_MS, commit);
        return;
    }
    log_info("deploy.done", "function=%s ok=%d", background->name, background->why == NULL);
    deploy_collect_soon(background->api->config.deploy);
    background_free(background);
}

/* The snapshot that tells of the failure. A failed update leaves the code that serves. */
static struct version *failed_draft(const struct background *background,
                                    const struct function *function)
{
    bool is_update = function->latest->state != VERSION_PENDING;
    struct version *draft = version_copy(function->latest);
    if (!draft)
        return NULL;
    if (is_update) {
        draft->update = VERSION_UPDATE_FAILED;
        version_set(draft, &draft->update_reason, background->why);
        version_set(draft, &draft->update_reason_code, background->why_code);
        if (function->live && !background->has_code) {
            draft->code = function->live->code;
            draft->execution_id = function->live->execution_id;
        }
    } else {
        draft->state = VERSION_FAILED;
        version_set(draft, &draft->state_reason, background->why);
        version_set(draft, &draft->state_reason_code, background->why_code);
    }
    version_touch(draft, 0);
    return draft;
}

static struct version *done_draft(struct background *background, const struct function *function)
{
    struct version *draft = version_copy(function->latest);
    if (!draft)
        return NULL;
    if (!background->has_code)
        code_fill(draft, &background->result);
    if (background->has_model)
        model_fill(draft, &background->model);
    code_set_active(draft);
    version_touch(draft, 0);
    return draft;
}

static void commit(void *arg)
{
    struct background *background = arg;
    struct function *function = subject(background);
    struct change *change;
    if (!function) {
        background_free(background);
        return;
    }
    int r = change_begin(background->api->config.catalog, background->name, &change);
    if (r < 0) {
        retry(background, r == -EBUSY ? BUSY_RETRY_MS : RETRY_MS, commit);
        return;
    }
    struct change_plan plan = {
        .latest =
            background->why ? failed_draft(background, function) : done_draft(background, function),
    };
    /* After a failed update the old code serves under the snapshot that tells of it. */
    plan.is_serving = plan.latest && version_is_invocable(plan.latest);
    if (!plan.latest) {
        change_abort(change);
        retry(background, RETRY_MS, commit);
        return;
    }
    r = change_commit(change, &plan, committed, background);
    if (r < 0)
        retry(background, RETRY_MS, commit);
}

/* The function has layers: its package may be too large with them. */
static void check_layers(struct background *background)
{
    const struct function *function = subject(background);
    struct version *draft = function ? done_draft(background, function) : NULL;
    if (draft && function_layers_check_size(background->api, draft, &background->result.err) < 0)
        background->result.status = DEPLOY_UNZIPPED_TOO_LARGE;
    version_unref(draft);
}

static void fetched(void *arg, struct fetch_result *result)
{
    struct background *background = arg;
    background->model = *result;
    background->model_pin = TAKE_PTR(result->pin);
    background->has_model = result->code == 0;
    if (result->code == -ECANCELED) {
        background_free(background); /* the next start goes on */
        return;
    }
    if (result->code < 0) {
        log_warn("model.fetch_failed", "function=%s try=%u error=%s", background->name,
                 background->fetches, LOG_TEXT(result->err.text));
        if (model_is_transient(result) && background->fetches < FETCHES_MAX) {
            retry(background, RETRY_MS, fetch_again);
            return;
        }
        background->why = background->model.err.text;
        background->why_code = model_reason_code(result);
    } else {
        log_info("model.fetched", "function=%s bytes=%llu fetched=%llu ms=%llu network_ms=%llu",
                 background->name, (unsigned long long) result->bytes,
                 (unsigned long long) result->fetched_bytes,
                 (unsigned long long) result->took_us / 1000,
                 (unsigned long long) result->network_us / 1000);
    }
    commit(background);
}

static void fetch_again(void *arg)
{
    struct background *background = arg;
    const struct function *function = subject(background);
    if (!function) {
        background_free(background);
        return;
    }
    if (!version_model_is_missing(function->latest)) {
        commit(background);
        return;
    }
    background->fetches++;
    int r = model_fetch(background->api, function->latest, false, fetched, background);
    if (r < 0)
        retry(background, RETRY_MS, fetch_again);
}

static void deployed(void *arg, struct deploy_result *result)
{
    struct background *background = arg;
    background->result = *result;
    background->pin = result->pin;
    result->pin = NULL;
    if (result->status == DEPLOY_INTERNAL || result->status == DEPLOY_NO_SPACE) {
        log_error("deploy.failed", "function=%s error=%s", background->name,
                  LOG_TEXT(result->err.text));
        retry(background, RETRY_MS, deploy_again);
        return;
    }
    if (result->status == DEPLOY_OK) {
        code_warn(background->api, background->name, result);
        check_layers(background);
    }
    if (background->result.status == DEPLOY_OK) {
        fetch_again(background);
        return;
    }
    background->why = background->result.err.text;
    background->why_code = "InvalidZipFileException";
    commit(background);
}

static void deploy_again(void *arg)
{
    struct background *background = arg;
    struct deploy_spec spec = {
        .package = &background->package,
        .limits = code_limits(background->api),
    };
    const struct function *function = subject(background);
    if (!function) {
        background_free(background);
        return;
    }
    struct digest set = version_models_set(function->latest);
    spec.models_set = &set;
    int r = deploy_start(background->api->config.deploy, &spec, deployed, background);
    if (r < 0)
        retry(background, RETRY_MS, deploy_again);
}

void background_start(struct api *api, const struct function *function)
{
    struct background *background = mem_new(struct background);
    char *name = mem_copy_text(function->name);
    if (!background || !name) {
        log_error("deploy.abandoned", "function=%s error=memory", function->name);
        free(background);
        free(name);
        return;
    }
    background->api = api;
    background->name = name;
    memcpy(background->revision_id, function->latest->revision_id, UUID_SIZE);
    memcpy(background->package.bytes, function->latest->code.zip_sha256, DIGEST_BYTES);
    background->has_code = function->latest->code.has_tree;
    if (background->has_code)
        fetch_again(background);
    else
        deploy_again(background);
}

void api_resume(struct api *api)
{
    struct catalog *catalog = api->config.catalog;
    concurrency_apply_all(api);
    provisioned_apply_all(api);
    layer_follow_all(api->follow);
    for (struct function *function = catalog_next(catalog, NULL); function;
         function = catalog_next(catalog, function->name)) {
        if (!background_is_wanted(function))
            continue;
        log_info("deploy.resume", "function=%s", function->name);
        background_start(api, function);
    }
}
