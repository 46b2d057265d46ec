// SPDX-License-Identifier: MIT

#include "api/query.h"

#include "base/percent.h"

#include <errno.h>

#define XML_MAX (8 * 1024 * 1024)

static const char *namespace_of(const struct call *call)
{
    return call->ticket.service == AUTH_SERVICE_STS ? "https://sts.amazonaws.com/doc/2011-06-15/"
                                                    : "https://iam.amazonaws.com/doc/2010-05-08/";
}

// ---- parameters

bool query_find(struct str form, const char *name, struct str *ret_raw)
{
    bool is_more = true;
    while (is_more) {
        struct str pair, key, value;
        is_more = str_cut(form, '&', &pair, &form);
        (void) str_cut(pair, '=', &key, &value);
        if (str_equal_text(key, name)) {
            *ret_raw = value;
            return true;
        }
    }
    return false;
}

// What XML can carry, and what these services take.
static bool is_text(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char) text.data[i];
        if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            return false;
    }
    return str_is_utf8(text);
}

int query_value(struct call *call, const char *name, struct str *ret_value)
{
    struct http_request *request = call->request;
    struct str raw;
    if (!query_find(buf_str(&request->body), name, &raw) &&
        !query_find(request->query, name, &raw)) {
        *ret_value = (struct str){0};
        return 0;
    }
    char *data = arena_alloc(request->arena, raw.size + 1);
    ptrdiff_t size = data ? percent_decode(raw, true, data) : -ENOMEM;
    if (size < 0 || !is_text(str_of_data(data, (size_t) size)))
        return aws_error_set(&call->error, AWS_VALIDATION,
                             "The parameter '%s' is not well-formed or too long", name);
    data[size] = '\0';
    *ret_value = str_of_data(data, (size_t) size);
    return 0;
}

// ---- answers

void query_append_xml(struct buf *xml, struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        switch (text.data[i]) {
        case '&':
            buf_append_text(xml, "&amp;");
            break;
        case '<':
            buf_append_text(xml, "&lt;");
            break;
        case '>':
            buf_append_text(xml, "&gt;");
            break;
        case '"':
            buf_append_text(xml, "&quot;");
            break;
        case '\'':
            buf_append_text(xml, "&#39;");
            break;
        default:
            buf_append_byte(xml, text.data[i]);
        }
    }
}

void query_append_element(struct buf *xml, const char *name, struct str text)
{
    buf_printf(xml, "<%s>", name);
    query_append_xml(xml, text);
    buf_printf(xml, "</%s>", name);
}

static void answer_xml(struct call *call, unsigned status, struct buf *xml)
{
    struct http_header headers[4] = {{STR("Content-Type"), STR("text/xml")}};
    struct http_response response = {.status = status, .body_kind = HTTP_BODY_BUF, .buf = *xml};
    call_answer(call, &response, headers, 1, 4);
}

void query_answer(struct call *call, const char *action, struct buf *result)
{
    struct buf xml = BUF_INIT(XML_MAX);
    buf_printf(&xml, "<%sResponse xmlns=\"%s\">", action, namespace_of(call));
    if (result->size > 0) {
        buf_printf(&xml, "<%sResult>", action);
        buf_append_str(&xml, buf_str(result));
        buf_printf(&xml, "</%sResult>", action);
    }
    buf_printf(&xml, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>",
               call->request_id, action);
    int r = buf_status(result) < 0 ? buf_status(result) : buf_status(&xml);
    buf_done(result);
    if (r < 0) {
        struct error err = {0};
        (void) error_set(&err, r, "the answer of %s", action);
        buf_done(&xml);
        call_fail_internal(call, "api.answer", &err);
        return;
    }
    answer_xml(call, 200, &xml);
}

// The JSON services' names of what is common to all, as the query services write them.
static const char *code_name(enum aws_error_code code)
{
    switch (code) {
    case AWS_ACCESS_DENIED:
        return "AccessDenied";
    case AWS_MISSING_AUTHENTICATION_TOKEN:
        return "MissingAuthenticationToken";
    case AWS_INCOMPLETE_SIGNATURE:
        return "IncompleteSignature";
    case AWS_INVALID_SIGNATURE:
        return "SignatureDoesNotMatch";
    case AWS_UNRECOGNIZED_CLIENT:
        return "InvalidClientTokenId";
    case AWS_VALIDATION:
        return "ValidationError";
    case AWS_TOO_MANY_REQUESTS:
        return "Throttling";
    case AWS_SERVICE:
        return "ServiceFailure";
    default:
        return aws_error_name(code);
    }
}

void query_fail(struct call *call)
{
    const struct aws_error *error = &call->error;
    unsigned status = aws_error_status(error->code);
    struct buf xml = BUF_INIT(XML_MAX);
    buf_printf(&xml, "<ErrorResponse xmlns=\"%s\"><Error><Type>%s</Type><Code>%s</Code>",
               namespace_of(call), status >= 500 ? "Receiver" : "Sender", code_name(error->code));
    query_append_element(&xml, "Message", str_of(error->message));
    buf_printf(&xml, "</Error><RequestId>%s</RequestId></ErrorResponse>", call->request_id);
    answer_xml(call, status, &xml);
}
