// SPDX-License-Identifier: MIT

#include "async/async.h"

#include "async/record.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "function/catalog.h"
#include "function/scheduler.h"
#include "loop/loop.h"
#include "meta/queue.h"
#include "role/roles.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TOPICS_MAX 1000000
#define RETURN_MS_FIRST 1000 // before an event that was throttled is tried again; doubled each time
#define RETURN_MS_MAX 300000
#define QUEUE_AGAIN_MS 1000 // when the queue itself refuses (full disk)
#define RECORD_BYTES_MAX (LIMIT_PAYLOAD_ASYNC_MAX + RECORD_RESPONSE_MAX + 16384)
#define DEAD_RESPONSE_MAX 65536 // bytes of the last response that a dead letter keeps
#define NEVER INT64_MAX

struct async {
    struct async_config config;
    struct map topics; // name -> struct topic
    struct list full;  // topics that wait for a place of all (topic.full_link), the longest first
    struct list tries; // try.link
    uint32_t running;  // tries under way or being settled
    uint32_t reserved; // places for what claims under way may bring
    bool is_stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct loop_deferred stopped_later;
    struct async_stats stats;
};

// A function that has events, or had some a moment ago.
struct topic {
    struct async *async;
    char *name;
    uint32_t running;
    uint32_t reserved; // while is_claiming
    bool is_claiming;
    bool is_orphan;      // the service ended before what a deleted function left was dropped
    int64_t next_due_ms; // wall clock: when to look into the queue next; NEVER: no event is known
    struct loop_timer timer;
    struct list full_link; // in async.full
};

// One event on its way through one try.
//
//     RUNNING ---result---> SETTLING ---the queue took it---> freed
//                              ^  |
//                              +--+ again after QUEUE_AGAIN_MS when it did not
struct
try {
    struct list link;
    struct topic *topic;
    const struct version *version; // a reference; NULL if it was never invoked
    struct invocation *invocation; // while RUNNING
    char *texts[7];                // owned copies behind the views of `event`
    struct queue_event event;
    bool is_payload_dropped; // no destination was set when it began: the queue has the only copy
    enum queue_fate fate;    // SETTLING
    bool has_record;
    char *record; // owned: JSON of the destination's event
    size_t record_size;
    char record_id[INVOCATION_ID_SIZE];
    char *destination; // owned: the ARN
    char *response;    // owned: what a dead letter keeps
    struct loop_timer timer;
};

static void topic_step(struct topic *topic);

// ---- Topics

static struct topic *topic_get(struct async *async, struct str name)
{
    struct topic *topic = map_get(&async->topics, name);
    if (topic)
        return topic;
    topic = mem_new(struct topic);
    if (!topic)
        return NULL;
    topic->async = async;
    topic->name = str_copy_heap(name);
    topic->next_due_ms = NEVER;
    list_init(&topic->full_link);
    if (!topic->name || map_put(&async->topics, name, topic) < 0) {
        free(topic->name);
        free(topic);
        return NULL;
    }
    return topic;
}

static void topic_free(void *value)
{
    struct topic *topic = value;
    loop_timer_stop(&topic->timer);
    list_remove(&topic->full_link);
    free(topic->name);
    free(topic);
}

static void topic_free_idle(struct topic *topic)
{
    if (topic->running || topic->is_claiming || topic->next_due_ms != NEVER)
        return;
    (void) map_remove(&topic->async->topics, str_of(topic->name));
    topic_free(topic);
}

static void topic_expect(struct topic *topic, int64_t due_ms)
{
    if (due_ms < topic->next_due_ms)
        topic->next_due_ms = due_ms;
}

static void on_topic_timer(void *arg)
{
    topic_step(arg);
}

static void topic_wake_at(struct topic *topic, int64_t in_ms)
{
    // Without memory for a timer the next event or result looks again.
    (void) !loop_timer_start(topic->async->config.loop, &topic->timer, in_ms, on_topic_timer,
                             topic);
}

static bool is_full(const struct async *async)
{
    return async->running + async->reserved >= ASYNC_RUNNING_TOTAL_MAX;
}

// A place became free: whoever has waited the longest for one has it. A topic that wants more lines up again, so that
// functions with a backlog do not keep the others waiting.
static void step_waiting(struct async *async)
{
    struct list *link;
    while (!is_full(async) && (link = list_take_first(&async->full)) != NULL)
        topic_step(LIST_ENTRY(link, struct topic, full_link));
}

