// SPDX-License-Identifier: MIT
//
// policy: who may do what, as a document in IAM's JSON form.
//
//     {"Version": "2012-10-17",
//      "Statement": [{"Effect": "Allow", "Action": "lambda:InvokeFunction",
//                     "Resource": "arn:aws:lambda:us-east-1:000000000000:function:public-*"}]}
//
// The subset, after AWS's "Grammar of the IAM JSON policy language": Version, Id, Statement (one or
// a list) with Sid, Effect, Action or NotAction, Resource or NotResource (one or a list each). In
// patterns `*` stands for any characters and `?` for one; actions are compared without case,
// resources with it. What decides less than it seems to is refused rather than ignored: Condition,
// Principal and NotPrincipal, policy variables (${...}), members that nobody knows.
//
// Evaluation is AWS's: a Deny that matches wins over every Allow; without a match there is no
// right.
//
// A policy is immutable; any thread may evaluate it. Limits: POLICY_BYTES_MAX of text,
// POLICY_STATEMENTS_MAX statements. Evaluating takes no memory, and time that is bounded by the
// product of the policy's and the question's length.

#ifndef LAMINA_AWS_POLICY_H
#define LAMINA_AWS_POLICY_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

#define POLICY_BYTES_MAX 10240 // IAM's for a role's inline policies
#define POLICY_STATEMENTS_MAX 100

struct policy;

enum policy_effect {
    POLICY_SILENT, // no statement matches: no right
    POLICY_ALLOWS,
    POLICY_DENIES, // a right from another policy does not help
};

// -EINVAL: not such a document; the text says which statement and why (IAM's
// MalformedPolicyDocument). -ENOMEM.
int policy_parse(struct str text, struct policy **ret_policy, struct error *err) MUST_CHECK;
void policy_free(struct policy *policy);

// `action`: "lambda:InvokeFunction"; `resource`: an ARN, or "*" for actions that have none.
enum policy_effect policy_evaluate(const struct policy *policy, struct str action,
                                   struct str resource) MUST_CHECK;

// The same for every resource that begins with `prefix`, at once: POLICY_ALLOWS only if one statement covers
// them all, POLICY_DENIES if a Deny meets as much as one of them.
enum policy_effect policy_evaluate_all(const struct policy *policy, struct str action,
                                       struct str prefix) MUST_CHECK;

// Whether the pattern covers all of the text.
bool policy_matches(struct str pattern, struct str text, bool is_case_ignored) MUST_CHECK;

#endif
