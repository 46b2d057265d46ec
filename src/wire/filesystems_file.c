// SPDX-License-Identifier: MIT

#include "wire/filesystems_file.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UIDS_MAX (UINT32_MAX - 1) // the last one means "none" to the kernel

// Directories of the machine itself, not of anybody's data.
static const char *const forbidden[] = {"/", "/proc", "/sys", "/dev", "/run", "/boot", "/etc"};

bool filesystem_id_is_valid(struct str id, const char *prefix)
{
    const struct str start = str_of(prefix);
    if (!str_has_prefix(id, start) || id.size != start.size + 17)
        return false;
    for (size_t i = start.size; i < id.size; i++)
        if (!strchr("0123456789abcdef", id.data[i]) || !id.data[i])
            return false;
    return true;
}

bool filesystem_path_is_valid(struct str path, size_t levels_max)
{
    size_t levels = 0;
    for (size_t i = 0; i < path.size; i++)
        if ((unsigned char) path.data[i] < ' ' || path.data[i] == 127)
            return false;
    for (size_t at = 0; path.size > 0; levels++) {
        const struct str rest = str_skip(path, at);
        const ptrdiff_t slash = str_find(rest, '/');
        const struct str part = slash < 0 ? rest : str_part(rest, 0, (size_t) slash);
        if (part.size == 0 || part.size > 255 || str_equal_text(part, ".") ||
            str_equal_text(part, ".."))
            return false;
        if (slash < 0)
            return levels + 1 <= levels_max;
        at += part.size + 1;
    }
    return true;
}

bool filesystem_name_is_valid(struct str name)
{
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '.' || c == '-'))
            return false;
    }
    return name.size > 0 && name.size < SPAWN_FILESYSTEM_NAME_SIZE && !str_equal_text(name, ".") &&
           !str_equal_text(name, "..");
}

static bool is_within(uint32_t id, uint32_t own, uint32_t first, uint32_t last)
{
    return id == own || (id >= first && id <= last);
}

bool filesystem_allows_user(const struct filesystem_line *line, uint32_t uid, uint32_t gid)
{
    return uid != 0 && gid != 0 && uid <= UIDS_MAX && gid <= UIDS_MAX &&
           !(line->flags & SPAWN_FILESYSTEM_OWN_IDENTITY) &&
           is_within(uid, line->uid, line->uid_first, line->uid_last) &&
           is_within(gid, line->gid, line->gid_first, line->gid_last);
}

const struct filesystem_line *filesystems_file_find(const struct filesystems_file *file,
                                                    const char *id)
{
    for (uint32_t i = 0; i < file->filesystem_count; i++)
        if (strcmp(file->filesystems[i].id, id) == 0)
            return &file->filesystems[i];
    return NULL;
}

// ---- words of a line ----------------------------------------------------------------------------

static bool word_next(struct str *rest, struct str *ret_word)
{
    *rest = str_trim(*rest);
    if (rest->size == 0)
        return false;
    size_t size = 0;
    while (size < rest->size && rest->data[size] != ' ' && rest->data[size] != '\t')
        size++;
    *ret_word = str_part(*rest, 0, size);
    *rest = str_skip(*rest, size);
    return true;
}

static int copy(struct str value, char *to, size_t size, const char *what, struct error *err)
{
    if (value.size == 0 || str_copy(value, to, size) < 0)
        return error_set(err, -EINVAL, "%s is empty or longer than %zu bytes", what, size - 1);
    return 0;
}

static int user_read(struct str text, const char *what, uint32_t *ret, struct error *err)
{
    uint64_t value;
    if (str_to_u64(text, UIDS_MAX, &value) < 0 || value == 0)
        return error_set(err, -EINVAL, "%s: '%.*s' is no number from 1 to %u", what,
                         (int) text.size, text.data, UIDS_MAX);
    *ret = (uint32_t) value;
    return 0;
}

static int range_read(struct str text, const char *what, uint32_t *ret_first, uint32_t *ret_last,
                      struct error *err)
{
    struct str first, last;
    if (!str_cut(text, '-', &first, &last))
        return error_set(err, -EINVAL, "%s is not FIRST-LAST", what);
    int r = user_read(first, what, ret_first, err);
    if (r == 0)
        r = user_read(last, what, ret_last, err);
    if (r == 0 && *ret_last < *ret_first)
        r = error_set(err, -EINVAL, "%s ends before it begins", what);
    return r;
}

static int path_read(struct filesystem_line *line, struct str path, struct error *err)
{
    if (path.size < 2 || path.data[0] != '/' ||
        !filesystem_path_is_valid(str_skip(path, 1), SIZE_MAX))
        return error_set(err, -EINVAL,
                         "path= is not an absolute path of normal components, or is /");
    for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
        if (str_equal_text(path, forbidden[i]))
            return error_set(err, -EINVAL, "path=%s is the machine's own", forbidden[i]);
    return copy(path, line->path, sizeof(line->path), "path=", err);
}

