/* SPDX-License-Identifier: MIT
 *
 * Uploads in parts: begin, list, abort. s3_part.c has the parts, s3_complete.c the end. */

#include "api/s3_upload.h"

#include <errno.h>
#include <string.h>

#include "api/s3_object.h"
#include "api/s3_operations.h"
#include "api/s3_xml.h"
#include "base/clock.h"
#include "base/mem.h"

int s3_upload_gone(struct s3_call *s3)
{
    return s3_error(s3, AWS_S3_NO_SUCH_UPLOAD,
                    "The specified upload does not exist. The upload ID may be invalid, or the "
                    "upload may have been aborted or completed.");
}

int s3_upload_find(struct s3_call *s3, struct objects_bucket *ret_bucket,
                   struct objects_upload *ret_upload)
{
    struct error err = {0};
    struct str id;
    int r = s3_bucket(s3, ret_bucket);
    if (r == 0)
        r = s3_query(s3, "uploadId", &id);
    if (r < 0)
        return r;
    r = objects_upload_get(s3_objects(s3->s3), id, ret_upload, &err);
    if (r == -ENOENT)
        return s3_upload_gone(s3);
    if (r < 0)
        return s3_error_internal(s3, "s3.upload", &err);
    if (ret_upload->bucket == ret_bucket->id && str_equal(ret_upload->key, s3->key))
        return 0;
    objects_upload_done(ret_upload);
    return s3_upload_gone(s3);
}

int s3_upload_part_number(struct s3_call *s3, unsigned *ret_number)
{
    struct str text;
    uint64_t number = 0;
    int r = s3_query(s3, "partNumber", &text);
    if (r < 0)
        return r;
    if (str_to_u64(text, PARTS_MAX, &number) < 0 || number == 0)
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "Part number must be an integer between 1 and 10000, inclusive");
    *ret_number = (unsigned) number;
    return 0;
}

enum checksum_kind s3_upload_checksum(const struct objects_upload *upload, bool *ret_is_whole)
{
    struct str name, type;
    (void) str_cut(upload->checksum, ' ', &name, &type);
    *ret_is_whole = str_equal(type, STR("FULL_OBJECT"));
    return checksum_by_name(name);
}

/* ---- CreateMultipartUpload */

/* x-amz-checksum-algorithm and -type. CRC64NVME is of the whole only, the SHAs of the parts only. */
static int read_checksum(struct s3_call *s3, struct str *ret_text)
{
    struct str name = s3_header(s3, "x-amz-checksum-algorithm");
    struct str type = s3_header(s3, "x-amz-checksum-type");
    enum checksum_kind kind = checksum_by_name(name);
    *ret_text = STR("");
    if (!name.data && !type.data)
        return 0;
    if (kind == CHECKSUM_NONE)
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "Checksum algorithm provided is unsupported. Please try again with any of "
                        "the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
    if (!type.data)
        type = kind == CHECKSUM_CRC64NVME ? STR("FULL_OBJECT") : STR("COMPOSITE");
    bool is_whole = str_equal(type, STR("FULL_OBJECT"));
    if ((!is_whole && !str_equal(type, STR("COMPOSITE"))) || (is_whole && !checksum_is_crc(kind)) ||
        (!is_whole && kind == CHECKSUM_CRC64NVME))
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "The " STR_FORMAT
                        " checksum type cannot be used with the %s checksum algorithm.",
                        STR_ARGUMENTS(str_part(type, 0, 32)), checksum_name(kind));
    const char *text =
        arena_printf(&s3->arena, "%s " STR_FORMAT, checksum_name(kind), STR_ARGUMENTS(type));
    *ret_text = str_of(text);
    return text ? 0 : s3_error_memory(s3);
}

