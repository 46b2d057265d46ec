// SPDX-License-Identifier: MIT
//
// lamina describe NAME: a function's settings, what it stores, what runs, its last cold start by
// phase.
#include "cli/command.h"
#include "cli/flat.h"
#include "cli/output.h"
#include "client/service.h"

#include "base/percent.h"
#include "base/str.h"

static int ask(struct client *client, const char *name, yyjson_doc **ret, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(2048);
    char what[200];

    buf_append_text(&path, "/lamina/v1/functions/");
    percent_append(&path, str_of(name), false);
    int r = buf_status(&path);
    if (r < 0)
        return error_set_errno(err, r, "describe a function of this name");
    snprintf(what, sizeof what, "describe '%.140s'", name);
    return service_get(client, path.data, NULL, what, ret, err);
}

static int run_describe(struct cli *cli, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct client *client = NULL;

    int r = cli_connect(cli, &client, err);
    if (r == 0)
        r = ask(client, cli->options.operands[0], &doc, err);
    client_free(client);
    if (r < 0)
        return r;
    if (cli->is_json)
        return output_json_value(yyjson_doc_get_root(doc), err);
    flat_print(yyjson_doc_get_root(doc));
    return EXIT_DONE;
}

const struct command cmd_describe = {
    .name = "describe",
    .usage = "NAME",
    .summary = "Shows a function: settings, bytes, instances, memory, last cold start by phase",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_describe,
};
