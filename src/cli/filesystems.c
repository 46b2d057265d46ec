// SPDX-License-Identifier: MIT
#include "cli/filesystems.h"

#include "base/fd.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- where it is

void filesystems_find_file(const char *named, const char *data_dir,
                           char ret_path[FILESYSTEM_PATH_SIZE])
{
    const char *variable = getenv("LAMINA_FILESYSTEMS_FILE");

    if (named != NULL)
        snprintf(ret_path, FILESYSTEM_PATH_SIZE, "%s", named);
    else if (daemon_argument(data_dir, "--filesystems-file", ret_path, FILESYSTEM_PATH_SIZE) < 0)
        snprintf(ret_path, FILESYSTEM_PATH_SIZE, "%s",
                 variable != NULL && variable[0] != '\0' ? variable : FILESYSTEMS_FILE_DEFAULT);
}

int filesystems_read(const char *path, struct filesystems_file *ret_file, struct error *err)
{
    return filesystems_file_read(AT_FDCWD, path, ret_file, err);
}

// ---- an edit

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static int open_directory(struct filesystems_edit *edit, struct error *err)
{
    char directory[FILESYSTEM_PATH_SIZE];

    snprintf(directory, sizeof directory, "%.*s", (int) (name_of(edit->path) - edit->path),
             edit->path);
    int r = fs_make_dirs(AT_FDCWD, directory, 0755);
    if (r == 0) {
        edit->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = edit->directory < 0 ? -errno : 0;
    }
    if (r == 0 && flock(edit->directory, LOCK_EX) < 0) // who edits it now is waited for
        r = -errno;
    return r < 0 ? error_set_errno(err, r, "open the directory of '%s'", edit->path) : 0;
}

static int parse(struct filesystems_edit *edit, struct error *err)
{
    struct error why = {0};
    int r = filesystems_file_parse(buf_str(&edit->text), edit->file, &why);

    return r < 0 ? error_set(err, r, "'%s', %s", edit->path, why.text) : 0;
}

int filesystems_edit_begin(struct filesystems_edit *edit, const char *path, struct error *err)
{
    *edit =
        (struct filesystems_edit){.directory = -1, .text = BUF_INIT(FILESYSTEMS_FILE_BYTES_MAX)};
    if (geteuid() != 0)
        return error_set(err, -EPERM,
                         "only root may say which directories of this machine functions can have");
    if (path[0] != '/' || strlen(path) >= sizeof edit->path || name_of(path)[0] == '\0')
        return error_set(err, -EINVAL, "'%s' is not an absolute path of a file", path);
    snprintf(edit->path, sizeof edit->path, "%s", path);
    edit->file = mem_new(struct filesystems_file);
    if (edit->file == NULL)
        return error_set(err, -ENOMEM, "no memory for '%s'", path);
    int r = open_directory(edit, err);
    if (r == 0) // who owns it, and that it is right
        r = filesystems_read(path, edit->file, err);
    if (r < 0)
        return r;
    r = fs_read_file(edit->directory, name_of(path), &edit->text);
    return r < 0 && r != -ENOENT ? error_set_errno(err, r, "read '%s'", path) : 0;
}

int filesystems_edit_commit(struct filesystems_edit *edit, struct error *err)
{
    int r = buf_status(&edit->text);

    if (r < 0)
        return error_set(err, -EFBIG, "'%s' would be longer than %d bytes", edit->path,
                         FILESYSTEMS_FILE_BYTES_MAX);
    r = parse(edit, err);
    return r < 0 ? r
                 : fs_write_atomically(edit->directory, name_of(edit->path), edit->text.data,
                                       edit->text.size, 0644, err);
}

void filesystems_edit_end(struct filesystems_edit *edit)
{
    buf_done(&edit->text);
    free(edit->file);
    edit->file = NULL;
    edit->directory = fd_close(edit->directory);
}

// ---- adding

