// SPDX-License-Identifier: MIT

#include "deploy/prepare.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "deploy/prepare_job.h"
#include "deploy/prepare_record.h"
#include "loop/job.h"
#include "store/models.h"
#include "store/stage.h"
#include "wire/work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

// Goes up when a form made by this program would differ from what it made before.
#define FORM_VERSION "lamina prepared form 1"

struct known {
    struct digest key;
    struct prepare_record record;
    int64_t used_ms; // monotonic
};

#define RECENTS_MAX 256

struct recent {
    struct digest set, model;
    int64_t linked_ms; // 0: none
};

struct prepare {
    struct loop *loop;   // borrowed
    struct store *store; // borrowed
    int work_fd;         // borrowed
    int dir;             // DIR/prepared; owned
    char *library;
    struct job_pool *pool;
    // Below it: what threads share.
    pthread_mutex_t lock;
    pthread_cond_t is_done; // a key is no longer under way
    bool has_platform;
    struct digest platform;
    struct known *known;
    size_t known_count, known_capacity;
    // Links that no version names yet: a collection meanwhile must not take them.
    struct recent recents[RECENTS_MAX];
    size_t recent_next;
    struct digest under_way[PREPARE_THREADS + DEPLOY_THREADS + JOB_THREADS_MAX];
    size_t under_way_count;
};

struct prepare_call {
    struct prepare *prepare;
    struct prepare_spec spec;
    struct prepare_result result;
    bool has_run;
    void (*done)(void *arg, const struct prepare_result *result);
    void *arg;
    struct loop_posted posted; // refused
};

// ---- what is known (under the lock)

static struct known *known_find(struct prepare *prepare, const struct digest *key)
{
    for (size_t i = 0; i < prepare->known_count; i++)
        if (memcmp(&prepare->known[i].key, key, sizeof(*key)) == 0)
            return &prepare->known[i];
    return NULL;
}

static void known_drop(struct prepare *prepare, struct known *known)
{
    char hex[DIGEST_HEX_SIZE];
    (void) !unlinkat(prepare->dir, digest_hex(&known->key, hex), 0); // else the next start has it
    *known = prepare->known[--prepare->known_count];
}

// Nobody can fill the table for good with models that do not load: the oldest of those makes room.
// Records with a form go with the last version that names it (prepare_live).
static void known_make_room(struct prepare *prepare)
{
    struct known *oldest = NULL;
    for (size_t i = 0; i < prepare->known_count; i++) {
        struct known *known = &prepare->known[i];
        if (!known->record.has_form && (!oldest || known->used_ms < oldest->used_ms))
            oldest = known;
    }
    if (oldest)
        known_drop(prepare, oldest);
}

static int known_grow(struct prepare *prepare)
{
    size_t capacity = prepare->known_capacity ? 2 * prepare->known_capacity : 16;
    if (prepare->known_count == PREPARE_RECORDS_MAX)
        return -ENOMEM;
    if (capacity > PREPARE_RECORDS_MAX)
        capacity = PREPARE_RECORDS_MAX;
    struct known *grown = reallocarray(prepare->known, capacity, sizeof(grown[0]));
    if (!grown)
        return -ENOMEM;
    prepare->known = grown;
    prepare->known_capacity = capacity;
    return 0;
}

static int known_put(struct prepare *prepare, const struct digest *key,
                     const struct prepare_record *record)
{
    struct known *known = known_find(prepare, key);
    if (!known && prepare->known_count == PREPARE_RECORDS_MAX)
        known_make_room(prepare);
    if (!known && prepare->known_count == prepare->known_capacity) {
        int r = known_grow(prepare);
        if (r < 0)
            return r;
    }
    if (!known)
        known = &prepare->known[prepare->known_count++];
    *known = (struct known){*key, *record, clock_monotonic_ms()};
    return 0;
}

