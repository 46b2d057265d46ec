/* SPDX-License-Identifier: MIT
 *
 * scheduler: gives every invocation an instance: warm? wake one? start one? wait? throttle?
 *
 * This is the front door of the invocation half of src/function. The API hands in an invocation and
 * hears the result exactly once; which instance ran it, and whether one had to be started, is the
 * scheduler's business.
 *
 * Thread: everything here is called on the loop thread, and every callback runs on it. Nothing here
 * touches the disk, SQLite or DNS.
 *
 * Limits: at most `concurrency` invocations run at once over all functions. Those beyond wait, oldest
 * first, at most `queue_max` of them, holding at most `queue_bytes_max` of payload, each for at most
 * `queue_wait_ms`; the next is throttled (429 TooManyRequestsException with Retry-After).
 * At most `concurrency` instances exist at once; the longest idle one makes room for a new one. No instance is
 * started that the memory which is available does not carry (admission.h).
 */
#ifndef LAMINA_FUNCTION_SCHEDULER_H
#define LAMINA_FUNCTION_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "wire/filesystem.h"

struct invocation;
struct loop;
struct scheduler;
struct version;

/* A UUID in its text form, with the NUL. */
#define INVOCATION_ID_SIZE 37
/* What `LogType: Tail` answers at most (AWS: the last 4 KB of the log). */
#define INVOCATION_LOG_TAIL_MAX 4096

/* The phases of a cold start, in the order in which they happen. Their names are what metrics,
 * `lamina describe` and `lamina compare` print: queue sandbox fetch load warm first_answer. */
enum cold_phase {
    COLD_QUEUE,   /* accepted -> START sent: waiting for a permit, for memory, for a slot */
    COLD_SANDBOX, /* START sent -> sandbox made and lamina-init running */
    COLD_FETCH,   /* bytes that had to come from elsewhere (none under strategy `package`) */
    COLD_LOAD,    /* init running -> the runtime's first `next`: its own start and its model's */
    COLD_WARM,    /* warm-up done on behalf of the instance (none without a template) */
    COLD_FIRST_ANSWER, /* payload given -> response posted */
    COLD_PHASES,
};
const char *cold_phase_name(enum cold_phase phase);

/* For callers who take the response as it comes (InvokeWithResponseStream, streaming function URLs). What the runtime
 * posts goes through `begin` once and `data` any number of times, each within one turn of its arrival, whether or not the
 * runtime streams by itself; the end is the invocation's callback:
 *   INVOCATION_ANSWERED        all was given; result->payload is empty
 *   INVOCATION_FUNCTION_ERROR  result->error_type and payload (the error's JSON) say why; if has_begun, part of the
 *                              response was given before (error trailers, time-out, crash)
 * At most INVOCATION_STREAM_BYTES_MAX bytes. Nothing more than the piece in `data` is held in memory: while paused, the
 * runtime's connection is not read. */
#define INVOCATION_STREAM_BYTES_MAX (INT64_C(200) << 20)
struct invocation_stream {
    /* The runtime's Content-Type, or empty; `is_streamed`: it said Lambda-Runtime-Function-Response-Mode: streaming. */
    void (*begin)(void *arg, struct str content_type, bool is_streamed);
    /* False: no more until invocation_stream_resume. One piece that was on its way may still follow. */
    bool (*data)(void *arg, struct str piece);
};

/* What the API asks for. The strings are views that need only live during invocation_start. */
struct invocation_spec {
    struct buf payload;        /* moved: the spec's buf is empty afterwards, whatever the outcome */
    struct str client_context; /* decoded JSON, or empty */
    struct str cognito;        /* JSON, or empty */
    struct str trace_id;       /* X-Amzn-Trace-Id as the caller sent it; empty: one is made */
    struct str request_id;  /* of an event that is tried again: 36 characters; empty: a new one */
    struct str invoked_arn; /* what Lambda-Runtime-Invoked-Function-Arn says: qualified if the */
                            /* caller qualified it, unqualified if not */
    unsigned depth; /* functions that called one another before this call: 0 for a client's */
    bool wants_log_tail;
    const struct invocation_stream *stream; /* borrowed: static; NULL: the answer comes whole */
    void *stream_arg;
};

enum invocation_outcome {
    INVOCATION_ANSWERED,       /* 200; payload is what the runtime posted, untouched */
    INVOCATION_FUNCTION_ERROR, /* 200 with X-Amz-Function-Error: Unhandled; payload is the error JSON */
    INVOCATION_THROTTLED,      /* 429; throttle_reason, retry_after_s */
    INVOCATION_FAULT, /* 500 ServiceException: no sandbox could be made; `error` says why */
    INVOCATION_RESTORE_FAILED,  /* SnapStartException: a hook after restoring failed; `error` */
    INVOCATION_RESTORE_TIMEOUT, /* SnapStartTimeoutException; `error` */
    INVOCATION_MOUNT_FAILED,    /* one of the EFS or S3Files exceptions; mount_failure, `error` */
};

