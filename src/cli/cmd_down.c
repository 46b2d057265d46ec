// SPDX-License-Identifier: MIT
//
// lamina down: ends the service of a data directory and waits until it is gone.
#include "cli/command.h"
#include "cli/daemon.h"
#include "cli/output.h"

#include "base/fd.h"

#include <errno.h>

static const struct option_spec options[] = {
    {.name = "timeout",
     .kind = OPTION_NUMBER,
     .metavar = "S",
     .minimum = 1,
     .maximum = 86400,
     .help = "wait so long for running calls and the end (default: 120)"},
    {0},
};

static int run_down(struct cli *cli, struct error *err)
{
    unsigned timeout_s = (unsigned) option_number(&cli->options, "timeout", 120);
    struct target target;
    AUTO_FD int pidfd = -1;
    pid_t pid = 0;

    int r = target_resolve_endpoint(&cli->target, &target, err);
    if (r == 0)
        r = daemon_find(target.data_dir, &pidfd, &pid, err);
    if (r == 0)
        r = daemon_terminate(pidfd, err);
    if (r < 0)
        return r;
    if (!daemon_wait_end(pidfd, timeout_s * 1000))
        return error_set(err, -ETIMEDOUT, "the service (pid %d) is still there after %u s",
                         (int) pid, timeout_s);
    output_note(cli->is_quiet, "the service on %s has ended", target.data_dir);
    return EXIT_DONE;
}

const struct command cmd_down = {
    .name = "down",
    .usage = "[--data-dir DIR]",
    .summary = "Ends the service",
    .details =
        "Running calls are finished first. Functions and their code stay in the data directory.",
    .options = options,
    .run = run_down,
};
