/* SPDX-License-Identifier: MIT */

#include "api/function_settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aws/arn.h"
#include "base/limits.h"
#include "base/mem.h"
#include "function/runtime.h"

#define ROLE_PATTERN "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+"
#define RUNTIMES_TEXT_BYTES_MAX 512

/* Runtimes that AWS knows and this service has none of: told apart from typing errors. */
static const char *const known_runtimes[] = {
    "nodejs",        "nodejs4.3",     "nodejs4.3-edge", "nodejs6.10",    "nodejs8.10",
    "nodejs10.x",    "nodejs12.x",    "nodejs14.x",     "nodejs16.x",    "nodejs26.x",
    "java8",         "java8.al2",     "java8.al2023",   "java11",        "java11.al2023",
    "java17",        "java17.al2023", "java21",         "java25",        "python2.7",
    "python3.6",     "python3.7",     "python3.15",     "dotnetcore1.0", "dotnetcore2.0",
    "dotnetcore2.1", "dotnetcore3.1", "dotnet6",        "dotnet8",       "dotnet10",
    "go1.x",         "ruby2.5",       "ruby2.7",        "ruby3.2",       "ruby3.3",
    "ruby3.4",       "ruby4.0",
};

static bool is_one_of(struct str text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_equal_text(text, list[i]))
            return true;
    return false;
}

bool function_settings_is_runtime(struct str text)
{
    return runtime_find(text) || is_one_of(text, known_runtimes, ARRAY_SIZE(known_runtimes));
}

/* Sets a text member of the draft from a view. */
static void set_text(struct version *draft, char **member, struct str text)
{
    AUTO_FREE char *copy = str_copy_heap(text);
    if (!copy)
        draft->is_incomplete = true;
    version_set(draft, member, copy);
}

/* "provided, provided.al2, ...": what this service has. */
static void append_runtimes(struct buf *buf)
{
    size_t count;
    const struct runtime *all = runtime_all(&count);
    for (size_t i = 0; i < count; i++)
        buf_printf(buf, "%s%s", i > 0 ? ", " : "", all[i].name);
}

static int refuse_runtime(struct member_reader *reader, struct str text)
{
    AUTO_BUF struct buf runtimes = BUF_INIT(RUNTIMES_TEXT_BYTES_MAX);
    append_runtimes(&runtimes);
    if (is_one_of(text, known_runtimes, ARRAY_SIZE(known_runtimes)))
        return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                             "The runtime " STR_FORMAT " is not available in this service. "
                             "Available runtimes: " STR_FORMAT,
                             STR_ARGUMENTS(text), STR_ARGUMENTS(buf_str(&runtimes)));
    return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                         "Value " STR_FORMAT " at 'runtime' failed to satisfy constraint: "
                         "Member must satisfy enum value set: [" STR_FORMAT "] or be a valid ARN",
                         STR_ARGUMENTS(str_part(text, 0, VALIDATION_VALUE_MAX)),
                         STR_ARGUMENTS(buf_str(&runtimes)));
}

static int read_runtime(struct member_reader *reader, struct version *draft)
{
    struct error err = {0};
    struct str text;
    int r = member_text(reader, "Runtime", "runtime", 0, SIZE_MAX, &text);
    if (r < 0 || !text.data)
        return r;
    const struct runtime *runtime = runtime_find(text);
    if (!runtime)
        return refuse_runtime(reader, text);
    if (runtime_check(runtime, &err) <
        0) /* the host lacks its interpreter: said now, not at the first call */
        return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE, "%s", err.text);
    set_text(draft, &draft->runtime, text);
    return 0;
}

static bool has_space(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (strchr(" \t\n\v\f\r", text.data[i]))
            return true;
    return false;
}

static int read_handler(struct member_reader *reader, struct version *draft)
{
    struct str text;
    int r = member_text(reader, "Handler", "handler", 0, LIMIT_HANDLER_MAX, &text);
    if (r < 0 || !text.data)
        return r;
    if (text.size == 0 || has_space(text))
        validation_add(&reader->validation, text, "handler",
                       "satisfy regular expression pattern: [^\\s]+");
    set_text(draft, &draft->handler, text);
    return 0;
}

