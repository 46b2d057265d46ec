/* SPDX-License-Identifier: MIT */

#include "api/json_check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct scanner {
    const unsigned char *at;
    const unsigned char *end;
    const char *why;
    size_t depth;
    uint64_t is_object[JSON_CHECK_DEPTH_MAX / 64]; /* one bit a level: object or array */
};

static bool fail(struct scanner *scanner, const char *why)
{
    scanner->why = why;
    return false;
}

static inline void skip_space(struct scanner *scanner)
{
    while (scanner->at < scanner->end && (*scanner->at == ' ' || *scanner->at == '\n' ||
                                          *scanner->at == '\r' || *scanner->at == '\t'))
        scanner->at++;
}

static inline bool is_next(const struct scanner *scanner, char c)
{
    return scanner->at < scanner->end && *scanner->at == (unsigned char) c;
}

static inline bool is_digit(unsigned char c)
{
    return (unsigned char) (c - '0') < 10;
}

static inline bool is_next_digit(const struct scanner *scanner)
{
    return scanner->at < scanner->end && is_digit(*scanner->at);
}

/* Tensors are mostly digits: the pointer stays in a register. */
static inline bool scan_digits(struct scanner *scanner)
{
    const unsigned char *at = scanner->at;
    const unsigned char *end = scanner->end;
    while (at < end && is_digit(*at))
        at++;
    if (at == scanner->at)
        return fail(scanner, "a digit is missing");
    scanner->at = at;
    return true;
}

static bool scan_exponent(struct scanner *scanner)
{
    scanner->at++;
    if (is_next(scanner, '+') || is_next(scanner, '-'))
        scanner->at++;
    return scan_digits(scanner);
}

static bool scan_number(struct scanner *scanner)
{
    if (is_next(scanner, '-'))
        scanner->at++;
    if (is_next(scanner, '0'))
        scanner->at++;
    else if (!scan_digits(scanner))
        return false;
    if (is_next(scanner, '.')) {
        scanner->at++;
        if (!scan_digits(scanner))
            return false;
    }
    if (is_next(scanner, 'e') || is_next(scanner, 'E'))
        return scan_exponent(scanner);
    return true;
}

static bool scan_hex4(struct scanner *scanner, unsigned *ret_unit)
{
    unsigned unit = 0;
    if (scanner->end - scanner->at < 4)
        return fail(scanner, "the text ends in an escape");
    for (int i = 0; i < 4; i++) {
        unsigned c = *scanner->at++;
        if (c >= '0' && c <= '9')
            unit = unit * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            unit = unit * 16 + ((c | 0x20) - 'a' + 10);
        else
            return fail(scanner, "not a hexadecimal digit");
    }
    *ret_unit = unit;
    return true;
}

/* After "\u". A high surrogate needs its low one. */
static bool scan_unicode(struct scanner *scanner)
{
    unsigned unit;
    unsigned low;
    if (!scan_hex4(scanner, &unit))
        return false;
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    if (unit > 0xdbff || scanner->end - scanner->at < 6 || scanner->at[0] != '\\' ||
        scanner->at[1] != 'u')
        return fail(scanner, "a surrogate without its other half");
    scanner->at += 2;
    if (!scan_hex4(scanner, &low))
        return false;
    if (low < 0xdc00 || low > 0xdfff)
        return fail(scanner, "a surrogate without its other half");
    return true;
}

static bool scan_escape(struct scanner *scanner)
{
    scanner->at++;
    if (scanner->at == scanner->end)
        return fail(scanner, "the text ends in an escape");
    unsigned char c = *scanner->at++;
    if (c == 'u')
        return scan_unicode(scanner);
    return strchr("\"\\/bfnrt", c) && c ? true : fail(scanner, "not an escape");
}

/* One character of more than one byte: shortest form, no surrogate, at most U+10FFFF. */
static bool scan_utf8(struct scanner *scanner)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max;
        int rest; /* bytes after the second */
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 0}, {0xe0, 0xe0, 0xa0, 0xbf, 1}, {0xe1, 0xec, 0x80, 0xbf, 1},
        {0xed, 0xed, 0x80, 0x9f, 1}, {0xee, 0xef, 0x80, 0xbf, 1}, {0xf0, 0xf0, 0x90, 0xbf, 2},
        {0xf1, 0xf3, 0x80, 0xbf, 2}, {0xf4, 0xf4, 0x80, 0x8f, 2},
    };
    const unsigned char *at = scanner->at;
    ptrdiff_t left = scanner->end - at;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (at[0] < forms[i].first_min || at[0] > forms[i].first_max)
            continue;
        if (left < 2 + forms[i].rest || at[1] < forms[i].second_min || at[1] > forms[i].second_max)
            break;
        for (int k = 0; k < forms[i].rest; k++)
            if ((at[2 + k] & 0xc0) != 0x80)
                return fail(scanner, "not UTF-8");
        scanner->at += 2 + forms[i].rest;
        return true;
    }
    return fail(scanner, "not UTF-8");
}

