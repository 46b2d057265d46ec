// SPDX-License-Identifier: MIT
//
// How long from a START to the function's first byte on its Runtime API port: from nothing, from the
// pool, from a prepared waiter; beside a bare fork and exec of the same program. And of instances that are
// forks of a template with a model mapped: from a spare, by a fork into a sandbox made ahead, with the sandbox made now;
// beside a bare fork of a process with that model. As root:
//
//     bench_sandbox [--rounds N] [--pause-ms M] [--model-mib SIZE]
//
// One JSON object on stdout, times in microseconds. They are interleaved; each start begins when
// the one before is gone and what it made necessary (a refill) is done, and M ms later.

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/fs.h"
#include "wire/spawn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS_MAX = 10000, DEADLINE_MS = 60000 };
enum way {
    WAY_NOTHING,
    WAY_POOL,
    WAY_WAITER,
    WAY_SPARE,
    WAY_FORK,
    WAY_SEAT,
    WAY_BARE,
    WAY_BARE_FORK,
    WAY_COUNT
};

static const char *const way_names[WAY_COUNT] = {"nothing_us",   "pool_us",     "waiter_us",
                                                 "spare_us",     "fork_us",     "seat_us",
                                                 "fork_exec_us", "bare_fork_us"};
enum { STEP_CLONE, STEP_CGROUP, STEP_NET, STEP_ATTACH, STEP_READY, STEP_COUNT };
static const char *const step_names[STEP_COUNT] = {"clone", "cgroup", "net", "attach", "ready"};

struct bench {
    unsigned rounds, pause_ms, settle_ms, model_mib;
    const char *model; // mapped here too, for the bare fork
    uint64_t template_id;
    char directory[64];
    int leash_fd, channel_fd, work_fd;
    pid_t spawn_pid;
    uint64_t next_id;
    int bare_listener;
    uint16_t bare_port;
    double samples[WAY_COUNT][ROUNDS_MAX], steps[STEP_COUNT][ROUNDS_MAX];
    unsigned counts[WAY_COUNT];
};

static struct bench bench;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_sandbox: %s: %s\n", what, strerror(errno));
    if (bench.spawn_pid > 0)
        kill(bench.spawn_pid, SIGTERM);
    exit(1);
}

static void must(bool is_good, const char *what)
{
    if (!is_good)
        die(what);
}

static void copy_program(const char *from, const char *to)
{
    char path[4096];
    (void) snprintf(path, sizeof(path), "%s/%s", bench.directory, to);
    AUTO_FD int source = open(from, O_RDONLY | O_CLOEXEC);
    AUTO_FD int target = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    struct stat stat;
    must(source >= 0 && target >= 0 && fstat(source, &stat) == 0, from);
    for (off_t left = stat.st_size; left > 0;) {
        ssize_t sent = sendfile(target, source, NULL, (size_t) left);
        must(sent > 0, from);
        left -= sent;
    }
}

