/* SPDX-License-Identifier: MIT
 *
 * model_report: what a version's model is and how its instances use it, for `lamina describe`.
 */
#ifndef LAMINA_API_MODEL_REPORT_H
#define LAMINA_API_MODEL_REPORT_H

#include "base/buf.h"
#include "function/version.h"

/* Appends `"model":{...},`, or nothing where no model is known. */
void model_report_append(struct buf *json, const struct version *version);

#endif
