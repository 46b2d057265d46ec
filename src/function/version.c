/* SPDX-License-Identifier: MIT */

#include "function/version.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/uuid.h"
#include "function/runtime.h"

#define DEFAULT_MEMORY_MB 128
#define DEFAULT_TIMEOUT_S 3
#define DEFAULT_TMP_MB 512

static uint64_t next_execution_id = 1;

static void qualify(struct version *draft, const char *qualifier)
{
    char arn[VERSION_ARN_MAX];
    int length = snprintf(arn, sizeof(arn), "%s:%s", draft->arn, qualifier);
    assert(length > 0 && (size_t) length < sizeof(arn));
    version_set(draft, &draft->qualifier, qualifier);
    version_set(draft, &draft->qualified_arn, arn);
}

struct version *version_new(const char *name, const char *region, const char *account)
{
    struct version *draft = mem_new(struct version);
    if (!draft)
        return NULL;
    draft->refs = 1;
    draft->memory_mb = DEFAULT_MEMORY_MB;
    draft->timeout_s = DEFAULT_TIMEOUT_S;
    draft->tmp_mb = DEFAULT_TMP_MB;
    draft->state = VERSION_PENDING;

    char arn[VERSION_ARN_MAX];
    int length =
        snprintf(arn, sizeof(arn), "arn:aws:lambda:%s:%s:function:%s", region, account, name);
    assert(length > 0 && (size_t) length < sizeof(arn));
    version_set(draft, &draft->name, name);
    version_set(draft, &draft->arn, arn);
    version_set(draft, &draft->description, "");
    if (draft->arn)
        qualify(draft, VERSION_LATEST);
    version_renew_execution(draft);
    version_touch(draft, clock_wall_ms());
    if (draft->is_incomplete) {
        version_unref(draft);
        return NULL;
    }
    return draft;
}

struct version *version_copy(const struct version *version)
{
    struct version *draft = mem_copy(version, sizeof(*version));
    if (!draft)
        return NULL;
    char **const texts[] = {
        &draft->name,
        &draft->qualifier,
        &draft->arn,
        &draft->qualified_arn,
        &draft->runtime,
        &draft->handler,
        &draft->role,
        &draft->description,
        &draft->latest_description,
        &draft->passive_json,
        &draft->state_reason,
        &draft->state_reason_code,
        &draft->update_reason,
        &draft->update_reason_code,
    };
    draft->refs = 1;
    /* Until here the copy's texts are the original's: replace each before anything may fail. */
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const char *text = *texts[i];
        *texts[i] = NULL;
        version_set(draft, texts[i], text);
    }
    draft->environment = NULL;
    draft->n_environment = 0;
    version_set_environment(draft, version->environment, version->n_environment);
    draft->has_environment = version->has_environment;
    if (draft->is_incomplete) {
        version_unref(draft);
        return NULL;
    }
    return draft;
}

struct version *version_copy_as(const struct version *version, uint64_t number)
{
    struct version *draft = version_copy(version);
    if (!draft)
        return NULL;
    char qualifier[24];
    (void) snprintf(qualifier, sizeof(qualifier), "%llu", (unsigned long long) number);
    qualify(draft, qualifier);
    version_set(draft, &draft->latest_description, version->description);
    if (version_is_snap_start(draft)) { /* until its template is there: preparation.h */
        draft->state = VERSION_PENDING;
        version_set(draft, &draft->state_reason, "The function is being created.");
        version_set(draft, &draft->state_reason_code, "Creating");
    }
    version_renew_execution(draft);
    version_touch(draft, clock_wall_ms());
    if (draft->is_incomplete) {
        version_unref(draft);
        return NULL;
    }
    return draft;
}

struct version *version_ref(const struct version *version)
{
    /* The count is the one part of a published snapshot that changes. */
    struct version *counted = (struct version *) (uintptr_t) version;
    counted->refs++;
    return counted;
}

static void environment_free(struct version *version)
{
    for (size_t i = 0; i < version->n_environment; i++) {
        free(version->environment[i].name);
        /* Often a secret: do not leave it in freed memory. */
        if (version->environment[i].value)
            mem_wipe(version->environment[i].value, strlen(version->environment[i].value));
        free(version->environment[i].value);
    }
    free(version->environment);
    version->environment = NULL;
    version->n_environment = 0;
}

void version_unref(const struct version *version)
{
    struct version *counted = (struct version *) (uintptr_t) version;
    if (!counted)
        return;
    assert(counted->refs > 0);
    if (--counted->refs > 0)
        return;
    environment_free(counted);
    free(counted->name);
    free(counted->qualifier);
    free(counted->arn);
    free(counted->qualified_arn);
    free(counted->runtime);
    free(counted->handler);
    free(counted->role);
    free(counted->description);
    free(counted->latest_description);
    free(counted->passive_json);
    free(counted->state_reason);
    free(counted->state_reason_code);
    free(counted->update_reason);
    free(counted->update_reason_code);
    free(counted);
}

void version_set(struct version *draft, char **member, const char *text)
{
    char *copy = text ? mem_copy_text(text) : NULL;
    if (text && !copy)
        draft->is_incomplete = true;
    free(*member);
    *member = copy;
}

static int variable_compare(const void *left, const void *right)
{
    const struct version_variable *a = left;
    const struct version_variable *b = right;
    return strcmp(a->name, b->name);
}

void version_set_environment(struct version *draft, const struct version_variable *pairs, size_t n)
{
    environment_free(draft);
    draft->has_environment = true;
    if (n == 0)
        return;
    struct version_variable *copies = calloc(n, sizeof(*copies));
    if (!copies) {
        draft->is_incomplete = true;
        return;
    }
    draft->environment = copies;
    for (size_t i = 0; i < n; i++) {
        version_set(draft, &copies[i].name, pairs[i].name);
        version_set(draft, &copies[i].value, pairs[i].value);
        draft->n_environment = i + 1;
    }
    if (!draft->is_incomplete)
        qsort(copies, n, sizeof(*copies), variable_compare);
}

