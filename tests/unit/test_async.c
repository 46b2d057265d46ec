// SPDX-License-Identifier: MIT
//
// Asynchronous invocation on a real queue and loop; the catalog and the scheduler are played by the
// test: each invocation is answered by what the test says, when it says it.

#include "unit.h"

#include "async/async.h"
#include "async/record.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/scheduler.h"
#include "loop/loop.h"
#include "meta/queue.h"
#include "scratch.h"

static struct loop *loop;
static struct queue *queue;
static struct async *async;
static struct error err;

// ---- The catalog that the test plays

static struct event_invoke settings;
static bool has_function, has_destination, may_deliver;
static int find_code;
static int64_t reserved; // -1: not set
static struct version version_played = {.refs = 1};
static struct attachment reserved_played;

int catalog_find(const struct catalog *catalog, const char *name, const char *qualifier,
                 const struct version **ret_version)
{
    *ret_version = &version_played;
    return has_function ? find_code : -ENOENT;
}

struct function *catalog_function(const struct catalog *catalog, const char *name)
{
    bool is_there = strcmp(name, "gone") == 0 ? has_destination : has_function;
    return is_there ? (struct function *) (uintptr_t) 1 : NULL;
}

bool roles_may_deliver(struct roles *roles, const char *role, struct str destination_arn)
{
    return may_deliver;
}

void catalog_event_invoke(const struct catalog *catalog, const char *name, const char *qualifier,
                          struct event_invoke *ret_settings)
{
    *ret_settings = settings;
    if (strcmp(name, "f") != 0)
        ret_settings->on_success = ret_settings->on_failure = (struct str){0};
}

struct attachment *function_attachment(const struct function *function, enum attachment_kind kind,
                                       const char *qualifier)
{
    reserved_played.number = (uint32_t) reserved;
    return reserved < 0 ? NULL : &reserved_played;
}

struct version *version_ref(const struct version *version)
{
    version_played.refs++;
    return (struct version *) (uintptr_t) version;
}

void version_unref(const struct version *version)
{
    version_played.refs -= version != NULL;
}

// ---- The scheduler that the test plays

struct invocation {
    struct list link;
    char payload[64], request_id[64], arn[128];
    unsigned depth;
    invocation_cb *cb;
    void *arg;
};

static struct list invocations;
static unsigned started, most_at_once;
static unsigned refused; // so many invocations find no memory

struct invocation *invocation_start(struct scheduler *scheduler, const struct version *version,
                                    struct invocation_spec *spec, invocation_cb *cb, void *arg)
{
    if (refused > 0) {
        refused--;
        return NULL;
    }
    struct invocation *invocation = calloc(1, sizeof(*invocation));
    snprintf(invocation->payload, sizeof(invocation->payload), STR_FORMAT,
             STR_ARGUMENTS(buf_str(&spec->payload)));
    snprintf(invocation->request_id, sizeof(invocation->request_id), STR_FORMAT,
             STR_ARGUMENTS(spec->request_id));
    snprintf(invocation->arn, sizeof(invocation->arn), STR_FORMAT,
             STR_ARGUMENTS(spec->invoked_arn));
    buf_done(&spec->payload);
    invocation->depth = spec->depth;
    invocation->cb = cb;
    invocation->arg = arg;
    list_add_last(&invocations, &invocation->link);
    started++;
    unsigned now = (unsigned) list_count(&invocations);
    most_at_once = now > most_at_once ? now : most_at_once;
    return invocation;
}

void invocation_cancel(struct invocation *invocation)
{
    list_remove(&invocation->link);
    free(invocation);
}

// The oldest invocation; waits for it.
static struct invocation *next(void)
{
    while (list_is_empty(&invocations))
        loop_run_once(loop, true);
    return LIST_ENTRY(list_first(&invocations), struct invocation, link);
}

static void answer(struct invocation *invocation, enum invocation_outcome outcome, const char *text)
{
    struct invocation_result result = {.outcome = outcome};
    buf_init(&result.payload, 1 << 20);
    buf_append_text(&result.payload, text);
    list_remove(&invocation->link);
    invocation->cb(invocation->arg, &result);
    buf_done(&result.payload);
    free(invocation);
}

// ---- The bench

