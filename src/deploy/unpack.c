// SPDX-License-Identifier: MIT

#include "deploy/unpack.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "deploy/work_stream.h"
#include "deploy/worker.h"
#include "store/models.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_SIZE (256 * 1024)

// The worker's rules for names are the store's.
_Static_assert(WORK_PATH_MAX == STORE_PATH_MAX, "one limit for paths");
_Static_assert(WORK_NAME_MAX == STORE_NAME_MAX, "one limit for names");
_Static_assert(WORK_DEPTH_MAX == STORE_DEPTH_MAX, "one limit for depth");
_Static_assert(WORK_LINK_MAX == STORE_LINK_MAX, "one limit for links");

static const char bad_zip[] =
    "Could not unzip uploaded file. Please check your file, then try to upload again.";

// One unpacking under way.
struct unpack {
    const struct unpack_spec *spec;
    struct deploy_result *result;
    struct store_batch *batch;
    struct store_file *file; // being written
    bool is_executable;
    int64_t mtime;
    size_t path_size;
    char path[WORK_PATH_MAX];
    struct error err; // of the sink
    uint64_t bytes_max;
    struct work_stream stream;
    char buffer[READ_SIZE];
};

static int finish(struct unpack *unpack, enum deploy_status status, int code, const char *text)
{
    unpack->result->status = status;
    return error_set(&unpack->result->err, code, "%s", text);
}

// An error of the store: a full disk is told apart, and so is a tree that the store does not take.
static int finish_store(struct unpack *unpack, int code, const struct error *err)
{
    unpack->result->err = *err;
    switch (code) {
    case -ENOSPC:
    case -EDQUOT:
        unpack->result->status = DEPLOY_NO_SPACE;
        return code;
    case -E2BIG:
    case -ENAMETOOLONG:
    case -EINVAL:
    case -EEXIST:
    case -EXDEV: {
        struct error cause = *err;
        unpack->result->status = DEPLOY_BAD_ZIP;
        return error_set(&unpack->result->err, code, "%s (%.300s)", bad_zip, cause.text);
    }
    default:
        unpack->result->status = DEPLOY_INTERNAL;
        return code;
    }
}

// ---- The sink: names go to the batch, which checks them again; content to staged files

static int sink_directory(void *arg, struct str path)
{
    struct unpack *unpack = arg;
    return store_batch_directory(unpack->batch, path, &unpack->err);
}

static int sink_link(void *arg, struct str path, struct str target)
{
    struct unpack *unpack = arg;
    return store_batch_link(unpack->batch, path, target, &unpack->err);
}

static int sink_file(void *arg, struct str path, bool is_executable, int64_t mtime, uint64_t size)
{
    struct unpack *unpack = arg;
    unpack->is_executable = is_executable;
    unpack->mtime = mtime;
    unpack->path_size = path.size;
    memcpy(unpack->path, path.data, path.size);
    // The worker was told the same limit; it is not believed to keep it.
    uint64_t used = store_batch_bytes(unpack->batch);
    if (unpack->bytes_max && (used > unpack->bytes_max || size > unpack->bytes_max - used))
        return error_set(&unpack->err, -EPROTO, "lamina-work passed its limit");
    return store_file_new(unpack->spec->store, &unpack->file, &unpack->err);
}

static int sink_data(void *arg, const void *data, size_t size)
{
    struct unpack *unpack = arg;
    return store_file_write(unpack->file, data, size, &unpack->err);
}

static int sink_file_end(void *arg)
{
    struct unpack *unpack = arg;
    int r = store_file_finish(unpack->file, &unpack->err);
    if (r < 0)
        return r;
    return store_batch_file(unpack->batch, (struct str){unpack->path, unpack->path_size},
                            TAKE_PTR(unpack->file), unpack->is_executable, unpack->mtime,
                            &unpack->err);
}

static const struct work_sink sink = {
    .directory = sink_directory,
    .file = sink_file,
    .data = sink_data,
    .file_end = sink_file_end,
    .link = sink_link,
};

// ---- Refusals

