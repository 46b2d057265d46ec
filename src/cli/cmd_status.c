// SPDX-License-Identifier: MIT
//
// lamina status: what the service says of itself; with --watch again and again.
#include "cli/command.h"
#include "cli/flat.h"
#include "cli/output.h"
#include "client/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const struct option_spec options[] = {
    {.name = "watch",
     .letter = 'w',
     .kind = OPTION_FLAG,
     .help = "again and again until interrupted; with -o json one line each time"},
    {.name = "interval",
     .kind = OPTION_NUMBER,
     .metavar = "MS",
     .minimum = 10,
     .maximum = 3600000,
     .help = "between two looks (default: 1000)"},
    {.name = "count",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .minimum = 1,
     .maximum = 1000000000,
     .help = "with --watch: end after so many looks"},
    {0},
};

static int print_once(const struct cli *cli, yyjson_val *root, struct error *err)
{
    if (cli->is_json)
        return output_json_value(root, err);
    flat_print(root);
    return 0;
}

static int print_line(yyjson_val *root, struct error *err)
{
    char *line = yyjson_val_write(root, 0, NULL);

    if (line == NULL)
        return error_set(err, -EINVAL, "cannot print the status as JSON");
    puts(line);
    free(line);
    return 0;
}

// A terminal shows one picture; everything else gets one after the other.
static int print_again(const struct cli *cli, yyjson_val *root, bool is_first, struct error *err)
{
    if (cli->is_json)
        return print_line(root, err);
    if (output_has_color(STDOUT_FILENO))
        fputs("\x1b[H\x1b[2J", stdout);
    else if (!is_first)
        fputc('\n', stdout);
    flat_print(root);
    return 0;
}

static int look(const struct cli *cli, struct client *client, bool is_watching, bool is_first,
                struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;

    int r = service_get(client, "/lamina/v1/status", NULL, "ask for the status", &doc, err);
    if (r < 0)
        return r;
    yyjson_val *root = yyjson_doc_get_root(doc);
    r = is_watching ? print_again(cli, root, is_first, err) : print_once(cli, root, err);
    if (r < 0)
        return r;
    return output_flush() < 0 ? EXIT_FAILED : EXIT_DONE; // main tells why
}

static int run_status(struct cli *cli, struct error *err)
{
    bool is_watching = option_is_given(&cli->options, "watch");
    uint64_t count = is_watching ? option_number(&cli->options, "count", UINT64_MAX) : 1;
    uint64_t interval_ms = option_number(&cli->options, "interval", 1000);
    const struct timespec pause = {.tv_sec = (time_t) (interval_ms / 1000),
                                   .tv_nsec = (long) (interval_ms % 1000) * 1000000};
    struct client *client = NULL;

    int r = cli_connect(cli, &client, err);
    for (uint64_t i = 0; r == EXIT_DONE && i < count; i++) {
        if (i > 0)
            (void) nanosleep(&pause, NULL);
        r = look(cli, client, is_watching, i == 0, err);
    }
    client_free(client);
    return r;
}

const struct command cmd_status = {
    .name = "status",
    .usage = "[--watch]",
    .summary = "Shows whether the service runs, and how it is",
    .options = options,
    .run = run_status,
};
