// SPDX-License-Identifier: MIT
#include "package/file_list.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096

struct walk {
    struct file_list list;
    const char *name; // borrowed: what errors call the directory
    unsigned depth;
};

// The name with everything that a terminal might obey made visible, for errors.
static const char *printable(const char *name, char text[256])
{
    size_t at = 0;

    for (; *name != '\0' && at < 250; name++) {
        unsigned char c = (unsigned char) *name;
        if (c < ' ' || c >= 0x7f)
            at += (size_t) snprintf(text + at, 256 - at, "\\x%02x", c);
        else
            text[at++] = (char) c;
    }
    text[at] = '\0';
    return text;
}

static int refuse(const struct walk *walk, const char *path, const char *why, struct error *err)
{
    char text[256];

    return error_set(err, -EINVAL, "%s: '%s' %s", walk->name, printable(path, text), why);
}

static int check_name(const struct walk *walk, const char *name, struct error *err)
{
    if (!str_is_utf8(str_of(name)))
        return refuse(walk, name, "is not a UTF-8 name", err);
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char) *c < ' ' || *c == 0x7f)
            return refuse(walk, name, "has a control character in its name", err);
        if (*c == '\\')
            return refuse(walk, name, "has a backslash in its name", err);
    }
    return 0;
}

static int append(struct file_list *list, struct file_entry *entry, const char *path,
                  struct error *err)
{
    if (list->count == FILE_LIST_ENTRIES_MAX)
        return error_set(err, -E2BIG, "more than %d files", FILE_LIST_ENTRIES_MAX);
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        struct file_entry *grown = reallocarray(list->entries, capacity, sizeof *grown);
        if (grown == NULL)
            return error_set(err, -ENOMEM, "no memory to list files");
        list->entries = grown;
        list->capacity = capacity;
    }
    entry->path = mem_copy_text(path);
    if (entry->path == NULL)
        return error_set(err, -ENOMEM, "no memory to list files");
    list->entries[list->count++] = *entry;
    list->bytes += entry->size;
    return 0;
}

static int add(struct walk *walk, struct file_entry *entry, const char *path, struct error *err)
{
    int r = append(&walk->list, entry, path, err);

    return r < 0 ? error_wrap(err, r, "%s", walk->name) : 0;
}

// Whether target, seen from the directory of path, stays below the root: by counting, not by
// following, so that a link may point to what is not there (yet).
static bool link_stays_inside(const char *path, const char *target)
{
    struct str rest = str_of(target), part;
    int depth = 0;

    if (target[0] == '/' || target[0] == '\0')
        return false;
    for (const char *c = path; *c != '\0'; c++)
        depth += *c == '/';
    while (rest.size > 0) {
        (void) str_cut(rest, '/', &part, &rest);
        if (str_equal_text(part, ".."))
            depth--;
        else if (part.size > 0 && !str_equal_text(part, "."))
            depth++;
        if (depth < 0)
            return false;
    }
    return true;
}

static int add_symlink(struct walk *walk, int dir, const char *name, const char *path,
                       struct error *err)
{
    char target[PATH_BYTES_MAX];
    ssize_t size = readlinkat(dir, name, target, sizeof target - 1);

    if (size < 0)
        return error_set_errno(err, -errno, "read the link '%s/%s'", walk->name, path);
    target[size] = '\0';
    if (!link_stays_inside(path, target))
        return refuse(walk, path, "is a link that leads out of the directory", err);

    struct file_entry entry = {.kind = FILE_SYMLINK, .size = (uint64_t) size};
    entry.target = mem_copy_text(target);
    if (entry.target == NULL)
        return error_set(err, -ENOMEM, "no memory to list %s", walk->name);
    int r = add(walk, &entry, path, err);
    if (r < 0)
        free(entry.target);
    return r;
}

static int walk_directory(struct walk *walk, int fd, const char *path, struct error *err);

