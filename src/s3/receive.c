// SPDX-License-Identifier: MIT

#include "s3/receive.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "loop/job.h"
#include "s3/s3_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

// A batch from which on a second thread is worth its wake-up.
#define APART_BYTES ((size_t) 64 * 1024)

// What a sender may still send after it was asked to pause.
#define SLACK_BYTES ((size_t) 1024 * 1024)

struct receive {
    struct s3 *s3;
    struct receive_spec spec;
    struct chunked_signer signer;
    bool is_paused, is_ended, is_cancelled;
    unsigned jobs;       // of the batch that is worked on
    struct buf incoming; // loop

    // the jobs', while there are any
    atomic_uint jobs_left;
    bool is_md5_apart;
    struct buf batch;
    bool is_last, is_open, is_over; // is_over: finish or drop was called
    int code;
    int fd;
    uint64_t offset;
    uint64_t synced; // up to here the kernel was told to write
    struct receive_result result;
    struct digest_stream sha256;
    struct checksum_stream md5, checksum;
    struct chunked chunked;
};

// ---- The job: one batch

static int write_at(struct receive *receive, const char *data, size_t size)
{
    uint64_t at = receive->offset + receive->result.bytes;
    while (size > 0) {
        ssize_t n = pwrite(receive->fd, data, size, (off_t) at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        at += (uint64_t) n;
        size -= (size_t) n;
    }
    return 0;
}

static int take_data(void *arg, const void *data, size_t size)
{
    struct receive *receive = arg;
    if (receive->spec.has_bytes && size > receive->spec.bytes - receive->result.bytes)
        return -EBADMSG;
    int r = write_at(receive, data, size);
    if (r < 0)
        return r;
    if (receive->spec.wants_sha256)
        digest_update(&receive->sha256, data, size);
    if (!receive->is_md5_apart)
        checksum_update(&receive->md5, data, size);
    if (receive->spec.checksum)
        checksum_update(&receive->checksum, data, size);
    receive->result.bytes += size;
    return 0;
}

static int receive_open(struct receive *receive)
{
    int r = receive->spec.open(receive->spec.arg, &receive->fd, &receive->offset);
    if (r == 0)
        receive->is_open = true;
    return r < 0 ? r : 0;
}

static int receive_finish(struct receive *receive)
{
    struct receive_result *result = &receive->result;
    if (receive->spec.is_chunked) {
        int r = chunked_finish(&receive->chunked);
        if (r < 0)
            return r;
        if (receive->spec.checksum)
            result->trailer =
                chunked_trailer(&receive->chunked, str_of(checksum_header(receive->spec.checksum)));
    }
    if (receive->spec.has_bytes && result->bytes != receive->spec.bytes)
        return -EBADMSG;
    if (receive->spec.wants_sha256)
        result->sha256 = digest_finish(&receive->sha256);
    result->md5 = checksum_finish(&receive->md5);
    if (receive->spec.checksum)
        result->checksum = checksum_finish(&receive->checksum);
    result->fd = receive->fd;
    receive->is_over = true;
    int r = receive->spec.finish(receive->spec.arg, result);
    return r < 0 ? r : 0;
}

static void receive_drop(struct receive *receive)
{
    receive->fd = fd_close(receive->fd);
    if (receive->is_open && !receive->is_over)
        receive->spec.drop(receive->spec.arg);
    receive->is_over = true;
}

// The disk begins to write while the rest still comes: what is left for the sync at the end is
// little.
static void start_writing(struct receive *receive)
{
    uint64_t end = receive->offset + receive->result.bytes;
    if (end - receive->synced >= 8 * RECEIVE_BATCH_BYTES) {
        (void) sync_file_range(receive->fd, (off_t) receive->synced,
                               (off_t) (end - receive->synced), SYNC_FILE_RANGE_WRITE);
        receive->synced = end;
    }
}

// The last of the batch's jobs ends it.
static void end_batch(struct receive *receive)
{
    if (atomic_fetch_sub(&receive->jobs_left, 1) != 1)
        return;
    buf_clear(&receive->batch);
    if (receive->code == 0)
        start_writing(receive);
    if (receive->code == 0 && receive->is_last)
        receive->code = receive_finish(receive);
    if (receive->code < 0 || receive->is_last)
        receive_drop(receive); // closes, in any case
}

static void run_batch(void *arg)
{
    struct receive *receive = arg;
    if (!receive->is_open) {
        receive->code = receive_open(receive);
        receive->synced = receive->offset;
    }
    if (receive->code == 0 && receive->batch.size > 0)
        receive->code =
            receive->spec.is_chunked
                ? chunked_feed(&receive->chunked, receive->batch.data, receive->batch.size)
                : take_data(receive, receive->batch.data, receive->batch.size);
    end_batch(receive);
}

static void run_md5(void *arg)
{
    struct receive *receive = arg;
    checksum_update(&receive->md5, receive->batch.data, receive->batch.size);
    end_batch(receive);
}

static void run_drop(void *arg)
{
    receive_drop(arg);
}

// ---- The loop

static void receive_step(struct receive *receive);

static void receive_free(struct receive *receive)
{
    receive->s3->receives--;
    if (receive->fd >= 0)
        fd_close(receive->fd);
    digest_stream_done(&receive->sha256);
    checksum_done(&receive->md5);
    checksum_done(&receive->checksum);
    chunked_done(&receive->chunked);
    mem_wipe(&receive->signer, sizeof(receive->signer));
    buf_done(&receive->incoming);
    buf_done(&receive->batch);
    free(receive);
}

static void receive_done(struct receive *receive)
{
    struct receive_spec spec = receive->spec;
    int code = receive->code;
    bool is_cancelled = receive->is_cancelled;
    receive_free(receive);
    spec.done(spec.arg, code, is_cancelled);
}

static void drop_done(void *arg, int status)
{
    receive_done(arg);
}

static void batch_done(void *arg, int status)
{
    struct receive *receive = arg;
    if (status < 0) // the service is ending
        receive->is_cancelled = true;
    if (--receive->jobs > 0)
        return;
    if (receive->is_over) {
        receive_done(receive);
        return;
    }
    receive_step(receive);
}

// What it has written is removed on a thread, too. Without one: the next start empties tmp/.
static void begin_drop(struct receive *receive)
{
    receive->jobs = 1;
    if (job_submit(receive->s3->bodies, run_drop, drop_done, receive) < 0)
        receive_done(receive);
}

// 0 or the number of jobs that work on the batch now.
static unsigned submit_batch(struct receive *receive)
{
    struct job_pool *pool = receive->s3->bodies;
    bool may_split = !receive->spec.is_chunked && receive->batch.size >= APART_BYTES;
    atomic_store(&receive->jobs_left, may_split ? 2 : 1);
    receive->is_md5_apart = may_split;
    if (may_split && job_submit(pool, run_md5, batch_done, receive) < 0) {
        atomic_store(&receive->jobs_left, 1);
        receive->is_md5_apart = false;
    }
    receive->jobs = receive->is_md5_apart ? 1 : 0;
    if (job_submit(pool, run_batch, batch_done, receive) == 0) {
        receive->jobs++;
    } else {
        receive->is_cancelled = true;             // there is no memory for a job
        atomic_fetch_sub(&receive->jobs_left, 2); // the other one must not go on
    }
    return receive->jobs;
}

static void receive_step(struct receive *receive)
{
    if (receive->jobs > 0)
        return;
    if (receive->is_cancelled || buf_status(&receive->incoming) < 0) {
        if (receive->code == 0)
            receive->code = receive->is_cancelled ? -ECANCELED : buf_status(&receive->incoming);
        begin_drop(receive);
        return;
    }
    if (receive->incoming.size == 0 && !receive->is_ended)
        return;
    struct buf empty = receive->batch;
    receive->batch = receive->incoming;
    receive->incoming = empty;
    receive->is_last = receive->is_ended;
    bool must_resume = receive->is_paused;
    receive->is_paused = false;
    if (submit_batch(receive) == 0) {
        receive->code = -EAGAIN;
        begin_drop(receive);
        return;
    }
    if (must_resume)
        receive->spec.resume(receive->spec.arg);
}

int receive_start(struct s3 *s3, const struct receive_spec *spec, struct receive **ret_receive)
{
    if (s3->receives >= RECEIVES_MAX)
        return -EAGAIN;
    struct receive *receive = mem_new(struct receive);
    if (!receive)
        return -ENOMEM;
    receive->s3 = s3;
    receive->spec = *spec;
    receive->fd = -1;
    if (spec->signer)
        receive->signer = *spec->signer;
    receive->spec.signer = NULL;
    s3->receives++;
    buf_init(&receive->incoming, RECEIVE_BATCH_BYTES + SLACK_BYTES);
    buf_init(&receive->batch, RECEIVE_BATCH_BYTES + SLACK_BYTES);
    digest_stream_init(&receive->sha256);
    checksum_init(&receive->md5, CHECKSUM_MD5);
    if (spec->checksum)
        checksum_init(&receive->checksum, spec->checksum);
    if (spec->is_chunked)
        chunked_init(&receive->chunked, spec->form, spec->signer ? &receive->signer : NULL,
                     take_data, receive);
    *ret_receive = receive;
    return 0;
}

bool receive_write(struct receive *receive, const void *data, size_t size)
{
    (void) buf_append(&receive->incoming, data, size); // receive_step looks
    bool must_pause = receive->jobs > 0 && receive->incoming.size >= RECEIVE_BATCH_BYTES;
    if (must_pause)
        receive->is_paused = true;
    receive_step(receive);
    return must_pause;
}

void receive_end(struct receive *receive)
{
    receive->is_ended = true;
    receive_step(receive);
}

void receive_cancel(struct receive *receive)
{
    receive->is_cancelled = true;
    receive_step(receive);
}
