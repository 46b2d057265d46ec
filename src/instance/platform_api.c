/* SPDX-License-Identifier: MIT */
#include "instance/platform_api.h"

#include "base/fd.h"
#include "http/server.h"

static const char denied_json[] =
    "{\"Type\":\"User\",\"message\":\"This function's role allows no operation.\","
    "\"Message\":\"This function's role allows no operation.\"}";
static const char denied_xml[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>"
    "<Message>This function's role allows no operation.</Message></Error>";

/* S3's clients read XML only. The service stands in the signature's scope: .../us-east-1/s3/aws4_request */
static bool is_for_s3(const struct http_request *request)
{
    struct str authorization = http_request_header(request, "authorization");
    struct str needle = STR("/s3/aws4_request");
    for (size_t i = 0; i + needle.size <= authorization.size; i++)
        if (str_equal(str_part(authorization, i, needle.size), needle))
            return true;
    return false;
}

static void answer(struct http_request *request, struct sandbox_listener *listener)
{
    bool is_s3 = is_for_s3(request);
    const struct http_header headers[] = {
        {STR("Content-Type"), is_s3 ? STR("application/xml") : STR("application/json")},
        {STR("x-amzn-ErrorType"), STR("AccessDeniedException")},
    };
    struct http_response response = {
        .status = 403,
        .headers = headers,
        .header_count = is_s3 ? 1 : ARRAY_SIZE(headers),
        .body_kind = HTTP_BODY_COPY,
        .text = str_of(is_s3 ? denied_xml : denied_json),
    };
    (void) listener;
    http_respond(request, &response);
}

int platform_api_open(struct platform_api *api, struct http_server *server, int fd,
                      struct error *err)
{
    api->head.on_head = answer;
    return http_listen_fd(server, fd, PLATFORM_API_CONNECTIONS_MAX, &api->head, &api->listener,
                          err);
}

void platform_api_close(struct platform_api *api)
{
    http_listener_close(api->listener);
    api->listener = NULL;
}
