// SPDX-License-Identifier: MIT
#include "sdk/call.h"

#include "sdk/json_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEEP_BYTES (256 * 1024)
#define PRINTF_BYTES 512

static struct call *call_of(struct lamina_call *public)
{
    return (struct call *) public;
}

// ---- lamina.h ----

// After a write that failed nothing more is taken: an answer with a hole would be worse than none.
static int noted(struct call *call, int r)
{
    if (r < 0 && call->write_error == 0)
        call->write_error = r;
    return call->write_error;
}

// In a stream, what was gathered leaves now.
static int flushed(struct call *call, int r)
{
    if (noted(call, r) < 0 || !call->is_stream || call->answer.size == 0)
        return call->write_error;
    r = call->sink(call->sink_arg, call, call->answer.data, call->answer.size);
    bytes_clear(&call->answer, KEEP_BYTES);
    return noted(call, r);
}

int lamina_stream(struct lamina_call *public)
{
    struct call *call = call_of(public);
    if (call->sink == NULL)
        return -ENOTSUP;
    call->is_stream = true;
    return flushed(call, 0);
}

int lamina_write(struct lamina_call *public, const void *bytes, size_t size)
{
    struct call *call = call_of(public);
    if (!call->is_stream)
        return noted(call, bytes_append(&call->answer, bytes, size));
    if (size == 0 || call->write_error < 0)
        return call->write_error;
    return noted(call, call->sink(call->sink_arg, call, bytes, size));
}

// vsnprintf straight into the answer: once into a guess, again when the guess was too small.
__attribute__((format(printf, 2, 0))) static int append_format(struct bytes *answer,
                                                               const char *format,
                                                               va_list arguments)
{
    va_list again;
    int r = bytes_reserve(answer, PRINTF_BYTES);
    size_t room = r < 0 ? 0 : PRINTF_BYTES + 1;

    va_copy(again, arguments);
    int n = vsnprintf(room > 0 ? answer->data + answer->size : NULL, room, format, arguments);
    if (n < 0)
        r = -EINVAL;
    else if ((size_t) n < room)
        r = 0;
    else if ((r = bytes_reserve(answer, (size_t) n)) == 0)
        (void) vsnprintf(answer->data + answer->size, (size_t) n + 1, format, again);
    va_end(again);
    if (r == 0)
        answer->size += (size_t) n;
    else if (answer->data != NULL)
        answer->data[answer->size] = '\0';
    return r;
}

int lamina_printf(struct lamina_call *public, const char *format, ...)
{
    struct call *call = call_of(public);
    va_list arguments;
    va_start(arguments, format);
    int r = append_format(&call->answer, format, arguments);
    va_end(arguments);
    return flushed(call, r);
}

int lamina_json_string(struct lamina_call *public, const char *bytes, size_t size)
{
    struct call *call = call_of(public);
    return flushed(call, json_text_append(&call->answer, bytes, size));
}

int lamina_fail(struct lamina_call *public, const char *type, const char *format, ...)
{
    struct call *call = call_of(public);
    va_list arguments;

    call->has_failed = true;
    (void) snprintf(call->error_type, sizeof call->error_type, "%s",
                    call_is_error_type(type) ? type : "Function.Unknown");
    va_start(arguments, format);
    if (vsnprintf(call->error_message, sizeof call->error_message, format, arguments) < 0)
        call->error_message[0] = '\0';
    va_end(arguments);
    return -1;
}

int lamina_content_type(struct lamina_call *public, const char *type)
{
    struct call *call = call_of(public);
    size_t size = strlen(type);
    if (size == 0 || size >= sizeof call->content_type)
        return -EINVAL;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char) type[i] < 0x20 || (unsigned char) type[i] > 0x7E)
            return -EINVAL; // a line end here would add headers of the handler's choice
    memcpy(call->content_type, type, size + 1);
    return 0;
}

int64_t lamina_remaining_ms(const struct lamina_call *public)
{
    struct timespec now;
    if (public->deadline_ms <= 0)
        return INT64_MAX;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return public->deadline_ms > now_ms ? public->deadline_ms - now_ms : 0;
}

// ---- for lamina_run ----

void call_init(struct call *call, call_sink sink, void *sink_arg)
{
    memset(call, 0, sizeof *call);
    call->sink = sink;
    call->sink_arg = sink_arg;
    call->answer.maximum = LAMINA_PAYLOAD_BYTES_MAX;
    call_reset(call);
}

void call_done(struct call *call)
{
    bytes_done(&call->answer);
}

void call_reset(struct call *call)
{
    bytes_clear(&call->answer, KEEP_BYTES);
    call->write_error = 0;
    call->has_failed = false;
    call->is_stream = false;
    call->error_message[0] = '\0';
    (void) snprintf(call->content_type, sizeof call->content_type, "application/json");
}

void call_settle(struct call *call, int result)
{
    struct lamina_call *public = &call->public;
    if (call->has_failed)
        return;
    if (call->write_error == -EMSGSIZE)
        (void) lamina_fail(public, "Function.ResponseSizeTooLarge",
                           "the answer is larger than the %d bytes that an invocation may return",
                           LAMINA_PAYLOAD_BYTES_MAX);
    else if (call->write_error == -ENOMEM)
        (void) lamina_fail(public, "Runtime.OutOfMemory", "no memory for the answer");
    else if (call->write_error < 0)
        (void) lamina_fail(public, "Function.HandlerFailed", "the answer could not be %s: %s",
                           call->is_stream ? "sent" : "formatted", strerror(-call->write_error));
    else if (result != 0)
        (void) lamina_fail(public, "Function.HandlerFailed", "the handler returned %d%s%s%s",
                           result, result < -1 ? " (" : "", result < -1 ? strerror(-result) : "",
                           result < -1 ? ")" : "");
}

int call_error_json(struct bytes *out, const char *type, const char *message)
{
    static const char start[] = "{\"errorMessage\":", middle[] = ",\"errorType\":";
    int r = bytes_append(out, start, sizeof start - 1);
    if (r == 0)
        r = json_text_append(out, message, strlen(message));
    if (r == 0)
        r = bytes_append(out, middle, sizeof middle - 1);
    if (r == 0)
        r = json_text_append(out, type, strlen(type));
    return r < 0 ? r : bytes_append(out, "}", 1);
}

bool call_is_error_type(const char *type)
{
    size_t size = strlen(type), prefix = strncmp(type, "Runtime.", 8) == 0    ? 8
                                         : strncmp(type, "Function.", 9) == 0 ? 9
                                                                              : 0;
    if (prefix == 0 || size < prefix + 2 || size >= CALL_TYPE_BYTES || type[prefix] < 'A' ||
        type[prefix] > 'Z')
        return false;
    for (size_t i = prefix; i < size; i++)
        if ((type[i] | 32) < 'a' || (type[i] | 32) > 'z')
            return false;
    return true;
}