// ---- The end of a try

static void try_free(struct try *try)
{
    list_remove(&try->link);
    loop_timer_stop(&try->timer);
    for (size_t i = 0; i < ARRAY_SIZE(try->texts); i++)
        free(try->texts[i]);
    version_unref(try->version);
    free(try->record);
    free(try->destination);
    free(try->response);
    free(try);
}

static void call_stopped(void *arg)
{
    struct async *async = arg;
    async->stopped(async->stopped_arg);
}

static void check_stopped(struct async *async)
{
    if (async->is_stopping && async->running == 0 && async->stopped)
        loop_defer(async->config.loop, &async->stopped_later, call_stopped, async);
}

static void try_settle(void *arg);

static void on_settled(void *arg, const struct error *err)
{
    struct try *try = arg;
    struct topic *topic = try->topic;
    struct async *async = topic->async;
    if (err && !async->is_stopping) {
        // The disk is full, or the queue broken: the event stays claimed until it can be written.
        log_warn("async.settle_failed", "function=%s request=" STR_FORMAT " error=%s again_ms=%d",
                 topic->name, STR_ARGUMENTS(try->event.request_id), LOG_TEXT(err->text),
                 QUEUE_AGAIN_MS);
        if (loop_timer_start(async->config.loop, &try->timer, QUEUE_AGAIN_MS, try_settle, try) == 0)
            return;
    }
    if (try->fate == QUEUE_RETRY)
        topic_expect(topic, try->event.due_ms);
    struct str name, qualifier;
    if (!err && try->has_record &&
        record_destination(str_of(try->destination), &name, &qualifier)) {
        struct topic *destination = topic_get(async, name);
        if (destination) {
            topic_expect(destination, clock_wall_ms());
            topic_step(destination);
        }
    }
    try_free(try);
    async->running--;
    check_stopped(async);
    step_waiting(async); // topic->running keeps the topic itself alive meanwhile
    topic->running--;
    topic_step(topic);
}

static void try_settle(void *arg)
{
    struct try *try = arg;
    struct async *async = try->topic->async;
    struct queue_event also = {0};
    struct str name, qualifier;
    bool has_also =
        try->has_record && record_destination(str_of(try->destination), &name, &qualifier);
    if (has_also) {
        int64_t now_ms = clock_wall_ms();
        also = (struct queue_event){
            .topic = name,
            .qualifier = qualifier,
            .request_id = str_of(try->record_id),
            .arn = str_of(try->destination),
            .trace_id = try->event.trace_id,
            .depth = try->event.depth + 1,
            .payload = {try->record, try->record_size},
            .accepted_ms = now_ms,
            .due_ms = now_ms,
        };
    }
    int r = queue_settle(async->config.queue, try->fate, &try->event, has_also ? &also : NULL,
                         on_settled, try);
    if (r == 0)
        return;
    struct error err = {0};
    error_set_errno(&err, r, "settle an event");
    on_settled(try, &err);
}

// ---- What becomes of it

static void try_end(struct try *try, enum queue_fate fate)
{
    try->fate = fate;
    try_settle(try);
}

// Whose role decides: the version's that was called, else the function's.
static bool may_call(const struct try *try, struct str arn)
{
    const struct async_config *config = &try->topic->async->config;
    const struct version *version = try->version;
    if (!version && catalog_find(config->catalog, try->topic->name, NULL, &version) == -ENOENT)
        return false;
    return roles_may_deliver(config->roles, version->role, arn);
}

// Why the destination is not called; NULL: it is. What held when it was set may not hold any more.
static const char *obstacle_of(const struct try *try, struct str arn)
{
    char name[LIMIT_FUNCTION_NAME_MAX + 1];
    struct str function, qualifier;
    if (try->event.depth >= LIMIT_INVOKE_DEPTH)
        return "functions lead to one another for too long";
    if (!record_destination(arn, &function, &qualifier) || function.size >= sizeof(name))
        return "it is no function";
    snprintf(name, sizeof(name), STR_FORMAT, STR_ARGUMENTS(function));
    if (!catalog_function(try->topic->async->config.catalog, name))
        return "it was deleted";
    return may_call(try, arn) ? NULL : "the function's role may not call it";
}

