/* SPDX-License-Identifier: MIT
 *
 * GetFunction and GetFunctionConfiguration.
 */

#include <string.h>

#include "api/code_location.h"
#include "api/function_shape.h"
#include "api/operations.h"
#include "function/catalog.h"

static int find(struct call *call, struct function_name *ret_name,
                const struct version **ret_version)
{
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, ret_name);
    if (r < 0)
        return r;
    r = catalog_describe(call->api->config.catalog, ret_name->name, ret_name->qualifier,
                         ret_version);
    return r < 0 ? call_no_function(call, ret_name) : 0;
}

void lambda_get_configuration(struct call *call)
{
    struct function_name name;
    const struct version *version;
    if (find(call, &name, &version) < 0) {
        call_fail(call);
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    function_shape_append(&json, version, name.qualifier, FUNCTION_SHAPE_WHOLE);
    call_answer_json(call, 200, &json);
}

void lambda_get(struct call *call)
{
    struct function_name name;
    const struct version *version;
    if (find(call, &name, &version) < 0) {
        call_fail(call);
        return;
    }
    const struct function *function = catalog_function(call->api->config.catalog, name.name);
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_append_text(&json, "{\"Configuration\":");
    function_shape_append(&json, version, name.qualifier, FUNCTION_SHAPE_WHOLE);
    buf_append_text(&json, ",\"Code\":{\"RepositoryType\":\"S3\",\"Location\":");
    if (code_location_append(call, version, &json) < 0)
        json.failure = json.failure ? json.failure : -1;
    buf_append_byte(&json, '}');
    if (function->tags_json && strcmp(function->tags_json, "{}") != 0)
        buf_printf(&json, ",\"Tags\":%s", function->tags_json);
    const struct attachment *reserved = function_attachment(function, ATTACHMENT_RESERVED, "");
    if (reserved && name.qualifier[0] == '\0')
        buf_printf(&json, ",\"Concurrency\":%s", reserved->json);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}
