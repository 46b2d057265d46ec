// SPDX-License-Identifier: MIT
//
// The strategy filesystem: the model is a file of a file system that the function mounts, the function gets the runtime
// alone, FileSystemConfigs and MODEL_PATH=/mnt/models/...
//
//     a MODEL beneath the directory of a registered file system    stays where it is
//     any other                                                   is copied to NAME/FILE (--destination) of the one that
//                                                                 filesystem_target.h finds, beside what is there, and
//                                                                 renamed into its place
//
// The directory may belong to a function's user, who puts in it what it likes: nothing is opened through a symbolic link.
#include "cli/deploy_job.h"

#include "base/fd.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES_MAX ((size_t) 1 << 30)

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

// ---- Where it is, or will be

static int take_destination(struct deploy_job *job, struct error *err)
{
    const char *given = option_text(&job->cli->options, "destination", NULL);
    size_t size = given != NULL ? strlen(given) : 0;
    char *to = job->filesystem.path;
    size_t room = sizeof job->filesystem.path;
    int n = given == NULL ? snprintf(to, room, "%s/%s", job->name, file_name(job->path))
            : size > 0 && given[size - 1] == '/'
                ? snprintf(to, room, "%s%s", given, file_name(job->path))
                : snprintf(to, room, "%s", given);

    if (n < 0 || (size_t) n >= room || !filesystem_path_is_valid(str_of(to), 32))
        return error_set(err, -EINVAL,
                         "--destination takes a path in the file system, as NAME/model.onnx: "
                         "relative, without '..'");
    return 0;
}

static int take_target(struct deploy_job *job, const struct filesystems_file *file,
                       struct error *err)
{
    int r = take_destination(job, err);

    job->filesystem.is_copied = true;
    return r < 0 ? r : filesystem_target_find(&job->filesystem.target, file, err);
}

static int take_place(struct deploy_job *job, const struct filesystems_file *file,
                      struct error *err)
{
    char resolved[PATH_MAX];

    if (realpath(job->path, resolved) == NULL)
        return error_set_errno(err, -errno, "open '%s'", job->path);
    const struct filesystem_line *around = filesystems_around(file, resolved);
    if (around == NULL || option_is_given(&job->cli->options, "destination"))
        return take_target(job, file, err);
    if (strlen(resolved + strlen(around->path) + 1) >= sizeof job->filesystem.path)
        return error_set(err, -ENAMETOOLONG, "'%s' is too long a path", resolved);
    snprintf(job->filesystem.path, sizeof job->filesystem.path, "%s",
             resolved + strlen(around->path) + 1);
    return filesystem_target_take(&job->filesystem.target, file, around, err);
}

static int add_variable(struct deploy_job *job, const char *name, const char *value,
                        struct error *err)
{
    struct lambda_settings *to = &job->settings;

    for (size_t i = 0; i < to->variable_count; i++)
        if (strcmp(job->variables[i].name, name) == 0)
            return 0; // said with --env
    if (to->variable_count == OPTION_LIST_MAX)
        return error_set(err, -EINVAL, "--env: too many variables");
    job->variables[to->variable_count++] = (struct lambda_variable){name, value};
    to->has_variables = true;
    return 0;
}

int deploy_take_filesystem(struct deploy_job *job, struct error *err)
{
    AUTO_FREE struct filesystems_file *file = mem_new(struct filesystems_file);
    int r = file != NULL ? filesystem_target_read(&job->filesystem.target, job->cli, file, err)
                         : -ENOMEM;

    if (r == 0)
        r = take_place(job, file, err);
    if (r < 0)
        return r;
    snprintf(job->filesystem.model_path, sizeof job->filesystem.model_path, DEPLOY_MOUNT "/%s",
             job->filesystem.path);
    job->settings.filesystem_arn = job->filesystem.arn;
    job->settings.filesystem_path = DEPLOY_MOUNT;
    r = add_variable(job, "MODEL_PATH", job->filesystem.model_path, err);
    return r < 0 ? r : add_variable(job, "MODEL_REFRESH_S", DEPLOY_REFRESH_S, err);
}

static int name_filesystem(struct deploy_job *job, struct error *err)
{
    int n = snprintf(job->filesystem.arn, sizeof job->filesystem.arn,
                     "arn:aws:elasticfilesystem:%s:%s:access-point/%s",
                     client_target(job->client)->region, job->limits.account_id,
                     job->filesystem.target.point_id);

    return n < (int) sizeof job->filesystem.arn ? 0 : error_set(err, -EINVAL, "too long an ARN");
}

