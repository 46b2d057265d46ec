/* SPDX-License-Identifier: MIT */

#include "function/change.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "function/catalog_data.h"
#include "function/settle.h"
#include "meta/registry.h"

struct change {
    struct catalog *catalog;   /* borrowed */
    struct function *function; /* the catalog's; its `change` points back here */
    struct change_plan plan;   /* owns its versions and tags until they are handed over */
    void (*done)(void *arg, const struct error *err);
    void *arg;
    bool is_warmed; /* something of plan.latest was started ahead */
};

/* The rows of one commit. */
struct batch {
    struct registry_operation *operations;
    char (*keys)[ROW_KEY_MAX];
    size_t n;
    char *function_json;
    char *version_json;
};

static struct change *change_new(struct catalog *catalog, struct function *function)
{
    struct change *change = mem_new(struct change);
    if (!change)
        return NULL;
    change->catalog = catalog;
    change->function = function;
    function->change = change;
    return change;
}

int change_begin_create(struct catalog *catalog, const char *name, struct change **ret_change)
{
    struct function *function = function_new(name);
    if (!function)
        return -ENOMEM;
    function->is_new = true;
    int r = catalog_insert(catalog, function);
    if (r < 0) {
        function_free(function);
        return r;
    }
    struct change *change = change_new(catalog, function);
    if (!change) {
        catalog_remove(catalog, function);
        return -ENOMEM;
    }
    *ret_change = change;
    return 0;
}

int change_begin(struct catalog *catalog, const char *name, struct change **ret_change)
{
    struct function *function = catalog_function(catalog, name);
    if (!function)
        return -ENOENT;
    if (function->change)
        return -EBUSY;
    struct change *change = change_new(catalog, function);
    if (!change)
        return -ENOMEM;
    *ret_change = change;
    return 0;
}

static void plan_done(struct change_plan *plan)
{
    version_unref(plan->latest);
    version_unref(plan->publish);
    version_unref(plan->replace);
    attachment_free(plan->attach);
    free((char *) (uintptr_t) plan->tags_json);
    free((char *) (uintptr_t) plan->detach_qualifier);
}

void change_abort(struct change *change)
{
    if (!change)
        return;
    change->function->change = NULL;
    if (change->is_warmed)
        catalog_retire(change->catalog, change->plan.latest);
    if (change->function->is_new)
        catalog_remove(change->catalog, change->function);
    plan_done(&change->plan);
    free(change);
}

struct function *change_function(const struct change *change)
{
    return change->function;
}

static void batch_done(struct batch *batch)
{
    free(batch->operations);
    free(batch->keys);
    free(batch->function_json);
    free(batch->version_json);
}

static struct registry_operation *batch_add(struct batch *batch, enum registry_verb verb,
                                            const char *kind, int64_t expected_revision)
{
    struct registry_operation *operation = &batch->operations[batch->n];
    operation->verb = verb;
    operation->kind = kind;
    operation->key = batch->keys[batch->n];
    operation->expected_revision = expected_revision;
    batch->n++;
    return operation;
}

static void name_version(struct batch *batch, const char *name, uint64_t number)
{
    (void) snprintf(batch->keys[batch->n], ROW_KEY_MAX, "%s:%llu", name,
                    (unsigned long long) number);
}

static void name_attachment(struct batch *batch, const char *name, const char *qualifier)
{
    (void) snprintf(batch->keys[batch->n], ROW_KEY_MAX, "%s:%s", name, qualifier);
}

static void name_function(struct batch *batch, const char *name)
{
    (void) snprintf(batch->keys[batch->n], ROW_KEY_MAX, "%s", name);
}

/* All of it goes: the rows of versions and attachments, and the function's own. */
static void batch_drop_function(struct batch *batch, const struct function *function)
{
    for (size_t i = 0; i < function->n_published; i++) {
        name_version(batch, function->name, version_number(function->published[i]));
        (void) batch_add(batch, REGISTRY_DELETE, KIND_VERSION, REGISTRY_ANY);
    }
    for (size_t i = 0; i < function->n_attachments; i++) {
        const struct attachment *attachment = function->attachments[i];
        name_attachment(batch, function->name, attachment->qualifier);
        (void) batch_add(batch, REGISTRY_DELETE, attachment_kind_name(attachment->kind),
                         REGISTRY_ANY);
    }
    name_function(batch, function->name);
    (void) batch_add(batch, REGISTRY_DELETE, KIND_FUNCTION, function->revision);
}

