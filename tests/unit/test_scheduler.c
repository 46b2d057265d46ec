/* SPDX-License-Identifier: MIT
 *
 * The scheduler with its pools, keep-alive and admission, with this test as lamina-spawn and as the runtimes. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "function/scheduler.h"
#include "function/stats.h"
#include "function/version.h"
#include "instance/instance.h"
#include "loop/loop.h"

#include "fake_spawn.h"
#include "unit.h"

#define BOXES 4

struct call {
    int done; /* how often the callback came */
    enum invocation_outcome outcome;
    bool is_cold;
    char payload[512];
    const char *reason;
    char error[512];
    uint64_t phase_us[COLD_PHASES];
    struct invocation *invocation;
};

struct fixture {
    struct loop *loop;
    struct fake_spawn spawn;
    struct instance_host *host;
    struct scheduler *scheduler;
    struct version *f, *g;
    struct fake_box boxes[BOXES];
    struct call calls[8];
    int lost, drained, stopped;
};

static const struct scheduler_limits generous = {
    .concurrency = 10,
    .queue_max = 10,
    .queue_bytes_max = 1 << 20,
    .queue_wait_ms = 2 * FAKE_DEADLINE_MS,
    .starts_at_once = 10,
    .freeze_after_ms = 2 * FAKE_DEADLINE_MS,
    .keepalive_s = 3600,
};

static void on_lost(void *arg)
{
    ((struct fixture *) arg)->lost++;
}

static struct version *a_version(const char *name)
{
    struct version *version = version_new(name, "us-east-1", "000000000000");
    version_set(version, &version->runtime, "provided.al2023");
    version_set(version, &version->handler, "h");
    version->timeout_s = 900;
    version->code.has_tree = true;
    version->state = VERSION_ACTIVE;
    return version;
}

static int setup(void **state)
{
    struct fixture *fixture = mem_new(struct fixture);
    struct instance_host_config config = {.region = "us-east-1", .lost = on_lost, .arg = fixture};
    struct error err = {0};
    fixture->loop = loop_new();
    fake_spawn_open(&fixture->spawn, fixture->loop);
    config.loop = fixture->loop;
    config.spawn_fd = fixture->spawn.host_fd;
    assert_int_equal(instance_host_new(&config, &fixture->host, &err), 0);
    fixture->f = a_version("f");
    fixture->g = a_version("g");
    for (int i = 0; i < BOXES; i++)
        fixture->boxes[i].http_fd = fixture->boxes[i].log_fd = fixture->boxes[i].peak_fd = -1;
    *state = fixture;
    return 0;
}

static void use(struct fixture *fixture, struct scheduler_limits limits)
{
    const struct scheduler_config config = {
        .loop = fixture->loop, .host = fixture->host, .limits = limits};
    struct error err = {0};
    assert_int_equal(scheduler_new(&config, &fixture->scheduler, &err), 0);
}

static uint32_t instances(struct fixture *fixture)
{
    struct scheduler_totals totals;
    scheduler_totals(fixture->scheduler, &totals);
    return totals.instances;
}

static bool all_ended(void *arg)
{
    struct scheduler_totals totals;
    scheduler_totals(((struct fixture *) arg)->scheduler, &totals);
    return totals.instances == 0 && totals.running == 0 && totals.queued == 0;
}

/* Every call is answered or cancelled by now; every box that lives exits. */
static int teardown(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < BOXES; i++)
        if (fixture->boxes[i].log_fd >= 0)
            fake_box_exit(&fixture->boxes[i], 0, 0, 0);
    fake_wait(&fixture->spawn, all_ended, fixture);
    fake_turns(&fixture->spawn);
    scheduler_free(fixture->scheduler);
    instance_host_free(fixture->host);
    fake_turns(&fixture->spawn);
    fake_spawn_close(&fixture->spawn);
    loop_free(fixture->loop);
    version_unref(fixture->f);
    version_unref(fixture->g);
    free(fixture);
    return 0;
}

