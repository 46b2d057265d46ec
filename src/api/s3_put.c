/* SPDX-License-Identifier: MIT */

#include "api/s3_operations.h"

#include <errno.h>

#include "api/s3_object.h"
#include "base/clock.h"
#include "store/stage.h"

#define ETAG_SIZE 33

struct putting {
    struct objects_bucket bucket;
    struct objects_condition condition;
    struct str headers, tags;
    char name[STORE_STAGE_NAME_SIZE]; /* in tmp/ */
};

/* All that can be refused before a byte is taken. */
static int prepare(struct s3_call *s3, struct putting *putting)
{
    int r = s3_bucket(s3, &putting->bucket);
    if (r == 0)
        r = s3_object_condition(s3, &putting->condition);
    if (r == 0)
        r = s3_object_headers(s3, &putting->headers);
    if (r == 0)
        r = s3_object_tags(s3, &putting->tags);
    return r;
}

int s3_put_open(struct s3_call *s3, int *ret_fd, uint64_t *ret_offset)
{
    struct error err = {0};
    struct putting *putting = arena_new(&s3->arena, struct putting);
    if (!putting)
        return s3_error_memory(s3);
    s3->work = putting;
    int r = prepare(s3, putting);
    if (r < 0)
        return r;
    if (s3->proof.has_bytes)
        r = s3_object_check_room(s3, s3->proof.bytes);
    if (r < 0)
        return r;
    r = store_stage_new(s3_store(s3->s3), putting->name, ret_fd, &err);
    *ret_offset = 0;
    return r < 0 ? s3_error_internal(s3, "s3.put", &err) : 0;
}

void s3_put_drop(struct s3_call *s3)
{
    const struct putting *putting = s3->work;
    (void) !store_stage_remove(s3_store(s3->s3), STORE_TMP, putting->name); /* else a start does */
}

static int commit(struct s3_call *s3, const struct putting *putting,
                  const struct receive_result *result)
{
    char etag[ETAG_SIZE];
    struct objects_added added;
    struct error err = {0};
    struct objects_version version = {
        .key = s3->key,
        .size = result->bytes,
        .digest = result->sha256,
        .etag = str_of(hex_encode(result->md5.bytes, ETAG_SIZE / 2, etag)),
        .modified_ms = clock_wall_ms(),
        .headers = putting->headers,
        .checksum = s3_object_checksum(s3),
        .tags = putting->tags,
    };
    int r = objects_put(s3_objects(s3->s3), putting->bucket.id, &version, &putting->condition,
                        &added, &err);
    if (r < 0)
        return s3_object_put_failed(s3, r, &err);
    s3->has_dropped = added.has_replaced;
    s3_answer_printf(s3, "ETag", "\"%s\"", etag);
    s3_object_answer_version(s3, &putting->bucket, added.name);
    s3_object_answer_checksum(s3, version.checksum);
    return 0;
}

int s3_put_finish(struct s3_call *s3, const struct receive_result *result)
{
    const struct putting *putting = s3->work;
    struct store_pin *pin = NULL;
    struct error err = {0};
    if (result->bytes == 0) {
        s3_put_drop(s3);
    } else {
        int r = store_stage_publish(s3_store(s3->s3), STORE_TMP, putting->name, &result->sha256,
                                    result->bytes, &pin, &err);
        if (r < 0) {
            s3_put_drop(s3);
            return s3_error_internal(s3, "s3.put", &err);
        }
    }
    int r = commit(s3, putting, result);
    if (r < 0)
        s3->has_dropped = true; /* no row names it */
    store_unpin(pin);
    return r;
}

int s3_put(struct s3_call *s3)
{
    return 0; /* s3_put_finish has done it */
}
