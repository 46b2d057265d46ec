// SPDX-License-Identifier: MIT

#include "fetch/fetch_plan.h"

#include "base/mem.h"
#include "fetch/s3_download.h"
#include "store/manifest.h"
#include "store/models.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int fetch_plan_init(struct fetch_plan *plan, struct str uri, const struct origins *origins,
                    struct error *err)
{
    *plan = (struct fetch_plan){.uri = str_copy_heap(uri)};
    if (!plan->uri)
        return error_set(err, -ENOMEM, "no memory");
    int r = s3_uri_parse(str_of_data(plan->uri, uri.size), &plan->parsed, err);
    if (r < 0) {
        fetch_plan_done(plan);
        return r;
    }
    plan->origin = origins_find(origins, plan->parsed.bucket);
    return 0;
}

int fetch_plan_init_place(struct fetch_plan *plan, const struct file_place *place,
                          struct error *err)
{
    char key[FILE_KEY_SIZE];
    file_place_key(place, key);
    *plan =
        (struct fetch_plan){.uri = mem_copy_text(key), .place = mem_copy(place, sizeof(*place))};
    if (plan->uri && plan->place)
        return 0;
    fetch_plan_done(plan);
    return error_set(err, -ENOMEM, "no memory");
}

void fetch_plan_done(struct fetch_plan *plan)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        free(plan->files[i].path);
        free(plan->files[i].key);
        store_file_free(plan->files[i].staged);
    }
    store_file_free(plan->question.staged);
    free(plan->files);
    free(plan->place);
    free(plan->uri);
    *plan = (struct fetch_plan){0};
}

// ---- Names

static bool is_model_name(struct str name)
{
    static const struct str suffixes[] = {{".onnx", 5}, {".ort", 4}, {".tflite", 7}, {".ubj", 4}};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
        if (str_has_suffix(name, suffixes[i]))
            return true;
    return false;
}

void fetch_name_of_key(struct str key, char name[256])
{
    ptrdiff_t slash = str_find_last(key, '/');
    struct str last = slash < 0 ? key : str_skip(key, (size_t) slash + 1);
    bool is_good = last.size <= 255 && manifest_path_check(last) == 0;
    for (size_t i = 0; i < last.size; i++)
        is_good &= (unsigned char) last.data[i] >= 0x20 && last.data[i] != 0x7f;
    if (is_good && str_copy(last, name, 256) == 0)
        return;
    // A key may hold any byte; a file's name may not. What kind of model it is stays.
    ptrdiff_t dot = str_find_last(last, '.');
    bool keeps = dot >= 0 && is_model_name(last);
    (void) snprintf(name, 256, "model%.*s", keeps ? (int) (last.size - (size_t) dot) : 0,
                    keeps ? last.data + dot : "");
}

// ---- Looking

static int file_add(struct fetch_plan *plan, struct str key, struct str path,
                    const struct fetch_file *file)
{
    if (plan->file_count == FETCH_FILES_MAX)
        return -E2BIG;
    if (plan->file_count == plan->file_capacity) {
        size_t capacity = plan->file_capacity ? 2 * plan->file_capacity : 4;
        struct fetch_file *files = reallocarray(plan->files, capacity, sizeof(*files));
        if (!files)
            return -ENOMEM;
        plan->files = files;
        plan->file_capacity = capacity;
    }
    struct fetch_file *added = &plan->files[plan->file_count];
    *added = *file;
    added->key = str_copy_heap(key);
    added->path = str_copy_heap(path);
    plan->file_count++;
    return added->key && added->path ? 0 : -ENOMEM;
}

// An object beneath the prefix. Names that end in '/' are what some tools make for folders.
static int beneath_add(struct fetch_plan *plan, struct str key, const struct fetch_file *file)
{
    struct str path = str_skip(key, plan->parsed.key.size);
    if (path.size == 0 || path.data[path.size - 1] == '/')
        return 0;
    if (manifest_path_check(path) < 0)
        return -EILSEQ;
    return file_add(plan, key, path, file);
}

static int beneath_local(void *arg, struct str key, const struct fetch_local_object *object)
{
    const struct fetch_file file = {
        .is_here = true, .digest = object->digest, .bytes = object->bytes};
    return beneath_add(arg, key, &file);
}

static int beneath_remote(void *arg, const struct s3_xml_entry *entry)
{
    const struct fetch_file file = {.bytes = entry->bytes};
    return beneath_add(arg, str_of(entry->key), &file);
}

// The state of all files together: of each its key and its own mark.
struct marking {
    struct digest_stream stream;
};

static void marking_add(struct marking *marking, const char *key, const char *mark)
{
    digest_update(&marking->stream, key, strlen(key) + 1);
    digest_update(&marking->stream, mark, strlen(mark) + 1);
}

