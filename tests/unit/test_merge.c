// SPDX-License-Identifier: MIT
//
// Trees laid over each other: who wins, what is shared, and what a kill at any call leaves.

#include "unit.h"

#include "../fault/shim.h"
#include "scratch.h"
#include "store/layout.h"
#include "store/merge.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct store *store;
static struct error err;

#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_ = (call);                                                                          \
        if (ok_ < 0)                                                                               \
            fail_msg("%s: %d %s", #call, ok_, err.text);                                           \
    } while (0)

static int set_up(void **state)
{
    error_clear(&err);
    return store_open(scratch_make(), &store, &err);
}

static int tear_down(void **state)
{
    fault_disarm();
    store_close(store);
    store = NULL;
    scratch_remove();
    return 0;
}

struct entry {
    const char *path;
    const char *content; // NULL: a directory; "-> x": a link
};

static void add(struct store_batch *batch, const struct entry *entry)
{
    struct str path = str_of(entry->path);
    struct store_file *file;
    if (!entry->content) {
        OK(store_batch_directory(batch, path, &err));
        return;
    }
    if (strncmp(entry->content, "-> ", 3) == 0) {
        OK(store_batch_link(batch, path, str_of(entry->content + 3), &err));
        return;
    }
    OK(store_file_new(store, &file, &err));
    OK(store_file_write(file, entry->content, strlen(entry->content), &err));
    OK(store_file_finish(file, &err));
    OK(store_batch_file(batch, path, file, false, 1700000000, &err));
}

static struct digest tree_of(const struct entry *entries, size_t count)
{
    struct digest tree;
    struct store_pin *pin;
    struct store_batch *batch = store_batch_new(store);
    assert_non_null(batch);
    for (size_t i = 0; i < count; i++)
        add(batch, &entries[i]);
    OK(store_batch_commit(batch, &tree, &pin, &err));
    store_batch_free(batch);
    store_unpin(pin);
    return tree;
}

// Where a path of a tree is.
static const char *place(const struct digest *tree, const char *path)
{
    static char whole[5000];
    char hex[DIGEST_HEX_SIZE];
    snprintf(whole, sizeof(whole), "%s/trees/%s/%s", scratch_path, digest_hex(tree, hex), path);
    return whole;
}

