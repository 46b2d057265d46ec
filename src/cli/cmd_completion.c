// SPDX-License-Identifier: MIT
//
// lamina completion bash: the shell's completion, written from the same tables that the options are
// read by.
#include "cli/command.h"
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void print_words(const struct option_spec *table)
{
    for (; table != NULL && table->name != NULL; table++)
        printf(" --%s", table->name);
}

// --output) table json ;;
static void print_choices(const struct option_spec *table)
{
    for (; table != NULL && table->name != NULL; table++) {
        if (table->kind != OPTION_CHOICE)
            continue;
        printf("    --%s", table->name);
        if (table->letter != 0)
            printf("|-%c", table->letter);
        fputs(") _lamina_words='", stdout);
        for (const char *c = table->choices; *c != '\0'; c++)
            fputc(*c == '|' ? ' ' : *c, stdout);
        fputs("' ;;\n", stdout);
    }
}

// Verbs whose operands are names of functions; the operands of the others are files or nothing.
static bool takes_function(const struct command *command)
{
    static const char *const names[] = {"invoke", "logs", "describe", "delete"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], command->name) == 0)
            return true;
    }
    return false;
}

static void print_verb(const struct command *command)
{
    printf("    %s) _lamina_options='", command->name);
    print_words(command->options);
    if (!command->is_raw)
        print_words(common_options);
    printf("'; _lamina_operand=%s ;;\n", takes_function(command)     ? "function"
                                         : command->operands_max > 0 ? "file"
                                                                     : "none");
}

static void print_bash(void)
{
    fputs("# Completion of lamina for bash, written by `lamina completion bash`.\n"
          "_lamina() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local _lamina_options= _lamina_operand=none _lamina_words=\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
          "        COMPREPLY=($(compgen -W '",
          stdout);
    for (size_t i = 0; commands[i] != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", commands[i]->name);
    fputs("' -- \"$current\"))\n"
          "        return\n"
          "    fi\n"
          "    case $previous in\n",
          stdout);
    print_choices(common_options);
    for (size_t i = 0; commands[i] != NULL; i++)
        print_choices(commands[i]->options);
    fputs("    esac\n"
          "    if [ -n \"$_lamina_words\" ]; then\n"
          "        COMPREPLY=($(compgen -W \"$_lamina_words\" -- \"$current\"))\n"
          "        return\n"
          "    fi\n"
          "    case ${COMP_WORDS[1]} in\n",
          stdout);
    for (size_t i = 0; commands[i] != NULL; i++)
        print_verb(commands[i]);
    // compgen -W expands what it is given: nothing but a name's characters may reach it.
    fputs("    esac\n"
          "    case $current in\n"
          "    -*) COMPREPLY=($(compgen -W \"$_lamina_options\" -- \"$current\")); return ;;\n"
          "    esac\n"
          "    case $_lamina_operand in\n"
          "    function) COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" list -q 2>/dev/null |\n"
          "        sed -n '2,$s/^\\([A-Za-z0-9_-]*\\) .*/\\1/p')\" -- \"$current\")) ;;\n"
          "    file) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
          "    esac\n"
          "}\n"
          "complete -o filenames -F _lamina lamina\n",
          stdout);
}

static int run_completion(struct cli *cli, struct error *err)
{
    if (strcmp(cli->options.operands[0], "bash") != 0)
        return error_set(err, -ENOTSUP, "there is a completion for bash only");
    print_bash();
    return EXIT_DONE;
}

const struct command cmd_completion = {
    .name = "completion",
    .usage = "bash",
    .summary = "Prints the shell's completion",
    .details = "  source <(lamina completion bash)",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_completion,
};