// fuse.NAME:SOURCE[,OPTIONS]. NAME is a program, found in /usr/bin, /usr/sbin or /usr/local/bin.
static int mount_read(struct filesystem_line *line, struct str value, struct error *err)
{
    static const char prefix[] = "fuse.";
    struct str type, source, options = str_of("");
    if (!str_has_prefix(value, str_of(prefix)) || !str_cut(value, ':', &type, &source))
        return error_set(err, -EINVAL, "mount= is not fuse.NAME:SOURCE[,OPTIONS]");
    type = str_skip(type, sizeof(prefix) - 1);
    struct str head, tail;
    if (str_cut(source, ',', &head, &tail)) {
        source = head;
        options = tail;
    }
    if (str_find(type, '/') >= 0 || !filesystem_name_is_valid(type) || type.data[0] == '-' ||
        source.size == 0 || source.data[0] == '-')
        return error_set(err, -EINVAL, "mount= names no program or no source");
    int r = copy(type, line->type, sizeof(line->type), "the type of mount=", err);
    if (r == 0)
        r = copy(source, line->source, sizeof(line->source), "the source of mount=", err);
    if (r == 0 && options.size > 0)
        r = copy(options, line->options, sizeof(line->options), "the options of mount=", err);
    line->flags |= SPAWN_FILESYSTEM_FOREIGN;
    return r;
}

static int as_read(struct filesystem_line *line, struct str value, struct error *err)
{
    struct str uid, gid;
    if (!str_cut(value, ':', &uid, &gid))
        uid = gid = value;
    int r = user_read(uid, "as=", &line->as_uid, err);
    return r < 0 ? r : user_read(gid, "as=", &line->as_gid, err);
}

enum word {
    WORD_PATH,
    WORD_MOUNT,
    WORD_RO,
    WORD_IMMUTABLE,
    WORD_UID,
    WORD_GID,
    WORD_UIDS,
    WORD_GIDS,
    WORD_AS,
    WORD_NAME,
    WORD_ROOT,
    WORD_COUNT,
};

static const char *const words[WORD_COUNT] = {
    "path", "mount", "ro", "immutable", "uid", "gid", "uids", "gids", "as", "name", "root",
};

// Which word it is, and what is behind its `=`. Each may come once in a line.
static int word_split(struct str text, uint32_t *seen, enum word *ret_word, struct str *ret_value,
                      struct error *err)
{
    struct str name = text, value = str_of("");
    const bool has_value = str_cut(text, '=', &name, &value);
    for (enum word word = 0; word < WORD_COUNT; word++) {
        if (!str_equal_text(name, words[word]) ||
            has_value == (word == WORD_RO || word == WORD_IMMUTABLE))
            continue;
        if (*seen & 1u << word)
            return error_set(err, -EINVAL, "'%s' comes twice", words[word]);
        *seen |= 1u << word;
        *ret_word = word;
        *ret_value = value;
        return 0;
    }
    return error_set(err, -EINVAL, "unknown word '%.*s'", (int) (text.size < 64 ? text.size : 64),
                     text.data);
}

static int filesystem_word(struct filesystem_line *line, enum word word, struct str value,
                           struct error *err)
{
    switch (word) {
    case WORD_PATH:
        return path_read(line, value, err);
    case WORD_MOUNT:
        return mount_read(line, value, err);
    case WORD_RO:
        line->flags |= SPAWN_FILESYSTEM_RO;
        return 0;
    case WORD_IMMUTABLE: // files that a function could change would not be that
        line->flags |= SPAWN_FILESYSTEM_IMMUTABLE | SPAWN_FILESYSTEM_RO;
        return 0;
    case WORD_UID:
        return user_read(value, "uid=", &line->uid, err);
    case WORD_GID:
        return user_read(value, "gid=", &line->gid, err);
    case WORD_UIDS:
        return range_read(value, "uids=", &line->uid_first, &line->uid_last, err);
    case WORD_GIDS:
        return range_read(value, "gids=", &line->gid_first, &line->gid_last, err);
    case WORD_AS:
        return as_read(line, value, err);
    case WORD_NAME:
        return copy(value, line->name, sizeof(line->name), "name=", err);
    default:
        return error_set(err, -EINVAL, "'%s=' is not for a file system", words[word]);
    }
}

