/* SPDX-License-Identifier: MIT */
#include "instance/instance_private.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "instance/host.h"

void usage_peak_take(struct instance *instance, uint64_t bytes)
{
    if (bytes > instance->memory_peak)
        instance->memory_peak = bytes;
}

/* cgroup files are the kernel's memory, not the disk: this does not block. */
void usage_peak_read(struct instance *instance)
{
    char text[32];
    ssize_t size = 0;
    struct str digits = {0}, rest = {0};
    uint64_t bytes = 0;
    if (instance->peak_fd < 0)
        return;
    size = pread(instance->peak_fd, text, sizeof(text), 0);
    if (size <= 0)
        return;
    (void) str_cut(str_of_data(text, (size_t) size), '\n', &digits, &rest);
    if (str_to_u64(digits, UINT64_MAX, &bytes) == 0)
        usage_peak_take(instance, bytes);
    instance->peak_read_ms = loop_now_ms(instance->host->loop);
}

void usage_answer(struct instance *instance, const struct instance_usage *usage)
{
    struct list waits = LIST_INIT(waits);
    list_move_all(&waits, &instance->usage_waits);
    LIST_FOR_EACH_SAFE (struct usage_wait, each, &waits, link) {
        each->cb(each->arg, usage);
        free(each);
    }
}

void instance_usage(struct instance *instance, instance_usage_cb *cb, void *arg)
{
    bool is_asked = !list_is_empty(&instance->usage_waits);
    struct usage_wait *wait = mem_new(struct usage_wait);
    if (!wait || instance->state == INSTANCE_STARTING || instance->state == INSTANCE_DEAD) {
        const struct instance_usage nothing = {.error = wait ? -ESRCH : -ENOMEM};
        free(wait);
        cb(arg, &nothing);
        return;
    }
    wait->cb = cb;
    wait->arg = arg;
    list_add_last(&instance->usage_waits, &wait->link);
    if (!is_asked)
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_STATS);
}
