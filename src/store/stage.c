// SPDX-License-Identifier: MIT

#include "store/stage.h"

#include "base/fd.h"
#include "store/layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int place_dir(const struct store *store, enum store_place place)
{
    return place == STORE_TMP ? store->tmp : store->uploads;
}

int store_stage_new(struct store *store, char ret_name[STORE_STAGE_NAME_SIZE], int *ret_fd,
                    struct error *err)
{
    _Static_assert(TMP_NAME_SIZE <= STORE_STAGE_NAME_SIZE, "a name of tmp/ fits");
    char name[TMP_NAME_SIZE];
    store_tmp_name(store, "put", name);
    int fd = openat(store->tmp, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, -errno, "make a staged file");
    memcpy(ret_name, name, sizeof(name));
    *ret_fd = fd;
    return 0;
}

int store_stage_open(struct store *store, const char *name, int *ret_fd, struct error *err)
{
    int fd = openat(store->uploads, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == EACCES) // it has become an object: to be read only
        fd = openat(store->uploads, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_set_errno(err, -errno, "open the file of an upload");
    *ret_fd = fd;
    return 0;
}

int store_stage_link(struct store *store, const char *name, char ret_name[STORE_STAGE_NAME_SIZE],
                     struct error *err)
{
    char linked[TMP_NAME_SIZE];
    store_tmp_name(store, "put", linked);
    if (linkat(store->uploads, name, store->tmp, linked, 0) < 0)
        return error_set_errno(err, -errno, "link the file of an upload");
    memcpy(ret_name, linked, sizeof(linked));
    return 0;
}

int store_stage_remove(struct store *store, enum store_place place, const char *name)
{
    if (unlinkat(place_dir(store, place), name, 0) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int store_stage_each(struct store *store, int (*visit)(void *arg, const char *name), void *arg,
                     struct error *err)
{
    int fd = openat(store->uploads, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int code = -errno;
        fd_close(fd);
        return error_set_errno(err, code, "list the files of uploads");
    }
    int r = 0;
    for (struct dirent *each; r >= 0 && (each = readdir(dir));) {
        if (each->d_name[0] != '.')
            r = visit(arg, each->d_name);
    }
    closedir(dir);
    return r < 0 ? r : 0;
}

// ---- Publishing

static int content_prepare(int dir, const char *name, const struct object_key *key)
{
    AUTO_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    int r = object_prepare(fd, key);
    // The content first: a name must never be on the disk before what it names.
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

static int fan_sync(struct store *store, const struct object_key *key)
{
    char fan[OBJECT_NAME_SIZE];
    object_name(key, fan);
    fan[2] = 0;
    AUTO_FD int dir = openat(store->objects, fan, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 || fsync(dir) < 0 ? -errno : 0;
}

int store_stage_publish(struct store *store, enum store_place place, const char *name,
                        const struct digest *digest, uint64_t size, struct store_pin **ret_pin,
                        struct error *err)
{
    struct object_key key = {.digest = *digest};
    int dir = place_dir(store, place);
    int r = content_prepare(dir, name, &key);
    if (r < 0)
        return error_set_errno(err, r, "sync a staged file");
    struct store_pin *pin = pin_new(store);
    if (!pin)
        return error_set(err, -ENOMEM, "no memory for an object");
    pin_blob(pin, digest);
    pthread_rwlock_rdlock(&store->publication);
    r = object_publish(store, dir, name, &key, size, err);
    pthread_rwlock_unlock(&store->publication);
    if (r == 0) {
        r = fan_sync(store, &key);
        if (r < 0)
            error_set_errno(err, r, "sync the store");
    }
    if (r < 0) {
        store_unpin(pin);
        return error_wrap(err, r, "store an object");
    }
    *ret_pin = pin;
    return 0;
}

int store_stage_take(struct store *store, struct store_file *file, struct store_pin **ret_pin,
                     struct error *err)
{
    struct digest digest = store_file_digest(file);
    int r = store_stage_publish(store, STORE_TMP, store_file_tmp_name(file), &digest,
                                store_file_bytes(file), ret_pin, err);
    if (r == 0)
        store_file_disown(file);
    store_file_free(file);
    return r;
}

int store_stage_pin(struct store *store, const struct digest *digest, struct store_pin **ret_pin)
{
    char name[OBJECT_NAME_SIZE];
    struct stat stat;
    struct store_pin *pin = pin_new(store);
    if (!pin)
        return -ENOMEM;
    // Pinned first: what is there now cannot be collected any more.
    pin_blob(pin, digest);
    object_name(&(struct object_key){.digest = *digest}, name);
    pthread_rwlock_rdlock(&store->publication);
    int r = fstatat(store->objects, name, &stat, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    pthread_rwlock_unlock(&store->publication);
    if (r < 0) {
        store_unpin(pin);
        return r;
    }
    *ret_pin = pin;
    return 0;
}
