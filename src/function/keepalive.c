/* SPDX-License-Identifier: MIT */
#include "function/keepalive.h"

#include "base/log.h"

static void keepalive_tick(void *arg);

static struct keepalive_entry *first_of(const struct list *head)
{
    struct list *first = list_first(head);
    return first ? LIST_ENTRY(first, struct keepalive_entry, link) : NULL;
}

/* The first thing that happens to an idle instance. */
static uint64_t first_wait_ms(const struct keepalive *keepalive)
{
    return keepalive->freeze_after_ms < keepalive->keepalive_ms ? keepalive->freeze_after_ms
                                                                : keepalive->keepalive_ms;
}

/* When the head of the list is due; INT64_MAX for an empty list. */
static int64_t due_ms(const struct keepalive *keepalive)
{
    const struct keepalive_entry *first = first_of(&keepalive->awake);
    return first ? first->since_ms + (int64_t) first_wait_ms(keepalive) : INT64_MAX;
}

/* Entries become due in the order of their list, so the timer follows the head only. */
static void keepalive_arm(struct keepalive *keepalive)
{
    int64_t due = due_ms(keepalive), now = loop_now_ms(keepalive->loop);
    if (due == INT64_MAX) {
        loop_timer_stop(&keepalive->timer);
        return;
    }
    if (loop_timer_start(keepalive->loop, &keepalive->timer, due > now ? due - now : 0,
                         keepalive_tick, keepalive) < 0)
        log_error("keepalive.timer", "error=memory"); /* armed again by the next idle instance */
}

static void keepalive_end(void *arg)
{
    struct keepalive_entry *entry = arg;
    struct keepalive *keepalive = entry->keepalive;
    list_remove(&entry->link);
    loop_timer_stop(&entry->end);
    keepalive->events.end(keepalive->events.arg, entry);
}

/* Until its time is over, whatever it is worth. */
static int64_t rest_ms(const struct keepalive *keepalive, const struct keepalive_entry *entry)
{
    return entry->since_ms + (int64_t) keepalive->keepalive_ms - loop_now_ms(keepalive->loop);
}

/* It was idle for a while: frozen and kept, or ended. */
static void keepalive_decide(struct keepalive *keepalive, struct keepalive_entry *entry)
{
    int64_t rest = rest_ms(keepalive, entry), keep = rest;
    if (rest > 0)
        keep = keepalive->events.keep_ms(keepalive->events.arg, entry);
    keep = keep < rest ? keep : rest;
    if (keep <= 0 ||
        loop_timer_start(keepalive->loop, &entry->end, keep, keepalive_end, entry) < 0) {
        keepalive_end(entry);
        return;
    }
    list_remove(&entry->link);
    list_add_last(&keepalive->frozen, &entry->link);
    keepalive->events.freeze(keepalive->events.arg, entry);
}

static void keepalive_tick(void *arg)
{
    struct keepalive *keepalive = arg;
    int64_t now = loop_now_ms(keepalive->loop);
    for (int i = 0; i < KEEPALIVE_PER_TURN && due_ms(keepalive) <= now; i++)
        keepalive_decide(keepalive, first_of(&keepalive->awake));
    keepalive_arm(keepalive);
}

void keepalive_init(struct keepalive *keepalive, struct loop *loop, uint32_t freeze_after_ms,
                    uint64_t keepalive_ms, const struct keepalive_events *events)
{
    *keepalive = (struct keepalive){.loop = loop,
                                    .freeze_after_ms = freeze_after_ms,
                                    .keepalive_ms = keepalive_ms,
                                    .events = *events};
    list_init(&keepalive->awake);
    list_init(&keepalive->frozen);
}

void keepalive_done(struct keepalive *keepalive)
{
    loop_timer_stop(&keepalive->timer);
}

void keepalive_add(struct keepalive *keepalive, struct keepalive_entry *entry)
{
    entry->keepalive = keepalive;
    entry->since_ms = loop_now_ms(keepalive->loop);
    loop_timer_stop(&entry->end);
    list_remove(&entry->link);
    list_add_last(&keepalive->awake, &entry->link);
    if (!loop_timer_is_running(&keepalive->timer))
        keepalive_arm(keepalive);
}

void keepalive_spare(struct keepalive *keepalive, struct keepalive_entry *entry)
{
    keepalive_add(keepalive, entry);
    entry->since_ms +=
        KEEPALIVE_RESPITE_MS; /* those added meanwhile wait behind it, that long at most */
}

void keepalive_remove(struct keepalive *keepalive, struct keepalive_entry *entry)
{
    (void) keepalive; /* its timer may come once for nothing */
    loop_timer_stop(&entry->end);
    list_remove(&entry->link);
}

struct keepalive_entry *keepalive_oldest(const struct keepalive *keepalive)
{
    struct keepalive_entry *frozen = first_of(&keepalive->frozen);
    return frozen ? frozen : first_of(&keepalive->awake);
}
