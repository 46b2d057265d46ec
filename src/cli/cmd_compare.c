// SPDX-License-Identifier: MIT
//
// lamina compare MODEL: measures the strategies and prints one row for each.
#include "cli/deployment.h"
#include "cli/event_file.h"
#include "cli/filesystem_target.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "client/service.h"
#include "compare/compare.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct option_spec options[] = {
    {.name = "event",
     .letter = 'e',
     .kind = OPTION_TEXT,
     .metavar = "FILE|-",
     .help =
         "what to ask (default: warm_up.json beside the model, else zeros of its input shapes)"},
    {.name = "memory",
     .kind = OPTION_NUMBER,
     .metavar = "MB",
     .minimum = LIMIT_MEMORY_MB_MIN,
     .maximum = LIMIT_MEMORY_MB_MAX,
     .help = "memory of the function (default: 1769)"},
    {.name = "timeout",
     .kind = OPTION_NUMBER,
     .metavar = "S",
     .minimum = LIMIT_TIMEOUT_S_MIN,
     .maximum = LIMIT_TIMEOUT_S_MAX,
     .help = "longest call (default: 60)"},
    {.name = "cold-starts",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .minimum = COMPARE_COLD_STARTS_MIN,
     .maximum = 10000,
     .help = "of each kind, node cold and node warm (default: 20)"},
    {.name = "quick",
     .kind = OPTION_FLAG,
     .help = "5 cold starts of each kind and short loads: a first look, not a measurement"},
    {.name = "filesystem",
     .kind = OPTION_TEXT,
     .metavar = "NAME|ID|ARN|DIR",
     .help = "where the model is copied to for the strategy filesystem (default: models)"},
    {.name = "filesystems-file",
     .kind = OPTION_TEXT,
     .metavar = "FILE",
     .help = "as of lamina filesystem"},
    {0},
};

struct effort {
    unsigned cold_starts, warm_calls, load_ms, updates;
};
static const struct effort whole = {20, 1000, 5000, 5};
static const struct effort quick = {5, 200, 1000, 1};

static const char *const status_names[] = {"measured", "not_built", "infeasible"};

// ---- JSON

static void add_spread(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name,
                       const struct spread *spread)
{
    yyjson_mut_val *to = yyjson_mut_obj_add_obj(doc, object, name);

    yyjson_mut_obj_add_uint(doc, to, "n", spread->count);
    yyjson_mut_obj_add_real(doc, to, "min", spread->minimum);
    yyjson_mut_obj_add_real(doc, to, "p50", spread->p50);
    yyjson_mut_obj_add_real(doc, to, "p95", spread->p95);
    yyjson_mut_obj_add_real(doc, to, "p99", spread->p99);
    yyjson_mut_obj_add_real(doc, to, "max", spread->maximum);
}

static void add_cold(yyjson_mut_doc *doc, yyjson_mut_val *row, const char *name,
                     const struct compare_cold *cold)
{
    yyjson_mut_val *to = yyjson_mut_obj_add_obj(doc, row, name);

    add_spread(doc, to, "total_ms", &cold->total_ms);
    add_spread(doc, to, "caller_ms", &cold->caller_ms);
    yyjson_mut_val *phases = yyjson_mut_obj_add_obj(doc, to, "phases_ms");
    for (size_t i = 0; i < COMPARE_PHASES; i++)
        add_spread(doc, phases, compare_phases[i], &cold->phases_ms[i]);
}

static void add_loads(yyjson_mut_doc *doc, yyjson_mut_val *row, const struct compare_row *from)
{
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, row, "throughput");

    for (size_t i = 0; i < COMPARE_LOADS; i++) {
        const struct compare_load *load = &from->loads[i];
        yyjson_mut_val *to = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_uint(doc, to, "callers", load->callers);
        yyjson_mut_obj_add_uint(doc, to, "calls", load->calls);
        yyjson_mut_obj_add_uint(doc, to, "failed", load->failed);
        yyjson_mut_obj_add_real(doc, to, "per_s", load->per_s);
        add_spread(doc, to, "ms", &load->ms);
    }
}

