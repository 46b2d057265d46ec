// SPDX-License-Identifier: MIT
//
// Forms held by a lamina-cache that the test plays itself: what it answers, and when it dies.

#include "unit.h"

#include "base/fd.h"
#include "base/mem.h"
#include "cache/hold.h"
#include "deploy/held.h"
#include "scratch.h"
#include "store/stage.h"
#include "wire/cache.h"
#include "wire/spawn.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SIZE (HELD_BYTES_MIN + 1)

static struct loop *loop;
static struct store *store;
static struct held_forms *held;
static int channel = -1;
static pid_t spawn_pid;
static int *turn; // shared: which answer comes next

enum { HONEST, REFUSES, DIES, NOT_SEALED, OTHER_SIZE, OTHER_ID, NO_DESCRIPTOR, RUBBISH, TURNS };

// ---- the cache's part

static int send_answer(int fd, struct cache_answer answer, int memory)
{
    return fd_send_packet(fd, &answer, sizeof(answer), &memory, memory >= 0 ? 1 : 0);
}

static void act(int socket)
{
    struct cache_request request;
    size_t count = 0;
    int fds[1] = {-1};
    while (fd_receive_packet(socket, &request, sizeof(request), fds, 1, &count) > 0) {
        struct held memory = {.fd = -1};
        struct cache_answer answer = {
            .version = CACHE_VERSION, .type = CACHE_HELD, .id = request.id, .bytes = request.bytes};
        int plain = memfd_create("plain", MFD_CLOEXEC);
        if (hold_file(fds[0], request.bytes, &memory) < 0 ||
            ftruncate(plain, (off_t) request.bytes) < 0)
            _exit(3);
        close(fds[0]);
        if (*turn == DIES)
            _exit(0);
        if (*turn == REFUSES)
            answer = (struct cache_answer){
                .version = CACHE_VERSION, .type = CACHE_FAILED, .id = request.id, .error = ENOMEM};
        if (*turn == OTHER_SIZE)
            answer.bytes--;
        if (*turn == OTHER_ID)
            answer.id++;
        if (*turn == RUBBISH)
            (void) !send(socket, "rubbish", 7, 0);
        else
            (void) !send_answer(socket, answer,
                                *turn == NOT_SEALED                          ? plain
                                : *turn == NO_DESCRIPTOR || *turn == REFUSES ? -1
                                                                             : memory.fd);
        close(memory.fd);
        close(plain);
    }
    _exit(0);
}

static void serve(int fd)
{
    struct spawn_work work;
    int fds[SPAWN_WORK_FDS];
    size_t count;
    signal(SIGCHLD, SIG_IGN);
    while (fd_receive_packet(fd, &work, sizeof(work), fds, SPAWN_WORK_FDS, &count) ==
           (ssize_t) sizeof(work)) {
        if (work.flags != SPAWN_WORK_CACHE || work.cpu_seconds != 0)
            _exit(4);
        if (fork() == 0)
            act(fds[SPAWN_WORK_OUTPUT]);
        for (int i = 0; i < SPAWN_WORK_FDS; i++)
            close(fds[i]);
    }
    _exit(0);
}

// ---- the bench

