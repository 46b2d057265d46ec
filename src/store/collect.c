// SPDX-License-Identifier: MIT

#include "store/layout.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX 10000000 // of a set: more trees or objects than a disk holds

// What must stay: names of trees, of objects ("ab/...") and of packages (hex).
struct keep {
    struct map trees, objects, packages;
    struct map sets, busy_sets, models; // of DIR/models: "<set>", "<set>", "<set>/<model>"
    struct map unnamed;                 // objects that no bucket named before the lock was taken
    int failure;                        // the first -ENOMEM
};

static char present;

static void keep_put(struct keep *keep, struct map *map, const char *name)
{
    int r = map_put(map, str_of(name), &present);
    if (r < 0 && r != -EEXIST && keep->failure == 0)
        keep->failure = r;
}

static void keep_tree(struct keep *keep, const struct digest *tree)
{
    char hex[DIGEST_HEX_SIZE];
    keep_put(keep, &keep->trees, digest_hex(tree, hex));
}

static void keep_blob(struct keep *keep, const struct digest *blob)
{
    char name[OBJECT_NAME_SIZE], hex[DIGEST_HEX_SIZE];
    object_name(&(struct object_key){.digest = *blob}, name);
    keep_put(keep, &keep->objects, name);
    keep_put(keep, &keep->packages, digest_hex(blob, hex));
}

static void keep_models(struct keep *keep, const struct store_live_models *models)
{
    char set[DIGEST_HEX_SIZE], model[DIGEST_HEX_SIZE], both[2 * DIGEST_HEX_SIZE];
    keep_put(keep, &keep->sets, digest_hex(&models->set, set));
    if (models->is_busy)
        keep_put(keep, &keep->busy_sets, set);
    if (!models->has_model)
        return;
    snprintf(both, sizeof(both), "%s/%s", set, digest_hex(&models->model, model));
    keep_put(keep, &keep->models, both);
}

static void keep_pin(void *arg, const struct store_pin *pin)
{
    if (pin->has_tree)
        keep_tree(arg, &pin->tree);
    if (pin->has_blob)
        keep_blob(arg, &pin->blob);
    if (pin->has_models)
        keep_models(arg, &(struct store_live_models){.set = pin->models, .is_busy = true});
}

static void keep_init(struct keep *keep)
{
    keep->failure = 0;
    map_init(&keep->trees, NAMES_MAX);
    map_init(&keep->objects, NAMES_MAX);
    map_init(&keep->packages, NAMES_MAX);
    map_init(&keep->sets, NAMES_MAX);
    map_init(&keep->busy_sets, NAMES_MAX);
    map_init(&keep->models, NAMES_MAX);
    map_init(&keep->unnamed, NAMES_MAX);
}

static void keep_done(struct keep *keep)
{
    map_done(&keep->trees, NULL);
    map_done(&keep->objects, NULL);
    map_done(&keep->packages, NULL);
    map_done(&keep->sets, NULL);
    map_done(&keep->busy_sets, NULL);
    map_done(&keep->models, NULL);
    map_done(&keep->unnamed, NULL);
}

static int keep_note(struct store *store, struct keep *keep, const struct store_live *live)
{
    for (size_t i = 0; i < live->tree_count; i++)
        keep_tree(keep, &live->trees[i]);
    for (size_t i = 0; i < live->blob_count; i++)
        keep_blob(keep, &live->blobs[i]);
    for (size_t i = 0; i < live->models_count; i++)
        keep_models(keep, &live->models[i]);
    pin_each(store, keep_pin, keep);
    return keep->failure;
}

// ---- Walking a folder's names

struct sweep {
    struct store *store;
    struct keep *keep;
    struct store_collected *collected;
    struct error *err;
    const char *fan; // objects: "ab"; models: the set
    const struct store_live *live;
};

static int each_name(int parent, const char *path, struct sweep *sweep,
                     int (*visit)(struct sweep *sweep, int dir, const char *name))
{
    int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int code = -errno;
        fd_close(fd);
        return error_set_errno(sweep->err, code, "list a folder of the store");
    }
    int r = 0;
    for (struct dirent *each; r == 0 && (each = readdir(dir));) {
        if (each->d_name[0] != '.')
            r = visit(sweep, fd, each->d_name);
    }
    closedir(dir);
    return r;
}

// ---- Trees

