// SPDX-License-Identifier: MIT
//
// The store: what a batch leaves behind, whatever interrupts it.

#include "unit.h"

#include "../fault/shim.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "scratch.h"
#include "store/layout.h"
#include "store/stage.h"
#include "store/store.h"

#include <dirent.h>
#include <sys/wait.h>

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

static void reopen(void)
{
    store_close(store);
    store = NULL;
    OK(store_open(scratch_path, &store, &err));
}

// ---- Helpers

static struct store_file *staged(const char *content)
{
    struct store_file *file;
    OK(store_file_new(store, &file, &err));
    OK(store_file_write(file, content, strlen(content), &err));
    OK(store_file_finish(file, &err));
    return file;
}

static int add_file(struct store_batch *batch, const char *path, const char *content, bool is_x)
{
    struct store_file *file = NULL;
    int r = store_file_new(store, &file, &err);
    if (r == 0)
        r = store_file_write(file, content, strlen(content), &err);
    if (r == 0)
        r = store_file_finish(file, &err);
    if (r < 0) {
        store_file_free(file);
        return r;
    }
    return store_batch_file(batch, str_of(path), file, is_x, 1700000000, &err);
}

// Pieces of odd sizes around a block: what is read back is what was written.
static void test_a_large_file_is_written_in_blocks(void **state)
{
    static const size_t pieces[] = {1, 65535, 65537, (2 << 20) - 131073, 1, 5 << 20, 4095};
    AUTO_BUF struct buf all = BUF_INIT(16 << 20);
    AUTO_FREE char *found = malloc(16 << 20);
    struct store_file *file;
    OK(store_file_new(store, &file, &err));
    for (size_t i = 0, n = 0; i < sizeof(pieces) / sizeof(pieces[0]); n += pieces[i++]) {
        for (size_t at = 0; at < pieces[i]; at++)
            (void) buf_append_byte(&all, (char) ((n + at) * 2654435761U >> 24));
        assert_int_equal(buf_status(&all), 0);
        OK(store_file_write(file, all.data + n, pieces[i], &err));
    }
    OK(store_file_finish(file, &err));
    assert_int_equal(store_file_bytes(file), all.size);
    AUTO_FD int fd = store_file_open(file);
    assert_true(fd >= 0);
    assert_int_equal(fd_read_all(fd, found, 16 << 20), all.size);
    assert_memory_equal(found, all.data, all.size);
    struct digest expected = digest_of(all.data, all.size), digest = store_file_digest(file);
    assert_memory_equal(&digest, &expected, sizeof(expected));
    store_file_free(file);
}

// The tree of most tests: each kind of entry, a content twice, a blob.
static int add_sample(struct store_batch *batch)
{
    int r = add_file(batch, "bootstrap", "#!/bin/sh\n", true);
    if (r == 0)
        r = add_file(batch, "lib/a.py", "x = 1\n", false);
    if (r == 0)
        r = add_file(batch, "lib/b.txt", "same", false);
    if (r == 0)
        r = add_file(batch, "lib/deep/c.txt", "same", false);
    if (r == 0)
        r = add_file(batch, "lib/__init__.py", "", false);
    if (r == 0)
        r = store_batch_directory(batch, STR("empty"), &err);
    if (r == 0)
        r = store_batch_link(batch, STR("lib/link"), STR("../bootstrap"), &err);
    return r;
}

static int commit_sample(struct digest *ret_tree, struct store_pin **ret_pin)
{
    struct store_batch *batch = store_batch_new(store);
    struct store_file *zip = NULL;
    assert_non_null(batch);
    int r = add_sample(batch);
    if (r == 0)
        r = store_file_new(store, &zip, &err);
    if (r == 0)
        r = store_file_write(zip, "the zip", 7, &err);
    if (r == 0)
        r = store_file_finish(zip, &err);
    if (r == 0)
        r = store_batch_blob(batch, TAKE_PTR(zip), &err);
    if (r == 0)
        r = store_batch_commit(batch, ret_tree, ret_pin, &err);
    store_file_free(zip);
    store_batch_free(batch);
    return r;
}

