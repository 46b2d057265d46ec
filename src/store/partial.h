// SPDX-License-Identifier: MIT
//
// A partial file: content that comes from elsewhere in ranges, in any order, and that a crash must
// not make come twice.
//
//     DIR/partial/<key>       the bytes so far, with holes
//     DIR/partial/<key>.map   which ranges are there, each with the CRC-32C of its bytes
//
// Nothing is synced while it grows: after a kill -9 the kernel still has all of it, and after a power
// cut the CRCs tell which ranges reached the disk. What is opened again is read once and checked.
//
//     open -> (write..., mark)... -> finish -> a staged file -> store_batch_commit -> drop
//
// The key says what content it will be: of the object's address and ETag. Partial files that nobody
// went on with for PARTIAL_KEPT_S are removed by store_open.
//
// Threads: one writes and marks; others may read store_partial_fd's ranges that are marked. Blocks.
// Errors: -ENOSPC also before the first byte when the disk has no room for all of it.

#ifndef LAMINA_STORE_PARTIAL_H
#define LAMINA_STORE_PARTIAL_H

#include "store/store.h"

#define PARTIAL_KEPT_S (24 * 3600)
#define PARTIAL_RANGES_MAX 1000000

struct store_partial;

// Goes on with what is there if it has the same size and ranges, begins anew otherwise. -EBUSY: it is
// open already; what one has hashed must not change while another writes it.
int store_partial_open(struct store *store, const struct digest *key, uint64_t bytes,
                       uint64_t range_bytes, struct store_partial **ret_partial,
                       struct error *err) MUST_CHECK;
// Keeps what came, for the next time. Accepts NULL.
void store_partial_free(struct store_partial *partial);
// Removes it from the disk and frees it. Accepts NULL.
void store_partial_drop(struct store_partial *partial);

size_t store_partial_ranges(const struct store_partial *partial);
bool store_partial_has(const struct store_partial *partial, size_t range);
int store_partial_fd(const struct store_partial *partial); // borrowed, for pread

int store_partial_write(struct store_partial *partial, uint64_t offset, const void *data,
                        size_t size, struct error *err) MUST_CHECK;
// All bytes of the range were written; `crc` is their crc32c (base/crc32c.h).
int store_partial_mark(struct store_partial *partial, size_t range, uint32_t crc,
                       struct error *err) MUST_CHECK;

// All ranges are there, and `digest` was computed over them by this process: a staged, finished file
// for a batch. The partial file stays until it is dropped, so that a crash before the commit costs
// nothing.
int store_partial_finish(struct store_partial *partial, const struct digest *digest,
                         struct store_file **ret_file, struct error *err) MUST_CHECK;

#endif
