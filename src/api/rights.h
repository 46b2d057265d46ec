// SPDX-License-Identifier: MIT
//
// rights: may this caller do this?
//
// The service's own key may do everything. A user may do what its policy allows: the action is
// "lambda:" and the operation's name (Invoke and InvokeWithResponseStream are
// lambda:InvokeFunction, as in IAM), "lamina:" and the name for Lamina's own operations, "elasticfilesystem:" and
// the name for EFS's; the
// resource is the function's or the layer's ARN, or "*" where there is none. Where the operation is done to one
// version or alias (route.h: is_qualified) the ARN has the qualifier that the request names, and what
// is denied for the function is denied for each of its qualifiers. However a request spells the
// function (name, partial ARN, another partition), the ARN is the same. sts:GetCallerIdentity needs no
// right.
//
// A function that calls from inside its sandbox may do what its role allows (role/roles.h), asked with
// the same actions and resources.
//
// Loop thread.

#ifndef LAMINA_API_RIGHTS_H
#define LAMINA_API_RIGHTS_H

#include "api/call.h"

#define RIGHTS_ARN_BYTES 256

// Before an operation runs, with its body parsed. 0, or the call's error is set
// (AccessDeniedException, or what is wrong with the name).
int rights_check(struct call *call) MUST_CHECK;

// The same before a large body is taken, where that can be known: the signature is proven and the
// resource is in the path, or no sandbox can do it. 0 as well when it cannot: rights_check follows.
int rights_check_head(struct call *call) MUST_CHECK;

// May the caller invoke this function (of this region and account)? For settings by which the service
// itself will call it later. `qualifier` may be empty. As rights_check.
int rights_check_invoke(struct call *call, struct str name, struct str qualifier) MUST_CHECK;
// May the caller call the function's URL? As rights_check.
int rights_check_url(struct call *call, struct str name, struct str qualifier) MUST_CHECK;

// May the caller read the function's code? As rights_check.
int rights_check_code(struct call *call, struct str name) MUST_CHECK;

// May the caller read this layer version? For functions that shall have it. As rights_check.
int rights_check_layer(struct call *call, const char *name, uint64_t number) MUST_CHECK;

// The same for other services, which know their own actions and resources: "s3:GetObject" on
// "arn:aws:s3:::bucket/key".
int rights_may(struct call *call, const char *action, struct str resource) MUST_CHECK;

// The same for every resource that begins with `prefix`, for what shall be given away whole; people only: no
// sandbox has all.
int rights_may_all(struct call *call, const char *action, struct str prefix) MUST_CHECK;
// For a function with each of its versions and aliases.
int rights_check_invoke_all(struct call *call, struct str name) MUST_CHECK;

// Is the caller the service's own key, which may do everything? Asks for no right.
bool rights_are_all(const struct call *call) MUST_CHECK;

// Who is calling: ARN and user id, as sts:GetCallerIdentity tells them.
void rights_identity(const struct call *call, char ret_arn[RIGHTS_ARN_BYTES],
                     char ret_user_id[RIGHTS_ARN_BYTES]);

#endif
