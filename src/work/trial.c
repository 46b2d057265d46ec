// SPDX-License-Identifier: MIT

#include "work/trial.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

// Memory that is nobody else's: not the mapped form, not the library's code.
static uint64_t private_bytes(void)
{
    char text[128];
    AUTO_FD int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : fd_read_all(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    char *end;
    (void) strtoul(text, &end, 10); // its address space
    unsigned long resident = strtoul(end, &end, 10);
    unsigned long shared = strtoul(end, &end, 10);
    return resident > shared ? (resident - shared) * (uint64_t) sysconf(_SC_PAGESIZE) : 0;
}

static uint64_t micros_since(int64_t begin_ns)
{
    return (uint64_t) (clock_cpu_ns() - begin_ns) / 1000;
}

int trial_load(const char *path, const struct model_options *options,
               struct trial_model *ret_loaded, struct error *err)
{
    struct trial_model loaded = {.private_before = private_bytes()};
    int64_t begin_ns = clock_cpu_ns();
    int r = model_load(path, options, &loaded.model, err);
    if (r < 0)
        return r;
    loaded.load_us = micros_since(begin_ns);
    *ret_loaded = loaded;
    return 0;
}

void trial_unload(struct trial_model *loaded)
{
    model_free(loaded->model);
    *loaded = (struct trial_model){0};
    (void) malloc_trim(0); // what it took would count as the next one's own
}

void trial_done(struct trial *trial)
{
    for (size_t i = 0; i < TRIAL_CHECKS; i++)
        answers_done(&trial->expected[i]);
}

// ---- running

// Times of runs on the first shape.
struct times {
    uint64_t us[TRIAL_CHECKS + TRIAL_WARM_CALLS];
    size_t count;
    uint64_t sum_us;
};

static void times_add(struct times *times, uint64_t us)
{
    times->us[times->count++] = us;
    times->sum_us += us;
}

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static uint64_t times_median(struct times *times)
{
    qsort(times->us, times->count, sizeof(times->us[0]), by_value);
    return times->count > 0 ? times->us[times->count / 2] : 0;
}

static int run_timed(struct model *model, const struct inputs *inputs, struct answers *ret_answers,
                     uint64_t *ret_us, struct error *err)
{
    int64_t begin_ns = clock_cpu_ns();
    int r = answers_take(model, inputs, ret_answers, err);
    *ret_us = micros_since(begin_ns);
    return r;
}

static int check(struct trial *trial, struct model *model, size_t i, struct times *times,
                 double *worst, struct error *err)
{
    struct inputs inputs;
    struct answers got = {0};
    size_t shape = i % trial->shapes.count;
    uint64_t us;
    int r =
        inputs_make(&model->signature, trial->shapes.each[shape], trial->seed + i, &inputs, err);
    if (r < 0)
        return r;
    r = run_timed(model, &inputs, &got, &us, err);
    inputs_done(&inputs);
    if (r == 0 && !trial->has_expected)
        r = answers_copy(&got, &trial->expected[i], err);
    else if (trial->has_expected) // one that does not run at all differs
        *worst = fmax(*worst, r < 0 ? INFINITY : answers_difference(&trial->expected[i], &got));
    if (r == 0 && shape == 0)
        times_add(times, us);
    answers_done(&got);
    return trial->has_expected && r != -ENOMEM ? 0 : r;
}

// As many more as there is time for.
static void warm(struct trial *trial, struct model *model, struct times *times)
{
    struct error err;
    struct inputs inputs;
    struct answers answers;
    uint64_t us;
    if (inputs_make(&model->signature, trial->shapes.each[0], trial->seed, &inputs, &err) < 0)
        return;
    while (times->count > 0 && times->count < TRIAL_WARM_CALLS &&
           times->sum_us < TRIAL_WARM_MS * 1000 &&
           run_timed(model, &inputs, &answers, &us, &err) == 0) {
        answers_done(&answers);
        times_add(times, us);
    }
    inputs_done(&inputs);
}

int trial_run(struct trial *trial, struct trial_model *loaded, struct work_measured *measured,
              struct error *err)
{
    struct times times = {0};
    double worst = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < TRIAL_CHECKS; i++)
        r = check(trial, loaded->model, i, &times, &worst, err);
    if (r < 0)
        return r;
    trial->has_expected = true;
    measured->difference = worst;
    measured->cold_us = loaded->load_us + (times.count > 0 ? times.us[0] : 0);
    warm(trial, loaded->model, &times);
    measured->warm_us = times_median(&times);
    uint64_t after = private_bytes();
    measured->private_bytes = after > loaded->private_before ? after - loaded->private_before : 0;
    return 0;
}
