// SPDX-License-Identifier: MIT

#include "spawn/filesystems.h"

#include "base/fd.h"
#include "base/log.h"
#include "spawn/hand.h"
#include "spawn/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

// ---- the table ----------------------------------------------------------------------------------

int filesystems_open(struct filesystems *filesystems, const char *path, int mounts_fd, int root_fd,
                     struct error *err)
{
    filesystems->path = path;
    filesystems->place = (struct mounter_place){.mounts_fd = mounts_fd, .root_fd = root_fd};
    filesystems->file = calloc(1, sizeof(*filesystems->file));
    for (size_t i = 0; i < ARRAY_SIZE(filesystems->mounters); i++)
        filesystems->mounters[i].fd = -1;
    if (!filesystems->file)
        return error_set(err, -ENOMEM, "no memory for the table of file systems");
    return filesystems_file_read(root_fd, path, filesystems->file, err);
}

static void tell(struct monitor *monitor, const struct spawn_filesystem *row)
{
    struct spawn_filesystem message = *row;
    monitor_send(monitor, &message.head, SPAWN_FILESYSTEM, 0, sizeof(message), NULL, 0);
}

static void tell_filesystem(struct monitor *monitor, const struct filesystem_line *line)
{
    struct spawn_filesystem row = {.kind = SPAWN_FILESYSTEM_IS,
                                   .flags = line->flags,
                                   .uid = line->uid,
                                   .gid = line->gid,
                                   .uid_first = line->uid_first,
                                   .uid_last = line->uid_last,
                                   .gid_first = line->gid_first,
                                   .gid_last = line->gid_last};
    memcpy(row.id, line->id, sizeof(row.id));
    memcpy(row.name, line->name, sizeof(row.name));
    tell(monitor, &row);
}

void filesystems_tell(struct monitor *monitor)
{
    const struct filesystems_file *file = monitor->filesystems.file;
    tell(monitor, &(struct spawn_filesystem){.kind = SPAWN_FILESYSTEM_BEGIN});
    for (uint32_t i = 0; i < file->filesystem_count; i++) {
        const struct filesystem_line *line = &file->filesystems[i];
        tell_filesystem(monitor, line);
        for (uint32_t j = 0; j < file->access_point_count; j++) {
            const struct access_point_line *point = &file->access_points[j];
            if (strcmp(point->filesystem_id, line->id) != 0)
                continue;
            struct spawn_filesystem row = {.kind = SPAWN_FILESYSTEM_ACCESS_POINT,
                                           .flags = point->flags,
                                           .uid = point->uid,
                                           .gid = point->gid};
            memcpy(row.id, point->id, sizeof(row.id));
            memcpy(row.filesystem_id, point->filesystem_id, sizeof(row.filesystem_id));
            memcpy(row.root, point->root, sizeof(row.root));
            memcpy(row.name, point->name, sizeof(row.name));
            tell(monitor, &row);
        }
    }
    tell(monitor, &(struct spawn_filesystem){.kind = SPAWN_FILESYSTEM_END});
}

void filesystems_reload(struct monitor *monitor)
{
    struct filesystems *filesystems = &monitor->filesystems;
    struct error err = {0};
    struct filesystems_file *file = calloc(1, sizeof(*file));
    if (!file ||
        filesystems_file_read(filesystems->place.root_fd, filesystems->path, file, &err) < 0) {
        log_error("spawn.filesystems", "error=%s: the table stays as it was",
                  LOG_TEXT(file ? err.text : "no memory"));
        free(file);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(filesystems->mounters); i++) {
        if (filesystems->mounters[i].fd < 0)
            continue;
        const char *id = filesystems->mounters[i].id;
        const struct filesystem_line *then = filesystems_file_find(filesystems->file, id);
        const struct filesystem_line *now = filesystems_file_find(file, id);
        if (!then || !now || memcmp(then, now, sizeof(*now)) != 0)
            filesystems_drop(monitor, (uint32_t) i);
    }
    free(filesystems->file);
    filesystems->file = file;
    log_info("spawn.filesystems", "filesystems=%u access_points=%u", file->filesystem_count,
             file->access_point_count);
    filesystems_tell(monitor);
}

