// SPDX-License-Identifier: MIT

#include "deploy/prepare_job.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "deploy/work_stream.h"
#include "deploy/worker.h"
#include "store/look.h"
#include "store/stage.h"
#include "wire/spawn.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)
#define MIB (UINT64_C(1024) * 1024)

// A form is about as large as its model; the optimiser may unfold constants.
#define FORM_BYTES_MAX(bytes) (2 * (bytes) + 64 * MIB)
// Engine, original, form, and what making one of the other takes: 1.3 GB were seen for 420 MB, 80 MB
// for a small one. The limit leaves room for other models' ways.
#define WORK_NEED(bytes) (3 * (bytes) + 160 * MIB)
#define WORK_MEMORY(bytes) (4 * (bytes) + 640 * MIB)
#define WORK_CPU_S(bytes) (20 + (uint32_t) ((bytes) / (8 * MIB)))
#define WORK_TIME_MS 8000
// From its start to its end, whether it is silent, sleeps, or writes a byte now and then; processor
// time that others have counts here as well.
#define TIME_LIMIT_MS(bytes) (4000 * (int64_t) WORK_CPU_S(bytes))
// Beyond these lamina-spawn takes a request for a broken one, and ends with the service.
#define WORK_BYTES_MAX (24 * 1024 * MIB)
_Static_assert(WORK_MEMORY(WORK_BYTES_MAX) <= SPAWN_MEMORY_MIB_MAX * MIB, "a WORK is valid");
_Static_assert(WORK_CPU_S(WORK_BYTES_MAX) <= 3600, "a WORK is valid");

// ---- the worker's two files

struct reading {
    const struct prepare_job *job;
    struct work_prepared report;
    size_t report_size;
    bool has_report, is_model;
    struct store_file *file; // owned: the form, under way or finished
    bool is_finished;
    bool has_no_form; // nor is to have one
    uint64_t form_bytes_max;
    int64_t end_ms; // monotonic: it is killed then
    struct work_stream stream;
    struct error err;
    char buffer[READ_SIZE];
};

static int broken(struct reading *reading)
{
    return error_set(&reading->err, -EPROTO, "lamina-work broke the protocol");
}

static int sink_file(void *arg, struct str path, bool is_executable, int64_t mtime, uint64_t size)
{
    struct reading *reading = arg;
    (void) is_executable;
    (void) mtime;
    if (!reading->has_report) {
        bool is_it = str_equal_text(path, WORK_PREPARED_REPORT) && size == sizeof(reading->report);
        return is_it ? 0 : broken(reading);
    }
    if (reading->has_no_form || !str_equal_text(path, WORK_PREPARED_MODEL) || reading->file ||
        size == 0 || size > reading->form_bytes_max)
        return broken(reading);
    reading->is_model = true;
    return store_file_new(reading->job->store, &reading->file, &reading->err);
}

static int sink_data(void *arg, const void *data, size_t size)
{
    struct reading *reading = arg;
    if (reading->is_model)
        return store_file_write(reading->file, data, size, &reading->err);
    memcpy((char *) &reading->report + reading->report_size, data, size); // the stream counts
    reading->report_size += size;
    return 0;
}

static int sink_file_end(void *arg)
{
    struct reading *reading = arg;
    reading->has_report = true;
    if (!reading->is_model)
        return 0;
    reading->is_finished = true;
    return store_file_finish(reading->file, &reading->err);
}

static int sink_directory(void *arg, struct str path)
{
    (void) path;
    return broken(arg);
}

static int sink_link(void *arg, struct str path, struct str target)
{
    (void) path;
    (void) target;
    return broken(arg);
}

static const struct work_sink sink = {
    .directory = sink_directory,
    .file = sink_file,
    .data = sink_data,
    .file_end = sink_file_end,
    .link = sink_link,
};

static int time_left_ms(const struct reading *reading)
{
    int64_t left_ms = reading->end_ms - clock_monotonic_ms();
    return left_ms > 0 ? (int) left_ms : 0;
}

static int read_stream(struct reading *reading, struct worker *worker)
{
    for (;;) {
        ssize_t n = worker_read(worker, reading->buffer, READ_SIZE, time_left_ms(reading));
        if (n == 0)
            return 0;
        if (n == -ETIME)
            return error_set(&reading->err, -ETIME, "it took too long");
        if (n < 0)
            return error_set_errno(&reading->err, (int) n, "read from lamina-work");
        int r = work_stream_feed(&reading->stream, reading->buffer, (size_t) n);
        if (r < 0)
            return reading->err.code ? r : broken(reading);
    }
}