static void open_all(void)
{
    if (queue_open(scratch_path, loop, &queue, &err) < 0)
        fail_msg("%s", err.text);
    struct async_config config = {.loop = loop, .queue = queue, .retry_ms = 1};
    if (async_new(&config, &async, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_all(void)
{
    queue_close(queue);
    async_free(async);
    queue = NULL;
    async = NULL;
}

static int set_up(void **state)
{
    scratch_make();
    loop = loop_new();
    list_init(&invocations);
    settings = (struct event_invoke){.retries_max = 2, .age_s_max = 21600};
    has_function = has_destination = may_deliver = true;
    find_code = 0;
    reserved = -1;
    started = most_at_once = refused = 0;
    version_played.qualifier = (char *) (uintptr_t) "$LATEST";
    version_played.qualified_arn = (char *) (uintptr_t) "arn:aws:lambda:r:a:function:f:$LATEST";
    open_all();
    return 0;
}

static int tear_down(void **state)
{
    close_all();
    loop_free(loop);
    scratch_remove();
    assert_int_equal(version_played.refs, 1);
    return 0;
}

static void on_accepted(void *arg, const struct error *error)
{
    *(int *) arg = error ? error->code : 1;
}

static unsigned depth; // of what is submitted

static void submit_to(const char *function, const char *payload)
{
    int accepted = 0;
    struct async_event event = {.function = str_of(function),
                                .depth = depth,
                                .qualifier = STR(""),
                                .arn = STR("arn:aws:lambda:r:a:function:f"),
                                .request_id = STR("00000000-0000-0000-0000-000000000001"),
                                .payload = str_of(payload)};
    assert_int_equal(async_submit(async, &event, on_accepted, &accepted), 0);
    assert_int_equal(accepted, 0);
    while (!accepted)
        loop_run_once(loop, true);
    assert_int_equal(accepted, 1);
}

static void submit(const char *payload)
{
    submit_to("f", payload);
}

static struct async_stats stats(void)
{
    struct async_stats now;
    async_stats(async, &now);
    return now;
}

static void wait_empty(void)
{
    struct queue_stats now;
    do {
        queue_stats(queue, &now);
        if (now.waiting > 0)
            loop_run_once(loop, true);
    } while (now.waiting > 0);
}

// The dead letters of f: "payload reason tries response ".
struct letters {
    bool is_done;
    char text[1024];
    int64_t id;
};

static void on_letters(void *arg, const struct error *error, const struct queue_event *events,
                       size_t count)
{
    struct letters *letters = arg;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        letters->id = events[i].id;
        used += (size_t) snprintf(letters->text + used, sizeof(letters->text) - used,
                                  STR_FORMAT " " STR_FORMAT " %u " STR_FORMAT " ",
                                  STR_ARGUMENTS(events[i].payload), STR_ARGUMENTS(events[i].reason),
                                  events[i].tries, STR_ARGUMENTS(events[i].response));
    }
    letters->is_done = true;
}

static struct letters dead(void)
{
    struct letters letters = {0};
    assert_int_equal(queue_list_dead(queue, STR("f"), 0, 10, on_letters, &letters), 0);
    while (!letters.is_done)
        loop_run_once(loop, true);
    return letters;
}

// ---- Tests

static void test_an_event_is_handled_once_with_its_request_id(void **state)
{
    submit("{\"n\":1}");
    struct invocation *invocation = next();
    assert_string_equal(invocation->payload, "{\"n\":1}");
    assert_string_equal(invocation->request_id, "00000000-0000-0000-0000-000000000001");
    assert_string_equal(invocation->arn, "arn:aws:lambda:r:a:function:f");
    answer(invocation, INVOCATION_ANSWERED, "1");
    wait_empty();
    assert_int_equal(started, 1);
    assert_int_equal(stats().succeeded, 1);
    assert_int_equal(stats().running, 0);
}

static void test_an_error_is_tried_three_times_and_buried(void **state)
{
    submit("1");
    for (int i = 0; i < 3; i++) {
        struct invocation *invocation = next();
        assert_string_equal(invocation->payload, "1");
        assert_string_equal(invocation->request_id, "00000000-0000-0000-0000-000000000001");
        answer(invocation, INVOCATION_FUNCTION_ERROR, "{\"errorType\":\"E\"}");
    }
    wait_empty();
    assert_int_equal(started, 3);
    assert_string_equal(dead().text, "1 RetriesExhausted 3 {\"errorType\":\"E\"} ");
    assert_int_equal(stats().buried, 1);
    assert_int_equal(stats().retried, 2);
}

static void test_without_retries_one_error_is_the_end(void **state)
{
    settings.retries_max = 0;
    submit("1");
    answer(next(), INVOCATION_FUNCTION_ERROR, "{}");
    wait_empty();
    assert_int_equal(started, 1);
    assert_string_equal(dead().text, "1 RetriesExhausted 1 {} ");
}

static void test_a_retry_that_would_be_too_old_is_not_waited_for(void **state)
{
    settings.age_s_max = 0;
    submit("1");
    wait_empty();
    assert_int_equal(started, 0);
    assert_string_equal(dead().text, "1 EventAgeExceeded 0  ");
}

static void test_a_throttled_event_comes_again_and_is_no_try(void **state)
{
    submit("1");
    answer(next(), INVOCATION_THROTTLED, "");
    answer(next(), INVOCATION_ANSWERED, "1"); // after a second
    wait_empty();
    assert_int_equal(started, 2);
    assert_int_equal(stats().returned, 1);
    assert_string_equal(dead().text, "");
}

static void test_events_of_a_deleted_function_are_dropped(void **state)
{
    submit("1");
    struct invocation *invocation = next();
    has_function = false;
    answer(invocation, INVOCATION_FUNCTION_ERROR, "{}");
    submit("2");
    wait_empty();
    assert_int_equal(started, 1);
    assert_int_equal(stats().dropped, 2);
    assert_string_equal(dead().text, "");
}

static void test_reserved_zero_gives_up_at_once(void **state)
{
    reserved = 0;
    submit("1");
    wait_empty();
    assert_int_equal(started, 0);
    assert_string_equal(dead().text, "1 ZeroReservedConcurrency 0  ");
}

static void expect_text(yyjson_val *object, const char *name, const char *expected)
{
    struct str value = {0};
    assert_int_equal(json_member_str(object, name, &value), 0);
    assert_str_equal(value, expected);
}

// The destination's invocation; its payload begins as a record does.
static void expect_record(const char *arn)
{
    struct invocation *invocation = next();
    assert_string_equal(invocation->arn, arn);
    assert_ptr_equal(strstr(invocation->payload, "{\"version\":\"1.0\",\"timestamp\":\""),
                     invocation->payload);
    answer(invocation, INVOCATION_ANSWERED, "1");
}

static void test_destinations_get_their_records(void **state)
{
    settings.on_success = STR("arn:aws:lambda:r:a:function:good");
    settings.on_failure = STR("arn:aws:lambda:r:a:function:bad:7");
    settings.retries_max = 0;
    submit("1");
    answer(next(), INVOCATION_ANSWERED, "{\"ok\":true}");
    expect_record("arn:aws:lambda:r:a:function:good");
    submit("2");
    answer(next(), INVOCATION_FUNCTION_ERROR, "{\"errorType\":\"E\"}");
    expect_record("arn:aws:lambda:r:a:function:bad:7");
    wait_empty();
    assert_string_equal(dead().text, ""); // the destination has it
    assert_int_equal(stats().succeeded, 3);
}

// What held when the destination was set does not hold any more.
static void expect_undelivered(uint64_t count)
{
    submit("1");
    answer(next(), INVOCATION_ANSWERED, "{}");
    submit("2");
    answer(next(), INVOCATION_FUNCTION_ERROR, "{\"errorType\":\"E\"}");
    wait_empty();
    assert_string_equal(dead().text, "2 RetriesExhausted 1 {\"errorType\":\"E\"} ");
    assert_int_equal(stats().undelivered, count);
    assert_int_equal(started, 2);
}

static void test_a_destination_that_the_role_may_not_call_any_more_is_not_called(void **state)
{
    settings.on_success = settings.on_failure = STR("arn:aws:lambda:r:a:function:d");
    settings.retries_max = 0;
    may_deliver = false;
    expect_undelivered(2);
}

static void test_a_destination_that_was_deleted_loses_no_event(void **state)
{
    settings.on_success = settings.on_failure = STR("arn:aws:lambda:r:a:function:gone");
    settings.retries_max = 0;
    has_destination = false;
    expect_undelivered(2);
}

static void test_an_event_without_a_try_asks_the_functions_role(void **state)
{
    settings.on_failure = STR("arn:aws:lambda:r:a:function:d");
    settings.age_s_max = 0;
    may_deliver = false;
    submit("1");
    wait_empty();
    assert_string_equal(dead().text, "1 EventAgeExceeded 0  ");
    assert_int_equal(stats().undelivered, 1);
}

static void test_a_record_is_what_aws_documents(void **state)
{
    AUTO_BUF struct buf text = BUF_INIT(1 << 20);
    AUTO_JSON yyjson_doc *doc = NULL;
    struct record record = {.condition = "RetriesExhausted",
                            .request_id = STR("r"),
                            .function_arn = STR("arn:f:$LATEST"),
                            .payload = STR("{\"a\":[1]}"),
                            .tries = 3,
                            .was_invoked = true,
                            .executed_version = STR("$LATEST"),
                            .is_function_error = true,
                            .response = STR("not json"),
                            .at_ms = 1700000000123};
    assert_int_equal(record_append(&text, &record), 0);
    assert_int_equal(json_parse(buf_str(&text), 1 << 20, &doc, NULL), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    expect_text(root, "timestamp", "2023-11-14T22:13:20.123Z");
    expect_text(json_member(root, "requestContext"), "condition", "RetriesExhausted");
    expect_text(json_member(root, "requestContext"), "functionArn", "arn:f:$LATEST");
    expect_text(json_member(root, "responseContext"), "functionError", "Unhandled");
    expect_text(root, "responsePayload", "not json");
    assert_true(yyjson_is_obj(json_member(root, "requestPayload")));
    struct str name, qualifier;
    assert_true(record_destination(STR("arn:aws:lambda:r:a:function:n:q"), &name, &qualifier));
    assert_str_equal(name, "n");
    assert_str_equal(qualifier, "q");
    assert_false(record_destination(STR("arn:aws:sqs:r:a:queue"), &name, &qualifier));
    assert_false(record_destination(STR("arn:aws:lambda:r:a:function:n:q:x"), &name, &qualifier));
    assert_false(record_destination(STR(""), &name, &qualifier));
}

static void test_one_function_runs_a_bounded_number_at_once(void **state)
{
    for (int i = 0; i < 60; i++)
        submit("1");
    for (int i = 0; i < 60; i++)
        answer(next(), INVOCATION_ANSWERED, "1");
    wait_empty();
    assert_int_equal(started, 60);
    assert_true(most_at_once <= ASYNC_RUNNING_MAX);
}

static void test_functions_with_a_backlog_do_not_starve_the_others(void **state)
{
    char name[16];
    for (unsigned i = 0; i < ASYNC_RUNNING_TOTAL_MAX / ASYNC_RUNNING_MAX; i++) {
        snprintf(name, sizeof(name), "busy-%u", i);
        for (unsigned n = 0; n < 3 * ASYNC_RUNNING_MAX; n++)
            submit_to(name, "\"busy\"");
    }
    while (list_count(&invocations) < ASYNC_RUNNING_TOTAL_MAX)
        loop_run_once(loop, true);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "quiet-%u", i);
        submit_to(name, "\"quiet\"");
    }
    unsigned quiet = 0, answered = 0;
    while (quiet < 8) {
        struct invocation *invocation = next();
        quiet += strcmp(invocation->payload, "\"quiet\"") == 0;
        answer(invocation, INVOCATION_ANSWERED, "1");
        answered++;
    }
    // All that ran before them, and what had lined up: not the backlog.
    assert_true(answered <= 2 * ASYNC_RUNNING_TOTAL_MAX);
    while (stats().succeeded < (uint64_t) 3 * ASYNC_RUNNING_TOTAL_MAX + 8)
        if (list_is_empty(&invocations))
            loop_run_once(loop, true);
        else
            answer(next(), INVOCATION_ANSWERED, "1");
    assert_int_equal(most_at_once, ASYNC_RUNNING_TOTAL_MAX);
}

static void test_a_destination_set_during_the_try_costs_no_payload(void **state)
{
    settings.retries_max = 0;
    submit("\"precious\"");
    struct invocation *invocation = next();
    settings.on_failure = STR("arn:aws:lambda:r:a:function:d");
    answer(invocation, INVOCATION_FUNCTION_ERROR, "{}");
    wait_empty();
    assert_string_equal(dead().text, "\"precious\" RetriesExhausted 1 {} ");
    assert_int_equal(started, 1);
}

static void test_an_event_that_finds_no_memory_comes_again(void **state)
{
    refused = 1;
    submit("1");
    answer(next(), INVOCATION_ANSWERED, "1");
    wait_empty();
    assert_int_equal(stats().returned, 1);
    assert_int_equal(stats().succeeded, 1);
}

static void test_after_a_restart_what_was_accepted_is_tried(void **state)
{
    submit("\"running\"");
    struct invocation *running = next();
    assert_string_equal(running->payload, "\"running\"");
    for (int i = 0; i < 30; i++)
        submit("\"waiting\"");
    close_all(); // in the middle: cancelled, not settled
    assert_true(list_is_empty(&invocations));
    started = 0;
    open_all();
    for (int i = 0; i < 31; i++)
        answer(next(), INVOCATION_ANSWERED, "1");
    wait_empty();
    assert_int_equal(started, 31);
}

static void on_count(void *arg, const struct error *error, uint64_t count)
{
    *(int64_t *) arg = error ? error->code : (int64_t) count;
}

static void test_a_dead_letter_is_tried_again_when_told(void **state)
{
    settings.retries_max = 0;
    submit("1");
    answer(next(), INVOCATION_FUNCTION_ERROR, "{}");
    wait_empty();
    int64_t count = -1;
    assert_int_equal(async_revive(async, STR("f"), dead().id, on_count, &count), 0);
    struct invocation *invocation = next();
    assert_int_equal(count, 1);
    assert_string_equal(invocation->payload, "1");
    answer(invocation, INVOCATION_ANSWERED, "1");
    wait_empty();
    assert_string_equal(dead().text, "");
}

// The function was deleted, and the service ended before its dead letters were.
static void test_what_a_deleted_function_left_is_dropped_at_the_start(void **state)
{
    settings.retries_max = 0;
    submit("1");
    answer(next(), INVOCATION_FUNCTION_ERROR, "{}");
    wait_empty();
    assert_string_equal(dead().text, "1 RetriesExhausted 1 {} ");
    close_all();
    has_function = false;
    open_all();
    struct queue_stats now;
    do {
        loop_run_once(loop, true);
        queue_stats(queue, &now);
    } while (now.dead > 0);
    has_function = true;
    assert_string_equal(dead().text, "");
}

static void test_a_dead_letter_keeps_how_deep_it_was(void **state)
{
    settings.retries_max = 0;
    depth = LIMIT_INVOKE_DEPTH;
    submit("1");
    depth = 0;
    answer(next(), INVOCATION_FUNCTION_ERROR, "{}");
    wait_empty();
    close_all();
    open_all();
    int64_t count = -1;
    assert_int_equal(async_revive(async, STR("f"), 0, on_count, &count), 0);
    struct invocation *invocation = next();
    assert_int_equal(invocation->depth, LIMIT_INVOKE_DEPTH);
    answer(invocation, INVOCATION_ANSWERED, "1");
    wait_empty();
}

static void on_stopped(void *arg)
{
    *(int *) arg += 1;
}

static void test_stopping_waits_for_what_runs_and_begins_nothing(void **state)
{
    int stopped = 0;
    submit("1");
    struct invocation *invocation = next();
    async_stop(async, on_stopped, &stopped);
    submit("2"); // still accepted, tried after the next start
    assert_int_equal(stopped, 0);
    answer(invocation, INVOCATION_ANSWERED, "1");
    while (!stopped)
        loop_run_once(loop, true);
    assert_int_equal(started, 1);
    assert_int_equal(stopped, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(test_an_event_is_handled_once_with_its_request_id),
        TEST(test_an_error_is_tried_three_times_and_buried),
        TEST(test_without_retries_one_error_is_the_end),
        TEST(test_a_retry_that_would_be_too_old_is_not_waited_for),
        TEST(test_a_throttled_event_comes_again_and_is_no_try),
        TEST(test_events_of_a_deleted_function_are_dropped),
        TEST(test_reserved_zero_gives_up_at_once),
        TEST(test_destinations_get_their_records),
        TEST(test_a_destination_that_the_role_may_not_call_any_more_is_not_called),
        TEST(test_a_destination_that_was_deleted_loses_no_event),
        TEST(test_an_event_without_a_try_asks_the_functions_role),
        TEST(test_a_record_is_what_aws_documents),
        TEST(test_one_function_runs_a_bounded_number_at_once),
        TEST(test_functions_with_a_backlog_do_not_starve_the_others),
        TEST(test_a_destination_set_during_the_try_costs_no_payload),
        TEST(test_an_event_that_finds_no_memory_comes_again),
        TEST(test_after_a_restart_what_was_accepted_is_tried),
        TEST(test_a_dead_letter_is_tried_again_when_told),
        TEST(test_what_a_deleted_function_left_is_dropped_at_the_start),
        TEST(test_a_dead_letter_keeps_how_deep_it_was),
        TEST(test_stopping_waits_for_what_runs_and_begins_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