static int tree_sweep(struct sweep *sweep, int dir, const char *hex)
{
    if (map_get_text(&sweep->keep->trees, hex))
        return 0;
    // The farm first: a manifest without a farm is a tree, a farm without a manifest is rubbish.
    int r = fs_remove_tree(sweep->store->trees, hex);
    if (r == 0)
        r = fs_remove_tree(sweep->store->manifests, hex);
    if (r < 0)
        return error_set_errno(sweep->err, r, "remove tree '%s'", hex);
    sweep->collected->trees++;
    return 0;
}

static int tree_keep_objects(struct sweep *sweep, int dir, const char *hex)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    struct digest tree_id;
    if (digest_parse_hex(str_of(hex), &tree_id) < 0)
        return error_set(sweep->err, -EUCLEAN, "'%s' is no manifest's name", hex);
    int r = tree_manifest(sweep->store, &tree_id, &manifest, sweep->err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < manifest.count; i++) {
        const struct manifest_entry *entry = &manifest.entries[i];
        if (entry->type == MANIFEST_FILE && entry->size > 0) {
            char name[OBJECT_NAME_SIZE];
            struct object_key key = object_key_of(entry);
            object_name(&key, name);
            keep_put(sweep->keep, &sweep->keep->objects, name);
        }
    }
    return sweep->keep->failure;
}

// ---- Models: what stays keeps its objects, so that the same model is never stored twice

static int model_sweep(struct sweep *sweep, int dir, const char *hex)
{
    char both[2 * DIGEST_HEX_SIZE + NAME_MAX];
    struct digest model;
    snprintf(both, sizeof(both), "%s/%s", sweep->fan, hex);
    bool stays = map_get_text(&sweep->keep->busy_sets, sweep->fan) ||
                 map_get_text(&sweep->keep->models, both);
    if (stays && digest_parse_hex(str_of(hex), &model) == 0) {
        keep_blob(sweep->keep, &model);
        keep_tree(sweep->keep, &model);
        return sweep->keep->failure;
    }
    int r = fs_remove_tree(dir, hex);
    return r < 0 ? error_set_errno(sweep->err, r, "remove model '%s'", both) : 0;
}

static int models_sweep(struct sweep *sweep, int dir, const char *set)
{
    if (map_get_text(&sweep->keep->sets, set)) {
        sweep->fan = set;
        return each_name(dir, set, sweep, model_sweep);
    }
    int r = fs_remove_tree(dir, set);
    return r < 0 ? error_set_errno(sweep->err, r, "remove the models of '%s'", set) : 0;
}

// ---- Objects and packages

static int unlink_counted(struct sweep *sweep, int dir, const char *name, const struct stat *stat,
                          size_t *count)
{
    if (unlinkat(dir, name, 0) < 0)
        return error_set_errno(sweep->err, -errno, "remove '%s'", name);
    ++*count;
    if (stat->st_nlink == 1)
        sweep->collected->bytes += (uint64_t) stat->st_size;
    return 0;
}

// A content of buckets has the digest for a name, and nothing behind it.
static bool is_named(const struct sweep *sweep, const char *name)
{
    struct digest digest;
    return digest_parse_hex(str_of(name), &digest) == 0 &&
           sweep->live->is_named(sweep->live->is_named_arg, &digest) != 0;
}

static int unnamed_note(struct sweep *sweep, int dir, const char *name)
{
    if (!is_named(sweep, name))
        keep_put(sweep->keep, &sweep->keep->unnamed, name);
    return sweep->keep->failure;
}

static int each_object(struct sweep *sweep,
                       int (*visit)(struct sweep *sweep, int dir, const char *name))
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < 256; i++) {
        char fan[3];
        snprintf(fan, sizeof(fan), "%02x", i);
        sweep->fan = fan;
        r = each_name(sweep->store->objects, fan, sweep, visit);
    }
    return r;
}

// Each content of the buckets is asked for before the lock is taken, while others publish: there may
// be millions. Under the lock only those are asked for again that had no name. What has come
// in between, or lost its name, stays until the next time.
static bool has_name(const struct sweep *sweep, const char *name)
{
    if (!sweep->live->is_named)
        return false;
    return !map_get_text(&sweep->keep->unnamed, name) || is_named(sweep, name);
}

