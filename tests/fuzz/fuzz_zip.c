// SPDX-License-Identifier: MIT
//
// Any bytes as a zip: what is accepted has clean, distinct paths inside the package, and content of
// exactly the size and checksum that were recorded.

#include "work/zip.h"

#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define BYTES_MAX (256 * 1024)

static void must(bool condition)
{
    if (!condition)
        abort();
}

struct content {
    uint64_t size;
    uint32_t checksum;
};

static int take(void *arg, const void *data, size_t size)
{
    struct content *content = arg;
    must(size > 0 && size <= WORK_DATA_MAX);
    content->checksum = (uint32_t) crc32(content->checksum, data, (uInt) size);
    content->size += size;
    return 0;
}

static void check_path(const struct zip_entry *entry)
{
    struct str left = {entry->path, entry->path_size}, name;
    must(left.size <= WORK_PATH_MAX && str_is_utf8(left) && str_find(left, '\0') < 0);
    must(left.size > 0 || entry->type == ZIP_DIRECTORY);
    while (left.size > 0) {
        str_cut(left, '/', &name, &left);
        must(name.size > 0 && name.size <= WORK_NAME_MAX);
        must(!str_equal_text(name, ".") && !str_equal_text(name, ".."));
    }
}

static bool is_same_file(const struct zip_entry *a, const struct zip_entry *b)
{
    return a->path_size == b->path_size && memcmp(a->path, b->path, a->path_size) == 0 &&
           (a->type != ZIP_DIRECTORY || b->type != ZIP_DIRECTORY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct zip_refusal refusal;
    struct zip_source source = {
        .fd = -1, .memory = size ? data : (const uint8_t *) "", .size = size};
    struct zip_limits limits = {200, BYTES_MAX};
    struct zip zip;
    int r = zip_open(&zip, &source, &limits, &refusal);
    if (r < 0) {
        must(r == -EBADMSG && work_reason_text(refusal.reason) &&
             refusal.path_size <= WORK_PATH_MAX);
        return 0;
    }
    uint64_t end = 0, total = 0;
    for (size_t i = 0; i < zip.entry_count; i++) {
        const struct zip_entry *entry = &zip.entries[i];
        struct content content = {0};
        check_path(entry);
        must(entry->header_offset >= end && entry->end <= size);
        end = entry->end;
        for (size_t j = 0; j < i; j++)
            must(!is_same_file(entry, &zip.entries[j]));
        r = zip_unpack(&zip, entry, take, &content, &refusal);
        must(r == 0 || r == -EBADMSG);
        must(content.size <= entry->size);
        must(r < 0 || (content.size == entry->size && content.checksum == entry->checksum));
        total += entry->type == ZIP_FILE ? entry->size : 0;
    }
    must(total == zip.total_bytes && total <= BYTES_MAX);
    zip_done(&zip);
    return 0;
}
