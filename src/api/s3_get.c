/* SPDX-License-Identifier: MIT */

#include "api/s3_operations.h"

#include <errno.h>

#include "api/s3_object.h"
#include "base/fd.h"
#include "store/store.h"

/* ---- Which bytes */

struct range {
    bool is_part; /* 206 */
    uint64_t start, size;
    unsigned parts; /* ?partNumber: how many there are */
};

static int refuse_range(struct s3_call *s3, struct str text, uint64_t size)
{
    const char *details = arena_printf(
        &s3->arena,
        "<RangeRequested>" STR_FORMAT "</RangeRequested><ActualObjectSize>%llu</ActualObjectSize>",
        STR_ARGUMENTS(str_part(text, 0, 64)), (unsigned long long) size);
    s3->error_details = str_of(details);
    s3_answer_printf(s3, "Content-Range", "bytes */%llu", (unsigned long long) size);
    return s3_error(s3, AWS_S3_INVALID_RANGE, "The requested range is not satisfiable");
}

/* "bytes=a-b", "bytes=a-", "bytes=-n". Whatever else stands there (several ranges, another unit) is as if
 * it were not there, as HTTP says. */
static int read_range(struct s3_call *s3, uint64_t size, struct range *range)
{
    struct str text = s3_header(s3, "range"), spec = text, first, last;
    uint64_t start, end;
    if (!text.data || !str_has_prefix(text, STR("bytes=")))
        return 0;
    spec = str_skip(spec, 6);
    if (str_find(spec, ',') >= 0 || !str_cut(spec, '-', &first, &last))
        return 0;
    if (first.size == 0) {
        if (str_to_u64(last, UINT64_MAX, &end) < 0)
            return 0;
        if (end == 0 || size == 0)
            return refuse_range(s3, text, size);
        start = end < size ? size - end : 0;
        end = size - 1;
    } else {
        if (str_to_u64(first, UINT64_MAX, &start) < 0)
            return 0;
        end = UINT64_MAX;
        if (last.size > 0 && (str_to_u64(last, UINT64_MAX, &end) < 0 || end < start))
            return 0;
        if (start >= size)
            return refuse_range(s3, text, size);
        if (end >= size)
            end = size - 1;
    }
    *range = (struct range){.is_part = true, .start = start, .size = end - start + 1};
    return 0;
}

static int no_part(struct s3_call *s3)
{
    return s3_error(s3, AWS_S3_INVALID_RANGE, "The requested partnumber is not satisfiable");
}

/* ?partNumber: the bytes that came as that part. */
static int read_part(struct s3_call *s3, const struct objects_version *version, struct range *range)
{
    struct str text, rest = version->parts, each, size_text;
    uint64_t number, size = version->size, start = 0;
    unsigned count = 0;
    int r = s3_query(s3, "partNumber", &text);
    if (r < 0 || !text.data)
        return r;
    if (str_to_u64(text, 10000, &number) < 0 || number == 0)
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "Part number must be an integer between 1 and 10000, inclusive");
    if (s3_header(s3, "range").data)
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "Cannot specify both Range header and partNumber query parameter");
    *range = (struct range){.is_part = version->size > 0, .size = version->size};
    while (rest.size > 0) {
        (void) str_cut(rest, ' ', &each, &rest);
        (void) str_cut(each, ':', &size_text, &(struct str){0});
        if (str_to_u64(size_text, UINT64_MAX, &size) < 0)
            return no_part(s3);
        if (++count == number) {
            range->start = start;
            range->size = size;
        }
        start += size;
    }
    range->parts = count;
    return number > (count ? count : 1) ? no_part(s3) : 0;
}

/* ---- The answer */

static int open_content(struct s3_call *s3, const struct objects_version *version)
{
    uint64_t bytes;
    int r = version->size > 0 && s3->method != HTTP_METHOD_HEAD
                ? store_blob_open(s3_store(s3->s3), &version->digest, &s3->fd, &bytes)
                : 0;
    if (r == 0 && s3->fd >= 0 && bytes != version->size)
        r = -EUCLEAN;
    return r;
}

static const struct {
    const char *parameter, *header;
} overrides[] = {
    {"response-content-type", "content-type"},
    {"response-content-language", "content-language"},
    {"response-expires", "expires"},
    {"response-cache-control", "cache-control"},
    {"response-content-disposition", "content-disposition"},
    {"response-content-encoding", "content-encoding"},
};

static int override_headers(struct s3_call *s3)
{
    for (size_t i = 0; i < ARRAY_SIZE(overrides); i++) {
        struct str value;
        int r = s3_query(s3, overrides[i].parameter, &value);
        if (r < 0)
            return r;
        if (!value.data)
            continue;
        size_t at = 0;
        while (at < s3->answer_count &&
               !str_equal_text(s3->answer_headers[at].name, overrides[i].header))
            at++;
        if (at < s3->answer_count)
            s3->answer_headers[at].value = value;
        else
            s3_answer_header(s3, overrides[i].header, value);
    }
    return 0;
}

static int answer_object(struct s3_call *s3, const struct objects_bucket *bucket,
                         const struct objects_version *version)
{
    struct range range = {.size = version->size};
    int r = s3_object_check(s3, "", version);
    if (r == 0)
        r = read_range(s3, version->size, &range);
    if (r == 0)
        r = read_part(s3, version, &range);
    if (r < 0)
        return r;
    s3_object_answer(s3, bucket, version);
    if (range.is_part) {
        s3->status = 206;
        s3_answer_printf(s3, "Content-Range", "bytes %llu-%llu/%llu",
                         (unsigned long long) range.start,
                         (unsigned long long) (range.start + range.size - 1),
                         (unsigned long long) version->size);
    }
    if (range.parts)
        s3_answer_printf(s3, "x-amz-mp-parts-count", "%u", range.parts);
    bool is_whole = range.size == version->size;
    if (is_whole && str_equal_nocase(s3_header(s3, "x-amz-checksum-mode"), STR("ENABLED")))
        s3_object_answer_checksum(s3, version->checksum);
    s3->has_file = true;
    s3->offset = range.start;
    s3->size = range.size;
    return override_headers(s3);
}

/* Between the row and the file the key may have been overwritten and its content collected: then there is
 * another row. */
#define TRIES 3

int s3_get(struct s3_call *s3)
{
    for (int i = 0;; i++) {
        struct objects_bucket bucket;
        struct objects_version version;
        struct error err = {0};
        int r = s3_object_find(s3, &bucket, &version);
        if (r < 0)
            return r;
        int opened = open_content(s3, &version);
        if (opened == 0)
            r = answer_object(s3, &bucket, &version);
        objects_version_done(&version);
        if (opened == 0)
            return r;
        (void) error_set_errno(&err, opened, "open an object's content");
        if (opened != -ENOENT || i == TRIES)
            return s3_error_internal(s3, "s3.get", &err);
    }
}
