// SPDX-License-Identifier: MIT
#include "compare/compare.h"

#include "client/lambda.h"
#include "compare/variant.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct variant *const variants[] = {&variant_package, &variant_layer, &variant_s3,
                                                 &variant_filesystem};

// ---- Gates

static void judge(struct compare_row *row, const struct strategy_size *size)
{
    struct strategy_verdict verdict = strategy_check(row->strategy, size);
    char over[32];

    if (verdict.fits) {
        row->status = COMPARE_NOT_BUILT;
        snprintf(row->reason, sizeof row->reason, "this version of Lamina does not build it");
        return;
    }
    bytes_describe(verdict.over_bytes, over, sizeof over);
    row->status = COMPARE_INFEASIBLE;
    snprintf(row->reason, sizeof row->reason, "%s over AWS's %s (by %llu bytes)", over,
             verdict.limit, (unsigned long long) verdict.over_bytes);
}

static void judge_all(struct compare_report *report, const struct strategy_size *size)
{
    for (int i = 0; i < STRATEGY_COUNT; i++) {
        struct compare_row *row = &report->rows[i];
        row->strategy = (enum strategy) i;
        judge(row, size);
        row->unzipped_bytes = size->unzipped_bytes;
        row->model_bytes = size->model_bytes;
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

static int create(struct session *session, const struct service_limits *limits, struct error *err)
{
    struct lambda_function function;
    char role[128];

    snprintf(role, sizeof role, "arn:aws:iam::%s:role/lamina", limits->account_id);
    const struct lambda_settings settings = {
        .runtime = "provided.al2023",
        .handler = session->package.handler[0] != '\0' ? session->package.handler : "bootstrap",
        .role = role,
        .description = "made by lamina compare; deleted by it",
        .memory_mb = session->options->memory_mb,
        .timeout_s = session->options->timeout_s,
    };
    // Not to be interrupted: a service that has read the request goes on without us, and would
    // have the function after we had deleted it in vain.
    client_set_interrupt(session->client, NULL);
    int r = session->variant->create(session, &settings, err);
    client_set_interrupt(session->client, session->options->interrupt);
    return r < 0 ? r
                 : lambda_wait(session->client, session->name, VARIANT_READY_TIMEOUT_MS, &function,
                               err);
}

// One that is still being created or updated may not be deleted yet.
static int delete_patiently(struct client *client, const char *name, struct error *err)
{
    struct lambda_function function;
    int r = lambda_delete(client, name, err);

    if (r == -EBUSY) {
        error_clear(err);
        (void) !lambda_wait(client, name, VARIANT_READY_TIMEOUT_MS, &function, NULL);
        r = lambda_delete(client, name, err);
    }
    return r;
}

// With a connection of its own that no interrupt ends: whatever happened, all of it goes.
static void delete_all(const struct target *target, const struct session *session, int *status,
                       struct error *err)
{
    struct error delete_err = {0};
    struct client *client = NULL;

    int r = client_new(target, &client, &delete_err);
    if (r == 0)
        r = delete_patiently(client, session->name, &delete_err);
    if (r == 0 || r == -ENOENT)
        r = session->variant->remove(client, session, &delete_err);
    client_free(client);
    if (r < 0 && *status == 0)
        *status = error_set(err, r, "'%s' is left behind: %s", session->name, delete_err.text);
    else if (r < 0)
        error_wrap(err, *status, "('%s' is left behind)", session->name);
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

static int measure_variant(struct session *session, const struct service_limits *limits,
                           const struct target *target, struct compare_report *report,
                           struct error *err)
{
    struct compare_row *row = &report->rows[session->variant->strategy];
    bool can_update = session->package.kind != PACKAGE_ZIP;

    // Deleted even when the creation failed for us: it may have succeeded for the service.
    int r = create(session, limits, err);
    if (r == 0)
        r = measure(session, report, row, can_update, err);
    delete_all(target, session, &r, err);
    return r;
}

// What AWS would refuse can still be measured where the service takes it.
static bool is_refused(const struct compare_row *row, const struct service_limits *limits)
{
    return row->status == COMPARE_INFEASIBLE && strcmp(limits->aws_limits, "enforce") == 0;
}

// A strategy that does not fit or is not for this code leaves its row with the reason.
static int run_variant(struct session *session, const struct service_limits *limits,
                       const struct target *target, struct compare_report *report,
                       struct error *err)
{
    struct compare_row *row = &report->rows[session->variant->strategy];
    struct strategy_size size;

    if (is_refused(row, limits))
        return 0; // before anything is compressed
    int r = session->variant->build(session, NULL, &size, err);
    if (r == -ENOTSUP) {
        snprintf(row->reason, sizeof row->reason, "%s", err->text);
        error_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    judge(row, &size); // now with the zipped size
    row->zip_bytes = size.zip_bytes;
    row->unzipped_bytes = size.unzipped_bytes;
    if (is_refused(row, limits))
        return 0;
    r = measure_variant(session, limits, target, report, err);
    // Of an infeasible one the reason stays: AWS would refuse what was measured.
    if (row->status != COMPARE_INFEASIBLE)
        row->reason[0] = '\0';
    row->status = COMPARE_MEASURED;
    return r;
}

void variant_done(struct session *session)
{
    package_done(&session->package);
    package_done(&session->layer);
}

static int run_all(const struct target *target, const struct compare_options *options,
                   struct compare_report *report, struct error *err)
{
    struct client *client = NULL;
    struct service_limits limits;

    int r = client_new(target, &client, err);
    if (r < 0)
        return r;
    client_set_interrupt(client, options->interrupt);
    r = service_limits(client, &limits, err);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(variants); i++) {
        struct session session = {.options = options,
                                  .client = client,
                                  .variant = variants[i],
                                  .package = {.fd = -1},
                                  .layer = {.fd = -1}};
        make_name(session.name);
        r = run_variant(&session, &limits, target, report, err);
        variant_done(&session);
        buf_done(&session.event);
    }
    client_free(client);
    return r;
}

int compare_run(const struct target *target, const struct compare_options *options,
                struct compare_report *ret, struct error *err)
{
    struct package package = {.fd = -1};

    *ret = (struct compare_report){.memory_mb = options->memory_mb};
    int r = package_measure(options->path, &options->runtime, &package, err);
    if (r < 0)
        return r;
    const struct strategy_size size = {
        .zip_bytes = package.zip_bytes,
        .unzipped_bytes = package.unzipped_bytes,
        .model_bytes = package.model_bytes,
    };
    judge_all(ret, &size);
    return run_all(target, options, ret, err);
}
