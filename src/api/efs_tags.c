// SPDX-License-Identifier: MIT
//
// Tags of access points: ListTagsForResource, TagResource, UntagResource. Those of file systems are the
// administrator's words (name=).

#include "api/efs.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAGS_BYTES_MAX (64 * 1024)

// ---- a request's

static int check_tag(struct call *call, struct str key, yyjson_val *value)
{
    struct str text = json_str(value);
    if (key.size == 0 || key.size > LIMIT_TAG_KEY_MAX * 4 || !yyjson_is_str(value) ||
        text.size > LIMIT_TAG_VALUE_MAX * 4)
        return aws_error_set(&call->error, AWS_EFS_BAD_REQUEST,
                             "A tag has a Key of 1 to %d characters and a Value of at most %d.",
                             LIMIT_TAG_KEY_MAX, LIMIT_TAG_VALUE_MAX);
    if (str_equal_nocase(str_part(key, 0, 4), STR("aws:")))
        return aws_error_set(&call->error, AWS_EFS_BAD_REQUEST,
                             "Tag keys that begin with aws: are reserved.");
    return 0;
}

static void append_pair(struct buf *json, struct str key, struct str value)
{
    if (json->size > 1)
        buf_append_byte(json, ',');
    json_append_string(json, key);
    buf_append_byte(json, ':');
    json_append_string(json, value);
}

static bool is_before(yyjson_val *list, size_t index, struct str key)
{
    for (size_t i = 0; i < index; i++)
        if (str_equal(json_str(json_member(yyjson_arr_get(list, i), "Key")), key))
            return true;
    return false;
}

static int append_given(struct call *call, yyjson_val *list, struct buf *json)
{
    yyjson_val *each;
    size_t i, count;
    yyjson_arr_foreach(list, i, count, each)
    {
        struct str key = json_str(json_member(each, "Key"));
        yyjson_val *value = json_member(each, "Value");
        int r = check_tag(call, key, value);
        if (r == 0 && is_before(list, i, key))
            r = aws_error_set(&call->error, AWS_EFS_BAD_REQUEST, "A tag's Key is there twice.");
        if (r < 0)
            return r;
        append_pair(json, key, json_str(value));
    }
    return 0;
}

static int too_many(struct call *call)
{
    return aws_error_set(&call->error, AWS_EFS_BAD_REQUEST,
                         "An access point can have %d tags at most.", LIMIT_TAGS_MAX);
}

int efs_read_tags(struct call *call, yyjson_val *list, char **ret_json)
{
    AUTO_BUF struct buf json = BUF_INIT(TAGS_BYTES_MAX);
    *ret_json = NULL;
    if (!list || (yyjson_is_arr(list) && yyjson_arr_size(list) == 0))
        return 0;
    if (!yyjson_is_arr(list))
        return aws_error_set(&call->error, AWS_EFS_BAD_REQUEST, "Tags must be a list.");
    if (yyjson_arr_size(list) > LIMIT_TAGS_MAX)
        return too_many(call);
    buf_append_byte(&json, '{');
    int r = append_given(call, list, &json);
    buf_append_byte(&json, '}');
    if (r == 0 && buf_status(&json) < 0)
        r = aws_error_set(&call->error, AWS_EFS_INTERNAL, "No memory");
    if (r == 0)
        *ret_json = buf_take(&json, NULL);
    return r;
}

// ---- shown

static void list_tags(struct call *call)
{
    const struct filesystem *filesystem = NULL;
    const struct access_point *point = NULL;
    struct str label = call->labels[0];
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    bool is_point =
        str_has_prefix(label, STR("fsap-")) ||
        (str_has_prefix(label, STR("arn:")) && memmem(label.data, label.size, "/fsap-", 6));
    int r = is_point ? efs_find_point(call, label, &point) : efs_find(call, label, &filesystem);
    if (r < 0) {
        efs_fail(call, NULL);
        return;
    }
    buf_append_text(&json, "{");
    if (point)
        efs_append_tags(&json, point->tags_json);
    else {
        AUTO_BUF struct buf own = BUF_INIT(1024);
        buf_append_text(&own, "{\"Name\":");
        json_append_string(&own, str_of(filesystem->name));
        buf_append_text(&own, "}");
        efs_append_tags(&json, filesystem->name[0] && buf_status(&own) == 0 ? own.data : NULL);
    }
    buf_append_byte(&json, '}');
    if (buf_status(&json) == 0) // {,"Tags": -> {"Tags":
        memmove(json.data + 1, json.data + 2, --json.size - 1);
    call_answer_json(call, 200, &json);
}