int filesystems_check(const struct monitor *monitor, const struct spawn_filesystem_use *use)
{
    const struct filesystem_line *line =
        filesystems_file_find(monitor->filesystems.file, use->filesystem_id);
    if (!line)
        return -ENODEV;
    const bool has_user = use->uid != SPAWN_FILESYSTEM_NO_USER;
    const bool is_made = use->flags & SPAWN_FILESYSTEM_CREATE;
    if (line->flags & SPAWN_FILESYSTEM_OWN_IDENTITY)
        return has_user || is_made ? -EOPNOTSUPP : 0;
    if ((has_user && !filesystem_allows_user(line, use->uid, use->gid)) ||
        (is_made && !filesystem_allows_user(line, use->create_uid, use->create_gid)))
        return -EPERM;
    return 0;
}

bool filesystems_may_wait(const struct monitor *monitor, const struct spawn_filesystem_use *use)
{
    const struct filesystem_line *line =
        filesystems_file_find(monitor->filesystems.file, use->filesystem_id);
    return use->filesystem_id[0] == '\0' || (line && !(line->flags & SPAWN_FILESYSTEM_FOREIGN));
}

// ---- mounters -----------------------------------------------------------------------------------

// Its process, or *ret_index only: it is started if none runs.
static int mounter_find(struct monitor *monitor, const char *id, uint32_t *ret_index)
{
    struct filesystems *filesystems = &monitor->filesystems;
    uint32_t unused = ARRAY_SIZE(filesystems->mounters);
    for (uint32_t i = 0; i < ARRAY_SIZE(filesystems->mounters); i++) {
        if (filesystems->mounters[i].fd < 0)
            unused = i;
        else if (strcmp(filesystems->mounters[i].id, id) == 0) {
            *ret_index = i;
            return 0;
        }
    }
    const struct filesystem_line *line = filesystems_file_find(filesystems->file, id);
    if (!line || unused == ARRAY_SIZE(filesystems->mounters))
        return -ENODEV;
    pid_t pid;
    int r = mounter_start(&filesystems->place, line, &filesystems->mounters[unused].fd, &pid);
    if (r < 0)
        return r;
    memcpy(filesystems->mounters[unused].id, id, sizeof(filesystems->mounters[unused].id));
    r = monitor_watch(monitor, filesystems->mounters[unused].fd, EPOLLIN, SOURCE_MOUNTER, unused);
    if (r < 0)
        filesystems_drop(monitor, unused);
    *ret_index = unused;
    return r;
}

static bool is_waiting(const struct sandbox *sandbox, uint32_t mounter)
{
    return sandbox->state == SANDBOX_ROOTING && sandbox->mount_ticket != 0 &&
           sandbox->mounter == mounter + 1;
}

static void mount_failed(struct monitor *monitor, struct sandbox *sandbox, uint32_t error)
{
    parked_start_free(sandbox->parked);
    sandbox->parked = NULL;
    sandbox->mount_ticket = 0;
    if (sandbox->id == 0) // a waiter: no other is made until somebody asks again
        pool_forget_filesystem(monitor, sandbox->shape.filesystem.filesystem_id);
    sandbox->has_failed = true;
    sandbox->failed_step = SPAWN_STEP_FILESYSTEM;
    sandbox->failed_error = error;
    monitor_kill(monitor, sandbox);
}