static void on_result(void *arg, struct invocation_result *result)
{
    struct call *call = arg;
    call->done++;
    call->outcome = result->outcome;
    call->is_cold = result->is_cold;
    memcpy(call->phase_us, result->phase_us, sizeof(call->phase_us));
    snprintf(call->payload, sizeof(call->payload), STR_FORMAT,
             STR_ARGUMENTS(buf_str(&result->payload)));
    snprintf(call->error, sizeof(call->error), "%s", result->error ? result->error->text : "");
    if (result->outcome == INVOCATION_THROTTLED) {
        call->reason = result->throttle_reason;
        assert_non_null(strstr(result->throttle_reason, "ConcurrentInvocationLimitExceeded"));
        assert_true(result->retry_after_s > 0);
    }
}

static struct call *start_sized(struct fixture *fixture, int n, const struct version *version,
                                size_t size)
{
    struct call *call = &fixture->calls[n];
    struct invocation_spec spec = {.payload = BUF_INIT(1 << 20),
                                   .invoked_arn = str_of(version->arn)};
    memset(call, 0, sizeof(*call));
    buf_append_text(&spec.payload, "{}");
    while (spec.payload.size < size)
        buf_append_byte(&spec.payload, ' ');
    call->invocation = invocation_start(fixture->scheduler, version, &spec, on_result, call);
    assert_non_null(call->invocation);
    assert_int_equal(call->done, 0); /* never from inside */
    assert_int_equal(spec.payload.size, 0);
    return call;
}

static struct call *start(struct fixture *fixture, int n, const struct version *version)
{
    return start_sized(fixture, n, version, 0);
}

/* The box, as a runtime, asks for work; and, once it has some, answers it. */
static void box_next(struct fake_box *box)
{
    fake_box_send(box, FAKE_NEXT);
    fake_turns(box->spawn);
}

static void box_take(struct fake_box *box, char id[40])
{
    const char *header = NULL;
    assert_int_equal(fake_box_answer(box), 200);
    header = strstr(box->answer, "Lambda-Runtime-Aws-Request-Id: ");
    assert_non_null(header);
    snprintf(id, 37, "%s", header + strlen("Lambda-Runtime-Aws-Request-Id: "));
}

static void box_reply(struct fake_box *box, const char *id, const char *body)
{
    char text[512];
    snprintf(text, sizeof(text),
             "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             id, strlen(body), body);
    assert_int_equal(fake_box_call(box, text), 202);
}

static void box_serve(struct fake_box *box, const char *body)
{
    char id[40];
    box_take(box, id);
    box_reply(box, id, body);
}

/* A box that is up and waits for its first call. */
static struct fake_box *box_up(struct fixture *fixture, int n)
{
    struct fake_box *box = &fixture->boxes[n];
    fake_box_expect(&fixture->spawn, box);
    box_next(box);
    fake_expect(&fixture->spawn, SPAWN_INIT_DONE, NULL, 0);
    return box;
}

static void wait_done(struct fixture *fixture, const struct call *call)
{
    fake_wait_flag(&fixture->spawn, &call->done);
}

static void expect_kill_and_exit(struct fixture *fixture, struct fake_box *box)
{
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), box->id);
    fake_box_exit(box, SIGKILL, SPAWN_EXIT_KILLED, 0);
}

/* ---- */

static void the_first_call_starts_an_instance(void **state)
{
    struct fixture *fixture = *state;
    struct call *call = NULL;
    use(fixture, generous);
    call = start(fixture, 0, fixture->f);
    box_serve(box_up(fixture, 0), "\"a\"");
    wait_done(fixture, call);
    assert_int_equal(call->outcome, INVOCATION_ANSWERED);
    assert_string_equal(call->payload, "\"a\"");
    assert_true(call->is_cold);
    assert_true(call->phase_us[COLD_LOAD] > 0);
    assert_true(call->phase_us[COLD_FIRST_ANSWER] > 0);
    /* The next one finds it, warm. */
    box_next(&fixture->boxes[0]);
    call = start(fixture, 1, fixture->f);
    box_serve(&fixture->boxes[0], "\"b\"");
    wait_done(fixture, call);
    assert_string_equal(call->payload, "\"b\"");
    assert_false(call->is_cold);
    assert_int_equal(instances(fixture), 1);
    const struct function_stats *stats = function_stats_find(fixture->scheduler, STR("f"));
    assert_int_equal(stats->invocation.total, 2);
    assert_int_equal(stats->cold[COLD_LOAD].total, 1);
    assert_int_equal(stats->memory_peak_bytes, 5u << 20);
}

