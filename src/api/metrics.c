/* SPDX-License-Identifier: MIT */

#include "api/metrics.h"

#include <string.h>

#include "async/async.h"
#include "base/map.h"
#include "deploy/deploy.h"
#include "function/catalog.h"
#include "function/scheduler.h"
#include "function/stats.h"
#include "instance/log_writer.h"
#include "loop/loop.h"
#include "meta/queue.h"
#include "meta/registry.h"
#include "s3/s3.h"

static void head(struct buf *text, const char *name, const char *type, const char *help)
{
    buf_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(struct buf *text, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    head(text, name, type, help);
    buf_printf(text, "%s %llu\n", name, (unsigned long long) value);
}

static void counter(struct buf *text, const char *name, const char *help, uint64_t value)
{
    single(text, name, "counter", help, value);
}

static void gauge(struct buf *text, const char *name, const char *help, uint64_t value)
{
    single(text, name, "gauge", help, value);
}

/* Microseconds as seconds, exactly: no floating point, so no rounding and no locale. */
static void append_seconds(struct buf *text, uint64_t us)
{
    buf_printf(text, "%llu.%06llu", (unsigned long long) (us / 1000000),
               (unsigned long long) (us % 1000000));
}

/* One histogram. `labels` is what stands in the braces before le. Function names have no character
 * that needs escaping. */
static void append_histogram(struct buf *text, const char *name, const char *labels,
                             const struct histogram *histogram)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum += histogram->count[i];
        buf_printf(text, "%s_bucket{%s,le=\"", name, labels);
        if (i + 1 < HISTOGRAM_BUCKETS)
            append_seconds(text, histogram_bounds_us[i]);
        else
            buf_append_text(text, "+Inf");
        buf_printf(text, "\"} %llu\n", (unsigned long long) sum);
    }
    buf_printf(text, "%s_sum{%s} ", name, labels);
    append_seconds(text, histogram->sum_us);
    buf_printf(text, "\n%s_count{%s} %llu\n", name, labels, (unsigned long long) histogram->total);
}

static void append_invocation(void *arg, const struct function_stats *stats)
{
    char labels[128];
    (void) snprintf(labels, sizeof(labels), "function=\"%s\"", stats->name);
    append_histogram(arg, "lamina_invocation_seconds", labels, &stats->invocation);
}

static void append_cold_start(void *arg, const struct function_stats *stats)
{
    for (int phase = 0; phase < COLD_PHASES; phase++) {
        char labels[160];
        if (stats->cold[phase].total == 0)
            continue;
        (void) snprintf(labels, sizeof(labels), "function=\"%s\",phase=\"%s\"", stats->name,
                        cold_phase_name((enum cold_phase) phase));
        append_histogram(arg, "lamina_cold_start_seconds", labels, &stats->cold[phase]);
    }
}

/* The counters of a function, one metric at a time, as the format wants it. */
struct function_counter {
    const char *name;
    const char *help;
    uint64_t (*value)(const struct function_stats *stats);
};

static uint64_t value_invocations(const struct function_stats *stats)
{
    return stats->invocations;
}

static uint64_t value_errors(const struct function_stats *stats)
{
    return stats->errors;
}

static uint64_t value_timeouts(const struct function_stats *stats)
{
    return stats->timeouts;
}

static uint64_t value_throttles(const struct function_stats *stats)
{
    return stats->throttles;
}

static uint64_t value_faults(const struct function_stats *stats)
{
    return stats->faults;
}

static uint64_t value_dropped(const struct function_stats *stats)
{
    return stats->log_lines_dropped;
}

static const struct function_counter function_counters[] = {
    {"lamina_invocations_total", "Invocations that ended, whatever the outcome.",
     value_invocations},
    {"lamina_invocation_errors_total", "Invocations that the function failed.", value_errors},
    {"lamina_invocation_timeouts_total", "Invocations that ran out of time.", value_timeouts},
    {"lamina_throttles_total", "Invocations refused with 429.", value_throttles},
    {"lamina_faults_total", "Invocations that the service failed.", value_faults},
    {"lamina_log_lines_dropped_total", "Log lines that found no room.", value_dropped},
};

struct counting {
    struct buf *text;
    const struct function_counter *counter;
};

