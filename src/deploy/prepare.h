// SPDX-License-Identifier: MIT
//
// prepare: models get the form that is used in place, once (docs/prepared-models.md).
//
//     prepare_start ─► which file of the tree ─► key = model, engine, processor ─► known? ─► link ─► done(result)
//                                                    no: WORK over fd 4 ─► lamina-work, confined
//                                                    ─► form digested here ─► an object ─► record
//
// A key names one model's bytes, one engine library and one processor: a form made on another
// processor, or for another engine, has another key and is never found. One worker a key: whoever
// asks meanwhile waits for it. What it finds is remembered, failures of the model too; failures of
// the machine (no space, no memory, too slow) are not.
//
// Nothing here fails a deployment: without a form the model is loaded the ordinary way, and `reason`
// says why.
//
// The worker runs what a stranger made and is not believed: laminad digests what it writes. A worker
// that lies answers wrongly for the model that took it over, and for nobody else: the key is that
// model's digest.
//
// It is a job beside everything else: nobody needs to wait for `done`, which comes whatever has become
// of the version meanwhile, and what it found is known to whoever asks next.
//
// Threads: the loop's, which nothing here blocks; what reads and writes is done by threads of its own.
// Limits (answered with a reason beyond): PREPARE_WORKERS workers at once, or more while some are late
// (prepare_making.h), PREPARE_WAITING_MAX models waiting, PREPARE_CALLS_MAX calls being looked at,
// PREPARE_RECORDS_MAX known.

#ifndef LAMINA_DEPLOY_PREPARE_H
#define LAMINA_DEPLOY_PREPARE_H

#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "deploy/deploy.h"
#include "loop/loop.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

#define PREPARE_WORKERS 2
#define PREPARE_WORKERS_MAX 6
#define PREPARE_WAITING_MAX 64
#define PREPARE_CALLS_MAX 256
// What one takes on a quiet machine, several times over.
#define PREPARE_SHARE_MS(bytes) (UINT64_C(5000) + (bytes) / (32 * 1024))
#define PREPARE_RECORDS_MAX 10000
#define PREPARE_PATH_MAX 400 // of a model in its tree; longer ones are not prepared
#define PREPARE_REASON_MAX 200
#define PREPARE_KEPT_S 600 // a form that no version names

struct prepare;

enum prepare_packing { PREPARE_AUTO, PREPARE_PACKED, PREPARE_UNPACKED };

struct prepare_spec {
    struct digest tree_id;           // kept by the caller until `done`
    char path[PREPARE_PATH_MAX + 1]; // of the model; "": the only one, at most three folders deep
    struct digest models_set;        // whose directory of models gets the form
    uint64_t memory_bytes;           // of an instance
    enum prepare_packing packing;    // AUTO: what was measured decides
};

struct prepare_result {
    bool has_model; // there is one such file
    char path[PREPARE_PATH_MAX + 1];
    struct digest model;
    uint64_t model_bytes;
    bool is_in_place; // of a format that is used where it lies in the file: its own form
    bool has_form;
    struct digest key;                        // has_form
    struct digest form;                       // has_form: an object of the store
    uint64_t form_bytes;                      // has_form
    bool is_measured;                         // the form, or the model as it is if there is none:
    bool is_packed;                           // what was chosen
    uint64_t cold_us, warm_us, private_bytes; // as measured, with one thread
    uint64_t shared_bytes;                    // of files that are mapped
    char reason[PREPARE_REASON_MAX];          // of the choice, or why there is no form
};

struct prepare_config {
    struct loop *loop;   // borrowed
    struct store *store; // borrowed
    int work_fd;         // borrowed: SPAWN_FD_WORK
    int data_dir_fd;     // borrowed during prepare_new
    const char
        *library; // path of the engine's library as laminad sees it; borrowed during prepare_new
    // For tests; 0 and NULL: as told in prepare_making.h.
    uint64_t share_ms, time_limit_ms, form_bytes_max;
    const char *meminfo;
};

// Reads the records and the library (blocks: at start). Without an engine's library nothing is prepared.
int prepare_new(const struct prepare_config *config, struct prepare **ret_prepare,
                struct error *err) MUST_CHECK;
void prepare_free(struct prepare *prepare); // waits for running jobs; accepts NULL

// What forms are made for here: a digest of the engine's library and the processor. A version that
// was prepared for another has to be prepared again.
struct digest prepare_platform(const struct prepare *prepare);

// One call of `done` later, never from inside; -ENOMEM and no call.
int prepare_start(struct prepare *prepare, const struct prepare_spec *spec,
                  void (*done)(void *arg, const struct prepare_result *result),
                  void *arg) MUST_CHECK;

// Links a form that is known into a set again, at start. Blocks. -ENOENT: the form is not there any
// more.
int prepare_link(struct prepare *prepare, const struct digest *models_set,
                 const struct digest *model, const struct digest *key, const struct digest *form,
                 struct error *err) MUST_CHECK;

// The form's path in the set, and so beneath /opt/lamina/models.
#define PREPARE_LINK_SIZE (2 * DIGEST_HEX_SIZE + 32)
void prepare_link_path(const struct digest *model, const struct digest *key,
                       char path[PREPARE_LINK_SIZE]);

// For a collection: the forms that stay. Those that `is_used` denies go after PREPARE_KEPT_S.
void prepare_live(struct prepare *prepare, struct deploy_live *live,
                  bool (*is_used)(void *arg, const struct digest *form), void *arg);

#endif
