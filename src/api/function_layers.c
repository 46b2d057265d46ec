/* SPDX-License-Identifier: MIT */

#include "api/function_layers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/layer_name.h"
#include "api/member.h"
#include "api/rights.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "deploy/merge.h"

_Static_assert(VERSION_LAYERS_MAX == LIMIT_LAYERS_MAX, "one limit for layers");

static int refuse_arn(struct call *call, struct str text)
{
    return aws_error_set(
        &call->error, AWS_VALIDATION,
        "1 validation error detected: Value '[" STR_FORMAT
        "]' at 'layers' failed to satisfy constraint: Member must satisfy constraint: [Member must "
        "have length less than or equal to 140, Member must have length greater than or equal to "
        "1, "
        "Member must satisfy regular expression pattern: (" LAYER_VERSION_ARN_PATTERN
        ")|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+), Member must not be null]",
        STR_ARGUMENTS(str_part(text, 0, 160)));
}

static int no_version(struct call *call, struct str text)
{
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                         "Layer version " STR_FORMAT " does not exist.", STR_ARGUMENTS(text));
}

static int check_place(struct call *call, const struct layer_arn *arn, struct str text)
{
    char identity[RIGHTS_ARN_BYTES];
    char user_id[RIGHTS_ARN_BYTES];
    if (!str_equal_text(arn->account, call->api->account)) {
        rights_identity(call, identity, user_id);
        return aws_error_set(&call->error, AWS_ACCESS_DENIED,
                             "User: %s is not authorized to perform: lambda:GetLayerVersion on "
                             "resource: " STR_FORMAT " because no resource-based policy allows the "
                             "lambda:GetLayerVersion action",
                             identity, STR_ARGUMENTS(text));
    }
    if (!str_equal_text(arn->region, call->api->region))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Layers are not in the same region as the function. Layers are "
                             "expected to be in region %s.",
                             call->api->region);
    return 0;
}

static int check_twice(struct call *call, const struct version *draft, struct str text)
{
    const struct version_layer *last = &draft->layers[draft->n_layers - 1];
    AUTO_BUF struct buf first = BUF_INIT(512);
    for (size_t i = 0; i + 1 < draft->n_layers; i++) {
        if (strcmp(draft->layers[i].name, last->name) != 0)
            continue;
        layer_arn_append(&first, call->api, last->name, draft->layers[i].number);
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Two different versions of the same layer are not allowed to be "
                             "referenced in the same function. " STR_FORMAT " and " STR_FORMAT
                             " are versions of the same layer.",
                             STR_ARGUMENTS(buf_str(&first)), STR_ARGUMENTS(text));
    }
    return 0;
}

/* A version that was deleted stays with a function until its layers are named anew, as AWS has it. */
static int add_layer(struct call *call, struct version *draft, struct str text)
{
    struct layer_arn arn;
    if (layer_arn_parse(text, &arn) < 0)
        return refuse_arn(call, text);
    int r = check_place(call, &arn, text);
    if (r < 0)
        return r;
    const struct layer_version *version =
        layers_find_version(call->api->config.layers, arn.name, arn.number);
    if (!version)
        return no_version(call, text);
    r = rights_check_layer(call, version->name, version->number);
    if (r < 0)
        return r;
    struct version_layer *layer = &draft->layers[draft->n_layers++];
    memcpy(layer->name, version->name, sizeof(layer->name));
    layer->number = version->number;
    layer->zip_bytes = version->zip_bytes;
    layer->tree_bytes = version->tree_bytes;
    memcpy(layer->tree_id, version->tree_id, sizeof(layer->tree_id));
    return check_twice(call, draft, text);
}

static int add_all(struct call *call, struct version *draft, yyjson_val *array)
{
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(array, &iter);
    yyjson_val *item;
    memset(draft->layers, 0, sizeof(draft->layers));
    draft->n_layers = 0;
    draft->has_opt_tree = false;
    draft->has_extensions = false;
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        if (!yyjson_is_str(item))
            return member_wrong_type(&call->error, item, "a String");
        int r = add_layer(call, draft, json_str(item));
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_size(struct call *call, const struct version *draft)
{
    struct error err = {0};
    if (function_layers_check_size(call->api, draft, &err) == 0)
        return 0;
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE, "%s", err.text);
}