static void try_make_record(struct try *try, struct str destination, const char *condition,
                            bool is_error, struct str response)
{
    if (try->is_payload_dropped) // the destination was set after this try began: from the next one on
        return;
    const char *obstacle = obstacle_of(try, destination);
    if (obstacle) {
        log_warn("async.undelivered",
                 "function=%s request=" STR_FORMAT " destination=" STR_FORMAT " reason=%s",
                 try->topic->name, STR_ARGUMENTS(try->event.request_id), STR_ARGUMENTS(destination),
                 LOG_TEXT(obstacle));
        try->topic->async->stats.undelivered++;
        return;
    }
    AUTO_BUF struct buf text = BUF_INIT(RECORD_BYTES_MAX);
    char arn[VERSION_ARN_MAX + LIMIT_QUALIFIER_MAX];
    snprintf(arn, sizeof(arn), STR_FORMAT, STR_ARGUMENTS(try->event.arn));
    struct record record = {
        .condition = condition,
        .request_id = try->event.request_id,
        .function_arn = try->version ? str_of(try->version->qualified_arn) : str_of(arn),
        .payload = try->event.payload,
        .tries = try->event.tries,
        .was_invoked = try->version != NULL,
        .executed_version = try->version ? str_of(try->version->qualifier) : (struct str){0},
        .is_function_error = is_error,
        .response = response,
        .at_ms = clock_wall_ms(),
    };
    if (record_append(&text, &record) < 0) {
        log_warn("async.record_failed", "function=%s request=" STR_FORMAT, try->topic->name,
                 STR_ARGUMENTS(try->event.request_id));
        return;
    }
    try->destination = str_copy_heap(destination);
    try->record = buf_take(&text, &try->record_size);
    try->has_record = try->destination && try->record;
    uuid_new(try->record_id);
}

static void try_succeed(struct try *try, const struct event_invoke *settings, struct str response)
{
    try->event.tries++;
    try->topic->async->stats.succeeded++;
    if (settings->on_success.size > 0)
        try_make_record(try, settings->on_success, "Success", false, response);
    try_end(try, QUEUE_REMOVE);
}

// It will not be tried again: to the destination, or to the dead letters.
static void try_give_up(struct try *try, const struct event_invoke *settings, const char *condition,
                        bool is_error, struct str response)
{
    log_warn("async.given_up", "function=%s request=" STR_FORMAT " reason=%s tries=%u",
             try->topic->name, STR_ARGUMENTS(try->event.request_id), condition, try->event.tries);
    if (settings->on_failure.size > 0)
        try_make_record(try, settings->on_failure, condition, is_error, response);
    if (try->has_record) {
        try_end(try, QUEUE_REMOVE);
        return;
    }
    try->response = str_copy_heap(str_part(response, 0, DEAD_RESPONSE_MAX));
    try->event.reason = str_of(condition);
    try->event.response = str_of(try->response);
    try->event.died_ms = clock_wall_ms();
    try->topic->async->stats.buried++;
    try_end(try, QUEUE_BURY);
}

static bool is_too_old(const struct try *try, const struct event_invoke *settings, int64_t at_ms)
{
    return at_ms - try->event.accepted_ms >= (int64_t) settings->age_s_max * 1000;
}

// An error of the function: again after the pause, while it is allowed and not too old.
static void try_fail(struct try *try, const struct event_invoke *settings, struct str response)
{
    struct async *async = try->topic->async;
    try->event.tries++;
    if (try->event.tries > settings->retries_max) {
        try_give_up(try, settings, "RetriesExhausted", true, response);
        return;
    }
    int64_t pause_ms = async->config.retry_ms << (try->event.tries > 1);
    try->event.due_ms = clock_wall_ms() + pause_ms;
    if (is_too_old(try, settings, try->event.due_ms)) {
        try_give_up(try, settings, "EventAgeExceeded", true, response);
        return;
    }
    async->stats.retried++;
    try_end(try, QUEUE_RETRY);
}

