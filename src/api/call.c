/* SPDX-License-Identifier: MIT */

#include "api/call.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/efs.h"
#include "api/query.h"
#include "api/validation.h"
#include "base/base64.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "fetch/spool.h"
#include "instance/identity.h"
#include "store/store.h"

#define HEADERS_MAX 8

static void gone(struct http_request *request)
{
    struct call *call = request->user;
    call->request = NULL;
    memset(call->labels, 0, sizeof(call->labels));
    if (call->on_gone)
        call->on_gone(call);
}

struct call *call_new(struct api *api, struct http_request *request)
{
    struct call *call = mem_new(struct call);
    if (!call)
        return NULL;
    call->api = api;
    call->request = request;
    (void) uuid_new(call->request_id);
    request->user = call;
    /* Until work begins, a client that goes takes its call along. */
    call->on_gone = call_free;
    http_request_on_gone(request, gone);
    api->calls_total++;
    return call;
}

void call_free(struct call *call)
{
    if (call->request) {
        call->request->user = NULL;
        http_request_on_gone(call->request, NULL);
    }
    spool_cancel(call->spool);
    store_file_free(call->zip);
    yyjson_doc_free(call->doc);
    instance_identity_unref(call->identity);
    free(call);
}

void call_answer(struct call *call, struct http_response *response, struct http_header *headers,
                 size_t n_headers, size_t headers_capacity)
{
    struct http_request *request = call->request;
    assert(n_headers < headers_capacity);
    headers[n_headers++] = (struct http_header){STR("x-amzn-RequestId"), str_of(call->request_id)};
    response->headers = headers;
    response->header_count = n_headers;
    if (request) {
        http_request_on_gone(request, NULL);
        http_respond(request, response);
    } else if (response->body_kind == HTTP_BODY_BUF) {
        buf_done(&response->buf);
    } else if (response->body_kind == HTTP_BODY_FILE) {
        (void) close(response->fd); /* read-only: nothing to lose */
    }
    call->request = NULL;
    call_free(call);
}

void call_begin_stream(struct call *call, struct http_response *response,
                       struct http_header *headers, size_t n_headers, size_t headers_capacity)
{
    assert(n_headers < headers_capacity);
    headers[n_headers++] = (struct http_header){STR("x-amzn-RequestId"), str_of(call->request_id)};
    response->headers = headers;
    response->header_count = n_headers;
    if (call->request)
        http_respond(call->request, response);
}

void call_end_stream(struct call *call)
{
    if (call->request)
        http_stream_end(call->request);
    call->request = NULL;
    call_free(call);
}

void call_answer_empty(struct call *call, unsigned status)
{
    struct http_header headers[HEADERS_MAX];
    struct http_response response = {.status = status, .body_kind = HTTP_BODY_NONE};
    call_answer(call, &response, headers, 0, HEADERS_MAX);
}

void call_answer_json(struct call *call, unsigned status, struct buf *json)
{
    struct http_header headers[HEADERS_MAX] = {{STR("Content-Type"), STR("application/json")}};
    if (buf_status(json) < 0) {
        struct error err = {0};
        (void) error_set(&err, buf_status(json), "the answer of %s", call->route->operation);
        buf_done(json);
        call_fail_internal(call, "api.answer", &err);
        return;
    }
    struct http_response response = {.status = status, .body_kind = HTTP_BODY_BUF, .buf = *json};
    buf_init(json, json->maximum);
    call_answer(call, &response, headers, 1, HEADERS_MAX);
}

