/* SPDX-License-Identifier: MIT
 *
 * Templates as the scheduler sees them, with this test as lamina-spawn and as the runtimes. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "function/pool.h"
#include "function/pool_template.h"
#include "function/scheduler.h"
#include "function/scheduler_private.h"
#include "function/stats.h"
#include "function/version.h"
#include "instance/instance.h"
#include "loop/loop.h"
#include "template/cache.h"
#include "template/template.h"

#include "fake_spawn.h"
#include "unit.h"

#define BOXES 12

struct call {
    int done;
    enum invocation_outcome outcome;
    bool is_cold;
    char payload[512], error[512];
};

struct fixture {
    struct loop *loop;
    struct fake_spawn spawn;
    struct instance_host *host;
    struct scheduler *scheduler;
    struct version *f, *g;
    struct fake_box boxes[BOXES];
    struct call calls[8];
    struct scheduler_prepared prepared;
    char reason[256];
    int lost, told;
};

static const struct scheduler_limits generous = {
    .concurrency = 10,
    .queue_max = 10,
    .queue_bytes_max = 1 << 20,
    .queue_wait_ms = 2 * FAKE_DEADLINE_MS,
    .starts_at_once = 10,
    .freeze_after_ms = 2 * FAKE_DEADLINE_MS,
    .keepalive_s = 3600,
    .template_bytes = 64 << 20,
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
    version->code.forking = VERSION_FORKING_ALWAYS;
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
    fake_spawn_hello(&fixture->spawn);
}

static bool all_ended(void *arg)
{
    struct fixture *fixture = arg;
    struct scheduler_totals totals;
    scheduler_totals(fixture->scheduler, &totals);
    return totals.instances == 0 && totals.running == 0 && totals.queued == 0 &&
           instance_host_count(fixture->host) == 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    scheduler_retire(fixture->scheduler, fixture->f);
    scheduler_retire(fixture->scheduler, fixture->g);
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
    snprintf(call->payload, sizeof(call->payload), STR_FORMAT,
             STR_ARGUMENTS(buf_str(&result->payload)));
    snprintf(call->error, sizeof(call->error), "%s", result->error ? result->error->text : "");
}

static struct call *start(struct fixture *fixture, int n, const struct version *version)
{
    struct call *call = &fixture->calls[n];
    struct invocation_spec spec = {.payload = BUF_INIT(1 << 20),
                                   .invoked_arn = str_of(version->arn)};
    memset(call, 0, sizeof(*call));
    buf_append_text(&spec.payload, "{}");
    assert_non_null(invocation_start(fixture->scheduler, version, &spec, on_result, call));
    return call;
}

static void box_next(struct fake_box *box)
{
    fake_box_send(box, FAKE_NEXT);
    fake_turns(box->spawn);
}

static void box_serve(struct fake_box *box, const char *body)
{
    char id[40], text[512];
    const char *header = NULL;
    assert_int_equal(fake_box_answer(box), 200);
    header = strstr(box->answer, "Lambda-Runtime-Aws-Request-Id: ");
    assert_non_null(header);
    snprintf(id, 37, "%s", header + strlen("Lambda-Runtime-Aws-Request-Id: "));
    snprintf(text, sizeof(text),
             "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             id, strlen(body), body);
    assert_int_equal(fake_box_call(box, text), 202);
}

static void wait_done(struct fixture *fixture, const struct call *call)
{
    fake_wait_flag(&fixture->spawn, &call->done);
}

/* The next START, answered; it must ask for a template, for a fork of `of`, or for neither. */
static struct fake_box *box_up(struct fixture *fixture, int n, bool is_template,
                               const struct fake_box *of)
{
    struct spawn_start asked = {0};
    struct fake_box *box = &fixture->boxes[n];
    uint64_t id = fake_expect(&fixture->spawn, SPAWN_START, &asked, sizeof(asked));
    assert_int_equal(!!(asked.flags & SPAWN_START_TEMPLATE), is_template);
    assert_int_equal(asked.template_id, of ? of->id : 0);
    fake_box_start(&fixture->spawn, box, id);
    fake_turns(&fixture->spawn);
    return box;
}

