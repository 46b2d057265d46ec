// SPDX-License-Identifier: MIT

#include "function/runtime.h"

#include <errno.h>
#include <unistd.h>

static const struct runtime runtimes[] = {
    {"provided", RUNTIME_PROVIDED},        {"provided.al2", RUNTIME_PROVIDED},
    {"provided.al2023", RUNTIME_PROVIDED}, {"python3.8", RUNTIME_PYTHON},
    {"python3.9", RUNTIME_PYTHON},         {"python3.10", RUNTIME_PYTHON},
    {"python3.11", RUNTIME_PYTHON},        {"python3.12", RUNTIME_PYTHON},
    {"python3.13", RUNTIME_PYTHON},        {"python3.14", RUNTIME_PYTHON},
    {"nodejs18.x", RUNTIME_NODE},          {"nodejs20.x", RUNTIME_NODE},
    {"nodejs22.x", RUNTIME_NODE},          {"nodejs24.x", RUNTIME_NODE},
};

static const struct {
    const char *interpreter; // NULL: none
    const char *package;     // Debian's
} needs[] = {
    [RUNTIME_PROVIDED] = {NULL, NULL},
    [RUNTIME_PYTHON] = {"/usr/bin/python3", "python3"},
    [RUNTIME_NODE] = {"/usr/bin/node", "nodejs"},
};

const struct runtime *runtime_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++)
        if (str_equal_text(name, runtimes[i].name))
            return &runtimes[i];
    return NULL;
}

const struct runtime *runtime_all(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(runtimes);
    return runtimes;
}

int runtime_check(const struct runtime *runtime, struct error *err)
{
    const char *interpreter = needs[runtime->kind].interpreter;
    if (interpreter == NULL || access(interpreter, X_OK) == 0)
        return 0;
    return error_set(err, -ENOENT,
                     "The runtime %s needs %s, which this host does not have. Install it: apt-get "
                     "install %s",
                     runtime->name, interpreter, needs[runtime->kind].package);
}
