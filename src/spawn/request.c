// SPDX-License-Identifier: MIT

#include "spawn/request.h"

#include "wire/filesystems_file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MIB UINT64_C(1048576)

// NAME=value\0 ...: each name has at least a byte, the last byte is a NUL, not too many.
static bool env_is_valid(const char *env, size_t size)
{
    size_t count = 0;
    for (size_t at = 0; at < size; count++) {
        const char *end = memchr(env + at, '\0', size - at);
        if (!end)
            return false;
        const char *equals = memchr(env + at, '=', (size_t) (end - env) - at);
        if (!equals || equals == env + at)
            return false;
        at = (size_t) (end - env) + 1;
    }
    return count <= SPAWN_ENV_VARIABLES_MAX;
}

// Ends within its field, and nothing is behind its end.
static bool text_is_valid(const char *text, size_t size)
{
    const size_t length = strnlen(text, size);
    for (size_t i = length; i < size; i++)
        if (text[i] != '\0')
            return false;
    return length < size;
}

static bool is_user(uint32_t uid)
{
    return uid != 0 && uid != SPAWN_FILESYSTEM_NO_USER;
}

static bool filesystem_is_valid(const struct spawn_filesystem_use *use, bool has_name)
{
    const bool is_created = use->flags & SPAWN_FILESYSTEM_CREATE;
    return text_is_valid(use->filesystem_id, sizeof(use->filesystem_id)) &&
           text_is_valid(use->root, sizeof(use->root)) &&
           text_is_valid(use->name, sizeof(use->name)) &&
           filesystem_id_is_valid(str_of(use->filesystem_id), "fs-") &&
           filesystem_path_is_valid(str_of(use->root), SPAWN_FILESYSTEM_LEVELS_MAX) &&
           (has_name ? filesystem_name_is_valid(str_of(use->name)) : use->name[0] == '\0') &&
           (use->flags & ~(uint32_t) (SPAWN_FILESYSTEM_RO | SPAWN_FILESYSTEM_CREATE)) == 0 &&
           (is_user(use->uid) ? is_user(use->gid)
                              : use->uid == SPAWN_FILESYSTEM_NO_USER && use->gid == use->uid) &&
           (is_created
                ? is_user(use->create_uid) && is_user(use->create_gid) && use->create_mode <= 0777
                : use->create_uid == 0 && use->create_gid == 0 && use->create_mode == 0);
}

// None at all: zeroed.
static bool filesystem_is_none(const struct spawn_filesystem_use *use)
{
    static const struct spawn_filesystem_use none;
    return memcmp(use, &none, sizeof(none)) == 0;
}

static bool file_is_valid(const struct spawn_file *file, size_t size)
{
    const uint32_t known_flags = SPAWN_FILE_READ | SPAWN_FILE_DROP_CACHE;
    return size == sizeof(*file) && filesystem_is_valid(&file->use, false) &&
           (file->flags & ~known_flags) == 0 && file->reserved == 0 &&
           text_is_valid(file->path, sizeof(file->path)) &&
           filesystem_path_is_valid(str_of(file->path), SIZE_MAX) &&
           (file->path[0] != '\0' || !(file->flags & SPAWN_FILE_READ)) &&
           // Only a root is made.
           (file->path[0] == '\0' || !(file->use.flags & SPAWN_FILESYSTEM_CREATE));
}

static bool start_is_valid(const struct spawn_start *start, size_t size)
{
    const size_t fixed = offsetof(struct spawn_start, env);
    const uint32_t known_flags = SPAWN_START_HOT | SPAWN_START_FROM_NOTHING |
                                 SPAWN_START_NO_WAITER | SPAWN_START_TEMPLATE |
                                 SPAWN_START_MODEL_FD | SPAWN_START_SPARE;
    return size >= fixed && start->env_size <= SPAWN_ENV_MAX && size == fixed + start->env_size &&
           start->head.id != 0 && (start->flags & ~known_flags) == 0 &&
           // A fork has what its template has, and is none itself.
           (start->template_id == 0 ||
            !(start->flags & (SPAWN_START_TEMPLATE | SPAWN_START_MODEL_FD))) &&
           (start->template_id != 0 || !(start->flags & SPAWN_START_SPARE)) &&
           start->memory_bytes >= 16 * MIB && start->memory_bytes <= SPAWN_MEMORY_MIB_MAX * MIB &&
           start->tmp_bytes >= MIB && start->tmp_bytes <= SPAWN_TMP_MIB_MAX * MIB &&
           start->cpu_millis <= 1024 * 1000 && start->pids_max <= 65536 &&
           start->bootstrap < SPAWN_BOOTSTRAP_COUNT && start->reserved == 0 &&
           (filesystem_is_none(&start->filesystem) ||
            filesystem_is_valid(&start->filesystem, true)) &&
           env_is_valid(start->env, start->env_size);
}

static bool work_is_valid(const struct spawn_work *work, size_t size)
{
    if (size != sizeof(*work)) // nothing behind the packet's end is read
        return false;
    const bool is_cache = work->flags == SPAWN_WORK_CACHE;
    return (is_cache ? work->cpu_seconds == 0
                     : work->cpu_seconds >= 1 && work->cpu_seconds <= 3600) &&
           work->memory_bytes >= 16 * MIB && work->memory_bytes <= SPAWN_MEMORY_MIB_MAX * MIB &&
           (is_cache || (work->flags & ~(uint32_t) SPAWN_WORK_ENGINE) == 0) && work->reserved == 0;
}

int request_check(const union request *request, size_t size, size_t fd_count,
                  enum request_channel channel)
{
    if (size < sizeof(request->head) || request->head.version != SPAWN_VERSION ||
        request->head.size != size)
        return -EPROTO;
    bool is_valid = false;
    size_t fds_needed = 0;
    switch (request->head.type) {
    case SPAWN_START:
        is_valid = start_is_valid(&request->start, size);
        fds_needed = is_valid && request->start.flags & SPAWN_START_MODEL_FD ? 1 : 0;
        break;
    case SPAWN_KILL:
    case SPAWN_FREEZE:
    case SPAWN_THAW:
    case SPAWN_STATS:
    case SPAWN_INIT_DONE:
        is_valid = size == sizeof(request->plain) && request->head.id != 0;
        break;
    case SPAWN_TREE_FORGET:
        is_valid = size == sizeof(request->forget);
        break;
    case SPAWN_WORK:
        is_valid = work_is_valid(&request->work, size);
        fds_needed = SPAWN_WORK_FDS;
        break;
    case SPAWN_FILE:
        is_valid = file_is_valid(&request->file, size);
        fds_needed = is_valid && request->file.flags & SPAWN_FILE_READ ? 2 : 1;
        break;
    default:
        break;
    }
    const bool is_work = request->head.type == SPAWN_WORK || request->head.type == SPAWN_FILE;
    if (!is_valid || fd_count != fds_needed || is_work != (channel == REQUEST_WORK))
        return -EPROTO;
    return 0;
}
