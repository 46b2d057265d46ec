// SPDX-License-Identifier: MIT
//
// chart: values between 0 and 1 over time, as bars for a terminal.
//
//     1 |      ▂▇██▆      ▄██▇
//       |     ▃█████▅    ▃█████
//     0 |▁▁▁▁▂███████▁▁▁▂██████▁▁▁
//       0 s                    2.1 s
//
// Bars are eighth-block characters, or '#' where the locale has no UTF-8. When there are more
// values than columns, a column shows the mean of its values.

#ifndef LAMINA_EXAMPLES_CHART_H
#define LAMINA_EXAMPLES_CHART_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define CHART_COLUMNS 64
#define CHART_ROWS 4

void chart_append(struct buf *out, const float *values, size_t count, double seconds, bool is_utf8);

#endif
