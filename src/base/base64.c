// SPDX-License-Identifier: MIT

#include "base/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// The value of each character plus one; 0: not in the alphabet.
static const uint8_t values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

char *base64_encode(const void *data, size_t size, char *text)
{
    const uint8_t *from = data;
    char *to = text;
    for (; size >= 3; size -= 3, from += 3) {
        uint32_t bits = (uint32_t) from[0] << 16 | (uint32_t) from[1] << 8 | from[2];
        *to++ = alphabet[bits >> 18];
        *to++ = alphabet[bits >> 12 & 63];
        *to++ = alphabet[bits >> 6 & 63];
        *to++ = alphabet[bits & 63];
    }
    if (size > 0) {
        uint32_t bits = (uint32_t) from[0] << 16 | (size == 2 ? (uint32_t) from[1] << 8 : 0);
        *to++ = alphabet[bits >> 18];
        *to++ = alphabet[bits >> 12 & 63];
        *to++ = size == 2 ? alphabet[bits >> 6 & 63] : '=';
        *to++ = '=';
    }
    *to = '\0';
    return text;
}

int base64_append(struct buf *buf, const void *data, size_t size)
{
    if (size > SIZE_MAX / 4 * 3 - 3)
        return -EFBIG;
    int r = buf_reserve(buf, BASE64_ENCODED_SIZE(size));
    if (r < 0)
        return r;
    base64_encode(data, size, buf->data + buf->size);
    buf_advance(buf, BASE64_ENCODED_SIZE(size));
    return 0;
}

ptrdiff_t base64_decode(struct str text, void *data)
{
    struct base64_decoder decoder = BASE64_DECODER_INIT;
    ptrdiff_t size = base64_decoder_feed(&decoder, text, data);
    if (size >= 0 && base64_decoder_finish(&decoder) < 0)
        return -EINVAL;
    return size;
}

// Four characters are complete: writes their 3, 2 or 1 bytes. Returns the number, or -EINVAL when
// bits that belong to no byte are set.
static int finish_group(struct base64_decoder *decoder, uint8_t *to)
{
    uint32_t bits = decoder->bits;
    int count = 3 - decoder->padding;
    if ((decoder->padding == 1 && (bits & 0xff)) || (decoder->padding == 2 && (bits & 0xffff)))
        return -EINVAL;
    to[0] = (uint8_t) (bits >> 16);
    if (count > 1)
        to[1] = (uint8_t) (bits >> 8);
    if (count > 2)
        to[2] = (uint8_t) bits;
    decoder->is_finished = decoder->padding > 0;
    decoder->bits = 0;
    decoder->count = 0;
    return count;
}

// Whole groups without padding, the bulk of any text. Returns the characters taken.
static size_t feed_groups(const uint8_t *from, size_t size, uint8_t *to)
{
    size_t taken = 0;
    for (; size - taken >= 4; taken += 4, to += 3) {
        uint8_t a = values[from[taken]], b = values[from[taken + 1]];
        uint8_t c = values[from[taken + 2]], d = values[from[taken + 3]];
        if (!a || !b || !c || !d)
            break;
        uint32_t bits = (uint32_t) (a - 1) << 18 | (uint32_t) (b - 1) << 12 |
                        (uint32_t) (c - 1) << 6 | (uint32_t) (d - 1);
        to[0] = (uint8_t) (bits >> 16);
        to[1] = (uint8_t) (bits >> 8);
        to[2] = (uint8_t) bits;
    }
    return taken;
}

// One character into the unfinished group. 0 or -EINVAL.
static int feed_character(struct base64_decoder *decoder, uint8_t byte)
{
    if (decoder->is_finished)
        return -EINVAL;
    if (byte == '=') {
        if (decoder->count < 2)
            return -EINVAL;
        decoder->padding++;
    } else if (!values[byte] || decoder->padding) {
        return -EINVAL;
    }
    uint32_t value = byte == '=' ? 0 : (uint32_t) values[byte] - 1;
    decoder->bits |= value << (18 - 6 * decoder->count);
    decoder->count++;
    return 0;
}

ptrdiff_t base64_decoder_feed(struct base64_decoder *decoder, struct str text, void *data)
{
    const uint8_t *from = (const uint8_t *) text.data, *end = from + text.size;
    uint8_t *to = data;
    while (from < end) {
        if (decoder->count == 0 && !decoder->is_finished) {
            size_t taken = feed_groups(from, (size_t) (end - from), to);
            from += taken;
            to += taken / 4 * 3;
            if (from == end)
                break;
        }
        int r = feed_character(decoder, *from++);
        if (r == 0 && decoder->count == 4)
            r = finish_group(decoder, to);
        if (r < 0)
            return r;
        to += r;
    }
    return to - (uint8_t *) data;
}

int base64_decoder_finish(const struct base64_decoder *decoder)
{
    return decoder->count == 0 ? 0 : -EINVAL;
}
