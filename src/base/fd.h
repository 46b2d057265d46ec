// SPDX-License-Identifier: MIT
//
// File descriptors that close themselves, whole reads and writes, and packets with descriptors.
//
//     AUTO_FD int fd = fs_open_beneath(dir, "x", O_RDONLY, 0);
//     if (fd < 0)
//         return fd;
//     object->fd = TAKE_FD(fd);
//
// Descriptors are CLOEXEC from birth. close() is never retried: on Linux the number is free even
// after EINTR.

#ifndef LAMINA_BASE_FD_H
#define LAMINA_BASE_FD_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Closes if >= 0; `errno` is preserved. Returns -1, for `fd = fd_close(fd)`.
int fd_close(int fd);
void fd_close_pointer(const int *fd);

#define AUTO_FD AUTO(fd_close_pointer)

// The descriptor; the variable becomes -1.
#define TAKE_FD(fd)                                                                                \
    __extension__({                                                                                \
        int *take_fd_ = &(fd);                                                                     \
        int taken_fd_ = *take_fd_;                                                                 \
        *take_fd_ = -1;                                                                            \
        taken_fd_;                                                                                 \
    })

// Reads until `size` bytes or end of file; retries EINTR. Returns the number of bytes (fewer only
// at end of file) or -errno. For blocking descriptors.
ssize_t fd_read_all(int fd, void *data, size_t size) MUST_CHECK;

// Exactly `size` bytes, else -ENODATA (end of file came first) or -errno.
int fd_read_exactly(int fd, void *data, size_t size) MUST_CHECK;

// Writes all; retries EINTR and short writes. A peer that is gone is -EPIPE, never a signal only
// if SIGPIPE is ignored: each of our programs ignores it in main.
int fd_write_all(int fd, const void *data, size_t size) MUST_CHECK;

int fd_set_nonblocking(int fd, bool is_nonblocking) MUST_CHECK;
int fd_set_cloexec(int fd, bool is_cloexec) MUST_CHECK;

// A second, CLOEXEC descriptor for the same open file; -errno.
int fd_duplicate(int fd) MUST_CHECK;

// Most descriptors in one packet (the kernel's SCM_MAX_FD is 253; we never need many).
#define FD_PACKET_MAX 16

// Sends one packet on a SEQPACKET (or DGRAM) unix socket, with `fd_count` descriptors, which stay
// the caller's. All or nothing: 0, or -EAGAIN (nonblocking and full), -EPIPE, -EMSGSIZE, -E2BIG
// (too many descriptors), other -errno. EINTR is retried; no SIGPIPE.
int fd_send_packet(int fd, const void *data, size_t size, const int *fds,
                   size_t fd_count) MUST_CHECK;

// Receives one packet. Returns its size (> 0), 0 at end of file, or -errno: -EAGAIN, -EMSGSIZE
// when the packet or its descriptors did not fit (everything is then dropped and closed: on our
// channels that is a broken peer). Received descriptors are CLOEXEC and the caller's: they fill
// ret_fds[0 .. *ret_fd_count), the rest of ret_fds is set to -1, also on failure, so that callers may close
// what they have in any case. `fd_max` <= FD_PACKET_MAX.
ssize_t fd_receive_packet(int fd, void *data, size_t size, int *ret_fds, size_t fd_max,
                          size_t *ret_fd_count) MUST_CHECK;

#endif
