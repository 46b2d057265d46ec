// SPDX-License-Identifier: MIT
//
// A view of text: pointer and length, owned by somebody else, not NUL-terminated, may hold any
// byte. What a parser yields. Passed by value. {NULL, 0} is an empty view.
//
//     struct str line = ..., key;
//     if (str_cut(line, '=', &key, &value)) ...
//     log_info("x.y", "key=" STR_FORMAT, STR_ARGUMENTS(key));

#ifndef LAMINA_BASE_STR_H
#define LAMINA_BASE_STR_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *data; // borrowed
    size_t size;
};

// A view of a string literal (not of a pointer: the literal's own size is taken).
#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})

#define STR_FORMAT "%.*s"
#define STR_ARGUMENTS(view) (int) (view).size, (view).data ? (view).data : ""

struct str str_of(const char *text); // NULL gives the empty view
struct str str_of_data(const void *data, size_t size);

bool str_equal(struct str left, struct str right) MUST_CHECK;
bool str_equal_nocase(struct str left, struct str right) MUST_CHECK; // ASCII letters only
bool str_equal_text(struct str left, const char *right) MUST_CHECK;
int str_compare(struct str left, struct str right) MUST_CHECK; // by bytes, as memcmp
bool str_has_prefix(struct str text, struct str prefix) MUST_CHECK;
bool str_has_suffix(struct str text, struct str suffix) MUST_CHECK;

// Position of the first byte, or -1.
ptrdiff_t str_find(struct str text, char byte) MUST_CHECK;
ptrdiff_t str_find_last(struct str text, char byte) MUST_CHECK;

// Bytes [start, start + size) of text; what lies outside is left out.
struct str str_part(struct str text, size_t start, size_t size) MUST_CHECK;
struct str str_skip(struct str text, size_t count) MUST_CHECK;

// Splits at the first `separator`: the parts before and after. Without one: false, *ret_head is
// all of text and *ret_tail is empty. Outputs may alias `&text`'s own variable.
bool str_cut(struct str text, char separator, struct str *ret_head, struct str *ret_tail);

// Without spaces, tabs, CR and LF at both ends.
struct str str_trim(struct str text) MUST_CHECK;

// Unsigned decimal: digits only, no sign, no space. -EINVAL for anything else, -ERANGE above
// `maximum`.
int str_to_u64(struct str text, uint64_t maximum, uint64_t *ret_value) MUST_CHECK;
// Decimal with an optional '-'. -EINVAL, -ERANGE outside [minimum, maximum].
int str_to_i64(struct str text, int64_t minimum, int64_t maximum, int64_t *ret_value) MUST_CHECK;

// A NUL-terminated copy in `to`. -ENAMETOOLONG if it does not fit (nothing is written but a NUL),
// -EINVAL if the text itself holds a NUL.
int str_copy(struct str text, char *to, size_t to_size) MUST_CHECK;

// A NUL-terminated copy on the heap; NULL when there is no memory. A NUL inside is kept (so strlen
// may be shorter than size).
char *str_copy_heap(struct str text) MUST_CHECK;

// True if every byte is valid UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool str_is_utf8(struct str text) MUST_CHECK;

#endif
