/* SPDX-License-Identifier: MIT
 *
 * template: a process that has done its init phase once and waits to be forked; the instances of its version are its
 * forks (docs/templates.md). One per version execution, never shared between functions.
 *
 *                       STARTED        lamina-spawn checked it
 *     (new) -> STARTING --------> INIT -----------------------> READY
 *                 |                |                              |  template_retire, LAMINA_TEMPLATE_MEMORY
 *                 |                |                              v
 *                 |                |                           RETIRED   no new fork; ends with the last one on its way
 *                 |                |                              |
 *                 +----------------+------------------------------+--> DEAD   `ended`, then freed
 *                  refused, its init phase failed, it was killed
 *
 *   STARTING  lamina-spawn makes its sandbox                 at most as long as an instance's
 *   INIT      its runtime initialises, then it is checked    spec.init_limit_ms
 *   READY     forks; looked at from time to time: one that uses the processor meanwhile is refused
 *                                                      kept as long as there is memory for it (cache.h)
 *   RETIRED   the forks that were asked for to stand         as long as a start may take
 *
 * A template's forks are instances like any other (instance/instance.h, spec.template_id) and outlive it.
 * Thread: loop only. Owner: the pool of its version (src/function). An ended template frees itself at the end of the turn.
 */
#ifndef LAMINA_TEMPLATE_TEMPLATE_H
#define LAMINA_TEMPLATE_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "instance/instance.h"
#include "loop/loop.h"

/* Forks that a signal ends say that what they inherited is broken, or that somebody tries out addresses: all forks of
 * a template have the same layout. So many within so long, and it is time for another template. */
#define TEMPLATE_CRASHES_MAX 4
#define TEMPLATE_CRASHES_WITHIN_MS 60000
#define TEMPLATE_REASON_MAX 256

enum template_state {
    TEMPLATE_STARTING,
    TEMPLATE_INIT,
    TEMPLATE_READY,
    TEMPLATE_RETIRED,
    TEMPLATE_DEAD
};

struct template;
struct template_cache;

struct template_events {
    void (*ready)(void *arg, struct template *template);
    /* What keeping it is worth, in milliseconds of waiting for a MiB-second (function/retention.h): the least goes first
     * when memory is short. */
    double (*worth)(void *arg, const struct template *template, int64_t now_ms);
    /* The cache needs its memory: to be retired by its owner, now. */
    void (*evict)(void *arg, struct template *template);
    /* It is gone, exactly once, the last call; never from inside template_new. template_reason() says why if it was
     * not retired. */
    void (*ended)(void *arg, struct template *template);
    void *arg;
};

struct template
{
    struct instance *instance;    /* NULL: it could not even be asked for */
    struct template_cache *cache; /* borrowed */
    struct list link;             /* in the cache */
    struct loop *loop;            /* borrowed */
    struct template_events events;
    int state;
    uint32_t
        forking; /* forks asked for that do not stand yet; while there are some, it is not freed */
    int64_t created_ns;
    uint64_t start_us;       /* START -> READY: what it saves each instance */
    uint64_t memory_bytes;   /* its own, page tables included; 0: not measured yet */
    struct loop_timer timer; /* while READY: when it is looked at again */
    int64_t look_ms;         /* after that long; 0: not looked at yet */
    int64_t looked_ms;
    uint64_t cpu_us, asked,
        looked_asked; /* used, and forks asked for, when it was looked at last */
    uint64_t forks;   /* that stood */
    int64_t crashes_ms[TEMPLATE_CRASHES_MAX]; /* a ring: when forks crashed */
    unsigned crashes;
    bool is_sandbox_fault; /* it ended for a reason that is not the function's */
    bool is_refused;       /* found unfit to be forked, and always will be */
    char reason[TEMPLATE_REASON_MAX];
    struct loop_deferred deferred;
};

/* Asks for one of what `spec` says (`is_template` is set by it). NULL only without memory. */
struct template *template_new(struct loop *loop, struct instance_host *host,
                              struct template_cache *cache, const struct instance_spec *spec,
                              const struct template_events *events);

/* No fork is asked for any more; it ends when those on their way stand. Harmless when it has ended. */
void template_retire(struct template *template);

/* It will be READY, if all goes well. */
bool template_is_coming(const struct template *template);
bool template_is_ready(const struct template *template);

/* A fork is about to be asked for: its spec.template_id. It must be READY. */
uint64_t template_fork(struct template *template);
/* That fork stands, or never will. */
void template_forked(struct template *template, bool has_succeeded);
/* One of its forks was ended by a signal that nobody sent. True: too many were, lately. */
bool template_fork_crashed(struct template *template);

const char *template_state_name(const struct template *template);
/* Why it is gone, or never was; "" if it was retired. */
const char *template_reason(const struct template *template);

#endif
