// SPDX-License-Identifier: MIT
//
// Preparations with lamina-spawn's part played by a process of the test: a model whose bytes are
// "worker:<word>" gets a worker that does as the word says, honest ones and such as were taken over.

#include "unit.h"

#include "../fault/shim.h"
#include "base/fd.h"
#include "base/mem.h"
#include "deploy/prepare.h"
#include "deploy/prepare_job.h"
#include "fake_work.h"
#include "scratch.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>

static struct loop *loop;
static struct store *store;
static struct prepare *prepare;
static struct fake_work work;
static int data_dir = -1;
static const struct digest set = {{7}};

// ---- Workers

#define FORM "the prepared form"

static void put_report(int fd, double off, double on)
{
    const struct work_prepared report = {
        .off = {.cold_us = 10, .warm_us = 10, .private_bytes = 10, .difference = off},
        .on = {.cold_us = 20, .warm_us = 20, .private_bytes = 20, .difference = on},
        .checked = 8,
    };
    fake_work_file(fd, WORK_PREPARED_REPORT, &report, sizeof(report));
}

static void put_good(int fd, double off, double on)
{
    put_report(fd, off, on);
    fake_work_file(fd, WORK_PREPARED_MODEL, FORM, sizeof(FORM));
    fake_work_end(fd, 2, sizeof(FORM) + sizeof(struct work_prepared));
}

static void put_refusal(int fd, enum work_reason reason, const char *words)
{
    fake_work_frame(fd, (struct work_frame){.type = WORK_REFUSED, .code = (uint16_t) reason}, words,
                    "", 0);
}

static int act(const char *word, int fd)
{
    fake_work_hello(fd);
    if (strcmp(word, "good") == 0)
        put_good(fd, 0, 1e-5);
    else if (strcmp(word, "on-differs") == 0)
        put_good(fd, 0, 1);
    else if (strcmp(word, "off-is-no-number") == 0)
        put_good(fd, NAN, 0);
    else if (strcmp(word, "both-differ") == 0)
        put_good(fd, INFINITY, -1);
    else if (strcmp(word, "refused") == 0)
        put_refusal(fd, WORK_REASON_PREPARE_LOAD, "op \x1b[31m'X'\n is unknown");
    else if (strcmp(word, "no-engine") == 0)
        put_refusal(fd, WORK_REASON_PREPARE_ENGINE, "");
    else if (strcmp(word, "form-first") == 0)
        fake_work_file(fd, WORK_PREPARED_MODEL, FORM, sizeof(FORM)),
            fake_work_end(fd, 1, sizeof(FORM));
    else if (strcmp(word, "no-form") == 0)
        put_report(fd, 0, 0), fake_work_end(fd, 1, sizeof(struct work_prepared));
    else if (strcmp(word, "two-forms") == 0)
        put_report(fd, 0, 0), fake_work_file(fd, WORK_PREPARED_MODEL, FORM, sizeof(FORM)),
            fake_work_file(fd, WORK_PREPARED_MODEL, FORM, sizeof(FORM)), fake_work_end(fd, 3, 1);
    else if (strcmp(word, "short-report") == 0)
        fake_work_file(fd, WORK_PREPARED_REPORT, "x", 1), fake_work_end(fd, 1, 1);
    else if (strcmp(word, "huge") == 0)
        put_report(fd, 0, 0),
            fake_work_frame(fd, (struct work_frame){.type = WORK_FILE, .total = UINT64_C(1) << 50},
                            WORK_PREPARED_MODEL, "", 0);
    else if (strcmp(word, "elsewhere") == 0)
        put_report(fd, 0, 0), fake_work_file(fd, "../../../etc/passwd", "x", 1),
            fake_work_end(fd, 2, 1);
    else if (strcmp(word, "a-link") == 0)
        fake_work_frame(fd, (struct work_frame){.type = WORK_LINK}, "a", "/etc", 4),
            fake_work_end(fd, 1, 0);
    else if (strcmp(word, "a-folder") == 0)
        fake_work_frame(fd, (struct work_frame){.type = WORK_DIRECTORY}, "a", "", 0),
            fake_work_end(fd, 1, 0);
    else if (strcmp(word, "half") == 0)
        put_report(fd, 0, 0),
            fake_work_frame(fd, (struct work_frame){.type = WORK_FILE, .total = 100},
                            WORK_PREPARED_MODEL, "", 0);
    else if (strcmp(word, "crash") == 0)
        put_good(fd, 0, 0), raise(SIGSEGV);
    else if (strcmp(word, "slow") == 0)
        raise(SIGXCPU);
    else if (strcmp(word, "status") == 0)
        return put_good(fd, 0, 0), 1;
    else if (strncmp(word, "sleeps", 6) == 0)
        pause();
    else if (strcmp(word, "dribbles") == 0)
        for (;; usleep(10000))
            (void) !write(fd, &(char){0}, 1);
    else if (strcmp(word, "rubbish") == 0)
        (void) !write(fd, "rubbish rubbish rubbish rubbish rubbish", 39);
    return 0;
}

