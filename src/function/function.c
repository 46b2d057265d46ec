/* SPDX-License-Identifier: MIT */

#include "function/function.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct function *function_new(const char *name)
{
    struct function *function = mem_new(struct function);
    if (!function)
        return NULL;
    function->name = mem_copy_text(name);
    function->next_number = 1;
    if (!function->name) {
        free(function);
        return NULL;
    }
    return function;
}

void function_free(struct function *function)
{
    if (!function)
        return;
    version_unref(function->latest);
    version_unref(function->live);
    for (size_t i = 0; i < function->n_published; i++)
        version_unref(function->published[i]);
    free(function->published);
    free(function->tags_json);
    free(function->name);
    free(function);
}

/* Position of `number`, or of the first greater one. */
static size_t published_position(const struct function *function, uint64_t number)
{
    size_t low = 0;
    size_t high = function->n_published;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (version_number(function->published[middle]) < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct version *function_published(const struct function *function, uint64_t number)
{
    size_t at = published_position(function, number);
    if (at == function->n_published || version_number(function->published[at]) != number)
        return NULL;
    return function->published[at];
}

struct version *function_newest(const struct function *function)
{
    return function->n_published ? function->published[function->n_published - 1] : NULL;
}

int function_reserve_published(struct function *function)
{
    if (function->n_published < function->published_capacity)
        return 0;
    size_t capacity = function->published_capacity ? function->published_capacity * 2 : 4;
    struct version **grown =
        reallocarray(function->published, capacity, sizeof(*function->published));
    if (!grown)
        return -ENOMEM;
    function->published = grown;
    function->published_capacity = capacity;
    return 0;
}

void function_add_published(struct function *function, struct version *version)
{
    uint64_t number = version_number(version);
    assert(function->n_published < function->published_capacity);
    size_t at = published_position(function, number);
    assert(at == function->n_published || version_number(function->published[at]) != number);
    memmove(function->published + at + 1, function->published + at,
            (function->n_published - at) * sizeof(*function->published));
    function->published[at] = version;
    function->n_published++;
    if (function->next_number <= number)
        function->next_number = number + 1;
}

struct version *function_remove_published(struct function *function, uint64_t number)
{
    size_t at = published_position(function, number);
    if (at == function->n_published || version_number(function->published[at]) != number)
        return NULL;
    struct version *version = function->published[at];
    function->n_published--;
    memmove(function->published + at, function->published + at + 1,
            (function->n_published - at) * sizeof(*function->published));
    return version;
}