static int read_description(struct member_reader *reader, struct version *draft)
{
    struct str text;
    int r = member_text(reader, "Description", "description", 0, LIMIT_DESCRIPTION_MAX, &text);
    if (r < 0 || !text.data)
        return r;
    set_text(draft, &draft->description, text);
    return 0;
}

static int read_role(struct member_reader *reader, const char *account, struct version *draft)
{
    struct str text;
    struct str role_account;
    int r = member_text(reader, "Role", "role", 0, LIMIT_ROLE_MAX, &text);
    if (r < 0 || !text.data)
        return r;
    if (!arn_is_role(text, &role_account))
        validation_add(&reader->validation, text, "role", "satisfy regular expression pattern: %s",
                       ROLE_PATTERN);
    else if (!str_equal_text(role_account, account))
        return aws_error_set(
            reader->error, AWS_ACCESS_DENIED,
            "Cross-account pass role is not allowed: the role is of account " STR_FORMAT
            ", this service's account is %s.",
            STR_ARGUMENTS(role_account), account);
    set_text(draft, &draft->role, text);
    return 0;
}

static int read_tmp(struct member_reader *reader, struct version *draft)
{
    yyjson_val *object;
    int r = member_object(reader, "EphemeralStorage", &object);
    if (r < 0 || !object)
        return r;
    if (!json_member(object, "Size"))
        validation_add_null(&reader->validation, "ephemeralStorage.size");
    yyjson_val *outer = reader->object;
    reader->object = object;
    r = member_number(reader, "Size", "ephemeralStorage.size", LIMIT_TMP_MB_MIN, LIMIT_TMP_MB_MAX,
                      &draft->tmp_mb);
    reader->object = outer;
    return r;
}

int architectures_check(struct member_reader *reader)
{
    yyjson_val *array;
    int r = member_array(reader, "Architectures", &array);
    if (r < 0 || !array)
        return r;
    struct str first = json_str(yyjson_arr_get_first(array));
    if (yyjson_arr_size(array) != 1)
        validation_add_number(&reader->validation, (long long) yyjson_arr_size(array),
                              "architectures", "have length equal to 1");
    else if (!yyjson_is_str(yyjson_arr_get_first(array)))
        return member_wrong_type(reader->error, yyjson_arr_get_first(array), "a String");
    else if (str_equal(first, STR("arm64")))
        return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                             "The architecture arm64 is not available in this service: its host "
                             "is x86_64.");
    else if (!str_equal(first, STR("x86_64")))
        validation_add(&reader->validation, first, "architectures",
                       "satisfy constraint: [Member must satisfy enum value set: [x86_64, "
                       "arm64], Member must not be null]");
    return 0;
}

/* What AWS's model checks, and in the same order as its members. */
static int read_members(struct member_reader *reader,
                        const struct function_settings_context *context, struct version *draft)
{
    int r = read_runtime(reader, draft);
    if (r == 0)
        r = read_role(reader, context->account, draft);
    if (r == 0)
        r = read_handler(reader, draft);
    if (r == 0)
        r = read_description(reader, draft);
    if (r == 0)
        r = member_number(reader, "Timeout", "timeout", LIMIT_TIMEOUT_S_MIN, LIMIT_TIMEOUT_S_MAX,
                          &draft->timeout_s);
    if (r == 0)
        r = member_number(reader, "MemorySize", "memorySize", LIMIT_MEMORY_MB_MIN,
                          LIMIT_MEMORY_MB_MAX, &draft->memory_mb);
    if (r == 0)
        r = read_tmp(reader, draft);
    if (r == 0)
        r = environment_read(reader, draft);
    if (r == 0)
        r = passive_read(reader, draft);
    if (r == 0)
        r = snap_start_read(reader, draft);
    return r;
}

