// SPDX-License-Identifier: MIT
//
// The file that names file systems, as anybody might write it. What is accepted keeps its promises: paths are
// absolute and normal, users are not root, access points are within what their file system allows.

#include "wire/filesystems_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void look(const struct filesystem_line *line)
{
    must(filesystem_id_is_valid(str_of(line->id), "fs-"));
    must((line->path[0] != '\0') != (line->type[0] != '\0'));
    must(line->path[0] == '\0' || (line->path[0] == '/' && line->path[1] != '\0' &&
                                   filesystem_path_is_valid(str_of(line->path + 1), SIZE_MAX)));
    must(line->type[0] == '\0' || (!strchr(line->type, '/') && line->source[0] != '-'));
    must(line->uid != 0 && line->gid != 0 && line->as_uid != 0 && line->as_gid != 0);
    must(!filesystem_allows_user(line, 0, line->gid));
    must((line->uid == SPAWN_FILESYSTEM_NO_USER) ==
         !!(line->flags & SPAWN_FILESYSTEM_OWN_IDENTITY));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct filesystems_file file;
    struct error err = {0};
    char *text = malloc(size > 0 ? size : 1); // of exactly that size: reading past it is found
    memcpy(text, data, size);
    const int r = filesystems_file_parse(str_of_data(text, size), &file, &err);
    must(r == 0 || r == -EFBIG || (r == -EINVAL && strncmp(err.text, "line ", 5) == 0));
    for (uint32_t i = 0; r == 0 && i < file.filesystem_count; i++)
        look(&file.filesystems[i]);
    for (uint32_t i = 0; r == 0 && i < file.access_point_count; i++) {
        const struct access_point_line *line = &file.access_points[i];
        const struct filesystem_line *of = filesystems_file_find(&file, line->filesystem_id);
        must(of && filesystem_path_is_valid(str_of(line->root), SPAWN_FILESYSTEM_LEVELS_MAX));
        must(line->uid == SPAWN_FILESYSTEM_NO_USER ||
             filesystem_allows_user(of, line->uid, line->gid));
    }
    free(text);
    return 0;
}
