/* SPDX-License-Identifier: MIT
 *
 * Environment of a function: names, reserved names, and the limit of 4 KB.
 */

#include <stdlib.h>
#include <string.h>

#include "api/function_settings.h"
#include "base/limits.h"
#include "base/mem.h"

/* "Defined runtime environment variables" of AWS's developer guide, those that it calls reserved. */
static const char *const reserved[] = {
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
};

static bool is_reserved(struct str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (str_equal_text(name, reserved[i]))
            return true;
    return false;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* [a-zA-Z]([a-zA-Z0-9_])+ */
static bool is_name(struct str name)
{
    if (name.size < LIMIT_ENVIRONMENT_NAME_MIN || !is_letter(name.data[0]))
        return false;
    for (size_t i = 1; i < name.size; i++) {
        char c = name.data[i];
        if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '_')
            return false;
    }
    return true;
}

static int check_variable(struct member_reader *reader, struct str name, yyjson_val *value)
{
    if (!yyjson_is_str(value))
        return member_wrong_type(reader->error, value, "a String");
    if (memchr(json_str(value).data, '\0', json_str(value).size))
        return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                             "The value of an environment variable holds a NUL character");
    if (!is_name(name))
        validation_add(&reader->validation, name, "environment.variables",
                       "satisfy constraint: [Member must satisfy regular expression pattern: "
                       "[a-zA-Z]([a-zA-Z0-9_])+]");
    return 0;
}

static int check_reserved(struct member_reader *reader, yyjson_val *variables)
{
    AUTO_BUF struct buf names = BUF_INIT(1024);
    yyjson_obj_iter iter;
    yyjson_obj_iter_init(variables, &iter);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        if (!is_reserved(json_str(key)))
            continue;
        buf_append_text(&names, names.size ? ", " : "");
        buf_append_str(&names, json_str(key));
    }
    if (names.size == 0)
        return 0;
    return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                         "Lambda was unable to configure your environment variables because the "
                         "environment variables you have provided contains reserved keys that are "
                         "currently not supported for modification. Reserved keys used in this "
                         "request: %s",
                         names.data);
}

/* AWS measures the variables as JSON text. */
static int check_size(struct member_reader *reader, yyjson_val *variables)
{
    size_t size;
    AUTO_FREE char *text = yyjson_val_write(variables, YYJSON_WRITE_NOFLAG, &size);
    if (!text)
        return aws_error_set(reader->error, AWS_SERVICE, "No memory");
    if (size <= LIMIT_ENVIRONMENT_BYTES_MAX)
        return 0;
    return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                         "Lambda was unable to configure your environment variables because the "
                         "environment variables you have provided exceeded the 4KB limit. String "
                         "measured: %s",
                         text);
}

static int check_variables(struct member_reader *reader, yyjson_val *variables)
{
    int r = 0;
    yyjson_obj_iter iter;
    yyjson_obj_iter_init(variables, &iter);
    yyjson_val *key;
    while (r == 0 && (key = yyjson_obj_iter_next(&iter)) != NULL)
        r = check_variable(reader, json_str(key), yyjson_obj_iter_get_val(key));
    if (r == 0)
        r = validation_finish(&reader->validation, AWS_VALIDATION, reader->error);
    if (r == 0)
        r = check_reserved(reader, variables);
    if (r == 0)
        r = check_size(reader, variables);
    return r;
}

static bool is_known(const struct version_variable *pairs, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(pairs[i].name, name) == 0)
            return true;
    return false;
}

/* The texts are valid and hold no NUL, so the document's own strings serve as C strings. */
static void set_variables(struct version *draft, yyjson_val *variables)
{
    size_t n = 0;
    AUTO_FREE struct version_variable *pairs =
        calloc(yyjson_obj_size(variables) + 1, sizeof(*pairs));
    if (!pairs) {
        draft->is_incomplete = true;
        return;
    }
    yyjson_obj_iter iter;
    yyjson_obj_iter_init(variables, &iter);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        /* Of members with the same name the first counts, as everywhere (base/json.h). */
        if (is_known(pairs, n, yyjson_get_str(key)))
            continue;
        pairs[n].name = (char *) (uintptr_t) yyjson_get_str(key);
        pairs[n].value = (char *) (uintptr_t) yyjson_get_str(yyjson_obj_iter_get_val(key));
        n++;
    }
    version_set_environment(draft, pairs, n);
}

int environment_read(struct member_reader *reader, struct version *draft)
{
    yyjson_val *environment;
    int r = member_object(reader, "Environment", &environment);
    if (r < 0 || !environment)
        return r;
    yyjson_val *variables = json_member(environment, "Variables");
    if (variables && !yyjson_is_obj(variables))
        return member_wrong_type(reader->error, variables, "a Map");
    if (!variables) {
        version_set_environment(draft, NULL, 0);
        return 0;
    }
    r = check_variables(reader, variables);
    if (r == 0)
        set_variables(draft, variables);
    return r;
}
