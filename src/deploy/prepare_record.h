// SPDX-License-Identifier: MIT
//
// prepare_record: what is known of one model's prepared form, as one JSON object in
// DIR/prepared/<key> (docs/prepared-models.md).
//
//     {"Format":1,"Model":"<hex>","Form":"<hex>","Bytes":n,"Checked":8,
//      "Off":{"ColdUs":n,"WarmUs":n,"PrivateBytes":n,"IsEqual":true},"On":{...}}
//     {"Format":1,"Model":"<hex>","Checked":8,"Off":{...},"On":{...}}     too large for a form: as it is
//     {"Format":1,"Model":"<hex>","Reason":"..."}                         it cannot be prepared
//
// Pure functions; any thread. Internal to deploy/.

#ifndef LAMINA_DEPLOY_PREPARE_RECORD_H
#define LAMINA_DEPLOY_PREPARE_RECORD_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/str.h"
#include "deploy/prepare.h"

#include <stdbool.h>
#include <stdint.h>

#define PREPARE_RECORD_MAX 4096

struct prepare_packing_measured {
    uint64_t cold_us, warm_us, private_bytes;
    bool is_equal; // its answers are the original's, within the tolerance
};

struct prepare_record {
    struct digest model;
    bool has_form;
    struct digest form; // has_form
    uint64_t bytes;     // has_form
    bool is_measured;   // of the form, or of the model as it is:
    uint32_t checked;
    struct prepare_packing_measured off, on;
    char reason[PREPARE_REASON_MAX]; // !is_measured
};

void prepare_record_append(struct buf *out, const struct prepare_record *record);
// -EBADMSG: not a text that prepare_record_append makes.
int prepare_record_read(struct str text, struct prepare_record *ret_record) MUST_CHECK;

// Decides between pre-packed weights and none, for an instance of so much memory, and says why.
void prepare_record_choose(const struct prepare_record *record, const struct prepare_spec *spec,
                           struct prepare_result *result);

#endif