// Of a prefix in another store the list alone tells too little: each object is asked for.
static int mark_remote(struct fetch_plan *plan, struct marking *marking, struct error *err)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        struct s3_uri uri = {.bucket = plan->parsed.bucket, .key = str_of(plan->files[i].key)};
        struct s3_place place;
        struct s3_head head;
        int r = s3_place_of(plan->origin, &uri, &place, err);
        if (r == 0)
            r = s3_head(&place, &head, err);
        if (r < 0)
            return r;
        marking_add(marking, plan->files[i].key, head.mark);
    }
    return 0;
}

static int look_beneath(struct fetch_plan *plan, const struct fetch_local *local, struct error *err)
{
    struct marking marking;
    int r = plan->origin
                ? s3_list(plan->origin, &plan->parsed, FETCH_FILES_MAX, beneath_remote, plan, err)
                : local->list(local->arg, plan->parsed.bucket, plan->parsed.key, beneath_local,
                              plan, err);
    if (r == -E2BIG)
        return error_set(err, r, "%s: more than %d objects", plan->uri, FETCH_FILES_MAX);
    if (r == -EILSEQ)
        return error_set(err, -EINVAL, "%s: an object's key cannot be a file's name", plan->uri);
    if (r == 0 && plan->file_count == 0)
        return error_set(err, -ENOENT, "%s: NoSuchKey: there is no object beneath it", plan->uri);
    if (r < 0)
        return r;
    digest_stream_init(&marking.stream);
    for (size_t i = 0; !plan->origin && i < plan->file_count; i++) {
        char hex[DIGEST_HEX_SIZE];
        marking_add(&marking, plan->files[i].key, digest_hex(&plan->files[i].digest, hex));
    }
    if (plan->origin)
        r = mark_remote(plan, &marking, err);
    struct digest digest = digest_finish(&marking.stream);
    digest_stream_done(&marking.stream);
    digest_hex(&digest, plan->mark);
    return r;
}

static int look_at_local(struct fetch_plan *plan, const struct fetch_local *local,
                         struct error *err)
{
    struct fetch_local_object object;
    char name[256];
    int r = local->find(local->arg, plan->parsed.bucket, plan->parsed.key, plan->parsed.version_id,
                        &object, err);
    if (r < 0)
        return error_wrap(err, r, "%s", plan->uri);
    const struct fetch_file file = {
        .is_here = true, .digest = object.digest, .bytes = object.bytes};
    memcpy(plan->mark, object.mark, sizeof(plan->mark));
    fetch_name_of_key(plan->parsed.key, name);
    r = file_add(plan, plan->parsed.key, str_of(name), &file);
    return r < 0 ? error_set(err, r, "no memory") : 0;
}

static int look_at_remote(struct fetch_plan *plan, struct error *err)
{
    struct s3_place place;
    struct s3_head head;
    char name[256];
    int r = s3_place_of(plan->origin, &plan->parsed, &place, err);
    if (r == 0)
        r = s3_head(&place, &head, err);
    if (r < 0)
        return r;
    const struct fetch_file file = {.bytes = head.bytes};
    memcpy(plan->mark, head.mark, sizeof(plan->mark));
    fetch_name_of_key(plan->parsed.key, name);
    r = file_add(plan, plan->parsed.key, str_of(name), &file);
    return r < 0 ? error_set(err, r, "no memory") : 0;
}

// The state of a file is its content's digest: the same bytes again are no new model.
static int look_at_file(struct fetch_plan *plan, struct file_source *source, struct error *err)
{
    struct file_question *question = &plan->question;
    char name[256];
    int r = file_source_look(source, plan->place, question, err);
    if (r != 0 || question->is_in_place)
        return r;
    const struct fetch_file file = {.is_here = question->staged == NULL,
                                    .digest = question->digest,
                                    .bytes = question->bytes,
                                    .staged = question->staged};
    fetch_name_of_key(str_of(plan->place->path), name);
    digest_hex(&question->digest, plan->mark);
    r = file_add(plan, str_of(plan->place->path), str_of(name), &file);
    if (plan->file_count == 1)
        question->staged = NULL; // the file's now
    return r < 0 ? error_set(err, r, "no memory") : 0;
}

bool fetch_plan_has_staged(const struct fetch_plan *plan)
{
    return plan->file_count == 1 && plan->files[0].staged;
}

int fetch_plan_look(struct fetch_plan *plan, const struct fetch_local *local,
                    struct file_source *source, struct error *err)
{
    if (plan->place)
        return look_at_file(plan, source, err);
    if (!plan->origin && !local->find)
        return error_set(err, -ENOENT, "%s: NoSuchBucket: no [s3_origin] names this bucket",
                         plan->uri);
    if (plan->parsed.is_prefix)
        return look_beneath(plan, local, err);
    return plan->origin ? look_at_remote(plan, err) : look_at_local(plan, local, err);
}

// ---- Fetching