// Who has a mount of it has a dead one, for ever.
static void server_gone(struct monitor *monitor, uint32_t mounter)
{
    for (uint32_t i = 0; i < monitor->slot_count; i++) {
        struct sandbox *sandbox = &monitor->sandboxes[i];
        struct spawn_done gone = {.error = ENOTCONN};
        if (sandbox->mounter != mounter + 1 || sandbox->mount_ticket != 0)
            continue;
        sandbox->mounter = 0;
        if (sandbox->id != 0)
            monitor_send(monitor, &gone.head, SPAWN_UNMOUNTED, sandbox->id, sizeof(gone), NULL, 0);
    }
}

// It ends when its socket is closed, and the FUSE program with it. Who waits for it has waited in vain.
void filesystems_drop(struct monitor *monitor, uint32_t mounter)
{
    const char *id = monitor->filesystems.mounters[mounter].id;
    const struct filesystem_line *line = filesystems_file_find(monitor->filesystems.file, id);
    monitor->filesystems.mounters[mounter].fd = fd_close(monitor->filesystems.mounters[mounter].fd);
    pool_forget_filesystem(monitor, id);
    if (line && line->flags & SPAWN_FILESYSTEM_FOREIGN)
        server_gone(monitor, mounter);
    for (uint32_t i = 0; i < monitor->slot_count; i++) {
        struct sandbox *sandbox = &monitor->sandboxes[i];
        if (is_waiting(sandbox, mounter))
            mount_failed(monitor, sandbox, ENOTCONN);
        if (sandbox->mounter == mounter + 1)
            sandbox->mounter = 0;
    }
}

// ---- orders -------------------------------------------------------------------------------------

void parked_start_free(struct parked_start *parked)
{
    if (parked)
        fd_close(parked->model_fd);
    free(parked);
}

static struct parked_start *parked_start_new(const struct spawn_start *start, int model_fd)
{
    struct parked_start *parked = malloc(sizeof(*parked));
    if (!parked)
        return NULL;
    memcpy(&parked->start, start, offsetof(struct spawn_start, env) + start->env_size);
    parked->model_fd = model_fd < 0 ? -1 : fcntl(model_fd, F_DUPFD_CLOEXEC, 3);
    if (model_fd >= 0 && parked->model_fd < 0) {
        parked_start_free(parked);
        return NULL;
    }
    return parked;
}

// A mounter that has ended, and of whose end the loop has not heard yet, makes room for a new one.
static int send_order(struct monitor *monitor, struct mounter_order *order, const int *fds,
                      size_t fd_count, uint32_t *ret_index)
{
    for (bool is_second = false;; is_second = true) {
        int r = mounter_find(monitor, order->use.filesystem_id, ret_index);
        if (r < 0)
            return r;
        r = fd_send_packet(monitor->filesystems.mounters[*ret_index].fd, order, sizeof(*order), fds,
                           fd_count);
        if (is_second || (r != -EPIPE && r != -ECONNRESET))
            return r;
        filesystems_drop(monitor, *ret_index);
    }
}

int filesystems_order_mount(struct monitor *monitor, struct sandbox *sandbox,
                            const struct spawn_start *start, int model_fd)
{
    struct mounter_order order = {.type = MOUNTER_MOUNT,
                                  .ticket = ++monitor->filesystems.ticket,
                                  .sandbox_uid = monitor->tools.uid_first + sandbox->slot,
                                  .use = sandbox->shape.filesystem};
    uint32_t mounter = 0;
    sandbox->mount_ticket = order.ticket;
    sandbox->parked = start ? parked_start_new(start, model_fd) : NULL;
    int r = start && !sandbox->parked ? -ENOMEM : send_order(monitor, &order, NULL, 0, &mounter);
    if (r == 0)
        sandbox->mounter = mounter + 1;
    if (r < 0)
        mount_failed(monitor, sandbox, (uint32_t) -r);
    return r;
}

