// SPDX-License-Identifier: MIT

#include "s3/parts.h"

#include "base/fd.h"
#include "base/mem.h"
#include "s3/s3_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((size_t) 1024 * 1024)

// What this process knows of an upload: which places of its own file are somebody's. Under
// uploads_lock.
struct upload {
    uint64_t part_size; // 0: not decided
    bool is_sealed;     // its file becomes an object: no further part is written to it
    bool is_joining;    // by one caller
    size_t writing;     // parts that are being written to it
    uint8_t claimed[PARTS_MAX / 8 + 1];
};

static bool is_claimed(const struct upload *upload, unsigned number)
{
    return upload->claimed[number / 8] & (1u << number % 8);
}

static void claim(struct upload *upload, unsigned number, bool is_claimed)
{
    uint8_t bit = (uint8_t) (1u << number % 8);
    upload->claimed[number / 8] = (uint8_t) (is_claimed ? upload->claimed[number / 8] | bit
                                                        : upload->claimed[number / 8] & ~bit);
}

void uploads_done(struct s3 *s3)
{
    map_done(&s3->uploads, free);
}

// ---- Remembering uploads

static int note_part(void *arg, const struct objects_part *part)
{
    if (part->file.size == 0)
        claim(arg, part->number, true);
    return 0;
}

// Its state from the rows: those that an earlier process left.
static int upload_load(struct s3 *s3, const struct objects_upload *row, struct upload **ret_upload,
                       struct error *err)
{
    struct upload *upload = mem_new(struct upload);
    if (!upload)
        return error_set(err, -ENOMEM, "no memory for an upload");
    upload->part_size = row->part_size;
    int r = objects_part_each(s3->objects, str_of(row->id), 0, note_part, upload, err);
    if (r < 0) {
        free(upload);
        return r;
    }
    *ret_upload = upload;
    return 0;
}

// With the lock held on success.
static int upload_lock(struct s3 *s3, const struct objects_upload *row, struct upload **ret_upload,
                       struct error *err)
{
    pthread_mutex_lock(&s3->uploads_lock);
    *ret_upload = map_get_text(&s3->uploads, row->id);
    if (*ret_upload)
        return 0;
    pthread_mutex_unlock(&s3->uploads_lock);
    struct upload *loaded = NULL;
    int r = upload_load(s3, row, &loaded, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s3->uploads_lock);
    r = map_put(&s3->uploads, str_of(row->id), loaded);
    if (r < 0)
        free(loaded); // somebody else was quicker, or there is no memory
    *ret_upload = map_get_text(&s3->uploads, row->id);
    if (*ret_upload)
        return 0;
    pthread_mutex_unlock(&s3->uploads_lock);
    return error_set(err, r, "remember an upload");
}

static void upload_unlock(struct s3 *s3)
{
    pthread_mutex_unlock(&s3->uploads_lock);
}

// ---- One part

// True: the part got its place in the upload's file.
static bool place_in_shared(struct upload *upload, unsigned number, int64_t size,
                            struct part_place *place)
{
    if (upload->is_sealed || size <= 0 || is_claimed(upload, number))
        return false;
    if (upload->part_size == 0 && (uint64_t) size >= PARTS_SHARED_MIN)
        upload->part_size = (uint64_t) size;
    uint64_t offset = (number - 1) * upload->part_size;
    if ((uint64_t) size > upload->part_size || offset + (uint64_t) size > PARTS_SHARED_END)
        return false;
    claim(upload, number, true);
    upload->writing++;
    place->is_shared = true;
    place->offset = offset;
    place->part_size = upload->part_size;
    return true;
}

static void own_file_name(char file[OBJECTS_UPLOAD_SIZE])
{
    uint8_t random[(OBJECTS_UPLOAD_SIZE - 1) / 2];
    mem_random(random, sizeof(random));
    hex_encode(random, sizeof(random), file);
}

int part_open(struct s3 *s3, const struct objects_upload *row, unsigned number, int64_t size,
              struct part_place *ret_place, struct error *err)
{
    struct part_place place = {.fd = -1};
    struct upload *upload;
    int r = upload_lock(s3, row, &upload, err);
    if (r < 0)
        return r;
    bool is_shared = place_in_shared(upload, number, size, &place);
    upload_unlock(s3);
    if (!is_shared)
        own_file_name(place.file);
    r = store_stage_open(s3->config.store, is_shared ? row->id : place.file, &place.fd, err);
    if (r < 0) {
        part_drop(s3, row, number, &place);
        return r;
    }
    *ret_place = place;
    return 0;
}

// Nobody writes to its place in the upload's file any more.
static void place_written(struct s3 *s3, const struct objects_upload *row, unsigned number,
                          bool is_kept)
{
    pthread_mutex_lock(&s3->uploads_lock);
    struct upload *upload = map_get_text(&s3->uploads, row->id);
    if (upload) {
        upload->writing--;
        claim(upload, number, is_kept);
    }
    pthread_mutex_unlock(&s3->uploads_lock);
}

