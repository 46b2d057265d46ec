// SPDX-License-Identifier: MIT

#include "chart.h"

#include <math.h>

#define STEPS 8 // a bar's heights within one row

// The heights of the bars, in eighths of a row; what is not 0 shows at least a trace.
static size_t bar_heights(const float *values, size_t count, int heights[CHART_COLUMNS])
{
    size_t columns = count < CHART_COLUMNS ? count : CHART_COLUMNS;
    for (size_t column = 0; column < columns; column++) {
        size_t start = column * count / columns, end = (column + 1) * count / columns;
        double sum = 0;
        for (size_t i = start; i < end; i++)
            sum += (double) values[i];
        double mean = fmin(1, fmax(0, sum / (double) (end - start)));
        heights[column] = (int) lround(mean * CHART_ROWS * STEPS);
        if (heights[column] == 0)
            heights[column] = 1;
    }
    return columns;
}

static void append_cell(struct buf *out, int eighths, bool is_utf8)
{
    static const char *const blocks[] = {
        " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█",
    };
    static const char *const marks[] = {" ", ".", ".", ".", ":", ":", ":", "#", "#"};
    int step = eighths < 0 ? 0 : eighths > STEPS ? STEPS : eighths;
    buf_append_text(out, is_utf8 ? blocks[step] : marks[step]);
}

void chart_append(struct buf *out, const float *values, size_t count, double seconds, bool is_utf8)
{
    int heights[CHART_COLUMNS];
    size_t columns = bar_heights(values, count, heights);
    for (int row = CHART_ROWS - 1; row >= 0; row--) {
        buf_printf(out, "  %s |", row == CHART_ROWS - 1 ? "1" : row == 0 ? "0" : " ");
        for (size_t column = 0; column < columns; column++)
            append_cell(out, heights[column] - row * STEPS, is_utf8);
        buf_append_text(out, "\n");
    }
    int gap = columns > 12 ? (int) columns - 5 : 7;
    buf_printf(out, "     0 s%*.1f s\n", gap, seconds);
}