static void make_id(const char *prefix, char ret_id[SPAWN_FILESYSTEM_ID_SIZE])
{
    unsigned char bytes[9];
    char hex[2 * sizeof bytes + 1];

    mem_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    snprintf(ret_id, SPAWN_FILESYSTEM_ID_SIZE, "%s%.17s", prefix, hex);
}

// The file's words are separated by spaces.
static int check_word(const char *what, const char *text, struct error *err)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char) *c <= ' ' || *c == 0x7f)
            return error_set(err, -EINVAL, "%s '%s' holds a space or a control character", what,
                             text);
    }
    return 0;
}

static int check_new(const struct filesystems_edit *edit, const struct filesystems_new *new,
                     struct error *err)
{
    const struct filesystems_file *file = edit->file;
    const char *const words[] = {new->name, new->uids, new->gids, new->as};
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(words); i++)
        r = words[i] != NULL ? check_word("the value", words[i], err) : 0;

    for (uint32_t i = 0; r == 0 && i < file->filesystem_count; i++) {
        const struct filesystem_line *line = &file->filesystems[i];
        if (new->path != NULL && strcmp(line->path, new->path) == 0)
            r = error_set(err, -EEXIST, "'%s' is there already: %s", new->path, line->id);
        else if (new->name != NULL && strcmp(line->name, new->name) == 0)
            r = error_set(err, -EEXIST, "there is a file system '%s' already: %s", new->name,
                          line->id);
    }
    return r;
}

// The directory as it is, without symbolic links, and the user that functions are in it.
static int resolve_path(const struct filesystems_edit *edit, struct filesystems_new *new,
                        char resolved[PATH_MAX], struct error *err)
{
    struct stat stat_buf;

    if (realpath(new->path, resolved) == NULL)
        return error_set_errno(err, -errno, "open '%s'", new->path);
    if (strlen(resolved) >= FILESYSTEM_PATH_SIZE)
        return error_set(err, -EINVAL, "'%s' is too long", resolved);
    if (stat(resolved, &stat_buf) < 0)
        return error_set_errno(err, -errno, "look at '%s'", resolved);
    if (new->uid == SPAWN_FILESYSTEM_NO_USER)
        new->uid = stat_buf.st_uid;
    if (new->gid == SPAWN_FILESYSTEM_NO_USER)
        new->gid = stat_buf.st_gid;
    new->path = resolved;
    int r = check_word("the directory", resolved, err);
    if (r == 0)
        r = filesystems_check_directory(resolved, new->data_dir, edit->path, new->uid, err);
    if (r == 0 && (new->uid == 0 || new->gid == 0))
        r = error_set(err, -EINVAL,
                      "'%s' belongs to %s, and no function is root: say with --uid and --gid as "
                      "whom functions shall read and write in it",
                      resolved, new->uid == 0 ? "root" : "the group root");
    return r;
}

static void append_word(struct buf *text, const char *name, const char *value)
{
    if (value != NULL)
        buf_printf(text, " %s=%s", name, value);
}

static void append_line(struct buf *text, const struct filesystems_new *new, const char *id,
                        const char *point_id)
{
    if (text->size > 0 && text->data[text->size - 1] != '\n')
        buf_append_byte(text, '\n');
    buf_printf(text, "filesystem %s %s=%s", id, new->path != NULL ? "path" : "mount",
               new->path != NULL ? new->path : new->mount);
    if (new->is_immutable)
        buf_append_text(text, " immutable");
    else if (new->is_read_only)
        buf_append_text(text, " ro");
    if (new->uid != SPAWN_FILESYSTEM_NO_USER)
        buf_printf(text, " uid=%u gid=%u", new->uid, new->gid);
    append_word(text, "uids", new->uids);
    append_word(text, "gids", new->gids);
    append_word(text, "as", new->as);
    append_word(text, "name", new->name);
    buf_printf(text, "\naccess-point %s %s\n", point_id, id);
}

