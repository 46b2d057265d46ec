// SPDX-License-Identifier: MIT
//
// One strategy being measured: the function under its temporary name, and what all steps need.
#ifndef LAMINA_COMPARE_SESSION_H
#define LAMINA_COMPARE_SESSION_H

#include "client/lambda.h"
#include "compare/compare.h"

#include "base/buf.h"

struct variant; // variant.h

struct session {
    const struct compare_options *options; // borrowed
    struct client *client;                 // of the calling thread
    const struct variant *variant;         // the strategy; borrowed
    char name[65];                         // of the function
    struct package package;                // what variant.build made: the function's code
    struct package layer;                  // and, of the strategy layer, the layer's
    char marker[72];                       // of s3 and filesystem: what makes the model another one
    struct buf event;
    unsigned done, total; // steps, for the progress bar
};

static inline bool session_is_interrupted(const struct session *session)
{
    return session->options->interrupt != NULL && *session->options->interrupt != 0;
}

void session_progress(struct session *session, const char *what);

// One call; *ret_ms: what it took. -EREMOTEIO when the function reports an error. *ret_is_cold, if
// it is asked for: whether an instance was started for it (its REPORT line then says so).
MUST_CHECK int session_call(struct session *session, struct client *client, double *ret_ms,
                            bool *ret_is_cold, struct error *err);

// What GET /lamina/v1/functions/NAME says.
struct session_state {
    uint64_t stored_bytes;
    uint64_t instances; // in whatever state
    uint64_t cold_starts;
    double phases_ms[COMPARE_PHASES]; // of the last cold start
    double total_ms;
};
MUST_CHECK int session_describe(struct session *session, struct session_state *ret,
                                struct error *err);

// event.c: fills session->event; source says where it came from.
MUST_CHECK int session_find_event(struct session *session, char *source, size_t source_size,
                                  struct error *err);

// cold.c, load.c, update.c: the steps. Each adds its steps to session->total by its _steps.
unsigned cold_steps(const struct compare_options *options);
MUST_CHECK int cold_measure(struct session *session, struct compare_row *row, struct error *err);
unsigned load_steps(void);
MUST_CHECK int load_measure(struct session *session, struct compare_row *row, struct error *err);
unsigned update_steps(const struct compare_options *options);
MUST_CHECK int update_measure(struct session *session, struct compare_row *row, struct error *err);

// Callers in threads of their own, each with its connection, until they are told to stop.
struct callers;
struct callers_result {
    struct samples ms; // of the calls that were answered without error
    uint64_t calls;
    uint64_t failed;
    char first_failure[256];
};
MUST_CHECK int callers_start(struct session *session, unsigned count, struct callers **ret,
                             struct error *err);
// Frees callers. samples_done frees ret->ms.
void callers_stop(struct callers *callers, struct callers_result *ret);
// Sleeps, but not longer than until an interrupt (looked at ten times a second).
void session_sleep_ms(const struct session *session, unsigned ms);

#endif