static int check_required(struct member_reader *reader, const struct version *draft)
{
    if (!draft->role)
        validation_add_null(&reader->validation, "role");
    int r = validation_finish(&reader->validation, AWS_VALIDATION, reader->error);
    if (r == 0 && (!draft->runtime || !draft->handler))
        r = aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                          "Runtime and Handler are mandatory parameters for functions created "
                          "with deployment packages.");
    return r;
}

int function_settings_read(yyjson_val *json, const struct function_settings_context *context,
                           struct version *draft, struct aws_error *error)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(json, error);
    int r = passive_refuse(&reader, draft);
    if (r == 0 && context->is_new)
        r = architectures_check(&reader);
    if (r == 0)
        r = read_members(&reader, context, draft);
    if (r == 0)
        r = check_required(&reader, draft);
    return r;
}

static bool is_same(const char *left, const char *right)
{
    return left == right || (left && right && strcmp(left, right) == 0);
}

bool function_settings_need_instances(const struct version *before, const struct version *draft)
{
    if (before->memory_mb != draft->memory_mb || before->timeout_s != draft->timeout_s ||
        before->tmp_mb != draft->tmp_mb || !is_same(before->runtime, draft->runtime) ||
        !is_same(before->handler, draft->handler) || !is_same(before->role, draft->role) ||
        before->n_environment != draft->n_environment || !version_is_same_layers(before, draft) ||
        !version_is_same_filesystem(before, draft))
        return true;
    for (size_t i = 0; i < draft->n_environment; i++)
        if (!is_same(before->environment[i].name, draft->environment[i].name) ||
            !is_same(before->environment[i].value, draft->environment[i].value))
            return true;
    return false;
}

static int check_tag(struct str key, yyjson_val *value, struct member_reader *reader)
{
    if (!yyjson_is_str(value))
        return member_wrong_type(reader->error, value, "a String");
    size_t key_length = member_length(key);
    if (key_length < 1 || key_length > LIMIT_TAG_KEY_MAX)
        validation_add(&reader->validation, key, "tags",
                       "satisfy constraint: [Member must have length less than or equal to %d, "
                       "Member must have length greater than or equal to 1]",
                       LIMIT_TAG_KEY_MAX);
    if (member_length(json_str(value)) > LIMIT_TAG_VALUE_MAX)
        validation_add(&reader->validation, json_str(value), "tags",
                       "satisfy constraint: [Member must have length less than or equal to %d, "
                       "Member must have length greater than or equal to 0]",
                       LIMIT_TAG_VALUE_MAX);
    if (str_has_prefix(key, STR("aws:")))
        return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                             "Tag keys that begin with aws: are reserved.");
    return 0;
}

int function_settings_tags(yyjson_val *json, char **ret_tags, struct aws_error *error)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(json, error);
    yyjson_val *tags;
    int r = member_object(&reader, "Tags", &tags);
    if (r < 0)
        return r;
    *ret_tags = NULL;
    if (!tags || yyjson_obj_size(tags) == 0)
        return 0;
    if (yyjson_obj_size(tags) > LIMIT_TAGS_MAX)
        return aws_error_set(error, AWS_INVALID_PARAMETER_VALUE,
                             "Number of tags exceeds resource tag limit.");
    yyjson_obj_iter iter;
    yyjson_obj_iter_init(tags, &iter);
    yyjson_val *key;
    while (r == 0 && (key = yyjson_obj_iter_next(&iter)) != NULL)
        r = check_tag(json_str(key), yyjson_obj_iter_get_val(key), &reader);
    if (r == 0)
        r = validation_finish(&reader.validation, AWS_VALIDATION, error);
    if (r < 0)
        return r;
    char *text = yyjson_val_write(tags, YYJSON_WRITE_NOFLAG, NULL);
    if (!text)
        return aws_error_set(error, AWS_SERVICE, "No memory");
    *ret_tags = text;
    return 0;
}
