// SPDX-License-Identifier: MIT

#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 256

void buf_init(struct buf *buf, size_t maximum)
{
    *buf = (struct buf) BUF_INIT(maximum);
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    buf_init(buf, buf->maximum);
}

int buf_status(const struct buf *buf)
{
    return buf->failure;
}

static int fail(struct buf *buf, int code)
{
    buf->failure = code;
    return code;
}

int buf_reserve(struct buf *buf, size_t size)
{
    if (buf->failure)
        return buf->failure;
    size_t needed;
    if (!mem_size_add(buf->size, size, &needed) || needed > buf->maximum || needed == SIZE_MAX)
        return fail(buf, -EFBIG);
    if (buf->data && needed <= buf->capacity)
        return 0;
    // Doubling keeps a long series of appends linear; the maximum bounds it.
    size_t capacity = buf->capacity > buf->maximum / 2 ? buf->maximum : 2 * buf->capacity;
    if (capacity < CAPACITY_FIRST)
        capacity = CAPACITY_FIRST < buf->maximum ? CAPACITY_FIRST : buf->maximum;
    if (capacity < needed)
        capacity = needed;
    char *data = realloc(buf->data, capacity + 1);
    if (!data)
        return fail(buf, -ENOMEM);
    buf->data = data;
    buf->capacity = capacity;
    buf->data[buf->size] = '\0';
    return 0;
}

void buf_advance(struct buf *buf, size_t size)
{
    assert(size <= buf->capacity - buf->size);
    buf->size += size;
    if (buf->data)
        buf->data[buf->size] = '\0';
}

// Most appends do: heads and canonical requests are made of dozens of small ones a call.
static bool has_room(const struct buf *buf, size_t size)
{
    return buf->data && !buf->failure && size <= buf->capacity - buf->size;
}

int buf_append(struct buf *buf, const void *data, size_t size)
{
    if (!has_room(buf, size)) {
        int r = buf_reserve(buf, size);
        if (r < 0)
            return r;
    }
    if (size)
        memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    if (buf->data)
        buf->data[buf->size] = '\0';
    return 0;
}

int buf_append_str(struct buf *buf, struct str text)
{
    return buf_append(buf, text.data, text.size);
}

int buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_append_byte(struct buf *buf, char byte)
{
    return buf_append(buf, &byte, 1);
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int r = buf_vprintf(buf, format, values);
    va_end(values);
    return r;
}

int buf_vprintf(struct buf *buf, const char *format, va_list values)
{
    if (buf->failure)
        return buf->failure;
    va_list again;
    va_copy(again, values);
    // Most texts fit into what is there; only the others are formatted twice.
    size_t room = buf->data ? buf->capacity - buf->size : 0;
    int size = vsnprintf(buf->data ? buf->data + buf->size : NULL, buf->data ? room + 1 : 0, format,
                         values);
    int r = size < 0 ? fail(buf, -EINVAL) : 0;
    if (r == 0 && (!buf->data || (size_t) size > room)) {
        if (buf->data)
            buf->data[buf->size] = '\0';
        r = buf_reserve(buf, (size_t) size);
        if (r == 0)
            (void) vsnprintf(buf->data + buf->size, (size_t) size + 1, format, again);
    }
    va_end(again);
    if (r == 0)
        buf_advance(buf, (size_t) size);
    return r;
}

void buf_consume(struct buf *buf, size_t size)
{
    if (size > buf->size)
        size = buf->size;
    if (size == 0)
        return;
    buf->size -= size;
    memmove(buf->data, buf->data + size, buf->size);
    buf->data[buf->size] = '\0';
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->failure = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

char *buf_take(struct buf *buf, size_t *ret_size)
{
    char *data = buf->data ? buf->data : calloc(1, 1);
    if (!data)
        return NULL;
    if (ret_size)
        *ret_size = buf->size;
    buf_init(buf, buf->maximum);
    return data;
}

struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->data, buf->size};
}
