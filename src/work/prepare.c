// SPDX-License-Identifier: MIT

#include "work/prepare.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/mem.h"
#include "work/stream.h"
#include "work/trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#define TREE_DEPTH_MAX 8

struct prepare {
    const struct prepare_order *order;
    char path[PATH_MAX]; // of the model
    int form_fd;         // memfd
    uint64_t form_bytes;
    char form_path[32];
    struct trial trial;
    struct work_prepared report;
    enum work_reason reason; // of a refusal
    struct error err;
};

static int refuse(struct prepare *prepare, enum work_reason reason)
{
    prepare->reason = reason;
    return -EBADMSG;
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

// ---- the original, as an instance would load it without any of this

static int load_failed(struct prepare *prepare, int r)
{
    bool has_engine = r != -ENOENT && r != -ELIBACC;
    return refuse(prepare, has_engine ? WORK_REASON_PREPARE_LOAD : WORK_REASON_PREPARE_ENGINE);
}

static int check_form(struct prepare *prepare)
{
    struct stat status;
    if (fstat(prepare->form_fd, &status) < 0 || status.st_size == 0)
        return refuse(prepare, WORK_REASON_PREPARE_LOAD);
    prepare->form_bytes = (uint64_t) status.st_size;
    if (prepare->order->bytes_max > 0 && prepare->form_bytes > prepare->order->bytes_max)
        return refuse(prepare, WORK_REASON_PREPARE_TOO_LARGE);
    return 0;
}

static int load_original(struct prepare *prepare, struct trial_model *ret_original)
{
    struct model_options options = {.threads = 1};
    if (!prepare->order->has_no_form) {
        prepare->form_fd = memfd_create("model", MFD_CLOEXEC);
        if (prepare->form_fd < 0)
            return refuse(prepare, WORK_REASON_PREPARE_ENGINE);
        (void) snprintf(prepare->form_path, sizeof(prepare->form_path), "/proc/self/fd/%d",
                        prepare->form_fd);
        options.form_path = prepare->form_path;
    }
    int r = trial_load(prepare->path, &options, ret_original, &prepare->err);
    if (r < 0)
        return load_failed(prepare, r);
    r = prepare->order->has_no_form ? 0 : check_form(prepare);
    if (r < 0)
        trial_unload(ret_original);
    return r;
}

// What is measured here is its default way, with packed weights; a form has its own.
static int try_original(struct prepare *prepare)
{
    struct trial_model original;
    int64_t deadline_ns = clock_cpu_ns() + (int64_t) prepare->order->time_ms * 1000000;
    int r = load_original(prepare, &original);
    if (r < 0)
        return r;
    r = shapes_find(original.model, SEED, deadline_ns, &prepare->trial.shapes, &prepare->err);
    if (r == 0)
        r = trial_run(&prepare->trial, &original, &prepare->report.on, &prepare->err);
    trial_unload(&original);
    return r < 0 ? refuse(prepare, WORK_REASON_PREPARE_RUN) : 0;
}

// ---- the other ways

static int try_as(struct prepare *prepare, enum prepack prepack, struct work_measured *measured)
{
    // A path of its own kind: the engine takes what it maps for a prepared form, not by its name.
    const struct model_options options = {
        .threads = 1,
        .prepack = prepack,
        .prepared_path = prepare->order->has_no_form ? NULL : prepare->form_path};
    struct trial_model loaded;
    int r = trial_load(prepare->path, &options, &loaded, &prepare->err);
    if (r < 0)
        return load_failed(prepare, r);
    if (options.prepared_path != NULL && !loaded.model->is_prepared) {
        error_set(&prepare->err, -EIO, "%s", loaded.model->not_prepared);
        r = refuse(prepare, WORK_REASON_PREPARE_LOAD);
    } else if (trial_run(&prepare->trial, &loaded, measured, &prepare->err) < 0) {
        r = refuse(prepare, WORK_REASON_PREPARE_RUN);
    }
    trial_unload(&loaded);
    return r;
}

static int is_any_equal(struct prepare *prepare)
{
    double best = fmin(prepare->report.off.difference, prepare->report.on.difference);
    if (best <= WORK_PREPARED_TOLERANCE)
        return 0;
    error_set(&prepare->err, -EBADMSG, "by %.3g relative, %g is allowed", best,
              WORK_PREPARED_TOLERANCE);
    return refuse(prepare, WORK_REASON_PREPARE_DIFFERS);
}

// ---- the job

static int prepare_model(struct prepare *prepare)
{
    prepare->trial.seed = SEED;
    int r = try_original(prepare);
    if (r == 0)
        r = try_as(prepare, PREPACK_OFF, &prepare->report.off);
    if (r == 0 && !prepare->order->has_no_form)
        r = try_as(prepare, PREPACK_ON, &prepare->report.on);
    prepare->report.checked = TRIAL_CHECKS;
    return r < 0 ? r : is_any_equal(prepare);
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
    static char model_name[] = WORK_PREPARED_MODEL;
    size_t size = (size_t) prepare->form_bytes;
    void *form = mmap(NULL, size, PROT_READ, MAP_SHARED, prepare->form_fd, 0);
    if (form == MAP_FAILED)
        return -errno;
    int r = send_file(stream, model_name, form, size);
    (void) munmap(form, size);
    return r;
}

static int send_report(const struct prepare *prepare, struct stream *stream)
{
    static char report_name[] = WORK_PREPARED_REPORT;
    int r = send_file(stream, report_name, &prepare->report, sizeof(prepare->report));
    if (r == 0 && !prepare->order->has_no_form)
        r = send_form(prepare, stream);
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
    };
    if (stream == NULL || setenv("LAMINA_ONNXRUNTIME", LIBRARY, 0) < 0)
        return -ENOMEM;
    int r = stream_begin(stream, output);
    if (r < 0)
        return r;
    r = find_model(&prepare);
    if (r == 0)
        r = prepare_model(&prepare);
    r = r == -EBADMSG ? send_refusal(&prepare, stream) : send_report(&prepare, stream);
    trial_done(&prepare.trial);
    (void) fd_close(prepare.form_fd);
    return r;
}
