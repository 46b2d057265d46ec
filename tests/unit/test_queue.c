// SPDX-License-Identifier: MIT
//
// The queue: an event that was accepted is handled or kept, whatever happens in between.

#include "unit.h"

#include "../fault/shim.h"
#include "base/buf.h"
#include "loop/loop.h"
#include "meta/queue.h"
#include "meta/queue_rows.h"
#include "scratch.h"

#include <sqlite3.h>
#include <sys/wait.h>

static struct loop *loop;
static struct queue *queue;
static struct error err;

static int set_up(void **state)
{
    error_clear(&err);
    scratch_make();
    loop = loop_new();
    return queue_open(scratch_path, loop, &queue, &err);
}

static int tear_down(void **state)
{
    fault_disarm();
    queue_close(queue);
    queue = NULL;
    loop_free(loop);
    scratch_remove();
    return 0;
}

static void reopen(void)
{
    queue_close(queue);
    queue = NULL;
    if (queue_open(scratch_path, loop, &queue, &err) < 0)
        fail_msg("%s", err.text);
}

// What one request was answered with; events as text, "id:payload/tries/returns ".
struct answer {
    int done, code;
    uint64_t count;
    int64_t next_due_ms;
    int64_t ids[64];
    size_t found;
    uint32_t depth; // of the last
    char text[4096];
};

static void on_plain(void *arg, const struct error *error)
{
    struct answer *answer = arg;
    answer->done++;
    answer->code = error ? error->code : 0;
}

static void on_count(void *arg, const struct error *error, uint64_t count)
{
    ((struct answer *) arg)->count = count;
    on_plain(arg, error);
}

static void on_list(void *arg, const struct error *error, const struct queue_event *events,
                    size_t count)
{
    struct answer *answer = arg;
    size_t used = 0;
    for (size_t i = 0; i < count && i < 64; i++) {
        answer->ids[i] = events[i].id;
        answer->depth = events[i].depth;
        struct str start = str_part(events[i].payload, 0, 20);
        used +=
            (size_t) snprintf(answer->text + used, sizeof(answer->text) - used,
                              STR_FORMAT "/%u/%u" STR_FORMAT " ", STR_ARGUMENTS(start),
                              events[i].tries, events[i].returns, STR_ARGUMENTS(events[i].reason));
    }
    answer->found = count;
    on_plain(arg, error);
}

static void on_claim(void *arg, const struct error *error, const struct queue_event *events,
                     size_t count, int64_t next_due_ms)
{
    ((struct answer *) arg)->next_due_ms = next_due_ms;
    on_list(arg, error, events, count);
}

static void wait_for(struct answer *answer)
{
    while (!answer->done)
        loop_run_once(loop, true);
    assert_int_equal(answer->done, 1);
}

static struct queue_event event_of(const char *topic, const char *payload, int64_t at_ms)
{
    return (struct queue_event){.topic = str_of(topic),
                                .request_id = STR("request"),
                                .payload = str_of(payload),
                                .accepted_ms = at_ms,
                                .due_ms = at_ms};
}

static int publish(const char *topic, const char *payload, int64_t at_ms)
{
    struct answer answer = {0};
    struct queue_event event = event_of(topic, payload, at_ms);
    assert_int_equal(queue_publish(queue, &event, on_plain, &answer), 0);
    assert_int_equal(answer.done, 0);
    wait_for(&answer);
    return answer.code;
}

static struct answer claim(const char *topic, int64_t now_ms, size_t max)
{
    struct answer answer = {0};
    assert_int_equal(queue_claim(queue, str_of(topic), now_ms, max, on_claim, &answer), 0);
    wait_for(&answer);
    return answer;
}

static int settle(enum queue_fate fate, struct queue_event event, const struct queue_event *also)
{
    struct answer answer = {0};
    assert_int_equal(queue_settle(queue, fate, &event, also, on_plain, &answer), 0);
    wait_for(&answer);
    return answer.code;
}

static struct answer dead(const char *topic)
{
    struct answer answer = {0};
    assert_int_equal(queue_list_dead(queue, str_of(topic), 0, 64, on_list, &answer), 0);
    wait_for(&answer);
    return answer;
}

