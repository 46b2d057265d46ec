/* SPDX-License-Identifier: MIT */
#include "function/switch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/change.h"
#include "function/scheduler.h"
#include "loop/loop.h"

#define POLL_MS 10 /* the scheduler tells how many are ready when it is asked */
#define BUSY_RETRY_MS 20
#define METADATA_MAX ((size_t) 1 << 20)

struct switcher {
    struct loop *loop;
    struct catalog *catalog;
    struct scheduler *scheduler;
    struct list all;
    unsigned count;
};

struct switchover {
    struct switcher *switcher;
    struct list link;
    struct version *draft;       /* owned; after the commit a reference to what serves */
    const struct version *old;   /* what served when it began; a reference */
    char revision_id[UUID_SIZE]; /* of $LATEST then */
    struct loop_timer timer;
    int64_t give_up_ms;
    bool is_settling; /* the same model in another form: a refusal is the caller's to tell */
    bool is_warm;     /* provisioned: an instance is kept */
    bool is_stopped;  /* by switch_stop: nothing is committed any more */
    char *inputs;     /* of the draft's model, as JSON; owned */
    struct error why; /* it is refused */
    void (*done)(void *arg, const struct switch_result *result);
    void *arg;
};

static void warm(void *arg);
static void commit(void *arg);
static void refuse(struct switchover *switchover);

struct switcher *switcher_new(struct loop *loop, struct catalog *catalog,
                              struct scheduler *scheduler)
{
    struct switcher *switcher = mem_new(struct switcher);
    if (!switcher)
        return NULL;
    switcher->loop = loop;
    switcher->catalog = catalog;
    switcher->scheduler = scheduler;
    list_init(&switcher->all);
    return switcher;
}

bool switch_is_running(const struct switcher *switcher, const char *name)
{
    LIST_FOR_EACH (struct switchover, each, &switcher->all, link)
        if (strcmp(each->draft->name, name) == 0)
            return true;
    return false;
}

void switch_stop(struct switcher *switcher, const char *name)
{
    LIST_FOR_EACH (struct switchover, each, &switcher->all, link)
        if (strcmp(each->draft->name, name) == 0)
            each->is_stopped = true;
}

/* ---- the end */

static void finish(struct switchover *switchover, int code)
{
    struct switch_result result = {.code = code, .err = switchover->why};
    loop_timer_stop(&switchover->timer);
    list_remove(&switchover->link);
    switchover->switcher->count--;
    if (switchover->is_warm) /* from here on it is kept like any other */
        scheduler_set_provisioned(switchover->switcher->scheduler, switchover->draft, 0);
    if (code < 0)
        scheduler_retire(switchover->switcher->scheduler, switchover->draft);
    switchover->done(switchover->arg, &result);
    version_unref(switchover->draft);
    version_unref(switchover->old);
    free(switchover->inputs);
    free(switchover);
}

static void wait_for(struct switchover *switchover, int64_t after_ms, void (*next)(void *arg))
{
    if (loop_timer_start(switchover->switcher->loop, &switchover->timer, after_ms, next,
                         switchover) == 0)
        return;
    error_set(&switchover->why, -ENOMEM, "no memory for a timer");
    finish(switchover, -ENOMEM);
}

/* $LATEST as it was when the switch began, or NULL: somebody changed or deleted it, or wants it no more. */
static struct function *subject(const struct switchover *switchover)
{
    struct function *function =
        catalog_function(switchover->switcher->catalog, switchover->draft->name);
    if (!function || switchover->is_stopped ||
        strcmp(function->latest->revision_id, switchover->revision_id) != 0)
        return NULL;
    return function;
}

/* ---- refused */

static void refused(void *arg, const struct error *err)
{
    struct switchover *switchover = arg;
    if (!err) {
        finish(switchover, -EINVAL);
        return;
    }
    log_error("switch.commit", "function=%s error=%s", switchover->draft->name,
              LOG_TEXT(err->text));
    switchover->why = *err;
    finish(switchover, -EIO); /* it was not remembered, and would be tried again at once */
}

/* A new model by its mark, new layers by their numbers: whoever looks for news passes over them. */
static void remember_refusal(struct version *latest, const struct version *tried)
{
    if (strcmp(latest->model.mark, tried->model.mark) != 0)
        memcpy(latest->refused_mark, tried->model.mark, sizeof(latest->refused_mark));
    version_refuse_layers(latest, tried);
}

