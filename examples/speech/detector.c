// SPDX-License-Identifier: MIT

#include "detector.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "client/lambda.h"

#include <errno.h>
#include <string.h>

#define STATE_FLOATS (2 * 1 * 128)
#define CALL_TIMEOUT_MS 120000
#define REQUEST_BYTES_MAX 16384

struct stream {
    struct client *client;
    const char *function;
    float state[STATE_FLOATS];
    float input[DETECTOR_CONTEXT + DETECTOR_WINDOW]; // the context, then the window
};

size_t detector_windows(size_t count)
{
    return (count + DETECTOR_WINDOW - 1) / DETECTOR_WINDOW;
}

static void append_floats(struct buf *out, const char *name, const char *shape, const float *values,
                          size_t count)
{
    buf_printf(out,
               "{\"name\":\"%s\",\"shape\":%s,\"datatype\":\"FP32\",\"parameters\":{\"binary_data_"
               "base64\":\"",
               name, shape);
    base64_append(out, values, count * sizeof *values);
    buf_append_text(out, "\"}}");
}

static void append_request(struct buf *out, const struct stream *stream)
{
    buf_append_text(out, "{\"inputs\":[");
    append_floats(out, "input", "[1,576]", stream->input, ARRAY_SIZE(stream->input));
    buf_append_text(out, ",");
    append_floats(out, "state", "[2,1,128]", stream->state, STATE_FLOATS);
    buf_append_text(out, ",{\"name\":\"sr\",\"shape\":[],\"datatype\":\"INT64\",\"data\":[16000]}],"
                         "\"parameters\":{\"binary_data_base64\":true}}");
}

// Copies an output's elements; there must be exactly `count`.
static int read_output(yyjson_val *outputs, const char *name, float *ret_values, size_t count,
                       struct error *err)
{
    size_t i, size;
    yyjson_val *output;
    yyjson_arr_foreach(outputs, i, size, output)
    {
        unsigned char
            bytes[BASE64_DECODED_SIZE_MAX(BASE64_ENCODED_SIZE(STATE_FLOATS * sizeof(float)))];
        struct str base64 = {0};
        if (!yyjson_equals_str(json_member(output, "name"), name))
            continue;
        if (json_member_str(json_member(output, "parameters"), "binary_data_base64", &base64) < 0 ||
            BASE64_DECODED_SIZE_MAX(base64.size) > sizeof bytes ||
            base64_decode(base64, bytes) != (ptrdiff_t) (count * sizeof(float)))
            break;
        memcpy(ret_values, bytes, count * sizeof(float));
        return 0;
    }
    return error_set(
        err, -EPROTO,
        "the answer has no output '%s' of %zu floats: is the function's model silero VAD?", name,
        count);
}

static int read_answer(struct stream *stream, struct str body, float *ret_probability,
                       struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    int r = json_parse(body, CLIENT_ANSWER_BYTES_MAX, &doc, err);
    if (r < 0)
        return r;
    yyjson_val *outputs = json_member(yyjson_doc_get_root(doc), "outputs");
    r = read_output(outputs, "output", ret_probability, 1, err);
    return r < 0 ? r : read_output(outputs, "stateN", stream->state, STATE_FLOATS, err);
}

static int run_window(struct stream *stream, float *ret_probability, double *ret_ms,
                      struct error *err)
{
    AUTO_BUF struct buf request = BUF_INIT(REQUEST_BYTES_MAX);
    struct client_answer answer;
    append_request(&request, stream);
    if (buf_status(&request) < 0)
        return error_set(err, -ENOMEM, "no memory for a request");
    const struct lambda_call call = {.name = stream->function,
                                     .payload = request.data,
                                     .payload_size = request.size,
                                     .timeout_ms = CALL_TIMEOUT_MS};
    int r = lambda_invoke(stream->client, &call, &answer, err);
    if (r == 0 && answer.function_error[0] != '\0') {
        struct str shown = str_part(buf_str(&answer.body), 0, 300);
        r = error_set(err, -EPROTO, "the function reported an error: " STR_FORMAT,
                      STR_ARGUMENTS(shown));
    }
    if (r == 0)
        r = read_answer(stream, buf_str(&answer.body), ret_probability, err);
    *ret_ms = (double) answer.total_ns / 1e6;
    client_answer_done(&answer);
    return r;
}

int detector_run(struct client *client, const char *function, const float *samples, size_t count,
                 struct detection *ret_detection, struct error *err)
{
    struct stream stream = {.client = client, .function = function};
    struct detection detection = {.count = detector_windows(count)};
    float *window = stream.input + DETECTOR_CONTEXT;
    int r = 0;

    detection.probabilities = calloc(detection.count + 1, sizeof(float));
    detection.call_ms = calloc(detection.count + 1, sizeof(double));
    if (detection.probabilities == NULL || detection.call_ms == NULL)
        r = error_set(err, -ENOMEM, "no memory for %zu windows", detection.count);
    for (size_t i = 0; r == 0 && i < detection.count; i++) {
        size_t at = i * DETECTOR_WINDOW, left = count - at;
        size_t size = left < DETECTOR_WINDOW ? left : DETECTOR_WINDOW;
        memcpy(stream.input, stream.input + DETECTOR_WINDOW, DETECTOR_CONTEXT * sizeof(float));
        memset(window, 0, DETECTOR_WINDOW * sizeof(float));
        memcpy(window, samples + at, size * sizeof(float));
        r = run_window(&stream, &detection.probabilities[i], &detection.call_ms[i], err);
    }
    if (r < 0) {
        detection_done(&detection);
        return r;
    }
    *ret_detection = detection;
    return 0;
}

void detection_done(struct detection *detection)
{
    free(detection->probabilities);
    free(detection->call_ms);
    *detection = (struct detection){0};
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *) left, b = *(const double *) right;
    return (a > b) - (a < b);
}

double detection_call_ms(const struct detection *detection, double share)
{
    AUTO_FREE double *sorted = mem_copy(detection->call_ms, detection->count * sizeof *sorted);
    if (sorted == NULL || detection->count == 0)
        return 0;
    qsort(sorted, detection->count, sizeof *sorted, compare_doubles);
    return sorted[(size_t) (share * (double) (detection->count - 1))];
}
