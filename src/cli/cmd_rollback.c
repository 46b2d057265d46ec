// SPDX-License-Identifier: MIT
//
// lamina rollback NAME: the function's earlier model serves again.
#include "cli/command.h"
#include "cli/output.h"
#include "client/service.h"

#include "base/buf.h"

#include <errno.h>

static int run_rollback(struct cli *cli, struct error *err)
{
    const char *name = cli->options.operands[0];
    AUTO_BUF struct buf path = BUF_INIT(512);
    AUTO_JSON yyjson_doc *doc = NULL;
    struct client *client = NULL;

    buf_printf(&path, "/lamina/v1/functions/%s/rollback", name);
    if (buf_status(&path) < 0)
        return error_set(err, -EINVAL, "'%.80s' is not a function's name", name);
    int r = cli_connect(cli, &client, err);
    if (r == 0)
        r = service_post(client, path.data, NULL, "go back to the earlier model", &doc, err);
    client_free(client);
    if (r < 0)
        return r;
    output_note(cli->is_quiet, "'%s' answers with its earlier model again", name);
    return EXIT_DONE;
}

const struct command cmd_rollback = {
    .name = "rollback",
    .usage = "NAME",
    .summary = "Lets a function's earlier model serve again",
    .details =
        "Of a function whose model MODEL_URI names: the model before the present one takes its "
        "place\n"
        "without a failed call, and the present one is not taken up again until the store has\n"
        "another. Twice is there and back.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_rollback,
};
