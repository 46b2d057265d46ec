// SPDX-License-Identifier: MIT

#include "instance/identity.h"

#include "base/mem.h"
#include "instance/instance.h"

// `size - 1` characters out of `alphabet`, which has 32 or 64 of them, so that no letter is more likely.
static void random_text(char *to, size_t size, const char *alphabet, unsigned mask)
{
    unsigned char bytes[IDENTITY_TOKEN_SIZE];
    mem_random(bytes, size - 1);
    for (size_t i = 0; i < size - 1; i++)
        to[i] = alphabet[bytes[i] & mask];
    to[size - 1] = '\0';
    mem_wipe(bytes, sizeof(bytes));
}

// In the forms of AWS's temporary credentials, which SDKs and scanners know.
static void make_credentials(struct instance_identity *identity)
{
    static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    memcpy(identity->access_key, "ASIA", 4);
    random_text(identity->access_key + 4, IDENTITY_ACCESS_KEY_SIZE - 4, base32, 31);
    random_text(identity->secret, IDENTITY_SECRET_SIZE, base64, 63);
    random_text(identity->token, IDENTITY_TOKEN_SIZE, base64, 63);
}

static int copy_variables(struct instance_identity *identity, const struct instance_spec *spec)
{
    identity->variables = calloc(spec->n_variables + 1, sizeof(*identity->variables));
    if (!identity->variables)
        return -1;
    for (size_t i = 0; i < spec->n_variables; i++) {
        struct instance_variable *copy = &identity->variables[i];
        copy->name = mem_copy_text(spec->variables[i].name);
        copy->value = mem_copy_text(spec->variables[i].value);
        identity->variable_count = i + 1;
        if (!copy->name || !copy->value)
            return -1;
    }
    return 0;
}

static void identity_free(struct instance_identity *identity)
{
    for (size_t i = 0; i < identity->variable_count; i++) {
        free((char *) (uintptr_t) identity->variables[i].name); // copies of ours
        free((char *) (uintptr_t) identity->variables[i].value);
    }
    free(identity->variables);
    free(identity->function);
    free(identity->role);
    mem_wipe(identity, sizeof(*identity));
    free(identity);
}

struct instance_identity *instance_identity_new(const struct instance_spec *spec)
{
    struct instance_identity *identity = mem_new(struct instance_identity);
    if (!identity)
        return NULL;
    identity->refs = 1;
    identity->function = mem_copy_text(spec->function);
    identity->role = mem_copy_text(spec->role ? spec->role : "");
    if (!identity->function || !identity->role || copy_variables(identity, spec) < 0) {
        identity_free(identity);
        return NULL;
    }
    make_credentials(identity);
    return identity;
}

struct instance_identity *instance_identity_ref(struct instance_identity *identity)
{
    identity->refs++;
    return identity;
}

void instance_identity_unref(struct instance_identity *identity)
{
    if (identity && --identity->refs == 0)
        identity_free(identity);
}