static void refusal_commit(void *arg)
{
    struct switchover *switchover = arg;
    const struct function *function = subject(switchover);
    struct change *change = NULL;
    int r =
        function ? change_begin(switchover->switcher->catalog, function->name, &change) : -ESTALE;
    if (r == -EBUSY) {
        wait_for(switchover, BUSY_RETRY_MS, refusal_commit);
        return;
    }
    struct change_plan plan = {.latest = r == 0 ? version_copy(function->latest) : NULL};
    if (!plan.latest) {
        change_abort(change);
        finish(switchover, -ECANCELED);
        return;
    }
    plan.latest->update = VERSION_UPDATE_FAILED;
    version_set(plan.latest, &plan.latest->update_reason, switchover->why.text);
    version_set(plan.latest, &plan.latest->update_reason_code, "FunctionError");
    /* For want of room the next look tries it again. */
    if (switchover->why.code != -EAGAIN && switchover->why.code != -ENOMEM)
        remember_refusal(plan.latest, switchover->draft);
    version_touch(plan.latest, 0);
    plan.is_serving = true; /* the same code and model under a snapshot that tells */
    if (change_commit(change, &plan, refused, switchover) < 0)
        finish(switchover, -EIO);
}

static void refuse(struct switchover *switchover)
{
    log_warn("switch.refused", "function=%s error=%s", switchover->draft->name,
             LOG_TEXT(switchover->why.text));
    if (switchover->is_settling)
        finish(switchover, -EINVAL);
    else
        refusal_commit(switchover);
}

/* ---- committed */

static void committed(void *arg, const struct error *err)
{
    struct switchover *switchover = arg;
    char hex[DIGEST_HEX_SIZE];
    if (err) {
        switchover->why = *err;
        finish(switchover, -EIO);
        return;
    }
    log_info("switch.done", "function=%s model=%.12s", switchover->draft->name,
             hex_encode(switchover->draft->model.digest, DIGEST_BYTES, hex));
    finish(switchover, 0);
}

static void commit(void *arg)
{
    struct switchover *switchover = arg;
    const struct function *function = subject(switchover);
    struct change *change = NULL;
    int r =
        function ? change_begin(switchover->switcher->catalog, function->name, &change) : -ESTALE;
    if (r == -EBUSY) {
        wait_for(switchover, BUSY_RETRY_MS, commit);
        return;
    }
    if (r < 0) {
        finish(switchover, -ECANCELED);
        return;
    }
    /* The draft itself is what the instance was started with: the same execution. */
    struct change_plan plan = {.latest = version_copy(switchover->draft), .is_serving = true};
    if (!plan.latest) {
        change_abort(change);
        finish(switchover, -ENOMEM);
        return;
    }
    r = change_commit(change, &plan, committed, switchover);
    if (r < 0) {
        error_set_errno(&switchover->why, r, "commit a new model");
        finish(switchover, r);
    }
}

/* ---- what the model takes */

/* {"name":..., "inputs":[...], ...} -> the text of its inputs, or NULL. */
static char *inputs_of(struct str metadata)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    if (json_parse(metadata, METADATA_MAX, &doc, NULL) < 0)
        return NULL;
    yyjson_val *inputs = json_member(yyjson_doc_get_root(doc), "inputs");
    return inputs ? yyjson_val_write(inputs, YYJSON_WRITE_NOFLAG, NULL) : NULL;
}

static void reason_of(const struct invocation_result *result, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct str text = {0};
    if (json_parse(buf_str(&result->payload), METADATA_MAX, &doc, NULL) == 0)
        text = json_str(json_member(yyjson_doc_get_root(doc), "errorMessage"));
    if (text.size > 0)
        error_set(err, -EINVAL, "The new model does not load: %.*s",
                  (int) (text.size < 400 ? text.size : 400), text.data);
    else
        error_set(err, -EINVAL, "The new model does not load: " STR_FORMAT,
                  STR_ARGUMENTS(result->error_type));
}

static int ask(struct switchover *switchover, const struct version *version, invocation_cb *cb)
{
    struct invocation_spec spec = {.payload = BUF_INIT(16), .invoked_arn = str_of(version->arn)};
    buf_append_text(&spec.payload, "{}");
    if (buf_status(&spec.payload) == 0 &&
        invocation_start(switchover->switcher->scheduler, version, &spec, cb, switchover))
        return 0;
    buf_done(&spec.payload);
    return error_set(&switchover->why, -ENOMEM, "no memory to ask a model for its inputs");
}

