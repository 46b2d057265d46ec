// SPDX-License-Identifier: MIT

#include "api/efs.h"

#include "aws/arn.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

// ---- names

// "fs-..." or its ARN; whatever is none is not there.
static int take_id(struct call *call, struct str text, struct str kind, struct str *ret_id)
{
    struct arn arn;
    *ret_id = text;
    if (!str_has_prefix(text, STR("arn:")))
        return 0;
    if (arn_parse(text, &arn) < 0 || !str_equal(arn.service, STR("elasticfilesystem")) ||
        !str_equal_text(arn.region, call->api->region) ||
        !str_equal_text(arn.account, call->api->account) || !str_has_prefix(arn.resource, kind))
        return -ENOENT;
    *ret_id = str_skip(arn.resource, kind.size);
    return 0;
}

static int no_filesystem(struct call *call, struct str text)
{
    return aws_error_set(&call->error, AWS_EFS_FILE_SYSTEM_NOT_FOUND,
                         "File system '" STR_FORMAT "' does not exist.",
                         STR_ARGUMENTS(str_part(text, 0, 128)));
}

static int no_point(struct call *call, struct str text)
{
    return aws_error_set(&call->error, AWS_EFS_ACCESS_POINT_NOT_FOUND,
                         "Access point '" STR_FORMAT "' does not exist.",
                         STR_ARGUMENTS(str_part(text, 0, 128)));
}

int efs_filesystem_id(struct call *call, struct str text, struct str *ret_id)
{
    return take_id(call, text, STR("file-system/"), ret_id) < 0 ? no_filesystem(call, text) : 0;
}

int efs_point_id(struct call *call, struct str text, struct str *ret_id)
{
    return take_id(call, text, STR("access-point/"), ret_id) < 0 ? no_point(call, text) : 0;
}

int efs_find(struct call *call, struct str text, const struct filesystem **ret)
{
    struct str id;
    int r = efs_filesystem_id(call, text, &id);
    if (r < 0)
        return r;
    *ret = filesystems_find(call->api->config.filesystems, id);
    return *ret ? 0 : no_filesystem(call, text);
}

int efs_find_point(struct call *call, struct str text, const struct access_point **ret)
{
    struct str id;
    int r = efs_point_id(call, text, &id);
    if (r < 0)
        return r;
    *ret = filesystems_find_point(call->api->config.filesystems, id);
    return *ret ? 0 : no_point(call, text);
}

// ---- what it is done to

// What the operation reads as the id of what it is done to. A parameter that it ignores must not decide whether it is
// allowed; where it takes one of several ids, it refuses two of them.
static const char *const systems[] = {"FileSystemId", NULL};
static const char *const points[] = {"AccessPointId", "FileSystemId", NULL};
static const char *const targets[] = {"AccessPointId", "FileSystemId", "MountTargetId", NULL};

static const struct {
    const char *operation;
    const char *const *parameters;
} named_by[] = {
    {"DescribeFileSystems", systems},
    {"DescribeReplicationConfigurations", systems},
    {"DescribeAccessPoints", points},
    {"DescribeMountTargets", targets},
};

// The label, the query's or the body's id: one of them names it.
static struct str named(struct call *call)
{
    struct str text = call->labels[0];
    const char *const *name = NULL;
    if (text.size > 0)
        return text;
    if (call->json)
        return json_str(json_member(call->json, "FileSystemId"));
    for (size_t i = 0; i < ARRAY_SIZE(named_by); i++)
        if (strcmp(call->route->operation, named_by[i].operation) == 0)
            name = named_by[i].parameters;
    for (; name && *name && text.size == 0; name++)
        if (route_query(call->request->query, *name, call->request->arena, &text) < 0)
            text = (struct str){NULL, 0};
    return text;
}

static void append_arn(struct buf *arn, const struct call *call, const char *kind, struct str id)
{
    buf_printf(arn, "arn:aws:elasticfilesystem:%s:%s:%s/" STR_FORMAT, call->api->region,
               call->api->account, kind, STR_ARGUMENTS(str_part(id, 0, 128)));
}

