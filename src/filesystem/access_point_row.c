// SPDX-License-Identifier: MIT
//
// The registry's form of an access point, schema 1: one JSON object. The id is the row's key.
//
//   {"Schema":1, "FileSystemId":"fs-...", "Root":"/a", "ReadOnly":true (or absent),
//    "User":{"Uid":n,"Gid":n}, "Creation":{"Uid":n,"Gid":n,"Mode":n},     absent if not given
//    "Token":..., "Tags":{...} (or absent), "CreatedMs":n}

#include "filesystem/filesystem.h"

#include "base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA 1
#define ROW_BYTES_MAX (128 * 1024)

int access_point_write(const struct access_point *point, struct buf *row)
{
    buf_printf(row, "{\"Schema\":%d,\"FileSystemId\":\"%s\",\"Root\":", SCHEMA,
               point->filesystem_id);
    json_append_string(row, str_of(point->root));
    if (point->is_read_only)
        buf_append_text(row, ",\"ReadOnly\":true");
    if (point->has_user)
        buf_printf(row, ",\"User\":{\"Uid\":%u,\"Gid\":%u}", point->uid, point->gid);
    if (point->has_creation)
        buf_printf(row, ",\"Creation\":{\"Uid\":%u,\"Gid\":%u,\"Mode\":%u}", point->owner_uid,
                   point->owner_gid, point->mode);
    buf_append_text(row, ",\"Token\":");
    json_append_string(row, str_of(point->token));
    if (point->tags_json)
        buf_printf(row, ",\"Tags\":%s", point->tags_json);
    buf_printf(row, ",\"CreatedMs\":%lld}", (long long) point->created_ms);
    return buf_status(row);
}

static int bad(struct error *err, const char *name)
{
    return error_set(err, -EBADMSG, "member '%s' is missing or wrong", name);
}

static int read_number(yyjson_val *object, const char *name, int64_t maximum, uint32_t *ret,
                       struct error *err)
{
    int64_t value;
    if (json_member_i64(object, name, 0, maximum, &value) < 0)
        return bad(err, name);
    *ret = (uint32_t) value;
    return 0;
}

static int read_identity(yyjson_val *object, uint32_t *ret_uid, uint32_t *ret_gid,
                         struct error *err)
{
    int r = read_number(object, "Uid", UINT32_MAX, ret_uid, err);
    return r < 0 ? r : read_number(object, "Gid", UINT32_MAX, ret_gid, err);
}

static int read_names(yyjson_val *root, struct access_point *point, struct error *err)
{
    struct str text;
    if (json_member_str(root, "FileSystemId", &text) < 0 || !filesystem_is_id(text) ||
        str_copy(text, point->filesystem_id, sizeof(point->filesystem_id)) < 0)
        return bad(err, "FileSystemId");
    if (json_member_str(root, "Root", &text) < 0 || access_point_check_root(text, NULL) < 0 ||
        str_copy(text, point->root, sizeof(point->root)) < 0)
        return bad(err, "Root");
    if (json_member_str(root, "Token", &text) < 0 ||
        str_copy(text, point->token, sizeof(point->token)) < 0)
        return bad(err, "Token");
    return 0;
}

// A member that is there, of the right type; NULL: absent.
static int read_object(yyjson_val *root, const char *name, yyjson_val **ret, struct error *err)
{
    int r = json_member_object(root, name, ret);
    if (r < 0)
        *ret = NULL;
    return r < 0 && r != -ENOENT ? bad(err, name) : 0;
}

static int read_user(yyjson_val *root, struct access_point *point, struct error *err)
{
    yyjson_val *object;
    int r = read_object(root, "User", &object, err);
    point->has_user = object != NULL;
    if (object)
        r = read_identity(object, &point->uid, &point->gid, err);
    return r;
}

static int read_creation(yyjson_val *root, struct access_point *point, struct error *err)
{
    yyjson_val *object;
    int r = read_object(root, "Creation", &object, err);
    point->has_creation = object != NULL;
    if (object)
        r = read_identity(object, &point->owner_uid, &point->owner_gid, err);
    if (object && r == 0)
        r = read_number(object, "Mode", 0777, &point->mode, err);
    return r;
}

static int read_tags(yyjson_val *root, struct access_point *point, struct error *err)
{
    yyjson_val *object;
    int r = read_object(root, "Tags", &object, err);
    if (!object)
        return r;
    point->tags_json = yyjson_val_write(object, YYJSON_WRITE_NOFLAG, NULL);
    return point->tags_json ? 0 : error_set(err, -ENOMEM, "no memory for tags");
}

static int read_rest(yyjson_val *root, struct access_point *point, struct error *err)
{
    int r = json_member_bool(root, "ReadOnly", &point->is_read_only);
    if (r < 0 && r != -ENOENT)
        return bad(err, "ReadOnly");
    if (json_member_i64(root, "CreatedMs", 0, INT64_MAX, &point->created_ms) < 0)
        return bad(err, "CreatedMs");
    r = read_user(root, point, err);
    if (r == 0)
        r = read_creation(root, point, err);
    return r < 0 ? r : read_tags(root, point, err);
}

int access_point_read(struct str row, struct access_point *point, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    int64_t schema;
    if (json_parse(row, ROW_BYTES_MAX, &doc, err) < 0)
        return -EBADMSG;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (json_member_i64(root, "Schema", SCHEMA, SCHEMA, &schema) < 0)
        return bad(err, "Schema");
    int r = read_names(root, point, err);
    return r < 0 ? r : read_rest(root, point, err);
}
