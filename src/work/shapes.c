// SPDX-License-Identifier: MIT

#include "work/shapes.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "work/answers.h"

#include <errno.h>
#include <stdbool.h>

struct search {
    struct model *model;
    uint64_t seed;
    int64_t deadline_ns;
    struct shapes found;
    bool has_larger; // one of them has all open dimensions above 1
    struct error *err;
};

static bool does_run(struct search *search, struct inputs_shape shape)
{
    struct inputs inputs;
    struct answers answers;
    if (inputs_make(&search->model->signature, shape, search->seed, &inputs, search->err) < 0)
        return false;
    int r = answers_take(search->model, &inputs, &answers, search->err);
    if (r == 0)
        answers_done(&answers);
    inputs_done(&inputs);
    return r == 0;
}

// For one kind of integers: the smallest size that works, and the smallest above 1.
static void find_sizes(struct search *search, enum inputs_integers integers, bool is_open)
{
    static const int64_t sizes[] = {1,  2,   3,   4,   8,   16,  32,  48, 64,
                                    96, 128, 160, 192, 224, 256, 320, 512};
    size_t count = is_open ? ARRAY_SIZE(sizes) : 1;
    bool has_any = false;
    for (size_t i = 0; i < count && clock_cpu_ns() < search->deadline_ns; i++) {
        struct inputs_shape shape = {sizes[i], integers};
        if ((has_any && sizes[i] == 1) || !does_run(search, shape))
            continue;
        search->found.each[search->found.count++] = shape;
        search->has_larger = search->has_larger || sizes[i] > 1;
        if (sizes[i] > 1)
            return;
        has_any = true;
    }
}

int shapes_find(struct model *model, uint64_t seed, int64_t deadline_ns, struct shapes *ret_shapes,
                struct error *err)
{
    struct search search = {.model = model, .seed = seed, .deadline_ns = deadline_ns, .err = err};
    bool is_open = inputs_have_open_dimensions(&model->signature);
    int count = inputs_have_integers(&model->signature) ? INPUTS_INTEGERS_COUNT : 1;
    for (int i = 0; i < count && search.found.count + 2 <= SHAPES_MAX; i++)
        find_sizes(&search, (enum inputs_integers) i, is_open);
    if (search.found.count == 0 || (is_open && !search.has_larger))
        return -ENOENT;
    *ret_shapes = search.found;
    return 0;
}
