/* SPDX-License-Identifier: MIT
 *
 * The registry's form of a function, schema 1: one JSON object.
 *
 *   {"Schema":1, "NextNumber":n, "Tags":{...},
 *    "Latest":{a version, see version_json.c},
 *    "Live":{a version}}        only while calls run another snapshot than Latest
 */

#include <errno.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "function/catalog_data.h"

#define SCHEMA 1
#define JSON_MAX (1 << 20)

static int append_version(struct buf *out, const char *name, const struct version *version)
{
    size_t size;
    AUTO_FREE char *json = version_to_json(version, &size);
    if (!json)
        return -ENOMEM;
    buf_printf(out, ",\"%s\":", name);
    return buf_append(out, json, size);
}

char *function_to_json(const struct version *latest, const struct version *live,
                       uint64_t next_number, const char *tags_json, size_t *ret_size)
{
    AUTO_BUF struct buf out = BUF_INIT(JSON_MAX);
    buf_printf(&out, "{\"Schema\":%d,\"NextNumber\":%llu", SCHEMA,
               (unsigned long long) next_number);
    if (tags_json)
        buf_printf(&out, ",\"Tags\":%s", tags_json);
    if (append_version(&out, "Latest", latest) < 0)
        return NULL;
    if (live && live != latest && append_version(&out, "Live", live) < 0)
        return NULL;
    buf_append_byte(&out, '}');
    if (buf_status(&out) < 0)
        return NULL;
    return buf_take(&out, ret_size);
}

/* A member's value as text again. NULL without memory. */
static char *value_text(yyjson_val *value, size_t *ret_size)
{
    return yyjson_val_write(value, YYJSON_WRITE_NOFLAG, ret_size);
}

static int read_version(struct function *function, yyjson_val *value, const char *region,
                        const char *account, struct version **ret, struct error *err)
{
    size_t size;
    AUTO_FREE char *json = value_text(value, &size);
    if (!json)
        return -ENOMEM;
    return version_from_json(json, size, function->name, region, account, ret, err);
}

static int read_tags(struct function *function, yyjson_val *root)
{
    yyjson_val *tags = json_member(root, "Tags");
    if (!tags)
        return 0;
    function->tags_json = value_text(tags, NULL);
    return function->tags_json ? 0 : -ENOMEM;
}

int function_from_json(struct function *function, struct str json, const char *region,
                       const char *account, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    int64_t schema;
    int64_t next;
    int r = json_parse(json, JSON_MAX, &doc, err);
    if (r < 0)
        return error_wrap(err, -EBADMSG, "function '%s'", function->name);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (json_member_i64(root, "Schema", SCHEMA, SCHEMA, &schema) < 0 ||
        json_member_i64(root, "NextNumber", 1, INT64_MAX, &next) < 0 ||
        !json_member(root, "Latest"))
        return error_set(err, -EBADMSG, "function '%s': the row is not of schema %d",
                         function->name, SCHEMA);
    function->next_number = (uint64_t) next;
    r = read_version(function, json_member(root, "Latest"), region, account, &function->latest,
                     err);
    yyjson_val *live = json_member(root, "Live");
    if (r == 0 && live)
        r = read_version(function, live, region, account, &function->live, err);
    else if (r == 0 && version_is_invocable(function->latest))
        function->live = version_ref(function->latest);
    if (r == 0)
        r = read_tags(function, root);
    return r;
}
