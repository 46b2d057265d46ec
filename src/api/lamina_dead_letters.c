/* SPDX-License-Identifier: MIT
 *
 * Events that were given up, kept until somebody looks (docs/lamina-api.md):
 *
 *   GET    /lamina/v1/functions/NAME/dead-letters?after=ID&limit=N
 *   POST   /lamina/v1/functions/NAME/dead-letters/retry[?id=ID]   they wait again, from the beginning
 *   DELETE /lamina/v1/functions/NAME/dead-letters[?id=ID]
 *
 * Loop thread. A client that goes away changes nothing: what it asked for is done.
 */

#include <errno.h>

#include "api/call.h"
#include "api/operations.h"
#include "async/async.h"
#include "base/clock.h"
#include "function/catalog.h"
#include "meta/queue.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000
#define ERROR_SHOWN_MAX 4096 /* bytes of the last answer */
/* A page ends early above this: room for one more letter whose every byte is escaped (six for one). */
#define PAGE_BYTES_MAX ((size_t) CALL_JSON_MAX - 64 * 1024)

static int read_number(struct call *call, const char *name, uint64_t minimum, uint64_t maximum,
                       uint64_t *ret)
{
    struct str text;
    int r = call_query(call, name, &text);
    if (r < 0 || !text.data)
        return r;
    uint64_t number;
    if (str_to_u64(text, maximum, &number) < 0 || number < minimum)
        return aws_error_set(&call->error, AWS_VALIDATION,
                             "The query parameter '%s' must be a number from %llu to %llu", name,
                             (unsigned long long) minimum, (unsigned long long) maximum);
    *ret = number;
    return 0;
}

static int read_function(struct call *call, struct function_name *ret_name)
{
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, ret_name);
    if (r == 0 && !catalog_function(call->api->config.catalog, ret_name->name))
        r = call_no_function(call, ret_name);
    return r;
}

/* True if the call was answered, or there is nobody to answer to. */
static bool has_ended(struct call *call, const struct error *err)
{
    if (!call->request)
        call_free(call);
    else if (err)
        call_fail_internal(call, "api.dead_letters", err);
    else
        return false;
    return true;
}

static void fail_to_ask(struct call *call, int code)
{
    struct error err = {0};
    (void) error_set_errno(&err, code, "ask the queue");
    call_fail_internal(call, "api.dead_letters", &err);
}

/* ---- List */

static void append_letter(struct buf *json, const struct queue_event *event)
{
    char text[CLOCK_TEXT_MAX];
    buf_printf(json, "{\"id\":%lld,\"request_id\":", (long long) event->id);
    json_append_string(json, event->request_id);
    buf_append_text(json, ",\"qualifier\":");
    json_append_string(json, event->qualifier);
    buf_printf(json, ",\"submitted\":\"%s\"", clock_iso_z(event->accepted_ms, text));
    buf_printf(json, ",\"died\":\"%s\"", clock_iso_z(event->died_ms, text));
    buf_printf(json, ",\"tries\":%u,\"payload_bytes\":%zu,\"reason\":", event->tries,
               event->payload.size);
    json_append_string(json, event->reason);
    buf_append_text(json, ",\"error\":");
    json_append_string(json, str_part(event->response, 0, ERROR_SHOWN_MAX));
    buf_append_byte(json, '}');
}

static void listed(void *arg, const struct error *err, const struct queue_event *events, size_t n)
{
    struct call *call = arg;
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    if (has_ended(call, err))
        return;
    buf_append_text(&json, "{\"dead_letters\":[");
    size_t shown = 0;
    while (shown < n && json.size <= PAGE_BYTES_MAX) {
        if (shown)
            buf_append_byte(&json, ',');
        append_letter(&json, &events[shown++]);
    }
    buf_append_byte(&json, ']');
    if (shown > 0)
        buf_printf(&json, ",\"next\":%lld", (long long) events[shown - 1].id);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

void lamina_list_dead_letters(struct call *call)
{
    struct function_name name;
    uint64_t after = 0;
    uint64_t limit = LIMIT_DEFAULT;
    int r = read_function(call, &name);
    if (r == 0)
        r = read_number(call, "after", 0, INT64_MAX, &after);
    if (r == 0)
        r = read_number(call, "limit", 0, LIMIT_MAX, &limit);
    if (r < 0) {
        call_fail(call);
        return;
    }
    r = queue_list_dead(call->api->config.queue, str_of(name.name), (int64_t) after,
                        limit ? (size_t) limit : 1, listed, call);
    if (r < 0)
        fail_to_ask(call, r);
}

/* ---- Retry, purge */

static void answer_count(struct call *call, const struct error *err, const char *member,
                         uint64_t count)
{
    struct buf json = BUF_INIT(64);
    if (has_ended(call, err))
        return;
    buf_printf(&json, "{\"%s\":%llu}", member, (unsigned long long) count);
    call_answer_json(call, 200, &json);
}

static void retried(void *arg, const struct error *err, uint64_t count)
{
    answer_count(arg, err, "retried", count);
}

static void purged(void *arg, const struct error *err, uint64_t count)
{
    answer_count(arg, err, "purged", count);
}

static void change(struct call *call, bool is_retry)
{
    struct api_config *config = &call->api->config;
    struct function_name name;
    uint64_t id = 0; /* all of them, which nobody can say by a number */
    int r = read_function(call, &name);
    if (r == 0)
        r = read_number(call, "id", 1, INT64_MAX, &id);
    if (r < 0) {
        call_fail(call);
        return;
    }
    struct str function = str_of(name.name);
    r = is_retry ? async_revive(config->async, function, (int64_t) id, retried, call)
                 : queue_purge(config->queue, function, (int64_t) id, purged, call);
    if (r < 0)
        fail_to_ask(call, r);
}

void lamina_retry_dead_letters(struct call *call)
{
    change(call, true);
}

void lamina_purge_dead_letters(struct call *call)
{
    change(call, false);
}
