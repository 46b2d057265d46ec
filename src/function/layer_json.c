/* SPDX-License-Identifier: MIT
 *
 * The registry's form of a layer version, schema 1: one JSON object.
 *
 *   {"Schema":1, "CreatedMs":n, "ZipSha256":"<hex>", "ZipBytes":n, "TreeId":"<hex>", "TreeBytes":n,
 *    "RevisionId":"<uuid>",
 *    "Description":..., "LicenseInfo":..., "CompatibleRuntimes":[...], "CompatibleArchitectures":[...],
 *    "Policy":[statements]}                         these five are absent if there are none
 *
 * Name and number are the row's key.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "function/layer.h"

#define SCHEMA 1
#define JSON_MAX (128 * 1024)

static void append_text(struct buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    buf_printf(out, ",\"%s\":", name);
    json_append_string(out, str_of(text));
}

static void append_value(struct buf *out, const char *name, const char *json)
{
    if (json)
        buf_printf(out, ",\"%s\":%s", name, json);
}

static void append_digest(struct buf *out, const char *name, const uint8_t bytes[DIGEST_BYTES])
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    memcpy(digest.bytes, bytes, DIGEST_BYTES);
    append_text(out, name, digest_hex(&digest, hex));
}

char *layer_version_to_json(const struct layer_version *version, size_t *ret_size)
{
    AUTO_BUF struct buf out = BUF_INIT(JSON_MAX);
    buf_printf(&out, "{\"Schema\":%d,\"CreatedMs\":%lld,\"ZipBytes\":%llu,\"TreeBytes\":%llu",
               SCHEMA, (long long) version->created_ms, (unsigned long long) version->zip_bytes,
               (unsigned long long) version->tree_bytes);
    append_digest(&out, "ZipSha256", version->zip_sha256);
    append_digest(&out, "TreeId", version->tree_id);
    append_text(&out, "RevisionId", version->revision_id);
    append_text(&out, "Description", version->description);
    append_text(&out, "LicenseInfo", version->license);
    append_value(&out, "CompatibleRuntimes", version->runtimes_json);
    append_value(&out, "CompatibleArchitectures", version->architectures_json);
    append_value(&out, "Policy", version->policy_json);
    buf_append_byte(&out, '}');
    if (buf_status(&out) < 0)
        return NULL;
    return buf_take(&out, ret_size);
}

static int bad(struct error *err, const char *name)
{
    return error_set(err, -EBADMSG, "member '%s' is missing or wrong", name);
}

static int read_number(yyjson_val *root, const char *name, uint64_t *ret, struct error *err)
{
    int64_t value;
    if (json_member_i64(root, name, 0, INT64_MAX, &value) < 0)
        return bad(err, name);
    *ret = (uint64_t) value;
    return 0;
}

static int read_digest(yyjson_val *root, const char *name, uint8_t bytes[DIGEST_BYTES],
                       struct error *err)
{
    struct str hex;
    struct digest digest;
    if (json_member_str(root, name, &hex) < 0 || digest_parse_hex(hex, &digest) < 0)
        return bad(err, name);
    memcpy(bytes, digest.bytes, DIGEST_BYTES);
    return 0;
}

static int read_text(yyjson_val *root, const char *name, char **ret, struct error *err)
{
    struct str text;
    int r = json_member_str(root, name, &text);
    if (r == -ENOENT)
        return 0;
    if (r < 0 || memchr(text.data ? text.data : "", '\0', text.size))
        return bad(err, name);
    *ret = str_copy_heap(text);
    return *ret ? 0 : -ENOMEM;
}

static int read_array(yyjson_val *root, const char *name, char **ret, struct error *err)
{
    yyjson_val *array;
    int r = json_member_array(root, name, &array);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return bad(err, name);
    *ret = yyjson_val_write(array, YYJSON_WRITE_NOFLAG, NULL);
    return *ret ? 0 : -ENOMEM;
}

static int read_all(yyjson_val *root, struct layer_version *version, struct error *err)
{
    int64_t schema;
    uint64_t created = 0;
    struct str revision;
    if (json_member_i64(root, "Schema", SCHEMA, SCHEMA, &schema) < 0)
        return bad(err, "Schema");
    if (json_member_str(root, "RevisionId", &revision) < 0 ||
        revision.size != sizeof(version->revision_id) - 1 ||
        str_copy(revision, version->revision_id, sizeof(version->revision_id)) < 0)
        return bad(err, "RevisionId");
    int r = read_number(root, "CreatedMs", &created, err);
    if (r == 0)
        r = read_number(root, "ZipBytes", &version->zip_bytes, err);
    if (r == 0)
        r = read_number(root, "TreeBytes", &version->tree_bytes, err);
    if (r == 0)
        r = read_digest(root, "ZipSha256", version->zip_sha256, err);
    if (r == 0)
        r = read_digest(root, "TreeId", version->tree_id, err);
    if (r == 0)
        r = read_text(root, "Description", &version->description, err);
    if (r == 0)
        r = read_text(root, "LicenseInfo", &version->license, err);
    if (r == 0)
        r = read_array(root, "CompatibleRuntimes", &version->runtimes_json, err);
    if (r == 0)
        r = read_array(root, "CompatibleArchitectures", &version->architectures_json, err);
    if (r == 0)
        r = read_array(root, "Policy", &version->policy_json, err);
    if (r == 0)
        version->created_ms = (int64_t) created;
    return r;
}

int layer_version_from_json(struct str json, struct layer_version *version, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    int r = json_parse(json, JSON_MAX, &doc, err);
    return r < 0 ? -EBADMSG : read_all(yyjson_doc_get_root(doc), version, err);
}
