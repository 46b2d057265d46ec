// SPDX-License-Identifier: MIT

#include "base/uuid.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define AHEAD_BYTES 512

static _Thread_local uint8_t ahead[AHEAD_BYTES];
static _Thread_local size_t ahead_left;

void uuid_random(void *data, size_t size)
{
    assert(size <= UUID_RANDOM_MAX);
    if (ahead_left < size) {
        mem_random(ahead, sizeof(ahead));
        ahead_left = sizeof(ahead);
    }
    ahead_left -= size;
    memcpy(data, ahead + ahead_left, size);
    mem_wipe(ahead + ahead_left, size);
}

char *uuid_new(char text[UUID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[16];
    uuid_random(random, sizeof(random));
    random[6] = (uint8_t) ((random[6] & 0x0f) | 0x40); // version 4
    random[8] = (uint8_t) ((random[8] & 0x3f) | 0x80); // variant of RFC 9562
    char *to = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = digits[random[i] >> 4];
        *to++ = digits[random[i] & 0x0f];
    }
    *to = '\0';
    return text;
}
