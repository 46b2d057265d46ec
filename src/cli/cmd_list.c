// SPDX-License-Identifier: MIT
//
// lamina list: the functions there are.
#include "cli/command.h"
#include "cli/output.h"
#include "client/lambda.h"
#include "client/service.h"
#include "package/strategy.h"

struct listing {
    struct table *table;
    yyjson_mut_doc *doc;
    yyjson_mut_val *functions;
};

static void add_row(struct table *table, const struct lambda_function *function)
{
    char size[32];

    bytes_describe(function->code_bytes, size, sizeof size);
    table_cell(table, "%s", function->name);
    table_cell(table, "%s", function->runtime);
    table_cell(table, "%s", function->handler);
    table_cell(table, "%u MB", function->memory_mb);
    table_cell(table, "%u s", function->timeout_s);
    table_cell(table, "%s", size);
    table_cell(table, "%s", function->last_modified);
}

static void add_object(struct listing *listing, const struct lambda_function *function)
{
    yyjson_mut_doc *doc = listing->doc;
    yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, listing->functions);

    json_add_str(doc, object, "name", str_of(function->name));
    json_add_str(doc, object, "arn", str_of(function->arn));
    json_add_str(doc, object, "runtime", str_of(function->runtime));
    json_add_str(doc, object, "handler", str_of(function->handler));
    yyjson_mut_obj_add_uint(doc, object, "memory_mb", function->memory_mb);
    yyjson_mut_obj_add_uint(doc, object, "timeout_s", function->timeout_s);
    yyjson_mut_obj_add_uint(doc, object, "zip_bytes", function->code_bytes);
    json_add_str(doc, object, "code_sha256", str_of(function->code_sha256));
    json_add_str(doc, object, "modified", str_of(function->last_modified));
}

static int visit(void *arg, yyjson_val *value, struct error *err)
{
    struct listing *listing = arg;
    struct lambda_function function;

    lambda_read_function(value, &function);
    if (listing->doc != NULL)
        add_object(listing, &function);
    else
        add_row(listing->table, &function);
    return 0;
}

static int print_json(struct client *client, struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    struct listing listing = {.doc = doc};

    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "schema", 1);
    listing.functions = yyjson_mut_obj_add_arr(doc, root, "functions");
    int r = service_each_function(client, visit, &listing, err);
    return r < 0 ? r : output_json(doc, err);
}

static int print_table(const struct cli *cli, struct client *client, struct error *err)
{
    static const char *const heads[] = {"NAME",     "RUNTIME", "HANDLER", ">MEMORY",
                                        ">TIMEOUT", ">ZIP",    "MODIFIED"};
    struct table table;
    struct listing listing = {.table = &table};

    table_init(&table, heads, ARRAY_SIZE(heads));
    int r = service_each_function(client, visit, &listing, err);
    if (r == 0 && table.cell_count == ARRAY_SIZE(heads))
        output_note(cli->is_quiet, "there are no functions yet (lamina deploy makes one)");
    else if (r == 0)
        table_print(&table);
    table_done(&table);
    return r;
}

static int run_list(struct cli *cli, struct error *err)
{
    struct client *client = NULL;

    int r = cli_connect(cli, &client, err);
    if (r < 0)
        return r;
    r = cli->is_json ? print_json(client, err) : print_table(cli, client, err);
    client_free(client);
    return r;
}

const struct command cmd_list = {
    .name = "list",
    .usage = "",
    .summary = "Lists the functions",
    .run = run_list,
};