void part_drop(struct s3 *s3, const struct objects_upload *row, unsigned number,
               const struct part_place *place)
{
    if (!place->is_shared) {
        // Else the next start removes it: no row names it.
        (void) !store_stage_remove(s3->config.store, STORE_UPLOADS, place->file);
        return;
    }
    place_written(s3, row, number, false);
}

int part_keep(struct s3 *s3, const struct objects_upload *row, struct objects_part *part,
              const struct part_place *place, int fd, struct error *err)
{
    char replaced[OBJECTS_UPLOAD_SIZE];
    int r = fdatasync(fd) < 0 ? error_set_errno(err, -errno, "sync a part") : 0;
    part->file = str_of(place->is_shared ? "" : place->file);
    if (r == 0)
        r = objects_part_put(s3->objects, str_of(row->id), part,
                             place->is_shared ? place->part_size : 0, replaced, err);
    if (r < 0) {
        part_drop(s3, row, part->number, place);
        return r;
    }
    if (place->is_shared)
        place_written(s3, row, part->number, true);
    if (replaced[0]) // else the next start removes it
        (void) !store_stage_remove(s3->config.store, STORE_UPLOADS, replaced);
    return 0;
}

// ---- The whole

static int copy_into(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t size)
{
    off_t in = (off_t) from_at, out = (off_t) to_at;
    while (size > 0) {
        size_t piece = size < (1u << 30) ? (size_t) size : 1u << 30;
        ssize_t n = copy_file_range(from, &in, to, &out, piece, 0);
        if (n == 0)
            return -EUCLEAN;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            size -= (uint64_t) n;
    }
    return 0;
}

