/* SPDX-License-Identifier: MIT */
#include "instance/extensions.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "http/server.h"
#include "instance/instance.h"
#include "instance/log_stream.h"
#include "instance/telemetry.h"

#define PATH "/2020-01-01/extension/"
#define INIT_PATH "/lamina/init/"
#define NAME_MAX_BYTES EXTENSIONS_NAME_MAX
#define NAMES_BYTES_MAX ((size_t) 8192)
#define ENDED_BYTES_MAX ((size_t) 512)
#define REGISTER_BYTES_MAX ((size_t) 4096)
#define ERROR_BYTES_MAX ((size_t) 256 * 1024)
#define EVENT_BYTES_MAX ((size_t) 64 * 1024)

struct extension {
    struct list link;
    struct extensions *owner;
    char id[UUID_SIZE];
    char name[NAME_MAX_BYTES + 1];
    bool wants_invoke, wants_shutdown;
    bool is_shutdown_told;
    struct http_request *parked; /* its event/next */
};

void extensions_init(struct extensions *extensions, const struct extensions_events *events,
                     void *arg)
{
    *extensions = (struct extensions){.events = events, .arg = arg};
    list_init(&extensions->all);
}

/* Without any hook the server would keep the request for an answer to come. */
static void gone_unheard(struct http_request *request)
{
    (void) request;
}

void extensions_done(struct extensions *extensions)
{
    LIST_FOR_EACH_SAFE (struct extension, each, &extensions->all, link) {
        if (each->parked)
            http_request_on_gone(each->parked, gone_unheard);
        list_remove(&each->link);
        free(each);
    }
    extensions->count = 0;
    if (extensions->announcement)
        http_request_on_gone(extensions->announcement, gone_unheard);
    if (extensions->orders)
        http_request_on_gone(extensions->orders, gone_unheard);
    extensions->announcement = extensions->orders = NULL;
}

bool extensions_are_parked(const struct extensions *extensions)
{
    LIST_FOR_EACH (struct extension, each, &extensions->all, link)
        if (!each->parked)
            return false;
    return true;
}

/* ---- answers */

static void respond_json(struct http_request *request, unsigned status, const struct buf *body,
                         const char *id_header, const char *id)
{
    const struct http_header headers[] = {
        {STR("Content-Type"), STR("application/json")},
        {str_of(id_header), str_of(id)},
    };
    struct http_response response = {.status = status,
                                     .headers = headers,
                                     .header_count = id ? 2 : 1,
                                     .body_kind = HTTP_BODY_COPY,
                                     .text = buf_str(body)};
    http_respond(request, &response);
}

static void respond_nothing(struct http_request *request, unsigned status)
{
    struct http_response response = {.status = status, .body_kind = HTTP_BODY_NONE};
    http_respond(request, &response);
}

static void respond_error(struct http_request *request, unsigned status, const char *type,
                          const char *message)
{
    char text[256];
    int size = snprintf(text, sizeof(text), "{\"errorType\":\"%s\",\"errorMessage\":\"%s\"}\n",
                        type, message);
    http_respond_text(request, status, "application/json", str_of_data(text, (size_t) size));
}

/* ---- register */