// A service of our own: programs, data directory with one tree, whose id is all 0x11.
static void prepare_directory(void)
{
    (void) snprintf(bench.directory, sizeof(bench.directory), "/tmp/lamina-bench-XXXXXX");
    must(mkdtemp(bench.directory) && chmod(bench.directory, 0755) == 0, "mkdtemp");
    copy_program(TEST_BUILD_ROOT "/lamina-spawn", "lamina-spawn");
    copy_program(TEST_BUILD_ROOT "/lamina-init", "lamina-init");
    copy_program(TEST_BUILD_ROOT "/lamina-work", "lamina-work");
    copy_program(TEST_BUILD_ROOT "/tests/relay", "laminad");
    AUTO_FD int base = open(bench.directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    must(base >= 0 && mkdirat(base, "data", 0755) == 0, "make data");
}

// The tree whose id is all `digit` and `digit`; its place is left in `path`.
static void make_tree(char digit, const char *program, char path[256])
{
    AUTO_FD int base = open(bench.directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char digits[65] = "", bootstrap[256];
    memset(digits, digit, 64);
    (void) snprintf(path, 256, "data/trees/%s", digits);
    must(base >= 0 && mkdirat(base, path, 0755) == 0, "make tree");
    (void) snprintf(bootstrap, sizeof(bootstrap), "%.200s/bootstrap", path);
    copy_program(program, bootstrap);
    (void) snprintf(bootstrap, sizeof(bootstrap), "%s", path);
    (void) snprintf(path, 256, "%s/%.100s", bench.directory, bootstrap);
}

// A file that is no hole, mapped as the template maps it.
static void make_model(const char *tree)
{
    char path[300];
    static char block[1 << 20];
    (void) snprintf(path, sizeof(path), "%s/model", tree);
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    must(fd >= 0, "make the model");
    for (unsigned i = 0; i < bench.model_mib; i++) {
        memset(block, (int) i + 1, sizeof(block));
        must(fd_write_all(fd, block, sizeof(block)) == 0, "write the model");
    }
    bench.model =
        mmap(NULL, (size_t) bench.model_mib << 20, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    must(bench.model != MAP_FAILED, "map the model");
}

static void start_service(void)
{
    int pair[2], fds[2];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    bench.leash_fd = pair[0];
    bench.spawn_pid = fork();
    if (bench.spawn_pid == 0) {
        char program[128], data[128];
        (void) snprintf(program, sizeof(program), "%s/lamina-spawn", bench.directory);
        (void) snprintf(data, sizeof(data), "%s/data", bench.directory);
        dup2(pair[1], 0);
        execl(program, "lamina-spawn", "--data-dir", data, "--", (char *) NULL);
        _exit(127);
    }
    close(pair[1]);
    char byte;
    size_t count;
    must(bench.spawn_pid > 0 && fd_receive_packet(bench.leash_fd, &byte, 1, fds, 2, &count) == 1 &&
             count == 2,
         "start lamina-spawn");
    bench.channel_fd = fds[0];
    bench.work_fd = fds[1]; // its end would end the service
}

static void wait_readable(int fd, const char *what)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    int r;
    do
        r = poll(&polled, 1, DEADLINE_MS);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        errno = ETIMEDOUT;
    must(r == 1, what);
}

// The next message of that type; others are of no interest here.
static void expect(uint16_t type, void *message, size_t size, int *fds, size_t fd_max)
{
    union {
        struct spawn_head head;
        unsigned char bytes[SPAWN_MESSAGE_MAX];
    } any;
    for (;;) {
        size_t count;
        wait_readable(bench.channel_fd, "wait for lamina-spawn");
        ssize_t got = fd_receive_packet(bench.channel_fd, &any, sizeof(any), fds, fd_max, &count);
        must(got >= (ssize_t) sizeof(any.head), "read from lamina-spawn");
        if (any.head.type == SPAWN_START_FAILED) {
            fprintf(stderr, "bench_sandbox: a start failed\n");
            exit(1);
        }
        if (any.head.type == type) {
            must((size_t) got == size, "size of a message");
            memcpy(message, &any, size);
            return;
        }
    }
}

static void accept_byte(int listener, int *ret_fd)
{
    char byte;
    wait_readable(listener, "wait for a connection");
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    must(fd >= 0 && read(fd, &byte, 1) == 1, "read the first byte");
    *ret_fd = fd;
}

static void send_start(struct spawn_start *start, const char *variable)
{
    const size_t length = strlen(variable) + 1;
    const size_t size = offsetof(struct spawn_start, env) + length;
    start->memory_bytes = 128 << 20;
    start->tmp_bytes = 64 << 20;
    start->env_size = (uint32_t) length;
    memcpy(start->env, variable, length);
    start->head = (struct spawn_head){SPAWN_VERSION, SPAWN_START, (uint32_t) size, ++bench.next_id};
    must(fd_send_packet(bench.channel_fd, start, size, NULL, 0) == 0, "send START");
}

static void start_template(void)
{
    struct spawn_start start = {.flags = SPAWN_START_TEMPLATE};
    struct spawn_started started;
    struct spawn_template_ready ready;
    int fds[SPAWN_STARTED_FDS];
    memset(start.tree_id, 0x22, sizeof(start.tree_id));
    send_start(&start, "MODEL=/var/task/model");
    bench.template_id = bench.next_id;
    expect(SPAWN_STARTED, &started, sizeof(started), fds, SPAWN_STARTED_FDS);
    expect(SPAWN_TEMPLATE_READY, &ready, sizeof(ready), NULL, 0);
}

// Returns the microseconds, and whether the start went the way that was wanted.
static bool start_sandbox(enum way way, double *ret_us, struct spawn_timings *ret_timings)
{
    static const uint32_t flags[] = {
        [WAY_NOTHING] = SPAWN_START_FROM_NOTHING, [WAY_POOL] = SPAWN_START_NO_WAITER,
        [WAY_WAITER] = SPAWN_START_HOT,           [WAY_SPARE] = 0,
        [WAY_FORK] = SPAWN_START_NO_WAITER,       [WAY_SEAT] = SPAWN_START_FROM_NOTHING};
    static const enum spawn_path paths[] = {
        [WAY_NOTHING] = SPAWN_PATH_NOTHING, [WAY_POOL] = SPAWN_PATH_POOL,
        [WAY_WAITER] = SPAWN_PATH_WAITER,   [WAY_SPARE] = SPAWN_PATH_SPARE,
        [WAY_FORK] = SPAWN_PATH_FORK,       [WAY_SEAT] = SPAWN_PATH_SEAT};
    const bool is_fork = way >= WAY_SPARE;
    struct spawn_start start = {.flags = flags[way],
                                .template_id = is_fork ? bench.template_id : 0};
    memset(start.tree_id, is_fork ? 0x22 : 0x11, sizeof(start.tree_id));
    struct spawn_started started;
    int fds[SPAWN_STARTED_FDS], connection;
    const int64_t begin = clock_monotonic_ns();
    send_start(&start, "DO=runtime");
    expect(SPAWN_STARTED, &started, sizeof(started), fds, SPAWN_STARTED_FDS);
    accept_byte(fds[SPAWN_STARTED_RUNTIME], &connection);
    *ret_us = (double) (clock_monotonic_ns() - begin) / 1000;
    *ret_timings = started.timings;
    close(connection);
    for (int i = 0; i < SPAWN_STARTED_FDS; i++)
        fd_close(fds[i]);
    struct spawn_exit gone;
    expect(SPAWN_EXIT, &gone, sizeof(gone), fds, SPAWN_STARTED_FDS);
    return started.path == paths[way];
}

static double start_bare(void)
{
    char program[128], port[8];
    (void) snprintf(program, sizeof(program), TEST_BUILD_ROOT "/tests/first_byte");
    (void) snprintf(port, sizeof(port), "%u", bench.bare_port);
    int connection;
    const int64_t begin = clock_monotonic_ns();
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, "first_byte", port, (char *) NULL);
        _exit(127);
    }
    must(pid > 0, "fork");
    accept_byte(bench.bare_listener, &connection);
    const double us = (double) (clock_monotonic_ns() - begin) / 1000;
    close(connection);
    waitpid(pid, NULL, 0);
    return us;
}

