// SPDX-License-Identifier: MIT
//
// lamina-work: one job on what a stranger made. Started by lamina-spawn for each job:
//
//     lamina-work KIND NUMBER NUMBER NUMBER NUMBER < package > stream     (wire/work.h)
//
// KIND 1 unzips a package, 2 prepares a model. Exit status: 0 the stream is complete (also when the
// input was refused), 1 it could not be written or the input not be read, 2 called wrongly, 3 the confinement was not possible.

#include "base/compiler.h"
#include "base/str.h"
#include "work/confine.h"
#include "work/prepare.h"
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

static int unzip(const uint64_t numbers[WORK_NUMBERS], uint64_t size)
{
    if (numbers[WORK_ARGUMENT_ENTRIES_MAX] == 0)
        return 2;
    if (confine_self() < 0)
        return 3;
    struct zip_source source = {.fd = STDIN_FILENO, .size = size};
    struct zip_limits limits = {
        .entries_max = numbers[WORK_ARGUMENT_ENTRIES_MAX],
        .bytes_max = numbers[WORK_ARGUMENT_BYTES_MAX],
    };
    return unzip_run(&source, &limits, STDOUT_FILENO) < 0 ? 1 : 0;
}

// An inference library cannot live with what unzip has: lamina-spawn's filter for it, its memory and
// its time are the limits.
static int prepare(const uint64_t numbers[WORK_NUMBERS])
{
    if (numbers[WORK_PREPARE_TIME_MS] > WORK_PREPARE_TIME_MS_MAX ||
        numbers[WORK_PREPARE_HAS_TREE] > 1 || numbers[WORK_PREPARE_NO_FORM] > 1)
        return 2;
    if (confine_engine() < 0)
        return 3;
    struct prepare_order order = {
        .bytes_max = numbers[WORK_PREPARE_BYTES_MAX],
        .time_ms = numbers[WORK_PREPARE_TIME_MS],
        .has_tree = numbers[WORK_PREPARE_HAS_TREE] == 1,
        .has_no_form = numbers[WORK_PREPARE_NO_FORM] == 1,
    };
    return prepare_run(&order, STDOUT_FILENO) < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    uint64_t kind, numbers[WORK_NUMBERS];
    struct stat input;
    if (parse_arguments(argc, argv, &kind, numbers) < 0 ||
        (kind != WORK_KIND_UNZIP && kind != WORK_KIND_PREPARE))
        return 2;
    if (fstat(STDIN_FILENO, &input) < 0 || !S_ISREG(input.st_mode))
        return 2;
    signal(SIGPIPE, SIG_IGN);
    int status =
        kind == WORK_KIND_UNZIP ? unzip(numbers, (uint64_t) input.st_size) : prepare(numbers);
    _exit(status); // no exit handlers: the filter allows little
}
