// SPDX-License-Identifier: MIT
//
// function_role: may this caller give that function that role? Otherwise who may deploy could make code
// of their own do what they themselves may not:
//
//   - a role needs iam:PassRole on it, as on AWS, whether or not somebody defined it yet
//   - with a role that nobody defined, the environment's names are rights (role/named.h): each needs the
//     same right of the caller
//
// The service's own key may everything. Loop thread.

#ifndef LAMINA_API_FUNCTION_ROLE_H
#define LAMINA_API_FUNCTION_ROLE_H

#include "api/call.h"
#include "function/version.h"

// With the request's JSON parsed: only what it sets (Role, Environment) is looked at. 0, or the call's error is
// set.
int function_role_check(struct call *call, const struct version *draft) MUST_CHECK;

// Did somebody define the draft's role? What was checked for one that was (its environment names nothing then) is not
// enough for one that was deleted meanwhile: to be asked again before the commit. Needs no request.
int function_role_check_again(struct call *call, const struct version *draft,
                              bool was_defined) MUST_CHECK;
bool function_role_is_defined(const struct call *call, const struct version *draft) MUST_CHECK;

// May this function's role call that destination? For settings by which the service calls it on the
// function's behalf; a role that nobody defined may call what is named there. As above.
int function_role_check_destination(struct call *call, const struct version *version,
                                    struct str destination_arn) MUST_CHECK;

#endif