static struct fake_box *template_up(struct fixture *fixture, int n, uint64_t bytes)
{
    struct fake_box *box = box_up(fixture, n, true, NULL);
    fake_box_template_ready(box);
    fake_expect(&fixture->spawn, SPAWN_STATS, NULL, 0);
    fake_box_stats(box, bytes);
    return box;
}

static struct template_info info_of(struct fixture *fixture, const struct version *version)
{
    struct template_info info = {0};
    assert_true(scheduler_template(fixture->scheduler, version, &info));
    return info;
}

static void expect_state(struct fixture *fixture, const char *state)
{
    assert_string_equal(info_of(fixture, fixture->f).state, state);
}

/* ---- */

static void calls_wait_for_the_template_and_run_in_its_forks(void **state)
{
    struct fixture *fixture = *state;
    struct fake_box *template = NULL;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    start(fixture, 1, fixture->f);
    template = box_up(fixture, 0, true, NULL);
    assert_false(fake_has_request(&fixture->spawn)); /* what it loads is loaded once */
    expect_state(fixture, "INIT");
    fake_box_template_ready(template);
    for (int i = 1; i <= 2; i++)
        box_next(box_up(fixture, i, false, template));
    for (int i = 1; i <= 2; i++) {
        box_serve(&fixture->boxes[i], "0");
        wait_done(fixture, &fixture->calls[i - 1]);
        assert_int_equal(fixture->calls[i - 1].outcome, INVOCATION_ANSWERED);
        assert_true(fixture->calls[i - 1].is_cold);
    }
    expect_state(fixture, "READY");
    assert_int_equal(info_of(fixture, fixture->f).forks, 2);
}

static void a_refused_template_leaves_processes(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    fake_box_template_refused(box_up(fixture, 0, true, NULL), "fd 7 is a socket");
    fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0);
    fake_box_exit(&fixture->boxes[0], SIGKILL, SPAWN_EXIT_KILLED, 0);
    box_next(box_up(fixture, 1, false, NULL));
    box_serve(&fixture->boxes[1], "0");
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_ANSWERED);
    expect_state(fixture, "REFUSED");
    assert_string_equal(info_of(fixture, fixture->f).reason, "fd 7 is a socket");
}

static void a_runtime_that_knows_no_templates_is_refused(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    box_up(fixture, 0, true, NULL);
    fake_box_send(&fixture->boxes[0], FAKE_NEXT);
    fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0);
    fake_box_exit(&fixture->boxes[0], SIGKILL, SPAWN_EXIT_KILLED, 0);
    box_next(box_up(fixture, 1, false, NULL));
    box_serve(&fixture->boxes[1], "0");
    wait_done(fixture, &fixture->calls[0]);
    assert_non_null(strstr(info_of(fixture, fixture->f).reason, "does not know templates"));
}

static void a_template_that_dies_is_made_again_at_the_next_call(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 1 << 20);
    box_next(box_up(fixture, 1, false, &fixture->boxes[0]));
    fake_box_exit(&fixture->boxes[0], SIGSEGV, 0, 0);
    fake_turns(&fixture->spawn);
    box_serve(&fixture->boxes[1], "0"); /* its fork outlives it */
    wait_done(fixture, &fixture->calls[0]);
    expect_state(fixture, "FAILED");
    start(fixture, 1, fixture->f);
    start(fixture, 2, fixture->f);
    template_up(fixture, 2, 1 << 20);
    for (int i = 0; i < 2; i++)
        box_next(box_up(fixture, 3 + i, false, &fixture->boxes[2]));
    for (int i = 0; i < 2; i++)
        box_serve(&fixture->boxes[3 + i], "0");
    wait_done(fixture, &fixture->calls[1]);
    wait_done(fixture, &fixture->calls[2]);
}

static void a_failed_init_phase_is_told_by_a_process(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    fake_box_exit(box_up(fixture, 0, true, NULL), 1 << 8, 0, 0);
    for (int i = 1; i <= 2; i++)
        fake_box_exit(box_up(fixture, i, false, NULL), 1 << 8, 0, 0);
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_FUNCTION_ERROR);
    expect_state(fixture, "FAILED");
    /* Not tried again so soon. */
    start(fixture, 1, fixture->f);
    box_next(box_up(fixture, 3, false, NULL));
    box_serve(&fixture->boxes[3], "0");
    wait_done(fixture, &fixture->calls[1]);
}

