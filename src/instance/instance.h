/* SPDX-License-Identifier: MIT
 *
 * instance: one sandbox that runs one function version, from START to EXIT. The front door of
 * src/instance; the scheduler (src/function) is its only caller.
 *
 *     scheduler -- instance_new --------> instance -- START --> spawn_client --> lamina-spawn
 *               -- instance_invoke ----->    |                                        |
 *               <-- answered, idle ------    |  <-- next, response, error --   runtime_api (HTTP on
 *               <-- ended ---------------    |                                 the sandbox's listener)
 *                                            +-- lines --> log_stream --> log_writer (a thread)
 *
 * Callbacks go up through `struct instance_events`. An instance that has reported `ended` is gone:
 * the caller forgets its pointer, the instance frees itself at the end of the turn.
 *
 * Thread: the loop thread only. Nothing here blocks or touches the disk.
 * Limits: one request at a time; a response of at most LIMIT_RESPONSE_BYTES (6 MiB + 100, as AWS);
 * an environment of at most 8 KiB in all; the log pipe as log_stream.h says.
 */
#ifndef LAMINA_INSTANCE_INSTANCE_H
#define LAMINA_INSTANCE_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "wire/filesystem.h"

struct http_fault;
struct http_request;
struct instance;
struct instance_host;
struct instance_identity;
struct job_pool;
struct log_writer;
struct loop;
struct spawn_filesystem;

/* What all instances of the daemon share: the channel to lamina-spawn, the log writer, the region. */
struct instance_host_config {
    struct loop *loop;             /* borrowed */
    int spawn_fd;                  /* taken: the instance channel (wire/spawn.h), fd 3 of laminad */
    struct log_writer *log_writer; /* borrowed; NULL: lines are only kept for the tail */
    struct job_pool
        *file_pool; /* borrowed; reads the files that platform APIs answer with; NULL: none do */
    const char *region;         /* copied */
    void (*greeted)(void *arg); /* lamina-spawn has said what it can; may be NULL */
    /* A row of the table of file systems (wire/spawn.h); may be NULL. */
    void (*filesystem)(void *arg, const struct spawn_filesystem *row);
    void (*lost)(void *arg);    /* lamina-spawn is gone: the daemon must end */
    void *arg;
};

MUST_CHECK int instance_host_new(const struct instance_host_config *config,
                                 struct instance_host **ret_host, struct error *err);
/* No instance may live. Accepts NULL. */
void instance_host_free(struct instance_host *host);
bool instance_host_is_connected(const struct instance_host *host);
/* Can lamina-spawn make templates here? False until it has said so. */
bool instance_host_can_template(const struct instance_host *host);
/* How many instances are in any state but DEAD. */
unsigned instance_host_count(const struct instance_host *host);
/* No version runs this tree any more: lamina-spawn drops what it prepared for it. */
void instance_host_forget_tree(struct instance_host *host, const uint8_t *tree_id);

/* Who answers the requests that come from inside sandboxes, for 127.0.0.1:4566 there. `identity` (identity.h) says
 * which sandbox: take a reference to keep it past the call. `depth`: how many functions, one calling the other, led to
 * the call that it serves now or served last, or is started for; 0: none of them was called by a function. */
struct instance_platform {
    void (*on_head)(void *arg, struct http_request *request, struct instance_identity *identity,
                    unsigned depth);
    /* GET /2018-06-01/lamina/model on the Runtime API; its body was read. NULL: there is no such route. */
    void (*on_model)(void *arg, struct http_request *request, struct instance_identity *identity);
    void (*format_fault)(struct http_fault *fault, void *arg); /* as http_server_config's */
    void *arg;
};
/* Copied; before the first instance. */
void instance_host_set_platform(struct instance_host *host,
                                const struct instance_platform *platform);

struct instance_variable {
    const char *name;
    const char *value;
};

/* The file system of an instance. */
struct instance_mount {
    const struct spawn_filesystem_use *use; /* NULL: none */
    const char *refusal; /* not NULL: it may not have it, and why: it ends without being started */
};

