// SPDX-License-Identifier: MIT

#include "fetch/spool.h"

#include "base/list.h"
#include "base/mem.h"
#include "fetch/scanner.h"
#include "loop/job.h"

#include <errno.h>
#include <string.h>

#define SPOOL_THREADS 2
#define SPOOL_JOBS_MAX 4096 // one a spool: connections are what limits them

struct spooler {
    struct loop *loop;   // borrowed
    struct store *store; // borrowed
    struct job_pool *pool;
    struct list spools;  // spool.link, all of them
    struct list waiting; // spool.turn: large ones that wait
    size_t large_count;  // large ones under way
    size_t waiting_count;
};

// Members of the job are the job's while is_working, else the loop's.
struct spool {
    struct spooler *spooler;
    struct list link, turn;
    struct spool_spec spec;
    struct digest expected;
    bool is_large, is_waiting, is_working, is_paused, is_ended, is_cancelled;
    struct buf incoming; // loop

    // the job's
    struct buf batch;
    bool is_last;
    enum spool_status status;
    struct error err;
    struct buf json;
    struct store_file *file;
    struct scanner scanner; // SPOOL_JSON
};

struct spooler *spooler_new(struct loop *loop, struct store *store)
{
    struct spooler *spooler = mem_new(struct spooler);
    if (!spooler)
        return NULL;
    spooler->loop = loop;
    spooler->store = store;
    list_init(&spooler->spools);
    list_init(&spooler->waiting);
    if (job_pool_new(loop, "spool", SPOOL_THREADS, SPOOL_JOBS_MAX, &spooler->pool) < 0) {
        free(spooler);
        return NULL;
    }
    return spooler;
}

static void spool_free(struct spool *spool)
{
    list_remove(&spool->link);
    list_remove(&spool->turn);
    buf_done(&spool->incoming);
    buf_done(&spool->batch);
    buf_done(&spool->json);
    store_file_free(spool->file);
    free(spool);
}

void spooler_free(struct spooler *spooler)
{
    if (!spooler)
        return;
    LIST_FOR_EACH (struct spool, each, &spooler->spools, link)
        each->is_cancelled = true;
    job_pool_free(spooler->pool); // those that work free themselves
    LIST_FOR_EACH_SAFE (struct spool, spool, &spooler->spools, link)
        spool_free(spool);
    free(spooler);
}

// ---- The job: one batch

static void fail(struct spool *spool, enum spool_status status, int code, const char *text)
{
    spool->status = status;
    error_set(&spool->err, code, "%s", text);
}

static void fail_at_disk(struct spool *spool, const struct error *err)
{
    bool is_full = err->code == -ENOSPC || err->code == -EDQUOT;
    fail(spool, is_full ? SPOOL_NO_SPACE : SPOOL_FAILED, err->code, err->text);
}

static int spool_put(void *arg, const void *data, size_t size)
{
    struct spool *spool = arg;
    struct error err = {0};
    int r = 0;
    if (!spool->file)
        r = store_file_new(spool->spooler->store, &spool->file, &err);
    if (r == 0 && spool->spec.zip_bytes_max &&
        size > spool->spec.zip_bytes_max - store_file_bytes(spool->file)) {
        fail(spool, SPOOL_ZIP_TOO_LARGE, -EFBIG, "the package is too large");
        return -EFBIG;
    }
    if (r == 0)
        r = store_file_write(spool->file, data, size, &err);
    if (r < 0)
        fail_at_disk(spool, &err);
    return r;
}

static void scan_fail(struct spool *spool, int error)
{
    const char *member = spool->spec.zip_member;
    switch (error) {
    case SCANNER_BAD_JSON:
        fail(spool, SPOOL_BAD_JSON, -EINVAL, "the body is not JSON");
        break;
    case SCANNER_TWICE:
        fail(spool, SPOOL_BAD_JSON, -EINVAL, "");
        error_set(&spool->err, -EINVAL, "the body has '%s' twice", member);
        break;
    case SCANNER_BAD_BASE64:
        fail(spool, SPOOL_BAD_BASE64, -EINVAL, "");
        error_set(&spool->err, -EINVAL, "'%s' is not base64", member);
        break;
    case SCANNER_REST_TOO_LARGE:
        fail(spool, SPOOL_JSON_TOO_LARGE, -EFBIG, "the body is too large without the package");
        break;
    default:
        break; // spool_put has said why
    }
}

static void spool_feed(struct spool *spool)
{
    if (spool->spec.form == SPOOL_PLAIN) {
        (void) !spool_put(spool, spool->batch.data, spool->batch.size); // sets the status
        return;
    }
    int error = scanner_feed(&spool->scanner, spool->batch.data, spool->batch.size);
    if (error)
        scan_fail(spool, error);
}

static void spool_finish(struct spool *spool)
{
    struct error err = {0};
    bool is_plain = spool->spec.form == SPOOL_PLAIN;
    if (!is_plain) {
        int error = scanner_finish(&spool->scanner);
        if (error)
            scan_fail(spool, error);
    }
    // An empty package is a package: refused as "not a zip" later, not taken for an absent one.
    if (spool->status == SPOOL_OK && !spool->file && (is_plain || spool->scanner.has_target))
        (void) !spool_put(spool, "", 0); // sets the status
    if (spool->status != SPOOL_OK || !spool->file)
        return;
    if (store_file_finish(spool->file, &err) < 0) {
        fail_at_disk(spool, &err);
        return;
    }
    struct digest found = store_file_digest(spool->file);
    if (spool->spec.expected && !digest_equal(&found, &spool->expected))
        fail(spool, SPOOL_DIGEST_DIFFERS, -EBADMSG,
             "the body does not have the digest it is sent as");
}

