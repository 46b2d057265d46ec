// SPDX-License-Identifier: MIT
//
// laminad's configuration: a file (first byte 0), flags (1) or the environment (2) as anybody might write them.
// What is accepted can be said again as flags, and means the same.

#include "daemon/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORDS_MAX 16

static void must(bool condition)
{
    if (!condition)
        abort();
}

static char program[] = "laminad", option[] = "--config", no_file[] = "/dev/null";

static int load(struct config *config, int argc, char **argv, char **environment)
{
    struct error err = {0};
    enum config_outcome outcome;
    const int r = config_load(config, argc, argv, environment, &outcome, &err);
    if (r == 0)
        return outcome == CONFIG_RUN ? 0 : 1;
    must(err.text[0] != '\0');
    return r;
}

static void must_be_the_same(const struct config *config)
{
    char *flags[CONFIG_FLAGS_MAX + 3] = {program, option, no_file};
    char *none[] = {NULL};
    size_t count = 0;
    struct config again = {0};
    must(config_flags(config, flags + 3, &count) == 0);
    must(load(&again, (int) count + 3, flags, none) == 0);
    must(strcmp(again.data_dir, config->data_dir) == 0 &&
         strcmp(again.listen, config->listen) == 0);
    must(again.concurrency == config->concurrency && again.cache_mb == config->cache_mb &&
         again.aws_limits == config->aws_limits && again.drain_s == config->drain_s);
    config_done(&again);
    for (size_t i = 0; i < count; i++)
        free(flags[3 + i]);
}

// The lines of the text, at most WORDS_MAX.
static int split(char *text, char *words[WORDS_MAX + 1])
{
    int count = 0;
    for (char *rest = text, *word; count < WORDS_MAX && (word = strsep(&rest, "\n")) != NULL;)
        words[count++] = word;
    words[count] = NULL;
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 65536)
        return 0;
    char *argv[WORDS_MAX + 4] = {program, option, no_file}, *environment[WORDS_MAX + 1] = {NULL};
    char path[64], *text = malloc(size);
    struct config config = {0};
    int argc = 3, file = -1;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 3) {
    case 0:
        file = memfd_create("config", MFD_CLOEXEC);
        must(file >= 0 && write(file, text, size - 1) == (ssize_t) size - 1);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
        argv[2] = path;
        break;
    case 1:
        argc += split(text, argv + 3);
        break;
    default:
        (void) split(text, environment);
        break;
    }
    if (load(&config, argc, argv, environment) == 0)
        must_be_the_same(&config);
    config_done(&config);
    if (file >= 0)
        close(file);
    free(text);
    return 0;
}
