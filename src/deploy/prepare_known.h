// SPDX-License-Identifier: MIT
//
// prepare_known: what is known of models that were prepared, by key: DIR/prepared/<key>, one record a
// file (prepare_record.h), all of them in memory too.
//
// Nobody can fill it for good with models that do not load: the oldest of those makes room. Records
// with a form go with the last version that names it (prepare_known_live).
//
// Threads: the loop's, but prepare_known_write. Limit: PREPARE_RECORDS_MAX. Internal to deploy/.

#ifndef LAMINA_DEPLOY_PREPARE_KNOWN_H
#define LAMINA_DEPLOY_PREPARE_KNOWN_H

#include "base/digest.h"
#include "base/error.h"
#include "deploy/deploy.h"
#include "deploy/prepare_record.h"

#include <stdbool.h>

struct prepare_known;

// Reads the records (blocks: at start). One that cannot be read is dropped: what it told is found out
// again.
int prepare_known_open(int data_dir_fd, struct prepare_known **ret_known,
                       struct error *err) MUST_CHECK;
void prepare_known_close(struct prepare_known *known); // accepts NULL

// Counts as a use.
bool prepare_known_find(struct prepare_known *known, const struct digest *key,
                        struct prepare_record *ret_record) MUST_CHECK;
// For this start; the next one finds it if it was written. -ENOMEM: too many have a form.
int prepare_known_put(struct prepare_known *known, const struct digest *key,
                      const struct prepare_record *record) MUST_CHECK;
// Not for the next start either. Harmless if it is not known.
void prepare_known_drop(struct prepare_known *known, const struct digest *key);

// Any thread, blocks: the file.
int prepare_known_write(const struct prepare_known *known, const struct digest *key,
                        const struct prepare_record *record, struct error *err) MUST_CHECK;

// For a collection: the forms that stay. Those that `is_used` denies go after PREPARE_KEPT_S.
void prepare_known_live(struct prepare_known *known, struct deploy_live *live,
                        bool (*is_used)(void *arg, const struct digest *form), void *arg);

#endif