static void spool_run(void *arg)
{
    struct spool *spool = arg;
    if (spool->batch.size > 0)
        spool_feed(spool);
    buf_clear(&spool->batch);
    if (spool->status == SPOOL_OK && spool->is_last)
        spool_finish(spool);
    if (spool->status != SPOOL_OK) { // before the sender hears of it, and not on the loop
        store_file_free(spool->file);
        spool->file = NULL;
    }
}

// ---- The loop

static void spool_step(struct spool *spool);

static void admit_next(struct spooler *spooler)
{
    struct list *first = list_first(&spooler->waiting);
    if (!first || spooler->large_count >= SPOOL_LARGE_MAX)
        return;
    struct spool *spool = LIST_ENTRY(first, struct spool, turn);
    list_remove(&spool->turn);
    spool->is_waiting = false;
    spooler->waiting_count--;
    spooler->large_count++;
    spool_step(spool);
}

// Its place goes to the next one; the memory stays.
static void spool_leave(struct spool *spool)
{
    struct spooler *spooler = spool->spooler;
    if (spool->is_waiting) {
        list_remove(&spool->turn);
        spooler->waiting_count--;
    } else if (spool->is_large) {
        spooler->large_count--;
    }
    spool->is_waiting = spool->is_large = false;
}

static void spool_end_with_result(struct spool *spool)
{
    struct spooler *spooler = spool->spooler;
    struct spool_result result = {
        .status = spool->status,
        .err = spool->err,
        .json = spool->json,
        .zip = spool->status == SPOOL_OK ? TAKE_PTR(spool->file) : NULL,
    };
    spool->json = (struct buf){0};
    spool_leave(spool);
    spool->spec.done(spool->spec.arg, &result);
    buf_done(&result.json);
    store_file_free(result.zip);
    spool_free(spool);
    admit_next(spooler);
}

static void spool_done(void *arg, int status)
{
    struct spool *spool = arg;
    spool->is_working = false;
    if (spool->is_cancelled) {
        spool_free(spool);
        return;
    }
    if (status < 0)
        fail(spool, SPOOL_FAILED, status, "the service is ending");
    if (spool->status != SPOOL_OK || spool->is_last)
        spool_end_with_result(spool);
    else
        spool_step(spool);
}

static void spool_step(struct spool *spool)
{
    if (spool->is_working || spool->is_waiting || (spool->incoming.size == 0 && !spool->is_ended))
        return;
    if (buf_status(&spool->incoming) < 0) {
        fail(spool, SPOOL_FAILED, buf_status(&spool->incoming), "the sender did not pause");
        spool_end_with_result(spool);
        return;
    }
    struct buf empty = spool->batch;
    spool->batch = spool->incoming;
    spool->incoming = empty;
    spool->is_last = spool->is_ended;
    spool->is_working = true;
    bool must_resume = spool->is_paused;
    spool->is_paused = false;
    // Never full: there is room for one job of each spool.
    if (job_submit(spool->spooler->pool, spool_run, spool_done, spool) < 0) {
        spool->is_working = false;
        fail(spool, SPOOL_FAILED, -EAGAIN, "too many bodies at once");
        spool_end_with_result(spool);
        return;
    }
    if (must_resume)
        spool->spec.resume(spool->spec.arg);
}

int spool_start(struct spooler *spooler, const struct spool_spec *spec, struct spool **ret_spool)
{
    bool is_large = spec->content_length < 0 || spec->content_length > SPOOL_LARGE_BYTES;
    bool must_wait = is_large && spooler->large_count >= SPOOL_LARGE_MAX;
    if (must_wait && spooler->waiting_count >= SPOOL_WAITING_MAX)
        return -EAGAIN;
    struct spool *spool = mem_new(struct spool);
    if (!spool)
        return -ENOMEM;
    spool->spooler = spooler;
    spool->spec = *spec;
    if (spec->expected) {
        spool->expected = *spec->expected;
        spool->spec.expected = &spool->expected;
    }
    buf_init(&spool->incoming, 4 * SPOOL_BATCH_MAX);
    buf_init(&spool->batch, 4 * SPOOL_BATCH_MAX);
    buf_init(&spool->json, SPOOL_JSON_MAX);
    if (spec->form == SPOOL_JSON)
        scanner_init(&spool->scanner, spec->zip_member, &spool->json, spool_put, spool);
    spool->is_large = is_large;
    spool->is_waiting = must_wait;
    list_add_last(&spooler->spools, &spool->link);
    if (must_wait) {
        list_add_last(&spooler->waiting, &spool->turn);
        spooler->waiting_count++;
    } else if (is_large) {
        spooler->large_count++;
    }
    *ret_spool = spool;
    return 0;
}

bool spool_write(struct spool *spool, const void *data, size_t size)
{
    if (!spool || spool->is_ended)
        return false;
    (void) buf_append(&spool->incoming, data, size); // spool_step looks
    bool must_pause =
        spool->is_waiting || (spool->is_working && spool->incoming.size >= SPOOL_BATCH_MAX);
    spool->is_paused = must_pause;
    spool_step(spool);
    return must_pause;
}

void spool_end(struct spool *spool)
{
    if (!spool)
        return;
    spool->is_ended = true;
    spool_step(spool);
}

void spool_cancel(struct spool *spool)
{
    if (!spool)
        return;
    struct spooler *spooler = spool->spooler;
    spool_leave(spool);
    spool->is_cancelled = true;
    if (!spool->is_working)
        spool_free(spool);
    admit_next(spooler);
}