static void a_spare_waits_ahead_and_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.spares = 1;
    use(fixture, limits);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 1 << 20);
    box_next(box_up(fixture, 1, false, &fixture->boxes[0]));
    box_next(box_up(fixture, 2, false, &fixture->boxes[0])); /* nobody asked for it */
    start(fixture, 1, fixture->f);
    box_serve(&fixture->boxes[2], "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_false(fixture->calls[1].is_cold);
    box_next(box_up(fixture, 3, false, &fixture->boxes[0]));
    assert_int_equal(info_of(fixture, fixture->f).spares, 1);
    box_serve(&fixture->boxes[1], "0");
    wait_done(fixture, &fixture->calls[0]);
    /* One that has served is used before one that has not. */
    box_next(&fixture->boxes[1]);
    start(fixture, 2, fixture->f);
    box_serve(&fixture->boxes[1], "2");
    wait_done(fixture, &fixture->calls[2]);
    assert_int_equal(info_of(fixture, fixture->f).spares, 1);
}

static void forks_that_crash_often_get_another_template(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 1 << 20);
    for (int i = 0; i <= TEMPLATE_CRASHES_MAX; i++) {
        if (i > 0)
            start(fixture, 0, fixture->f);
        box_next(box_up(fixture, 1, false, &fixture->boxes[0]));
        fake_box_exit(&fixture->boxes[1], SIGSEGV, 0, 0);
        wait_done(fixture, &fixture->calls[0]);
        assert_int_equal(fixture->calls[0].outcome, INVOCATION_FUNCTION_ERROR);
    }
    box_up(fixture, 2, true, NULL);
    expect_state(fixture, "READY"); /* the old one serves meanwhile */
    start(fixture, 1, fixture->f);
    box_next(box_up(fixture, 3, false, &fixture->boxes[0]));
    fake_box_template_ready(&fixture->boxes[2]);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->boxes[0].id);
    fake_box_exit(&fixture->boxes[0], SIGKILL, SPAWN_EXIT_KILLED, 0);
    box_serve(&fixture->boxes[3], "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(info_of(fixture, fixture->f).id, fixture->boxes[2].id);
}

/* A call whose fork, box 1 of that template, a signal ends. */
static void a_crash(struct fixture *fixture, const struct fake_box *template)
{
    start(fixture, 0, fixture->f);
    box_next(box_up(fixture, 1, false, template));
    fake_box_exit(&fixture->boxes[1], SIGSEGV, 0, 0);
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_FUNCTION_ERROR);
}

/* Box 0, whose next fork to crash is one too many. */
static struct fake_box *a_template_of_crashes(struct fixture *fixture)
{
    start(fixture, 2, fixture->f);
    struct fake_box *template = template_up(fixture, 0, 1 << 20);
    box_next(box_up(fixture, 2, false, template));
    box_serve(&fixture->boxes[2], "2");
    wait_done(fixture, &fixture->calls[2]);
    fake_box_exit(&fixture->boxes[2], 0, 0, 0);
    fake_turns(&fixture->spawn);
    for (int i = 0; i < TEMPLATE_CRASHES_MAX; i++)
        a_crash(fixture, template);
    return template;
}

static struct pool_template *own_of(struct fixture *fixture)
{
    struct list *all = &fixture->scheduler->templates.all;
    struct pool *pool = LIST_ENTRY(list_first(all), struct template, link)->events.arg;
    return &pool->template;
}

static void memory_available(struct fixture *fixture, const char *path)
{
    fixture->scheduler->admission.path = path;
    fixture->scheduler->admission.read_ms = INT64_MIN; /* as if it were long ago */
}

/* Enough for forks. */
static void a_template_is_replaced_when_there_is_memory_for_two(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] = "MemAvailable: 16384 kB\n";
    char path[] = "/tmp/lamina-meminfo.XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    use(fixture, generous);
    struct fake_box *template = a_template_of_crashes(fixture);
    memory_available(fixture, path);
    a_crash(fixture, template);
    assert_null(own_of(fixture)->next);
    expect_state(fixture, "READY");
    assert_int_equal(own_of(fixture)->replacements, 0);
    assert_int_equal(fixture->scheduler->admission.pending, 0);
    unlink(path); /* not known: all is admitted */
    memory_available(fixture, path);
    a_crash(fixture, template);
    box_up(fixture, 3, true, NULL);
    assert_int_equal(own_of(fixture)->replacements, 1);
    assert_int_equal(fixture->scheduler->admission.pending, ADMISSION_GUESS_BYTES);
    fake_box_exit(&fixture->boxes[3], 1 << 8, 0, 0); /* it does not come */
    fake_turns(&fixture->spawn);
    assert_int_equal(fixture->scheduler->admission.pending, 0);
    expect_state(fixture, "READY");
}