static int run_worker(int input, int output, const struct spawn_work *job)
{
    char word[64];
    return job->kind == WORK_KIND_PREPARE && job->flags == SPAWN_WORK_ENGINE &&
                   fake_work_word(input, word)
               ? act(word, output)
               : 9;
}

static uint32_t worker_flags(int input)
{
    char word[64];
    return fake_work_word(input, word) && strcmp(word, "memory") == 0 ? SPAWN_EXIT_OOM : 0;
}

// ---- The bench

static void open_with(struct prepare_config config)
{
    config.loop = loop;
    config.store = store;
    config.work_fd = work.channel;
    config.data_dir_fd = data_dir;
    assert_int_equal(prepare_new(&config, &prepare, NULL), 0);
}

static void open_prepare(const char *library)
{
    open_with((struct prepare_config){.library = library});
}

static int set_up(void **state)
{
    struct error err = {0};
    if (fake_work_open(&work, run_worker, worker_flags) < 0) // before any thread
        return -1;
    loop = loop_new();
    if (store_open(scratch_make(), &store, &err) < 0)
        return -1;
    data_dir = open(scratch_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    open_prepare("/proc/self/exe");
    return 0;
}

static int tear_down(void **state)
{
    prepare_free(prepare);
    store_close(store);
    loop_free(loop);
    fake_work_close(&work);
    close(data_dir);
    scratch_remove();
    return 0;
}

struct files {
    const char *path, *content;
};

// A tree of these files.
static struct digest make_tree(const struct files *files, size_t count)
{
    struct store_batch *batch = store_batch_new(store);
    struct store_pin *pin;
    struct digest tree_id;
    for (size_t i = 0; i < count; i++) {
        struct store_file *file;
        assert_int_equal(store_file_new(store, &file, NULL), 0);
        assert_int_equal(store_file_write(file, files[i].content, strlen(files[i].content), NULL),
                         0);
        assert_int_equal(store_file_finish(file, NULL), 0);
        assert_int_equal(store_batch_file(batch, str_of(files[i].path), file, false, 0, NULL), 0);
    }
    assert_int_equal(store_batch_commit(batch, &tree_id, &pin, NULL), 0);
    store_batch_free(batch);
    store_unpin(pin);
    return tree_id;
}

static struct prepare_spec spec_of(const char *word)
{
    char content[64];
    snprintf(content, sizeof(content), "worker:%s ", word);
    struct prepare_spec spec = {.models_set = set, .memory_bytes = UINT64_C(1) << 30};
    spec.tree_id = make_tree(&(struct files){"net.onnx", content}, 1);
    return spec;
}

struct asking {
    struct prepare_result result;
    int done;
};

static void on_done(void *arg, const struct prepare_result *result)
{
    struct asking *asking = arg;
    asking->result = *result;
    asking->done++;
}

static void ask(const struct prepare_spec *spec, struct asking *asking)
{
    *asking = (struct asking){0};
    assert_int_equal(prepare_start(prepare, spec, on_done, asking), 0);
    assert_int_equal(asking->done, 0); // never from inside
}

static struct prepare_result answer(struct asking *asking)
{
    while (!asking->done)
        loop_run_once(loop, true);
    assert_int_equal(asking->done, 1);
    return asking->result;
}

static struct prepare_result run_spec(const struct prepare_spec *spec)
{
    struct asking asking;
    ask(spec, &asking);
    return answer(&asking);
}

static struct prepare_result run(const char *word)
{
    struct prepare_spec spec = spec_of(word);
    return run_spec(&spec);
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

// ---- Tests

static void test_a_form_is_stored_linked_and_remembered(void **state)
{
    char link[PREPARE_LINK_SIZE], path[5000], hex[DIGEST_HEX_SIZE];
    struct stat status;
    struct prepare_result result = run("good");
    const struct digest expected = digest_of(FORM, sizeof(FORM));
    assert_true(result.has_model && result.has_form);
    assert_string_equal(result.path, "net.onnx");
    assert_memory_equal(&result.form, &expected, sizeof(expected));
    assert_int_equal(result.form_bytes, sizeof(FORM));
    prepare_link_path(&result.model, &result.key, link);
    snprintf(path, sizeof(path), "%s/models/%s/%s", scratch_path, digest_hex(&set, hex), link);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0444);
    assert_int_equal(count_in("prepared"), 1);
    assert_int_equal(count_in("tmp"), 0);
}

static void test_a_worker_that_lies_gets_nothing_stored(void **state)
{
    static const char *const words[] = {"form-first", "no-form",   "two-forms", "short-report",
                                        "huge",       "elsewhere", "a-link",    "a-folder",
                                        "half",       "rubbish",   "nothing"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        struct prepare_result result = run(words[i]);
        if (result.has_form)
            fail_msg("%s: a form", words[i]);
        assert_true(result.has_model);
        assert_string_equal(result.reason, "the process that prepared it answered nonsense");
        assert_int_equal(count_in("tmp"), 0);
        assert_int_equal(count_in("prepared"), 0); // it may do better the next time
    }
}

static void test_a_worker_that_dies_is_told_by_its_cause(void **state)
{
    static const struct {
        const char *word, *reason;
    } cases[] = {{"crash", "the process that prepared it crashed"},
                 {"status", "the process that prepared it crashed"},
                 {"slow", "preparing it took too long"},
                 {"memory", "preparing it took more memory than is allowed"},
                 {"no-engine", "it could not be prepared"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct prepare_result result = run(cases[i].word);
        assert_false(result.has_form);
        assert_string_equal(result.reason, cases[i].reason);
        assert_int_equal(count_in("tmp"), 0);
        assert_int_equal(count_in("prepared"), 0);
    }
}

// lamina-spawn ends with the service when it is asked for more than a job may ever have.
static void test_nobody_is_asked_for_what_no_worker_may_have(void **state)
{
    const uint64_t sizes[] = {UINT64_C(28) << 30, UINT64_C(40) << 30, UINT64_C(1) << 62, INT64_MAX};
    struct prepare_spec spec = spec_of("good");
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        const struct prepare_job job = {.store = store,
                                        .work_fd = work.channel,
                                        .tree_id = spec.tree_id,
                                        .path = "net.onnx",
                                        .has_tree = true,
                                        .beside_bytes = sizes[i]};
        struct prepare_record record;
        struct store_pin *pin = NULL;
        struct error err = {0};
        assert_int_equal(prepare_job_run(&job, &record, &pin, &err), -EFBIG);
        assert_null(pin);
    }
}

static void test_a_refusal_is_remembered_and_harmless_to_print(void **state)
{
    struct prepare_result result = run("refused");
    assert_false(result.has_form);
    assert_string_equal(result.reason, "the engine could not prepare it: op ?[31m'X'? is unknown");
    assert_int_equal(count_in("prepared"), 1);
}

static void test_only_what_answers_alike_is_used(void **state)
{
    struct prepare_result result = run("on-differs");
    assert_true(result.has_form && !result.is_packed);
    result = run("off-is-no-number");
    assert_true(result.has_form && result.is_packed);
    result = run("both-differ");
    assert_false(result.has_form);
}

static void test_another_engine_has_forms_of_its_own(void **state)
{
    struct prepare_result first = run("good");
    prepare_free(prepare);
    open_prepare("/usr/bin/env");
    struct prepare_result second = run("good");
    assert_true(first.has_form && second.has_form);
    assert_memory_not_equal(&first.key, &second.key, sizeof(first.key));
    assert_int_equal(count_in("prepared"), 2);
}

static void test_known_again_after_a_start_without_a_worker(void **state)
{
    struct prepare_result first = run("good");
    prepare_free(prepare);
    fake_work_kill(&work);
    open_prepare("/proc/self/exe");
    struct prepare_result second = run("good");
    assert_true(second.has_form);
    assert_memory_equal(&first.form, &second.form, sizeof(first.form));
}

static void test_a_model_that_is_too_large_for_a_form_is_only_measured(void **state)
{
    prepare_free(prepare);
    open_with((struct prepare_config){.form_bytes_max = 1});
    struct prepare_result result = run("no-form"); // which is broken otherwise
    assert_true(result.is_measured && !result.has_form && !result.is_packed);
    assert_int_equal(result.private_bytes, 10);
    assert_int_equal(result.shared_bytes, result.model_bytes);
    assert_int_equal(count_in("prepared"), 1);
    assert_string_equal(run("two-forms").reason, "the process that prepared it answered nonsense");
}

// Records of models that no engine loads, as many as are kept.
static void write_refusals(void)
{
    char path[5000], hex[DIGEST_HEX_SIZE];
    AUTO_BUF struct buf text = BUF_INIT(4096);
    const struct prepare_record record = {.reason = "the engine could not prepare it"};
    prepare_record_append(&text, &record);
    for (uint32_t i = 0; i < PREPARE_RECORDS_MAX; i++) {
        const struct digest key = digest_of(&i, sizeof(i));
        snprintf(path, sizeof(path), "%s/prepared/%s", scratch_path, digest_hex(&key, hex));
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(write(fd, text.data, text.size), text.size);
        close(fd);
    }
}

static void test_models_that_do_not_load_never_fill_the_table_for_others(void **state)
{
    prepare_free(prepare);
    write_refusals();
    open_prepare("/proc/self/exe");
    struct prepare_result first = run("good");
    assert_true(first.has_form);
    assert_int_equal(count_in("prepared"), PREPARE_RECORDS_MAX);
    fake_work_kill(&work); // it is known
    assert_true(run("good").has_form);
}

static void test_one_worker_for_all_who_ask_at_once(void **state)
{
    struct asking callers[8];
    struct prepare_spec spec = spec_of("good");
    for (size_t i = 0; i < ARRAY_SIZE(callers); i++)
        ask(&spec, &callers[i]);
    for (size_t i = 0; i < ARRAY_SIZE(callers); i++)
        assert_true(answer(&callers[i]).has_form);
    assert_int_equal(count_in("prepared"), 1);
}

static void test_a_worker_that_sleeps_or_dribbles_is_ended(void **state)
{
    prepare_free(prepare);
    open_with((struct prepare_config){.time_limit_ms = 100});
    assert_string_equal(run("sleeps").reason, "preparing it took too long");
    assert_string_equal(run("dribbles").reason, "preparing it took too long");
    assert_int_equal(count_in("prepared"), 0);
    assert_int_equal(count_in("tmp"), 0);
}

// More of them than workers at once: the others come by.
static void test_models_that_take_their_time_keep_nobody_waiting(void **state)
{
    struct asking sleepers[PREPARE_WORKERS_MAX - 1];
    prepare_free(prepare);
    open_with((struct prepare_config){.share_ms = 1});
    for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++) {
        char word[16];
        snprintf(word, sizeof(word), "sleeps-%zu", i);
        struct prepare_spec spec = spec_of(word);
        ask(&spec, &sleepers[i]);
    }
    assert_true(run("good").has_form);
    for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
        assert_int_equal(sleepers[i].done, 0);
    fake_work_kill(&work); // and with them the sleepers' ends are told
    prepare_free(prepare);
    prepare = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
        assert_int_equal(sleepers[i].done, 1);
}