struct run {
    struct fetch_plan *plan;
    struct store *store;
    const atomic_bool *is_ending;
    struct store_batch *batch;
    struct store_partial **partials; // to be dropped after the commit
    size_t partial_count;
    struct fetch_result *result;
};

// A file of a file system was read while it was looked at.
static int staged_add(struct run *run, struct fetch_file *file, struct error *err)
{
    run->result->fetched_bytes += file->bytes;
    return store_batch_file(run->batch, str_of(file->path), TAKE_PTR(file->staged), false, 0, err);
}

static int fetch_one(struct run *run, struct fetch_file *file, struct error *err)
{
    struct s3_uri uri = run->plan->parsed;
    struct s3_place place;
    struct s3_head head;
    struct s3_downloaded downloaded = {0};
    uri.key = str_of(file->key);
    int r = s3_place_of(run->plan->origin, &uri, &place, err);
    if (r == 0)
        r = s3_head(&place, &head, err);
    if (r < 0)
        return r;
    const struct s3_download_spec spec = {
        .store = run->store, .place = &place, .head = &head, .is_ending = run->is_ending};
    if (!run->plan->parsed.is_prefix)
        memcpy(run->plan->mark, head.mark, sizeof(head.mark)); // what it is now
    r = s3_download(&spec, &downloaded, err);
    if (r < 0)
        return r;
    run->partials[run->partial_count++] = downloaded.partial;
    run->result->fetched_bytes += downloaded.fetched_bytes;
    run->result->network_us += downloaded.network_us;
    return store_batch_file(run->batch, str_of(file->path), downloaded.file, false, 0, err);
}

static int files_bring(struct run *run, struct error *err)
{
    for (size_t i = 0; i < run->plan->file_count; i++) {
        struct fetch_file *file = &run->plan->files[i];
        int r = file->is_here  ? store_batch_known(run->batch, str_of(file->path), &file->digest,
                                                   file->bytes, err)
                : file->staged ? staged_add(run, file, err)
                               : fetch_one(run, file, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static void partials_end(struct run *run, bool is_committed)
{
    for (size_t i = 0; i < run->partial_count; i++) {
        if (is_committed)
            store_partial_drop(run->partials[i]);
        else
            store_partial_free(run->partials[i]); // the next try need not fetch it again
    }
    free(run->partials);
}

static int run_commit(struct run *run, struct error *err)
{
    struct store_pin *pin = NULL;
    int r = files_bring(run, err);
    if (r == 0)
        r = store_batch_commit(run->batch, &run->result->tree_id, &pin, err);
    partials_end(run, r == 0);
    if (r < 0)
        return r;
    r = fetch_result_of_tree(run->store, &run->result->tree_id, run->result, err);
    if (r < 0)
        store_unpin(pin);
    else
        run->result->pin = pin;
    return r;
}

int fetch_plan_run(struct fetch_plan *plan, struct store *store, const atomic_bool *is_ending,
                   struct fetch_result *result, struct error *err)
{
    struct run run = {.plan = plan, .store = store, .is_ending = is_ending, .result = result};
    run.partials = calloc(plan->file_count + 1, sizeof(*run.partials));
    run.batch = store_batch_new(store);
    int r = run.partials && run.batch ? run_commit(&run, err)
                                      : error_set(err, -ENOMEM, "no memory to fetch");
    if (!run.batch)
        free(run.partials);
    store_batch_free(run.batch);
    // The store speaks of its own files, the network of the object.
    bool is_named = str_has_prefix(str_of(err->text), STR("s3://"));
    return r < 0 && !is_named ? error_wrap(err, r, "%s", plan->uri) : r;
}

// ---- What a tree holds

struct model_search {
    size_t models;
    char name[S3_KEY_MAX + 1];
};

static int search_file(void *arg, struct str path, const struct digest *digest, uint64_t bytes)
{
    struct model_search *search = arg;
    if (!is_model_name(path))
        return 0;
    search->models++;
    return str_copy(path, search->name, sizeof(search->name));
}

int fetch_result_of_tree(struct store *store, const struct digest *tree_id,
                         struct fetch_result *result, struct error *err)
{
    struct store_only_file only;
    struct model_search search = {0};
    result->tree_id = *tree_id;
    result->digest = *tree_id;
    result->name[0] = '\0';
    int r = store_tree_only_file(store, tree_id, &only, err);
    if (r == 0) {
        result->digest = only.digest;
        result->bytes = only.bytes;
        return str_copy(str_of(only.path), result->name, sizeof(result->name));
    }
    if (r != -ENOTUNIQ)
        return r;
    error_clear(err);
    r = store_tree_each_file(store, tree_id, search_file, &search, err);
    if (r == 0)
        r = store_tree_bytes(store, tree_id, &result->bytes, err);
    if (r == 0 && search.models == 1)
        memcpy(result->name, search.name, sizeof(result->name));
    return r;
}