static void check(const struct digest *tree, const struct entry *entry)
{
    const char *path = place(tree, entry->path);
    struct stat stat;
    char content[64];
    if (lstat(path, &stat) < 0)
        fail_msg("'%s' is not there", entry->path);
    if (!entry->content) {
        assert_true(S_ISDIR(stat.st_mode));
        return;
    }
    if (strncmp(entry->content, "-> ", 3) == 0) {
        ssize_t size = readlink(path, content, sizeof(content));
        assert_int_equal(size, strlen(entry->content) - 3);
        assert_memory_equal(content, entry->content + 3, (size_t) size);
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t size = read(fd, content, sizeof(content));
    close(fd);
    assert_int_equal(size, strlen(entry->content));
    assert_memory_equal(content, entry->content, (size_t) size);
}

static const struct entry bottom[] = {
    {"both", "bottom"},      {"d/only", "bottom"}, {"d/both", "bottom"},    {"empty", NULL},
    {"was-file", "x"},       {"was-dir/x", "x"},   {"was-link", "-> both"}, {"lamina/evil", "x"},
    {"was-dir/deep/y", "y"}, {"__init__.py", ""},
};
static const struct entry top[] = {
    {"both", "top"},       {"d/both", "top"},     {"d/new", "top"},    {"was-file/x", "top"},
    {"was-dir", "a file"}, {"was-link/x", "top"}, {"link", "-> both"},
};

static struct digest merged(struct store_pin **ret_pin)
{
    struct digest trees[] = {tree_of(bottom, ARRAY_SIZE(bottom)), tree_of(top, ARRAY_SIZE(top))};
    struct digest tree;
    OK(store_tree_merge(store, trees, ARRAY_SIZE(trees), "lamina", &tree, ret_pin, &err));
    return tree;
}

// What a tree between puts in a directory's place hides the directory, whatever a later one puts there.
static void test_what_is_hidden_does_not_come_back(void **state)
{
    static const struct entry low[] = {{"a/x", "low"}, {"a/sub/y", "low"}, {"b/x", "low"}};
    static const struct entry middle[] = {{"a", "a file"}, {"b/y", "middle"}};
    static const struct entry high[] = {{"a/z", "high"}, {"a/sub/w", "high"}, {"b/z", "high"}};
    static const struct entry expected[] = {
        {"a/z", "high"}, {"a/sub/w", "high"}, {"b/x", "low"}, {"b/y", "middle"}, {"b/z", "high"},
    };
    struct digest trees[] = {tree_of(low, ARRAY_SIZE(low)), tree_of(middle, ARRAY_SIZE(middle)),
                             tree_of(high, ARRAY_SIZE(high))};
    struct store_pin *pin;
    struct digest tree;
    AUTO_MANIFEST struct manifest manifest = {0};
    OK(store_tree_merge(store, trees, ARRAY_SIZE(trees), NULL, &tree, &pin, &err));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        check(&tree, &expected[i]);
    OK(tree_manifest(store, &tree, &manifest, &err));
    assert_int_equal(manifest.count, ARRAY_SIZE(expected) + 3); // and a, a/sub, b
    store_unpin(pin);
}

static void test_files_are_seen_in_a_folder(void **state)
{
    static const struct entry with[] = {{"extensions/e", "x"}};
    static const struct entry link[] = {{"other/e", "x"}, {"extensions", "-> other"}};
    static const struct entry without[] = {{"extensions", NULL}, {"extensions/d/e", "x"}};
    struct digest tree = tree_of(with, ARRAY_SIZE(with));
    assert_int_equal(store_tree_has_files_in(store, &tree, STR("extensions"), &err), 1);
    tree = tree_of(link, ARRAY_SIZE(link));
    assert_int_equal(store_tree_has_files_in(store, &tree, STR("extensions"), &err), 1);
    tree = tree_of(without, ARRAY_SIZE(without));
    assert_int_equal(store_tree_has_files_in(store, &tree, STR("extensions"), &err), 0);
}

static void test_the_later_tree_wins(void **state)
{
    static const struct entry expected[] = {
        {"both", "top"},     {"d/only", "bottom"},  {"d/both", "top"},     {"d/new", "top"},
        {"empty", NULL},     {"was-file/x", "top"}, {"was-dir", "a file"}, {"was-link/x", "top"},
        {"link", "-> both"}, {"lamina", NULL},      {"__init__.py", ""},
    };
    struct store_pin *pin;
    struct digest tree = merged(&pin);
    AUTO_MANIFEST struct manifest manifest = {0};
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        check(&tree, &expected[i]);
    OK(tree_manifest(store, &tree, &manifest, &err));
    // What is expected, and the directories d, was-file and was-link: nothing else.
    assert_int_equal(manifest.count, ARRAY_SIZE(expected) + 3);
    OK(store_tree_verify(store, &tree, &err));
    store_unpin(pin);
}

static void test_files_are_the_same_inodes(void **state)
{
    struct store_pin *pin;
    struct digest under = tree_of(bottom, ARRAY_SIZE(bottom));
    struct digest tree = merged(&pin);
    struct stat one, other;
    assert_int_equal(lstat(place(&under, "d/only"), &one), 0);
    assert_int_equal(lstat(place(&tree, "d/only"), &other), 0);
    assert_int_equal(one.st_ino, other.st_ino);
    store_unpin(pin);
}

// "a.x" sorts behind what is in "a": the order of a manifest, which the merge builds on.
static void test_names_that_sort_around_a_slash(void **state)
{
    static const struct entry one[] = {{"a/b", "1"}, {"a-", "1"}, {"a.x", "1"}, {"a0", "1"}};
    static const struct entry two[] = {{"a", "a file"}};
    struct digest trees[] = {tree_of(one, ARRAY_SIZE(one)), tree_of(two, ARRAY_SIZE(two))};
    static const struct entry expected[] = {
        {"a", "a file"}, {"a-", "1"}, {"a.x", "1"}, {"a0", "1"}};
    struct digest tree;
    struct store_pin *pin;
    OK(store_tree_merge(store, trees, 2, NULL, &tree, &pin, &err));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        check(&tree, &expected[i]);
    store_unpin(pin);
}

static void test_an_unknown_tree(void **state)
{
    struct digest trees[] = {tree_of(bottom, 1), digest_of("x", 1)};
    struct digest tree;
    struct store_pin *pin;
    assert_int_equal(store_tree_merge(store, trees, 2, "lamina", &tree, &pin, &err), -ENOENT);
}

static void test_the_merged_tree_outlives_its_parts(void **state)
{
    struct store_pin *pin;
    struct digest tree = merged(&pin);
    struct store_live live = {.trees = &tree, .tree_count = 1};
    struct store_collected collected;
    store_unpin(pin);
    OK(store_collect(store, &live, &collected, &err));
    assert_int_equal(collected.trees, 2);
    check(&tree, &(struct entry){"d/only", "bottom"});
    OK(store_tree_verify(store, &tree, &err));
}

// ---- Faults

// Every manifest that is there is whole, its farm can be had, and all can go.
static void check_invariants(void)
{
    char path[5000];
    snprintf(path, sizeof(path), "%s/manifests", scratch_path);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *each; (each = readdir(dir));) {
        struct digest tree;
        bool is_rebuilt;
        if (each->d_name[0] == '.')
            continue;
        assert_int_equal(digest_parse_hex(str_of(each->d_name), &tree), 0);
        OK(store_tree_verify(store, &tree, &err));
        OK(store_tree_check(store, &tree, &is_rebuilt, &err));
    }
    closedir(dir);
}