static void read_record(struct prepare *prepare, const char *name)
{
    struct digest key;
    struct prepare_record record;
    AUTO_BUF struct buf text = BUF_INIT(PREPARE_RECORD_MAX);
    if (digest_parse_hex(str_of(name), &key) == 0 && fs_read_file(prepare->dir, name, &text) == 0 &&
        prepare_record_read(buf_str(&text), &record) == 0 && known_put(prepare, &key, &record) == 0)
        return;
    // Half of a write that was cut short, or of another version: what it told is found out again.
    log_warn("prepare.record_dropped", "name=%s", LOG_TEXT(name));
    (void) !unlinkat(prepare->dir, name, 0);
}

static int read_records(struct prepare *prepare, struct error *err)
{
    int copy = openat(prepare->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        int code = -errno;
        fd_close(copy);
        return error_set_errno(err, code, "list the prepared models");
    }
    for (struct dirent *each; (each = readdir(dir));)
        if (strcmp(each->d_name, ".") != 0 && strcmp(each->d_name, "..") != 0)
            read_record(prepare, each->d_name);
    closedir(dir);
    return 0;
}

// ---- the service

int prepare_new(const struct prepare_config *config, struct prepare **ret_prepare,
                struct error *err)
{
    struct prepare *prepare = mem_new(struct prepare);
    if (!prepare)
        return error_set(err, -ENOMEM, "no memory for preparations");
    prepare->loop = config->loop;
    prepare->store = config->store;
    prepare->work_fd = config->work_fd;
    pthread_mutex_init(&prepare->lock, NULL);
    pthread_cond_init(&prepare->is_done, NULL);
    prepare->library = mem_copy_text(config->library);
    prepare->dir = fs_make_dir_open(config->data_dir_fd, "prepared", 0755);
    int r = prepare->dir < 0 ? error_set_errno(err, prepare->dir, "open 'prepared'")
                             : read_records(prepare, err);
    if (r == 0 && (r = job_pool_new(config->loop, "prepare", PREPARE_THREADS, PREPARE_WAITING_MAX,
                                    &prepare->pool)) < 0)
        error_set_errno(err, r, "start the preparing threads");
    if (r < 0) {
        prepare_free(prepare);
        return r;
    }
    *ret_prepare = prepare;
    return 0;
}

void prepare_free(struct prepare *prepare)
{
    if (!prepare)
        return;
    job_pool_free(prepare->pool);
    pthread_mutex_destroy(&prepare->lock);
    pthread_cond_destroy(&prepare->is_done);
    fd_close(prepare->dir);
    free(prepare->library);
    free(prepare->known);
    free(prepare);
}

// ---- keys

// Of the library's bytes: a version number would not tell two builds apart.
static struct digest platform_read(const struct prepare *prepare)
{
    const struct digest processor = cpu_digest();
    struct digest library = {0};
    uint64_t bytes;
    AUTO_DIGEST struct digest_stream stream;
    AUTO_FD int fd = prepare->library ? open(prepare->library, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || digest_of_fd(fd, &library, &bytes) < 0)
        library = (struct digest){0}; // there is none: each model's reason will say so
    digest_stream_init(&stream);
    digest_update(&stream, FORM_VERSION, sizeof(FORM_VERSION));
    digest_update(&stream, &library, sizeof(library));
    digest_update(&stream, &processor, sizeof(processor));
    return digest_finish(&stream);
}

struct digest prepare_platform(struct prepare *prepare)
{
    pthread_mutex_lock(&prepare->lock);
    if (!prepare->has_platform) {
        prepare->platform = platform_read(prepare);
        prepare->has_platform = true;
    }
    struct digest platform = prepare->platform;
    pthread_mutex_unlock(&prepare->lock);
    return platform;
}

// `tree_id`: of a model whose weights are in other files of its tree; else NULL.
static struct digest key_of(struct prepare *prepare, const struct digest *model,
                            const struct digest *tree_id)
{
    const struct digest none = {{0}};
    const struct digest parts[] = {prepare_platform(prepare), *model, tree_id ? *tree_id : none};
    return digest_of(parts, sizeof(parts));
}