static void a_deleted_function_s_last_answer_makes_no_new_entry(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    box_up(fixture, 0);
    function_stats_forget(fixture->scheduler, STR("f"));
    scheduler_retire(fixture->scheduler, fixture->f);
    box_serve(&fixture->boxes[0], "0");
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_ANSWERED);
    assert_null(function_stats_find(fixture->scheduler, STR("f")));
}

static void calls_at_once_get_an_instance_each(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->f);
    box_up(fixture, 0);
    box_up(fixture, 1);
    box_serve(&fixture->boxes[1], "1");
    box_serve(&fixture->boxes[0], "0");
    wait_done(fixture, &fixture->calls[0]);
    wait_done(fixture, &fixture->calls[1]);
    assert_string_equal(fixture->calls[0].payload, "0");
    assert_string_equal(fixture->calls[1].payload, "1");
}

static void an_instance_that_is_free_first_takes_the_oldest_call(void **state)
{
    struct fixture *fixture = *state;
    struct call *third = NULL;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->f);
    box_up(fixture, 0);
    box_serve(&fixture->boxes[0], "0");
    box_next(&fixture->boxes[0]);
    box_serve(&fixture->boxes[0], "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_string_equal(fixture->calls[1].payload, "1");
    assert_false(fixture->calls[1].is_cold); /* it did not pay for it */
    box_up(fixture, 1);                      /* needless by now: a spare */
    third = start(fixture, 2, fixture->f);
    box_serve(&fixture->boxes[1], "2");
    wait_done(fixture, third);
    assert_false(third->is_cold);
}

static void one_that_answered_just_now_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    box_up(fixture, 0);
    box_serve(&fixture->boxes[0], "0");
    wait_done(fixture, &fixture->calls[0]);
    /* Its `next` is on the way; no turn of the loop has passed. */
    char id[40];
    box_next(&fixture->boxes[0]);
    start(fixture, 1, fixture->f);
    box_take(&fixture->boxes[0], id);
    /* Now call 1 runs. It is answered, and before the runtime comes back there is another call. */
    box_reply(&fixture->boxes[0], id, "1");
    assert_int_equal(fixture->calls[1].done, 1);
    start(fixture, 2, fixture->f);
    bool has_started = fake_has_request_now(&fixture->spawn);
    box_next(&fixture->boxes[0]);
    box_serve(&fixture->boxes[0], "2");
    wait_done(fixture, &fixture->calls[2]);
    /* On a machine that stood still for longer than the patience another was started; never at once. */
    if (has_started || fake_has_request(&fixture->spawn))
        fake_box_expect(&fixture->spawn, &fixture->boxes[1]);
}

static void beyond_the_concurrency_calls_wait_and_then_are_throttled(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.concurrency = 1;
    limits.queue_max = 1;
    use(fixture, limits);
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->g);
    start(fixture, 2, fixture->f);
    wait_done(fixture, &fixture->calls[2]);
    assert_int_equal(fixture->calls[2].outcome, INVOCATION_THROTTLED);
    assert_int_equal(fixture->calls[1].done, 0);
    box_serve(box_up(fixture, 0), "0");
    /* g's turn; there may be one instance, so f's, idle, makes room. */
    box_next(&fixture->boxes[0]);
    expect_kill_and_exit(fixture, &fixture->boxes[0]);
    box_serve(box_up(fixture, 1), "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_string_equal(fixture->calls[1].payload, "1");
}

