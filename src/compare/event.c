// SPDX-License-Identifier: MIT
//
// What to ask a model that nobody gave an event for: its metadata says which inputs it takes (Open
// Inference Protocol), and zeros of those shapes make a request that does the full computation.
#include "compare/session.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define EVENT_BYTES_MAX ((size_t) 6 << 20)
#define ELEMENTS_MAX (UINT64_C(1) << 20)

static int read_warm_up(struct session *session)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_MAX);
    struct str model = str_of(session->options->path);
    ptrdiff_t slash = str_find_last(model, '/');

    buf_append_str(&path, str_part(model, 0, (size_t) (slash + 1)));
    buf_append_text(&path, "warm_up.json");
    if (buf_status(&path) < 0)
        return -ENAMETOOLONG;
    return fs_read_file(AT_FDCWD, path.data, &session->event);
}

// The number of elements of a shape, with 1 for what is free. 0: not a shape, or too large.
static uint64_t count_elements(yyjson_val *shape)
{
    uint64_t count = 1;
    yyjson_val *item;
    size_t i, size;

    yyjson_arr_foreach(shape, i, size, item)
    {
        int64_t extent = yyjson_is_int(item) ? yyjson_get_sint(item) : 1;
        count *= extent > 0 ? (uint64_t) extent : 1;
        if (count > ELEMENTS_MAX)
            return 0;
    }
    return count;
}

static void append_shape(struct buf *out, yyjson_val *shape)
{
    yyjson_val *item;
    size_t i, size;

    buf_append_byte(out, '[');
    yyjson_arr_foreach(shape, i, size, item)
    {
        int64_t extent = yyjson_is_int(item) ? yyjson_get_sint(item) : 1;
        buf_printf(out, "%s%lld", i > 0 ? "," : "", (long long) (extent > 0 ? extent : 1));
    }
    buf_append_byte(out, ']');
}

static const char *zero_of(struct str datatype)
{
    if (str_equal_text(datatype, "BOOL"))
        return "false";
    return str_equal_text(datatype, "BYTES") ? "\"\"" : "0";
}

static int append_input(struct buf *out, yyjson_val *input)
{
    struct str name, datatype;
    yyjson_val *shape = NULL;

    if (json_member_str(input, "name", &name) < 0 ||
        json_member_str(input, "datatype", &datatype) < 0 ||
        json_member_array(input, "shape", &shape) < 0)
        return -EINVAL;
    uint64_t count = count_elements(shape);
    if (count == 0 || str_equal_text(datatype, "FP16") || str_equal_text(datatype, "BF16"))
        return -EINVAL; // these travel as base64 only: not worth inventing
    buf_append_text(out, "{\"name\":");
    json_append_string(out, name);
    buf_append_text(out, ",\"datatype\":");
    json_append_string(out, datatype);
    buf_append_text(out, ",\"shape\":");
    append_shape(out, shape);
    buf_append_text(out, ",\"data\":[");
    for (uint64_t i = 0; i < count; i++)
        buf_printf(out, "%s%s", i > 0 ? "," : "", zero_of(datatype));
    buf_append_text(out, "]}");
    return buf_status(out);
}

static int make_request(yyjson_val *metadata, struct buf *out)
{
    yyjson_val *inputs = NULL, *input;
    size_t i, count;

    if (json_member_array(metadata, "inputs", &inputs) < 0)
        return -EINVAL;
    buf_append_text(out, "{\"inputs\":[");
    yyjson_arr_foreach(inputs, i, count, input)
    {
        if (i > 0)
            buf_append_byte(out, ',');
        int r = append_input(out, input);
        if (r < 0)
            return r;
    }
    buf_append_text(out, "]}");
    return buf_status(out);
}

static int ask_metadata(struct session *session, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct client_answer answer;
    const struct lambda_call call = {.name = session->name, .payload = "{}", .payload_size = 2};

    int r = lambda_invoke(session->client, &call, &answer, err);
    if (r == 0 && answer.function_error[0] == '\0' &&
        json_parse(buf_str(&answer.body), CLIENT_ANSWER_BYTES_MAX, &doc, NULL) == 0 &&
        make_request(yyjson_doc_get_root(doc), &session->event) < 0)
        buf_clear(&session->event);
    client_answer_done(&answer);
    return r;
}

static int set_event(struct session *session, const void *data, size_t size, struct error *err)
{
    buf_clear(&session->event);
    int r = buf_append(&session->event, data, size);
    return r < 0 ? error_set_errno(err, r, "keep the event") : 0;
}

int session_find_event(struct session *session, char *source, size_t source_size, struct error *err)
{
    double ms;

    buf_init(&session->event, EVENT_BYTES_MAX);
    if (session->options->event != NULL) {
        snprintf(source, source_size, "given");
        return set_event(session, session->options->event, session->options->event_size, err);
    }
    if (read_warm_up(session) == 0) {
        snprintf(source, source_size, "warm_up.json");
        return 0;
    }
    buf_clear(&session->event);
    int r = ask_metadata(session, err);
    if (r < 0)
        return r;
    if (session->event.size > 0 && session_call(session, session->client, &ms, NULL, err) == 0) {
        snprintf(source, source_size, "zeros of the model's input shapes");
        return 0;
    }
    error_clear(err);
    snprintf(source, source_size,
             "{}: the metadata only, no inference (give an event by -e to measure one)");
    return set_event(session, "{}", 2, err);
}
