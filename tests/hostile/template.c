// SPDX-License-Identifier: MIT
//
// A template for tests/hostile/test_template.py, honest or not: LIE in its environment says how it lies. Its forks do
// what DO in theirs says.

#include "sdk/beginning.h"
#include "sdk/forking.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const char *lie;
static int kept_file = -1; // LIE=file: no lie, a file that stays open

static int is(const char *what)
{
    return strcmp(lie, what) == 0;
}

static void *thread_run(void *argument)
{
    (void) argument;
    for (;;)
        pause();
    return NULL;
}

static void say(int fd, uint32_t type)
{
    const struct template_word word = {.type = type};
    (void) !write(fd, &word, sizeof(word));
}

// ---- before READY -------------------------------------------------------------------------------

static void keep_something(void)
{
    pthread_t thread;
    int pipes[2];
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    timer_t timer;
    if (is("thread"))
        pthread_create(&thread, NULL, thread_run, NULL);
    else if (is("socket"))
        (void) !socket(AF_INET, SOCK_STREAM, 0);
    else if (is("epoll"))
        (void) !epoll_create1(0);
    else if (is("eventfd"))
        (void) !eventfd(0, 0);
    else if (is("inotify"))
        (void) !inotify_init();
    else if (is("timerfd"))
        (void) !timerfd_create(CLOCK_MONOTONIC, 0);
    else if (is("pipe"))
        (void) !pipe(pipes);
    else if (is("directory"))
        (void) !open("/var/task", O_RDONLY | O_DIRECTORY);
    else if (is("path"))
        (void) !open("/", O_PATH);
    else if (is("tmp"))
        (void) !open("/tmp/file", O_RDWR | O_CREAT, 0666);
    else if (is("memfd"))
        (void) !memfd_create("shared", 0);
    else if (is("lease")) { // who opens it waits for us
        int file = memfd_create("leased", MFD_ALLOW_SEALING);
        fcntl(file, F_ADD_SEALS, F_SEAL_WRITE);
        int again = open("/proc/self/fd/4", O_RDONLY); // a writer gets none
        close(file);
        signal(SIGIO, SIG_IGN);
        if (fcntl(again, F_SETLEASE, F_WRLCK) < 0)
            perror("lease");
    } else if (is("shared"))
        (void) !mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    else if (is("file"))
        kept_file = open("/var/task/words", O_RDONLY);
    else if (is("timer"))
        timer_create(CLOCK_MONOTONIC, &event, &timer);
    else if (is("child") && fork() == 0)
        thread_run(NULL);
    else if (is("terminal"))
        (void) !open("/tmp/\033[31mred\n", O_RDWR | O_CREAT, 0666);
}

