/* SPDX-License-Identifier: MIT */
#include "instance/telemetry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/server.h"
#include "instance/extensions.h"
#include "instance/report.h"
#include "instance/subscription.h"
#include "loop/loop.h"

#define ITEM_BYTES_MAX ((size_t) 1024 * 1024)
#define RECORD_BYTES_MAX 2048

struct telemetry_subscription {
    struct list link;
    struct telemetry *owner; /* borrowed */
    char name[EXTENSIONS_NAME_MAX + 1];
    struct subscription wanted;

    struct buf pending; /* items, each with its line feed */
    size_t items;
    uint64_t dropped_items, dropped_bytes; /* since the last that said so */
    struct loop_timer timer;
    bool is_due;
};

static void deliver_due(struct telemetry *telemetry);

void telemetry_init(struct telemetry *telemetry, struct loop *loop, struct extensions *extensions,
                    const char *version, bool (*may_subscribe)(void *arg), void *arg)
{
    *telemetry = (struct telemetry){.loop = loop,
                                    .extensions = extensions,
                                    .version = version,
                                    .may_subscribe = may_subscribe,
                                    .arg = arg};
    list_init(&telemetry->all);
}

static void subscription_free(struct telemetry_subscription *subscription)
{
    struct telemetry *telemetry = subscription->owner;
    if (telemetry->delivering == subscription)
        telemetry->delivering = NULL;
    loop_timer_stop(&subscription->timer);
    list_remove(&subscription->link);
    telemetry->pending_bytes -= subscription->pending.size;
    buf_done(&subscription->pending);
    free(subscription);
    telemetry->count--;
}

/* Without any hook the server would keep the request for an answer to come. */
static void gone_unheard(struct http_request *request)
{
    (void) request;
}

void telemetry_done(struct telemetry *telemetry)
{
    LIST_FOR_EACH_SAFE (struct telemetry_subscription, each, &telemetry->all, link)
        subscription_free(each);
    if (telemetry->courier)
        http_request_on_gone(telemetry->courier, gone_unheard);
    telemetry->courier = NULL;
}

/* ---- items */

static void due(struct telemetry_subscription *subscription)
{
    subscription->is_due = true;
    loop_timer_stop(&subscription->timer);
}

static void timed_out(void *arg)
{
    struct telemetry_subscription *subscription = arg;
    due(subscription);
    deliver_due(subscription->owner);
}

static void item_put(struct telemetry_subscription *subscription, struct str item)
{
    struct buf *pending = &subscription->pending;
    struct telemetry *telemetry = subscription->owner;
    if (pending->size + item.size > pending->maximum ||
        telemetry->pending_bytes + item.size > TELEMETRY_PENDING_MAX) {
        subscription->dropped_items++;
        subscription->dropped_bytes += item.size;
        return;
    }
    if (buf_append_str(pending, item) < 0) {
        telemetry->pending_bytes -= pending->size;
        buf_clear(pending); /* no memory: what was there is lost, too */
        subscription->dropped_items += subscription->items + 1;
        subscription->items = 0;
        return;
    }
    telemetry->pending_bytes += item.size;
    subscription->items++;
}

/* {"time":...,"type":...,"record":...} and a line feed */
static void item_build(struct buf *item, const char *type, int64_t wall_ms, struct str record)
{
    char time[CLOCK_TEXT_MAX];
    buf_printf(item, "{\"time\":\"%s\",\"type\":\"%s\",\"record\":", clock_iso_z(wall_ms, time),
               type);
    buf_append_str(item, record);
    buf_append_text(item, "}\n");
}

