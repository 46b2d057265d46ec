// SPDX-License-Identifier: MIT
#include "sdk/json_text.h"

#include <stdint.h>
#include <string.h>

static int is_continuation(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

// The bytes of the well-formed UTF-8 sequence at `text`, or 0. The second byte's narrower ranges
// are Table 3-7 of the Unicode standard: they are what excludes overlong forms, surrogates and
// values above U+10FFFF.
static size_t utf8_length(const unsigned char *text, size_t size)
{
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return size >= 2 && is_continuation(text[1]) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        unsigned char low = first == 0xE0 ? 0xA0 : 0x80, high = first == 0xED ? 0x9F : 0xBF;
        return size >= 3 && text[1] >= low && text[1] <= high && is_continuation(text[2]) ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        unsigned char low = first == 0xF0 ? 0x90 : 0x80, high = first == 0xF4 ? 0x8F : 0xBF;
        return size >= 4 && text[1] >= low && text[1] <= high && is_continuation(text[2]) &&
                       is_continuation(text[3])
                   ? 4
                   : 0;
    }
    return 0;
}

static int append_escape(struct bytes *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    switch (byte) {
    case '"':
        return bytes_append(out, "\\\"", 2);
    case '\\':
        return bytes_append(out, "\\\\", 2);
    case '\n':
        return bytes_append(out, "\\n", 2);
    case '\r':
        return bytes_append(out, "\\r", 2);
    case '\t':
        return bytes_append(out, "\\t", 2);
    default: {
        char escape[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
        return bytes_append(out, escape, sizeof escape);
    }
    }
}

static int is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
}

int json_text_append(struct bytes *out, const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *) text;
    int r = bytes_append(out, "\"", 1);
    for (size_t i = 0; r == 0 && i < size;) {
        size_t run = i;
        while (run < size && is_plain(at[run]))
            run++;
        if (run > i) {
            r = bytes_append(out, at + i, run - i);
            i = run;
            continue;
        }
        size_t length = utf8_length(at + i, size - i);
        if (length == 0)
            r = bytes_append(out, "\xEF\xBF\xBD", 3);
        else if (length == 1)
            r = append_escape(out, at[i]);
        else
            r = bytes_append(out, at + i, length);
        i += length > 0 ? length : 1;
    }
    return r < 0 ? r : bytes_append(out, "\"", 1);
}
