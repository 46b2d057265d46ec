/* SPDX-License-Identifier: MIT */

#include "api/layer_shape.h"

#include <string.h>

#include "api/code_location.h"
#include "api/layer_name.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"

static void append_text(struct buf *json, const char *name, const char *text)
{
    if (!text)
        return;
    buf_printf(json, ",\"%s\":", name);
    json_append_string(json, str_of(text));
}

static void append_value(struct buf *json, const char *name, const char *value)
{
    if (value)
        buf_printf(json, ",\"%s\":%s", name, value);
}

void layer_shape_append_item(const struct api *api, struct buf *json,
                             const struct layer_version *version)
{
    char created[CLOCK_TEXT_MAX];
    buf_append_text(json, "{\"LayerVersionArn\":\"");
    layer_arn_append(json, api, version->name, version->number);
    buf_printf(json, "\",\"Version\":%llu,\"CreatedDate\":\"%s\"",
               (unsigned long long) version->number,
               clock_iso_lambda(version->created_ms, created));
    append_text(json, "Description", version->description);
    append_value(json, "CompatibleRuntimes", version->runtimes_json);
    append_value(json, "CompatibleArchitectures", version->architectures_json);
    append_text(json, "LicenseInfo", version->license);
    buf_append_byte(json, '}');
}

int layer_shape_append(struct call *call, struct buf *json, const struct layer_version *version)
{
    struct digest digest;
    char base64[DIGEST_BASE64_SIZE];
    memcpy(digest.bytes, version->zip_sha256, DIGEST_BYTES);
    buf_append_text(json, "{\"Content\":{\"Location\":");
    int r = code_location_append_digest(call, &digest, json);
    if (r < 0)
        return r;
    buf_printf(json, ",\"CodeSha256\":\"%s\",\"CodeSize\":%llu},\"LayerArn\":\"",
               digest_base64(&digest, base64), (unsigned long long) version->zip_bytes);
    layer_arn_append(json, call->api, version->name, 0);
    buf_append_text(json, "\",");
    /* The item without its brace. */
    AUTO_BUF struct buf item = BUF_INIT(CALL_JSON_MAX);
    layer_shape_append_item(call->api, &item, version);
    r = buf_status(&item);
    return r < 0 ? r : buf_append_str(json, str_skip(buf_str(&item), 1));
}
