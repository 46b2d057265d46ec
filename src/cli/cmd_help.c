// SPDX-License-Identifier: MIT
//
// lamina help [VERB]: printed from the same tables that the options are read by.
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void help_print_all(FILE *out)
{
    fputs("Lamina runs machine-learning models as AWS Lambda functions on your own machine.\n\n"
          "  lamina up -d                start the service (as root)\n"
          "  lamina deploy model.onnx    a model becomes a function\n"
          "  lamina invoke model         ask it\n\n"
          "Commands:\n",
          out);
    for (size_t i = 0; commands[i] != NULL; i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fputs(
        "\nlamina help COMMAND tells more. Exit status: 0 done, 1 failed, 2 usage, 3 the function\n"
        "reported an error.\n",
        out);
}

static void print_option(const struct option_spec *spec)
{
    char left[64];

    snprintf(left, sizeof left, "%s%c%s --%s%s%s", spec->letter != 0 ? "-" : " ",
             spec->letter != 0 ? spec->letter : ' ', spec->letter != 0 ? "," : " ", spec->name,
             spec->kind == OPTION_FLAG ? "" : " ", spec->kind == OPTION_FLAG ? "" : spec->metavar);
    printf("  %-28s %s\n", left, spec->help);
}

static void print_options(const char *title, const struct option_spec *table)
{
    if (table == NULL || table->name == NULL)
        return;
    printf("\n%s:\n", title);
    for (; table->name != NULL; table++)
        print_option(table);
}

int help_print(const struct command *command)
{
    printf("usage: lamina %s %s\n\n%s.\n", command->name, command->usage, command->summary);
    if (command->details != NULL)
        printf("\n%s\n", command->details);
    print_options("Options", command->options);
    if (!command->is_raw)
        print_options("Common options", common_options);
    return EXIT_DONE;
}

static int run_help(struct cli *cli, struct error *err)
{
    if (cli->options.operand_count == 0) {
        help_print_all(stdout);
        return EXIT_DONE;
    }
    const struct command *command = command_find(cli->options.operands[0]);
    if (command == NULL)
        return error_set(err, -ENOENT, "there is no command '%.60s'", cli->options.operands[0]);
    return help_print(command);
}

const struct command cmd_help = {
    .name = "help",
    .usage = "[COMMAND]",
    .summary = "Tells what a command does and takes",
    .operands_max = 1,
    .run = run_help,
};
