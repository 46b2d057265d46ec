/* SPDX-License-Identifier: MIT
 *
 * json_check: is a text JSON? Without building anything.
 *
 * Invoke takes payloads of 6 MB and must refuse what is not JSON (InvalidRequestContentException); a
 * parser would build a document of up to eight times that. This one reads each byte once, keeps one bit a
 * level and allocates nothing. Strict RFC 8259: one value, valid UTF-8, no comments, no trailing
 * commas; at most JSON_CHECK_DEPTH_MAX levels. Any thread.
 */
#ifndef LAMINA_API_JSON_CHECK_H
#define LAMINA_API_JSON_CHECK_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/str.h"

#define JSON_CHECK_DEPTH_MAX 1024

/* 0, or -EINVAL with the position (bytes from the start) and what is wrong there in a few words. */
MUST_CHECK int json_check(struct str text, size_t *ret_position, const char **ret_why);

#endif
