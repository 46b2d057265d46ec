// SPDX-License-Identifier: MIT
#include "client/sign.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

#define SIGNED_HEADERS_MAX (CLIENT_HEADERS_MAX + 1)
#define HASH_BLOCK_BYTES ((size_t) 256 << 10)

static int hash_source(const struct client_request *request, struct digest *ret, struct error *err)
{
    AUTO_DIGEST struct digest_stream stream;
    AUTO_FREE char *block = malloc(HASH_BLOCK_BYTES);

    digest_stream_init(&stream);
    if (block == NULL)
        return error_set(err, -ENOMEM, "no memory to hash a body");
    for (uint64_t at = 0; at < request->body_size;) {
        uint64_t left = request->body_size - at;
        size_t want = left < HASH_BLOCK_BYTES ? (size_t) left : HASH_BLOCK_BYTES;
        ssize_t n = request->source(request->source_arg, at, block, want);
        if (n <= 0)
            return error_set_errno(err, n < 0 ? (int) n : -ESTALE, "read the body to send");
        digest_update(&stream, block, (size_t) n);
        at += (uint64_t) n;
    }
    *ret = digest_finish(&stream);
    return 0;
}

static int hash_body(const struct client_request *request, struct digest *ret, struct error *err)
{
    if (request->body_sha256_hex != NULL) {
        if (digest_parse_hex(str_of(request->body_sha256_hex), ret) < 0)
            return error_set(err, -EINVAL, "'%.70s' is not a SHA-256", request->body_sha256_hex);
        return 0;
    }
    if (request->source == NULL || request->body != NULL) {
        *ret = digest_of(request->body, (size_t) request->body_size);
        return 0;
    }
    return hash_source(request, ret, err);
}

int request_sign(const struct target *target, const struct client_request *request,
                 struct sigv4_headers *ret, struct error *err)
{
    struct http_header headers[SIGNED_HEADERS_MAX] = {
        {.name = STR("host"), .value = str_of(target->host)}};
    const struct target_credentials *credentials = &target->credentials;
    size_t count = 1;
    struct digest hash;

    int r = hash_body(request, &hash, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < CLIENT_HEADERS_MAX && request->headers[i].name != NULL; i++)
        headers[count++] = (struct http_header){.name = str_of(request->headers[i].name),
                                                .value = str_of(request->headers[i].value)};
    const struct sigv4_request signable = {
        .method = str_of(request->method),
        .path = str_of(request->path),
        .query = str_of(request->query),
        .headers = headers,
        .header_count = count,
    };
    const struct sigv4_signer signer = {
        .access_key = str_of(credentials->access_key),
        .secret = str_of(credentials->secret_key),
        .token = str_of(credentials->session_token),
        .region = str_of(target->region),
        .service = str_of(request->service != NULL ? request->service : "lambda"),
        .wall_s = clock_wall_s(),
    };
    r = sigv4_sign(&signer, &signable, &hash, ret, err);
    return r < 0 ? error_wrap(err, r, "sign the request") : 0;
}
