/* SPDX-License-Identifier: MIT */

#include "function/catalog.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "function/catalog_data.h"
#include "function/version.h"
#include "loop/loop.h"

struct catalog *catalog_new(const struct catalog_config *config)
{
    struct catalog *catalog = mem_new(struct catalog);
    if (!catalog)
        return NULL;
    catalog->region = mem_copy_text(config->region);
    catalog->account = mem_copy_text(config->account);
    catalog->registry = config->registry;
    catalog->listener = config->listener;
    map_init(&catalog->urls, (size_t) CATALOG_FUNCTIONS_MAX * 2);
    if (!catalog->region || !catalog->account) {
        catalog_free(catalog);
        return NULL;
    }
    return catalog;
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (size_t i = 0; i < catalog->n_functions; i++) {
        assert(!catalog->functions[i]->change);
        function_free(catalog->functions[i]);
    }
    free(catalog->functions);
    map_done(&catalog->urls, NULL);
    free(catalog->region);
    free(catalog->account);
    free(catalog);
}

void catalog_set_listener(struct catalog *catalog, const struct catalog_listener *listener)
{
    catalog->listener = *listener;
}

void catalog_set_preparer(struct catalog *catalog, const struct catalog_preparer *preparer)
{
    catalog->preparer = *preparer;
}

void catalog_set_settler(struct catalog *catalog, const struct catalog_settler *settler)
{
    catalog->settler = *settler;
}

/* One preparation that somebody waits for, or nobody any more. */
struct preparing {
    struct catalog *catalog;
    char *name;            /* of the function */
    struct version *draft; /* borrowed; NULL: it was committed without */
    struct loop_timer timer;
    void (*done)(void *arg);
    void *arg;
};

static void prepared(void *arg, const struct version_prepared *prepared)
{
    struct preparing *preparing = arg;
    const struct catalog_settler *settler = &preparing->catalog->settler;
    loop_timer_stop(&preparing->timer);
    if (preparing->draft) {
        preparing->draft->prepared = *prepared;
        preparing->done(preparing->arg);
    } else if (settler->prepared) {
        settler->prepared(settler->arg, preparing->name, prepared);
    }
    free(preparing->name);
    free(preparing);
}

static void waited(void *arg)
{
    struct preparing *preparing = arg;
    preparing->draft = NULL;
    preparing->done(preparing->arg);
}

static int preparing_start(struct catalog *catalog, const struct version *version,
                           const struct preparing *wanted, struct preparing **ret_preparing)
{
    const struct catalog_preparer *preparer = &catalog->preparer;
    struct preparing *preparing = preparer->start ? mem_copy(wanted, sizeof(*wanted)) : NULL;
    if (!preparing)
        return -ENOMEM;
    preparing->catalog = catalog;
    preparing->name = mem_copy_text(version->name);
    int r =
        preparing->name ? preparer->start(preparer->arg, version, prepared, preparing) : -ENOMEM;
    if (r == 0) {
        *ret_preparing = preparing;
        return 0;
    }
    free(preparing->name);
    free(preparing);
    return r;
}

int catalog_prepare(struct catalog *catalog, struct version *draft, int64_t wait_ms,
                    void (*done)(void *arg), void *arg)
{
    const struct preparing wanted = {.draft = draft, .done = done, .arg = arg};
    const struct catalog_settler *settler = &catalog->settler;
    struct preparing *preparing = NULL;
    if (!version_prepared_is_wanted(draft))
        return 0;
    draft->prepared = (struct version_prepared){0}; /* it was for other code */
    if (preparing_start(catalog, draft, &wanted, &preparing) < 0)
        return 0;
    if (settler->prepared && wait_ms != CATALOG_PREPARED)
        (void) !loop_timer_start(settler->loop, &preparing->timer, wait_ms, waited,
                                 preparing); /* without a timer: as long as it takes */
    return 1;
}

int catalog_prepare_beside(struct catalog *catalog, const struct version *version)
{
    const struct preparing wanted = {.draft = NULL};
    struct preparing *preparing = NULL;
    return preparing_start(catalog, version, &wanted, &preparing);
}

const char *catalog_region(const struct catalog *catalog)
{
    return catalog->region;
}

const char *catalog_account(const struct catalog *catalog)
{
    return catalog->account;
}

