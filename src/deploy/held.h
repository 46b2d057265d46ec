// SPDX-License-Identifier: MIT
//
// held: models that lamina-cache keeps in sealed memory, as laminad knows them.
//
//     held_want(form) ──job──> open the object -> HOLD -> descriptor       held_fd(form) gives it to starts
//         └─ not enough room: what was not used for the longest goes first
//
// A form that is not held (yet) is found by its path: nothing waits for the cache, and nothing fails
// without it. lamina-cache is started with the first form; one that died is started again with the
// next. Dropping a form closes laminad's descriptor: instances that map it keep it, and its memory
// stays charged to the cache's cgroup until the last of them has ended.
//
// Threads: the loop's. Limits: held bytes together at most `bytes_max`, and lamina-cache's cgroup a
// little more; HELD_COUNT_MAX forms; forms below HELD_BYTES_MIN gain nothing and are not held.

#ifndef LAMINA_DEPLOY_HELD_H
#define LAMINA_DEPLOY_HELD_H

#include "base/compiler.h"
#include "base/digest.h"
#include "loop/loop.h"
#include "store/store.h"

#include <stdint.h>

#define HELD_COUNT_MAX 256
#define HELD_BYTES_MIN (UINT64_C(4) * 1024 * 1024)
#define HELD_KEPT_MS 30000 // used so recently, a form does not make room for another

struct held_forms;

struct held_config {
    struct loop *loop;   // borrowed
    struct store *store; // borrowed
    int work_fd;         // borrowed: SPAWN_FD_WORK
    uint64_t bytes_max;  // 0: nothing is ever held
};

int held_new(const struct held_config *config, struct held_forms **ret_held) MUST_CHECK;
void held_free(struct held_forms *held); // accepts NULL

// Asks for an object of the store; again, or without room, is fine. 1: `done` (NULL: nobody waits) is
// called when it is held or cannot be, never from inside; 0: there is nothing to wait for, no call.
int held_want(struct held_forms *held, const struct digest *form, uint64_t bytes,
              void (*done)(void *arg), void *arg);

// Its sealed memory: a descriptor, borrowed until the next turn of the loop; or 0. Counts as a use.
int held_fd(struct held_forms *held, const struct digest *form) MUST_CHECK;

// It is held no more: the next start finds it by its path, and has it held again.
void held_drop(struct held_forms *held, const struct digest *form);

struct held_sum {
    size_t count;
    uint64_t bytes, huge_bytes, bytes_max;
    bool is_running; // lamina-cache
};
struct held_sum held_sum(const struct held_forms *held) MUST_CHECK;

#endif
