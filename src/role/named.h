// SPDX-License-Identifier: MIT
//
// named: the default rights: what a function's environment names, its role may use when nobody defined
// that role. A variable names something when its whole value is
//
//     s3://bucket[/key]                                a bucket: reading it, whatever the key
//     arn:aws:s3:::bucket[/key]                        the same
//     arn:aws:lambda:<here>:function:name[:qualifier]  a function: invoking it
//     arn:aws:sagemaker:<here>:endpoint/name           an endpoint: invoking it
//
// or, with a bare name, when the variable's own name is or ends in (after a `_`)
//
//     BUCKET, BUCKET_NAME    FUNCTION_NAME    ENDPOINT_NAME
//
// A function that is named without a qualifier may be invoked with any; one that is named with one, with
// that only. <here>: this service's region and account.
//
// Pure functions; any thread.

#ifndef LAMINA_ROLE_NAMED_H
#define LAMINA_ROLE_NAMED_H

#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>

struct role_variable {
    struct str name;
    struct str value;
};

enum role_thing { ROLE_NOTHING, ROLE_BUCKET, ROLE_FUNCTION, ROLE_ENDPOINT };

struct role_named {
    enum role_thing thing;
    struct str name;      // a view into the value
    struct str qualifier; // of a function; may be empty
};

// What the variable names; ROLE_NOTHING for most.
struct role_named role_named(const struct role_variable *variable, const char *region,
                             const char *account) MUST_CHECK;

// Does what is named include doing that?
bool role_named_allows(const struct role_named *named, struct str action, struct str resource,
                       const char *region, const char *account) MUST_CHECK;

#endif
