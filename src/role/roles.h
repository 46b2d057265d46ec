// SPDX-License-Identifier: MIT
//
// roles: may a function with this role do that? The front door of this folder.
//
//     fetch (any thread) --- roles_may(asker, "s3:GetObject", arn) --+
//     api: a sandbox's call --- roles_may(...) ----------------------+--> table by the name in the ARN
//     api/iam_*: roles_put, roles_delete --> registry (kind "role") -- committed --> table
//
// Three answers in one, in this order:
//   1. The table of what a sandbox can do at all (roles_is_possible): using what others made: calling
//      functions and endpoints, objects in buckets. All else (the control plane: making, changing,
//      describing, deleting functions, roles, users, buckets) is refused whatever a policy says.
//   2. A role that was defined: its policies decide, as in IAM: a Deny that matches wins, what nothing
//      allows is refused. One that Lambda may not assume (trust.h) gives nothing.
//   3. A role that nobody defined has the default rights: what the function's configuration names,
//      and nothing else (named.h).
//
// A denial of a function is one of its versions and aliases, as for people (docs/users.md).
//
// Threads: roles_may and roles_find on any; everything else on the loop thread (roles_open before the loop
// runs). A role is immutable: a change makes a new one, those who hold the old one go on with it.
// Limits: ROLES_MAX roles, those on their way to the disk included; one change of one role at a time.

#ifndef LAMINA_ROLE_ROLES_H
#define LAMINA_ROLE_ROLES_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "role/named.h"
#include "role/role.h"

#include <stdbool.h>
#include <stddef.h>

#define ROLES_MAX 1000

struct loop;
struct registry;
struct roles;

// Who wants to do something: a function, by its role and by what its configuration names. All borrowed.
struct role_asker {
    const char *role;                      // ARN
    const struct role_variable *variables; // the customer's environment
    size_t variable_count;
};

enum role_answer {
    ROLE_ALLOWED,
    ROLE_NOT_ALLOWED, // no policy allows it; of an undefined role: it was not named
    ROLE_DENIED,      // a policy says Deny
    ROLE_IMPOSSIBLE,  // never from inside a sandbox, whatever a policy says
};

// Reads all roles; before the loop runs. `region` and `account` are copied.
int roles_open(struct registry *registry, const char *region, const char *account,
               struct roles **ret_roles, struct error *err) MUST_CHECK;
void roles_close(struct roles *roles); // accepts NULL; nobody asks any more

// `action` as IAM writes it ("s3:GetObject"), `resource` an ARN ("arn:aws:s3:::bucket/key") or "*".
enum role_answer roles_ask(struct roles *roles, const struct role_asker *asker, struct str action,
                           struct str resource) MUST_CHECK;
// The same, as a question with a yes.
bool roles_may(struct roles *roles, const struct role_asker *asker, const char *action,
               const char *resource) MUST_CHECK;
// The same of everything that begins with `prefix`, a bucket's name and a slash at least; no as soon as
// a Deny meets any of it.
bool roles_may_all(struct roles *roles, const struct role_asker *asker, const char *action,
                   const char *prefix) MUST_CHECK;

// May the service call that function for one with this role, to tell it what came of an event? A role that
// nobody defined may: who named the destination had the right to (docs/async.md).
bool roles_may_deliver(struct roles *roles, const char *role,
                       struct str destination_arn) MUST_CHECK;

// Is it among the actions that a sandbox can do at all?
bool roles_is_possible(struct str action) MUST_CHECK;

// The role of that ARN, or of that name; a reference, or NULL: nobody defined it.
struct role *roles_find(struct roles *roles, struct str arn) MUST_CHECK;
struct role *roles_by_name(struct roles *roles, struct str name) MUST_CHECK;
// In the order of names; a reference, NULL past the last.
struct role *roles_at(struct roles *roles, size_t index) MUST_CHECK;

// What was done, once it is on the disk.
typedef void (*roles_done)(void *arg, const struct error *err);

// Puts the role in the place of the one of its name; the reference is taken, also on failure. A new one
// must not be there (`is_new`), another must. 0: `done` follows. Otherwise an error and no call: -EEXIST,
// -ENOENT, -EBUSY (a change of that role is on its way), -E2BIG (ROLES_MAX), -ENOMEM, -EAGAIN.
int roles_put(struct roles *roles, struct role *role, bool is_new, roles_done done,
              void *arg) MUST_CHECK;
// -ENOENT, -EBUSY, -ENOMEM, -EAGAIN.
int roles_delete(struct roles *roles, struct str name, roles_done done, void *arg) MUST_CHECK;

#endif
