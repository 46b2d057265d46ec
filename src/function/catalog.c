/* SPDX-License-Identifier: MIT */

#include "function/catalog.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "function/catalog_data.h"
#include "meta/registry.h"

struct catalog *catalog_new(const struct catalog_config *config)
{
    struct catalog *catalog = mem_new(struct catalog);
    if (!catalog)
        return NULL;
    catalog->region = mem_copy_text(config->region);
    catalog->account = mem_copy_text(config->account);
    catalog->registry = config->registry;
    catalog->listener = config->listener;
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
    free(catalog->region);
    free(catalog->account);
    free(catalog);
}

void catalog_set_listener(struct catalog *catalog, const struct catalog_listener *listener)
{
    catalog->listener = *listener;
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
    function_free(function);
}

void catalog_retire(struct catalog *catalog, const struct version *version)
{
    if (version && catalog->listener.retired)
        catalog->listener.retired(catalog->listener.arg, version);
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

/* The published version, or NULL: no number, no such number. Aliases do not exist yet. */
static struct version *find_published(const struct function *function, const char *qualifier)
{
    uint64_t number;
    /* "01" is not "1": AWS takes the number as text. */
    if (qualifier[0] == '0' || str_to_u64(str_of(qualifier), UINT64_MAX, &number) < 0)
        return NULL;
    return function_published(function, number);
}

int catalog_find(const struct catalog *catalog, const char *name, const char *qualifier,
                 const struct version **ret_version)
{
    const struct function *function = catalog_function(catalog, name);
    if (!function)
        return -ENOENT;
    const struct version *version =
        is_latest(qualifier) ? function->live : find_published(function, qualifier);
    if (!version && is_latest(qualifier))
        version = function->latest;
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
        return -ENOENT;
    *ret_version = version;
    return 0;
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

/* Loading */

struct loader {
    struct catalog *catalog;
    struct error *err;
};

static int load_function(void *arg, const char *key, struct str value, int64_t revision)
{
    struct loader *loader = arg;
    struct function *function = function_new(key);
    if (!function)
        return -ENOMEM;
    function->revision = revision;
    int r = function_from_json(function, value, loader->catalog->region, loader->catalog->account,
                               loader->err);
    if (r == 0)
        r = catalog_insert(loader->catalog, function);
    if (r < 0)
        function_free(function);
    return r;
}

static int load_version(void *arg, const char *key, struct str value, int64_t revision)
{
    struct loader *loader = arg;
    struct str name;
    struct str number;
    char text[VERSION_KEY_MAX];
    if (!str_cut(str_of(key), ':', &name, &number) || str_copy(name, text, sizeof(text)) < 0)
        return error_set(loader->err, -EBADMSG, "version '%s' has no name", key);
    struct function *function = catalog_any(loader->catalog, text);
    if (!function)
        return error_set(loader->err, -EBADMSG, "version '%s' has no function", key);
    struct version *version;
    int r = version_from_json(value.data, value.size, text, loader->catalog->region,
                              loader->catalog->account, &version, loader->err);
    if (r < 0)
        return r;
    r = function_reserve_published(function);
    if (r == 0 && (!str_equal_text(number, version->qualifier) ||
                   function_published(function, version_number(version))))
        r = error_set(loader->err, -EBADMSG, "version '%s' says that it is number '%s'", key,
                      version->qualifier);
    if (r < 0) {
        version_unref(version);
        return r;
    }
    function_add_published(function, version);
    return 0;
}

int catalog_load(struct catalog *catalog, struct error *err)
{
    struct loader loader = {.catalog = catalog, .err = err};
    int r = registry_list(catalog->registry, KIND_FUNCTION, load_function, &loader, err);
    if (r == 0)
        r = registry_list(catalog->registry, KIND_VERSION, load_version, &loader, err);
    return r < 0 ? error_wrap(err, r, "load the functions") : 0;
}

struct checker {
    int (*check)(void *arg, const struct version *version, struct error *err);
    void *arg;
    size_t n_failed;
};

static void check_version(void *arg, const struct version *version)
{
    struct checker *checker = arg;
    struct error err = {0};
    if (!version_is_invocable(version) || checker->check(checker->arg, version, &err) >= 0)
        return;
    /* Before the loop runs nobody else reads it: the one moment when a snapshot may change. */
    struct version *damaged = (struct version *) (uintptr_t) version;
    damaged->state = VERSION_FAILED;
    version_set(damaged, &damaged->state_reason, err.text);
    version_set(damaged, &damaged->state_reason_code, "InternalError");
    checker->n_failed++;
}

size_t catalog_check(struct catalog *catalog,
                     int (*check)(void *arg, const struct version *version, struct error *err),
                     void *arg)
{
    struct checker checker = {.check = check, .arg = arg};
    catalog_each_version(catalog, check_version, &checker);
    return checker.n_failed;
}
