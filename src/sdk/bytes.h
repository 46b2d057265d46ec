// SPDX-License-Identifier: MIT
//
// bytes: a growable run of bytes with a maximum.
//
// liblamina needs only libc, so it has this small buffer of its own instead of base/buf. An
// all-zero struct with `maximum` set is an empty buffer that owns nothing. `data` is kept
// NUL-terminated past `size` once anything was reserved. Errors: -EMSGSIZE past the maximum,
// -ENOMEM; the buffer is unchanged then.
#ifndef LAMINA_SDK_BYTES_H
#define LAMINA_SDK_BYTES_H

#include <stddef.h>

struct bytes {
    char *data;
    size_t size;
    size_t capacity; // allocated, one more than may be used: for the NUL
    size_t maximum;  // of `size`
};

// Makes room for `more` bytes after `size`.
int bytes_reserve(struct bytes *bytes, size_t more);
int bytes_append(struct bytes *bytes, const void *data, size_t size);

// Empties it, and gives memory above `keep` back.
void bytes_clear(struct bytes *bytes, size_t keep);
void bytes_done(struct bytes *bytes);

#endif
