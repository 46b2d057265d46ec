// SPDX-License-Identifier: MIT
//
// What a template does to a model: load it, run it once, fork, and answer in the fork.
//
//     model_fork MODEL THREADS fresh|fork REQUEST...
//
// fork: the model is loaded and warmed on one thread, what the process then holds is printed as lines "fact NAME
// VALUE", and each request is answered in a fork of its own, all of them alive at once. fresh: the requests are
// answered by this process, whose threads ran from the start. Each answer is written to REQUEST.answer.

#include "base/fd.h"
#include "lamina.h"
#include "model_runtime/inference.h"
#include "model_runtime/warm.h"
#include "model_runtime/worker.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_BYTES_MAX (4 << 20)

static char request[REQUEST_BYTES_MAX];

static void fact_count(const char *name, const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    printf("fact %s %d\n", name, count);
}

static void fact_descriptors(void)
{
    char path[64], target[512];
    for (int fd = 3; fd < 1024; fd++) {
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        printf("fact descriptor %s\n", target);
    }
}

static void fact_shared_mappings(void)
{
    char line[1024];
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        const char *rights = strchr(line, ' ');
        if (rights != NULL && rights[2] == 'w' && rights[4] == 's')
            printf("fact writable_shared %s", line);
    }
    if (maps != NULL)
        (void) fclose(maps);
}

static int answer(struct model *model, const char *path)
{
    static const struct oip_identity identity = {"m", "v", "p"};
    AUTO_BUF struct buf out = BUF_INIT(LAMINA_PAYLOAD_BYTES_MAX);
    struct error err = {0};
    char answer_path[PATH_MAX];
    (void) snprintf(answer_path, sizeof answer_path, "%s.answer", path);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_FD int answer_fd = open(answer_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 || answer_fd < 0 ? -1 : fd_read_all(fd, request, sizeof request);
    if (n < 0)
        return 1;
    int r = inference_answer(model, &identity, str_of_data(request, (size_t) n), &out, &err);
    if (r < 0)
        (void) fprintf(stderr, "%s: %s\n", path, err.text);
    return r < 0 || fd_write_all(answer_fd, out.data, out.size) < 0;
}

// All forks exist before the first of them may answer: they wait for the end of the pipe.
static int answer_in_forks(struct model *model, char **paths, int count)
{
    int gate[2], failures = 0;
    if (fflush(stdout) != 0 || pipe2(gate, O_CLOEXEC) < 0)
        return 1;
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            char byte;
            (void) close(gate[1]);
            if (read(gate[0], &byte, 1) != 0 || workers_start() < 0)
                _exit(1);
            _exit(answer(model, paths[i]));
        }
        failures += pid < 0;
    }
    (void) close(gate[1]);
    int status;
    while (wait(&status) > 0)
        failures += status != 0;
    return failures;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct model *model;
    if (argc < 5)
        return 2;
    struct model_options options = {.threads = argv[2][0] - '0'};
    bool is_fork = strcmp(argv[3], "fork") == 0;
    if (!is_fork && workers_start() < 0)
        return 1;
    if (model_load(argv[1], &options, &model, &err) < 0 || warm_run(model, argv[1], &err) < 0) {
        (void) fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    fact_count("threads", "/proc/self/task");
    printf("fact recorded %zu\n", workers_recorded());
    fact_descriptors();
    fact_shared_mappings();
    int failures = 0;
    if (is_fork)
        failures = answer_in_forks(model, argv + 4, argc - 4);
    else
        for (int i = 0; i < argc - 4; i++)
            failures += answer(model, argv[4 + i]);
    model_free(model);
    return failures != 0;
}