// ---- Copying

static int own(const struct deploy_job *job, int fd)
{
    bool has_user = job->filesystem.target.uid != SPAWN_FILESYSTEM_NO_USER;
    return has_user && fchown(fd, job->filesystem.target.uid, job->filesystem.target.gid) < 0
               ? -errno
               : 0;
}

// The directory of the destination, made as far as it is missing.
static int open_directory(const struct deploy_job *job, struct error *err)
{
    AUTO_FD int at = open(job->filesystem.target.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = at < 0 ? -errno : 0;
    struct str name, rest = str_of(job->filesystem.path);

    while (r == 0 && str_cut(rest, '/', &name, &rest)) {
        char text[NAME_MAX + 1];
        r = str_copy(name, text, sizeof text);
        bool is_new = r == 0 && mkdirat(at, text, 0755) == 0;
        if (r == 0 && !is_new && errno != EEXIST)
            r = -errno;
        int next = r == 0 ? fs_open_beneath(at, text, O_RDONLY | O_DIRECTORY, 0) : r;
        r = next < 0 ? next : is_new ? own(job, next) : 0;
        (void) fd_close(at); // a directory's: nothing to lose
        at = next < 0 ? -1 : next;
    }
    return r < 0 ? error_set_errno(err, r, "open the directory of '%s' in '%s'",
                                   job->filesystem.path, job->filesystem.target.root)
                 : TAKE_FD(at);
}

static int copy_content(int from, int to)
{
    ssize_t n;
    while ((n = copy_file_range(from, NULL, to, NULL, COPY_BYTES_MAX, 0)) > 0)
        ;
    return n < 0 ? -errno : 0;
}

// What the file system there cannot do by itself.
static int copy_plainly(int from, int to)
{
    static char data[1 << 20];
    if (lseek(from, 0, SEEK_SET) < 0 || lseek(to, 0, SEEK_SET) < 0)
        return -errno;
    for (;;) {
        ssize_t n = read(from, data, sizeof data);
        if (n <= 0)
            return n < 0 ? -errno : 0;
        int r = fd_write_all(to, data, (size_t) n);
        if (r < 0)
            return r;
    }
}

static int copy_into(const struct deploy_job *job, int from, int directory, const char *temporary)
{
    AUTO_FD int to =
        openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int r = to < 0 ? -errno : copy_content(from, to);

    if (r == -EXDEV || r == -EINVAL || r == -EOPNOTSUPP || r == -ENOSYS)
        r = copy_plainly(from, to);
    if (r == 0)
        r = own(job, to);
    if (r == 0 && (fchmod(to, 0644) < 0 || fsync(to) < 0))
        r = -errno;
    return r;
}

static int copy_model(const struct deploy_job *job, struct error *err)
{
    char temporary[64];
    const char *name = file_name(job->filesystem.path);
    AUTO_FD int from = open(job->path, O_RDONLY | O_CLOEXEC);
    AUTO_FD int directory = from < 0 ? -1 : open_directory(job, err);

    if (from < 0)
        return error_set_errno(err, -errno, "open '%s'", job->path);
    if (directory < 0)
        return directory;
    snprintf(temporary, sizeof temporary, ".lamina-%d.part", (int) getpid());
    int r = copy_into(job, from, directory, temporary);
    if (r == 0 && renameat(directory, temporary, directory, name) < 0)
        r = -errno;
    if (r < 0)
        (void) unlinkat(directory, temporary, 0);
    if (r == 0)
        r = fs_sync_all(directory);
    return r < 0 ? error_set_errno(err, r, "copy '%s' to '%s/%s'", job->path,
                                   job->filesystem.target.root, job->filesystem.path)
                 : 0;
}

int deploy_send_filesystem(struct deploy_job *job, struct error *err)
{
    int r = 0;

    if (job->strategy != STRATEGY_FILESYSTEM)
        return 0;
    if (job->filesystem.target.is_new)
        r = filesystem_target_make(&job->filesystem.target, true, err);
    if (r == 0 && job->filesystem.is_copied)
        r = copy_model(job, err);
    return r < 0 ? r : name_filesystem(job, err);
}