static int set_up(void **state)
{
    int pair[2];
    struct error err = {0};
    turn = mmap(NULL, sizeof(*turn), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *turn = HONEST;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    spawn_pid = fork();
    if (spawn_pid == 0) {
        close(pair[0]);
        serve(pair[1]);
    }
    close(pair[1]);
    channel = pair[0];
    loop = loop_new();
    if (store_open(scratch_make(), &store, &err) < 0)
        return -1;
    const struct held_config config = {
        .loop = loop, .store = store, .work_fd = channel, .bytes_max = 2 * SIZE};
    return held_new(&config, &held);
}

static int tear_down(void **state)
{
    held_free(held);
    store_close(store);
    loop_free(loop);
    close(channel);
    waitpid(spawn_pid, NULL, 0);
    munmap(turn, sizeof(*turn));
    scratch_remove();
    return 0;
}

// An object that begins with `letter`.
static struct digest make_form(char letter)
{
    struct store_file *file;
    struct store_pin *pin;
    AUTO_FREE char *content = calloc(1, SIZE);
    assert_non_null(content);
    content[0] = letter;
    assert_int_equal(store_file_new(store, &file, NULL), 0);
    assert_int_equal(store_file_write(file, content, SIZE, NULL), 0);
    assert_int_equal(store_file_finish(file, NULL), 0);
    struct digest digest = store_file_digest(file);
    assert_int_equal(store_stage_take(store, file, &pin, NULL), 0);
    store_unpin(pin);
    return digest;
}

static void on_done(void *arg)
{
    *(bool *) arg = true;
}

// Asks, and waits for the end of it; the descriptor, or 0.
static int want(const struct digest *form)
{
    bool is_done = false;
    if (held_want(held, form, SIZE, on_done, &is_done) == 0)
        return held_fd(held, form);
    assert_false(is_done); // never from inside
    while (!is_done)
        loop_run_once(loop, true);
    return held_fd(held, form);
}

// ---- tests

static void test_a_form_is_held_once(void **state)
{
    struct digest form = make_form('a');
    char letter = 0;
    int fd = want(&form);
    assert_true(fd > 0);
    assert_int_equal(pread(fd, &letter, 1, 0), 1);
    assert_int_equal(letter, 'a');
    assert_int_equal(held_want(held, &form, SIZE, on_done, &letter), 0);
    struct held_sum sum = held_sum(held);
    assert_int_equal(sum.count, 1);
    assert_int_equal(sum.bytes, SIZE);
    assert_true(sum.is_running);
}

static void test_nothing_that_a_cache_answers_wrongly_is_held(void **state)
{
    struct digest form = make_form('a');
    for (*turn = REFUSES; *turn < TURNS; (*turn)++) {
        assert_int_equal(want(&form), 0);
        assert_int_equal(held_sum(held).count, 0);
    }
    *turn = HONEST; // and another one is started
    assert_true(want(&form) > 0);
}

static void test_what_was_just_used_makes_no_room(void **state)
{
    struct digest a = make_form('a'), b = make_form('b'), c = make_form('c');
    assert_true(want(&a) > 0);
    assert_true(want(&b) > 0);
    assert_int_equal(want(&c), 0); // two fit
    assert_int_equal(held_sum(held).count, 2);
}

static void test_what_is_dropped_is_held_again_when_it_is_asked_for(void **state)
{
    struct digest a = make_form('a'), b = make_form('b'), c = make_form('c');
    held_drop(held, &a); // nothing of it
    assert_true(want(&a) > 0);
    assert_true(want(&b) > 0);
    held_drop(held, &a);
    assert_int_equal(held_fd(held, &a), 0);
    assert_true(held_fd(held, &b) > 0);
    assert_true(want(&c) > 0); // there is room
    held_drop(held, &b);
    assert_true(want(&a) > 0);
}

static void test_too_small_too_large_or_gone(void **state)
{
    struct digest form = make_form('a'), gone = {{1}};
    assert_int_equal(held_want(held, &form, HELD_BYTES_MIN - 1, NULL, NULL), 0);
    assert_int_equal(held_want(held, &form, 2 * SIZE + 1, NULL, NULL), 0);
    assert_int_equal(held_want(held, &form, UINT64_MAX, NULL, NULL), 0);
    assert_int_equal(want(&gone), 0);
    assert_int_equal(held_sum(held).count, 0);
    assert_int_equal(held_fd(held, &gone), 0);
    assert_true(want(&form) > 0);
    assert_int_equal(want(&gone), 0);
    assert_true(held_sum(held).is_running); // it has not ended for it
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_form_is_held_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_dropped_is_held_again_when_it_is_asked_for,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_that_a_cache_answers_wrongly_is_held, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_just_used_makes_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_small_too_large_or_gone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
