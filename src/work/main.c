// SPDX-License-Identifier: MIT
//
// lamina-work: one job on what a stranger made. Started by lamina-spawn for each job:
//
//     lamina-work KIND NUMBER NUMBER NUMBER NUMBER < package > stream     (wire/work.h)
//
// Exit status: 0 the stream is complete (also when the package was refused), 1 it could not be
// written or the package not be read, 2 called wrongly, 3 the confinement was not possible.

#include "base/compiler.h"
#include "base/str.h"
#include "work/confine.h"
#include "work/unzip.h"

#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORK_NUMBERS = 4 };

static int parse_arguments(int argc, char **argv, uint64_t *kind, uint64_t numbers[WORK_NUMBERS])
{
    if (argc != 2 + WORK_NUMBERS || str_to_u64(str_of(argv[1]), UINT32_MAX, kind) < 0)
        return -1;
    for (int i = 0; i < WORK_NUMBERS; i++) {
        if (str_to_u64(str_of(argv[2 + i]), UINT64_MAX, &numbers[i]) < 0)
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t kind, numbers[WORK_NUMBERS];
    struct stat input;
    if (parse_arguments(argc, argv, &kind, numbers) < 0 || kind != WORK_KIND_UNZIP ||
        numbers[WORK_ARGUMENT_ENTRIES_MAX] == 0)
        return 2;
    if (fstat(STDIN_FILENO, &input) < 0 || !S_ISREG(input.st_mode))
        return 2;
    signal(SIGPIPE, SIG_IGN);
    if (confine_self() < 0)
        return 3;

    struct zip_source source = {.fd = STDIN_FILENO, .size = (uint64_t) input.st_size};
    struct zip_limits limits = {
        .entries_max = numbers[WORK_ARGUMENT_ENTRIES_MAX],
        .bytes_max = numbers[WORK_ARGUMENT_BYTES_MAX],
    };
    int r = unzip_run(&source, &limits, STDOUT_FILENO);
    _exit(r < 0 ? 1 : 0); // no exit handlers: the filter allows little
}
