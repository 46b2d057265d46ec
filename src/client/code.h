// SPDX-License-Identifier: MIT
//
// A zip as the body of a request, made on the fly: the JSON in front, the zip's base64, the JSON
// behind. Nothing of it is held in memory, and any part can be read at any time (client_source).
#ifndef LAMINA_CLIENT_CODE_H
#define LAMINA_CLIENT_CODE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct code_body {
    const char *head; // borrowed: JSON up to and with the quote before the base64
    size_t head_size;
    const char *tail; // borrowed: from the quote after it on
    size_t tail_size;
    int zip; // borrowed
    uint64_t zip_size;
};

uint64_t code_body_size(const struct code_body *body);

// A client_source; arg is the struct code_body.
ssize_t code_body_read(void *arg, uint64_t offset, void *to, size_t size);

// A client_source of a file as it is; arg points to its descriptor.
ssize_t code_file_read(void *arg, uint64_t offset, void *to, size_t size);

#endif
