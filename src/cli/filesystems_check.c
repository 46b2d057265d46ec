// SPDX-License-Identifier: MIT
//
// Which directories an administrator can give to functions. Whoever asks is root and may do as they like: these are
// mistakes, each of which would hand the machine to every function that names the file system.
#include "cli/filesystems.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// What is the machine's own: these and all beneath them.
static const char *const whole[] = {"/proc", "/sys", "/dev", "/boot", "/etc", "/run", NULL};
// These themselves; what is beneath may be somebody's.
static const char *const tops[] = {"/",     "/bin", "/sbin", "/lib", "/lib64", "/usr", "/var",
                                   "/root", "/tmp", "/home", "/mnt", "/opt",   NULL};

static bool is_beneath(const char *path, const char *directory)
{
    size_t size = strlen(directory);

    if (strcmp(directory, "/") == 0)
        return true;
    return strncmp(path, directory, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

static int check_machine(const char *path, struct error *err)
{
    for (size_t i = 0; whole[i] != NULL; i++) {
        if (is_beneath(path, whole[i]))
            return error_set(err, -EINVAL, "'%s' is the machine's own: functions cannot have it",
                             path);
    }
    for (size_t i = 0; tops[i] != NULL; i++) {
        if (strcmp(path, tops[i]) == 0)
            return error_set(err, -EINVAL,
                             "'%s' is too much to give away: name a directory of its own", path);
    }
    return 0;
}

// Who has what is around it has it.
static int check_around(const char *path, const char *other, const char *what, struct error *err)
{
    char resolved[PATH_MAX];

    if (realpath(other, resolved) == NULL || !is_beneath(resolved, path))
        return 0; // it is not there, or elsewhere
    return error_set(err, -EINVAL, "'%s' holds %s of the service, '%s'", path, what, resolved);
}

// Neither within it, nor around it: its objects, its credentials and its functions' data are in there.
static int check_apart(const char *path, const char *other, const char *what, struct error *err)
{
    char resolved[PATH_MAX];

    if (other == NULL || realpath(other, resolved) == NULL)
        return 0; // it is not there
    if (is_beneath(path, resolved) && strcmp(path, resolved) != 0)
        return error_set(err, -EINVAL, "'%s' is in %s of the service", path, what);
    return check_around(path, other, what, err);
}

// Who may write to a directory above it could put another in its place.
static int check_above(const char *above, const struct stat *its, const struct stat *below,
                       uint32_t uid, struct error *err)
{
    bool is_open = (its->st_mode & S_IWOTH) || ((its->st_mode & S_IWGRP) && its->st_gid != 0);
    bool is_sticky = its->st_mode & S_ISVTX;

    if (its->st_uid != 0 && its->st_uid != uid)
        return error_set(err, -EINVAL,
                         "'%s', above it, belongs to the user %u, who could put anything in its "
                         "place; only root, or the user that functions are (--uid), may",
                         above, (unsigned) its->st_uid);
    if (is_open && (!is_sticky || (below->st_uid != 0 && below->st_uid != uid)))
        return error_set(err, -EINVAL,
                         "'%s', above it, can be written to by others, who could put anything in "
                         "its place (chmod go-w)",
                         above);
    return 0;
}

static int check_all_above(const char *path, const struct stat *its, uint32_t uid,
                           struct error *err)
{
    char above[PATH_MAX];
    struct stat below = *its;
    struct stat stat_buf;

    snprintf(above, sizeof above, "%s", path);
    while (strcmp(above, "/") != 0) {
        char *slash = strrchr(above, '/');
        slash[slash == above ? 1 : 0] = '\0';
        if (stat(above, &stat_buf) < 0)
            return error_set_errno(err, -errno, "look at '%s'", above);
        int r = check_above(above, &stat_buf, &below, uid, err);
        if (r < 0)
            return r;
        below = stat_buf;
    }
    return 0;
}

int filesystems_check_directory(const char *path, const char *data_dir, const char *file_path,
                                uint32_t uid, struct error *err)
{
    char file_directory[FILESYSTEM_PATH_SIZE];
    struct stat its;

    snprintf(file_directory, sizeof file_directory, "%.*s",
             (int) (strrchr(file_path, '/') - file_path), file_path);
    if (lstat(path, &its) < 0)
        return error_set_errno(err, -errno, "look at '%s'", path);
    if (!S_ISDIR(its.st_mode))
        return error_set(err, -EINVAL, "'%s' is not a directory", path);
    int r = check_machine(path, err);
    if (r == 0)
        r = check_apart(path, data_dir, "the data directory", err);
    if (r == 0) // a directory beside the file is not what the file is in
        r = check_around(path, file_directory, "the configuration", err);
    return r < 0 ? r : check_all_above(path, &its, uid, err);
}
