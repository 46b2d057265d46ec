// SPDX-License-Identifier: MIT

#include "fetch/local.h"

#include "meta/objects.h"
#include "s3/s3.h"

#include <errno.h>

static void fill(struct fetch_local_object *object, const struct digest *digest, uint64_t bytes)
{
    *object = (struct fetch_local_object){.digest = *digest, .bytes = bytes};
    (void) digest_hex(digest, object->mark);
}

static int local_find(void *arg, struct str bucket, struct str key, struct str version_id,
                      struct fetch_local_object *ret_object, struct error *err)
{
    struct s3_found found;
    if (version_id.size == 0)
        version_id = (struct str){0};
    int r = s3_lookup(arg, bucket, key, version_id, &found, err);
    if (r == 0)
        fill(ret_object, &found.digest, found.size);
    return r;
}

struct visit {
    int (*each)(void *arg, struct str key, const struct fetch_local_object *object);
    void *arg;
    size_t left;
};

static int visit_version(void *arg, const struct objects_version *version)
{
    struct visit *visit = arg;
    struct fetch_local_object object;
    if (version->is_marker)
        return 0;
    if (visit->left-- == 0)
        return -E2BIG;
    fill(&object, &version->digest, version->size);
    return visit->each(visit->arg, version->key, &object);
}

static int local_list(void *arg, struct str bucket, struct str prefix,
                      int (*each)(void *arg, struct str key,
                                  const struct fetch_local_object *object),
                      void *each_arg, struct error *err)
{
    struct objects *objects = s3_objects(arg);
    struct objects_bucket found;
    struct visit visit = {.each = each, .arg = each_arg, .left = FETCH_FILES_MAX};
    const struct objects_visitor visitor = {.version = visit_version, .arg = &visit};
    int r = objects_bucket_get(objects, bucket, &found, err);
    if (r == -ENOENT)
        return error_set(err, r, "NoSuchBucket: The specified bucket does not exist");
    if (r < 0)
        return r;
    const struct objects_page page = {
        .bucket = found.id, .prefix = prefix, .max = FETCH_FILES_MAX + 1};
    r = objects_list(objects, &page, &visitor, err);
    return r < 0 ? r : 0;
}

struct fetch_local fetch_local_of(struct s3 *s3)
{
    return (struct fetch_local){.find = local_find, .list = local_list, .arg = s3};
}
