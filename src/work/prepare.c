// SPDX-License-Identifier: MIT

#include "work/prepare.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/mem.h"
#include "model_runtime/onnx_prepare.h"
#include "work/answers.h"
#include "work/inputs.h"
#include "work/stream.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_PATH "/proc/self/fd/0"
#define TREE "/var/task"
#define LIBRARY "/opt/lamina/lib/libonnxruntime.so"
#define SEED UINT64_C(20261127)
#define SHAPES_MAX 8
#define TREE_DEPTH_MAX 8

struct prepare {
    const struct prepare_order *order;
    char path[PATH_MAX]; // of the model
    int form_fd;         // memfd
    uint64_t form_bytes;
    char form_path[32];
    int64_t deadline_ns;
    struct inputs_shape shapes[SHAPES_MAX]; // that the model runs on
    size_t shape_count;
    bool has_larger; // one of them has all open dimensions above 1
    struct work_prepared report;
    enum work_reason reason; // of a refusal
    struct error err;
};

static int refuse(struct prepare *prepare, enum work_reason reason)
{
    prepare->reason = reason;
    return -EBADMSG;
}

static int load_form(struct prepare *prepare, enum prepack prepack, struct model **ret_model)
{
    // A path of its own kind: the engine takes what it maps for a prepared form, not by its name.
    const struct model_options options = {
        .threads = 1, .prepack = prepack, .prepared_path = prepare->form_path};
    int r = model_load(prepare->path, &options, ret_model, &prepare->err);
    if (r < 0)
        return refuse(prepare, WORK_REASON_PREPARE_LOAD);
    if ((*ret_model)->is_prepared)
        return 0;
    error_set(&prepare->err, -EIO, "%s", (*ret_model)->not_prepared);
    model_free(*ret_model);
    return refuse(prepare, WORK_REASON_PREPARE_LOAD);
}

// ---- where it is

// Which file of the tree is open as our input: only by its path does an engine find what lies beside
// it.
static bool find_input(const struct stat *input, char path[PATH_MAX], int depth)
{
    size_t size = strlen(path);
    bool is_found = false;
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && !is_found && (entry = readdir(directory));) {
        struct stat status;
        if (entry->d_name[0] == '.' ||
            snprintf(path + size, PATH_MAX - size, "/%s", entry->d_name) >=
                (int) (PATH_MAX - size) ||
            lstat(path, &status) < 0)
            continue;
        is_found = (status.st_dev == input->st_dev && status.st_ino == input->st_ino) ||
                   (S_ISDIR(status.st_mode) && depth > 0 && find_input(input, path, depth - 1));
    }
    if (directory)
        closedir(directory);
    if (!is_found)
        path[size] = '\0';
    return is_found;
}

static int find_model(struct prepare *prepare)
{
    struct stat input;
    bool has_tree = prepare->order->has_tree;
    (void) snprintf(prepare->path, sizeof(prepare->path), "%s", has_tree ? TREE : INPUT_PATH);
    if (has_tree &&
        (fstat(STDIN_FILENO, &input) < 0 || !find_input(&input, prepare->path, TREE_DEPTH_MAX)))
        return refuse(prepare, WORK_REASON_PREPARE_LOAD);
    return 0;
}

// ---- the form

static int make_form(struct prepare *prepare)
{
    struct stat status;
    prepare->form_fd = memfd_create("model", MFD_CLOEXEC);
    if (prepare->form_fd < 0)
        return refuse(prepare, WORK_REASON_PREPARE_ENGINE);
    (void) snprintf(prepare->form_path, sizeof(prepare->form_path), "/proc/self/fd/%d",
                    prepare->form_fd);
    int r = onnx_prepare(prepare->path, prepare->form_path, &prepare->err);
    if (r == -ENOENT || r == -ELIBACC)
        return refuse(prepare, WORK_REASON_PREPARE_ENGINE);
    if (r < 0 || fstat(prepare->form_fd, &status) < 0 || status.st_size == 0)
        return refuse(prepare, WORK_REASON_PREPARE_LOAD);
    prepare->form_bytes = (uint64_t) status.st_size;
    if (prepare->order->bytes_max > 0 && prepare->form_bytes > prepare->order->bytes_max)
        return refuse(prepare, WORK_REASON_PREPARE_TOO_LARGE);
    (void) malloc_trim(0); // what making it took would count as the model's own
    return 0;
}

// ---- inputs that it runs on

static bool does_run(struct prepare *prepare, struct model *model, struct inputs_shape shape)
{
    struct inputs inputs;
    struct answers answers;
    if (inputs_make(&model->signature, shape, SEED, &inputs, &prepare->err) < 0)
        return false;
    int r = answers_take(model, &inputs, &answers, &prepare->err);
    if (r == 0)
        answers_done(&answers);
    inputs_done(&inputs);
    return r == 0;
}

