// SPDX-License-Identifier: MIT
//
// What people and programs see: tables and JSON on stdout, notes and progress on stderr.
//
// No control character of anybody else's reaches a terminal: text from a service, a function or a
// file name goes through text_visible first. Colour and progress bars appear on terminals only, and
// not when NO_COLOR is set (https://no-color.org) or TERM is "dumb".
// One thread.
#ifndef LAMINA_CLI_OUTPUT_H
#define LAMINA_CLI_OUTPUT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_COLUMNS_MAX 12

// Appends text with control characters, bidirectional overrides and bytes that are not UTF-8 shown
// as ^X, \u{...} or \xNN. Newlines and tabs stay when keeps_lines.
void text_visible(struct buf *out, struct str text, bool keeps_lines);

// Prints a line "lamina: ..." on stderr, made visible. Notes are for progress: not when quiet.
void output_error(const char *format, ...) PRINTF_LIKE(1, 2);
void output_note(bool is_quiet, const char *format, ...) PRINTF_LIKE(2, 3);

// Writes what stdio still holds of stdout. 0, or the negative errno of the first write that failed, now
// or earlier (stdio itself forgets which).
int output_flush(void);

// stdout: text made visible, lines kept.
void output_text(struct str text);

// Whether stdout or stderr is a terminal that takes colour.
bool output_is_terminal(int fd);
bool output_has_color(int fd);

// ---- Tables: collected, then printed with columns as wide as their longest cell.

struct table {
    size_t columns;
    bool is_right[TABLE_COLUMNS_MAX]; // numbers: aligned to the right
    struct buf *cells;                // rows x columns; row 0 is the head
    size_t cell_count;
    size_t capacity;
};

// heads: one text a column; a '>' in front aligns it to the right.
void table_init(struct table *table, const char *const *heads, size_t columns);
void table_done(struct table *table);
void table_cell(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);
void table_print(const struct table *table);

// ---- JSON: pretty, one final newline. *err says why not (-EINVAL: a value that JSON cannot hold).

// Adds a text that may be anything, a file name for instance, made visible: JSON holds UTF-8 only.
void json_add_visible(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name,
                      const char *text);

MUST_CHECK int output_json(const yyjson_mut_doc *doc, struct error *err);
// A document that the service sent, as it is.
MUST_CHECK int output_json_value(yyjson_val *value, struct error *err);

// ---- Progress: a bar that overwrites itself; silent when stderr is no terminal or when quiet.

struct progress {
    const char *what; // borrowed
    uint64_t total;
    bool is_on;
    int last_percent;
};

void progress_start(struct progress *progress, bool is_quiet, const char *what, uint64_t total);
void progress_move(struct progress *progress, uint64_t done);
// Wipes the line: for another text in progress->what.
void progress_end_line(struct progress *progress);
void progress_end(struct progress *progress);

#endif
