/* SPDX-License-Identifier: MIT */
#include "instance/environment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "instance/identity.h"
#include "wire/spawn.h"

#define VALUE_MAX 512

/* The customer may replace these. The paths are AWS's, whether or not they exist here: programs look for them. */
static const struct instance_variable defaults[] = {
    {"LANG", "en_US.UTF-8"},
    {"TZ", ":UTC"},
    {"PATH", "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"},
    {"LD_LIBRARY_PATH", "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:"
                        "/var/task/lib:/opt/lib"},
    {"AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"},
    /* Where an SDK finds the platform: the sandbox's own listener. SDKs of 2023 and later read it. */
    {"AWS_ENDPOINT_URL", "http://127.0.0.1:4566"},
    {"LAMINA_ONNXRUNTIME", "/opt/lamina/lib/libonnxruntime.so"},
    {"LAMINA_XGBOOST", "/opt/lamina/lib/libxgboost.so"},
};

static const char *const reserved_names[] = {
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
};

bool environment_is_reserved(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(reserved_names); i++)
        if (strcmp(name, reserved_names[i]) == 0)
            return true;
    return false;
}

static bool variable_is_in(const struct instance_variable *variables, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(variables[i].name, name) == 0)
            return true;
    return false;
}

static void block_add(struct buf *block, const char *name, const char *value)
{
    buf_printf(block, "%s=%s", name, value);
    buf_append_byte(block, '\0');
}

static void block_add_number(struct buf *block, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long) value);
    block_add(block, name, text);
}

static void block_add_defaults(struct buf *block, const struct instance_spec *spec)
{
    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
        if (!variable_is_in(spec->variables, spec->n_variables, defaults[i].name))
            block_add(block, defaults[i].name, defaults[i].value);
}

/* Where AWS's managed runtimes look for modules, layers' first. The Python runtime adds /opt/python itself, as
 * AWS's does: it goes before what PYTHONPATH names. */
static void block_add_module_paths(struct buf *block, const struct instance_spec *spec)
{
    static const char node[] = "nodejs";
    char value[VALUE_MAX];
    if (strncmp(spec->runtime, node, sizeof(node) - 1) == 0 &&
        !variable_is_in(spec->variables, spec->n_variables, "NODE_PATH")) {
        const char *number = spec->runtime + sizeof(node) - 1;
        snprintf(value, sizeof(value),
                 "/opt/nodejs/node%.*s/node_modules:/opt/nodejs/node_modules:"
                 "/var/runtime/node_modules:/var/runtime:/var/task",
                 (int) strcspn(number, "."), number);
        block_add(block, "NODE_PATH", value);
    }
    if (strncmp(spec->runtime, "python", strlen("python")) == 0 &&
        !variable_is_in(spec->variables, spec->n_variables, "PYTHONPATH"))
        block_add(block, "PYTHONPATH", "/var/runtime");
}

static void block_add_customers(struct buf *block, const struct instance_spec *spec)
{
    for (size_t i = 0; i < spec->n_variables; i++) {
        const char *name = spec->variables[i].name;
        bool is_later = variable_is_in(spec->variables + i + 1, spec->n_variables - i - 1, name);
        if (name[0] && !strchr(name, '=') && !is_later && !environment_is_reserved(name))
            block_add(block, name, spec->variables[i].value);
    }
}

static void block_add_credentials(struct buf *block, const struct instance_identity *identity)
{
    block_add(block, "AWS_ACCESS_KEY_ID", identity->access_key);
    block_add(block, "AWS_SECRET_ACCESS_KEY", identity->secret);
    block_add(block, "AWS_SESSION_TOKEN", identity->token);
}

/* AWS sets it for managed runtimes only. */
static void block_add_execution_env(struct buf *block, const char *runtime)
{
    char value[VALUE_MAX];
    if (!runtime[0] || strncmp(runtime, "provided", strlen("provided")) == 0)
        return;
    snprintf(value, sizeof(value), "AWS_Lambda_%s", runtime);
    block_add(block, "AWS_EXECUTION_ENV", value);
}

static const char *initialization_type(const struct instance_spec *spec)
{
    if (spec->is_snap_start)
        return "snap-start";
    return spec->is_provisioned ? "provisioned-concurrency" : "on-demand";
}

static void block_add_reserved(struct buf *block, const struct instance_spec *spec,
                               const char *region, const char *log_stream)
{
    char value[VALUE_MAX];
    block_add(block, "_HANDLER", spec->handler);
    block_add(block, "AWS_REGION", region);
    block_add(block, "AWS_DEFAULT_REGION", region);
    block_add_execution_env(block, spec->runtime);
    block_add(block, "AWS_LAMBDA_FUNCTION_NAME", spec->function);
    block_add(block, "AWS_LAMBDA_FUNCTION_VERSION", spec->version);
    block_add_number(block, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", spec->memory_mb);
    block_add(block, "AWS_LAMBDA_INITIALIZATION_TYPE", initialization_type(spec));
    snprintf(value, sizeof(value), "/aws/lambda/%s", spec->function);
    block_add(block, "AWS_LAMBDA_LOG_GROUP_NAME", value);
    block_add(block, "AWS_LAMBDA_LOG_STREAM_NAME", log_stream);
    snprintf(value, sizeof(value), "127.0.0.1:%d", SPAWN_PORT_RUNTIME);
    block_add(block, "AWS_LAMBDA_RUNTIME_API", value);
    block_add(block, "LAMBDA_TASK_ROOT", "/var/task");
    block_add(block, "LAMBDA_RUNTIME_DIR", "/var/runtime");
}

static size_t block_count(const struct buf *block)
{
    size_t count = 0;
    for (size_t i = 0; i < block->size; i++)
        count += block->data[i] == '\0';
    return count;
}

int environment_build(const struct instance_spec *spec, const struct instance_identity *identity,
                      const char *region, const char *log_stream, struct buf *block,
                      struct error *err)
{
    int r = 0;
    block_add_defaults(block, spec);
    block_add_module_paths(block, spec);
    block_add_customers(block, spec);
    block_add_credentials(block, identity);
    block_add_reserved(block, spec, region, log_stream);
    r = buf_status(block);
    if (r == -EFBIG || (r == 0 && block->size > SPAWN_ENV_MAX))
        return error_set(err, -E2BIG, "the environment has more than %d bytes", SPAWN_ENV_MAX);
    if (r < 0)
        return error_set_errno(err, r, "build the environment");
    if (block_count(block) > SPAWN_ENV_VARIABLES_MAX) /* lamina-spawn would end the service */
        return error_set(err, -E2BIG, "the environment has more than %d variables",
                         SPAWN_ENV_VARIABLES_MAX);
    return 0;
}
