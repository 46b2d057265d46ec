/* SPDX-License-Identifier: MIT
 *
 * log_stream: the log of one instance: what its processes print (the log pipe) and Lambda's own lines
 * (INIT_START, START, END, REPORT), in one order, to the log writer and into the tail of the current call.
 *
 * Flood control: LOG_STREAM_BYTES_PER_S of printed text reach the log writer, with bursts of
 * LOG_STREAM_BURST_BYTES; what is beyond is dropped, never waited for, and counted; a line says how much when the
 * call ends. The tail sees everything. At most one read of 64 KiB happens per turn of the loop, and of a stream whose
 * last text was dropped one in LOG_STREAM_PAUSE_MS: a full pipe then stops the function that floods it, and other
 * functions' calls meet a loop that is free.
 *
 * Thread: loop only. Private to src/instance.
 */
#ifndef LAMINA_INSTANCE_LOG_STREAM_H
#define LAMINA_INSTANCE_LOG_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "instance/log_writer.h"
#include "loop/loop.h"

#define LOG_STREAM_NAME_MAX 64
#define LOG_STREAM_BYTES_PER_S (UINT64_C(1) << 20)
#define LOG_STREAM_BURST_BYTES (UINT64_C(2) << 20)
#define LOG_STREAM_PAUSE_MS 1
#define LOG_TAIL_BYTES 4096

struct telemetry;

struct log_stream {
    struct loop *loop;         /* borrowed */
    struct log_writer *writer; /* borrowed; may be NULL */
    const char *function;      /* borrowed: the instance's */
    char name[LOG_STREAM_NAME_MAX];
    int fd; /* owned; -1: not there yet, or at its end */
    struct loop_poll *poll;
    struct loop_timer pause; /* runs: a flood is not read */
    bool is_flood;           /* what was read last was dropped */
    struct buf pending;      /* a line whose end has not come */
    struct buf out;          /* whole lines not yet given to the writer */
    struct buf tail; /* what was written since the call began, cut to LOG_TAIL_BYTES now and then */
    uint64_t allowance; /* bytes that may be written now */
    int64_t allowed_at_ms;
    uint64_t dropped_lines, dropped_bytes; /* since the last line that said so */
    uint64_t dropped_lines_total;
    struct telemetry *telemetry; /* borrowed; gets what is printed; may be NULL */
};

/* Makes the name: YYYY/MM/DD/[<version>]<32 hex digits>. `function` must outlive the stream. */
void log_stream_init(struct log_stream *stream, struct loop *loop, struct log_writer *writer,
                     const char *function, const char *version);
void log_stream_done(struct log_stream *stream);

/* Begins to read `fd` (taken, non-blocking). -errno; then nothing that is printed is seen. */
MUST_CHECK int log_stream_open(struct log_stream *stream, int fd);

/* A line of the platform, without its line feed. */
void log_stream_line(struct log_stream *stream, const char *format, ...) PRINTF_LIKE(2, 3);

/* Forgets the tail: a new call begins. */
void log_stream_begin(struct log_stream *stream);

/* Reads what was printed so far (the function has answered, or is gone) and ends an unfinished line. */
void log_stream_drain(struct log_stream *stream);

/* A line that says how much was dropped since the last such line; nothing if nothing was. */
void log_stream_report_dropped(struct log_stream *stream);

/* Hands all lines to the writer. */
void log_stream_flush(struct log_stream *stream);

/* The last LOG_TAIL_BYTES since log_stream_begin. Valid until the next call. */
struct str log_stream_tail(struct log_stream *stream);

#endif
