// SPDX-License-Identifier: MIT
//
// The AWS shared credentials file: sections of name = value.
//
//   [default]
//   aws_access_key_id = AKIA...
//   aws_secret_access_key = ...
//   aws_session_token = ...          (optional)
//   region = us-east-1               (optional)
//
// Format: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
// Taken: comment lines (# or ;), blank lines, CRLF, "[profile NAME]" for "[NAME]", a comment
// after a value when white space stands before its # or ;, unknown settings, and indented
// (nested) settings, which are skipped. A profile that occurs twice is merged; the later wins.
// Refused with the line's number: a section that is not closed, a line without '=', a setting
// before the first section, control characters, a value longer than its field. Files longer
// than CREDENTIALS_FILE_BYTES_MAX are refused unread.
#ifndef LAMINA_CLIENT_CREDENTIALS_FILE_H
#define LAMINA_CLIENT_CREDENTIALS_FILE_H

#include <stddef.h>

#include "client/target.h"

#define CREDENTIALS_FILE_BYTES_MAX 65536

// Finds profile in text (not NUL-terminated). source names the text in errors.
// Errors: -EINVAL (malformed), -ENOENT (no such profile), -ENODATA (the profile lacks a key).
MUST_CHECK int credentials_parse(const char *text, size_t size, const char *profile,
                                 const char *source, struct target_credentials *ret,
                                 struct error *err);

// Reads the file at path and finds profile in it. Errors: as above, and those of open and read.
MUST_CHECK int credentials_read(const char *path, const char *profile,
                                struct target_credentials *ret, struct error *err);

#endif
