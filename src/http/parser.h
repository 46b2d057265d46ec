// SPDX-License-Identifier: MIT
//
// Bytes in, events out: llhttp (9.2 or later, no lenient flag) behind a pull interface, so that
// handlers run on a clean stack and never inside llhttp's callbacks. Private to http/.
//
//     while ((event = http_parser_step(&parser, data, size, &used)) != HTTP_EVENT_MORE)
//         data += used, size -= used, ...;
//
// Each event pauses llhttp; the next step resumes it. A step may have to be made with size 0 (a head
// without a body is followed by HTTP_EVENT_END without another byte).
//
// It also refuses what llhttp leaves to its users: versions, Host, target forms, transfer codings
// other than chunked, expectations, header and size limits.

#ifndef LAMINA_HTTP_PARSER_H
#define LAMINA_HTTP_PARSER_H

#include "http/server.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>

enum http_event {
    HTTP_EVENT_MORE,  // all bytes used, nothing complete
    HTTP_EVENT_HEAD,  // the head is complete: `head` may be turned into a request
    HTTP_EVENT_BODY,  // `piece` is the next part of the body
    HTTP_EVENT_END,   // the message is complete
    HTTP_EVENT_FAULT, // `fault_status`, `fault_why`: answer it and close
};

// A head while it arrives: the target, then each header's name and value, without anything between,
// in one growing piece of memory; so only sizes have to be remembered until it is complete.
struct http_head {
    char *bytes; // owned
    size_t size;
    size_t capacity;
    struct http_header *headers; // owned; views are made by http_parser_finish_head
    size_t header_count;
    size_t header_capacity;
    size_t target_size;
    size_t wire_bytes; // of head as received, separators and all
};

struct http_parser {
    llhttp_t llhttp;
    const struct http_server_config *limits; // borrowed
    struct http_head *head;                  // borrowed: of the request that is being read
    struct http_head *trailers;              // borrowed: the same for what follows a chunked body
    bool is_head_done;                       // later "headers" are trailers
    enum http_event event;
    const char *piece; // borrowed: inside the data of this step
    size_t piece_size;
    unsigned fault_status;
    const char *fault_why; // static
};

void http_parser_init(struct http_parser *parser, const struct http_server_config *limits);

// Before the first byte of each message.
void http_parser_begin(struct http_parser *parser, struct http_head *head,
                       struct http_head *trailers);

enum http_event http_parser_step(struct http_parser *parser, const char *data, size_t size,
                                 size_t *ret_used);

// After HTTP_EVENT_HEAD: fills the request's fields from the head and checks them. False: a fault,
// as above.
bool http_parser_finish_head(struct http_parser *parser, struct http_request *request);

// After HTTP_EVENT_END: makes the views of the trailers' headers.
void http_parser_finish_trailers(struct http_parser *parser);

// After HTTP_EVENT_HEAD: may the connection serve another request after this one?
bool http_parser_can_keep_alive(const struct http_parser *parser);

void http_head_clear(struct http_head *head);         // empty; keeps a small piece of memory
void http_head_done(struct http_head *head);          // frees
size_t http_head_bytes(const struct http_head *head); // of memory held

#endif
