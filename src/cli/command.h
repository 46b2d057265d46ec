// SPDX-License-Identifier: MIT
//
// One verb of the command line: a row of the table in main.c, and one cmd_<verb>.c.
//
// Exit statuses (the same for every verb): 0 done, 1 failed, 2 the command line cannot be
// understood, 3 the function reported an error. Data goes to stdout, everything else to stderr.
#ifndef LAMINA_CLI_COMMAND_H
#define LAMINA_CLI_COMMAND_H

#include "base/error.h"
#include "cli/option.h"
#include "client/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum exit_status {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_FUNCTION_ERROR = 3,
};

// What every verb is given.
struct cli {
    const struct command *command;
    struct option_set options;
    struct target_options target;
    bool is_json; // -o json
    bool is_quiet;
    bool is_verbose;
};

struct command {
    const char *name;
    const char *usage;                 // operands and the important options
    const char *summary;               // one line
    const char *details;               // more lines for `lamina help VERB`, or NULL
    const struct option_spec *options; // its own; the common ones come on top; NULL: none
    size_t operands_min, operands_max;
    bool is_raw; // reads its arguments itself: argv after the verb
    // Returns an exit status, or a negative errno with err set (printed; exit 1).
    int (*run)(struct cli *cli, struct error *err);
    int (*run_raw)(int argc, char *const *argv, struct error *err);
};

extern const struct command cmd_compare, cmd_completion, cmd_dead_letters, cmd_delete, cmd_deploy,
    cmd_describe, cmd_doctor, cmd_down, cmd_env, cmd_filesystem, cmd_help, cmd_invoke, cmd_layer, cmd_list, cmd_logs,
    cmd_package, cmd_ps, cmd_status, cmd_up, cmd_user, cmd_version, cmd_rollback;

// All verbs in the order of help, ended by NULL.
extern const struct command *const commands[];
const struct command *command_find(const char *name);

// The options that every verb (but up) has.
extern const struct option_spec common_options[];

// help.c: one verb's page on stdout, or all verbs on out. Returns EXIT_DONE.
int help_print(const struct command *command);
void help_print_all(FILE *out);

// A client of the service that the options and the environment name. client_free frees it.
MUST_CHECK int cli_connect(struct cli *cli, struct client **ret, struct error *err);

#endif
