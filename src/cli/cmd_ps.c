// SPDX-License-Identifier: MIT
//
// lamina ps: the instances that exist now, and what they are doing.
#include "cli/command.h"
#include "cli/flat.h"
#include "cli/output.h"
#include "client/service.h"

// What is shown of an instance, in this order; a column that the service does not know stays empty.
static const struct column {
    const char *head;
    const char *member;
} columns[] = {
    {"ID", "id"},
    {"FUNCTION", "function"},
    {"VERSION", "version"},
    {"STATE", "state"},
    {">CALLS", "invocations"},
    {">AGE MS", "age_ms"},
    {">IDLE MS", "idle_ms"},
    {">PSS", "pss_bytes"},
    {">PRIVATE", "private_bytes"},
};

static void print_table(const struct cli *cli, yyjson_val *instances)
{
    const char *heads[ARRAY_SIZE(columns)];
    struct table table;
    yyjson_val *instance;
    size_t i, count;

    if (yyjson_arr_size(instances) == 0) {
        output_note(cli->is_quiet,
                    "nothing is running (instances start when a function is called)");
        return;
    }
    for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
        heads[c] = columns[c].head;
    table_init(&table, heads, ARRAY_SIZE(columns));
    yyjson_arr_foreach(instances, i, count, instance)
    {
        for (size_t c = 0; c < ARRAY_SIZE(columns); c++) {
            char text[256];
            flat_leaf(columns[c].member, json_member(instance, columns[c].member), text,
                      sizeof text);
            table_cell(&table, "%s", text);
        }
    }
    table_print(&table);
    table_done(&table);
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
    print_table(cli, json_member(yyjson_doc_get_root(doc), "instances"));
    return EXIT_DONE;
}

const struct command cmd_ps = {
    .name = "ps",
    .usage = "",
    .summary = "Lists the instances that run, wait or are frozen",
    .run = run_ps,
};
