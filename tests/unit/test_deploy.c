// SPDX-License-Identifier: MIT
//
// Deployments with lamina-spawn's part played by a process of the test: it gets WORK packets, forks the
// unzip job (or a worker that was taken over) and tells its end.

#include "unit.h"

#include "../fault/shim.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "deploy/deploy.h"
#include "deploy/work_stream.h"
#include "fake_work.h"
#include "scratch.h"
#include "wire/spawn.h"
#include "work/unzip.h"

#include <dirent.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct loop *loop;
static struct store *store;
static struct deploy *deploy;
static struct fake_work work;

// ---- Workers. The package "worker:<word>" gets that worker instead of unzip's.

static int run_taken_over(const char *word, int fd)
{
    fake_work_hello(fd);
    if (strncmp(word, "traverse", 8) == 0)
        fake_work_text(fd, "../../escape", "x"), fake_work_end(fd, 1, 1);
    else if (strncmp(word, "absolute", 8) == 0)
        fake_work_text(fd, "/etc/passwd", "x"), fake_work_end(fd, 1, 1);
    else if (strncmp(word, "link-out", 8) == 0)
        fake_work_frame(fd, (struct work_frame){.type = WORK_LINK}, "a", "/etc", 4),
            fake_work_end(fd, 1, 0);
    else if (strncmp(word, "through", 7) == 0)
        fake_work_frame(fd, (struct work_frame){.type = WORK_LINK}, "a", "b", 1),
            fake_work_text(fd, "a/c", "x"), fake_work_end(fd, 2, 1);
    else if (strncmp(word, "wrong-end", 9) == 0)
        fake_work_text(fd, "a", "x"), fake_work_end(fd, 7, 7);
    else if (strncmp(word, "too-much", 8) == 0)
        fake_work_frame(fd, (struct work_frame){.type = WORK_FILE, .total = UINT64_C(1) << 50}, "a",
                        "", 0);
    else if (strncmp(word, "no-end", 6) == 0)
        fake_work_text(fd, "a", "x");
    else if (strncmp(word, "exit-1", 6) == 0)
        return fake_work_text(fd, "a", "x"), fake_work_end(fd, 1, 1), 1;
    else if (strncmp(word, "killed", 6) == 0)
        fake_work_text(fd, "a", "x"), raise(SIGKILL);
    else if (strncmp(word, "rubbish", 7) == 0)
        (void) !write(fd, "rubbish rubbish rubbish rubbish rubbish", 39);
    return 0;
}

static int run_worker(int input, int output, const struct spawn_work *job)
{
    char word[64] = "";
    struct stat stat;
    if (fake_work_word(input, word))
        return run_taken_over(word, output);
    fstat(input, &stat);
    struct zip_source source = {.fd = input, .size = (uint64_t) stat.st_size};
    struct zip_limits limits = {job->arg[WORK_ARGUMENT_ENTRIES_MAX],
                                job->arg[WORK_ARGUMENT_BYTES_MAX]};
    return unzip_run(&source, &limits, output) < 0;
}

// ---- The bench

static char *zips;

static int make_zips(void **state)
{
    static char directory[200];
    snprintf(directory, sizeof(directory), "/tmp/lamina-zips.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    zips = directory;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/usr/bin/python3", "python3", TEST_SOURCE_ROOT "/tests/hostile/hostile_zips.py",
              directory, (char *) NULL);
        _exit(127);
    }
    int status;
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static int remove_zips(void **state)
{
    return fs_remove_tree(AT_FDCWD, zips);
}

static int live_count;
static struct digest live_tree;
static int forgotten;

static void on_live(void *arg, struct deploy_live *live)
{
    if (live_count)
        deploy_live_add(live, live_tree.bytes, NULL);
}

static void on_forget(void *arg, const struct digest *tree_id)
{
    forgotten++;
}

static int set_up(void **state)
{
    struct error err = {0};
    if (fake_work_open(&work, run_worker, NULL) < 0) // before any thread
        return -1;
    loop = loop_new();
    live_count = forgotten = 0;
    if (store_open(scratch_make(), &store, &err) < 0)
        return -1;
    struct deploy_config config = {.loop = loop,
                                   .store = store,
                                   .work_fd = work.channel,
                                   .collect_after_ms = 1,
                                   .live = on_live,
                                   .forget = on_forget};
    return deploy_new(&config, &deploy);
}

