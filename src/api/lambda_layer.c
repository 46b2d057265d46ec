/* SPDX-License-Identifier: MIT
 *
 * GetLayerVersion, GetLayerVersionByArn, DeleteLayerVersion.
 */

#include <errno.h>

#include "api/layer_name.h"
#include "api/layer_shape.h"
#include "api/operations.h"
#include "api/validation.h"
#include "deploy/deploy.h"

static void answer(struct call *call, struct str name, uint64_t number)
{
    const struct layer_version *version =
        layers_find_version(call->api->config.layers, name, number);
    if (!version) {
        call_fail_with(call, AWS_RESOURCE_NOT_FOUND, "The resource you requested does not exist.");
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    if (layer_shape_append(call, &json, version) < 0)
        json.failure = json.failure ? json.failure : -ENOMEM;
    call_answer_json(call, 200, &json);
}

void lambda_get_layer(struct call *call)
{
    struct str name;
    uint64_t number;
    if (layer_labels(call, &name, &number) < 0)
        call_fail(call);
    else
        answer(call, name, number);
}

static int read_arn(struct call *call, struct layer_arn *ret_arn)
{
    AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
    struct str text;
    int r = call_query(call, "Arn", &text);
    if (r < 0)
        return r;
    if (!text.data)
        validation_add_null(&validation, "arn");
    else if (layer_arn_parse(text, ret_arn) < 0)
        validation_add(&validation, text, "arn",
                       "satisfy regular expression pattern: " LAYER_VERSION_ARN_PATTERN);
    return validation_finish(&validation, AWS_VALIDATION, &call->error);
}

void lambda_get_layer_by_arn(struct call *call)
{
    struct layer_arn arn;
    if (read_arn(call, &arn) < 0) {
        call_fail(call);
        return;
    }
    bool is_here = str_equal_text(arn.region, call->api->region) &&
                   str_equal_text(arn.account, call->api->account);
    answer(call, is_here ? arn.name : STR(""), arn.number);
}

static void deleted(void *arg, const struct layer_version *version, const struct error *err)
{
    struct call *call = arg;
    (void) version;
    if (err) {
        call_fail_internal(call, "api.delete_layer", err);
        return;
    }
    deploy_collect_soon(call->api->config.deploy);
    call_answer_empty(call, 204);
}

/* Functions that have it go on: they hold the trees themselves. */
void lambda_delete_layer(struct call *call)
{
    struct error err = {0};
    struct str name;
    uint64_t number;
    if (layer_labels(call, &name, &number) < 0) {
        call_fail(call);
        return;
    }
    int r = layers_delete(call->api->config.layers, name, number, deleted, call);
    if (r == -ENOENT) {
        call_answer_empty(call, 204);
    } else if (r < 0) {
        (void) error_set_errno(&err, r, "delete a layer version");
        call_fail_internal(call, "api.delete_layer", &err);
    }
}