static void append_counter(void *arg, const struct function_stats *stats)
{
    const struct counting *counting = arg;
    buf_printf(counting->text, "%s{function=\"%s\"} %llu\n", counting->counter->name, stats->name,
               (unsigned long long) counting->counter->value(stats));
}

static void append_functions(struct api *api, struct buf *text)
{
    struct scheduler *scheduler = api->config.scheduler;
    for (size_t i = 0; i < ARRAY_SIZE(function_counters); i++) {
        struct counting counting = {text, &function_counters[i]};
        head(text, function_counters[i].name, "counter", function_counters[i].help);
        function_stats_each(scheduler, append_counter, &counting);
    }
    head(text, "lamina_invocation_seconds", "histogram", "Duration of invocations, as REPORT.");
    function_stats_each(scheduler, append_invocation, text);
    head(text, "lamina_cold_start_seconds", "histogram", "Cold starts by phase.");
    function_stats_each(scheduler, append_cold_start, text);
}

/* lamina_instances{function,state}: counted from the list of instances. */

static void count_instance(void *arg, const struct instance_info *info)
{
    struct map *counts = arg;
    char key[160];
    (void) snprintf(key, sizeof(key), "function=\"" STR_FORMAT "\",state=\"%s\"",
                    STR_ARGUMENTS(info->function), info->state);
    uintptr_t n = (uintptr_t) map_get_text(counts, key) + 1;
    void *old;
    if (map_replace(counts, str_of(key), (void *) n, &old) < 0)
        return; /* without memory: one uncounted */
}

static void append_instances(struct api *api, struct buf *text)
{
    struct map counts;
    map_init(&counts, 100000);
    scheduler_each_instance(api->config.scheduler, count_instance, &counts);
    head(text, "lamina_instances", "gauge", "Instances by function and state.");
    size_t cursor = 0;
    struct str key;
    void *n;
    while ((n = map_next(&counts, &cursor, &key)) != NULL)
        buf_printf(text, "lamina_instances{" STR_FORMAT "} %llu\n", STR_ARGUMENTS(key),
                   (unsigned long long) (uintptr_t) n);
    map_done(&counts, NULL);
}

static void append_template(void *arg, const struct template_info *info)
{
    buf_printf(arg,
               "lamina_templates{function=\"" STR_FORMAT "\",version=\"" STR_FORMAT
               "\",state=\"%s\"} 1\n",
               STR_ARGUMENTS(info->function), STR_ARGUMENTS(info->version), info->state);
}

static void append_spares(void *arg, const struct template_info *info)
{
    buf_printf(arg, "lamina_spares{function=\"" STR_FORMAT "\",version=\"" STR_FORMAT "\"} %u\n",
               STR_ARGUMENTS(info->function), STR_ARGUMENTS(info->version), info->spares);
}

static void append_templates(struct api *api, struct buf *text)
{
    struct scheduler *scheduler = api->config.scheduler;
    struct scheduler_totals totals;
    scheduler_totals(scheduler, &totals);
    head(text, "lamina_templates", "gauge",
         "Versions whose instances are forks, by what their template is: READY, REFUSED, ...");
    scheduler_each_template(scheduler, append_template, text);
    head(text, "lamina_spares", "gauge", "Forks that wait ahead of their first call.");
    scheduler_each_template(scheduler, append_spares, text);
    gauge(text, "lamina_template_bytes",
          "Memory of templates that is their own, page tables included.", totals.template_bytes);
    counter(text, "lamina_templates_evicted_total", "Templates that had to make room.",
            totals.templates_evicted);
}

static void append_scheduler(struct api *api, struct buf *text)
{
    struct scheduler_totals totals;
    scheduler_totals(api->config.scheduler, &totals);
    gauge(text, "lamina_invocations_running", "Invocations that run now.", totals.running);
    gauge(text, "lamina_invocations_queued", "Invocations that wait for a permit.", totals.queued);
    gauge(text, "lamina_invocations_queued_bytes", "Payload that waits.", totals.queued_bytes);
    counter(text, "lamina_cold_starts_total", "Instances that a call had to start.",
            totals.cold_starts);
    gauge(text, "lamina_spawn_up", "1 while the sandbox parent answers.",
          totals.is_spawn_alive ? 1 : 0);
}