// A hand writes into them as root, and strangers' bytes: nobody is to be talked to that way, nor a full socket to be waited for.
static int check_file_fds(int status, int output)
{
    int domain = -1, type = -1;
    socklen_t size = sizeof(int);
    if (getsockopt(status, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX ||
        getsockopt(status, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET ||
        fd_set_nonblocking(status, true) < 0)
        return -EBADF;
    // Asked so that a descriptor of a mount that hangs is not touched.
    return output < 0 || fcntl(output, F_GETPIPE_SZ) > 0 ? 0 : -EINVAL;
}

void filesystems_order_file(struct monitor *monitor, const struct spawn_file *file, int fds[2])
{
    AUTO_FD int status = fds[SPAWN_FILE_STATUS];
    AUTO_FD int output = fds[SPAWN_FILE_OUTPUT];
    struct mounter_order order = {.type = MOUNTER_FILE,
                                  .file_flags = file->flags,
                                  .ticket = file->head.id,
                                  .sandbox_uid = monitor->tools.uid_first,
                                  .use = file->use};
    uint32_t mounter;
    memcpy(order.path, file->path, sizeof(order.path));
    int r = check_file_fds(status, output);
    if (r == -EBADF)
        return;
    if (r == 0)
        r = filesystems_check(monitor, &file->use);
    if (r == 0)
        r = send_order(monitor, &order, fds, output >= 0 ? 2 : 1, &mounter);
    if (r < 0)
        hand_say_error(status, file->head.id, (uint32_t) -r, 0);
}

void filesystems_check_server(struct monitor *monitor, const struct sandbox *sandbox)
{
    const struct mounter_order order = {.type = MOUNTER_CHECK};
    if (sandbox->mounter > 0) // one that is dead, or too busy, needs none
        (void) !fd_send_packet(monitor->filesystems.mounters[sandbox->mounter - 1].fd, &order,
                               sizeof(order), NULL, 0);
}

void filesystems_end(struct monitor *monitor)
{
    for (size_t i = 0; i < ARRAY_SIZE(monitor->filesystems.mounters); i++)
        monitor->filesystems.mounters[i].fd = fd_close(monitor->filesystems.mounters[i].fd);
}

// ---- answers ------------------------------------------------------------------------------------

// Its root can be made now, and what was asked for be run in it.
static void mounted(struct monitor *monitor, struct sandbox *sandbox, int tree)
{
    struct parked_start *parked = sandbox->parked;
    sandbox->parked = NULL;
    sandbox->mount_ticket = 0;
    int r = sandbox_send_root(&sandbox->parts, &sandbox->shape, tree);
    if (r == 0 && parked)
        r = sandbox_send_run(&sandbox->parts, &parked->start, parked->model_fd);
    parked_start_free(parked);
    if (r < 0)
        monitor_kill(monitor, sandbox);
}

static struct sandbox *find_waiting(struct monitor *monitor, uint32_t mounter,
                                    const struct mounter_answer *answer)
{
    for (uint32_t i = 0; answer->type == MOUNTER_MOUNT && i < monitor->slot_count; i++)
        if (is_waiting(&monitor->sandboxes[i], mounter) &&
            monitor->sandboxes[i].mount_ticket == answer->ticket)
            return &monitor->sandboxes[i];
    return NULL;
}

void filesystems_read(struct monitor *monitor, uint32_t mounter)
{
    struct mounter_answer answer;
    int tree;
    size_t count;
    const ssize_t size = fd_receive_packet(monitor->filesystems.mounters[mounter].fd, &answer,
                                           sizeof(answer), &tree, 1, &count);
    if (size == -EAGAIN)
        return;
    if (size != sizeof(answer)) {
        filesystems_drop(monitor, mounter);
        return;
    }
    if (answer.type == MOUNTER_GONE)
        server_gone(monitor, mounter);
    struct sandbox *sandbox = find_waiting(monitor, mounter, &answer);
    if (sandbox && answer.error == 0 && tree >= 0)
        mounted(monitor, sandbox, tree);
    else if (sandbox)
        mount_failed(monitor, sandbox, answer.error);
    fd_close(tree);
}
