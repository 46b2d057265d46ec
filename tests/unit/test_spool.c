// SPDX-License-Identifier: MIT
//
// Spools on a real loop and store: what is handed over, who has to wait, what a sender that leaves or
// does not listen does.

#include "unit.h"

#include "../fault/shim.h"
#include "base/base64.h"
#include "base/fd.h"
#include "base/mem.h"
#include "fetch/spool.h"
#include "scratch.h"

#include <dirent.h>

static struct loop *loop;
static struct store *store;
static struct spooler *spooler;

static int set_up(void **state)
{
    struct error err = {0};
    loop = loop_new();
    int r = store_open(scratch_make(), &store, &err);
    spooler = spooler_new(loop, store);
    return r < 0 || !spooler ? -1 : 0;
}

static int tear_down(void **state)
{
    fault_disarm();
    spooler_free(spooler);
    store_close(store);
    loop_free(loop);
    scratch_remove();
    return 0;
}

// One sender.
struct sender {
    struct spool *spool;
    int done, resumed;
    enum spool_status status;
    char json[4096];
    struct store_file *zip;
};

static void on_resume(void *arg)
{
    struct sender *sender = arg;
    sender->resumed++;
}

static void on_done(void *arg, struct spool_result *result)
{
    struct sender *sender = arg;
    sender->done++;
    sender->spool = NULL;
    sender->status = result->status;
    snprintf(sender->json, sizeof(sender->json), STR_FORMAT, STR_ARGUMENTS(buf_str(&result->json)));
    sender->zip = TAKE_PTR(result->zip);
    if (result->status != SPOOL_OK)
        assert_true(result->err.text[0] != 0);
}

static int start(struct sender *sender, struct spool_spec spec)
{
    *sender = (struct sender){0};
    spec.resume = on_resume;
    spec.done = on_done;
    spec.arg = sender;
    return spool_start(spooler, &spec, &sender->spool);
}

static const struct spool_spec json = {.form = SPOOL_JSON, .zip_member = "ZipFile"};

static void wait_done(const struct sender *sender)
{
    while (!sender->done)
        loop_run_once(loop, true);
    assert_int_equal(sender->done, 1);
}

// Sends as a connection does: when told to pause, nothing more until resumed.
static void send_all(struct sender *sender, const char *data, size_t size, size_t piece)
{
    for (size_t i = 0; i < size && sender->spool; i += piece) {
        int resumed = sender->resumed;
        bool must_pause = spool_write(sender->spool, data + i, piece < size - i ? piece : size - i);
        while (must_pause && sender->spool && sender->resumed == resumed)
            loop_run_once(loop, true);
    }
}

static void send_text(struct sender *sender, const char *text)
{
    send_all(sender, text, strlen(text), 7);
    spool_end(sender->spool);
    wait_done(sender);
}