static bool name_is_valid(struct str name)
{
    if (name.size == 0 || name.size > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~' || name.data[i] == '/')
            return false;
    return true;
}

static struct extensions_external *external_find(struct extensions *extensions, struct str name)
{
    for (unsigned i = 0; i < extensions->n_externals; i++)
        if (str_equal_text(name, extensions->externals[i].name))
            return &extensions->externals[i];
    return NULL;
}

/* {"events": ["INVOKE"]}. False, and answered, for what is not allowed. */
static bool events_read(struct http_request *request, bool is_external, bool *ret_wants_invoke,
                        bool *ret_wants_shutdown)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    yyjson_val *events = NULL, *event = NULL;
    size_t index = 0, count = 0;
    bool wants_invoke = false, wants_shutdown = false;
    if (json_parse(buf_str(&request->body), REGISTER_BYTES_MAX, &doc, NULL) < 0 ||
        json_member_array(yyjson_doc_get_root(doc), "events", &events) < 0) {
        respond_error(request, 400, "InvalidRequestFormat", "expected {events: [...]}");
        return false;
    }
    yyjson_arr_foreach(events, index, count, event)
    {
        bool is_shutdown = str_equal_text(json_str(event), "SHUTDOWN");
        if (is_shutdown ? !is_external : !str_equal_text(json_str(event), "INVOKE")) {
            respond_error(request, 403, "Extension.InvalidEventType",
                          is_external ? "events are INVOKE and SHUTDOWN"
                                      : "an internal extension can be told of INVOKE only");
            return false;
        }
        wants_invoke |= !is_shutdown;
        wants_shutdown |= is_shutdown;
    }
    *ret_wants_invoke = wants_invoke;
    *ret_wants_shutdown = wants_shutdown;
    return true;
}

static void registered(struct http_request *request, const struct extensions *extensions,
                       const struct extension *extension)
{
    AUTO_BUF struct buf body = BUF_INIT(REGISTER_BYTES_MAX);
    buf_append_text(&body, "{\"functionName\":");
    json_append_string(&body, str_of(extensions->function));
    buf_append_text(&body, ",\"functionVersion\":");
    json_append_string(&body, str_of(extensions->version));
    buf_append_text(&body, ",\"handler\":");
    json_append_string(&body, str_of(extensions->handler));
    if (str_equal_nocase(http_request_header(request, "lambda-extension-accept-feature"),
                         STR("accountId"))) {
        buf_append_text(&body, ",\"accountId\":");
        json_append_string(&body, str_of(extensions->account));
    }
    buf_append_byte(&body, '}');
    respond_json(request, 200, &body, "Lambda-Extension-Identifier", extension->id);
}

/* The bootstrap may run: all that lamina-init named have registered. */
static void announcement_answer(struct extensions *extensions)
{
    struct http_request *request = extensions->announcement;
    if (!request)
        return;
    for (unsigned i = 0; i < extensions->n_externals; i++)
        if (!extensions->externals[i].is_registered)
            return;
    extensions->announcement = NULL;
    http_request_on_gone(request, NULL);
    respond_nothing(request, 204);
}

static void register_complete(struct http_request *request, int status)
{
    struct extensions *extensions = request->user;
    struct str name = http_request_header(request, "lambda-extension-name");
    struct extension *extension = NULL;
    struct extensions_external *external = external_find(extensions, name);
    bool wants_invoke = false, wants_shutdown = false;
    if (status < 0)
        respond_error(request, 400, "InvalidRequestFormat", "the request is too large");
    else if (!name_is_valid(name))
        respond_error(request, 403, "Extension.InvalidExtensionName",
                      "Lambda-Extension-Name is missing or not a name");
    else if (!extensions->events->may_register(extensions->arg))
        respond_error(request, 403, "Extension.RegistrationClosed", "the init phase is over");
    else if (extensions->count >= EXTENSIONS_MAX)
        respond_error(request, 403, "Extension.TooManyExtensions", "ten extensions are the limit");
    else if (external && external->is_registered)
        respond_error(request, 403, "Extension.AlreadyRegistered",
                      "an extension of this name has registered");
    else if (!events_read(request, external != NULL, &wants_invoke, &wants_shutdown))
        return; /* answered */
    else if (!(extension = mem_new(struct extension)))
        respond_error(request, 500, "InternalServerError", "out of memory");
    if (!extension)
        return;
    extension->owner = extensions;
    extension->wants_invoke = wants_invoke;
    extension->wants_shutdown = wants_shutdown;
    snprintf(extension->name, sizeof(extension->name), STR_FORMAT, STR_ARGUMENTS(name));
    uuid_new(extension->id);
    list_add_last(&extensions->all, &extension->link);
    extensions->count++;
    registered(request, extensions, extension);
    if (external) {
        external->is_registered = true;
        announcement_answer(extensions);
    }
}

