/* SPDX-License-Identifier: MIT */
#include "daemon/mounts.h"

#include <string.h>

#include "filesystem/filesystems.h"
#include "function/version.h"
#include "wire/spawn.h"

/* Of both ends one build: what is in the struct is NUL-terminated, but nothing depends on it. */
static void take_text(char *to, size_t to_size, const char *from, size_t from_size)
{
    struct str text = str_of_data(from, strnlen(from, from_size));
    (void) !str_copy(text, to, to_size); /* too long: empty, which is refused */
}

static void take_filesystem(struct filesystems *filesystems, const struct spawn_filesystem *row)
{
    struct filesystem one = {
        .is_read_only = row->flags & SPAWN_FILESYSTEM_RO,
        .is_immutable = row->flags & SPAWN_FILESYSTEM_IMMUTABLE,
        .has_own_identity = row->flags & SPAWN_FILESYSTEM_OWN_IDENTITY,
        .uid = row->uid,
        .gid = row->gid,
        .uid_first = row->uid_first,
        .uid_last = row->uid_last,
        .gid_first = row->gid_first,
        .gid_last = row->gid_last,
    };
    take_text(one.id, sizeof(one.id), row->id, sizeof(row->id));
    take_text(one.name, sizeof(one.name), row->name, sizeof(row->name));
    filesystems_add(filesystems, &one);
}

static void take_point(struct filesystems *filesystems, const struct spawn_filesystem *row)
{
    struct access_point one = {
        .is_read_only = row->flags & SPAWN_FILESYSTEM_RO,
        .has_user = row->uid != SPAWN_FILESYSTEM_NO_USER,
        .uid = row->uid,
        .gid = row->gid,
        .root = "/",
    };
    take_text(one.id, sizeof(one.id), row->id, sizeof(row->id));
    take_text(one.filesystem_id, sizeof(one.filesystem_id), row->filesystem_id,
              sizeof(row->filesystem_id));
    take_text(one.root + 1, sizeof(one.root) - 1, row->root, sizeof(row->root));
    filesystems_add_point(filesystems, &one);
}

void mounts_take(struct filesystems *filesystems, const struct spawn_filesystem *row)
{
    switch ((enum spawn_filesystem_kind) row->kind) {
    case SPAWN_FILESYSTEM_BEGIN:
        filesystems_begin(filesystems);
        return;
    case SPAWN_FILESYSTEM_IS:
        take_filesystem(filesystems, row);
        return;
    case SPAWN_FILESYSTEM_ACCESS_POINT:
        take_point(filesystems, row);
        return;
    case SPAWN_FILESYSTEM_END:
        filesystems_end(filesystems);
        return;
    }
}

int mounts_resolve(void *arg, const struct version *version, struct spawn_filesystem_use *ret,
                   struct error *err)
{
    struct filesystem_use use;
    int r = filesystems_resolve(arg, version->role, str_of(version->filesystem.arn), &use, err);
    if (r < 0)
        return r;
    filesystem_use_to_wire(&use, version->filesystem.path + sizeof("/mnt/") - 1, ret);
    return 0;
}
