/* SPDX-License-Identifier: MIT
 *
 * layer_name: which layer and which version a request names.
 *
 *   geo    arn:aws:lambda:us-east-1:000000000000:layer:geo      a layer (labels)
 *   arn:aws:lambda:us-east-1:000000000000:layer:geo:3           a version (Layers, GetLayerVersionByArn)
 *
 * Views into the text given. Limits: VERSION_LAYER_NAME_MAX; LAYER_LABEL_MAX characters with all of the ARN.
 */
#ifndef LAMINA_API_LAYER_NAME_H
#define LAMINA_API_LAYER_NAME_H

#include <stdint.h>

#include "api/call.h"
#include "base/compiler.h"
#include "base/str.h"
#include "function/layer.h"

#define LAYER_LABEL_MAX 140
#define LAYER_VERSION_ARN_PATTERN                                                                  \
    "arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+"

struct layer_arn {
    struct str region;
    struct str account;
    struct str name;
    uint64_t number;
};

/* -EINVAL: not the ARN of a layer version. */
MUST_CHECK int layer_arn_parse(struct str text, struct layer_arn *ret_arn);

/* The LayerName label: 0, or the error is set (ValidationException; AccessDeniedException for another account;
 * ResourceNotFoundException for another region). */
MUST_CHECK int layer_label(struct call *call, struct str *ret_name);
/* The VersionNumber label. */
MUST_CHECK int layer_number(struct call *call, uint64_t *ret_number);
/* Both. */
MUST_CHECK int layer_labels(struct call *call, struct str *ret_name, uint64_t *ret_number);

/* Appends the ARN of a layer (number 0) or of a version, without quotes. */
void layer_arn_append(struct buf *out, const struct api *api, const char *name, uint64_t number);

#endif
