// SPDX-License-Identifier: MIT
//
// Threads for what may block. A job is straight-line code on copies: it touches no live object of
// the loop, and comes back through one done().
//
//     loop thread:   job_submit ---> queue (bounded) ---> run(argument) on a thread of the pool
//                    done(argument, 0) <---------------- loop_post
//
// Pools are separate so that a slow pull never delays a commit: one thread for the database, a few
// for deployments, a few for hashing. libuv's own pool is not used.
//
// Threads block all signals. Jobs start in order of submission; done() calls come in order of
// completion.

#ifndef LAMINA_LOOP_JOB_H
#define LAMINA_LOOP_JOB_H

#include "base/compiler.h"
#include "loop/loop.h"

#include <stddef.h>

struct job_pool;

#define JOB_THREADS_MAX 16

// `name` (at most 15 characters, a literal) is the threads' name in ps. At most `queue_max` jobs
// wait. -EINVAL, -ENOMEM, -EAGAIN (no more threads).
int job_pool_new(struct loop *loop, const char *name, size_t thread_count, size_t queue_max,
                 struct job_pool **ret_pool) MUST_CHECK;

// Loop thread. Waits until the running jobs are finished (blocks: for the end of the process), then
// calls done(argument, -ECANCELED) for the jobs that never ran and done(argument, 0) for those that
// did. Accepts NULL.
void job_pool_free(struct job_pool *pool);

// Loop thread. 0, -EAGAIN when `queue_max` jobs wait (nothing was taken over), -ENOMEM.
int job_submit(struct job_pool *pool, void (*run)(void *argument),
               void (*done)(void *argument, int status), void *argument) MUST_CHECK;

// Jobs waiting, and jobs running, for metrics. Loop thread.
size_t job_pool_waiting(struct job_pool *pool);
size_t job_pool_running(struct job_pool *pool);

#endif
