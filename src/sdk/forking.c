// SPDX-License-Identifier: MIT

#include "sdk/forking.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct order {
    struct template_fork fork;
    int fds[TEMPLATE_FORK_FDS_MAX];
    int fd_count;
};

int forking_fd(void)
{
    const char *text = getenv(TEMPLATE_ENV_FD);
    return text && strcmp(text, "3") == 0 ? TEMPLATE_FD_CONTROL : -1;
}

static int say(int fd, uint32_t type, uint32_t number, uint32_t step, int error)
{
    const struct template_word word = {
        .type = type, .number = number, .step = step, .error = (uint32_t) -error};
    ssize_t size;
    do
        size = send(fd, &word, sizeof(word), MSG_NOSIGNAL);
    while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : 0;
}

// 1 with an order, 0 at end of file, or -errno.
static int order_receive(int fd, struct order *ret_order)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(ret_order->fds))];
    } control;
    struct iovec part = {&ret_order->fork, sizeof(ret_order->fork)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t size;
    do
        size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    if (size <= 0)
        return size == 0 ? 0 : -errno;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    ret_order->fd_count = 0;
    if (head && head->cmsg_type == SCM_RIGHTS) {
        const size_t bytes = head->cmsg_len - CMSG_LEN(0);
        memcpy(ret_order->fds, CMSG_DATA(head), bytes);
        ret_order->fd_count = (int) (bytes / sizeof(int));
    }
    if (size != sizeof(ret_order->fork) || ret_order->fork.type != TEMPLATE_FORK ||
        ret_order->fd_count <= TEMPLATE_FORK_LOG || message.msg_flags & MSG_CTRUNC)
        return -EPROTO;
    return 1;
}

static void order_close(const struct order *order)
{
    for (int i = 0; i < order->fd_count; i++)
        (void) close(order->fds[i]);
}

// libc keeps the thread's id in its own memory, and the kernel knows where: it must be the fork's.
static int *thread_id_place(void)
{
    int *place = NULL;
    if (prctl(PR_GET_TID_ADDRESS, &place, 0, 0, 0) < 0 || !place ||
        *place != (int) syscall(SYS_gettid))
        return NULL;
    return place;
}

// As clone(2) without a stack of its own; inline, since a call's return address would be overwritten in
// the memory that parent and child share (CLONE_VM).
static inline __attribute__((always_inline)) long clone_here(unsigned long flags, int *tid_place)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = (long) tid_place;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_clone), "D"(flags), "S"(0L), "d"(0L), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone;
    register long x0 __asm__("x0") = (long) flags;
    register long x1 __asm__("x1") = 0;
    register long x2 __asm__("x2") = 0;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = (long) tid_place;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#else
#error "no clone for this processor"
#endif
}

// 0 in the fork. In the template, the fork's pid as some namespace sees it (not to be relied on), or
// -errno with *ret_step.
//
// The namespace of processes, as setns sets it, is that of children to come; and the template itself must
// stay where it is. So a helper goes ahead: it runs in the template's memory, as after vfork, joins the
// sandbox, makes the fork there and is gone. CLONE_PARENT makes both children of lamina-spawn, which reaps
// them. The fork gets its own copy of this very stack frame, and returns from here in its own time.
static __attribute__((noinline)) long fork_into(int sandbox_fd, uint32_t *ret_step)
{
    int *const tid_place = thread_id_place();
    const unsigned long helper_flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT | SIGCHLD;
    const unsigned long fork_flags =
        CLONE_PARENT | SIGCHLD | (tid_place ? CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID : 0);
    volatile long result = -ECHILD;
    volatile uint32_t step = TEMPLATE_STEP_CLONE;
    const long helper = clone_here(helper_flags, NULL);
    if (helper == 0) {
        step = TEMPLATE_STEP_ENTER;
        long r = syscall(SYS_setns, sandbox_fd, TEMPLATE_NAMESPACES);
        if (r == 0) {
            step = TEMPLATE_STEP_CLONE;
            r = clone_here(fork_flags, tid_place);
            if (r == 0)
                return 0;
        } else {
            r = -errno;
        }
        result = r;
        syscall(SYS_exit, 0);
        __builtin_unreachable();
    }
    *ret_step = step;
    return helper < 0 ? helper : result;
}

