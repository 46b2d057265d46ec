// SPDX-License-Identifier: MIT
//
// lamina ps: the instances that exist now, and what they are doing; the templates that they are
// forked from, and why there is none where there should be one.
#include "cli/command.h"
#include "cli/flat.h"
#include "cli/output.h"
#include "client/service.h"

#include <stdio.h>

// What is shown of each, in this order; a column that the service does not know stays empty.
struct column {
    const char *head;
    const char *member;
};

static const struct column instance_columns[] = {
    {"ID", "id"},
    {"FUNCTION", "function"},
    {"VERSION", "version"},
    {"STATE", "state"},
    {"KIND", "kind"},
    {">CALLS", "invocations"},
    {">AGE MS", "age_ms"},
    {">IDLE MS", "idle_ms"},
    {">PSS", "pss_bytes"},
    {">PRIVATE", "private_bytes"},
    {">PAGE TABLES", "page_table_bytes"},
};

static const struct column template_columns[] = {
    {"TEMPLATE", "id"},        {"FUNCTION", "function"},     {"VERSION", "version"},
    {"STATE", "state"},        {">FORKS", "forks"},          {">SPARES", "spares"},
    {">START MS", "start_ms"}, {">OWN MEMORY", "own_bytes"}, {"WHY THERE IS NONE", "reason"},
};

#define COLUMNS_MAX 16

static void print_table(yyjson_val *rows, const struct column *columns, size_t n)
{
    const char *heads[COLUMNS_MAX];
    struct table table;
    yyjson_val *row;
    size_t i, count;

    for (size_t c = 0; c < n; c++)
        heads[c] = columns[c].head;
    table_init(&table, heads, n);
    yyjson_arr_foreach(rows, i, count, row)
    {
        for (size_t c = 0; c < n; c++) {
            char text[256];
            flat_leaf(columns[c].member, json_member(row, columns[c].member), text, sizeof text);
            table_cell(&table, "%s", text);
        }
    }
    table_print(&table);
    table_done(&table);
}

static void print_all(const struct cli *cli, yyjson_val *root)
{
    yyjson_val *instances = json_member(root, "instances");
    yyjson_val *templates = json_member(root, "templates");

    if (yyjson_arr_size(instances) == 0)
        output_note(cli->is_quiet,
                    "nothing is running (instances start when a function is called)");
    else
        print_table(instances, instance_columns, ARRAY_SIZE(instance_columns));
    if (yyjson_arr_size(templates) == 0)
        return;
    (void) putchar('\n');
    print_table(templates, template_columns, ARRAY_SIZE(template_columns));
}

static int run_ps(struct cli *cli, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct client *client = NULL;

    int r = cli_connect(cli, &client, err);
    if (r == 0)
        r = service_get(client, "/lamina/v1/instances", "memory=1", "list the instances", &doc,
                        err);
    client_free(client);
    if (r < 0)
        return r;
    if (cli->is_json)
        return output_json_value(yyjson_doc_get_root(doc), err);
    print_all(cli, yyjson_doc_get_root(doc));
    return EXIT_DONE;
}

const struct command cmd_ps = {
    .name = "ps",
    .usage = "",
    .summary = "Lists the instances that run, wait or are frozen",
    .run = run_ps,
};
