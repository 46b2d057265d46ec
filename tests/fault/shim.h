// SPDX-License-Identifier: MIT
//
// The fault shim: counts the system calls by which a program changes the disk, and at the nth of
// them kills the process, stops it or lets the call fail. The program under test has no fault point
// of its own, so none can be active by accident, and no step can be forgotten: every call is one.
//
// Linked into a unit test (its definitions come before libc's), or as a preloaded library:
//
//     LD_PRELOAD=.../libfault_shim.so
//     LAMINA_TEST_FAULT=laminad,/path/arm,kill,3      kill -9 at the third call
//                       laminad,/path/arm,after,3     kill -9 when the third call has been done
//                       laminad,/path/arm,stop,3      SIGSTOP there, the call goes on after SIGCONT
//                       laminad,/path/arm,28,3        the third call fails with errno 28
//                       laminad,/path/arm,fail,3      ... and all that follow fail too
//                       laminad,/path/arm,count,0     nothing happens
//                       ... ,3,openat                 the third call of openat
//
// Only in a process of that name, and only while the file /path/arm exists; what it holds, unless it is empty, says
// anew what happens, "5,3,openat", and counts from there: one run serves a whole series. Each call counted is a line
// in /path/arm.log. Writes count on regular files only. Reads (`read`, `pread64`, of regular files) only when they are named.

#ifndef LAMINA_TESTS_FAULT_SHIM_H
#define LAMINA_TESTS_FAULT_SHIM_H

enum fault_action {
    FAULT_NONE,
    FAULT_COUNT,
    FAULT_KILL,
    FAULT_KILL_AFTER,
    FAULT_STOP,
    FAULT_HOLD, // the calling thread waits for fault_release()
    FAULT_ERROR,
    FAULT_ERROR_ON,
};

// From now on; the count begins anew. FAULT_ERROR: the nth call fails once with `error`;
// FAULT_ERROR_ON: it and all later ones.
void fault_arm(enum fault_action action, int nth, int error);
// Ends it; returns the calls counted.
int fault_disarm(void);
// FAULT_HOLD: waits until a thread is held; lets it go on.
void fault_wait_held(void);
void fault_release(void);
// The names of the calls counted since fault_arm, e.g. "openat write syncfs ", cut at 64 KiB.
const char *fault_calls(void);

#endif
