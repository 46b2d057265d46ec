/* SPDX-License-Identifier: MIT
 *
 * laminad. Started as root it only resolves its configuration and execs lamina-spawn, which starts it again without
 * privileges, with two sockets (wire/spawn.h) and LAMINA_SPAWN_FDS set: then it serves.
 */
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/paths.h"
#include "daemon/server.h"
#include "wire/spawn.h"

#define EXIT_USAGE 2
#define SPAWN_ARGUMENTS_MAX 12

/* lamina-spawn --data-dir DIR [--user U] [--sandbox-uids A-B] -- every setting as a flag. laminad, started again, must not
 * need the configuration file: it may be root's alone. */
static int exec_spawn(const struct config *config, struct error *err)
{
    char path[PATH_MAX];
    const char *arguments[SPAWN_ARGUMENTS_MAX + CONFIG_FLAGS_MAX] = {path, "--data-dir",
                                                                     config->data_dir};
    char *flags[CONFIG_FLAGS_MAX];
    size_t count = 3, flag_count = 0;
    int r = paths_sister("lamina-spawn", path, err);
    if (r < 0)
        return r;
    if (config->user[0]) {
        arguments[count++] = "--user";
        arguments[count++] = config->user;
    }
    if (config->sandbox_uids[0]) {
        arguments[count++] = "--sandbox-uids";
        arguments[count++] = config->sandbox_uids;
    }
    arguments[count++] = "--filesystems-file";
    arguments[count++] = config->filesystems_file;
    arguments[count++] = "--";
    r = config_flags(config, flags, &flag_count);
    if (r < 0)
        return error_set_errno(err, r, "prepare the arguments of %s", path);
    for (size_t i = 0; i < flag_count; i++)
        arguments[count + i] = flags[i];
    execv(path, (char *const *) (uintptr_t) arguments);
    r = error_set_errno(err, -errno, "run %s", path);
    for (size_t i = 0; i < flag_count; i++)
        free(flags[i]);
    return r;
}

static int fail(const char *event, const struct error *err, int status)
{
    fprintf(stderr, "laminad: %s\n", err->text);
    if (status != EXIT_USAGE)
        log_error(event, "error=%s", LOG_TEXT(err->text));
    return status;
}

static int serve(const struct config *config)
{
    const char *mounted = getenv(SPAWN_ENV_DATA);
    struct error err = {0};
    int status = 0;
    unsetenv(SPAWN_ENV_FDS);
    /* Threads may still digest while exit() runs (server_close): OpenSSL must not be torn down under them. */
    (void) OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    if (fd_set_cloexec(SPAWN_FD_INSTANCES, true) < 0 || fd_set_cloexec(SPAWN_FD_WORK, true) < 0) {
        error_set(&err, -EBADF, "%s is set, but the descriptors are not there", SPAWN_ENV_FDS);
        return fail("daemon.failed", &err, 1);
    }
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    status = server_run(config, mounted ? mounted : config->data_dir, SPAWN_FD_INSTANCES,
                        SPAWN_FD_WORK, &err);
    return err.code ? fail("daemon.failed", &err, status) : status;
}

static int run(const struct config *config)
{
    struct error err = {0};
    log_set_level((enum log_level) log_level_parse(config->log_level));
    if (getenv(SPAWN_ENV_FDS))
        return serve(config);
    if (geteuid() != 0) {
        error_set(
            &err, -EPERM,
            "must be started as root: it hands over to lamina-spawn, which makes the sandboxes "
            "and runs laminad itself without privileges");
        return fail("daemon.failed", &err, 1);
    }
    (void) exec_spawn(config, &err);
    return fail("daemon.failed", &err, 1);
}

int main(int argc, char **argv)
{
    struct config config = {0};
    enum config_outcome outcome = CONFIG_RUN;
    struct error err = {0};
    int status = 0;
    if (config_load(&config, argc, argv, environ, &outcome, &err) < 0)
        return fail("daemon.usage", &err, EXIT_USAGE);
    if (outcome == CONFIG_HELP)
        config_print_help(stdout);
    else if (outcome == CONFIG_VERSION)
        puts("laminad " LAMINA_VERSION);
    else
        status = run(&config);
    config_done(&config);
    return status;
}
