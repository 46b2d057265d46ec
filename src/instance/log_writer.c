/* SPDX-License-Identifier: MIT */
#include "instance/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"

/* How long the thread lets lines gather before it writes them: one write for many calls, and the loop pays
 * for a wake-up at most this often. */
#define GATHER_MS 20
#define NAME_MAX_BYTES 65
#define STREAM_MAX_BYTES 128
#define POSITION_DIGITS 19

/* What waits in the ring, in order. */
enum item_kind { ITEM_LINES, ITEM_READ, ITEM_FORGET };

struct item {
    struct list link;
    enum item_kind kind;
    char function[NAME_MAX_BYTES];
    char stream[STREAM_MAX_BYTES];
    uint64_t wall_ns;
    size_t size; /* of data */
    struct read_request *read;
    char data[];
};

struct read_request {
    struct log_writer *writer;
    struct loop_posted posted;
    uint64_t after;
    size_t limit;
    log_read_cb *cb;
    void *arg;
    int error;
    struct buf text; /* the events' bytes */
    struct log_event *events;
    size_t n;
};

struct log_writer {
    struct loop *loop; /* borrowed */
    int logs_fd;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* Under the mutex: */
    struct list items;
    size_t bytes; /* of lines in `items` */
    bool is_urgent;
    bool is_ending;
    uint64_t dropped;
    /* The thread's own: */
    uint64_t last_position;
    struct buf out;
};

static void *writer_run(void *arg);

int log_writer_new(struct loop *loop, int logs_fd, struct log_writer **ret_writer,
                   struct error *err)
{
    AUTO_FD int owned = logs_fd;
    struct log_writer *writer = mem_new(struct log_writer);
    sigset_t all, before;
    int r = 0;
    if (!writer)
        return error_set(err, -ENOMEM, "start the log writer: no memory");
    writer->loop = loop;
    writer->logs_fd = logs_fd;
    list_init(&writer->items);
    buf_init(&writer->out, LOG_RING_BYTES * 4);
    pthread_condattr_t monotonic; /* a wall clock that is set back would make wait_until last */
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&writer->thread, NULL, writer_run, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        free(writer);
        return error_set_errno(err, -r, "start the log writer's thread");
    }
    (void) TAKE_FD(owned);
    *ret_writer = writer;
    return 0;
}

static void read_request_free(struct read_request *read)
{
    buf_done(&read->text);
    free(read->events);
    free(read);
}

void log_writer_free(struct log_writer *writer)
{
    if (!writer)
        return;
    pthread_mutex_lock(&writer->mutex);
    writer->is_ending = true;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
    pthread_cond_destroy(&writer->wake);
    pthread_mutex_destroy(&writer->mutex);
    buf_done(&writer->out);
    fd_close(writer->logs_fd);
    free(writer);
}

/* ---- the loop's side */

static struct item *item_new(enum item_kind kind, const char *function, size_t size)
{
    struct item *item = malloc(sizeof(*item) + size);
    if (!item)
        return NULL;
    item->kind = kind;
    item->size = size;
    item->read = NULL;
    item->stream[0] = '\0';
    snprintf(item->function, sizeof(item->function), "%s", function);
    return item;
}

static uint64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static void writer_give(struct log_writer *writer, struct item *item, bool is_urgent)
{
    bool was_idle = false;
    pthread_mutex_lock(&writer->mutex);
    was_idle = list_is_empty(&writer->items);
    list_add_last(&writer->items, &item->link);
    writer->bytes += item->size;
    writer->is_urgent |= is_urgent || writer->bytes > LOG_RING_BYTES / 2;
    if (was_idle || writer->is_urgent)
        pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->mutex);
}

static uint64_t line_count(struct str lines)
{
    uint64_t count = 0;
    for (size_t i = 0; i < lines.size; i++)
        count += lines.data[i] == '\n';
    return count;
}

static void writer_drop(struct log_writer *writer, uint64_t lines)
{
    pthread_mutex_lock(&writer->mutex);
    writer->dropped += lines;
    pthread_mutex_unlock(&writer->mutex);
}

void log_writer_put(struct log_writer *writer, const char *function, const char *stream,
                    struct str lines)
{
    struct item *item = NULL;
    bool is_full = false;
    if (lines.size == 0)
        return;
    pthread_mutex_lock(&writer->mutex);
    is_full = writer->bytes + lines.size > LOG_RING_BYTES;
    pthread_mutex_unlock(&writer->mutex);
    if (!is_full)
        item = item_new(ITEM_LINES, function, lines.size);
    if (!item) {
        writer_drop(writer, line_count(lines));
        return;
    }
    snprintf(item->stream, sizeof(item->stream), "%s", stream);
    item->wall_ns = wall_ns();
    memcpy(item->data, lines.data, lines.size);
    writer_give(writer, item, false);
}