static void a_wait_that_takes_too_long_is_throttled(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.concurrency = 1;
    limits.queue_wait_ms = 20;
    use(fixture, limits);
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->f);
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(fixture->calls[1].outcome, INVOCATION_THROTTLED);
    assert_int_equal(fixture->calls[0].done, 0); /* an instance is on its way */
    box_serve(box_up(fixture, 0), "0");
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_ANSWERED);
}

static void payloads_that_wait_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.queue_bytes_max = 1000;
    use(fixture, limits);
    start_sized(fixture, 0, fixture->f, 600);
    start_sized(fixture, 1, fixture->f, 600);
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(fixture->calls[1].outcome, INVOCATION_THROTTLED);
    box_serve(box_up(fixture, 0), "0");
    wait_done(fixture, &fixture->calls[0]);
    box_next(&fixture->boxes[0]);
    /* Larger than all that may wait, but it need not. */
    start_sized(fixture, 2, fixture->f, 2000);
    box_serve(&fixture->boxes[0], "2");
    wait_done(fixture, &fixture->calls[2]);
    assert_int_equal(fixture->calls[2].outcome, INVOCATION_ANSWERED);
}

static void a_cancelled_call_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    char id[40];
    limits.concurrency = 2;
    use(fixture, limits);
    start(fixture, 0, fixture->f); /* will run */
    start(fixture, 1, fixture->f); /* queued, with a start on the way */
    start(fixture, 2, fixture->f); /* without a permit */
    invocation_cancel(fixture->calls[2].invocation);
    invocation_cancel(fixture->calls[1].invocation);
    box_up(fixture, 0);
    box_take(&fixture->boxes[0], id);
    invocation_cancel(fixture->calls[0].invocation);
    box_reply(&fixture->boxes[0], id, "0"); /* it runs to its end all the same */
    box_up(fixture, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture->calls[i].done, 0);
    start(fixture, 3, fixture->f);
    box_serve(&fixture->boxes[1], "3");
    wait_done(fixture, &fixture->calls[3]);
}

static void an_init_phase_that_fails_is_repeated_once(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    fake_box_expect(&fixture->spawn, &fixture->boxes[0]);
    fake_box_exit(&fixture->boxes[0], 1 << 8, 0, 0);
    box_serve(box_up(fixture, 1), "\"second try\"");
    wait_done(fixture, &fixture->calls[0]);
    assert_string_equal(fixture->calls[0].payload, "\"second try\"");
}

static void an_init_phase_that_fails_twice_fails_the_call(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    for (int i = 0; i < 2; i++) {
        fake_box_expect(&fixture->spawn, &fixture->boxes[i]);
        fake_box_exit(&fixture->boxes[i], 1 << 8, 0, 0);
    }
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_FUNCTION_ERROR);
    assert_non_null(strstr(fixture->calls[0].payload, "Runtime exited with error: exit status 1"));
    assert_false(fake_has_request(&fixture->spawn));
    assert_int_equal(instances(fixture), 0);
    /* And the next call works. */
    start(fixture, 1, fixture->f);
    box_serve(box_up(fixture, 2), "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(fixture->calls[1].outcome, INVOCATION_ANSWERED);
}

static void no_sandbox_twice_is_a_fault(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    for (int i = 0; i < 2; i++)
        fake_box_fail(&fixture->spawn, fake_expect(&fixture->spawn, SPAWN_START, NULL, 0),
                      SPAWN_STEP_CGROUP, ENOSPC);
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_FAULT);
    assert_non_null(strstr(fixture->calls[0].error, "step cgroup"));
}

static void a_crash_fails_its_own_call_only(void **state)
{
    struct fixture *fixture = *state;
    char id[40];
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    box_take(box_up(fixture, 0), id);
    start(fixture, 1, fixture->f);
    fake_box_exit(&fixture->boxes[0], SIGSEGV, 0, 0);
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_FUNCTION_ERROR);
    box_serve(box_up(fixture, 1), "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(fixture->calls[1].outcome, INVOCATION_ANSWERED);
}