// For one kind of integers: the smallest size that works, and the smallest above 1.
static void find_sizes(struct prepare *prepare, struct model *model, enum inputs_integers integers,
                       bool is_open)
{
    static const int64_t sizes[] = {1,  2,   3,   4,   8,   16,  32,  48, 64,
                                    96, 128, 160, 192, 224, 256, 320, 512};
    size_t count = is_open ? ARRAY_SIZE(sizes) : 1;
    bool has_any = false;
    for (size_t i = 0; i < count && clock_monotonic_ns() < prepare->deadline_ns; i++) {
        struct inputs_shape shape = {sizes[i], integers};
        if ((has_any && sizes[i] == 1) || !does_run(prepare, model, shape))
            continue;
        prepare->shapes[prepare->shape_count++] = shape;
        prepare->has_larger = prepare->has_larger || sizes[i] > 1;
        if (sizes[i] > 1)
            return;
        has_any = true;
    }
}

static int find_shapes(struct prepare *prepare, struct model *model)
{
    bool is_open = inputs_have_open_dimensions(&model->signature);
    int count = inputs_have_integers(&model->signature) ? INPUTS_INTEGERS_COUNT : 1;
    for (int i = 0; i < count && prepare->shape_count + 2 <= SHAPES_MAX; i++)
        find_sizes(prepare, model, (enum inputs_integers) i, is_open);
    if (prepare->shape_count == 0 || (is_open && !prepare->has_larger))
        return refuse(prepare, WORK_REASON_PREPARE_RUN);
    return 0;
}

// ---- measuring

// Memory that is nobody else's: not the mapped form, not the library's code.
static uint64_t private_bytes(void)
{
    char text[128];
    unsigned long size, resident, shared;
    AUTO_FD int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : fd_read_all(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    char *end;
    size = strtoul(text, &end, 10);
    resident = strtoul(end, &end, 10);
    shared = strtoul(end, &end, 10);
    (void) size;
    return resident > shared ? (resident - shared) * (uint64_t) sysconf(_SC_PAGESIZE) : 0;
}

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static uint64_t micros_since(int64_t begin_ns)
{
    return (uint64_t) (clock_monotonic_ns() - begin_ns) / 1000;
}

static int run_once(struct prepare *prepare, struct model *model, const struct inputs *inputs)
{
    struct answers answers;
    int r = answers_take(model, inputs, &answers, &prepare->err);
    if (r < 0)
        return refuse(prepare, WORK_REASON_PREPARE_RUN);
    answers_done(&answers);
    return 0;
}

// The median of as many calls as there is time for.
static int measure_warm(struct prepare *prepare, struct model *model, const struct inputs *inputs,
                        uint64_t *ret_us)
{
    uint64_t times[PREPARE_WARM_CALLS];
    size_t count = 0;
    do {
        int64_t begin_ns = clock_monotonic_ns();
        int r = run_once(prepare, model, inputs);
        if (r < 0)
            return r;
        times[count++] = micros_since(begin_ns);
    } while (count < PREPARE_WARM_CALLS && clock_monotonic_ns() < prepare->deadline_ns);
    qsort(times, count, sizeof(times[0]), by_value);
    *ret_us = times[count / 2];
    return 0;
}

static int measure(struct prepare *prepare, enum prepack prepack, struct work_measured *measured)
{
    struct inputs inputs = {0};
    struct model *model;
    uint64_t before = private_bytes();
    int64_t begin_ns = clock_monotonic_ns();
    int r = load_form(prepare, prepack, &model);
    if (r < 0)
        return r;
    uint64_t load_us = micros_since(begin_ns);
    if (inputs_make(&model->signature, prepare->shapes[0], SEED, &inputs, &prepare->err) < 0)
        r = refuse(prepare, WORK_REASON_PREPARE_RUN);
    begin_ns = clock_monotonic_ns();
    if (r == 0)
        r = run_once(prepare, model, &inputs);
    measured->cold_us = load_us + micros_since(begin_ns);
    if (r == 0)
        r = measure_warm(prepare, model, &inputs, &measured->warm_us);
    uint64_t after = private_bytes();
    measured->private_bytes = after > before ? after - before : 0;
    inputs_done(&inputs);
    model_free(model);
    (void) malloc_trim(0);
    return r;
}

// ---- comparing

// The largest difference goes into the report; a form that does not run at all differs.
static int compare_once(struct prepare *prepare, struct model *original, struct model *form,
                        const struct inputs *inputs, double *worst)
{
    struct answers expected = {0}, got = {0};
    if (answers_take(original, inputs, &expected, &prepare->err) < 0)
        return refuse(prepare, WORK_REASON_PREPARE_RUN);
    bool has_run = answers_take(form, inputs, &got, &prepare->err) == 0;
    double difference = has_run ? answers_difference(&expected, &got) : INFINITY;
    *worst = fmax(*worst, difference);
    answers_done(&expected);
    answers_done(&got);
    return 0;
}

static int compare_all(struct prepare *prepare, struct model *original, struct model *form,
                       double *worst)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < PREPARE_CHECKS; i++) {
        struct inputs inputs;
        struct inputs_shape shape = prepare->shapes[i % prepare->shape_count];
        if (inputs_make(&original->signature, shape, SEED + i, &inputs, &prepare->err) < 0)
            return refuse(prepare, WORK_REASON_PREPARE_RUN);
        r = compare_once(prepare, original, form, &inputs, worst);
        inputs_done(&inputs);
    }
    return r;
}

