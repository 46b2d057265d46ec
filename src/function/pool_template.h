/* SPDX-License-Identifier: MIT
 *
 * pool_template: the template of a pool's version, and why there is none.
 *
 *     wanted? --no--> instances start as processes
 *       | yes, and none is there
 *       v
 *     made (calls wait for it: what it loads is loaded once) --ready--> instances are forks of it
 *       |                                                               | its forks crash often
 *       | refused, failed                                               v
 *       v                                                             another is made beside it, and takes its place
 *     instances start as processes; tried again after a while, unless it was refused
 *
 * One that nobody has called for a while (LAMINA_FREEZE_AFTER_MS, POOL_TEMPLATE_LOOK_FACTOR times) is kept as long as it is worth its memory, and had again ahead of
 * a call that can be foreseen (retention.h). Those of SnapStart were asked for: they go for want of memory only.
 *
 * Thread: loop only. Private to src/function.
 */
#ifndef LAMINA_FUNCTION_POOL_TEMPLATE_H
#define LAMINA_FUNCTION_POOL_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "function/scheduler.h"
#include "template/template.h"

#define POOL_TEMPLATE_LOOK_FACTOR 10
#define POOL_TEMPLATE_RETRY_MS 60000
#define POOL_TEMPLATE_RETRY_MAX_MS 3600000
/* Forks in a row whose sandbox could not be made: the template is given up. So many templates in a row of which no fork
 * stood: instances start as processes for a while. */
#define POOL_TEMPLATE_FAULTS_MAX 3
/* Replaced so often for crashes, with less than POOL_TEMPLATE_RETRY_MAX_MS between them, and instances start as processes for POOL_TEMPLATE_RETRY_MAX_MS. */
#define POOL_TEMPLATE_REPLACEMENTS_MAX 3

struct pool;

/* In struct pool. */
struct pool_template {
    struct template *current;  /* STARTING, INIT or READY; NULL: none */
    struct template *next;     /* the same, to take its place */
    unsigned alive;            /* with those that were retired: the pool outlives them */
    struct stopping *stopping; /* who waits until `stopped` of them are gone; borrowed */
    unsigned stopped;
    uint64_t need;     /* memory taken off until one that is coming (either) is measured */
    unsigned failures; /* in a row */
    unsigned
        replacements; /* for crashes; none within POOL_TEMPLATE_RETRY_MAX_MS, and they begin anew */
    int64_t replaced_ms;  /* the last of them */
    unsigned fork_faults; /* in a row */
    unsigned barren;      /* in a row: READY, and gone before a fork of it stood */
    bool is_refused;
    struct loop_timer timer; /* when the pause of its calls is to be thought about */
    bool is_awaited;         /* gone for now; the timer makes it again, ahead of the next call */
    bool is_planned;         /* the three below hold, until it is called */
    int64_t end_ms, return_ms, return_end_ms; /* on the loop's clock; return: INT64_MAX for never */
    int64_t retry_ms;                         /* not before */
    int64_t ready_ns, asked_ns;
    char reason[TEMPLATE_REASON_MAX]; /* why there is none */
    bool is_init_failure;             /* it is the function's own */
    struct list waits;                /* of struct template_wait */
};

/* What the next instance of the pool is to be. */
enum pool_start {
    POOL_START_PROCESS,
    POOL_START_FORK,
    POOL_START_LATER,   /* its template is being made */
    POOL_START_BLOCKED, /* there is no memory to make it: tried again */
};

void pool_template_init(struct pool_template *own);
/* Asks for the template if there is to be one. */
enum pool_start pool_template_start(struct pool *pool);
/* The same without needing an instance. */
bool pool_template_is_coming(const struct pool *pool);
/* One that forks may be asked of now. */
struct template *pool_template_ready(const struct pool *pool);
/* Calls once when it is known whether there is a template; perhaps before it returns. */
void pool_template_wait(struct pool *pool, scheduler_prepared_cb *cb, void *arg);
/* Those that have waited since before `since_ms` for memory to make it hear that there is none. */
void pool_template_expire(struct pool *pool, int64_t since_ms);
/* Somebody waits to hear, or a call of it is foreseen. */
bool pool_template_is_awaited(const struct pool *pool);
/* A call came: the pause that was thought about is over. */
void pool_template_called(struct pool *pool);
/* The sandbox of a fork could not be made. */
void pool_template_fork_fault(struct pool *pool, const char *text);
void pool_template_fork_stood(struct pool *pool);
/* A signal ended a fork of the template with this id. */
void pool_template_fork_crashed(struct pool *pool, uint64_t template_id);
struct stopping;
/* Ends them, though their version lives: the next call makes another. Returns how many `stopping` has to wait for. */
unsigned pool_template_stop(struct pool *pool, struct stopping *stopping);
/* No call will need it any more. */
void pool_template_retire(struct pool *pool);
/* How much of a wait since `since_ns` was for the template to be made, in microseconds. */
uint64_t pool_template_waited_us(const struct pool *pool, int64_t since_ns);
/* The word for `lamina describe`: its state, or NONE, OFF, REFUSED, FAILED. */
const char *pool_template_state(const struct pool *pool);

#endif