static int filesystem_check(struct filesystem_line *line, uint32_t seen, struct error *err)
{
    const bool has_user = seen & 1u << WORD_UID;
    if (!(seen & 1u << WORD_PATH) == !(seen & 1u << WORD_MOUNT))
        return error_set(err, -EINVAL, "a file system has either path= or mount=");
    if (has_user != !!(seen & 1u << WORD_GID))
        return error_set(err, -EINVAL, "uid= and gid= come together");
    if (!has_user && seen & (1u << WORD_UIDS | 1u << WORD_GIDS))
        return error_set(err, -EINVAL, "uids= and gids= need uid= and gid=");
    if (seen & 1u << WORD_AS && !(seen & 1u << WORD_MOUNT))
        return error_set(err, -EINVAL, "as= is for mount= only");
    if (!has_user)
        line->flags |= SPAWN_FILESYSTEM_OWN_IDENTITY;
    return 0;
}

static int filesystem_read(struct filesystems_file *file, struct str rest, struct error *err)
{
    struct filesystem_line *line = &file->filesystems[file->filesystem_count];
    struct str id, text;
    if (!word_next(&rest, &id) || !filesystem_id_is_valid(id, "fs-"))
        return error_set(err, -EINVAL, "a file system's id is fs- and 17 hexadecimal digits");
    *line = (struct filesystem_line){.uid = SPAWN_FILESYSTEM_NO_USER,
                                     .gid = SPAWN_FILESYSTEM_NO_USER,
                                     .uid_first = 1,
                                     .gid_first = 1,
                                     .as_uid = SPAWN_FILESYSTEM_NO_USER,
                                     .as_gid = SPAWN_FILESYSTEM_NO_USER};
    int r = str_copy(id, line->id, sizeof(line->id));
    if (r == 0 && filesystems_file_find(file, line->id))
        return error_set(err, -EINVAL, "%s is there already", line->id);
    uint32_t seen = 0;
    while (r == 0 && word_next(&rest, &text)) {
        enum word word = WORD_COUNT;
        struct str value = str_of("");
        r = word_split(text, &seen, &word, &value, err);
        if (r == 0)
            r = filesystem_word(line, word, value, err);
    }
    if (r == 0)
        r = filesystem_check(line, seen, err);
    if (r == 0)
        file->filesystem_count++;
    return r;
}

static int access_point_word(struct access_point_line *line, enum word word, struct str value,
                             struct error *err)
{
    switch (word) {
    case WORD_ROOT:
        if (value.size == 0 || value.data[0] != '/' ||
            !filesystem_path_is_valid(str_skip(value, 1), SPAWN_FILESYSTEM_LEVELS_MAX) ||
            value.size > 100)
            return error_set(err, -EINVAL,
                             "root= is not an absolute path of at most %d normal components and "
                             "100 bytes",
                             SPAWN_FILESYSTEM_LEVELS_MAX);
        return str_copy(str_skip(value, 1), line->root, sizeof(line->root));
    case WORD_RO:
        line->flags |= SPAWN_FILESYSTEM_RO;
        return 0;
    case WORD_UID:
        return user_read(value, "uid=", &line->uid, err);
    case WORD_GID:
        return user_read(value, "gid=", &line->gid, err);
    case WORD_NAME:
        return copy(value, line->name, sizeof(line->name), "name=", err);
    default:
        return error_set(err, -EINVAL, "'%s' is not for an access point", words[word]);
    }
}

static int access_point_check(const struct filesystems_file *file,
                              const struct access_point_line *line, uint32_t seen,
                              struct error *err)
{
    const struct filesystem_line *of = filesystems_file_find(file, line->filesystem_id);
    if (!of)
        return error_set(err, -EINVAL, "there is no %s above it", line->filesystem_id);
    const bool has_user = seen & 1u << WORD_UID;
    if (has_user != !!(seen & 1u << WORD_GID))
        return error_set(err, -EINVAL, "uid= and gid= come together");
    if (has_user && !filesystem_allows_user(of, line->uid, line->gid))
        return error_set(err, -EINVAL, "%s does not allow user %u:%u", of->id, line->uid,
                         line->gid);
    return 0;
}

static int access_point_read(struct filesystems_file *file, struct str rest, struct error *err)
{
    struct access_point_line *line = &file->access_points[file->access_point_count];
    struct str id, of, text;
    if (!word_next(&rest, &id) || !filesystem_id_is_valid(id, "fsap-") || !word_next(&rest, &of) ||
        !filesystem_id_is_valid(of, "fs-"))
        return error_set(err, -EINVAL,
                         "an access point begins with its id, fsap- and 17 hexadecimal digits, and "
                         "its file system's, fs- and 17");
    *line = (struct access_point_line){.uid = SPAWN_FILESYSTEM_NO_USER,
                                       .gid = SPAWN_FILESYSTEM_NO_USER};
    int r = str_copy(id, line->id, sizeof(line->id));
    if (r == 0)
        r = str_copy(of, line->filesystem_id, sizeof(line->filesystem_id));
    for (uint32_t i = 0; i < file->access_point_count; i++)
        if (strcmp(file->access_points[i].id, line->id) == 0)
            return error_set(err, -EINVAL, "%s is there already", line->id);
    uint32_t seen = 0;
    while (r == 0 && word_next(&rest, &text)) {
        enum word word = WORD_COUNT;
        struct str value = str_of("");
        r = word_split(text, &seen, &word, &value, err);
        if (r == 0)
            r = access_point_word(line, word, value, err);
    }
    if (r == 0)
        r = access_point_check(file, line, seen, err);
    if (r == 0)
        file->access_point_count++;
    return r;
}

