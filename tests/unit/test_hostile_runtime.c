/* SPDX-License-Identifier: MIT
 *
 * A runtime that does anything in any order: right and wrong requests, halves of them, several connections, hang-ups, crashes,
 * while calls are made, cancelled, frozen and stopped. The service must not fall (an illegal move of a state machine aborts),
 * every call must be told of exactly once, and nothing may be left. The order is random from a fixed seed, so that a failure
 * comes back. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/scheduler.h"
#include "function/version.h"
#include "instance/instance.h"
#include "loop/loop.h"

#include "fake_spawn.h"
#include "unit.h"

#define STEPS 1500
#define SEEDS 6
#define BOXES 8
#define CONNECTIONS 4
#define CALLS 16

struct call {
    struct invocation *invocation; /* NULL: none, or told */
    int told;
};

struct world {
    struct loop *loop;
    struct fake_spawn spawn;
    struct instance_host *host;
    struct scheduler *scheduler;
    struct version *version;
    struct fake_box boxes[BOXES]; /* id 0: free */
    int fds[BOXES][CONNECTIONS];
    char ids[BOXES][40]; /* the request id last seen */
    char extensions[BOXES][40];
    struct call calls[CALLS];
    uint64_t random;
    int lost;
};

/* xorshift: the same everywhere. */
static uint32_t pick(struct world *world, uint32_t below)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (uint32_t) (world->random >> 33) % below;
}

static void on_lost(void *arg)
{
    ((struct world *) arg)->lost++;
}

static void world_open(struct world *world, uint64_t seed)
{
    struct instance_host_config host = {.region = "us-east-1", .lost = on_lost, .arg = world};
    struct scheduler_config config = {.limits = {.concurrency = BOXES - 1,
                                                 .queue_max = 4,
                                                 .queue_bytes_max = 1 << 20,
                                                 .queue_wait_ms = 50,
                                                 .starts_at_once = 3,
                                                 .freeze_after_ms = 2,
                                                 .keepalive_s = 1}};
    struct error err = {0};
    memset(world, 0, sizeof(*world));
    world->random = seed;
    world->loop = loop_new();
    fake_spawn_open(&world->spawn, world->loop);
    host.loop = config.loop = world->loop;
    host.spawn_fd = world->spawn.host_fd;
    assert_int_equal(instance_host_new(&host, &world->host, &err), 0);
    config.host = world->host;
    assert_int_equal(scheduler_new(&config, &world->scheduler, &err), 0);
    world->version = version_new("f", "us-east-1", "000000000000");
    version_set(world->version, &world->version->runtime, "provided.al2023");
    version_set(world->version, &world->version->handler, "h");
    world->version->timeout_s = 1;
    world->version->code.has_tree = true;
    memset(world->fds, -1, sizeof(world->fds));
}

/* ---- lamina-spawn */

static struct fake_box *box_of(struct world *world, uint64_t id)
{
    for (int i = 0; i < BOXES; i++)
        if (world->boxes[i].id == id)
            return &world->boxes[i];
    return NULL;
}

static void box_close(struct world *world, struct fake_box *box)
{
    for (int i = 0; i < CONNECTIONS; i++)
        world->fds[box - world->boxes][i] = fd_close(world->fds[box - world->boxes][i]);
    memset(world->ids[box - world->boxes], 0, sizeof(world->ids[0]));
    memset(world->extensions[box - world->boxes], 0, sizeof(world->extensions[0]));
    fake_box_close(box);
    box->id = 0;
}

static void box_exit(struct world *world, struct fake_box *box, int status, uint32_t flags)
{
    fake_box_exit(box, status, flags, 0);
    box_close(world, box);
}