// The entry's name as a person may see it: what is not plain text becomes '?'.
static void printable(const char *name, size_t size, char *text, size_t text_size)
{
    size_t used = 0;
    bool is_utf8 = str_is_utf8(str_of_data(name, size));
    for (size_t i = 0; i < size && used < text_size - 4; i++) {
        unsigned char byte = (unsigned char) name[i];
        bool is_plain = byte >= 0x20 && byte != 0x7f && (byte < 0x80 || is_utf8);
        text[used++] = is_plain ? (char) byte : '?';
    }
    // Not in the middle of a character.
    while (used > 0 && !str_is_utf8(str_of_data(text, used)))
        used--;
    snprintf(text + used, text_size - used, "%s", used < size ? "..." : "");
}

static int finish_too_large(struct unpack *unpack)
{
    uint64_t size = unpack->stream.number;
    char text[160];
    if (unpack->spec->limits == DEPLOY_LIMITS_ENFORCE && size >= LIMIT_ZIP_UNPACKED_MAX) {
        snprintf(text, sizeof(text), "Unzipped size must be smaller than %" PRId64 " bytes",
                 LIMIT_ZIP_UNPACKED_MAX);
        return finish(unpack, DEPLOY_UNZIPPED_TOO_LARGE, -EFBIG, text);
    }
    snprintf(text, sizeof(text),
             "The disk of the service is too full: the package needs %" PRIu64
             " bytes unzipped, %" PRIu64 " are free",
             size, unpack->bytes_max);
    return finish(unpack, DEPLOY_NO_SPACE, -ENOSPC, text);
}

static int finish_refused(struct unpack *unpack)
{
    const struct work_stream *stream = &unpack->stream;
    if (stream->reason == WORK_REASON_TOO_LARGE)
        return finish_too_large(unpack);
    if (stream->reason == WORK_REASON_EMPTY)
        return finish(unpack, DEPLOY_BAD_ZIP, -EBADMSG, "Uploaded file must be a non-empty zip");
    unpack->result->status = DEPLOY_BAD_ZIP;
    if (stream->path_size == 0)
        return error_set(&unpack->result->err, -EBADMSG, "%s (%s)", bad_zip,
                         work_reason_text(stream->reason));
    char name[128];
    printable(stream->path, stream->path_size, name, sizeof(name));
    return error_set(&unpack->result->err, -EBADMSG, "%s ('%s': %s)", bad_zip, name,
                     work_reason_text(stream->reason));
}

// ---- The worker

static int read_stream(struct unpack *unpack, struct worker *worker)
{
    for (;;) {
        ssize_t n = worker_read(worker, unpack->buffer, READ_SIZE, DEPLOY_STALL_S * 1000);
        if (n == 0)
            return 0;
        if (n < 0) {
            error_set_errno(&unpack->err, (int) n, "read from lamina-work");
            return finish(unpack, DEPLOY_INTERNAL, (int) n, unpack->err.text);
        }
        int r = work_stream_feed(&unpack->stream, unpack->buffer, (size_t) n);
        if (r < 0) {
            if (unpack->err.code == 0)
                error_set(&unpack->err, r, "lamina-work broke the protocol");
            return finish_store(unpack, r, &unpack->err);
        }
    }
}

// The end of the stream counts only once the worker ended well: then it is complete.
static int unpack_stream(struct unpack *unpack, struct worker *worker)
{
    int r = read_stream(unpack, worker);
    if (r < 0)
        return r;
    r = worker_wait(worker, DEPLOY_STALL_S * 1000, &unpack->err);
    if (r < 0)
        return finish(unpack, DEPLOY_INTERNAL, r, unpack->err.text);
    r = work_stream_finish(&unpack->stream);
    if (r < 0)
        return finish(unpack, DEPLOY_INTERNAL, r, "lamina-work ended in the middle");
    return unpack->stream.is_refused ? finish_refused(unpack) : 0;
}

// What the files may take: AWS's limit, and the disk.
static int set_bytes_max(struct unpack *unpack)
{
    uint64_t bytes_free;
    int r = store_bytes_free(unpack->spec->store, &bytes_free);
    if (r < 0)
        return finish(unpack, DEPLOY_INTERNAL, r, "the data directory's free space is unknown");
    uint64_t limit = unpack->spec->limits == DEPLOY_LIMITS_ENFORCE
                         ? (uint64_t) LIMIT_ZIP_UNPACKED_MAX - 1
                         : UINT64_MAX;
    unpack->bytes_max = bytes_free < limit ? bytes_free : limit;
    if (unpack->bytes_max == 0)
        return finish(unpack, DEPLOY_NO_SPACE, -ENOSPC, "The disk of the service is full");
    return 0;
}

