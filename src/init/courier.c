// SPDX-License-Identifier: MIT
//
// The courier: a child of lamina-init, in the sandbox's network namespace. It asks laminad for the next
// delivery, connects to the port that it names, passes the bytes on, and asks again:
//
//     courier  -- GET /lamina/init/telemetry ------------->  laminad, which keeps the request until
//              <-- 200, Lamina-Port, Lamina-Bytes, bytes --  there is something to deliver
//              -- the bytes, to 127.0.0.1:port ----------->  the extension
//
// What the extension answers is read and dropped; how it went is told with the next request. One that
// does not take them within RECEIVER_S loses them: laminad counts.

#include "init/extensions.h"

#include "init/bare.h"
#include "wire/init.h"
#include "wire/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#define RECEIVER_S 5
#define AGAIN_MS 100

static char buffer[64 * 1024];
static unsigned long buffered; // bytes of a delivery that came with its head

static const char ask_first[] = "GET /lamina/init/telemetry HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
static const char ask_delivered[] = "GET /lamina/init/telemetry HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                    "Lamina-Delivered: yes\r\n\r\n";
static const char ask_lost[] = "GET /lamina/init/telemetry HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                               "Lamina-Delivered: no\r\n\r\n";

static int matches(const char *text, const char *with)
{
    while (*with)
        if (*text++ != *with++)
            return 0;
    return 1;
}

// The number behind a header's name, as laminad writes it; 0: there is none.
static unsigned long header(const char *head, unsigned long size, const char *name)
{
    for (unsigned long i = 0; i < size; i++) {
        if (!matches(head + i, name))
            continue;
        unsigned long number = 0;
        while (head[i] && head[i] != ':')
            i++;
        for (i += 2; head[i] >= '0' && head[i] <= '9' && number < 100000000; i++)
            number = number * 10 + (unsigned long) (head[i] - '0');
        return number;
    }
    return 0;
}

struct delivery {
    unsigned long port, bytes;
    int has_reply;
};

// The head, and what came behind it at the buffer's beginning. 0 or -1.
static int head_read(long api, struct delivery *delivery)
{
    unsigned long size = 0;
    for (;;) {
        long n = CALL(read, api, buffer + size, sizeof(buffer) - 1 - size);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return -1;
        size += (unsigned long) n;
        buffer[size] = '\0';
        for (unsigned long i = 3; i < size; i++) {
            if (buffer[i] != '\n' || buffer[i - 2] != '\n')
                continue;
            delivery->port = header(buffer, i, "Lamina-Port:");
            delivery->bytes = header(buffer, i, "Lamina-Bytes:");
            delivery->has_reply = header(buffer, i, "Lamina-Reply:") != 0;
            int is_delivery = matches(buffer, "HTTP/1.1 200") && delivery->port != 0;
            buffered = size - i - 1;
            for (unsigned long at = 0; at < buffered; at++)
                buffer[at] = buffer[i + 1 + at];
            return is_delivery ? 0 : -1;
        }
        if (size == sizeof(buffer) - 1)
            return -1;
    }
}

static long receiver_connect(unsigned long port)
{
    static const struct timeval limit = {.tv_sec = RECEIVER_S};
    return port > 65535 ? -EINVAL : api_connect((uint16_t) port, &limit);
}

// Passes the bytes on; they are read to their end whether or not somebody takes them. 1 when all went.
static int body_pass(long api, long receiver, unsigned long left)
{
    int is_taken = receiver >= 0;
    unsigned long size = buffered;
    for (;;) {
        if (size > left)
            size = left;
        if (is_taken && api_write(receiver, buffer, size) < 0)
            is_taken = 0;
        left -= size;
        if (left == 0)
            return is_taken;
        long n = CALL(read, api, buffer, left < sizeof(buffer) ? left : sizeof(buffer));
        if (n <= 0)
            return -1;
        size = (unsigned long) n;
    }
}

// 1 when the receiver said 2xx.
static int reply_read(long receiver)
{
    long n = CALL(read, receiver, buffer, 64);
    return n > 9 && matches(buffer, "HTTP/1.") && buffer[9] == '2';
}

static int deliver(long api)
{
    struct delivery delivery;
    if (head_read(api, &delivery) < 0)
        return -1;
    long receiver = receiver_connect(delivery.port);
    int r = body_pass(api, receiver, delivery.bytes);
    if (r == 1 && delivery.has_reply)
        r = reply_read(receiver);
    if (receiver >= 0)
        CALL(close, receiver);
    return r;
}

static void pause_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    CALL(nanosleep, &time, NULL);
}

static _Noreturn void courier_run(void)
{
    const char *ask = ask_first;
    unsigned long ask_size = sizeof(ask_first) - 1;
    for (;;) {
        long api = api_connect(SPAWN_PORT_RUNTIME, NULL);
        int r = api < 0 ? -1 : 0;
        while (r >= 0 && api_write(api, ask, ask_size) == 0) {
            r = deliver(api);
            ask = r > 0 ? ask_delivered : ask_lost;
            ask_size = (r > 0 ? sizeof(ask_delivered) : sizeof(ask_lost)) - 1;
        }
        if (api >= 0)
            CALL(close, api);
        ask = ask_first;
        ask_size = sizeof(ask_first) - 1;
        pause_ms(AGAIN_MS);
    }
}

void courier_start(void)
{
    static int is_started;
    if (is_started)
        return;
    is_started = 1;
    long pid = CALL(clone, SIGCHLD, 0, 0, 0, 0);
    if (pid != 0)
        return; // without it telemetry stays where it is, and is dropped when there is too much
    CALL(close, INIT_FD_CONTROL);
    if (extensions_socket() >= 0)
        CALL(close, extensions_socket());
    CALL(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    courier_run();
}
