// SPDX-License-Identifier: MIT
//
// Amazon Resource Names: arn:partition:service:region:account:resource, and Lambda's function
// names, which are one of
//     name | name:qualifier | account:function:name[:qualifier] | function:name[:qualifier]
//     | arn:aws:lambda:region:account:function:name[:qualifier]
// All views into the text given. Any thread.

#ifndef LAMINA_AWS_ARN_H
#define LAMINA_AWS_ARN_H

#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>

#define ARN_TEXT_MAX 2048
#define ARN_FUNCTION_NAME_MAX 64
#define ARN_QUALIFIER_MAX 128

struct arn {
    struct str partition;
    struct str service;
    struct str region;   // may be empty
    struct str account;  // may be empty
    struct str resource; // the rest, colons and all
};

// -EINVAL: not six parts, an empty partition, service or resource, a byte that is not printable
// ASCII, or longer than ARN_TEXT_MAX.
int arn_parse(struct str text, struct arn *ret_arn) MUST_CHECK;

struct arn_function {
    struct str region;    // empty: not said
    struct str account;   // empty: not said
    struct str name;      // [a-zA-Z0-9-_]{1,64}
    struct str qualifier; // empty: not said; else "$LATEST", a number or an alias
};

// -EINVAL: none of the forms above, or a part that breaks its own rule (name, 12-digit account,
// region, qualifier), or an ARN of another service or resource.
int arn_parse_function(struct str text, struct arn_function *ret_function) MUST_CHECK;

bool arn_is_account(struct str text);       // 12 digits
bool arn_is_region(struct str text);        // like us-east-1: [a-z]{2,}(-[a-z]+)+-[0-9]
bool arn_is_function_name(struct str text); // [a-zA-Z0-9-_]{1,64}
bool arn_is_qualifier(struct str text);     // "$LATEST", digits, or an alias [a-zA-Z0-9-_]{1,128}
bool arn_is_alias(struct str text);         // [a-zA-Z0-9-_]{1,128} and not digits only
bool arn_is_version(struct str text);       // decimal from 1, no leading zero, at most 18 digits
// arn:aws...:iam::<12 digits>:role/<path and name>; *ret_account is a view of the digits.
bool arn_is_role(struct str text, struct str *ret_account);

#endif