static void templates_are_given_up_for_replacements_of_late_only(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    struct fake_box *template = a_template_of_crashes(fixture);
    struct pool_template *own = own_of(fixture);
    own->replacements = POOL_TEMPLATE_REPLACEMENTS_MAX;
    own->replaced_ms = loop_now_ms(fixture->loop) - POOL_TEMPLATE_RETRY_MAX_MS;
    a_crash(fixture, template);
    box_up(fixture, 3, true, NULL); /* another one */
    assert_int_equal(own->replacements, 1);
    fake_box_exit(&fixture->boxes[3], 1 << 8, 0, 0);
    fake_turns(&fixture->spawn);
    own->replacements = POOL_TEMPLATE_REPLACEMENTS_MAX;
    a_crash(fixture, template);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), template->id);
    fake_box_exit(template, SIGKILL, SPAWN_EXIT_KILLED, 0);
    fake_turns(&fixture->spawn);
    start(fixture, 1, fixture->f);
    box_next(box_up(fixture, 4, false, NULL));
    box_serve(&fixture->boxes[4], "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(fixture->scheduler->admission.pending, 0);
}

/* Two are being made then. */
static void an_evicted_template_whose_successor_is_being_made_leaves_no_memory_taken(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    struct fake_box *template = a_template_of_crashes(fixture);
    a_crash(fixture, template);
    box_up(fixture, 2, true, NULL);
    assert_true(cache_evict_one(&fixture->scheduler->templates, loop_now_ms(fixture->loop)));
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), template->id);
    fake_box_exit(template, SIGKILL, SPAWN_EXIT_KILLED, 0);
    fake_turns(&fixture->spawn);
    start(fixture, 1, fixture->f);
    box_up(fixture, 3, true, NULL);
    fake_box_template_ready(&fixture->boxes[2]);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->boxes[3].id);
    fake_box_exit(&fixture->boxes[3], SIGKILL, SPAWN_EXIT_KILLED, 0);
    box_next(box_up(fixture, 4, false, &fixture->boxes[2]));
    box_serve(&fixture->boxes[4], "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(fixture->scheduler->admission.pending, 0);
}

static void forks_that_cannot_be_made_give_way_to_processes(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 1 << 20);
    for (int i = 0; i < POOL_TEMPLATE_FAULTS_MAX; i++) {
        struct spawn_start asked = {0};
        uint64_t id = fake_expect(&fixture->spawn, SPAWN_START, &asked, sizeof(asked));
        assert_int_equal(asked.template_id, fixture->boxes[0].id);
        fake_box_fail(&fixture->spawn, id, SPAWN_STEP_TEMPLATE, ESRCH);
    }
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->boxes[0].id);
    fake_box_exit(&fixture->boxes[0], SIGKILL, SPAWN_EXIT_KILLED, 0);
    box_next(box_up(fixture, 1, false, NULL));
    box_serve(&fixture->boxes[1], "0");
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_ANSWERED);
}

/* A hostile one says that it may be forked, and is gone when it is to be. */
static void templates_that_die_instead_of_forking_give_way_to_processes(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    for (int i = 0; i < POOL_TEMPLATE_FAULTS_MAX; i++) {
        struct spawn_start asked = {0};
        template_up(fixture, i, 1 << 20);
        uint64_t id = fake_expect(&fixture->spawn, SPAWN_START, &asked, sizeof(asked));
        assert_int_equal(asked.template_id, fixture->boxes[i].id);
        fake_box_exit(&fixture->boxes[i], SIGSYS, 0, 0);
        fake_turns(&fixture->spawn);
        fake_box_fail(&fixture->spawn, id, SPAWN_STEP_TEMPLATE, ESRCH);
    }
    box_next(box_up(fixture, POOL_TEMPLATE_FAULTS_MAX, false, NULL));
    box_serve(&fixture->boxes[POOL_TEMPLATE_FAULTS_MAX], "0");
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_ANSWERED);
    expect_state(fixture, "FAILED");
}

