// SPDX-License-Identifier: MIT
//
// One error, carried up through the layers.
//
// Functions return an int: 0 or positive is success, negative is -errno. Where a person will
// read about it, the last parameter is a `struct error *`, a value on the caller's stack that
// needs no freeing:
//
//     struct error err = {0};
//     int r = blob_open(store, digest, &fd, &err);
//     if (r < 0)
//         return error_wrap(&err, r, "start '%s'", name);   // "start 'f': blob abc is not in the store"
//
// All functions accept err == NULL (the caller wants the code only) and return the code, so that
// they can stand in a return statement. They are safe in every thread; errno is preserved.
// Text that does not fit is cut at ERROR_TEXT_MAX - 1 bytes (at the end: the innermost cause may
// be lost, the operation never).

#ifndef LAMINA_BASE_ERROR_H
#define LAMINA_BASE_ERROR_H

#include "base/compiler.h"

#define ERROR_TEXT_MAX 512

struct error {
    int code;                  // negative errno, 0: none
    char text[ERROR_TEXT_MAX]; // "" while none; always NUL-terminated
};

// The operation and the object that failed. Code must be negative.
int error_set(struct error *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

// As error_set, with ": " and the system's words for the code at the end. For failed syscalls:
// `return error_set_errno(err, -errno, "open '%s'", path);`
int error_set_errno(struct error *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

// Puts context and ": " before the text that is there. When there is no text yet (the callee gives
// codes only), the system's words for the code stand in its place.
int error_wrap(struct error *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

// Forgets the error; for one that was handled.
void error_clear(struct error *err);

// The system's words for a negative or positive errno. Static storage, thread-safe.
const char *error_name(int code);

#endif
