/* SPDX-License-Identifier: MIT
 *
 * GET /lamina/v1/status: what runs here, for `lamina status`.
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/call.h"
#include "api/operations.h"
#include "base/clock.h"
#include "base/mem.h"
#include "deploy/held.h"
#include "function/catalog.h"
#include "function/scheduler.h"
#include "loop/loop.h"
#include "store/store.h"

/* Asking the file system may block: a job. */
struct asking {
    struct call *call;
    const struct store *store;
    uint64_t free_bytes;
    int result;
};

static void ask(void *arg)
{
    struct asking *asking = arg;
    asking->result = store_bytes_free(asking->store, &asking->free_bytes);
}

static const char *limits_name(enum api_limits limits)
{
    static const char *const names[] = {"enforce", "warn", "off"};
    return names[limits];
}

static void append_state(struct buf *json, const struct api *api)
{
    struct scheduler_totals totals;
    scheduler_totals(api->config.scheduler, &totals);
    buf_printf(
        json,
        ",\"ready\":%s,\"functions\":%zu,\"instances\":%u,\"running\":%u,\"queued\":%u,"
        "\"invocations\":%llu,\"cold_starts\":%llu,\"templates\":%u,\"templates_own_bytes\":%llu,"
        "\"templates_evicted\":%llu",
        api->is_ready && totals.is_spawn_alive ? "true" : "false",
        catalog_count(api->config.catalog), totals.instances, totals.running, totals.queued,
        (unsigned long long) totals.invocations, (unsigned long long) totals.cold_starts,
        totals.templates, (unsigned long long) totals.template_bytes,
        (unsigned long long) totals.templates_evicted);
}

/* lamina-cache: hot models, counted once whoever maps them. */
static void append_cache(struct buf *json, const struct api *api)
{
    struct held_sum sum = held_sum(api->config.held);
    buf_printf(json,
               ",\"cached_models\":%zu,\"cached_bytes\":%llu,\"cached_huge_bytes\":%llu,"
               "\"cache_limit_bytes\":%llu,\"cache_running\":%s",
               sum.count, (unsigned long long) sum.bytes, (unsigned long long) sum.huge_bytes,
               (unsigned long long) sum.bytes_max, sum.is_running ? "true" : "false");
}

static void answer(struct call *call, const struct asking *asking)
{
    struct api *api = call->api;
    char started[CLOCK_TEXT_MAX];
    int64_t up_ms = loop_now_ms(api->config.loop) - api->started_ms;
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_printf(&json,
               "{\"version\":\"%s\",\"region\":\"%s\",\"account_id\":\"%s\",\"aws_limits\":\"%s\","
               "\"pid\":%d,\"started\":\"%s\",\"uptime_ms\":%lld",
               LAMINA_VERSION, api->region, api->account, limits_name(api->config.limits),
               (int) getpid(), clock_iso_z(clock_wall_ms() - up_ms, started), (long long) up_ms);
    append_state(&json, api);
    append_cache(&json, api);
    if (asking->result == 0)
        buf_printf(&json, ",\"disk_free_bytes\":%llu", (unsigned long long) asking->free_bytes);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

static void asked(void *arg, int status)
{
    AUTO_FREE struct asking *asking = arg;
    if (status < 0)
        asking->result = status;
    answer(asking->call, asking);
}

void lamina_status(struct call *call)
{
    struct asking *asking = mem_new(struct asking);
    if (!asking) {
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    asking->call = call;
    asking->store = call->api->config.store;
    if (job_submit(call->api->jobs, ask, asked, asking) < 0)
        asked(asking, -EAGAIN);
}