static void a_replaced_version_ends_its_template_after_the_forks_on_their_way(void **state)
{
    struct fixture *fixture = *state;
    struct spawn_start asked = {0};
    uint64_t id = 0;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 1 << 20);
    id = fake_expect(&fixture->spawn, SPAWN_START, &asked, sizeof(asked));
    scheduler_retire(fixture->scheduler, fixture->f);
    assert_false(fake_has_request(&fixture->spawn));
    fake_box_start(&fixture->spawn, &fixture->boxes[1], id);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->boxes[0].id);
    fake_box_exit(&fixture->boxes[0], SIGKILL, SPAWN_EXIT_KILLED, 0);
    box_next(&fixture->boxes[1]);
    box_serve(&fixture->boxes[1], "0");
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_ANSWERED);
}

static void the_template_worth_least_makes_room(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    for (int i = 0; i < 3; i++)
        start(fixture, i, fixture->f);
    template_up(fixture, 0, 40 << 20);
    for (int i = 0; i < 3; i++)
        box_next(box_up(fixture, 1 + i, false, &fixture->boxes[0]));
    start(fixture, 3, fixture->g);
    box_up(fixture, 4, true, NULL);
    fake_box_template_ready(&fixture->boxes[4]);
    box_next(box_up(fixture, 5, false, &fixture->boxes[4]));
    fake_expect(&fixture->spawn, SPAWN_STATS, NULL, 0);
    fake_box_stats(&fixture->boxes[4], 60 << 20); /* together more than 64 */
    uint64_t killed = fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0);
    assert_true(killed == fixture->boxes[0].id || killed == fixture->boxes[4].id);
    struct scheduler_totals totals;
    scheduler_totals(fixture->scheduler, &totals);
    assert_int_equal(totals.templates, 1);
    assert_int_equal(totals.templates_evicted, 1);
    assert_true(totals.template_bytes <= 64 << 20);
    for (int i = 0; i < 3; i++)
        box_serve(&fixture->boxes[1 + i], "0");
    box_serve(&fixture->boxes[5], "0");
    for (int i = 0; i < 4; i++)
        wait_done(fixture, &fixture->calls[i]);
}

static void on_prepared(void *arg, const struct scheduler_prepared *prepared);

static void on_later(void *arg)
{
    *(int *) arg = 1;
}

static void one_template_at_a_time_makes_room(void **state)
{
    struct fixture *fixture = *state;
    struct loop_timer timer = {0};
    int is_later = 0;
    use(fixture, generous);
    scheduler_prepare(fixture->scheduler, fixture->f, on_prepared, fixture);
    template_up(fixture, 0, 1 << 20);
    scheduler_prepare(fixture->scheduler, fixture->g, on_prepared, fixture);
    template_up(fixture, 1, 1 << 20);
    fixture->scheduler->admission.reserve = UINT64_MAX / 4;
    start(fixture, 0, fixture->f);
    uint64_t killed = fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0);
    struct fake_box *gone = &fixture->boxes[killed == fixture->boxes[0].id ? 0 : 1];
    assert_int_equal(killed, gone->id);
    /* What it held is not free before it is gone: the other stays until then. */
    assert_int_equal(loop_timer_start(fixture->loop, &timer, 50, on_later, &is_later), 0);
    fake_wait_flag(&fixture->spawn, &is_later);
    assert_false(fake_has_request(&fixture->spawn));
    fake_box_exit(gone, SIGKILL, SPAWN_EXIT_KILLED, 0);
    assert_true(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0) != killed);
    fixture->scheduler->admission.reserve = 0;
    box_next(box_up(fixture, 2, true, NULL)); /* it knows no templates */
    fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0);
    fake_box_exit(&fixture->boxes[2], SIGKILL, SPAWN_EXIT_KILLED, 0);
    box_next(box_up(fixture, 3, false, NULL));
    box_serve(&fixture->boxes[3], "0");
    wait_done(fixture, &fixture->calls[0]);
}

