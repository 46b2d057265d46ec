/* SPDX-License-Identifier: MIT
 *
 * template_report: templates and why there are none, for answers that people read (docs/lamina-api.md).
 */
#ifndef LAMINA_API_TEMPLATE_REPORT_H
#define LAMINA_API_TEMPLATE_REPORT_H

#include "base/buf.h"
#include "function/scheduler.h"

/* [{...}, ...]: of one function, or of all (NULL). */
void template_report_append(struct buf *json, struct scheduler *scheduler, const char *function);

#endif
