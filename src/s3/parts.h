// SPDX-License-Identifier: MIT
//
// parts: uploads in parts, and the object that they become without being copied.
//
//     uploads/<id>     part n at (n - 1) * part_size: the first part of at least PARTS_SHARED_MIN
//                      decides the size; one that is no longer than that has its place here
//     uploads/<other>  a part of another size, or one that is sent again: a file of its own
//
// parts_join makes one content of the list that the client names. Parts that lie where they belong
// stay there; the others are copied by the kernel (copy_file_range), into place if they fit, else
// all into a new file. A part's bytes are never written again while its row names them: what is
// sent again goes to another file, and its row then names that one.
//
// All block; a thread of the pool.

#ifndef LAMINA_S3_PARTS_H
#define LAMINA_S3_PARTS_H

#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "meta/objects.h"
#include "s3/s3.h"
#include "store/stage.h"

#include <stdbool.h>
#include <stdint.h>

#define PARTS_MAX 10000
#define PARTS_SIZE_MIN UINT64_C(5242880) // of all but the last: AWS's
#define PARTS_SIZE_MAX (UINT64_C(5) * 1024 * 1024 * 1024)
#define PARTS_SHARED_MIN PARTS_SIZE_MIN
#define PARTS_SHARED_END (UINT64_C(8) * 1024 * 1024 * 1024 * 1024) // ext4 ends at 16 TiB

struct part_place {
    bool is_shared;
    uint64_t offset;
    uint64_t part_size;             // the upload's, when it is shared
    char file[OBJECTS_UPLOAD_SIZE]; // of its own, else ""
    int fd;                         // to write to; -1 once taken
};

// Where a part of `size` bytes (-1: not known) shall lie.
int part_open(struct s3 *s3, const struct objects_upload *upload, unsigned number, int64_t size,
              struct part_place *ret_place, struct error *err) MUST_CHECK;
// It was not completed: what was written is nobody's.
void part_drop(struct s3 *s3, const struct objects_upload *upload, unsigned number,
               const struct part_place *place);
// Its bytes are written: on the disk, and its row too. -ENOENT: the upload ended meanwhile.
int part_keep(struct s3 *s3, const struct objects_upload *upload, struct objects_part *part,
              const struct part_place *place, int fd, struct error *err) MUST_CHECK;

struct parts_joined {
    char name[STORE_STAGE_NAME_SIZE]; // in tmp/; "" for no bytes
    uint64_t size;
    struct digest sha256;
    bool is_held; // parts_join's own: the upload is the caller's
};

// `parts` as the rows say, in the order of the object. -EUCLEAN: bytes of a part are missing.
// -EAGAIN: somebody else joins this upload. On success the upload is the caller's until parts_forget
// or parts_join_end: while its file becomes an object nobody else may put parts into their places.
int parts_join(struct s3 *s3, const struct objects_upload *upload, const struct objects_part *parts,
               size_t count, struct parts_joined *ret_joined, struct error *err) MUST_CHECK;

// What was joined did not become the upload's end.
void parts_join_end(struct s3 *s3, const struct objects_upload *upload,
                    const struct parts_joined *joined);

// The upload has ended (its rows are gone): its files go.
void parts_forget(struct s3 *s3, const struct objects_upload *upload,
                  const struct objects_part *parts, size_t count);

#endif
