// SPDX-License-Identifier: MIT

#include "base/uuid.h"

#include <stdint.h>

#include "base/mem.h"

char *uuid_new(char text[UUID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[16];
    mem_random(random, sizeof(random));
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
