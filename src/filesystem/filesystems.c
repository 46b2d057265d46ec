// SPDX-License-Identifier: MIT

#include "filesystem/filesystems.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "meta/registry.h"
#include "role/roles.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIND "access-point"
#define ROW_BYTES_MAX (128 * 1024)

_Static_assert(FILESYSTEM_ID_SIZE == SPAWN_FILESYSTEM_ID_SIZE, "one limit for ids");
_Static_assert(ACCESS_POINT_ROOT_MAX < SPAWN_FILESYSTEM_ROOT_SIZE, "and for roots");
_Static_assert(FILESYSTEM_MOUNT_MAX - 5 < SPAWN_FILESYSTEM_NAME_SIZE, "and for what is in /mnt");

struct table {
    struct access_point **list; // owned; in the order of ids
    size_t count, capacity;
};

struct filesystems {
    struct registry *registry; // borrowed
    struct roles *roles;       // borrowed
    char *region, *account;
    struct filesystem list[FILESYSTEMS_MAX]; // in the order of ids
    size_t count;
    struct table points;
    struct filesystem coming[FILESYSTEMS_MAX]; // between begin and end, as they came
    size_t coming_count;
    struct table coming_points;
    bool is_known;
};

// A change on its way to the disk; the table is changed when it is there.
struct pending {
    struct filesystems *filesystems;
    enum { PENDING_CREATE, PENDING_DELETE, PENDING_TAG } kind;
    char id[FILESYSTEM_ID_SIZE];
    char *tags_json; // owned
    filesystems_done done;
    void *arg;
};

// ---- tables

// Where the id is, or would be.
static size_t place_of(const struct table *table, struct str id, bool *ret_is_there)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_compare(str_of(table->list[middle]->id), id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_is_there = low < table->count && str_equal_text(id, table->list[low]->id);
    return low;
}

static struct access_point *table_find(const struct table *table, struct str id)
{
    bool is_there;
    size_t at = place_of(table, id, &is_there);
    return is_there ? table->list[at] : NULL;
}

// Takes the point in any case. -EEXIST, -ENOSPC, -ENOMEM.
static int table_add(struct table *table, struct access_point *point)
{
    bool is_there;
    size_t at = place_of(table, str_of(point->id), &is_there);
    int r = is_there ? -EEXIST : table->count == ACCESS_POINTS_MAX ? -ENOSPC : 0;
    if (r == 0 && table->count == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : 16;
        struct access_point **list =
            reallocarray(table->list, capacity, sizeof(struct access_point *));
        r = list ? 0 : -ENOMEM;
        table->list = list ? list : table->list;
        table->capacity = list ? capacity : table->capacity;
    }
    if (r < 0) {
        access_point_free(point);
        return r;
    }
    memmove(table->list + at + 1, table->list + at,
            (table->count - at) * sizeof(struct access_point *));
    table->list[at] = point;
    table->count++;
    return 0;
}

static void table_remove(struct table *table, struct str id)
{
    bool is_there;
    size_t at = place_of(table, id, &is_there);
    if (!is_there)
        return;
    access_point_free(table->list[at]);
    table->count--;
    memmove(table->list + at, table->list + at + 1,
            (table->count - at) * sizeof(struct access_point *));
}

static void table_done(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        access_point_free(table->list[i]);
    free(table->list);
    *table = (struct table){0};
}

// ---- the beginning

struct loading {
    struct filesystems *filesystems;
    struct error *err;
};

static int load_row(void *arg, const char *key, struct str value, int64_t revision)
{
    struct loading *loading = arg;
    struct access_point *point = access_point_new();
    if (!point)
        return error_set(loading->err, -ENOMEM, "no memory for an access point");
    if (!access_point_is_id(str_of(key)) ||
        str_copy(str_of(key), point->id, sizeof(point->id)) < 0) {
        access_point_free(point);
        return error_set(loading->err, -EBADMSG, "'%s' is no access point's id", key);
    }
    point->revision = revision;
    int r = access_point_read(value, point, loading->err);
    if (r < 0) {
        access_point_free(point);
        return error_wrap(loading->err, r, "access point '%s'", key);
    }
    r = table_add(&loading->filesystems->points, point);
    return r < 0 ? error_set_errno(loading->err, r, "load access point '%s'", key) : 0;
}

