/* SPDX-License-Identifier: MIT */

#include "api/route.h"

#include <errno.h>
#include <string.h>

#include "base/percent.h"

static int decode(struct str text, struct arena *arena, struct str *ret)
{
    char *data = arena_alloc(arena, text.size + 1);
    if (!data)
        return -ENOMEM;
    ptrdiff_t size = percent_decode(text, false, data);
    if (size < 0 || memchr(data, '\0', (size_t) size))
        return -EINVAL;
    data[size] = '\0';
    *ret = str_of_data(data, (size_t) size);
    return 0;
}

/* Walks template and path together, one segment each. `labels` gets raw views. */
static bool match_path(const char *template, struct str path, struct str labels[ROUTE_LABELS_MAX],
                       size_t *ret_n)
{
    struct str want = str_of(template);
    size_t n = 0;
    if (path.size > 1 && str_has_suffix(path, STR("/")))
        path.size--;
    for (;;) {
        struct str want_part;
        struct str part;
        bool is_want_more = str_cut(want, '/', &want_part, &want);
        bool is_more = str_cut(path, '/', &part, &path);
        if (is_want_more != is_more)
            return false;
        if (want_part.size > 0 && want_part.data[0] == '{') {
            if (part.size == 0 || n == ROUTE_LABELS_MAX)
                return false;
            labels[n++] = part;
        } else if (!str_equal(want_part, part)) {
            return false;
        }
        if (!is_more)
            break;
    }
    *ret_n = n;
    return true;
}

/* Is the raw pair there? The table's pairs need no decoding. */
static bool has_pair(struct str query, const char *pair)
{
    bool is_more = true;
    while (is_more) {
        struct str part;
        is_more = str_cut(query, '&', &part, &query);
        if (str_equal_text(part, pair))
            return true;
    }
    return false;
}

int route_find(const struct route *table, enum http_method method, struct str path,
               struct str query, struct arena *arena, struct route_match *ret_match)
{
    struct str raw[ROUTE_LABELS_MAX];
    memset(ret_match, 0, sizeof(*ret_match));
    for (const struct route *route = table; route->path; route++) {
        size_t n;
        /* The method first: most rows are decided by it and by the length of the first segments. */
        bool is_method = route->method == method;
        if ((!is_method && ret_match->is_other_method) || !match_path(route->path, path, raw, &n))
            continue;
        if (!is_method) {
            ret_match->is_other_method = true;
            continue;
        }
        if (route->query && !has_pair(query, route->query))
            continue;
        ret_match->route = route;
        ret_match->n_labels = n;
        for (size_t i = 0; i < n; i++) {
            int r = decode(raw[i], arena, &ret_match->labels[i]);
            if (r < 0)
                return r;
        }
        return 0;
    }
    return 0;
}

int route_query(struct str query, const char *name, struct arena *arena, struct str *ret_value)
{
    struct str none = {NULL, 0};
    bool is_more = true;
    while (is_more) {
        struct str pair;
        struct str key;
        struct str value;
        is_more = str_cut(query, '&', &pair, &query);
        (void) str_cut(pair, '=', &key, &value);
        int r = decode(key, arena, &key);
        if (r < 0)
            return r;
        if (str_equal_text(key, name))
            return decode(value, arena, ret_value);
    }
    *ret_value = none;
    return 0;
}