static struct queue_stats stats(void)
{
    struct queue_stats now;
    queue_stats(queue, &now);
    return now;
}

static void test_events_come_oldest_first_and_once(void **state)
{
    publish("f", "b", 20);
    publish("f", "a", 10);
    publish("g", "other", 5);
    publish("f", "later", 1000);
    struct answer first = claim("f", 100, 1);
    assert_string_equal(first.text, "a/0/0 ");
    assert_int_equal(first.next_due_ms, 20);
    struct answer second = claim("f", 100, 10);
    assert_string_equal(second.text, "b/0/0 ");
    assert_int_equal(second.next_due_ms, 1000);
    assert_int_equal(claim("f", 100, 10).found, 0);
    assert_int_equal(claim("none", 100, 10).next_due_ms, 0);
    assert_int_equal(stats().waiting, 4);
}

static void test_an_event_keeps_all_its_texts(void **state)
{
    struct answer answer = {0};
    struct queue_event event = {
        .topic = STR("f"),
        .qualifier = STR("prod"),
        .request_id = STR("r"),
        .arn = STR("arn"),
        .trace_id = STR("Root=1"),
        .context = STR("{\"a\":1}"),
        .payload = STR("p\0q"),
        .accepted_ms = 7,
        .due_ms = 7,
    };
    assert_int_equal(queue_publish(queue, &event, on_plain, &answer), 0);
    wait_for(&answer);
    reopen();
    answer = claim("f", 10, 1);
    assert_int_equal(answer.found, 1);
    assert_int_equal(settle(QUEUE_BURY,
                            (struct queue_event){.id = answer.ids[0],
                                                 .tries = 3,
                                                 .reason = STR("RetriesExhausted"),
                                                 .response = STR("{}"),
                                                 .died_ms = 99},
                            NULL),
                     0);
    answer = dead("f");
    assert_string_equal(answer.text, "p/3/0RetriesExhausted "); // printf stops at the NUL
}

static void test_a_retried_event_waits_with_its_counts(void **state)
{
    publish("f", "a", 10);
    struct answer answer = claim("f", 10, 1);
    assert_int_equal(
        settle(QUEUE_RETRY,
               (struct queue_event){.id = answer.ids[0], .due_ms = 500, .tries = 1, .returns = 4},
               NULL),
        0);
    assert_int_equal(claim("f", 499, 1).next_due_ms, 500);
    assert_string_equal(claim("f", 500, 1).text, "a/1/4 ");
    assert_int_equal(stats().waiting, 1);
}

static void test_a_claimed_event_waits_again_after_opening(void **state)
{
    publish("f", "a", 10);
    assert_int_equal(claim("f", 10, 1).found, 1);
    assert_int_equal(claim("f", 10, 1).found, 0);
    reopen();
    assert_int_equal(stats().waiting, 1);
    assert_string_equal(claim("f", 10, 1).text, "a/0/0 ");
}

static int on_topic(void *arg, const char *topic)
{
    return buf_printf(arg, "%s ", topic);
}

static void test_topics_are_known_at_start(void **state)
{
    AUTO_BUF struct buf topics = BUF_INIT(1000);
    publish("f", "a", 1);
    publish("f", "b", 1);
    publish("g", "c", 1);
    publish("dead", "d", 1);
    struct queue_event event = {.id = claim("dead", 1, 1).ids[0], .reason = STR("x")};
    assert_int_equal(settle(QUEUE_BURY, event, NULL), 0);
    reopen();
    assert_int_equal(queue_topics(queue, on_topic, &topics, &err), 0);
    assert_string_equal(topics.data, "dead f g ");
}

static void test_a_record_is_published_in_the_same_step(void **state)
{
    publish("f", "a", 10);
    struct answer answer = claim("f", 10, 1);
    struct queue_event record = event_of("destination", "record", 11);
    assert_int_equal(settle(QUEUE_REMOVE, (struct queue_event){.id = answer.ids[0]}, &record), 0);
    assert_int_equal(stats().waiting, 1);
    assert_string_equal(claim("destination", 11, 1).text, "record/0/0 ");
}

static void bury_one(const char *payload)
{
    publish("f", payload, 10);
    struct answer answer = claim("f", 10, 1);
    assert_int_equal(
        settle(QUEUE_BURY,
               (struct queue_event){.id = answer.ids[0], .tries = 3, .reason = STR("x")}, NULL),
        0);
}

