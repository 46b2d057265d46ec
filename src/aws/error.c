// SPDX-License-Identifier: MIT

#include "aws/error.h"

#include "base/json.h"

#include <errno.h>
#include <stdarg.h>

static const struct {
    const char *name;
    unsigned status;
} errors[AWS_ERROR_COUNT] = {
#define AWS_ERROR_ROW(code, name, status) [code] = {name, status},
    AWS_ERRORS(AWS_ERROR_ROW)
#undef AWS_ERROR_ROW
};

PRINTF_LIKE(4, 0)
static void PRINTF_LIKE(4, 0) set(struct aws_error *error, enum aws_error_code code,
                                  const char *reason, const char *format, va_list values)
{
    error->code = code;
    error->reason = reason;
    vsnprintf(error->message, sizeof(error->message), format, values);
}

int aws_error_set(struct aws_error *error, enum aws_error_code code, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    if (error)
        set(error, code, NULL, format, values);
    va_end(values);
    return -EREMOTEIO;
}

int aws_error_set_reason(struct aws_error *error, enum aws_error_code code, const char *reason,
                         const char *format, ...)
{
    va_list values;
    va_start(values, format);
    if (error)
        set(error, code, reason, format, values);
    va_end(values);
    return -EREMOTEIO;
}

const char *aws_error_name(enum aws_error_code code)
{
    return errors[code].name;
}

unsigned aws_error_status(enum aws_error_code code)
{
    return errors[code].status;
}

enum aws_error_code aws_error_by_name(struct str name)
{
    (void) str_cut(name, ':', &name, &(struct str){NULL, 0});
    struct str after;
    if (str_cut(name, '#', &(struct str){NULL, 0}, &after)) // "com.amazonaws.lambda#Name"
        name = after;
    for (int code = 0; code < AWS_ERROR_COUNT; code++)
        if (str_equal_text(name, errors[code].name))
            return (enum aws_error_code) code;
    return AWS_ERROR_COUNT;
}

int aws_error_body(const struct aws_error *error, struct buf *body)
{
    struct str message = str_of(error->message);
    buf_append_byte(body, '{');
    if (error->code != AWS_VALIDATION) {
        bool is_server = aws_error_status(error->code) >= 500;
        buf_printf(body, "\"Type\":\"%s\",", is_server ? "Server" : "User");
        if (error->reason) {
            buf_append_text(body, "\"Reason\":");
            json_append_string(body, str_of(error->reason));
            buf_append_byte(body, ',');
        }
        buf_append_text(body, "\"Message\":");
        json_append_string(body, message);
        buf_append_byte(body, ',');
    }
    buf_append_text(body, "\"message\":");
    json_append_string(body, message);
    buf_append_byte(body, '}');
    return buf_status(body);
}
