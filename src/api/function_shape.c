/* SPDX-License-Identifier: MIT */

#include "api/function_shape.h"

#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"

static void member(struct buf *json, const char *name, const char *text)
{
    if (!text)
        return;
    buf_printf(json, ",\"%s\":", name);
    json_append_string(json, str_of(text));
}

static void number(struct buf *json, const char *name, uint64_t value)
{
    buf_printf(json, ",\"%s\":%llu", name, (unsigned long long) value);
}

static void append_environment(struct buf *json, const struct version *version)
{
    if (!version->has_environment)
        return;
    buf_append_text(json, ",\"Environment\":{\"Variables\":{");
    for (size_t i = 0; i < version->n_environment; i++) {
        if (i)
            buf_append_byte(json, ',');
        json_append_string(json, str_of(version->environment[i].name));
        buf_append_byte(json, ':');
        json_append_string(json, str_of(version->environment[i].value));
    }
    buf_append_text(json, "}}");
}

static bool has_passive(yyjson_val *passive, const char *name)
{
    return json_member(passive, name) != NULL;
}

/* Settings that are only kept, with AWS's defaults for those that were never given. */
static void append_passive(struct buf *json, const struct version *version)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    yyjson_val *passive = NULL;
    if (version->passive_json &&
        json_parse(str_of(version->passive_json), 1 << 20, &doc, NULL) == 0)
        passive = yyjson_doc_get_root(doc);
    if (!has_passive(passive, "TracingConfig"))
        buf_append_text(json, ",\"TracingConfig\":{\"Mode\":\"PassThrough\"}");
    if (!has_passive(passive, "LoggingConfig"))
        buf_printf(json,
                   ",\"LoggingConfig\":{\"LogFormat\":\"Text\",\"LogGroup\":\"/aws/lambda/%s\"}",
                   version->name);
    /* The text is ours, without spaces: its members follow as they are. */
    size_t size = version->passive_json ? strlen(version->passive_json) : 0;
    if (size > 2) {
        buf_append_byte(json, ',');
        buf_append(json, version->passive_json + 1, size - 2);
    }
}

/* AWS names the build of the runtime; ours is this service, the same for a whole installation. */
static void append_runtime_version(struct buf *json, const struct version *version)
{
    char text[128];
    char hex[DIGEST_HEX_SIZE];
    (void) snprintf(text, sizeof(text), "lamina %s %s", LAMINA_VERSION, version->runtime);
    struct digest digest = digest_of(text, strlen(text));
    const char *region = version->arn + strlen("arn:aws:lambda:");
    buf_printf(json,
               ",\"RuntimeVersionConfig\":{\"RuntimeVersionArn\":"
               "\"arn:aws:lambda:%.*s::runtime:%s\"}",
               (int) strcspn(region, ":"), region, digest_hex(&digest, hex));
}

static void append_state(struct buf *json, const struct version *version)
{
    member(json, "State", version_state_name(version->state));
    member(json, "StateReason", version->state_reason);
    member(json, "StateReasonCode", version->state_reason_code);
    member(json, "LastUpdateStatus", version_update_name(version->update));
    member(json, "LastUpdateStatusReason", version->update_reason);
    member(json, "LastUpdateStatusReasonCode", version->update_reason_code);
}

static void append_code(struct buf *json, const struct version *version)
{
    struct digest digest;
    char base64[DIGEST_BASE64_SIZE];
    memcpy(digest.bytes, version->code.zip_sha256, DIGEST_BYTES);
    number(json, "CodeSize", version->code.zip_bytes);
    member(json, "CodeSha256", digest_base64(&digest, base64));
}

static void append_layers(struct buf *json, const struct version *version)
{
    /* arn:aws:lambda:<region>:<account>: of the function is also the layers'. */
    size_t prefix = strlen(version->arn) - strlen(version->name) - strlen("function:");
    for (size_t i = 0; i < version->n_layers; i++) {
        const struct version_layer *layer = &version->layers[i];
        buf_printf(json, "%s{\"Arn\":\"%.*slayer:%s:%llu\",\"CodeSize\":%llu}",
                   i ? "," : ",\"Layers\":[", (int) prefix, version->arn, layer->name,
                   (unsigned long long) layer->number, (unsigned long long) layer->zip_bytes);
    }
    if (version->n_layers)
        buf_append_byte(json, ']');
}

static void append_filesystem(struct buf *json, const struct version *version)
{
    if (!version_has_filesystem(version))
        return;
    buf_append_text(json, ",\"FileSystemConfigs\":[{\"Arn\":");
    json_append_string(json, str_of(version->filesystem.arn));
    buf_append_text(json, ",\"LocalMountPath\":");
    json_append_string(json, str_of(version->filesystem.path));
    buf_append_text(json, "}]");
}

void function_shape_append(struct buf *json, const struct version *version, const char *qualifier,
                           enum function_shape shape)
{
    char modified[CLOCK_TEXT_MAX];
    buf_append_text(json, "{\"FunctionName\":");
    json_append_string(json, str_of(version->name));
    buf_printf(json, ",\"FunctionArn\":\"%s%s%s\"", version->arn,
               qualifier && qualifier[0] ? ":" : "", qualifier ? qualifier : "");
    member(json, "Runtime", version->runtime);
    member(json, "Role", version->role);
    member(json, "Handler", version->handler);
    append_code(json, version);
    member(json, "Description", version->description);
    number(json, "Timeout", version->timeout_s);
    number(json, "MemorySize", version->memory_mb);
    member(json, "LastModified", clock_iso_lambda(version->modified_ms, modified));
    member(json, "Version", version->qualifier);
    member(json, "RevisionId", version->revision_id);
    member(json, "PackageType", "Zip");
    buf_append_text(json, ",\"Architectures\":[\"x86_64\"]");
    buf_printf(json, ",\"SnapStart\":{\"ApplyOn\":\"%s\",\"OptimizationStatus\":\"%s\"}",
               version->has_snap_start ? "PublishedVersions" : "None",
               version->is_optimized ? "On" : "Off");
    buf_printf(json, ",\"EphemeralStorage\":{\"Size\":%u}", version->tmp_mb);
    append_environment(json, version);
    append_layers(json, version);
    append_filesystem(json, version);
    append_passive(json, version);
    if (shape == FUNCTION_SHAPE_WHOLE) {
        append_state(json, version);
        append_runtime_version(json, version);
    }
    buf_append_byte(json, '}');
}
