// SPDX-License-Identifier: MIT

#include "loop/job.h"

#include "base/list.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct job {
    struct list link; // of pool->waiting, then of pool->finished
    struct job_pool *pool;
    struct loop_posted posted;
    void (*run)(void *argument);
    void (*done)(void *argument, int status);
    void *argument;
};

struct job_pool {
    struct loop *loop; // borrowed: outlives the pool
    pthread_t threads[JOB_THREADS_MAX];
    size_t thread_count;
    size_t queue_max;

    pthread_mutex_t lock; // of everything below
    pthread_cond_t changed;
    struct list waiting;
    struct list finished; // run, and their done() not yet called
    size_t waiting_count;
    size_t running_count;
    bool is_ending;
};

static void *work(void *pool);

// The job's last moment, on the loop thread; it is in no list. done() may free the pool.
static void end(struct job *job, int status)
{
    void (*done)(void *argument, int status) = job->done;
    void *argument = job->argument;
    loop_release(job->pool->loop);
    free(job);
    done(argument, status);
}

static int start_threads(struct job_pool *pool, const char *name, size_t thread_count)
{
    // Signals belong to the loop thread: whoever starts a thread hands down its mask.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = 0;
    for (; pool->thread_count < thread_count && r == 0; pool->thread_count += r == 0) {
        r = -pthread_create(&pool->threads[pool->thread_count], NULL, work, pool);
        if (r == 0)
            (void) pthread_setname_np(pool->threads[pool->thread_count], name); // only a label
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int job_pool_new(struct loop *loop, const char *name, size_t thread_count, size_t queue_max,
                 struct job_pool **ret_pool)
{
    if (thread_count == 0 || thread_count > JOB_THREADS_MAX)
        return -EINVAL;
    struct job_pool *pool = mem_new(struct job_pool);
    if (!pool)
        return -ENOMEM;
    pool->loop = loop;
    pool->queue_max = queue_max;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    list_init(&pool->waiting);
    list_init(&pool->finished);
    int r = start_threads(pool, name, thread_count);
    if (r < 0) {
        job_pool_free(pool);
        return r;
    }
    *ret_pool = pool;
    return 0;
}

// On the loop thread.
static void finish(void *argument)
{
    struct job *job = argument;
    struct job_pool *pool = job->pool;
    pthread_mutex_lock(&pool->lock);
    list_remove(&job->link);
    pthread_mutex_unlock(&pool->lock);
    end(job, 0);
}

static void *work(void *argument)
{
    struct job_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (list_is_empty(&pool->waiting) && !pool->is_ending)
            pthread_cond_wait(&pool->changed, &pool->lock);
        if (pool->is_ending)
            break;
        struct job *job = LIST_ENTRY(list_take_first(&pool->waiting), struct job, link);
        pool->waiting_count--;
        pool->running_count++;
        pthread_mutex_unlock(&pool->lock);
        job->run(job->argument);
        pthread_mutex_lock(&pool->lock);
        pool->running_count--;
        list_add_last(&pool->finished, &job->link);
        loop_post(pool->loop, &job->posted, finish, job);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

void job_pool_free(struct job_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->is_ending = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    // No thread is left: the lists are ours.
    for (struct list *link; (link = list_take_first(&pool->finished));) {
        struct job *job = LIST_ENTRY(link, struct job, link);
        loop_unpost(pool->loop, &job->posted);
        end(job, 0);
    }
    for (struct list *link; (link = list_take_first(&pool->waiting));)
        end(LIST_ENTRY(link, struct job, link), -ECANCELED);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

int job_submit(struct job_pool *pool, void (*run)(void *argument),
               void (*done)(void *argument, int status), void *argument)
{
    struct job *job = mem_new(struct job);
    if (!job)
        return -ENOMEM;
    *job = (struct job){.pool = pool, .run = run, .done = done, .argument = argument};
    list_init(&job->link);
    pthread_mutex_lock(&pool->lock);
    bool is_full = pool->waiting_count >= pool->queue_max || pool->is_ending;
    if (!is_full) {
        list_add_last(&pool->waiting, &job->link);
        pool->waiting_count++;
        loop_hold(pool->loop);
        pthread_cond_signal(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
    if (is_full) {
        free(job);
        return -EAGAIN;
    }
    return 0;
}

static size_t read_count(struct job_pool *pool, const size_t *count)
{
    pthread_mutex_lock(&pool->lock);
    size_t value = *count;
    pthread_mutex_unlock(&pool->lock);
    return value;
}

size_t job_pool_waiting(struct job_pool *pool)
{
    return read_count(pool, &pool->waiting_count);
}

size_t job_pool_running(struct job_pool *pool)
{
    return read_count(pool, &pool->running_count);
}