static int tear_down(void **state)
{
    fault_disarm();
    deploy_free(deploy);
    store_close(store);
    loop_free(loop);
    fake_work_close(&work);
    scratch_remove();
    return 0;
}

struct outcome {
    int done;
    struct deploy_result result;
};

static void on_done(void *arg, struct deploy_result *result)
{
    struct outcome *outcome = arg;
    outcome->done++;
    outcome->result = *result;
    result->pin = NULL; // ours
}

static struct store_file *staged(const void *data, size_t size)
{
    struct store_file *file;
    assert_int_equal(store_file_new(store, &file, NULL), 0);
    assert_int_equal(store_file_write(file, data, size, NULL), 0);
    assert_int_equal(store_file_finish(file, NULL), 0);
    return file;
}

static void wait_done(struct outcome *outcome)
{
    while (!outcome->done)
        loop_run_once(loop, true);
    assert_int_equal(outcome->done, 1);
}

static struct outcome deploy_bytes(const void *data, size_t size, enum deploy_limits limits)
{
    struct outcome outcome = {0};
    struct deploy_spec spec = {.zip = staged(data, size), .limits = limits};
    assert_int_equal(deploy_start(deploy, &spec, on_done, &outcome), 0);
    wait_done(&outcome);
    return outcome;
}

static struct outcome deploy_case(const char *name)
{
    char path[300];
    AUTO_BUF struct buf zip = BUF_INIT(1 << 24);
    snprintf(path, sizeof(path), "%s/%s.zip", zips, name);
    assert_int_equal(fs_read_file(AT_FDCWD, path, &zip), 0);
    return deploy_bytes(zip.data ? zip.data : "", zip.size, DEPLOY_LIMITS_ENFORCE);
}

