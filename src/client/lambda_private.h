// SPDX-License-Identifier: MIT
//
// What lambda.c and lambda_layer.c share. Internal to client/.
#ifndef LAMINA_CLIENT_LAMBDA_PRIVATE_H
#define LAMINA_CLIENT_LAMBDA_PRIVATE_H

#include "client/lambda.h"

#define LAMBDA_CONTROL_TIMEOUT_MS 120000

// PUT /lamina/v1/packages/<sha256>: for a zip that is larger than LAMBDA_ZIP_INLINE_BYTES_MAX.
MUST_CHECK int lambda_put_package(struct client *client, const char *name,
                                  const struct lambda_code *code, struct error *err);

// A member's text, cut at the field's size; "" when it is absent.
void lambda_take_text(yyjson_val *object, const char *member, char *field, size_t field_size);
uint64_t lambda_take_number(yyjson_val *object, const char *member);

#endif
