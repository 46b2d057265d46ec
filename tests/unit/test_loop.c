// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/fd.h"
#include "base/mem.h"
#include "loop/loop.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

static void an_empty_loop_ends_at_once(void **state)
{
    struct loop *loop = loop_new();
    loop_run(loop);
    loop_run(loop);
    loop_free(loop);
    loop_free(NULL);
}

struct deferred_test {
    struct loop *loop;
    struct loop_deferred one, two;
    char order[8];
};

static void note(struct deferred_test *test, char letter)
{
    size_t size = strlen(test->order);
    test->order[size] = letter;
}

static void deferred_two(void *argument)
{
    note(argument, '2');
}

static void deferred_one(void *argument)
{
    struct deferred_test *test = argument;
    note(test, '1');
    loop_defer(test->loop, &test->two, deferred_two, test);
}

static void deferred_calls_run_once_each_in_order(void **state)
{
    struct deferred_test test = {.loop = loop_new()};
    loop_defer(test.loop, &test.one, deferred_one, &test);
    loop_defer(test.loop, &test.one, deferred_one, &test); // does nothing
    assert_string_equal(test.order, "");
    loop_run(test.loop); // they alone keep it running
    assert_string_equal(test.order, "12");
    loop_defer(test.loop, &test.one, deferred_one, &test);
    loop_free(test.loop); // what is left runs before the end
    assert_string_equal(test.order, "1212");
}

struct poll_test {
    int fd;
    struct loop_poll *poll;
    int events;
    int calls;
};

static void stop_on_event(void *argument, int events)
{
    struct poll_test *test = argument;
    test->events = events;
    test->calls++;
    loop_poll_stop(test->poll);
    close(test->fd); // allowed at once
}

static void watches_seqpacket_sockets(void **state)
{
    struct loop *loop = loop_new();
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    struct poll_test test = {.fd = fds[0]};
    assert_int_equal(loop_poll_start(loop, fds[0], LOOP_READABLE, stop_on_event, &test, &test.poll),
                     0);
    loop_run_once(loop, false);
    assert_int_equal(test.calls, 0);
    assert_int_equal(fd_send_packet(fds[1], "x", 1, NULL, 0), 0);
    loop_run(loop);
    assert_int_equal(test.calls, 1);
    assert_int_equal(test.events, LOOP_READABLE);
    close(fds[1]);
    loop_free(loop);
}

static void sees_the_peer_hang_up(void **state)
{
    struct loop *loop = loop_new();
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct poll_test test = {.fd = fds[0]};
    assert_int_equal(loop_poll_start(loop, fds[0], LOOP_HANGUP, stop_on_event, &test, &test.poll),
                     0);
    assert_int_equal(fd_write_all(fds[1], "not asked for", 13), 0);
    loop_run_once(loop, false);
    assert_int_equal(test.calls, 0);
    close(fds[1]);
    loop_run(loop);
    assert_true(test.events & LOOP_HANGUP);
    loop_free(loop);
}

static void never(void *argument, int events)
{
    fail();
}

static void a_changed_watch_follows(void **state)
{
    struct loop *loop = loop_new();
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct loop_poll *poll = NULL, *second = NULL;
    assert_int_equal(loop_poll_start(loop, fds[0], LOOP_READABLE, never, NULL, &poll), 0);
    assert_int_equal(loop_poll_start(loop, fds[0], LOOP_READABLE, never, NULL, &second), -EEXIST);
    assert_int_equal(fd_write_all(fds[1], "x", 1), 0);
    assert_int_equal(loop_poll_change(poll, 0), 0);
    loop_run_once(loop, false);
    loop_poll_stop(poll);
    loop_poll_stop(NULL);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(loop_poll_start(loop, -1, LOOP_READABLE, never, NULL, &poll), -EBADF);
    loop_run(loop);
    loop_free(loop);
}

static void stop_loop(void *argument, int signal_number)
{
    assert_int_equal(signal_number, SIGUSR1);
    loop_stop(argument);
}

static void signals_reach_the_loop(void **state)
{
    struct loop *loop = loop_new();
    assert_int_equal(loop_signal(loop, SIGUSR1, stop_loop, loop), 0);
    loop_run(loop); // a signal watch alone does not keep it
    loop_hold(loop);
    assert_int_equal(raise(SIGUSR1), 0);
    loop_run(loop);
    loop_release(loop);
    loop_free(loop);
}

enum { POSTS = 2000 };

struct post {
    struct loop_posted posted;
    struct post_test *test;
    int number;
};

struct post_test {
    struct loop *loop;
    struct post posts[4][POSTS];
    int next[4]; // the number expected from each thread
    int calls;
};

struct poster {
    struct post_test *test;
    int thread;
};

static void post_came(void *argument)
{
    struct post *post = argument;
    struct post_test *test = post->test;
    int thread = (int) ((post - test->posts[0]) / POSTS);
    assert_int_equal(post->number, test->next[thread]++);
    if (++test->calls == 4 * POSTS)
        loop_release(test->loop);
}

static void *post_many(void *argument)
{
    struct poster *poster = argument;
    struct post_test *test = poster->test;
    for (int i = 0; i < POSTS; i++) {
        struct post *post = &test->posts[poster->thread][i];
        *post = (struct post){.test = test, .number = i};
        loop_post(test->loop, &post->posted, post_came, post);
    }
    return NULL;
}

static void posts_of_many_threads_all_come_in_order(void **state)
{
    struct post_test *test = mem_new(struct post_test);
    test->loop = loop_new();
    loop_hold(test->loop);
    pthread_t threads[4];
    struct poster posters[4];
    for (int i = 0; i < 4; i++) {
        posters[i] = (struct poster){test, i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    loop_run(test->loop);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(test->calls, 4 * POSTS);
    loop_free(test->loop);
    free(test);
}

static void count(void *argument)
{
    (*(int *) argument)++;
}

struct unpost_test {
    struct loop *loop;
    struct loop_posted *victim;
};

static void unpost_victim(void *argument)
{
    struct unpost_test *test = argument;
    assert_true(loop_unpost(test->loop, test->victim));
}

static void posts_can_be_taken_back(void **state)
{
    struct loop *loop = loop_new();
    struct loop_posted one, two, three, four;
    int calls = 0;
    loop_post(loop, &one, count, &calls);
    loop_post(loop, &two, count, &calls);
    assert_true(loop_unpost(loop, &two)); // the last
    assert_false(loop_unpost(loop, &two));
    struct unpost_test test = {loop, &four};
    loop_post(loop, &three, unpost_victim, &test);
    loop_post(loop, &four, count, &calls); // taken back by the call before it
    loop_hold(loop);
    loop_run_once(loop, true);
    loop_run_once(loop, false);
    loop_release(loop);
    assert_int_equal(calls, 1);
    loop_post(loop, &one, count, &calls);
    loop_free(loop); // never made
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_loop_ends_at_once),
        cmocka_unit_test(deferred_calls_run_once_each_in_order),
        cmocka_unit_test(watches_seqpacket_sockets),
        cmocka_unit_test(sees_the_peer_hang_up),
        cmocka_unit_test(a_changed_watch_follows),
        cmocka_unit_test(signals_reach_the_loop),
        cmocka_unit_test(posts_of_many_threads_all_come_in_order),
        cmocka_unit_test(posts_can_be_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
