// SPDX-License-Identifier: MIT

#include "store/layout.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// The page cache takes what one write brings in the largest pages that fit. A file that comes in aligned pieces of a huge
// page is mapped by huge pages later: a model's first touch takes a fault for 2 MiB of it and no page tables (ext4 of
// Linux 6.16 and later, xfs; elsewhere nothing is lost).
#define BLOCK_BYTES ((size_t) 2 << 20)
#define BLOCK_BYTES_FIRST ((size_t) 64 << 10) // most files are small

struct store_file {
    struct store *store; // borrowed
    int fd;              // -1 once finished
    bool is_owner;       // removes tmp/<name> when freed
    uint64_t bytes;
    char *block; // what is not written yet; NULL: nothing was
    size_t used, room;
    struct digest_stream stream;
    struct digest digest; // once finished
    char name[TMP_NAME_SIZE];
};

int store_file_new(struct store *store, struct store_file **ret_file, struct error *err)
{
    struct store_file *file = mem_new(struct store_file);
    if (!file)
        return error_set(err, -ENOMEM, "no memory for a staged file");
    file->store = store;
    store_tmp_name(store, "file", file->name);
    file->fd = openat(store->tmp, file->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        int code = -errno;
        free(file);
        return error_set_errno(err, code, "make a staged file");
    }
    file->is_owner = true;
    digest_stream_init(&file->stream);
    *ret_file = file;
    return 0;
}

int store_file_adopt(struct store *store, int dir, const char *name, uint64_t bytes,
                     const struct digest *digest, struct store_file **ret_file, struct error *err)
{
    struct store_file *file = mem_new(struct store_file);
    if (!file)
        return error_set(err, -ENOMEM, "no memory for a staged file");
    file->store = store;
    file->fd = -1;
    file->bytes = bytes;
    file->digest = *digest;
    store_tmp_name(store, "file", file->name);
    if (linkat(dir, name, store->tmp, file->name, 0) < 0) {
        int code = -errno;
        free(file);
        return error_set_errno(err, code, "stage a file");
    }
    file->is_owner = true;
    *ret_file = file;
    return 0;
}

static int block_write(struct store_file *file)
{
    int r = fd_write_all(file->fd, file->block, file->used);
    file->used = 0;
    return r;
}

// Room for at least one byte more.
static int block_grow(struct store_file *file)
{
    if (file->room == BLOCK_BYTES) {
        int r = block_write(file);
        // The disk begins now, beside whoever brings the next block: the commit, which waits for all of it, finds less.
        (void) sync_file_range(file->fd, 0, 0,
                               SYNC_FILE_RANGE_WRITE); // only earlier: the commit syncs
        return r;
    }
    size_t room = file->room > 0 ? 2 * file->room : BLOCK_BYTES_FIRST;
    char *block = realloc(file->block, room);
    if (!block)
        return -ENOMEM;
    file->block = block;
    file->room = room;
    return 0;
}

int store_file_write(struct store_file *file, const void *data, size_t size, struct error *err)
{
    const char *from = data;
    int r = 0;
    digest_update(&file->stream, data, size);
    for (size_t left = size, n; r == 0 && left > 0; from += n, left -= n) {
        n = 0;
        if (file->used == file->room && (r = block_grow(file)) < 0)
            break;
        n = left < file->room - file->used ? left : file->room - file->used;
        memcpy(file->block + file->used, from, n);
        file->used += n;
    }
    if (r < 0)
        return error_set_errno(err, r, "write a staged file");
    file->bytes += size;
    return 0;
}

int store_file_finish(struct store_file *file, struct error *err)
{
    int r = file->used > 0 ? block_write(file) : 0;
    free(TAKE_PTR(file->block));
    if (r < 0)
        return error_set_errno(err, r, "write a staged file");
    file->digest = digest_finish(&file->stream);
    digest_stream_done(&file->stream);
    int fd = TAKE_FD(file->fd);
    if (close(fd) < 0 && errno != EINTR)
        return error_set_errno(err, -errno, "close a staged file");
    return 0;
}

void store_file_free(struct store_file *file)
{
    if (!file)
        return;
    if (file->fd >= 0) {
        digest_stream_done(&file->stream);
        fd_close(file->fd);
    }
    free(file->block);
    // Left over if it cannot be removed: the next start empties tmp/.
    if (file->is_owner)
        (void) !unlinkat(file->store->tmp, file->name, 0);
    free(file);
}

uint64_t store_file_bytes(const struct store_file *file)
{
    return file->bytes;
}

struct digest store_file_digest(const struct store_file *file)
{
    return file->digest;
}

int store_file_open(const struct store_file *file)
{
    int fd = openat(file->store->tmp, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

const char *store_file_tmp_name(const struct store_file *file)
{
    return file->name;
}

void store_file_disown(struct store_file *file)
{
    file->is_owner = false;
}
