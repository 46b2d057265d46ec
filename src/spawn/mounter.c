// SPDX-License-Identifier: MIT

#include "spawn/mounter.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "spawn/hand.h"
#include "spawn/privilege.h"
#include "spawn/program.h"
#include "spawn/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 250 // at hands that read: they move, or they do not

struct job {
    struct mounter_order order;
    int fds[2];     // of a FILE: its status socket, its output
    bool is_second; // try, after the server was lost
};

enum hand_phase {
    HAND_NONE, // there is no process
    HAND_IDLE,
    HAND_BUSY, // until `deadline_ms`, or, when it reads, as long as it does not hang
    HAND_LOST, // killed, and hangs in the kernel
};

struct hand {
    enum hand_phase phase;
    pid_t pid;
    int fd;
    int64_t deadline_ms;
    uint32_t generation;
    struct job job; // its output is the hand's alone
};

enum server_phase {
    SERVER_NONE, // of path=: the kernel has it
    SERVER_DOWN,
    SERVER_STARTING, // a CHECK of hand 0 tells when it is up
    SERVER_UP,
};

struct mounter {
    const struct filesystem_line *line;
    int fd, signal_fd;
    enum server_phase server;
    pid_t program_pid;   // -1: none
    uint32_t generation; // of the program: what hangs in an old one is not the new one's fault
    struct hand hands[MOUNTER_HANDS_MAX];
    struct hand_state *states; // [MOUNTER_HANDS_MAX], shared with the hands
    struct job *waiting;       // [MOUNTER_WAITING_MAX], a ring
    uint32_t waiting_first, waiting_count, file_count, lost_count;
};

static void job_close(struct job *job)
{
    for (int i = 0; i < 2; i++)
        job->fds[i] = fd_close(job->fds[i]);
}

// The end of an order that no hand will answer.
static void job_fail(struct mounter *mounter, struct job *job, uint32_t error, uint32_t has_looked)
{
    const struct mounter_answer answer = {
        .type = job->order.type, .error = error, .ticket = job->order.ticket};
    if (job->order.type == MOUNTER_FILE)
        hand_say_error(job->fds[0], job->order.ticket, error, has_looked);
    else if (job->order.type == MOUNTER_MOUNT &&
             fd_send_packet(mounter->fd, &answer, sizeof(answer), NULL, 0) < 0)
        _exit(0);
    if (job->order.type == MOUNTER_FILE)
        mounter->file_count--;
    job_close(job);
}

static bool waiting_pop(struct mounter *mounter, struct job *ret_job)
{
    if (mounter->waiting_count == 0)
        return false;
    *ret_job = mounter->waiting[mounter->waiting_first];
    mounter->waiting_first = (mounter->waiting_first + 1) % MOUNTER_WAITING_MAX;
    mounter->waiting_count--;
    return true;
}

static void waiting_push(struct mounter *mounter, const struct job *job)
{
    mounter->waiting[(mounter->waiting_first + mounter->waiting_count++) % MOUNTER_WAITING_MAX] =
        *job;
}

// Once more: its server may be there again, and the program only has not noticed that it was away.
static bool may_try_again(const struct job *job, uint32_t error)
{
    return !job->is_second && spawn_filesystem_failure(error) == SPAWN_FILESYSTEM_CONNECTIVITY;
}

static void waiting_fail(struct mounter *mounter, uint32_t error)
{
    struct job job;
    for (uint32_t count = mounter->waiting_count; count > 0 && waiting_pop(mounter, &job);
         count--) {
        if (may_try_again(&job, error)) {
            job.is_second = true;
            waiting_push(mounter, &job);
        } else {
            job_fail(mounter, &job, error, 0);
        }
    }
}

// ---- hands --------------------------------------------------------------------------------------

static int hand_make(struct mounter *mounter, struct hand *hand)
{
    struct hand_state *state = &mounter->states[hand - mounter->hands];
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    const pid_t pid = fork();
    if (pid == 0) {
        const int sources[] = {STDERR_FILENO, STDERR_FILENO, STDERR_FILENO, pair[1]};
        if (privilege_keep_fds(sources, ARRAY_SIZE(sources), ARRAY_SIZE(sources)) < 0)
            _exit(126);
        hand_run(mounter->line, 3, state);
    }
    const int error = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return -error;
    }
    *hand = (struct hand){.phase = HAND_IDLE, .pid = pid, .fd = pair[0], .job.fds = {-1, -1}};
    return 0;
}

static struct hand *hand_find(struct mounter *mounter)
{
    struct hand *unmade = NULL;
    for (int i = 0; i < MOUNTER_HANDS_MAX; i++) {
        if (mounter->hands[i].phase == HAND_IDLE)
            return &mounter->hands[i];
        if (mounter->hands[i].phase == HAND_NONE && !unmade)
            unmade = &mounter->hands[i];
    }
    return unmade && hand_make(mounter, unmade) == 0 ? unmade : NULL;
}

