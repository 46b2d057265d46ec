/* SPDX-License-Identifier: MIT
 *
 * fake_spawn: a test in lamina-spawn's place, and in the runtime's: it reads what an instance host sends over the channel,
 * hands over listeners that it made itself, and speaks HTTP on them. One thread: whatever waits turns the loop until
 * it has what it waits for, or FAKE_DEADLINE_MS have passed (then the test fails).
 */
#ifndef LAMINA_TESTS_FAKE_SPAWN_H
#define LAMINA_TESTS_FAKE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/spawn.h"

#define FAKE_DEADLINE_MS 60000
#define FAKE_ANSWER_MAX (64 * 1024)

#define FAKE_REQUESTS_MAX 16

struct loop;

struct fake_spawn {
    struct loop *loop; /* borrowed */
    int fd;            /* our end */
    int host_fd;       /* for the instance host, which takes it */
    /* Read, but of another type than the one that was waited for. */
    struct fake_request {
        size_t size;
        char data[SPAWN_MESSAGE_MAX];
    } early[FAKE_REQUESTS_MAX];
    size_t early_count;
};

/* One instance, seen from its inside. */
struct fake_box {
    struct fake_spawn *spawn;
    uint64_t id;
    uint16_t runtime_port, platform_port;
    int log_fd;  /* what the function prints is written here */
    int peak_fd; /* the peak file: fake_box_peak() */
    int http_fd; /* the runtime's connection, -1: none */
    char answer[FAKE_ANSWER_MAX];
};

void fake_spawn_open(struct fake_spawn *spawn, struct loop *loop);
void fake_spawn_close(struct fake_spawn *spawn);
/* Turns the loop until `is_done(arg)`. */
void fake_wait(struct fake_spawn *spawn, bool (*is_done)(void *arg), void *arg);
/* Waits until the int at `arg` is not 0. */
void fake_wait_flag(struct fake_spawn *spawn, const int *flag);
/* A turn or a few without waiting for anything: what was sent is read. */
void fake_turns(struct fake_spawn *spawn);

/* The next request of this type; returns the id. Others stay for later. `message` may be NULL. */
uint64_t fake_expect(struct fake_spawn *spawn, enum spawn_type type, void *message, size_t size);
bool fake_has_request(struct fake_spawn *spawn);
/* The same without a turn of the loop: what was sent already. */
bool fake_has_request_now(struct fake_spawn *spawn);

/* Answers START with a box. */
void fake_box_start(struct fake_spawn *spawn, struct fake_box *box, uint64_t id);
/* Waits for a START first. */
void fake_box_expect(struct fake_spawn *spawn, struct fake_box *box);
/* HELLO: it can make templates. */
void fake_spawn_hello(struct fake_spawn *spawn);
/* The box was asked for as a template; and is one that may be forked, or not. */
void fake_box_template_ready(struct fake_box *box);
void fake_box_template_refused(struct fake_box *box, const char *reason);
/* Answers the STATS that was read before. */
void fake_box_stats(struct fake_box *box, uint64_t anonymous_bytes);
void fake_box_stats_cpu(struct fake_box *box, uint64_t anonymous_bytes, uint64_t cpu_us);
/* FROZEN or THAWED. */
void fake_box_done(struct fake_box *box, enum spawn_type type, int error);
/* Another connection to the Runtime API, non-blocking; the caller's. */
int fake_box_connect(const struct fake_box *box);
void fake_box_fail(struct fake_spawn *spawn, uint64_t id, enum spawn_step step, int error);
/* Closes what the sandbox had and says EXIT. */
void fake_box_exit(struct fake_box *box, int status, uint32_t flags, uint32_t exec_errno);
void fake_box_print(struct fake_box *box, const char *text);
void fake_box_peak(struct fake_box *box, uint64_t bytes);
void fake_box_close(struct fake_box *box);

/* HTTP as the runtime: send and do not wait; wait for an answer and return its status (its text is in box->answer). */
void fake_box_send(struct fake_box *box, const char *text);
void fake_box_send_bytes(struct fake_box *box, const void *data, size_t size);
int fake_box_answer(struct fake_box *box);
/* Both. */
int fake_box_call(struct fake_box *box, const char *text);
void fake_box_hang_up(struct fake_box *box);

#define FAKE_NEXT "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"

#endif