static void a_template_too_large_for_the_limit_is_not_made_again(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 65 << 20);
    box_next(box_up(fixture, 1, false, &fixture->boxes[0])); /* it was asked for before */
    box_serve(&fixture->boxes[1], "0");
    wait_done(fixture, &fixture->calls[0]);
    expect_state(fixture, "REFUSED");
    assert_non_null(strstr(info_of(fixture, fixture->f).reason, "LAMINA_TEMPLATE_MEMORY"));
}

static void on_prepared(void *arg, const struct scheduler_prepared *prepared)
{
    struct fixture *fixture = arg;
    fixture->told++;
    fixture->prepared = *prepared;
    snprintf(fixture->reason, sizeof(fixture->reason), "%s", prepared->reason);
}

static void a_template_that_works_while_it_waits_is_refused(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    scheduler_prepare(fixture->scheduler, fixture->f, on_prepared, fixture);
    template_up(fixture, 0, 1 << 20); /* no processor time yet */
    fake_expect(&fixture->spawn, SPAWN_STATS, NULL, 0);
    fake_box_stats_cpu(&fixture->boxes[0], 1 << 20, 1500000);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->boxes[0].id);
    fake_box_exit(&fixture->boxes[0], SIGKILL, SPAWN_EXIT_KILLED, 0);
    fake_turns(&fixture->spawn);
    expect_state(fixture, "REFUSED");
    assert_non_null(strstr(info_of(fixture, fixture->f).reason, "uses the processor"));
    start(fixture, 0, fixture->f);
    box_next(box_up(fixture, 1, false, NULL));
    box_serve(&fixture->boxes[1], "0");
    wait_done(fixture, &fixture->calls[0]);
}

static void a_template_can_be_made_ahead(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    scheduler_prepare(fixture->scheduler, fixture->f, on_prepared, fixture);
    assert_int_equal(fixture->told, 0);
    template_up(fixture, 0, 1 << 20);
    assert_int_equal(fixture->told, 1);
    assert_true(fixture->prepared.is_ready);
    scheduler_prepare(fixture->scheduler, fixture->f, on_prepared, fixture);
    assert_int_equal(fixture->told, 2); /* at once */
    scheduler_prepare(fixture->scheduler, fixture->g, on_prepared, fixture);
    fake_box_exit(box_up(fixture, 1, true, NULL), 1 << 8, 0, 0);
    fake_wait_flag(&fixture->spawn, &fixture->told);
    fake_turns(&fixture->spawn);
    assert_int_equal(fixture->told, 3);
    assert_false(fixture->prepared.is_ready);
    assert_true(fixture->prepared.is_init_failure);
    assert_non_null(strstr(fixture->reason, "exit status 1"));
}

static void who_waits_for_a_template_without_memory_hears_in_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.memory_reserve = UINT64_MAX / 4;
    limits.queue_wait_ms = 20;
    use(fixture, limits);
    scheduler_prepare(fixture->scheduler, fixture->f, on_prepared, fixture);
    assert_int_equal(fixture->told, 0);
    fake_wait_flag(&fixture->spawn, &fixture->told);
    assert_int_equal(fixture->told, 1);
    assert_false(fixture->prepared.is_ready || fixture->prepared.is_init_failure);
    assert_non_null(strstr(fixture->reason, "memory"));
    assert_false(scheduler_is_running(fixture->scheduler, fixture->f));
}

static void without_templates_nothing_changes(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.template_bytes = 0;
    use(fixture, limits);
    scheduler_prepare(fixture->scheduler, fixture->f, on_prepared, fixture);
    assert_int_equal(fixture->told, 1);
    assert_string_equal(fixture->reason, "");
    start(fixture, 0, fixture->f);
    box_next(box_up(fixture, 0, false, NULL));
    box_serve(&fixture->boxes[0], "0");
    wait_done(fixture, &fixture->calls[0]);
    expect_state(fixture, "OFF");
}

/* ---- SnapStart */

static void snap_start(struct fixture *fixture)
{
    struct version *published = NULL;
    fixture->f->code.forking = VERSION_FORKING_ABLE;
    fixture->f->has_snap_start = true;
    published = version_copy_as(fixture->f, 1);
    version_unref(fixture->f);
    fixture->f = published;
}

