/* SPDX-License-Identifier: MIT
 *
 * ListVersionsByFunction: $LATEST, then the published ones, ascending. The marker is the last item's
 * qualifier.
 */

#include "api/call.h"
#include "api/function_shape.h"
#include "api/operations.h"
#include "function/catalog.h"

static void append(struct buf *json, const struct version *version, size_t *n)
{
    if ((*n)++)
        buf_append_byte(json, ',');
    function_shape_append(json, version, version->qualifier, FUNCTION_SHAPE_LIST_ITEM);
}

static void answer(struct call *call, const struct function *function, size_t page,
                   const char *marker)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    const char *last = NULL;
    uint64_t after = call_marker_number(marker);
    size_t n = 0;
    bool is_more = false;
    buf_append_text(&json, "{\"Versions\":[");
    if (marker[0] == '\0') {
        append(&json, function->latest, &n);
        last = function->latest->qualifier;
    }
    for (size_t i = 0; i < function->n_published && !is_more; i++) {
        const struct version *version = function->published[i];
        if (version_number(version) <= after)
            continue;
        is_more = n == page;
        if (!is_more) {
            append(&json, version, &n);
            last = version->qualifier;
        }
    }
    buf_append_byte(&json, ']');
    if (is_more)
        call_append_marker(&json, last);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

void lambda_versions(struct call *call)
{
    struct function_name name;
    size_t page;
    char marker[32];
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, &name);
    if (r == 0)
        r = call_paging(call, &page, marker, sizeof(marker));
    struct function *function =
        r == 0 ? catalog_function(call->api->config.catalog, name.name) : NULL;
    if (r == 0 && !function)
        r = call_no_function(call, &name);
    if (r < 0)
        call_fail(call);
    else
        answer(call, function, page, marker);
}
