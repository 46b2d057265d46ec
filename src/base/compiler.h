// SPDX-License-Identifier: MIT
//
// The compiler's attributes that the whole project uses, under short names.

#ifndef LAMINA_BASE_COMPILER_H
#define LAMINA_BASE_COMPILER_H

#include <stddef.h>

// The caller must look at the result. To ignore one on purpose: `(void) !f();` and the reason.
#define MUST_CHECK __attribute__((warn_unused_result))

// Format string is argument `format`, its values start at argument `first` (both count from 1).
#define PRINTF_LIKE(format_at, first) __attribute__((format(printf, format_at, first)))

// Runs `function(&variable)` when the variable leaves its scope.
#define AUTO(function) __attribute__((cleanup(function)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

// The structure of type `type` whose member `member` is at `pointer`.
#define container_of(pointer, type, member)                                                        \
    ((type *) (void *) ((char *) (pointer) -offsetof(type, member)))

#endif
