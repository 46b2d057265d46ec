// SPDX-License-Identifier: MIT
//
// role: one role: a name, who made it when, and the policies that say what its functions may do.
//
// Immutable once it is in the table (roles.h); before that it has one owner, who may change it. Counted
// references, safe on any thread. Limits: ROLE_POLICIES_MAX inline policies of together
// ROLE_POLICIES_BYTES_MAX (IAM's), ROLE_ATTACHED_MAX attached ones.
//
// Attached policies are AWS's own, of which a few are known (role_managed): a role that a tool made for
// AWS works here, too. Their rights are those that AWS's documents give, as far as Lamina has the actions.

#ifndef LAMINA_ROLE_ROLE_H
#define LAMINA_ROLE_ROLE_H

#include "aws/policy.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROLE_NAME_MAX 64
#define ROLE_PATH_MAX 512
#define ROLE_DESCRIPTION_MAX 1000 // characters, of up to four bytes
#define ROLE_POLICY_NAME_MAX 128
#define ROLE_POLICIES_MAX 50
#define ROLE_POLICIES_BYTES_MAX 10240
#define ROLE_ATTACHED_MAX 10
#define ROLE_ID_SIZE 22 // "AROA", 17 characters and the NUL

struct role_policy {
    char *name;
    char *text; // as it was given
    struct policy *policy;
};

struct role {
    atomic_uint refs;
    char name[ROLE_NAME_MAX + 1];
    char path[ROLE_PATH_MAX + 1]; // "/" or "/a/b/"
    char id[ROLE_ID_SIZE];
    char *description;  // NULL: none
    char *trust;        // the assume-role policy as it was given (trust.h)
    bool is_for_lambda; // it lets Lambda assume the role: otherwise no function has its rights
    int64_t created_ms;
    int64_t session_s_max; // MaxSessionDuration: kept and shown
    struct role_policy policies[ROLE_POLICIES_MAX];
    size_t policy_count; // in the order of names
    const struct role_managed *attached[ROLE_ATTACHED_MAX];
    size_t attached_count;
};

// A new one with one reference, made now, with an id. NULL without memory.
struct role *role_new(struct str name, struct str path) MUST_CHECK;
struct role *role_copy(const struct role *role) MUST_CHECK; // to change; NULL without memory
struct role *role_ref(struct role *role);
void role_unref(struct role *role); // accepts NULL

// For the owner of one that is not in the table yet. The texts are copied.
// -EINVAL (with what is wrong), -E2BIG (too many, or too long together), -ENOMEM.
int role_put_policy(struct role *role, struct str name, struct str text,
                    struct error *err) MUST_CHECK;
int role_delete_policy(struct role *role, struct str name) MUST_CHECK; // -ENOENT
// -E2BIG. Twice is once.
int role_attach(struct role *role, const struct role_managed *managed) MUST_CHECK;
int role_detach(struct role *role, const struct role_managed *managed) MUST_CHECK; // -ENOENT
int role_set_description(struct role *role, struct str text) MUST_CHECK;           // -ENOMEM
// Errors as trust_parse's.
int role_set_trust(struct role *role, struct str text, struct error *err) MUST_CHECK;

const struct role_policy *role_policy(const struct role *role, struct str name) MUST_CHECK;

// All policies together. Any thread.
enum policy_effect role_evaluate(const struct role *role, struct str action,
                                 struct str resource) MUST_CHECK;
// The same for every resource that begins with `prefix` (policy_evaluate_all).
enum policy_effect role_evaluate_all(const struct role *role, struct str action,
                                     struct str prefix) MUST_CHECK;

// 1 to ROLE_NAME_MAX (policies: ROLE_POLICY_NAME_MAX) of A-Z a-z 0-9 + = , . @ _ -
bool role_is_name(struct str name, size_t size_max) MUST_CHECK;
// "/", or printable characters between slashes.
bool role_is_path(struct str path) MUST_CHECK;

// AWS's own policies that can be attached.
struct role_managed {
    const char *arn;
    const char *name;
    const char *actions[3]; // allowed on every resource; NULL ends
};
const struct role_managed *role_managed_find(struct str arn) MUST_CHECK; // NULL: not known

// The registry's form, and back: -EUCLEAN (not a role's row), -ENOMEM.
int role_write(const struct role *role, struct buf *row);
int role_read(struct str name, struct str row, struct role **ret_role,
              struct error *err) MUST_CHECK;

#endif