int filesystems_add(struct filesystems_edit *edit, const struct filesystems_new *new,
                    char ret_id[SPAWN_FILESYSTEM_ID_SIZE],
                    char ret_point_id[SPAWN_FILESYSTEM_ID_SIZE], struct error *err)
{
    struct filesystems_new line = *new;
    char resolved[PATH_MAX];
    int r = 0;

    if (line.path != NULL)
        r = resolve_path(edit, &line, resolved, err);
    else
        r = check_word("the mount", line.mount, err);
    if (r == 0)
        r = check_new(edit, &line, err);
    if (r < 0)
        return r;
    make_id("fs-", ret_id);
    make_id("fsap-", ret_point_id);
    append_line(&edit->text, &line, ret_id, ret_point_id);
    return parse(edit, err);
}

// ---- removing

static const struct filesystem_line *find(const struct filesystems_file *file, const char *which)
{
    for (uint32_t i = 0; i < file->filesystem_count; i++) {
        const struct filesystem_line *line = &file->filesystems[i];
        if (strcmp(line->id, which) == 0 || (which[0] != '\0' && strcmp(line->name, which) == 0))
            return line;
    }
    return NULL;
}

static struct str next_word(struct str *rest)
{
    struct str word = *rest = str_trim(*rest);
    size_t size = 0;

    while (size < word.size && word.data[size] != ' ' && word.data[size] != '\t')
        size++;
    *rest = str_skip(*rest, size);
    return str_part(word, 0, size);
}

// Is it the file system's line, or one of an access point on it?
static bool is_of(struct str line, const char *id)
{
    struct str kind = next_word(&line);
    struct str first = next_word(&line);

    if (str_equal_text(kind, "filesystem"))
        return str_equal_text(first, id);
    return str_equal_text(kind, "access-point") && str_equal_text(next_word(&line), id);
}

int filesystems_remove(struct filesystems_edit *edit, const char *which,
                       char ret_id[SPAWN_FILESYSTEM_ID_SIZE], struct error *err)
{
    const struct filesystem_line *line = find(edit->file, which);
    AUTO_BUF struct buf left = BUF_INIT(FILESYSTEMS_FILE_BYTES_MAX);
    struct str rest = buf_str(&edit->text);

    if (line == NULL)
        return error_set(err, -ENOENT, "there is no file system '%s' in '%s'", which, edit->path);
    memcpy(ret_id, line->id, SPAWN_FILESYSTEM_ID_SIZE);
    while (rest.size > 0) {
        struct str each;
        (void) str_cut(rest, '\n', &each, &rest);
        if (is_of(each, ret_id))
            continue;
        buf_append_str(&left, each);
        buf_append_byte(&left, '\n');
    }
    if (buf_status(&left) < 0)
        return error_set(err, -ENOMEM, "no memory for '%s'", edit->path);
    struct buf old = edit->text;
    edit->text = left;
    left = old;
    return parse(edit, err);
}

// ---- looking

static bool is_beneath(const char *path, const char *directory)
{
    size_t size = strlen(directory);

    return strncmp(path, directory, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

const struct filesystem_line *filesystems_around(const struct filesystems_file *file,
                                                 const char *path)
{
    const struct filesystem_line *best = NULL;

    for (uint32_t i = 0; i < file->filesystem_count; i++) {
        const struct filesystem_line *line = &file->filesystems[i];
        if (line->path[0] != '\0' && is_beneath(path, line->path) &&
            (best == NULL || strlen(line->path) > strlen(best->path)))
            best = line;
    }
    return best;
}

const struct access_point_line *filesystems_default_point(const struct filesystems_file *file,
                                                          const char *id)
{
    for (uint32_t i = 0; i < file->access_point_count; i++) {
        const struct access_point_line *point = &file->access_points[i];
        if (strcmp(point->filesystem_id, id) == 0 && point->root[0] == '\0' && point->flags == 0 &&
            point->uid == SPAWN_FILESYSTEM_NO_USER)
            return point;
    }
    return NULL;
}

int filesystems_tell(const char *data_dir, struct error *err)
{
    AUTO_FD int pidfd = -1;
    pid_t pid = 0;
    int r = daemon_find(data_dir, &pidfd, &pid, err);

    return r < 0 ? r : daemon_signal(pidfd, SIGHUP, err);
}
