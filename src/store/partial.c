// SPDX-License-Identifier: MIT

#include "store/partial.h"

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/mem.h"
#include "store/layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x32706d616e696d61)
#define MARK_DONE UINT32_C(0x656e6f64)
#define CHECK_BLOCK ((size_t) 256 * 1024)
#define NAME_SIZE (DIGEST_HEX_SIZE + 4)

// The map's beginning; then one record a range.
struct map_head {
    uint64_t magic, bytes, range_bytes, reserved;
};
struct map_record {
    uint32_t mark; // MARK_DONE
    uint32_t crc;
};

struct store_partial {
    struct store *store; // borrowed
    int dir;             // DIR/partial; owned
    int data, map;       // owned
    uint64_t bytes, range_bytes;
    size_t ranges;
    bool *has;
    char name[DIGEST_HEX_SIZE], map_name[NAME_SIZE];
};

// ---- Opening

static int fail(const struct store_partial *partial, struct error *err, int code, const char *what)
{
    return error_set_errno(err, code, "%s the partial file '%.16s'", what, partial->name);
}

static uint64_t range_size(const struct store_partial *partial, size_t range)
{
    uint64_t start = range * partial->range_bytes;
    uint64_t left = partial->bytes - start;
    return left < partial->range_bytes ? left : partial->range_bytes;
}

