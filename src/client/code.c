// SPDX-License-Identifier: MIT
#include "client/code.h"

#include "base/base64.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

uint64_t code_body_size(const struct code_body *body)
{
    return body->head_size + BASE64_ENCODED_SIZE(body->zip_size) + body->tail_size;
}

ssize_t code_file_read(void *arg, uint64_t offset, void *to, size_t size)
{
    const int *fd = arg;
    ssize_t n;

    do {
        n = pread(*fd, to, size, (off_t) offset);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

// All of the file's bytes [offset, offset + size), or fewer at its end.
static ssize_t read_whole(int fd, uint64_t offset, unsigned char *to, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = code_file_read(&fd, offset + got, to + got, size - got);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        got += (size_t) n;
    }
    return (ssize_t) got;
}

// Characters from at on of the zip's base64: encodes the groups that they lie in.
static ssize_t read_base64(const struct code_body *body, uint64_t at, char *to, size_t size)
{
    unsigned char bytes[3 * 1024];
    char text[4 * 1024 + 1];
    uint64_t group = at / 4;
    size_t skip = (size_t) (at % 4);

    uint64_t left = body->zip_size - group * 3;
    size_t want = left < sizeof bytes ? (size_t) left : sizeof bytes;

    ssize_t n = read_whole(body->zip, group * 3, bytes, want);
    if (n < 0)
        return n;
    if ((size_t) n != want)
        return -ESTALE; // the file is shorter by now than it was measured
    base64_encode(bytes, (size_t) n, text);
    size_t have = BASE64_ENCODED_SIZE((size_t) n) - skip;
    size_t part = have < size ? have : size;
    memcpy(to, text + skip, part);
    return (ssize_t) part;
}

static ssize_t read_text(const char *text, size_t text_size, uint64_t at, char *to, size_t size)
{
    size_t left = text_size - (size_t) at;
    size_t part = left < size ? left : size;

    memcpy(to, text + at, part);
    return (ssize_t) part;
}

ssize_t code_body_read(void *arg, uint64_t offset, void *to, size_t size)
{
    const struct code_body *body = arg;
    uint64_t encoded = BASE64_ENCODED_SIZE(body->zip_size);
    size_t got = 0;

    while (got < size) {
        uint64_t at = offset + got;
        char *here = (char *) to + got;
        ssize_t n = 0;
        if (at < body->head_size)
            n = read_text(body->head, body->head_size, at, here, size - got);
        else if (at < body->head_size + encoded)
            n = read_base64(body, at - body->head_size, here, size - got);
        else if (at < code_body_size(body))
            n = read_text(body->tail, body->tail_size, at - body->head_size - encoded, here,
                          size - got);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        got += (size_t) n;
    }
    return (ssize_t) got;
}