static void dropped_tell(struct telemetry_subscription *subscription)
{
    AUTO_BUF struct buf item = BUF_INIT(RECORD_BYTES_MAX);
    char record[160];
    uint64_t items = subscription->dropped_items;
    bool has_room = subscription->pending.size < subscription->pending.maximum / 2;
    if (items == 0 || !has_room)
        return;
    snprintf(
        record, sizeof(record),
        "{\"reason\":\"Consumer seems to have fallen behind as it has not acknowledged receipt of "
        "logs.\",\"droppedRecords\":%llu,\"droppedBytes\":%llu}",
        (unsigned long long) items, (unsigned long long) subscription->dropped_bytes);
    item_build(&item, "platform.logsDropped", clock_wall_ms(), str_of(record));
    subscription->dropped_items = subscription->dropped_bytes = 0;
    item_put(subscription, buf_str(&item));
}

static void item_add(struct telemetry_subscription *subscription, struct str item)
{
    struct telemetry *telemetry = subscription->owner;
    dropped_tell(subscription);
    item_put(subscription, item);
    if (subscription->items >= (size_t) subscription->wanted.items_max ||
        subscription->pending.size >= (size_t) subscription->wanted.bytes_max)
        due(subscription);
    else if (subscription->items > 0 && !subscription->is_due &&
             !loop_timer_is_running(&subscription->timer))
        (void) !loop_timer_start(telemetry->loop, &subscription->timer,
                                 subscription->wanted.timeout_ms, timed_out,
                                 subscription); /* without memory: the next item tries again */
}

/* The Logs API has names of its own for some, and not all. */
static const char *type_for(const struct telemetry_subscription *subscription, const char *type)
{
    if (!subscription->wanted.is_logs)
        return type;
    if (strcmp(type, "platform.telemetrySubscription") == 0)
        return "platform.logsSubscription";
    return strncmp(type, "platform.init", strlen("platform.init")) == 0 ? NULL : type;
}

static void event_at(struct telemetry_subscription *subscription, const char *type, int64_t wall_ms,
                     struct str record)
{
    AUTO_BUF struct buf item = BUF_INIT(ITEM_BYTES_MAX);
    const char *name = type_for(subscription, type);
    if (!name)
        return;
    item_build(&item, name, wall_ms, record);
    if (buf_status(&item) == 0)
        item_add(subscription, buf_str(&item));
    else
        subscription->dropped_items++;
}

void telemetry_event(struct telemetry *telemetry, enum telemetry_kind kind, const char *type,
                     struct str record)
{
    LIST_FOR_EACH (struct telemetry_subscription, each, &telemetry->all, link)
        if (each->wanted.kinds & kind)
            event_at(each, type, clock_wall_ms(), record);
    deliver_due(telemetry); /* at last: it changes the list */
}

void telemetry_lines(struct telemetry *telemetry, struct str lines)
{
    struct str line;
    if (telemetry->count == 0)
        return;
    while (str_cut(lines, '\n', &line, &lines)) {
        AUTO_BUF struct buf record = BUF_INIT(ITEM_BYTES_MAX);
        json_append_string(&record, line);
        if (buf_status(&record) == 0)
            telemetry_event(telemetry, TELEMETRY_FUNCTION, "function", buf_str(&record));
    }
}

/* ---- what the platform tells */

static double ms(uint64_t us)
{
    return (double) us / 1000.0;
}

void telemetry_start(struct telemetry *telemetry, const char *request_id, struct str trace_id)
{
    AUTO_BUF struct buf record = BUF_INIT(RECORD_BYTES_MAX);
    if (telemetry->count == 0)
        return;
    buf_printf(&record, "{\"requestId\":\"%s\",\"version\":\"%s\"", request_id, telemetry->version);
    if (trace_id.size > 0) {
        buf_append_text(&record, ",\"tracing\":{\"type\":\"X-Amzn-Trace-Id\",\"value\":");
        json_append_string(&record, trace_id);
        buf_append_byte(&record, '}');
    }
    buf_append_byte(&record, '}');
    telemetry_event(telemetry, TELEMETRY_PLATFORM, "platform.start", buf_str(&record));
}

