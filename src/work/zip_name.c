// SPDX-License-Identifier: MIT

#include "work/zip.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

// The upper half of code page 437, which the zip format prescribes for names without the UTF-8 mark.
static const uint16_t cp437[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef,
    0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa,
    0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557,
    0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559,
    0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4,
    0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

static size_t utf8_put(char *to, uint16_t code)
{
    if (code < 0x800) {
        to[0] = (char) (0xc0 | code >> 6);
        to[1] = (char) (0x80 | (code & 0x3f));
        return 2;
    }
    to[0] = (char) (0xe0 | code >> 12);
    to[1] = (char) (0x80 | (code >> 6 & 0x3f));
    to[2] = (char) (0x80 | (code & 0x3f));
    return 3;
}

// Everything becomes UTF-8. `to` has room for three times the size. What is valid UTF-8 without the
// mark is taken as such: Linux tools that predate the mark wrote it.
static size_t name_to_utf8(const char *raw, size_t size, bool is_dos, char *to)
{
    bool is_cp437 = !str_is_utf8(str_of_data(raw, size));
    bool has_slash = memchr(raw, '/', size) != NULL;
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char) raw[i];
        if (byte >= 0x80 && is_cp437)
            used += utf8_put(to + used, cp437[byte - 0x80]);
        else
            to[used++] = byte == '\\' && is_dos && !has_slash ? '/' : (char) byte;
    }
    return used;
}

static bool name_is_absolute(const char *name, size_t size)
{
    if (size > 0 && name[0] == '/')
        return true;
    bool has_drive = size >= 3 && name[1] == ':' && (name[2] == '/' || name[2] == '\\');
    return has_drive && ((name[0] >= 'A' && name[0] <= 'Z') || (name[0] >= 'a' && name[0] <= 'z'));
}

// Drops empty and "." parts in place. Returns the new size, or -EBADMSG.
static int name_join_parts(char *name, size_t size, uint32_t *ret_size,
                           enum work_reason *ret_reason)
{
    size_t used = 0, depth = 0;
    for (size_t i = 0; i < size;) {
        const char *slash = memchr(name + i, '/', size - i);
        size_t end = slash ? (size_t) (slash - name) : size;
        size_t part = end - i;
        if (part == 2 && name[i] == '.' && name[i + 1] == '.')
            return *ret_reason = WORK_REASON_NAME_TRAVERSAL, -EBADMSG;
        if (part > WORK_NAME_MAX || (part > 0 && ++depth > WORK_DEPTH_MAX))
            return *ret_reason = WORK_REASON_NAME_TOO_LONG, -EBADMSG;
        if (part == 0 || (part == 1 && name[i] == '.')) {
            depth -= part;
        } else {
            if (used)
                name[used++] = '/';
            memmove(name + used, name + i, part);
            used += part;
        }
        i = end + 1;
    }
    if (used > WORK_PATH_MAX)
        return *ret_reason = WORK_REASON_NAME_TOO_LONG, -EBADMSG;
    name[used] = 0;
    *ret_size = (uint32_t) used;
    return 0;
}

int zip_name_clean(const char *raw, size_t raw_size, bool is_marked_utf8, bool is_dos,
                   char **ret_path, uint32_t *ret_size, bool *ret_is_directory,
                   enum work_reason *ret_reason)
{
    if (raw_size == 0)
        return *ret_reason = WORK_REASON_NAME_EMPTY, -EBADMSG;
    if (memchr(raw, 0, raw_size))
        return *ret_reason = WORK_REASON_NAME_NUL, -EBADMSG;
    if (is_marked_utf8 && !str_is_utf8(str_of_data(raw, raw_size)))
        return *ret_reason = WORK_REASON_NAME_NOT_UTF8, -EBADMSG;
    AUTO_FREE char *name = malloc(raw_size * 3 + 2);
    if (!name)
        return -ENOMEM;
    size_t size = name_to_utf8(raw, raw_size, is_dos, name);
    if (name_is_absolute(name, size))
        return *ret_reason = WORK_REASON_NAME_ABSOLUTE, -EBADMSG;
    bool is_directory = name[size - 1] == '/';
    uint32_t clean_size;
    int r = name_join_parts(name, size, &clean_size, ret_reason);
    if (r < 0)
        return r;
    char *path = realloc(name, clean_size + 1);
    if (!path)
        return -ENOMEM;
    name = NULL;
    *ret_path = path;
    *ret_size = clean_size;
    *ret_is_directory = is_directory;
    return 0;
}

bool zip_link_stays_inside(const char *path, size_t path_size, const char *target,
                           size_t target_size)
{
    if (target_size == 0 || target_size > WORK_LINK_MAX || target[0] == '/' ||
        memchr(target, 0, target_size))
        return false;
    size_t depth = 0, ups = 0;
    for (size_t i = 0; i < path_size; i++)
        depth += path[i] == '/';
    bool has_name = false;
    for (size_t i = 0; i < target_size;) {
        const char *slash = memchr(target + i, '/', target_size - i);
        size_t end = slash ? (size_t) (slash - target) : target_size;
        size_t part = end - i;
        if (part == 2 && target[i] == '.' && target[i + 1] == '.') {
            if (has_name || ++ups > depth)
                return false;
        } else if (part > 0 && !(part == 1 && target[i] == '.')) {
            has_name = true;
        }
        i = end + 1;
    }
    return true;
}
