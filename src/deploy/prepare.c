// SPDX-License-Identifier: MIT

#include "deploy/prepare.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "deploy/prepare_found.h"
#include "deploy/prepare_known.h"
#include "deploy/prepare_making.h"
#include "deploy/prepare_record.h"
#include "loop/job.h"
#include "store/models.h"
#include "store/stage.h"
#include "wire/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

// Goes up when a form made by this program would differ from what it made before.
#define FORM_VERSION "lamina prepared form 1"

#define RECENTS_MAX 256

struct recent {
    struct digest set, model;
    int64_t linked_ms; // 0: none
};

struct prepare {
    struct prepare_config config;
    struct digest platform;
    struct prepare_known *known;
    struct prepare_makings *makings;
    struct job_pool *pool; // short jobs: looking and linking
    // Links that no version names yet: a collection meanwhile must not take them.
    struct recent recents[RECENTS_MAX];
    size_t recent_next;
};

// One who asked:
//
//     looking ─► known? ──────────────► linking ─► done
//        │          └► making ─► known ─┘  └► the form has gone: making
//        └► there is nothing to prepare ─► done
struct prepare_call {
    struct prepare *prepare;
    struct prepare_spec spec;
    struct prepare_found found;
    struct digest key;
    bool has_tree; // the key is that of the model and its tree
    bool is_again; // its form had gone
    struct prepare_waiter waiter;
    int code; // of its last job
    struct error err;
    struct prepare_result result;
    void (*done)(void *arg, const struct prepare_result *result);
    void *arg;
    struct loop_posted posted; // refused
};

static void call_seek(struct prepare_call *call);

// ---- keys

// Of the library's bytes: a version number would not tell two builds apart.
static struct digest platform_read(const char *path)
{
    const struct digest processor = cpu_digest();
    struct digest library = {0};
    uint64_t bytes;
    AUTO_DIGEST struct digest_stream stream;
    AUTO_FD int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || digest_of_fd(fd, &library, &bytes) < 0)
        library = (struct digest){0}; // there is none: each model's reason will say so
    digest_stream_init(&stream);
    digest_update(&stream, FORM_VERSION, sizeof(FORM_VERSION));
    digest_update(&stream, &library, sizeof(library));
    digest_update(&stream, &processor, sizeof(processor));
    return digest_finish(&stream);
}

struct digest prepare_platform(const struct prepare *prepare)
{
    return prepare->platform;
}

// First the model alone, whose form is everybody's who has that file. One that does not load may have
// its weights in other files: then its tree is part of the key.
static struct digest key_of(const struct prepare_call *call)
{
    const struct digest none = {{0}};
    const struct digest parts[] = {call->prepare->platform, call->found.digest,
                                   call->has_tree ? call->spec.tree_id : none};
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
    return store_models_link(prepare->config.store, models_set, path, form, err);
}

// ---- the service

int prepare_new(const struct prepare_config *config, struct prepare **ret_prepare,
                struct error *err)
{
    struct prepare *prepare = mem_new(struct prepare);
    if (!prepare)
        return error_set(err, -ENOMEM, "no memory for preparations");
    prepare->config = *config;
    prepare->config.library = NULL; // only read here
    prepare->platform = platform_read(config->library);
    int r = prepare_known_open(config->data_dir_fd, &prepare->known, err);
    if (r == 0 &&
        ((r = prepare_makings_new(&prepare->config, prepare->known, &prepare->makings)) < 0 ||
         (r = job_pool_new(config->loop, "look", 1, PREPARE_CALLS_MAX, &prepare->pool)) < 0))
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
    prepare_makings_free(prepare->makings);
    prepare->makings = NULL;
    job_pool_free(prepare->pool);
    prepare_known_close(prepare->known);
    free(prepare);
}

// ---- its end

static void say(struct prepare_result *result, const char *text)
{
    (void) snprintf(result->reason, sizeof(result->reason), "%.*s",
                    (int) sizeof(result->reason) - 1, text);
}

static const char *failure_text(int code)
{
    switch (code) {
    case -ENOSPC:
    case -EDQUOT:
        return "the disk is too full to keep its prepared form";
    case -EIO:
        return "the disk failed where its prepared form was to be kept";
    case -ENOMEM:
        return "preparing it took more memory than is allowed";
    case -ETIME:
        return "preparing it took too long";
    case -ENOBUFS:
        return "the machine has too little memory available to prepare it";
    case -EFBIG:
        return "it is too large to be prepared";
    case -ECHILD:
        return "the process that prepared it crashed";
    case -EPROTO:
        return "the process that prepared it answered nonsense";
    case -EAGAIN:
        return "too many models wait to be prepared";
    case -ECANCELED:
        return "the service is ending";
    default:
        return "it could not be prepared";
    }
}

static void call_end(struct prepare_call *call)
{
    call->done(call->arg, &call->result);
    free(call);
}

static void call_fail(struct prepare_call *call, int code)
{
    call->result.has_form = call->result.is_measured = false;
    say(&call->result, failure_text(code));
    call_end(call);
}

// ---- linking