void telemetry_runtime_done(struct telemetry *telemetry, const char *request_id, const char *status,
                            uint64_t duration_us, size_t produced_bytes)
{
    char record[RECORD_BYTES_MAX];
    if (telemetry->count == 0)
        return;
    snprintf(record, sizeof(record),
             "{\"requestId\":\"%s\",\"status\":\"%s\",\"metrics\":{\"durationMs\":%.3f,"
             "\"producedBytes\":%zu}}",
             request_id, status, ms(duration_us), produced_bytes);
    telemetry_event(telemetry, TELEMETRY_PLATFORM, "platform.runtimeDone", str_of(record));
}

void telemetry_report(struct telemetry *telemetry, const struct report *report)
{
    AUTO_BUF struct buf record = BUF_INIT(RECORD_BYTES_MAX);
    uint64_t billed_us = report->duration_us + (report->has_init ? report->init_us : 0);
    if (telemetry->count == 0)
        return;
    buf_printf(&record,
               "{\"requestId\":\"%s\",\"status\":\"%s\",\"metrics\":{\"durationMs\":%.3f,"
               "\"billedDurationMs\":%llu,\"memorySizeMB\":%u,\"maxMemoryUsedMB\":%llu",
               report->request_id, report->failure ? report->failure->status : "success",
               ms(report->duration_us), (unsigned long long) ((billed_us + 999) / 1000),
               report->memory_mb,
               (unsigned long long) ((report->memory_peak_bytes + (1u << 20) - 1) >> 20));
    if (report->has_init)
        buf_printf(&record, ",\"initDurationMs\":%.3f", ms(report->init_us));
    buf_append_text(&record, "}}");
    telemetry_event(telemetry, TELEMETRY_PLATFORM, "platform.report", buf_str(&record));
}

#define INIT_RECORD "{\"initializationType\":\"on-demand\",\"phase\":\"init\""

void telemetry_init_done(struct telemetry *telemetry, const char *status, uint64_t init_us)
{
    char record[256];
    if (telemetry->count == 0)
        return;
    snprintf(record, sizeof(record), INIT_RECORD ",\"status\":\"%s\"}", status);
    telemetry_event(telemetry, TELEMETRY_PLATFORM, "platform.initRuntimeDone", str_of(record));
    snprintf(record, sizeof(record),
             INIT_RECORD ",\"status\":\"%s\",\"metrics\":{\"durationMs\":%.3f}}", status,
             ms(init_us));
    telemetry_event(telemetry, TELEMETRY_PLATFORM, "platform.initReport", str_of(record));
}

void telemetry_flush(struct telemetry *telemetry)
{
    LIST_FOR_EACH (struct telemetry_subscription, each, &telemetry->all, link)
        if (each->items > 0)
            due(each);
    deliver_due(telemetry);
}

/* ---- delivery */

/* How much of it goes at once: at most maxItems. */
static size_t batch_size(const struct telemetry_subscription *subscription, size_t *ret_items)
{
    const char *data = subscription->pending.data;
    size_t size = 0, items = 0;
    while (size < subscription->pending.size && items < (size_t) subscription->wanted.items_max &&
           size < (size_t) subscription->wanted.bytes_max) {
        const char *end = memchr(data + size, '\n', subscription->pending.size - size);
        size = (size_t) (end - data) + 1;
        items++;
    }
    *ret_items = items;
    return size;
}

/* As HTTP a JSON array in a request to the extension; as TCP a line each. */
static int batch_build(const struct telemetry_subscription *subscription, size_t size,
                       struct buf *out)
{
    const char *data = subscription->pending.data;
    if (subscription->wanted.is_tcp)
        return buf_append(out, data, size);
    buf_printf(
        out,
        "POST %s HTTP/1.1\r\nHost: sandbox.localdomain:%u\r\nContent-Type: application/json\r\n"
        "Connection: close\r\nContent-Length: %zu\r\n\r\n[",
        subscription->wanted.path, subscription->wanted.port,
        size + 1); /* '[' and ']', less one line feed */
    size_t begin = out->size;
    buf_append(out, data, size - 1);
    for (size_t i = begin; buf_status(out) == 0 && i < out->size; i++)
        if (out->data[i] == '\n')
            out->data[i] = ',';
    return buf_append_byte(out, ']');
}

