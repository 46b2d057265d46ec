/* SPDX-License-Identifier: MIT
 *
 * settle: a function serves its model as it is, and takes up the prepared form when that is made (docs/prepared-models.md).
 *
 *   change_commit ─► Active, the model as it is ─────────────────────────────► calls run the form, all at once
 *             └────► prepared beside (seconds of CPU) ─► at rest? ─► switch.h ──┘
 *                                                            └─ refused, no form: it stays as it is, and describe says why
 *
 * Only a new function, and of it only $LATEST, serves before: an update and a new model are prepared beside what serves,
 * and a published version never changes its bits. Settling is no change that a client sees: RevisionId and LastModified stay,
 * and so does the model's digest.
 *
 * Killed before it is settled: settle_all at the next start, also on another processor or with another engine. A result for a model that was replaced meanwhile is dropped.
 * Thread: loop only.
 */
#ifndef LAMINA_FUNCTION_SETTLE_H
#define LAMINA_FUNCTION_SETTLE_H

#include <stdint.h>

#include "base/compiler.h"

/* Models above this serve as they are; smaller ones are prepared in less time than a deployment takes anyway. */
#define SETTLE_BYTES (UINT64_C(32) << 20)
#define SETTLE_LOOK_MS 100   /* a large one: time to find a form that is known */
#define SETTLE_WAIT_MS 15000 /* a small one */

struct catalog;
struct loop;
struct scheduler;
struct settler;
struct switcher;

/* NULL without memory. From now on the catalog's commits need not wait for forms. All are borrowed. */
struct settler *settler_new(struct loop *loop, struct catalog *catalog, struct scheduler *scheduler,
                            struct switcher *switcher);

/* At start: has the forms made of every $LATEST that serves without one that is for this machine: a few at a time. */
void settle_all(struct settler *settler);

#endif