static void add_update(yyjson_mut_doc *doc, yyjson_mut_val *row, const struct compare_update *from)
{
    yyjson_mut_val *to = yyjson_mut_obj_add_obj(doc, row, "update");

    yyjson_mut_obj_add_uint(doc, to, "rounds", from->rounds);
    add_spread(doc, to, "seconds", &from->seconds);
    add_spread(doc, to, "package_seconds", &from->package_seconds);
    yyjson_mut_obj_add_uint(doc, to, "bytes_moved", from->bytes_moved);
    yyjson_mut_obj_add_uint(doc, to, "calls", from->calls);
    yyjson_mut_obj_add_uint(doc, to, "failed", from->failed);
    add_spread(doc, to, "call_ms", &from->call_ms);
    yyjson_mut_obj_add_bool(doc, to, "redeploy", from->redeploys); // claims P4, L3
}

static void add_measurements(yyjson_mut_doc *doc, yyjson_mut_val *row,
                             const struct compare_row *from)
{
    yyjson_mut_val *bytes = yyjson_mut_obj_add_obj(doc, row, "bytes");
    yyjson_mut_obj_add_uint(doc, bytes, "zip", from->zip_bytes);
    yyjson_mut_obj_add_uint(doc, bytes, "unzipped", from->unzipped_bytes);
    yyjson_mut_obj_add_uint(doc, bytes, "model", from->model_bytes);
    yyjson_mut_obj_add_uint(doc, bytes, "stored", from->stored_bytes);
    add_cold(doc, row, "node_cold", &from->node_cold);
    add_cold(doc, row, "node_warm", &from->node_warm);
    add_spread(doc, row, "warm_ms", &from->warm_ms);
    yyjson_mut_val *memory = yyjson_mut_obj_add_obj(doc, row, "memory");
    yyjson_mut_obj_add_uint(doc, memory, "pss_bytes", from->pss_bytes);
    yyjson_mut_obj_add_uint(doc, memory, "private_bytes", from->private_bytes);
    add_loads(doc, row, from);
    if (from->update.is_measured)
        add_update(doc, row, &from->update);
    else
        yyjson_mut_obj_add_null(doc, row, "update");
}

static int print_json(const struct compare_report *report, const char *path, bool is_quick,
                      struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);

    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "schema", 1);
    json_add_visible(doc, root, "model", path);
    yyjson_mut_obj_add_bool(doc, root, "quick", is_quick);
    json_add_str(doc, root, "event", str_of(report->event_source));
    yyjson_mut_obj_add_uint(doc, root, "memory_mb", report->memory_mb);
    yyjson_mut_val *rows = yyjson_mut_obj_add_arr(doc, root, "rows");
    for (int i = 0; i < STRATEGY_COUNT; i++) {
        const struct compare_row *from = &report->rows[i];
        yyjson_mut_val *row = yyjson_mut_arr_add_obj(doc, rows);
        yyjson_mut_obj_add_str(doc, row, "strategy", strategy_name(from->strategy));
        yyjson_mut_obj_add_str(doc, row, "status", status_names[from->status]);
        if (from->reason[0] != '\0')
            json_add_str(doc, row, "reason", str_of(from->reason));
        else
            yyjson_mut_obj_add_null(doc, row, "reason");
        if (from->status == COMPARE_MEASURED)
            add_measurements(doc, row, from);
    }
    return output_json(doc, err);
}

// ---- Table

static void print_overview(const struct compare_report *report)
{
    static const char *const heads[] = {"STRATEGY",  "STATUS",   ">COLD ms", ">WARM NODE ms",
                                        ">CALL ms",  ">CALLS/s", ">PSS",     ">ZIP",
                                        ">UPDATE s", "REMARK"};
    struct table table;

    table_init(&table, heads, ARRAY_SIZE(heads));
    for (int i = 0; i < STRATEGY_COUNT; i++) {
        const struct compare_row *row = &report->rows[i];
        char pss[32], zip[32];
        double best = 0;
        table_cell(&table, "%s", strategy_name(row->strategy));
        table_cell(&table, "%s", status_names[row->status]);
        if (row->status != COMPARE_MEASURED) {
            for (size_t column = 2; column + 1 < ARRAY_SIZE(heads); column++)
                table_cell(&table, "-");
            table_cell(&table, "%s", row->reason);
            continue;
        }
        for (size_t load = 0; load < COMPARE_LOADS; load++)
            best = row->loads[load].per_s > best ? row->loads[load].per_s : best;
        bytes_describe(row->pss_bytes, pss, sizeof pss);
        bytes_describe(row->zip_bytes, zip, sizeof zip);
        table_cell(&table, "%.1f", row->node_cold.total_ms.p50);
        table_cell(&table, "%.1f", row->node_warm.total_ms.p50);
        table_cell(&table, "%.2f", row->warm_ms.p50);
        table_cell(&table, "%.0f", best);
        table_cell(&table, "%s", pss);
        table_cell(&table, "%s", zip);
        if (row->update.is_measured)
            table_cell(&table, "%.2f", row->update.seconds.p50);
        else
            table_cell(&table, "-");
        table_cell(&table, "%s", row->reason);
    }
    table_print(&table);
    table_done(&table);
}