static void test_dead_letters_are_listed_revived_and_purged(void **state)
{
    bury_one("a");
    bury_one("b");
    bury_one("c");
    struct answer all = dead("f"), answer = {0};
    assert_string_equal(all.text, "a/3/0x b/3/0x c/3/0x ");
    assert_int_equal(stats().dead, 3);
    assert_int_equal(stats().waiting, 0);
    assert_int_equal(queue_list_dead(queue, STR("f"), all.ids[0], 1, on_list, &answer), 0);
    wait_for(&answer);
    assert_string_equal(answer.text, "b/3/0x ");
    answer = (struct answer){0};
    assert_int_equal(queue_revive(queue, STR("f"), all.ids[1], 77, on_count, &answer), 0);
    wait_for(&answer);
    assert_int_equal(answer.count, 1);
    assert_string_equal(claim("f", 77, 10).text, "b/0/0 ");
    answer = (struct answer){0};
    assert_int_equal(queue_purge(queue, STR("g"), 0, on_count, &answer), 0);
    wait_for(&answer);
    assert_int_equal(answer.count, 0);
    answer = (struct answer){0};
    assert_int_equal(queue_purge(queue, STR("f"), 0, on_count, &answer), 0);
    wait_for(&answer);
    assert_int_equal(answer.count, 2);
    assert_int_equal(stats().dead, 0);
    assert_int_equal(stats().waiting, 1);
}

// What the first and the second version made, word for word: it never changes.
static const char schema_1[] = "CREATE TABLE event ("
                               "id INTEGER PRIMARY KEY AUTOINCREMENT,"
                               "topic TEXT NOT NULL,"
                               "qualifier TEXT NOT NULL,"
                               "request_id TEXT NOT NULL,"
                               "arn TEXT NOT NULL,"
                               "trace_id TEXT NOT NULL,"
                               "context BLOB NOT NULL,"
                               "payload BLOB NOT NULL,"
                               "accepted_ms INTEGER NOT NULL,"
                               "due_ms INTEGER NOT NULL,"
                               "tries INTEGER NOT NULL,"
                               "returns INTEGER NOT NULL,"
                               "claimed INTEGER NOT NULL DEFAULT 0"
                               ");"
                               "CREATE INDEX event_due ON event (topic, claimed, due_ms, id);"
                               "CREATE TABLE dead ("
                               "id INTEGER PRIMARY KEY,"
                               "topic TEXT NOT NULL,"
                               "qualifier TEXT NOT NULL,"
                               "request_id TEXT NOT NULL,"
                               "arn TEXT NOT NULL,"
                               "trace_id TEXT NOT NULL,"
                               "context BLOB NOT NULL,"
                               "payload BLOB NOT NULL,"
                               "accepted_ms INTEGER NOT NULL,"
                               "tries INTEGER NOT NULL,"
                               "returns INTEGER NOT NULL,"
                               "reason TEXT NOT NULL,"
                               "response BLOB NOT NULL,"
                               "died_ms INTEGER NOT NULL"
                               ");"
                               "CREATE INDEX dead_topic ON dead (topic, id);";
static const char schema_2[] = "ALTER TABLE event ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;";

