// SPDX-License-Identifier: MIT
//
// Packaging: what goes in, in which order, what is refused, and that nothing outside is followed.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "package/file_list.h"
#include "package/package.h"

#include "base/compiler.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char root[64];
static char path_buffer[8][256];

// The path of a file below the test's directory; eight are valid at a time.
static const char *at(const char *name)
{
    static unsigned next;
    char *path = path_buffer[next++ % ARRAY_SIZE(path_buffer)];

    snprintf(path, sizeof path_buffer[0], "%s/%s", root, name);
    return path;
}

static void put(const char *name, const char *content, mode_t mode)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t) strlen(content));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void make_dir(const char *name)
{
    assert_int_equal(mkdir(at(name), 0755), 0);
}

static int setup(void **state)
{
    snprintf(root, sizeof root, "/tmp/lamina-test-XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    put("lamina-model", "#!/bin/true\n", 0755);
    return mkdir(at("d"), 0755);
}

static int teardown(void **state)
{
    return fs_remove_tree(AT_FDCWD, root);
}

static int build(const char *name, struct package *ret, struct error *err)
{
    const struct package_options options = {.bootstrap = at("lamina-model")};

    *err = (struct error){0};
    return package_build(at(name), &options, ret, err);
}

static void expect_refused(const char *name, int code, const char *says)
{
    struct package package = {.fd = -1};
    struct error err;
    int r = build(name, &package, &err);

    if (r != code || strstr(err.text, says) == NULL)
        fail_msg("%s: %d '%s'", name, r, err.text);
    assert_int_equal(package.fd, -1);
}

static void a_model_gets_the_runtime(void **state)
{
    struct package package;
    struct error err;

    put("net.onnx", "model", 0600);
    put("net.onnx.data", "weights", 0600);
    put("warm_up.json", "{}", 0600);
    put("unrelated", "x", 0600);
    assert_int_equal(build("net.onnx", &package, &err), 0);
    assert_int_equal(package.kind, PACKAGE_MODEL);
    assert_string_equal(package.handler, "net.onnx");
    assert_int_equal(package.entries, 4);
    assert_int_equal(package.model_bytes, 5 + 7);
    assert_int_equal(package.unzipped_bytes, 12 + 5 + 7 + 2);
    assert_true(package.has_bootstrap);
    assert_int_equal(lseek(package.fd, 0, SEEK_END), (off_t) package.zip_bytes);
    package_done(&package);
    assert_int_equal(package.fd, -1);
}

static void measuring_agrees_with_building(void **state)
{
    const struct package_options options = {.bootstrap = at("lamina-model")};
    struct package measured, built;
    struct error err = {0};

    put("net.ort", "model", 0600);
    assert_int_equal(package_measure(at("net.ort"), &options, &measured, &err), 0);
    assert_int_equal(build("net.ort", &built, &err), 0);
    assert_int_equal(measured.fd, -1);
    assert_int_equal(measured.zip_bytes, 0);
    assert_true(measured.unzipped_bytes == built.unzipped_bytes);
    assert_true(measured.entries == built.entries);
    assert_string_equal(measured.handler, built.handler);
    package_done(&built);
}

static void content_decides_not_times_or_order(void **state)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct package one, other;
    struct error err;

    make_dir("e");
    put("d/b", "2", 0640);
    put("d/a", "1", 0700);
    put("d/bootstrap", "#!", 0755);
    put("e/bootstrap", "#!", 0777);
    put("e/a", "1", 0711);
    put("e/b", "2", 0444);
    assert_int_equal(utimensat(AT_FDCWD, at("e/a"), times, 0), 0);
    assert_int_equal(build("d", &one, &err), 0);
    assert_int_equal(build("e", &other, &err), 0);
    assert_string_equal(one.sha256_hex, other.sha256_hex);
    package_done(&one);
    package_done(&other);

    put("e/b", "3", 0444);
    assert_int_equal(build("e", &other, &err), 0);
    assert_string_not_equal(one.sha256_hex, other.sha256_hex);
    package_done(&other);
}