int filesystems_new(struct registry *registry, struct roles *roles, const char *region,
                    const char *account, struct filesystems **ret, struct error *err)
{
    struct filesystems *filesystems = mem_new(struct filesystems);
    if (!filesystems)
        return error_set(err, -ENOMEM, "no memory for the file systems");
    struct loading loading = {filesystems, err};
    filesystems->registry = registry;
    filesystems->roles = roles;
    filesystems->region = mem_copy_text(region);
    filesystems->account = mem_copy_text(account);
    int r = filesystems->region && filesystems->account
                ? registry_list(registry, KIND, load_row, &loading, err)
                : error_set(err, -ENOMEM, "no memory for the file systems");
    if (r < 0) {
        filesystems_free(filesystems);
        return error_wrap(err, r, "load the access points");
    }
    *ret = filesystems;
    return 0;
}

void filesystems_free(struct filesystems *filesystems)
{
    if (!filesystems)
        return;
    table_done(&filesystems->points);
    table_done(&filesystems->coming_points);
    free(filesystems->region);
    free(filesystems->account);
    free(filesystems);
}

// ---- the administrator's file

void filesystems_begin(struct filesystems *filesystems)
{
    filesystems->coming_count = 0;
    table_done(&filesystems->coming_points);
}

static void leave_out(const char *id, const char *why)
{
    log_warn("filesystem.left_out", "id=%s reason=%s", LOG_TEXT(id), LOG_TEXT(why));
}

void filesystems_add(struct filesystems *filesystems, const struct filesystem *filesystem)
{
    struct filesystem *list = filesystems->coming;
    size_t at = 0;
    while (at < filesystems->coming_count && strcmp(list[at].id, filesystem->id) < 0)
        at++;
    bool has_root = filesystem->uid == 0 || filesystem->gid == 0;
    if (!filesystem_is_id(str_of(filesystem->id)) || (has_root && !filesystem->has_own_identity))
        leave_out(filesystem->id, "it is no file system that functions may have");
    else if (at < filesystems->coming_count && strcmp(list[at].id, filesystem->id) == 0)
        leave_out(filesystem->id, "it is there twice");
    else if (filesystems->coming_count == FILESYSTEMS_MAX)
        leave_out(filesystem->id, "there are too many");
    else {
        memmove(&list[at + 1], &list[at], (filesystems->coming_count - at) * sizeof(list[0]));
        const struct filesystem *known = filesystems_find(filesystems, str_of(filesystem->id));
        list[at] = *filesystem;
        list[at].known_ms = known ? known->known_ms : clock_wall_ms();
        filesystems->coming_count++;
    }
}

void filesystems_add_point(struct filesystems *filesystems, const struct access_point *point)
{
    struct access_point *copy = mem_copy(point, sizeof(*point));
    if (!copy || !access_point_is_id(str_of(point->id)) ||
        access_point_check_root(str_of(point->root), NULL) < 0) {
        free(copy);
        leave_out(point->id, "it is no access point");
        return;
    }
    copy->tags_json = NULL;
    copy->is_from_file = true;
    copy->is_pending = false;
    if (table_add(&filesystems->coming_points, copy) < 0)
        leave_out(point->id, "it is there twice, or there are too many");
}

// The API's stay; an id that the file took is the file's.
static void take_points(struct filesystems *filesystems)
{
    struct table *coming = &filesystems->coming_points;
    struct table old = filesystems->points;
    filesystems->points = *coming;
    *coming = (struct table){0};
    for (size_t i = 0; i < old.count; i++) {
        char id[FILESYSTEM_ID_SIZE];
        memcpy(id, old.list[i]->id, sizeof(id));
        if (old.list[i]->is_from_file)
            access_point_free(old.list[i]);
        else if (table_add(&filesystems->points, old.list[i]) < 0)
            leave_out(id, "the file has one of that id");
    }
    free(old.list);
}

void filesystems_end(struct filesystems *filesystems)
{
    memcpy(filesystems->list, filesystems->coming,
           filesystems->coming_count * sizeof(filesystems->list[0]));
    filesystems->count = filesystems->coming_count;
    take_points(filesystems);
    filesystems->is_known = true;
    if (filesystems->count > 0)
        log_info("filesystem.known", "count=%zu access_points=%zu", filesystems->count,
                 filesystems->points.count);
}

