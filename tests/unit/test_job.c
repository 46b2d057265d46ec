// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/mem.h"
#include "loop/job.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

struct counted {
    int ran;
    int done;
    int status;
    pthread_t thread;
};

static void run_counted(void *argument)
{
    struct counted *counted = argument;
    counted->ran++;
    counted->thread = pthread_self();
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_true(sigismember(&mask, SIGTERM));
}

static void done_counted(void *argument, int status)
{
    struct counted *counted = argument;
    counted->done++;
    counted->status = status;
    assert_false(pthread_equal(counted->thread, pthread_self()));
}

static void jobs_run_elsewhere_and_come_back(void **state)
{
    struct loop *loop = loop_new();
    struct job_pool *pool = NULL;
    assert_int_equal(job_pool_new(loop, "test", 3, 100, &pool), 0);
    struct counted jobs[100] = {0};
    for (int i = 0; i < 100; i++)
        assert_int_equal(job_submit(pool, run_counted, done_counted, &jobs[i]), 0);
    loop_run(loop); // ends when the last has come back
    for (int i = 0; i < 100; i++) {
        assert_int_equal(jobs[i].ran, 1);
        assert_int_equal(jobs[i].done, 1);
        assert_int_equal(jobs[i].status, 0);
    }
    assert_int_equal(job_pool_waiting(pool), 0);
    job_pool_free(pool);
    loop_free(loop);
}

struct gate {
    sem_t entered, open;
    int ran[8];
    int done[8];
    int statuses[8];
};

static struct gate gate;

static void wait_at_gate(void *argument)
{
    gate.ran[(int) (intptr_t) argument]++;
    sem_post(&gate.entered);
    while (sem_wait(&gate.open) < 0)
        ;
}

static void note_done(void *argument, int status)
{
    int i = (int) (intptr_t) argument;
    gate.done[i]++;
    gate.statuses[i] = status;
}

static void a_full_queue_refuses_and_the_end_cancels(void **state)
{
    memset(&gate, 0, sizeof gate);
    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.open, 0, 0);
    struct loop *loop = loop_new();
    struct job_pool *pool = NULL;
    assert_int_equal(job_pool_new(loop, "test", 1, 2, &pool), 0);
    assert_int_equal(job_submit(pool, wait_at_gate, note_done, (void *) 0), 0);
    while (sem_wait(&gate.entered) < 0)
        ; // it runs, so it waits no more
    assert_int_equal(job_pool_running(pool), 1);
    assert_int_equal(job_submit(pool, wait_at_gate, note_done, (void *) 1), 0);
    assert_int_equal(job_submit(pool, wait_at_gate, note_done, (void *) 2), 0);
    assert_int_equal(job_submit(pool, wait_at_gate, note_done, (void *) 3), -EAGAIN);
    assert_int_equal(job_pool_waiting(pool), 2);
    for (int i = 0; i < 3; i++)
        sem_post(&gate.open);
    job_pool_free(pool); // waits for what has begun: the first, and whatever followed by now
    assert_int_equal(gate.statuses[0], 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(gate.done[i], 1);
        assert_int_equal(gate.statuses[i], gate.ran[i] ? 0 : -ECANCELED);
    }
    assert_int_equal(gate.done[3], 0);
    loop_run(loop);
    loop_free(loop);
    assert_int_equal(gate.done[0] + gate.done[1] + gate.done[2], 3); // still each once
    sem_destroy(&gate.entered);
    sem_destroy(&gate.open);
}

struct chain {
    struct job_pool *pool;
    int left;
};

static void nothing(void *argument)
{
}

static void submit_next(void *argument, int status)
{
    struct chain *chain = argument;
    if (--chain->left > 0)
        assert_int_equal(job_submit(chain->pool, nothing, submit_next, chain), 0);
    else
        job_pool_free(chain->pool); // within done(), too
}

static void done_may_submit_and_free(void **state)
{
    struct loop *loop = loop_new();
    struct chain chain = {.left = 50};
    assert_int_equal(job_pool_new(loop, "test", 2, 1, &chain.pool), 0);
    assert_int_equal(job_submit(chain.pool, nothing, submit_next, &chain), 0);
    loop_run(loop);
    assert_int_equal(chain.left, 0);
    loop_free(loop);
}

static void refuses_absurd_pools(void **state)
{
    struct loop *loop = loop_new();
    struct job_pool *pool;
    assert_int_equal(job_pool_new(loop, "test", 0, 1, &pool), -EINVAL);
    assert_int_equal(job_pool_new(loop, "test", JOB_THREADS_MAX + 1, 1, &pool), -EINVAL);
    job_pool_free(NULL);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_elsewhere_and_come_back),
        cmocka_unit_test(a_full_queue_refuses_and_the_end_cancels),
        cmocka_unit_test(done_may_submit_and_free),
        cmocka_unit_test(refuses_absurd_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