void version_touch(struct version *draft, int64_t now_ms)
{
    (void) uuid_new(draft->revision_id);
    if (now_ms)
        draft->modified_ms = now_ms;
}

void version_renew_execution(struct version *draft)
{
    draft->execution_id = next_execution_id++;
}

bool version_is_latest(const struct version *version)
{
    return strcmp(version->qualifier, VERSION_LATEST) == 0;
}

uint64_t version_number(const struct version *version)
{
    uint64_t number = 0;
    if (str_to_u64(str_of(version->qualifier), UINT64_MAX, &number) < 0)
        return 0;
    return number;
}

bool version_is_snap_start(const struct version *version)
{
    return version->has_snap_start && !version_is_latest(version);
}

bool version_is_forked(const struct version *version)
{
    const struct runtime *runtime = runtime_find(str_of(version->runtime ? version->runtime : ""));
    if (!runtime || !version->code.has_tree || version->has_extensions)
        return false; /* extensions are processes: each instance has its own */
    if (version_needs_mount(version))
        return false; /* as on AWS: no SnapStart with file systems */
    if (runtime->kind == RUNTIME_PYTHON)
        return version_is_snap_start(version);
    if (runtime->kind != RUNTIME_PROVIDED)
        return false;
    return version->code.forking == VERSION_FORKING_ALWAYS ||
           (version->code.forking == VERSION_FORKING_ABLE && version_is_snap_start(version));
}

bool version_is_invocable(const struct version *version)
{
    return version->state == VERSION_ACTIVE && version->code.has_tree &&
           !version_model_is_missing(version);
}

static bool is_same_text(const char *left, const char *right)
{
    if (!left || !right)
        return left == right;
    return strcmp(left, right) == 0;
}

static bool is_same_environment(const struct version *left, const struct version *right)
{
    if (left->has_environment != right->has_environment ||
        left->n_environment != right->n_environment)
        return false;
    for (size_t i = 0; i < left->n_environment; i++) {
        if (!is_same_text(left->environment[i].name, right->environment[i].name) ||
            !is_same_text(left->environment[i].value, right->environment[i].value))
            return false;
    }
    return true;
}

bool version_is_same_layers(const struct version *left, const struct version *right)
{
    if (left->n_layers != right->n_layers)
        return false;
    for (size_t i = 0; i < left->n_layers; i++)
        if (strcmp(left->layers[i].name, right->layers[i].name) != 0 ||
            left->layers[i].number != right->layers[i].number)
            return false;
    return true;
}

bool version_has_filesystem(const struct version *version)
{
    return version->filesystem.arn[0] != '\0';
}

bool version_needs_mount(const struct version *version)
{
    bool is_by_itself =
        version->code.forking == VERSION_FORKING_ALWAYS && version->model.has_tree;
    return version_has_filesystem(version) && !is_by_itself;
}

bool version_is_same_filesystem(const struct version *left, const struct version *right)
{
    return strcmp(left->filesystem.arn, right->filesystem.arn) == 0 &&
           strcmp(left->filesystem.path, right->filesystem.path) == 0;
}

static void refuse_layer(struct version_layer *layer, uint64_t number)
{
    if (!layer->refused_first || number < layer->refused_first)
        layer->refused_first = number;
    if (number > layer->refused_last)
        layer->refused_last = number;
}

void version_refuse_layers(struct version *draft, const struct version *tried)
{
    for (size_t i = 0; i < draft->n_layers && i < tried->n_layers; i++)
        if (strcmp(draft->layers[i].name, tried->layers[i].name) == 0 &&
            draft->layers[i].number != tried->layers[i].number)
            refuse_layer(&draft->layers[i], tried->layers[i].number);
}

uint64_t version_layers_bytes(const struct version *version)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < version->n_layers; i++)
        bytes += version->layers[i].tree_bytes;
    return bytes;
}

bool version_is_same_content(const struct version *latest, const struct version *published)
{
    return memcmp(latest->code.zip_sha256, published->code.zip_sha256,
                  sizeof(latest->code.zip_sha256)) == 0 &&
           latest->memory_mb == published->memory_mb && latest->timeout_s == published->timeout_s &&
           latest->tmp_mb == published->tmp_mb &&
           latest->has_snap_start == published->has_snap_start &&
           is_same_text(latest->runtime, published->runtime) &&
           is_same_text(latest->handler, published->handler) &&
           is_same_text(latest->role, published->role) &&
           is_same_text(latest->description, published->latest_description) &&
           is_same_text(latest->passive_json, published->passive_json) &&
           version_is_same_layers(latest, published) &&
           version_is_same_filesystem(latest, published) &&
           memcmp(latest->model.digest, published->model.digest, DIGEST_BYTES) == 0 &&
           is_same_environment(latest, published);
}

const char *version_state_name(enum version_state state)
{
    switch (state) {
    case VERSION_PENDING:
        return "Pending";
    case VERSION_ACTIVE:
        return "Active";
    case VERSION_FAILED:
        return "Failed";
    }
    return "Failed";
}

const char *version_update_name(enum version_update update)
{
    switch (update) {
    case VERSION_UPDATE_NONE:
        return NULL;
    case VERSION_UPDATE_SUCCESSFUL:
        return "Successful";
    case VERSION_UPDATE_IN_PROGRESS:
        return "InProgress";
    case VERSION_UPDATE_FAILED:
        return "Failed";
    }
    return NULL;
}
