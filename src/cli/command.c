// SPDX-License-Identifier: MIT
#include "cli/command.h"

#include <string.h>

const struct option_spec common_options[] = {
    {.name = "endpoint-url",
     .kind = OPTION_TEXT,
     .metavar = "URL",
     .help = "where the service is (AWS_ENDPOINT_URL_LAMBDA, AWS_ENDPOINT_URL)"},
    {.name = "data-dir",
     .kind = OPTION_TEXT,
     .metavar = "DIR",
     .help = "the service's data directory: its address and credentials (LAMINA_DATA_DIR)"},
    {.name = "profile",
     .kind = OPTION_TEXT,
     .metavar = "NAME",
     .help = "profile of the AWS credentials file (AWS_PROFILE)"},
    {.name = "region", .kind = OPTION_TEXT, .metavar = "REGION", .help = "AWS_REGION"},
    {.name = "output",
     .letter = 'o',
     .kind = OPTION_CHOICE,
     .metavar = "table|json",
     .choices = "table|json",
     .help = "for people, or for programs"},
    {.name = "quiet", .letter = 'q', .kind = OPTION_FLAG, .help = "no notes, no progress"},
    {.name = "verbose", .letter = 'v', .kind = OPTION_FLAG, .help = "more notes"},
    {.name = "help", .letter = 'h', .kind = OPTION_FLAG, .help = "this text"},
    {0},
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

int cli_connect(struct cli *cli, struct client **ret, struct error *err)
{
    struct target target;

    int r = target_resolve(&cli->target, &target, err);
    return r < 0 ? r : client_new(&target, ret, err);
}
