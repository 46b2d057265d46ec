// SPDX-License-Identifier: MIT
#include "cli/requirements.h"

#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PYTHON "/usr/bin/python3"

extern char **environ;

static int run(const char *const *words, bool is_silent, int *ret_status)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    // Our stdout is for data: what pip tells goes to stderr.
    if (is_silent)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    else
        posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    int r =
        -posix_spawn(&pid, words[0], &actions, NULL, (char *const *) (uintptr_t) words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r < 0)
        return r;
    while (waitpid(pid, ret_status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int make_directory(struct buf *path, struct error *err)
{
    const char *dir = getenv("TMPDIR");

    buf_printf(path, "%s/lamina-pip-XXXXXX", dir != NULL && dir[0] == '/' ? dir : "/tmp");
    if (buf_status(path) == 0 && mkdtemp(path->data) != NULL)
        return 0;
    int r = error_set_errno(err, buf_status(path) < 0 ? -ENAMETOOLONG : -errno,
                            "make a temporary directory (TMPDIR)");
    buf_clear(path);
    return r;
}

static int install(const char *file, const char *target, bool is_quiet, struct error *err)
{
    const char *const probe[] = {PYTHON, "-c", "import pip", NULL};
    const char *const words[] = {
        PYTHON,
        "-m",
        "pip",
        "install",
        "--target",
        target,
        "--no-compile",
        "--no-input",
        "--disable-pip-version-check",
        "--requirement",
        file,
        is_quiet ? "--quiet" : NULL,
        NULL,
    };
    int status = 0;

    int r = run(probe, true, &status);
    if (r < 0 || status != 0)
        return error_set(err, -ENOENT, "'%s' needs pip, and %s has none: apt install python3-pip",
                         file, PYTHON);
    r = run(words, false, &status);
    if (r < 0)
        return error_set_errno(err, r, "run pip");
    if (status != 0)
        return error_set(err, -ECHILD, "pip could not install what '%s' names", file);
    return 0;
}

int requirements_install(const char *dir, bool is_quiet, struct buf *ret_path, struct error *err)
{
    AUTO_BUF struct buf file = BUF_INIT(4096);

    buf_init(ret_path, 4096);
    buf_printf(&file, "%s/requirements.txt", dir);
    int r = buf_status(&file);
    if (r < 0 || access(file.data, R_OK) < 0)
        return 0;
    r = make_directory(ret_path, err);
    return r < 0 ? r : install(file.data, ret_path->data, is_quiet, err);
}

void requirements_remove(struct buf *path)
{
    if (path->size > 0)
        (void) !fs_remove_tree(AT_FDCWD, path->data); // what is left lies in TMPDIR
    buf_done(path);
}
