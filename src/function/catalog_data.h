/* SPDX-License-Identifier: MIT
 *
 * catalog_data: what catalog.c, change.c and settle.c share. Not for others.
 */
#ifndef LAMINA_FUNCTION_CATALOG_DATA_H
#define LAMINA_FUNCTION_CATALOG_DATA_H

#include "base/buf.h"
#include "base/map.h"
#include "base/str.h"
#include "function/catalog.h"

/* Rows of the registry: one a function, with its $LATEST, and one a published version. */
#define KIND_FUNCTION "function"
#define KIND_VERSION "version"
/* "<name>:<qualifier>": of versions a number, of attachments a number, an alias or nothing. */
#define ROW_KEY_MAX 200

struct catalog {
    char *region;
    char *account;
    struct registry *registry; /* borrowed */
    struct catalog_listener listener;
    struct catalog_preparer preparer;
    struct catalog_settler settler;
    struct function **functions; /* owned; sorted by name; those being created are among them */
    size_t n_functions;
    size_t capacity;
    struct map urls; /* url id -> struct attachment, borrowed from its function */
};

/* Also finds a function that is being created. */
struct function *catalog_any(const struct catalog *catalog, const char *name);
/* Takes the function. -EEXIST, -ENOSPC, -ENOMEM: it stays the caller's. */
MUST_CHECK int catalog_insert(struct catalog *catalog, struct function *function);
/* Takes it out and frees it. */
void catalog_remove(struct catalog *catalog, struct function *function);
/* Hangs an attachment on its function (room was reserved), frees the one it replaces. */
void catalog_attach(struct catalog *catalog, struct function *function,
                    struct attachment *attachment);
void catalog_detach(struct catalog *catalog, struct function *function, enum attachment_kind kind,
                    const char *qualifier);
void catalog_retire(struct catalog *catalog, const struct version *version);
void catalog_appear(struct catalog *catalog, const struct version *version);
bool catalog_replace(struct catalog *catalog, const struct version *old,
                     const struct version *draft, void (*done)(void *arg), void *arg);

/* The registry's row of a function (function_json.c), malloc'ed; NULL without memory. */
char *function_to_json(const struct version *latest, const struct version *live,
                       uint64_t next_number, const char *tags_json, size_t *ret_size);
/* Fills a new function from its row. -EBADMSG. */
MUST_CHECK int function_from_json(struct function *function, struct str json, const char *region,
                                  const char *account, struct error *err);

#endif
