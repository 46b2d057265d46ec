/* SPDX-License-Identifier: MIT
 *
 * Filling the catalog from the registry at start, and asking whether the store still holds what it names.
 */

#include "function/catalog.h"

#include <errno.h>

#include "base/str.h"
#include "function/catalog_data.h"
#include "meta/registry.h"

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
    (void) revision; /* a version is never written twice */
    struct loader *loader = arg;
    struct str name;
    struct str number;
    char text[ROW_KEY_MAX];
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

struct attachment_loader {
    struct loader *loader;
    enum attachment_kind kind;
};

static int load_attachment(void *arg, const char *key, struct str value, int64_t revision)
{
    (void) revision; /* changes of one function are serialised by its `change` */
    const struct attachment_loader *loading = arg;
    struct loader *loader = loading->loader;
    struct str name;
    struct str qualifier;
    char text[ROW_KEY_MAX];
    char qualifier_text[ROW_KEY_MAX];
    struct attachment *attachment;
    if (!str_cut(str_of(key), ':', &name, &qualifier) || str_copy(name, text, sizeof(text)) < 0 ||
        str_copy(qualifier, qualifier_text, sizeof(qualifier_text)) < 0)
        return error_set(loader->err, -EBADMSG, "%s '%s' has no name",
                         attachment_kind_name(loading->kind), key);
    struct function *function = catalog_any(loader->catalog, text);
    if (!function)
        return error_set(loader->err, -EBADMSG, "%s '%s' has no function",
                         attachment_kind_name(loading->kind), key);
    int r = function_reserve_attachment(function);
    if (r == 0)
        r = attachment_new(loading->kind, qualifier_text, value, &attachment, loader->err);
    if (r < 0)
        return r;
    catalog_attach(loader->catalog, function, attachment);
    return 0;
}

static int load_attachments(struct loader *loader)
{
    int r = 0;
    for (int kind = 0; r == 0 && kind < ATTACHMENT_KINDS; kind++) {
        struct attachment_loader loading = {loader, (enum attachment_kind) kind};
        r = registry_list(loader->catalog->registry,
                          attachment_kind_name((enum attachment_kind) kind), load_attachment,
                          &loading, loader->err);
    }
    return r;
}

int catalog_load(struct catalog *catalog, struct error *err)
{
    struct loader loader = {.catalog = catalog, .err = err};
    int r = registry_list(catalog->registry, KIND_FUNCTION, load_function, &loader, err);
    if (r == 0)
        r = registry_list(catalog->registry, KIND_VERSION, load_version, &loader, err);
    if (r == 0)
        r = load_attachments(&loader);
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
