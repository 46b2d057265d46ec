// SPDX-License-Identifier: MIT

#include "store/layout.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct object_key object_key_of(const struct manifest_entry *entry)
{
    return (struct object_key){
        .digest = entry->digest,
        .is_executable = entry->is_executable,
        .has_mtime = entry->has_mtime,
        .mtime = entry->mtime,
    };
}

void object_name(const struct object_key *key, char name[OBJECT_NAME_SIZE])
{
    char hex[DIGEST_HEX_SIZE], mtime[24] = "";
    digest_hex(&key->digest, hex);
    if (key->has_mtime)
        snprintf(mtime, sizeof(mtime), ".m%" PRId64, key->mtime);
    snprintf(name, OBJECT_NAME_SIZE, "%.2s/%s%s%s", hex, hex, key->is_executable ? ".x" : "",
             mtime);
}

int object_prepare(int fd, const struct object_key *key)
{
    struct timespec both[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = key->has_mtime ? key->mtime : OBJECT_MTIME_DEFAULT},
    };
    if (futimens(fd, both) < 0 || fchmod(fd, key->is_executable ? 0555 : 0444) < 0)
        return -errno;
    return 0;
}

int object_verify_at(int dir, const char *name, uint64_t size, const struct digest *digest)
{
    AUTO_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode) || (uint64_t) stat.st_size != size)
        return -EUCLEAN;
    struct digest found;
    uint64_t found_size;
    int r = digest_of_fd(fd, &found, &found_size);
    if (r < 0)
        return r;
    return digest_equal(&found, digest) && found_size == size ? 0 : -EUCLEAN;
}

int object_publish(struct store *store, int from, const char *tmp_name,
                   const struct object_key *key, uint64_t size, struct error *err)
{
    char name[OBJECT_NAME_SIZE];
    object_name(key, name);
    if (renameat2(from, tmp_name, store->objects, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EEXIST)
        return error_set_errno(err, -errno, "put object '%s'", name);
    int r = object_verify_at(store->objects, name, size, &key->digest);
    if (r == 0 && unlinkat(from, tmp_name, 0) == 0)
        return 0;
    if (r == 0)
        return error_set_errno(err, -errno, "remove a staged file");
    // Damaged (or unreadable): what was staged is the content that the name promises.
    if (renameat(from, tmp_name, store->objects, name) < 0)
        return error_set_errno(err, -errno, "replace the damaged object '%s'", name);
    return 0;
}

// ---- Links

static int copy_content(int from, int to)
{
    static const size_t piece = 1024 * 1024 * 1024;
    for (;;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, piece, 0);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

// A fresh copy takes the object's name. The old inode lives on in the farms that have it.
static int object_renew(struct store *store, const struct object_key *key, const char *name)
{
    char tmp_name[TMP_NAME_SIZE];
    store_tmp_name(store, "copy", tmp_name);
    AUTO_FD int from = openat(store->objects, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0)
        return -errno;
    AUTO_FD int to = openat(store->tmp, tmp_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    int r = copy_content(from, to);
    if (r == 0)
        r = object_prepare(to, key);
    if (r == 0 && fsync(to) < 0)
        r = -errno;
    if (r == 0 && renameat(store->tmp, tmp_name, store->objects, name) < 0)
        r = -errno;
    if (r < 0)
        (void) !unlinkat(store->tmp, tmp_name, 0); // else the next start empties tmp/
    return r;
}

int object_link(struct store *store, const struct object_key *key, int dir, const char *path)
{
    char name[OBJECT_NAME_SIZE];
    object_name(key, name);
    if (linkat(store->objects, name, dir, path, 0) == 0)
        return 0;
    if (errno != EMLINK)
        return -errno;
    int r = object_renew(store, key, name);
    if (r < 0)
        return r;
    return linkat(store->objects, name, dir, path, 0) < 0 ? -errno : 0;
}

// ---- Whole objects for others

static int blob_open_at(int dir, const char *name, int *ret_fd, uint64_t *ret_bytes)
{
    AUTO_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode))
        return -EUCLEAN;
    *ret_fd = TAKE_FD(fd);
    *ret_bytes = (uint64_t) stat.st_size;
    return 0;
}

int store_blob_open(struct store *store, const struct digest *digest, int *ret_fd,
                    uint64_t *ret_bytes)
{
    char name[OBJECT_NAME_SIZE], hex[DIGEST_HEX_SIZE];
    object_name(&(struct object_key){.digest = *digest}, name);
    int r = blob_open_at(store->objects, name, ret_fd, ret_bytes);
    if (r != -ENOENT)
        return r;
    return blob_open_at(store->packages, digest_hex(digest, hex), ret_fd, ret_bytes);
}

int store_blob_verify(struct store *store, const struct digest *digest, struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    AUTO_FD int fd = -1;
    uint64_t size, found_size;
    struct digest found;
    digest_hex(digest, hex);
    int r = store_blob_open(store, digest, &fd, &size);
    if (r == 0)
        r = digest_of_fd(fd, &found, &found_size);
    if (r < 0)
        return error_set_errno(err, r, "read package '%s'", hex);
    if (!digest_equal(&found, digest))
        return error_set(err, -EUCLEAN, "package '%s' is damaged", hex);
    return 0;
}
