/* SPDX-License-Identifier: MIT
 *
 * ListFunctions. The marker is the last item's key: a name, or with FunctionVersion=ALL a name and the
 * qualifier. Functions come in the order of their names, versions of one with $LATEST first.
 */

#include <stdio.h>
#include <string.h>

#include "api/call.h"
#include "api/function_shape.h"
#include "api/operations.h"
#include "api/validation.h"
#include "function/catalog.h"

#define KEY_MAX 160

struct listing {
    struct buf json;
    size_t page;
    size_t n;
    char last[KEY_MAX]; /* key of the last item appended */
    bool is_more;
};

/* False when the page is full: there is more. */
static bool append(struct listing *listing, const struct version *version, bool is_all)
{
    if (listing->n == listing->page) {
        listing->is_more = true;
        return false;
    }
    if (listing->n++)
        buf_append_byte(&listing->json, ',');
    function_shape_append(&listing->json, version, is_all ? version->qualifier : NULL,
                          FUNCTION_SHAPE_LIST_ITEM);
    (void) snprintf(listing->last, sizeof(listing->last), "%s%s%s", version->name,
                    is_all ? ":" : "", is_all ? version->qualifier : "");
    return true;
}

/* The function's versions after number `after`; 0: from $LATEST on is `with_latest`. */
static bool append_all(struct listing *listing, const struct function *function, bool with_latest,
                       uint64_t after)
{
    if (with_latest && !append(listing, function->latest, true))
        return false;
    for (size_t i = 0; i < function->n_published; i++)
        if (version_number(function->published[i]) > after &&
            !append(listing, function->published[i], true))
            return false;
    return true;
}

static void list_latest(struct call *call, struct listing *listing, const char *marker)
{
    struct catalog *catalog = call->api->config.catalog;
    for (struct function *function = catalog_next(catalog, marker); function;
         function = catalog_next(catalog, function->name))
        if (!append(listing, function->latest, false))
            return;
}

static void list_all(struct call *call, struct listing *listing, char *marker)
{
    struct catalog *catalog = call->api->config.catalog;
    char *colon = strchr(marker, ':');
    uint64_t after = 0;
    if (colon) {
        *colon = '\0';
        after = call_marker_number(colon + 1);
        struct function *begun = catalog_function(catalog, marker);
        if (begun && !append_all(listing, begun, false, after))
            return;
    }
    for (struct function *function = catalog_next(catalog, marker); function;
         function = catalog_next(catalog, function->name))
        if (!append_all(listing, function, true, 0))
            return;
}

static int read_filter(struct call *call, bool *ret_is_all)
{
    AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
    struct str filter;
    int r = call_query(call, "FunctionVersion", &filter);
    if (r < 0)
        return r;
    *ret_is_all = str_equal(filter, STR("ALL"));
    if (filter.data && !*ret_is_all)
        validation_add(&validation, filter, "functionVersion", "satisfy enum value set: [ALL]");
    return validation_finish(&validation, AWS_VALIDATION, &call->error);
}

void lambda_list(struct call *call)
{
    struct listing listing = {.json = BUF_INIT(CALL_JSON_MAX)};
    char marker[KEY_MAX];
    bool is_all = false;
    int r = call_paging(call, &listing.page, marker, sizeof(marker));
    if (r == 0)
        r = read_filter(call, &is_all);
    if (r < 0) {
        call_fail(call);
        return;
    }
    buf_append_text(&listing.json, "{\"Functions\":[");
    if (is_all)
        list_all(call, &listing, marker);
    else
        list_latest(call, &listing, marker);
    buf_append_byte(&listing.json, ']');
    if (listing.is_more)
        call_append_marker(&listing.json, listing.last);
    buf_append_byte(&listing.json, '}');
    call_answer_json(call, 200, &listing.json);
}
