/* SPDX-License-Identifier: MIT
 *
 * ListLayers (in the order of names, each with its newest version that the filters let through) and
 * ListLayerVersions (newest first). Markers are the last item's name or number.
 */

#include <stdio.h>
#include <string.h>

#include "api/function_settings.h"
#include "api/layer_name.h"
#include "api/layer_shape.h"
#include "api/operations.h"
#include "api/validation.h"

struct filter {
    struct str runtime; /* data == NULL: any */
    struct str architecture;
};

static int read_filter(struct call *call, struct filter *filter)
{
    AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
    int r = call_query(call, "CompatibleRuntime", &filter->runtime);
    if (r == 0)
        r = call_query(call, "CompatibleArchitecture", &filter->architecture);
    if (r < 0)
        return r;
    if (filter->runtime.data && !function_settings_is_runtime(filter->runtime))
        validation_add(&validation, filter->runtime, "compatibleRuntime",
                       "satisfy enum value set of Lambda's runtimes");
    if (filter->architecture.data && !str_equal(filter->architecture, STR("x86_64")) &&
        !str_equal(filter->architecture, STR("arm64")))
        validation_add(&validation, filter->architecture, "compatibleArchitecture",
                       "satisfy enum value set: [x86_64, arm64]");
    return validation_finish(&validation, AWS_VALIDATION, &call->error);
}

/* Is the text an item of the JSON array? A version that names none passes no filter, as AWS has it. The array is one that
 * we wrote, of words without anything to escape, and so is the filter's: nothing is parsed, of thousands of versions. */
static bool names(const char *array_json, struct str wanted)
{
    if (!wanted.data)
        return true;
    for (const char *at = array_json; at && (at = strchr(at, '"')) != NULL;) {
        const char *end = strchr(++at, '"');
        if (!end || str_equal(str_of_data(at, (size_t) (end - at)), wanted))
            return end != NULL;
        at = end + 1;
    }
    return false;
}

static bool passes(const struct filter *filter, const struct layer_version *version)
{
    return names(version->runtimes_json, filter->runtime) &&
           names(version->architectures_json, filter->architecture);
}

static const struct layer_version *newest(const struct layer *layer, const struct filter *filter)
{
    for (size_t i = layer->count; i-- > 0;)
        if (passes(filter, layer->versions[i]))
            return layer->versions[i];
    return NULL;
}

static void append_layer(const struct api *api, struct buf *json,
                         const struct layer_version *version)
{
    buf_printf(json, "{\"LayerName\":\"%s\",\"LayerArn\":\"", version->name);
    layer_arn_append(json, api, version->name, 0);
    buf_append_text(json, "\",\"LatestMatchingVersion\":");
    layer_shape_append_item(api, json, version);
    buf_append_byte(json, '}');
}

static void answer_layers(struct call *call, const struct filter *filter, size_t page,
                          const char *marker)
{
    const struct layers *layers = call->api->config.layers;
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    const char *last = NULL;
    bool is_more = false;
    size_t n = 0;
    buf_append_text(&json, "{\"Layers\":[");
    for (const struct layer *layer = layers_next(layers, marker); layer && !is_more;
         layer = layers_next(layers, layer->name)) {
        const struct layer_version *version = newest(layer, filter);
        if (!version)
            continue;
        is_more = n == page;
        if (is_more)
            break;
        buf_append_text(&json, n++ ? "," : "");
        append_layer(call->api, &json, version);
        last = layer->name;
    }
    buf_append_byte(&json, ']');
    if (is_more)
        call_append_marker(&json, last);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

void lambda_list_layers(struct call *call)
{
    struct filter filter;
    size_t page;
    char marker[VERSION_LAYER_NAME_MAX + 1];
    int r = read_filter(call, &filter);
    if (r == 0)
        r = call_paging(call, &page, marker, sizeof(marker));
    if (r < 0)
        call_fail(call);
    else
        answer_layers(call, &filter, page, marker);
}

static void answer_versions(struct call *call, const struct layer *layer,
                            const struct filter *filter, size_t page, uint64_t before)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    uint64_t last = 0;
    bool is_more = false;
    size_t n = 0;
    buf_append_text(&json, "{\"LayerVersions\":[");
    for (size_t i = layer ? layer->count : 0; i-- > 0 && !is_more;) {
        const struct layer_version *version = layer->versions[i];
        if ((before && version->number >= before) || !passes(filter, version))
            continue;
        is_more = n == page;
        if (is_more)
            break;
        buf_append_text(&json, n++ ? "," : "");
        layer_shape_append_item(call->api, &json, version);
        last = version->number;
    }
    buf_append_byte(&json, ']');
    if (is_more) {
        char text[24];
        (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) last);
        call_append_marker(&json, text);
    }
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

void lambda_list_layer_versions(struct call *call)
{
    struct filter filter;
    struct str name;
    size_t page;
    char marker[32];
    int r = layer_label(call, &name);
    if (r == 0)
        r = read_filter(call, &filter);
    if (r == 0)
        r = call_paging(call, &page, marker, sizeof(marker));
    if (r < 0)
        call_fail(call);
    else
        answer_versions(call, layers_find(call->api->config.layers, name), &filter, page,
                        call_marker_number(marker));
}
