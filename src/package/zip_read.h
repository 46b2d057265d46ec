// SPDX-License-Identifier: MIT
//
// How much a zip archive holds, read from its central directory: enough to compare a package with
// AWS's limits before it is sent. What the archive claims is not trusted further than that: the
// service checks every byte when it unpacks.
//
// Reads the last 66 KiB and the central directory (at most ZIP_DIRECTORY_BYTES_MAX). Errors:
// -EINVAL (not a zip archive, or a directory that does not add up), -EFBIG (a longer directory),
// and those of read.
#ifndef LAMINA_PACKAGE_ZIP_READ_H
#define LAMINA_PACKAGE_ZIP_READ_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZIP_DIRECTORY_BYTES_MAX ((uint64_t) 64 << 20)

struct zip_totals {
    uint64_t entries;
    uint64_t unzipped_bytes; // what the archive says; the sum saturates
    bool has_bootstrap;      // an entry named "bootstrap"
    bool is_bootstrap_executable;
};

// Of size bytes at data: the whole archive. For tests and fuzzing.
MUST_CHECK int zip_totals_of(const void *data, size_t size, struct zip_totals *ret,
                             struct error *err);

MUST_CHECK int zip_totals_of_fd(int fd, uint64_t size, struct zip_totals *ret, struct error *err);

#endif