static void snap_start_is_for_published_versions(void **state)
{
    struct fixture *fixture = *state;
    use(fixture, generous);
    fixture->f->code.forking = VERSION_FORKING_ABLE;
    fixture->f->has_snap_start = true;
    assert_false(version_is_forked(fixture->f));
    snap_start(fixture);
    assert_true(version_is_forked(fixture->f));
}

static void a_restored_instance_may_run_its_hooks(void **state)
{
    struct fixture *fixture = *state;
    struct fake_box *box = NULL;
    use(fixture, generous);
    snap_start(fixture);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 1 << 20);
    box = box_up(fixture, 1, false, &fixture->boxes[0]);
    assert_int_equal(
        fake_box_call(box, "GET /2018-06-01/runtime/restore/next HTTP/1.1\r\nHost: x\r\n\r\n"),
        200);
    box_next(box);
    box_serve(box, "0");
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_ANSWERED);
}

static void a_hook_that_fails_is_the_caller_s_error(void **state)
{
    struct fixture *fixture = *state;
    struct fake_box *box = NULL;
    use(fixture, generous);
    snap_start(fixture);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 1 << 20);
    box = box_up(fixture, 1, false, &fixture->boxes[0]);
    assert_int_equal(fake_box_call(box, "POST /2018-06-01/runtime/restore/error HTTP/1.1\r\n"
                                        "Host: x\r\nContent-Length: 23\r\n"
                                        "Lambda-Runtime-Function-Error-Type: "
                                        "Runtime.AfterRestoreError\r\n\r\n"
                                        "{\"errorMessage\":\"gone\"}"),
                     202);
    fake_box_exit(box, 64 << 8, 0, 0);
    wait_done(fixture, &fixture->calls[0]);
    assert_int_equal(fixture->calls[0].outcome, INVOCATION_RESTORE_FAILED);
    assert_string_equal(fixture->calls[0].error, "Runtime.AfterRestoreError: gone");
}

static void a_spare_whose_hook_fails_fails_no_call(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = generous;
    limits.spares = 1;
    use(fixture, limits);
    snap_start(fixture);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 1 << 20);
    box_next(box_up(fixture, 1, false, &fixture->boxes[0]));
    struct fake_box *spare = box_up(fixture, 2, false, &fixture->boxes[0]);
    start(fixture, 1, fixture->f); /* it will be there sooner than another */
    assert_int_equal(fake_box_call(spare, "POST /2018-06-01/runtime/restore/error HTTP/1.1\r\n"
                                          "Host: x\r\nContent-Length: 23\r\n"
                                          "Lambda-Runtime-Function-Error-Type: "
                                          "Runtime.AfterRestoreError\r\n\r\n"
                                          "{\"errorMessage\":\"gone\"}"),
                     202);
    fake_box_exit(spare, 64 << 8, 0, 0);
    box_next(box_up(fixture, 3, false, &fixture->boxes[0]));
    box_serve(&fixture->boxes[3], "1");
    wait_done(fixture, &fixture->calls[1]);
    assert_int_equal(fixture->calls[1].outcome, INVOCATION_ANSWERED);
    box_serve(&fixture->boxes[1], "0");
    wait_done(fixture, &fixture->calls[0]);
}

static void without_snap_start_there_is_no_restore(void **state)
{
    struct fixture *fixture = *state;
    struct fake_box *box = NULL;
    use(fixture, generous);
    start(fixture, 0, fixture->f);
    template_up(fixture, 0, 1 << 20);
    box = box_up(fixture, 1, false, &fixture->boxes[0]);
    assert_int_equal(
        fake_box_call(box, "GET /2018-06-01/runtime/restore/next HTTP/1.1\r\nHost: x\r\n\r\n"),
        404);
    box_next(box);
    box_serve(box, "0");
    wait_done(fixture, &fixture->calls[0]);
}

/* A start of next to nothing and 63 MiB: not worth a moment. */
static const struct scheduler_limits hasty = {
    .concurrency = 10,
    .queue_max = 10,
    .queue_bytes_max = 1 << 20,
    .queue_wait_ms = 2 * FAKE_DEADLINE_MS,
    .starts_at_once = 10,
    .freeze_after_ms = 1,
    .keepalive_s = 3600,
    .template_bytes = 64 << 20,
};

