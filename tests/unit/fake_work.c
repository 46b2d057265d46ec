// SPDX-License-Identifier: MIT

#include "unit.h"

#include "fake_work.h"

#include "base/fd.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

// Until it has ended, or whoever asked has gone.
static int wait_for(pid_t pid, int status_fd)
{
    int status = 0;
    AUTO_FD int pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
    struct pollfd both[] = {{.fd = pidfd, .events = POLLIN},
                            {.fd = status_fd, .events = POLLRDHUP}};
    while (poll(both, 2, -1) < 0)
        ;
    if (!both[0].revents)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return status;
}

static void handle(const struct spawn_work *work, const int fds[SPAWN_WORK_FDS], fake_worker *run,
                   fake_worker_flags *flags)
{
    struct spawn_work_exit end = {
        .head = {SPAWN_VERSION, SPAWN_WORK_EXIT, sizeof(end), work->head.id}};
    signal(SIGCHLD, SIG_DFL);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        close(fds[SPAWN_WORK_STATUS]);
        _exit(run(fds[SPAWN_WORK_INPUT], fds[SPAWN_WORK_OUTPUT], work));
    }
    close(fds[SPAWN_WORK_OUTPUT]);
    end.status = wait_for(pid, fds[SPAWN_WORK_STATUS]);
    end.flags = flags ? flags(fds[SPAWN_WORK_INPUT]) : 0;
    if (end.flags & SPAWN_EXIT_OOM)
        end.status = SIGKILL;
    (void) !fd_send_packet(fds[SPAWN_WORK_STATUS], &end, sizeof(end), NULL, 0);
    _exit(0);
}

static void serve(int fd, fake_worker *run, fake_worker_flags *flags)
{
    struct spawn_work work;
    int fds[SPAWN_WORK_FDS];
    size_t count;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN); // nobody waits for those who handle
    while (fd_receive_packet(fd, &work, sizeof(work), fds, SPAWN_WORK_FDS, &count) ==
           (ssize_t) sizeof(work)) {
        if (fork() == 0)
            handle(&work, fds, run, flags);
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
    }
    _exit(0);
}

int fake_work_open(struct fake_work *fake, fake_worker *run, fake_worker_flags *flags)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    fake->pid = fork();
    if (fake->pid == 0) {
        close(pair[0]);
        serve(pair[1], run, flags);
    }
    close(pair[1]);
    fake->channel = pair[0];
    return fake->pid < 0 ? -1 : 0;
}

void fake_work_kill(struct fake_work *fake)
{
    kill(fake->pid, SIGKILL);
    waitpid(fake->pid, NULL, 0);
}

void fake_work_close(struct fake_work *fake)
{
    close(fake->channel);
    waitpid(fake->pid, NULL, 0);
}

bool fake_work_word(int input, char word[64])
{
    char text[80] = "";
    if (pread(input, text, sizeof(text) - 1, 0) <= 0 || strncmp(text, "worker:", 7) != 0)
        return false;
    snprintf(word, 64, "%.*s", (int) strcspn(text + 7, " "), text + 7);
    return true;
}

void fake_work_hello(int fd)
{
    const struct work_hello hello = {WORK_MAGIC, WORK_VERSION};
    (void) !write(fd, &hello, sizeof(hello));
}

void fake_work_frame(int fd, struct work_frame frame, const char *path, const void *data,
                     size_t size)
{
    frame.path_size = (uint32_t) strlen(path);
    frame.data_size = (uint32_t) size;
    (void) !write(fd, &frame, sizeof(frame));
    (void) !write(fd, path, frame.path_size);
    (void) !write(fd, data, size);
}

void fake_work_file(int fd, const char *path, const void *data, size_t size)
{
    fake_work_frame(fd, (struct work_frame){.type = WORK_FILE, .total = size}, path, "", 0);
    fake_work_frame(fd, (struct work_frame){.type = WORK_DATA}, "", data, size);
}

void fake_work_text(int fd, const char *path, const char *content)
{
    fake_work_file(fd, path, content, strlen(content));
}

void fake_work_end(int fd, uint32_t count, uint64_t total)
{
    fake_work_frame(fd, (struct work_frame){.type = WORK_END, .count = count, .total = total}, "",
                    "", 0);
}
