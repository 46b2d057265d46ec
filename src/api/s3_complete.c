/* SPDX-License-Identifier: MIT
 *
 * CompleteMultipartUpload: the list that the client names becomes one object. */

#include <errno.h>
#include <string.h>

#include "api/s3_bodies.h"
#include "api/s3_object.h"
#include "api/s3_operations.h"
#include "api/s3_upload.h"
#include "api/s3_xml.h"
#include "base/clock.h"
#include "store/stage.h"

#define ETAG_MAX 48

struct completing {
    struct objects_bucket bucket;
    struct objects_upload upload;
    struct objects_condition condition;
    struct s3_named_part *named;
    size_t count;
    struct objects_part *parts; /* of the rows, as many as named */
    struct objects_part *all;
    size_t all_count;
    char etag[ETAG_MAX];
    struct str checksum; /* "CRC32 <base64> <type>" */
    struct str sizes;
};

/* ---- The list */

static int read_request(struct s3_call *s3, struct completing *completing)
{
    completing->named = arena_alloc_zero(&s3->arena, PARTS_MAX * sizeof(completing->named[0]));
    if (!completing->named)
        return s3_error_memory(s3);
    int r =
        s3_body_complete(s3->body, &s3->arena, completing->named, PARTS_MAX, &completing->count);
    if (r < 0)
        return r == -ENOMEM ? s3_error_memory(s3) : s3_xml_malformed(s3);
    return s3_object_condition(s3, &completing->condition);
}

/* ---- Against the rows */

static int invalid_part(struct s3_call *s3)
{
    return s3_error(
        s3, AWS_S3_INVALID_PART,
        "One or more of the specified parts could not be found. The part may not have "
        "been uploaded, or the specified entity tag may not match the part's entity tag.");
}

static int check_named(struct s3_call *s3, struct completing *completing, size_t i, size_t *next)
{
    const struct s3_named_part *named = &completing->named[i];
    bool is_whole;
    enum checksum_kind kind = s3_upload_checksum(&completing->upload, &is_whole);
    if (i > 0 && named->number <= completing->named[i - 1].number)
        return s3_error(
            s3, AWS_S3_INVALID_PART_ORDER,
            "The list of parts was not in ascending order. Parts must be ordered by part "
            "number.");
    while (*next < completing->all_count && completing->all[*next].number < named->number)
        ++*next;
    const struct objects_part *part = &completing->all[*next];
    if (*next == completing->all_count || part->number != named->number ||
        !str_equal(part->etag, named->etag))
        return invalid_part(s3);
    if (named->checksum.data && kind == named->kind && !str_equal(part->checksum, named->checksum))
        return invalid_part(s3);
    if (i + 1 < completing->count && part->size < PARTS_SIZE_MIN)
        return s3_error(s3, AWS_S3_ENTITY_TOO_SMALL,
                        "Your proposed upload is smaller than the minimum allowed size");
    completing->parts[i] = *part;
    return 0;
}

static int match_parts(struct s3_call *s3, struct completing *completing)
{
    size_t next = 0;
    int r = s3_upload_parts(s3, &completing->upload, &completing->all, &completing->all_count);
    if (r < 0)
        return r;
    completing->parts = arena_alloc(&s3->arena, completing->count * sizeof(completing->parts[0]));
    if (!completing->parts)
        return s3_error_memory(s3);
    for (size_t i = 0; r == 0 && i < completing->count; i++)
        r = check_named(s3, completing, i, &next);
    return r;
}

/* ---- What the whole has: ETag, checksum, the sizes of its parts */

static int hex_decode(struct str text, uint8_t *to, size_t size)
{
    if (text.size != 2 * size)
        return -EINVAL;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return -EINVAL;
        to[i / 2] = (uint8_t) (i % 2 ? to[i / 2] | digit : digit << 4);
    }
    return 0;
}

/* MD5 of the parts' MD5s, "-" and their number. */
static int make_etag(struct completing *completing)
{
    struct checksum_stream stream;
    char hex[33];
    int r = 0;
    checksum_init(&stream, CHECKSUM_MD5);
    for (size_t i = 0; r == 0 && i < completing->count; i++) {
        uint8_t md5[16];
        r = hex_decode(completing->parts[i].etag, md5, sizeof(md5));
        if (r == 0)
            checksum_update(&stream, md5, sizeof(md5));
    }
    struct checksum_value value = checksum_finish(&stream);
    (void) snprintf(completing->etag, sizeof(completing->etag), "%s-%zu",
                    hex_encode(value.bytes, 16, hex), completing->count);
    return r;
}