static int merge_once(void)
{
    struct digest trees[] = {tree_of(bottom, ARRAY_SIZE(bottom)), tree_of(top, ARRAY_SIZE(top))};
    struct digest tree;
    struct store_pin *pin = NULL;
    int r = store_tree_merge(store, trees, 2, "lamina", &tree, &pin, &err);
    store_unpin(pin);
    return r;
}

// True if the step got to its end before the nth call.
static bool run_killed(int nth)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fault_arm(FAULT_KILL, nth, 0);
        int r = merge_once();
        fault_disarm();
        _exit(r < 0 ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        return false;
    assert_int_equal(WEXITSTATUS(status), 0);
    return true;
}

static void reopen(void)
{
    store_close(store);
    store = NULL;
    OK(store_open(scratch_path, &store, &err));
}

// The trees that are merged are there before: only the merge is struck.
static void test_killed_at_each_call(void **state)
{
    int steps = 0;
    for (bool is_done = false; !is_done; steps++) {
        is_done = run_killed(steps + 1);
        reopen();
        check_invariants();
        OK(merge_once());
        check_invariants();
        struct store_live live = {0};
        struct store_collected collected;
        OK(store_collect(store, &live, &collected, &err));
    }
    assert_true(steps > 60); // two trees and what they become
}

static int merge_two(const struct digest trees[2])
{
    struct digest tree;
    struct store_pin *pin = NULL;
    int r = store_tree_merge(store, trees, 2, "lamina", &tree, &pin, &err);
    store_unpin(pin);
    return r;
}

static void test_each_call_failing_once(void **state)
{
    struct digest trees[] = {tree_of(bottom, ARRAY_SIZE(bottom)), tree_of(top, ARRAY_SIZE(top))};
    struct store_live live = {.trees = trees, .tree_count = 2};
    int steps = 0;
    for (bool is_reached = true; is_reached; steps++) {
        struct store_collected collected;
        fault_arm(FAULT_ERROR, steps + 1, ENOSPC);
        int r = merge_two(trees);
        is_reached = fault_disarm() >= steps + 1;
        assert_true(r == 0 || r == -ENOSPC);
        check_invariants();
        OK(merge_two(trees));
        check_invariants();
        OK(store_collect(store, &live, &collected, &err)); // the merged tree goes, its parts stay
        assert_int_equal(collected.trees, 1);
    }
    assert_true(steps > 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(test_the_later_tree_wins),
        TEST(test_what_is_hidden_does_not_come_back),
        TEST(test_files_are_seen_in_a_folder),
        TEST(test_files_are_the_same_inodes),
        TEST(test_names_that_sort_around_a_slash),
        TEST(test_an_unknown_tree),
        TEST(test_the_merged_tree_outlives_its_parts),
        TEST(test_killed_at_each_call),
        TEST(test_each_call_failing_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
