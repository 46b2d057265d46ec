// SPDX-License-Identifier: MIT
//
// The measuring engine of `lamina compare`: which of the six strategies suits a model.
//
// Each strategy that is feasible and built is deployed under a temporary name, measured and
// deleted, also when the measuring fails or is interrupted. This version builds `package`, `layer`, `s3` and `filesystem`
// (variant.h); the other rows say not_built, or infeasible when a limit of AWS excludes them already.
//
//   gates ─► deploy ─► cold starts, node cold and node warm in turn ─► warm calls, memory
//         ─► throughput at 1, 8 and 32 callers ─► updates under load ─► delete
//
// node_warm: no instance runs, the model's bytes are in the page cache. node_cold: the service drops
// them from the page cache first. Phases are the service's own (docs/lamina-api.md); caller_ms is what
// the caller saw, connection and all. All times are medians and percentiles over single calls.
//
// Blocking; one thread calls, load is made by threads of its own. *options->interrupt ends it early
// (-EINTR) with the function deleted.
#ifndef LAMINA_COMPARE_COMPARE_H
#define LAMINA_COMPARE_COMPARE_H

#include "base/error.h"
#include "client/client.h"
#include "compare/spread.h"
#include "package/package.h"
#include "package/strategy.h"

#define COMPARE_PHASES 6
#define COMPARE_LOADS 3
#define COMPARE_COLD_STARTS_MIN 20

extern const char
    *const compare_phases[COMPARE_PHASES]; // queue sandbox fetch load warm first_answer

// What is going on, for a progress bar. done <= total.
typedef void (*compare_progress)(void *arg, const char *what, unsigned done, unsigned total);

// Where the strategy filesystem puts the model.
struct compare_filesystem {
    char arn[200];        // of an access point at its root
    char directory[1024]; // on this machine, and to be written to; empty: none, for this reason
    char reason[ERROR_TEXT_MAX];
};

struct compare_options {
    const char *path;               // the model, or a directory
    struct package_options runtime; // the built-in runtime
    const void *event;              // what to ask; NULL: warm_up.json beside the model, else made
    size_t event_size;              // from the model's metadata
    unsigned memory_mb;
    unsigned timeout_s;
    unsigned cold_starts; // of each kind
    unsigned warm_calls;  // at most; ended by time as well
    unsigned load_ms;     // of each throughput measurement
    unsigned updates;
    struct compare_filesystem filesystem;
    const volatile int *interrupt;
    compare_progress progress;
    void *progress_arg;
};

enum compare_status {
    COMPARE_MEASURED,
    COMPARE_NOT_BUILT,
    COMPARE_INFEASIBLE,
};

struct compare_cold {
    struct spread total_ms;
    struct spread caller_ms;
    struct spread phases_ms[COMPARE_PHASES];
};

struct compare_load {
    unsigned callers;
    uint64_t calls;
    uint64_t failed;
    double per_s; // answered without error
    struct spread ms;
};

struct compare_update {
    bool is_measured;
    unsigned rounds;
    struct spread seconds;         // from the upload's first byte until the service says Successful
    struct spread package_seconds; // making the zip
    uint64_t bytes_moved;          // of one update
    bool redeploys;                // the function had to be changed for it
    uint64_t calls;                // that ran meanwhile
    uint64_t failed;
    struct spread call_ms;
};

struct compare_row {
    enum strategy strategy;
    enum compare_status status;
    char reason[ERROR_TEXT_MAX]; // why not measured, or what to know about it; empty: nothing
    uint64_t zip_bytes, unzipped_bytes, model_bytes, stored_bytes;
    struct compare_cold node_cold, node_warm;
    struct spread warm_ms;
    uint64_t pss_bytes, private_bytes; // of one idle instance
    struct compare_load loads[COMPARE_LOADS];
    struct compare_update update;
};

struct compare_report {
    char event_source[128]; // where the event came from
    unsigned memory_mb;
    struct compare_row rows[STRATEGY_COUNT];
};

// Errors: those of the client and of packaging; -EREMOTEIO when the function reports an error for
// the event (the text holds its beginning).
MUST_CHECK int compare_run(const struct target *target, const struct compare_options *options,
                           struct compare_report *ret, struct error *err);

#endif
