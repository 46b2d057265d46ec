// SPDX-License-Identifier: MIT
//
// Percent-encoding of RFC 3986: decoding of request paths and queries, encoding as SigV4 wants it.

#ifndef LAMINA_BASE_PERCENT_H
#define LAMINA_BASE_PERCENT_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

// Decodes %XX once; with `plus_is_space`, also '+'. `data` has room for text.size bytes (it may be
// the text's own memory). Returns the number of bytes, or -EINVAL for a % without two hex digits.
// The result may hold any byte, NUL and '/' included: the caller decides what that means.
ptrdiff_t percent_decode(struct str text, bool plus_is_space, void *data) MUST_CHECK;

// Appends with everything but A-Z a-z 0-9 - . _ ~ encoded as %XX in upper case (SigV4's UriEncode);
// '/' stays as it is if keep_slash.
int percent_append(struct buf *buf, struct str text, bool keep_slash);

#endif
