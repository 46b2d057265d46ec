/* SPDX-License-Identifier: MIT
 *
 * function_name: which function and which version a request names.
 *
 * The FunctionName label is a name, a partial ARN or a full one, each with or without a qualifier:
 *
 *   hello   hello:3   function:hello   000000000000:function:hello:3
 *   arn:aws:lambda:us-east-1:000000000000:function:hello:$LATEST
 *
 * and `?Qualifier=` may name the version too, in agreement with the label.
 * Pure functions on views; nothing is kept. Limits: LIMIT_FUNCTION_LABEL_*, LIMIT_QUALIFIER_MAX.
 */
#ifndef LAMINA_API_FUNCTION_NAME_H
#define LAMINA_API_FUNCTION_NAME_H

#include <stdbool.h>

#include "aws/error.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "base/str.h"

enum function_name_rule {
    FUNCTION_NAME_NEW,        /* CreateFunction: <= 64 by itself, <= 140 as an ARN, no dots */
    FUNCTION_NAME_CHANGE,     /* Update..., Publish...: <= 140, no dots */
    FUNCTION_NAME_NAMESPACED, /* Get..., List..., Invoke, Delete: <= 256, dots are well-formed */
};

struct function_name {
    char name[LIMIT_FUNCTION_LABEL_NAMESPACED_MAX + 1];
    char qualifier[LIMIT_QUALIFIER_MAX + 1]; /* "" if the request names none */
};

/* `query_qualifier` has data == NULL if the request has none. 0, or an AWS error: ValidationException
 * for what is malformed (InvalidParameterValueException for a bare name of CreateFunction, as AWS),
 * AccessDeniedException for another account, ResourceNotFoundException for another region,
 * InvalidParameterValueException if label and query disagree. */
MUST_CHECK int function_name_parse(struct str label, struct str query_qualifier,
                                   enum function_name_rule rule, const char *region,
                                   const char *account, struct function_name *ret_name,
                                   struct aws_error *error);

#endif
