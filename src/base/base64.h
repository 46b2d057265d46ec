// SPDX-License-Identifier: MIT
//
// Base64 of RFC 4648 section 4, strict: the standard alphabet, padding required, no line breaks,
// the unused bits of the last character zero.

#ifndef LAMINA_BASE_BASE64_H
#define LAMINA_BASE_BASE64_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

// Characters for `size` bytes, without a NUL; and most bytes that `size` characters can hold.
#define BASE64_ENCODED_SIZE(size) (((size) + 2) / 3 * 4)
#define BASE64_DECODED_SIZE_MAX(size) ((size) / 4 * 3)

// Appends to the buffer; its sticking failure on overflow.
int base64_append(struct buf *buf, const void *data, size_t size);

// Writes BASE64_ENCODED_SIZE(size) characters and a NUL to `text`.
char *base64_encode(const void *data, size_t size, char *text);

// Decodes in one go into `data`, which has room for BASE64_DECODED_SIZE_MAX(text.size) bytes (it may
// be the text's own memory). Returns the number of bytes or -EINVAL.
ptrdiff_t base64_decode(struct str text, void *data) MUST_CHECK;

// Decodes a text that comes in pieces.
struct base64_decoder {
    uint32_t bits;       // of the unfinished group of four
    uint8_t count;       // its characters so far, 0-3
    uint8_t padding;     // '=' seen
    uint8_t is_finished; // a padded group is complete: nothing may follow
};

#define BASE64_DECODER_INIT                                                                        \
    {                                                                                              \
        0, 0, 0, 0                                                                                 \
    }

// Takes all of `text`; `data` has room for (text.size + 3) / 4 * 3 bytes. Returns the number of
// bytes written or -EINVAL.
ptrdiff_t base64_decoder_feed(struct base64_decoder *decoder, struct str text,
                              void *data) MUST_CHECK;
// 0 if what was fed is complete, else -EINVAL.
int base64_decoder_finish(const struct base64_decoder *decoder) MUST_CHECK;

#endif