static void old_answered(void *arg, struct invocation_result *result)
{
    struct switchover *switchover = arg;
    AUTO_FREE char *old = NULL;
    if (result->outcome == INVOCATION_ANSWERED)
        old = inputs_of(buf_str(&result->payload));
    /* An old model that cannot say any more what it takes keeps no new one away. */
    if (old && strcmp(old, switchover->inputs) != 0) {
        error_set(&switchover->why, -EINVAL,
                  "The new model takes other inputs: %.180s, and the one that serves %.180s",
                  switchover->inputs, old);
        refuse(switchover);
        return;
    }
    commit(switchover);
}

static void new_answered(void *arg, struct invocation_result *result)
{
    struct switchover *switchover = arg;
    if (result->outcome == INVOCATION_ANSWERED)
        switchover->inputs = inputs_of(buf_str(&result->payload));
    else if (result->outcome == INVOCATION_THROTTLED)
        error_set(&switchover->why, -EAGAIN,
                  "The new model could not be started beside the old: no room for "
                  "another instance");
    else
        reason_of(result, &switchover->why);
    if (switchover->inputs) {
        if (ask(switchover, switchover->old, old_answered) < 0)
            refuse(switchover);
        return;
    }
    if (switchover->why.code == 0)
        error_set(&switchover->why, -EINVAL, "The new model does not say what it takes");
    refuse(switchover);
}

/* ---- an instance beside the old ones */

static void warming(void *arg)
{
    struct switchover *switchover = arg;
    struct scheduler_provisioned state;
    scheduler_provisioned(switchover->switcher->scheduler, switchover->draft, &state);
    if (state.ready > 0) {
        commit(switchover);
    } else if (state.has_failed) {
        error_set(&switchover->why, -EINVAL,
                  "An instance with the new model failed to start; the function's log says "
                  "why");
        refuse(switchover);
    } else if (loop_now_ms(switchover->switcher->loop) > switchover->give_up_ms) {
        error_set(&switchover->why, -ETIME, "An instance with the new model was not ready in %d s",
                  SWITCH_WARM_MAX_MS / 1000);
        refuse(switchover);
    } else {
        wait_for(switchover, POLL_MS, warming);
    }
}

/* lamina-model answers {} with what it takes; its first answer is the proof that it is warm, too. */
static void warm(void *arg)
{
    struct switchover *switchover = arg;
    switchover->give_up_ms = loop_now_ms(switchover->switcher->loop) + SWITCH_WARM_MAX_MS;
    switchover->is_warm = true;
    scheduler_set_provisioned(switchover->switcher->scheduler, switchover->draft, 1);
    if (switchover->draft->code.forking != VERSION_FORKING_ALWAYS)
        warming(switchover);
    else if (ask(switchover, switchover->draft, new_answered) < 0)
        refuse(switchover);
}

static void begin(void *arg)
{
    struct switchover *switchover = arg;
    if (catalog_prepare(switchover->switcher->catalog, switchover->draft, CATALOG_PREPARED, warm,
                        switchover) == 0)
        warm(switchover);
}

static int start(struct switcher *switcher, struct version *draft, bool is_settling,
                 void (*done)(void *arg, const struct switch_result *result), void *arg)
{
    const struct function *function = catalog_function(switcher->catalog, draft->name);
    if (switch_is_running(switcher, draft->name))
        return -EBUSY;
    if (!function || !function->live)
        return -ENOENT;
    struct switchover *switchover =
        switcher->count < SWITCHES_MAX ? mem_new(struct switchover) : NULL;
    if (!switchover)
        return switcher->count < SWITCHES_MAX ? -ENOMEM : -EAGAIN;
    switchover->switcher = switcher;
    switchover->draft = draft;
    switchover->is_settling = is_settling;
    switchover->old = version_ref(function->live);
    memcpy(switchover->revision_id, function->latest->revision_id, UUID_SIZE);
    switchover->done = done;
    switchover->arg = arg;
    if (loop_timer_start(switcher->loop, &switchover->timer, 0, begin, switchover) < 0) {
        version_unref(switchover->old);
        free(switchover);
        return -ENOMEM;
    }
    list_add_last(&switcher->all, &switchover->link);
    switcher->count++;
    return 0;
}

int switch_start(struct switcher *switcher, struct version *draft,
                 void (*done)(void *arg, const struct switch_result *result), void *arg)
{
    return start(switcher, draft, false, done, arg);
}

int switch_settle(struct switcher *switcher, struct version *draft,
                  void (*done)(void *arg, const struct switch_result *result), void *arg)
{
    return start(switcher, draft, true, done, arg);
}