/* What to run. Everything is copied or used up during instance_new. */
struct instance_spec {
    const char *function; /* name */
    const char *version;  /* "$LATEST" or a number */
    const char *handler;
    const char *runtime;
    const char *role;       /* ARN: what it may do on the platform; NULL: nothing */
    uint32_t bootstrap;     /* enum spawn_bootstrap: the package's, or one of Lamina's */
    const uint8_t *tree_id; /* 32 bytes, or NULL: /var/task is empty (tests of the sandbox) */
    const uint8_t
        *opt_tree_id; /* 32 bytes, bound at /opt; NULL: /opt holds only Lamina's own directory */
    const uint8_t *models_id; /* 32 bytes, bound at /opt/lamina/models; NULL: an empty directory */
    uint64_t template_id;     /* instance_id of a live template to fork; 0: a process is executed */
    uint64_t
        inherited_bytes; /* of a fork: what its template used; REPORT counts it, its limit does not */
    bool is_template;    /* make a template: it goes through INIT, and never gets a call */
    int model_fd;        /* > 0: a sealed memfd, borrowed; it is the bootstrap's descriptor 4 */
    struct instance_mount mount;
    uint32_t memory_mb;
    uint32_t tmp_mb;
    const struct instance_variable *variables; /* the customer's, sorted or not */
    size_t n_variables;
    uint32_t init_limit_ms; /* START sent -> first `next` */
    bool is_provisioned;    /* started ahead: AWS_LAMBDA_INITIALIZATION_TYPE says so */
    bool is_snap_start;     /* SnapStart: the same, and the Runtime API has restore/next */
    bool is_spare;          /* nobody waits for it: a fork may warm itself first */
    bool takes_no_spare;    /* of those that lamina-spawn keeps: it is forked now */
    unsigned depth;         /* of the call that it is started for */
    bool is_init_repeated;  /* the init phase is redone within a call: "Phase: invoke" */
};

/* Takes a response as it comes; see function/scheduler.h's invocation_stream. */
struct instance_stream {
    void (*begin)(void *arg, struct str content_type, bool is_streamed);
    bool (*data)(void *arg, struct str piece); /* false: no more until instance_stream_resume */
};
#define INSTANCE_STREAM_BYTES_MAX (UINT64_C(200) << 20)

/* One call. The instance reads it and never frees it; it must live until `answered`. */
struct instance_request {
    const char *id;      /* UUID */
    struct buf *payload; /* moved out by instance_invoke: it is not sent twice */
    struct str client_context;
    struct str cognito;
    struct str trace_id;
    struct str invoked_arn;
    uint32_t timeout_ms;
    unsigned depth; /* functions that called one another before this call */
    bool wants_log_tail;
    const struct instance_stream *stream; /* NULL: the answer comes whole */
    void *stream_arg;
};

/* Why a call or an init phase failed. `type` is AWS's error type, `text` what follows "RequestId: <id>
 * Error: "; when the runtime posted an error itself, `body` is that, unchanged, and wins. */
struct instance_failure {
    char type[128];
    char text[256];
    const char *status; /* for REPORT: "error" or "timeout" */
    bool has_id;        /* the message begins with the request's id */
    struct buf body;
};
void instance_failure_done(struct instance_failure *failure);
void instance_failure_copy(struct instance_failure *to, const struct instance_failure *from);
/* In one line, for logs and reasons: "Runtime.ExitError: ..." or what the platform says. */
void instance_failure_text(const struct instance_failure *failure, char *text, size_t size);
/* The JSON that the caller gets: `body` (moved out), or {"errorType","errorMessage"} as AWS writes them. */
void instance_failure_payload(struct instance_failure *failure, const char *request_id,
                              struct buf *ret_payload);

struct instance_answer {
    bool is_error;                    /* then `failure` is filled, else `payload` */
    struct buf payload;               /* may be moved out */
    struct instance_failure *failure; /* borrowed */
    struct str log_tail;              /* raw, <= 4096 bytes; only if it was asked for */
    struct str model_digest;          /* 64 hex digits, or empty */
    uint64_t duration_us;             /* payload given -> response posted */
};