static int walk_entry(struct walk *walk, int dir, const char *name, const char *parent,
                      struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX - 1);
    struct stat st;

    int r = check_name(walk, name, err);
    if (r < 0)
        return r;
    buf_printf(&path, "%s%s%s", parent, parent[0] != '\0' ? "/" : "", name);
    r = buf_status(&path);
    if (r < 0)
        return error_set_errno(err, r, "%s: a path is too long", walk->name);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set_errno(err, -errno, "look at '%s/%s'", walk->name, path.data);

    if (S_ISLNK(st.st_mode))
        return add_symlink(walk, dir, name, path.data, err);
    if (S_ISDIR(st.st_mode)) {
        int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return error_set_errno(err, -errno, "open '%s/%s'", walk->name, path.data);
        return walk_directory(walk, fd, path.data, err);
    }
    if (!S_ISREG(st.st_mode))
        return refuse(walk, path.data, "is neither a file, a directory nor a link", err);

    struct file_entry entry = {
        .kind = FILE_REGULAR,
        .size = (uint64_t) st.st_size,
        .is_executable = (st.st_mode & S_IXUSR) != 0,
    };
    return add(walk, &entry, path.data, err);
}

// Takes fd.
static int walk_directory(struct walk *walk, int fd, const char *path, struct error *err)
{
    size_t count_before = walk->list.count;
    DIR *stream = fdopendir(fd);
    int r = 0;

    if (stream == NULL) {
        r = error_set_errno(err, -errno, "list '%s/%s'", walk->name, path);
        (void) fd_close(fd);
        return r;
    }
    if (++walk->depth > FILE_LIST_DEPTH_MAX)
        r = error_set(err, -E2BIG, "%s is deeper than %d directories", walk->name,
                      FILE_LIST_DEPTH_MAX);
    while (r == 0) {
        errno = 0;
        const struct dirent *item = readdir(stream);
        if (item == NULL) {
            if (errno != 0)
                r = error_set_errno(err, -errno, "list '%s/%s'", walk->name, path);
            break;
        }
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        r = walk_entry(walk, dirfd(stream), item->d_name, path, err);
    }
    walk->depth--;
    if (r == 0 && walk->list.count == count_before && path[0] != '\0') {
        struct file_entry entry = {.kind = FILE_DIRECTORY};
        r = add(walk, &entry, path, err);
    }
    closedir(stream);
    return r;
}

static int compare_paths(const void *left, const void *right)
{
    return strcmp(((const struct file_entry *) left)->path,
                  ((const struct file_entry *) right)->path);
}

int file_list_read(int dir, const char *name, struct file_list *ret, struct error *err)
{
    struct walk walk = {.name = name};

    // A stream of its own: the caller's descriptor keeps its position.
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, -errno, "open '%s'", name);
    int r = walk_directory(&walk, fd, "", err);
    if (r < 0) {
        file_list_done(&walk.list);
        return r;
    }
    if (walk.list.count > 0)
        qsort(walk.list.entries, walk.list.count, sizeof *walk.list.entries, compare_paths);
    *ret = walk.list;
    return 0;
}

int file_list_add(struct file_list *list, const char *path, uint64_t size, struct error *err)
{
    struct file_entry entry = {.kind = FILE_REGULAR, .size = size};

    return append(list, &entry, path, err);
}

void file_list_done(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->entries[i].path);
        free(list->entries[i].target);
    }
    free(list->entries);
    *list = (struct file_list){0};
}

void file_list_keep(struct file_list *list, bool (*is_kept)(const void *arg, const char *path),
                    const void *arg)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        struct file_entry *entry = &list->entries[i];
        if (is_kept(arg, entry->path)) {
            list->entries[kept++] = *entry;
            continue;
        }
        list->bytes -= entry->size;
        free(entry->path);
        free(entry->target);
    }
    list->count = kept;
}

static bool is_not_in(const void *other, const char *path)
{
    return file_list_find(other, path) == NULL;
}

void file_list_subtract(struct file_list *list, const struct file_list *other)
{
    file_list_keep(list, is_not_in, other);
}

static int compare_to_path(const void *path, const void *entry)
{
    return strcmp(path, ((const struct file_entry *) entry)->path);
}

const struct file_entry *file_list_find(const struct file_list *list, const char *path)
{
    if (list->count == 0)
        return NULL;
    return bsearch(path, list->entries, list->count, sizeof *list->entries, compare_to_path);
}
