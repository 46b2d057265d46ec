// SPDX-License-Identifier: MIT
#include "compare/compare.h"

#include "client/lambda.h"
#include "client/service.h"
#include "compare/session.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READY_TIMEOUT_MS 600000

static struct strategy_size size_of(const struct package *package)
{
    return (struct strategy_size){
        .zip_bytes = package->zip_bytes,
        .unzipped_bytes = package->unzipped_bytes,
        .model_bytes = package->model_bytes,
    };
}

// ---- Gates

static void judge(struct compare_row *row, const struct strategy_size *size)
{
    struct strategy_verdict verdict = strategy_check(row->strategy, size);
    char over[32];

    if (verdict.fits) {
        row->status = COMPARE_NOT_BUILT;
        snprintf(row->reason, sizeof row->reason, "this version of Lamina builds 'package' only");
        return;
    }
    bytes_describe(verdict.over_bytes, over, sizeof over);
    row->status = COMPARE_INFEASIBLE;
    snprintf(row->reason, sizeof row->reason, "%s over AWS's %s (by %llu bytes)", over,
             verdict.limit, (unsigned long long) verdict.over_bytes);
}

static void judge_all(struct compare_report *report, const struct package *package)
{
    const struct strategy_size size = size_of(package);

    for (int i = 0; i < STRATEGY_COUNT; i++) {
        struct compare_row *row = &report->rows[i];
        row->strategy = (enum strategy) i;
        judge(row, &size);
        row->unzipped_bytes = package->unzipped_bytes;
        row->model_bytes = package->model_bytes;
        row->zip_bytes = i == STRATEGY_PACKAGE ? package->zip_bytes : 0;
    }
}

// ---- The function under its temporary name

// A name that says whose leftover it is, should everything be killed at once.
static void make_name(char name[65])
{
    unsigned char random[6];
    char hex[2 * sizeof random + 1];

    mem_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(hex + 2 * i, 3, "%02x", random[i]);
    snprintf(name, 65, "lamina-compare-%s", hex);
}

static int create(struct session *session, const struct package *package,
                  const struct service_limits *limits, struct error *err)
{
    struct lambda_code code = {.fd = package->fd, .size = package->zip_bytes};
    struct lambda_function function;
    char role[128];

    snprintf(role, sizeof role, "arn:aws:iam::%s:role/lamina", limits->account_id);
    memcpy(code.sha256_hex, package->sha256_hex, sizeof code.sha256_hex);
    const struct lambda_settings settings = {
        .runtime = "provided.al2023",
        .handler = package->handler[0] != '\0' ? package->handler : "bootstrap",
        .role = role,
        .description = "made by lamina compare; deleted by it",
        .memory_mb = session->options->memory_mb,
        .timeout_s = session->options->timeout_s,
    };
    // Not to be interrupted: a service that has read the request goes on without us, and would
    // have the function after we had deleted it in vain.
    client_set_interrupt(session->client, NULL);
    int r = lambda_create(session->client, session->name, &settings, &code, &function, err);
    client_set_interrupt(session->client, session->options->interrupt);
    return r < 0 ? r
                 : lambda_wait(session->client, session->name, READY_TIMEOUT_MS, &function, err);
}

// One that is still being created or updated may not be deleted yet.
static int delete_patiently(struct client *client, const char *name, struct error *err)
{
    struct lambda_function function;
    int r = lambda_delete(client, name, err);

    if (r == -EBUSY) {
        error_clear(err);
        (void) !lambda_wait(client, name, READY_TIMEOUT_MS, &function, NULL);
        r = lambda_delete(client, name, err);
    }
    return r;
}

// With a connection of its own that no interrupt ends: whatever happened, the function goes.
static void delete_function(const struct target *target, const char *name, int *status,
                            struct error *err)
{
    struct error delete_err = {0};
    struct client *client = NULL;

    int r = client_new(target, &client, &delete_err);
    if (r == 0)
        r = delete_patiently(client, name, &delete_err);
    client_free(client);
    if (r < 0 && r != -ENOENT && *status == 0)
        *status = error_set(err, r, "'%s' is left behind: %s", name, delete_err.text);
    else if (r < 0 && r != -ENOENT)
        error_wrap(err, *status, "('%s' is left behind)", name);
}

// ---- Measuring one strategy

static int measure(struct session *session, struct compare_report *report, struct compare_row *row,
                   bool can_update, struct error *err)
{
    const struct compare_options *options = session->options;

    session->total = cold_steps(options) + load_steps() + (can_update ? update_steps(options) : 0);
    int r = session_find_event(session, report->event_source, sizeof report->event_source, err);
    if (r == 0)
        r = cold_measure(session, row, err);
    if (r == 0)
        r = load_measure(session, row, err);
    if (r == 0 && can_update && options->updates > 0)
        r = update_measure(session, row, err);
    if (r == 0 && session_is_interrupted(session))
        r = error_set(err, -EINTR, "interrupted");
    return r;
}

static int measure_package(const struct target *target, const struct compare_options *options,
                           const struct package *package, struct compare_report *report,
                           struct error *err)
{
    struct session session = {.options = options};
    struct service_limits limits;

    make_name(session.name);
    int r = client_new(target, &session.client, err);
    if (r < 0)
        return r;
    client_set_interrupt(session.client, options->interrupt);
    r = service_limits(session.client, &limits, err);
    if (r == 0) {
        // Deleted even when the creation failed for us: it may have succeeded for the service.
        r = create(&session, package, &limits, err);
        if (r == 0)
            r = measure(&session, report, &report->rows[STRATEGY_PACKAGE],
                        package->kind != PACKAGE_ZIP, err);
        delete_function(target, session.name, &r, err);
    }
    buf_done(&session.event);
    client_free(session.client);
    return r;
}

// What AWS would refuse can still be measured where the service takes it.
static int is_refused(const struct target *target, struct compare_row *row, bool *ret,
                      struct error *err)
{
    struct service_limits limits;
    struct client *client = NULL;

    int r = client_new(target, &client, err);
    if (r == 0)
        r = service_limits(client, &limits, err);
    client_free(client);
    if (r == 0)
        *ret = row->status == COMPARE_INFEASIBLE && strcmp(limits.aws_limits, "enforce") == 0;
    return r;
}

int compare_run(const struct target *target, const struct compare_options *options,
                struct compare_report *ret, struct error *err)
{
    struct compare_row *row = &ret->rows[STRATEGY_PACKAGE];
    struct package package = {.fd = -1};
    bool is_out = false;

    *ret = (struct compare_report){.memory_mb = options->memory_mb};
    int r = package_measure(options->path, &options->runtime, &package, err);
    if (r < 0)
        return r;
    judge_all(ret, &package);
    r = is_refused(target, row, &is_out, err);
    if (r < 0 || is_out)
        return r;
    r = package_build(options->path, &options->runtime, &package, err);
    if (r < 0)
        return r;
    judge_all(ret, &package); // now with the zipped size
    r = is_refused(target, row, &is_out, err);
    if (r == 0 && !is_out) {
        r = measure_package(target, options, &package, ret, err);
        // Of an infeasible one the reason stays: AWS would refuse what was measured.
        if (row->status != COMPARE_INFEASIBLE)
            row->reason[0] = '\0';
        row->status = COMPARE_MEASURED;
    }
    package_done(&package);
    return r;
}
