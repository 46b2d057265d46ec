// SPDX-License-Identifier: MIT

#include "meta/writer.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct requests {
    struct writer_request *first, **end;
};

struct writer {
    struct loop *loop;     // borrowed
    struct sqlite *sqlite; // borrowed; the thread's, once it runs
    const char *name;
    void *arg;
    size_t waiting_max;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct requests waiting, done; // under the lock
    bool is_posted;                // under the lock: `posted` is on its way
    bool is_ending;                // under the lock
    bool is_broken;                // the thread's
    struct loop_posted posted;
    struct writer_stats stats; // under the lock
    size_t outstanding;        // loop thread: without an answer
};

static void requests_init(struct requests *requests)
{
    requests->first = NULL;
    requests->end = &requests->first;
}

static void requests_add(struct requests *requests, struct writer_request *request)
{
    request->next = NULL;
    *requests->end = request;
    requests->end = &request->next;
}

static struct writer_request *requests_take_all(struct requests *requests)
{
    struct writer_request *first = requests->first;
    requests_init(requests);
    return first;
}

// ---- The thread

static int group_apply(struct writer *writer, struct writer_request *group, struct error *err)
{
    int r = sqlite_begin(writer->sqlite, err);
    for (struct writer_request *each = group; r == 0 && each; each = each->next) {
        r = each->apply(each, writer->arg);
        if (r < 0)
            *err = each->err;
        if (r == WRITER_REFUSED)
            r = 0;
    }
    if (r == 0)
        r = sqlite_commit(writer->sqlite, err);
    if (r < 0)
        sqlite_rollback(writer->sqlite);
    return r;
}

static size_t group_run(struct writer *writer, struct writer_request *group)
{
    struct error err = {0};
    size_t failed = 0;
    int r =
        writer->is_broken
            ? error_set(&err, -EIO, "the %s had an I/O error: restart the service", writer->name)
            : group_apply(writer, group, &err);
    if (r == 0)
        return 0;
    if (r == -EIO || r == -EUCLEAN)
        writer->is_broken = true;
    for (struct writer_request *each = group; each; each = each->next, failed++)
        each->err = err;
    return failed;
}

static void writer_deliver(void *arg);

static void group_answer(struct writer *writer, struct writer_request *group, size_t failed)
{
    pthread_mutex_lock(&writer->lock);
    writer->stats.commits++;
    writer->stats.failures += failed;
    while (group) {
        struct writer_request *next = group->next;
        requests_add(&writer->done, group);
        group = next;
    }
    bool must_post = !writer->is_posted;
    writer->is_posted = true;
    pthread_mutex_unlock(&writer->lock);
    if (must_post)
        loop_post(writer->loop, &writer->posted, writer_deliver, writer);
}

static void *writer_thread(void *arg)
{
    struct writer *writer = arg;
    for (;;) {
        pthread_mutex_lock(&writer->lock);
        while (!writer->waiting.first && !writer->is_ending)
            pthread_cond_wait(&writer->wake, &writer->lock);
        struct writer_request *group = requests_take_all(&writer->waiting);
        writer->stats.waiting = 0;
        pthread_mutex_unlock(&writer->lock);
        if (!group)
            return NULL;
        size_t failed = group_run(writer, group);
        group_answer(writer, group, failed);
    }
}

static int writer_start_thread(struct writer *writer)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&writer->thread, NULL, writer_thread, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code)
        return -code;
    (void) pthread_setname_np(writer->thread, writer->name); // for ps only
    writer->has_thread = true;
    return 0;
}

// ---- The loop thread

static void writer_deliver(void *arg)
{
    struct writer *writer = arg;
    pthread_mutex_lock(&writer->lock);
    struct writer_request *done = requests_take_all(&writer->done);
    writer->is_posted = false;
    pthread_mutex_unlock(&writer->lock);
    while (done) {
        struct writer_request *next = done->next;
        writer->outstanding--;
        loop_release(writer->loop);
        done->answer(done);
        done = next;
    }
}

int writer_new(struct loop *loop, struct sqlite *sqlite, const char *name, size_t waiting_max,
               void *arg, struct writer **ret_writer)
{
    struct writer *writer = mem_new(struct writer);
    if (!writer)
        return -ENOMEM;
    writer->loop = loop;
    writer->sqlite = sqlite;
    writer->name = name;
    writer->arg = arg;
    writer->waiting_max = waiting_max;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wake, NULL);
    requests_init(&writer->waiting);
    requests_init(&writer->done);
    *ret_writer = writer;
    return 0;
}

static void writer_end_thread(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    writer->is_ending = true;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    writer->has_thread = writer->is_ending = false;
    (void) loop_unpost(writer->loop, &writer->posted); // what it would deliver comes now
    writer_deliver(writer);
}

void writer_free(struct writer *writer)
{
    if (!writer)
        return;
    // An answer may submit again: until none does.
    while (writer->has_thread)
        writer_end_thread(writer);
    pthread_cond_destroy(&writer->wake);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

int writer_submit(struct writer *writer, struct writer_request *request)
{
    if (writer->outstanding >= writer->waiting_max)
        return -EAGAIN;
    if (!writer->has_thread) {
        int r = writer_start_thread(writer);
        if (r < 0)
            return r;
    }
    request->err = (struct error){0};
    writer->outstanding++;
    loop_hold(writer->loop);
    pthread_mutex_lock(&writer->lock);
    requests_add(&writer->waiting, request);
    writer->stats.waiting++;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
    return 0;
}

void writer_stats(struct writer *writer, struct writer_stats *ret_stats)
{
    pthread_mutex_lock(&writer->lock);
    *ret_stats = writer->stats;
    pthread_mutex_unlock(&writer->lock);
}