// Of this process, which has the model mapped as the template has it.
static double start_bare_fork(void)
{
    int connection;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(bench.bare_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int64_t begin = clock_monotonic_ns();
    pid_t pid = fork();
    if (pid == 0) {
        char byte = 'x';
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0 &&
            write(fd, &byte, 1) == 1)
            (void) !read(fd, &byte, 1);
        _exit(0);
    }
    must(pid > 0, "fork");
    accept_byte(bench.bare_listener, &connection);
    const double us = (double) (clock_monotonic_ns() - begin) / 1000;
    close(connection);
    waitpid(pid, NULL, 0);
    return us;
}

static void open_bare_listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    bench.bare_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bench.bare_listener >= 0 &&
             bind(bench.bare_listener, (struct sockaddr *) &address, size) == 0 &&
             listen(bench.bare_listener, 8) == 0 &&
             getsockname(bench.bare_listener, (struct sockaddr *) &address, &size) == 0,
         "listen");
    bench.bare_port = ntohs(address.sin_port);
}

static void pause_ms(unsigned ms)
{
    (void) poll(NULL, 0, (int) ms);
}

static void measure(enum way way)
{
    double us;
    if (way == WAY_BARE) {
        us = start_bare();
    } else if (way == WAY_BARE_FORK) {
        us = start_bare_fork();
    } else {
        struct spawn_timings timings;
        // A refill that is late makes a start go another way: it does not count.
        for (int tries = 0; !start_sandbox(way, &us, &timings); tries++) {
            must(tries < 1000, "wait for the pool");
            pause_ms(bench.settle_ms + 5);
        }
        if (way == WAY_NOTHING) {
            const unsigned at = bench.counts[way];
            bench.steps[STEP_CLONE][at] = timings.clone_us;
            bench.steps[STEP_CGROUP][at] = timings.cgroup_us;
            bench.steps[STEP_NET][at] = timings.net_us;
            bench.steps[STEP_ATTACH][at] = timings.attach_us;
            bench.steps[STEP_READY][at] = timings.mount_us;
        }
    }
    bench.samples[way][bench.counts[way]++] = us;
    pause_ms(bench.settle_ms + bench.pause_ms);
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *) left, b = *(const double *) right;
    return (a > b) - (a < b);
}