/* Whether every part has one, and the whole's: joined, or the checksum of the checksums. */
static bool join_checksums(const struct completing *completing, enum checksum_kind kind,
                           bool is_whole, struct checksum_value *ret_value)
{
    struct checksum_stream stream;
    struct checksum_value joined = {{0}};
    bool is_complete = true;
    checksum_init(&stream, kind);
    for (size_t i = 0; is_complete && i < completing->count; i++) {
        const struct objects_part *part = &completing->parts[i];
        struct checksum_value value;
        is_complete = checksum_parse(kind, part->checksum, &value) == 0;
        if (!is_complete)
            break;
        if (is_whole)
            joined = i ? checksum_join(kind, &joined, &value, part->size) : value;
        else
            checksum_update(&stream, value.bytes, checksum_bytes(kind));
    }
    struct checksum_value composite = checksum_finish(&stream);
    *ret_value = is_whole ? joined : composite;
    return is_complete;
}

static int make_checksum(struct s3_call *s3, struct completing *completing)
{
    bool is_whole;
    char base64[CHECKSUM_BASE64_SIZE];
    struct checksum_value value;
    enum checksum_kind kind = s3_upload_checksum(&completing->upload, &is_whole);
    completing->checksum = STR("");
    if (!kind)
        return 0;
    if (!join_checksums(completing, kind, is_whole, &value))
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "The upload was created using a %s checksum. The complete request must "
                        "include the checksum for each part. It was missing for at least one part.",
                        checksum_name(kind));
    checksum_base64(kind, &value, base64);
    /* Only one of the whole can be named ahead: a composite one has "-N" behind it. */
    struct str named = s3_header(s3, checksum_header(kind));
    if (is_whole && named.data && !str_equal(named, str_of(base64)))
        return s3_error(s3, AWS_S3_BAD_DIGEST,
                        "The %s you specified did not match the calculated checksum.",
                        checksum_name(kind));
    const char *text =
        is_whole ? arena_printf(&s3->arena, "%s %s FULL_OBJECT", checksum_name(kind), base64)
                 : arena_printf(&s3->arena, "%s %s-%zu COMPOSITE", checksum_name(kind), base64,
                                completing->count);
    completing->checksum = str_of(text);
    return text ? 0 : s3_error_memory(s3);
}

static int make_sizes(struct s3_call *s3, struct completing *completing)
{
    AUTO_BUF struct buf text = BUF_INIT(PARTS_MAX * 96);
    for (size_t i = 0; i < completing->count; i++) {
        const struct objects_part *part = &completing->parts[i];
        buf_printf(&text, "%s%llu", i ? " " : "", (unsigned long long) part->size);
        if (part->checksum.size > 0)
            buf_printf(&text, ":" STR_FORMAT, STR_ARGUMENTS(part->checksum));
    }
    completing->sizes = arena_copy_str(&s3->arena, buf_str(&text));
    return buf_status(&text) < 0 || !completing->sizes.data ? s3_error_memory(s3) : 0;
}

/* x-amz-mp-object-size: how large the client thinks it is. */
static int check_size(struct s3_call *s3, uint64_t size)
{
    struct str text = s3_header(s3, "x-amz-mp-object-size");
    uint64_t named;
    if (text.data && (str_to_u64(text, UINT64_MAX, &named) < 0 || named != size))
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "The provided 'x-amz-mp-object-size' header does not match what was "
                        "computed");
    return 0;
}

/* ---- The commit */

static void answer_complete(struct s3_call *s3, struct str etag, struct str checksum)
{
    struct buf *xml = &s3->answer;
    s3_xml_begin(s3, "CompleteMultipartUploadResult");
    buf_append_text(xml, "<Location>/");
    xml_append(xml, s3->bucket);
    buf_append_byte(xml, '/');
    xml_append(xml, s3->key);
    buf_append_text(xml, "</Location>");
    s3_xml_text(xml, "Bucket", s3->bucket);
    s3_xml_text(xml, "Key", s3->key);
    buf_printf(xml, "<ETag>&quot;" STR_FORMAT "&quot;</ETag>", STR_ARGUMENTS(etag));
    s3_xml_checksum(xml, checksum);
    buf_append_text(xml, "</CompleteMultipartUploadResult>");
}

