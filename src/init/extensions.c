// SPDX-License-Identifier: MIT

#include "init/extensions.h"

#include "init/bare.h"
#include "wire/init.h"
#include "wire/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>

#define PLACE "/opt/extensions/"
#define API "/lamina/init/"
#define NAME_SIZE 128

struct extension {
    long pid; // 0: it has ended, or never ran
    char path[sizeof(PLACE) + NAME_SIZE];
};

static struct extension extensions[EXTENSIONS_LISTED_MAX];
static int count, alive;
static char *environment_shown[INIT_VARIABLES_MAX + 1];
static long api = -1;
static int is_running; // RUN was heard: what comes next are orders
static char answer[512];
static unsigned long answer_size;

// Written by the child that shares our memory, as in init.c.
static volatile int exec_error;

// ---- text without libc

struct text {
    unsigned long size;
    char data[4096 + 256];
};

static void text_add(struct text *text, const char *from)
{
    while (*from && text->size < sizeof(text->data))
        text->data[text->size++] = *from++;
}

static void text_add_number(struct text *text, unsigned long number)
{
    char digits[24];
    int at = sizeof(digits) - 1;
    digits[at] = '\0';
    do
        digits[--at] = (char) ('0' + number % 10);
    while ((number /= 10) > 0);
    text_add(text, digits + at);
}

static int begins_with(const char *text, const char *with)
{
    while (*with)
        if (*text++ != *with++)
            return 0;
    return 1;
}

// ---- talking to laminad

long api_connect(uint16_t port, const struct timeval *limit)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = (uint16_t) (port << 8 | port >> 8),
        .sin_addr.s_addr = 0x0100007f, // 127.0.0.1, both as the network has them
    };
    long fd = CALL(socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && limit) {
        CALL(setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, limit, sizeof(*limit));
        CALL(setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, limit, sizeof(*limit));
    }
    long r = fd < 0 ? fd : CALL(connect, fd, &to, sizeof(to));
    if (fd >= 0 && r < 0)
        CALL(close, fd);
    return r < 0 ? r : fd;
}

long api_write(long fd, const char *data, unsigned long size)
{
    while (size > 0) {
        long n = CALL(sendto, fd, data, size, MSG_NOSIGNAL, 0);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? n : -EPIPE;
        data += n;
        size -= (unsigned long) n;
    }
    return 0;
}

static long api_post(long fd, const char *path, const struct text *body)
{
    static struct text request;
    request.size = 0;
    text_add(&request, "POST " API);
    text_add(&request, path);
    text_add(&request, " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ");
    text_add_number(&request, body->size);
    text_add(&request, "\r\n\r\n");
    long r = api_write(fd, request.data, request.size);
    return r < 0 ? r : api_write(fd, body->data, body->size);
}

// Answers are looked at on the main connection only.
static void tell_ended(const char *kind, const char *name, int status, int error)
{
    static struct text body;
    long fd = api_connect(SPAWN_PORT_RUNTIME, NULL);
    if (fd < 0)
        return; // laminad has closed the listener: the sandbox is ending anyway
    body.size = 0;
    text_add(&body, kind);
    text_add(&body, " ");
    text_add(&body, name);
    text_add(&body, " ");
    text_add_number(&body, (unsigned long) status);
    text_add(&body, " ");
    text_add_number(&body, (unsigned long) error);
    if (api_post(fd, "ended", &body) == 0) {
        char byte; // the request is not cut off by our close before it was read
        CALL(read, fd, &byte, 1);
    }
    CALL(close, fd);
}

// ---- finding