struct invocation_result {
    enum invocation_outcome outcome;
    struct buf payload; /* the callback may move it out; what it leaves is freed after it */
    const char *throttle_reason; /* e.g. "ConcurrentInvocationLimitExceeded"; static */
    int retry_after_s;
    struct str error_type;  /* Runtime.ExitError, Sandbox.Timedout, ...; empty when answered */
    struct str log_tail;    /* raw bytes, at most INVOCATION_LOG_TAIL_MAX; only if asked for */
    const char *request_id; /* the UUID the function saw; also the answer's x-amzn-RequestId */
    struct str trace_id;
    struct str model_digest; /* 64 hex digits for X-Lamina-Model-Digest, or empty */
    bool has_begun;          /* a streamed response: `begin` was called */
    bool is_cold;
    uint64_t phase_us[COLD_PHASES]; /* filled if is_cold, else only COLD_FIRST_ANSWER */
    uint64_t duration_us;           /* what REPORT calls Duration */
    enum spawn_filesystem_failure mount_failure;
    const struct error *error; /* INVOCATION_FAULT: for the log and the message; else NULL */
};

/* Called exactly once per invocation, never from inside invocation_start. The result and all that it
 * points to live until the callback returns. */
typedef void invocation_cb(void *arg, struct invocation_result *result);

/* Starts an invocation of `version`, and takes a reference on it. Never NULL.
 * The version is Active: the API has checked its state. */
struct invocation *invocation_start(struct scheduler *scheduler, const struct version *version,
                                    struct invocation_spec *spec, invocation_cb *cb, void *arg);

/* The caller went away: the callback will not be called. A queued invocation is dropped; a running
 * one runs on to its end (Lambda does not stop a function whose caller hung up). */
void invocation_cancel(struct invocation *invocation);

/* After `data` said false: go on. May call `data` before it returns. */
void invocation_stream_resume(struct invocation *invocation);

/* The request id, valid as long as the invocation. */
const char *invocation_request_id(const struct invocation *invocation);

struct instance_host; /* instance/instance.h: where instances are made */

struct scheduler_limits {
    uint32_t concurrency;     /* LAMINA_CONCURRENCY: running invocations, and instances, at once */
    uint32_t queue_max;       /* LAMINA_QUEUE */
    uint64_t queue_bytes_max; /* LAMINA_QUEUE_BYTES */
    uint32_t queue_wait_ms;   /* LAMINA_QUEUE_WAIT_MS */
    uint32_t starts_at_once;  /* sandboxes being made at the same moment */
    uint64_t memory_reserve;  /* bytes of MemAvailable that no new instance may take */
    uint32_t freeze_after_ms; /* LAMINA_FREEZE_AFTER_MS */
    uint32_t keepalive_s;     /* LAMINA_KEEPALIVE_S */
    uint64_t template_bytes;  /* LAMINA_TEMPLATE_MEMORY; 0: no templates */
    uint32_t spares;          /* LAMINA_SPARES: forks that wait ahead, a version */
};

/* What an instance of a version with FileSystemConfigs gets of its file system, asked at each start. Not 0: it may not have
 * it, and `err` says why. */
struct scheduler_mounter {
    int (*resolve)(void *arg, const struct version *version, struct spawn_filesystem_use *ret,
                   struct error *err);
    void *arg;
};

struct scheduler_config {
    struct loop *loop;                /* borrowed */
    struct instance_host *host;       /* borrowed */
    struct scheduler_mounter mounter; /* resolve NULL: there are no file systems */
    struct scheduler_limits limits;
};

MUST_CHECK int scheduler_new(const struct scheduler_config *config,
                             struct scheduler **ret_scheduler, struct error *err);

/* Refuses new invocations (they are throttled) and calls `done` once none is left running. */
void scheduler_drain(struct scheduler *scheduler, void (*done)(void *arg), void *arg);

/* Every instance is gone and no invocation lives: frees the scheduler. */
void scheduler_free(struct scheduler *scheduler);

/* `version` was replaced or deleted: no new call will name it. Its idle instances end now, the busy
 * ones when they have answered; calls already accepted for it are still answered by it. */
void scheduler_retire(struct scheduler *scheduler, const struct version *version);

/* Reserved concurrency of a function: at most `n` calls of it run at once, and that many permits are kept for it; the next
 * is throttled at once (ReservedFunctionConcurrentInvocationLimitExceeded). 0 throttles all; -1 takes it back. */
void scheduler_set_reserved(struct scheduler *scheduler, struct str function, int64_t n);

/* Provisioned concurrency: `n` instances of this version are started ahead and kept, however idle; their init phase may
 * take INIT_PROVISIONED_MS. 0 forgets it. An init phase that fails is not repeated before the next call of this function. */
#define SCHEDULER_INIT_PROVISIONED_MS 130000
void scheduler_set_provisioned(struct scheduler *scheduler, const struct version *version,
                               unsigned n);
