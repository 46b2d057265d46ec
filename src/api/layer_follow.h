/* SPDX-License-Identifier: MIT
 *
 * layer_follow: functions with the tag lamina:follow-layers=true take up new versions of their layers. Lamina's own: on
 * AWS, and here without the tag, a function has the versions that it names until it is told others.
 *
 *   a version is published, a function gets the tag, the service starts
 *        └─► newer compatible versions of the function's layers? ─► merged ─► switch (function/switch.h) ─► looked again
 *                                                                              └─ refused: the old ones go on; that
 *                                                                                 version is not tried again
 *
 * Only $LATEST moves, and only forward; it looks like a change of configuration (LastModified, RevisionId, LastUpdateStatus).
 * Compatible: the version names no runtimes, or the function's among them; no architectures, or x86_64.
 *
 * Loop thread. One look a function at a time; while the function is being changed by others it waits.
 */
#ifndef LAMINA_API_LAYER_FOLLOW_H
#define LAMINA_API_LAYER_FOLLOW_H

#include "api/call.h"

#define LAYER_FOLLOW_TAG "lamina:follow-layers"

struct function;
struct layer_follow;

struct layer_follow *layer_follow_new(struct api *api); /* NULL without memory */
void layer_follow_free(struct layer_follow *follow);    /* accepts NULL */

/* A version of this layer is there: every function that follows and has the layer is looked at. */
void layer_follow_published(struct layer_follow *follow, const char *layer);
/* One function may have begun to follow. */
void layer_follow_look(struct layer_follow *follow, const char *function);
/* All of them, at start. */
void layer_follow_all(struct layer_follow *follow);

bool layer_follow_is_on(const struct function *function);

#endif