/* ---- who is calling */

/* The extension that the request names; NULL, and answered, if it names none. */
static struct extension *request_extension(struct extensions *extensions,
                                           struct http_request *request)
{
    struct str id = http_request_header(request, "lambda-extension-identifier");
    if (id.size == 0) {
        respond_error(request, 403, "Extension.MissingExtensionIdentifier",
                      "Lambda-Extension-Identifier is missing");
        return NULL;
    }
    if (id.size != UUID_SIZE - 1) {
        respond_error(request, 403, "Extension.InvalidExtensionIdentifier",
                      "Lambda-Extension-Identifier is no identifier");
        return NULL;
    }
    LIST_FOR_EACH (struct extension, each, &extensions->all, link)
        if (str_equal_text(id, each->id))
            return each;
    respond_error(request, 403, "Extension.UnknownExtensionIdentifier",
                  "no extension has this identifier");
    return NULL;
}

const char *extensions_caller(struct extensions *extensions, struct http_request *request)
{
    const struct extension *extension = request_extension(extensions, request);
    return extension ? extension->name : NULL;
}

/* ---- event/next */

static void shutdown_give(struct extensions *extensions, struct extension *extension);

static void event_next_gone(struct http_request *request)
{
    struct extension *extension = request->user;
    extension->parked = NULL;
    extension->owner->events->unparked(extension->owner->arg);
}

static void event_next(struct extensions *extensions, struct http_request *request)
{
    struct extension *extension = request_extension(extensions, request);
    if (!extension)
        return;
    if (extension->parked) {
        respond_error(request, 403, "Extension.InvalidExtensionState",
                      "it waits for its next event already");
        return;
    }
    request->user = extension;
    extension->parked = request;
    http_request_on_gone(request, event_next_gone);
    if (extensions->shutdown_reason)
        shutdown_give(extensions, extension);
    else
        extensions->events->parked(extensions->arg);
}

static void next_complete(struct http_request *request, int status)
{
    if (status < 0)
        respond_error(request, 400, "InvalidRequestFormat", "event/next takes no body");
    else
        event_next(request->user, request);
}

static void event_build(struct buf *event, const struct instance_request *request,
                        int64_t deadline_wall_ms)
{
    buf_printf(event, "{\"eventType\":\"INVOKE\",\"deadlineMs\":%lld,\"requestId\":",
               (long long) deadline_wall_ms);
    json_append_string(event, str_of(request->id));
    buf_append_text(event, ",\"invokedFunctionArn\":");
    json_append_string(event, request->invoked_arn);
    buf_append_text(event, ",\"tracing\":{\"type\":\"X-Amzn-Trace-Id\",\"value\":");
    json_append_string(event, request->trace_id);
    buf_append_text(event, "}}");
}

/* One that does not wait hears of the event no more: Lambda's waiting is over when all wait. */
static void event_give(struct extension *extension, const struct buf *event)
{
    struct http_request *parked = extension->parked;
    if (!parked)
        return;
    char id[UUID_SIZE];
    extension->parked = NULL;
    http_request_on_gone(parked, NULL);
    respond_json(parked, 200, event, "Lambda-Extension-Event-Identifier", uuid_new(id));
}

void extensions_invoke(struct extensions *extensions, const struct instance_request *request,
                       int64_t deadline_wall_ms)
{
    AUTO_BUF struct buf event = BUF_INIT(EVENT_BYTES_MAX);
    if (extensions->count == 0)
        return;
    event_build(&event, request, deadline_wall_ms);
    LIST_FOR_EACH (struct extension, each, &extensions->all, link)
        if (each->wants_invoke)
            event_give(each, &event);
}