// On top of the template's filter: no setns at all, and no child that is somebody else's.
static int filter_install(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setns, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_PARENT, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = COUNT(code), .filter = code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}

// The sandbox's user and nobody else, for good.
static int become(uint32_t user)
{
    int cap = 0;
    while (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
        cap++;
    if (errno != EINVAL) // the first that this kernel does not have
        return -errno;
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    // The calls themselves: libc's would look for threads to tell.
    if (syscall(SYS_setresgid, user, user, user) < 0 ||
        syscall(SYS_setresuid, user, user, user) < 0 || syscall(SYS_capset, &head, none) < 0 ||
        // Both are lost with a change of user.
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

static int enter_groups(const struct order *order)
{
    for (int i = TEMPLATE_FORK_GROUPS; i < order->fd_count; i++)
        if (write(order->fds[i], "0", 1) < 0)
            return -errno;
    return 0;
}

static int take_files(const struct order *order)
{
    const int log = order->fds[TEMPLATE_FORK_LOG];
    if (dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 || chdir("/var/task") < 0)
        return -errno;
    (void) setsid(); // the template's own group ends with it
    return 0;
}

// In the fork: gives up the template's place and every right, in the order that each still needs them.
static void settle(const struct order *order, int template_fd, struct forking *ret_fork)
{
    uint32_t step = TEMPLATE_STEP_GROUPS;
    (void) close(template_fd);
    int r = enter_groups(order);
    if (r == 0) {
        step = TEMPLATE_STEP_USER;
        r = become(order->fork.user);
    }
    if (r == 0) {
        step = TEMPLATE_STEP_FILTER;
        r = filter_install();
    }
    if (r == 0) {
        step = TEMPLATE_STEP_FILES;
        r = take_files(order);
    }
    const int control = order->fds[TEMPLATE_FORK_CONTROL];
    if (r < 0) {
        (void) say(control, TEMPLATE_FAILED, order->fork.number, step, r);
        _exit(125);
    }
    for (int i = 0; i < order->fd_count; i++)
        if (i != TEMPLATE_FORK_CONTROL)
            (void) close(order->fds[i]);
    ret_fork->control_fd = control;
    ret_fork->is_spare = order->fork.flags & TEMPLATE_FORK_SPARE;
}

int forking_serve(int control_fd, struct forking *ret_fork)
{
    ret_fork->control_fd = -1;
    ret_fork->is_spare = false;
    int r = say(control_fd, TEMPLATE_READY, 0, 0, 0);
    struct order order;
    while (r == 0 && (r = order_receive(control_fd, &order)) > 0) {
        uint32_t step = 0;
        const long pid = fork_into(order.fds[TEMPLATE_FORK_SANDBOX], &step);
        if (pid == 0) {
            settle(&order, control_fd, ret_fork);
            return 0;
        }
        order_close(&order);
        r = pid < 0 ? say(control_fd, TEMPLATE_FAILED, order.fork.number, step, (int) pid) : 0;
    }
    return r;
}

int forking_stand(const struct forking *fork)
{
    return say(fork->control_fd, TEMPLATE_FORKED, 0, 0, 0);
}

int forking_run(struct forking *fork, struct template_run *ret_run)
{
    ssize_t size;
    do
        size = recv(fork->control_fd, ret_run, sizeof(*ret_run), 0);
    while (size < 0 && errno == EINTR);
    int r = size < 0 ? -errno : 0;
    const size_t fixed = offsetof(struct template_run, env);
    if (r == 0 && ((size_t) size < fixed || ret_run->type != TEMPLATE_RUN ||
                   (size_t) size != fixed + ret_run->env_size ||
                   (ret_run->env_size > 0 && ret_run->env[ret_run->env_size - 1] != '\0')))
        r = -EPROTO;
    (void) close(fork->control_fd);
    fork->control_fd = -1;
    return r;
}
