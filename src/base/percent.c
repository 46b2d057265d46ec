// SPDX-License-Identifier: MIT

#include "base/percent.h"

#include <errno.h>

static int hex_value(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

ptrdiff_t percent_decode(struct str text, bool plus_is_space, void *data)
{
    char *to = data;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            if (text.size - i < 3)
                return -EINVAL;
            int high = hex_value(text.data[i + 1]), low = hex_value(text.data[i + 2]);
            if (high < 0 || low < 0)
                return -EINVAL;
            byte = (char) (high << 4 | low);
            i += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        *to++ = byte;
    }
    return to - (char *) data;
}

static bool is_unreserved(char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

int percent_append(struct buf *buf, struct str text, bool keep_slash)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (is_unreserved(byte) || (byte == '/' && keep_slash)) {
            buf_append_byte(buf, byte);
        } else {
            char encoded[3] = {'%', hex[(unsigned char) byte >> 4], hex[byte & 15]};
            buf_append(buf, encoded, sizeof encoded);
        }
    }
    return buf_status(buf);
}
