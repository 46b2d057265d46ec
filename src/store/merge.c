// SPDX-License-Identifier: MIT

#include "store/merge.h"

#include "base/map.h"
#include "base/mem.h"
#include "store/layout.h"

#include <errno.h>

// Values of `paths`: what stands at a path already, put there by a later tree. A closed directory
// stands over something else of a tree between: nothing of earlier trees comes to lie in it.
static char mark_directory, mark_closed, mark_other;

struct merge {
    struct store *store; // borrowed
    struct store_batch *batch;
    struct map paths;
    struct str kept; // empty: none
};

// What is above the path: NULL at the top.
static void *parent_mark(const struct merge *merge, struct str path, bool *ret_has_parent)
{
    ptrdiff_t slash = str_find_last(path, '/');
    *ret_has_parent = slash >= 0;
    return slash < 0 ? NULL : map_get(&merge->paths, str_part(path, 0, (size_t) slash));
}

// The trees come from the last to the first, so what is there already wins. A parent is looked at before
// what is in it: a manifest names directories first.
static bool is_hidden(const struct merge *merge, const struct manifest_entry *entry)
{
    struct str path = str_of_data(entry->path, entry->path_size);
    bool has_parent;
    void *above = parent_mark(merge, path, &has_parent);
    if (has_parent && above != &mark_directory)
        return true;
    return map_get(&merge->paths, path) != NULL;
}

// What is hidden hides in its turn: a file, or a directory of a closed one, closes the directory over it.
static int merge_hidden(struct merge *merge, const struct manifest_entry *entry, struct error *err)
{
    struct str path = str_of_data(entry->path, entry->path_size);
    bool has_parent;
    void *old, *above = parent_mark(merge, path, &has_parent);
    if (map_get(&merge->paths, path) != &mark_directory ||
        (entry->type == MANIFEST_DIRECTORY && above != &mark_closed))
        return 0;
    int r = map_replace(&merge->paths, path, &mark_closed, &old);
    return r < 0 ? error_set(err, r, "no memory for the tree") : 0;
}

static int merge_entry(struct merge *merge, const struct manifest_entry *entry, struct error *err)
{
    if (is_hidden(merge, entry))
        return merge_hidden(merge, entry, err);
    struct str path = str_of_data(entry->path, entry->path_size);
    void *mark = entry->type == MANIFEST_DIRECTORY ? &mark_directory : &mark_other;
    int r = map_put(&merge->paths, path, mark);
    if (r < 0)
        return error_set(err, r == -E2BIG ? r : -ENOMEM,
                         "the trees have too many entries together");
    return batch_add_known(merge->batch, entry, err);
}

static int merge_tree(struct merge *merge, const struct digest *tree_id, struct error *err)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    int r = tree_manifest(merge->store, tree_id, &manifest, err);
    for (size_t i = 0; r == 0 && i < manifest.count; i++)
        r = merge_entry(merge, &manifest.entries[i], err);
    return r;
}

// Nothing can come to lie in it: for what is beneath, it is no directory.
static int merge_kept(struct merge *merge, struct error *err)
{
    if (merge->kept.size == 0)
        return 0;
    int r = store_batch_directory(merge->batch, merge->kept, err);
    if (r < 0)
        return r;
    r = map_put(&merge->paths, merge->kept, &mark_other);
    return r < 0 ? error_set(err, r, "no memory for the tree") : 0;
}

static int merge_all(struct merge *merge, const struct digest *trees, size_t count,
                     struct error *err)
{
    int r = merge_kept(merge, err);
    for (size_t i = count; r == 0 && i-- > 0;)
        r = merge_tree(merge, &trees[i], err);
    return r;
}

static void unpin_all(struct store_pin **pins, size_t count)
{
    for (size_t i = 0; i < count; i++)
        store_unpin(pins[i]);
    free(pins);
}

// Pinned before they are read: a tree that is there then stays until the merged one has its links.
static struct store_pin **pin_all(struct store *store, const struct digest *trees, size_t count)
{
    struct store_pin **pins = calloc(count + 1, sizeof(*pins));
    for (size_t i = 0; pins && i < count; i++) {
        pins[i] = pin_new(store);
        if (!pins[i]) {
            unpin_all(pins, i);
            return NULL;
        }
        pin_tree(pins[i], &trees[i]);
    }
    return pins;
}

int store_tree_merge(struct store *store, const struct digest *trees, size_t count,
                     const char *kept, struct digest *ret_tree_id, struct store_pin **ret_pin,
                     struct error *err)
{
    struct merge merge = {.store = store, .kept = kept ? str_of(kept) : (struct str){NULL, 0}};
    struct store_pin **pins = pin_all(store, trees, count);
    merge.batch = pins ? store_batch_new(store) : NULL;
    if (!merge.batch) {
        if (pins)
            unpin_all(pins, count);
        return error_set(err, -ENOMEM, "no memory to merge trees");
    }
    map_init(&merge.paths, STORE_ENTRIES_MAX + 1);
    int r = merge_all(&merge, trees, count, err);
    if (r == 0)
        r = store_batch_commit(merge.batch, ret_tree_id, ret_pin, err);
    map_done(&merge.paths, NULL);
    store_batch_free(merge.batch);
    unpin_all(pins, count);
    return r < 0 ? error_wrap(err, r, "merge trees") : 0;
}

int store_tree_has_files_in(struct store *store, const struct digest *tree_id, struct str folder,
                            struct error *err)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    int r = tree_manifest(store, tree_id, &manifest, err);
    for (size_t i = 0; r == 0 && i < manifest.count; i++) {
        const struct manifest_entry *entry = &manifest.entries[i];
        struct str path = str_of_data(entry->path, entry->path_size);
        bool is_link = entry->type == MANIFEST_LINK && str_equal(path, folder);
        if (is_link ||
            (entry->type != MANIFEST_DIRECTORY &&
             str_find_last(path, '/') == (ptrdiff_t) folder.size && str_has_prefix(path, folder)))
            return 1;
    }
    return r;
}