static size_t count_in(const char *folder)
{
    char path[5000];
    snprintf(path, sizeof(path), "%s/%s", scratch_path, folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    size_t count = 0;
    for (struct dirent *each; (each = readdir(dir));)
        count += each->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void expect_nothing_stored(void)
{
    assert_int_equal(count_in("tmp"), 0);
    assert_int_equal(count_in("trees"), 0);
    assert_int_equal(count_in("manifests"), 0);
}

// ---- Tests

static void test_a_good_package_becomes_a_tree(void **state)
{
    struct outcome outcome = deploy_case("good");
    char path[5000], hex[DIGEST_HEX_SIZE];
    struct stat stat_of;
    assert_int_equal(outcome.result.status, DEPLOY_OK);
    assert_int_equal(outcome.result.entries, 2);
    assert_int_equal(outcome.result.tree_bytes, 17 + 10240);
    snprintf(path, sizeof(path), "%s/trees/%s/bootstrap", scratch_path,
             digest_hex(&outcome.result.tree_id, hex));
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode, S_IFREG | 0555);
    uint64_t bytes;
    AUTO_FD int fd = -1;
    assert_int_equal(store_blob_open(store, &outcome.result.zip_sha256, &fd, &bytes), 0);
    assert_int_equal(bytes, outcome.result.zip_bytes);
    assert_int_equal(count_in("tmp"), 0);
    store_unpin(outcome.result.pin);
}

static void test_every_hostile_package_has_its_outcome(void **state)
{
    char path[300], line[200], name[100], expected[100];
    int count = 0;
    snprintf(path, sizeof(path), "%s/index", zips);
    FILE *index = fopen(path, "re");
    assert_non_null(index);
    while (fgets(line, sizeof(line), index)) {
        assert_int_equal(sscanf(line, "%99s %99s", name, expected), 2);
        struct outcome outcome = deploy_case(name);
        bool must_work = strcmp(expected, "OK") == 0;
        if ((outcome.result.status == DEPLOY_OK) != must_work)
            fail_msg("%s: status %d: %s", name, outcome.result.status, outcome.result.err.text);
        if (!must_work) {
            assert_int_equal(outcome.result.status, DEPLOY_BAD_ZIP);
            const char *words = strcmp(expected, "EMPTY") == 0
                                    ? "Uploaded file must be a non-empty zip"
                                    : "Could not unzip uploaded file. ";
            assert_ptr_equal(strstr(outcome.result.err.text, words), outcome.result.err.text);
        }
        assert_int_equal(count_in("tmp"), 0);
        store_unpin(outcome.result.pin);
        count++;
    }
    fclose(index);
    assert_true(count > 100);
}

static void test_the_message_names_the_entry_and_the_reason(void **state)
{
    struct outcome outcome = deploy_case("traversal");
    assert_string_equal(outcome.result.err.text,
                        "Could not unzip uploaded file. Please check your file, then try to upload "
                        "again. ('../../etc/passwd': the name leads out of the package)");
    outcome = deploy_case("name-nul");
    assert_non_null(strstr(outcome.result.err.text, "'boot?strap'"));
    outcome = deploy_case("not-a-zip");
    assert_non_null(strstr(outcome.result.err.text, "(it is not a zip file)"));
}

static void test_a_worker_that_was_taken_over_gets_nothing_stored(void **state)
{
    static const struct {
        const char *word;
        enum deploy_status status;
    } table[] = {
        {"traverse", DEPLOY_BAD_ZIP}, {"absolute", DEPLOY_BAD_ZIP},   {"link-out", DEPLOY_BAD_ZIP},
        {"through", DEPLOY_BAD_ZIP},  {"wrong-end", DEPLOY_INTERNAL}, {"too-much", DEPLOY_INTERNAL},
        {"no-end", DEPLOY_INTERNAL},  {"exit-1", DEPLOY_INTERNAL},    {"killed", DEPLOY_INTERNAL},
        {"rubbish", DEPLOY_INTERNAL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char word[32];
        snprintf(word, sizeof(word), "worker:%s", table[i].word);
        struct outcome outcome = deploy_bytes(word, strlen(word), DEPLOY_LIMITS_ENFORCE);
        if (outcome.result.status != table[i].status)
            fail_msg("%s: %d %s", word, outcome.result.status, outcome.result.err.text);
        assert_true(outcome.result.err.text[0] != 0);
        assert_null(outcome.result.pin);
        expect_nothing_stored();
    }
    struct outcome outcome = deploy_case("good"); // and the next one works
    assert_int_equal(outcome.result.status, DEPLOY_OK);
    store_unpin(outcome.result.pin);
}

static void test_limits_are_aws_s_or_none(void **state)
{
    size_t size = LIMIT_ZIP_DIRECT_MAX + 1;
    AUTO_FREE char *large = calloc(1, size);
    struct outcome outcome = deploy_bytes(large, size, DEPLOY_LIMITS_ENFORCE);
    assert_int_equal(outcome.result.status, DEPLOY_ZIP_TOO_LARGE);
    assert_string_equal(outcome.result.err.text, "Zipped size must be smaller than 52428800 bytes");
    outcome = deploy_bytes(large, size, DEPLOY_LIMITS_OFF);
    assert_int_equal(outcome.result.status, DEPLOY_BAD_ZIP); // looked at, and no zip
    expect_nothing_stored();
}

static void test_a_package_in_the_store_is_deployed_by_its_digest(void **state)
{
    char path[300];
    AUTO_BUF struct buf zip = BUF_INIT(1 << 24);
    struct outcome outcome = {0};
    snprintf(path, sizeof(path), "%s/good.zip", zips);
    assert_int_equal(fs_read_file(AT_FDCWD, path, &zip), 0);
    struct digest digest = digest_of(zip.data, zip.size);
    struct deploy_spec spec = {.package = &digest, .limits = DEPLOY_LIMITS_ENFORCE};
    assert_int_equal(deploy_start(deploy, &spec, on_done, &outcome), 0);
    wait_done(&outcome);
    assert_int_equal(outcome.result.status, DEPLOY_NO_PACKAGE);
    assert_int_equal(store_package_put(store, staged(zip.data, zip.size), NULL), 0);
    for (int i = 0; i < 2; i++) { // the second time it is an object
        outcome = (struct outcome){0};
        assert_int_equal(deploy_start(deploy, &spec, on_done, &outcome), 0);
        wait_done(&outcome);
        assert_int_equal(outcome.result.status, DEPLOY_OK);
        assert_int_equal(outcome.result.zip_bytes, zip.size);
        store_unpin(outcome.result.pin);
    }
}

static void test_many_at_once(void **state)
{
    enum { COUNT = 40 };
    static struct outcome outcomes[COUNT];
    char path[300];
    AUTO_BUF struct buf zip = BUF_INIT(1 << 24);
    snprintf(path, sizeof(path), "%s/good.zip", zips);
    assert_int_equal(fs_read_file(AT_FDCWD, path, &zip), 0);
    memset(outcomes, 0, sizeof(outcomes));
    for (int i = 0; i < COUNT; i++) {
        struct deploy_spec spec = {.zip = staged(zip.data, zip.size)};
        assert_int_equal(deploy_start(deploy, &spec, on_done, &outcomes[i]), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        wait_done(&outcomes[i]);
        assert_int_equal(outcomes[i].result.status, DEPLOY_OK);
        store_unpin(outcomes[i].result.pin);
    }
    assert_int_equal(count_in("trees"), 1);
    assert_int_equal(count_in("tmp"), 0);
}

static void test_a_full_disk_at_each_call(void **state)
{
    int refused = 0;
    for (int nth = 1;; nth++) {
        char path[300];
        AUTO_BUF struct buf zip = BUF_INIT(1 << 24);
        snprintf(path, sizeof(path), "%s/good.zip", zips);
        assert_int_equal(fs_read_file(AT_FDCWD, path, &zip), 0);
        struct outcome outcome = {0};
        struct deploy_spec spec = {.zip = staged(zip.data, zip.size)};
        fault_arm(FAULT_ERROR_ON, nth, ENOSPC);
        assert_int_equal(deploy_start(deploy, &spec, on_done, &outcome), 0);
        wait_done(&outcome);
        bool is_reached = fault_disarm() >= nth;
        store_unpin(outcome.result.pin);
        if (!is_reached) {
            assert_int_equal(outcome.result.status, DEPLOY_OK);
            break;
        }
        refused += outcome.result.status != DEPLOY_OK;
        if (outcome.result.status != DEPLOY_OK)
            assert_int_equal(outcome.result.status, DEPLOY_NO_SPACE);
    }
    assert_true(refused > 10);
}

static void test_waiting_jobs_end_with_the_service(void **state)
{
    enum { COUNT = 20 };
    static struct outcome outcomes[COUNT];
    memset(outcomes, 0, sizeof(outcomes));
    for (int i = 0; i < COUNT; i++) {
        struct deploy_spec spec = {.zip = staged("x", 1)};
        assert_int_equal(deploy_start(deploy, &spec, on_done, &outcomes[i]), 0);
    }
    deploy_free(deploy);
    deploy = NULL;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(outcomes[i].done, 1);
        assert_int_not_equal(outcomes[i].result.status, DEPLOY_OK);
    }
    expect_nothing_stored();
}

static void test_collection_forgets_and_removes_what_nobody_names(void **state)
{
    struct outcome keep = deploy_case("good"), drop = deploy_case("links-inside");
    store_unpin(keep.result.pin);
    store_unpin(drop.result.pin);
    live_count = 1;
    live_tree = keep.result.tree_id;
    deploy_collect_soon(deploy);
    deploy_collect_soon(deploy); // shares the first
    while (count_in("trees") > 1)
        loop_run_once(loop, true);
    assert_int_equal(forgotten, 1);
    char path[200], hex[DIGEST_HEX_SIZE];
    snprintf(path, sizeof(path), "trees/%s", digest_hex(&keep.result.tree_id, hex));
    assert_int_equal(count_in(path), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(test_a_good_package_becomes_a_tree),
        TEST(test_every_hostile_package_has_its_outcome),
        TEST(test_the_message_names_the_entry_and_the_reason),
        TEST(test_a_worker_that_was_taken_over_gets_nothing_stored),
        TEST(test_limits_are_aws_s_or_none),
        TEST(test_a_package_in_the_store_is_deployed_by_its_digest),
        TEST(test_many_at_once),
        TEST(test_a_full_disk_at_each_call),
        TEST(test_waiting_jobs_end_with_the_service),
        TEST(test_collection_forgets_and_removes_what_nobody_names),
    };
    return cmocka_run_group_tests(tests, make_zips, remove_zips);
}