static void hand_give(struct mounter *mounter, struct hand *hand, struct job *job, int64_t time_ms)
{
    struct hand_state *state = &mounter->states[hand - mounter->hands];
    const size_t count = job->fds[1] >= 0 ? 2 : job->fds[0] >= 0 ? 1 : 0;
    atomic_store(&state->reading_ms, 0);
    atomic_store(&state->has_looked, 0);
    hand->phase = HAND_BUSY;
    hand->deadline_ms = clock_monotonic_ms() + time_ms;
    hand->generation = mounter->generation;
    hand->job = *job;
    // One that has died is seen by its end.
    (void) !fd_send_packet(hand->fd, &job->order, sizeof(job->order), job->fds, count);
    hand->job.fds[1] = fd_close(hand->job.fds[1]);
}

// Its order is over, well or not.
static void hand_idle(struct mounter *mounter, struct hand *hand)
{
    if (hand->phase == HAND_BUSY && hand->job.order.type == MOUNTER_FILE)
        mounter->file_count--;
    job_close(&hand->job);
    hand->phase = HAND_IDLE;
}

// What it was at fails, and it hears of no more.
static void hand_give_up(struct mounter *mounter, struct hand *hand, uint32_t error)
{
    struct hand_state *state = &mounter->states[hand - mounter->hands];
    if (hand->phase == HAND_BUSY)
        job_fail(mounter, &hand->job, error, atomic_load(&state->has_looked));
    hand->fd = fd_close(hand->fd);
}

static void hand_lose(struct mounter *mounter, struct hand *hand, uint32_t error)
{
    hand_give_up(mounter, hand, error);
    (void) kill(hand->pid, SIGKILL);
    hand->phase = HAND_LOST;
    mounter->lost_count++;
}

// ---- the server ---------------------------------------------------------------------------------

static void server_down(struct mounter *mounter, uint32_t error)
{
    const bool was_up = mounter->server == SERVER_UP;
    const struct mounter_answer gone = {.type = MOUNTER_GONE};
    if (mounter->server == SERVER_NONE)
        return;
    program_abort(mounter->program_pid);
    mounter->program_pid = -1; // reaped when it is gone
    mounter->server = SERVER_DOWN;
    waiting_fail(mounter, error);
    log_warn("spawn.filesystem", "id=%s error=%s: its server is gone, the next use starts it anew",
             mounter->line->id, LOG_TEXT(error_name((int) error)));
    if (was_up && fd_send_packet(mounter->fd, &gone, sizeof(gone), NULL, 0) < 0)
        _exit(0);
}

static void server_start(struct mounter *mounter)
{
    struct job check = {.order = {.type = MOUNTER_CHECK}, .fds = {-1, -1}};
    struct hand *hand = hand_find(mounter);
    int r = hand ? program_start(mounter->line, &mounter->program_pid) : -EAGAIN;
    if (r < 0) {
        waiting_fail(mounter, (uint32_t) -r);
        return;
    }
    mounter->server = SERVER_STARTING;
    mounter->generation++;
    hand_give(mounter, hand, &check, MOUNTER_PROGRAM_MS);
}

// Orders to hands, as far as there are any.
static void waiting_serve(struct mounter *mounter)
{
    if (mounter->waiting_count > 0 && mounter->lost_count >= MOUNTER_LOST_MAX)
        waiting_fail(mounter, ETIMEDOUT);
    if (mounter->waiting_count > 0 && mounter->server == SERVER_DOWN)
        server_start(mounter);
    if (mounter->server != SERVER_UP && mounter->server != SERVER_NONE)
        return;
    struct hand *hand;
    struct job job;
    while (mounter->waiting_count > 0 && (hand = hand_find(mounter)) && waiting_pop(mounter, &job))
        hand_give(mounter, hand, &job, MOUNTER_ORDER_MS);
}

// ---- what arrives -------------------------------------------------------------------------------

static void read_order(struct mounter *mounter)
{
    struct job job = {.is_second = false};
    size_t count;
    const ssize_t size =
        fd_receive_packet(mounter->fd, &job.order, sizeof(job.order), job.fds, 2, &count);
    if (size != sizeof(job.order)) // lamina-spawn is gone, or wants no more of this
        _exit(0);
    if (job.order.type == MOUNTER_FILE)
        mounter->file_count++;
    if (job.order.type == MOUNTER_CHECK && mounter->server != SERVER_UP) {
        job_close(&job);
    } else if (mounter->waiting_count == MOUNTER_WAITING_MAX ||
               mounter->file_count > SPAWN_FILE_MAX) {
        job_fail(mounter, &job, EAGAIN, 0);
    } else {
        waiting_push(mounter, &job);
    }
}