bool filesystems_are_known(const struct filesystems *filesystems)
{
    return filesystems->is_known;
}

// ---- looking

const struct filesystem *filesystems_find(const struct filesystems *filesystems, struct str id)
{
    for (size_t i = 0; i < filesystems->count; i++)
        if (str_equal_text(id, filesystems->list[i].id))
            return &filesystems->list[i];
    return NULL;
}

static bool is_shown(const struct filesystems *filesystems, const struct access_point *point)
{
    return !point->is_pending && filesystems_find(filesystems, str_of(point->filesystem_id));
}

const struct access_point *filesystems_find_point(const struct filesystems *filesystems,
                                                  struct str id)
{
    const struct access_point *point = table_find(&filesystems->points, id);
    return point && is_shown(filesystems, point) ? point : NULL;
}

const struct access_point *filesystems_point_of_token(const struct filesystems *filesystems,
                                                      struct str token)
{
    for (size_t i = 0; i < filesystems->points.count; i++) {
        const struct access_point *point = filesystems->points.list[i];
        if (!point->is_from_file && str_equal_text(token, point->token))
            return point;
    }
    return NULL;
}

const struct filesystem *filesystems_next(const struct filesystems *filesystems, const char *after)
{
    for (size_t i = 0; i < filesystems->count; i++)
        if (strcmp(filesystems->list[i].id, after) > 0)
            return &filesystems->list[i];
    return NULL;
}

const struct access_point *filesystems_next_point(const struct filesystems *filesystems,
                                                  const char *filesystem_id, const char *after)
{
    bool is_there = false;
    const struct table *table = &filesystems->points;
    size_t i = after[0] ? place_of(table, str_of(after), &is_there) : 0;
    for (i += is_there; i < table->count; i++) {
        const struct access_point *point = table->list[i];
        if ((!filesystem_id[0] || strcmp(point->filesystem_id, filesystem_id) == 0) &&
            is_shown(filesystems, point))
            return point;
    }
    return NULL;
}

void filesystems_arn(const struct filesystems *filesystems, const char *filesystem_id,
                     char ret_arn[FILESYSTEM_ARN_SIZE])
{
    (void) snprintf(ret_arn, FILESYSTEM_ARN_SIZE, "arn:aws:elasticfilesystem:%s:%s:file-system/%s",
                    filesystems->region, filesystems->account, filesystem_id);
}

void filesystems_point_arn(const struct filesystems *filesystems, const char *point_id,
                           char ret_arn[FILESYSTEM_ARN_SIZE])
{
    (void) snprintf(ret_arn, FILESYSTEM_ARN_SIZE, "arn:aws:elasticfilesystem:%s:%s:access-point/%s",
                    filesystems->region, filesystems->account, point_id);
}

static bool is_within(uint32_t id, uint32_t own, uint32_t first, uint32_t last)
{
    return id != 0 && (id == own || (id >= first && id <= last));
}

bool filesystem_may_have_user(const struct filesystem *filesystem, uint32_t uid, uint32_t gid)
{
    return !filesystem->has_own_identity &&
           is_within(uid, filesystem->uid, filesystem->uid_first, filesystem->uid_last) &&
           is_within(gid, filesystem->gid, filesystem->gid_first, filesystem->gid_last);
}

// ---- what a function gets

// By the file system's ARN, as IAM has it, or the access point's: there are no conditions here that could name it.
static enum role_answer ask(const struct filesystems *filesystems, const char *role,
                            const struct access_point *point, const char *action)
{
    const struct role_asker asker = {.role = role};
    char arn[FILESYSTEM_ARN_SIZE];
    enum role_answer answers[2];
    filesystems_arn(filesystems, point->filesystem_id, arn);
    answers[0] = roles_ask(filesystems->roles, &asker, str_of(action), str_of(arn));
    filesystems_point_arn(filesystems, point->id, arn);
    answers[1] = roles_ask(filesystems->roles, &asker, str_of(action), str_of(arn));
    if (answers[0] == ROLE_DENIED || answers[1] == ROLE_DENIED)
        return ROLE_DENIED;
    return answers[0] == ROLE_ALLOWED ? ROLE_ALLOWED : answers[1];
}

