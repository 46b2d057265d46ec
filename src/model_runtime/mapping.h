// SPDX-License-Identifier: MIT
//
// mapping: a model's bytes, mapped read-only and shared with everybody who maps the same.
//
// Nothing that happens to the file's name afterwards matters: the mapping holds its inode, and the
// store never writes to one again. A file outside the store must not be cut short while it is mapped
// (the kernel then ends the process that reads what is gone: SIGBUS); a sealed memfd cannot be.

#ifndef LAMINA_MODEL_RUNTIME_MAPPING_H
#define LAMINA_MODEL_RUNTIME_MAPPING_H

#include "base/error.h"

#include <stddef.h>

struct mapping {
    void *data; // NULL: nothing is mapped
    size_t size;
    void *reserved; // what munmap gets: a sealed mapping begins at a 2 MiB boundary inside
    size_t reserved_size;
};

// -EINVAL: empty, or no file; -errno of open and mmap.
int mapping_of_file(const char *path, struct mapping *ret_mapping, struct error *err) MUST_CHECK;

// A memfd that nobody can write to, shrink or grow any more; -EPERM for any other descriptor, which
// is not used: whoever holds it could change the model under us. Mapped at a 2 MiB boundary, as huge
// pages need. The descriptor stays the caller's, and may be closed.
int mapping_of_sealed(int fd, struct mapping *ret_mapping, struct error *err) MUST_CHECK;

void mapping_done(struct mapping *mapping); // harmless on an empty one

#endif