// At each call that changes the disk, the first included: the original serves, and the next attempt is
// as good as the first.
static void test_a_full_disk_leaves_the_model_as_it_is(void **state)
{
    int refused = 0;
    for (int nth = 1;; nth++) {
        char word[32];
        snprintf(word, sizeof(word), "good %d", nth); // a model of its own
        struct prepare_spec spec = spec_of(word);
        fault_arm(FAULT_ERROR_ON, nth, ENOSPC);
        struct prepare_result result = run_spec(&spec);
        bool is_reached = fault_disarm() >= nth;
        assert_true(result.has_model);
        if (!is_reached) {
            assert_true(result.has_form);
            break;
        }
        refused += !result.has_form;
        if (!result.has_form)
            assert_string_equal(result.reason, "the disk is too full to keep its prepared form");
        assert_true(run_spec(&spec).has_form);
    }
    assert_true(refused >= 3);
}

static const char *meminfo(uint64_t mib)
{
    static char path[5000];
    snprintf(path, sizeof(path), "%s/meminfo", scratch_path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, "MemTotal: 1 kB\nMemAvailable: %llu kB\n", (unsigned long long) mib << 10);
    fclose(file);
    return path;
}

static void test_workers_begin_when_the_machine_has_the_memory(void **state)
{
    struct asking first, second;
    prepare_free(prepare);
    open_with((struct prepare_config){.meminfo = meminfo(100), .time_limit_ms = 100});
    assert_string_equal(run("good").reason,
                        "the machine has too little memory available to prepare it");
    (void) meminfo(300); // for one worker, not for two
    struct prepare_spec sleeper = spec_of("sleeps"), spec = spec_of("good");
    ask(&sleeper, &first);
    ask(&spec, &second);
    assert_true(answer(&second).has_form);
    assert_int_equal(first.done, 1); // it had to end before
}

