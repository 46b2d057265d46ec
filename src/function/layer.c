/* SPDX-License-Identifier: MIT */

#include "function/layer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "meta/registry.h"

#define KIND_LAYER "layer"
#define KIND_LAYER_VERSION "layer-version"
#define KEY_MAX (VERSION_LAYER_NAME_MAX + 24)
#define LAYER_JSON_MAX 256

struct layers {
    struct registry *registry; /* borrowed */
    struct layer **list;       /* owned; in the order of names */
    size_t count, capacity;
    size_t versions; /* of all, those on their way to the disk included */
};

/* A change on its way to the disk; the table is changed when it is there. */
struct pending {
    struct layers *layers;
    enum { PENDING_PUBLISH, PENDING_DELETE, PENDING_POLICY } kind;
    struct layer *layer;           /* borrowed: layers are not freed before the end */
    struct layer_version *version; /* owned until it is in the table; NULL: a deletion */
    uint64_t number;
    char layer_json[LAYER_JSON_MAX];
    char key[KEY_MAX];
    layers_done done;
    void *arg;
};

struct layer_version *layer_version_new(void)
{
    struct layer_version *version = mem_new(struct layer_version);
    if (version)
        (void) uuid_new(version->revision_id);
    return version;
}

void layer_version_free(struct layer_version *version)
{
    if (!version)
        return;
    free(version->description);
    free(version->license);
    free(version->runtimes_json);
    free(version->architectures_json);
    free(version->policy_json);
    free(version);
}

/* ---- the table */