void prepare_link_path(const struct digest *model, const struct digest *key,
                       char path[PREPARE_LINK_SIZE])
{
    char model_hex[DIGEST_HEX_SIZE], key_hex[DIGEST_HEX_SIZE];
    (void) snprintf(path, PREPARE_LINK_SIZE, "%s/prepared-%.16s/model.ort",
                    digest_hex(model, model_hex), digest_hex(key, key_hex));
}

int prepare_link(struct prepare *prepare, const struct digest *models_set,
                 const struct digest *model, const struct digest *key, const struct digest *form,
                 struct error *err)
{
    char path[PREPARE_LINK_SIZE];
    prepare_link_path(model, key, path);
    return store_models_link(prepare->store, models_set, path, form, err);
}

// ---- one preparation

static bool is_under_way(const struct prepare *prepare, const struct digest *key)
{
    for (size_t i = 0; i < prepare->under_way_count; i++)
        if (memcmp(&prepare->under_way[i], key, sizeof(*key)) == 0)
            return true;
    return false;
}

// Waits while another thread prepares the same. True: it is known now; else it is the caller's to do,
// who calls key_end.
static bool key_begin(struct prepare *prepare, const struct digest *key,
                      struct prepare_record *ret_record)
{
    pthread_mutex_lock(&prepare->lock);
    while (is_under_way(prepare, key) || prepare->under_way_count == ARRAY_SIZE(prepare->under_way))
        pthread_cond_wait(&prepare->is_done, &prepare->lock);
    struct known *known = known_find(prepare, key);
    if (known) {
        known->used_ms = clock_monotonic_ms();
        *ret_record = known->record;
    } else {
        prepare->under_way[prepare->under_way_count++] = *key;
    }
    pthread_mutex_unlock(&prepare->lock);
    return known != NULL;
}

static void key_end(struct prepare *prepare, const struct digest *key)
{
    pthread_mutex_lock(&prepare->lock);
    for (size_t i = 0; i < prepare->under_way_count; i++)
        if (memcmp(&prepare->under_way[i], key, sizeof(*key)) == 0) {
            prepare->under_way[i] = prepare->under_way[--prepare->under_way_count];
            break;
        }
    pthread_cond_broadcast(&prepare->is_done);
    pthread_mutex_unlock(&prepare->lock);
}

// The form is an object by now: after this it is found again.
static int remember(struct prepare *prepare, const struct digest *key,
                    const struct prepare_record *record, struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    AUTO_BUF struct buf text = BUF_INIT(PREPARE_RECORD_MAX);
    prepare_record_append(&text, record);
    int r = buf_status(&text);
    if (r == 0)
        r = fs_write_atomically(prepare->dir, digest_hex(key, hex), text.data, text.size, 0644,
                                err);
    pthread_mutex_lock(&prepare->lock);
    if (r == 0)
        r = known_put(prepare, key, record);
    pthread_mutex_unlock(&prepare->lock);
    return r;
}

// A record whose form has gone from the store is none.
static bool is_form_there(struct prepare *prepare, const struct digest *key,
                          const struct prepare_record *record, struct store_pin **ret_pin)
{
    if (!record->has_form || store_stage_pin(prepare->store, &record->form, ret_pin) == 0)
        return true;
    pthread_mutex_lock(&prepare->lock);
    struct known *known = known_find(prepare, key);
    if (known)
        known_drop(prepare, known);
    pthread_mutex_unlock(&prepare->lock);
    return false;
}

