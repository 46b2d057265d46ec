// SPDX-License-Identifier: MIT
#include "cli/output.h"

#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX ((size_t) 16384)
#define CELL_BYTES_MAX ((size_t) 4096)
#define TEXT_BYTES_MAX ((size_t) 64 << 20)
#define BAR_WIDTH 30
#define COLUMN_GAP 2

// ---- Visible text

// Length of the UTF-8 sequence at the front of text, 0 when it is not one; *ret its code point.
static size_t decode(struct str text, uint32_t *ret)
{
    unsigned char first = (unsigned char) text.data[0];
    size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (text.size < size || !str_is_utf8(str_part(text, 0, size)))
        return 0;
    *ret = size == 1 ? first : first & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        *ret = *ret << 6 | ((unsigned char) text.data[i] & 0x3f);
    return size;
}

// Characters that change how others are shown: they could make a log line look like another one.
static bool is_deceptive(uint32_t point)
{
    return (point >= 0x80 && point < 0xa0) || (point >= 0x200b && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) ||
           point == 0xfeff || (point >= 0xe0000 && point <= 0xe007f);
}

static void append_visible(struct buf *out, struct str character, uint32_t point, bool keeps_lines)
{
    if (keeps_lines && (point == '\n' || point == '\t'))
        buf_append_byte(out, (char) point);
    else if (point < 0x20 || point == 0x7f)
        buf_printf(out, "^%c", (char) (point ^ 0x40));
    else if (is_deceptive(point))
        buf_printf(out, "\\u{%x}", point);
    else
        buf_append_str(out, character);
}

void text_visible(struct buf *out, struct str text, bool keeps_lines)
{
    while (text.size > 0) {
        uint32_t point = 0;
        size_t size = decode(text, &point);
        if (size == 0)
            buf_printf(out, "\\x%02x", (unsigned char) text.data[0]);
        else
            append_visible(out, str_part(text, 0, size), point, keeps_lines);
        text = str_skip(text, size == 0 ? 1 : size);
    }
}

int output_flush(void)
{
    static int failure;

    errno = 0;
    bool is_written = fflush(stdout) == 0 && !ferror(stdout);
    if (!is_written && failure == 0)
        failure = errno != 0 ? -errno : -EIO;
    return failure;
}

PRINTF_LIKE(2, 0)
static void print_line(const char *prefix, const char *format, va_list values)
{
    AUTO_BUF struct buf text = BUF_INIT(LINE_BYTES_MAX);
    AUTO_BUF struct buf line = BUF_INIT(4 * LINE_BYTES_MAX);

    buf_vprintf(&text, format, values);
    buf_append_text(&line, prefix);
    text_visible(&line, buf_str(&text), true);
    buf_append_byte(&line, '\n');
    (void) output_flush(); // what was printed before comes before, where both go to one place
    // stderr may be closed: nobody to tell then.
    (void) !write(STDERR_FILENO, line.data != NULL ? line.data : "", line.size);
}

void output_error(const char *format, ...)
{
    va_list values;

    va_start(values, format);
    print_line("lamina: ", format, values);
    va_end(values);
}

void output_note(bool is_quiet, const char *format, ...)
{
    va_list values;

    if (is_quiet)
        return;
    va_start(values, format);
    print_line("", format, values);
    va_end(values);
}

void output_text(struct str text)
{
    AUTO_BUF struct buf visible = BUF_INIT(TEXT_BYTES_MAX);

    text_visible(&visible, text, true);
    if (visible.size > 0)
        fwrite(visible.data, 1, visible.size, stdout);
}

bool output_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