static int commit(struct s3_call *s3, struct completing *completing,
                  const struct parts_joined *joined)
{
    struct objects_added added;
    struct error err = {0};
    struct objects_version version = {
        .key = s3->key,
        .size = joined->size,
        .digest = joined->sha256,
        .etag = str_of(completing->etag),
        .modified_ms = clock_wall_ms(),
        .headers = completing->upload.headers,
        .checksum = completing->checksum,
        .parts = completing->sizes,
        .tags = completing->upload.tags,
        .upload = str_of(completing->upload.id),
    };
    int r = objects_put(s3_objects(s3->s3), completing->bucket.id, &version, &completing->condition,
                        &added, &err);
    if (r < 0)
        return s3_object_put_failed(s3, r, &err);
    s3->has_dropped = added.has_replaced;
    parts_forget(s3->s3, &completing->upload, completing->all, completing->all_count);
    s3_object_answer_version(s3, &completing->bucket, added.name);
    answer_complete(s3, str_of(completing->etag), completing->checksum);
    return 0;
}

static int join(struct s3_call *s3, struct completing *completing)
{
    struct parts_joined joined;
    struct store_pin *pin = NULL;
    struct error err = {0};
    int r = parts_join(s3->s3, &completing->upload, completing->parts, completing->count, &joined,
                       &err);
    if (r <
        0) /* SlowDown, if another call completes it: a client that gave up waiting asks again */
        return s3_error_internal(s3, "s3.complete", &err);
    if (joined.size > 0)
        r = store_stage_publish(s3_store(s3->s3), STORE_TMP, joined.name, &joined.sha256,
                                joined.size, &pin, &err);
    r = r < 0 ? s3_error_internal(s3, "s3.complete", &err) : commit(s3, completing, &joined);
    if (r < 0) {
        if (joined.size > 0) /* gone already, if it has become an object */
            (void) !store_stage_remove(s3_store(s3->s3), STORE_TMP, joined.name);
        s3->has_dropped = true; /* no row names it */
        parts_join_end(s3->s3, &completing->upload, &joined);
    }
    store_unpin(pin);
    return r;
}

static int complete(struct s3_call *s3, struct completing *completing)
{
    struct error err = {0};
    uint64_t size = 0;
    int r = match_parts(s3, completing);
    if (r == 0 && make_etag(completing) < 0) {
        (void) error_set(&err, -EUCLEAN, "a part's row has no MD5");
        r = s3_error_internal(s3, "s3.complete", &err);
    }
    if (r == 0)
        r = make_checksum(s3, completing);
    if (r == 0)
        r = make_sizes(s3, completing);
    for (size_t i = 0; r == 0 && i < completing->count; i++)
        size += completing->parts[i].size;
    if (r == 0)
        r = check_size(s3, size);
    return r == 0 ? join(s3, completing) : r;
}

/* A client that did not hear the first answer asks again: what it made is still the newest. */
static int complete_again(struct s3_call *s3, const struct objects_bucket *bucket)
{
    struct objects_version version;
    struct error err = {0};
    struct str id;
    int r = s3_query(s3, "uploadId", &id);
    if (r == 0 && id.size > 0)
        r = objects_get(s3_objects(s3->s3), bucket->id, s3->key, (struct str){0}, &version, &err);
    else
        r = -ENOENT;
    if (r < 0)
        return s3_upload_gone(s3);
    bool is_same = str_equal(version.upload, id);
    if (is_same) {
        char name[OBJECTS_VERSION_SIZE] = "";
        (void) !str_copy(version.name, name, sizeof(name)); /* it fits */
        s3_object_answer_version(s3, bucket, name);
        answer_complete(s3, version.etag, version.checksum);
    }
    objects_version_done(&version);
    return is_same ? 0 : s3_upload_gone(s3);
}

int s3_complete_upload(struct s3_call *s3)
{
    struct completing completing = {0};
    int r = read_request(s3, &completing);
    if (r < 0)
        return r;
    r = s3_upload_find(s3, &completing.bucket, &completing.upload);
    if (r < 0 && s3->error.code == AWS_S3_NO_SUCH_UPLOAD)
        return complete_again(s3, &completing.bucket);
    if (r < 0)
        return r;
    r = complete(s3, &completing);
    objects_upload_done(&completing.upload);
    return r;
}
