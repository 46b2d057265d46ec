// SPDX-License-Identifier: MIT
//
// users: people with access keys of their own, and what each may do.
//
// Rows of kind "user" in the registry, and the same in memory; keys are known to auth while the
// user exists. Secrets lie in registry.db, which only the service's own user can read: SigV4 is
// symmetric. The service's own key (DIR/credentials) belongs to no user and may do everything.
//
// Loop thread. At most AUTH_KEYS_MAX users, those on their way to the disk included; what a registry
// has beyond them is logged at the start and has no rights; names as IAM's: 1 to 64 of A-Z a-z 0-9 + = , . @ _ -

#ifndef LAMINA_API_USERS_H
#define LAMINA_API_USERS_H

#include "api/auth.h"
#include "aws/credentials.h"
#include "aws/policy.h"
#include "base/error.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

#define USER_NAME_MAX 64

struct registry;
struct users;

struct user {
    char name[USER_NAME_MAX + 1];
    char access_key[CREDENTIALS_ACCESS_KEY_MAX + 1];
    int64_t created_ms;
    char *policy_text; // JSON
    struct policy *policy;
};

bool users_is_name(struct str name) MUST_CHECK;

// Reads all users; before the loop runs. Both arguments are borrowed.
int users_new(struct registry *registry, struct auth *auth, struct users **ret_users,
              struct error *err) MUST_CHECK;
void users_free(struct users *users); // accepts NULL

// NULL: nobody's. Valid until the next turn of the loop.
const struct user *users_by_key(const struct users *users, struct str access_key) MUST_CHECK;
const struct user *users_by_name(const struct users *users, struct str name) MUST_CHECK;
// In the order of names; NULL past the last.
const struct user *users_at(const struct users *users, size_t index) MUST_CHECK;

// What was done, once it is on the disk. err: -EBUSY: another change of that user is not done yet.
typedef void (*users_done)(void *arg, const struct error *err);

// Makes a user, or gives one that exists another policy (which was parsed: taken; `text` is
// copied). `ret_credentials` is filled for a new user only: *ret_is_new. 0: `done` follows;
// otherwise an error and no call: -E2BIG, -ENOMEM, -EAGAIN, and the policy is freed.
int users_put(struct users *users, struct str name, struct str text, struct policy *policy,
              struct credentials *ret_credentials, bool *ret_is_new, users_done done,
              void *arg) MUST_CHECK;
// -ENOENT. The key is refused at once, and taken again if the deletion fails.
int users_delete(struct users *users, struct str name, users_done done, void *arg) MUST_CHECK;

#endif
