/* SPDX-License-Identifier: MIT */

#include "api/code_location.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "store/store.h"

#define PREFIX "/lamina/v1/code/"
#define URL_MAX 4096

bool code_location_is(const struct http_request *request)
{
    bool is_reading = request->method == HTTP_METHOD_GET || request->method == HTTP_METHOD_HEAD;
    return is_reading && str_has_prefix(request->path, STR(PREFIX));
}

int code_location_append(struct call *call, const struct version *version, struct buf *json)
{
    struct digest digest;
    memcpy(digest.bytes, version->code.zip_sha256, DIGEST_BYTES);
    return code_location_append_digest(call, &digest, json);
}

int code_location_append_digest(struct call *call, const struct digest *digest, struct buf *json)
{
    AUTO_BUF struct buf url = BUF_INIT(URL_MAX);
    char hex[DIGEST_HEX_SIZE];
    char path[sizeof(PREFIX) + DIGEST_HEX_SIZE];
    (void) snprintf(path, sizeof(path), "%s%s", PREFIX, digest_hex(digest, hex));
    buf_append_text(&url, call->api->config.is_tls ? "https://" : "http://");
    buf_append_str(&url, call->request->host);
    int r = auth_presign(call->api->config.auth, call->request->host, str_of(path),
                         CODE_LOCATION_EXPIRES_S, &url);
    if (r < 0)
        return r;
    return json_append_string(json, buf_str(&url));
}

/* Opening blocks on the disk: a job. */
struct opening {
    struct call *call;
    struct store *store;
    struct digest digest;
    int result;
    int fd;
    uint64_t bytes;
};

static void open_blob(void *arg)
{
    struct opening *opening = arg;
    opening->result =
        store_blob_open(opening->store, &opening->digest, &opening->fd, &opening->bytes);
}

static void answer_blob(struct call *call, const struct opening *opening)
{
    struct http_header headers[4] = {
        {STR("Content-Type"), STR("application/zip")},
        {STR("Cache-Control"), STR("no-store")},
    };
    struct http_response response = {
        .status = 200,
        .body_kind = HTTP_BODY_FILE,
        .fd = opening->fd,
        .size = opening->bytes,
    };
    call_answer(call, &response, headers, 2, 4);
}

static void opened(void *arg, int status)
{
    AUTO_FREE struct opening *opening = arg;
    struct call *call = opening->call;
    struct error err = {0};
    int r = status < 0 ? status : opening->result;
    if (r == 0) {
        answer_blob(call, opening);
    } else if (r == -ENOENT) {
        call_fail_with(call, AWS_RESOURCE_NOT_FOUND, "The package is no longer in the store.");
    } else {
        (void) error_set_errno(&err, r, "open a package");
        call_fail_internal(call, "api.code_location", &err);
    }
}

static void open_for(struct call *call, const struct digest *digest)
{
    struct opening *opening = mem_new(struct opening);
    struct error err = {0};
    int r = -ENOMEM;
    if (opening) {
        opening->call = call;
        opening->store = call->api->config.store;
        opening->digest = *digest;
        call->on_gone = NULL;
        r = job_submit(call->api->jobs, open_blob, opened, opening);
    }
    if (r < 0) {
        free(opening);
        (void) error_set_errno(&err, r, "open a package");
        call_fail_internal(call, "api.code_location", &err);
    }
}

static void body_read(struct http_request *request, int status)
{
    struct call *call = request->user;
    struct digest digest;
    if (status < 0)
        call_fail_with(call, AWS_VALIDATION, "A download has no request body");
    else if (digest_parse_hex(str_skip(request->path, strlen(PREFIX)), &digest) < 0)
        call_fail_with(call, AWS_UNKNOWN_OPERATION, "There is no such package");
    else
        open_for(call, &digest);
}

void code_location_serve(struct call *call)
{
    if (auth_check_presigned(call->api->config.auth, call->request, &call->ticket, &call->error) <
        0)
        call_fail(call);
    else
        http_request_keep_body(call->request, 0, body_read);
}
