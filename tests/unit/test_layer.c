/* SPDX-License-Identifier: MIT
 *
 * The table of layers over a real registry in a directory of its own: what counts against its limit.
 */

#include "unit.h"

#include <errno.h>

#include "function/layer.h"
#include "loop/loop.h"
#include "meta/registry.h"

struct fixture {
    int dir;
    char path[64];
    struct loop *loop;
    struct registry *registry;
    struct layers *layers;
    size_t under_way;
};

static void open_all(struct fixture *fixture)
{
    struct error err = {0};
    fixture->loop = loop_new();
    assert_int_equal(registry_open(fixture->path, fixture->loop, &fixture->registry, &err), 0);
    assert_int_equal(layers_new(fixture->registry, &fixture->layers, &err), 0);
    assert_string_equal(err.text, "");
}

static void close_all(struct fixture *fixture)
{
    registry_close(fixture->registry);
    layers_free(fixture->layers);
    loop_free(fixture->loop);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->dir = unit_dir_make(fixture->path);
    open_all(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    close_all(fixture);
    unit_dir_remove(fixture->dir, fixture->path);
    free(fixture);
    return 0;
}

static void done(void *arg, const struct layer_version *version, const struct error *err)
{
    struct fixture *fixture = arg;
    (void) version;
    assert_null(err);
    fixture->under_way--;
}

static void finish(struct fixture *fixture, size_t left)
{
    while (fixture->under_way > left)
        loop_run_once(fixture->loop, true);
}

static int publish(struct fixture *fixture, const char *name, size_t number)
{
    struct layer_version *draft = layer_version_new();
    assert_non_null(draft);
    (void) snprintf(draft->name, sizeof(draft->name), "%s%zu", name, number);
    int r = layers_publish(fixture->layers, draft, done, fixture);
    fixture->under_way += r == 0;
    finish(fixture, 64);
    return r;
}

static void delete (struct fixture *fixture, const char *name, uint64_t number)
{
    assert_int_equal(layers_delete(fixture->layers, str_of(name), number, done, fixture), 0);
    fixture->under_way++;
    finish(fixture, 0);
}

static void deleted_layers_leave_their_place_and_keep_their_numbers(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < LAYERS_MAX; i++)
        assert_int_equal(publish(fixture, "l", i), 0);
    finish(fixture, 0);
    assert_int_equal(publish(fixture, "more", 1), -ENOSPC);
    assert_int_equal(publish(fixture, "l", 7), 0); /* another version of one that is there */
    finish(fixture, 0);
    delete (fixture, "l5", 1);
    assert_int_equal(publish(fixture, "more", 1), 0);
    assert_int_equal(publish(fixture, "more", 2), -ENOSPC);
    assert_int_equal(publish(fixture, "l", 5), -ENOSPC); /* its place is taken */
    finish(fixture, 0);
    close_all(fixture);
    open_all(fixture); /* more names than LAYERS_MAX are no reason not to start */
    assert_int_equal(publish(fixture, "more", 2), -ENOSPC);
    delete (fixture, "more1", 1);
    assert_int_equal(publish(fixture, "l", 5), 0);
    finish(fixture, 0);
    assert_null(layers_find_version(fixture->layers, STR("l5"), 1));
    assert_non_null(layers_find_version(fixture->layers, STR("l5"), 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deleted_layers_leave_their_place_and_keep_their_numbers,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