static void add_cold_line(struct table *table, const char *what, const struct spread *cold,
                          const struct spread *warm)
{
    table_cell(table, "%s", what);
    table_cell(table, "%.2f", cold->p50);
    table_cell(table, "%.2f", cold->p95);
    table_cell(table, "%.2f", warm->p50);
    table_cell(table, "%.2f", warm->p95);
}

static void print_cold_starts(const struct compare_row *row)
{
    static const char *const heads[] = {"COLD START ms", ">NODE COLD p50", ">p95", ">NODE WARM p50",
                                        ">p95"};
    struct table table;

    table_init(&table, heads, ARRAY_SIZE(heads));
    for (size_t i = 0; i < COMPARE_PHASES; i++)
        add_cold_line(&table, compare_phases[i], &row->node_cold.phases_ms[i],
                      &row->node_warm.phases_ms[i]);
    add_cold_line(&table, "total", &row->node_cold.total_ms, &row->node_warm.total_ms);
    add_cold_line(&table, "seen by the caller", &row->node_cold.caller_ms,
                  &row->node_warm.caller_ms);
    table_print(&table);
    table_done(&table);
}

static void print_loads(const struct compare_row *row)
{
    static const char *const heads[] = {"CALLS",   ">p50 ms", ">p95 ms",
                                        ">p99 ms", ">PER s",  ">FAILED"};
    struct table table;

    table_init(&table, heads, ARRAY_SIZE(heads));
    for (size_t i = 0; i < COMPARE_LOADS; i++) {
        const struct compare_load *load = &row->loads[i];
        table_cell(&table, "%u at once", load->callers);
        table_cell(&table, "%.2f", load->ms.p50);
        table_cell(&table, "%.2f", load->ms.p95);
        table_cell(&table, "%.2f", load->ms.p99);
        table_cell(&table, "%.0f", load->per_s);
        table_cell(&table, "%llu of %llu", (unsigned long long) load->failed,
                   (unsigned long long) load->calls);
    }
    table_print(&table);
    table_done(&table);
}

static void print_update(const struct compare_update *update)
{
    char moved[32];

    if (!update->is_measured)
        return;
    bytes_describe(update->bytes_moved, moved, sizeof moved);
    printf("\nA new model: %.2f s to all traffic on it (and %.2f s to zip it), %s moved, "
           "%llu of %llu calls failed meanwhile.\n",
           update->seconds.p50, update->package_seconds.p50, moved,
           (unsigned long long) update->failed, (unsigned long long) update->calls);
}

static void print_details(const struct compare_row *row)
{
    printf("\n%s\n", strategy_name(row->strategy));
    print_cold_starts(row);
    fputc('\n', stdout);
    print_loads(row);
    print_update(&row->update);
    printf("\n%zu cold starts of each kind.\n", row->node_cold.total_ms.count);
}

static void print_tables(const struct compare_report *report)
{
    bool is_any = false;

    print_overview(report);
    for (int i = 0; i < STRATEGY_COUNT; i++) {
        if (report->rows[i].status != COMPARE_MEASURED)
            continue;
        print_details(&report->rows[i]);
        is_any = true;
    }
    if (is_any)
        printf("\nEvent: %s. Memory: %u MB.\n", report->event_source, report->memory_mb);
}

// ---- The whole

struct bar {
    struct progress progress;
    bool is_started;
    bool is_quiet;
};

static void on_progress(void *arg, const char *what, unsigned done, unsigned total)
{
    struct bar *bar = arg;

    if (!bar->is_started)
        progress_start(&bar->progress, bar->is_quiet, what, total);
    bar->is_started = true;
    if (bar->progress.what != what)
        progress_end_line(&bar->progress);
    bar->progress.what = what;
    progress_move(&bar->progress, done);
}