/* S3's form, for where no more of S3 is there. */
static void fail_xml(struct call *call)
{
    struct http_header headers[HEADERS_MAX] = {{STR("Content-Type"), STR("application/xml")}};
    struct buf body = BUF_INIT(CALL_JSON_MAX);
    buf_append_text(&body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    query_append_element(&body, "Code",
                         str_of(call->error.code == AWS_ACCESS_DENIED
                                    ? "AccessDenied"
                                    : aws_error_name(call->error.code)));
    query_append_element(&body, "Message", str_of(call->error.message));
    query_append_element(&body, "RequestId", str_of(call->request_id));
    buf_append_text(&body, "</Error>");
    struct http_response response = {
        .status = aws_error_status(call->error.code), .body_kind = HTTP_BODY_BUF, .buf = body};
    call_answer(call, &response, headers, 1, HEADERS_MAX);
}

static void fail_json(struct call *call)
{
    const struct aws_error *error = &call->error;
    struct http_header headers[HEADERS_MAX] = {
        {STR("Content-Type"), STR("application/json")},
        {STR("x-amzn-ErrorType"), str_of(aws_error_name(error->code))},
    };
    size_t n = 2;
    char retry_after[16];
    (void) snprintf(retry_after, sizeof(retry_after), "%d",
                    call->retry_after_s > 0 ? call->retry_after_s : 1);
    if (aws_error_status(error->code) == 429)
        headers[n++] = (struct http_header){STR("Retry-After"), str_of(retry_after)};
    struct buf body = BUF_INIT(CALL_JSON_MAX);
    (void) aws_error_body(error, &body); /* a failure leaves the body short, the status says all */
    struct http_response response = {
        .status = aws_error_status(error->code), .body_kind = HTTP_BODY_BUF, .buf = body};
    call_answer(call, &response, headers, n, HEADERS_MAX);
}

void call_fail(struct call *call)
{
    switch (call->ticket.service) {
    case AUTH_SERVICE_STS:
    case AUTH_SERVICE_IAM:
        query_fail(call);
        return;
    case AUTH_SERVICE_S3:
        fail_xml(call);
        return;
    case AUTH_SERVICE_EFS:
        efs_fail(call, NULL);
        return;
    case AUTH_SERVICE_LAMBDA:
    case AUTH_SERVICE_SAGEMAKER:
        fail_json(call);
        return;
    }
}

void call_fail_with(struct call *call, enum aws_error_code code, const char *format, ...)
{
    char text[AWS_ERROR_MESSAGE_MAX];
    va_list values;
    va_start(values, format);
    (void) vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    (void) aws_error_set(&call->error, code, "%s", text);
    call_fail(call);
}

void call_fail_internal(struct call *call, const char *event, const struct error *err)
{
    log_error(event, "request=%s error=%s", call->request_id, LOG_TEXT(err->text));
    if (err->code == -ENOSPC || err->code == -EDQUOT)
        call_fail_with(call, AWS_SERVICE, "The disk of this service is full.");
    else
        call_fail_with(call, AWS_SERVICE, "The service failed; its log names request %s.",
                       call->request_id);
}

int call_query(struct call *call, const char *name, struct str *ret_value)
{
    int r = route_query(call->request->query, name, call->request->arena, ret_value);
    if (r < 0)
        return aws_error_set(&call->error, AWS_VALIDATION,
                             "The query parameter '%s' is not well-formed", name);
    return 0;
}

int call_function_name(struct call *call, enum function_name_rule rule,
                       struct function_name *ret_name)
{
    struct str qualifier;
    int r = call_query(call, "Qualifier", &qualifier);
    if (r < 0)
        return r;
    return function_name_parse(call->labels[0], qualifier, rule, call->api->region,
                               call->api->account, ret_name, &call->error);
}

int call_no_function(struct call *call, const struct function_name *name)
{
    bool is_qualified = name->qualifier[0] != '\0';
    return aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND,
                         "Function not found: arn:aws:lambda:%s:%s:function:%s%s%s",
                         call->api->region, call->api->account, name->name, is_qualified ? ":" : "",
                         name->qualifier);
}

/* Markers are base64 so that nobody builds on what is in them. */
static int read_marker(struct call *call, char *marker, size_t marker_size)
{
    struct str text;
    char decoded[256];
    marker[0] = '\0';
    int r = call_query(call, "Marker", &text);
    if (r < 0 || text.size == 0)
        return r;
    ptrdiff_t size = -1;
    if (BASE64_DECODED_SIZE_MAX(text.size) < sizeof(decoded))
        size = base64_decode(text, decoded);
    if (size < 0 || str_copy(str_of_data(decoded, (size_t) size), marker, marker_size) < 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE, "Invalid marker");
    return 0;
}

int call_paging(struct call *call, size_t *ret_page, char *marker, size_t marker_size)
{
    AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
    struct str text;
    int64_t items = LIMIT_LIST_PAGE_MAX;
    int r = call_query(call, "MaxItems", &text);
    if (r < 0)
        return r;
    if (text.data && str_to_i64(text, INT64_MIN, INT64_MAX, &items) < 0)
        return aws_error_set(&call->error, AWS_SERIALIZATION,
                             "'" STR_FORMAT "' at 'MaxItems' is not an integer",
                             STR_ARGUMENTS(text));
    if (items < 1)
        validation_add_number(&validation, items, "maxItems",
                              "have value greater than or equal to 1");
    if (items > LIMIT_LIST_ITEMS_MAX)
        validation_add_number(&validation, items, "maxItems", "have value less than or equal to %d",
                              LIMIT_LIST_ITEMS_MAX);
    r = validation_finish(&validation, AWS_VALIDATION, &call->error);
    if (r < 0)
        return r;
    *ret_page = items > LIMIT_LIST_PAGE_MAX ? LIMIT_LIST_PAGE_MAX : (size_t) items;
    return read_marker(call, marker, marker_size);
}

uint64_t call_marker_number(const char *text)
{
    uint64_t number;
    return str_to_u64(str_of(text), UINT64_MAX, &number) < 0 ? 0 : number;
}

void call_append_marker(struct buf *json, const char *last)
{
    buf_append_text(json, ",\"NextMarker\":\"");
    base64_append(json, last, strlen(last));
    buf_append_byte(json, '"');
}
