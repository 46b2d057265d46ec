// SPDX-License-Identifier: MIT
//
// lamina status: what the service says of itself.
#include "cli/command.h"
#include "cli/flat.h"
#include "cli/output.h"
#include "client/service.h"

static int run_status(struct cli *cli, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct client *client = NULL;

    int r = cli_connect(cli, &client, err);
    if (r == 0)
        r = service_get(client, "/lamina/v1/status", NULL, "ask for the status", &doc, err);
    client_free(client);
    if (r < 0)
        return r;
    if (cli->is_json)
        return output_json_value(yyjson_doc_get_root(doc), err);
    flat_print(yyjson_doc_get_root(doc));
    return EXIT_DONE;
}

const struct command cmd_status = {
    .name = "status",
    .usage = "",
    .summary = "Shows whether the service runs, and how it is",
    .run = run_status,
};
