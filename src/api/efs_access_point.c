// SPDX-License-Identifier: MIT
//
// Access points: CreateAccessPoint, DescribeAccessPoints, DeleteAccessPoint.
//
// One made here narrows what the administrator's file says of its file system: a directory beneath its root, and an
// identity that the file allows. What would widen it is refused here and, once more, by lamina-spawn. The directory is not
// looked at now: it may not be there yet (CreationInfo), and looking could hang.

#include "api/efs.h"

#include "api/member.h"
#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void fail(struct call *call)
{
    efs_fail(call, NULL);
}

static int bad_request(struct call *call, const char *format, ...) PRINTF_LIKE(2, 3);

static int bad_request(struct call *call, const char *format, ...)
{
    char text[AWS_ERROR_MESSAGE_MAX];
    va_list values;
    va_start(values, format);
    (void) vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    return aws_error_set(&call->error, AWS_EFS_BAD_REQUEST, "%s", text);
}

// ---- the request's form

// A number of 32 bits that must be there.
static int read_id(struct call *call, yyjson_val *object, const char *of, const char *name,
                   uint32_t *ret)
{
    int64_t value;
    int r = json_member_i64(object, name, 0, UINT32_MAX, &value);
    if (r == -ENOENT)
        return bad_request(call, "%s.%s is missing.", of, name);
    if (r < 0)
        return bad_request(call, "%s.%s must be a number from 0 to %u.", of, name, UINT32_MAX);
    *ret = (uint32_t) value;
    return 0;
}

static int read_object(struct call *call, yyjson_val *object, const char *name, yyjson_val **ret)
{
    *ret = json_member(object, name);
    if (*ret && !yyjson_is_obj(*ret))
        return bad_request(call, "%s must be an object.", name);
    return 0;
}

static int read_user(struct call *call, struct access_point *point)
{
    yyjson_val *user;
    int r = read_object(call, call->json, "PosixUser", &user);
    if (r < 0 || !user)
        return r;
    yyjson_val *groups = json_member(user, "SecondaryGids");
    if (groups && (!yyjson_is_arr(groups) || yyjson_arr_size(groups) > 0))
        return bad_request(call, "PosixUser.SecondaryGids is not available in this service: an "
                                 "access point has one group.");
    point->has_user = true;
    r = read_id(call, user, "PosixUser", "Uid", &point->uid);
    return r < 0 ? r : read_id(call, user, "PosixUser", "Gid", &point->gid);
}

// Three or four octal digits; set-uid, set-gid and sticky bits would be for nobody.
static int read_permissions(struct call *call, yyjson_val *info, uint32_t *ret_mode)
{
    struct str text = json_str(json_member(info, "Permissions"));
    uint32_t mode = 0;
    bool is_octal = text.size == 3 || text.size == 4;
    for (size_t i = 0; is_octal && i < text.size; i++) {
        is_octal = text.data[i] >= '0' && text.data[i] <= '7';
        mode = mode * 8 + (uint32_t) (text.data[i] - '0');
    }
    if (!is_octal)
        return bad_request(call, "RootDirectory.CreationInfo.Permissions must be three or four "
                                 "octal digits.");
    if (mode > 0777)
        return bad_request(call,
                           "RootDirectory.CreationInfo.Permissions " STR_FORMAT
                           ": the bits above 0777 are not available in this service.",
                           STR_ARGUMENTS(text));
    *ret_mode = mode;
    return 0;
}

static int read_creation(struct call *call, yyjson_val *root, struct access_point *point)
{
    static const char of[] = "RootDirectory.CreationInfo";
    yyjson_val *info;
    int r = read_object(call, root, "CreationInfo", &info);
    if (r < 0 || !info)
        return r;
    point->has_creation = true;
    r = read_id(call, info, of, "OwnerUid", &point->owner_uid);
    if (r == 0)
        r = read_id(call, info, of, "OwnerGid", &point->owner_gid);
    return r < 0 ? r : read_permissions(call, info, &point->mode);
}

