// SPDX-License-Identifier: MIT
//
// identity: who a sandbox is on the platform: the function that runs in it, its role, and the temporary
// credentials that are valid on this sandbox's platform listener (127.0.0.1:4566 inside) and nowhere else.
//
// Made with the instance, before START; the credentials stand in its environment. They die with the
// sandbox: is_ended is set when its listener closes, and calls that are still on their way hold a
// reference and find it so. The secret is never written anywhere.
//
// Loop thread only.

#ifndef LAMINA_INSTANCE_IDENTITY_H
#define LAMINA_INSTANCE_IDENTITY_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

#define IDENTITY_ACCESS_KEY_SIZE 21 // "ASIA", 16 characters and the NUL
#define IDENTITY_SECRET_SIZE 41
#define IDENTITY_TOKEN_SIZE 129

struct instance_spec;
struct instance_variable;

struct instance_identity {
    unsigned refs;
    bool is_ended; // nothing is accepted any more
    char access_key[IDENTITY_ACCESS_KEY_SIZE];
    char secret[IDENTITY_SECRET_SIZE];
    char token[IDENTITY_TOKEN_SIZE];
    char *function;                      // name
    char *role;                          // ARN
    struct instance_variable *variables; // the customer's environment, owned
    size_t variable_count;
};

// One reference; NULL without memory.
struct instance_identity *instance_identity_new(const struct instance_spec *spec) MUST_CHECK;
struct instance_identity *instance_identity_ref(struct instance_identity *identity);
void instance_identity_unref(struct instance_identity *identity); // accepts NULL

#endif