static struct digest sample(void)
{
    struct digest tree;
    struct store_pin *pin;
    OK(commit_sample(&tree, &pin));
    store_unpin(pin);
    return tree;
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

static size_t count_objects(void)
{
    size_t count = 0;
    for (unsigned i = 0; i < 256; i++) {
        char folder[16];
        snprintf(folder, sizeof(folder), "objects/%02x", i);
        count += count_in(folder);
    }
    return count;
}

static void at(const char *path, struct stat *stat)
{
    char whole[5000];
    snprintf(whole, sizeof(whole), "%s/%s", scratch_path, path);
    assert_int_equal(lstat(whole, stat), 0);
}

static void in_tree(const struct digest *tree, const char *path, struct stat *stat)
{
    char whole[4000], hex[DIGEST_HEX_SIZE];
    snprintf(whole, sizeof(whole), "trees/%s/%s", digest_hex(tree, hex), path);
    at(whole, stat);
}

static struct store_collected collect(const struct digest *tree)
{
    struct store_live live = {tree, tree ? 1 : 0, NULL, 0};
    struct store_collected collected = {0};
    OK(store_collect(store, &live, &collected, &err));
    return collected;
}

// What must hold at any time between two calls: nothing half-made has a final name.
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
        struct stat stat;
        in_tree(&tree, ".", &stat);
        assert_int_equal(stat.st_mode, S_IFDIR | 0555); // sandboxes run as others
    }
    closedir(dir);
}

static void check_all_can_go(void)
{
    collect(NULL);
    assert_int_equal(count_in("manifests"), 0);
    assert_int_equal(count_in("trees"), 0);
    assert_int_equal(count_objects(), 0);
}

// ---- A batch that works

static void test_a_tree_looks_as_it_was_added(void **state)
{
    struct stat stat, other;
    struct digest tree = sample();
    in_tree(&tree, "bootstrap", &stat);
    assert_int_equal(stat.st_mode, S_IFREG | 0555);
    assert_int_equal(stat.st_nlink, 2);
    assert_int_equal(stat.st_mtime, 315532800);
    in_tree(&tree, "lib/a.py", &stat);
    assert_int_equal(stat.st_mode, S_IFREG | 0444);
    assert_int_equal(stat.st_mtime, 1700000000);
    in_tree(&tree, "lib/__init__.py", &stat);
    assert_int_equal(stat.st_size, 0);
    assert_int_equal(stat.st_nlink, 1); // made, not linked
    assert_int_equal(stat.st_mtime, 1700000000);
    in_tree(&tree, "lib/link", &stat);
    assert_true(S_ISLNK(stat.st_mode));
    in_tree(&tree, "empty", &stat);
    assert_int_equal(stat.st_mode, S_IFDIR | 0555);
    in_tree(&tree, ".", &stat);
    assert_int_equal(stat.st_mode, S_IFDIR | 0555);
    in_tree(&tree, "lib/b.txt", &stat);
    in_tree(&tree, "lib/deep/c.txt", &other);
    assert_int_equal(stat.st_ino, other.st_ino); // one content, one inode
    assert_int_equal(count_in("tmp"), 0);
    check_invariants();
}

static void test_the_same_tree_twice_is_stored_once(void **state)
{
    struct digest first = sample(), second = sample();
    assert_true(digest_equal(&first, &second));
    assert_int_equal(count_in("trees"), 1);
    assert_int_equal(count_objects(), 4);
    assert_int_equal(count_in("tmp"), 0);
}

static void test_two_trees_share_a_content(void **state)
{
    struct stat stat, other;
    struct digest tree = sample(), second;
    struct store_batch *batch = store_batch_new(store);
    struct store_pin *pin;
    OK(add_file(batch, "other-name", "same", false));
    OK(store_batch_commit(batch, &second, &pin, &err));
    store_batch_free(batch);
    store_unpin(pin);
    in_tree(&tree, "lib/b.txt", &stat);
    in_tree(&second, "other-name", &other);
    assert_int_equal(stat.st_ino, other.st_ino);
}

