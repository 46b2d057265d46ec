/* SPDX-License-Identifier: MIT
 *
 * keepalive: what becomes of instances that nobody calls: frozen after freeze_after_ms, and ended when they are not worth
 * their memory any more, at the latest after keepalive_ms.
 *
 *     used ---> idle, awake --- freeze_after_ms ---> idle, frozen --- as long as `keep_ms` said ---> ended
 *                   ^ |                                   |
 *                   | +---------------- called -----------+--> used
 *
 * How long is asked once, when it is frozen: what is called more often is not thought about. The awake ones are a list in
 * order of idleness with one timer that looks at its head, so that calls closer together than freeze_after_ms cost two
 * list operations and no timer; each frozen one has a timer of its own.
 * Thread: loop only. Work per turn: KEEPALIVE_PER_TURN entries, and the timers that are due.
 */
#ifndef LAMINA_FUNCTION_KEEPALIVE_H
#define LAMINA_FUNCTION_KEEPALIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/loop.h"

#define KEEPALIVE_PER_TURN 64

struct keepalive;

struct keepalive_entry {
    struct list link;
    int64_t since_ms;      /* when it became idle */
    struct loop_timer end; /* while it is frozen */
    struct keepalive *keepalive;
};

struct keepalive_events {
    /* How much longer it is to be kept, from now on; 0: it ends now. */
    int64_t (*keep_ms)(void *arg, struct keepalive_entry *entry);
    void (*freeze)(void *arg,
                   struct keepalive_entry *entry);         /* it stays an entry, now a frozen one */
    void (*end)(void *arg, struct keepalive_entry *entry); /* it is no entry any more */
    void *arg;
};

struct keepalive {
    struct loop *loop; /* borrowed */
    uint32_t freeze_after_ms;
    uint64_t keepalive_ms;
    struct keepalive_events events;
    struct list awake, frozen; /* the longest idle first */
    struct loop_timer timer;
};

void keepalive_init(struct keepalive *keepalive, struct loop *loop, uint32_t freeze_after_ms,
                    uint64_t keepalive_ms, const struct keepalive_events *events);
void keepalive_done(struct keepalive *keepalive);

/* It is idle from now on. */
void keepalive_add(struct keepalive *keepalive, struct keepalive_entry *entry);
/* From inside `end`: it stays after all, and is asked about again KEEPALIVE_RESPITE_MS after its time. */
#define KEEPALIVE_RESPITE_MS 1000
void keepalive_spare(struct keepalive *keepalive, struct keepalive_entry *entry);
/* It is used, or gone. Harmless for what is no entry. */
void keepalive_remove(struct keepalive *keepalive, struct keepalive_entry *entry);
/* The longest idle entry, frozen ones first; NULL if there is none. It stays an entry. */
struct keepalive_entry *keepalive_oldest(const struct keepalive *keepalive);

#endif