int function_layers_read(struct call *call, struct version *draft)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    yyjson_val *array;
    struct version_layer before[VERSION_LAYERS_MAX];
    size_t n_before = draft->n_layers;
    bool had_tree = draft->has_opt_tree;
    bool had_extensions = draft->has_extensions;
    int r = member_array(&reader, "Layers", &array);
    if (r < 0 || !array)
        return r;
    if (yyjson_arr_size(array) > LIMIT_LAYERS_MAX)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Cannot reference more than %d layers.", LIMIT_LAYERS_MAX);
    memcpy(before, draft->layers, sizeof(before));
    r = add_all(call, draft, array);
    if (r == 0)
        r = check_size(call, draft);
    /* opt_tree_id is still there: the same layers are the same tree. */
    draft->has_opt_tree = had_tree && draft->n_layers == n_before &&
                          memcmp(before, draft->layers, sizeof(before)) == 0;
    draft->has_extensions = draft->has_opt_tree && had_extensions;
    return r;
}

bool function_layers_are_open(const struct version *draft)
{
    return draft->n_layers > 0 && !draft->has_opt_tree;
}

/* The call waits in a merge; who asked for it. */
struct merging {
    struct call *call;
    void (*done)(struct call *call, struct deploy_result *result);
};

static void merged(void *arg, struct deploy_result *result)
{
    struct merging merging = *(struct merging *) arg;
    free(arg);
    merging.done(merging.call, result);
}

int function_layers_merge(struct call *call, const struct version *draft,
                          void (*done)(struct call *call, struct deploy_result *result))
{
    struct digest trees[VERSION_LAYERS_MAX];
    struct merging *merging = mem_new(struct merging);
    int r = -ENOMEM;
    for (size_t i = 0; i < draft->n_layers; i++)
        memcpy(trees[i].bytes, draft->layers[i].tree_id, DIGEST_BYTES);
    if (merging) {
        *merging = (struct merging){call, done};
        r = deploy_merge_start(call->api->config.deploy, trees, draft->n_layers, merged, merging);
    }
    if (r == 0)
        return 0;
    free(merging);
    return aws_error_set_reason(&call->error, AWS_TOO_MANY_REQUESTS, "CallerRateLimitExceeded",
                                "Rate Exceeded.");
}

void function_layers_fill(struct version *draft, const struct deploy_result *result)
{
    memcpy(draft->opt_tree_id, result->tree_id.bytes, DIGEST_BYTES);
    draft->has_opt_tree = true;
    draft->has_extensions = result->has_extensions;
}

int function_layers_check_size(const struct api *api, const struct version *draft,
                               struct error *err)
{
    uint64_t layers = version_layers_bytes(draft);
    uint64_t all = layers + draft->code.tree_bytes;
    if (draft->n_layers == 0 || all <= (uint64_t) LIMIT_ZIP_UNPACKED_MAX)
        return 0;
    if (api->config.limits == API_LIMITS_WARN)
        log_warn("deploy.beyond_aws", "function=%s unzipped_bytes=%llu", draft->name,
                 (unsigned long long) all);
    if (api->config.limits != API_LIMITS_ENFORCE)
        return 0;
    if (layers > (uint64_t) LIMIT_ZIP_UNPACKED_MAX)
        return error_set(err, -EFBIG, "Layers consume more than the available size of %lld bytes",
                         (long long) LIMIT_ZIP_UNPACKED_MAX);
    return error_set(err, -EFBIG,
                     "Function code combined with layers exceeds the maximum allowed size of %lld "
                     "bytes. The actual size is %llu bytes.",
                     (long long) LIMIT_ZIP_UNPACKED_MAX, (unsigned long long) all);
}