// The digest of the first `size` bytes.
static int digest_file(int fd, uint64_t size, struct digest *ret_digest)
{
    AUTO_DIGEST struct digest_stream stream;
    AUTO_FREE char *piece = malloc(READ_BYTES);
    digest_stream_init(&stream);
    if (!piece)
        return -ENOMEM;
    for (uint64_t at = 0; at < size;) {
        size_t want = size - at < READ_BYTES ? (size_t) (size - at) : READ_BYTES;
        ssize_t n = pread(fd, piece, want, (off_t) at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EUCLEAN;
        digest_update(&stream, piece, (size_t) n);
        at += (uint64_t) n;
    }
    *ret_digest = digest_finish(&stream);
    return 0;
}

struct joining {
    struct s3 *s3;
    const struct objects_upload *row;
    const struct objects_part *parts;
    size_t count;
    uint64_t size;
    int shared;     // -1: there is none
    bool must_copy; // somebody still writes to it
};

static uint64_t part_offset(const struct joining *joining, const struct objects_part *part)
{
    return (part->number - 1) * joining->row->part_size;
}

// Could all of them lie in the upload's file, each at its place? One that has become an object
// already (and then a row was refused) must be the whole as it is.
static bool fits_shared(const struct joining *joining)
{
    uint64_t size = joining->row->part_size;
    struct stat stat;
    if (joining->shared < 0 || joining->must_copy || fstat(joining->shared, &stat) < 0)
        return false;
    bool is_writable = stat.st_mode & S_IWUSR; // objects are not
    if (!is_writable && (uint64_t) stat.st_size != joining->size)
        return false;
    for (size_t i = 0; i < joining->count; i++) {
        const struct objects_part *part = &joining->parts[i];
        bool is_last = i + 1 == joining->count;
        if (part->number != i + 1 || (is_last ? part->size > size : part->size != size) ||
            (!is_writable && part->file.size > 0))
            return false;
    }
    return size > 0;
}

static int part_source(const struct joining *joining, const struct objects_part *part,
                       uint64_t *ret_at, struct error *err)
{
    char name[OBJECTS_UPLOAD_SIZE];
    int fd = -1;
    *ret_at = 0;
    if (part->file.size == 0) {
        *ret_at = part_offset(joining, part);
        fd = joining->shared < 0 ? -1 : fd_duplicate(joining->shared);
        return fd < 0 ? error_set(err, -EUCLEAN, "the upload's file is missing") : fd;
    }
    int r = str_copy(part->file, name, sizeof(name));
    if (r == 0)
        r = store_stage_open(joining->s3->config.store, name, &fd, err);
    return r < 0 ? r : fd;
}

// Copies the parts that have files of their own (all: every part) to where they belong in `to`.
static int copy_parts(const struct joining *joining, int to, bool all, struct error *err)
{
    uint64_t at = 0;
    for (size_t i = 0; i < joining->count; i++) {
        const struct objects_part *part = &joining->parts[i];
        if (all || part->file.size > 0) {
            uint64_t from_at;
            AUTO_FD int from = part_source(joining, part, &from_at, err);
            if (from < 0)
                return from;
            int r = copy_into(from, from_at, to, at, part->size);
            if (r < 0)
                return error_set_errno(err, r, "put part %u in its place", part->number);
        }
        at += part->size;
    }
    return 0;
}

// The file that has the whole: uploads/<name>, or tmp/<name>.
static int join_file(const struct joining *joining, struct parts_joined *joined, bool *ret_is_tmp,
                     int *ret_fd, struct error *err)
{
    struct store *store = joining->s3->config.store;
    const struct objects_part *first = &joining->parts[0];
    *ret_is_tmp = false;
    if (fits_shared(joining)) {
        struct stat stat = {0};
        int r = copy_parts(joining, joining->shared, false, err);
        if (r == 0 && (fstat(joining->shared, &stat) < 0 ||
                       ((uint64_t) stat.st_size > joining->size &&
                        ftruncate(joining->shared, (off_t) joining->size) < 0)))
            r = error_set_errno(err, -errno, "cut the upload's file to its size");
        *ret_fd = r < 0 ? -1 : fd_duplicate(joining->shared);
        return r == 0 ? str_copy(str_of(joining->row->id), joined->name, sizeof(joined->name)) : r;
    }
    if (joining->count == 1 && first->file.size > 0) {
        int r = str_copy(first->file, joined->name, sizeof(joined->name));
        return r < 0 ? r : store_stage_open(store, joined->name, ret_fd, err);
    }
    *ret_is_tmp = true;
    int r = store_stage_new(store, joined->name, ret_fd, err);
    return r < 0 ? r : copy_parts(joining, *ret_fd, true, err);
}

// A second name in tmp/: that one becomes the object, and the upload has its file until its row is
// gone.
static int join_linked(const struct joining *joining, struct parts_joined *joined, bool is_tmp,
                       struct error *err)
{
    char name[STORE_STAGE_NAME_SIZE];
    if (is_tmp)
        return 0;
    int r = store_stage_link(joining->s3->config.store, joined->name, name, err);
    if (r == 0)
        memcpy(joined->name, name, sizeof(name));
    return r;
}

// From here on parts that still come get files of their own. Where one is half written, what it
// writes must not be the object's.
static int seal(struct joining *joining, struct error *err)
{
    struct upload *upload;
    int r = upload_lock(joining->s3, joining->row, &upload, err);
    if (r < 0)
        return r;
    bool is_free = !upload->is_joining;
    upload->is_sealed = upload->is_joining = true;
    joining->must_copy = upload->writing > 0;
    upload_unlock(joining->s3);
    return is_free ? 0 : error_set(err, -EAGAIN, "the upload is being completed already");
}

static void unseal(struct s3 *s3, const struct objects_upload *row)
{
    pthread_mutex_lock(&s3->uploads_lock);
    struct upload *upload = map_get_text(&s3->uploads, row->id);
    if (upload)
        upload->is_joining = false;
    pthread_mutex_unlock(&s3->uploads_lock);
}

// An upload whose joining was interrupted has a file that is an object already: read-only.
static int open_shared(struct joining *joining, struct error *err)
{
    struct store *store = joining->s3->config.store;
    if (joining->row->part_size == 0)
        return 0;
    int r = store_stage_open(store, joining->row->id, &joining->shared, err);
    return r;
}

int parts_join(struct s3 *s3, const struct objects_upload *row, const struct objects_part *parts,
               size_t count, struct parts_joined *ret_joined, struct error *err)
{
    struct joining joining = {.s3 = s3, .row = row, .parts = parts, .count = count, .shared = -1};
    struct parts_joined joined = {.name = ""};
    bool is_tmp = false;
    AUTO_FD int fd = -1;
    for (size_t i = 0; i < count; i++)
        joining.size += parts[i].size;
    joined.size = joining.size;
    if (joined.size == 0) {
        *ret_joined = joined;
        return 0;
    }
    int r = seal(&joining, err);
    if (r < 0)
        return r;
    r = open_shared(&joining, err);
    if (r == 0)
        r = join_file(&joining, &joined, &is_tmp, &fd, err);
    if (r == 0) {
        r = digest_file(fd, joined.size, &joined.sha256);
        if (r < 0)
            error_set_errno(err, r, "read an upload");
    }
    if (r == 0)
        r = join_linked(&joining, &joined, is_tmp, err);
    if (r < 0 && is_tmp)
        (void) !store_stage_remove(s3->config.store, STORE_TMP, joined.name);
    fd_close(joining.shared);
    joined.is_held = r == 0;
    if (r == 0)
        *ret_joined = joined;
    else
        unseal(s3, row);
    return r;
}

void parts_join_end(struct s3 *s3, const struct objects_upload *row,
                    const struct parts_joined *joined)
{
    if (joined->is_held)
        unseal(s3, row);
}

void parts_forget(struct s3 *s3, const struct objects_upload *row, const struct objects_part *parts,
                  size_t count)
{
    // What cannot be removed now goes at the next start: no row names it.
    for (size_t i = 0; i < count; i++) {
        char name[OBJECTS_UPLOAD_SIZE];
        if (parts[i].file.size > 0 && str_copy(parts[i].file, name, sizeof(name)) == 0)
            (void) !store_stage_remove(s3->config.store, STORE_UPLOADS, name);
    }
    (void) !store_stage_remove(s3->config.store, STORE_UPLOADS, row->id);
    pthread_mutex_lock(&s3->uploads_lock);
    free(map_remove(&s3->uploads, str_of(row->id)));
    pthread_mutex_unlock(&s3->uploads_lock);
}
