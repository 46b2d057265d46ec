/* SPDX-License-Identifier: MIT
 *
 * Settings without effect: those that are checked, kept and shown (docs/aws-compat.md, "accepted but
 * not enforced"), and those that are refused, because accepting them would promise what is not there.
 */

#include <stdlib.h>
#include <string.h>

#include "api/function_settings.h"
#include "base/mem.h"
#include "function/runtime.h"

#define PASSIVE_MAX (64 * 1024)
#define KMS_PATTERN "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()"
#define LISTED_MAX 16

/* Each appends the member's value as it will be shown, or nothing. */
typedef int append_fn(struct member_reader *reader, const struct version *draft, yyjson_val *value,
                      struct buf *out);

static int append_tracing(struct member_reader *reader, const struct version *draft,
                          yyjson_val *value, struct buf *out)
{
    (void) draft;
    static const char *const modes[] = {"Active", "PassThrough", NULL};
    struct member_reader inner = MEMBER_READER_INIT(value, reader->error);
    struct str mode;
    int r =
        member_choice(&inner, "Mode", "tracingConfig.mode", modes, "[Active, PassThrough]", &mode);
    if (r == 0)
        r = validation_finish(&inner.validation, AWS_VALIDATION, reader->error);
    validation_done(&inner.validation);
    buf_printf(out, "{\"Mode\":\"" STR_FORMAT "\"}",
               STR_ARGUMENTS(mode.data ? mode : STR("PassThrough")));
    return r;
}

static int append_dead_letter(struct member_reader *reader, const struct version *draft,
                              yyjson_val *value, struct buf *out)
{
    (void) draft;
    struct member_reader inner = MEMBER_READER_INIT(value, reader->error);
    struct str target;
    int r = member_text(&inner, "TargetArn", "deadLetterConfig.targetArn", 0, 2048, &target);
    if (r == 0)
        r = validation_finish(&inner.validation, AWS_VALIDATION, reader->error);
    validation_done(&inner.validation);
    if (r < 0 || target.size == 0)
        return r; /* an empty target takes the setting away */
    buf_append_text(out, "{\"TargetArn\":");
    json_append_string(out, target);
    return buf_append_byte(out, '}');
}

static int append_list(struct member_reader *reader, yyjson_val *object, const char *name,
                       struct buf *out)
{
    yyjson_val *array = json_member(object, name);
    buf_printf(out, "\"%s\":[", name);
    if (array && !yyjson_is_arr(array))
        return member_wrong_type(reader->error, array, "a List");
    if (yyjson_arr_size(array) > LISTED_MAX)
        return aws_error_set(reader->error, AWS_VALIDATION,
                             "1 validation error detected: Value at 'vpcConfig' failed to satisfy "
                             "constraint: Member must have length less than or equal to %d",
                             LISTED_MAX);
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(array, &iter);
    yyjson_val *item;
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        if (!yyjson_is_str(item))
            return member_wrong_type(reader->error, item, "a String");
        if (iter.idx > 1)
            buf_append_byte(out, ',');
        json_append_string(out, json_str(item));
    }
    return buf_append_byte(out, ']');
}

static int append_vpc(struct member_reader *reader, const struct version *draft, yyjson_val *value,
                      struct buf *out)
{
    (void) draft;
    buf_append_byte(out, '{');
    int r = append_list(reader, value, "SubnetIds", out);
    buf_append_byte(out, ',');
    if (r == 0)
        r = append_list(reader, value, "SecurityGroupIds", out);
    if (r == 0)
        r = buf_append_text(out, ",\"VpcId\":\"\"}");
    return r;
}