static void deliver(struct telemetry *telemetry, struct telemetry_subscription *subscription)
{
    struct http_request *courier = telemetry->courier;
    struct buf body = BUF_INIT(2 * ITEM_BYTES_MAX + 1024);
    char port[8], bytes[24];
    size_t items;
    size_t size = batch_size(subscription, &items);
    if (batch_build(subscription, size, &body) < 0) {
        buf_done(&body);
        return; /* no memory: it stays due */
    }
    snprintf(port, sizeof(port), "%u", subscription->wanted.port);
    snprintf(bytes, sizeof(bytes), "%zu", body.size);
    const struct http_header headers[] = {
        {STR("Lamina-Port"), str_of(port)},
        {STR("Lamina-Bytes"), str_of(bytes)},
        {STR("Lamina-Reply"), STR("1")},
    };
    struct http_response response = {.status = 200,
                                     .headers = headers,
                                     .header_count = subscription->wanted.is_tcp ? 2 : 3,
                                     .body_kind = HTTP_BODY_BUF,
                                     .buf = body};
    buf_consume(&subscription->pending, size);
    telemetry->pending_bytes -= size;
    if (subscription->pending.size == 0)
        buf_done(&subscription->pending); /* what a burst took is given back */
    subscription->items -= items;
    subscription->is_due = subscription->items > 0;
    telemetry->delivering = subscription;
    telemetry->delivering_items = items;
    telemetry->delivering_bytes = size;
    telemetry->courier = NULL;
    http_request_on_gone(courier, NULL);
    http_respond(courier, &response);
}

static void deliver_due(struct telemetry *telemetry)
{
    if (!telemetry->courier)
        return;
    LIST_FOR_EACH (struct telemetry_subscription, each, &telemetry->all, link)
        if (each->is_due && each->items > 0) {
            list_remove(&each->link); /* whose turn it was is last next time */
            list_add_last(&telemetry->all, &each->link);
            deliver(telemetry, each);
            return;
        }
}

static void courier_gone(struct http_request *request)
{
    struct telemetry *telemetry = request->user;
    telemetry->courier = NULL;
}

/* What the courier could not hand over is lost. */
static void delivery_end(struct telemetry *telemetry, struct str delivered)
{
    struct telemetry_subscription *subscription = telemetry->delivering;
    telemetry->delivering = NULL;
    if (!subscription || str_equal_text(delivered, "yes"))
        return;
    subscription->dropped_items += telemetry->delivering_items;
    subscription->dropped_bytes += telemetry->delivering_bytes;
}

static void respond_error(struct http_request *request, unsigned status, const char *type,
                          const char *message)
{
    char text[512];
    int size = snprintf(text, sizeof(text), "{\"errorType\":\"%s\",\"errorMessage\":\"%s\"}\n",
                        type, message);
    http_respond_text(request, status, "application/json", str_of_data(text, (size_t) size));
}

static void courier_complete(struct http_request *request, int status)
{
    struct telemetry *telemetry = request->user;
    if (status < 0 || telemetry->count == 0 || telemetry->courier) {
        respond_error(request, 403, "InvalidStateTransition", "there is nothing for you");
        return;
    }
    delivery_end(telemetry, http_request_header(request, "lamina-delivered"));
    telemetry->courier = request;
    http_request_on_gone(request, courier_gone);
    deliver_due(telemetry);
}

/* ---- subscribing */