static int check_role(const struct filesystems *filesystems, const char *role_arn,
                      const struct access_point *point, struct filesystem_use *use,
                      struct error *err)
{
    struct role *role = roles_find(filesystems->roles, str_of(role_arn));
    bool is_defined = role != NULL;
    role_unref(role);
    if (!is_defined)
        return 0; // the function names it
    if (ask(filesystems, role_arn, point, "elasticfilesystem:ClientMount") != ROLE_ALLOWED)
        return error_set(err, -EACCES,
                         "the function's role does not allow elasticfilesystem:ClientMount on %s",
                         point->filesystem_id);
    if (ask(filesystems, role_arn, point, "elasticfilesystem:ClientWrite") != ROLE_ALLOWED)
        use->is_read_only = true;
    return 0;
}

static void fill(const struct filesystem *filesystem, const struct access_point *point,
                 struct filesystem_use *use)
{
    memcpy(use->filesystem_id, point->filesystem_id, sizeof(use->filesystem_id));
    memcpy(use->root, point->root, sizeof(use->root));
    use->is_read_only = filesystem->is_read_only || point->is_read_only;
    use->is_immutable = filesystem->is_immutable;
    use->has_user = point->has_user;
    use->uid = point->uid;
    use->gid = point->gid;
    use->has_creation = point->has_creation;
    use->owner_uid = point->owner_uid;
    use->owner_gid = point->owner_gid;
    use->mode = point->mode;
}

int filesystems_resolve(const struct filesystems *filesystems, const char *role, struct str text,
                        struct filesystem_use *ret, struct error *err)
{
    struct filesystem_arn arn;
    struct filesystem_use use = {0};
    if (filesystem_arn_parse(text, &arn) < 0 ||
        !str_equal_text(arn.account, filesystems->account) ||
        !str_equal_text(arn.region, filesystems->region))
        return error_set(err, -ENOENT, "it is not an access point of this account and region");
    const struct access_point *point = filesystems_find_point(filesystems, arn.access_point);
    if (!point || (arn.is_s3_files && !str_equal_text(arn.filesystem, point->filesystem_id)))
        return error_set(err, -ENOENT, "the access point does not exist");
    const struct filesystem *filesystem =
        filesystems_find(filesystems, str_of(point->filesystem_id));
    fill(filesystem, point, &use);
    use.is_s3_files = arn.is_s3_files;
    if ((use.has_user && !filesystem_may_have_user(filesystem, use.uid, use.gid)) ||
        (use.has_creation && !filesystem_may_have_user(filesystem, use.owner_uid, use.owner_gid)))
        return error_set(err, -EPERM, "the file system no longer allows the access point's user");
    int r = check_role(filesystems, role, point, &use, err);
    if (r == 0)
        *ret = use;
    return r;
}

void filesystem_use_to_wire(const struct filesystem_use *use, const char *name,
                            struct spawn_filesystem_use *ret)
{
    struct spawn_filesystem_use wire = {.uid = SPAWN_FILESYSTEM_NO_USER,
                                        .gid = SPAWN_FILESYSTEM_NO_USER};
    memcpy(wire.filesystem_id, use->filesystem_id, strlen(use->filesystem_id));
    memcpy(wire.root, use->root + 1, strlen(use->root + 1));
    memcpy(wire.name, name, strnlen(name, sizeof(wire.name) - 1));
    if (use->is_read_only)
        wire.flags |= SPAWN_FILESYSTEM_RO;
    if (use->has_user) {
        wire.uid = use->uid;
        wire.gid = use->gid;
    }
    if (use->has_creation && !use->is_read_only) {
        wire.flags |= SPAWN_FILESYSTEM_CREATE;
        wire.create_uid = use->owner_uid;
        wire.create_gid = use->owner_gid;
        wire.create_mode = use->mode & 0777;
    }
    *ret = wire;
}

// ---- changes

static void pending_free(struct pending *pending)
{
    free(pending->tags_json);
    free(pending);
}

static struct pending *pending_new(struct filesystems *filesystems, const char *id,
                                   filesystems_done done, void *arg)
{
    struct pending *pending = mem_new(struct pending);
    if (!pending)
        return NULL;
    pending->filesystems = filesystems;
    memcpy(pending->id, id, sizeof(pending->id));
    pending->done = done;
    pending->arg = arg;
    return pending;
}