int s3_create_upload(struct s3_call *s3)
{
    struct objects_bucket bucket;
    struct objects_upload upload = {.key = s3->key, .created_ms = clock_wall_ms()};
    uint8_t random[(OBJECTS_UPLOAD_SIZE - 1) / 2];
    struct error err = {0};
    int r = s3_bucket(s3, &bucket);
    if (r == 0)
        r = s3_object_headers(s3, &upload.headers);
    if (r == 0)
        r = s3_object_tags(s3, &upload.tags);
    if (r == 0)
        r = read_checksum(s3, &upload.checksum);
    if (r < 0)
        return r;
    mem_random(random, sizeof(random));
    hex_encode(random, sizeof(random), upload.id);
    upload.bucket = bucket.id;
    r = objects_upload_create(s3_objects(s3->s3), &upload, &err);
    if (r < 0)
        return s3_object_put_failed(s3, r, &err);
    bool is_whole;
    enum checksum_kind kind = s3_upload_checksum(&upload, &is_whole);
    if (kind) {
        s3_answer_header(s3, "x-amz-checksum-algorithm", str_of(checksum_name(kind)));
        s3_answer_header(s3, "x-amz-checksum-type",
                         is_whole ? STR("FULL_OBJECT") : STR("COMPOSITE"));
    }
    s3_xml_begin(s3, "InitiateMultipartUploadResult");
    s3_xml_text(&s3->answer, "Bucket", s3->bucket);
    s3_xml_text(&s3->answer, "Key", s3->key);
    s3_xml_text(&s3->answer, "UploadId", str_of(upload.id));
    buf_append_text(&s3->answer, "</InitiateMultipartUploadResult>");
    return 0;
}

/* ---- All parts of one */

struct gathering {
    struct s3_call *s3;
    struct objects_part *parts;
    size_t count, capacity;
};

static int gather_part(void *arg, const struct objects_part *part)
{
    struct gathering *gathering = arg;
    struct arena *arena = &gathering->s3->arena;
    if (gathering->count == gathering->capacity) {
        size_t capacity = gathering->capacity ? 4 * gathering->capacity : 64;
        struct objects_part *parts = arena_alloc(arena, capacity * sizeof(parts[0]));
        if (!parts)
            return -ENOMEM;
        if (gathering->count)
            memcpy(parts, gathering->parts, gathering->count * sizeof(parts[0]));
        gathering->parts = parts;
        gathering->capacity = capacity;
    }
    struct objects_part *copy = &gathering->parts[gathering->count++];
    *copy = *part;
    copy->etag = arena_copy_str(arena, part->etag);
    copy->checksum = arena_copy_str(arena, part->checksum);
    copy->file = arena_copy_str(arena, part->file);
    return arena_is_exhausted(arena) ? -ENOMEM : 0;
}

int s3_upload_parts(struct s3_call *s3, const struct objects_upload *upload,
                    struct objects_part **ret_parts, size_t *ret_count)
{
    struct gathering gathering = {.s3 = s3};
    struct error err = {0};
    int r =
        objects_part_each(s3_objects(s3->s3), str_of(upload->id), 0, gather_part, &gathering, &err);
    if (r == -ENOMEM)
        return s3_error_memory(s3);
    if (r < 0)
        return s3_error_internal(s3, "s3.parts", &err);
    *ret_parts = gathering.parts;
    *ret_count = gathering.count;
    return 0;
}

/* ---- AbortMultipartUpload */

int s3_abort_upload(struct s3_call *s3)
{
    struct objects_bucket bucket;
    struct objects_upload upload;
    struct objects_part *parts;
    struct error err = {0};
    size_t count;
    int r = s3_upload_find(s3, &bucket, &upload);
    if (r < 0)
        return r;
    r = s3_upload_parts(s3, &upload, &parts, &count);
    if (r == 0) {
        r = objects_upload_abort(s3_objects(s3->s3), str_of(upload.id), &err);
        if (r < 0)
            r = r == -ENOENT ? s3_upload_gone(s3) : s3_error_internal(s3, "s3.abort", &err);
    }
    if (r == 0)
        parts_forget(s3->s3, &upload, parts, count);
    objects_upload_done(&upload);
    s3->status = 204;
    return r;
}

/* ---- ListParts */

struct part_list {
    struct s3_call *s3;
    enum checksum_kind kind;
    struct buf items;
    size_t max, count;
    unsigned last;
};