static int append_logging(struct member_reader *reader, const struct version *draft,
                          yyjson_val *value, struct buf *out)
{
    static const char *const formats[] = {"JSON", "Text", NULL};
    static const char *const levels[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", NULL};
    static const char *const system_levels[] = {"DEBUG", "INFO", "WARN", NULL};
    struct member_reader inner = MEMBER_READER_INIT(value, reader->error);
    struct str format;
    struct str level = {NULL, 0};
    struct str system = {NULL, 0};
    struct str group = {NULL, 0};
    int r = member_choice(&inner, "LogFormat", "loggingConfig.logFormat", formats, "[JSON, Text]",
                          &format);
    if (r == 0)
        r = member_choice(&inner, "ApplicationLogLevel", "loggingConfig.applicationLogLevel",
                          levels, "[TRACE, DEBUG, INFO, WARN, ERROR, FATAL]", &level);
    if (r == 0)
        r = member_choice(&inner, "SystemLogLevel", "loggingConfig.systemLogLevel", system_levels,
                          "[DEBUG, INFO, WARN]", &system);
    if (r == 0)
        r = member_text(&inner, "LogGroup", "loggingConfig.logGroup", 1, 512, &group);
    if (r == 0)
        r = validation_finish(&inner.validation, AWS_VALIDATION, reader->error);
    validation_done(&inner.validation);
    buf_printf(out, "{\"LogFormat\":\"" STR_FORMAT "\"",
               STR_ARGUMENTS(format.data ? format : STR("Text")));
    if (level.data)
        buf_printf(out, ",\"ApplicationLogLevel\":\"" STR_FORMAT "\"", STR_ARGUMENTS(level));
    if (system.data)
        buf_printf(out, ",\"SystemLogLevel\":\"" STR_FORMAT "\"", STR_ARGUMENTS(system));
    buf_append_text(out, ",\"LogGroup\":");
    if (group.data)
        json_append_string(out, group);
    else
        buf_printf(out, "\"/aws/lambda/%s\"", draft->name);
    buf_append_byte(out, '}');
    return r;
}

static int append_kms_key(struct member_reader *reader, const struct version *draft,
                          yyjson_val *value, struct buf *out)
{
    (void) draft;
    struct str text = json_str(value);
    if (text.size == 0)
        return 0;
    if (!str_has_prefix(text, STR("arn:")) || text.size > 2048) {
        AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
        validation_add(&validation, text, "kMSKeyArn", "satisfy regular expression pattern: %s",
                       KMS_PATTERN);
        return validation_finish(&validation, AWS_VALIDATION, reader->error);
    }
    return json_append_string(out, text);
}

static const struct {
    const char *name;
    bool is_text;
    append_fn *append;
} settings[] = {
    {"TracingConfig", false, append_tracing}, {"DeadLetterConfig", false, append_dead_letter},
    {"VpcConfig", false, append_vpc},         {"LoggingConfig", false, append_logging},
    {"KMSKeyArn", true, append_kms_key},
};

/* The member as the request or, if it is silent, the earlier configuration says. */
static int append_setting(struct member_reader *reader, const struct version *draft,
                          yyjson_val *earlier, size_t i, struct buf *out)
{
    yyjson_val *value = json_member(reader->object, settings[i].name);
    AUTO_BUF struct buf text = BUF_INIT(PASSIVE_MAX);
    int r = 0;
    if (value && (settings[i].is_text ? !yyjson_is_str(value) : !yyjson_is_obj(value)))
        return member_wrong_type(reader->error, value,
                                 settings[i].is_text ? "a String" : "an Object");
    if (value) {
        r = settings[i].append(reader, draft, value, &text);
    } else if (json_member(earlier, settings[i].name)) {
        AUTO_FREE char *kept =
            yyjson_val_write(json_member(earlier, settings[i].name), YYJSON_WRITE_NOFLAG, NULL);
        buf_append_text(&text, kept ? kept : "null");
    }
    if (r < 0 || text.size == 0)
        return r;
    buf_printf(out, "%s\"%s\":", out->size > 1 ? "," : "", settings[i].name);
    return buf_append_str(out, buf_str(&text));
}

/* As the registry gives it back after a restart, so that equal settings are equal texts
 * (version_is_same_content): there is more than one way to escape a character. */
static int set_canonical(struct member_reader *reader, struct version *draft, struct str text)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    AUTO_FREE char *canonical = NULL;
    if (json_parse(text, PASSIVE_MAX, &doc, NULL) == 0)
        canonical = yyjson_val_write(yyjson_doc_get_root(doc), YYJSON_WRITE_NOFLAG, NULL);
    if (!canonical)
        return aws_error_set(reader->error, AWS_SERVICE, "No memory");
    version_set(draft, &draft->passive_json, canonical);
    return 0;
}