/* Obeys what the service asks for; a START may fail. */
static void spawn_obey(struct world *world)
{
    struct spawn_head head;
    while (recv(world->spawn.fd, &head, sizeof(head), MSG_DONTWAIT | MSG_TRUNC) >=
           (ssize_t) sizeof(head)) {
        struct fake_box *box = box_of(world, head.type == SPAWN_START ? 0 : head.id);
        if (head.type == SPAWN_START && (!box || pick(world, 10) == 0))
            fake_box_fail(&world->spawn, head.id, SPAWN_STEP_MOUNT, EIO);
        else if (head.type == SPAWN_START)
            fake_box_start(&world->spawn, box, head.id);
        else if (head.type == SPAWN_KILL && box)
            box_exit(world, box, SIGKILL, SPAWN_EXIT_KILLED);
        else if (box && (head.type == SPAWN_FREEZE || head.type == SPAWN_THAW))
            fake_box_done(box, head.type == SPAWN_FREEZE ? SPAWN_FROZEN : SPAWN_THAWED,
                          pick(world, 20) == 0 ? EIO : 0);
    }
}

/* ---- the runtime */

static int connection_of(struct world *world, int box)
{
    int *fd = &world->fds[box][pick(world, CONNECTIONS)];
    if (*fd < 0)
        *fd = fake_box_connect(&world->boxes[box]);
    return *fd;
}

static void take_header(const char *text, const char *name, char id[40])
{
    const char *header = strstr(text, name);
    if (header)
        snprintf(id, 37, "%s", header + strlen(name));
}

/* Whatever was answered is read, and ids in it remembered. */
static void answers_read(struct world *world, int box)
{
    static char text[65536];
    for (int i = 0; i < CONNECTIONS; i++) {
        ssize_t size = world->fds[box][i] < 0
                           ? -1
                           : recv(world->fds[box][i], text, sizeof(text) - 1, MSG_DONTWAIT);
        if (size == 0)
            world->fds[box][i] = fd_close(world->fds[box][i]);
        if (size <= 0)
            continue;
        text[size] = '\0';
        take_header(text, "Lambda-Runtime-Aws-Request-Id: ", world->ids[box]);
        take_header(text, "Lambda-Extension-Identifier: ", world->extensions[box]);
    }
}

static const char *const requests[] = {
    FAKE_NEXT,
    FAKE_NEXT,
    "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nContent-Length: "
    "2\r\n\r\n{}",
    "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nContent-Length: "
    "2\r\n\r\n{}",
    "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
    "chunked\r\n"
    "Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n2\r\n{}\r\n",
    "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
    "Content-Length: 6291557\r\n\r\n",
    "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
    "Lambda-Runtime-Function-Response-Mode: odd\r\nContent-Length: 0\r\n\r\n",
    "POST /2018-06-01/runtime/invocation/%s/error HTTP/1.1\r\nHost: x\r\nContent-Length: "
    "2\r\n\r\n{}",
    "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    "0\r\n\r\n", /* the end of a streamed response, or nonsense */
    "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
    "\x01\x02\x03\r\n\r\n",
};

static const char *const extension_requests[] = {
    "POST /2020-01-01/extension/register HTTP/1.1\r\nHost: x\r\nLambda-Extension-Name: e\r\n"
    "Content-Length: 21\r\n\r\n{\"events\":[\"INVOKE\"]}",
    "GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: x\r\nLambda-Extension-Identifier: "
    "%s\r\n\r\n",
    "GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: x\r\nLambda-Extension-Identifier: "
    "%s\r\n\r\n",
    "POST /2020-01-01/extension/exit/error HTTP/1.1\r\nHost: x\r\nLambda-Extension-Identifier: "
    "%s\r\n"
    "Content-Length: 0\r\n\r\n",
};