static int list_part(void *arg, const struct objects_part *part)
{
    struct part_list *list = arg;
    struct buf *xml = &list->items;
    if (list->count == list->max)
        return 1;
    list->count++;
    list->last = part->number;
    buf_append_text(xml, "<Part>");
    s3_xml_number(xml, "PartNumber", part->number);
    s3_xml_time(xml, "LastModified", part->modified_ms);
    buf_printf(xml, "<ETag>&quot;" STR_FORMAT "&quot;</ETag>", STR_ARGUMENTS(part->etag));
    s3_xml_number(xml, "Size", part->size);
    if (list->kind && part->checksum.size > 0)
        buf_printf(xml, "<Checksum%s>" STR_FORMAT "</Checksum%s>", checksum_name(list->kind),
                   STR_ARGUMENTS(part->checksum), checksum_name(list->kind));
    buf_append_text(xml, "</Part>");
    return buf_status(xml);
}

static int read_number(struct s3_call *s3, const char *name, uint64_t maximum, uint64_t *number)
{
    struct str text;
    int r = s3_query(s3, name, &text);
    if (r < 0 || !text.data || text.size == 0)
        return r;
    uint64_t value;
    if (str_to_u64(text, INT32_MAX, &value) < 0)
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "Provided %s not an integer or within integer range", name);
    *number = value < maximum ? value : maximum;
    return 0;
}

static int list_parts(struct s3_call *s3, const struct objects_upload *upload,
                      struct part_list *list)
{
    struct error err = {0};
    struct buf *xml = &s3->answer;
    uint64_t max = S3_PAGE_MAX, after = 0;
    bool is_whole;
    int r = read_number(s3, "max-parts", S3_PAGE_MAX, &max);
    if (r == 0)
        r = read_number(s3, "part-number-marker", PARTS_MAX, &after);
    if (r < 0)
        return r;
    list->max = (size_t) max;
    list->kind = s3_upload_checksum(upload, &is_whole);
    r = objects_part_each(s3_objects(s3->s3), str_of(upload->id), (unsigned) after, list_part, list,
                          &err);
    if (r < 0)
        return s3_error_internal(s3, "s3.list_parts", &err);
    s3_xml_begin(s3, "ListPartsResult");
    s3_xml_text(xml, "Bucket", s3->bucket);
    s3_xml_text(xml, "Key", s3->key);
    s3_xml_text(xml, "UploadId", str_of(upload->id));
    s3_xml_owner(s3, "Initiator");
    s3_xml_owner(s3, "Owner");
    buf_append_text(xml, "<StorageClass>STANDARD</StorageClass>");
    s3_xml_number(xml, "PartNumberMarker", after);
    s3_xml_number(xml, "NextPartNumberMarker", list->last);
    s3_xml_number(xml, "MaxParts", max);
    buf_printf(xml, "<IsTruncated>%s</IsTruncated>", r == 1 ? "true" : "false");
    if (list->kind) {
        s3_xml_text(xml, "ChecksumAlgorithm", str_of(checksum_name(list->kind)));
        s3_xml_text(xml, "ChecksumType", is_whole ? STR("FULL_OBJECT") : STR("COMPOSITE"));
    }
    buf_append_str(xml, buf_str(&list->items));
    buf_append_text(xml, "</ListPartsResult>");
    return 0;
}

int s3_list_parts(struct s3_call *s3)
{
    struct objects_bucket bucket;
    struct objects_upload upload;
    struct part_list list = {.s3 = s3, .items = BUF_INIT(S3_ANSWER_MAX)};
    int r = s3_upload_find(s3, &bucket, &upload);
    if (r < 0)
        return r;
    r = list_parts(s3, &upload, &list);
    buf_done(&list.items);
    objects_upload_done(&upload);
    return r;
}

/* ---- ListMultipartUploads */

struct upload_list {
    struct s3_call *s3;
    bool is_encoded;
    struct buf items, prefixes, last;
    char last_id[OBJECTS_UPLOAD_SIZE];
};

static int note_last(struct upload_list *list, struct str key, const char *id)
{
    buf_clear(&list->last);
    buf_append_str(&list->last, key);
    (void) snprintf(list->last_id, sizeof(list->last_id), "%s", id);
    return buf_status(&list->last);
}