// Never ready, or nonsense instead.
static void misbehave(int fd)
{
    if (is("silent"))
        thread_run(NULL);
    else if (is("nonsense"))
        (void) !write(fd, "nonsense", 8);
    else if (is("forked_without_order"))
        say(fd, TEMPLATE_FORKED);
    else if (is("closed"))
        close(fd);
    else if (is("exit"))
        _exit(9);
    else if (is("grow"))
        for (;;)
            memset(malloc(1 << 20), 1, 1 << 20);
    else if (
        is("spray")) // children that nobody asked for, with lamina-spawn as their parent, until it has reaped them
        for (int i = 0; i < 2000; i++) {
            const pid_t child =
                (pid_t) syscall(SYS_clone, CLONE_PARENT | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
            if (child == 0)
                _exit(0);
            while (i % 100 == 99 && kill(child, 0) == 0)
                sched_yield();
        }
    if (is("flood"))
        for (;;)
            say(fd, TEMPLATE_READY);
    if (is("stray")) { // forks that failed and were never ordered
        say(fd, TEMPLATE_READY);
        for (;;)
            say(fd, TEMPLATE_FAILED);
    }
    if (is("descriptors")) { // a word with a descriptor, which must not stay with lamina-spawn
        struct template_word word = {.type = TEMPLATE_FAILED};
        union {
            struct cmsghdr head;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control = {
            {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
        int pipes[2];
        struct stat stat;
        (void) !pipe(pipes);
        fstat(pipes[1], &stat);
        printf("pipe:[%lu]\n", (unsigned long) stat.st_ino);
        fflush(stdout);
        memcpy(CMSG_DATA(&control.head), &pipes[1], sizeof(int));
        struct iovec part = {&word, sizeof(word)};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        (void) !sendmsg(fd, &message, 0);
    }
}

// ---- orders, badly obeyed -----------------------------------------------------------------------

static int receive(int fd, struct template_fork *order, int fds[TEMPLATE_FORK_FDS_MAX])
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(TEMPLATE_FORK_FDS_MAX * sizeof(int))];
    } control;
    struct iovec part = {order, sizeof(*order)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    if (recvmsg(fd, &message, 0) <= 0)
        return -1;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    memcpy(fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
    return (int) ((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
}

// FORKED, said by this process in the name of another.
static void say_as(int fd, pid_t pid)
{
    struct template_word word = {.type = TEMPLATE_FORKED};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control = {{.cmsg_len = CMSG_LEN(sizeof(struct ucred)),
                  .cmsg_level = SOL_SOCKET,
                  .cmsg_type = SCM_CREDENTIALS}};
    const struct ucred sender = {.pid = pid, .uid = getuid(), .gid = getgid()};
    memcpy(CMSG_DATA(&control.head), &sender, sizeof(sender));
    struct iovec part = {&word, sizeof(word)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    if (sendmsg(fd, &message, 0) < 0) {
        printf("named %d: %s\n", pid, strerrorname_np(errno));
        fflush(stdout);
    }
}

static long helper_result;

static int join_and_fork(int sandbox)
{
    if (setns(sandbox, TEMPLATE_NAMESPACES) < 0)
        return -errno;
    return (int) syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

// In the sandbox, with all that setns has given.
static void stay_mighty(const struct template_fork *order, const int *fds, int count)
{
    if (!is("no_groups"))
        for (int i = TEMPLATE_FORK_GROUPS; i < count; i++)
            (void) !write(fds[i], "0", 1);
    if (!is("keep_user")) {
        (void) !syscall(SYS_setresgid, order->user, order->user, order->user);
        (void) !syscall(SYS_setresuid, order->user, order->user, order->user);
    }
    if (is("names_holder"))
        say_as(fds[TEMPLATE_FORK_CONTROL], 1);
    say(fds[TEMPLATE_FORK_CONTROL], TEMPLATE_FORKED);
    thread_run(NULL);
}

// setns as the filter should not let it be.
static void try_parts(int sandbox)
{
    static const struct {
        const char *name;
        int flags;
    } tries[] = {{"user", CLONE_NEWUSER},
                 {"net", CLONE_NEWNET},
                 {"user_and_net", CLONE_NEWUSER | CLONE_NEWNET},
                 {"mnt", CLONE_NEWNS},
                 {"pid", CLONE_NEWPID},
                 {"any", 0}};
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
        printf("setns_%s %s\n", tries[i].name,
               setns(sandbox, tries[i].flags) < 0 ? strerrorname_np(errno) : "done");
    int own = open("/proc/self/ns/user", O_RDONLY);
    printf("setns_own_user %s\n",
           setns(own, TEMPLATE_NAMESPACES) < 0 ? strerrorname_np(errno) : "done");
    close(own);
    printf("tried\n");
    fflush(stdout);
}

static void serve_badly(int fd)
{
    struct template_fork order;
    int fds[TEMPLATE_FORK_FDS_MAX], count;
    say(fd, TEMPLATE_READY);
    while (is("stops")) // whatever shows itself among its processes
        (void) kill(-1, SIGSTOP);
    while ((count = receive(fd, &order, fds)) > 0) {
        if (is("no_answer"))
            thread_run(NULL);
        if (is("dies"))
            _exit(3);
        if (is("parts"))
            try_parts(fds[TEMPLATE_FORK_SANDBOX]);
        if (is("says_it_itself"))
            say(fds[TEMPLATE_FORK_CONTROL], TEMPLATE_FORKED);
        else if (is("plain_child")) {
            if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) {
                say(fds[TEMPLATE_FORK_CONTROL], TEMPLATE_FORKED);
                thread_run(NULL);
            }
        } else if (is("fails"))
            (void) !write(fd, &(struct template_word){TEMPLATE_FAILED, order.number, ENOMEM, 2},
                          16);
        else {
            const long helper =
                syscall(SYS_clone, CLONE_VM | CLONE_VFORK | CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
            if (helper == 0) {
                helper_result = join_and_fork(fds[TEMPLATE_FORK_SANDBOX]);
                if (helper_result == 0)
                    stay_mighty(&order, fds, count);
                syscall(SYS_exit, 0);
            }
        }
        for (int i = 0; i < count; i++)
            close(fds[i]);
    }
    _exit(0);
}

// ---- a fork -------------------------------------------------------------------------------------

static void connect_runtime(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9001), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char byte = 'x';
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || write(fd, &byte, 1) != 1)
        perror("connect");
    (void) !read(fd, &byte, 1);
}

static void fork_run(struct template_run *run)
{
    char *environment[64];
    size_t count = 0;
    for (size_t at = 0; at < run->env_size && count < 63; at += strlen(run->env + at) + 1)
        environment[count++] = run->env + at;
    environment[count] = NULL;
    environ = environment;
    const char *what = getenv("DO");
    if (what && strcmp(what, "attack") == 0) {
        char path[] = "/var/task/attack";
        unsetenv("DO");
        execve(path, (char *[]){path, NULL}, environ);
        perror("exec");
    } else if (what && strcmp(what, "shell") == 0) {
        char path[] = "/bin/sh", flag[] = "-c";
        execve(path, (char *[]){path, flag, getenv("SCRIPT"), NULL}, environment);
        perror("exec");
    } else if (what && strcmp(what, "runtime") == 0) {
        connect_runtime();
    } else if (what && strcmp(what, "read") == 0) {
        char text[8] = "";
        (void) !read(kept_file, text, 4);
        printf("%s\n", text);
        fflush(stdout);
        connect_runtime(); // stays, with the file open
    } else if (what && strcmp(what, "abort") == 0) {
        abort();
    }
}

int main(void)
{
    lie = getenv("LIE") ? getenv("LIE") : "";
    const int fd = forking_fd();
    if (fd < 0)
        return 3;
    const char *model = getenv("MODEL");
    if (model) { // a model, mapped and touched
        int file = open(model, O_RDONLY);
        struct stat stat;
        fstat(file, &stat);
        volatile char *at =
            mmap(NULL, (size_t) stat.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
        (void) at[0];
        close(file);
    }
    misbehave(fd);
    keep_something();
    static const char *const bad[] = {"no_answer", "dies",         "says_it_itself", "plain_child",
                                      "fails",     "parts",        "keep_caps",      "no_groups",
                                      "keep_user", "names_holder", "stops"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (is(bad[i]))
            serve_badly(fd);
    printf("template %d\n", getpid());
    fflush(stdout);
    static struct forking fork;
    static struct template_run run;
    static struct beginning beginning;
    char reason[BEGINNING_TEXT_BYTES];
    (void) beginning_record(&beginning, reason); // what it refuses is found from outside here
    if (forking_serve(fd, &fork) < 0 || fork.control_fd < 0)
        return 4;
    if (beginning_apply(&beginning) < 0 || forking_stand(&fork) < 0 || forking_run(&fork, &run) < 0)
        return 5;
    fork_run(&run);
    return 7;
}
