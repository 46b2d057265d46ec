// SPDX-License-Identifier: MIT
//
// A database's thread, and group commit: requests that come while a commit runs share the next one.
//
//     loop thread:   writer_submit ---> queue ---> thread: BEGIN, apply() of each that waits, COMMIT
//                    answer() <------ loop_post <------------------------------------------+
//
// apply() returns 0, or WRITER_REFUSED after it has undone what it did (the request's `err` says why;
// the others are not touched), or another negative: then the group is rolled back, and all of it gets
// that error. After -EIO or -EUCLEAN the writer is broken: every later request gets -EIO, since what a
// failed fsync left on the disk is not known. Internal to meta/.

#ifndef LAMINA_META_WRITER_H
#define LAMINA_META_WRITER_H

#include "base/compiler.h"
#include "base/error.h"
#include "loop/loop.h"
#include "meta/sqlite.h"

#include <stddef.h>
#include <stdint.h>

struct writer;

#define WRITER_REFUSED 1

// Embedded first in its owner's request.
struct writer_request {
    struct writer_request *next;
    int (*apply)(struct writer_request *request, void *arg); // the thread
    void (*answer)(struct writer_request *request);          // the loop thread: frees the request
    struct error err;                                        // code 0: committed
};

// `arg` goes to every apply(). `name` is the thread's (a literal). The thread starts with the first
// request, so that the file may be read before.
int writer_new(struct loop *loop, struct sqlite *sqlite, const char *name, size_t waiting_max,
               void *arg, struct writer **ret_writer) MUST_CHECK;
// Commits what waits, answers it, ends the thread. Accepts NULL.
void writer_free(struct writer *writer);

// 0 and one answer() later, or -EAGAIN, -ENOMEM and none: the request stays the caller's.
int writer_submit(struct writer *writer, struct writer_request *request) MUST_CHECK;

// Loop thread.
struct writer_stats {
    uint64_t commits, failures; // groups; requests that failed otherwise than by a refusal
    size_t waiting;
};
void writer_stats(struct writer *writer, struct writer_stats *ret_stats);

#endif