static const char *failure_text(int code)
{
    switch (code) {
    case -ENOSPC:
    case -EDQUOT:
        return "the disk is too full to keep its prepared form";
    case -ENOMEM:
        return "preparing it took more memory than is allowed";
    case -ETIME:
        return "preparing it took too long";
    case -EFBIG:
        return "it is too large to be prepared";
    case -ECHILD:
        return "the process that prepared it crashed";
    case -EPROTO:
        return "the process that prepared it answered nonsense";
    default:
        return "it could not be prepared";
    }
}

static int prepare_key(struct prepare *prepare, const struct prepare_spec *spec,
                       const struct prepare_found *found, const struct digest *key, bool has_tree,
                       struct prepare_record *ret_record, struct store_pin **ret_pin,
                       struct error *err)
{
    const struct prepare_job job = {.store = prepare->store,
                                    .work_fd = prepare->work_fd,
                                    .tree_id = spec->tree_id,
                                    .path = found->path,
                                    .model = found->digest,
                                    .has_tree = has_tree,
                                    .beside_bytes = found->beside_bytes};
    int64_t begin_ms = clock_monotonic_ms();
    int r = prepare_job_run(&job, ret_record, ret_pin, err);
    if (r == 0 && remember(prepare, key, ret_record, err) < 0)
        log_warn("prepare.not_remembered", "error=%s", LOG_TEXT(err->text));
    char hex[DIGEST_HEX_SIZE];
    if (r == 0)
        log_info("prepare.done", "model=%.12s bytes=%llu form_bytes=%llu ms=%lld reason=%s",
                 digest_hex(&found->digest, hex), (unsigned long long) found->bytes,
                 (unsigned long long) ret_record->bytes,
                 (long long) (clock_monotonic_ms() - begin_ms), LOG_TEXT(ret_record->reason));
    else
        log_warn("prepare.failed", "model=%.12s bytes=%llu error=%s",
                 digest_hex(&found->digest, hex), (unsigned long long) found->bytes,
                 LOG_TEXT(err->text));
    return r;
}

static int find_record(struct prepare *prepare, const struct prepare_spec *spec,
                       const struct prepare_found *found, const struct digest *key, bool has_tree,
                       struct prepare_record *ret_record, struct store_pin **ret_pin,
                       struct error *err)
{
    while (key_begin(prepare, key, ret_record))
        if (is_form_there(prepare, key, ret_record, ret_pin))
            return 0;
    int r = prepare_key(prepare, spec, found, key, has_tree, ret_record, ret_pin, err);
    key_end(prepare, key);
    return r;
}

// First the model alone, whose form is everybody's who has that file. One that does not load may have
// its weights in other files: then its tree is looked at too, and is part of the key.
static int find_either(struct prepare *prepare, const struct prepare_spec *spec,
                       const struct prepare_found *found, struct digest *ret_key,
                       struct prepare_record *ret_record, struct store_pin **ret_pin,
                       struct error *err)
{
    *ret_key = key_of(prepare, &found->digest, NULL);
    int r = find_record(prepare, spec, found, ret_key, false, ret_record, ret_pin, err);
    const char *load = work_reason_text(WORK_REASON_PREPARE_LOAD);
    if (r < 0 || ret_record->has_form || found->beside_bytes == 0 ||
        strncmp(ret_record->reason, load, strlen(load)) != 0)
        return r;
    *ret_key = key_of(prepare, &found->digest, &spec->tree_id);
    return find_record(prepare, spec, found, ret_key, true, ret_record, ret_pin, err);
}

static void recent_add(struct prepare *prepare, const struct digest *set,
                       const struct digest *model)
{
    pthread_mutex_lock(&prepare->lock);
    prepare->recents[prepare->recent_next] = (struct recent){*set, *model, clock_monotonic_ms()};
    prepare->recent_next = (prepare->recent_next + 1) % RECENTS_MAX;
    pthread_mutex_unlock(&prepare->lock);
}

static void say(struct prepare_result *result, const char *text)
{
    (void) snprintf(result->reason, sizeof(result->reason), "%.*s",
                    (int) sizeof(result->reason) - 1, text);
}