static size_t staged_count(void)
{
    char path[5000];
    snprintf(path, sizeof(path), "%s/tmp", scratch_path);
    DIR *dir = opendir(path);
    size_t count = 0;
    for (struct dirent *each; (each = readdir(dir));)
        count += each->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void test_json_and_zip_come_apart(void **state)
{
    struct sender sender;
    char text[16];
    assert_int_equal(start(&sender, json), 0);
    send_text(&sender, "{\"FunctionName\":\"f\",\"ZipFile\":\"aGVsbG8=\"}");
    assert_int_equal(sender.status, SPOOL_OK);
    assert_string_equal(sender.json, "{\"FunctionName\":\"f\",\"ZipFile\":\"\"}");
    assert_int_equal(store_file_bytes(sender.zip), 5);
    AUTO_FD int fd = store_file_open(sender.zip);
    assert_int_equal(read(fd, text, sizeof(text)), 5);
    assert_memory_equal(text, "hello", 5);
    struct digest digest = store_file_digest(sender.zip), expected = digest_of("hello", 5);
    assert_true(digest_equal(&digest, &expected));
    store_file_free(sender.zip);
    assert_int_equal(staged_count(), 0);
}

static void test_no_member_no_file(void **state)
{
    struct sender sender;
    assert_int_equal(start(&sender, json), 0);
    send_text(&sender, "{\"DryRun\":true}");
    assert_int_equal(sender.status, SPOOL_OK);
    assert_null(sender.zip);
    assert_string_equal(sender.json, "{\"DryRun\":true}");
}

static void test_an_empty_member_is_an_empty_file(void **state)
{
    struct sender sender;
    assert_int_equal(start(&sender, json), 0);
    send_text(&sender, "{\"ZipFile\":\"\"}");
    assert_int_equal(sender.status, SPOOL_OK);
    assert_non_null(sender.zip);
    assert_int_equal(store_file_bytes(sender.zip), 0);
    store_file_free(sender.zip);
}

static void test_bad_bodies_end_early_and_leave_nothing(void **state)
{
    static const struct {
        const char *text;
        enum spool_status status;
    } table[] = {
        {"{\"ZipFile\":\"aGk\"}", SPOOL_BAD_BASE64},
        {"{\"ZipFile\":\"aGk=\"", SPOOL_BAD_JSON},
        {"{\"ZipFile\":\"aGk=\",\"ZipFile\":\"aGk=\"}", SPOOL_BAD_JSON},
        {"{\"ZipFile\":\"aGVsbG8gd29ybGQgaG93IGFyZSB5b3U=\"}", SPOOL_ZIP_TOO_LARGE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct sender sender;
        struct spool_spec spec = json;
        spec.zip_bytes_max = 20;
        assert_int_equal(start(&sender, spec), 0);
        send_text(&sender, table[i].text);
        assert_int_equal(sender.status, table[i].status);
        assert_null(sender.zip);
        assert_int_equal(staged_count(), 0);
    }
}

static void test_a_large_body_is_paused_and_arrives_whole(void **state)
{
    // 24 MB of bytes, 32 MB of base64, in one push of the sender's: never in memory whole.
    size_t size = 24 * 1024 * 1024;
    AUTO_FREE unsigned char *content = malloc(size);
    AUTO_FREE char *body = malloc(BASE64_ENCODED_SIZE(size) + 64);
    for (size_t i = 0; i < size; i++)
        content[i] = (unsigned char) (i * 31 + i / 255);
    memcpy(body, "{\"ZipFile\":\"", 12);
    base64_encode(content, size, body + 12);
    size_t body_size = 12 + BASE64_ENCODED_SIZE(size);
    memcpy(body + body_size, "\"}", 2);
    struct sender sender;
    struct spool_spec spec = json;
    spec.content_length = (int64_t) body_size + 2;
    assert_int_equal(start(&sender, spec), 0);
    send_all(&sender, body, body_size + 2, 65536);
    spool_end(sender.spool);
    wait_done(&sender);
    assert_int_equal(sender.status, SPOOL_OK);
    struct digest digest = store_file_digest(sender.zip), expected = digest_of(content, size);
    assert_true(digest_equal(&digest, &expected));
    store_file_free(sender.zip);
}

static void test_a_sender_that_does_not_pause_is_cut_off(void **state)
{
    static char piece[64 * 1024];
    struct sender sender;
    assert_int_equal(start(&sender, (struct spool_spec){.form = SPOOL_PLAIN}), 0);
    fault_arm(FAULT_HOLD, 1, 0);
    (void) !spool_write(sender.spool, piece, sizeof(piece));
    fault_wait_held(); // the first batch's job works, and goes on when told
    bool must_pause = false;
    for (int i = 0; i < 64 && sender.spool; i++)
        must_pause |= spool_write(sender.spool, piece, sizeof(piece));
    assert_true(must_pause);
    fault_release();
    fault_disarm();
    wait_done(&sender);
    assert_int_equal(sender.status, SPOOL_FAILED);
    assert_int_equal(staged_count(), 0);
}

static void test_a_third_large_body_waits_for_a_place(void **state)
{
    struct sender senders[4], small;
    struct spool_spec large = json;
    large.content_length = SPOOL_LARGE_BYTES + 1;
    for (int i = 0; i < 4; i++)
        assert_int_equal(start(&senders[i], large), 0);
    assert_false(spool_write(senders[0].spool, "{", 1));
    assert_false(spool_write(senders[1].spool, "{", 1));
    assert_true(spool_write(senders[2].spool, "{", 1)); // pause
    assert_true(spool_write(senders[3].spool, "{", 1));
    assert_int_equal(start(&small, json), 0); // small ones pass
    send_text(&small, "{}");
    assert_int_equal(senders[2].resumed, 0);
    send_text(&senders[0], "}");
    assert_int_equal(senders[0].status, SPOOL_OK);
    while (!senders[2].resumed)
        loop_run_once(loop, true);
    assert_int_equal(senders[3].resumed, 0);
    spool_cancel(senders[1].spool); // a sender that goes gives its place up too
    while (!senders[3].resumed)
        loop_run_once(loop, true);
    send_text(&senders[2], "}");
    send_text(&senders[3], "}");
    assert_int_equal(senders[3].status, SPOOL_OK);
    assert_int_equal(senders[1].done, 0);
}

static void test_too_many_waiting_are_refused(void **state)
{
    static struct sender senders[SPOOL_LARGE_MAX + SPOOL_WAITING_MAX + 1];
    size_t count = ARRAY_SIZE(senders);
    struct spool_spec unknown = json;
    unknown.content_length = -1;
    for (size_t i = 0; i + 1 < count; i++)
        assert_int_equal(start(&senders[i], unknown), 0);
    assert_int_equal(start(&senders[count - 1], unknown), -EAGAIN);
    spool_cancel(senders[count / 2].spool);
    assert_int_equal(start(&senders[count - 1], unknown), 0);
}

static void test_cancelled_while_working(void **state)
{
    struct sender sender;
    assert_int_equal(start(&sender, json), 0);
    fault_arm(FAULT_HOLD, 1, 0);
    (void) !spool_write(sender.spool, "{\"ZipFile\":\"aGVsbG8h", 20);
    fault_wait_held();
    spool_cancel(sender.spool);
    fault_release();
    fault_disarm();
    while (staged_count() > 0)
        loop_run_once(loop, false);
    assert_int_equal(sender.done, 0);
}

static void test_plain_bodies_are_compared_with_their_digest(void **state)
{
    struct sender sender;
    struct digest expected = digest_of("package", 7);
    struct spool_spec plain = {.form = SPOOL_PLAIN, .expected = &expected};
    assert_int_equal(start(&sender, plain), 0);
    send_text(&sender, "package");
    assert_int_equal(sender.status, SPOOL_OK);
    store_file_free(sender.zip);
    assert_int_equal(start(&sender, plain), 0);
    send_text(&sender, "packagE");
    assert_int_equal(sender.status, SPOOL_DIGEST_DIFFERS);
    assert_null(sender.zip);
    assert_int_equal(staged_count(), 0);
}

static void test_a_full_disk_is_told_apart(void **state)
{
    struct sender sender;
    assert_int_equal(start(&sender, (struct spool_spec){.form = SPOOL_PLAIN}), 0);
    fault_arm(FAULT_ERROR_ON, 2, ENOSPC); // the file is made, the write fails
    send_text(&sender, "package");
    fault_disarm();
    assert_int_equal(sender.status, SPOOL_NO_SPACE);
}

static void test_the_end_of_the_service_frees_what_is_under_way(void **state)
{
    static struct sender senders[6];
    struct spool_spec large = json;
    large.content_length = -1;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(start(&senders[i], i % 2 ? large : json), 0);
        (void) !spool_write(senders[i].spool, "{\"ZipFile\":\"aGVsbG8h", 20);
    }
    spooler_free(spooler);
    spooler = NULL;
    assert_int_equal(staged_count(), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(senders[i].done, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(test_json_and_zip_come_apart),
        TEST(test_no_member_no_file),
        TEST(test_an_empty_member_is_an_empty_file),
        TEST(test_bad_bodies_end_early_and_leave_nothing),
        TEST(test_a_large_body_is_paused_and_arrives_whole),
        TEST(test_a_sender_that_does_not_pause_is_cut_off),
        TEST(test_a_third_large_body_waits_for_a_place),
        TEST(test_too_many_waiting_are_refused),
        TEST(test_cancelled_while_working),
        TEST(test_plain_bodies_are_compared_with_their_digest),
        TEST(test_a_full_disk_is_told_apart),
        TEST(test_the_end_of_the_service_frees_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
