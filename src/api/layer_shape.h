/* SPDX-License-Identifier: MIT
 *
 * layer_shape: layer versions as the API shows them. What was not given when a version was published is
 * absent, as AWS has it.
 */
#ifndef LAMINA_API_LAYER_SHAPE_H
#define LAMINA_API_LAYER_SHAPE_H

#include "api/call.h"
#include "function/layer.h"

/* GetLayerVersion and PublishLayerVersion, with a fresh Content.Location. */
MUST_CHECK int layer_shape_append(struct call *call, struct buf *json,
                                  const struct layer_version *version);
/* An item of ListLayerVersions, LatestMatchingVersion of ListLayers. */
void layer_shape_append_item(const struct api *api, struct buf *json,
                             const struct layer_version *version);

#endif
