/* SPDX-License-Identifier: MIT
 *
 * invocation: one call, from its acceptance to its answer. Private to src/function; what the API sees of it is in
 * function/scheduler.h.
 *
 *                     permit                  an instance takes it          answered, or the instance ended
 *   (new) --> WAITING ------> QUEUED ---------------------------> RUNNING ------------------------------> DONE
 *                |              |                                                                          ^
 *                |              | its init failed twice, no sandbox, waited too long, cancelled            |
 *                +--------------+--------------------------------------------------------------------------+
 *
 *   WAITING  for a permit: `concurrency` others hold one. At most queue_wait_ms, then throttled.
 *   QUEUED   in its pool, for an idle instance or one that is being started. At most queue_wait_ms without one being
 *            started, then throttled.
 *   RUNNING  in an instance, which watches the time-out.
 *   DONE     told to the caller; freed at the end of the turn.
 *
 * Thread: loop only.
 */
#ifndef LAMINA_FUNCTION_INVOCATION_H
#define LAMINA_FUNCTION_INVOCATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "function/scheduler.h"
#include "instance/instance.h"
#include "loop/loop.h"

struct pool;

enum invocation_state {
    INVOCATION_WAITING,
    INVOCATION_QUEUED,
    INVOCATION_RUNNING,
    INVOCATION_DONE
};

struct invocation {
    int state;
    struct scheduler *scheduler; /* borrowed */
    const struct version *version;
    struct pool *pool; /* borrowed; set while QUEUED */
    struct list link;  /* in the scheduler's waiting list, or in the pool's queue */
    struct loop_deferred deferred;
    invocation_cb *cb; /* NULL: cancelled */
    void *arg;

    char id[INVOCATION_ID_SIZE];
    char *texts; /* owned: what the request's views point into */
    struct buf payload;
    uint64_t payload_bytes;
    struct instance_request request;
    struct instance *instance;              /* borrowed; set while RUNNING */
    const struct invocation_stream *stream; /* borrowed; NULL: buffered */
    void *stream_arg;
    bool has_begun;

    int64_t accepted_ns;
    int64_t accepted_ms;
    int64_t begun_ns; /* given to an instance */
    bool has_permit;
    bool is_reserved; /* its permit is one of its function's own */
    const char *throttle_reason;
    bool is_rejected; /* WAITING only for the end of the turn, to be throttled */
    bool is_cold;
    unsigned init_failures;
    unsigned faults;
    uint64_t phase_us[COLD_PHASES];
};

/* WAITING. Takes a reference on the version; moves the payload. NULL without memory. */
struct invocation *invocation_new(struct scheduler *scheduler, const struct version *version,
                                  struct invocation_spec *spec, invocation_cb *cb, void *arg);

/* A permit was found for it; it is about to be put into a pool's queue. */
void invocation_permit(struct invocation *invocation);
/* It is about to be given to an instance. */
void invocation_run(struct invocation *invocation);

/* DONE, with its outcome. Each tells the caller now, counts, gives back the permit, and frees the invocation at the end of
 * the turn. The caller has unlinked it from its list. */
void invocation_finish_answered(struct invocation *invocation, struct instance_answer *answer);
void invocation_finish_failed(struct invocation *invocation, struct instance_failure *failure,
                              struct str log_tail);
/* SnapStart: a fork told of an error in its hooks, or they took too long. */
void invocation_finish_restore_failed(struct invocation *invocation,
                                      const struct instance_failure *failure);
/* Its file system could not be mounted. */
void invocation_finish_unmounted(struct invocation *invocation, const struct instance_end *end);
void invocation_finish_throttled(struct invocation *invocation);
void invocation_finish_fault(struct invocation *invocation, const struct error *error);

/* Ended before it ran because nobody waits any more. */
void invocation_finish_cancelled(struct invocation *invocation);

#endif