bool output_has_color(int fd)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return output_is_terminal(fd) && (no_color == NULL || no_color[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

// ---- Tables

void table_init(struct table *table, const char *const *heads, size_t columns)
{
    *table = (struct table){.columns = columns};
    for (size_t i = 0; i < columns; i++) {
        table->is_right[i] = heads[i][0] == '>';
        table_cell(table, "%s", heads[i] + (heads[i][0] == '>'));
    }
}

void table_done(struct table *table)
{
    for (size_t i = 0; i < table->cell_count; i++)
        buf_done(&table->cells[i]);
    free(table->cells);
    *table = (struct table){0};
}

void table_cell(struct table *table, const char *format, ...)
{
    AUTO_BUF struct buf text = BUF_INIT(CELL_BYTES_MAX);
    va_list values;

    if (table->cell_count == table->capacity) {
        size_t capacity = table->capacity == 0 ? 64 : 2 * table->capacity;
        struct buf *grown = reallocarray(table->cells, capacity, sizeof *grown);
        if (grown == NULL)
            abort(); // no memory for a hundred bytes: nothing useful can be printed any more
        table->cells = grown;
        table->capacity = capacity;
    }
    va_start(values, format);
    buf_vprintf(&text, format, values);
    va_end(values);
    struct buf *cell = &table->cells[table->cell_count++];
    buf_init(cell, 4 * CELL_BYTES_MAX);
    text_visible(cell, buf_str(&text), false);
}

// Columns on the screen: every code point counts one, which is right for what names hold.
static size_t width_of(const struct buf *cell)
{
    size_t width = 0;

    for (size_t i = 0; i < cell->size; i++)
        width += ((unsigned char) cell->data[i] & 0xc0) != 0x80;
    return width;
}

// Padding in front of a cell is owed until something follows: lines have no spaces at their end.
static void print_cell(const struct table *table, size_t at, size_t width, int *owed)
{
    const struct buf *cell = &table->cells[at];
    size_t column = at % table->columns;
    int pad = (int) (width - width_of(cell));

    if (table->is_right[column])
        *owed += pad;
    if (cell->size > 0) {
        printf("%*s", *owed, "");
        fwrite(cell->data, 1, cell->size, stdout);
        *owed = 0;
    }
    if (!table->is_right[column])
        *owed += pad;
    *owed += COLUMN_GAP;
    if (column + 1 == table->columns)
        *owed = 0;
}

void table_print(const struct table *table)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    bool has_color = output_has_color(STDOUT_FILENO);
    int owed = 0;

    for (size_t i = 0; i < table->cell_count; i++) {
        size_t width = width_of(&table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        if (i == 0 && has_color)
            fputs("\x1b[1m", stdout);
        print_cell(table, i, widths[i % table->columns], &owed);
        if ((i + 1) % table->columns == 0)
            fputs(i + 1 == table->columns && has_color ? "\x1b[0m\n" : "\n", stdout);
    }
}

// ---- JSON

static int print_json(char *text, const char *why, struct error *err)
{
    if (text == NULL)
        return error_set(err, -EINVAL, "cannot print this as JSON: %s", why);
    fputs(text, stdout);
    fputc('\n', stdout);
    free(text);
    return 0;
}

void json_add_visible(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name,
                      const char *text)
{
    AUTO_BUF struct buf visible = BUF_INIT(4 * LINE_BYTES_MAX);

    text_visible(&visible, str_of(text), false);
    json_add_str(doc, object, name, buf_str(&visible));
}

int output_json(const yyjson_mut_doc *doc, struct error *err)
{
    yyjson_write_err why = {0};

    return print_json(yyjson_mut_write_opts(doc, YYJSON_WRITE_PRETTY, NULL, NULL, &why),
                      why.msg != NULL ? why.msg : "no memory", err);
}

int output_json_value(yyjson_val *value, struct error *err)
{
    yyjson_write_err why = {0};

    return print_json(yyjson_val_write_opts(value, YYJSON_WRITE_PRETTY, NULL, NULL, &why),
                      why.msg != NULL ? why.msg : "no memory", err);
}

// ---- Progress

void progress_start(struct progress *progress, bool is_quiet, const char *what, uint64_t total)
{
    *progress = (struct progress){
        .what = what,
        .total = total,
        .is_on = !is_quiet && total > 0 && output_has_color(STDERR_FILENO),
        .last_percent = -1,
    };
}

void progress_move(struct progress *progress, uint64_t done)
{
    if (!progress->is_on)
        return;
    int percent =
        done >= progress->total ? 100 : (int) (100 * (double) done / (double) progress->total);
    if (percent == progress->last_percent)
        return;
    progress->last_percent = percent;
    int full = percent * BAR_WIDTH / 100;
    fprintf(stderr, "\r%s [%.*s%*s] %3d %%", progress->what, full, "##############################",
            BAR_WIDTH - full, "", percent);
    fflush(stderr);
}

void progress_end_line(struct progress *progress)
{
    if (progress->is_on && progress->last_percent >= 0)
        fputs("\r\x1b[K", stderr);
    progress->last_percent = -1;
}

void progress_end(struct progress *progress)
{
    progress_end_line(progress);
    progress->is_on = false;
}
