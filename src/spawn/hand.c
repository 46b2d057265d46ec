// SPDX-License-Identifier: MIT

#include "spawn/hand.h"

#include "base/clock.h"
#include "base/fd.h"
#include "spawn/hand_open.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t) 1 << 20)

// A reader that is gone does not want it.
static void say(int status_fd, struct spawn_head *head, uint16_t type, uint64_t id, size_t size)
{
    *head = (struct spawn_head){
        .version = SPAWN_VERSION, .type = type, .size = (uint32_t) size, .id = id};
    (void) !fd_send_packet(status_fd, head, size, NULL, 0);
}

void hand_say_error(int status_fd, uint64_t id, uint32_t error, uint32_t has_looked)
{
    struct spawn_file_is is = {.error = error};
    struct spawn_file_end end = {.error = error};
    if (has_looked)
        say(status_fd, &end.head, SPAWN_FILE_END, id, sizeof(end));
    else
        say(status_fd, &is.head, SPAWN_FILE_IS, id, sizeof(is));
}

static int64_t nanoseconds(struct statx_timestamp at)
{
    return at.tv_sec * CLOCK_NS_PER_S + at.tv_nsec;
}

static int look(int fd, struct statx *ret_at)
{
    return statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, ret_at) < 0
               ? -errno
               : 0;
}

static void say_what_it_is(const struct filesystem_line *line, int status_fd, uint64_t id,
                           const struct statx *at)
{
    struct spawn_file_is is = {
        .flags = line->flags & (SPAWN_FILESYSTEM_FOREIGN | SPAWN_FILESYSTEM_IMMUTABLE),
        .size = at->stx_size,
        .inode = at->stx_ino,
        .device = (uint64_t) at->stx_dev_major << 32 | at->stx_dev_minor,
        .mtime_ns = nanoseconds(at->stx_mtime),
        .ctime_ns = nanoseconds(at->stx_ctime),
    };
    say(status_fd, &is.head, SPAWN_FILE_IS, id, sizeof(is));
}

// ---- reading ------------------------------------------------------------------------------------

// Until there is room in the pipe. That takes its reader's time, not the file system's.
static int wait_for_room(int output_fd, int status_fd)
{
    struct pollfd polled[] = {{.fd = output_fd, .events = POLLOUT}, {.fd = status_fd}};
    if (poll(polled, 2, -1) < 0)
        return errno == EINTR ? 0 : -errno;
    return polled[1].revents || polled[0].revents & POLLERR ? -EPIPE : 0;
}