void efs_list_tags(struct call *call)
{
    list_tags(call);
}

// The older name of the same.
void efs_describe_tags(struct call *call)
{
    list_tags(call);
}

// ---- changed

static void tagged(void *arg, const struct access_point *point, const struct error *err)
{
    struct call *call = arg;
    (void) point;
    if (err && err->code == -ESTALE) {
        (void) efs_not_done(call, -ESTALE, STR(""));
        efs_fail(call, NULL);
    } else if (err) {
        call_fail_internal(call, "api.access_point", err);
    } else {
        call_answer_empty(call, 200);
    }
}

static void commit(struct call *call, const struct access_point *point, struct buf *json)
{
    int r = buf_status(json);
    if (r == 0)
        r = filesystems_tag(call->api->config.filesystems, str_of(point->id),
                            json->size > 2 ? json->data : NULL, tagged, call);
    if (r < 0) {
        (void) efs_not_done(call, r, str_of(point->id));
        efs_fail(call, NULL);
    }
}

static int find_own(struct call *call, const struct access_point **ret)
{
    struct str label = call->labels[0];
    const struct filesystem *filesystem = NULL;
    int r = efs_find_point(call, label, ret);
    if (r < 0 && efs_find(call, label, &filesystem) == 0)
        return aws_error_set(&call->error, AWS_EFS_BAD_REQUEST,
                             "Tags of file systems are not available in this service: their "
                             "administrator names them (lamina filesystem create --name).");
    if (r < 0)
        return efs_find_point(call, label, ret); // in its words
    return (*ret)->is_from_file ? efs_not_done(call, -EROFS, str_of((*ret)->id)) : 0;
}

// Those that are there and that `is_gone` does not take.
static size_t append_kept(struct buf *json, const struct access_point *point,
                          bool (*is_gone)(const void *arg, struct str key), const void *arg)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    yyjson_obj_iter iter;
    yyjson_val *key;
    size_t n = 0;
    if (!point->tags_json ||
        json_parse(str_of(point->tags_json), TAGS_BYTES_MAX * 2, &doc, NULL) < 0)
        return 0;
    yyjson_obj_iter_init(yyjson_doc_get_root(doc), &iter);
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        if (is_gone(arg, json_str(key)))
            continue;
        append_pair(json, json_str(key), json_str(yyjson_obj_iter_get_val(key)));
        n++;
    }
    return n;
}

static bool is_given(const void *arg, struct str key)
{
    yyjson_val *list = (yyjson_val *) (uintptr_t) arg;
    return is_before(list, yyjson_arr_size(list), key);
}

void efs_tag(struct call *call)
{
    const struct access_point *point = NULL;
    yyjson_val *list = json_member(call->json, "Tags");
    AUTO_FREE char *given = NULL;
    AUTO_BUF struct buf json = BUF_INIT(TAGS_BYTES_MAX);
    int r = find_own(call, &point);
    if (r == 0)
        r = efs_read_tags(call, list, &given);
    if (r == 0 && !given)
        r = aws_error_set(&call->error, AWS_EFS_BAD_REQUEST, "There are no Tags in the request.");
    buf_append_byte(&json, '{');
    if (r == 0 &&
        append_kept(&json, point, is_given, list) + yyjson_arr_size(list) > LIMIT_TAGS_MAX)
        r = too_many(call);
    if (r == 0)
        r = append_given(call, list, &json);
    buf_append_byte(&json, '}');
    if (r < 0)
        efs_fail(call, NULL);
    else
        commit(call, point, &json);
}

// ?tagKeys=a&tagKeys=b
static bool is_in_query(const void *arg, struct str key)
{
    const struct call *call = arg;
    struct str query = call->request->query;
    for (bool is_more = query.size > 0; is_more;) {
        struct str pair;
        struct str value;
        is_more = str_cut(query, '&', &pair, &query);
        if (route_query(pair, "tagKeys", call->request->arena, &value) == 0 && value.data &&
            str_equal(value, key))
            return true;
    }
    return false;
}

void efs_untag(struct call *call)
{
    const struct access_point *point = NULL;
    AUTO_BUF struct buf json = BUF_INIT(TAGS_BYTES_MAX);
    if (find_own(call, &point) < 0) {
        efs_fail(call, NULL);
        return;
    }
    buf_append_byte(&json, '{');
    (void) append_kept(&json, point, is_in_query, call);
    buf_append_byte(&json, '}');
    commit(call, point, &json);
}
