/* SPDX-License-Identifier: MIT
 *
 * UploadPart and UploadPartCopy. */

#include <errno.h>
#include <unistd.h>

#include "api/s3_object.h"
#include "api/s3_operations.h"
#include "api/s3_source.h"
#include "api/s3_upload.h"
#include "api/s3_xml.h"
#include "base/clock.h"
#include "base/fd.h"
#include "store/store.h"

#define ETAG_SIZE 33
#define PIECE_BYTES ((size_t) 1024 * 1024)

struct parting {
    struct objects_bucket bucket;
    struct objects_upload upload;
    unsigned number;
    struct part_place place;
    bool is_open;
};

/* ---- UploadPart */

/* The upload says which checksum its parts have; a part may bring another one, or none. */
static int check_kind(struct s3_call *s3, const struct objects_upload *upload)
{
    bool is_whole;
    enum checksum_kind kind = s3_upload_checksum(upload, &is_whole);
    if (kind && s3->proof.checksum && kind != s3->proof.checksum)
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "Checksum Type mismatch occurred, expected checksum Type: %s, actual "
                        "checksum Type: %s",
                        checksum_name(kind), checksum_name(s3->proof.checksum));
    return 0;
}

static int open_place(struct s3_call *s3, struct parting *parting, uint64_t size)
{
    struct error err = {0};
    if (size > PARTS_SIZE_MAX)
        return s3_error(s3, AWS_S3_ENTITY_TOO_LARGE,
                        "Your proposed upload exceeds the maximum allowed size");
    int r = s3_object_check_room(s3, size);
    if (r < 0)
        return r;
    r = part_open(s3->s3, &parting->upload, parting->number, (int64_t) size, &parting->place, &err);
    return r < 0 ? s3_error_internal(s3, "s3.part", &err) : 0;
}

int s3_part_open(struct s3_call *s3, int *ret_fd, uint64_t *ret_offset)
{
    struct parting *parting = arena_new(&s3->arena, struct parting);
    if (!parting)
        return s3_error_memory(s3);
    s3->work = parting;
    int r = s3_upload_part_number(s3, &parting->number);
    if (r == 0)
        r = s3_upload_find(s3, &parting->bucket, &parting->upload);
    if (r < 0)
        return r;
    r = check_kind(s3, &parting->upload);
    if (r == 0)
        r = open_place(s3, parting, s3->proof.bytes); /* a body without its length was refused */
    if (r < 0) {
        objects_upload_done(&parting->upload);
        return r;
    }
    *ret_fd = parting->place.fd;
    *ret_offset = parting->place.offset;
    return 0;
}

void s3_part_drop(struct s3_call *s3)
{
    struct parting *parting = s3->work;
    part_drop(s3->s3, &parting->upload, parting->number, &parting->place);
    objects_upload_done(&parting->upload);
}

/* What is kept of the part when the upload names a checksum: as the client sent it, or none. */
static int keep(struct s3_call *s3, struct parting *parting, struct objects_part *part, int fd)
{
    struct error err = {0};
    int r = part_keep(s3->s3, &parting->upload, part, &parting->place, fd, &err);
    if (r < 0)
        return r == -ENOENT ? s3_upload_gone(s3) : s3_error_internal(s3, "s3.part", &err);
    return 0;
}

int s3_part_finish(struct s3_call *s3, const struct receive_result *result)
{
    struct parting *parting = s3->work;
    char etag[ETAG_SIZE], base64[CHECKSUM_BASE64_SIZE] = "";
    enum checksum_kind kind = s3->proof.checksum;
    if (kind)
        checksum_base64(kind, &s3->proof.value, base64);
    struct objects_part part = {
        .number = parting->number,
        .size = result->bytes,
        .etag = str_of(hex_encode(result->md5.bytes, ETAG_SIZE / 2, etag)),
        .modified_ms = clock_wall_ms(),
        .checksum = str_of(base64),
    };
    int r = keep(s3, parting, &part, result->fd);
    if (r == 0) {
        s3_answer_printf(s3, "ETag", "\"%s\"", etag);
        if (kind)
            s3_answer_header(s3, checksum_header(kind), str_of(base64));
    }
    objects_upload_done(&parting->upload);
    return r;
}

int s3_part(struct s3_call *s3)
{
    return 0; /* s3_part_finish has done it */
}

/* ---- UploadPartCopy */

/* x-amz-copy-source-range: "bytes=a-b" within the object. */
static int read_range(struct s3_call *s3, uint64_t size, uint64_t *ret_start, uint64_t *ret_size)
{
    struct str text = s3_header(s3, "x-amz-copy-source-range"), first, last;
    uint64_t start, end;
    *ret_start = 0;
    *ret_size = size;
    if (!text.data)
        return 0;
    if (!str_has_prefix(text, STR("bytes=")) || !str_cut(str_skip(text, 6), '-', &first, &last) ||
        str_to_u64(first, UINT64_MAX, &start) < 0 || str_to_u64(last, UINT64_MAX, &end) < 0)
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "The x-amz-copy-source-range value must be of the form bytes=first-last "
                        "where first and last are the zero-based offsets of the first and last "
                        "bytes to copy");
    if (start > end || end >= size)
        return s3_error(s3, AWS_S3_INVALID_RANGE,
                        "The specified copy range is invalid for the source object size");
    *ret_start = start;
    *ret_size = end - start + 1;
    return 0;
}