// A mount that failed because the server had gone: all wait for a new one. False: nothing is to be done about it.
static bool try_again(struct mounter *mounter, struct hand *hand, uint32_t error)
{
    struct job job = hand->job;
    if (hand->phase != HAND_BUSY || job.order.type != MOUNTER_MOUNT ||
        mounter->server == SERVER_NONE || !may_try_again(&job, error) ||
        mounter->waiting_count == MOUNTER_WAITING_MAX)
        return false;
    if (mounter->server == SERVER_UP && hand->generation == mounter->generation)
        server_down(mounter, ENOTCONN);
    job.is_second = true;
    waiting_push(mounter, &job);
    hand_idle(mounter, hand);
    return true;
}

// Made of a connection that has ended since. MOUNTER_GONE has been said, so nobody would be told of it.
static bool is_dead_mount(const struct mounter *mounter, const struct hand *hand)
{
    return mounter->server != SERVER_NONE && hand->job.order.type == MOUNTER_MOUNT &&
           (mounter->server != SERVER_UP || hand->generation != mounter->generation);
}

static void read_hand(struct mounter *mounter, struct hand *hand)
{
    struct hand_answer said;
    int tree;
    size_t count;
    const ssize_t size = fd_receive_packet(hand->fd, &said, sizeof(said), &tree, 1, &count);
    if (size == sizeof(said) && said.error == 0 && is_dead_mount(mounter, hand))
        said.error = ENOTCONN;
    if (size == sizeof(said) && try_again(mounter, hand, said.error)) {
        // It waits again.
    } else if (size == sizeof(said)) {
        const struct job *job = &hand->job;
        const struct mounter_answer answer = {
            .type = job->order.type, .error = said.error, .ticket = job->order.ticket};
        if (hand->phase == HAND_BUSY && job->order.type == MOUNTER_MOUNT &&
            fd_send_packet(mounter->fd, &answer, sizeof(answer), &tree, count) < 0)
            _exit(0);
        if (job->order.type == MOUNTER_CHECK && mounter->server == SERVER_STARTING) {
            if (said.error)
                server_down(mounter, ECONNREFUSED); // it has ended
            else
                mounter->server = SERVER_UP;
        }
        hand_idle(mounter, hand);
    } else { // it died of something
        hand_lose(mounter, hand, EIO);
    }
    fd_close(tree);
}

static void reap(struct mounter *mounter)
{
    struct signalfd_siginfo info;
    pid_t pid;
    while (read(mounter->signal_fd, &info, sizeof(info)) == sizeof(info))
        continue;
    while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0) {
        if (pid == mounter->program_pid) {
            mounter->program_pid = -1;
            if (mounter->server == SERVER_UP) // else the CHECK that waits for it has failed with it
                server_down(mounter, ENOTCONN);
            continue;
        }
        for (int i = 0; i < MOUNTER_HANDS_MAX; i++) {
            struct hand *hand = &mounter->hands[i];
            if (hand->phase == HAND_NONE || hand->pid != pid)
                continue;
            if (hand->phase == HAND_LOST)
                mounter->lost_count--;
            else // it died by itself, and its end was not read yet
                hand_give_up(mounter, hand, EIO);
            hand->phase = HAND_NONE;
        }
    }
}

// Whether a hand's time is over; else *next_ms is when to look again.
static bool is_late(const struct hand *hand, const struct hand_state *state, int64_t now_ms,
                    int64_t *next_ms)
{
    int64_t deadline_ms = hand->deadline_ms;
    const bool is_reading = hand->job.order.type == MOUNTER_FILE && atomic_load(&state->has_looked);
    if (is_reading) {
        const int64_t since_ms = atomic_load(&state->reading_ms);
        deadline_ms = since_ms ? since_ms + MOUNTER_ORDER_MS + MOUNTER_PROGRAM_MS : INT64_MAX;
        if (*next_ms > now_ms + LOOK_AGAIN_MS)
            *next_ms = now_ms + LOOK_AGAIN_MS;
    }
    if (*next_ms > deadline_ms)
        *next_ms = deadline_ms;
    return now_ms >= deadline_ms;
}

// Milliseconds until the next deadline, -1: none.
static int check_deadlines(struct mounter *mounter)
{
    const int64_t now_ms = clock_monotonic_ms();
    int64_t next_ms = INT64_MAX;
    for (int i = 0; i < MOUNTER_HANDS_MAX; i++) {
        struct hand *hand = &mounter->hands[i];
        if (hand->phase != HAND_BUSY || !is_late(hand, &mounter->states[i], now_ms, &next_ms))
            continue;
        hand_lose(mounter, hand, ETIMEDOUT);
        if (hand->generation == mounter->generation)
            server_down(mounter, ETIMEDOUT); // what hangs there, hangs for all
    }
    return next_ms == INT64_MAX ? -1 : next_ms <= now_ms ? 0 : (int) (next_ms - now_ms);
}

