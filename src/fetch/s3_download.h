// SPDX-License-Identifier: MIT
//
// s3_download: an object of another store becomes a staged file, in parallel ranged GETs.
//
//     ranges    |0----|1----|2----|3----|4--|      DOWNLOAD_RANGE_BYTES each, in order of starting
//     network    done  done   ###    ##             curl multi on the calling thread, 16 connections at
//                                                   first, more as long as more of them bring more
//     digest    ======>                             a second thread, in order behind the network,
//                                                   out of the page cache
//
// Bytes go to the partial file (store/partial.h) in blocks of DOWNLOAD_BLOCK_BYTES: memory is one block and one buffer a
// connection, 9 MiB at most, whatever the object's size. Every range names the ETag that the HEAD had
// (If-Match), so that two contents never mix. A range that breaks off goes on where it was, five times
// at most and ever later; what is there survives a kill -9 and is not asked for again.
//
// At the end the SHA-256 or CRC-32 that the store knows of the whole object is compared. (An ETag is
// not a checksum: it is opaque, and only of some uploads an MD5.)
//
// Errors: those of s3_client.h; -ESTALE: the object changed meanwhile; -EPROTO: an answer that is not
// the range that was asked for (200 to a range, another length than told); -EBADMSG: the checksum
// differs; -ENOSPC; -ECANCELED. Blocks: a job thread.

#ifndef LAMINA_FETCH_S3_DOWNLOAD_H
#define LAMINA_FETCH_S3_DOWNLOAD_H

#include "base/digest.h"
#include "fetch/s3_client.h"
#include "store/partial.h"
#include "store/store.h"

#include <stdatomic.h>

#define DOWNLOAD_RANGE_BYTES (UINT64_C(8) << 20)
#define DOWNLOAD_CONNECTIONS_FIRST 16
#define DOWNLOAD_CONNECTIONS_MAX 24
// Larger ones would be mapped by larger pages, and cost twice the time in a virtual machine whose free memory is given back to
// its host in blocks of 2 MiB.
#define DOWNLOAD_BLOCK_BYTES ((size_t) 256 << 10)
#define DOWNLOAD_TRIES_MAX 6
#define DOWNLOAD_PAUSE_MS 50 // before the second try; twice as long each time

struct s3_download_spec {
    struct store *store;          // borrowed
    struct s3_place *place;       // borrowed: as the HEAD left it
    const struct s3_head *head;   // borrowed
    const atomic_bool *is_ending; // borrowed; NULL: never
};

struct s3_downloaded {
    struct store_file *file;       // staged, finished
    struct store_partial *partial; // to be dropped after the batch's commit, or freed to keep it
    struct digest digest;
    uint64_t fetched_bytes; // that came over the network now
    uint64_t network_us;    // until all of it was here and digested
};

int s3_download(const struct s3_download_spec *spec, struct s3_downloaded *ret_downloaded,
                struct error *err) MUST_CHECK;

#endif
