/* SPDX-License-Identifier: MIT
 *
 * GET /lamina/v1/functions/NAME/logs?after=POSITION&limit=N: what a function printed, and its START, END
 * and REPORT lines. Without `after` the last N lines. `next` is to be given as `after` in order to go on;
 * positions are nanoseconds since 1970, as text, because they are beyond what JSON readers keep exactly.
 */

#include "api/call.h"
#include "api/operations.h"
#include "base/clock.h"
#include "function/catalog.h"
#include "instance/log_writer.h"

#define LIMIT_DEFAULT 1000

static void append_event(struct buf *json, const struct log_event *event)
{
    char text[CLOCK_TEXT_MAX];
    buf_printf(
        json, "{\"seq\":\"%llu\",\"time\":\"%s\",\"stream\":", (unsigned long long) event->position,
        clock_iso_z((int64_t) (event->position / 1000000), text));
    json_append_string(json, event->stream);
    buf_append_text(json, ",\"text\":");
    json_append_string(json, event->text);
    buf_append_byte(json, '}');
}

/* Stops before the answer's maximum: the rest comes with the next call. */
static void answer(struct call *call, const struct log_event *events, size_t n)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    uint64_t next = 0;
    buf_append_text(&json, "{\"events\":[");
    for (size_t i = 0; i < n; i++) {
        /* Escaping makes six bytes of one at most. */
        size_t worst = 6 * (events[i].text.size + events[i].stream.size) + 256;
        if (i > 0 && json.size + worst > CALL_JSON_MAX)
            break;
        if (i)
            buf_append_byte(&json, ',');
        append_event(&json, &events[i]);
        next = events[i].position;
    }
    buf_append_byte(&json, ']');
    if (next)
        buf_printf(&json, ",\"next\":\"%llu\"", (unsigned long long) next);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

static void read_done(void *arg, int error, const struct log_event *events, size_t n)
{
    struct call *call = arg;
    struct error err = {0};
    if (error == 0) {
        answer(call, events, n);
        return;
    }
    (void) error_set_errno(&err, error, "read a function's log");
    call_fail_internal(call, "api.logs", &err);
}

static int read_number(struct call *call, const char *name, uint64_t maximum, uint64_t *ret)
{
    struct str text;
    int r = call_query(call, name, &text);
    if (r < 0 || !text.data)
        return r;
    if (str_to_u64(text, maximum, ret) < 0)
        return aws_error_set(&call->error, AWS_VALIDATION,
                             "The query parameter '%s' must be a number from 0 to %llu", name,
                             (unsigned long long) maximum);
    return 0;
}

void lamina_logs(struct call *call)
{
    struct function_name name;
    uint64_t after = 0;
    uint64_t limit = LIMIT_DEFAULT;
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, &name);
    if (r == 0)
        r = read_number(call, "after", UINT64_MAX, &after);
    if (r == 0)
        r = read_number(call, "limit", LOG_READ_MAX, &limit);
    if (r == 0 && !catalog_function(call->api->config.catalog, name.name))
        r = call_no_function(call, &name);
    if (r < 0) {
        call_fail(call);
        return;
    }
    log_writer_read(call->api->config.logs, name.name, after, limit ? (size_t) limit : 1, read_done,
                    call);
}