static _Noreturn void mounter_loop(struct mounter *mounter)
{
    struct pollfd polled[MOUNTER_HANDS_MAX + 2];
    for (;;) {
        waiting_serve(mounter);
        const int timeout_ms = check_deadlines(mounter);
        polled[0] = (struct pollfd){.fd = mounter->fd, .events = POLLIN};
        polled[1] = (struct pollfd){.fd = mounter->signal_fd, .events = POLLIN};
        for (int i = 0; i < MOUNTER_HANDS_MAX; i++) {
            const bool is_there =
                mounter->hands[i].phase == HAND_IDLE || mounter->hands[i].phase == HAND_BUSY;
            polled[i + 2] =
                (struct pollfd){.fd = is_there ? mounter->hands[i].fd : -1, .events = POLLIN};
        }
        if (poll(polled, ARRAY_SIZE(polled), timeout_ms) <= 0)
            continue;
        if (polled[1].revents)
            reap(mounter);
        for (int i = 0; i < MOUNTER_HANDS_MAX; i++)
            if (polled[i + 2].revents &&
                polled[i + 2].fd == mounter->hands[i].fd) // not reaped just now
                read_hand(mounter, &mounter->hands[i]);
        if (polled[0].revents)
            read_order(mounter);
    }
}

// ---- its start ----------------------------------------------------------------------------------

// The host's mounts as they come and go, and on them what is ours.
static int place_enter(const struct mounter_place *place, const struct filesystem_line *line)
{
    if (setns(place->mounts_fd, CLONE_NEWNS) < 0 || fchdir(place->root_fd) < 0 || chroot(".") < 0 ||
        chdir("/") < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return -errno;
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    if (line->path[0])
        return 0;
    if (mount("lamina", "/run/lamina", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=64k") < 0 ||
        mkdir(HAND_MOUNT, 0700) < 0)
        return -errno;
    return 0;
}

static int set_up(struct mounter *mounter, const struct mounter_place *place, int fd)
{
    // Mounts, and acting as others; the rest goes.
    static const int kept[] = {CAP_SYS_ADMIN,       CAP_SETUID, CAP_SETGID,
                               CAP_CHOWN,           CAP_FOWNER, CAP_DAC_OVERRIDE,
                               CAP_DAC_READ_SEARCH, CAP_KILL,   CAP_SETPCAP};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    int r = place_enter(place, mounter->line);
    const int sources[] = {STDERR_FILENO, STDERR_FILENO, STDERR_FILENO, fd};
    if (r == 0)
        r = privilege_keep_fds(sources, ARRAY_SIZE(sources), 3);
    if (r == 0)
        r = privilege_keep(kept, ARRAY_SIZE(kept));
    if (r < 0)
        return r;
    mounter->fd = 3;
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        (mounter->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return -errno;
    mounter->waiting = calloc(MOUNTER_WAITING_MAX, sizeof(*mounter->waiting));
    mounter->states = mmap(NULL, MOUNTER_HANDS_MAX * sizeof(*mounter->states),
                           PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return mounter->waiting && mounter->states != MAP_FAILED ? 0 : -ENOMEM;
}

static _Noreturn void mounter_run(const struct mounter_place *place,
                                  const struct filesystem_line *line, int fd)
{
    static struct mounter mounter;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void) prctl(PR_SET_NAME, "lamina-mounter", 0, 0, 0);
    mounter.line = line;
    mounter.server = line->path[0] ? SERVER_NONE : SERVER_DOWN;
    mounter.program_pid = -1;
    const int r = set_up(&mounter, place, fd);
    if (r == 0)
        mounter_loop(&mounter);
    log_error("spawn.filesystem", "id=%s error=%s: it cannot be used", line->id,
              LOG_TEXT(error_name(r)));
    _exit(1);
}

int mounter_start(const struct mounter_place *place, const struct filesystem_line *line,
                  int *ret_fd, pid_t *ret_pid)
{
    int pair[2];
    int r = sandbox_channel_open(pair);
    if (r < 0)
        return r;
    struct clone_args arguments = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
    const long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0)
        mounter_run(place, line, pair[1]);
    r = pid < 0 ? -errno : fd_set_nonblocking(pair[0], true);
    close(pair[1]);
    if (r < 0) {
        close(pair[0]); // its end, if it is there
        return r;
    }
    *ret_fd = pair[0];
    *ret_pid = (pid_t) pid;
    return 0;
}
