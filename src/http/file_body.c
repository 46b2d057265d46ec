// SPDX-License-Identifier: MIT
//
// An answer's body from a file: read piece by piece on a thread of the pool, written by the loop.
// While one piece is on its way to the client the next is read; no more, so a slow client holds two
// pieces of memory and no thread.

#include "http/connection.h"

#include "base/fd.h"
#include "loop/job.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#define FILE_PIECE_BYTES ((size_t) 256 * 1024)

struct http_file {
    struct http_exchange *exchange; // borrowed: waits for the end of this
    int fd;
    uint64_t offset;
    uint64_t left;    // to be read
    struct buf head;  // goes before the first piece
    struct buf piece; // the read's
    struct buf ready; // read, and waiting for the one before
    int result;       // of the read
    bool is_reading, is_writing, has_ready;
    bool is_abandoned;
};

static void file_free(struct http_file *file)
{
    (void) fd_close(file->fd); // was only read from
    buf_done(&file->head);
    buf_done(&file->piece);
    buf_done(&file->ready);
    free(file);
}

static void file_end(struct http_file *file, int status)
{
    struct http_exchange *exchange = file->exchange;
    exchange->file = NULL;
    file_free(file);
    http_answer_done(exchange, status);
}

// On a thread of the pool.
static void run_read(void *argument)
{
    struct http_file *file = argument;
    size_t size = file->left < FILE_PIECE_BYTES ? (size_t) file->left : FILE_PIECE_BYTES;
    file->result = buf_reserve(&file->piece, size);
    while (file->result == 0 && file->piece.size < size) {
        ssize_t r = pread(file->fd, file->piece.data + file->piece.size, size - file->piece.size,
                          (off_t) (file->offset + file->piece.size));
        if (r < 0 && errno != EINTR)
            file->result = -errno;
        else if (r == 0)
            file->result = -ENODATA; // shorter than promised
        else if (r > 0)
            buf_advance(&file->piece, (size_t) r);
    }
}

static int read_on(struct http_file *file);
static void on_piece_written(struct http_connection *connection, int status);

// Perhaps the file's end: nothing may touch it afterwards.
static void send_piece(struct http_file *file, struct buf piece)
{
    struct http_connection *connection = file->exchange->connection;
    if (file->left > 0 && !file->is_reading && read_on(file) < 0) {
        buf_done(&piece);
        http_connection_close(connection); // in the middle: the client sees a short body
        return;
    }
    struct buf head = file->head;
    buf_init(&file->head, 0);
    file->is_writing = true;
    http_write(connection, buf_str(&head), &piece, on_piece_written);
    buf_done(&head);
}

static void on_piece_written(struct http_connection *connection, int status)
{
    struct http_exchange *exchange = connection->exchange;
    if (!exchange || !exchange->file)
        return;
    struct http_file *file = exchange->file;
    file->is_writing = false;
    if (file->has_ready) {
        struct buf piece = file->ready;
        buf_init(&file->ready, FILE_PIECE_BYTES);
        file->has_ready = false;
        http_connection_watch(connection, HTTP_WATCH_WRITE); // the client is taking it
        send_piece(file, piece);
    } else if (file->is_reading) {
        http_connection_watch(connection, HTTP_WATCH_WRITE);
    } else {
        file_end(file, status);
    }
}

static void on_read_done(void *argument, int status)
{
    struct http_file *file = argument;
    file->is_reading = false;
    if (file->is_abandoned) {
        file_end(file, -ECONNRESET);
        return;
    }
    if (status < 0 || file->result < 0) {
        http_connection_close(file->exchange->connection); // the client sees a short body
        return;
    }
    file->offset += file->piece.size;
    file->left -= file->piece.size;
    struct buf piece = file->piece;
    buf_init(&file->piece, FILE_PIECE_BYTES);
    if (file->is_writing) {
        file->ready = piece;
        file->has_ready = true;
        return;
    }
    send_piece(file, piece);
}

static int read_on(struct http_file *file)
{
    struct job_pool *pool = file->exchange->server->config.file_pool;
    int r = job_submit(pool, run_read, on_read_done, file);
    if (r == 0)
        file->is_reading = true;
    return r;
}

int http_file_start(struct http_exchange *exchange, struct str head, int fd, uint64_t offset,
                    uint64_t size)
{
    assert(exchange->server->config.file_pool);
    struct http_file *file = calloc(1, sizeof(*file));
    if (!file) {
        (void) fd_close(fd);
        return -ENOMEM;
    }
    file->exchange = exchange;
    file->fd = fd;
    file->offset = offset;
    file->left = size;
    buf_init(&file->head, head.size);
    buf_init(&file->piece, FILE_PIECE_BYTES);
    buf_init(&file->ready, FILE_PIECE_BYTES);
    int r = buf_append_str(&file->head, head);
    if (r == 0)
        r = read_on(file);
    if (r < 0) {
        file_free(file);
        return r;
    }
    exchange->file = file;
    return 0;
}

void http_file_abandon(struct http_file *file)
{
    file->is_abandoned = true;
    if (!file->is_reading)
        file_end(file, -ECONNRESET);
}