static int read_root(struct call *call, struct access_point *point)
{
    struct error err = {0};
    struct str path = STR("/");
    yyjson_val *root;
    int r = read_object(call, call->json, "RootDirectory", &root);
    if (r == 0 && json_member(root, "Path")) {
        path = json_str(json_member(root, "Path"));
        if (access_point_check_root(path, &err) < 0)
            return bad_request(call, "RootDirectory.Path '" STR_FORMAT "': %s.",
                               STR_ARGUMENTS(str_part(path, 0, 200)), err.text);
    }
    if (r < 0 || str_copy(path, point->root, sizeof(point->root)) < 0)
        return r < 0 ? r : bad_request(call, "RootDirectory.Path holds a NUL.");
    return root ? read_creation(call, root, point) : 0;
}

static int read_token(struct call *call, struct access_point *point)
{
    struct str token = json_str(json_member(call->json, "ClientToken"));
    if (token.size == 0 || token.size > ACCESS_POINT_TOKEN_MAX ||
        str_copy(token, point->token, sizeof(point->token)) < 0)
        return bad_request(call, "ClientToken must be a text of 1 to %d characters.",
                           ACCESS_POINT_TOKEN_MAX);
    return 0;
}

static int read_request(struct call *call, struct access_point *point)
{
    int r = read_token(call, point);
    if (r == 0)
        r = read_user(call, point);
    if (r == 0)
        r = read_root(call, point);
    if (r == 0)
        r = efs_read_tags(call, json_member(call->json, "Tags"), &point->tags_json);
    return r;
}

// ---- what the file allows

static int check_identity(struct call *call, const struct filesystem *filesystem, const char *of,
                          uint32_t uid, uint32_t gid)
{
    if (filesystem->has_own_identity)
        return bad_request(call,
                           "%s: %s cannot map users; it is used as whoever it was mounted by, and "
                           "an access point of it can have none of its own.",
                           of, filesystem->id);
    if (uid == 0 || gid == 0)
        return bad_request(call, "%s: no function is root (0) in a file system of this service.",
                           of);
    if (!filesystem_may_have_user(filesystem, uid, gid))
        return bad_request(call,
                           "%s: the user %u and group %u are not among those that the "
                           "administrator allowed in %s (%u:%u, or what uids= and gids= of its "
                           "line say).",
                           of, uid, gid, filesystem->id, filesystem->uid, filesystem->gid);
    return 0;
}

static int check_narrow(struct call *call, const struct filesystem *filesystem,
                        const struct access_point *point)
{
    int r = 0;
    if (point->has_user)
        r = check_identity(call, filesystem, "PosixUser", point->uid, point->gid);
    if (r == 0 && point->has_creation)
        r = check_identity(call, filesystem, "RootDirectory.CreationInfo", point->owner_uid,
                           point->owner_gid);
    return r;
}

// ---- made

static void answer(struct call *call, const struct access_point *point)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    efs_append_point(&json, call, point);
    call_answer_json(call, 200, &json);
}

static void created(void *arg, const struct access_point *point, const struct error *err)
{
    struct call *call = arg;
    if (err)
        call_fail_internal(call, "api.access_point", err);
    else
        answer(call, point);
}

static bool is_same_text(const char *left, const char *right)
{
    return left == right || (left && right && strcmp(left, right) == 0);
}

static bool is_same(const struct access_point *left, const struct access_point *right)
{
    return strcmp(left->filesystem_id, right->filesystem_id) == 0 &&
           strcmp(left->root, right->root) == 0 && left->has_user == right->has_user &&
           left->uid == right->uid && left->gid == right->gid &&
           left->has_creation == right->has_creation && left->owner_uid == right->owner_uid &&
           left->owner_gid == right->owner_gid && left->mode == right->mode &&
           is_same_text(left->tags_json, right->tags_json);
}

// A token that was used: the same request is answered as it was, another is an error.
static void answer_existing(struct call *call, const struct access_point *point,
                            const struct access_point *draft)
{
    if (point->is_pending) {
        (void) efs_not_done(call, -EAGAIN, str_of(point->id));
        fail(call);
    } else if (is_same(point, draft)) {
        answer(call, point);
    } else {
        (void) aws_error_set(&call->error, AWS_EFS_ACCESS_POINT_ALREADY_EXISTS,
                             "Access point '%s' was made with this ClientToken and other settings.",
                             point->id);
        efs_fail(call, point->id);
    }
}

