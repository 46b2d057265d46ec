// SPDX-License-Identifier: MIT
#include "client/object.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/percent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES_MAX ((size_t) 4096)
#define HASH_BLOCK ((size_t) 256 * 1024)

static int perform(struct client *client, const char *bucket, const char *key,
                   struct client_request *request, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_answer answer;
    char what[160];

    buf_printf(&path, "/%s", bucket);
    if (key != NULL) {
        buf_append_byte(&path, '/');
        percent_append(&path, str_of(key), true);
    }
    buf_append_byte(&path, '\0');
    if (buf_status(&path) < 0)
        return error_set(err, -ENAMETOOLONG, "the key is too long");
    request->path = path.data;
    request->service = "s3";
    (void) snprintf(what, sizeof what, "%s s3://%.60s/%.60s", request->method, bucket,
                    key != NULL ? key : "");
    int r = client_perform(client, request, &answer, err);
    if (r == 0)
        r = client_check(&answer, client_target(client), what, err);
    client_answer_done(&answer);
    return r;
}

int bucket_make(struct client *client, const char *bucket, struct error *err)
{
    struct client_request put = {.method = "PUT"};
    int r = perform(client, bucket, NULL, &put, err);

    if (r != -EBUSY) // it is there
        return r;
    error_clear(err);
    return 0;
}

int bucket_delete(struct client *client, const char *bucket, struct error *err)
{
    struct client_request request = {.method = "DELETE"};
    return perform(client, bucket, NULL, &request, err);
}

int object_delete(struct client *client, const char *bucket, const char *key, struct error *err)
{
    struct client_request request = {.method = "DELETE"};
    return perform(client, bucket, key, &request, err);
}

static ssize_t read_at(void *arg, uint64_t offset, void *to, size_t size)
{
    const struct object_upload *upload = arg;
    if (offset < upload->size) {
        uint64_t left = upload->size - offset;
        ssize_t n = pread(upload->fd, to, left < size ? (size_t) left : size, (off_t) offset);
        return n < 0 ? -errno : n;
    }
    size_t at = (size_t) (offset - upload->size);
    size_t n = upload->more_size - at < size ? upload->more_size - at : size;
    memcpy(to, (const char *) upload->more + at, n);
    return (ssize_t) n;
}

static int digest_upload(const struct object_upload *upload, char hex[DIGEST_HEX_SIZE],
                         struct error *err)
{
    AUTO_DIGEST struct digest_stream stream;
    AUTO_FREE char *block = malloc(HASH_BLOCK);

    digest_stream_init(&stream);
    if (block == NULL)
        return error_set(err, -ENOMEM, "no memory to hash a file");
    for (uint64_t at = 0; at < upload->size;) {
        uint64_t left = upload->size - at;
        ssize_t n =
            pread(upload->fd, block, left < HASH_BLOCK ? (size_t) left : HASH_BLOCK, (off_t) at);
        if (n <= 0)
            return error_set_errno(err, n < 0 ? -errno : -ESTALE, "read the file to send");
        digest_update(&stream, block, (size_t) n);
        at += (uint64_t) n;
    }
    digest_update(&stream, upload->more != NULL ? upload->more : "", upload->more_size);
    struct digest digest = digest_finish(&stream);
    digest_hex(&digest, hex);
    return 0;
}

int object_put(struct client *client, const char *bucket, const char *key,
               const struct object_upload *upload, char *ret_sha256_hex, struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    struct object_upload copy = *upload;
    int r = digest_upload(upload, hex, err);

    if (r < 0)
        return r;
    struct client_request request = {
        .method = "PUT",
        .source = read_at,
        .source_arg = &copy,
        .body_size = upload->size + upload->more_size,
        .body_sha256_hex = hex,
        .progress = upload->progress,
        .progress_arg = upload->progress_arg,
    };
    r = perform(client, bucket, key, &request, err);
    if (r == 0 && ret_sha256_hex != NULL)
        memcpy(ret_sha256_hex, hex, sizeof hex);
    return r;
}
