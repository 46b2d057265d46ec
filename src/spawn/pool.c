// SPDX-License-Identifier: MIT
//
// What is made ahead. Generic sandboxes have their namespaces, listeners and cgroups, and wait for
// a root: they serve any function. A waiter has also the root of one hot tree and lamina-init
// running: it lacks the environment only. Each is used once.
//
// Waiters have directories of this machine, but no file system of another server: that may have gone meanwhile, and only
// a start that asks for it can say so.

#include "spawn/monitor.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "spawn/keeper.h"

#include <string.h>

// A waiter that was not needed for this long is given up.
#define POOL_WANT_NS (60 * CLOCK_NS_PER_S)

static bool shape_equals(const struct sandbox_shape *left, const struct sandbox_shape *right)
{
    return memcmp(left->tree_id, right->tree_id, sizeof(left->tree_id)) == 0 &&
           memcmp(left->opt_tree_id, right->opt_tree_id, sizeof(left->opt_tree_id)) == 0 &&
           memcmp(left->models_id, right->models_id, sizeof(left->models_id)) == 0 &&
           left->memory_bytes == right->memory_bytes && left->tmp_bytes == right->tmp_bytes &&
           left->cpu_millis == right->cpu_millis && left->pids_max == right->pids_max &&
           memcmp(&left->filesystem, &right->filesystem, sizeof(left->filesystem)) == 0;
}

// Only one that is in its groups: its making is over.
struct sandbox *pool_take_generic(struct monitor *monitor)
{
    for (uint32_t i = 0; i < monitor->slot_count; i++) {
        struct sandbox *sandbox = &monitor->sandboxes[i];
        if (sandbox->state == SANDBOX_GENERIC && sandbox->listeners[0] >= 0)
            return sandbox;
    }
    return NULL;
}

static struct sandbox *find_ahead(struct monitor *monitor, const struct sandbox_shape *shape,
                                  bool is_ready_only)
{
    for (uint32_t i = 0; i < monitor->slot_count; i++) {
        struct sandbox *sandbox = &monitor->sandboxes[i];
        const bool is_ahead =
            sandbox->state == SANDBOX_WAITER ||
            (!is_ready_only && sandbox->state == SANDBOX_ROOTING && sandbox->id == 0);
        if (is_ahead && !sandbox->is_killed && shape_equals(&sandbox->shape, shape))
            return sandbox;
    }
    return NULL;
}

struct sandbox *pool_take_waiter(struct monitor *monitor, const struct sandbox_shape *shape)
{
    return find_ahead(monitor, shape, true);
}

static void want_drop(struct monitor *monitor, struct pool_want *want)
{
    struct sandbox *waiter;
    while ((waiter = find_ahead(monitor, &want->shape, false))) {
        waiter->is_killed = true; // not to be found again
        monitor_kill(monitor, waiter);
    }
    want->is_used = false;
}

void pool_want(struct monitor *monitor, const struct sandbox_shape *shape, int64_t now_ns)
{
    struct pool_want *oldest = &monitor->pool.wants[0];
    for (size_t i = 0; i < POOL_WANTS_MAX; i++) {
        struct pool_want *want = &monitor->pool.wants[i];
        if (want->is_used && shape_equals(&want->shape, shape)) {
            want->last_ns = now_ns;
            return;
        }
        if (!want->is_used || (oldest->is_used && want->last_ns < oldest->last_ns))
            oldest = want;
    }
    if (oldest->is_used)
        want_drop(monitor, oldest); // its waiter goes with it
    *oldest = (struct pool_want){.is_used = true, .shape = *shape, .last_ns = now_ns};
}

void pool_forget_filesystem(struct monitor *monitor, const char *filesystem_id)
{
    for (size_t i = 0; i < POOL_WANTS_MAX; i++) {
        struct pool_want *want = &monitor->pool.wants[i];
        if (want->is_used && strcmp(want->shape.filesystem.filesystem_id, filesystem_id) == 0)
            want_drop(monitor, want);
    }
}

