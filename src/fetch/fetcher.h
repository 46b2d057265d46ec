// SPDX-License-Identifier: MIT
//
// fetcher: s3://bucket/key, or a file of a file system, becomes a tree in the store. The front door of
// the strategies `s3` and `filesystem`, of Code.S3Bucket and of the endpoint that functions ask for models.
//
//   loop:    fetcher_start --(may the asker? roles)--+                        +--> done(result)
//   thread:                 look: HEAD, or the embedded store's index         |
//   loop:                     -> who fetches the same URI in the same state? join
//   thread:                        fetch: ranges -> partial -> staged -> tree, one commit
//   thread:                             link into the function's models ------+
//
// Single-flight in both steps: two hundred who ask at once look a few times and fetch once. What was
// fetched in this state before is not fetched again (a memo of marks, given back at start by
// fetcher_remember). An object of the embedded store is not fetched at all: the tree names its inode.
//
// A file of a file system (fetch/file_source.h) is read while it is looked at, and only when its content is not
// known: its mark is its digest. Of an immutable file system nothing is read: the result says is_in_place. What
// of it may hang has threads of its own, FETCH_FILE_THREADS.
//
// A tree has one file, named by the key's last part, or for a prefix (a URI that ends in '/') every
// object beneath it, at most FETCH_FILES_MAX.
//
// Threads: this header is for the loop thread; FETCH_THREADS jobs at once, FETCH_WAITING_MAX waiting.

#ifndef LAMINA_FETCH_FETCHER_H
#define LAMINA_FETCH_FETCHER_H

#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "fetch/file_job.h"
#include "fetch/origin.h"
#include "fetch/s3_client.h"
#include "loop/loop.h"
#include "role/roles.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

#define FETCH_THREADS 4
#define FETCH_FILE_THREADS 16
#define FETCH_WAITING_MAX 4096
#define FETCH_FILES_MAX 1000

struct fetcher;

// An object of the embedded store.
struct fetch_local_object {
    struct digest digest;
    uint64_t bytes;
    char mark[S3_MARK_MAX]; // its ETag or version
};

// The embedded store, as the fetcher needs it; on any thread, blocking. -ENOENT with AWS's code first
// in the text: "NoSuchKey: ...".
struct fetch_local {
    int (*find)(void *arg, struct str bucket, struct str key, struct str version_id,
                struct fetch_local_object *ret_object, struct error *err);
    // Every object whose key begins with `prefix`, in order.
    int (*list)(void *arg, struct str bucket, struct str prefix,
                int (*each)(void *each_arg, struct str key,
                            const struct fetch_local_object *object),
                void *each_arg, struct error *err);
    void *arg;
};

struct fetcher_config {
    struct loop *loop;             // borrowed
    struct store *store;           // borrowed
    struct roles *roles;           // borrowed; NULL: nobody is asked (tests)
    const struct origins *origins; // borrowed
    struct fetch_local local;      // find NULL: there is none
    int file_fd;                   // borrowed: SPAWN_FD_WORK, for files of file systems
};

int fetcher_new(const struct fetcher_config *config, struct fetcher **ret_fetcher) MUST_CHECK;
// Ends what runs (partial files stay) and gives -ECANCELED to all. Blocks shortly. Accepts NULL.
void fetcher_free(struct fetcher *fetcher);

struct fetch_request {
    struct str uri;                 // copied
    const struct file_place *place; // in place of uri: a file of a file system; copied
    // The place is refused already, with this: `done` hears it as it hears everything.
    const struct error *refusal;
    const struct role_asker *asker; // who asks; NULL: the caller has made sure. Used up at once
    bool has_set;                   // link it into this function's models
    struct digest set;
    bool is_look; // only whether it is there and in which state: `mark`
};

struct fetch_result {
    int code;         // 0; -EINVAL (the URI), -EACCES, -ENOENT, -ESTALE, -EAGAIN, -ENOSPC, ...
    struct error err; // names the object, and the store's own code
    char mark[S3_MARK_MAX];
    struct digest tree_id;
    struct digest digest;      // of the one file, or the tree's id
    uint64_t bytes;            // of all files
    bool is_file;              // of a file system
    bool is_in_place;          // and it stays there: no tree, no digest, no mark
    char name[S3_KEY_MAX + 1]; // path of the model in the tree; "": several files and none is it
    uint64_t fetched_bytes;    // over the network, for this flight
    uint64_t
        network_us;   // of took_us: until all of that was here and digested; the rest is the disk's
    uint64_t took_us; // from fetcher_start
    // Keeps tree and links; the receiver takes it (sets it to NULL) and calls store_unpin when the
    // registry has committed.
    struct store_pin *pin;
};

// 0 and one call of `done` later (never from inside); -EAGAIN (too many wait), -ENOMEM.
int fetcher_start(struct fetcher *fetcher, const struct fetch_request *request,
                  void (*done)(void *arg, struct fetch_result *result), void *arg) MUST_CHECK;

// What an earlier process fetched: uri in the state `mark` is this tree, or, while that is not in the
// store any more, a tree of the one file that is `digest`. Without memory it is fetched once more.
struct fetch_memory {
    struct digest tree_id;
    struct digest digest; // of the only file, or the tree's id
    uint64_t bytes;
};
void fetcher_remember(struct fetcher *fetcher, const char *uri, const char *mark,
                      const struct fetch_memory *memory);

struct fetcher_totals {
    uint64_t fetches, failures, bytes; // bytes: over the network
    size_t waiting;
};
void fetcher_totals(const struct fetcher *fetcher, struct fetcher_totals *ret_totals);

#endif