static struct access_point *apply_tags(struct access_point *point, struct pending *pending)
{
    free(point->tags_json);
    point->tags_json = TAKE_PTR(pending->tags_json);
    return point;
}

static void committed(void *arg, const struct registry_result *result)
{
    struct pending *pending = arg;
    struct table *points = &pending->filesystems->points;
    struct access_point *point = table_find(points, str_of(pending->id));
    bool is_gone = result->err ? pending->kind == PENDING_CREATE : pending->kind == PENDING_DELETE;
    if (point && is_gone) {
        table_remove(points, str_of(pending->id));
        point = NULL;
    } else if (point && !result->err) {
        point->revision = result->revision;
        point->is_pending = false;
        if (pending->kind == PENDING_TAG)
            point = apply_tags(point, pending);
    }
    pending->done(pending->arg, result->err ? NULL : point, result->err);
    pending_free(pending);
}

static int submit(struct filesystems *filesystems, const struct access_point *point,
                  int64_t expected, struct pending *pending)
{
    AUTO_BUF struct buf row = BUF_INIT(ROW_BYTES_MAX);
    int r = access_point_write(point, &row);
    if (r < 0)
        return r;
    return registry_put(filesystems->registry, KIND, point->id, buf_str(&row), expected, committed,
                        pending);
}

static size_t count_of(const struct filesystems *filesystems, const char *filesystem_id)
{
    size_t count = 0;
    for (size_t i = 0; i < filesystems->points.count; i++)
        count += !filesystems->points.list[i]->is_from_file &&
                 strcmp(filesystems->points.list[i]->filesystem_id, filesystem_id) == 0;
    return count;
}

int filesystems_create(struct filesystems *filesystems, struct access_point *draft,
                       filesystems_done done, void *arg)
{
    if (count_of(filesystems, draft->filesystem_id) >= ACCESS_POINTS_OF_ONE_MAX) {
        access_point_free(draft);
        return -ENOSPC;
    }
    filesystem_make_id("fsap-", draft->id);
    draft->is_pending = true;
    int r = table_add(&filesystems->points, draft);
    if (r < 0)
        return r;
    struct pending *pending = pending_new(filesystems, draft->id, done, arg);
    r = pending ? submit(filesystems, draft, REGISTRY_ABSENT, pending) : -ENOMEM;
    if (r < 0) {
        free(pending);
        table_remove(&filesystems->points, str_of(draft->id));
    }
    return r;
}

// The API's, and on the disk.
static int find_own(const struct filesystems *filesystems, struct str id, struct access_point **ret)
{
    struct access_point *point = table_find(&filesystems->points, id);
    if (!point || point->is_pending)
        return -ENOENT;
    if (point->is_from_file)
        return -EROFS;
    *ret = point;
    return 0;
}

int filesystems_delete(struct filesystems *filesystems, struct str id, filesystems_done done,
                       void *arg)
{
    struct access_point *point = NULL;
    int r = find_own(filesystems, id, &point);
    if (r < 0)
        return r;
    struct pending *pending = pending_new(filesystems, point->id, done, arg);
    if (!pending)
        return -ENOMEM;
    pending->kind = PENDING_DELETE;
    r = registry_delete(filesystems->registry, KIND, pending->id, REGISTRY_ANY, committed, pending);
    if (r < 0)
        pending_free(pending);
    return r;
}

int filesystems_tag(struct filesystems *filesystems, struct str id, const char *tags_json,
                    filesystems_done done, void *arg)
{
    struct access_point *point = NULL;
    int r = find_own(filesystems, id, &point);
    if (r < 0)
        return r;
    struct pending *pending = pending_new(filesystems, point->id, done, arg);
    if (!pending)
        return -ENOMEM;
    pending->kind = PENDING_TAG;
    pending->tags_json = tags_json ? mem_copy_text(tags_json) : NULL;
    struct access_point row = *point;
    row.tags_json = pending->tags_json;
    r = tags_json && !pending->tags_json ? -ENOMEM
                                         : submit(filesystems, &row, point->revision, pending);
    if (r < 0)
        pending_free(pending);
    return r;
}
