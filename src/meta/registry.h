// SPDX-License-Identifier: MIT
//
// The registry: which functions and versions exist. Rows of (kind, key) -> JSON text and revision,
// in DIR/registry.db (SQLite, WAL, synchronous=FULL), behind one thread with one connection, which
// also checkpoints. Nothing above this header knows SQLite; beyond one machine another body takes
// its place.
//
//     loop thread:  registry_commit ---> queue ---> database thread: BEGIN, every waiting change,
//                   cb(arg, result) <--- loop_post <--- COMMIT (one fsync for all of them)
//
// A change is all or nothing and conditional: each of its operations may name the revision that it
// expects. A callback without error means: on the disk, survives a power cut. Callbacks come in the
// order of submission. Group commit: changes that arrive while a commit runs share the next one.
//
// A failed commit (disk full, I/O error) is reported to all changes of the group, and nothing of
// them remains. After an I/O error the registry refuses every further change with -EIO: what a
// failed fsync left on the disk is not known; the service must be started again.
//
// Threads: registry_open and registry_list before the loop runs (they block); everything else on
// the loop thread.

#ifndef LAMINA_META_REGISTRY_H
#define LAMINA_META_REGISTRY_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct registry;

#define REGISTRY_KIND_MAX 32             // bytes of a kind: "function", "version"
#define REGISTRY_KEY_MAX 512             // bytes of a key
#define REGISTRY_VALUE_MAX (1024 * 1024) // bytes of a value
#define REGISTRY_OPERATIONS_MAX 16384    // in one change
#define REGISTRY_WAITING_MAX 4096        // changes waiting; -EAGAIN beyond

// Revisions count up over the whole registry, from 1, and are never used twice.
#define REGISTRY_ANY (-1) // expected_revision: whatever is there, or nothing
#define REGISTRY_ABSENT 0 // expected_revision: the row must not be there

enum registry_verb { REGISTRY_PUT, REGISTRY_DELETE };

struct registry_operation {
    enum registry_verb verb;
    const char *kind;
    const char *key;
    const char *value; // PUT: JSON text, not looked into
    size_t value_size;
    int64_t expected_revision;
};

struct registry_result {
    const struct error *err; // NULL: committed. -ESTALE: an expected revision was not the row's;
        // -EEXIST: a row that had to be absent; -ENOENT: DELETE of no row (only
        // when a revision was expected); -ENOSPC, -EIO
    int64_t revision; // that every row of this change now has
};

// Opens or makes DIR/registry.db, checks it and brings its schema up to date. -EUCLEAN when it is
// damaged (the text says what to do), -EPROTO when a newer Lamina wrote it, -EBUSY when another
// process uses it.
int registry_open(const char *data_dir, struct loop *loop, struct registry **ret_registry,
                  struct error *err) MUST_CHECK;
// Commits what waits, calls its callbacks, ends the thread. Loop thread, or after the loop ended.
// Accepts NULL.
void registry_close(struct registry *registry);

// Every row of a kind, in the order of keys (by bytes). `visit` returns 0 to go on; a negative
// result ends the listing and is returned. The texts live during the call. Before the loop runs.
int registry_list(struct registry *registry, const char *kind,
                  int (*visit)(void *arg, const char *key, struct str value, int64_t revision),
                  void *arg, struct error *err) MUST_CHECK;

// Submits a change; everything is copied. 0 and one call of `cb` later (never from inside), or
// -EAGAIN, -E2BIG, -EINVAL, -ENOMEM and no call.
int registry_commit(struct registry *registry, const struct registry_operation *operations,
                    size_t count, void (*cb)(void *arg, const struct registry_result *result),
                    void *arg) MUST_CHECK;

// One-operation changes.
int registry_put(struct registry *registry, const char *kind, const char *key, struct str value,
                 int64_t expected_revision,
                 void (*cb)(void *arg, const struct registry_result *result), void *arg) MUST_CHECK;
int registry_delete(struct registry *registry, const char *kind, const char *key,
                    int64_t expected_revision,
                    void (*cb)(void *arg, const struct registry_result *result),
                    void *arg) MUST_CHECK;

// Reads one row behind everything submitted before. `cb`: result->err -ENOENT if it is not there.
int registry_get(struct registry *registry, const char *kind, const char *key,
                 void (*cb)(void *arg, const struct registry_result *result, struct str value),
                 void *arg) MUST_CHECK;

// For /metrics. Loop thread.
struct registry_stats {
    uint64_t changes, commits, failures;
    size_t waiting;
};
void registry_stats(const struct registry *registry, struct registry_stats *ret_stats);

#endif
