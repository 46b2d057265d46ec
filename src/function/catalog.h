/* SPDX-License-Identifier: MIT
 *
 * catalog: all functions, by name, in memory. The registry (meta/registry.h) is the truth on disk;
 * the catalog is loaded from it at start and changed only after the registry has committed.
 *
 *     api/lambda_*  -- change_begin .. change_commit -->  registry (one transaction)
 *                                                            | committed
 *     api/invoke    <-- catalog_find (never blocks) --   catalog  -- retired(version) --> scheduler
 *
 * So an answer of 201 or 200 names something that a kill -9 cannot take away, and an invocation
 * never waits for SQLite.
 *
 * Thread: the loop thread only; catalog_load before the loop runs.
 * Errors: negative errno, as said at each function. Limits: CATALOG_FUNCTIONS_MAX functions
 * (-ENOSPC beyond), and as many versions as disk and memory hold.
 */
#ifndef LAMINA_FUNCTION_CATALOG_H
#define LAMINA_FUNCTION_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "function/attachment.h"
#include "function/function.h"
#include "function/version.h"

#define CATALOG_FUNCTIONS_MAX 100000

struct catalog;
struct registry;

/* Upward calls. Any member may be NULL. Called on the loop thread, after the change is visible. */
struct catalog_listener {
    /* No new call will be given to `version` or to a snapshot with its execution_id: it was
     * replaced or deleted. Busy instances may finish; idle ones should be ended now. The pointer is
     * valid during the call; keep a version_ref beyond it. */
    void (*retired)(void *arg, const struct version *version);
    /* Calls may name `version` from now on, or will when it is prepared: it was published, or is what calls to
     * $LATEST run. Not told of what was there at the start. */
    void (*appeared)(void *arg, const struct version *version);
    /* `draft` is about to take the place of `old`, which goes on serving until `done`. True: one call of it later,
     * never from inside; false: nothing is to wait for. A change that fails then retires the draft. */
    bool (*replacing)(void *arg, const struct version *old, const struct version *draft,
                      void (*done)(void *done_arg), void *done_arg);
    void *arg;
};

struct loop;
struct version_prepared;

/* Who finds a version's model and makes the form that is used in place (version_prepared.h). */
struct catalog_preparer {
    /* One call of `done` later, never from inside, whatever becomes of the version; -errno and no call. The trees are kept by
     * whoever commits. */
    int (*start)(void *arg, const struct version *version,
                 void (*done)(void *done_arg, const struct version_prepared *prepared),
                 void *done_arg);
    void *arg;
};

/* Who takes up a form that came when its version served already (settle.h). Without one, commits wait for forms as long as it
 * takes. */
struct catalog_settler {
    struct loop *loop; /* borrowed */
    void (*prepared)(void *arg, const char *name, const struct version_prepared *prepared);
    void *arg;
};

struct catalog_config {
    const char *region;        /* copied */
    const char *account;       /* copied */
    struct registry *registry; /* borrowed: outlives the catalog */
    struct catalog_listener listener;
};

struct catalog *catalog_new(const struct catalog_config *config);
void catalog_free(struct catalog *catalog); /* accepts NULL; no change may be under way */

/* Replaces the listener (the scheduler is made after the catalog). */
void catalog_set_listener(struct catalog *catalog, const struct catalog_listener *listener);

/* Without one no version has a prepared form. */
void catalog_set_preparer(struct catalog *catalog, const struct catalog_preparer *preparer);

void catalog_set_settler(struct catalog *catalog, const struct catalog_settler *settler);

/* Fills draft->prepared, if it is not up to date: before anything of the draft is started. change_commit does it by
 * itself; whoever starts instances of a draft ahead calls it earlier. 0: nothing to do; 1: one call of `done` later, never
 * from inside, and the draft is the preparer's until then. A failure leaves the draft without a prepared form; after
 * `wait_ms` (CATALOG_PREPARED: it is waited for) it is left as not looked at, and the settler hears of the form. */
#define CATALOG_PREPARED INT64_MAX
MUST_CHECK int catalog_prepare(struct catalog *catalog, struct version *draft, int64_t wait_ms,
                               void (*done)(void *arg), void *arg);
/* For a version that serves as it is: only the settler hears of it. -errno: nobody does. */
MUST_CHECK int catalog_prepare_beside(struct catalog *catalog, const struct version *version);

/* Reads every function and version from the registry. Blocks: call it before the loop runs.
 * -EBADMSG if a row cannot be read: nothing is skipped silently. */
MUST_CHECK int catalog_load(struct catalog *catalog, struct error *err);

/* Asks `check` about every snapshot that is invocable (does the store still hold its tree?). One that
 * gets a negative answer is FAILED from now on, in memory only, with the error's text as its
 * reason: the next start asks again. Blocks as `check` does: before the loop runs. The number of failed
 * ones. */
size_t catalog_check(struct catalog *catalog,
                     int (*check)(void *arg, const struct version *version, struct error *err),
                     void *arg);

const char *catalog_region(const struct catalog *catalog);
const char *catalog_account(const struct catalog *catalog);

/* The function, or NULL. Borrowed, until the next turn of the loop. A function whose creation is
 * not yet committed is not found. */
struct function *catalog_function(const struct catalog *catalog, const char *name);

/* What a call to name:qualifier runs. `qualifier` NULL means $LATEST. An alias with two versions is
 * drawn anew at each call. On success a borrowed snapshot: take a version_ref to keep it past this turn.
 *   -ENOENT   no such function, version or alias, or a version that an alias names is deleted
 *   -EAGAIN   it exists but is PENDING           (ret_version is set, for its state)
 *   -EBADFD   its creation has FAILED            (ret_version is set, for its reason) */
MUST_CHECK int catalog_find(const struct catalog *catalog, const char *name, const char *qualifier,
                            const struct version **ret_version);

/* What Get and the other describing calls show for name:qualifier: for $LATEST the newest snapshot,
 * whether or not it serves yet. -ENOENT. Borrowed. */
MUST_CHECK int catalog_describe(const struct catalog *catalog, const char *name,
                                const char *qualifier, const struct version **ret_version);

/* How asynchronous calls of name:qualifier are handled: what was configured for exactly that qualifier,
 * or AWS's defaults (2 retries, 6 hours, no destinations). The texts are borrowed: "" means none. */
struct event_invoke {
    uint32_t retries_max;
    uint32_t age_s_max;
    struct str on_success; /* ARN of a function */
    struct str on_failure;
};
void catalog_event_invoke(const struct catalog *catalog, const char *name, const char *qualifier,
                          struct event_invoke *ret_settings);

/* The URL configuration with this id (32 characters), or NULL; its `function` and `qualifier` say what it
 * calls. Borrowed. */
struct attachment *catalog_url(const struct catalog *catalog, struct str url_id);

/* Functions in the order of their names, for paging: the first whose name is greater than `after`
 * ("" or NULL: the first of all), or NULL at the end. */
struct function *catalog_next(const struct catalog *catalog, const char *after);
size_t catalog_count(const struct catalog *catalog);

/* Every snapshot that must keep its tree and its zip in the store: latest, live and published, of
 * every function. For the store's garbage collection and for totals. */
void catalog_each_version(const struct catalog *catalog,
                          void (*visit)(void *arg, const struct version *version), void *arg);

#endif