static void a_directory_with_one_model_is_that_model(void **state)
{
    struct package package;
    struct error err;

    put("d/net.onnx", "model", 0600);
    put("d/labels.txt", "cat dog", 0600);
    assert_int_equal(build("d", &package, &err), 0);
    assert_string_equal(package.handler, "net.onnx");
    assert_true(package.has_bootstrap);
    assert_int_equal(package.entries, 3);
    package_done(&package);

    put("d/second.onnx", "model", 0600); // which one?
    assert_int_equal(build("d", &package, &err), 0);
    assert_string_equal(package.handler, "");
    assert_false(package.has_bootstrap);
    package_done(&package);
}

static void links_inside_stay_links_outside_are_refused(void **state)
{
    static const struct {
        const char *name, *target;
        bool is_fine;
    } rows[] = {
        {"d/l", "a", true},
        {"d/l", "./a", true},
        {"d/l", "sub/../a", true},
        {"d/l", "missing", true},
        {"d/sub/l", "../a", true},
        {"d/l", "/etc/passwd", false},
        {"d/l", "../x", false},
        {"d/l", "..", false},
        {"d/sub/l", "../../x", false},
        {"d/sub/l", "../../d/a", false},
        {"d/l", "sub/../../x", false},
    };

    put("d/a", "1", 0600);
    put("d/bootstrap", "#!", 0755);
    make_dir("d/sub");
    put("d/sub/x", "1", 0600);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct package package;
        struct error err;
        assert_int_equal(symlink(rows[i].target, at(rows[i].name)), 0);
        int r = build("d", &package, &err);
        if ((r == 0) != rows[i].is_fine)
            fail_msg("%s -> %s: %d '%s'", rows[i].name, rows[i].target, r, err.text);
        if (r == 0)
            package_done(&package);
        else
            assert_non_null(strstr(err.text, "leads out"));
        assert_int_equal(unlink(at(rows[i].name)), 0);
    }
}

static void a_link_to_a_directory_is_not_walked(void **state)
{
    struct package package;
    struct error err;

    put("d/bootstrap", "#!", 0755);
    make_dir("d/sub");
    put("d/sub/x", "1", 0600);
    assert_int_equal(symlink(".", at("d/sub/loop")), 0);
    assert_int_equal(build("d", &package, &err), 0);
    assert_int_equal(package.entries, 3);
    package_done(&package);
}

static void special_files_are_refused(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    assert_int_equal(mkfifo(at("d/pipe"), 0600), 0);
    expect_refused("d", -EINVAL, "'pipe' is neither");
    assert_int_equal(unlink(at("d/pipe")), 0);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/d/socket", root);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
    expect_refused("d", -EINVAL, "'socket' is neither");
    close(fd);

    assert_int_equal(mkfifo(at("pipe.onnx"), 0600), 0);
    expect_refused("pipe.onnx", -EINVAL, "neither a file nor a directory");
}

