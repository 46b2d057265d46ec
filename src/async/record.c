// SPDX-License-Identifier: MIT

#include "async/record.h"

#include "base/clock.h"
#include "base/json.h"

static void append_member(struct buf *buf, const char *name, struct str value)
{
    buf_printf(buf, "\"%s\":", name);
    json_append_string(buf, value);
}

// As it is if it is JSON, as a string if it is text, null if it is nothing or too much.
static void append_value(struct buf *buf, struct str text, size_t size_max)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    if (text.size == 0 || text.size > size_max)
        buf_append_text(buf, "null");
    else if (json_parse(text, size_max, &doc, NULL) == 0)
        buf_append_str(buf, text);
    else
        json_append_string(buf, text);
}

int record_append(struct buf *buf, const struct record *record)
{
    char time[CLOCK_TEXT_MAX];
    buf_append_text(buf, "{\"version\":\"1.0\",");
    append_member(buf, "timestamp", str_of(clock_iso_z(record->at_ms, time)));
    buf_append_text(buf, ",\"requestContext\":{");
    append_member(buf, "requestId", record->request_id);
    buf_append_byte(buf, ',');
    append_member(buf, "functionArn", record->function_arn);
    buf_append_byte(buf, ',');
    append_member(buf, "condition", str_of(record->condition));
    buf_printf(buf, ",\"approximateInvokeCount\":%u},\"requestPayload\":", record->tries);
    append_value(buf, record->payload, SIZE_MAX / 2);
    if (record->was_invoked) {
        buf_append_text(buf, ",\"responseContext\":{\"statusCode\":200,");
        append_member(buf, "executedVersion", record->executed_version);
        if (record->is_function_error)
            buf_append_text(buf, ",\"functionError\":\"Unhandled\"");
        buf_append_text(buf, "},\"responsePayload\":");
        append_value(buf, record->response, RECORD_RESPONSE_MAX);
    }
    return buf_append_byte(buf, '}');
}

bool record_destination(struct str arn, struct str *ret_name, struct str *ret_qualifier)
{
    struct str parts[8] = {{0}};
    size_t count = 0;
    while (arn.size > 0 && count < 8)
        str_cut(arn, ':', &parts[count++], &arn);
    if (arn.size > 0 || count < 7 || !str_equal_text(parts[2], "lambda") ||
        !str_equal_text(parts[5], "function") || parts[6].size == 0)
        return false;
    *ret_name = parts[6];
    *ret_qualifier = parts[7];
    return true;
}