static int make_draft(struct call *call, struct access_point *draft)
{
    const struct filesystem *filesystem = NULL;
    struct str id = json_str(json_member(call->json, "FileSystemId"));
    int r = id.size > 0 ? efs_find(call, id, &filesystem)
                        : bad_request(call, "FileSystemId is missing.");
    if (r == 0)
        r = read_request(call, draft);
    if (r == 0)
        r = check_narrow(call, filesystem, draft);
    if (r == 0)
        memcpy(draft->filesystem_id, filesystem->id, sizeof(draft->filesystem_id));
    draft->created_ms = clock_wall_ms();
    return r;
}

void efs_create_access_point(struct call *call)
{
    struct filesystems *filesystems = call->api->config.filesystems;
    struct access_point *draft = access_point_new();
    int r = draft ? make_draft(call, draft) : efs_not_done(call, -ENOMEM, STR(""));
    const struct access_point *existing =
        r == 0 ? filesystems_point_of_token(filesystems, str_of(draft->token)) : NULL;
    if (r < 0 || existing) {
        if (existing)
            answer_existing(call, existing, draft);
        else
            fail(call);
        access_point_free(draft);
        return;
    }
    r = filesystems_create(filesystems, draft, created, call);
    if (r < 0) {
        (void) efs_not_done(call, r, STR(""));
        fail(call);
    }
}

// ---- described

static void list(struct call *call, const char *filesystem_id, size_t size, const char *after)
{
    const struct filesystems *filesystems = call->api->config.filesystems;
    const struct access_point *each = filesystems_next_point(filesystems, filesystem_id, after);
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    const char *last = NULL;
    buf_append_text(&json, "{\"AccessPoints\":[");
    for (size_t n = 0; each && n < size; n++) {
        if (n > 0)
            buf_append_byte(&json, ',');
        efs_append_point(&json, call, each);
        last = each->id;
        each = filesystems_next_point(filesystems, filesystem_id, last);
    }
    buf_append_byte(&json, ']');
    if (each)
        buf_printf(&json, ",\"NextToken\":\"%s\"", last);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

void efs_describe_access_points(struct call *call)
{
    const struct filesystem *filesystem = NULL;
    const struct access_point *point = NULL;
    char after[FILESYSTEM_ID_SIZE];
    struct str point_id, filesystem_id;
    size_t size = 0;
    int r = call_query(call, "AccessPointId", &point_id);
    if (r == 0)
        r = call_query(call, "FileSystemId", &filesystem_id);
    if (r == 0)
        r = efs_paging(call, "MaxResults", "NextToken", &size, after);
    if (r == 0 && point_id.size > 0 && filesystem_id.size > 0)
        r = bad_request(call, "AccessPointId and FileSystemId cannot be given together.");
    if (r == 0 && point_id.size > 0)
        r = efs_find_point(call, point_id, &point);
    if (r == 0 && filesystem_id.size > 0)
        r = efs_find(call, filesystem_id, &filesystem);
    if (r < 0) {
        fail(call);
    } else if (point) {
        struct buf json = BUF_INIT(CALL_JSON_MAX);
        buf_append_text(&json, "{\"AccessPoints\":[");
        efs_append_point(&json, call, point);
        buf_append_text(&json, "]}");
        call_answer_json(call, 200, &json);
    } else {
        list(call, filesystem ? filesystem->id : "", size, after);
    }
}

// ---- deleted

static void deleted(void *arg, const struct access_point *point, const struct error *err)
{
    struct call *call = arg;
    (void) point;
    if (err)
        call_fail_internal(call, "api.access_point", err);
    else
        call_answer_empty(call, 204);
}

// Also while functions name it, as on AWS: what they answer then is EFSMountFailureException.
void efs_delete_access_point(struct call *call)
{
    struct str id;
    int r = efs_point_id(call, call->labels[0], &id);
    if (r == 0) {
        r = filesystems_delete(call->api->config.filesystems, id, deleted, call);
        if (r < 0)
            (void) efs_not_done(call, r, id);
    }
    if (r < 0)
        fail(call);
}
