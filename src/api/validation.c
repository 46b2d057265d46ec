/* SPDX-License-Identifier: MIT */

#include "api/validation.h"

#include <stdarg.h>
#include <stdio.h>

void validation_done(struct validation *validation)
{
    buf_done(&validation->text);
}

static void begin(struct validation *validation)
{
    if (validation->count++)
        buf_append_text(&validation->text, "; ");
}

static void append_where(struct validation *validation, const char *member)
{
    buf_printf(&validation->text, " at '%s' failed to satisfy constraint: Member must ", member);
}

void validation_add(struct validation *validation, struct str value, const char *member,
                    const char *format, ...)
{
    begin(validation);
    buf_append_text(&validation->text, "Value '");
    buf_append_str(&validation->text, str_part(value, 0, VALIDATION_VALUE_MAX));
    buf_append_byte(&validation->text, '\'');
    append_where(validation, member);
    va_list values;
    va_start(values, format);
    buf_vprintf(&validation->text, format, values);
    va_end(values);
}

void validation_add_number(struct validation *validation, long long value, const char *member,
                           const char *format, ...)
{
    begin(validation);
    buf_printf(&validation->text, "Value '%lld'", value);
    append_where(validation, member);
    va_list values;
    va_start(values, format);
    buf_vprintf(&validation->text, format, values);
    va_end(values);
}

void validation_add_null(struct validation *validation, const char *member)
{
    begin(validation);
    buf_append_text(&validation->text, "Value null");
    append_where(validation, member);
    buf_append_text(&validation->text, "not be null");
}

int validation_finish(const struct validation *validation, enum aws_error_code code,
                      struct aws_error *error)
{
    if (validation->count == 0)
        return 0;
    struct str text = buf_str(&validation->text);
    return aws_error_set(error, code, "%u validation error%s detected: " STR_FORMAT,
                         validation->count, validation->count == 1 ? "" : "s", STR_ARGUMENTS(text));
}