/* The text with the id in its place; sometimes only a part of it. */
static void request_send(struct world *world, int box, const char *form, const char *id)
{
    char text[1024];
    const char *place = strstr(form, "%s");
    int size =
        place ? snprintf(text, sizeof(text), "%.*s%s%s", (int) (place - form), form, id, place + 2)
              : snprintf(text, sizeof(text), "%s", form);
    if (pick(world, 12) == 0)
        size = (int) pick(world, (uint32_t) size);
    (void) !send(connection_of(world, box), text, (size_t) size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void runtime_step(struct world *world)
{
    int box = (int) pick(world, BOXES);
    if (world->boxes[box].id == 0)
        return;
    answers_read(world, box);
    switch (pick(world, 24)) {
    case 0:
        box_exit(world, &world->boxes[box], pick(world, 2) ? SIGSEGV : 1 << 8, pick(world, 2));
        break;
    case 1: {
        int *fd = &world->fds[box][pick(world, CONNECTIONS)];
        *fd = fd_close(*fd);
        break;
    }
    case 2:
        fake_box_print(&world->boxes[box], pick(world, 2) ? "a line\n" : "half");
        break;
    case 3:
    case 4:
        request_send(world, box, extension_requests[pick(world, ARRAY_SIZE(extension_requests))],
                     world->extensions[box]);
        break;
    default:
        request_send(world, box, requests[pick(world, ARRAY_SIZE(requests))],
                     pick(world, 10) ? world->ids[box] : "wrong");
        break;
    }
}

/* ---- callers */

static void on_begin(void *arg, struct str content_type, bool is_streamed)
{
    (void) arg;
    (void) content_type;
    (void) is_streamed;
}

static bool on_data(void *arg, struct str piece)
{
    (void) arg;
    return piece.size % 2 == 0;
}

static const struct invocation_stream stream = {.begin = on_begin, .data = on_data};

static void on_result(void *arg, struct invocation_result *result)
{
    struct call *call = arg;
    assert_non_null(call->invocation);
    assert_true(result->outcome <= INVOCATION_FAULT);
    if (result->outcome == INVOCATION_FUNCTION_ERROR)
        assert_true(result->payload.size > 0);
    call->invocation = NULL;
    call->told++;
}

static void on_stopped(void *arg, unsigned stopped)
{
    (void) arg;
    (void) stopped;
}

static void caller_step(struct world *world)
{
    struct call *call = &world->calls[pick(world, CALLS)];
    struct invocation_spec spec = {.payload = BUF_INIT(100), .wants_log_tail = pick(world, 2)};
    if (pick(world, 40) == 0) {
        scheduler_stop_idle(world->scheduler, STR("f"), SCHEDULER_STOP_IDLE, on_stopped, NULL);
    } else if (!call->invocation) {
        buf_append_text(&spec.payload, "{}");
        spec.stream = pick(world, 3) == 0 ? &stream : NULL;
        call->invocation =
            invocation_start(world->scheduler, world->version, &spec, on_result, call);
        assert_non_null(call->invocation);
    } else if (pick(world, 8) == 0) {
        invocation_cancel(call->invocation);
        call->invocation = NULL;
    } else if (pick(world, 4) == 0) {
        invocation_stream_resume(call->invocation);
    }
}

/* ---- */

static bool is_quiet(void *arg)
{
    struct world *world = arg;
    struct scheduler_totals totals;
    spawn_obey(world);
    scheduler_totals(world->scheduler, &totals);
    for (int i = 0; i < BOXES; i++)
        if (world->boxes[i].id != 0)
            box_exit(world, &world->boxes[i], 0, 0);
    return totals.instances == 0 && totals.running == 0 && totals.queued == 0;
}

static void world_close(struct world *world)
{
    fake_wait(&world->spawn, is_quiet, world);
    for (int i = 0; i < CALLS; i++)
        assert_null(world->calls[i].invocation); /* every call was told of */
    assert_int_equal(instance_host_count(world->host), 0);
    assert_int_equal(world->lost, 0);
    fake_turns(&world->spawn);
    scheduler_free(world->scheduler);
    instance_host_free(world->host);
    fake_turns(&world->spawn);
    fake_spawn_close(&world->spawn);
    loop_free(world->loop);
    version_unref(world->version);
}

static void anything_in_any_order(void **state)
{
    static struct world world;
    (void) state;
    log_set_level(LOG_LEVEL_ERROR);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        int told = 0;
        world_open(&world, seed * UINT64_C(0x9E3779B97F4A7C15));
        for (int i = 0; i < STEPS; i++) {
            if (pick(&world, 4) == 0)
                caller_step(&world);
            runtime_step(&world);
            loop_run_once(world.loop, false);
            spawn_obey(&world);
        }
        for (int i = 0; i < CALLS; i++)
            told += world.calls[i].told;
        assert_true(told > 0);
        world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anything_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
