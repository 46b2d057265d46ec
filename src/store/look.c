// SPDX-License-Identifier: MIT

#include "store/look.h"

#include "base/fd.h"
#include "base/fs.h"
#include "store/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int store_tree_each(struct store *store, const struct digest *tree_id,
                    int (*visit)(void *arg, const struct store_entry *entry), void *arg,
                    struct error *err)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    int r = tree_manifest(store, tree_id, &manifest, err);
    for (size_t i = 0; r == 0 && i < manifest.count; i++) {
        const struct manifest_entry *entry = &manifest.entries[i];
        const struct store_entry seen = {
            .path = {entry->path, entry->path_size},
            .is_file = entry->type == MANIFEST_FILE && entry->size > 0,
            .digest = entry->digest,
            .bytes = entry->size,
        };
        r = visit(arg, &seen);
    }
    return r;
}

int store_tree_open(struct store *store, const struct digest *tree_id, const char *path,
                    int *ret_fd, uint64_t *ret_bytes)
{
    char hex[DIGEST_HEX_SIZE];
    struct stat status;
    AUTO_FD int tree = openat(store->trees, digest_hex(tree_id, hex),
                              O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (tree < 0)
        return -errno;
    AUTO_FD int fd = fs_open_beneath(tree, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -ENOENT;
    *ret_fd = TAKE_FD(fd);
    *ret_bytes = (uint64_t) status.st_size;
    return 0;
}
