// SPDX-License-Identifier: MIT
#include "sdk/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_FIRST_CAPACITY 4096

int bytes_reserve(struct bytes *bytes, size_t more)
{
    if (more > bytes->maximum || bytes->size > bytes->maximum - more)
        return -EMSGSIZE;
    size_t needed = bytes->size + more + 1;
    if (needed <= bytes->capacity)
        return 0;
    size_t capacity = bytes->capacity > 0 ? bytes->capacity : BYTES_FIRST_CAPACITY;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > bytes->maximum + 1)
        capacity = bytes->maximum + 1;
    char *data = realloc(bytes->data, capacity);
    if (data == NULL)
        return -ENOMEM;
    data[bytes->size] = '\0';
    bytes->data = data;
    bytes->capacity = capacity;
    return 0;
}

int bytes_append(struct bytes *bytes, const void *data, size_t size)
{
    int r = bytes_reserve(bytes, size);
    if (r < 0)
        return r;
    if (size > 0)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    bytes->data[bytes->size] = '\0';
    return 0;
}

void bytes_clear(struct bytes *bytes, size_t keep)
{
    if (bytes->capacity > keep) {
        bytes_done(bytes);
        return;
    }
    bytes->size = 0;
    if (bytes->data != NULL)
        bytes->data[0] = '\0';
}

void bytes_done(struct bytes *bytes)
{
    free(bytes->data);
    bytes->data = NULL;
    bytes->size = 0;
    bytes->capacity = 0;
}