static void hostile_names_are_refused(void **state)
{
    static const struct {
        const char *name, *says;
    } rows[] = {
        {"d/new\nline", "new\\x0aline' has a control character"},
        {"d/\x1b[31m", "\\x1b[31m' has a control character"},
        {"d/back\\slash", "has a backslash"},
        {"d/\xff", "\\xff' is not a UTF-8 name"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        put(rows[i].name, "", 0600);
        expect_refused("d", -EINVAL, rows[i].says);
        assert_int_equal(unlink(at(rows[i].name)), 0);
    }
}

static void names_like_options_and_dots_are_names(void **state)
{
    struct package package;
    struct error err;

    put("d/bootstrap", "#!", 0755);
    put("d/-rf", "1", 0600);
    put("d/...", "1", 0600);
    put("d/ lead", "1", 0600);
    put("d/\xc3\xa4", "1", 0600);
    make_dir("d/empty");
    assert_int_equal(build("d", &package, &err), 0);
    assert_int_equal(package.entries, 6);
    package_done(&package);
}

static void mistakes_are_named(void **state)
{
    expect_refused("nothing", -ENOENT, "open");
    expect_refused("d", -EINVAL, "is empty");
    put("d/bootstrap", "#!", 0644);
    expect_refused("d", -EINVAL, "chmod +x");
    put("empty.onnx", "", 0600);
    expect_refused("empty.onnx", -EINVAL, "is empty");
    put("my model.onnx", "x", 0600);
    expect_refused("my model.onnx", -EINVAL, "spaces");
    put("text.txt", "hello", 0600);
    expect_refused("text.txt", -EINVAL, "is not a model");
    put("cut.zip", "PK\3\4", 0600);
    expect_refused("cut.zip", -EINVAL, "not a zip archive");
    put("net.pt", "x", 0600);
    expect_refused("net.pt", -ENOTSUP, "torch.onnx.export");
    make_dir("saved");
    put("saved/saved_model.pb", "x", 0600);
    expect_refused("saved", -ENOTSUP, "tf2onnx");
}

static void too_deep_is_refused(void **state)
{
    char path[FILE_LIST_DEPTH_MAX * 2 + 16] = "d";

    for (int i = 0; i < FILE_LIST_DEPTH_MAX; i++) {
        snprintf(path + strlen(path), sizeof path - strlen(path), "/x");
        make_dir(path);
    }
    expect_refused("d", -E2BIG, "deeper than");
}

static void a_second_directory_goes_in_behind_the_first(void **state)
{
    struct package_options options = {.bootstrap = at("lamina-model")};
    struct package package;
    struct error err = {0};

    put("d/app.py", "mine", 0600);
    make_dir("more");
    make_dir("more/lib");
    put("more/lib/a.py", "theirs", 0600);
    put("more/app.py", "theirs too", 0600);
    char more[256];
    snprintf(more, sizeof more, "%s", at("more"));
    options.more = more;
    assert_int_equal(package_build(at("d"), &options, &package, &err), 0);
    assert_int_equal(package.entries, 2);
    assert_int_equal(package.unzipped_bytes, 4 + 6);
    package_done(&package);

    options.more = "/nonexistent";
    assert_int_equal(package_build(at("d"), &options, &package, &err), -ENOENT);
}

static void a_zip_is_taken_as_it_is(void **state)
{
    struct package made, taken;
    struct error err;
    char *bytes;

    put("d/bootstrap", "#!", 0755);
    assert_int_equal(build("d", &made, &err), 0);
    bytes = malloc(made.zip_bytes);
    assert_non_null(bytes);
    assert_int_equal(pread(made.fd, bytes, made.zip_bytes, 0), (ssize_t) made.zip_bytes);
    int fd = open(at("copy"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600); // found by its first bytes
    assert_int_equal(write(fd, bytes, made.zip_bytes), (ssize_t) made.zip_bytes);
    close(fd);
    free(bytes);
    assert_int_equal(build("copy", &taken, &err), 0);
    assert_int_equal(taken.kind, PACKAGE_ZIP);
    assert_string_equal(taken.sha256_hex, made.sha256_hex);
    assert_int_equal(taken.unzipped_bytes, 2);
    assert_true(taken.has_bootstrap);
    package_done(&made);
    package_done(&taken);
}

static void names_for_functions(void **state)
{
    static const struct {
        const char *path, *name;
    } rows[] = {
        {"model.onnx", "model"},
        {"/a/b/my.model.v2.onnx", "my-model-v2"},
        {"dir/", "dir"},
        {"dir///", "dir"},
        {"code.zip", "code"},
        {"spaces and \xc3\xa4", "spaces-and---"},
        {"under_score-dash", "under_score-dash"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789",
         "0123456789012345678901234567890123456789012345678901234567890123"},
        {".onnx", NULL},
        {"", NULL},
        {"/", NULL},
        {"...", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        char name[65] = "";
        int r = package_name(rows[i].path, name, &err);
        if (rows[i].name == NULL)
            assert_int_equal(r, -EINVAL);
        else if (r != 0 || strcmp(name, rows[i].name) != 0)
            fail_msg("'%s' gave '%s'", rows[i].path, name);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_model_gets_the_runtime),
        TEST(measuring_agrees_with_building),
        TEST(content_decides_not_times_or_order),
        TEST(a_directory_with_one_model_is_that_model),
        TEST(links_inside_stay_links_outside_are_refused),
        TEST(a_link_to_a_directory_is_not_walked),
        TEST(special_files_are_refused),
        TEST(hostile_names_are_refused),
        TEST(names_like_options_and_dots_are_names),
        TEST(mistakes_are_named),
        TEST(too_deep_is_refused),
        TEST(a_second_directory_goes_in_behind_the_first),
        TEST(a_zip_is_taken_as_it_is),
        cmocka_unit_test(names_for_functions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