void efs_name_resource(struct call *call, struct buf *arn)
{
    struct str text = named(call);
    struct str id;
    if (take_id(call, text, STR("access-point/"), &id) == 0 && str_has_prefix(id, STR("fsap-")))
        append_arn(arn, call, "access-point", id);
    else if (take_id(call, text, STR("file-system/"), &id) == 0 && str_has_prefix(id, STR("fs-")))
        append_arn(arn, call, "file-system", id);
    else if (str_has_prefix(text, STR("fsmt-"))) { // a mount target is its file system's
        append_arn(arn, call, "file-system", STR("fs-"));
        buf_append_str(arn, str_part(str_skip(text, 5), 0, 40));
    } else
        buf_append_text(arn, "*");
}

// ---- pages

int efs_paging(struct call *call, const char *size_name, const char *after_name, size_t *ret_size,
               char after[FILESYSTEM_ID_SIZE])
{
    struct str text;
    int64_t size = EFS_PAGE_MAX;
    after[0] = '\0';
    int r = call_query(call, size_name, &text);
    if (r < 0)
        return r;
    if (text.size > 0 && str_to_i64(text, 1, INT64_MAX, &size) < 0)
        return aws_error_set(&call->error, AWS_EFS_BAD_REQUEST, "%s must be 1 or more.", size_name);
    r = call_query(call, after_name, &text);
    if (r == 0 && text.size > 0 && !filesystem_is_id(text) && !access_point_is_id(text))
        r = aws_error_set(&call->error, AWS_EFS_BAD_REQUEST, "%s is not one that was answered.",
                          after_name);
    if (r == 0 && text.size > 0)
        r = str_copy(text, after, FILESYSTEM_ID_SIZE);
    *ret_size = size > EFS_PAGE_MAX ? EFS_PAGE_MAX : (size_t) size;
    return r;
}

// ---- errors

int efs_not_done(struct call *call, int code, struct str id)
{
    switch (code) {
    case -ENOENT:
        return no_point(call, id);
    case -EROFS:
        return aws_error_set(&call->error, AWS_EFS_BAD_REQUEST,
                             "Access point '" STR_FORMAT "' was made by the administrator of this "
                             "service and is changed on its machine only: lamina filesystem.",
                             STR_ARGUMENTS(id));
    case -ENOSPC:
        return aws_error_set(&call->error, AWS_EFS_ACCESS_POINT_LIMIT_EXCEEDED,
                             "The file system has its maximum of %d access points.",
                             ACCESS_POINTS_OF_ONE_MAX);
    case -EAGAIN:
    case -ESTALE:
        return aws_error_set(&call->error, AWS_EFS_THROTTLING,
                             "Another change of it is under way; try again.");
    default:
        return aws_error_set(&call->error, AWS_EFS_INTERNAL, "No memory");
    }
}

// What was found before an operation of EFS ran, or in checks that services share.
static enum aws_error_code code_of(enum aws_error_code code)
{
    switch (code) {
    case AWS_VALIDATION:
    case AWS_SERIALIZATION:
    case AWS_INVALID_REQUEST_CONTENT:
    case AWS_INVALID_PARAMETER_VALUE:
    case AWS_REQUEST_ENTITY_TOO_LARGE:
        return AWS_EFS_BAD_REQUEST;
    case AWS_TOO_MANY_REQUESTS:
        return AWS_EFS_THROTTLING;
    case AWS_SERVICE:
        return AWS_EFS_INTERNAL;
    default:
        return code;
    }
}

void efs_fail(struct call *call, const char *existing_id)
{
    enum aws_error_code code = code_of(call->error.code);
    const char *name = aws_error_name(code);
    struct str text = str_of(call->error.message);
    struct http_header headers[4] = {{STR("Content-Type"), STR("application/json")},
                                     {STR("x-amzn-ErrorType"), str_of(name)}};
    struct buf body = BUF_INIT(CALL_JSON_MAX);
    buf_printf(&body, "{\"ErrorCode\":\"%s\",\"Message\":", name);
    json_append_string(&body, text);
    buf_append_text(&body, ",\"message\":"); // where older SDKs look
    json_append_string(&body, text);
    if (existing_id)
        buf_printf(&body, ",\"AccessPointId\":\"%s\"", existing_id);
    buf_append_byte(&body, '}');
    struct http_response response = {
        .status = aws_error_status(code), .body_kind = HTTP_BODY_BUF, .buf = body};
    call_answer(call, &response, headers, 2, ARRAY_SIZE(headers));
}