static void test_mtimes_of_python_sources_are_part_of_the_tree(void **state)
{
    struct digest trees[2];
    struct stat stats[2];
    for (int i = 0; i < 2; i++) {
        struct store_batch *batch = store_batch_new(store);
        struct store_pin *pin;
        OK(store_batch_file(batch, STR("a.py"), staged("x = 1\n"), false, 1700000000 + i, &err));
        OK(store_batch_file(batch, STR("a.txt"), staged("x = 1\n"), false, 1700000000 + i, &err));
        OK(store_batch_commit(batch, &trees[i], &pin, &err));
        store_batch_free(batch);
        store_unpin(pin);
        in_tree(&trees[i], "a.py", &stats[i]);
        assert_int_equal(stats[i].st_mtime, 1700000000 + i);
    }
    assert_false(digest_equal(&trees[0], &trees[1]));
    assert_int_not_equal(stats[0].st_ino, stats[1].st_ino);
    in_tree(&trees[0], "a.txt", &stats[0]);
    in_tree(&trees[1], "a.txt", &stats[1]);
    assert_int_equal(stats[0].st_ino, stats[1].st_ino);
}

static void test_bytes_count_each_content_once(void **state)
{
    uint64_t bytes;
    struct digest tree = sample();
    OK(store_tree_bytes(store, &tree, &bytes, &err));
    assert_int_equal(bytes, 10 + 6 + 4);
    OK(store_tree_drop_cache(store, &tree, &err));
}

static void test_the_blob_can_be_read(void **state)
{
    char text[16];
    uint64_t bytes;
    AUTO_FD int fd = -1;
    struct digest zip = digest_of("the zip", 7), none = digest_of("?", 1);
    sample();
    OK(store_blob_open(store, &zip, &fd, &bytes));
    assert_int_equal(bytes, 7);
    assert_int_equal(read(fd, text, sizeof(text)), 7);
    OK(store_blob_verify(store, &zip, &err));
    assert_int_equal(store_blob_open(store, &none, &fd, &bytes), -ENOENT);
}

static void test_a_package_waits_and_becomes_an_object(void **state)
{
    struct digest zip = digest_of("package", 7), tree;
    struct store_pin *pin;
    OK(store_package_put(store, staged("package"), &err));
    OK(store_package_put(store, staged("package"), &err)); // again: no harm
    assert_int_equal(count_in("packages"), 1);
    collect(NULL);
    assert_int_equal(count_in("packages"), 1); // it has a day
    OK(store_blob_verify(store, &zip, &err));
    struct store_batch *batch = store_batch_new(store);
    OK(store_batch_blob_known(batch, &zip, &err));
    OK(add_file(batch, "bootstrap", "x", true));
    OK(store_batch_commit(batch, &tree, &pin, &err));
    store_batch_free(batch);
    collect(NULL); // pinned: object and tree stay, the package's own name goes
    assert_int_equal(count_in("packages"), 0);
    assert_int_equal(count_in("trees"), 1);
    OK(store_blob_verify(store, &zip, &err));
    store_unpin(pin);
    check_all_can_go();
    batch = store_batch_new(store);
    assert_int_equal(store_batch_blob_known(batch, &zip, &err), -ENOENT);
    store_batch_free(batch);
}

// ---- What a tree does not take

static void test_bad_paths_are_refused(void **state)
{
    static char long_name[300], long_path[4200], deep[600];
    memset(long_name, 'n', 256);
    for (size_t i = 0; i < 4100; i++)
        long_path[i] = i % 100 == 99 ? '/' : 'p';
    for (size_t i = 0; i < 129; i++)
        memcpy(deep + 2 * i, "d/", 3);
    deep[257] = 0;
    const struct {
        const char *path;
        int code;
    } table[] = {
        {"", -EINVAL},
        {"/a", -EINVAL},
        {"a/", -EINVAL},
        {"a//b", -EINVAL},
        {".", -EINVAL},
        {"..", -EINVAL},
        {"a/../b", -EINVAL},
        {"a/./b", -EINVAL},
        {"\xff", -EINVAL},
        {long_name, -ENAMETOOLONG},
        {long_path, -ENAMETOOLONG},
        {deep, -ENAMETOOLONG},
    };
    struct store_batch *batch = store_batch_new(store);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(store_batch_directory(batch, str_of(table[i].path), &err), table[i].code);
    assert_int_equal(store_batch_directory(batch, (struct str){"a\0b", 3}, &err), -EINVAL);
    store_batch_free(batch);
}

