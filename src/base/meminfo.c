// SPDX-License-Identifier: MIT

#include "base/meminfo.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

#define MEMINFO_BYTES_MAX ((size_t) 16 * 1024)

// "MemAvailable:   23456789 kB"
static bool line_value(struct str line, uint64_t *ret_bytes)
{
    struct str name = {0}, value = {0}, number = {0}, unit = {0};
    uint64_t kib = 0;
    if (!str_cut(line, ':', &name, &value) || !str_equal_text(name, "MemAvailable"))
        return false;
    (void) str_cut(str_trim(value), ' ', &number, &unit);
    if (str_to_u64(number, UINT64_MAX / 1024, &kib) < 0)
        return false;
    *ret_bytes = kib * 1024;
    return true;
}

int meminfo_available(const char *path, uint64_t *ret_bytes)
{
    AUTO_BUF struct buf text = BUF_INIT(MEMINFO_BYTES_MAX);
    struct str line = {0};
    int r = fs_read_file(AT_FDCWD, path, &text);
    if (r < 0)
        return r;
    for (struct str rest = buf_str(&text); rest.size > 0;) {
        (void) str_cut(rest, '\n', &line, &rest);
        if (line_value(line, ret_bytes))
            return 0;
    }
    return -EBADMSG;
}