// It could not be tried: back into the queue, with growing pauses, until it is too old.
static void try_return(struct try *try, const struct event_invoke *settings)
{
    struct async *async = try->topic->async;
    uint32_t doublings = try->event.returns < 16 ? try->event.returns : 16;
    int64_t pause_ms = (int64_t) RETURN_MS_FIRST << doublings;
    try->event.returns++;
    try->event.due_ms = clock_wall_ms() + (pause_ms < RETURN_MS_MAX ? pause_ms : RETURN_MS_MAX);
    if (is_too_old(try, settings, clock_wall_ms())) {
        try_give_up(try, settings, "EventAgeExceeded", false, (struct str){0});
        return;
    }
    async->stats.returned++;
    try_end(try, QUEUE_RETRY);
}

static void try_drop(struct try *try)
{
    log_info("async.dropped", "function=%s request=" STR_FORMAT " reason=%s", try->topic->name,
             STR_ARGUMENTS(try->event.request_id), LOG_TEXT("the function was deleted"));
    try->topic->async->stats.dropped++;
    try_end(try, QUEUE_REMOVE);
}

// ---- A try

static const char *qualifier_of(const struct try *try)
{
    return try->event.qualifier.size > 0 ? try->event.qualifier.data : NULL;
}

static bool is_shut_off(const struct try *try)
{
    const struct function *function =
        catalog_function(try->topic->async->config.catalog, try->topic->name);
    const struct attachment *reserved =
        function ? function_attachment(function, ATTACHMENT_RESERVED, "") : NULL;
    return reserved && reserved->number == 0;
}

static void on_result(void *arg, struct invocation_result *result)
{
    struct try *try = arg;
    struct event_invoke settings;
    struct str response = buf_str(&result->payload);
    catalog_event_invoke(try->topic->async->config.catalog, try->topic->name, qualifier_of(try),
                         &settings);
    try->invocation = NULL;
    if (result->outcome != INVOCATION_ANSWERED &&
        !catalog_function(try->topic->async->config.catalog, try->topic->name)) {
        try_drop(try);
        return;
    }
    switch (result->outcome) {
    case INVOCATION_ANSWERED:
        try_succeed(try, &settings, response);
        break;
    case INVOCATION_FUNCTION_ERROR:
        try_fail(try, &settings, response);
        break;
    default:
        try_return(try, &settings);
        break;
    }
}

// No memory to invoke it.
static void try_return_now(struct try *try)
{
    struct event_invoke settings;
    catalog_event_invoke(try->topic->async->config.catalog, try->topic->name, qualifier_of(try),
                         &settings);
    try_return(try, &settings);
}

static void try_invoke(struct try *try, const struct version *version, bool keeps_payload)
{
    struct invocation_spec spec = {
        .client_context = try->event.context,
        .trace_id = try->event.trace_id,
        .invoked_arn = try->event.arn,
        .request_id = try->event.request_id,
        .depth = try->event.depth,
    };
    buf_init(&spec.payload, try->event.payload.size + 1);
    if (buf_append_str(&spec.payload, try->event.payload) < 0) {
        buf_done(&spec.payload);
        try_return_now(try);
        return;
    }
    try->version = version_ref(version);
    try->invocation =
        invocation_start(try->topic->async->config.scheduler, version, &spec, on_result, try);
    if (!try->invocation) {
        buf_done(&spec.payload);
        version_unref(TAKE_PTR(try->version));
        try_return_now(try);
        return;
    }
    if (!keeps_payload) { // only a destination's record needs it again
        free(TAKE_PTR(try->texts[6]));
        try->event.payload = (struct str){0};
        try->is_payload_dropped = true;
    }
}

static void try_begin(struct try *try)
{
    struct catalog *catalog = try->topic->async->config.catalog;
    struct event_invoke settings;
    const struct version *version;
    catalog_event_invoke(catalog, try->topic->name, qualifier_of(try), &settings);
    int r = catalog_find(catalog, try->topic->name, qualifier_of(try), &version);
    if (r == -ENOENT && !catalog_function(catalog, try->topic->name))
        try_drop(try);
    else if (is_too_old(try, &settings, clock_wall_ms()))
        try_give_up(try, &settings, "EventAgeExceeded", false, (struct str){0});
    else if (r == 0 && is_shut_off(try))
        try_give_up(try, &settings, "ZeroReservedConcurrency", false, (struct str){0});
    else if (r < 0)
        try_return(try, &settings);
    else
        try_invoke(try, version, settings.on_success.size > 0 || settings.on_failure.size > 0);
}

