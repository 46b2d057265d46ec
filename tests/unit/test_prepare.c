// SPDX-License-Identifier: MIT
//
// Preparations with lamina-spawn's part played by a process of the test: a model whose bytes are
// "worker:<word>" gets a worker that does as the word says, honest ones and such as were taken over.

#include "unit.h"

#include "base/fd.h"
#include "base/mem.h"
#include "deploy/prepare.h"
#include "deploy/prepare_job.h"
#include "scratch.h"
#include "wire/spawn.h"
#include "wire/work.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct loop *loop;
static struct store *store;
static struct prepare *prepare;
static int channel = -1; // our end
static int data_dir = -1;
static pid_t spawn_pid;
static const struct digest set = {{7}};

// ---- Workers

#define FORM "the prepared form"

static void put_frame(int fd, struct work_frame frame, const char *path, const void *data,
                      size_t size)
{
    frame.path_size = (uint32_t) strlen(path);
    frame.data_size = (uint32_t) size;
    (void) !write(fd, &frame, sizeof(frame));
    (void) !write(fd, path, frame.path_size);
    (void) !write(fd, data, size);
}

static void put_file(int fd, const char *path, const void *data, size_t size)
{
    put_frame(fd, (struct work_frame){.type = WORK_FILE, .total = size}, path, "", 0);
    put_frame(fd, (struct work_frame){.type = WORK_DATA}, "", data, size);
}

static void put_end(int fd, uint32_t count, uint64_t total)
{
    put_frame(fd, (struct work_frame){.type = WORK_END, .count = count, .total = total}, "", "", 0);
}

static void put_report(int fd, double off, double on)
{
    const struct work_prepared report = {
        .off = {.cold_us = 10, .warm_us = 10, .private_bytes = 10, .difference = off},
        .on = {.cold_us = 20, .warm_us = 20, .private_bytes = 20, .difference = on},
        .checked = 8,
    };
    put_file(fd, WORK_PREPARED_REPORT, &report, sizeof(report));
}

static void put_good(int fd, double off, double on)
{
    put_report(fd, off, on);
    put_file(fd, WORK_PREPARED_MODEL, FORM, sizeof(FORM));
    put_end(fd, 2, sizeof(FORM) + sizeof(struct work_prepared));
}

static void put_refusal(int fd, enum work_reason reason, const char *words)
{
    put_frame(fd, (struct work_frame){.type = WORK_REFUSED, .code = (uint16_t) reason}, words, "",
              0);
}

static int act(const char *word, int fd)
{
    const struct work_hello hello = {WORK_MAGIC, WORK_VERSION};
    (void) !write(fd, &hello, sizeof(hello));
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
        put_file(fd, WORK_PREPARED_MODEL, FORM, sizeof(FORM)), put_end(fd, 1, sizeof(FORM));
    else if (strcmp(word, "no-form") == 0)
        put_report(fd, 0, 0), put_end(fd, 1, sizeof(struct work_prepared));
    else if (strcmp(word, "two-forms") == 0)
        put_report(fd, 0, 0), put_file(fd, WORK_PREPARED_MODEL, FORM, sizeof(FORM)),
            put_file(fd, WORK_PREPARED_MODEL, FORM, sizeof(FORM)), put_end(fd, 3, 1);
    else if (strcmp(word, "short-report") == 0)
        put_file(fd, WORK_PREPARED_REPORT, "x", 1), put_end(fd, 1, 1);
    else if (strcmp(word, "huge") == 0)
        put_report(fd, 0, 0),
            put_frame(fd, (struct work_frame){.type = WORK_FILE, .total = UINT64_C(1) << 50},
                      WORK_PREPARED_MODEL, "", 0);
    else if (strcmp(word, "elsewhere") == 0)
        put_report(fd, 0, 0), put_file(fd, "../../../etc/passwd", "x", 1), put_end(fd, 2, 1);
    else if (strcmp(word, "a-link") == 0)
        put_frame(fd, (struct work_frame){.type = WORK_LINK}, "a", "/etc", 4), put_end(fd, 1, 0);
    else if (strcmp(word, "a-folder") == 0)
        put_frame(fd, (struct work_frame){.type = WORK_DIRECTORY}, "a", "", 0), put_end(fd, 1, 0);
    else if (strcmp(word, "half") == 0)
        put_report(fd, 0, 0), put_frame(fd, (struct work_frame){.type = WORK_FILE, .total = 100},
                                        WORK_PREPARED_MODEL, "", 0);
    else if (strcmp(word, "crash") == 0)
        put_good(fd, 0, 0), raise(SIGSEGV);
    else if (strcmp(word, "slow") == 0)
        raise(SIGXCPU);
    else if (strcmp(word, "status") == 0)
        return put_good(fd, 0, 0), 1;
    else if (strcmp(word, "rubbish") == 0)
        (void) !write(fd, "rubbish rubbish rubbish rubbish rubbish", 39);
    return 0;
}

