// SPDX-License-Identifier: MIT
//
// trust: a role's assume-role policy: who may take the role. Here that is Lambda or nobody:
//
//     {"Version": "2012-10-17",
//      "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
//                     "Action": "sts:AssumeRole"}]}
//
// Other principals (accounts, users, other services) are kept and have no effect: nobody but a function
// can assume a role. What would limit a statement and is not understood (Condition, NotPrincipal,
// NotAction, unknown members) is refused, as in policies (aws/policy.h).
//
// Pure; any thread.

#ifndef LAMINA_ROLE_TRUST_H
#define LAMINA_ROLE_TRUST_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

#define TRUST_BYTES_MAX 2048 // IAM's quota

// May Lambda assume it? -EINVAL: not such a document, the text says why; -E2BIG; -ENOMEM.
int trust_parse(struct str text, bool *ret_is_for_lambda, struct error *err) MUST_CHECK;

#endif
