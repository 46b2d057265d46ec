// SPDX-License-Identifier: MIT
//
// The check of what came from laminad, before anything is done with it. It is pure (bytes in,
// verdict out): tests/fuzz/fuzz_spawn_wire.c feeds it anything.

#ifndef LAMINA_SPAWN_REQUEST_H
#define LAMINA_SPAWN_REQUEST_H

#include "base/compiler.h"
#include "wire/spawn.h"

#include <stddef.h>

// Room for any message, aligned for all of them.
union request {
    struct spawn_head head;
    struct spawn_start start;
    struct spawn_request plain;
    struct spawn_tree_forget forget;
    struct spawn_work work;
    struct spawn_file file;
    unsigned char bytes[SPAWN_MESSAGE_MAX];
};

enum request_channel { REQUEST_INSTANCES, REQUEST_WORK };

// 0: well-formed, all fields within their limits. -EPROTO: not; the service must end. `size` is
// what the packet had, `fd_count` the descriptors that came with it.
int request_check(const union request *request, size_t size, size_t fd_count,
                  enum request_channel channel) MUST_CHECK;

#endif
