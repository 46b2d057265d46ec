// SPDX-License-Identifier: MIT
//
// aws-chunked: however a body is cut, the result is the same; what comes out is no more than what
// went in.

#include "aws/chunked.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    size_t bytes;
    uint32_t sum;
};

static int take(void *arg, const void *data, size_t size)
{
    struct seen *seen = arg;
    for (size_t i = 0; i < size; i++)
        seen->sum = seen->sum * 31 + ((const uint8_t *) data)[i];
    seen->bytes += size;
    return 0;
}

static int run(enum chunked_form form, const uint8_t *data, size_t size, size_t piece,
               struct seen *seen)
{
    static const struct chunked_signer signer = {.time = "20260102T030405Z",
                                                 .scope = "20260102/us-east-1/s3/aws4_request"};
    struct chunked chunked;
    int r = 0;
    *seen = (struct seen){0};
    chunked_init(&chunked, form, &signer, take, seen);
    for (size_t at = 0; r == 0 && at < size; at += piece)
        r = chunked_feed(&chunked, data + at, size - at < piece ? size - at : piece);
    if (r == 0)
        r = chunked_finish(&chunked);
    struct str value = chunked_trailer(&chunked, STR("x-amz-checksum-crc32"));
    if (value.size > size)
        abort();
    chunked_done(&chunked);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, bytes;
    if (size == 0)
        return 0;
    enum chunked_form form = (enum chunked_form)(data[0] % 3);
    int at_once = run(form, data + 1, size - 1, size, &whole);
    int by_bytes = run(form, data + 1, size - 1, 1, &bytes);
    if (at_once != by_bytes || whole.bytes > size)
        abort();
    if (at_once == 0 && (whole.bytes != bytes.bytes || whole.sum != bytes.sum))
        abort();
    return 0;
}
