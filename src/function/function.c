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
    for (size_t i = 0; i < function->n_attachments; i++)
        attachment_free(function->attachments[i]);
    free(function->attachments);
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

/* Position of (kind, qualifier), or of the first greater one. */
static size_t attachment_position(const struct function *function, enum attachment_kind kind,
                                  const char *qualifier)
{
    size_t low = 0;
    size_t high = function->n_attachments;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct attachment *at = function->attachments[middle];
        if (at->kind < kind || (at->kind == kind && strcmp(at->qualifier, qualifier) < 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct function *function, size_t at, enum attachment_kind kind,
                  const char *qualifier)
{
    return at < function->n_attachments && function->attachments[at]->kind == kind &&
           strcmp(function->attachments[at]->qualifier, qualifier) == 0;
}

struct attachment *function_attachment(const struct function *function, enum attachment_kind kind,
                                       const char *qualifier)
{
    size_t at = attachment_position(function, kind, qualifier);
    return is_at(function, at, kind, qualifier) ? function->attachments[at] : NULL;
}

struct attachment *function_attachment_next(const struct function *function,
                                            enum attachment_kind kind, const char *after)
{
    size_t at = attachment_position(function, kind, after ? after : "");
    if (after && is_at(function, at, kind, after))
        at++;
    if (at == function->n_attachments || function->attachments[at]->kind != kind)
        return NULL;
    return function->attachments[at];
}

int function_reserve_attachment(struct function *function)
{
    if (function->n_attachments < function->attachments_capacity)
        return 0;
    if (function->n_attachments >= ATTACHMENTS_MAX)
        return -ENOSPC;
    size_t capacity = function->attachments_capacity ? function->attachments_capacity * 2 : 2;
    struct attachment **grown =
        reallocarray(function->attachments, capacity, sizeof(struct attachment *));
    if (!grown)
        return -ENOMEM;
    function->attachments = grown;
    function->attachments_capacity = capacity;
    return 0;
}

struct attachment *function_attach(struct function *function, struct attachment *attachment)
{
    size_t at = attachment_position(function, attachment->kind, attachment->qualifier);
    attachment->function = function;
    if (is_at(function, at, attachment->kind, attachment->qualifier)) {
        struct attachment *old = function->attachments[at];
        function->attachments[at] = attachment;
        return old;
    }
    assert(function->n_attachments < function->attachments_capacity);
    memmove(function->attachments + at + 1, function->attachments + at,
            (function->n_attachments - at) * sizeof(struct attachment *));
    function->attachments[at] = attachment;
    function->n_attachments++;
    return NULL;
}

struct attachment *function_detach(struct function *function, enum attachment_kind kind,
                                   const char *qualifier)
{
    size_t at = attachment_position(function, kind, qualifier);
    if (!is_at(function, at, kind, qualifier))
        return NULL;
    struct attachment *attachment = function->attachments[at];
    function->n_attachments--;
    memmove(function->attachments + at, function->attachments + at + 1,
            (function->n_attachments - at) * sizeof(struct attachment *));
    return attachment;
}