// What became an object (the same inode) must never be written again.
// -EBUSY while the flight that made it has not dropped it itself.
static int forget_finished(const struct store_partial *partial, struct error *err)
{
    struct stat stat;
    AUTO_FD int fd =
        openat(partial->dir, partial->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return 0; // what is wrong with it, the open below says
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return fail(partial, err, errno == EWOULDBLOCK ? -EBUSY : -errno, "lock");
    if (fstat(fd, &stat) == 0 &&
        (stat.st_nlink > 1 || !S_ISREG(stat.st_mode) || (stat.st_mode & 0200) == 0))
        (void) !unlinkat(partial->dir, partial->name, 0); // else the open below fails
    return 0;
}

static bool is_continued(const struct store_partial *partial)
{
    struct map_head head;
    struct stat stat;
    return fstat(partial->data, &stat) == 0 && (uint64_t) stat.st_size == partial->bytes &&
           pread(partial->map, &head, sizeof(head), 0) == (ssize_t) sizeof(head) &&
           head.magic == MAGIC && head.bytes == partial->bytes &&
           head.range_bytes == partial->range_bytes;
}

static int crc_of_range(const struct store_partial *partial, size_t range, void *block,
                        uint32_t *ret_crc)
{
    uint64_t at = range * partial->range_bytes, end = at + range_size(partial, range);
    uint32_t crc = 0;
    while (at < end) {
        size_t want = end - at < CHECK_BLOCK ? (size_t) (end - at) : CHECK_BLOCK;
        ssize_t n = pread(partial->data, block, want, (off_t) at);
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        crc = crc32c(crc, block, (size_t) n);
        at += (uint64_t) n;
    }
    *ret_crc = crc;
    return 0;
}

// What the map claims and the bytes confirm.
static int ranges_check(struct store_partial *partial, struct error *err)
{
    AUTO_FREE void *block = malloc(CHECK_BLOCK);
    if (!block)
        return error_set(err, -ENOMEM, "no memory");
    for (size_t i = 0; i < partial->ranges; i++) {
        struct map_record record;
        off_t at = (off_t) (sizeof(struct map_head) + i * sizeof(record));
        uint32_t crc = 0;
        if (pread(partial->map, &record, sizeof(record), at) != (ssize_t) sizeof(record))
            break; // none were written behind here
        if (record.mark != MARK_DONE)
            continue;
        int r = crc_of_range(partial, i, block, &crc);
        if (r < 0)
            return fail(partial, err, r, "read");
        partial->has[i] = crc == record.crc;
    }
    return 0;
}

static uint64_t bytes_missing(const struct store_partial *partial)
{
    uint64_t missing = 0;
    for (size_t i = 0; i < partial->ranges; i++)
        missing += partial->has[i] ? 0 : range_size(partial, i);
    return missing;
}

static int begin_anew(struct store_partial *partial, struct error *err)
{
    const struct map_head head = {
        .magic = MAGIC, .bytes = partial->bytes, .range_bytes = partial->range_bytes};
    if (ftruncate(partial->data, 0) < 0 || ftruncate(partial->map, 0) < 0)
        return fail(partial, err, -errno, "empty");
    uint64_t room = 0;
    int r = store_bytes_free(partial->store, &room);
    if (r == 0 && room < partial->bytes)
        r = -ENOSPC;
    if (r < 0)
        return fail(partial, err, r, "make room for");
    if (ftruncate(partial->data, (off_t) partial->bytes) < 0 ||
        pwrite(partial->map, &head, sizeof(head), 0) != (ssize_t) sizeof(head))
        return fail(partial, err, errno ? -errno : -EIO, "write");
    return 0;
}

// Nobody else writes it: a file that another flight has finished and hashed must not change. The name
// must still be the locked file's: its last user may have dropped it, or made it an object, meanwhile.
static int lock(struct store_partial *partial, struct error *err)
{
    struct stat opened, named;
    if (flock(partial->data, LOCK_EX | LOCK_NB) < 0)
        return fail(partial, err, errno == EWOULDBLOCK ? -EBUSY : -errno, "lock");
    if (fstat(partial->data, &opened) < 0)
        return fail(partial, err, -errno, "look at");
    bool is_ours = fstatat(partial->dir, partial->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                   named.st_ino == opened.st_ino && opened.st_nlink == 1;
    return is_ours ? 0 : fail(partial, err, -EBUSY, "lock");
}

static int data_open(struct store_partial *partial, struct error *err)
{
    partial->data =
        openat(partial->dir, partial->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return partial->data < 0 ? fail(partial, err, -errno, "open") : lock(partial, err);
}

static int files_open(struct store_partial *partial, struct error *err)
{
    int r = forget_finished(partial, err);
    if (r == 0)
        r = data_open(partial, err);
    if (r < 0)
        return r;
    partial->map =
        openat(partial->dir, partial->map_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (partial->map < 0)
        return fail(partial, err, -errno, "open");
    if (!is_continued(partial))
        return begin_anew(partial, err);
    r = ranges_check(partial, err);
    uint64_t room = 0;
    if (r == 0)
        r = store_bytes_free(partial->store, &room);
    if (r == 0 && room < bytes_missing(partial))
        r = fail(partial, err, -ENOSPC, "make room for");
    return r;
}

int store_partial_open(struct store *store, const struct digest *key, uint64_t bytes,
                       uint64_t range_bytes, struct store_partial **ret_partial, struct error *err)
{
    uint64_t ranges = (bytes + range_bytes - 1) / range_bytes;
    if (ranges > PARTIAL_RANGES_MAX)
        return error_set(err, -EFBIG, "%llu bytes are too many", (unsigned long long) bytes);
    struct store_partial *partial = mem_new(struct store_partial);
    if (!partial)
        return error_set(err, -ENOMEM, "no memory for a partial file");
    partial->store = store;
    partial->data = partial->map = -1;
    partial->bytes = bytes;
    partial->range_bytes = range_bytes;
    partial->ranges = (size_t) ranges;
    digest_hex(key, partial->name);
    snprintf(partial->map_name, sizeof(partial->map_name), "%s.map", partial->name);
    partial->has = calloc(partial->ranges + 1, sizeof(bool));
    partial->dir = fd_duplicate(store->partial);
    int r = partial->has && partial->dir >= 0 ? 0 : -ENOMEM;
    r = r < 0 ? fail(partial, err, r, "open") : files_open(partial, err);
    if (r == -ENOSPC) { // nothing to go on with
        store_partial_drop(partial);
        return r;
    }
    if (r < 0) {
        store_partial_free(partial);
        return r;
    }
    *ret_partial = partial;
    return 0;
}

void store_partial_free(struct store_partial *partial)
{
    if (!partial)
        return;
    fd_close(partial->data);
    fd_close(partial->map);
    fd_close(partial->dir);
    free(partial->has);
    free(partial);
}

void store_partial_drop(struct store_partial *partial)
{
    if (!partial)
        return;
    // Left over if they cannot be removed: a later start does.
    (void) !unlinkat(partial->dir, partial->name, 0);
    (void) !unlinkat(partial->dir, partial->map_name, 0);
    store_partial_free(partial);
}

// ---- Filling

size_t store_partial_ranges(const struct store_partial *partial)
{
    return partial->ranges;
}

bool store_partial_has(const struct store_partial *partial, size_t range)
{
    return partial->has[range];
}

int store_partial_fd(const struct store_partial *partial)
{
    return partial->data;
}

int store_partial_write(struct store_partial *partial, uint64_t offset, const void *data,
                        size_t size, struct error *err)
{
    const char *from = data;
    if (offset > partial->bytes || size > partial->bytes - offset)
        return error_set(err, -EINVAL, "bytes beyond the end of a partial file");
    while (size > 0) {
        ssize_t n = pwrite(partial->data, from, size, (off_t) offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(partial, err, n < 0 ? -errno : -EIO, "write");
        from += n;
        offset += (uint64_t) n;
        size -= (size_t) n;
    }
    return 0;
}

int store_partial_mark(struct store_partial *partial, size_t range, uint32_t crc, struct error *err)
{
    const struct map_record record = {.mark = MARK_DONE, .crc = crc};
    off_t at = (off_t) (sizeof(struct map_head) + range * sizeof(record));
    if (pwrite(partial->map, &record, sizeof(record), at) != (ssize_t) sizeof(record))
        return fail(partial, err, errno ? -errno : -EIO, "mark a range of");
    partial->has[range] = true;
    // The disk begins with it now, while more comes: the commit's sync finds little left. A hint.
    (void) sync_file_range(partial->data, (off_t) (range * partial->range_bytes),
                           (off_t) range_size(partial, range), SYNC_FILE_RANGE_WRITE);
    return 0;
}

int store_partial_finish(struct store_partial *partial, const struct digest *digest,
                         struct store_file **ret_file, struct error *err)
{
    for (size_t i = 0; i < partial->ranges; i++)
        if (!partial->has[i])
            return error_set(err, -EINVAL, "a range is missing");
    return store_file_adopt(partial->store, partial->dir, partial->name, partial->bytes, digest,
                            ret_file, err);
}

// ---- At start

static bool is_stale(int dir, const char *name)
{
    struct stat stat;
    return fstatat(dir, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
           clock_wall_s() - stat.st_mtime > PARTIAL_KEPT_S;
}

int partial_clean(struct store *store)
{
    int copy = fcntl(store->partial, F_DUPFD_CLOEXEC, 3);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        int code = -errno;
        fd_close(copy);
        return code;
    }
    int r = 0;
    for (struct dirent *each; r == 0 && (each = readdir(dir));)
        if (each->d_name[0] != '.' && is_stale(store->partial, each->d_name))
            r = fs_remove_tree(store->partial, each->d_name);
    closedir(dir);
    return r;
}
