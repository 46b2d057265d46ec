// SPDX-License-Identifier: MIT
//
// Options of the command line, from a table.
//
//     static const struct option_spec options[] = {
//         {.name = "memory", .metavar = "MB", .kind = OPTION_NUMBER, .minimum = 128, .maximum = 10240,
//          .help = "memory of the function"},
//         {0},
//     };
//
// Forms: --name VALUE, --name=VALUE, -n VALUE, -nVALUE, flags bundled (-qv). Options and operands may
// be mixed; after "--" all is operand; "-" alone is an operand. A flag takes no value. Given twice, a
// value option keeps the last, an OPTION_LIST collects. Values are borrowed from argv.
// Errors are -EINVAL with a text that names the option: the program then exits with 2.
#ifndef LAMINA_CLI_OPTION_H
#define LAMINA_CLI_OPTION_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTION_TABLE_MAX 32
#define OPTION_OPERANDS_MAX 64
#define OPTION_LIST_MAX 128

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_NUMBER, // unsigned decimal within minimum and maximum
    OPTION_CHOICE, // one of the words in choices
    OPTION_LIST,   // a text, any number of times
};

struct option_spec {
    const char *name; // long, without dashes; NULL ends the table
    char letter;      // short; 0: none
    enum option_kind kind;
    const char *metavar; // what help calls the value
    uint64_t minimum, maximum;
    const char *choices; // "a|b|c"
    const char *help;
};

struct option_value {
    bool is_given;
    const char *text; // borrowed from argv
    uint64_t number;
};

struct option_set {
    const struct option_spec *specs[OPTION_TABLE_MAX];
    struct option_value values[OPTION_TABLE_MAX];
    size_t count;
    const char *operands[OPTION_OPERANDS_MAX];
    size_t operand_count;
    const char *list[OPTION_LIST_MAX]; // of the (one) OPTION_LIST
    size_t list_count;
};

// Adds a table; several may be added, names must differ.
void option_set_add(struct option_set *set, const struct option_spec *table);

// Reads argv[0 .. argc).
MUST_CHECK int option_parse(struct option_set *set, int argc, char *const *argv, struct error *err);

// By name; a name that is in no table is a bug of ours and aborts.
bool option_is_given(const struct option_set *set, const char *name);
const char *option_text(const struct option_set *set, const char *name, const char *otherwise);
uint64_t option_number(const struct option_set *set, const char *name, uint64_t otherwise);

#endif
