/* SPDX-License-Identifier: MIT
 *
 * switch: a new snapshot of $LATEST takes the place of the old one without a failed call.
 *
 *   draft ─► PREPARING ─► WARMING ─► COMPARING ─► COMMITTING ─► done
 *            its model's  an instance  the model's  one commit: calls run the draft from here on, the old
 *            form         of it, beside inputs are  instances answer what they have and end
 *                         the old ones  the old's
 *                  └──────────┴────────────┴─► REFUSING: the old one goes on serving; LastUpdateStatus Failed
 *                                               with the reason, and refused_mark so that the same model is not tried again
 *                                               (unless there was no room to start it)
 *
 * Whoever has a new model (s3), layers that moved on, or other new content for a function that serves makes a draft and
 * gives it here; the deployment of new code by UpdateFunctionCode needs none of this.
 * A call is answered by one snapshot from beginning to end, and so by one model.
 *
 * Inputs are compared when the function is lamina-model: it is asked for its metadata ({}), as a caller would. Of other
 * functions only that an instance starts can be known.
 * Thread: loop only. Limits: SWITCHES_MAX at a time (-EAGAIN); a draft has SWITCH_WARM_MAX_MS to become ready.
 */
#ifndef LAMINA_FUNCTION_SWITCH_H
#define LAMINA_FUNCTION_SWITCH_H

#include "base/compiler.h"
#include "base/error.h"
#include "function/version.h"

#define SWITCHES_MAX 16
#define SWITCH_WARM_MAX_MS 180000

struct catalog;
struct loop;
struct scheduler;
struct switcher;

/* NULL without memory. All are borrowed. */
struct switcher *switcher_new(struct loop *loop, struct catalog *catalog,
                              struct scheduler *scheduler);

struct switch_result {
    int code; /* 0: it serves; -ECANCELED: the function was changed or deleted meanwhile, nothing was done; -EIO: not written; */
              /* -EINVAL: it was refused, and the function says why */
    struct error err;
};

/* Takes `draft` (one reference, a copy of the function's $LATEST with a renewed execution and Active) if it returns 0; one
 * call of `done` later. -EBUSY: one is under way for this function; -EAGAIN, -ENOMEM. */
MUST_CHECK int switch_start(struct switcher *switcher, struct version *draft,
                            void (*done)(void *arg, const struct switch_result *result), void *arg);

/* The same for a model that serves already and shall be used in another form (settle.h). What is refused changes nothing, and
 * is told to `done` only: err.code is -EAGAIN or -ENOMEM if there was no room. */
MUST_CHECK int switch_settle(struct switcher *switcher, struct version *draft,
                             void (*done)(void *arg, const struct switch_result *result),
                             void *arg);

bool switch_is_running(const struct switcher *switcher, const char *name);

/* The function's switch, if one runs, commits nothing any more and ends with -ECANCELED; one that is being committed goes
 * through. `done` comes later. */
void switch_stop(struct switcher *switcher, const char *name);

#endif
