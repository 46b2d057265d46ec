// SPDX-License-Identifier: MIT

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int fd_close(int fd)
{
    if (fd >= 0) {
        int saved_errno = errno;
        close(fd);
        errno = saved_errno;
    }
    return -1;
}

void fd_close_pointer(const int *fd)
{
    (void) fd_close(*fd);
}

ssize_t fd_read_all(int fd, void *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(fd, (char *) data + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t) got;
    }
    return (ssize_t) done;
}

int fd_read_exactly(int fd, void *data, size_t size)
{
    ssize_t got = fd_read_all(fd, data, size);
    if (got < 0)
        return (int) got;
    return (size_t) got == size ? 0 : -ENODATA;
}

int fd_write_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t put = write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        at += put;
        size -= (size_t) put;
    }
    return 0;
}

int fd_set_nonblocking(int fd, bool is_nonblocking)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    int wanted = is_nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0)
        return -errno;
    return 0;
}

int fd_set_cloexec(int fd, bool is_cloexec)
{
    return fcntl(fd, F_SETFD, is_cloexec ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int fd_duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3); // never 0-2: a later dup2 onto those would hit it
    return copy < 0 ? -errno : copy;
}

// Room for the descriptors of one packet, aligned as the kernel wants it.
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(FD_PACKET_MAX * sizeof(int))];
};

int fd_send_packet(int fd, const void *data, size_t size, const int *fds, size_t fd_count)
{
    if (fd_count > FD_PACKET_MAX)
        return -E2BIG;
    union {
        const void *from;
        void *to;
    } content = {.from = data}; // sendmsg only reads; its type predates const
    struct iovec part = {.iov_base = content.to, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    if (fd_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        assert(header);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    }
    for (;;) {
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

// Copies the descriptors out of a received message, and closes those that are too many. Returns
// false if any were.
static bool take_descriptors(struct msghdr *message, int *ret_fds, size_t fd_max, size_t *count)
{
    bool all_fit = true;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
            if (*count < fd_max) {
                ret_fds[(*count)++] = fd;
            } else {
                (void) fd_close(fd);
                all_fit = false;
            }
        }
    }
    return all_fit;
}

ssize_t fd_receive_packet(int fd, void *data, size_t size, int *ret_fds, size_t fd_max,
                          size_t *ret_fd_count)
{
    assert(fd_max <= FD_PACKET_MAX);
    struct iovec part = {.iov_base = data, .iov_len = size};
    union control control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got;
    size_t count = 0;
    for (size_t i = 0; i < fd_max; i++)
        ret_fds[i] = -1;
    if (ret_fd_count)
        *ret_fd_count = 0;
    do {
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    bool all_fit = take_descriptors(&message, ret_fds, fd_max, &count);
    if (!all_fit || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        for (size_t i = 0; i < count; i++)
            ret_fds[i] = fd_close(ret_fds[i]);
        return -EMSGSIZE;
    }
    if (ret_fd_count)
        *ret_fd_count = count;
    return got;
}
