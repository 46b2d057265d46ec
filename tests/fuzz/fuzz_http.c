// SPDX-License-Identifier: MIT
//
// The HTTP parser: any bytes, cut into reads anywhere. Whatever the cuts, the same requests must come
// out, no request may hold a byte that its form forbids, and a fault must be the last event.
//
// Input: byte 0 chooses the size of the reads; the rest is what the client sends.

#include "http/parser.h"

#include "base/digest.h"

#include <assert.h>

static const struct http_server_config limits = {.head_bytes_max = 2048, .headers_max = 16};

struct outcome {
    size_t requests;
    size_t body_bytes;
    struct digest digest; // of everything that came out
};

static void look_at(const struct http_request *request, struct digest_stream *seen)
{
    assert(request->path.size > 0 &&
           (request->path.data[0] == '/' || request->path.data[0] == '*'));
    assert(!(request->is_chunked && request->content_length > 0));
    for (size_t i = 0; i < request->target.size; i++)
        assert(request->target.data[i] > 0x20 && request->target.data[i] < 0x7f);
    digest_update(seen, request->method_text.data, request->method_text.size);
    digest_update(seen, request->target.data, request->target.size);
    size_t lengths = 0, codings = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        assert(header->name.size > 0);
        for (size_t at = 0; at < header->value.size; at++)
            assert(header->value.data[at] != '\r' && header->value.data[at] != '\n' &&
                   header->value.data[at] != '\0');
        lengths += str_equal(header->name, STR("content-length"));
        codings += str_equal(header->name, STR("transfer-encoding"));
        digest_update(seen, header->name.data, header->name.size);
        digest_update(seen, header->value.data, header->value.size);
    }
    assert(lengths + codings <= 1);
    assert(str_equal(http_request_header(request, "host"), request->host));
}

static void look_at_trailers(const struct http_head *trailers, struct digest_stream *seen)
{
    for (size_t i = 0; i < trailers->header_count; i++) {
        digest_update(seen, trailers->headers[i].name.data, trailers->headers[i].name.size);
        digest_update(seen, trailers->headers[i].value.data, trailers->headers[i].value.size);
    }
}

static void run(const char *data, size_t size, size_t read_size, struct outcome *ret_outcome)
{
    struct http_parser parser;
    struct http_head head = {0}, trailers = {0};
    struct digest_stream seen;
    struct outcome outcome = {0};
    bool is_begun = false, is_over = false;
    digest_stream_init(&seen);
    http_parser_init(&parser, &limits);
    for (size_t at = 0; at < size && !is_over; at += read_size) {
        const char *piece = data + at;
        size_t left = size - at < read_size ? size - at : read_size;
        for (;;) {
            size_t used = 0;
            if (!is_begun) {
                while (left > 0 && (*piece == '\r' || *piece == '\n'))
                    piece++, left--;
                if (left == 0)
                    break;
                http_head_clear(&head);
                http_head_clear(&trailers);
                http_parser_begin(&parser, &head, &trailers);
                is_begun = true;
            }
            enum http_event event = http_parser_step(&parser, piece, left, &used);
            assert(used <= left);
            if (event == HTTP_EVENT_BODY) {
                assert(parser.piece >= piece && parser.piece + parser.piece_size <= piece + left);
                digest_update(&seen, parser.piece, parser.piece_size);
                outcome.body_bytes += parser.piece_size;
            }
            piece += used;
            left -= used;
            if (event == HTTP_EVENT_HEAD) {
                struct http_request request = {0};
                if (!http_parser_finish_head(&parser, &request))
                    event = HTTP_EVENT_FAULT;
                else
                    look_at(&request, &seen);
                outcome.requests += event == HTTP_EVENT_HEAD;
            }
            if (event == HTTP_EVENT_END) {
                http_parser_finish_trailers(&parser);
                look_at_trailers(&trailers, &seen);
                is_begun = false;
                if (!http_parser_can_keep_alive(&parser))
                    is_over = true;
            }
            if (event == HTTP_EVENT_FAULT) {
                assert(parser.fault_status >= 400 && parser.fault_status <= 505 &&
                       parser.fault_why);
                is_over = true;
            }
            assert(http_head_bytes(&head) <=
                   2 * limits.head_bytes_max + 2 * 16 * sizeof(struct http_header));
            if (event == HTTP_EVENT_MORE || is_over)
                break;
        }
    }
    outcome.digest = digest_finish(&seen);
    digest_stream_done(&seen);
    http_head_done(&head);
    http_head_done(&trailers);
    *ret_outcome = outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole, cut;
    if (size < 1)
        return 0;
    run((const char *) data + 1, size - 1, size, &whole);
    run((const char *) data + 1, size - 1, 1 + data[0] % 64, &cut);
    assert(whole.requests == cut.requests && whole.body_bytes == cut.body_bytes);
    assert(digest_equal(&whole.digest, &cut.digest));
    return 0;
}
