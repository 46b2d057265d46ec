// SPDX-License-Identifier: MIT
//
// lamina delete NAME...: functions with all their versions.
#include "cli/command.h"
#include "cli/output.h"
#include "client/lambda.h"

static int run_delete(struct cli *cli, struct error *err)
{
    const struct option_set *set = &cli->options;
    struct client *client = NULL;
    int status = EXIT_DONE;

    int r = cli_connect(cli, &client, err);
    if (r < 0)
        return r;
    // One that cannot be deleted does not keep the others.
    for (size_t i = 0; i < set->operand_count; i++) {
        error_clear(err);
        r = lambda_delete(client, set->operands[i], err);
        if (r < 0) {
            output_error("%s", err->text);
            status = EXIT_FAILED;
        } else {
            output_note(cli->is_quiet, "deleted '%s'", set->operands[i]);
        }
    }
    client_free(client);
    return status;
}

const struct command cmd_delete = {
    .name = "delete",
    .usage = "NAME...",
    .summary = "Deletes functions with all their versions",
    .operands_min = 1,
    .operands_max = OPTION_OPERANDS_MAX,
    .run = run_delete,
};