static void test_a_path_has_one_entry(void **state)
{
    struct store_batch *batch = store_batch_new(store);
    OK(add_file(batch, "a", "x", false));
    assert_int_equal(add_file(batch, "a", "x", false), -EEXIST);
    assert_int_equal(add_file(batch, "a/b", "x", false), -EEXIST);
    assert_int_equal(store_batch_directory(batch, STR("a"), &err), -EEXIST);
    OK(store_batch_directory(batch, STR("d/e"), &err));
    OK(store_batch_directory(batch, STR("d"), &err));
    assert_int_equal(add_file(batch, "d", "x", false), -EEXIST);
    assert_int_equal(store_batch_link(batch, STR("d/e"), STR("x"), &err), -EEXIST);
    store_batch_free(batch);
    assert_int_equal(count_in("tmp"), 0);
}

static void test_links_out_are_refused(void **state)
{
    struct store_batch *batch = store_batch_new(store);
    assert_int_equal(store_batch_link(batch, STR("a"), STR("/etc/passwd"), &err), -EXDEV);
    assert_int_equal(store_batch_link(batch, STR("a"), STR("../x"), &err), -EXDEV);
    assert_int_equal(store_batch_link(batch, STR("a"), STR("b/../../x"), &err), -EXDEV);
    assert_int_equal(store_batch_link(batch, STR("a"), STR(""), &err), -EXDEV);
    OK(store_batch_link(batch, STR("d/a"), STR("../x"), &err));
    store_batch_free(batch);
}

static void test_implied_directories_count_too(void **state)
{
    // 128 new directories a path: the limit is reached long before 200,000 paths.
    struct store_batch *batch = store_batch_new(store);
    int r = 0;
    for (int i = 0; r == 0 && i < 2000; i++) {
        char path[600];
        int size = snprintf(path, sizeof(path), "%d", i);
        for (int depth = 1; depth < 128; depth++)
            size += snprintf(path + size, sizeof(path) - (size_t) size, "/d");
        r = store_batch_directory(batch, str_of_data(path, (size_t) size), &err);
    }
    assert_int_equal(r, -E2BIG);
    store_batch_free(batch);
}

// ---- Damage

static void damage(const char *path, const char *content)
{
    char whole[5000];
    snprintf(whole, sizeof(whole), "%s/%s", scratch_path, path);
    assert_int_equal(chmod(whole, 0644), 0);
    AUTO_FD int fd = open(whole, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t) strlen(content));
    assert_int_equal(fchmod(fd, 0444), 0);
}

static void object_path(const char *content, const char *suffix, char path[200])
{
    struct digest digest = digest_of(content, strlen(content));
    char hex[DIGEST_HEX_SIZE];
    digest_hex(&digest, hex);
    snprintf(path, 200, "objects/%.2s/%s%s", hex, hex, suffix);
}

static void test_a_missing_farm_is_rebuilt(void **state)
{
    struct digest tree = sample();
    char path[5000], hex[DIGEST_HEX_SIZE];
    bool is_rebuilt;
    snprintf(path, sizeof(path), "%s/trees/%s", scratch_path, digest_hex(&tree, hex));
    OK(store_tree_check(store, &tree, &is_rebuilt, &err));
    assert_false(is_rebuilt);
    assert_int_equal(fs_remove_tree(AT_FDCWD, path), 0);
    OK(store_tree_check(store, &tree, &is_rebuilt, &err));
    assert_true(is_rebuilt);
    check_invariants();
    assert_int_equal(count_in("tmp"), 0);
}

static void test_a_farm_without_a_file_is_rebuilt(void **state)
{
    struct digest tree = sample();
    char path[5000], hex[DIGEST_HEX_SIZE];
    bool is_rebuilt;
    snprintf(path, sizeof(path), "%s/trees/%s/lib/deep", scratch_path, digest_hex(&tree, hex));
    assert_int_equal(fs_remove_tree(AT_FDCWD, path), 0);
    OK(store_tree_check(store, &tree, &is_rebuilt, &err));
    assert_true(is_rebuilt);
    OK(store_tree_check(store, &tree, &is_rebuilt, &err));
    assert_false(is_rebuilt);
}

static void test_a_farm_that_was_not_closed_is_made_again_by_the_next_deployment(void **state)
{
    struct digest tree = sample();
    char path[5000], hex[DIGEST_HEX_SIZE];
    struct stat stat;
    snprintf(path, sizeof(path), "%s/trees/%s", scratch_path, digest_hex(&tree, hex));
    assert_int_equal(chmod(path, 0700), 0); // killed before its last step
    sample();
    in_tree(&tree, ".", &stat);
    assert_int_equal(stat.st_mode, S_IFDIR | 0555);
    assert_int_equal(count_in("tmp"), 0);
}

