// SPDX-License-Identifier: MIT

#include "model_runtime/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

enum worker_state {
    WORKER_NONE,
    WORKER_RECORDED,
    WORKER_RUNNING,
};

struct worker {
    enum worker_state state;
    void (*work)(void *);
    void *arg;
    pthread_t thread;
};

static struct worker workers[WORKERS_MAX];
static bool is_started; // what is created from now on need not wait

static void *worker_main(void *arg)
{
    const struct worker *worker = arg;
    worker->work(worker->arg);
    return NULL;
}

static int worker_start(struct worker *worker)
{
    sigset_t all, before;
    sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &before); // fails for a bad `how` only
    int r = pthread_create(&worker->thread, NULL, worker_main, worker);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return -r;
    worker->state = WORKER_RUNNING;
    return 0;
}

const struct worker *worker_create(void *unused, void (*work)(void *), void *arg)
{
    (void) unused;
    for (struct worker *worker = workers; worker < workers + WORKERS_MAX; worker++) {
        if (worker->state != WORKER_NONE)
            continue;
        *worker = (struct worker){.state = WORKER_RECORDED, .work = work, .arg = arg};
        if (!is_started || worker_start(worker) == 0)
            return worker;
        worker->state = WORKER_NONE;
        return NULL;
    }
    return NULL;
}

void worker_join(const struct worker *handle)
{
    struct worker *worker = &workers[handle - workers];
    // Not on this thread: what the engine notes about a worker's thread would outlive the pool.
    if (worker->state == WORKER_RECORDED)
        (void) worker_start(worker); // if it cannot, what it was given leaks; the process ends soon
    if (worker->state == WORKER_RUNNING)
        (void) pthread_join(worker->thread, NULL);
    worker->state = WORKER_NONE;
}

int workers_start(void)
{
    int result = 0;
    is_started = true;
    for (struct worker *worker = workers; worker < workers + WORKERS_MAX; worker++) {
        int r = worker->state == WORKER_RECORDED ? worker_start(worker) : 0;
        if (r < 0)
            result = r;
    }
    return result;
}

size_t workers_recorded(void)
{
    size_t count = 0;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        count += workers[i].state == WORKER_RECORDED;
    return count;
}