static double quantile(double *values, unsigned count, double q)
{
    qsort(values, count, sizeof(*values), compare);
    const unsigned at = (unsigned) (q * (double) count);
    return values[at < count ? at : count - 1];
}

static void print(void)
{
    printf("{\"rounds\":%u,\"pause_ms\":%u,\"model_mib\":%u", bench.rounds, bench.pause_ms,
           bench.model_mib);
    for (int way = 0; way < WAY_COUNT; way++)
        printf(",\"%s\":{\"p50\":%.0f,\"p90\":%.0f,\"p99\":%.0f}", way_names[way],
               quantile(bench.samples[way], bench.counts[way], 0.5),
               quantile(bench.samples[way], bench.counts[way], 0.9),
               quantile(bench.samples[way], bench.counts[way], 0.99));
    printf(",\"steps_us\":{");
    for (int step = 0; step < STEP_COUNT; step++)
        printf("%s\"%s\":%.0f", step ? "," : "", step_names[step],
               quantile(bench.steps[step], bench.counts[WAY_NOTHING], 0.5));
    printf("}}\n");
}

static unsigned number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || end == text || value > ROUNDS_MAX) {
        fprintf(stderr, "bench_sandbox: '%s' is no number up to %d\n", text, ROUNDS_MAX);
        exit(2);
    }
    return (unsigned) value;
}

int main(int count, char **arguments)
{
    bench.rounds = 100;
    bench.model_mib = 512;
    // What a start leaves to be done (refill, removal) is not part of the next one.
    bench.settle_ms = 20;
    for (int i = 1; i < count; i += 2) {
        unsigned *value = strcmp(arguments[i], "--rounds") == 0      ? &bench.rounds
                          : strcmp(arguments[i], "--pause-ms") == 0  ? &bench.pause_ms
                          : strcmp(arguments[i], "--model-mib") == 0 ? &bench.model_mib
                                                                     : NULL;
        if (i + 1 == count || !value) {
            fprintf(stderr,
                    "usage: bench_sandbox [--rounds N] [--pause-ms M] [--model-mib SIZE]\n");
            return 2;
        }
        *value = number(arguments[i + 1]);
    }
    if (bench.rounds == 0 || bench.model_mib == 0 || geteuid() != 0) {
        fprintf(stderr, "bench_sandbox: needs root, and a round\n");
        return 2;
    }
    prepare_directory();
    open_bare_listener();
    start_service();
    char tree[256];
    make_tree('1', TEST_BUILD_ROOT "/tests/first_byte", tree);
    make_tree('2', TEST_BUILD_ROOT "/tests/template", tree);
    make_model(tree);
    start_template();
    pause_ms(200);
    for (unsigned round = 0; round < bench.rounds; round++)
        for (enum way way = 0; way < WAY_COUNT; way++)
            measure(way);
    print();
    close(bench.channel_fd);
    close(bench.leash_fd);
    waitpid(bench.spawn_pid, NULL, 0);
    return fs_remove_tree(AT_FDCWD, bench.directory) < 0;
}
