// SPDX-License-Identifier: MIT
//
// lamina: the command line. Finds the verb, reads its options, runs it, and turns what came out
// into an exit status. Everything else is in cmd_<verb>.c.
#include "cli/command.h"
#include "cli/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct command *const commands[] = {
    &cmd_up,      &cmd_down,    &cmd_status,   &cmd_env,      &cmd_deploy, &cmd_invoke,
    &cmd_logs,    &cmd_list,    &cmd_describe, &cmd_ps,       &cmd_delete, &cmd_dead_letters,
    &cmd_layer,   &cmd_filesystem, &cmd_user,    &cmd_package, &cmd_compare,  &cmd_rollback, &cmd_doctor, &cmd_completion,
    &cmd_version, &cmd_help,    NULL,
};

static int usage_error(const struct command *command, const struct error *err)
{
    output_error("%s", err->text);
    if (command != NULL)
        output_note(false, "usage: lamina %s %s\n(lamina help %s tells more)", command->name,
                    command->usage, command->name);
    else
        output_note(false, "(lamina help lists the commands)");
    return EXIT_USAGE;
}

static int check_operands(const struct command *command, const struct option_set *options,
                          struct error *err)
{
    if (options->operand_count < command->operands_min)
        return error_set(err, -EINVAL, "%s: something is missing", command->name);
    if (options->operand_count > command->operands_max)
        return error_set(err, -EINVAL, "%s: '%s' is one argument too many", command->name,
                         options->operands[command->operands_max]);
    return 0;
}

static void take_common(struct cli *cli)
{
    const struct option_set *options = &cli->options;

    cli->target = (struct target_options){
        .endpoint_url = option_text(options, "endpoint-url", NULL),
        .data_dir = option_text(options, "data-dir", NULL),
        .profile = option_text(options, "profile", NULL),
        .region = option_text(options, "region", NULL),
    };
    cli->is_json = strcmp(option_text(options, "output", "table"), "json") == 0;
    cli->is_quiet = option_is_given(options, "quiet");
    cli->is_verbose = option_is_given(options, "verbose");
}

static int run(const struct command *command, int argc, char *const *argv)
{
    static struct cli cli; // not on the stack: the option tables are large
    struct error err = {0};
    int r;

    cli.command = command;
    if (command->is_raw) {
        r = command->run_raw(argc, argv, &err);
    } else {
        option_set_add(&cli.options, common_options);
        option_set_add(&cli.options, command->options);
        r = option_parse(&cli.options, argc, argv, &err);
        if (r == 0 && option_is_given(&cli.options, "help"))
            return help_print(command);
        if (r == 0)
            r = check_operands(command, &cli.options, &err);
        if (r < 0)
            return usage_error(command, &err);
        take_common(&cli);
        r = command->run(&cli, &err);
    }
    if (r < 0) {
        output_error("%s", err.text[0] != '\0' ? err.text : error_name(r));
        return EXIT_FAILED;
    }
    return r;
}

// What stdio still holds must arrive, or the status must say that it did not. A reader that went
// away (lamina list | head -1) ends us the way it ends every other tool.
static int finish(int status)
{
    int r = output_flush();

    if (r == 0)
        return status;
    if (r == -EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    output_error("cannot write the output: %s", error_name(r));
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    const struct command *command;
    struct error err = {0};

    signal(SIGPIPE, SIG_IGN); // a connection that breaks is an error to report, not a death
    if (argc < 2)
        return help_print_all(stderr), EXIT_USAGE;
    const char *verb = argv[1];
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0)
        verb = "help";
    if (strcmp(verb, "--version") == 0)
        verb = "version";
    command = command_find(verb);
    if (command == NULL) {
        error_set(&err, -EINVAL, "there is no command '%.60s'", verb);
        return usage_error(NULL, &err);
    }
    return finish(run(command, argc - 2, argv + 2));
}