static void an_idle_instance_dies_and_the_next_call_starts_another(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    box_serve(box_up(fixture, 0), "0");
    wait_done(fixture, &fixture->calls[0]);
    box_next(&fixture->boxes[0]);
    fake_box_exit(&fixture->boxes[0], SIGKILL, SPAWN_EXIT_OOM, 0);
    fake_wait(&fixture->spawn, all_ended, fixture);
    start(fixture, 1, fixture->f);
    box_serve(box_up(fixture, 1), "1");
    wait_done(fixture, &fixture->calls[1]);
}

static void a_replaced_version_answers_what_it_accepted_and_ends(void **state)
{
    struct fixture *fixture = *state;
    struct version *newer = version_copy(fixture->f);
    char id[40];
    version_renew_execution(newer);
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->f);
    box_take(box_up(fixture, 0), id); /* one runs, one waits for its instance */
    scheduler_retire(fixture->scheduler, fixture->f);
    start(fixture, 2, newer);
    box_serve(box_up(fixture, 1), "1");
    box_serve(box_up(fixture, 2), "2");
    wait_done(fixture, &fixture->calls[1]);
    wait_done(fixture, &fixture->calls[2]);
    box_reply(&fixture->boxes[0], id, "0");
    wait_done(fixture, &fixture->calls[0]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture->calls[i].outcome, INVOCATION_ANSWERED);
    box_next(&fixture->boxes[1]);
    expect_kill_and_exit(fixture, &fixture->boxes[1]);
    box_next(&fixture->boxes[0]);
    expect_kill_and_exit(fixture, &fixture->boxes[0]);
    box_next(&fixture->boxes[2]);
    assert_false(fake_has_request(&fixture->spawn));
    version_unref(newer);
}

static void idle_instances_of_a_replaced_version_end_at_once(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    box_serve(box_up(fixture, 0), "0");
    wait_done(fixture, &fixture->calls[0]);
    box_next(&fixture->boxes[0]);
    scheduler_retire(fixture->scheduler, fixture->f);
    expect_kill_and_exit(fixture, &fixture->boxes[0]);
    fake_wait(&fixture->spawn, all_ended, fixture);
}

static void an_idle_instance_is_frozen_and_thawed(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.freeze_after_ms = 1;
    use(fixture, limits);
    start(fixture, 0, fixture->f);
    box_serve(box_up(fixture, 0), "0");
    wait_done(fixture, &fixture->calls[0]);
    box_next(&fixture->boxes[0]);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_FREEZE, NULL, 0), fixture->boxes[0].id);
    start(fixture, 1, fixture->f);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_THAW, NULL, 0), fixture->boxes[0].id);
    box_serve(&fixture->boxes[0], "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_string_equal(fixture->calls[1].payload, "1");
    /* And again: the timer was set for its end meanwhile. */
    box_next(&fixture->boxes[0]);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_FREEZE, NULL, 0), fixture->boxes[0].id);
}

static void an_instance_that_nobody_calls_is_ended(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.keepalive_s = 0;
    use(fixture, limits);
    start(fixture, 0, fixture->f);
    box_serve(box_up(fixture, 0), "0");
    wait_done(fixture, &fixture->calls[0]);
    box_next(&fixture->boxes[0]);
    expect_kill_and_exit(fixture, &fixture->boxes[0]);
    fake_wait(&fixture->spawn, all_ended, fixture);
}

static void without_memory_a_call_waits_and_is_throttled(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.memory_reserve = UINT64_MAX / 4;
    limits.queue_wait_ms = 30;
    use(fixture, limits);
    start(fixture, 0, fixture->f);
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_THROTTLED);
    assert_false(fake_has_request(&fixture->spawn));
}

