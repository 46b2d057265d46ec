// SPDX-License-Identifier: MIT
#include "cli/filesystem_target.h"

#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_NAME "models"
#define NOBODY 65534

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

int filesystem_target_read(struct filesystem_target *target, const struct cli *cli,
                           struct filesystems_file *ret_file, struct error *err)
{
    struct target service;
    int r = target_resolve_endpoint(&cli->target, &service, err);

    if (r < 0)
        return r;
    *target = (struct filesystem_target){.cli = cli};
    snprintf(target->data_dir, sizeof target->data_dir, "%s", service.data_dir);
    filesystems_find_file(option_text(&cli->options, "filesystems-file", NULL), service.data_dir,
                          target->file_path);
    return filesystems_read(target->file_path, ret_file, err);
}

int filesystem_target_take(struct filesystem_target *target, const struct filesystems_file *file,
                           const struct filesystem_line *line, struct error *err)
{
    const struct access_point_line *point = filesystems_default_point(file, line->id);

    if (point == NULL)
        return error_set(err, -ENOENT, "the file system %s has no access point at its root",
                         line->id);
    snprintf(target->id, sizeof target->id, "%s", line->id);
    snprintf(target->point_id, sizeof target->point_id, "%s", point->id);
    snprintf(target->root, sizeof target->root, "%s", line->path);
    target->uid = line->uid;
    target->gid = line->gid;
    return 0;
}

// ---- Which

static const struct filesystem_line *find_named(const struct filesystems_file *file,
                                                const char *named)
{
    const char *id = last_part(named); // of an ARN

    for (uint32_t i = 0; i < file->access_point_count; i++)
        if (strcmp(file->access_points[i].id, id) == 0)
            return filesystems_file_find(file, file->access_points[i].filesystem_id);
    for (uint32_t i = 0; i < file->filesystem_count; i++) {
        const struct filesystem_line *line = &file->filesystems[i];
        if (strcmp(line->id, id) == 0 || strcmp(line->name, named) == 0 ||
            strcmp(line->path, named) == 0)
            return line;
    }
    return NULL;
}

static int take_new(struct filesystem_target *target, const char *named, struct error *err)
{
    if (named != NULL && named[0] != '/')
        return error_set(
            err, -ENOENT,
            "--filesystem: '%s' names none of '%s' (lamina filesystem list), and is no "
            "directory's path",
            named, target->file_path);
    snprintf(target->root, sizeof target->root, "%s",
             named != NULL ? named : FILESYSTEM_TARGET_DIRECTORY);
    target->is_new = true;
    return 0;
}

int filesystem_target_find(struct filesystem_target *target, const struct filesystems_file *file,
                           struct error *err)
{
    const char *named = option_text(&target->cli->options, "filesystem", NULL);
    const struct filesystem_line *line = find_named(file, named != NULL ? named : DEFAULT_NAME);

    int r = line == NULL ? take_new(target, named, err) : 0;
    if (r < 0)
        return r;
    if (geteuid() != 0)
        return error_set(err, -EPERM,
                         "only root may put a model into a file system of functions ('%s'): run "
                         "this as root, or put it there yourself and deploy it from there",
                         target->file_path);
    if (line == NULL)
        return 0;
    if (line->path[0] == '\0')
        return error_set(err, -ENOTSUP,
                         "%s is a mount of the service's own: put the model into it where it comes "
                         "from (%s), and name it with MODEL_PATH",
                         line->id, line->source);
    return filesystem_target_take(target, file, line, err);
}

// ---- Making one

static int make_directory(const char *path, struct error *err)
{
    const struct passwd *lamina = getpwnam("lamina");
    uid_t uid = lamina != NULL ? lamina->pw_uid : NOBODY;
    gid_t gid = lamina != NULL ? lamina->pw_gid : NOBODY;
    char above[PATH_MAX];

    if (access(path, F_OK) == 0)
        return 0;
    snprintf(above, sizeof above, "%.*s", (int) (last_part(path) - path), path);
    int r = fs_make_dirs(AT_FDCWD, above, 0755);
    if (r == 0 && (mkdir(path, 0755) < 0 || chown(path, uid, gid) < 0))
        r = -errno;
    return r < 0 ? error_set_errno(err, r, "make '%s'", path) : 0;
}

static int add_line(struct filesystem_target *target, bool has_name, struct error *err)
{
    struct filesystems_edit edit;
    bool is_default = option_text(&target->cli->options, "filesystem", NULL) == NULL;
    const struct filesystems_new new = {.path = target->root,
                                        .name = is_default && has_name ? DEFAULT_NAME : NULL,
                                        .data_dir = target->data_dir,
                                        .uid = SPAWN_FILESYSTEM_NO_USER,
                                        .gid = SPAWN_FILESYSTEM_NO_USER};
    int r = filesystems_edit_begin(&edit, target->file_path, err);

    if (r == 0)
        r = filesystems_add(&edit, &new, target->id, target->point_id, err);
    if (r == 0)
        r = filesystems_edit_commit(&edit, err);
    if (r == 0)
        r = filesystem_target_take(target, edit.file, filesystems_file_find(edit.file, target->id),
                                   err);
    filesystems_edit_end(&edit);
    return r;
}

static int take_effect(const struct filesystem_target *target, bool is_wanted, struct error *err)
{
    const struct filesystems_told told = {.target = &target->cli->target,
                                          .data_dir = target->data_dir,
                                          .file_path = target->file_path,
                                          .is_quiet = target->cli->is_quiet,
                                          .is_used_at_once = true};
    return filesystems_take_effect(&told, target->point_id, is_wanted, err);
}

int filesystem_target_make(struct filesystem_target *target, bool has_name, struct error *err)
{
    int r = make_directory(target->root, err);

    if (r == 0)
        r = add_line(target, has_name, err);
    if (r == 0)
        r = take_effect(target, true, err);
    return r;
}

int filesystem_target_unmake(struct filesystem_target *target, struct error *err)
{
    struct filesystems_edit edit;
    char id[SPAWN_FILESYSTEM_ID_SIZE];
    int r = filesystems_edit_begin(&edit, target->file_path, err);

    if (r == 0)
        r = filesystems_remove(&edit, target->id, id, err);
    if (r == 0)
        r = filesystems_edit_commit(&edit, err);
    filesystems_edit_end(&edit);
    if (r == 0)
        r = take_effect(target, false, err);
    (void) rmdir(target->root); // somebody's files stay
    return r;
}