struct scheduler_provisioned {
    unsigned requested, ready;
    bool has_failed; /* an init phase failed: `ready` will not grow by itself */
    enum spawn_filesystem_failure mount_failure; /* why, if it was its file system */
};
void scheduler_provisioned(const struct scheduler *scheduler, const struct version *version,
                           struct scheduler_provisioned *ret_provisioned);

/* Makes the template of a version ahead of its calls, if it is one that has a template. Calls once, perhaps before it
 * returns, when there is one, or when it is known that there is none. */
struct scheduler_prepared {
    bool is_ready;
    bool is_init_failure; /* its init phase failed: the function's own doing */
    const char
        *reason; /* not ready: why; "" if templates are off or this version has none; borrowed */
};
typedef void scheduler_prepared_cb(void *arg, const struct scheduler_prepared *prepared);
void scheduler_prepare(struct scheduler *scheduler, const struct version *version,
                       scheduler_prepared_cb *cb, void *arg);

/* Are there instances of this version, or a template? */
bool scheduler_is_running(const struct scheduler *scheduler, const struct version *version);

/* The template of a version, for people. Strings are borrowed until the call returns. */
struct template_info {
    struct str function, version;
    const char
        *state; /* STARTING INIT READY; NONE OFF REFUSED FAILED: there is none, `reason` says why */
    const char *reason;
    uint64_t id;           /* 0: none */
    uint64_t memory_bytes; /* its own and its page tables; 0: not measured */
    uint64_t start_us;     /* what making it took */
    uint64_t age_ms;
    uint64_t forks;
    uint32_t spares; /* that wait */
    int32_t pid;
};
typedef void template_info_cb(void *arg, const struct template_info *info);
/* All that are there, and all versions that run and should have one. */
void scheduler_each_template(struct scheduler *scheduler, template_info_cb *cb, void *arg);
/* Of one version. False: its instances are no forks, or nothing of it runs and none was made. */
bool scheduler_template(const struct scheduler *scheduler, const struct version *version,
                        struct template_info *ret_info);

/* Every version that runs or will run something: its tree must stay in the store, although the catalog may know it
 * no more. */
void scheduler_each_version(const struct scheduler *scheduler,
                            void (*visit)(void *arg, const struct version *version), void *arg);

/* Ends the idle and frozen instances of a function (all its versions); busy ones are left alone.
 * Calls `done` when they are gone, with how many there were. For `lamina compare`. */
enum scheduler_stop {
    SCHEDULER_STOP_USED,      /* those that have served: spares stay */
    SCHEDULER_STOP_IDLE,      /* spares too */
    SCHEDULER_STOP_TEMPLATES, /* and the templates: nothing of it is left on the machine */
};
typedef void scheduler_stopped_cb(void *arg, unsigned stopped);
void scheduler_stop_idle(struct scheduler *scheduler, struct str function, enum scheduler_stop what,
                         scheduler_stopped_cb *done, void *arg);

/* One line of `lamina ps`. Strings are borrowed until the walk goes on. */
struct instance_info {
    uint64_t id;
    struct str function;
    struct str version; /* "$LATEST" or a number */
    const char *state;  /* STARTING INIT IDLE BUSY SETTLING FROZEN ENDING */
    uint32_t memory_mb;
    uint64_t age_ms;
    uint64_t idle_ms;
    uint64_t requests;
    uint64_t memory_peak_bytes; /* cgroup peak as last read, 0 if not yet known */
    int32_t pid;                /* of lamina-init in the host's namespace, 0 if not known */
    bool is_fork;               /* of a template */
    bool is_spare;              /* forked ahead, not called yet */
};
typedef void instance_info_cb(void *arg, const struct instance_info *info);
void scheduler_each_instance(struct scheduler *scheduler, instance_info_cb *cb, void *arg);

/* Memory of one instance, asked of lamina-spawn (which alone may read another user's smaps). */
struct instance_memory {
    int error; /* negative errno if it ended meanwhile */
    uint64_t pss_bytes;
    uint64_t private_bytes;
    uint64_t page_table_bytes;
    uint64_t cgroup_bytes;
    uint64_t cgroup_peak_bytes;
    uint64_t cpu_us;
};
typedef void instance_memory_cb(void *arg, uint64_t id, const struct instance_memory *memory);
void scheduler_instance_memory(struct scheduler *scheduler, uint64_t id, instance_memory_cb *cb,
                               void *arg);

/* How things stand over all functions, for status, /readyz and /metrics. */
struct scheduler_totals {
    uint32_t running; /* invocations that hold a permit */
    uint32_t queued;  /* waiting for one */
    uint64_t queued_bytes;
    uint32_t instances; /* in any state but DEAD */
    uint64_t invocations;
    uint64_t errors;
    uint64_t throttles;
    uint64_t cold_starts;
    uint32_t templates; /* in any state but DEAD */
    uint64_t template_bytes;
    uint64_t templates_evicted;
    bool is_spawn_alive;
};
void scheduler_totals(const struct scheduler *scheduler, struct scheduler_totals *ret_totals);

#endif
