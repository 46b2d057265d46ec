// SPDX-License-Identifier: MIT
//
// json_text: text as a JSON string (RFC 8259, section 7).
#ifndef LAMINA_SDK_JSON_TEXT_H
#define LAMINA_SDK_JSON_TEXT_H

#include "sdk/bytes.h"

// Appends `text`, quoted and escaped. Each byte that is not part of well-formed UTF-8 (RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF) becomes U+FFFD.
int json_text_append(struct bytes *out, const char *text, size_t size);

#endif