void pool_forget(struct monitor *monitor, const uint8_t tree_id[SPAWN_TREE_ID_SIZE])
{
    for (size_t i = 0; i < POOL_WANTS_MAX; i++) {
        struct pool_want *want = &monitor->pool.wants[i];
        if (want->is_used && (memcmp(want->shape.tree_id, tree_id, SPAWN_TREE_ID_SIZE) == 0 ||
                              memcmp(want->shape.opt_tree_id, tree_id, SPAWN_TREE_ID_SIZE) == 0))
            want_drop(monitor, want);
    }
}

void pool_touch(struct monitor *monitor, int delay_ms)
{
    const int64_t when_ns = clock_monotonic_ns() + delay_ms * CLOCK_NS_PER_MS;
    if (monitor->pool.refill_ns == 0 || when_ns < monitor->pool.refill_ns)
        monitor->pool.refill_ns = when_ns;
}

void pool_made(struct monitor *monitor, struct sandbox *sandbox, bool has_worked)
{
    monitor->pool.ordered--;
    if (has_worked) {
        monitor->pool.failures = 0;
        sandbox->state = SANDBOX_GENERIC;
        pool_touch(monitor, 0); // perhaps a waiter is to be made of it
    } else {
        monitor->pool.failures++;
        pool_touch(monitor, monitor->pool.failures > 5 ? 10000 : 100);
    }
}

static void make_waiters(struct monitor *monitor, int64_t now_ns)
{
    for (size_t i = 0; i < POOL_WANTS_MAX; i++) {
        struct pool_want *want = &monitor->pool.wants[i];
        if (!want->is_used)
            continue;
        if (now_ns - want->last_ns > POOL_WANT_NS) {
            want_drop(monitor, want);
            continue;
        }
        struct sandbox *sandbox = NULL;
        if (find_ahead(monitor, &want->shape, false) || !(sandbox = pool_take_generic(monitor)))
            continue;
        const struct cgroup_limits limits = {
            .memory_bytes = want->shape.memory_bytes,
            .pids_max = (want->shape.pids_max ? want->shape.pids_max : 1024) + 1};
        sandbox->state = SANDBOX_ROOTING;
        sandbox->shape = want->shape;
        int r = cgroup_limit(&monitor->tools.groups, sandbox->slot, &limits);
        if (r == 0 && sandbox->shape.filesystem.filesystem_id[0])
            r = filesystems_order_mount(monitor, sandbox, NULL, -1);
        else if (r == 0)
            r = sandbox_send_root(&sandbox->parts, &sandbox->shape, -1);
        if (r < 0)
            monitor_kill(monitor, sandbox);
    }
}

static void order_generic(struct monitor *monitor)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < monitor->slot_count; i++)
        ready += monitor->sandboxes[i].state == SANDBOX_GENERIC;
    while (ready + monitor->pool.ordered < POOL_GENERIC_TARGET) {
        struct sandbox *sandbox = monitor_take_slot(monitor);
        if (!sandbox)
            return;
        const struct keeper_order order = {.type = KEEPER_MAKE, .slot = sandbox->slot};
        if (fd_send_packet(monitor->keeper_fd, &order, sizeof(order), NULL, 0) < 0)
            return; // the keeper is gone: the loop sees it
        sandbox->state = SANDBOX_ORDERED;
        monitor->pool.ordered++;
    }
}

void pool_refill(struct monitor *monitor, int64_t now_ns)
{
    if (monitor->pool.refill_ns == 0 || now_ns < monitor->pool.refill_ns)
        return;
    monitor->pool.refill_ns = 0;
    make_waiters(monitor, now_ns);
    fork_refill(monitor, now_ns);
    order_generic(monitor);
    for (size_t i = 0; i < POOL_WANTS_MAX; i++) // to give them up in time
        if (monitor->pool.wants[i].is_used)
            pool_touch(monitor, 5000);
}

int pool_timeout_ms(const struct monitor *monitor, int64_t now_ns)
{
    if (monitor->pool.refill_ns == 0)
        return -1;
    const int64_t left_ns = monitor->pool.refill_ns - now_ns;
    return left_ns <= 0 ? 0 : (int) (left_ns / CLOCK_NS_PER_MS) + 1;
}