static void test_a_lost_object_comes_back_from_the_farm(void **state)
{
    struct digest tree = sample();
    char path[200], whole[5000];
    bool is_rebuilt;
    object_path("same", "", path);
    snprintf(whole, sizeof(whole), "%s/%s", scratch_path, path);
    assert_int_equal(unlink(whole), 0);
    assert_int_equal(store_tree_verify(store, &tree, &err), -EUCLEAN);
    OK(store_tree_check(store, &tree, &is_rebuilt, &err));
    assert_false(is_rebuilt);
    OK(store_tree_verify(store, &tree, &err));
}

static void test_an_object_lost_with_its_farm_is_named(void **state)
{
    struct digest tree = sample();
    char path[200], whole[5000], hex[DIGEST_HEX_SIZE];
    bool is_rebuilt;
    object_path("same", "", path);
    snprintf(whole, sizeof(whole), "%s/%s", scratch_path, path);
    assert_int_equal(unlink(whole), 0);
    snprintf(whole, sizeof(whole), "%s/trees/%s", scratch_path, digest_hex(&tree, hex));
    assert_int_equal(fs_remove_tree(AT_FDCWD, whole), 0);
    assert_int_equal(store_tree_check(store, &tree, &is_rebuilt, &err), -EUCLEAN);
    assert_non_null(strstr(err.text, path + strlen("objects/")));
    assert_int_equal(count_in("tmp"), 0);
    sample(); // the package deployed again repairs it
    OK(store_tree_check(store, &tree, &is_rebuilt, &err));
    OK(store_tree_verify(store, &tree, &err));
}

static void test_a_damaged_object_is_found_and_repaired_by_deploying_again(void **state)
{
    struct digest tree = sample();
    struct stat before, after;
    char path[200];
    bool is_rebuilt;
    object_path("same", "", path);
    in_tree(&tree, "lib/b.txt", &before);
    damage(path, "sane"); // same size
    assert_int_equal(store_tree_verify(store, &tree, &err), -EUCLEAN);
    damage(path, "shorter or longer");
    assert_int_equal(store_tree_check(store, &tree, &is_rebuilt, &err), -EUCLEAN);
    sample();
    in_tree(&tree, "lib/b.txt", &after);
    assert_int_not_equal(before.st_ino, after.st_ino);
    OK(store_tree_check(store, &tree, &is_rebuilt, &err));
    OK(store_tree_verify(store, &tree, &err));
}

static void test_a_damaged_manifest_is_found_and_keeps_all_objects(void **state)
{
    struct digest tree = sample();
    char path[200], hex[DIGEST_HEX_SIZE];
    struct store_live live = {&tree, 1, NULL, 0};
    struct store_collected collected;
    bool is_rebuilt;
    snprintf(path, sizeof(path), "manifests/%s", digest_hex(&tree, hex));
    damage(path, "lamina-tree 1\nend 0\n");
    assert_int_equal(store_tree_check(store, &tree, &is_rebuilt, &err), -EUCLEAN);
    assert_int_equal(store_collect(store, &live, &collected, &err), -EUCLEAN);
    assert_int_equal(count_objects(), 4);
    sample();
    OK(store_tree_check(store, &tree, &is_rebuilt, &err));
}

// ---- Links

static void test_too_many_links_give_a_fresh_copy(void **state)
{
    struct stat before, after;
    char path[200];
    struct digest tree = sample(), second;
    struct store_pin *pin;
    bool is_rebuilt;
    object_path("same", "", path);
    at(path, &before);
    struct store_batch *batch = store_batch_new(store);
    OK(add_file(batch, "n", "same", false));
    // The calls of this commit up to the link: found by counting, not known here.
    fault_arm(FAULT_COUNT, 0, 0);
    OK(store_batch_commit(batch, &second, &pin, &err));
    fault_disarm();
    store_batch_free(batch);
    store_unpin(pin);
    int nth = 1;
    for (const char *call = fault_calls(); strncmp(call, "linkat", 6) != 0; nth++)
        call = strchr(call, ' ') + 1;
    collect(&tree);
    batch = store_batch_new(store);
    OK(add_file(batch, "n", "same", false));
    fault_arm(FAULT_ERROR, nth, EMLINK);
    OK(store_batch_commit(batch, &second, &pin, &err));
    fault_disarm();
    store_batch_free(batch);
    store_unpin(pin);
    at(path, &after);
    assert_int_not_equal(before.st_ino, after.st_ino);
    assert_int_equal(after.st_mode, S_IFREG | 0444);
    in_tree(&tree, "lib/b.txt", &after);
    assert_int_equal(before.st_ino, after.st_ino); // the older farm keeps its inode
    OK(store_tree_verify(store, &second, &err));
    OK(store_tree_check(store, &second, &is_rebuilt, &err));
    assert_false(is_rebuilt);
}

