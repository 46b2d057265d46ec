// SPDX-License-Identifier: MIT
//
// Spooling: a large request body goes to a staged file of the store as it arrives, never into memory
// whole. Two forms:
//
//   SPOOL_JSON   the JSON of CreateFunction or UpdateFunctionCode, up to 67 MB. The base64 text of one
//                member (`zip_member`, "Code.ZipFile" or "ZipFile") is decoded to the file; in the
//                JSON that is handed on it is an empty string. All else is kept, up to SPOOL_JSON_MAX.
//   SPOOL_PLAIN  PUT of a package: the body is the file; its digest is compared.
//
//     http sink --spool_write--> two batches of at most SPOOL_BATCH_MAX  --job--> scan, decode, write
//          ^--- resume() when the batch that waited was taken               done(result) <---
//
// Threads: everything on the loop thread; scanning, decoding, digesting and writing are jobs on the
// spooler's own threads. A client that sends slowly holds no thread.
//
// Limits: SPOOL_LARGE_MAX bodies above SPOOL_LARGE_BYTES (or of unknown length) at once; the next
// SPOOL_WAITING_MAX wait (paused from their start), one more is -EAGAIN. Memory per spool: two
// batches and the rest of the JSON.

#ifndef LAMINA_FETCH_SPOOL_H
#define LAMINA_FETCH_SPOOL_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "loop/loop.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_BATCH_MAX (512 * 1024)
#define SPOOL_JSON_MAX (1024 * 1024)
#define SPOOL_LARGE_BYTES (8 * 1024 * 1024)
#define SPOOL_LARGE_MAX 2
#define SPOOL_WAITING_MAX 64

struct spooler; // all spools of a daemon
struct spool;   // one body

// Borrows loop and store. NULL without memory or threads.
struct spooler *spooler_new(struct loop *loop, struct store *store);
void spooler_free(struct spooler *spooler); // accepts NULL; cancels what is left

enum spool_form { SPOOL_JSON, SPOOL_PLAIN };

// What became of it. Everything but SPOOL_FAILED is the sender's doing.
enum spool_status {
    SPOOL_OK = 0,
    SPOOL_BAD_JSON,       // not JSON as far as the scanner looks, or the member twice
    SPOOL_BAD_BASE64,     // the member is no base64 text
    SPOOL_JSON_TOO_LARGE, // the rest of the JSON is more than SPOOL_JSON_MAX
    SPOOL_ZIP_TOO_LARGE,  // the decoded zip or the plain body is more than zip_bytes_max
    SPOOL_DIGEST_DIFFERS, // SPOOL_PLAIN
    SPOOL_NO_SPACE,       // the disk is full
    SPOOL_FAILED,         // any other error of ours
};

struct spool_result {
    enum spool_status status;
    struct error err;       // says more when status is not SPOOL_OK
    struct buf json;        // SPOOL_JSON and OK: the rest, owned by the spool: copy or buf_take it
    struct store_file *zip; // OK: finished; NULL if the JSON had no such member (or null). The
                            // receiver takes it by setting the member to NULL
};

struct spool_spec {
    enum spool_form form;
    const char *zip_member;        // SPOOL_JSON: a literal, names joined by '.'
    const struct digest *expected; // SPOOL_PLAIN: copied
    int64_t content_length;        // -1: not known
    uint64_t zip_bytes_max;        // 0: no limit
    // Write again: the spool said "pause" and has room now.
    void (*resume)(void *arg);
    // The end, once, after spool_end() or earlier when the body is refused, maybe from inside
    // spool_write() or spool_end(). The spool is gone then: forget the pointer (the functions below
    // accept NULL). Not called after spool_cancel.
    void (*done)(void *arg, struct spool_result *result);
    void *arg;
};

// -EAGAIN: too many wait. -ENOMEM.
int spool_start(struct spooler *spooler, const struct spool_spec *spec,
                struct spool **ret_spool) MUST_CHECK;
// Takes all of the data, always. True: pause the sender until resume(). A sender that does not
// pause within 3 * SPOOL_BATCH_MAX more bytes ends the spool with SPOOL_FAILED.
bool spool_write(struct spool *spool, const void *data, size_t size) MUST_CHECK;
void spool_end(struct spool *spool); // accepts NULL
// The sender has gone: no further call comes, the file is removed, the spool frees itself.
void spool_cancel(struct spool *spool); // accepts NULL

#endif