uint64_t log_writer_dropped(const struct log_writer *writer)
{
    struct log_writer *changeable = (struct log_writer *) (uintptr_t) writer; /* for its mutex */
    uint64_t dropped = 0;
    pthread_mutex_lock(&changeable->mutex);
    dropped = writer->dropped;
    pthread_mutex_unlock(&changeable->mutex);
    return dropped;
}

void log_writer_forget(struct log_writer *writer, const char *function)
{
    struct item *item = item_new(ITEM_FORGET, function, 0);
    if (item)
        writer_give(writer, item, false);
}

static void read_finished(void *arg)
{
    struct read_request *read = arg;
    loop_release(read->writer->loop);
    read->cb(read->arg, read->error, read->events, read->n);
    read_request_free(read);
}

void log_writer_read(struct log_writer *writer, const char *function, uint64_t after, size_t limit,
                     log_read_cb *cb, void *arg)
{
    struct read_request *read = mem_new(struct read_request);
    struct item *item = read ? item_new(ITEM_READ, function, 0) : NULL;
    if (!item) {
        free(read);
        cb(arg, -ENOMEM, NULL, 0);
        return;
    }
    *read =
        (struct read_request){.writer = writer,
                              .after = after,
                              .limit = limit < LOG_READ_MAX ? limit : LOG_READ_MAX,
                              .cb = cb,
                              .arg = arg,
                              .text = BUF_INIT(2 * (size_t) LOG_FILE_BYTES_MAX + LOG_RING_BYTES)};
    item->read = read;
    loop_hold(writer->loop);
    writer_give(writer, item, true);
}

/* ---- the thread's side: writing */

static void file_name(const char *function, const char *suffix, char *name, size_t size)
{
    snprintf(name, size, "%s.log%s", function, suffix);
}

/* The earlier file is lost: that is the bound. */
static void file_rotate(struct log_writer *writer, const char *function)
{
    char name[NAME_MAX_BYTES + 8], old[NAME_MAX_BYTES + 8];
    file_name(function, "", name, sizeof(name));
    file_name(function, ".1", old, sizeof(old));
    if (renameat(writer->logs_fd, name, writer->logs_fd, old) < 0)
        (void) unlinkat(writer->logs_fd, name, 0); /* rather lost than without bound */
}

