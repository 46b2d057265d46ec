// SPDX-License-Identifier: MIT
//
// The index of objects: lists against a plain model of them, versions, conditions, uploads, and
// what a failing disk leaves.

#include "unit.h"

#include "../fault/shim.h"
#include "base/buf.h"
#include "meta/objects.h"
#include "scratch.h"

#include <pthread.h>
#include <sys/wait.h>

static struct objects *objects;
static struct error err;
static int64_t bucket;

static void reopen(void)
{
    objects_close(objects);
    objects = NULL;
    if (objects_open(scratch_path, &objects, &err) < 0)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    struct objects_bucket found;
    error_clear(&err);
    scratch_make();
    reopen();
    assert_int_equal(objects_bucket_create(objects, STR("models"), 5, &err), 0);
    assert_int_equal(objects_bucket_get(objects, STR("models"), &found, &err), 0);
    bucket = found.id;
    return 0;
}

static int tear_down(void **state)
{
    fault_disarm();
    objects_close(objects);
    objects = NULL;
    scratch_remove();
    return 0;
}

static struct objects_version version_of(struct str key, const char *content)
{
    return (struct objects_version){
        .key = key,
        .size = strlen(content),
        .digest = digest_of(content, strlen(content)),
        .etag = str_of(content),
        .modified_ms = 1000,
        .headers = STR("content-type:x\n"),
    };
}

static int put_as(struct str key, const char *content, const struct objects_condition *condition,
                  char name[OBJECTS_VERSION_SIZE])
{
    struct objects_version version = version_of(key, content);
    struct objects_added added;
    int r = objects_put(objects, bucket, &version, condition, &added, &err);
    if (r == 0)
        memcpy(name, added.name, sizeof(added.name));
    return r;
}

static int put(const char *key, const char *content)
{
    char name[OBJECTS_VERSION_SIZE];
    return put_as(str_of(key), content, NULL, name);
}

static int delete_as(struct str key, struct str name, struct objects_deletion *ret_deletion)
{
    *ret_deletion = (struct objects_deletion){.key = key, .name = name};
    return objects_delete(objects, bucket, ret_deletion, 1, &err);
}

static void assert_content(const char *key, struct str name, const char *content)
{
    struct objects_version version;
    int r = objects_get(objects, bucket, str_of(key), name, &version, &err);
    if (!content) {
        assert_int_equal(r, -ENOENT);
        return;
    }
    assert_int_equal(r, 0);
    assert_str_equal(version.etag, content);
    objects_version_done(&version);
}

// ---- Buckets

static int count_bucket(void *arg, const struct objects_bucket *each)
{
    ++*(int *) arg;
    return 0;
}