static struct prepare_result run_tree(const struct files *files, size_t count, const char *path)
{
    struct prepare_spec spec = {.models_set = set};
    spec.tree_id = make_tree(files, count);
    snprintf(spec.path, sizeof(spec.path), "%s", path);
    return run_spec(&spec);
}

static void test_which_file_is_the_model(void **state)
{
    const struct files one[] = {{"bootstrap", "b"}, {"a/b/Net.ONNX", "worker:good "}};
    const struct files two[] = {{"a.onnx", "worker:good "}, {"b.onnx", "worker:refused "}};
    const struct files none[] = {{"a/b/c/deep.onnx", "x"}, {".hidden.onnx", "x"}, {"x.txt", "x"}};
    const struct files form[] = {{"done.ort", "x"}};
    assert_string_equal(run_tree(one, 2, "").path, "a/b/Net.ONNX");
    assert_string_equal(run_tree(two, 2, "").reason, "there are several models");
    assert_string_equal(run_tree(two, 2, "a.onnx").path, "a.onnx");
    assert_string_equal(run_tree(none, 3, "").reason, "there is no model file");
    assert_string_equal(run_tree(none, 3, "gone.onnx").reason, "there is no model file");
    struct prepare_result result = run_tree(form, 1, "");
    assert_true(result.has_model && !result.has_form);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_form_is_stored_linked_and_remembered),
        TEST(test_a_worker_that_lies_gets_nothing_stored),
        TEST(test_a_worker_that_dies_is_told_by_its_cause),
        TEST(test_nobody_is_asked_for_what_no_worker_may_have),
        TEST(test_a_refusal_is_remembered_and_harmless_to_print),
        TEST(test_only_what_answers_alike_is_used),
        TEST(test_another_engine_has_forms_of_its_own),
        TEST(test_known_again_after_a_start_without_a_worker),
        TEST(test_a_model_that_is_too_large_for_a_form_is_only_measured),
        TEST(test_models_that_do_not_load_never_fill_the_table_for_others),
        TEST(test_one_worker_for_all_who_ask_at_once),
        TEST(test_a_worker_that_sleeps_or_dribbles_is_ended),
        TEST(test_models_that_take_their_time_keep_nobody_waiting),
        TEST(test_a_full_disk_leaves_the_model_as_it_is),
        TEST(test_workers_begin_when_the_machine_has_the_memory),
        TEST(test_which_file_is_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