static int run_worker(int input, int output, const struct spawn_work *work)
{
    char word[64] = "";
    signal(SIGSEGV, SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (work->kind != WORK_KIND_PREPARE || work->flags != SPAWN_WORK_ENGINE ||
        pread(input, word, sizeof(word) - 1, 0) <= 0 || strncmp(word, "worker:", 7) != 0)
        return 9;
    char *end = strchr(word, ' ');
    if (end)
        *end = '\0';
    return act(word + 7, output);
}

static void serve(int fd)
{
    struct spawn_work work;
    int fds[SPAWN_WORK_FDS];
    size_t count;
    signal(SIGPIPE, SIG_IGN);
    while (fd_receive_packet(fd, &work, sizeof(work), fds, SPAWN_WORK_FDS, &count) ==
           (ssize_t) sizeof(work)) {
        char word[64] = "";
        struct spawn_work_exit end = {
            .head = {SPAWN_VERSION, SPAWN_WORK_EXIT, sizeof(end), work.head.id}};
        (void) !pread(fds[SPAWN_WORK_INPUT], word, sizeof(word) - 1, 0);
        pid_t pid = fork();
        if (pid == 0)
            _exit(run_worker(fds[SPAWN_WORK_INPUT], fds[SPAWN_WORK_OUTPUT], &work));
        close(fds[SPAWN_WORK_INPUT]);
        close(fds[SPAWN_WORK_OUTPUT]);
        waitpid(pid, &end.status, 0);
        if (strncmp(word, "worker:memory", 13) == 0)
            end.flags = SPAWN_EXIT_OOM, end.status = SIGKILL;
        (void) !fd_send_packet(fds[SPAWN_WORK_STATUS], &end, sizeof(end), NULL, 0);
        close(fds[SPAWN_WORK_STATUS]);
    }
    _exit(0);
}

// ---- The bench

static void open_prepare(const char *library)
{
    const struct prepare_config config = {.loop = loop,
                                          .store = store,
                                          .work_fd = channel,
                                          .data_dir_fd = data_dir,
                                          .library = library};
    assert_int_equal(prepare_new(&config, &prepare, NULL), 0);
}

static int set_up(void **state)
{
    int pair[2];
    struct error err = {0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    spawn_pid = fork(); // before any thread
    if (spawn_pid == 0) {
        close(pair[0]);
        serve(pair[1]);
    }
    close(pair[1]);
    channel = pair[0];
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
    close(channel);
    close(data_dir);
    waitpid(spawn_pid, NULL, 0);
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

static struct prepare_result run(const char *word)
{
    struct prepare_spec spec = spec_of(word);
    struct prepare_result result;
    prepare_run(prepare, &spec, &result);
    return result;
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
                                        .work_fd = channel,
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
    kill(spawn_pid, SIGKILL); // nobody works any more
    waitpid(spawn_pid, NULL, 0);
    open_prepare("/proc/self/exe");
    struct prepare_result second = run("good");
    assert_true(second.has_form);
    assert_memory_equal(&first.form, &second.form, sizeof(first.form));
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
    kill(spawn_pid, SIGKILL); // nobody works any more: it is known
    waitpid(spawn_pid, NULL, 0);
    assert_true(run("good").has_form);
}

struct caller {
    pthread_t thread;
    struct prepare_spec spec;
    struct prepare_result result;
};

static void *caller_run(void *arg)
{
    struct caller *caller = arg;
    prepare_run(prepare, &caller->spec, &caller->result);
    return NULL;
}

static void test_one_worker_for_all_who_ask_at_once(void **state)
{
    struct caller callers[8];
    struct prepare_spec spec = spec_of("good");
    for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
        callers[i].spec = spec;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
        pthread_join(callers[i].thread, NULL);
        assert_true(callers[i].result.has_form);
    }
    assert_int_equal(count_in("prepared"), 1);
}

static struct prepare_result run_tree(const struct files *files, size_t count, const char *path)
{
    struct prepare_spec spec = {.models_set = set};
    struct prepare_result result;
    spec.tree_id = make_tree(files, count);
    snprintf(spec.path, sizeof(spec.path), "%s", path);
    prepare_run(prepare, &spec, &result);
    return result;
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

static void on_done(void *arg, const struct prepare_result *result)
{
    struct prepare_result *to = arg;
    *to = *result;
}

static void test_a_job_answers_on_the_loop(void **state)
{
    struct prepare_spec spec = spec_of("good");
    struct prepare_result result = {0};
    assert_int_equal(prepare_start(prepare, &spec, on_done, &result), 0);
    assert_false(result.has_model); // never from inside
    while (!result.has_model)
        loop_run_once(loop, true);
    assert_true(result.has_form);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_form_is_stored_linked_and_remembered, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_worker_that_lies_gets_nothing_stored, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_worker_that_dies_is_told_by_its_cause, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_is_asked_for_what_no_worker_may_have, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_refusal_is_remembered_and_harmless_to_print, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_only_what_answers_alike_is_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_engine_has_forms_of_its_own, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_known_again_after_a_start_without_a_worker, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_models_that_do_not_load_never_fill_the_table_for_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_worker_for_all_who_ask_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_which_file_is_the_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_job_answers_on_the_loop, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