static void link_run(void *arg)
{
    struct prepare_call *call = arg;
    const struct prepare_result *result = &call->result;
    struct store_pin *pin;
    call->code = store_stage_pin(call->prepare->config.store, &result->form, &pin);
    if (call->code < 0) {
        call->code = -ESTALE;
        return;
    }
    call->code = prepare_link(call->prepare, &call->spec.models_set, &result->model, &result->key,
                              &result->form, &call->err);
    store_unpin(pin); // from here on the record keeps it (prepare_live)
}

static void link_done(void *arg, int status)
{
    struct prepare_call *call = arg;
    if (status < 0) {
        call_fail(call, status);
    } else if (call->code == -ESTALE && !call->is_again) { // a record whose form has gone is none
        prepare_known_drop(call->prepare->known, &call->key);
        call->is_again = true;
        call_seek(call);
    } else {
        if (call->code < 0) {
            bool has_words = call->code != -ESTALE && call->code != -ENOSPC;
            call->result.has_form = call->result.is_measured = false;
            say(&call->result, has_words ? call->err.text : failure_text(call->code));
        }
        call_end(call);
    }
}

static void recent_add(struct prepare *prepare, const struct digest *set,
                       const struct digest *model)
{
    prepare->recents[prepare->recent_next] = (struct recent){*set, *model, clock_monotonic_ms()};
    prepare->recent_next = (prepare->recent_next + 1) % RECENTS_MAX;
}

static void call_link(struct prepare_call *call)
{
    struct prepare *prepare = call->prepare;
    recent_add(prepare, &call->spec.models_set, &call->result.model);
    int r = job_submit(prepare->pool, link_run, link_done, call);
    if (r < 0)
        call_fail(call, r);
}

// ---- known, or made

static bool is_without_its_data(const struct prepare_call *call,
                                const struct prepare_record *record)
{
    const char *load = work_reason_text(WORK_REASON_PREPARE_LOAD);
    return !call->has_tree && !record->is_measured && call->found.beside_bytes > 0 &&
           strncmp(record->reason, load, strlen(load)) == 0;
}

static void call_use(struct prepare_call *call, const struct prepare_record *record)
{
    if (is_without_its_data(call, record)) {
        call->has_tree = true;
        call_seek(call);
        return;
    }
    call->result.key = call->key;
    prepare_record_choose(record, &call->spec, &call->result);
    if (call->result.is_measured)
        call->result.shared_bytes =
            record->has_form ? record->bytes : call->found.bytes + call->found.beside_bytes;
    if (call->result.has_form)
        call_link(call);
    else
        call_end(call);
}

static void call_made(struct prepare_waiter *waiter, int code, const struct prepare_record *record)
{
    struct prepare_call *call = container_of(waiter, struct prepare_call, waiter);
    if (code < 0)
        call_fail(call, code);
    else
        call_use(call, record);
}

static void call_seek(struct prepare_call *call)
{
    struct prepare *prepare = call->prepare;
    struct prepare_record record;
    call->key = key_of(call);
    if (prepare_known_find(prepare->known, &call->key, &record)) {
        call_use(call, &record);
        return;
    }
    const struct prepare_wish wish = {.key = call->key,
                                      .tree_id = call->spec.tree_id,
                                      .found = call->found,
                                      .has_tree = call->has_tree};
    call->waiter.made = call_made;
    int r = prepare->makings ? prepare_make(prepare->makings, &wish, &call->waiter) : -ECANCELED;
    if (r < 0)
        call_fail(call, r);
}

// ---- looking

static void look_run(void *arg)
{
    struct prepare_call *call = arg;
    call->code = prepare_find(call->prepare->config.store, &call->spec.tree_id, call->spec.path,
                              &call->found, &call->err);
}

// Its engine uses it where it lies in the file.
static bool is_in_place(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcasecmp(dot, ".ort") == 0 || strcasecmp(dot, ".tflite") == 0);
}

static void look_done(void *arg, int status)
{
    struct prepare_call *call = arg;
    struct prepare_result *result = &call->result;
    if (status < 0) {
        call_fail(call, status);
        return;
    }
    if (call->code < 0) {
        say(result, call->code == -ENOENT ? call->err.text : "its files could not be looked at");
        call_end(call);
        return;
    }
    result->has_model = true;
    memcpy(result->path, call->found.path, sizeof(call->found.path));
    result->model = call->found.digest;
    result->model_bytes = call->found.bytes;
    result->is_in_place = is_in_place(call->found.path);
    const char *why_not = prepare_found_why_not(&call->found);
    if (!why_not) {
        call_seek(call);
        return;
    }
    say(result, why_not);
    call_end(call);
}

static void call_refused(void *arg)
{
    call_fail(arg, -EAGAIN);
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
    int r = job_submit(prepare->pool, look_run, look_done, call);
    if (r == -EAGAIN) {
        loop_post(prepare->config.loop, &call->posted, call_refused, call);
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
    for (size_t i = 0; i < RECENTS_MAX; i++) {
        const struct recent *recent = &prepare->recents[i];
        if (recent->linked_ms > 0 && now_ms - recent->linked_ms < (int64_t) PREPARE_KEPT_S * 1000)
            deploy_live_models_add(live, &(struct store_live_models){.set = recent->set,
                                                                     .has_model = true,
                                                                     .model = recent->model});
    }
    prepare_known_live(prepare->known, live, is_used, arg);
}