static void test_buckets(void **state)
{
    struct objects_bucket found;
    int count = 0;
    assert_int_equal(objects_bucket_create(objects, STR("models"), 5, &err), -EEXIST);
    assert_int_equal(objects_bucket_create(objects, STR("a"), 6, &err), 0);
    assert_int_equal(objects_bucket_each(objects, count_bucket, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_int_equal(put("k", "1"), 0);
    assert_int_equal(objects_bucket_delete(objects, bucket, &err), -ENOTEMPTY);
    struct objects_deletion deletion;
    assert_int_equal(delete_as(STR("k"), (struct str){0}, &deletion), 0);
    assert_true(deletion.has_gone);
    assert_int_equal(objects_bucket_delete(objects, bucket, &err), 0);
    assert_int_equal(objects_bucket_delete(objects, bucket, &err), -ENOENT);
    assert_int_equal(put("k", "1"), -ENODEV);
    assert_int_equal(objects_bucket_get(objects, STR("models"), &found, &err), -ENOENT);
    // The name again is another bucket.
    assert_int_equal(objects_bucket_create(objects, STR("models"), 7, &err), 0);
    assert_int_equal(objects_bucket_get(objects, STR("models"), &found, &err), 0);
    assert_int_not_equal(found.id, bucket);
}

// ---- Lists, against a model: all keys sorted, and AWS's rules applied to them one by one

#define KEYS_MAX 200

struct seen {
    struct str items[KEYS_MAX]; // a key, or a prefix
    bool is_prefix[KEYS_MAX];
    size_t count;
    char text[KEYS_MAX * 16];
    size_t used;
};

static void see(struct seen *seen, struct str item, bool is_prefix)
{
    char *copy = seen->text + seen->used;
    assert_true(seen->used + item.size < sizeof(seen->text));
    memcpy(copy, item.data, item.size);
    seen->used += item.size;
    seen->items[seen->count] = str_of_data(copy, item.size);
    seen->is_prefix[seen->count++] = is_prefix;
}

static int see_version(void *arg, const struct objects_version *version)
{
    see(arg, version->key, false);
    return 0;
}

static int see_prefix(void *arg, struct str prefix)
{
    see(arg, prefix, true);
    return 0;
}

static struct str keys[KEYS_MAX];
static size_t key_count;

static int compare_keys(const void *left, const void *right)
{
    return str_compare(*(const struct str *) left, *(const struct str *) right);
}

static struct str common_of(struct str key, struct str prefix, struct str delimiter)
{
    const char *found =
        delimiter.size && key.size > prefix.size
            ? memmem(key.data + prefix.size, key.size - prefix.size, delimiter.data, delimiter.size)
            : NULL;
    return found ? str_part(key, 0, (size_t) (found - key.data) + delimiter.size) : (struct str){0};
}

static void model_list(const struct objects_page *page, struct seen *seen)
{
    struct str last = {0};
    seen->count = seen->used = 0;
    for (size_t i = 0; i < key_count; i++) {
        if (!str_has_prefix(keys[i], page->prefix))
            continue;
        struct str common = common_of(keys[i], page->prefix, page->delimiter);
        if (common.data) {
            // A prefix that is the marker itself has been listed; one that only begins it has not.
            if ((last.data && str_equal(common, last)) || str_equal(common, page->after) ||
                str_compare(keys[i], page->after) <= 0)
                continue;
            last = common;
            see(seen, common, true);
        } else if (str_compare(keys[i], page->after) > 0 || page->after.size == 0) {
            see(seen, keys[i], false);
        }
    }
}

static void assert_page(const struct objects_page *page)
{
    static struct seen wanted, seen;
    struct objects_visitor visitor = {see_version, see_prefix, &seen};
    seen.count = seen.used = 0;
    model_list(page, &wanted);
    int r = objects_list(objects, page, &visitor, &err);
    size_t count = wanted.count < page->max ? wanted.count : page->max;
    assert_int_equal(r, wanted.count > page->max);
    assert_int_equal(seen.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(seen.is_prefix[i], wanted.is_prefix[i]);
        assert_true(str_equal(seen.items[i], wanted.items[i]));
    }
}

static void add_key(struct str key)
{
    char name[OBJECTS_VERSION_SIZE];
    assert_int_equal(put_as(key, "x", NULL, name), 0);
    keys[key_count++] = key;
}

static void make_keys(void)
{
    static const char *const texts[] = {
        "a",     "a/",   "a/1",   "a/2",    "a//",       "a//b",    "a/b/c", "a/b/d",
        "a0",    "b",    "b/",    "b/x",    "c/d/",      "c/d/e",   "/",     "//",
        "/x",    "ab",   "ab/c",  "ab/d",   "~",         "\x7f",    " ",     "\x01/2",
        "a\xff", "\xff", "\xff/", "\xff/1", "\xff\xff/", "z--y--x", "z--y",  "z-",
    };
    key_count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        add_key(str_of(texts[i]));
    add_key(str_of_data("nul\0/key", 8));
    qsort(keys, key_count, sizeof(keys[0]), compare_keys);
}

static void test_every_list(void **state)
{
    static const char *const prefixes[] = {"",     "a",     "a/", "a//", "c/d",
                                           "\xff", "\xff/", "z-", "no"};
    static const char *const delimiters[] = {"", "/", "--", "x"};
    make_keys();
    for (size_t p = 0; p < ARRAY_SIZE(prefixes); p++)
        for (size_t d = 0; d < ARRAY_SIZE(delimiters); d++)
            for (size_t max = 1; max <= 50; max += max < 4 ? 1 : 46)
                for (size_t a = 0; a <= key_count; a++) {
                    struct objects_page page = {.bucket = bucket,
                                                .prefix = str_of(prefixes[p]),
                                                .delimiter = str_of(delimiters[d]),
                                                .after = a ? keys[a - 1] : STR(""),
                                                .max = max};
                    assert_page(&page);
                    struct str common = common_of(page.after, page.prefix, page.delimiter);
                    if (common.data) {
                        page.after = common;
                        assert_page(&page);
                    }
                }
}

// ---- Versions

static int see_name(void *arg, const struct objects_version *version)
{
    struct seen *seen = arg;
    see(seen, version->name, version->is_marker);
    return 0;
}

static void test_versions(void **state)
{
    char names[3][OBJECTS_VERSION_SIZE];
    struct objects_deletion deletion;
    static struct seen seen;
    assert_int_equal(put("k", "before"), 0);
    assert_int_equal(objects_bucket_set_versioning(objects, bucket, OBJECTS_VERSIONED, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(put_as(STR("k"), i == 0 ? "a" : i == 1 ? "b" : "c", NULL, names[i]), 0);
    assert_content("k", (struct str){0}, "c");
    assert_content("k", str_of(names[0]), "a");
    assert_content("k", STR(OBJECTS_NULL), "before");
    // A marker hides the key; without it the newest is there again.
    assert_int_equal(delete_as(STR("k"), (struct str){0}, &deletion), 0);
    assert_true(deletion.is_marker && !deletion.has_gone);
    struct objects_deletion marker = deletion;
    struct objects_visitor visitor = {see_name, see_prefix, &seen};
    struct objects_page page = {.bucket = bucket, .max = 10};
    seen = (struct seen){0};
    assert_int_equal(objects_list(objects, &page, &visitor, &err), 0);
    assert_int_equal(seen.count, 0);
    page.with_versions = true;
    assert_int_equal(objects_list(objects, &page, &visitor, &err), 0);
    assert_int_equal(seen.count, 5);
    assert_true(seen.is_prefix[0]);
    assert_str_equal(seen.items[1], names[2]);
    assert_str_equal(seen.items[4], OBJECTS_NULL);
    // Behind one of them, and behind the key.
    page.after = STR("k");
    page.after_name = str_of(names[1]);
    page.has_after_name = true;
    seen = (struct seen){0};
    assert_int_equal(objects_list(objects, &page, &visitor, &err), 0);
    assert_int_equal(seen.count, 2);
    page.has_after_name = false;
    seen = (struct seen){0};
    assert_int_equal(objects_list(objects, &page, &visitor, &err), 0);
    assert_int_equal(seen.count, 0);
    assert_int_equal(delete_as(STR("k"), str_of(marker.version), &deletion), 0);
    assert_content("k", (struct str){0}, "c");
    assert_int_equal(delete_as(STR("k"), str_of(names[2]), &deletion), 0);
    assert_true(deletion.has_gone);
    assert_content("k", (struct str){0}, "b");
    assert_int_equal(delete_as(STR("k"), STR("no such version"), &deletion), 0);
    assert_false(deletion.has_gone);
}

static void test_suspended(void **state)
{
    char name[OBJECTS_VERSION_SIZE], kept[OBJECTS_VERSION_SIZE];
    struct objects_deletion deletion;
    assert_int_equal(objects_bucket_set_versioning(objects, bucket, OBJECTS_VERSIONED, &err), 0);
    assert_int_equal(put_as(STR("k"), "kept", NULL, kept), 0);
    assert_int_equal(objects_bucket_set_versioning(objects, bucket, OBJECTS_SUSPENDED, &err), 0);
    assert_int_equal(put_as(STR("k"), "1", NULL, name), 0);
    assert_string_equal(name, OBJECTS_NULL);
    assert_int_equal(put_as(STR("k"), "2", NULL, name), 0);
    assert_content("k", STR(OBJECTS_NULL), "2");
    assert_content("k", str_of(kept), "kept");
    assert_int_equal(delete_as(STR("k"), (struct str){0}, &deletion), 0);
    assert_string_equal(deletion.version, OBJECTS_NULL);
    struct objects_version version;
    assert_int_equal(objects_get(objects, bucket, STR("k"), (struct str){0}, &version, &err), 0);
    assert_true(version.is_marker);
    objects_version_done(&version);
}

static void test_conditions(void **state)
{
    char name[OBJECTS_VERSION_SIZE];
    struct objects_condition absent = {.is_absent = true}, has_one = {.has_etag = STR("one")};
    assert_int_equal(put_as(STR("k"), "one", &has_one, name), -ENOENT);
    assert_int_equal(put_as(STR("k"), "one", &absent, name), 0);
    assert_int_equal(put_as(STR("k"), "two", &absent, name), -ESTALE);
    assert_content("k", (struct str){0}, "one");
    assert_int_equal(put_as(STR("k"), "two", &has_one, name), 0);
    assert_int_equal(put_as(STR("k"), "three", &has_one, name), -ESTALE);
    struct objects_deletion deletion = {.key = STR("k"), .has_etag = STR("one")};
    assert_int_equal(objects_delete(objects, bucket, &deletion, 1, &err), 0);
    assert_int_equal(deletion.status, -ESTALE);
    assert_content("k", (struct str){0}, "two");
    // Under a marker there is nothing.
    assert_int_equal(objects_bucket_set_versioning(objects, bucket, OBJECTS_VERSIONED, &err), 0);
    assert_int_equal(delete_as(STR("k"), (struct str){0}, &deletion), 0);
    assert_int_equal(put_as(STR("k"), "four", &absent, name), 0);
}

static void test_what_is_replaced_is_told(void **state)
{
    struct objects_version version = version_of(STR("k"), "1");
    struct objects_added added;
    struct objects_deletion deletion;
    assert_int_equal(objects_put(objects, bucket, &version, NULL, &added, &err), 0);
    assert_false(added.has_replaced);
    assert_int_equal(objects_put(objects, bucket, &version, NULL, &added, &err), 0);
    assert_true(added.has_replaced);
    assert_int_equal(objects_bucket_set_versioning(objects, bucket, OBJECTS_VERSIONED, &err), 0);
    assert_int_equal(objects_put(objects, bucket, &version, NULL, &added, &err), 0);
    assert_false(added.has_replaced);
    assert_int_equal(delete_as(STR("absent"), (struct str){0}, &deletion), 0);
    assert_false(deletion.has_gone);
}

static void test_which_contents_are_named(void **state)
{
    struct digest one = digest_of("one", 3), two = digest_of("two", 3);
    struct objects_deletion deletion;
    assert_int_equal(put("a", "one"), 0);
    assert_int_equal(put("b", "one"), 0);
    assert_int_equal(objects_has_digest(objects, &one), 1);
    assert_int_equal(objects_has_digest(objects, &two), 0);
    assert_int_equal(put("a", "two"), 0);
    assert_int_equal(objects_has_digest(objects, &one), 1);
    assert_int_equal(delete_as(STR("b"), (struct str){0}, &deletion), 0);
    assert_int_equal(objects_has_digest(objects, &one), 0);
    assert_int_equal(objects_has_digest(objects, &two), 1);
}

// ---- Uploads

static int note_upload(void *arg, const struct objects_upload *upload)
{
    see(arg, str_of(upload->id), false);
    return 0;
}

static int note_file(void *arg, struct str file)
{
    see(arg, file, false);
    return 0;
}

static int note_part(void *arg, const struct objects_part *part)
{
    *(unsigned *) arg = *(unsigned *) arg * 100 + part->number;
    return 0;
}

static void test_uploads(void **state)
{
    struct objects_upload upload = {.id = "u1", .bucket = bucket, .key = STR("k")}, found;
    struct objects_part part = {.number = 2, .size = 7, .etag = STR("e"), .file = STR("f1")};
    char file[OBJECTS_UPLOAD_SIZE];
    struct objects_added added;
    static struct seen seen;
    unsigned numbers = 0;
    assert_int_equal(objects_upload_create(objects, &upload, &err), 0);
    (void) snprintf(upload.id, sizeof(upload.id), "u2");
    assert_int_equal(objects_upload_create(objects, &upload, &err), 0);
    assert_int_equal(objects_part_put(objects, STR("u1"), &part, 7, file, &err), 0);
    assert_string_equal(file, "");
    part.file = STR("f2");
    assert_int_equal(objects_part_put(objects, STR("u1"), &part, 9, file, &err), 0);
    assert_string_equal(file, "f1"); // to be removed
    part.number = 1;
    part.file = STR("");
    assert_int_equal(objects_part_put(objects, STR("u1"), &part, 9, file, &err), 0);
    assert_int_equal(objects_part_each(objects, STR("u1"), 0, note_part, &numbers, &err), 0);
    assert_int_equal(numbers, 102);
    assert_int_equal(objects_upload_get(objects, STR("u1"), &found, &err), 0);
    assert_int_equal(found.part_size, 7); // the first one's
    objects_upload_done(&found);
    struct objects_page page = {.bucket = bucket, .max = 1};
    seen = (struct seen){0};
    assert_int_equal(objects_upload_list(objects, &page, note_upload, see_prefix, &seen, &err), 1);
    page.after = STR("k");
    page.after_name = STR("u1");
    page.has_after_name = true;
    assert_int_equal(objects_upload_list(objects, &page, note_upload, see_prefix, &seen, &err), 0);
    assert_int_equal(seen.count, 2);
    seen = (struct seen){0};
    assert_int_equal(objects_file_each(objects, note_file, &seen, &err), 0);
    assert_int_equal(seen.count, 3); // u1, u2, f2
    // Its end is the object's beginning, in one commit.
    struct objects_version version = version_of(STR("k"), "whole");
    version.upload = STR("u1");
    assert_int_equal(objects_put(objects, bucket, &version, NULL, &added, &err), 0);
    assert_int_equal(objects_upload_get(objects, STR("u1"), &found, &err), -ENOENT);
    assert_int_equal(objects_put(objects, bucket, &version, NULL, &added, &err), -ENOLINK);
    assert_int_equal(objects_part_put(objects, STR("u1"), &part, 7, file, &err), -ENOENT);
    assert_int_equal(objects_upload_abort(objects, STR("u2"), &err), 0);
    assert_int_equal(objects_upload_abort(objects, STR("u2"), &err), -ENOENT);
}

// ---- Many threads

static void *put_many(void *arg)
{
    for (int i = 0; i < 50; i++) {
        char key[32];
        (void) snprintf(key, sizeof(key), "%p-%d", arg, i);
        struct error own = {0};
        struct objects_version version = version_of(str_of(key), "x");
        struct objects_added added;
        if (objects_put(objects, bucket, &version, NULL, &added, &own) < 0)
            return arg;
    }
    return NULL;
}

static int count_version(void *arg, const struct objects_version *version)
{
    ++*(int *) arg;
    return 0;
}

static void test_changes_of_many_threads_share_commits(void **state)
{
    pthread_t threads[8];
    static char marks[8];
    int count = 0;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, &marks[i]), 0);
    for (int i = 0; i < 8; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    struct objects_visitor visitor = {count_version, see_prefix, &count};
    struct objects_page page = {.bucket = bucket, .max = 1000};
    assert_int_equal(objects_list(objects, &page, &visitor, &err), 0);
    assert_int_equal(count, 400);
    struct objects_stats stats;
    objects_stats(objects, &stats);
    assert_true(stats.changes >= 400 && stats.failures == 0);
}

// ---- Faults

static void test_each_call_of_a_commit_failing(void **state)
{
    int failed = 0;
    assert_int_equal(put("k", "1"), 0);
    for (int nth = 1;; nth++) {
        fault_arm(FAULT_ERROR, nth, ENOSPC);
        int r = put("k", "2");
        if (fault_disarm() < nth)
            break;
        failed += r < 0;
        assert_true(r == 0 || r == -ENOSPC || r == -EIO);
        reopen();
        if (r == 0)
            assert_content("k", (struct str){0}, "2");
        assert_int_equal(put("k", "1"), 0);
    }
    assert_true(failed > 0);
}

static void test_after_an_io_error_nothing_more_is_promised(void **state)
{
    assert_int_equal(put("k", "1"), 0);
    fault_arm(FAULT_ERROR_ON, 1, EIO);
    assert_int_equal(put("k", "2"), -EIO);
    fault_disarm();
    assert_int_equal(put("k", "3"), -EIO);
    assert_non_null(strstr(err.text, "restart"));
    assert_content("k", (struct str){0}, "1"); // reading goes on
    reopen();
    assert_int_equal(put("k", "3"), 0);
}

static void test_killed_at_each_call(void **state)
{
    assert_int_equal(put("k", "1"), 0);
    for (int nth = 1;; nth++) {
        objects_close(objects); // no database is held across a fork
        objects = NULL;
        pid_t child = fork();
        if (child == 0) {
            struct objects *mine;
            struct error own = {0};
            struct objects_added added;
            struct objects_version version = version_of(STR("k"), "2");
            if (objects_open(scratch_path, &mine, &own) < 0)
                _exit(3);
            fault_arm(FAULT_KILL, nth, 0);
            _exit(objects_put(mine, bucket, &version, NULL, &added, &own) == 0 ? 0 : 4);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        reopen();
        struct objects_version version;
        assert_int_equal(objects_get(objects, bucket, STR("k"), (struct str){0}, &version, &err),
                         0);
        bool is_old = str_equal(version.etag, STR("1"));
        bool is_new = str_equal(version.etag, STR("2"));
        objects_version_done(&version);
        assert_true(is_old || is_new);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            assert_true(is_new);
            break;
        }
        assert_int_equal(put("k", "1"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_buckets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_versions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_suspended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_conditions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_replaced_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_which_contents_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_uploads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes_of_many_threads_share_commits, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_each_call_of_a_commit_failing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_after_an_io_error_nothing_more_is_promised, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_killed_at_each_call, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