void extensions_tell(const struct extensions *extensions, struct log_stream *log,
                     struct telemetry *telemetry)
{
    LIST_FOR_EACH (struct extension, each, &extensions->all, link) {
        AUTO_BUF struct buf record = BUF_INIT(REGISTER_BYTES_MAX);
        bool has_both = each->wants_invoke && each->wants_shutdown;
        log_stream_line(log, "EXTENSION\tName: %s\tState: Ready\tEvents: [%s%s%s]", each->name,
                        each->wants_invoke ? "INVOKE" : "", has_both ? ", " : "",
                        each->wants_shutdown ? "SHUTDOWN" : "");
        buf_append_text(&record, "{\"name\":");
        json_append_string(&record, str_of(each->name));
        buf_printf(&record, ",\"state\":\"Ready\",\"events\":[%s%s%s]}",
                   each->wants_invoke ? "\"INVOKE\"" : "", has_both ? "," : "",
                   each->wants_shutdown ? "\"SHUTDOWN\"" : "");
        telemetry_event(telemetry, TELEMETRY_PLATFORM, "platform.extension", buf_str(&record));
    }
}

bool extensions_are_external(const struct extensions *extensions)
{
    return extensions->n_externals > 0;
}

/* Now, or when it asks: until the end. */
static void shutdown_give(struct extensions *extensions, struct extension *extension)
{
    AUTO_BUF struct buf event = BUF_INIT(EVENT_BYTES_MAX);
    if (!extension->wants_shutdown || extension->is_shutdown_told || !extension->parked)
        return;
    extension->is_shutdown_told = true;
    buf_printf(&event, "{\"eventType\":\"SHUTDOWN\",\"shutdownReason\":\"%s\",\"deadlineMs\":%lld}",
               extensions->shutdown_reason, (long long) extensions->shutdown_deadline_ms);
    event_give(extension, &event);
}

void extensions_shutdown(struct extensions *extensions, const char *reason,
                         int64_t deadline_wall_ms)
{
    struct http_request *orders = extensions->orders;
    extensions->shutdown_reason = reason;
    extensions->shutdown_deadline_ms = deadline_wall_ms;
    LIST_FOR_EACH (struct extension, each, &extensions->all, link)
        shutdown_give(extensions, each);
    extensions->orders = NULL;
    if (!orders)
        return;
    http_request_on_gone(orders, NULL);
    respond_nothing(orders, 204);
}

/* ---- init/error, exit/error */

static void error_complete(struct http_request *request, bool is_init)
{
    struct extensions *extensions = request->user;
    struct str type = http_request_header(request, "lambda-extension-function-error-type");
    char kept[NAME_MAX_BYTES] = "Extension.Unknown";
    if (!request_extension(extensions, request))
        return;
    if (type.size > 0 && type.size < sizeof(kept))
        snprintf(kept, sizeof(kept), STR_FORMAT, STR_ARGUMENTS(type));
    http_respond_text(request, 202, "application/json", STR("{\"status\":\"OK\"}\n"));
    extensions->events->failed(extensions->arg, str_of(kept), is_init);
}

static void init_error_complete(struct http_request *request, int status)
{
    (void) status; /* what it says is not looked into */
    error_complete(request, true);
}

static void exit_error_complete(struct http_request *request, int status)
{
    (void) status;
    error_complete(request, false);
}

/* ---- what lamina-init tells */

static void announcement_gone(struct http_request *request)
{
    struct extensions *extensions = request->user;
    extensions->announcement = NULL;
}

static void orders_gone(struct http_request *request)
{
    struct extensions *extensions = request->user;
    extensions->orders = NULL;
}

static void externals_take(struct extensions *extensions, struct http_request *request)
{
    struct str rest = buf_str(&request->body), name;
    bool is_too_many = false;
    while (str_cut(rest, '\n', &name, &rest)) {
        is_too_many |= extensions->n_externals == EXTENSIONS_MAX;
        if (!is_too_many && name_is_valid(name))
            (void) !str_copy(name, extensions->externals[extensions->n_externals++].name,
                             sizeof(extensions->externals[0].name)); /* as long as it may be */
    }
    extensions->is_announced = true;
    extensions->announcement = request;
    http_request_on_gone(request, announcement_gone);
    if (is_too_many)
        extensions->events->too_many(extensions->arg);
    else
        announcement_answer(extensions); /* none has a name that can register */
}

