/* SPDX-License-Identifier: MIT
 *
 * log_writer: what functions print, kept on disk, off the loop. One thread appends to
 * `DIR/logs/<function>.log`; the loop hands it lines through a bounded ring and never waits.
 *
 * One file per function, one line per event:
 *
 *     <position> <stream> <text>\n        position: 19 digits, nanoseconds since 1970, ever growing
 *                                         stream: YYYY/MM/DD/[<version>]<32 hex>, one per instance
 *
 * A file that has grown past LOG_FILE_BYTES_MAX becomes `<function>.log.1` (the earlier one goes), so
 * a function keeps between one and two times that much. Nothing is synced: a power cut may cost the
 * last seconds of the logs, and only of the logs.
 *
 * Limits: LOG_RING_BYTES of lines in flight; when the disk is slower than the functions talk, lines
 * are dropped and counted, and the next line that fits is preceded by one that says how many.
 * Threads: log_writer_put and log_writer_read on the loop thread; their work on the writer's own.
 */
#ifndef LAMINA_INSTANCE_LOG_WRITER_H
#define LAMINA_INSTANCE_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define LOG_FILE_BYTES_MAX (8u << 20)
#define LOG_RING_BYTES (4u << 20)
#define LOG_LINE_BYTES_MAX (256u << 10) /* as CloudWatch's event: longer lines are cut */
#define LOG_LINE_OVERHEAD 80u           /* position and stream before each line, about */
#define LOG_READ_MAX 10000

struct log_writer;
struct loop;

/* `logs_fd` (taken) is the directory DIR/logs. Starts the thread. */
MUST_CHECK int log_writer_new(struct loop *loop, int logs_fd, struct log_writer **ret_writer,
                              struct error *err);
/* Writes what is in the ring, ends the thread. Accepts NULL. */
void log_writer_free(struct log_writer *writer);

/* One or more whole lines, each ended by '\n', of one instance. Dropped when the ring is full. */
void log_writer_put(struct log_writer *writer, const char *function, const char *stream,
                    struct str lines);

/* Lines dropped so far because the ring was full, or the disk refused them. */
uint64_t log_writer_dropped(const struct log_writer *writer);

struct log_event {
    uint64_t position; /* give the last one back as `after` to go on */
    struct str stream;
    struct str text; /* raw bytes, may hold anything but '\n' */
};

/* Called once on the loop thread; the events live until it returns. `error` is 0 or -errno. */
typedef void log_read_cb(void *arg, int error, const struct log_event *events, size_t n);

/* Reads at most `limit` (<= LOG_READ_MAX) events of a function: those after position `after`, oldest
 * first; with `after` 0 the last `limit` ones. Sees every line that was put before. No such function: no
 * events, no error. Never called back after log_writer_free. */
void log_writer_read(struct log_writer *writer, const char *function, uint64_t after, size_t limit,
                     log_read_cb *cb, void *arg);

/* Removes the files of a deleted function. */
void log_writer_forget(struct log_writer *writer, const char *function);

#endif