/* Position of the first function whose name is not less than `name`. */
static size_t position(const struct catalog *catalog, const char *name)
{
    size_t low = 0;
    size_t high = catalog->n_functions;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(catalog->functions[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct function *catalog_any(const struct catalog *catalog, const char *name)
{
    size_t at = position(catalog, name);
    if (at == catalog->n_functions || strcmp(catalog->functions[at]->name, name) != 0)
        return NULL;
    return catalog->functions[at];
}

struct function *catalog_function(const struct catalog *catalog, const char *name)
{
    struct function *function = catalog_any(catalog, name);
    return function && !function->is_new ? function : NULL;
}

int catalog_insert(struct catalog *catalog, struct function *function)
{
    size_t at = position(catalog, function->name);
    if (at < catalog->n_functions && strcmp(catalog->functions[at]->name, function->name) == 0)
        return -EEXIST;
    if (catalog->n_functions == CATALOG_FUNCTIONS_MAX)
        return -ENOSPC;
    if (catalog->n_functions == catalog->capacity) {
        size_t capacity = catalog->capacity ? catalog->capacity * 2 : 16;
        struct function **grown =
            reallocarray(catalog->functions, capacity, sizeof(*catalog->functions));
        if (!grown)
            return -ENOMEM;
        catalog->functions = grown;
        catalog->capacity = capacity;
    }
    memmove(catalog->functions + at + 1, catalog->functions + at,
            (catalog->n_functions - at) * sizeof(*catalog->functions));
    catalog->functions[at] = function;
    catalog->n_functions++;
    return 0;
}

void catalog_remove(struct catalog *catalog, struct function *function)
{
    size_t at = position(catalog, function->name);
    assert(at < catalog->n_functions && catalog->functions[at] == function);
    catalog->n_functions--;
    memmove(catalog->functions + at, catalog->functions + at + 1,
            (catalog->n_functions - at) * sizeof(*catalog->functions));
    for (size_t i = 0; i < function->n_attachments; i++)
        if (function->attachments[i]->kind == ATTACHMENT_URL)
            (void) map_remove(&catalog->urls, str_of(function->attachments[i]->url_id));
    function_free(function);
}

void catalog_attach(struct catalog *catalog, struct function *function,
                    struct attachment *attachment)
{
    struct attachment *old = function_attach(function, attachment);
    void *replaced;
    if (old && old->kind == ATTACHMENT_URL)
        (void) map_remove(&catalog->urls, str_of(old->url_id));
    attachment_free(old);
    /* Without memory the URL is not found until the next start: nothing else depends on it. */
    if (attachment->kind == ATTACHMENT_URL &&
        map_replace(&catalog->urls, str_of(attachment->url_id), attachment, &replaced) < 0)
        return;
}

void catalog_detach(struct catalog *catalog, struct function *function, enum attachment_kind kind,
                    const char *qualifier)
{
    struct attachment *attachment = function_detach(function, kind, qualifier);
    if (attachment && kind == ATTACHMENT_URL)
        (void) map_remove(&catalog->urls, str_of(attachment->url_id));
    attachment_free(attachment);
}

struct attachment *catalog_url(const struct catalog *catalog, struct str url_id)
{
    return map_get(&catalog->urls, url_id);
}

void catalog_retire(struct catalog *catalog, const struct version *version)
{
    if (version && catalog->listener.retired)
        catalog->listener.retired(catalog->listener.arg, version);
}

void catalog_appear(struct catalog *catalog, const struct version *version)
{
    if (catalog->listener.appeared)
        catalog->listener.appeared(catalog->listener.arg, version);
}

bool catalog_replace(struct catalog *catalog, const struct version *old,
                     const struct version *draft, void (*done)(void *arg), void *arg)
{
    const struct catalog_listener *listener = &catalog->listener;
    return listener->replacing && listener->replacing(listener->arg, old, draft, done, arg);
}

struct function *catalog_next(const struct catalog *catalog, const char *after)
{
    size_t at = after ? position(catalog, after) : 0;
    for (; at < catalog->n_functions; at++) {
        struct function *function = catalog->functions[at];
        bool is_after = !after || strcmp(function->name, after) > 0;
        if (is_after && !function->is_new)
            return function;
    }
    return NULL;
}

size_t catalog_count(const struct catalog *catalog)
{
    size_t n = 0;
    for (size_t i = 0; i < catalog->n_functions; i++)
        n += !catalog->functions[i]->is_new;
    return n;
}

static bool is_latest(const char *qualifier)
{
    return !qualifier || qualifier[0] == '\0' || strcmp(qualifier, VERSION_LATEST) == 0;
}

/* The published version, or NULL: no number, no such number. */
static struct version *find_published(const struct function *function, const char *qualifier)
{
    uint64_t number;
    /* "01" is not "1": AWS takes the number as text. */
    if (qualifier[0] == '0' || str_to_u64(str_of(qualifier), UINT64_MAX, &number) < 0)
        return NULL;
    return function_published(function, number);
}

/* Uniform in [0, 1). */
static double draw(void)
{
    uint32_t random;
    mem_random(&random, sizeof(random));
    return random / 4294967296.0;
}

/* What calls to $LATEST run: the code that serves, or if there is none what there is. */
static struct version *find_latest(const struct function *function)
{
    return function->live ? function->live : function->latest;
}

/* `is_call` false: of two versions the main one. */
static struct version *find_alias(const struct function *function, const char *qualifier,
                                  bool is_call)
{
    const struct attachment *alias = function_attachment(function, ATTACHMENT_ALIAS, qualifier);
    if (!alias)
        return NULL;
    uint64_t number = alias->route.number;
    if (is_call && alias->route.extra_number && draw() < alias->route.extra_weight)
        number = alias->route.extra_number;
    if (number == 0)
        return is_call ? find_latest(function) : function->latest;
    return function_published(function, number);
}

int catalog_find(const struct catalog *catalog, const char *name, const char *qualifier,
                 const struct version **ret_version)
{
    const struct function *function = catalog_function(catalog, name);
    if (!function)
        return -ENOENT;
    const struct version *version =
        is_latest(qualifier) ? find_latest(function) : find_published(function, qualifier);
    if (!version)
        version = find_alias(function, qualifier, true);
    if (!version)
        return -ENOENT;
    *ret_version = version;
    if (version_is_invocable(version))
        return 0;
    return version->state == VERSION_FAILED ? -EBADFD : -EAGAIN;
}

int catalog_describe(const struct catalog *catalog, const char *name, const char *qualifier,
                     const struct version **ret_version)
{
    const struct function *function = catalog_function(catalog, name);
    if (!function)
        return -ENOENT;
    const struct version *version =
        is_latest(qualifier) ? function->latest : find_published(function, qualifier);
    if (!version)
        version = find_alias(function, qualifier, false);
    if (!version)
        return -ENOENT;
    *ret_version = version;
    return 0;
}

void catalog_event_invoke(const struct catalog *catalog, const char *name, const char *qualifier,
                          struct event_invoke *ret_settings)
{
    const struct function *function = catalog_function(catalog, name);
    const struct attachment *found = NULL;
    int64_t number;
    *ret_settings = (struct event_invoke){.retries_max = 2, .age_s_max = 21600};
    if (function)
        found = function_attachment(function, ATTACHMENT_EVENT_INVOKE,
                                    is_latest(qualifier) ? "" : qualifier);
    if (!found)
        return;
    yyjson_val *root = attachment_root(found);
    if (json_member_i64(root, "MaximumRetryAttempts", 0, 2, &number) == 0)
        ret_settings->retries_max = (uint32_t) number;
    if (json_member_i64(root, "MaximumEventAgeInSeconds", 60, 21600, &number) == 0)
        ret_settings->age_s_max = (uint32_t) number;
    ret_settings->on_success = json_str(json_member(root, "OnSuccess"));
    ret_settings->on_failure = json_str(json_member(root, "OnFailure"));
}

void catalog_each_version(const struct catalog *catalog,
                          void (*visit)(void *arg, const struct version *version), void *arg)
{
    for (size_t i = 0; i < catalog->n_functions; i++) {
        const struct function *function = catalog->functions[i];
        if (function->latest)
            visit(arg, function->latest);
        if (function->live && function->live != function->latest)
            visit(arg, function->live);
        for (size_t k = 0; k < function->n_published; k++)
            visit(arg, function->published[k]);
    }
}