static int object_sweep(struct sweep *sweep, int dir, const char *name)
{
    char whole[OBJECT_NAME_SIZE + NAME_MAX];
    struct stat stat;
    snprintf(whole, sizeof(whole), "%s/%s", sweep->fan, name);
    if (map_get_text(&sweep->keep->objects, whole) || has_name(sweep, name) ||
        fstatat(dir, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return unlink_counted(sweep, dir, name, &stat, &sweep->collected->objects);
}

// A package waits a day for the call that names it. Its inode's change time is when it came.
static int package_sweep(struct sweep *sweep, int dir, const char *name)
{
    char object[3 + NAME_MAX + 1];
    struct stat stat;
    snprintf(object, sizeof(object), "%.2s/%s", name, name);
    if (fstatat(dir, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    bool is_object = map_get_text(&sweep->keep->objects, object) != NULL && stat.st_nlink > 1;
    bool is_recent = clock_wall_s() - stat.st_ctime < STORE_PACKAGE_KEPT_S;
    if (!is_object && (is_recent || map_get_text(&sweep->keep->packages, name)))
        return 0;
    return unlink_counted(sweep, dir, name, &stat, &sweep->collected->packages);
}

static int collect_locked(struct sweep *sweep)
{
    struct store *store = sweep->store;
    int r = each_name(store->models, ".", sweep, models_sweep);
    if (r == 0)
        r = each_name(store->manifests, ".", sweep, tree_sweep);
    if (r == 0)
        r = each_name(store->trees, ".", sweep, tree_sweep);
    if (r == 0)
        r = each_name(store->manifests, ".", sweep, tree_keep_objects);
    if (r == 0)
        r = each_object(sweep, object_sweep);
    return r < 0 ? r : each_name(store->packages, ".", sweep, package_sweep);
}

int store_collect(struct store *store, const struct store_live *live,
                  struct store_collected *ret_collected, struct error *err)
{
    struct keep keep;
    struct store_collected collected = {0};
    struct sweep sweep = {
        .store = store, .keep = &keep, .collected = &collected, .err = err, .live = live};
    keep_init(&keep);
    int r = live->is_named ? each_object(&sweep, unnamed_note) : 0;
    if (r == 0) {
        pthread_rwlock_wrlock(&store->publication);
        r = keep_note(store, &keep, live);
        if (r == 0)
            r = collect_locked(&sweep);
        pthread_rwlock_unlock(&store->publication);
    }
    if (keep.failure < 0)
        error_set(err, keep.failure, "no memory for the list of what is live");
    keep_done(&keep);
    if (r < 0)
        return error_wrap(err, r, "collect");
    *ret_collected = collected;
    return 0;
}

// ---- What would go

struct garbage {
    struct digest *trees;
    size_t count, capacity;
};

struct garbage_sweep {
    struct sweep sweep;
    struct garbage garbage;
};

static int garbage_note(struct sweep *sweep, int dir, const char *hex)
{
    struct garbage *garbage = &container_of(sweep, struct garbage_sweep, sweep)->garbage;
    struct digest tree_id;
    if (map_get_text(&sweep->keep->trees, hex) || digest_parse_hex(str_of(hex), &tree_id) < 0)
        return 0;
    if (garbage->count == garbage->capacity) {
        size_t capacity = garbage->capacity ? 2 * garbage->capacity : 16;
        struct digest *trees = reallocarray(garbage->trees, capacity, sizeof(trees[0]));
        if (!trees)
            return error_set(sweep->err, -ENOMEM, "no memory for the list of trees");
        garbage->trees = trees;
        garbage->capacity = capacity;
    }
    garbage->trees[garbage->count++] = tree_id;
    return 0;
}

int store_garbage_trees(struct store *store, const struct store_live *live,
                        struct digest **ret_trees, size_t *ret_count, struct error *err)
{
    struct keep keep;
    struct garbage_sweep all = {.sweep = {.store = store, .keep = &keep, .err = err}};
    keep_init(&keep);
    int r = keep_note(store, &keep, live);
    if (r < 0)
        error_set(err, r, "no memory for the list of what is live");
    if (r == 0)
        r = each_name(store->trees, ".", &all.sweep, garbage_note);
    keep_done(&keep);
    if (r < 0) {
        free(all.garbage.trees);
        return r;
    }
    *ret_trees = all.garbage.trees;
    *ret_count = all.garbage.count;
    return 0;
}
