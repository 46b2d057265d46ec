/* SPDX-License-Identifier: MIT
 *
 * POST /lamina/v1/functions/NAME/stop?cache=warm|cold&spares=end|keep: ends the function's idle instances, so that the
 * next call is a cold start: a fork of the template where there is one, or a spare if they are kept. With cache=cold
 * the templates end too, and its files and its model's prepared form leave the page cache and lamina-cache. For `lamina compare`.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/operations.h"
#include "api/validation.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "deploy/held.h"
#include "function/catalog.h"
#include "function/scheduler.h"
#include "function/version.h"
#include "store/store.h"

struct stopping {
    struct call *call;
    struct store *store;
    struct digest trees[2]; /* the package's, the layers' */
    size_t n_trees;
    struct digest models[2]; /* the prepared form's object, the model's own */
    size_t n_models;
    bool is_cold, keeps_spares;
    unsigned stopped;
    int result;
    struct error err;
};

static void answer(struct stopping *stopping)
{
    struct call *call = stopping->call;
    struct buf json = BUF_INIT(1024);
    if (stopping->result < 0) {
        call_fail_internal(call, "api.stop", &stopping->err);
    } else {
        buf_printf(&json, "{\"stopped\":%u,\"cache\":\"%s\"}", stopping->stopped,
                   stopping->is_cold ? "cold" : "warm");
        call_answer_json(call, 200, &json);
    }
    free(stopping);
}

static void drop(void *arg)
{
    struct stopping *stopping = arg;
    for (size_t i = 0; i < stopping->n_trees && stopping->result == 0; i++)
        stopping->result =
            store_tree_drop_cache(stopping->store, &stopping->trees[i], &stopping->err);
    for (size_t i = 0; i < stopping->n_models && stopping->result == 0; i++)
        stopping->result =
            store_blob_drop_cache(stopping->store, &stopping->models[i], &stopping->err);
}

static void dropped(void *arg, int status)
{
    struct stopping *stopping = arg;
    if (status < 0)
        stopping->result = error_set_errno(&stopping->err, status, "drop the page cache");
    answer(stopping);
}

/* Only now: a page that a running instance maps cannot leave the cache. */
static void stopped(void *arg, unsigned n)
{
    struct stopping *stopping = arg;
    stopping->stopped = n;
    for (size_t i = 0; i < stopping->n_models && stopping->is_cold; i++)
        held_drop(stopping->call->api->config.held, &stopping->models[i]);
    if (!stopping->is_cold || stopping->n_trees == 0)
        answer(stopping);
    else if (job_submit(stopping->call->api->jobs, drop, dropped, stopping) < 0)
        dropped(stopping, -EAGAIN);
}

static int read_query(struct call *call, struct stopping *stopping)
{
    AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
    struct str cache, spares;
    int r = call_query(call, "cache", &cache);
    if (r == 0)
        r = call_query(call, "spares", &spares);
    if (r < 0)
        return r;
    stopping->is_cold = str_equal(cache, STR("cold"));
    stopping->keeps_spares = str_equal(spares, STR("keep"));
    if (cache.data && !stopping->is_cold && !str_equal(cache, STR("warm")))
        validation_add(&validation, cache, "cache", "satisfy enum value set: [warm, cold]");
    if (spares.data && !stopping->keeps_spares && !str_equal(spares, STR("end")))
        validation_add(&validation, spares, "spares", "satisfy enum value set: [end, keep]");
    return validation_finish(&validation, AWS_VALIDATION, &call->error);
}

static int begin(struct call *call, struct function_name *ret_name, struct stopping *stopping)
{
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, ret_name);
    if (r == 0)
        r = read_query(call, stopping);
    if (r < 0)
        return r;
    const struct function *function = catalog_function(call->api->config.catalog, ret_name->name);
    if (!function)
        return call_no_function(call, ret_name);
    if (function->live)
        memcpy(stopping->trees[stopping->n_trees++].bytes, function->live->code.tree_id,
               DIGEST_BYTES);
    if (function->live && function->live->has_opt_tree)
        memcpy(stopping->trees[stopping->n_trees++].bytes, function->live->opt_tree_id,
               DIGEST_BYTES);
    if (function->live && function->live->prepared.has_form)
        stopping->models[stopping->n_models++] = function->live->prepared.form;
    if (function->live && function->live->prepared.has_model)
        stopping->models[stopping->n_models++] = function->live->prepared.model;
    return 0;
}

void lamina_stop(struct call *call)
{
    struct function_name name;
    struct stopping *stopping = mem_new(struct stopping);
    if (!stopping) {
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    stopping->call = call;
    stopping->store = call->api->config.store;
    if (begin(call, &name, stopping) < 0) {
        free(stopping);
        call_fail(call);
        return;
    }
    enum scheduler_stop what = stopping->keeps_spares ? SCHEDULER_STOP_USED : SCHEDULER_STOP_IDLE;
    if (stopping->is_cold)
        what = SCHEDULER_STOP_TEMPLATES;
    scheduler_stop_idle(call->api->config.scheduler, str_of(name.name), what, stopped, stopping);
}
