/* SPDX-License-Identifier: MIT
 *
 * function_shape: FunctionConfiguration, the JSON shape that most operations answer with.
 *
 * The source of members and defaults: AWS's service model (API version 2015-03-31) and answers recorded
 * from AWS.
 */
#ifndef LAMINA_API_FUNCTION_SHAPE_H
#define LAMINA_API_FUNCTION_SHAPE_H

#include "base/buf.h"
#include "function/version.h"

enum function_shape {
    FUNCTION_SHAPE_WHOLE,     /* Create, Get, Update, Publish */
    FUNCTION_SHAPE_LIST_ITEM, /* without State, LastUpdateStatus and RuntimeVersionConfig */
};

/* Appends the object. FunctionArn ends in `qualifier` (a version, or an alias that led to it) unless that is
 * NULL or "". The buffer's own failures stick in the buffer. */
void function_shape_append(struct buf *json, const struct version *version, const char *qualifier,
                           enum function_shape shape);

#endif
