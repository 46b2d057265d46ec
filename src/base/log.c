// SPDX-License-Identifier: MIT

#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum log_level log_level_max = LOG_LEVEL_INFO;
static int log_fd = STDERR_FILENO;

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

void log_set_level(enum log_level level)
{
    log_level_max = level;
}

void log_set_fd(int fd)
{
    log_fd = fd;
}

int log_level_parse(const char *text)
{
    for (size_t i = 0; text && i < ARRAY_SIZE(level_names); i++)
        if (!strcmp(text, level_names[i]))
            return (int) i;
    return -EINVAL;
}

// Bytes below 0x20 and DEL would let a value start a line of its own or drive a terminal.
static void replace_control_characters(char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char) line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
}

// What snprintf wrote of at most `room` bytes.
static size_t written(int result, size_t room)
{
    if (result < 0)
        return 0;
    return (size_t) result < room ? (size_t) result : room - 1;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (level > log_level_max)
        return;
    int saved_errno = errno;
    char line[LOG_LINE_MAX];
    char when[CLOCK_TEXT_MAX];
    const size_t room = sizeof line - 4; // for "...\n"
    size_t size = written(snprintf(line, room, "%s %s %s ", clock_iso_z(clock_wall_ms(), when),
                                   level_names[level], event),
                          room);
    va_list values;
    va_start(values, format);
    int wanted = vsnprintf(line + size, room - size, format, values);
    va_end(values);
    bool is_cut = wanted >= 0 && (size_t) wanted >= room - size;
    size += written(wanted, room - size);
    replace_control_characters(line, size);
    if (is_cut) {
        memcpy(line + size, "...", 3);
        size += 3;
    }
    line[size++] = '\n';
    // A log that cannot be written must not stop what is logged.
    ssize_t ignored = write(log_fd, line, size);
    (void) ignored;
    errno = saved_errno;
}

static bool needs_quotes(const char *text)
{
    if (!*text)
        return true;
    for (; *text; text++)
        if ((unsigned char) *text <= 0x20 || *text == '"' || *text == '=' || *text == '\\' ||
            *text == 0x7f)
            return true;
    return false;
}

// One byte as it stands inside quotes: at most 4 characters and a NUL. Returns their number.
static size_t quote_byte(unsigned char byte, char out[5])
{
    if (byte == '"' || byte == '\\')
        return (size_t) snprintf(out, 5, "\\%c", byte);
    if (byte == '\n')
        return (size_t) snprintf(out, 5, "\\n");
    if (byte < 0x20 || byte == 0x7f)
        return (size_t) snprintf(out, 5, "\\x%02x", byte);
    return (size_t) snprintf(out, 5, "%c", byte);
}

const char *log_text(char buffer[LOG_TEXT_MAX], const char *text)
{
    if (!text)
        text = "";
    if (!needs_quotes(text) && strlen(text) < LOG_TEXT_MAX)
        return text;
    size_t size = 0;
    buffer[size++] = '"';
    for (; *text; text++) {
        char quoted[5];
        size_t quoted_size = quote_byte((unsigned char) *text, quoted);
        if (size + quoted_size + sizeof "...\"" > LOG_TEXT_MAX)
            break;
        memcpy(buffer + size, quoted, quoted_size);
        size += quoted_size;
    }
    (void) snprintf(buffer + size, LOG_TEXT_MAX - size, "%s\"", *text ? "..." : "");
    return buffer;
}
