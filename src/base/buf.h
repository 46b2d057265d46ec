// SPDX-License-Identifier: MIT
//
// A growable byte buffer with a maximum.
//
// A failure sticks: once an append did not fit (-EFBIG) or found no memory (-ENOMEM), the buffer
// keeps what it had, later appends do nothing and return the same code. So a writer may append many
// times and look once, with buf_status(). One thread at a time.
//
//     AUTO_BUF struct buf out = BUF_INIT(64 * 1024);
//     buf_append_text(&out, "{\"message\":");
//     json_append_string(&out, message);
//     buf_append_text(&out, "}");
//     r = buf_status(&out);

#ifndef LAMINA_BASE_BUF_H
#define LAMINA_BASE_BUF_H

#include "base/compiler.h"
#include "base/str.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; // owned; NULL while empty; a NUL always follows data[size - 1] once allocated
    size_t size;
    size_t capacity; // bytes allocated, without the byte for the NUL
    size_t maximum;  // most bytes of content
    int failure;     // 0 or the sticking -errno
};

#define BUF_INIT(maximum_)                                                                         \
    {                                                                                              \
        NULL, 0, 0, (maximum_), 0                                                                  \
    }
#define AUTO_BUF AUTO(buf_done)

void buf_init(struct buf *buf, size_t maximum);
void buf_done(struct buf *buf); // frees; the buffer is empty and usable again afterwards

int buf_status(const struct buf *buf) MUST_CHECK; // 0 or the sticking failure

int buf_append(struct buf *buf, const void *data, size_t size);
int buf_append_str(struct buf *buf, struct str text);
int buf_append_text(struct buf *buf, const char *text);
int buf_append_byte(struct buf *buf, char byte);
int buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
int buf_vprintf(struct buf *buf, const char *format, va_list values) PRINTF_LIKE(2, 0);

// Room for `size` more bytes at data + size, to be filled by the caller and then counted with
// buf_advance(). 0, -EFBIG or -ENOMEM (sticking).
int buf_reserve(struct buf *buf, size_t size) MUST_CHECK;
void buf_advance(struct buf *buf, size_t size);

// Removes `size` bytes from the front (all when there are fewer); keeps the memory.
void buf_consume(struct buf *buf, size_t size);

// Empty and without failure; keeps the memory.
void buf_clear(struct buf *buf);

// Hands over the memory (NUL-terminated; "" allocated if empty). NULL when there is no memory.
char *buf_take(struct buf *buf, size_t *ret_size) MUST_CHECK;

struct str buf_str(const struct buf *buf); // a view: valid until the next change

#endif
