// SPDX-License-Identifier: MIT
//
// hold: a file's bytes as sealed memory on huge pages. Blocks; one thread.

#ifndef LAMINA_CACHE_HOLD_H
#define LAMINA_CACHE_HOLD_H

#include "base/compiler.h"

#include <stdint.h>

struct held {
    int fd; // opened for reading only; owned
    uint64_t huge_bytes;
};

// Copies the first `bytes` of `source` (regular). -ENODATA: it is shorter; -ENOMEM, other -errno.
int hold_file(int source, uint64_t bytes, struct held *ret_held) MUST_CHECK;

#endif