static int batch_put_function(struct batch *batch, const struct change *change)
{
    const struct function *function = change->function;
    const struct change_plan *plan = &change->plan;
    const struct version *latest = plan->latest ? plan->latest : function->latest;
    const struct version *live = plan->latest && plan->is_serving ? latest : function->live;
    uint64_t next = function->next_number + (plan->publish ? 1 : 0);
    size_t size;
    batch->function_json = function_to_json(
        latest, live, next, plan->tags_json ? plan->tags_json : function->tags_json, &size);
    if (!batch->function_json)
        return -ENOMEM;
    name_function(batch, function->name);
    struct registry_operation *put =
        batch_add(batch, REGISTRY_PUT, KIND_FUNCTION,
                  function->is_new ? REGISTRY_ABSENT : function->revision);
    put->value = batch->function_json;
    put->value_size = size;
    return 0;
}

static int batch_put_version(struct batch *batch, const struct change *change,
                             const struct version *version, int64_t expected_revision)
{
    size_t size;
    batch->version_json = version_to_json(version, &size);
    if (!batch->version_json)
        return -ENOMEM;
    name_version(batch, change->function->name, version_number(version));
    struct registry_operation *put =
        batch_add(batch, REGISTRY_PUT, KIND_VERSION, expected_revision);
    put->value = batch->version_json;
    put->value_size = size;
    return 0;
}

/* What hangs on a version or an alias goes with it; a URL stays, as AWS has it. */
static const enum attachment_kind dependents[] = {
    ATTACHMENT_POLICY,
    ATTACHMENT_EVENT_INVOKE,
    ATTACHMENT_PROVISIONED,
};

static void batch_detach(struct batch *batch, const char *name, enum attachment_kind kind,
                         const char *qualifier)
{
    name_attachment(batch, name, qualifier);
    (void) batch_add(batch, REGISTRY_DELETE, attachment_kind_name(kind), REGISTRY_ANY);
}

static void batch_detach_dependents(struct batch *batch, const char *name, const char *qualifier)
{
    for (size_t i = 0; i < ARRAY_SIZE(dependents); i++)
        batch_detach(batch, name, dependents[i], qualifier);
}

static void batch_attachments(struct batch *batch, const struct change *change)
{
    const struct change_plan *plan = &change->plan;
    const char *name = change->function->name;
    if (plan->is_detaching) {
        batch_detach(batch, name, plan->detach_kind, plan->detach_qualifier);
        if (plan->detach_kind == ATTACHMENT_ALIAS)
            batch_detach_dependents(batch, name, plan->detach_qualifier);
    }
    if (plan->attach) {
        name_attachment(batch, name, plan->attach->qualifier);
        struct registry_operation *put =
            batch_add(batch, REGISTRY_PUT, attachment_kind_name(plan->attach->kind), REGISTRY_ANY);
        put->value = plan->attach->json;
        put->value_size = strlen(plan->attach->json);
    }
}

static void batch_drop_version(struct batch *batch, const struct change *change)
{
    const char *name = change->function->name;
    char qualifier[24];
    (void) snprintf(qualifier, sizeof(qualifier), "%llu",
                    (unsigned long long) change->plan.drop_number);
    name_version(batch, name, change->plan.drop_number);
    (void) batch_add(batch, REGISTRY_DELETE, KIND_VERSION, REGISTRY_ANY);
    batch_detach_dependents(batch, name, qualifier);
}

static int batch_fill(struct batch *batch, const struct change *change)
{
    const struct change_plan *plan = &change->plan;
    size_t rows = 8 + change->function->n_published + change->function->n_attachments;
    batch->operations = calloc(rows, sizeof(*batch->operations));
    batch->keys = calloc(rows, sizeof(*batch->keys));
    if (!batch->operations || !batch->keys)
        return -ENOMEM;
    if (plan->drop_function) {
        batch_drop_function(batch, change->function);
        return 0;
    }
    if (plan->drop_number) {
        batch_drop_version(batch, change);
        return 0;
    }
    batch_attachments(batch, change);
    int r = 0;
    if (plan->latest || plan->publish || plan->tags_json)
        r = batch_put_function(batch, change);
    if (r == 0 && plan->publish)
        r = batch_put_version(batch, change, plan->publish, REGISTRY_ABSENT);
    else if (r == 0 && plan->replace)
        r = batch_put_version(batch, change, plan->replace, REGISTRY_ANY);
    return r;
}