static int take_filesystem(struct cli *cli, struct filesystem_target *target, struct error *err)
{
    AUTO_FREE struct filesystems_file *file = mem_new(struct filesystems_file);
    int r = file != NULL ? filesystem_target_read(target, cli, file, err) : -ENOMEM;

    if (r == 0)
        r = filesystem_target_find(target, file, err);
    if (r < 0 || !target->is_new)
        return r;
    if (!option_is_given(&cli->options, "filesystem"))
        snprintf(target->root, sizeof target->root, "/srv/lamina-compare-%d", (int) getpid());
    return filesystem_target_make(target, false, err);
}

// Without one the row says why, and the others are measured. One that was made for it is `is_new`.
static void find_filesystem(struct cli *cli, const struct target *target,
                            struct filesystem_target *place, struct compare_filesystem *ret)
{
    struct error err = {0};
    struct client *client = NULL;
    struct service_limits limits = {0};

    int r = client_new(target, &client, &err);
    if (r == 0)
        r = service_limits(client, &limits, &err);
    client_free(client);
    if (r == 0)
        r = take_filesystem(cli, place, &err);
    if (r < 0) {
        snprintf(ret->reason, sizeof ret->reason, "%s", err.text);
        return;
    }
    snprintf(ret->directory, sizeof ret->directory, "%s", place->root);
    snprintf(ret->arn, sizeof ret->arn, "arn:aws:elasticfilesystem:%s:%s:access-point/%s",
             target->region, limits.account_id, place->point_id);
}

static int run(struct cli *cli, const struct package_options *runtime, const struct buf *event,
               struct compare_report *report, struct error *err)
{
    const struct option_set *set = &cli->options;
    const struct effort *effort = option_is_given(set, "quick") ? &quick : &whole;
    struct bar bar = {.is_quiet = cli->is_quiet};
    struct filesystem_target place = {0};
    struct target target;

    struct compare_options plan = {
        .path = set->operands[0],
        .runtime = *runtime,
        .event = option_is_given(set, "event") ? event->data : NULL,
        .event_size = event->size,
        .memory_mb = (unsigned) option_number(set, "memory", DEPLOYMENT_MODEL_MEMORY_MB),
        .timeout_s = (unsigned) option_number(set, "timeout", 60),
        .cold_starts = (unsigned) option_number(set, "cold-starts", effort->cold_starts),
        .warm_calls = effort->warm_calls,
        .load_ms = effort->load_ms,
        .updates = effort->updates,
        .interrupt = interrupt_flag(),
        .progress = on_progress,
        .progress_arg = &bar,
    };
    int r = target_resolve(&cli->target, &target, err);
    if (r < 0)
        return r;
    find_filesystem(cli, &target, &place, &plan.filesystem);
    r = compare_run(&target, &plan, report, err);
    if (place.is_new && place.id[0] != '\0') {
        int removed = filesystem_target_unmake(&place, r == 0 ? err : NULL);
        r = r == 0 ? removed : r;
    }
    progress_end(&bar.progress);
    return r;
}

static int run_compare(struct cli *cli, struct error *err)
{
    static struct compare_report report; // large
    AUTO_BUF struct buf event = BUF_INIT(EVENT_BYTES_MAX + 1);
    struct deployment_runtime runtime = {0};

    int r = event_read(option_text(&cli->options, "event", NULL), &event, err);
    if (r == 0)
        r = deployment_find_runtime(DEPLOYMENT_FOR_LAMINA, &runtime, err);
    interrupt_watch();
    if (r == 0)
        r = run(cli, &runtime.options, &event, &report, err);
    deployment_runtime_done(&runtime);
    if (interrupt_happened())
        return interrupt_die(); // the function is deleted by now
    if (r < 0)
        return r;
    if (cli->is_json)
        return print_json(&report, cli->options.operands[0],
                          option_is_given(&cli->options, "quick"), err);
    print_tables(&report);
    return EXIT_DONE;
}

const struct command cmd_compare = {
    .name = "compare",
    .usage = "MODEL [--quick] [-e FILE]",
    .summary = "Measures which strategy suits a model",
    .details =
        "Deploys the model under a temporary name, measures cold starts by phase (node cold and\n"
        "node warm), warm latency, throughput, memory, bytes and update time, and deletes it\n"
        "again, also on Ctrl-C. Strategies that this version does not build are rows that say\n"
        "so; those that AWS's limits exclude say by how many bytes. See docs/compare.md.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_compare,
};