// ---- Collection

static void test_collection_keeps_what_is_live(void **state)
{
    struct digest tree = sample(), second;
    struct store_pin *pin;
    struct store_batch *batch = store_batch_new(store);
    OK(add_file(batch, "n", "same", false));
    OK(add_file(batch, "o", "only here", false));
    OK(store_batch_commit(batch, &second, &pin, &err));
    store_batch_free(batch);
    store_unpin(pin);
    struct store_collected collected = collect(&tree);
    assert_int_equal(collected.trees, 1);
    assert_int_equal(collected.objects, 2); // "only here" and the zip, which nobody named
    OK(store_tree_verify(store, &tree, &err));
    assert_int_equal(store_tree_verify(store, &second, &err), -ENOENT);
    check_all_can_go();
}

// ---- Contents that buckets name

static struct digest named;

static size_t asked_under_the_lock;

static int is_named(void *arg, const struct digest *digest)
{
    if (pthread_rwlock_tryrdlock(&store->publication) == 0)
        pthread_rwlock_unlock(&store->publication);
    else
        asked_under_the_lock++;
    return digest_equal(&named, digest) ? 1 : *(int *) arg;
}

static struct digest publish(const char *content)
{
    char name[STORE_STAGE_NAME_SIZE];
    struct digest digest = digest_of(content, strlen(content));
    struct store_pin *pin;
    int fd;
    OK(store_stage_new(store, name, &fd, &err));
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    OK(store_stage_publish(store, STORE_TMP, name, &digest, strlen(content), &pin, &err));
    store_unpin(pin);
    return digest;
}

static bool is_there(const struct digest *digest)
{
    uint64_t bytes;
    int fd;
    if (store_blob_open(store, digest, &fd, &bytes) < 0)
        return false;
    close(fd);
    return true;
}

static void test_collection_keeps_what_buckets_name(void **state)
{
    struct store_collected collected;
    int otherwise = 0;
    struct store_live live = {.is_named = is_named, .is_named_arg = &otherwise};
    struct digest gone = publish("nobody's"), again = publish("a bucket's");
    named = publish("a bucket's"); // there already: one object
    assert_true(digest_equal(&again, &named));
    OK(store_collect(store, &live, &collected, &err));
    assert_int_equal(collected.objects, 1);
    assert_true(is_there(&named) && !is_there(&gone));
    // Whatever cannot be told is kept.
    otherwise = -EIO;
    gone = publish("nobody's");
    OK(store_collect(store, &live, &collected, &err));
    assert_true(is_there(&gone));
    // A pin keeps what is there, and says so when it is not.
    struct store_pin *pin;
    otherwise = 0;
    OK(store_stage_pin(store, &gone, &pin));
    OK(store_collect(store, &live, &collected, &err));
    assert_true(is_there(&gone));
    store_unpin(pin);
    OK(store_collect(store, &live, &collected, &err));
    assert_int_equal(store_stage_pin(store, &gone, &pin), -ENOENT);
    named = gone;
    check_all_can_go();
}

// Nobody can publish while the lock is held: a million named contents must not be asked for under it.
static void test_collection_asks_for_named_contents_while_others_publish(void **state)
{
    struct store_collected collected;
    int otherwise = 1; // all have a name
    struct store_live live = {.is_named = is_named, .is_named_arg = &otherwise};
    (void) publish("one");
    (void) publish("two");
    asked_under_the_lock = 0;
    OK(store_collect(store, &live, &collected, &err));
    assert_int_equal(collected.objects, 0);
    assert_int_equal(asked_under_the_lock, 0);
    otherwise = 0;
    OK(store_collect(store, &live, &collected, &err));
    assert_int_equal(collected.objects, 2);
    assert_int_equal(asked_under_the_lock, 2); // again: a name may have come in between
}

