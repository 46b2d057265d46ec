// SPDX-License-Identifier: MIT
#include "cli/flat.h"

#include "cli/output.h"
#include "package/strategy.h"

#include "base/str.h"

#include <stdio.h>

#define PATH_BYTES_MAX 512

void flat_leaf(const char *name, yyjson_val *leaf, char *text, size_t text_size)
{
    text[0] = '\0';
    if (yyjson_is_str(leaf))
        snprintf(text, text_size, "%.*s", (int) yyjson_get_len(leaf), yyjson_get_str(leaf));
    else if (yyjson_is_bool(leaf))
        snprintf(text, text_size, "%s", yyjson_get_bool(leaf) ? "yes" : "no");
    else if (yyjson_is_uint(leaf) && str_has_suffix(str_of(name), STR("_bytes")))
        bytes_describe(yyjson_get_uint(leaf), text, text_size);
    else if (yyjson_is_uint(leaf))
        snprintf(text, text_size, "%llu", (unsigned long long) yyjson_get_uint(leaf));
    else if (yyjson_is_int(leaf))
        snprintf(text, text_size, "%lld", (long long) yyjson_get_sint(leaf));
    else if (yyjson_is_real(leaf))
        snprintf(text, text_size, "%.3f", yyjson_get_real(leaf));
}

static void add(struct table *table, const char *path, const char *name, yyjson_val *value);

static void add_members(struct table *table, const char *path, yyjson_val *object)
{
    size_t i, count;
    yyjson_val *key, *value;

    yyjson_obj_foreach(object, i, count, key, value)
    {
        char longer[PATH_BYTES_MAX];
        const char *name = yyjson_get_str(key) != NULL ? yyjson_get_str(key) : "";
        snprintf(longer, sizeof longer, "%s%s%s", path, path[0] != '\0' ? "." : "", name);
        add(table, longer, name, value);
    }
}

static void add(struct table *table, const char *path, const char *name, yyjson_val *value)
{
    char text[2048];
    size_t i, count;
    yyjson_val *item;

    if (yyjson_is_null(value))
        return;
    if (yyjson_is_obj(value)) {
        add_members(table, path, value);
    } else if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, i, count, item)
        {
            char longer[PATH_BYTES_MAX];
            snprintf(longer, sizeof longer, "%s.%zu", path, i);
            add(table, longer, name, item);
        }
    } else {
        flat_leaf(name, value, text, sizeof text);
        table_cell(table, "%s", path);
        table_cell(table, "%s", text);
    }
}

void flat_print(yyjson_val *root)
{
    static const char *const heads[] = {"WHAT", "VALUE"};
    struct table table;

    table_init(&table, heads, ARRAY_SIZE(heads));
    add(&table, "", "", root);
    table_print(&table);
    table_done(&table);
}
