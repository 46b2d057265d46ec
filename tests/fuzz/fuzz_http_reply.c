// SPDX-License-Identifier: MIT
//
// Any bytes as an answer of the Runtime API: its head is refused, incomplete or understood, and what
// is understood lies inside of it.

#include "sdk/http_reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_reply reply;
    if (http_reply_parse((const char *) data, size, &reply) != 1)
        return 0;
    if (reply.head_size > size || reply.status < 100 || reply.status > 999)
        abort();
    for (int i = 0; i < HTTP_REPLY_HEADER_COUNT; i++)
        if (reply.headers[i].size > 0 &&
            reply.headers[i].at + reply.headers[i].size >= reply.head_size)
            abort();
    return 0;
}
