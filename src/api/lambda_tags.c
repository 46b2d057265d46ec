/* SPDX-License-Identifier: MIT
 *
 * TagResource, UntagResource, ListTags: tags of functions, named by their ARN.
 */

#include <stdlib.h>
#include <string.h>

#include "api/attach.h"
#include "api/function_settings.h"
#include "api/layer_follow.h"
#include "api/member.h"
#include "api/operations.h"
#include "aws/arn.h"
#include "base/limits.h"
#include "base/mem.h"

#define RESOURCE_PATTERN                                                                           \
    "arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:(function:" \
    "[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:"     \
    "csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F-]{36})"

/* The function that the label's ARN names. */
static int find(struct call *call, struct function **ret_function)
{
    struct arn_function arn;
    struct function_name name;
    struct str none = {NULL, 0};
    struct str label = call->labels[0];
    if (!str_has_prefix(label, STR("arn:")) || arn_parse_function(label, &arn) < 0) {
        AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
        validation_add(&validation, label, "resource", "satisfy regular expression pattern: %s",
                       RESOURCE_PATTERN);
        return validation_finish(&validation, AWS_VALIDATION, &call->error);
    }
    if (arn.qualifier.size > 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Tags on function aliases and versions are not supported. Please "
                             "specify a function ARN.");
    int r = function_name_parse(label, none, FUNCTION_NAME_NAMESPACED, call->api->region,
                                call->api->account, &name, &call->error);
    if (r < 0)
        return r;
    *ret_function = catalog_function(call->api->config.catalog, name.name);
    return *ret_function ? 0 : call_no_function(call, &name);
}

void lambda_list_tags(struct call *call)
{
    struct function *function;
    if (find(call, &function) < 0) {
        call_fail(call);
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_printf(&json, "{\"Tags\":%s}", function->tags_json ? function->tags_json : "{}");
    call_answer_json(call, 200, &json);
}

static void append_pair(struct buf *json, struct str key, struct str value, size_t *n)
{
    if ((*n)++)
        buf_append_byte(json, ',');
    json_append_string(json, key);
    buf_append_byte(json, ':');
    json_append_string(json, value);
}

/* Of the tags that are there, those that `is_kept` keeps. */
static int append_kept(struct buf *json, const struct function *function, size_t *n,
                       bool (*is_kept)(void *arg, struct str key), void *arg)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    if (!function->tags_json)
        return 0;
    int r = json_parse(str_of(function->tags_json), ATTACHMENT_JSON_MAX, &doc, NULL);
    if (r < 0)
        return r;
    yyjson_obj_iter iter;
    yyjson_obj_iter_init(yyjson_doc_get_root(doc), &iter);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL)
        if (is_kept(arg, json_str(key)))
            append_pair(json, json_str(key), json_str(yyjson_obj_iter_get_val(key)), n);
    return 0;
}

static void tagged(struct api *api, const char *name)
{
    layer_follow_look(api->follow, name);
}

static void commit(struct call *call, const struct function *function, struct buf *json)
{
    struct change_plan plan = {.tags_json = json->data};
    if (buf_status(json) < 0)
        call_fail_with(call, AWS_INVALID_PARAMETER_VALUE, "The tags are too large.");
    else
        attach_commit(call, function->name, &plan, 204, NULL, tagged);
}

static bool is_not_given(void *arg, struct str key)
{
    yyjson_val *given = arg;
    return !yyjson_obj_getn(given, key.data, key.size);
}

void lambda_tag(struct call *call)
{
    struct function *function;
    AUTO_FREE char *given = NULL;
    AUTO_BUF struct buf json = BUF_INIT(ATTACHMENT_JSON_MAX);
    yyjson_val *tags = json_member(call->json, "Tags");
    size_t n = 0;
    int r = find(call, &function);
    if (r == 0)
        r = function_settings_tags(call->json, &given, &call->error);
    if (r == 0 && !given)
        r = aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                          "An error occurred and the request cannot be processed: no tags.");
    buf_append_byte(&json, '{');
    if (r == 0)
        r = append_kept(&json, function, &n, is_not_given, tags);
    if (r == 0 && n + yyjson_obj_size(tags) > LIMIT_TAGS_MAX)
        r = aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                          "Number of tags exceeds resource tag limit.");
    if (r < 0) {
        call_fail(call);
        return;
    }
    yyjson_obj_iter iter;
    yyjson_obj_iter_init(tags, &iter);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL)
        append_pair(&json, json_str(key), json_str(yyjson_obj_iter_get_val(key)), &n);
    buf_append_byte(&json, '}');
    commit(call, function, &json);
}

struct tag_keys {
    struct str *keys; /* owned; the texts are in the request's arena */
    size_t n;
};

/* Every ?tagKeys= of the query, decoded once. */
static int read_keys(struct call *call, struct tag_keys *ret_keys)
{
    struct str query = call->request->query;
    bool is_more = query.size > 0;
    size_t most = 1;
    for (size_t i = 0; i < query.size; i++)
        most += query.data[i] == '&';
    ret_keys->keys = calloc(most, sizeof(struct str));
    if (!ret_keys->keys)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    while (is_more) {
        struct str pair;
        struct str key;
        is_more = str_cut(query, '&', &pair, &query);
        if (route_query(pair, "tagKeys", call->request->arena, &key) < 0)
            return aws_error_set(&call->error, AWS_VALIDATION, "The tag keys are not well-formed");
        if (key.data)
            ret_keys->keys[ret_keys->n++] = key;
    }
    return 0;
}

static bool is_not_named(void *arg, struct str key)
{
    const struct tag_keys *named = arg;
    for (size_t i = 0; i < named->n; i++)
        if (str_equal(named->keys[i], key))
            return false;
    return true;
}

void lambda_untag(struct call *call)
{
    struct function *function;
    struct tag_keys named = {0};
    AUTO_BUF struct buf json = BUF_INIT(ATTACHMENT_JSON_MAX);
    size_t n = 0;
    int r = find(call, &function);
    if (r == 0)
        r = read_keys(call, &named);
    if (r == 0 && named.n == 0) {
        AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
        validation_add_null(&validation, "tagKeys");
        r = validation_finish(&validation, AWS_VALIDATION, &call->error);
    }
    buf_append_byte(&json, '{');
    if (r == 0)
        r = append_kept(&json, function, &n, is_not_named, &named);
    buf_append_byte(&json, '}');
    free(named.keys);
    if (r < 0)
        call_fail(call);
    else
        commit(call, function, &json);
}