int passive_read(struct member_reader *reader, struct version *draft)
{
    AUTO_BUF struct buf out = BUF_INIT(PASSIVE_MAX);
    AUTO_JSON yyjson_doc *doc = NULL;
    if (draft->passive_json && json_parse(str_of(draft->passive_json), PASSIVE_MAX, &doc, NULL) < 0)
        return aws_error_set(reader->error, AWS_SERVICE, "The stored configuration is damaged");
    yyjson_val *earlier = doc ? yyjson_doc_get_root(doc) : NULL;
    buf_append_byte(&out, '{');
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        int r = append_setting(reader, draft, earlier, i, &out);
        if (r < 0)
            return r;
    }
    buf_append_byte(&out, '}');
    if (buf_status(&out) < 0)
        return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                             "The configuration is too large");
    if (out.size <= 2) {
        version_set(draft, &draft->passive_json, NULL);
        return 0;
    }
    return set_canonical(reader, draft, buf_str(&out));
}

/* Refusals */

/* AWS's words. It has SnapStart for Python from 3.12 on only, and not for provided runtimes; here a fork is a fork. */
static int check_snap_start(struct member_reader *reader, const struct version *draft)
{
    const struct runtime *runtime = draft->runtime ? runtime_find(str_of(draft->runtime)) : NULL;
    if (!draft->has_snap_start)
        return 0;
    if (runtime && runtime->kind == RUNTIME_NODE)
        return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                             "%s is not supported for SnapStart enabled functions.", runtime->name);
    if (draft->tmp_mb > SNAP_START_TMP_MB_MAX)
        return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                             "Ephemeral storage greater than %d MB is not supported for SnapStart "
                             "enabled functions.",
                             SNAP_START_TMP_MB_MAX);
    return 0;
}

int snap_start_read(struct member_reader *reader, struct version *draft)
{
    static const char *const choices[] = {"PublishedVersions", "None", NULL};
    yyjson_val *object;
    int r = member_object(reader, "SnapStart", &object);
    if (r < 0)
        return r;
    if (!object)
        return check_snap_start(reader, draft);
    struct member_reader inner = MEMBER_READER_INIT(object, reader->error);
    struct str apply;
    r = member_choice(&inner, "ApplyOn", "snapStart.applyOn", choices, "[PublishedVersions, None]",
                      &apply);
    if (r == 0)
        r = validation_finish(&inner.validation, AWS_VALIDATION, reader->error);
    validation_done(&inner.validation);
    if (r < 0)
        return r;
    if (apply.data)
        draft->has_snap_start = str_equal(apply, STR("PublishedVersions"));
    return check_snap_start(reader, draft);
}

static int refuse_package_type(struct member_reader *reader)
{
    static const char *const types[] = {"Image", "Zip", NULL};
    struct str type;
    int r = member_choice(reader, "PackageType", "packageType", types, "[Image, Zip]", &type);
    if (r == 0 && str_equal(type, STR("Image")))
        r = aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                          "The package type Image is not available in this service yet; use Zip.");
    return r;
}

static bool is_empty(yyjson_val *value)
{
    return (yyjson_is_obj(value) && yyjson_obj_size(value) == 0) ||
           (yyjson_is_arr(value) && yyjson_arr_size(value) == 0);
}

int passive_refuse(struct member_reader *reader, const struct version *draft)
{
    static const char *const absent[] = {
        "ImageConfig", "TenancyConfig", "CapacityProviderConfig", "DurableConfig", "PublishTo",
    };
    if (json_member(reader->object, "CodeSigningConfigArn"))
        return aws_error_set(reader->error, AWS_CODE_SIGNING_CONFIG_NOT_FOUND,
                             "The code signing configuration cannot be found.");
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
        yyjson_val *value = json_member(reader->object, absent[i]);
        if (value && !is_empty(value))
            return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                                 "%s is not available in this service yet.", absent[i]);
    }
    return refuse_package_type(reader);
}
