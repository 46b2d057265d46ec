// SPDX-License-Identifier: MIT
//
// What laminad and lamina-cache say to each other (docs/wire-cache.md).
//
// One SOCK_SEQPACKET pair, made by laminad, which has lamina-spawn start lamina-cache with one end as
// its standard output (SPAWN_WORK_CACHE in wire/spawn.h). One packet is one message. Native byte
// order: both ends are of one build, and a version that differs ends the cache.
//
//     laminad                                        lamina-cache
//       HOLD id, bytes; a file open for reading  ->
//                                                <-  HELD id, bytes, huge_bytes; a sealed memfd
//                                                <-  FAILED id, error
//
// HOLD copies the file's first `bytes` bytes into memory that is charged to the cache's cgroup, on
// huge pages where the kernel gives them, seals it (write, shrink, grow) and hands out a descriptor
// that can only be read. Requests are served one after the other. The cache keeps no descriptor:
// memory lives as long as laminad, or an instance that maps it, holds it.
//
// Trust. The cache parses nothing; a packet that is short, long, of an unknown kind, without its
// descriptor or with more than one ends it (laminad starts another). laminad takes a descriptor only
// with the answer to a HOLD that it sent, and lamina-spawn looks at its seals again.

#ifndef LAMINA_WIRE_CACHE_H
#define LAMINA_WIRE_CACHE_H

#include <stdint.h>

#define CACHE_VERSION UINT32_C(1)
#define CACHE_BYTES_MAX (UINT64_C(64) << 30) // of one file

enum cache_type { CACHE_HOLD = 1, CACHE_HELD = 3, CACHE_FAILED = 4 };

struct cache_request {
    uint32_t version;
    uint32_t type;  // HOLD
    uint64_t id;    // laminad's, comes back
    uint64_t bytes; // 1 to CACHE_BYTES_MAX
};

struct cache_answer {
    uint32_t version;
    uint32_t type; // HELD, FAILED
    uint64_t id;
    uint64_t bytes;      // HELD
    uint64_t huge_bytes; // HELD: that lie on huge pages
    uint32_t error;      // FAILED: errno, positive
    uint32_t reserved;
};

_Static_assert(sizeof(struct cache_request) == 24, "cache_request has a fixed size");
_Static_assert(sizeof(struct cache_answer) == 40, "cache_answer has a fixed size");

// 0 for a request that may be served: all that there is to check but the descriptor itself.
static inline int cache_request_check(const struct cache_request *request, uint64_t size,
                                      uint64_t fd_count)
{
    return size == sizeof(*request) && fd_count == 1 && request->version == CACHE_VERSION &&
                   request->type == CACHE_HOLD && request->bytes >= 1 &&
                   request->bytes <= CACHE_BYTES_MAX
               ? 0
               : -1;
}

#endif
