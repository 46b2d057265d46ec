/* SPDX-License-Identifier: MIT */
#include "function/keepalive.h"

#include "base/log.h"

static void keepalive_tick(void *arg);

static struct keepalive_entry *first_of(const struct list *head)
{
    struct list *first = list_first(head);
    return first ? LIST_ENTRY(first, struct keepalive_entry, link) : NULL;
}

/* When the head of a list is due; INT64_MAX for an empty list. */
static int64_t due_ms(const struct list *head, uint64_t after_ms)
{
    const struct keepalive_entry *first = first_of(head);
    return first ? first->since_ms + (int64_t) after_ms : INT64_MAX;
}

/* The first thing that happens to an idle instance. */
static uint64_t first_wait_ms(const struct keepalive *keepalive)
{
    return keepalive->freeze_after_ms < keepalive->keepalive_ms ? keepalive->freeze_after_ms
                                                                : keepalive->keepalive_ms;
}

/* Entries become due in the order of their lists, so the timer follows the heads only. */
static void keepalive_arm(struct keepalive *keepalive)
{
    int64_t freeze = due_ms(&keepalive->awake, keepalive->freeze_after_ms);
    int64_t end = due_ms(&keepalive->frozen, keepalive->keepalive_ms);
    int64_t end_awake = due_ms(&keepalive->awake, keepalive->keepalive_ms);
    int64_t due = freeze < end ? freeze : end;
    int64_t now = loop_now_ms(keepalive->loop);
    due = end_awake < due ? end_awake : due;
    if (due == INT64_MAX) {
        loop_timer_stop(&keepalive->timer);
        return;
    }
    if (loop_timer_start(keepalive->loop, &keepalive->timer, due > now ? due - now : 0,
                         keepalive_tick, keepalive) < 0)
        log_error("keepalive.timer", "error=memory"); /* armed again by the next idle instance */
}

/* Ends or freezes the first entry of a list if it is due. */
static bool keepalive_end_first(struct keepalive *keepalive, struct list *head, int64_t now)
{
    struct keepalive_entry *first = first_of(head);
    if (!first || due_ms(head, keepalive->keepalive_ms) > now)
        return false;
    list_remove(&first->link);
    keepalive->events.end(keepalive->events.arg, first);
    return true;
}

static bool keepalive_freeze_first(struct keepalive *keepalive, int64_t now)
{
    struct keepalive_entry *first = first_of(&keepalive->awake);
    if (!first || due_ms(&keepalive->awake, keepalive->freeze_after_ms) > now)
        return false;
    list_remove(&first->link);
    list_add_last(&keepalive->frozen, &first->link);
    keepalive->events.freeze(keepalive->events.arg, first);
    return true;
}

static void keepalive_tick(void *arg)
{
    struct keepalive *keepalive = arg;
    int64_t now = loop_now_ms(keepalive->loop);
    for (int i = 0; i < KEEPALIVE_PER_TURN; i++)
        if (!keepalive_end_first(keepalive, &keepalive->frozen, now) &&
            !keepalive_end_first(keepalive, &keepalive->awake, now) &&
            !keepalive_freeze_first(keepalive, now))
            break;
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
    entry->since_ms = loop_now_ms(keepalive->loop);
    list_remove(&entry->link);
    list_add_last(&keepalive->awake, &entry->link);
    /* The timer may be set for something later: the end of a frozen instance. */
    if (!loop_timer_is_running(&keepalive->timer) ||
        keepalive->timer.due_ms > due_ms(&keepalive->awake, first_wait_ms(keepalive)))
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
    (void) keepalive; /* the timer may come once for nothing */
    list_remove(&entry->link);
}

struct keepalive_entry *keepalive_oldest(const struct keepalive *keepalive)
{
    struct keepalive_entry *frozen = first_of(&keepalive->frozen);
    return frozen ? frozen : first_of(&keepalive->awake);
}