static int run_worker(struct reading *reading, int input, uint64_t bytes)
{
    const struct prepare_job *job = reading->job;
    const struct worker_spec spec = {
        .kind = WORK_KIND_PREPARE,
        .arguments = {[WORK_PREPARE_BYTES_MAX] = reading->form_bytes_max,
                      [WORK_PREPARE_TIME_MS] = WORK_TIME_MS,
                      [WORK_PREPARE_HAS_TREE] = job->has_tree,
                      [WORK_PREPARE_NO_FORM] = reading->has_no_form},
        .input = input,
        .tree_id = job->has_tree ? job->tree_id.bytes : NULL,
        .flags = SPAWN_WORK_ENGINE,
        .cpu_seconds = WORK_CPU_S(bytes),
        .memory_bytes = WORK_MEMORY(bytes),
    };
    struct worker worker;
    int r = worker_start(&worker, job->work_fd, &spec, &reading->err);
    if (r < 0)
        return r;
    reading->end_ms = clock_monotonic_ms() +
                      (job->time_limit_ms ? (int64_t) job->time_limit_ms : TIME_LIMIT_MS(bytes));
    r = read_stream(reading, &worker);
    if (r == 0)
        r = worker_wait(&worker, time_left_ms(reading), &reading->err);
    if (r == 0 && work_stream_finish(&reading->stream) < 0)
        r = broken(reading);
    worker_close(&worker);
    return r;
}

uint64_t prepare_job_need(uint64_t bytes)
{
    return bytes > WORK_BYTES_MAX ? 0 : WORK_NEED(bytes);
}

// ---- what it says

// Words of the worker may hold anything: what is not plain ASCII becomes '?'.
static void take_reason(const struct work_stream *stream, struct prepare_record *record)
{
    int used = snprintf(record->reason, sizeof(record->reason), "%s%s",
                        work_reason_text(stream->reason), stream->path_size > 0 ? ": " : "");
    size_t at = (size_t) used;
    for (size_t i = 0; i < stream->path_size && at + 1 < sizeof(record->reason); i++) {
        char byte = stream->path[i];
        record->reason[at++] = byte >= 0x20 && byte < 0x7f ? byte : '?';
    }
    record->reason[at] = '\0';
}

static struct prepare_packing_measured take_measured(const struct work_measured *measured)
{
    // Numbers that nobody can have measured are as good as none.
    const uint64_t most = INT64_MAX / 1024;
    return (struct prepare_packing_measured){
        .cold_us = measured->cold_us < most ? measured->cold_us : most,
        .warm_us = measured->warm_us < most ? measured->warm_us : most,
        .private_bytes = measured->private_bytes < most ? measured->private_bytes : most,
        .is_equal = measured->difference >= 0 && measured->difference <= WORK_PREPARED_TOLERANCE,
    };
}

static int keep_form(struct reading *reading, struct prepare_record *record,
                     struct store_pin **ret_pin, struct error *err)
{
    record->has_form = true;
    record->form = store_file_digest(reading->file);
    record->bytes = store_file_bytes(reading->file);
    return store_stage_take(reading->job->store, TAKE_PTR(reading->file), ret_pin, err);
}

static void take_report(const struct reading *reading, struct prepare_record *record)
{
    record->is_measured = true;
    record->checked = reading->report.checked;
    record->off = take_measured(&reading->report.off);
    record->on = take_measured(&reading->report.on);
}

static int finish(struct reading *reading, struct prepare_record *record,
                  struct store_pin **ret_pin, struct error *err)
{
    if (reading->stream.is_refused) {
        if (reading->stream.reason == WORK_REASON_PREPARE_ENGINE)
            return error_set(err, -ELIBACC, "there is no engine that works");
        take_reason(&reading->stream, record);
        return 0;
    }
    if (reading->has_no_form ? !reading->has_report : !reading->is_finished)
        return error_set(err, -EPROTO, "lamina-work broke the protocol");
    take_report(reading, record);
    return reading->has_no_form ? 0 : keep_form(reading, record, ret_pin, err);
}

int prepare_job_run(const struct prepare_job *job, struct prepare_record *ret_record,
                    struct store_pin **ret_pin, struct error *err)
{
    AUTO_FREE struct reading *reading = mem_new(struct reading);
    AUTO_FD int input = -1;
    uint64_t bytes = 0;
    if (!reading)
        return error_set(err, -ENOMEM, "no memory for a preparation");
    int r = store_tree_open(job->store, &job->tree_id, job->path, &input, &bytes);
    if (r < 0)
        return error_set_errno(err, r, "open the model");
    reading->job = job;
    bytes += job->has_tree ? job->beside_bytes : 0;
    if (bytes > WORK_BYTES_MAX)
        return error_set(err, -EFBIG, "the model is too large to be prepared");
    reading->has_no_form =
        bytes >= (job->form_bytes_max ? job->form_bytes_max : PREPARE_FORM_BYTES_MAX);
    reading->form_bytes_max = FORM_BYTES_MAX(bytes);
    work_stream_init(&reading->stream, &sink, reading);
    struct prepare_record record = {.model = job->model};
    r = run_worker(reading, input, bytes);
    if (r < 0)
        *err = reading->err;
    else
        r = finish(reading, &record, ret_pin, err);
    store_file_free(reading->file);
    if (r == 0)
        *ret_record = record;
    return r;
}