struct entry { // getdents64
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

enum { TYPE_DIRECTORY = 4 };

static void add(const struct entry *entry)
{
    const char *name = entry->name;
    unsigned long length = 0;
    while (name[length])
        length++;
    if (name[0] == '.' || entry->type == TYPE_DIRECTORY || length >= NAME_SIZE ||
        count == EXTENSIONS_LISTED_MAX)
        return;
    char *to = extensions[count++].path;
    for (const char *from = PLACE; *from;)
        *to++ = *from++;
    for (unsigned long i = 0; i <= length; i++)
        *to++ = name[i];
}

int extensions_find(void)
{
    static union {
        struct entry first;
        char bytes[4096];
    } list;
    long folder = CALL(openat, AT_FDCWD, PLACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return 0;
    long size;
    while ((size = CALL(getdents64, folder, &list, sizeof(list))) > 0)
        for (long at = 0; at < size;) {
            const struct entry *entry = (const struct entry *) (const void *) (list.bytes + at);
            add(entry);
            at += entry->size;
        }
    CALL(close, folder);
    return count;
}

// ---- starting

// Those that are the runtime's own (docs.aws.amazon.com/lambda, "Extensions API", environment variables).
static int is_runtimes(const char *variable)
{
    static const char *const names[] = {
        "_",
        "AWS_EXECUTION_ENV=",
        "AWS_LAMBDA_LOG_GROUP_NAME=",
        "AWS_LAMBDA_LOG_STREAM_NAME=",
        "AWS_XRAY_CONTEXT_MISSING=",
        "AWS_XRAY_DAEMON_ADDRESS=",
        "LAMBDA_RUNTIME_DIR=",
        "LAMBDA_TASK_ROOT=",
    };
    for (unsigned long i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (begins_with(variable, names[i]))
            return 1;
    return 0;
}

static _Noreturn __attribute__((noinline)) void extension_exec(struct extension *extension)
{
    static const uint64_t none;
    char *arguments[] = {extension->path, NULL};
    CALL(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
    CALL(setsid);
    CALL(chdir, "/");
    exec_error = (int) -CALL(execve, extension->path, arguments, environment_shown);
    for (;;)
        CALL(exit_group, 127);
}

static const char *name_of(const struct extension *extension)
{
    return extension->path + sizeof(PLACE) - 1;
}

static void start(struct extension *extension)
{
    exec_error = 0;
    long pid = bare_vfork();
    if (pid == 0)
        extension_exec(extension);
    if (pid > 0 && exec_error == 0) {
        extension->pid = pid;
        alive++;
    } else {
        tell_ended("extension", name_of(extension), 127 << 8, pid < 0 ? (int) -pid : exec_error);
    }
}

void extensions_start(char *const *environment)
{
    static struct text names;
    int shown = 0;
    for (int i = 0; environment[i]; i++)
        if (!is_runtimes(environment[i]))
            environment_shown[shown++] = environment[i];
    for (int i = 0; i < count; i++) {
        text_add(&names, name_of(&extensions[i]));
        text_add(&names, "\n");
    }
    api = api_connect(SPAWN_PORT_RUNTIME, NULL);
    if (api >= 0)
        (void) api_post(api, "extensions",
                        &names); // without an answer nothing goes on, which ends the init phase
    for (int i = 0; i < count; i++)
        start(&extensions[i]);
}

// ---- while they run

int extensions_socket(void)
{
    return (int) api;
}

// Whole when its empty line has come: the answers have no bodies.
static int answer_is_whole(void)
{
    for (unsigned long i = 3; i < answer_size; i++)
        if (answer[i] == '\n' && answer[i - 2] == '\n')
            return 1;
    return 0;
}

enum extensions_order extensions_read(void)
{
    static const struct text nothing;
    enum extensions_order order = EXTENSIONS_NOTHING;
    long n = CALL(read, api, answer + answer_size, sizeof(answer) - 1 - answer_size);
    if (n == -EINTR)
        return EXTENSIONS_NOTHING;
    if (n <= 0) {
        CALL(close, api);
        api = -1;
        return EXTENSIONS_NOTHING;
    }
    answer_size += (unsigned long) n;
    answer[answer_size] = '\0';
    if (!answer_is_whole())
        return EXTENSIONS_NOTHING;
    if (begins_with(answer, "HTTP/1.1 204"))
        order = is_running ? EXTENSIONS_TERM : EXTENSIONS_RUN;
    else if (begins_with(answer, "HTTP/1.1 202"))
        order = EXTENSIONS_COURIER;
    is_running = 1;
    answer_size = 0;
    if (order != EXTENSIONS_NOTHING && order != EXTENSIONS_TERM)
        (void) api_post(api, "orders", &nothing); // if it fails, so does the next read
    return order;
}

int extensions_reap(long pid, int status)
{
    for (int i = 0; i < count; i++) {
        if (extensions[i].pid != pid)
            continue;
        extensions[i].pid = 0;
        alive--;
        tell_ended("extension", name_of(&extensions[i]), status, 0);
        return 1;
    }
    return 0;
}

int extensions_alive(void)
{
    return alive;
}

void extensions_tell_bootstrap(int status, int error)
{
    tell_ended("bootstrap", "-", status, error);
}