/* Once, and before anybody registered: from lamina-init, which sends it before it starts any process. */
static void announce_complete(struct http_request *request, int status)
{
    struct extensions *extensions = request->user;
    if (status < 0 || extensions->is_announced || extensions->count > 0 ||
        !extensions->events->may_register(extensions->arg))
        respond_error(request, 403, "InvalidStateTransition", "extensions cannot be named now");
    else
        externals_take(extensions, request);
}

static void courier_order(struct extensions *extensions)
{
    struct http_request *orders = extensions->orders;
    if (!extensions->wants_courier || extensions->has_courier || !orders)
        return;
    extensions->has_courier = true;
    extensions->orders = NULL;
    http_request_on_gone(orders, NULL);
    respond_nothing(orders, 202);
}

void extensions_want_courier(struct extensions *extensions)
{
    extensions->wants_courier = true;
    courier_order(extensions);
}

static void orders_complete(struct http_request *request, int status)
{
    struct extensions *extensions = request->user;
    if (status < 0 || !extensions->is_announced || extensions->orders) {
        respond_error(request, 403, "InvalidStateTransition", "there are no orders for you");
        return;
    }
    extensions->orders = request;
    http_request_on_gone(request, orders_gone);
    courier_order(extensions);
}

/* "extension NAME STATUS ERRNO" or "bootstrap - STATUS ERRNO" */
static bool end_read(struct str text, char name[EXTENSIONS_NAME_MAX + 1],
                     struct extensions_end *ret_end)
{
    struct str kind, word, status;
    int64_t number, error;
    if (!str_cut(text, ' ', &kind, &text) || !str_cut(text, ' ', &word, &text) ||
        !str_cut(text, ' ', &status, &text) || str_copy(word, name, EXTENSIONS_NAME_MAX + 1) < 0 ||
        str_to_i64(status, 0, 0xffff, &number) < 0 || str_to_i64(text, 0, 4095, &error) < 0)
        return false;
    *ret_end = (struct extensions_end){.is_bootstrap = str_equal_text(kind, "bootstrap"),
                                       .name = name,
                                       .status = (int) number,
                                       .error = (int) error};
    return true;
}

static void ended_complete(struct http_request *request, int status)
{
    struct extensions *extensions = request->user;
    struct extensions_end end;
    char name[EXTENSIONS_NAME_MAX + 1];
    bool is_told = status == 0 && extensions->is_announced &&
                   end_read(buf_str(&request->body), name, &end) &&
                   (end.is_bootstrap || external_find(extensions, str_of(name)));
    if (!is_told) {
        respond_error(request, 400, "InvalidRequestFormat", "that is no end");
        return;
    }
    respond_nothing(request, 204);
    extensions->events->ended(extensions->arg, &end);
}

/* ---- routes */

bool extensions_on_head(struct extensions *extensions, struct http_request *request)
{
    static const struct {
        enum http_method method;
        const char *path;
        size_t bytes_max;
        void (*complete)(struct http_request *request, int status);
    } routes[] = {
        {HTTP_METHOD_POST, PATH "register", REGISTER_BYTES_MAX, register_complete},
        {HTTP_METHOD_GET, PATH "event/next", 0, next_complete},
        {HTTP_METHOD_POST, PATH "init/error", ERROR_BYTES_MAX, init_error_complete},
        {HTTP_METHOD_POST, PATH "exit/error", ERROR_BYTES_MAX, exit_error_complete},
        {HTTP_METHOD_POST, INIT_PATH "extensions", NAMES_BYTES_MAX, announce_complete},
        {HTTP_METHOD_POST, INIT_PATH "orders", 0, orders_complete},
        {HTTP_METHOD_POST, INIT_PATH "ended", ENDED_BYTES_MAX, ended_complete},
    };
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
        if (request->method == routes[i].method && str_equal_text(request->path, routes[i].path)) {
            request->user = extensions;
            http_request_keep_body(request, routes[i].bytes_max, routes[i].complete);
            return true;
        }
    return false;
}
