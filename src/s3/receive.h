// SPDX-License-Identifier: MIT
//
// receive: one body on its way from a client to a file, digested as it comes: SHA-256 (the
// content's name), MD5 (the ETag), and the checksum that the client wants compared.
//
//     http sink ─receive_write─► two batches of at most RECEIVE_BATCH_BYTES ─job─► open, once
//          ▲── resume() when the batch that waited was taken                       decode, write, digest
//                                                                 last batch:      finish
//                                                      done(code) ◄──────────────────┘
//
// A batch is two jobs where there is enough of it: one thread writes it and computes the SHA-256,
// another the MD5, which is the slowest of all that is done to a body. Whichever ends last goes on.
//
// open, finish and drop are the owner's straight-line code on a thread of the pool: where the file
// is, what becomes of it. After open, exactly one of finish and drop is called; without open,
// neither.
//
// Memory: two batches, whatever the body's size. At most RECEIVES_MAX at once; one more is -EAGAIN.
// Threads: receive_* on the loop thread.

#ifndef LAMINA_S3_RECEIVE_H
#define LAMINA_S3_RECEIVE_H

#include "aws/checksum.h"
#include "aws/chunked.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECEIVE_BATCH_BYTES ((size_t) 1024 * 1024)
#define RECEIVES_MAX 128

struct s3;
struct receive;

struct receive_result {
    uint64_t bytes;       // without framing
    struct digest sha256; // of them, if it was wanted
    struct checksum_value md5;
    struct checksum_value checksum; // of spec.checksum
    struct str trailer;             // what came as its trailer; data == NULL: nothing
    int fd;                         // borrowed: what was written to
};

struct receive_spec {
    bool is_chunked; // aws-chunked, in this form
    enum chunked_form form;
    const struct chunked_signer *signer; // copied
    bool wants_sha256;
    enum checksum_kind checksum; // NONE: none
    bool has_bytes;              // how many there will be; any other number is -EBADMSG
    uint64_t bytes;

    // On a thread of the pool. A negative result ends the body with that code; -EINVAL,
    // -EKEYREJECTED (framing),
    // -EBADMSG, -ENOSPC and other -errno are the receiver's own.
    int (*open)(void *arg, int *ret_fd, uint64_t *ret_offset); // the descriptor is taken over
    int (*finish)(void *arg, const struct receive_result *result);
    void (*drop)(void *arg);

    // Loop thread. `done` comes once, perhaps before the body's end, and never from inside; after
    // receive_cancel with `is_cancelled`. The receive is gone then.
    void (*resume)(void *arg);
    void (*done)(void *arg, int code, bool is_cancelled);
    void *arg;
};

int receive_start(struct s3 *s3, const struct receive_spec *spec,
                  struct receive **ret_receive) MUST_CHECK; // -EAGAIN, -ENOMEM
// Takes all of it. True: pause the sender until resume().
bool receive_write(struct receive *receive, const void *data, size_t size) MUST_CHECK;
void receive_end(struct receive *receive);
// The sender has gone: what was written is dropped, then `done` is called.
void receive_cancel(struct receive *receive);

#endif
