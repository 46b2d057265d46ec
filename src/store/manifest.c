// SPDX-License-Identifier: MIT

#include "store/manifest.h"

#include "base/mem.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char first_line[] = "lamina-tree 1";

void manifest_done(struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->count; i++) {
        free(manifest->entries[i].path);
        free(manifest->entries[i].target);
    }
    free(manifest->entries);
    *manifest = (struct manifest){0};
}

struct manifest_entry *manifest_add(struct manifest *manifest)
{
    if (manifest->count == manifest->capacity) {
        size_t capacity = manifest->capacity ? 2 * manifest->capacity : 16;
        struct manifest_entry *entries =
            reallocarray(manifest->entries, capacity, sizeof(entries[0]));
        if (!entries)
            return NULL;
        manifest->entries = entries;
        manifest->capacity = capacity;
    }
    struct manifest_entry *entry = &manifest->entries[manifest->count++];
    *entry = (struct manifest_entry){0};
    return entry;
}

static int path_compare(const struct manifest_entry *a, const struct manifest_entry *b)
{
    size_t size = a->path_size < b->path_size ? a->path_size : b->path_size;
    for (size_t i = 0; i < size; i++) {
        int x = a->path[i] == '/' ? 0 : (unsigned char) a->path[i];
        int y = b->path[i] == '/' ? 0 : (unsigned char) b->path[i];
        if (x != y)
            return x - y;
    }
    return a->path_size < b->path_size ? -1 : a->path_size > b->path_size;
}

static int entry_compare(const void *left, const void *right)
{
    return path_compare(left, right);
}

void manifest_sort(struct manifest *manifest)
{
    if (manifest->count)
        qsort(manifest->entries, manifest->count, sizeof(manifest->entries[0]), entry_compare);
}

// ---- Rules of names

int manifest_path_check(struct str path)
{
    if (path.size == 0 || memchr(path.data, 0, path.size) || !str_is_utf8(path))
        return -EINVAL;
    if (path.size > STORE_PATH_MAX)
        return -ENAMETOOLONG;
    size_t depth = 0;
    for (size_t start = 0; start <= path.size;) {
        struct str rest = str_skip(path, start);
        ptrdiff_t slash = str_find(rest, '/');
        struct str name = slash < 0 ? rest : str_part(rest, 0, (size_t) slash);
        if (name.size == 0 || str_equal_text(name, ".") || str_equal_text(name, ".."))
            return -EINVAL;
        if (name.size > STORE_NAME_MAX || ++depth > STORE_DEPTH_MAX)
            return -ENAMETOOLONG;
        start += name.size + 1;
    }
    return 0;
}

int manifest_target_check(struct str path, struct str target)
{
    if (target.size == 0 || target.size > STORE_LINK_MAX || target.data[0] == '/' ||
        memchr(target.data, 0, target.size) || !str_is_utf8(target))
        return -EXDEV;
    size_t depth = 0, ups = 0;
    for (size_t i = 0; i < path.size; i++)
        depth += path.data[i] == '/';
    bool has_name = false;
    struct str rest = target;
    while (rest.size > 0) {
        struct str name;
        str_cut(rest, '/', &name, &rest);
        if (str_equal_text(name, "..")) {
            if (has_name || ++ups > depth)
                return -EXDEV;
        } else if (name.size > 0 && !str_equal_text(name, ".")) {
            has_name = true;
        }
    }
    return 0;
}

bool manifest_keeps_mtime(struct str path)
{
    return str_has_suffix(path, STR(".py"));
}

// ---- Text: spaces, control characters and '%' in names are %XX

static bool is_escaped(unsigned char byte)
{
    return byte <= 0x20 || byte == 0x7f || byte == '%';
}

static void name_append(struct buf *text, const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (is_escaped((unsigned char) name[i]))
            buf_printf(text, "%%%02X", (unsigned) (unsigned char) name[i]);
        else
            buf_append_byte(text, name[i]);
    }
}

static void file_append(struct buf *text, const struct manifest_entry *entry)
{
    char hex[DIGEST_HEX_SIZE] = "-";
    if (entry->size > 0)
        digest_hex(&entry->digest, hex);
    buf_printf(text, "f %c %" PRIu64 " ", entry->is_executable ? 'x' : 'r', entry->size);
    if (entry->has_mtime)
        buf_printf(text, "%" PRId64, entry->mtime);
    else
        buf_append_byte(text, '-');
    buf_printf(text, " %s ", hex);
    name_append(text, entry->path, entry->path_size);
}

int manifest_write(const struct manifest *manifest, struct buf *text)
{
    buf_printf(text, "%s\n", first_line);
    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_entry *entry = &manifest->entries[i];
        if (entry->type == MANIFEST_FILE) {
            file_append(text, entry);
        } else {
            buf_append_text(text, entry->type == MANIFEST_DIRECTORY ? "d " : "l ");
            name_append(text, entry->path, entry->path_size);
        }
        if (entry->type == MANIFEST_LINK) {
            buf_append_byte(text, ' ');
            name_append(text, entry->target, strlen(entry->target));
        }
        buf_append_byte(text, '\n');
    }
    buf_printf(text, "end %zu\n", manifest->count);
    return buf_status(text);
}

// ---- Parsing

static int hex_value(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

// A NUL-terminated name, or NULL: bad escapes, or no memory.
static char *name_parse(struct str text)
{
    AUTO_FREE char *name = malloc(text.size + 1);
    if (!name)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char) text.data[i];
        if (byte == '%') {
            int high = i + 2 < text.size ? hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return NULL;
            byte = (unsigned char) (high << 4 | low);
            i += 2;
        }
        if (byte == 0)
            return NULL;
        name[used++] = (char) byte;
    }
    name[used] = 0;
    return TAKE_PTR(name);
}