static void detach_dependents(struct change *change, const char *qualifier)
{
    for (size_t i = 0; i < ARRAY_SIZE(dependents); i++)
        catalog_detach(change->catalog, change->function, dependents[i], qualifier);
}

/* What the catalog shows from now on. Nothing here can fail. */
static void apply_versions(struct change *change)
{
    struct function *function = change->function;
    struct change_plan *plan = &change->plan;
    const struct version *published = plan->publish;
    if (plan->publish)
        function_add_published(function, TAKE_PTR(plan->publish));
    if (plan->replace) {
        version_unref(function_remove_published(function, version_number(plan->replace)));
        function_add_published(function, TAKE_PTR(plan->replace));
    }
    if (plan->is_detaching) {
        catalog_detach(change->catalog, function, plan->detach_kind, plan->detach_qualifier);
        if (plan->detach_kind == ATTACHMENT_ALIAS)
            detach_dependents(change, plan->detach_qualifier);
    }
    if (plan->attach)
        catalog_attach(change->catalog, function, TAKE_PTR(plan->attach));
    if (plan->tags_json) {
        free(function->tags_json);
        function->tags_json = (char *) (uintptr_t) TAKE_PTR(plan->tags_json);
    }
    if (published)
        catalog_appear(change->catalog, published);
    if (!plan->latest)
        return;
    struct version *old_live = NULL;
    version_unref(function->latest);
    function->latest = TAKE_PTR(plan->latest);
    if (plan->is_serving) {
        old_live = function->live;
        function->live = version_ref(function->latest);
    }
    if (plan->is_serving && (!old_live || old_live->execution_id != function->live->execution_id))
        catalog_appear(change->catalog, function->live);
    if (old_live && old_live->execution_id != function->live->execution_id)
        catalog_retire(change->catalog, old_live);
    version_unref(old_live);
}

static void apply_drop_version(struct change *change)
{
    struct version *version = function_remove_published(change->function, change->plan.drop_number);
    detach_dependents(change, version->qualifier);
    catalog_retire(change->catalog, version);
    version_unref(version);
}

static void apply_drop_function(struct change *change)
{
    struct function *function = change->function;
    /* Hidden before the listener hears of it: it must not find what it is told is gone. */
    function->is_new = true;
    catalog_retire(change->catalog, function->live);
    for (size_t i = 0; i < function->n_published; i++)
        catalog_retire(change->catalog, function->published[i]);
    catalog_remove(change->catalog, function);
    change->function = NULL;
}

static void change_apply(struct change *change, int64_t revision)
{
    if (change->plan.drop_function) {
        apply_drop_function(change);
        return;
    }
    if (change->plan.drop_number) {
        apply_drop_version(change);
        return;
    }
    if (change->plan.latest || change->plan.publish || change->plan.tags_json)
        change->function->revision = revision;
    change->function->is_new = false;
    apply_versions(change);
}

/* The end of a change, with the registry's verdict. */
static void change_finish(struct change *change, const struct error *err, int64_t revision)
{
    void (*done)(void *arg, const struct error *err) = change->done;
    void *arg = change->arg;
    if (err) {
        change_abort(change);
    } else {
        change_apply(change, revision);
        if (change->function)
            change->function->change = NULL;
        plan_done(&change->plan);
        free(change);
    }
    done(arg, err);
}

static void change_committed(void *arg, const struct registry_result *result)
{
    change_finish(arg, result->err, result->revision);
}