// Formats that engines use where they lie in the file.
static bool is_mapped_as_it_is(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcasecmp(dot, ".ort") == 0 || strcasecmp(dot, ".tflite") == 0);
}

void prepare_run(struct prepare *prepare, const struct prepare_spec *spec,
                 struct prepare_result *ret_result)
{
    struct prepare_result *result = ret_result;
    struct prepare_found found;
    struct prepare_record record;
    struct store_pin *pin = NULL;
    struct error err = {0};
    *result = (struct prepare_result){0};
    int r = prepare_find(prepare->store, &spec->tree_id, spec->path, &found, &err);
    if (r < 0) {
        say(result, r == -ENOENT ? err.text : "its files could not be looked at");
        return;
    }
    result->has_model = true;
    memcpy(result->path, found.path, sizeof(found.path));
    result->model = found.digest;
    result->model_bytes = found.bytes;
    if (is_mapped_as_it_is(found.path)) {
        say(result, "it is in the form that is used in place already");
        return;
    }
    r = find_either(prepare, spec, &found, &result->key, &record, &pin, &err);
    if (r < 0) {
        say(result, failure_text(r));
        return;
    }
    prepare_record_choose(&record, spec, result);
    if (result->has_form)
        recent_add(prepare, &spec->models_set, &result->model);
    if (result->has_form && prepare_link(prepare, &spec->models_set, &result->model, &result->key,
                                         &result->form, &err) < 0) {
        result->has_form = false;
        say(result, err.text);
    }
    // From here on the record keeps it (prepare_live).
    store_unpin(pin);
}

// ---- jobs

static void call_run(void *arg)
{
    struct prepare_call *call = arg;
    call->has_run = true;
    prepare_run(call->prepare, &call->spec, &call->result);
}

static void call_done(void *arg, int status)
{
    struct prepare_call *call = arg;
    (void) status; // only that it was cancelled
    if (!call->has_run)
        say(&call->result, "the service is ending");
    call->done(call->arg, &call->result);
    free(call);
}

static void call_refused(void *arg)
{
    struct prepare_call *call = arg;
    say(&call->result, "too many models wait to be prepared");
    call->has_run = true;
    call_done(call, 0);
}

int prepare_start(struct prepare *prepare, const struct prepare_spec *spec,
                  void (*done)(void *arg, const struct prepare_result *result), void *arg)
{
    struct prepare_call *call = mem_new(struct prepare_call);
    if (!call)
        return -ENOMEM;
    call->prepare = prepare;
    call->spec = *spec;
    call->done = done;
    call->arg = arg;
    int r = job_submit(prepare->pool, call_run, call_done, call);
    if (r == -EAGAIN) {
        loop_post(prepare->loop, &call->posted, call_refused, call);
        return 0;
    }
    if (r < 0)
        free(call);
    return r;
}

// ---- collection

void prepare_live(struct prepare *prepare, struct deploy_live *live,
                  bool (*is_used)(void *arg, const struct digest *form), void *arg)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&prepare->lock);
    for (size_t i = 0; i < RECENTS_MAX; i++) {
        const struct recent *recent = &prepare->recents[i];
        if (recent->linked_ms > 0 && now_ms - recent->linked_ms < (int64_t) PREPARE_KEPT_S * 1000)
            deploy_live_models_add(live, &(struct store_live_models){.set = recent->set,
                                                                     .has_model = true,
                                                                     .model = recent->model});
    }
    for (size_t i = prepare->known_count; i-- > 0;) {
        struct known *known = &prepare->known[i];
        bool is_old = now_ms - known->used_ms > (int64_t) PREPARE_KEPT_S * 1000;
        if (known->record.has_form && is_old && !is_used(arg, &known->record.form))
            known_drop(prepare, known);
        else if (known->record.has_form)
            deploy_live_add(live, NULL, known->record.form.bytes);
    }
    pthread_mutex_unlock(&prepare->lock);
}