static void sandboxes_are_made_a_few_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.starts_at_once = 1;
    use(fixture, limits);
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->g);
    uint64_t first = fake_expect(&fixture->spawn, SPAWN_START, NULL, 0);
    assert_false(fake_has_request(&fixture->spawn));
    fake_box_start(&fixture->spawn, &fixture->boxes[0], first);
    fake_box_expect(&fixture->spawn, &fixture->boxes[1]);
    for (int i = 0; i < 2; i++) {
        box_next(&fixture->boxes[i]);
        fake_expect(&fixture->spawn, SPAWN_INIT_DONE, NULL, 0);
        box_serve(&fixture->boxes[i], "x");
        wait_done(fixture, &fixture->calls[i]);
    }
}

static void reserved_concurrency_is_a_cap_and_a_guarantee(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.concurrency = 2;
    use(fixture, limits);
    scheduler_set_reserved(fixture->scheduler, STR("f"), 1);
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->f); /* beyond its cap */
    start(fixture, 2, fixture->g); /* the one permit that is left to all others */
    start(fixture, 3, fixture->g); /* waits for it */
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(fixture->calls[1].outcome, INVOCATION_THROTTLED);
    assert_string_equal(fixture->calls[1].reason,
                        "ReservedFunctionConcurrentInvocationLimitExceeded");
    box_up(fixture, 0);
    box_up(fixture, 1);
    box_serve(&fixture->boxes[1], "2");
    box_next(&fixture->boxes[1]);
    box_serve(&fixture->boxes[1], "3");
    box_serve(&fixture->boxes[0], "0");
    for (int i = 0; i < 4; i += 1 + (i == 0))
        wait_done(fixture, &fixture->calls[i]);
    box_next(&fixture->boxes[0]);
    scheduler_set_reserved(fixture->scheduler, STR("f"), 0);
    start(fixture, 4, fixture->f);
    wait_done(fixture, &fixture->calls[4]);
    assert_int_equal(fixture->calls[4].outcome, INVOCATION_THROTTLED);
    scheduler_set_reserved(fixture->scheduler, STR("f"), -1);
    start(fixture, 5, fixture->f);
    box_serve(&fixture->boxes[0], "5");
    wait_done(fixture, &fixture->calls[5]);
    assert_int_equal(fixture->calls[5].outcome, INVOCATION_ANSWERED);
}

static void calls_that_wait_obey_a_reservation_that_comes_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.concurrency = 2;
    use(fixture, limits);
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->g);
    for (int i = 2; i < 5; i++)
        start(fixture, i, fixture->f); /* wait for a permit of all */
    start(fixture, 5, fixture->g);
    box_up(fixture, 0);
    box_up(fixture, 1);
    scheduler_set_reserved(fixture->scheduler, STR("f"), 0);
    assert_int_equal(fixture->calls[2].done, 0); /* never from inside */
    for (int i = 2; i < 5; i++) {
        wait_done(fixture, &fixture->calls[i]);
        assert_int_equal(fixture->calls[i].outcome, INVOCATION_THROTTLED);
        assert_string_equal(fixture->calls[i].reason,
                            "ReservedFunctionConcurrentInvocationLimitExceeded");
    }
    scheduler_set_reserved(fixture->scheduler, STR("f"), -1);
    start(fixture, 2, fixture->f);
    start(fixture, 3, fixture->f);
    /* One runs already, so one of the two that wait gets the second permit of f's own. */
    scheduler_set_reserved(fixture->scheduler, STR("f"), 2);
    wait_done(fixture, &fixture->calls[3]);
    assert_int_equal(fixture->calls[3].outcome, INVOCATION_THROTTLED);
    assert_int_equal(fixture->calls[2].done, 0);
    assert_int_equal(fixture->calls[5].done, 0);
    struct scheduler_totals totals;
    scheduler_totals(fixture->scheduler, &totals);
    assert_int_equal(totals.running, 3);
    assert_int_equal(totals.queued, 1);
    invocation_cancel(fixture->calls[5].invocation);
    box_serve(&fixture->boxes[0], "0");
    box_next(&fixture->boxes[0]);
    box_serve(&fixture->boxes[0], "2"); /* f may not have another instance: two are the limit */
    box_serve(&fixture->boxes[1], "1");
    for (int i = 0; i < 5; i++)
        wait_done(fixture, &fixture->calls[i]);
}

