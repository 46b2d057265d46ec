/* SPDX-License-Identifier: MIT */
#include "daemon/prepared_models.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "function/version.h"

_Static_assert(VERSION_PREPARED_REASON_MAX == PREPARE_REASON_MAX, "reasons are handed on");
/* Paths in trees are handed on with the tree's place in front: at most "/opt/lamina/models/<sha256>/". */
_Static_assert(VERSION_PREPARED_PATH_MAX >= 40, "a place fits");

/* What the two folders are joined by; one service a process. */
static struct {
    struct prepare *prepare;
    struct held_forms *held;
} joined;

struct preparing {
    struct version_prepared prepared; /* as far as it is known */
    char root[VERSION_PREPARED_PATH_MAX + 1];
    void (*done)(void *arg, const struct version_prepared *prepared);
    void *arg;
};

/* False: the path is too long to be told to a function. */
static bool take_model(const struct preparing *preparing, const struct prepare_result *result,
                       struct version_prepared *prepared)
{
    int size =
        snprintf(prepared->path, sizeof(prepared->path), "%s/%s", preparing->root, result->path);
    prepared->has_model = size < (int) sizeof(prepared->path);
    prepared->model = result->model;
    prepared->model_bytes = result->model_bytes;
    return prepared->has_model;
}

static void take_form(const struct prepare_result *result, struct version_prepared *prepared)
{
    prepared->is_in_place = result->is_in_place;
    prepared->has_form = result->has_form;
    prepared->key = result->key;
    prepared->form = result->form;
    prepared->form_bytes = result->form_bytes;
    prepared->is_measured = result->is_measured;
    prepared->is_packed = result->is_packed;
    prepared->cold_us = result->cold_us;
    prepared->warm_us = result->warm_us;
    prepared->private_bytes = result->private_bytes;
    prepared->shared_bytes = result->shared_bytes;
}

/* What its instances map, if it is worth being held: packed weights are memory of their own, and the file is only read. */
static bool find_mapped(const struct version_prepared *prepared, struct digest *ret_digest,
                        uint64_t *ret_bytes)
{
    *ret_digest = prepared->is_in_place ? prepared->model : prepared->form;
    *ret_bytes = prepared->is_in_place ? prepared->model_bytes : prepared->form_bytes;
    return prepared->is_in_place || (prepared->has_form && !prepared->is_packed);
}

/* A model that starts is hot: it is asked for, for those who come after. */
static int hold(void *arg, const struct version_prepared *prepared)
{
    struct digest digest;
    uint64_t bytes;
    (void) arg;
    if (!find_mapped(prepared, &digest, &bytes))
        return 0;
    int fd = held_fd(joined.held, &digest);
    if (fd <= 0)
        (void) held_want(joined.held, &digest, bytes, NULL, NULL);
    return fd;
}

static void finish(void *arg)
{
    struct preparing *preparing = arg;
    preparing->done(preparing->arg, &preparing->prepared);
    free(preparing);
}

/* Whatever starts first, a template above all, shall find the form in sealed memory: that is waited for. */
static void on_prepared(void *arg, const struct prepare_result *result)
{
    struct preparing *preparing = arg;
    struct version_prepared *prepared = &preparing->prepared;
    struct digest digest;
    uint64_t bytes;
    prepared->is_looked = true;
    prepared->platform = prepare_platform(joined.prepare);
    memcpy(prepared->reason, result->reason, sizeof(prepared->reason));
    if (result->has_model && take_model(preparing, result, prepared))
        take_form(result, prepared);
    if (!find_mapped(prepared, &digest, &bytes) ||
        held_want(joined.held, &digest, bytes, finish, preparing) == 0)
        finish(preparing);
}

static enum prepare_packing packing_of(const struct version *version)
{
    const char *text = version_prepared_packing(version);
    return strcmp(text, "on") == 0    ? PREPARE_PACKED
           : strcmp(text, "off") == 0 ? PREPARE_UNPACKED
                                      : PREPARE_AUTO;
}

static int start(void *arg, const struct version *version,
                 void (*done)(void *done_arg, const struct version_prepared *prepared),
                 void *done_arg)
{
    struct version_prepared_place place;
    (void) arg;
    if (!version_prepared_find(version, &place) || strlen(place.path) > PREPARE_PATH_MAX)
        return -ENOENT;
    AUTO_FREE struct preparing *preparing = mem_new(struct preparing);
    AUTO_FREE struct prepare_spec *spec = mem_new(struct prepare_spec);
    if (!preparing || !spec)
        return -ENOMEM;
    preparing->prepared.wish = version_prepared_wish(version);
    memcpy(preparing->root, place.root, sizeof(place.root));
    preparing->done = done;
    preparing->arg = done_arg;
    memcpy(spec->tree_id.bytes, place.tree_id, DIGEST_BYTES);
    memcpy(spec->path, place.path, strlen(place.path));
    spec->models_set = version_models_set(version);
    spec->memory_bytes = (uint64_t) version->memory_mb << 20;
    spec->packing = packing_of(version);
    int r = prepare_start(joined.prepare, spec, on_prepared, preparing);
    if (r == 0)
        (void) TAKE_PTR(preparing);
    return r;
}

void prepared_models_join(struct prepare *prepare, struct held_forms *held, struct catalog *catalog)
{
    const struct catalog_preparer preparer = {.start = start};
    const struct version_prepared_holder holder = {.held = hold};
    joined.prepare = prepare;
    joined.held = held;
    struct digest platform = prepare_platform(prepare);
    version_prepared_set_platform(&platform);
    version_prepared_set_holder(&holder);
    catalog_set_preparer(catalog, &preparer);
}

/* Held ahead of the first call, as it was before the restart: nothing waits for it, and a template that begins meanwhile maps the
 * file. */
static void hold_again(const struct version_prepared *prepared)
{
    struct digest digest;
    uint64_t bytes;
    if (find_mapped(prepared, &digest, &bytes))
        (void) held_want(joined.held, &digest, bytes, NULL, NULL);
}

void prepared_models_check(struct prepare *prepare, const struct version *version)
{
    const struct version_prepared *prepared = &version->prepared;
    struct digest set = version_models_set(version);
    struct error err = {0};
    if (version_prepared_is_usable(version) &&
        prepare_link(prepare, &set, &prepared->model, &prepared->key, &prepared->form, &err) < 0)
        log_warn("prepare.form_gone", "function=%s version=%s error=%s", version->name,
                 version->qualifier, LOG_TEXT(err.text));
    else if (version_prepared_is_usable(version) || prepared->is_in_place)
        hold_again(prepared);
}

/* ---- collection */

struct looking {
    const struct digest *form;
    bool is_used;
};

static void look(void *arg, const struct version *version)
{
    struct looking *looking = arg;
    looking->is_used = looking->is_used ||
                       (version->prepared.has_form && memcmp(&version->prepared.form, looking->form,
                                                             sizeof(*looking->form)) == 0);
}

static bool is_used(void *arg, const struct digest *form)
{
    const struct catalog *catalog = arg;
    struct looking looking = {.form = form};
    catalog_each_version(catalog, look, &looking);
    return looking.is_used;
}

void prepared_models_live(struct prepare *prepare, const struct catalog *catalog,
                          struct deploy_live *live)
{
    prepare_live(prepare, live, is_used, (void *) (uintptr_t) catalog);
}