static int change_submit(struct change *change)
{
    struct batch batch = {0};
    const struct change_plan *plan = &change->plan;
    bool is_incomplete = (plan->latest && plan->latest->is_incomplete) ||
                         (plan->publish && plan->publish->is_incomplete) ||
                         (plan->replace && plan->replace->is_incomplete);
    int r = is_incomplete ? -ENOMEM : 0;
    if (r == 0 && plan->publish)
        r = function_reserve_published(change->function);
    if (r == 0 && plan->attach)
        r = function_reserve_attachment(change->function);
    if (r == 0)
        r = batch_fill(&batch, change);
    if (r == 0)
        r = registry_commit(change->catalog->registry, batch.operations, batch.n, change_committed,
                            change);
    batch_done(&batch);
    return r;
}

/* After a wait: whoever asked has gone on, and is told by `done`. */
static void change_go_on(void *arg)
{
    struct change *change = arg;
    struct error err = {0};
    int r = change_submit(change);
    if (r == 0)
        return;
    void (*done)(void *, const struct error *) = change->done;
    void *done_arg = change->arg;
    change_abort(change);
    (void) error_set_errno(&err, r, "commit a prepared function");
    done(done_arg, &err);
}

/* What serves is replaced: first something of the new snapshot stands beside it. True: the commit goes on then. */
static bool change_warm(struct change *change)
{
    const struct change_plan *plan = &change->plan;
    const struct version *live = change->function->live;
    if (!plan->latest || plan->latest->is_incomplete || !plan->is_serving || !live ||
        live->execution_id == plan->latest->execution_id)
        return false;
    change->is_warmed = true;
    return catalog_replace(change->catalog, live, plan->latest, change_go_on, change);
}

/* Does what serves run the very code and configuration of the new $LATEST? */
static bool is_same_execution(const struct change *change)
{
    const struct version *live = change->function->live;
    return live && live->execution_id == change->plan.latest->execution_id;
}

static void change_prepared(void *arg)
{
    struct change *change = arg;
    struct change_plan *plan = &change->plan;
    /* Instances of it may run with the model as it is: never beside others with the form. */
    if (version_prepared_is_chosen(plan->latest) && is_same_execution(change))
        version_renew_execution(plan->latest);
    /* A version that is published in the same step is the same code. */
    if (plan->publish)
        plan->publish->prepared = plan->latest->prepared;
    if (!change_warm(change))
        change_go_on(change);
}

/* How long the commit waits for the model's form. A published version never changes its bits, and an old version serves while
 * its successor is prepared: as long as it takes. A new function with a large model serves it as it is (settle.h); what is
 * waited for then is only whether the form is known already. */
static int64_t prepare_wait_ms(const struct change *change)
{
    const struct version *latest = change->plan.latest;
    uint64_t bytes = latest->model.has_tree
                         ? latest->model.bytes
                         : latest->code.tree_bytes + version_layers_bytes(latest);
    if (change->plan.publish || change->function->live)
        return CATALOG_PREPARED;
    return bytes > SETTLE_BYTES ? SETTLE_LOOK_MS : SETTLE_WAIT_MS;
}

/* 1: the commit goes on when the model is prepared. */
static int change_prepare(struct change *change)
{
    struct version *latest = change->plan.latest;
    if (!latest || latest->refs != 1 || (is_same_execution(change) && !change->plan.publish))
        return 0;
    return catalog_prepare(change->catalog, latest, prepare_wait_ms(change), change_prepared,
                           change);
}

int change_commit(struct change *change, const struct change_plan *plan,
                  void (*done)(void *arg, const struct error *err), void *arg)
{
    assert(!plan->publish || !plan->replace);
    assert(!plan->replace || function_published(change->function, version_number(plan->replace)));
    assert(!plan->publish || version_number(plan->publish) == change->function->next_number);
    change->plan = *plan;
    change->plan.tags_json = plan->tags_json ? mem_copy_text(plan->tags_json) : NULL;
    change->plan.detach_qualifier =
        plan->detach_qualifier ? mem_copy_text(plan->detach_qualifier) : NULL;
    change->done = done;
    change->arg = arg;
    bool is_copied = (!plan->tags_json || change->plan.tags_json) &&
                     (!plan->detach_qualifier || change->plan.detach_qualifier);
    int r = is_copied ? change_prepare(change) : -ENOMEM;
    if (r == 0 && change_warm(change))
        return 0;
    if (r == 0)
        r = change_submit(change);
    if (r < 0)
        change_abort(change);
    return r < 0 ? r : 0;
}