static void subscription_tell(struct telemetry_subscription *subscription)
{
    AUTO_BUF struct buf record = BUF_INIT(RECORD_BYTES_MAX);
    static const struct {
        unsigned kind;
        const char *name;
    } kinds[] = {{TELEMETRY_PLATFORM, "platform"},
                 {TELEMETRY_FUNCTION, "function"},
                 {TELEMETRY_EXTENSION, "extension"}};
    bool is_first = true;
    if (!(subscription->wanted.kinds & TELEMETRY_PLATFORM))
        return;
    event_at(subscription, "platform.initStart", subscription->owner->started_wall_ms,
             STR(INIT_RECORD "}"));
    buf_append_text(&record, "{\"name\":");
    json_append_string(&record, str_of(subscription->name));
    buf_append_text(&record, ",\"state\":\"Subscribed\",\"types\":[");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!(subscription->wanted.kinds & kinds[i].kind))
            continue;
        buf_printf(&record, "%s\"%s\"", is_first ? "" : ",", kinds[i].name);
        is_first = false;
    }
    buf_append_text(&record, "]}");
    event_at(subscription, "platform.telemetrySubscription", clock_wall_ms(), buf_str(&record));
}

/* Subscribing again replaces. */
static void subscription_add(struct telemetry *telemetry, struct telemetry_subscription *added)
{
    LIST_FOR_EACH_SAFE (struct telemetry_subscription, each, &telemetry->all, link)
        if (strcmp(each->name, added->name) == 0 && each->wanted.is_logs == added->wanted.is_logs)
            subscription_free(each);
    added->owner = telemetry;
    buf_init(&added->pending, 2 * (size_t) added->wanted.bytes_max);
    list_add_last(&telemetry->all, &added->link);
    telemetry->count++;
    subscription_tell(added);
    extensions_want_courier(telemetry->extensions);
}

static void subscribe(struct http_request *request, struct telemetry *telemetry, const char *name,
                      bool is_logs)
{
    struct telemetry_subscription *subscription = NULL;
    struct subscription wanted;
    const char *message;
    if (subscription_read(buf_str(&request->body), is_logs, &wanted, &message) < 0) {
        respond_error(request, 400, "ValidationError", message);
        return;
    }
    if (telemetry->count < TELEMETRY_SUBSCRIPTIONS_MAX)
        subscription = mem_new(struct telemetry_subscription);
    if (!subscription) {
        respond_error(request, 500, "InternalServerError", "too many subscriptions");
        return;
    }
    subscription->wanted = wanted;
    snprintf(subscription->name, sizeof(subscription->name), "%s", name);
    http_respond_text(request, 200, "text/plain", STR("OK"));
    subscription_add(telemetry, subscription);
}

static void put_complete(struct http_request *request, int status, bool is_logs)
{
    struct telemetry *telemetry = request->user;
    const char *name = extensions_caller(telemetry->extensions, request);
    if (!name)
        return; /* answered */
    if (status < 0)
        respond_error(request, 400, "ValidationError", "the request is too large");
    else if (!extensions_are_external(telemetry->extensions))
        respond_error(request, 202, is_logs ? "Logs.NotSupported" : "Telemetry.NotSupported",
                      "not supported without an external extension");
    else if (!telemetry->may_subscribe(telemetry->arg))
        respond_error(request, 403, is_logs ? "Logs.ServiceClosed" : "Telemetry.ServiceClosed",
                      "subscriptions are closed: the init phase is over");
    else
        subscribe(request, telemetry, name, is_logs);
}

static void telemetry_complete(struct http_request *request, int status)
{
    put_complete(request, status, false);
}

static void logs_complete(struct http_request *request, int status)
{
    put_complete(request, status, true);
}

bool telemetry_on_head(struct telemetry *telemetry, struct http_request *request)
{
    static const struct {
        enum http_method method;
        const char *path;
        size_t bytes_max;
        void (*complete)(struct http_request *request, int status);
    } routes[] = {
        {HTTP_METHOD_PUT, "/2022-07-01/telemetry", SUBSCRIPTION_BYTES_MAX, telemetry_complete},
        {HTTP_METHOD_PUT, "/2020-08-15/logs", SUBSCRIPTION_BYTES_MAX, logs_complete},
        {HTTP_METHOD_GET, "/lamina/init/telemetry", 0, courier_complete},
    };
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
        if (request->method == routes[i].method && str_equal_text(request->path, routes[i].path)) {
            request->user = telemetry;
            http_request_keep_body(request, routes[i].bytes_max, routes[i].complete);
            return true;
        }
    return false;
}