// One piece from the file into the pipe; 0: the end. Not every file system can splice: then its pages are copied.
static ssize_t move_piece(int fd, int output_fd, struct hand_state *state, bool *can_splice)
{
    static char *piece;
    ssize_t size = -1;
    if (!*can_splice && !piece && !(piece = malloc(PIECE_BYTES)))
        return -ENOMEM;
    atomic_store(&state->reading_ms, clock_monotonic_ms());
    if (*can_splice)
        size = splice(fd, NULL, output_fd, NULL, PIECE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    else
        size = read(fd, piece, PIECE_BYTES);
    size = size < 0 ? -errno : size;
    atomic_store(&state->reading_ms, 0);
    if (*can_splice && size == -EINVAL) {
        *can_splice = false;
        return -EAGAIN;
    }
    const int r = *can_splice || size <= 0 ? 0 : fd_write_all(output_fd, piece, (size_t) size);
    return r < 0 ? r : size;
}

static int move_all(int fd, int status_fd, int output_fd, struct hand_state *state,
                    uint64_t *ret_bytes)
{
    bool can_splice = true;
    *ret_bytes = 0;
    (void) fcntl(output_fd, F_SETPIPE_SZ, (int) PIECE_BYTES);
    (void) posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (;;) {
        const int r = wait_for_room(output_fd, status_fd);
        if (r < 0)
            return r;
        const ssize_t size = move_piece(fd, output_fd, state, &can_splice);
        if (size == 0)
            return 0;
        if (size < 0 && size != -EAGAIN && size != -EINTR)
            return (int) size;
        *ret_bytes += size > 0 ? (uint64_t) size : 0;
    }
}

static void read_file(const struct mounter_order *order, int fd, int status_fd, int output_fd,
                      struct hand_state *state)
{
    struct spawn_file_end end = {0};
    struct statx at = {0};
    if (order->file_flags & SPAWN_FILE_DROP_CACHE)
        (void) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    int r = move_all(fd, status_fd, output_fd, state, &end.bytes);
    if (r == 0) {
        atomic_store(&state->reading_ms, clock_monotonic_ms());
        r = look(fd, &at);
    }
    end.error = (uint32_t) -r;
    end.size = at.stx_size;
    end.mtime_ns = nanoseconds(at.stx_mtime);
    end.ctime_ns = nanoseconds(at.stx_ctime);
    say(status_fd, &end.head, SPAWN_FILE_END, order->ticket, sizeof(end));
}

// ---- orders -------------------------------------------------------------------------------------

static int open_root(const struct filesystem_line *line, const struct spawn_filesystem_use *use)
{
    AUTO_FD int filesystem = hand_open_filesystem(line);
    struct spawn_filesystem_use allowed = *use;
    if (filesystem < 0)
        return filesystem;
    if (line->flags & SPAWN_FILESYSTEM_RO) // nothing is made there, by us neither
        allowed.flags &= ~(uint32_t) SPAWN_FILESYSTEM_CREATE;
    const int root = hand_open_root(filesystem, &allowed);
    return root == -ENOENT && allowed.flags != use->flags ? -EROFS : root;
}

static int open_wanted(const struct filesystem_line *line, const struct mounter_order *order)
{
    AUTO_FD int root = open_root(line, &order->use);
    if (root < 0 || order->path[0] == '\0')
        return TAKE_FD(root);
    const int r = hand_act_as_user(line, &order->use);
    return r < 0 ? r : hand_open_file(root, order->path);
}

// An instance could have that root: all of it is tried but the last step.
static int try_mount(const struct filesystem_line *line, const struct mounter_order *order,
                     int root)
{
    AUTO_FD int tree = hand_mount(line, &order->use, root, order->sandbox_uid);
    return tree < 0 ? tree : 0;
}

static void do_file(const struct filesystem_line *line, const struct mounter_order *order,
                    int status_fd, int output_fd, struct hand_state *state)
{
    struct statx at = {0};
    AUTO_FD int fd = open_wanted(line, order);
    int r = fd < 0 ? fd : 0;
    if (r == 0 && order->path[0] == '\0')
        r = try_mount(line, order, fd);
    if (r == 0)
        r = look(fd, &at);
    if (r == 0)
        say_what_it_is(line, status_fd, order->ticket, &at);
    else
        hand_say_error(status_fd, order->ticket, (uint32_t) -r, 0);
    atomic_store(&state->has_looked, 1);
    if (r == 0 && order->file_flags & SPAWN_FILE_READ)
        read_file(order, fd, status_fd, output_fd, state);
    hand_act_as_root();
}

static int do_mount(const struct filesystem_line *line, const struct mounter_order *order)
{
    AUTO_FD int root = open_root(line, &order->use);
    return root < 0 ? root : hand_mount(line, &order->use, root, order->sandbox_uid);
}

static int obey(const struct filesystem_line *line, const struct mounter_order *order,
                const int fds[2], struct hand_state *state)
{
    if (order->type == MOUNTER_MOUNT)
        return do_mount(line, order);
    if (order->type == MOUNTER_CHECK)
        return hand_open_filesystem(line);
    do_file(line, order, fds[0], fds[1], state);
    return 0;
}

void hand_run(const struct filesystem_line *line, int fd, struct hand_state *state)
{
    static struct mounter_order order;
    int fds[2];
    size_t count;
    (void) prctl(PR_SET_NAME, "lamina-hand", 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    while (fd_receive_packet(fd, &order, sizeof(order), fds, 2, &count) == sizeof(order)) {
        const int r = obey(line, &order, fds, state);
        const struct hand_answer answer = {.error = r < 0 ? (uint32_t) -r : 0};
        const bool has_mount = order.type == MOUNTER_MOUNT && r >= 0;
        const int sent = fd_send_packet(fd, &answer, sizeof(answer), &r, has_mount);
        if (order.type != MOUNTER_FILE && r >= 0)
            fd_close(r);
        for (size_t i = 0; i < count; i++)
            fd_close(fds[i]);
        atomic_store(&state->reading_ms, 0);
        if (sent < 0)
            break;
    }
    _exit(0);
}
