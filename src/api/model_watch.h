/* SPDX-License-Identifier: MIT
 *
 * model_watch: notices that MODEL_URI, or the path on a file system, names another model than it did, and lets it take the
 * old one's place.
 *
 *     every MODEL_REFRESH_S, or when an instance was started ─► look: same mark as before? ─► nothing
 *                                                                  │ another
 *                                                                  ▼
 *                                     fetch ─► draft ─► function/switch.h ─► serves, or refused with the reason
 *
 * A mark that was refused once (it did not load, or was rolled back) is not tried again; the next one is.
 * Published versions keep the model that they were published with.
 * Thread: loop only. Limits: one look or switch of a function at a time; at most one look a second of each, and
 * WATCH_STEP functions considered a tick.
 */
#ifndef LAMINA_API_MODEL_WATCH_H
#define LAMINA_API_MODEL_WATCH_H

#include "api/call.h"

struct model_watch;

struct model_watch *model_watch_new(struct api *api); /* NULL without memory */
void model_watch_free(struct model_watch *watch);     /* accepts NULL */

#endif