static bool file_parse(struct str fields[4], struct manifest_entry *entry)
{
    struct str mode = fields[0], size = fields[1], mtime = fields[2], digest = fields[3];
    if (!str_equal_text(mode, "r") && !str_equal_text(mode, "x"))
        return false;
    entry->is_executable = mode.data[0] == 'x';
    if (str_to_u64(size, INT64_MAX, &entry->size) < 0)
        return false;
    entry->has_mtime = !str_equal_text(mtime, "-");
    if (entry->has_mtime && str_to_i64(mtime, INT32_MIN, UINT32_MAX, &entry->mtime) < 0)
        return false;
    if (entry->size == 0)
        return str_equal_text(digest, "-");
    return digest_parse_hex(digest, &entry->digest) == 0;
}

// One line without its newline, into a new entry.
static bool line_parse(struct str line, struct manifest_entry *entry)
{
    struct str kind, path_text, target_text = {0}, fields[4];
    str_cut(line, ' ', &kind, &line);
    if (str_equal_text(kind, "f")) {
        entry->type = MANIFEST_FILE;
        for (int i = 0; i < 4; i++) {
            if (!str_cut(line, ' ', &fields[i], &line))
                return false;
        }
        if (!file_parse(fields, entry))
            return false;
    } else if (str_equal_text(kind, "l")) {
        entry->type = MANIFEST_LINK;
        if (!str_cut(line, ' ', &line, &target_text))
            return false;
    } else if (!str_equal_text(kind, "d")) {
        return false;
    }
    path_text = line;
    entry->path = name_parse(path_text);
    if (!entry->path)
        return false;
    entry->path_size = strlen(entry->path);
    struct str path = str_of(entry->path);
    if (manifest_path_check(path) < 0)
        return false;
    if (entry->type == MANIFEST_FILE)
        return entry->has_mtime == manifest_keeps_mtime(path);
    if (entry->type == MANIFEST_DIRECTORY)
        return true;
    entry->target = name_parse(target_text);
    return entry->target && manifest_target_check(path, str_of(entry->target)) == 0;
}

// The directory in which `path` lies must be the last directory named that is a prefix of it. Since
// the order puts contents behind their directory, a stack of open directories decides.
struct parents {
    size_t sizes[STORE_DEPTH_MAX + 1];
    size_t depth;
    const char *path; // of the last directory: its prefixes are the whole stack
};

static bool parents_accept(struct parents *parents, const struct manifest_entry *entry)
{
    const char *slash = memrchr(entry->path, '/', entry->path_size);
    size_t parent_size = slash ? (size_t) (slash - entry->path) : 0;
    while (parents->depth > 0 && parents->sizes[parents->depth - 1] > parent_size)
        parents->depth--;
    size_t top = parents->depth ? parents->sizes[parents->depth - 1] : 0;
    if (top != parent_size || (top && memcmp(parents->path, entry->path, top) != 0))
        return false;
    if (entry->type == MANIFEST_DIRECTORY) {
        parents->sizes[parents->depth++] = entry->path_size;
        parents->path = entry->path;
    }
    return true;
}

static int damaged(struct error *err, size_t line)
{
    return error_set(err, -EUCLEAN, "line %zu of the manifest is damaged", line);
}

static int lines_parse(struct str text, struct manifest *manifest, struct error *err)
{
    struct str line;
    struct parents parents = {.depth = 0};
    if (!str_cut(text, '\n', &line, &text) || !str_equal_text(line, first_line))
        return damaged(err, 1);
    for (size_t number = 2;; number++) {
        uint64_t count;
        if (!str_cut(text, '\n', &line, &text))
            return damaged(err, number);
        if (str_has_prefix(line, STR("end "))) {
            bool is_good = str_to_u64(str_skip(line, 4), STORE_ENTRIES_MAX, &count) == 0 &&
                           count == manifest->count && text.size == 0;
            return is_good ? 0 : damaged(err, number);
        }
        if (manifest->count == STORE_ENTRIES_MAX)
            return damaged(err, number);
        struct manifest_entry *entry = manifest_add(manifest);
        if (!entry)
            return error_set(err, -ENOMEM, "no memory for the manifest");
        if (!line_parse(line, entry) ||
            (manifest->count > 1 && path_compare(entry - 1, entry) >= 0) ||
            !parents_accept(&parents, entry))
            return damaged(err, number);
    }
}

// One tree has one text: numbers with leading zeros and needless escapes are found by writing again.
static int text_check(struct str text, const struct manifest *manifest, struct error *err)
{
    AUTO_BUF struct buf again = BUF_INIT(MANIFEST_BYTES_MAX);
    int r = manifest_write(manifest, &again);
    if (r < 0)
        return error_set(err, r, "no memory for the manifest");
    if (!str_equal(buf_str(&again), text))
        return error_set(err, -EUCLEAN, "the manifest is not in its one form");
    return 0;
}

int manifest_parse(struct str text, struct manifest *ret_manifest, struct error *err)
{
    struct manifest manifest = {0};
    int r = lines_parse(text, &manifest, err);
    if (r == 0)
        r = text_check(text, &manifest, err);
    if (r < 0) {
        manifest_done(&manifest);
        return r;
    }
    *ret_manifest = manifest;
    return 0;
}