struct copying {
    int from, to;
    uint64_t from_at, to_at, left;
    struct checksum_stream md5, checksum;
    char *piece;
};

static int copy_piece(struct copying *copying)
{
    size_t want = copying->left < PIECE_BYTES ? (size_t) copying->left : PIECE_BYTES;
    ssize_t n = pread(copying->from, copying->piece, want, (off_t) copying->from_at);
    if (n <= 0)
        return n < 0 ? (errno == EINTR ? 0 : -errno) : -EUCLEAN;
    for (ssize_t done = 0; done < n;) {
        ssize_t written = pwrite(copying->to, copying->piece + done, (size_t) (n - done),
                                 (off_t) copying->to_at + done);
        if (written < 0 && errno != EINTR)
            return -errno;
        done += written > 0 ? written : 0;
    }
    checksum_update(&copying->md5, copying->piece, (size_t) n);
    if (copying->checksum.kind)
        checksum_update(&copying->checksum, copying->piece, (size_t) n);
    copying->from_at += (uint64_t) n;
    copying->to_at += (uint64_t) n;
    copying->left -= (uint64_t) n;
    return 0;
}

static int copy_bytes(struct s3_call *s3, struct copying *copying)
{
    struct error err = {0};
    int r = 0;
    copying->piece = malloc(PIECE_BYTES);
    if (!copying->piece)
        return s3_error_memory(s3);
    while (r == 0 && copying->left > 0)
        r = copy_piece(copying);
    free(copying->piece);
    if (r < 0) {
        (void) error_set_errno(&err, r, "copy a part");
        return s3_error_internal(s3, "s3.part", &err);
    }
    return 0;
}

static int keep_copy(struct s3_call *s3, struct parting *parting, struct copying *copying,
                     uint64_t size, enum checksum_kind kind)
{
    char etag[ETAG_SIZE], base64[CHECKSUM_BASE64_SIZE] = "";
    struct checksum_value md5 = checksum_finish(&copying->md5), value;
    if (kind) {
        value = checksum_finish(&copying->checksum);
        checksum_base64(kind, &value, base64);
    }
    struct objects_part part = {
        .number = parting->number,
        .size = size,
        .etag = str_of(hex_encode(md5.bytes, ETAG_SIZE / 2, etag)),
        .modified_ms = clock_wall_ms(),
        .checksum = str_of(base64),
    };
    int r = keep(s3, parting, &part, copying->to);
    if (r < 0)
        return r;
    s3_xml_begin(s3, "CopyPartResult");
    s3_xml_time(&s3->answer, "LastModified", part.modified_ms);
    buf_printf(&s3->answer, "<ETag>&quot;%s&quot;</ETag>", etag);
    if (kind)
        buf_printf(&s3->answer, "<Checksum%s>%s</Checksum%s>", checksum_name(kind), base64,
                   checksum_name(kind));
    buf_append_text(&s3->answer, "</CopyPartResult>");
    return 0;
}

static int copy_content(struct s3_call *s3, struct parting *parting, struct s3_source *source,
                        uint64_t start, uint64_t size)
{
    bool is_whole;
    uint64_t bytes;
    struct error err = {0};
    enum checksum_kind kind = s3_upload_checksum(&parting->upload, &is_whole);
    AUTO_FD int from = -1, to = parting->place.fd;
    struct copying copying = {
        .to = to, .from_at = start, .to_at = parting->place.offset, .left = size};
    int r =
        size > 0 ? store_blob_open(s3_store(s3->s3), &source->version.digest, &from, &bytes) : 0;
    if (r < 0) {
        (void) error_set_errno(&err, r, "open the content of a copy's source");
        part_drop(s3->s3, &parting->upload, parting->number, &parting->place);
        return s3_error_internal(s3, "s3.part", &err);
    }
    copying.from = from;
    checksum_init(&copying.md5, CHECKSUM_MD5);
    if (kind)
        checksum_init(&copying.checksum, kind);
    r = copy_bytes(s3, &copying);
    if (r < 0)
        part_drop(s3->s3, &parting->upload, parting->number, &parting->place);
    else
        r = keep_copy(s3, parting, &copying, size, kind);
    checksum_done(&copying.md5);
    checksum_done(&copying.checksum);
    return r;
}

static int part_copy(struct s3_call *s3, struct parting *parting, struct s3_source *source)
{
    uint64_t start = 0, size = 0;
    int r = s3_source_find(s3, source);
    if (r == 0)
        r = read_range(s3, source->version.size, &start, &size);
    if (r == 0)
        r = open_place(s3, parting, size);
    if (r < 0)
        return r;
    if (source->found_bucket.versioning != OBJECTS_UNVERSIONED)
        s3_answer_header(s3, "x-amz-copy-source-version-id", source->version.name);
    return copy_content(s3, parting, source, start, size);
}

int s3_part_copy(struct s3_call *s3)
{
    struct s3_source *source = s3->work;
    struct parting parting = {0};
    int r = s3_upload_part_number(s3, &parting.number);
    if (r == 0)
        r = s3_upload_find(s3, &parting.bucket, &parting.upload);
    if (r == 0) {
        r = part_copy(s3, &parting, source);
        objects_upload_done(&parting.upload);
    }
    s3_source_done(source);
    return r;
}