static void append_server(struct api *api, struct buf *text)
{
    if (!api->server)
        return;
    struct http_server_stats stats;
    http_server_stats(api->server, &stats);
    gauge(text, "lamina_http_connections", "Client connections open now.", stats.connections);
    counter(text, "lamina_http_connections_total", "Client connections accepted.",
            stats.connections_total);
    counter(text, "lamina_http_connections_refused_total", "Closed at accept: too many.",
            stats.connections_refused);
    counter(text, "lamina_http_requests_total", "Requests whose head was complete.",
            stats.requests_total);
    counter(text, "lamina_http_faults_total", "Answers of the server itself: 400, 408, 413 ...",
            stats.faults_total);
    counter(text, "lamina_http_timeouts_total", "Connections that were too slow.",
            stats.timeouts_total);
}

static void append_storage(struct api *api, struct buf *text)
{
    struct registry_stats registry = {0};
    struct objects_stats objects;
    registry_stats(api->config.registry, &registry);
    counter(text, "lamina_registry_changes_total", "Changes committed or refused.",
            registry.changes);
    counter(text, "lamina_registry_commits_total", "Transactions: changes share them.",
            registry.commits);
    counter(text, "lamina_registry_failures_total", "Transactions that failed.", registry.failures);
    gauge(text, "lamina_registry_waiting", "Changes that wait for a commit.", registry.waiting);
    gauge(text, "lamina_deployments_waiting", "Deployment jobs waiting and running.",
          deploy_waiting(api->config.deploy));
    objects_stats(s3_objects(api->config.s3), &objects);
    counter(text, "lamina_objects_changes_total", "Changes of the object index, made or refused.",
            objects.changes);
    counter(text, "lamina_objects_commits_total", "Transactions of it: changes share them.",
            objects.commits);
    counter(text, "lamina_objects_failures_total", "Changes of it that failed.", objects.failures);
    gauge(text, "lamina_uploads_running", "Bodies of objects that are being taken.",
          s3_receives(api->config.s3));
    counter(text, "lamina_log_writer_dropped_total", "Log lines lost on the way to the disk.",
            log_writer_dropped(api->config.logs));
}

static void append_events(struct api *api, struct buf *text)
{
    struct async_stats async = {0};
    struct queue_stats queue = {0};
    async_stats(api->config.async, &async);
    queue_stats(api->config.queue, &queue);
    counter(text, "lamina_events_accepted_total", "Events answered with 202.", async.accepted);
    counter(text, "lamina_events_succeeded_total", "Events that a function handled.",
            async.succeeded);
    counter(text, "lamina_events_retried_total", "Tries that ended in an error and come again.",
            async.retried);
    counter(text, "lamina_events_returned_total", "Events given back: throttled, no sandbox.",
            async.returned);
    counter(text, "lamina_events_buried_total", "Events given up and kept as dead letters.",
            async.buried);
    counter(text, "lamina_events_dropped_total", "Events of functions that were deleted.",
            async.dropped);
    counter(text, "lamina_events_undelivered_total",
            "Records whose destination was gone, or not allowed to the function's role.",
            async.undelivered);
    gauge(text, "lamina_events_running", "Events that are being tried.", async.running);
    gauge(text, "lamina_events_waiting", "Events in the queue, those being tried included.",
          queue.waiting);
    gauge(text, "lamina_dead_letters", "Dead letters kept.", queue.dead);
    counter(text, "lamina_queue_commits_total", "Transactions: events share them.", queue.commits);
}

void metrics_append(struct api *api, struct buf *text)
{
    struct auth_stats auth;
    auth_stats(api->config.auth, &auth);
    head(text, "lamina_info", "gauge", "The version that runs.");
    buf_printf(text, "lamina_info{version=\"%s\"} 1\n", LAMINA_VERSION);
    gauge(text, "lamina_functions", "Functions that exist.", catalog_count(api->config.catalog));
    counter(text, "lamina_api_calls_total", "Calls of the API.", api->calls_total);
    counter(text, "lamina_auth_accepted_total", "Signatures accepted.", auth.accepted_total);
    counter(text, "lamina_auth_refused_total", "Signatures refused.", auth.refused_total);
    append_scheduler(api, text);
    append_instances(api, text);
    append_templates(api, text);
    append_functions(api, text);
    append_server(api, text);
    append_storage(api, text);
    append_events(api, text);
}