static int list_upload(void *arg, const struct objects_upload *upload)
{
    struct upload_list *list = arg;
    struct buf *xml = &list->items;
    const char *account = list->s3->account;
    buf_append_text(xml, "<Upload>");
    s3_xml_key(xml, "Key", upload->key, list->is_encoded);
    s3_xml_text(xml, "UploadId", str_of(upload->id));
    buf_printf(xml, "<Initiator><ID>%s</ID></Initiator><Owner><ID>%s</ID></Owner>", account,
               account);
    buf_append_text(xml, "<StorageClass>STANDARD</StorageClass>");
    s3_xml_time(xml, "Initiated", upload->created_ms);
    buf_append_text(xml, "</Upload>");
    return note_last(list, upload->key, upload->id);
}

static int list_prefix(void *arg, struct str prefix)
{
    struct upload_list *list = arg;
    buf_append_text(&list->prefixes, "<CommonPrefixes>");
    s3_xml_key(&list->prefixes, "Prefix", prefix, list->is_encoded);
    buf_append_text(&list->prefixes, "</CommonPrefixes>");
    return note_last(list, prefix, "");
}

static int read_page(struct s3_call *s3, struct objects_page *page, bool *ret_is_encoded)
{
    struct str encoding;
    uint64_t max = S3_PAGE_MAX;
    int r = s3_query(s3, "prefix", &page->prefix);
    if (r == 0)
        r = s3_query(s3, "delimiter", &page->delimiter);
    if (r == 0)
        r = s3_query(s3, "key-marker", &page->after);
    if (r == 0)
        r = s3_query(s3, "upload-id-marker", &page->after_name);
    if (r == 0)
        r = s3_query(s3, "encoding-type", &encoding);
    if (r == 0)
        r = read_number(s3, "max-uploads", S3_PAGE_MAX, &max);
    page->has_after_name = page->after.size > 0 && page->after_name.size > 0;
    page->max = (size_t) max;
    *ret_is_encoded = r == 0 && str_equal(encoding, STR("url"));
    return r;
}

static int list_uploads(struct s3_call *s3, struct upload_list *list)
{
    struct objects_bucket bucket;
    struct objects_page page = {0};
    struct error err = {0};
    struct buf *xml = &s3->answer;
    int r = s3_bucket(s3, &bucket);
    if (r == 0)
        r = read_page(s3, &page, &list->is_encoded);
    if (r < 0)
        return r;
    page.bucket = bucket.id;
    if (page.max > 0)
        r = objects_upload_list(s3_objects(s3->s3), &page, list_upload, list_prefix, list, &err);
    if (r < 0)
        return s3_error_internal(s3, "s3.list_uploads", &err);
    s3_xml_begin(s3, "ListMultipartUploadsResult");
    s3_xml_text(xml, "Bucket", s3->bucket);
    s3_xml_key(xml, "KeyMarker", page.after, list->is_encoded);
    s3_xml_text(xml, "UploadIdMarker", page.after_name);
    if (r == 1) {
        s3_xml_key(xml, "NextKeyMarker", buf_str(&list->last), list->is_encoded);
        s3_xml_text(xml, "NextUploadIdMarker", str_of(list->last_id));
    }
    s3_xml_key(xml, "Prefix", page.prefix, list->is_encoded);
    if (page.delimiter.size > 0)
        s3_xml_key(xml, "Delimiter", page.delimiter, list->is_encoded);
    s3_xml_number(xml, "MaxUploads", page.max);
    if (list->is_encoded)
        buf_append_text(xml, "<EncodingType>url</EncodingType>");
    buf_printf(xml, "<IsTruncated>%s</IsTruncated>", r == 1 ? "true" : "false");
    buf_append_str(xml, buf_str(&list->items));
    buf_append_str(xml, buf_str(&list->prefixes));
    buf_append_text(xml, "</ListMultipartUploadsResult>");
    return buf_status(&list->items);
}

int s3_list_uploads(struct s3_call *s3)
{
    struct upload_list list = {.s3 = s3,
                               .items = BUF_INIT(S3_ANSWER_MAX),
                               .prefixes = BUF_INIT(S3_ANSWER_MAX),
                               .last = BUF_INIT(OBJECTS_KEY_MAX + 1)};
    int r = list_uploads(s3, &list);
    buf_done(&list.items);
    buf_done(&list.prefixes);
    buf_done(&list.last);
    return r;
}