static void make_earlier(int version)
{
    char path[4200], text[600];
    sqlite3 *database;
    queue_close(queue);
    queue = NULL;
    scratch_make();
    snprintf(path, sizeof(path), "%s/queue.db", scratch_path);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, schema_1, NULL, NULL, NULL), SQLITE_OK);
    if (version > 1)
        assert_int_equal(sqlite3_exec(database, schema_2, NULL, NULL, NULL), SQLITE_OK);
    snprintf(text, sizeof(text),
             "INSERT INTO event VALUES (1,'f','','r','','','','waiting',5,5,1,2,1%s);"
             "INSERT INTO dead VALUES (2,'f','','r','','','','dead',5,3,0,'why','',9);"
             "PRAGMA user_version = %d",
             version > 1 ? ",7" : "", version);
    assert_int_equal(sqlite3_exec(database, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static void test_what_an_earlier_version_left_is_gone_on_with(void **state)
{
    for (int version = 1; version <= 2; version++) {
        struct answer answer = {0};
        make_earlier(version);
        reopen();
        assert_int_equal(stats().waiting, 1);
        assert_int_equal(stats().dead, 1);
        answer = claim("f", 10, 10);
        assert_string_equal(answer.text, "waiting/1/2 ");
        assert_int_equal(answer.depth, version > 1 ? 7 : 0);
        assert_string_equal(dead("f").text, "dead/3/0why ");
        answer = (struct answer){0};
        assert_int_equal(queue_revive(queue, STR("f"), 0, 20, on_count, &answer), 0);
        wait_for(&answer);
        assert_string_equal(claim("f", 20, 10).text, "dead/0/0 ");
        bury_one("new");
    }
}

static void test_a_dead_letter_keeps_its_depth(void **state)
{
    struct queue_event event = event_of("f", "deep", 10);
    struct answer answer = {0};
    event.depth = 5;
    assert_int_equal(queue_publish(queue, &event, on_plain, &answer), 0);
    wait_for(&answer);
    answer = claim("f", 10, 1);
    event = (struct queue_event){.id = answer.ids[0], .tries = 3, .reason = STR("x")};
    assert_int_equal(settle(QUEUE_BURY, event, NULL), 0);
    answer = (struct answer){0};
    assert_int_equal(queue_revive(queue, STR("f"), 0, 20, on_count, &answer), 0);
    wait_for(&answer);
    assert_int_equal(claim("f", 20, 1).depth, 5);
}

// The thread counts the rows: a purge that was written before the burial leaves nothing to be dropped.
static void test_only_dead_letters_above_the_limit_are_dropped(void **state)
{
    struct queue_rows rows = {0};
    char path[sizeof(scratch_path) + 16];
    uint64_t dropped, purged;
    snprintf(path, sizeof(path), "%s/rows.db", scratch_path);
    assert_int_equal(queue_rows_open(&rows, path, &err), 0);
    struct queue_event event = {.topic = STR("f"), .payload = STR("1"), .reason = STR("r")};
    static const struct {
        int64_t purge;
        uint64_t limit, dropped;
    } burials[] = {{0, 2, 0}, {0, 2, 0}, {0, 2, 1}, {2, 2, 0}, {0, 0, 0}, {0, 2, 2}};
    for (size_t i = 0; i < ARRAY_SIZE(burials); i++) {
        assert_int_equal(queue_rows_publish(&rows, &event, &err), 0);
        event.id = (int64_t) i + 1;
        if (burials[i].purge > 0) {
            assert_int_equal(queue_rows_purge(&rows, STR("f"), burials[i].purge, &purged, &err), 0);
            assert_int_equal(purged, 1);
        }
        assert_int_equal(queue_rows_bury(&rows, &event, burials[i].limit, &dropped, &err), 0);
        assert_int_equal(dropped, burials[i].dropped);
    }
    queue_rows_close(&rows);
}

static void test_forgetting_drops_what_is_not_claimed(void **state)
{
    struct answer answer = {0};
    bury_one("dead");
    publish("f", "claimed", 1);
    publish("g", "other", 1);
    int64_t claimed = claim("f", 1, 1).ids[0];
    publish("f", "waiting", 1);
    assert_int_equal(queue_forget(queue, STR("f"), true, on_count, &answer), 0);
    wait_for(&answer);
    assert_int_equal(answer.count, 1);
    assert_int_equal(stats().waiting, 2);
    assert_int_equal(stats().dead, 0);
    assert_int_equal(settle(QUEUE_REMOVE, (struct queue_event){.id = claimed}, NULL), 0);
    assert_int_equal(claim("g", 1, 1).found, 1);
}

static void test_a_claim_is_bounded_in_bytes(void **state)
{
    enum { SIZE = 1024 * 1024 };
    static char large[SIZE];
    memset(large, 'x', SIZE - 1);
    for (int i = 0; i < 20; i++)
        publish("f", large, 10);
    struct answer answer = claim("f", 10, 64);
    assert_true(answer.found >= 7 && answer.found <= 8);
    assert_int_equal(answer.next_due_ms, 10);
    struct queue_event event = event_of("f", large, 1);
    static char too_large[QUEUE_PAYLOAD_MAX + 1];
    event.payload = (struct str){too_large, sizeof(too_large)};
    assert_int_equal(queue_publish(queue, &event, on_plain, &answer), -E2BIG);
}

static void test_events_that_come_during_a_commit_share_the_next(void **state)
{
    enum { COUNT = 200 };
    static struct answer answers[COUNT];
    memset(answers, 0, sizeof(answers));
    struct queue_event event = event_of("f", "x", 1);
    fault_arm(FAULT_HOLD, 1, 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(queue_publish(queue, &event, on_plain, &answers[i]), 0);
        if (i == 0)
            fault_wait_held();
    }
    fault_release();
    for (int i = 0; i < COUNT; i++)
        wait_for(&answers[i]);
    assert_int_equal(stats().commits, 2);
    assert_int_equal(stats().waiting, COUNT);
}

static void test_a_full_disk_refuses_and_loses_nothing(void **state)
{
    publish("f", "kept", 1);
    fault_arm(FAULT_ERROR_ON, 1, ENOSPC);
    assert_int_equal(publish("f", "refused", 2), -ENOSPC);
    fault_disarm();
    assert_int_equal(stats().waiting, 1);
    assert_int_equal(publish("f", "after", 3), 0);
    assert_string_equal(claim("f", 10, 10).text, "kept/0/0 after/0/0 ");
}

// A process that publishes, claims and settles until it is killed at its nth call; a byte on the pipe
// for each promise: 'p' published, 's' settled (removed).
static void work_until_killed(int nth, int promises)
{
    loop = loop_new();
    queue = NULL;
    fault_arm(FAULT_KILL, nth, 0);
    if (queue_open(scratch_path, loop, &queue, &err) < 0)
        _exit(1);
    for (int i = 0; i < 3; i++) {
        if (publish("f", "x", 1) < 0)
            _exit(1);
        (void) !write(promises, "p", 1); // a pipe: not counted
    }
    struct answer answer = claim("f", 10, 1);
    if (answer.found != 1 ||
        settle(QUEUE_REMOVE, (struct queue_event){.id = answer.ids[0]}, NULL) < 0)
        _exit(1);
    (void) !write(promises, "s", 1);
    queue_close(queue);
    fault_disarm();
    _exit(0);
}

static void test_killed_at_each_call_nothing_accepted_is_lost(void **state)
{
    int steps = 0;
    for (bool is_done = false; !is_done; steps++) {
        int ends[2], status, published = 0, settled = 0;
        char each;
        queue_close(queue);
        queue = NULL;
        scratch_make();
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            work_until_killed(steps + 1, ends[1]);
        close(ends[1]);
        while (read(ends[0], &each, 1) == 1)
            *(each == 'p' ? &published : &settled) += 1;
        close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        is_done = WIFEXITED(status);
        assert_true(!is_done || WEXITSTATUS(status) == 0);
        if (queue_open(scratch_path, loop, &queue, &err) < 0)
            fail_msg("step %d: %s", steps, err.text);
        // One more than promised may be there, and one more than promised may be settled.
        int there = (int) claim("f", 10, 10).found;
        assert_true(there >= published - settled - (published == 3 ? 1 : 0));
        assert_true(settled == 0 || there == published - settled);
        assert_true(there <= published + 1);
    }
    assert_true(steps > 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(test_events_come_oldest_first_and_once),
        TEST(test_an_event_keeps_all_its_texts),
        TEST(test_a_retried_event_waits_with_its_counts),
        TEST(test_a_claimed_event_waits_again_after_opening),
        TEST(test_topics_are_known_at_start),
        TEST(test_a_record_is_published_in_the_same_step),
        TEST(test_dead_letters_are_listed_revived_and_purged),
        TEST(test_what_an_earlier_version_left_is_gone_on_with),
        TEST(test_a_dead_letter_keeps_its_depth),
        TEST(test_only_dead_letters_above_the_limit_are_dropped),
        TEST(test_forgetting_drops_what_is_not_claimed),
        TEST(test_a_claim_is_bounded_in_bytes),
        TEST(test_events_that_come_during_a_commit_share_the_next),
        TEST(test_a_full_disk_refuses_and_loses_nothing),
        TEST(test_killed_at_each_call_nothing_accepted_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