static struct scheduler_provisioned provisioned(struct fixture *fixture)
{
    struct scheduler_provisioned got;
    scheduler_provisioned(fixture->scheduler, fixture->f, &got);
    return got;
}

static void provisioned_instances_are_started_ahead_and_kept(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.keepalive_s = 0;
    use(fixture, limits);
    scheduler_set_provisioned(fixture->scheduler, fixture->f, 2);
    assert_int_equal(provisioned(fixture).requested, 2);
    assert_int_equal(provisioned(fixture).ready, 0);
    box_up(fixture, 0);
    box_up(fixture, 1);
    assert_int_equal(provisioned(fixture).ready, 2);
    /* The keep-alive is over at once, yet they stay; a call is warm. */
    assert_false(fake_has_request(&fixture->spawn));
    struct call *call = start(fixture, 0, fixture->f);
    box_serve(&fixture->boxes[1], "0");
    wait_done(fixture, call);
    assert_false(call->is_cold);
    box_next(&fixture->boxes[1]);
    /* One that dies is replaced. */
    fake_box_exit(&fixture->boxes[0], SIGKILL, SPAWN_EXIT_OOM, 0);
    box_up(fixture, 2);
    assert_int_equal(provisioned(fixture).ready, 2);
    /* Fewer are wanted: the rest ends like any idle instance. */
    scheduler_set_provisioned(fixture->scheduler, fixture->f, 0);
    for (int i = 0; i < 2; i++) {
        uint64_t id = fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0);
        fake_box_exit(&fixture->boxes[id == fixture->boxes[1].id ? 1 : 2], SIGKILL,
                      SPAWN_EXIT_KILLED, 0);
    }
    fake_wait(&fixture->spawn, all_ended, fixture);
}

static void a_provisioned_init_phase_that_fails_is_not_repeated(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    scheduler_set_provisioned(fixture->scheduler, fixture->f, 1);
    fake_box_expect(&fixture->spawn, &fixture->boxes[0]);
    fake_box_exit(&fixture->boxes[0], 1 << 8, 0, 0);
    fake_wait(&fixture->spawn, all_ended, fixture);
    assert_true(provisioned(fixture).has_failed);
    assert_false(fake_has_request(&fixture->spawn));
    /* A call tries again. */
    struct call *call = start(fixture, 0, fixture->f);
    box_serve(box_up(fixture, 1), "0");
    wait_done(fixture, call);
    assert_int_equal(provisioned(fixture).ready, 1);
    scheduler_set_provisioned(fixture->scheduler, fixture->f, 0);
}

static void on_stopped(void *arg, unsigned stopped)
{
    ((struct fixture *) arg)->stopped = (int) stopped + 1;
}

static void idle_instances_can_be_stopped_by_name(void **state)
{
    struct fixture *fixture = *state;
    char id[40];
    use(fixture, generous);
    scheduler_stop_idle(fixture->scheduler, STR("f"), SCHEDULER_STOP_IDLE, on_stopped, fixture);
    fake_wait_flag(&fixture->spawn, &fixture->stopped);
    assert_int_equal(fixture->stopped, 1); /* none */
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->f);
    box_serve(box_up(fixture, 0), "0");
    wait_done(fixture, &fixture->calls[0]);
    box_take(box_up(fixture, 1), id);
    box_next(&fixture->boxes[0]);
    fixture->stopped = 0;
    scheduler_stop_idle(fixture->scheduler, STR("f"), SCHEDULER_STOP_IDLE, on_stopped, fixture);
    expect_kill_and_exit(fixture, &fixture->boxes[0]);
    fake_wait_flag(&fixture->spawn, &fixture->stopped);
    assert_int_equal(fixture->stopped, 2); /* one; the busy one is left alone */
    box_reply(&fixture->boxes[1], id, "1");
    wait_done(fixture, &fixture->calls[1]);
}

