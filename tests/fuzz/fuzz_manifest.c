// SPDX-License-Identifier: MIT
//
// Any bytes as a manifest: what is accepted is written again as the very same bytes, and its paths and
// links stay in the tree.

#include "store/manifest.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void must(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest = {0};
    struct str text = str_of_data(data, size);
    struct error err = {0};
    int r = manifest_parse(text, &manifest, &err);
    if (r < 0) {
        must(r == -EUCLEAN && err.text[0] && manifest.count == 0);
        return 0;
    }
    AUTO_BUF struct buf again = BUF_INIT(MANIFEST_BYTES_MAX);
    must(manifest_write(&manifest, &again) == 0 && str_equal(buf_str(&again), text));
    must(manifest.count <= STORE_ENTRIES_MAX);
    for (size_t i = 0; i < manifest.count; i++) {
        const struct manifest_entry *entry = &manifest.entries[i];
        struct str path = str_of(entry->path);
        must(path.size == entry->path_size && manifest_path_check(path) == 0);
        if (entry->type == MANIFEST_LINK)
            must(manifest_target_check(path, str_of(entry->target)) == 0);
    }
    manifest_done(&manifest);
    return 0;
}