static size_t layer_place(const struct layers *layers, struct str name, bool *ret_is_there)
{
    size_t low = 0, high = layers->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(str_of(layers->list[middle]->name), name);
        if (order == 0) {
            *ret_is_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_is_there = false;
    return low;
}

static struct layer *layer_find(const struct layers *layers, struct str name)
{
    bool is_there;
    size_t i = layer_place(layers, name, &is_there);
    return is_there ? layers->list[i] : NULL;
}

const struct layer *layers_find(const struct layers *layers, struct str name)
{
    return layer_find(layers, name);
}

const struct layer *layers_next(const struct layers *layers, const char *after)
{
    bool is_there;
    size_t i = after[0] ? layer_place(layers, str_of(after), &is_there) : 0;
    if (after[0] && is_there)
        i++;
    return i < layers->count ? layers->list[i] : NULL;
}

/* Where the number is, or would be. */
static size_t version_place(const struct layer *layer, uint64_t number)
{
    size_t i = layer->count;
    while (i > 0 && layer->versions[i - 1]->number >= number)
        i--;
    return i;
}

static struct layer_version *version_find(const struct layer *layer, uint64_t number)
{
    size_t i = version_place(layer, number);
    return i < layer->count && layer->versions[i]->number == number ? layer->versions[i] : NULL;
}

const struct layer_version *layers_find_version(const struct layers *layers, struct str name,
                                                uint64_t number)
{
    const struct layer *layer = layer_find(layers, name);
    return layer ? version_find(layer, number) : NULL;
}

void layers_each_version(const struct layers *layers,
                         void (*visit)(void *arg, const struct layer_version *version), void *arg)
{
    for (size_t i = 0; i < layers->count; i++)
        for (size_t j = 0; j < layers->list[i]->count; j++)
            visit(arg, layers->list[i]->versions[j]);
}

static int layer_insert(struct layers *layers, struct str name, struct layer **ret_layer)
{
    bool is_there;
    size_t i = layer_place(layers, name, &is_there);
    if (is_there) {
        *ret_layer = layers->list[i];
        return 0;
    }
    if (layers->count == LAYER_NAMES_MAX)
        return -ENOSPC;
    if (layers->count == layers->capacity) {
        size_t capacity = layers->capacity ? 2 * layers->capacity : 16;
        struct layer **list = reallocarray(layers->list, capacity, sizeof(struct layer *));
        if (!list)
            return -ENOMEM;
        layers->list = list;
        layers->capacity = capacity;
    }
    struct layer *layer = mem_new(struct layer);
    if (!layer)
        return -ENOMEM;
    if (str_copy(name, layer->name, sizeof(layer->name)) < 0) {
        free(layer);
        return -EINVAL;
    }
    layer->next_number = 1;
    memmove(layers->list + i + 1, layers->list + i, (layers->count - i) * sizeof(struct layer *));
    layers->list[i] = layer;
    layers->count++;
    *ret_layer = layer;
    return 0;
}

static bool layer_is_live(const struct layer *layer)
{
    return layer->count + layer->pending > 0;
}

/* May the layer of that name have its first version, or its first after all were deleted? */
static bool may_live(const struct layers *layers, struct str name)
{
    const struct layer *own = layer_find(layers, name);
    size_t live = 0;
    if (own && layer_is_live(own))
        return true;
    for (size_t i = 0; i < layers->count; i++)
        live += layer_is_live(layers->list[i]);
    return live < LAYERS_MAX;
}

/* Room for one more, and for those on their way, so that adding one after its commit cannot fail. */
static int layer_reserve(struct layer *layer)
{
    size_t wanted = layer->count + layer->pending + 1;
    if (wanted <= layer->capacity)
        return 0;
    size_t capacity = 2 * wanted;
    struct layer_version **versions =
        reallocarray(layer->versions, capacity, sizeof(struct layer_version *));
    if (!versions)
        return -ENOMEM;
    layer->versions = versions;
    layer->capacity = capacity;
    return 0;
}

static void layer_add(struct layer *layer, struct layer_version *version)
{
    size_t i = version_place(layer, version->number);
    assert(layer->count < layer->capacity);
    memmove(layer->versions + i + 1, layer->versions + i,
            (layer->count - i) * sizeof(struct layer_version *));
    layer->versions[i] = version;
    layer->count++;
}

static void layer_remove(struct layers *layers, struct layer *layer, uint64_t number)
{
    size_t i = version_place(layer, number);
    if (i == layer->count || layer->versions[i]->number != number)
        return;
    layer_version_free(layer->versions[i]);
    layer->count--;
    memmove(layer->versions + i, layer->versions + i + 1,
            (layer->count - i) * sizeof(struct layer_version *));
    layers->versions--;
}

/* ---- loading */

struct loading {
    struct layers *layers;
    struct error *err;
};

static int load_layer(void *arg, const char *key, struct str value, int64_t revision)
{
    struct loading *loading = arg;
    AUTO_JSON yyjson_doc *doc = NULL;
    struct layer *layer;
    int64_t next = 0;
    (void) revision; /* the table counts; the row follows it */
    if (json_parse(value, LAYER_JSON_MAX, &doc, loading->err) < 0 ||
        json_member_i64(yyjson_doc_get_root(doc), "NextNumber", 1, INT64_MAX, &next) < 0)
        return error_set(loading->err, -EBADMSG, "the row of layer '%s' is damaged", key);
    int r = layer_insert(loading->layers, str_of(key), &layer);
    if (r < 0)
        return error_set_errno(loading->err, r, "load layer '%s'", key);
    layer->next_number = (uint64_t) next;
    return 0;
}

static int load_version_row(struct loading *loading, const char *key, struct str value,
                            struct layer_version *version)
{
    struct str name;
    struct str number;
    if (!str_cut(str_of(key), ':', &name, &number) ||
        str_to_u64(number, INT64_MAX, &version->number) < 0 ||
        str_copy(name, version->name, sizeof(version->name)) < 0)
        return error_set(loading->err, -EBADMSG, "layer version '%s' has no number", key);
    struct layer *layer = layer_find(loading->layers, name);
    if (!layer || version->number == 0 || version->number >= layer->next_number ||
        version_find(layer, version->number))
        return error_set(loading->err, -EBADMSG, "layer version '%s' has no layer", key);
    int r = layer_version_from_json(value, version, loading->err);
    if (r == 0)
        r = layer_reserve(layer);
    if (r < 0)
        return error_wrap(loading->err, r, "layer version '%s'", key);
    layer_add(layer, version);
    loading->layers->versions++;
    return 0;
}

static int load_version(void *arg, const char *key, struct str value, int64_t revision)
{
    struct loading *loading = arg;
    struct layer_version *version = layer_version_new();
    if (!version)
        return error_set(loading->err, -ENOMEM, "no memory for a layer version");
    version->revision = revision;
    int r = load_version_row(loading, key, value, version);
    if (r < 0)
        layer_version_free(version);
    return r;
}

int layers_new(struct registry *registry, struct layers **ret_layers, struct error *err)
{
    struct layers *layers = mem_new(struct layers);
    if (!layers)
        return error_set(err, -ENOMEM, "no memory for the layers");
    struct loading loading = {layers, err};
    layers->registry = registry;
    int r = registry_list(registry, KIND_LAYER, load_layer, &loading, err);
    if (r == 0)
        r = registry_list(registry, KIND_LAYER_VERSION, load_version, &loading, err);
    if (r < 0) {
        layers_free(layers);
        return error_wrap(err, r, "load the layers");
    }
    *ret_layers = layers;
    return 0;
}

void layers_free(struct layers *layers)
{
    if (!layers)
        return;
    for (size_t i = 0; i < layers->count; i++) {
        struct layer *layer = layers->list[i];
        for (size_t j = 0; j < layer->count; j++)
            layer_version_free(layer->versions[j]);
        free(layer->versions);
        free(layer);
    }
    free(layers->list);
    free(layers);
}

/* ---- changes */

static struct pending *pending_new(struct layers *layers, struct layer *layer, uint64_t number,
                                   layers_done done, void *arg)
{
    struct pending *pending = mem_new(struct pending);
    if (!pending)
        return NULL;
    pending->layers = layers;
    pending->layer = layer;
    pending->number = number;
    pending->done = done;
    pending->arg = arg;
    (void) snprintf(pending->key, sizeof(pending->key), "%s:%llu", layer->name,
                    (unsigned long long) number);
    return pending;
}

static const struct layer_version *apply_publish(struct pending *pending)
{
    struct layer_version *version = TAKE_PTR(pending->version);
    layer_add(pending->layer, version);
    return version;
}

/* Its content stays; only who may use it is another. */
static const struct layer_version *apply_policy(struct pending *pending)
{
    struct layer_version *version = version_find(pending->layer, pending->number);
    struct layer_version *changed = pending->version;
    if (!version)
        return NULL;
    free(version->policy_json);
    version->policy_json = TAKE_PTR(changed->policy_json);
    version->revision = changed->revision;
    memcpy(version->revision_id, changed->revision_id, sizeof(version->revision_id));
    return version;
}

static void committed(void *arg, const struct registry_result *result)
{
    struct pending *pending = arg;
    const struct layer_version *version = NULL;
    if (pending->kind == PENDING_PUBLISH)
        pending->layer->pending--;
    if (pending->version)
        pending->version->revision = result->revision;
    if (result->err && pending->kind == PENDING_PUBLISH)
        pending->layers->versions--;
    else if (!result->err && pending->kind == PENDING_PUBLISH)
        version = apply_publish(pending);
    else if (!result->err && pending->kind == PENDING_POLICY)
        version = apply_policy(pending);
    else if (!result->err)
        layer_remove(pending->layers, pending->layer, pending->number);
    pending->done(pending->arg, version, result->err);
    layer_version_free(pending->version);
    free(pending);
}

static int publish_submit(struct pending *pending)
{
    struct registry *registry = pending->layers->registry;
    struct registry_operation operations[2] = {
        {.verb = REGISTRY_PUT,
         .kind = KIND_LAYER,
         .key = pending->layer->name,
         .value = pending->layer_json,
         .expected_revision = REGISTRY_ANY},
        {.verb = REGISTRY_PUT,
         .kind = KIND_LAYER_VERSION,
         .key = pending->key,
         .expected_revision = REGISTRY_ABSENT},
    };
    int size =
        snprintf(pending->layer_json, sizeof(pending->layer_json),
                 "{\"Schema\":1,\"NextNumber\":%llu}", (unsigned long long) pending->number + 1);
    operations[0].value_size = (size_t) size;
    AUTO_FREE char *json = layer_version_to_json(pending->version, &operations[1].value_size);
    if (!json)
        return -ENOMEM;
    operations[1].value = json;
    return registry_commit(registry, operations, ARRAY_SIZE(operations), committed, pending);
}

int layers_publish(struct layers *layers, struct layer_version *draft, layers_done done, void *arg)
{
    struct layer *layer = NULL;
    struct pending *pending = NULL;
    bool is_room = layers->versions < LAYER_VERSIONS_MAX && may_live(layers, str_of(draft->name));
    int r = is_room ? 0 : -ENOSPC;
    if (r == 0)
        r = layer_insert(layers, str_of(draft->name), &layer);
    if (r == 0)
        r = layer_reserve(layer);
    if (r == 0) {
        pending = pending_new(layers, layer, layer->next_number, done, arg);
        r = pending ? 0 : -ENOMEM;
    }
    if (r == 0) {
        pending->kind = PENDING_PUBLISH;
        pending->version = draft;
        draft->number = pending->number;
        r = publish_submit(pending);
    }
    if (r < 0) {
        free(pending);
        layer_version_free(draft);
        return r;
    }
    /* Also if the commit fails: a number that somebody may have seen is not used again. */
    layer->next_number++;
    layer->pending++;
    layers->versions++;
    return 0;
}

int layers_delete(struct layers *layers, struct str name, uint64_t number, layers_done done,
                  void *arg)
{
    struct layer *layer = layer_find(layers, name);
    if (!layer || !version_find(layer, number))
        return -ENOENT;
    struct pending *pending = pending_new(layers, layer, number, done, arg);
    if (!pending)
        return -ENOMEM;
    pending->kind = PENDING_DELETE;
    int r = registry_delete(layers->registry, KIND_LAYER_VERSION, pending->key, REGISTRY_ANY,
                            committed, pending);
    if (r < 0)
        free(pending);
    return r;
}

/* The row as it will be: the texts are borrowed but for the policy. */
static int policy_submit(struct pending *pending, const struct layer_version *version)
{
    struct layer_version row = *version;
    size_t size;
    row.policy_json = pending->version->policy_json;
    memcpy(row.revision_id, pending->version->revision_id, sizeof(row.revision_id));
    AUTO_FREE char *json = layer_version_to_json(&row, &size);
    if (!json)
        return -ENOMEM;
    return registry_put(pending->layers->registry, KIND_LAYER_VERSION, pending->key,
                        str_of_data(json, size), version->revision, committed, pending);
}

int layers_set_policy(struct layers *layers, struct str name, uint64_t number,
                      const char *policy_json, layers_done done, void *arg)
{
    struct layer *layer = layer_find(layers, name);
    const struct layer_version *version = layer ? version_find(layer, number) : NULL;
    if (!version)
        return -ENOENT;
    struct pending *pending = pending_new(layers, layer, number, done, arg);
    struct layer_version *changed = layer_version_new();
    int r = pending && changed ? 0 : -ENOMEM;
    if (r == 0 && policy_json) {
        changed->policy_json = mem_copy_text(policy_json);
        r = changed->policy_json ? 0 : -ENOMEM;
    }
    if (r == 0) {
        pending->kind = PENDING_POLICY;
        pending->version = changed;
        r = policy_submit(pending, version);
    }
    if (r < 0) {
        layer_version_free(changed);
        free(pending);
    }
    return r;
}