static int unpack_zip(struct unpack *unpack, int input)
{
    int r = set_bytes_max(unpack);
    if (r < 0)
        return r;
    struct worker_spec spec = {
        .kind = WORK_KIND_UNZIP,
        .arguments = {[WORK_ARGUMENT_ENTRIES_MAX] = DEPLOY_ENTRIES_MAX,
                      [WORK_ARGUMENT_BYTES_MAX] = unpack->bytes_max},
        .input = input,
    };
    struct worker worker;
    r = worker_start(&worker, unpack->spec->work_fd, &spec, &unpack->err);
    if (r < 0)
        return finish(unpack, DEPLOY_INTERNAL, r, unpack->err.text);
    work_stream_init(&unpack->stream, &sink, unpack);
    r = unpack_stream(unpack, &worker);
    worker_close(&worker);
    return r;
}

// ---- The job

static int check_zip_size(struct unpack *unpack, uint64_t bytes)
{
    char text[80];
    unpack->result->zip_bytes = bytes;
    if (unpack->spec->limits != DEPLOY_LIMITS_ENFORCE || bytes <= LIMIT_ZIP_DIRECT_MAX)
        return 0;
    snprintf(text, sizeof(text), "Zipped size must be smaller than %" PRId64 " bytes",
             LIMIT_ZIP_DIRECT_MAX);
    return finish(unpack, DEPLOY_ZIP_TOO_LARGE, -EFBIG, text);
}

// The package: a staged file that becomes an object with the tree, or one that is in the store.
static int open_zip(struct unpack *unpack, struct store_file *zip, int *ret_fd)
{
    struct deploy_result *result = unpack->result;
    uint64_t bytes = 0;
    int r;
    if (zip) {
        result->zip_sha256 = store_file_digest(zip);
        bytes = store_file_bytes(zip);
        r = *ret_fd = store_file_open(zip);
        if (r >= 0)
            r = store_batch_blob(unpack->batch, zip, &unpack->err);
        else
            store_file_free(zip);
    } else {
        result->zip_sha256 = unpack->spec->package;
        r = store_batch_blob_known(unpack->batch, &result->zip_sha256, &unpack->err);
        if (r == 0)
            r = store_blob_open(unpack->spec->store, &result->zip_sha256, ret_fd, &bytes);
    }
    if (r < 0 && unpack->err.code == 0)
        error_set_errno(&unpack->err, r, "open the package");
    if (r == -ENOENT && !zip)
        return finish(unpack, DEPLOY_NO_PACKAGE, r, unpack->err.text);
    return r < 0 ? finish_store(unpack, r, &unpack->err) : check_zip_size(unpack, bytes);
}

static int unpack_commit(struct unpack *unpack)
{
    struct deploy_result *result = unpack->result;
    result->tree_bytes = store_batch_bytes(unpack->batch);
    result->entries = store_batch_entries(unpack->batch);
    int r = store_batch_commit(unpack->batch, &result->tree_id, &result->pin, &unpack->err);
    if (r == 0)
        result->mark = mark_read(unpack->spec->store, &result->tree_id);
    return r < 0 ? finish_store(unpack, r, &unpack->err) : 0;
}

void unpack_run(const struct unpack_spec *spec, struct deploy_result *result)
{
    AUTO_FREE struct unpack *unpack = mem_new(struct unpack);
    struct store_batch *batch = store_batch_new(spec->store);
    *result = (struct deploy_result){0};
    if (!unpack || !batch) {
        store_batch_free(batch);
        store_file_free(spec->zip);
        result->status = DEPLOY_INTERNAL;
        error_set(&result->err, -ENOMEM, "no memory for a deployment");
        return;
    }
    unpack->spec = spec;
    unpack->result = result;
    unpack->batch = batch;
    AUTO_FD int input = -1;
    int r = open_zip(unpack, spec->zip, &input);
    if (r == 0)
        r = unpack_zip(unpack, input);
    if (r == 0)
        r = unpack_commit(unpack); // the result tells
    if (r == 0 && spec->has_models_set &&
        store_models_make(spec->store, &spec->models_set, &result->err) < 0)
        result->status = DEPLOY_INTERNAL;
    store_file_free(unpack->file);
    store_batch_free(batch);
}
