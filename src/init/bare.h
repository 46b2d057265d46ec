// SPDX-License-Identifier: MIT
//
// System calls and a beginning for programs without libc.
//
// libc's own start asks the processor about itself with some dozens of CPUID instructions. Where
// each of them traps to a hypervisor that is 0.7 ms; a program without it is there in 0.05
// (docs/kernel/cpuid-in-virtual-machines.md). lamina-init is part of every cold start, so it does
// without. One source file per program: BARE_MAIN at its end makes the entry point.

#ifndef LAMINA_INIT_BARE_H
#define LAMINA_INIT_BARE_H

#include <asm/unistd.h>

static inline long bare_call(long number, long a, long b, long c, long d, long e)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#else
#error "no system calls for this processor"
#endif
}

// CALL(openat, AT_FDCWD, path, O_RDONLY): the result, or -errno.
#define CALL(...)                                                                                  \
    BARE_PICK(__VA_ARGS__, BARE_5, BARE_4, BARE_3, BARE_2, BARE_1, BARE_0, )(__VA_ARGS__)
#define BARE_PICK(name, a, b, c, d, e, pick, ...) pick
#define BARE_0(name) bare_call(__NR_##name, 0, 0, 0, 0, 0)
#define BARE_1(name, a) bare_call(__NR_##name, (long) (a), 0, 0, 0, 0)
#define BARE_2(name, a, b) bare_call(__NR_##name, (long) (a), (long) (b), 0, 0, 0)
#define BARE_3(name, a, b, c) bare_call(__NR_##name, (long) (a), (long) (b), (long) (c), 0, 0)
#define BARE_4(name, a, b, c, d)                                                                   \
    bare_call(__NR_##name, (long) (a), (long) (b), (long) (c), (long) (d), 0)
#define BARE_5(name, a, b, c, d, e)                                                                \
    bare_call(__NR_##name, (long) (a), (long) (b), (long) (c), (long) (d), (long) (e))

// As vfork(2): the child runs first, in the parent's memory, until it execs or exits. It may only
// call functions that do not return.
static inline __attribute__((always_inline)) long bare_vfork(void)
{
    return CALL(clone, 0x4111 /* CLONE_VM | CLONE_VFORK | SIGCHLD */, 0, 0, 0, 0);
}

// `function` is `int function(long count, char **arguments)`; its result is the exit status. At its
// beginning a process finds the count and then the arguments on its stack.
#define BARE_MAIN(function)                                                                        \
    __attribute__((used)) static void bare_begin(long *stack)                                      \
    {                                                                                              \
        for (;;)                                                                                   \
            CALL(exit_group, function(stack[0], (char **) (void *) (stack + 1)));                  \
    }                                                                                              \
    __asm__(BARE_START)
#if defined(__x86_64__)
#define BARE_START                                                                                 \
    ".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n"                                   \
    " and $-16, %rsp\n call bare_begin\n"
#elif defined(__aarch64__)
#define BARE_START                                                                                 \
    ".globl _start\n_start:\n mov x29, #0\n mov x30, #0\n mov x0, sp\n"                            \
    " bl bare_begin\n"
#endif

#endif