/* A call of `version`; its template is box n, the fork that answered it box n + 1. */
static void served_once(struct fixture *fixture, const struct version *version, int n)
{
    start(fixture, n, version);
    struct fake_box *template = template_up(fixture, n, 63 << 20);
    fake_box_peak(box_up(fixture, n + 1, false, template), 1 << 20);
    box_next(&fixture->boxes[n + 1]);
    box_serve(&fixture->boxes[n + 1], "0");
    wait_done(fixture, &fixture->calls[n]);
    box_next(&fixture->boxes[n + 1]);
}

static void a_template_that_is_not_worth_its_memory_ends_with_its_forks(void **state)
{
    struct fixture *fixture = *state;
    bool is_seen[2] = {false, false};
    use(fixture, hasty);
    served_once(fixture, fixture->f, 0);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_FREEZE, NULL, 0), fixture->boxes[1].id);
    for (int i = 0; i < 2; i++) {
        uint64_t id = fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0);
        int box = id == fixture->boxes[1].id;
        is_seen[box] = true;
        fake_box_exit(&fixture->boxes[box], SIGKILL, SPAWN_EXIT_KILLED, 0);
    }
    assert_true(is_seen[0] && is_seen[1]);
    fake_wait(&fixture->spawn, all_ended, fixture);
    /* The next call has it made again. */
    start(fixture, 1, fixture->f);
    template_up(fixture, 2, 1 << 20);
    box_next(box_up(fixture, 3, false, &fixture->boxes[2]));
    box_serve(&fixture->boxes[3], "1");
    wait_done(fixture, &fixture->calls[1]);
}

static void one_that_was_asked_for_stays(void **state)
{
    struct fixture *fixture = *state;
    struct scheduler_limits limits = hasty;
    limits.keepalive_s = 0; /* forks end at once */
    limits.template_bytes = 256 << 20;
    version_set(fixture->f, &fixture->f->qualifier, "1");
    fixture->f->has_snap_start = true;
    use(fixture, limits);
    served_once(fixture, fixture->f, 0);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->boxes[1].id);
    fake_box_exit(&fixture->boxes[1], SIGKILL, SPAWN_EXIT_KILLED, 0);
    /* Another's, called later, is found not worth it: so was the first one's pause thought about, or would have been. */
    served_once(fixture, fixture->g, 2);
    for (int i = 3; i >= 2; i--) {
        assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->boxes[i].id);
        fake_box_exit(&fixture->boxes[i], SIGKILL, SPAWN_EXIT_KILLED, 0);
    }
    expect_state(fixture, "READY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(calls_wait_for_the_template_and_run_in_its_forks),
        TEST(a_refused_template_leaves_processes),
        TEST(a_runtime_that_knows_no_templates_is_refused),
        TEST(a_template_that_dies_is_made_again_at_the_next_call),
        TEST(a_failed_init_phase_is_told_by_a_process),
        TEST(a_spare_waits_ahead_and_is_replaced),
        TEST(forks_that_crash_often_get_another_template),
        TEST(a_template_is_replaced_when_there_is_memory_for_two),
        TEST(templates_are_given_up_for_replacements_of_late_only),
        TEST(an_evicted_template_whose_successor_is_being_made_leaves_no_memory_taken),
        TEST(forks_that_cannot_be_made_give_way_to_processes),
        TEST(templates_that_die_instead_of_forking_give_way_to_processes),
        TEST(a_replaced_version_ends_its_template_after_the_forks_on_their_way),
        TEST(the_template_worth_least_makes_room),
        TEST(one_template_at_a_time_makes_room),
        TEST(a_template_too_large_for_the_limit_is_not_made_again),
        TEST(a_template_that_works_while_it_waits_is_refused),
        TEST(a_template_can_be_made_ahead),
        TEST(who_waits_for_a_template_without_memory_hears_in_the_end),
        TEST(a_template_that_is_not_worth_its_memory_ends_with_its_forks),
        TEST(one_that_was_asked_for_stays),
        TEST(without_templates_nothing_changes),
        TEST(snap_start_is_for_published_versions),
        TEST(a_spare_whose_hook_fails_fails_no_call),
        TEST(a_restored_instance_may_run_its_hooks),
        TEST(a_hook_that_fails_is_the_caller_s_error),
        TEST(without_snap_start_there_is_no_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