static void on_drained(void *arg)
{
    ((struct fixture *) arg)->drained++;
}

static void draining_answers_what_runs_and_refuses_the_rest(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    scheduler_drain(fixture->scheduler, on_drained, fixture);
    start(fixture, 1, fixture->f);
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(fixture->calls[1].outcome, INVOCATION_THROTTLED);
    assert_int_equal(fixture->drained, 0);
    box_serve(box_up(fixture, 0), "0");
    fake_wait_flag(&fixture->spawn, &fixture->drained);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_ANSWERED);
}

static void on_info(void *arg, const struct instance_info *info)
{
    struct call *seen = arg;
    seen->done++;
    snprintf(seen->payload, sizeof(seen->payload), STR_FORMAT " " STR_FORMAT " %s",
             STR_ARGUMENTS(info->function), STR_ARGUMENTS(info->version), info->state);
}

static void on_memory(void *arg, uint64_t id, const struct instance_memory *memory)
{
    struct call *seen = arg;
    (void) id;
    seen->done++;
    snprintf(seen->error, sizeof(seen->error), "%d", memory->error);
}

static void instances_can_be_listed_and_measured(void **state)
{
    struct fixture *fixture = *state;
    struct call seen = {0};
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    box_serve(box_up(fixture, 0), "0");
    wait_done(fixture, &fixture->calls[0]);
    scheduler_each_instance(fixture->scheduler, on_info, &seen);
    assert_int_equal(seen.done, 1);
    assert_string_equal(seen.payload, "f $LATEST SETTLING");
    seen.done = 0;
    scheduler_instance_memory(fixture->scheduler, 999, on_memory, &seen);
    assert_int_equal(seen.done, 1);
    seen.done = 0;
    scheduler_instance_memory(fixture->scheduler, fixture->boxes[0].id, on_memory, &seen);
    fake_expect(&fixture->spawn, SPAWN_STATS, NULL, 0);
    /* It ends before it could be measured: the answer comes all the same. */
    fake_box_exit(&fixture->boxes[0], 0, 0, 0);
    fake_wait_flag(&fixture->spawn, &seen.done);
    assert_int_equal(seen.done, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(the_first_call_starts_an_instance),
        TEST(a_deleted_function_s_last_answer_makes_no_new_entry),
        TEST(calls_at_once_get_an_instance_each),
        TEST(an_instance_that_is_free_first_takes_the_oldest_call),
        TEST(one_that_answered_just_now_is_waited_for),
        TEST(beyond_the_concurrency_calls_wait_and_then_are_throttled),
        TEST(a_wait_that_takes_too_long_is_throttled),
        TEST(payloads_that_wait_are_bounded),
        TEST(a_cancelled_call_is_forgotten),
        TEST(an_init_phase_that_fails_is_repeated_once),
        TEST(an_init_phase_that_fails_twice_fails_the_call),
        TEST(no_sandbox_twice_is_a_fault),
        TEST(a_crash_fails_its_own_call_only),
        TEST(an_idle_instance_dies_and_the_next_call_starts_another),
        TEST(a_replaced_version_answers_what_it_accepted_and_ends),
        TEST(idle_instances_of_a_replaced_version_end_at_once),
        TEST(an_idle_instance_is_frozen_and_thawed),
        TEST(an_instance_that_nobody_calls_is_ended),
        TEST(without_memory_a_call_waits_and_is_throttled),
        TEST(sandboxes_are_made_a_few_at_a_time),
        TEST(reserved_concurrency_is_a_cap_and_a_guarantee),
        TEST(calls_that_wait_obey_a_reservation_that_comes_meanwhile),
        TEST(provisioned_instances_are_started_ahead_and_kept),
        TEST(a_provisioned_init_phase_that_fails_is_not_repeated),
        TEST(idle_instances_can_be_stopped_by_name),
        TEST(draining_answers_what_runs_and_refuses_the_rest),
        TEST(instances_can_be_listed_and_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