static int file_append(struct log_writer *writer, const char *function, const struct buf *out)
{
    char name[NAME_MAX_BYTES + 8];
    AUTO_FD int fd = -1;
    struct stat status;
    int r = 0;
    file_name(function, "", name, sizeof(name));
    fd = fs_open_beneath(writer->logs_fd, name, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (fd < 0)
        return fd;
    r = fd_write_all(fd, out->data, out->size);
    if (r == 0 && fstat(fd, &status) == 0 && status.st_size > LOG_FILE_BYTES_MAX)
        file_rotate(writer, function);
    return r;
}

static void out_add_line(struct log_writer *writer, const struct item *item, struct str line)
{
    if (line.size > LOG_LINE_BYTES_MAX)
        line.size = LOG_LINE_BYTES_MAX;
    writer->last_position =
        item->wall_ns > writer->last_position ? item->wall_ns : writer->last_position + 1;
    char position[POSITION_DIGITS +
                  1]; /* padded with zeros; not by printf: every call writes three lines */
    uint64_t rest = writer->last_position;
    for (size_t i = POSITION_DIGITS; i-- > 0; rest /= 10)
        position[i] = (char) ('0' + rest % 10);
    position[POSITION_DIGITS] = ' ';
    buf_append(&writer->out, position, sizeof(position));
    buf_append_text(&writer->out, item->stream);
    buf_append_byte(&writer->out, ' ');
    buf_append_str(&writer->out, line);
    buf_append_byte(&writer->out, '\n');
}

static void out_flush(struct log_writer *writer, const char *function)
{
    int r = buf_status(&writer->out);
    if (writer->out.size > 0 && r == 0)
        r = file_append(writer, function, &writer->out);
    if (r < 0) {
        writer_drop(writer, line_count(buf_str(&writer->out)));
        log_warn("logs.dropped", "function=%s error=%s", function, LOG_TEXT(error_name(r)));
    }
    buf_clear(&writer->out);
}

/* Very short lines grow much longer by what stands before each: they go out in several writes. */
static void write_item(struct log_writer *writer, const struct item *item)
{
    struct str rest = {item->data, item->size}, line = {0};
    while (rest.size > 0) {
        (void) str_cut(rest, '\n', &line, &rest);
        out_add_line(writer, item, line);
        if (writer->out.size > LOG_RING_BYTES)
            out_flush(writer, item->function);
    }
}

/* All lines of the function that the first item is for, in one write. They are taken out of `batch`. Items that
 * are not lines are a barrier: what was put after a read is not seen by it. */
static void write_function(struct log_writer *writer, struct list *batch)
{
    struct item *first = LIST_ENTRY(list_first(batch), struct item, link);
    char function[NAME_MAX_BYTES];
    snprintf(function, sizeof(function), "%s", first->function);
    LIST_FOR_EACH_SAFE (struct item, each, batch, link) {
        if (each->kind != ITEM_LINES)
            break;
        if (strcmp(each->function, function) != 0)
            continue;
        write_item(writer, each);
        list_remove(&each->link);
        free(each);
    }
    out_flush(writer, function);
}

static void files_forget(struct log_writer *writer, const char *function)
{
    char name[NAME_MAX_BYTES + 8];
    file_name(function, "", name, sizeof(name));
    (void) unlinkat(writer->logs_fd, name, 0); /* not there: never called */
    file_name(function, ".1", name, sizeof(name));
    (void) unlinkat(writer->logs_fd, name, 0);
}

/* ---- the thread's side: reading */

static int read_file(struct log_writer *writer, const char *function, const char *suffix,
                     struct buf *text)
{
    char name[NAME_MAX_BYTES + 8];
    int r = 0;
    file_name(function, suffix, name, sizeof(name));
    r = fs_read_file(writer->logs_fd, name, text);
    return r == -ENOENT ? 0 : r;
}

/* False for a line that is not ours, such as one that a power cut left half written. */
static bool event_parse(struct str line, struct log_event *event)
{
    struct str position = {0}, rest = {0};
    return str_cut(line, ' ', &position, &rest) && position.size == POSITION_DIGITS &&
           str_to_u64(position, UINT64_MAX, &event->position) == 0 &&
           str_cut(rest, ' ', &event->stream, &event->text);
}

/* With `after`: the first `limit` events behind it; without: the last `limit`, found by keeping a ring. */
static void read_events(struct read_request *read)
{
    struct str rest = buf_str(&read->text), line = {0};
    size_t start = 0;
    while (rest.size > 0) {
        struct log_event event = {0};
        (void) str_cut(rest, '\n', &line, &rest);
        if (!event_parse(line, &event) || event.position <= read->after)
            continue;
        if (read->n < read->limit) {
            read->events[read->n++] = event;
        } else if (read->after > 0 || read->limit == 0) {
            break;
        } else {
            read->events[start] = event;
            start = (start + 1) % read->limit;
        }
    }
    /* The ring begins at `start`: turn it so that the oldest is first. */
    if (start > 0) {
        struct log_event *turned = calloc(read->n, sizeof(*turned));
        for (size_t i = 0; turned && i < read->n; i++)
            turned[i] = read->events[(start + i) % read->n];
        if (turned) {
            free(read->events);
            read->events = turned;
        }
    }
}

static void read_run(struct log_writer *writer, const char *function, struct read_request *read)
{
    read->error = read_file(writer, function, ".1", &read->text);
    if (read->error == 0)
        read->error = read_file(writer, function, "", &read->text);
    read->events = calloc(read->limit ? read->limit : 1, sizeof(*read->events));
    if (!read->events)
        read->error = -ENOMEM;
    if (read->error == 0)
        read_events(read);
    loop_post(writer->loop, &read->posted, read_finished, read);
}

/* ---- the thread */

static void batch_run(struct log_writer *writer, struct list *batch)
{
    while (!list_is_empty(batch)) {
        struct item *first = LIST_ENTRY(list_first(batch), struct item, link);
        if (first->kind == ITEM_LINES) {
            write_function(writer, batch);
            continue;
        }
        list_remove(&first->link);
        if (first->kind == ITEM_READ)
            read_run(writer, first->function, first->read);
        else
            files_forget(writer, first->function);
        free(first);
    }
}

static void wait_until(struct log_writer *writer, int64_t milliseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += milliseconds * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void) pthread_cond_timedwait(&writer->wake, &writer->mutex, &until); /* too early is fine */
}

/* Takes everything that waits; false at the end. */
static bool writer_take(struct log_writer *writer, struct list *batch)
{
    pthread_mutex_lock(&writer->mutex);
    while (list_is_empty(&writer->items) && !writer->is_ending)
        pthread_cond_wait(&writer->wake, &writer->mutex);
    if (!writer->is_urgent && !writer->is_ending)
        wait_until(writer, GATHER_MS);
    list_move_all(batch, &writer->items);
    writer->bytes = 0;
    writer->is_urgent = false;
    pthread_mutex_unlock(&writer->mutex);
    return !list_is_empty(batch);
}

static void *writer_run(void *arg)
{
    struct log_writer *writer = arg;
    struct list batch = LIST_INIT(batch);
    pthread_setname_np(pthread_self(), "log-writer");
    while (writer_take(writer, &batch))
        batch_run(writer, &batch);
    return NULL;
}