// A copy of the event; NULL without memory.
static struct try *try_new(struct topic *topic, const struct queue_event *event)
{
    struct try *try = mem_new(struct try);
    if (!try)
        return NULL;
    try->topic = topic;
    try->event = *event;
    struct str *views[] = {&try->event.qualifier, &try->event.request_id, &try->event.arn,
                           &try->event.trace_id,  &try->event.context,    &try->event.topic,
                           &try->event.payload};
    bool has_all = true;
    for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
        try->texts[i] = str_copy_heap(*views[i]);
        views[i]->data = try->texts[i];
        has_all = has_all && try->texts[i];
    }
    list_init(&try->link);
    if (!has_all) {
        try_free(try);
        return NULL;
    }
    list_add_last(&topic->async->tries, &try->link);
    topic->running++;
    topic->async->running++;
    return try;
}

// ---- Claims

static void on_claimed(void *arg, const struct error *err, const struct queue_event *events,
                       size_t count, int64_t next_due_ms)
{
    struct topic *topic = arg;
    struct async *async = topic->async;
    async->reserved -= topic->reserved;
    if (err) {
        log_warn("async.claim_failed", "function=%s error=%s", topic->name, LOG_TEXT(err->text));
        topic_expect(topic, clock_wall_ms() + QUEUE_AGAIN_MS);
    } else if (next_due_ms > 0) {
        topic_expect(topic, next_due_ms);
    }
    // What cannot be begun now stays claimed, and is tried after the next start.
    for (size_t i = 0; i < count && !async->is_stopping; i++) {
        struct try *try = try_new(topic, &events[i]);
        if (try)
            try_begin(try);
        else
            log_error("async.lost_sight", "function=%s effect=%s", topic->name,
                      LOG_TEXT("no memory: the event is tried after the next start"));
    }
    step_waiting(async); // is_claiming keeps the topic itself alive meanwhile
    topic->is_claiming = false;
    topic_step(topic);
}

static uint32_t room(const struct topic *topic)
{
    if (topic->running >= ASYNC_RUNNING_MAX || is_full(topic->async))
        return 0;
    uint32_t own = ASYNC_RUNNING_MAX - topic->running;
    uint32_t all = ASYNC_RUNNING_TOTAL_MAX - topic->async->running - topic->async->reserved;
    return own < all ? own : all;
}

static void topic_claim(struct topic *topic, int64_t now_ms)
{
    struct async *async = topic->async;
    uint32_t wanted = room(topic);
    int r =
        queue_claim(async->config.queue, str_of(topic->name), now_ms, wanted, on_claimed, topic);
    if (r < 0) {
        topic_expect(topic, now_ms + QUEUE_AGAIN_MS);
        topic_wake_at(topic, QUEUE_AGAIN_MS);
        return;
    }
    list_remove(&topic->full_link);
    topic->next_due_ms = NEVER; // the answer says, and what is published meanwhile
    topic->is_claiming = true;
    topic->reserved = wanted;
    async->reserved += wanted;
}

static void topic_step(struct topic *topic)
{
    if (topic->is_orphan && !catalog_function(topic->async->config.catalog, topic->name))
        async_forget(topic->async, str_of(topic->name));
    topic->is_orphan = false;
    if (topic->async->is_stopping || topic->is_claiming)
        return;
    int64_t now_ms = clock_wall_ms();
    if (topic->next_due_ms == NEVER)
        topic_free_idle(topic);
    else if (topic->next_due_ms > now_ms)
        topic_wake_at(topic, topic->next_due_ms - now_ms);
    else if (room(topic) > 0)
        topic_claim(topic, now_ms);
    else if (is_full(topic->async) && !list_is_linked(&topic->full_link))
        list_add_last(&topic->async->full, &topic->full_link);
}

// ---- The front door

static int note_topic(void *arg, const char *name)
{
    struct async *async = arg;
    struct topic *topic = topic_get(async, str_of(name));
    if (!topic)
        return -ENOMEM;
    topic->next_due_ms = 0;
    topic->is_orphan = !catalog_function(async->config.catalog, name);
    topic_wake_at(topic, 0);
    return 0;
}