/* How an instance ended. */
struct instance_end {
    bool is_init_failure;    /* it never reached its first `next` */
    bool is_sandbox_fault;   /* not the function's doing: the sandbox could not be made */
    bool is_refused;         /* a template that may not be forked; `failure` names what of it */
    bool is_restore_failure; /* a fork's restore/error, or it took longer than it may */
    bool is_crash;           /* a signal that nobody sent it ended it */
    /* Not 0, with is_sandbox_fault: its file system cannot be had; `failure` says why. */
    enum spawn_filesystem_failure mount_failure;
    struct instance_failure *failure; /* filled if is_init_failure; borrowed */
    uint64_t memory_peak_bytes;
};

struct instance_events {
    /* lamina-spawn has made the sandbox; the runtime begins. Once, before the first idle. */
    void (*started)(void *arg, struct instance *instance);
    /* A template: checked, it may be forked from now on. It is never idle. */
    void (*templated)(void *arg, struct instance *instance);
    /* It waits for work: after its first `next`, and again after each call. */
    void (*idle)(void *arg, struct instance *instance);
    /* It no longer does, though it got none: its `next` broke off, or it is dying. */
    void (*unready)(void *arg, struct instance *instance);
    /* The call given by instance_invoke has its outcome; the instance may be dying already. */
    void (*answered)(void *arg, struct instance *instance, struct instance_answer *answer);
    /* It is gone. Exactly once, the last call. Never from inside instance_new. */
    void (*ended)(void *arg, struct instance *instance, const struct instance_end *end);
    void *arg;
};

/* Asks lamina-spawn for a sandbox. Never fails: what goes wrong arrives as `ended`. */
struct instance *instance_new(struct instance_host *host, const struct instance_spec *spec,
                              const struct instance_events *events);

/* Gives it a call. It must be IDLE or FROZEN (a frozen one is thawed on the way). */
void instance_invoke(struct instance *instance, const struct instance_request *request);

/* The stream's `data` had said false. */
void instance_stream_resume(struct instance *instance);

/* IDLE -> FROZEN. */
void instance_freeze(struct instance *instance);

/* Ends it whatever it does; a call it holds is answered as a fault of the sandbox. */
void instance_stop(struct instance *instance);
/* A template that may not be forked (any more), for `reason`: it ends with `is_refused`. Harmless for what ends. */
void instance_refuse(struct instance *instance, struct str reason);

/* Writes START, END and REPORT of a call that never reached the instance, because its init phase
 * failed, into the instance's log. Only inside `ended`. The tail is borrowed until it returns. */
void instance_log_failed_call(struct instance *instance, const struct instance_request *request,
                              const struct instance_failure *failure, struct str *ret_tail);

uint64_t instance_id(const struct instance *instance);
const char *instance_state_name(const struct instance *instance);
bool instance_is_frozen(const struct instance *instance);
/* Where the time from START sent to the first `next` went; 0 while not yet passed. A runtime that tells (header
 * Lamina-Init-Phases) has its load and warm-up apart; for others all that follows the sandbox is load. */
uint64_t instance_sandbox_us(const struct instance *instance);
uint64_t instance_load_us(const struct instance *instance);
uint64_t instance_warm_us(const struct instance *instance);
uint64_t instance_memory_peak(const struct instance *instance);
uint64_t instance_requests(const struct instance *instance);
uint64_t instance_log_lines_dropped(const struct instance *instance);
int32_t instance_pid(const struct instance *instance);

/* Asks lamina-spawn what the instance's processes use. The callback runs exactly once, also when the
 * instance ends first (error = -ESRCH). */
struct instance_usage {
    int error;
    uint64_t pss_bytes;
    uint64_t private_bytes;
    uint64_t page_table_bytes;
    uint64_t anonymous_bytes; /* its share of the pages that no file has */
    uint64_t cgroup_bytes;
    uint64_t cgroup_peak_bytes;
    uint64_t cpu_us;
};
typedef void instance_usage_cb(void *arg, const struct instance_usage *usage);
void instance_usage(struct instance *instance, instance_usage_cb *cb, void *arg);

#endif
