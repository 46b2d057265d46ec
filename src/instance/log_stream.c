/* SPDX-License-Identifier: MIT */
#include "instance/log_stream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/fd.h"
#include "base/mem.h"
#include "instance/telemetry.h"

#define READ_BYTES ((size_t) 64 * 1024)
/* A pipe holds 64 KiB (1 MiB at most, if the function asked for it): enough to see all that was printed before an
 * answer, and a bound for a function that prints faster than we read. */
#define DRAIN_READS 4
#define OUT_BYTES_MAX ((size_t) 256 * 1024)
#define OUT_FLUSH_BYTES ((size_t) 32 * 1024)
#define TAIL_BYTES_MAX (4 * (size_t) LOG_TAIL_BYTES)

/* One for all streams: the loop has one thread, and what was read is handled before the next read. */
static char read_buffer[READ_BYTES];

static void stream_ready(void *arg, int events);

static void name_make(char name[LOG_STREAM_NAME_MAX], const char *version)
{
    uint8_t random[16];
    char hex[33];
    char now[CLOCK_TEXT_MAX];
    mem_random(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(hex + 2 * i, 3, "%02x", random[i]);
    clock_iso_z(clock_wall_ms(), now);
    snprintf(name, LOG_STREAM_NAME_MAX, "%.4s/%.2s/%.2s/[%.10s]%s", now, now + 5, now + 8, version,
             hex);
}

void log_stream_init(struct log_stream *stream, struct loop *loop, struct log_writer *writer,
                     const char *function, const char *version)
{
    *stream = (struct log_stream){.loop = loop,
                                  .writer = writer,
                                  .function = function,
                                  .fd = -1,
                                  .allowance = LOG_STREAM_BURST_BYTES,
                                  .allowed_at_ms = loop_now_ms(loop)};
    buf_init(&stream->pending, LOG_LINE_BYTES_MAX + READ_BYTES);
    buf_init(&stream->out, OUT_BYTES_MAX + LOG_LINE_BYTES_MAX + READ_BYTES);
    buf_init(&stream->tail, TAIL_BYTES_MAX + 2 * READ_BYTES);
    name_make(stream->name, version);
}

static void stream_close(struct log_stream *stream)
{
    loop_timer_stop(&stream->pause);
    loop_poll_stop(stream->poll);
    stream->poll = NULL;
    stream->fd = fd_close(stream->fd);
}

void log_stream_done(struct log_stream *stream)
{
    stream_close(stream);
    buf_done(&stream->pending);
    buf_done(&stream->out);
    buf_done(&stream->tail);
}

int log_stream_open(struct log_stream *stream, int fd)
{
    stream->fd = fd;
    int r = loop_poll_start(stream->loop, fd, LOOP_READABLE | LOOP_HANGUP, stream_ready, stream,
                            &stream->poll);
    if (r < 0)
        stream_close(stream);
    return r;
}

/* ---- where text goes */

static void tail_add(struct log_stream *stream, struct str text)
{
    if (text.size > LOG_TAIL_BYTES)
        text = str_skip(text, text.size - LOG_TAIL_BYTES);
    if (stream->tail.size + text.size > TAIL_BYTES_MAX)
        buf_consume(&stream->tail, stream->tail.size - LOG_TAIL_BYTES);
    buf_append_str(&stream->tail, text);
}

static void out_add(struct log_stream *stream, struct str text)
{
    buf_append_str(&stream->out, text);
    if (stream->out.size > OUT_FLUSH_BYTES)
        log_stream_flush(stream);
}

static uint64_t line_count(struct str lines)
{
    uint64_t count = 0;
    for (const char *at = lines.data, *end = lines.data + lines.size;
         at && (at = memchr(at, '\n', (size_t) (end - at))) != NULL; at++)
        count++;
    return count;
}

/* Whole lines that the function printed: out of the allowance, or dropped. */
static void printed_add(struct log_stream *stream, struct str lines)
{
    int64_t now = loop_now_ms(stream->loop);
    uint64_t count = 0, cost = 0;
    uint64_t grown = stream->allowance +
                     (uint64_t) (now - stream->allowed_at_ms) * LOG_STREAM_BYTES_PER_S / 1000;
    if (lines.size == 0)
        return;
    stream->allowance = grown < LOG_STREAM_BURST_BYTES ? grown : LOG_STREAM_BURST_BYTES;
    stream->allowed_at_ms = now;
    tail_add(stream, lines);
    if (stream->telemetry)
        telemetry_lines(stream->telemetry, lines);
    count = line_count(lines);
    /* Each line costs what stands before it in the file, too: a flood of line feeds is a flood. */
    cost = lines.size + count * LOG_LINE_OVERHEAD;
    stream->is_flood = cost > stream->allowance;
    if (!stream->is_flood) {
        stream->allowance -= cost;
        out_add(stream, lines);
        return;
    }
    stream->dropped_bytes += lines.size;
    stream->dropped_lines += count;
}

/* ---- what the function prints */

/* An unfinished line is ended, as when the call is over or the line is longer than an event may be. */
static void pending_end(struct log_stream *stream)
{
    if (stream->pending.size == 0)
        return;
    buf_append_byte(&stream->pending, '\n');
    printed_add(stream, buf_str(&stream->pending));
    buf_clear(&stream->pending);
}

static void printed(struct log_stream *stream, struct str text)
{
    ptrdiff_t last = str_find_last(text, '\n');
    struct str lines = last < 0 ? (struct str){0} : str_part(text, 0, (size_t) last + 1);
    if (last >= 0 && stream->pending.size > 0) {
        /* The first line begins in `pending`; it goes out with the rest of this read. */
        buf_append_str(&stream->pending, lines);
        printed_add(stream, buf_str(&stream->pending));
        buf_clear(&stream->pending);
    } else {
        printed_add(stream, lines);
    }
    buf_append_str(&stream->pending, str_skip(text, lines.size));
    if (stream->pending.size > LOG_LINE_BYTES_MAX)
        pending_end(stream);
    if (stream->pending.size == 0 && stream->pending.capacity > READ_BYTES)
        buf_done(&stream->pending);
}

/* False when there is nothing more to read now. */
static bool stream_read(struct log_stream *stream)
{
    ssize_t size = stream->fd < 0 ? 0 : read(stream->fd, read_buffer, sizeof(read_buffer));
    if (size < 0)
        return errno == EINTR;
    if (size == 0) {
        stream_close(stream);
        return false;
    }
    printed(stream, str_of_data(read_buffer, (size_t) size));
    return (size_t) size == sizeof(read_buffer);
}

static void pause_over(void *arg)
{
    struct log_stream *stream = arg;
    (void) !loop_poll_change(stream->poll, LOOP_READABLE | LOOP_HANGUP); /* as it was before */
}

static void stream_pause(struct log_stream *stream)
{
    if (loop_timer_start(stream->loop, &stream->pause, LOG_STREAM_PAUSE_MS, pause_over, stream) ==
        0)
        (void) !loop_poll_change(stream->poll, 0); /* taking away cannot fail */
}

static void stream_ready(void *arg, int events)
{
    struct log_stream *stream = arg;
    (void) events;
    (void) stream_read(stream); /* more: the loop comes back */
    if (stream->is_flood && stream->poll)
        stream_pause(stream);
    log_stream_flush(stream);
}

void log_stream_drain(struct log_stream *stream)
{
    for (int i = 0; i < DRAIN_READS && stream_read(stream); i++)
        continue;
    pending_end(stream);
}

/* ---- what the platform says */

void log_stream_line(struct log_stream *stream, const char *format, ...)
{
    char line[1024];
    va_list values;
    int size = 0;
    va_start(values, format);
    size = vsnprintf(line, sizeof(line) - 1, format, values);
    va_end(values);
    if (size < 0)
        return;
    if ((size_t) size > sizeof(line) - 2)
        size = sizeof(line) - 2;
    line[size++] = '\n';
    tail_add(stream, str_of_data(line, (size_t) size));
    out_add(stream, str_of_data(line, (size_t) size));
}

void log_stream_begin(struct log_stream *stream)
{
    buf_clear(&stream->tail);
}

void log_stream_flush(struct log_stream *stream)
{
    if (stream->writer && stream->out.size > 0)
        log_writer_put(stream->writer, stream->function, stream->name, buf_str(&stream->out));
    buf_clear(&stream->out);
    if (stream->out.capacity > OUT_FLUSH_BYTES)
        buf_done(&stream->out);
}

void log_stream_report_dropped(struct log_stream *stream)
{
    uint64_t lines = stream->dropped_lines, bytes = stream->dropped_bytes;
    if (bytes == 0)
        return;
    stream->dropped_lines_total += lines;
    stream->dropped_lines = stream->dropped_bytes = 0;
    log_stream_line(stream, "LOGS_DROPPED Lines: %llu\tBytes: %llu\tReason: flood\t",
                    (unsigned long long) lines, (unsigned long long) bytes);
}

struct str log_stream_tail(struct log_stream *stream)
{
    struct str all = buf_str(&stream->tail);
    return all.size > LOG_TAIL_BYTES ? str_skip(all, all.size - LOG_TAIL_BYTES) : all;
}
