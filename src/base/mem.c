// SPDX-License-Identifier: MIT

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void mem_free_pointer(void *pointer_to_pointer)
{
    int saved_errno = errno;
    free(*(void **) pointer_to_pointer);
    errno = saved_errno;
}

void *mem_copy(const void *data, size_t size)
{
    if (!data && size)
        return NULL;
    // One byte at least: malloc(0) may be NULL, which means "no memory" to our callers.
    void *copy = malloc(size ? size : 1);
    if (copy && size)
        memcpy(copy, data, size);
    return copy;
}

char *mem_copy_text(const char *text)
{
    return text ? (char *) mem_copy(text, strlen(text) + 1) : NULL;
}

bool mem_equal_secret(const void *left, const void *right, size_t size)
{
    const volatile unsigned char *l = (const volatile unsigned char *) left;
    const volatile unsigned char *r = (const volatile unsigned char *) right;
    unsigned char difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned char) (l[i] ^ r[i]);
    return difference == 0;
}

void mem_wipe(void *data, size_t size)
{
    explicit_bzero(data, size);
}

void mem_random(void *data, size_t size)
{
    char *at = data;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort(); // no getrandom: a kernel older than any that can run the sandbox
        at += got;
        size -= (size_t) got;
    }
}

bool mem_size_add(size_t left, size_t right, size_t *ret_sum)
{
    size_t sum;
    if (__builtin_add_overflow(left, right, &sum))
        return false;
    *ret_sum = sum;
    return true;
}
