// SPDX-License-Identifier: MIT
//
// meminfo: what the kernel says of the machine's memory. Any thread; /proc is the kernel's memory, and
// reading it does not block.

#ifndef LAMINA_BASE_MEMINFO_H
#define LAMINA_BASE_MEMINFO_H

#include "base/compiler.h"

#include <stdint.h>

#define MEMINFO_PATH "/proc/meminfo"

// MemAvailable of the file `path` (MEMINFO_PATH, but for tests), in bytes. -EBADMSG: it does not say;
// -errno.
int meminfo_available(const char *path, uint64_t *ret_bytes) MUST_CHECK;

#endif
