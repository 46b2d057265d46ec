// SPDX-License-Identifier: MIT
//
// stage: single contents on their way into objects/, for whoever computes the digest itself and may
// write a file in pieces, out of order and over more than one life of the service.
//
//     DIR/tmp/      what one request writes; emptied at every start
//     DIR/uploads/  parts of uploads; they stay until the upload ends (store_stage_each, _remove)
//
//     store_stage ─► write, fsync by the caller ─► store_stage_publish ─► commit of the name ─► store_unpin
//
// A process killed at any point leaves staged files, or an object that nothing names: store_collect
// removes it. Any thread; all block.

#ifndef LAMINA_STORE_STAGE_H
#define LAMINA_STORE_STAGE_H

#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "store/store.h"

#include <stdint.h>

enum store_place { STORE_TMP, STORE_UPLOADS };

#define STORE_STAGE_NAME_SIZE 40 // with the NUL

// A new name in tmp/, and its file open for reading and writing.
int store_stage_new(struct store *store, char ret_name[STORE_STAGE_NAME_SIZE], int *ret_fd,
                    struct error *err) MUST_CHECK;
// uploads/<name> (no '/' in it), made if it is not there.
int store_stage_open(struct store *store, const char *name, int *ret_fd,
                     struct error *err) MUST_CHECK;
// A second name, in tmp/, for uploads/<name>.
int store_stage_link(struct store *store, const char *name, char ret_name[STORE_STAGE_NAME_SIZE],
                     struct error *err) MUST_CHECK;
// Not there is success.
int store_stage_remove(struct store *store, enum store_place place, const char *name) MUST_CHECK;
// Every file of uploads/. A negative result of `visit` ends it and is returned.
int store_stage_each(struct store *store, int (*visit)(void *arg, const char *name), void *arg,
                     struct error *err) MUST_CHECK;

// Makes the file, whose content has this digest and size (above 0), an object: durable on return,
// and kept from store_collect by *ret_pin. The staged name is gone after success, too when the
// object was there already. The content is synced here.
int store_stage_publish(struct store *store, enum store_place place, const char *name,
                        const struct digest *digest, uint64_t size, struct store_pin **ret_pin,
                        struct error *err) MUST_CHECK;

// A finished file becomes an object, as by store_stage_publish. Takes `file` whatever happens.
int store_stage_take(struct store *store, struct store_file *file, struct store_pin **ret_pin,
                     struct error *err) MUST_CHECK;

// Keeps an object that is there from store_collect, for giving it a further name. -ENOENT.
int store_stage_pin(struct store *store, const struct digest *digest,
                    struct store_pin **ret_pin) MUST_CHECK;

#endif
