/* SPDX-License-Identifier: MIT
 *
 * metrics: everything that is counted, as Prometheus text (exposition format 0.0.4).
 */
#ifndef LAMINA_API_METRICS_H
#define LAMINA_API_METRICS_H

#include "api/call.h"

#define METRICS_BYTES_MAX ((size_t) 64 * 1024 * 1024)

void metrics_append(struct api *api, struct buf *text);

#endif
