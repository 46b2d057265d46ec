// SPDX-License-Identifier: MIT

#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Formats into text, cutting; always NUL-terminated.
PRINTF_LIKE(2, 0) static void format_text(char *text, const char *format, va_list values)
{
    if (vsnprintf(text, ERROR_TEXT_MAX, format, values) < 0)
        text[0] = '\0';
}

// Appends ": tail", cutting.
static void append_text(char *text, const char *tail)
{
    size_t size = strlen(text);
    (void) snprintf(text + size, ERROR_TEXT_MAX - size, "%s%s", size ? ": " : "", tail);
}

int error_set(struct error *err, int code, const char *format, ...)
{
    assert(code < 0);
    if (!err)
        return code;
    int saved_errno = errno;
    va_list values;
    va_start(values, format);
    format_text(err->text, format, values);
    va_end(values);
    err->code = code;
    errno = saved_errno;
    return code;
}

int error_set_errno(struct error *err, int code, const char *format, ...)
{
    assert(code < 0);
    if (!err)
        return code;
    int saved_errno = errno;
    va_list values;
    va_start(values, format);
    format_text(err->text, format, values);
    va_end(values);
    append_text(err->text, error_name(code));
    err->code = code;
    errno = saved_errno;
    return code;
}

int error_wrap(struct error *err, int code, const char *format, ...)
{
    assert(code < 0);
    if (!err)
        return code;
    int saved_errno = errno;
    char inner[ERROR_TEXT_MAX];
    (void) snprintf(inner, sizeof inner, "%s", err->text[0] ? err->text : error_name(code));
    va_list values;
    va_start(values, format);
    format_text(err->text, format, values);
    va_end(values);
    append_text(err->text, inner);
    err->code = code;
    errno = saved_errno;
    return code;
}

void error_clear(struct error *err)
{
    if (!err)
        return;
    err->code = 0;
    err->text[0] = '\0';
}

const char *error_name(int code)
{
    // strerrordesc_np is glibc's: no locale, no buffer, thread-safe.
    const char *words = strerrordesc_np(code < 0 ? -code : code);
    return words ? words : "unknown error";
}