int async_new(const struct async_config *config, struct async **ret_async, struct error *err)
{
    struct async *async = mem_new(struct async);
    if (!async)
        return error_set(err, -ENOMEM, "no memory for asynchronous calls");
    async->config = *config;
    if (async->config.retry_ms <= 0)
        async->config.retry_ms = ASYNC_RETRY_MS_DEFAULT;
    map_init(&async->topics, TOPICS_MAX);
    list_init(&async->tries);
    list_init(&async->full);
    int r = queue_topics(config->queue, note_topic, async, err);
    if (r < 0) {
        async_free(async);
        return r;
    }
    *ret_async = async;
    return 0;
}

void async_stop(struct async *async, void (*done)(void *arg), void *arg)
{
    async->is_stopping = true;
    async->stopped = done;
    async->stopped_arg = arg;
    check_stopped(async);
}

void async_free(struct async *async)
{
    if (!async)
        return;
    LIST_FOR_EACH_SAFE (struct try, try, &async->tries, link) {
        if (try->invocation)
            invocation_cancel(try->invocation);
        try_free(try);
    }
    map_done(&async->topics, topic_free);
    free(async);
}

// One call of async_submit.
struct submission {
    struct async *async;
    char *function; // owned
    void (*cb)(void *arg, const struct error *err);
    void *arg;
};

static void on_published(void *arg, const struct error *err)
{
    struct submission *submission = arg;
    struct async *async = submission->async;
    if (!err) {
        async->stats.accepted++;
        struct topic *topic = topic_get(async, str_of(submission->function));
        if (topic) {
            topic_expect(topic, clock_wall_ms());
            topic_step(topic);
        }
    }
    submission->cb(submission->arg, err);
    free(submission->function);
    free(submission);
}

int async_submit(struct async *async, const struct async_event *event,
                 void (*cb)(void *arg, const struct error *err), void *arg)
{
    int64_t now_ms = clock_wall_ms();
    struct queue_event entry = {
        .topic = event->function,
        .qualifier = event->qualifier,
        .request_id = event->request_id,
        .arn = event->arn,
        .trace_id = event->trace_id,
        .context = event->context,
        .depth = event->depth,
        .payload = event->payload,
        .accepted_ms = now_ms,
        .due_ms = now_ms,
    };
    struct submission *submission = mem_new(struct submission);
    if (!submission)
        return -ENOMEM;
    *submission = (struct submission){async, str_copy_heap(event->function), cb, arg};
    int r = submission->function
                ? queue_publish(async->config.queue, &entry, on_published, submission)
                : -ENOMEM;
    if (r < 0) {
        free(submission->function);
        free(submission);
    }
    return r;
}

static void on_forgotten(void *arg, const struct error *err, uint64_t count)
{
    struct async *async = arg;
    if (err)
        log_warn("async.forget_failed", "error=%s", LOG_TEXT(err->text));
    else
        async->stats.dropped += count;
}

void async_forget(struct async *async, struct str function)
{
    int r = queue_forget(async->config.queue, function, true, on_forgotten, async);
    if (r < 0)
        log_warn("async.forget_failed", "error=%s", error_name(r));
}

// One retry of dead letters.
struct revival {
    struct async *async;
    char *function; // owned
    queue_count_cb *cb;
    void *arg;
};

static void on_revived(void *arg, const struct error *err, uint64_t count)
{
    struct revival *revival = arg;
    struct topic *topic =
        err || count == 0 ? NULL : topic_get(revival->async, str_of(revival->function));
    if (topic) {
        topic_expect(topic, clock_wall_ms());
        topic_step(topic);
    }
    revival->cb(revival->arg, err, count);
    free(revival->function);
    free(revival);
}

int async_revive(struct async *async, struct str function, int64_t id, queue_count_cb *cb,
                 void *arg)
{
    struct revival *revival = mem_new(struct revival);
    if (!revival)
        return -ENOMEM;
    *revival = (struct revival){async, str_copy_heap(function), cb, arg};
    int r = revival->function ? queue_revive(async->config.queue, function, id, clock_wall_ms(),
                                             on_revived, revival)
                              : -ENOMEM;
    if (r < 0) {
        free(revival->function);
        free(revival);
    }
    return r;
}

void async_stats(const struct async *async, struct async_stats *ret_stats)
{
    *ret_stats = async->stats;
    ret_stats->running = async->running;
}
