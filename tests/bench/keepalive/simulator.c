// SPDX-License-Identifier: MIT
//
// keepalive_simulator: what policies of keeping instances cost, on one trace of arrivals.
//
//     keepalive_simulator day [--seed N] [--apps N] [--hours N] [--price P] [--cap MIB]
//     keepalive_simulator FILE.csv [...]
//
// Prints one JSON object. Everything in it follows from the arguments: the same ones print the same.
#include "fleet.h"

#include "function/retention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXED_MS 600000

static void print_outcome(const char *name, const struct outcome *outcome)
{
    double calls = outcome->calls > 0 ? (double) outcome->calls : 1;
    printf("{\"policy\":\"%s\",\"calls\":%llu,\"warm\":%llu,\"forked\":%llu,\"cold\":%llu,"
           "\"instances\":%llu,",
           name, (unsigned long long) outcome->calls, (unsigned long long) outcome->warm,
           (unsigned long long) outcome->forked, (unsigned long long) outcome->cold,
           (unsigned long long) outcome->instances);
    printf("\"within_5ms\":%.6f,\"penalty_mean_ms\":%.4f,\"penalty_max_ms\":%.1f,",
           (double) outcome->within_5ms / calls, outcome->penalty_ms / calls,
           outcome->penalty_max_ms);
    printf("\"instance_gib_s\":%.1f,\"template_gib_s\":%.1f,\"memory_gib_s\":%.1f,\"mapped_model_"
           "gib_s\":%.1f,",
           outcome->instance_mib_s / 1024, outcome->template_mib_s / 1024,
           (outcome->instance_mib_s + outcome->template_mib_s) / 1024, outcome->model_mib_s / 1024);
    printf("\"rebuilds\":%llu,\"ahead\":%llu,\"evicted\":%llu,\"rebuild_s\":%.1f,\"template_peak_"
           "mib\":%.0f}",
           (unsigned long long) outcome->rebuilds, (unsigned long long) outcome->ahead,
           (unsigned long long) outcome->evicted, outcome->rebuild_s, outcome->template_peak_mib);
}

static void print_trace(const struct trace *trace, const struct outcome *outcome)
{
    printf("\"functions\":%u,\"hours\":%.2f,\"triggers\":{", trace->count,
           (double) trace->end_ms / 3.6e6);
    for (int i = 0; i < TRIGGERS; i++)
        printf("%s\"%s\":{\"functions\":%.3f,\"calls\":%.3f}", i > 0 ? "," : "", trigger_names[i],
               (double) outcome->functions_by_trigger[i] / (trace->count > 0 ? trace->count : 1),
               (double) outcome->by_trigger[i] /
                   (outcome->calls > 0 ? (double) outcome->calls : 1));
    printf("},");
}

static int run(struct trace *trace, const struct setting *setting)
{
    struct outcome outcomes[3];
    static const char *const names[] = {"fixed_10_min", "histogram", "learned"};
    if (simulate_fixed(trace, setting, FIXED_MS, &outcomes[0]) < 0 ||
        simulate_histogram(trace, setting, &outcomes[1]) < 0 ||
        simulate_learned(trace, setting, &outcomes[2]) < 0)
        return 1;
    printf("{");
    print_trace(trace, &outcomes[2]);
    printf("\"policies\":[");
    for (int i = 0; i < 3; i++) {
        printf("%s\n", i > 0 ? "," : "");
        print_outcome(names[i], &outcomes[i]);
    }
    printf("]}\n");
    return 0;
}

int main(int argc, char **argv)
{
    struct setting setting = {.price = RETENTION_PRICE, .template_mib_max = 2048, .seed = 1};
    double hours = 24, apps = 200;
    struct trace trace;
    const struct {
        const char *name;
        double *value;
    } options[] = {{"--hours", &hours},
                   {"--apps", &apps},
                   {"--price", &setting.price},
                   {"--cap", &setting.template_mib_max}};

    for (int i = 2; i + 1 < argc; i += 2) {
        bool is_known = strcmp(argv[i], "--seed") == 0;
        if (is_known)
            setting.seed = strtoull(argv[i + 1], NULL, 10);
        for (size_t k = 0; k < sizeof options / sizeof options[0]; k++)
            if (strcmp(argv[i], options[k].name) == 0) {
                *options[k].value = strtod(argv[i + 1], NULL);
                is_known = true;
            }
        if (!is_known)
            argc = 0;
    }
    if (argc < 2 || argc % 2 != 0) {
        (void) fprintf(
            stderr,
            "keepalive_simulator day|FILE.csv [--seed N] [--apps N] [--hours N] [--price P] "
            "[--cap MIB]\n");
        return 2;
    }
    int r = strcmp(argv[1], "day") == 0
                ? trace_make(&trace, setting.seed, (unsigned) apps, (int64_t) (hours * 3.6e6))
                : trace_read(&trace, argv[1]);
    if (r < 0) {
        (void) fprintf(stderr, "keepalive_simulator: %s: %s\n", argv[1], strerror(-r));
        return 1;
    }
    int status = run(&trace, &setting);
    trace_done(&trace);
    return status;
}