static void test_a_pin_protects_until_it_is_let_go(void **state)
{
    struct digest tree, *garbage;
    struct store_pin *pin;
    struct store_live live = {0};
    size_t count;
    OK(commit_sample(&tree, &pin));
    OK(store_garbage_trees(store, &live, &garbage, &count, &err));
    assert_int_equal(count, 0);
    free(garbage);
    collect(NULL);
    OK(store_tree_verify(store, &tree, &err));
    assert_int_equal(count_objects(), 4);
    store_unpin(pin);
    OK(store_garbage_trees(store, &live, &garbage, &count, &err));
    assert_int_equal(count, 1);
    assert_true(digest_equal(&garbage[0], &tree));
    free(garbage);
    check_all_can_go();
}

static void test_a_pin_let_go_during_a_collection_still_protects(void **state)
{
    struct digest tree;
    struct store_pin *pin;
    OK(commit_sample(&tree, &pin));
    store_collect_begin(store);
    store_unpin(pin); // its version was committed after the caller noted what is live
    collect(NULL);
    OK(store_tree_verify(store, &tree, &err));
    store_collect_end(store);
    check_all_can_go();
}

// ---- Interrupted

static void test_contents_are_synced_before_names_and_names_before_the_end(void **state)
{
    struct digest tree;
    struct store_pin *pin;
    fault_arm(FAULT_COUNT, 0, 0);
    OK(commit_sample(&tree, &pin));
    fault_disarm();
    store_unpin(pin);
    const char *first_sync = strstr(fault_calls(), "syncfs ");
    assert_non_null(first_sync);
    const char *rename = strstr(fault_calls(), "rename"), *last_write = NULL;
    assert_true(first_sync < rename);
    for (const char *at_call = fault_calls(); (at_call = strstr(at_call, "write ")); at_call++)
        last_write = at_call;
    assert_true(last_write < first_sync);
    const char *second_sync = strstr(first_sync + 1, "syncfs ");
    assert_non_null(second_sync);
    assert_string_equal(second_sync, "syncfs ");
}

// Runs `step` in a process that is killed at its nth call. True if it got to the end first.
static bool run_killed(int (*step)(void), int nth)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fault_arm(FAULT_KILL, nth, 0);
        int r = step();
        fault_disarm();
        _exit(r < 0 ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return true;
    }
    assert_int_equal(WTERMSIG(status), SIGKILL);
    return false;
}

static int step_commit(void)
{
    struct digest tree;
    struct store_pin *pin;
    return commit_sample(&tree, &pin);
}

static int step_collect(void)
{
    struct store_live live = {0};
    struct store_collected collected;
    return store_collect(store, &live, &collected, &err);
}

static int step_open(void)
{
    store_close(store);
    store = NULL;
    return store_open(scratch_path, &store, &err);
}

static void test_killed_at_each_call_of_a_commit(void **state)
{
    int steps = 0;
    for (bool is_done = false; !is_done; steps++) {
        is_done = run_killed(step_commit, steps + 1);
        reopen();
        assert_int_equal(count_in("tmp"), 0);
        check_invariants();
        sample(); // the same again works
        check_invariants();
        check_all_can_go();
    }
    assert_true(steps > 30);
}

static void test_killed_at_each_call_of_a_collection(void **state)
{
    int steps = 0;
    for (bool is_done = false; !is_done; steps++) {
        sample();
        is_done = run_killed(step_collect, steps + 1);
        reopen();
        check_invariants();
        check_all_can_go();
    }
    assert_true(steps > 10);
}

static void test_killed_at_each_call_of_an_opening(void **state)
{
    bool is_done = false;
    for (int steps = 0; !is_done && steps < 2000; steps++) {
        struct store_file *file = staged("left over");
        store_file_disown(file); // as a process does that ends without a word
        store_file_free(file);
        // The lock is this process's: the child must find it free.
        store_close(store);
        store = NULL;
        is_done = run_killed(step_open, steps + 1);
        OK(store_open(scratch_path, &store, &err));
        assert_int_equal(count_in("tmp"), 0);
        steps += steps > 8 ? 50 : 0; // 256 of them are mkdirs of the fan-out
    }
    assert_true(is_done);
    sample();
}

