// SPDX-License-Identifier: MIT

#include "store/layout.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

// The daemon that was killed a moment ago may still be ending: its lock goes with it.
#define LOCK_WAIT_MS 10000
#define LOCK_POLL_US 20000

// Kept free for the registry and the logs: a deployment must not be what stops them.
#define RESERVE_BYTES (UINT64_C(16) * 1024 * 1024)

void store_tmp_name(struct store *store, const char *kind, char name[TMP_NAME_SIZE])
{
    snprintf(name, TMP_NAME_SIZE, "%.8s-%llu", kind,
             (unsigned long long) atomic_fetch_add(&store->next_tmp, 1));
}

// ---- The lock: DIR/store.lock holds the pid of who has it

static long lock_holder(int fd)
{
    char text[24] = "";
    uint64_t pid = 0;
    ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
    struct str line = str_trim(str_of_data(text, size > 0 ? (size_t) size : 0));
    return str_to_u64(line, INT32_MAX, &pid) == 0 ? (long) pid : 0;
}

static int lock_take(int fd, const char *data_dir, struct error *err)
{
    int64_t give_up_ms = clock_monotonic_ms() + LOCK_WAIT_MS;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set_errno(err, -errno, "lock '%s/store.lock'", data_dir);
        long holder = lock_holder(fd);
        if (holder == (long) getpid() || clock_monotonic_ms() >= give_up_ms)
            return error_set(err, -EBUSY, "the data directory '%s' is in use by process %ld",
                             data_dir, holder);
        usleep(LOCK_POLL_US);
    }
    char text[24];
    int size = snprintf(text, sizeof(text), "%ld\n", (long) getpid());
    // For people only: a full disk must not keep the service from starting.
    (void) !ftruncate(fd, 0);
    (void) !pwrite(fd, text, (size_t) size, 0);
    return 0;
}

static int store_lock(struct store *store, int dir, const char *data_dir, struct error *err)
{
    store->lock = openat(dir, "store.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock < 0)
        return error_set_errno(err, -errno, "open '%s/store.lock'", data_dir);
    return lock_take(store->lock, data_dir, err);
}

// ---- Folders

static int make_fan_out(int objects)
{
    for (unsigned i = 0; i < 256; i++) {
        char name[3];
        snprintf(name, sizeof(name), "%02x", i);
        if (mkdirat(objects, name, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

// What was being written when the last process ended.
static int empty_tmp(int tmp)
{
    int copy = fcntl(tmp, F_DUPFD_CLOEXEC, 3);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        int code = -errno;
        fd_close(copy);
        return code;
    }
    int r = 0;
    for (struct dirent *each; r == 0 && (each = readdir(dir));) {
        if (strcmp(each->d_name, ".") != 0 && strcmp(each->d_name, "..") != 0)
            r = fs_remove_tree(tmp, each->d_name);
    }
    closedir(dir);
    return r;
}

static int open_folders(struct store *store, int dir, struct error *err)
{
    struct {
        int *fd;
        const char *name;
    } folders[] = {
        {&store->objects, "objects"}, {&store->manifests, "manifests"},
        {&store->trees, "trees"},     {&store->packages, "packages"},
        {&store->models, "models"},   {&store->partial, "partial"},
        {&store->uploads, "uploads"}, {&store->tmp, "tmp"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        *folders[i].fd = fs_make_dir_open(dir, folders[i].name, 0755);
        if (*folders[i].fd < 0)
            return error_set_errno(err, *folders[i].fd, "open the store's folder '%s'",
                                   folders[i].name);
    }
    int r = empty_tmp(store->tmp);
    if (r < 0)
        return error_set_errno(err, r, "empty the store's folder 'tmp'");
    r = partial_clean(store);
    if (r < 0)
        return error_set_errno(err, r, "clean the store's folder 'partial'");
    r = make_fan_out(store->objects);
    return r < 0 ? error_set_errno(err, r, "make the folders of 'objects'") : 0;
}

int store_open(const char *data_dir, struct store **ret_store, struct error *err)
{
    AUTO_FD int dir = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set_errno(err, -errno, "open the data directory '%s'", data_dir);
    struct store *store = mem_new(struct store);
    if (!store)
        return error_set(err, -ENOMEM, "no memory for the store");
    store->objects = store->manifests = store->trees = store->packages = store->models = -1;
    store->uploads = store->partial = -1;
    store->tmp = -1;
    store->lock = -1;
    pthread_rwlock_init(&store->publication, NULL);
    pthread_mutex_init(&store->pins_lock, NULL);
    list_init(&store->pins);
    list_init(&store->pins_kept);
    int r = store_lock(store, dir, data_dir, err);
    if (r == 0)
        r = open_folders(store, dir, err);
    if (r < 0) {
        store_close(store);
        return error_wrap(err, r, "open the store");
    }
    *ret_store = store;
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store_collect_end(store);
    fd_close(store->objects);
    fd_close(store->manifests);
    fd_close(store->trees);
    fd_close(store->packages);
    fd_close(store->models);
    fd_close(store->partial);
    fd_close(store->uploads);
    fd_close(store->tmp);
    fd_close(store->lock);
    pthread_mutex_destroy(&store->pins_lock);
    pthread_rwlock_destroy(&store->publication);
    free(store);
}

int store_bytes_free(const struct store *store, uint64_t *ret_bytes)
{
    uint64_t bytes;
    int r = fs_bytes_free(store->tmp, &bytes);
    if (r < 0)
        return r;
    *ret_bytes = bytes > RESERVE_BYTES ? bytes - RESERVE_BYTES : 0;
    return 0;
}