/* Characters that a string holds as they are: ASCII but for control characters, quote and backslash. */
static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static inline void skip_plain(struct scanner *scanner)
{
    const unsigned char *at = scanner->at;
    const unsigned char *end = scanner->end;
    while (at < end && is_plain(*at))
        at++;
    scanner->at = at;
}

static bool scan_string(struct scanner *scanner)
{
    if (!is_next(scanner, '"'))
        return fail(scanner, "a string is missing");
    scanner->at++;
    for (;;) {
        skip_plain(scanner);
        if (scanner->at == scanner->end)
            return fail(scanner, "the text ends in a string");
        if (*scanner->at == '"')
            break;
        if (*scanner->at < 0x20)
            return fail(scanner, "a control character in a string");
        if (!(*scanner->at == '\\' ? scan_escape(scanner) : scan_utf8(scanner)))
            return false;
    }
    scanner->at++;
    return true;
}

static bool scan_word(struct scanner *scanner, const char *word)
{
    size_t size = strlen(word);
    if ((size_t) (scanner->end - scanner->at) < size || memcmp(scanner->at, word, size) != 0)
        return fail(scanner, "not a value");
    scanner->at += size;
    return true;
}

static bool scan_scalar(struct scanner *scanner)
{
    if (scanner->at == scanner->end)
        return fail(scanner, "the text ends where a value is missing");
    switch (*scanner->at) {
    case '"':
        return scan_string(scanner);
    case 't':
        return scan_word(scanner, "true");
    case 'f':
        return scan_word(scanner, "false");
    case 'n':
        return scan_word(scanner, "null");
    default:
        if (*scanner->at == '-' || is_next_digit(scanner))
            return scan_number(scanner);
        return fail(scanner, "not a value");
    }
}

static bool is_in_object(const struct scanner *scanner)
{
    size_t level = scanner->depth - 1;
    return (scanner->is_object[level / 64] >> (level % 64)) & 1;
}

static bool enter(struct scanner *scanner, bool is_object)
{
    if (scanner->depth == JSON_CHECK_DEPTH_MAX)
        return fail(scanner, "nested too deep");
    uint64_t bit = (uint64_t) 1 << (scanner->depth % 64);
    if (is_object)
        scanner->is_object[scanner->depth / 64] |= bit;
    else
        scanner->is_object[scanner->depth / 64] &= ~bit;
    scanner->depth++;
    scanner->at++;
    skip_space(scanner);
    return true;
}

/* A member's name and its colon. */
static bool scan_key(struct scanner *scanner)
{
    if (!scan_string(scanner))
        return false;
    skip_space(scanner);
    if (!is_next(scanner, ':'))
        return fail(scanner, "a colon is missing");
    scanner->at++;
    skip_space(scanner);
    return true;
}

/* After a value: closes what ends here, up to the comma that leads to the next value or the end of all.
 * *ret_is_done: the outermost value is complete. */
static bool scan_after(struct scanner *scanner, bool *ret_is_done)
{
    for (;;) {
        skip_space(scanner);
        *ret_is_done = scanner->depth == 0;
        if (*ret_is_done)
            return true;
        bool is_object = is_in_object(scanner);
        if (is_next(scanner, ',')) {
            scanner->at++;
            skip_space(scanner);
            return is_object ? scan_key(scanner) : true;
        }
        if (!is_next(scanner, is_object ? '}' : ']'))
            return fail(scanner, "a comma or the closing bracket is missing");
        scanner->at++;
        scanner->depth--;
    }
}

/* A value's start. *ret_is_open: it was a bracket with something in it, whose first value follows. */
static bool scan_value(struct scanner *scanner, bool *ret_is_open)
{
    bool is_object = is_next(scanner, '{');
    *ret_is_open = false;
    if (!is_object && !is_next(scanner, '['))
        return scan_scalar(scanner);
    if (!enter(scanner, is_object))
        return false;
    if (is_next(scanner, is_object ? '}' : ']'))
        return true; /* empty: scan_after closes it */
    *ret_is_open = true;
    return is_object ? scan_key(scanner) : true;
}

static bool scan_text(struct scanner *scanner)
{
    bool is_done = false;
    bool is_open;
    skip_space(scanner);
    while (!is_done) {
        if (!scan_value(scanner, &is_open))
            return false;
        if (!is_open && !scan_after(scanner, &is_done))
            return false;
    }
    return scanner->at == scanner->end ? true : fail(scanner, "something follows the value");
}

int json_check(struct str text, size_t *ret_position, const char **ret_why)
{
    struct scanner scanner = {.why = ""};
    const unsigned char *start = (const unsigned char *) (text.data ? text.data : "");
    scanner.at = start;
    scanner.end = start + text.size;
    if (scan_text(&scanner))
        return 0;
    *ret_position = (size_t) (scanner.at - start);
    *ret_why = scanner.why;
    return -EINVAL;
}