static int line_read(struct filesystems_file *file, struct str line, struct error *err)
{
    struct str rest = line, first;
    if (line.size > FILESYSTEMS_LINE_BYTES_MAX)
        return error_set(err, -EINVAL, "it is longer than %d bytes", FILESYSTEMS_LINE_BYTES_MAX);
    if (memchr(line.data, '\0', line.size))
        return error_set(err, -EINVAL, "it has a NUL byte");
    if (!word_next(&rest, &first) || first.data[0] == '#')
        return 0;
    if (str_equal_text(first, "filesystem"))
        return file->filesystem_count < SPAWN_FILESYSTEMS_MAX
                   ? filesystem_read(file, rest, err)
                   : error_set(err, -EINVAL, "more than %d file systems", SPAWN_FILESYSTEMS_MAX);
    if (str_equal_text(first, "access-point"))
        return file->access_point_count < SPAWN_ACCESS_POINTS_MAX
                   ? access_point_read(file, rest, err)
                   : error_set(err, -EINVAL, "more than %d access points", SPAWN_ACCESS_POINTS_MAX);
    return error_set(err, -EINVAL, "it begins with neither 'filesystem' nor 'access-point'");
}

int filesystems_file_parse(struct str text, struct filesystems_file *ret_file, struct error *err)
{
    struct filesystems_file *file = calloc(1, sizeof(*file));
    if (!file)
        return error_set(err, -ENOMEM, "no memory for the table of file systems");
    int r = text.size > FILESYSTEMS_FILE_BYTES_MAX
                ? error_set(err, -EFBIG, "longer than %d bytes", FILESYSTEMS_FILE_BYTES_MAX)
                : 0;
    for (unsigned number = 1; r == 0 && text.size > 0; number++) {
        struct str line, rest;
        if (!str_cut(text, '\n', &line, &rest)) {
            line = text;
            rest = str_of("");
        }
        struct error why = {0};
        if ((r = line_read(file, line, &why)) < 0)
            r = error_set(err, r, "line %u: %s", number, why.text);
        text = rest;
    }
    if (r == 0)
        *ret_file = *file;
    free(file);
    return r;
}

// ---- the file -----------------------------------------------------------------------------------

static int file_check(int fd, const char *path, size_t *ret_size, struct error *err)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return error_set_errno(err, -errno, "look at '%s'", path);
    if (!S_ISREG(stat.st_mode))
        return error_set(err, -EPERM, "'%s' is no regular file", path);
    if (stat.st_uid != 0 || stat.st_mode & 022)
        return error_set(err, -EPERM,
                         "'%s' names directories of this machine: it must belong to root and be "
                         "writable by nobody else (chown root, chmod go-w)",
                         path);
    if (stat.st_size > FILESYSTEMS_FILE_BYTES_MAX)
        return error_set(err, -EFBIG, "'%s' is longer than %d bytes", path,
                         FILESYSTEMS_FILE_BYTES_MAX);
    *ret_size = (size_t) stat.st_size;
    return 0;
}

int filesystems_file_read(int root_fd, const char *path, struct filesystems_file *ret_file,
                          struct error *err)
{
    size_t size = 0;
    const char *relative = path + (root_fd != AT_FDCWD && path[0] == '/');
    AUTO_FD int fd = openat(root_fd, relative, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        memset(ret_file, 0, sizeof(*ret_file));
        return 0;
    }
    if (fd < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    int r = file_check(fd, path, &size, err);
    if (r < 0)
        return r;
    AUTO_FREE char *text = malloc(size + 1);
    if (!text)
        return error_set(err, -ENOMEM, "no memory for '%s'", path);
    const ssize_t got = fd_read_all(fd, text, size);
    if (got < 0)
        return error_set_errno(err, (int) got, "read '%s'", path);
    struct error why = {0};
    r = filesystems_file_parse(str_of_data(text, (size_t) got), ret_file, &why);
    return r < 0 ? error_set(err, r, "'%s', %s", path, why.text) : 0;
}
