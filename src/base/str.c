// SPDX-License-Identifier: MIT

#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct str str_of(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

struct str str_of_data(const void *data, size_t size)
{
    return (struct str){data, size};
}

bool str_equal(struct str left, struct str right)
{
    return left.size == right.size && (left.size == 0 || !memcmp(left.data, right.data, left.size));
}

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char) (byte + 'a' - 'A') : byte;
}

bool str_equal_nocase(struct str left, struct str right)
{
    if (left.size != right.size)
        return false;
    for (size_t i = 0; i < left.size; i++)
        if (lower(left.data[i]) != lower(right.data[i]))
            return false;
    return true;
}

bool str_equal_text(struct str left, const char *right)
{
    return str_equal(left, str_of(right));
}

int str_compare(struct str left, struct str right)
{
    size_t common = left.size < right.size ? left.size : right.size;
    int order = common ? memcmp(left.data, right.data, common) : 0;
    if (order)
        return order;
    return left.size < right.size ? -1 : left.size > right.size;
}

bool str_has_prefix(struct str text, struct str prefix)
{
    return text.size >= prefix.size && str_equal(str_part(text, 0, prefix.size), prefix);
}

bool str_has_suffix(struct str text, struct str suffix)
{
    return text.size >= suffix.size && str_equal(str_skip(text, text.size - suffix.size), suffix);
}

ptrdiff_t str_find(struct str text, char byte)
{
    const char *at = text.size ? memchr(text.data, byte, text.size) : NULL;
    return at ? at - text.data : -1;
}

ptrdiff_t str_find_last(struct str text, char byte)
{
    const char *at = text.size ? memrchr(text.data, byte, text.size) : NULL;
    return at ? at - text.data : -1;
}

struct str str_part(struct str text, size_t start, size_t size)
{
    if (start > text.size)
        start = text.size;
    if (size > text.size - start)
        size = text.size - start;
    return (struct str){text.data ? text.data + start : NULL, size};
}

struct str str_skip(struct str text, size_t count)
{
    return str_part(text, count, SIZE_MAX);
}

bool str_cut(struct str text, char separator, struct str *ret_head, struct str *ret_tail)
{
    ptrdiff_t at = str_find(text, separator);
    if (at < 0) {
        *ret_head = text;
        *ret_tail = str_skip(text, text.size);
        return false;
    }
    *ret_head = str_part(text, 0, (size_t) at);
    *ret_tail = str_skip(text, (size_t) at + 1);
    return true;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

struct str str_trim(struct str text)
{
    while (text.size && is_space(text.data[0]))
        text = str_skip(text, 1);
    while (text.size && is_space(text.data[text.size - 1]))
        text.size--;
    return text;
}

int str_to_u64(struct str text, uint64_t maximum, uint64_t *ret_value)
{
    if (text.size == 0)
        return -EINVAL;
    uint64_t value = 0;
    bool is_too_large = false;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (byte < '0' || byte > '9')
            return -EINVAL; // also behind a number that is too large: -EINVAL is the better word
        if (__builtin_mul_overflow(value, (uint64_t) 10, &value) ||
            __builtin_add_overflow(value, (uint64_t) (byte - '0'), &value))
            is_too_large = true;
    }
    if (is_too_large || value > maximum)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int str_to_i64(struct str text, int64_t minimum, int64_t maximum, int64_t *ret_value)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    uint64_t magnitude;
    int r = str_to_u64(is_negative ? str_skip(text, 1) : text, (uint64_t) INT64_MAX + is_negative,
                       &magnitude);
    if (r < 0)
        return r;
    // Negated as unsigned: the magnitude of INT64_MIN is no int64_t.
    int64_t value = is_negative ? (int64_t) (0 - magnitude) : (int64_t) magnitude;
    if (value < minimum || value > maximum)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int str_copy(struct str text, char *to, size_t to_size)
{
    if (to_size > 0)
        to[0] = '\0';
    if (text.size >= to_size)
        return -ENAMETOOLONG;
    if (str_find(text, '\0') >= 0)
        return -EINVAL;
    if (text.size)
        memcpy(to, text.data, text.size);
    to[text.size] = '\0';
    return 0;
}

char *str_copy_heap(struct str text)
{
    char *copy = text.size < SIZE_MAX ? malloc(text.size + 1) : NULL;
    if (!copy)
        return NULL;
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

// The number of bytes of the UTF-8 character at the start of `at`, 0 if there is none. Table 3-7 of
// the Unicode standard: the first byte narrows what the second may be.
static size_t utf8_character(const unsigned char *at, size_t size)
{
    unsigned char first = at[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size < length)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool str_is_utf8(struct str text)
{
    const unsigned char *at = (const unsigned char *) text.data;
    size_t left = text.size;
    while (left > 0) {
        size_t length = utf8_character(at, left);
        if (length == 0)
            return false;
        at += length;
        left -= length;
    }
    return true;
}