// Every call of a commit fails in turn: with one error, or for good as on a full disk.
static void fail_each_call(enum fault_action action)
{
    int steps = 0;
    for (int r = -1; r < 0; steps++) {
        struct digest tree;
        struct store_pin *pin = NULL;
        fault_arm(action, steps + 1, ENOSPC);
        r = commit_sample(&tree, &pin);
        bool is_reached = fault_disarm() >= steps + 1;
        if (r == 0)
            store_unpin(pin);
        else
            assert_int_equal(r, -ENOSPC);
        if (!is_reached)
            assert_int_equal(r, 0);
        else if (r == 0)
            r = -1; // a call whose failure is not an error: go on to the next
        reopen();
        assert_int_equal(count_in("tmp"), 0);
        check_invariants();
        sample();
        check_invariants();
        check_all_can_go();
    }
    assert_true(steps > 30);
}

static void test_each_call_of_a_commit_failing_once(void **state)
{
    fail_each_call(FAULT_ERROR);
}

static void test_each_call_of_a_commit_failing_from_then_on(void **state)
{
    fail_each_call(FAULT_ERROR_ON);
}

static void test_a_failed_batch_leaves_nothing_staged(void **state)
{
    struct digest tree;
    struct store_pin *pin;
    fault_arm(FAULT_ERROR, 12, ENOSPC);
    assert_int_equal(commit_sample(&tree, &pin), -ENOSPC);
    fault_disarm();
    assert_int_equal(count_in("tmp"), 0); // without opening again
}

// ---- One process at a time

static void test_a_second_store_is_refused_with_the_pid(void **state)
{
    struct store *second = NULL;
    char pid[32];
    snprintf(pid, sizeof(pid), "process %ld", (long) getpid());
    assert_int_equal(store_open(scratch_path, &second, &err), -EBUSY);
    assert_null(second);
    assert_non_null(strstr(err.text, pid));
}

static void test_a_directory_that_is_not_there(void **state)
{
    struct store *second = NULL;
    assert_int_equal(store_open("/nonexistent/lamina", &second, &err), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(test_a_large_file_is_written_in_blocks),
        TEST(test_a_tree_looks_as_it_was_added),
        TEST(test_the_same_tree_twice_is_stored_once),
        TEST(test_two_trees_share_a_content),
        TEST(test_mtimes_of_python_sources_are_part_of_the_tree),
        TEST(test_bytes_count_each_content_once),
        TEST(test_the_blob_can_be_read),
        TEST(test_a_package_waits_and_becomes_an_object),
        TEST(test_bad_paths_are_refused),
        TEST(test_a_path_has_one_entry),
        TEST(test_links_out_are_refused),
        TEST(test_implied_directories_count_too),
        TEST(test_a_missing_farm_is_rebuilt),
        TEST(test_a_farm_without_a_file_is_rebuilt),
        TEST(test_a_farm_that_was_not_closed_is_made_again_by_the_next_deployment),
        TEST(test_a_lost_object_comes_back_from_the_farm),
        TEST(test_an_object_lost_with_its_farm_is_named),
        TEST(test_a_damaged_object_is_found_and_repaired_by_deploying_again),
        TEST(test_a_damaged_manifest_is_found_and_keeps_all_objects),
        TEST(test_too_many_links_give_a_fresh_copy),
        TEST(test_collection_keeps_what_is_live),
        TEST(test_collection_keeps_what_buckets_name),
        TEST(test_collection_asks_for_named_contents_while_others_publish),
        TEST(test_a_pin_protects_until_it_is_let_go),
        TEST(test_a_pin_let_go_during_a_collection_still_protects),
        TEST(test_contents_are_synced_before_names_and_names_before_the_end),
        TEST(test_killed_at_each_call_of_a_commit),
        TEST(test_killed_at_each_call_of_a_collection),
        TEST(test_killed_at_each_call_of_an_opening),
        TEST(test_each_call_of_a_commit_failing_once),
        TEST(test_each_call_of_a_commit_failing_from_then_on),
        TEST(test_a_failed_batch_leaves_nothing_staged),
        TEST(test_a_second_store_is_refused_with_the_pid),
        TEST(test_a_directory_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
