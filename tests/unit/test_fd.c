// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/fd.h"

#include <signal.h>
#include <sys/socket.h>

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int last_closed;

static int make_and_take(bool take)
{
    AUTO_FD int fd = fd_duplicate(2);
    assert_true(fd >= 3);
    last_closed = fd;
    return take ? TAKE_FD(fd) : -1;
}

static void closes_itself_unless_taken(void **state)
{
    errno = EXDEV;
    assert_int_equal(make_and_take(false), -1);
    assert_int_equal(errno, EXDEV);
    assert_false(is_open(last_closed));
    int fd = make_and_take(true);
    assert_true(is_open(fd));
    assert_int_equal(fd_close(fd), -1);
    assert_int_equal(fd_close(-1), -1);
}

static void reads_and_writes_whole(void **state)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fd_write_all(fds[1], "hello", 5), 0);
    close(fds[1]);
    char data[8] = {0};
    assert_int_equal(fd_read_exactly(fds[0], data, 3), 0);
    assert_string_equal(data, "hel");
    assert_int_equal(fd_read_exactly(fds[0], data, 3), -ENODATA);
    assert_int_equal(fd_read_all(fds[0], data, 3), 0);
    close(fds[0]);
    assert_int_equal(fd_read_all(-1, data, 3), -EBADF);
    assert_int_equal(fd_write_all(-1, data, 3), -EBADF);
}

static void a_gone_peer_is_a_code(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    assert_int_equal(fd_write_all(fds[1], "x", 1), -EPIPE);
    close(fds[1]);
    signal(SIGPIPE, SIG_DFL);
    make_pair(fds);
    close(fds[0]);
    assert_int_equal(fd_send_packet(fds[1], "x", 1, NULL, 0), -EPIPE); // no signal either
    close(fds[1]);
}

static void sets_flags(void **state)
{
    AUTO_FD int fd = fd_duplicate(2);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fd_set_cloexec(fd, false), 0);
    assert_false(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    int fds[2];
    make_pair(fds);
    assert_int_equal(fd_set_nonblocking(fds[0], true), 0);
    char data[4];
    size_t count;
    assert_int_equal(fd_receive_packet(fds[0], data, sizeof data, NULL, 0, &count), -EAGAIN);
    assert_int_equal(fd_set_nonblocking(fds[0], false), 0);
    assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(fd_duplicate(-1), -EBADF);
    assert_int_equal(fd_set_nonblocking(-1, true), -EBADF);
}

static void packets_carry_descriptors(void **state)
{
    int fds[2], pipe_fds[2];
    make_pair(fds);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(fd_send_packet(fds[0], "hello", 5, pipe_fds, 2), 0);
    char data[16] = {0};
    int got[4];
    size_t count = 9;
    assert_int_equal(fd_receive_packet(fds[1], data, sizeof data, got, 4, &count), 5);
    assert_string_equal(data, "hello");
    assert_int_equal(count, 2);
    assert_int_equal(got[2], -1);
    assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
    // It is the same pipe.
    assert_int_equal(fd_write_all(got[1], "x", 1), 0);
    assert_int_equal(fd_read_exactly(pipe_fds[0], data, 1), 0);
    close(fds[0]);
    assert_int_equal(fd_receive_packet(fds[1], data, sizeof data, got + 2, 2, &count),
                     0); // end of file
    for (int i = 0; i < 2; i++) {
        close(got[i]);
        close(pipe_fds[i]);
    }
    close(fds[1]);
}

static int count_open(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += is_open(fd);
    return count;
}

static void a_failed_receive_leaves_no_descriptor_unset(void **state)
{
    int fds[2], got[2] = {STDIN_FILENO, STDIN_FILENO};
    size_t count = 7;
    char data[8];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(fd_send_packet(fds[0], "unread", 6, NULL, 0), 0);
    close(fds[1]); // dies with a packet that it has not read
    assert_int_equal(fd_receive_packet(fds[0], data, sizeof data, got, 2, &count), -ECONNRESET);
    assert_int_equal(count, 0);
    assert_int_equal(got[0], -1);
    assert_int_equal(got[1], -1);
    close(fds[0]);
}

static void packets_that_do_not_fit_leave_nothing_open(void **state)
{
    int fds[2], three[3] = {0, 1, 2}, got[FD_PACKET_MAX];
    char data[4];
    size_t count;
    make_pair(fds);
    int before = count_open();
    // more descriptors than the receiver wants
    assert_int_equal(fd_send_packet(fds[0], "x", 1, three, 3), 0);
    assert_int_equal(fd_receive_packet(fds[1], data, sizeof data, got, 1, &count), -EMSGSIZE);
    assert_int_equal(got[0], -1);
    // more bytes
    assert_int_equal(fd_send_packet(fds[0], "12345", 5, three, 3), 0);
    assert_int_equal(fd_receive_packet(fds[1], data, sizeof data, got, 3, &count), -EMSGSIZE);
    assert_int_equal(count_open(), before);
    int many[FD_PACKET_MAX + 1] = {0};
    assert_int_equal(fd_send_packet(fds[0], "x", 1, many, FD_PACKET_MAX + 1), -E2BIG);
    // the most that may be sent does arrive
    assert_int_equal(fd_send_packet(fds[0], "x", 1, many, FD_PACKET_MAX), 0);
    assert_int_equal(fd_receive_packet(fds[1], data, sizeof data, got, FD_PACKET_MAX, &count), 1);
    assert_int_equal(count, FD_PACKET_MAX);
    for (size_t i = 0; i < count; i++)
        close(got[i]);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closes_itself_unless_taken),
        cmocka_unit_test(reads_and_writes_whole),
        cmocka_unit_test(a_gone_peer_is_a_code),
        cmocka_unit_test(sets_flags),
        cmocka_unit_test(packets_carry_descriptors),
        cmocka_unit_test(a_failed_receive_leaves_no_descriptor_unset),
        cmocka_unit_test(packets_that_do_not_fit_leave_nothing_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