static int compare_form(struct prepare *prepare, struct model *original, enum prepack prepack,
                        double *worst)
{
    struct model *form;
    int r = load_form(prepare, prepack, &form);
    if (r < 0)
        return r;
    r = compare_all(prepare, original, form, worst);
    model_free(form);
    return r;
}

// The original as an instance would load it without any of this.
static int compare(struct prepare *prepare)
{
    struct work_prepared *report = &prepare->report;
    const struct model_options options = {.threads = 1};
    struct model *original;
    if (model_load(prepare->path, &options, &original, &prepare->err) < 0)
        return refuse(prepare, WORK_REASON_PREPARE_LOAD);
    int r = compare_form(prepare, original, PREPACK_OFF, &report->off.difference);
    if (r == 0)
        r = compare_form(prepare, original, PREPACK_ON, &report->on.difference);
    model_free(original);
    report->checked = PREPARE_CHECKS;
    double best = fmin(report->off.difference, report->on.difference);
    if (r < 0 || best <= WORK_PREPARED_TOLERANCE)
        return r;
    error_set(&prepare->err, -EBADMSG, "by %.3g relative, %g is allowed", best,
              WORK_PREPARED_TOLERANCE);
    return refuse(prepare, WORK_REASON_PREPARE_DIFFERS);
}

// ---- the job

static int prepare_model(struct prepare *prepare)
{
    struct model *model;
    int r = make_form(prepare);
    if (r == 0)
        r = load_form(prepare, PREPACK_OFF, &model);
    if (r < 0)
        return r;
    r = find_shapes(prepare, model);
    if (r == 0) // while the engine is up: what its start takes is the same in both
        r = measure(prepare, PREPACK_OFF, &prepare->report.off);
    if (r == 0)
        r = measure(prepare, PREPACK_ON, &prepare->report.on);
    model_free(model);
    return r < 0 ? r : compare(prepare);
}

static int send_file(struct stream *stream, char *name, const void *data, uint64_t size)
{
    struct zip_entry entry = {.path = name, .path_size = (uint32_t) strlen(name), .size = size};
    int r = stream_file(stream, &entry);
    for (uint64_t sent = 0; r == 0 && sent < size;) {
        size_t part = size - sent < WORK_DATA_MAX ? (size_t) (size - sent) : WORK_DATA_MAX;
        r = stream_data(stream, (const char *) data + sent, part);
        sent += part;
    }
    return r;
}

static int send_form(const struct prepare *prepare, struct stream *stream)
{
    static char report_name[] = WORK_PREPARED_REPORT, model_name[] = WORK_PREPARED_MODEL;
    size_t size = (size_t) prepare->form_bytes;
    void *form = mmap(NULL, size, PROT_READ, MAP_SHARED, prepare->form_fd, 0);
    if (form == MAP_FAILED)
        return -errno;
    int r = send_file(stream, report_name, &prepare->report, sizeof(prepare->report));
    if (r == 0)
        r = send_file(stream, model_name, form, size);
    (void) munmap(form, size);
    return r < 0 ? r : stream_end(stream);
}

static int send_refusal(const struct prepare *prepare, struct stream *stream)
{
    AUTO_FREE struct zip_refusal *refusal = mem_new(struct zip_refusal);
    if (refusal == NULL)
        return -ENOMEM;
    refusal->reason = prepare->reason;
    refusal->path_size = (uint32_t) strlen(prepare->err.text);
    memcpy(refusal->path, prepare->err.text, refusal->path_size);
    return stream_refused(stream, refusal);
}

int prepare_run(const struct prepare_order *order, int output)
{
    AUTO_FREE struct stream *stream = malloc(sizeof(*stream));
    struct prepare prepare = {
        .order = order,
        .form_fd = -1,
        .deadline_ns = clock_monotonic_ns() + (int64_t) order->time_ms * 1000000,
    };
    if (stream == NULL || setenv("LAMINA_ONNXRUNTIME", LIBRARY, 0) < 0)
        return -ENOMEM;
    int r = stream_begin(stream, output);
    if (r < 0)
        return r;
    r = find_model(&prepare);
    if (r == 0)
        r = prepare_model(&prepare);
    r = r == -EBADMSG ? send_refusal(&prepare, stream) : send_form(&prepare, stream);
    (void) fd_close(prepare.form_fd);
    return r;
}
