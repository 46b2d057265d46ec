/* SPDX-License-Identifier: MIT
 *
 * CreateFunctionUrlConfig, GetFunctionUrlConfig, UpdateFunctionUrlConfig, DeleteFunctionUrlConfig,
 * ListFunctionUrlConfigs. What a URL does when it is called: url.h.
 */

#include <stdlib.h>
#include <string.h>

#include "api/attach.h"
#include "api/member.h"
#include "api/operations.h"
#include "base/clock.h"
#include "base/mem.h"

#define LISTED_MAX 100
#define METHODS_MAX 6
#define MAX_AGE_MAX 86400
#define HOST_SUFFIX ".lambda-url.localhost"
#define NO_URL "The resource you requested does not exist."

/* The settings as views into the request, or into the configuration that is being changed. */
struct url_settings {
    struct str auth_type;
    struct str invoke_mode; /* data == NULL: not said */
    yyjson_val *cors;       /* NULL: none */
};

static void url_id_new(char id[ATTACHMENT_URL_ID_SIZE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t random[ATTACHMENT_URL_ID_SIZE - 1];
    mem_random(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        id[i] = letters[random[i] % 32];
    id[sizeof(random)] = '\0';
}

/* ":4566" of the Host that the client used, so that the URL leads back to the same listener. */
static struct str port_of(struct str host)
{
    ptrdiff_t colon = str_find_last(host, ':');
    return colon > str_find_last(host, ']') ? str_skip(host, (size_t) colon) : STR("");
}

static int check_texts(struct member_reader *reader, yyjson_val *cors, const char *name,
                       const char *path, size_t most, size_t length_max)
{
    yyjson_val *array = json_member(cors, name);
    yyjson_arr_iter iter;
    yyjson_val *item;
    if (!array)
        return 0;
    if (!yyjson_is_arr(array))
        return member_wrong_type(reader->error, array, "a List");
    if (yyjson_arr_size(array) > most)
        validation_add_number(&reader->validation, (long long) yyjson_arr_size(array), path,
                              "have length less than or equal to %zu", most);
    yyjson_arr_iter_init(array, &iter);
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        if (!yyjson_is_str(item))
            return member_wrong_type(reader->error, item, "a String");
        if (yyjson_get_len(item) > length_max)
            validation_add(&reader->validation, json_str(item), path,
                           "satisfy constraint: [Member must have length less than or equal to "
                           "%zu]",
                           length_max);
    }
    return 0;
}

static int check_cors(struct member_reader *reader, yyjson_val *cors)
{
    struct member_reader inner = MEMBER_READER_INIT(cors, reader->error);
    uint32_t age;
    bool credentials;
    int r = check_texts(reader, cors, "AllowHeaders", "cors.allowHeaders", LISTED_MAX, 1024);
    if (r == 0)
        r = check_texts(reader, cors, "AllowMethods", "cors.allowMethods", METHODS_MAX, 6);
    if (r == 0)
        r = check_texts(reader, cors, "AllowOrigins", "cors.allowOrigins", LISTED_MAX, 253);
    if (r == 0)
        r = check_texts(reader, cors, "ExposeHeaders", "cors.exposeHeaders", LISTED_MAX, 1024);
    if (r == 0)
        r = member_bool(&inner, "AllowCredentials", &credentials);
    if (r == 0)
        r = member_number(&inner, "MaxAge", "cors.maxAge", 0, MAX_AGE_MAX, &age);
    if (r == 0)
        r = validation_finish(&inner.validation, AWS_VALIDATION, reader->error);
    validation_done(&inner.validation);
    return r;
}

static int read_settings(struct call *call, struct url_settings *settings)
{
    static const char *const auth_types[] = {"NONE", "AWS_IAM", NULL};
    static const char *const modes[] = {"BUFFERED", "RESPONSE_STREAM", NULL};
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    struct str text;
    yyjson_val *cors;
    int r = member_choice(&reader, "AuthType", "authType", auth_types, "[NONE, AWS_IAM]", &text);
    if (r == 0 && text.data)
        settings->auth_type = text;
    if (r == 0)
        r = member_choice(&reader, "InvokeMode", "invokeMode", modes, "[RESPONSE_STREAM, BUFFERED]",
                          &text);
    if (r == 0 && text.data)
        settings->invoke_mode = text;
    if (r == 0)
        r = member_object(&reader, "Cors", &cors);
    if (r == 0 && cors) {
        settings->cors = yyjson_obj_size(cors) > 0 ? cors : NULL;
        r = check_cors(&reader, cors);
    }
    if (r < 0)
        return r;
    if (!settings->auth_type.data)
        validation_add_null(&reader.validation, "authType");
    return validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
}

/* Both the stored form (`function` NULL) and the shown one. */
static void append_url(struct buf *json, const struct url_settings *settings, const char *id,
                       struct str created, struct str modified)
{
    buf_printf(json, "\"AuthType\":\"" STR_FORMAT "\"", STR_ARGUMENTS(settings->auth_type));
    if (settings->cors) {
        AUTO_FREE char *text = yyjson_val_write(settings->cors, YYJSON_WRITE_NOFLAG, NULL);
        buf_printf(json, ",\"Cors\":%s", text ? text : "null");
    }
    if (settings->invoke_mode.data)
        buf_printf(json, ",\"InvokeMode\":\"" STR_FORMAT "\"",
                   STR_ARGUMENTS(settings->invoke_mode));
    buf_printf(json, ",\"CreationTime\":\"" STR_FORMAT "\"", STR_ARGUMENTS(created));
    if (modified.data)
        buf_printf(json, ",\"LastModifiedTime\":\"" STR_FORMAT "\"", STR_ARGUMENTS(modified));
    if (id)
        buf_printf(json, ",\"UrlId\":\"%s\"", id);
}

static void append_shown(struct buf *json, const struct function *function, const char *qualifier,
                         const char *id, const struct call *call,
                         const struct url_settings *settings, struct str created,
                         struct str modified)
{
    struct str port = port_of(call->request->host);
    buf_printf(json, "{\"FunctionUrl\":\"%s://%s" HOST_SUFFIX STR_FORMAT "/\",\"FunctionArn\":",
               call->api->config.is_tls ? "https" : "http", id, STR_ARGUMENTS(port));
    attach_append_arn(json, function, qualifier);
    buf_append_byte(json, ',');
    append_url(json, settings, NULL, created, modified);
    buf_append_byte(json, '}');
}

static void settings_of(const struct attachment *url, struct url_settings *ret_settings)
{
    yyjson_val *root = attachment_root(url);
    *ret_settings = (struct url_settings){
        .auth_type = json_str(json_member(root, "AuthType")),
        .invoke_mode = json_str(json_member(root, "InvokeMode")),
        .cors = json_member(root, "Cors"),
    };
    if (!ret_settings->invoke_mode.size)
        ret_settings->invoke_mode = (struct str){NULL, 0};
}

/* Create, Update, Get and List differ in what they show of the mode: Create only what was said. */
static void append_attachment(struct buf *json, const struct attachment *url,
                              const struct call *call)
{
    struct url_settings settings;
    yyjson_val *root = attachment_root(url);
    settings_of(url, &settings);
    if (!settings.invoke_mode.data)
        settings.invoke_mode = STR("BUFFERED");
    append_shown(json, url->function, url->qualifier, url->url_id, call, &settings,
                 json_str(json_member(root, "CreationTime")),
                 json_str(json_member(root, "LastModifiedTime")));
}

static bool is_version(const char *qualifier)
{
    return qualifier[0] >= '0' && qualifier[0] <= '9' &&
           strspn(qualifier, "0123456789") == strlen(qualifier);
}

static int find(struct call *call, struct function_name *ret_name, struct function **ret_function)
{
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, ret_name);
    if (r == 0 &&
        (is_version(ret_name->qualifier) || strcmp(ret_name->qualifier, VERSION_LATEST) == 0)) {
        AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
        validation_add(&validation, str_of(ret_name->qualifier), "qualifier",
                       "satisfy regular expression pattern: (^\\$LATEST$)|((?!^[0-9]+$)"
                       "([a-zA-Z0-9-_]+))");
        r = validation_finish(&validation, AWS_VALIDATION, &call->error);
    }
    return r < 0 ? r : attach_find(call, ATTACH_ANY_QUALIFIER, ret_name, ret_function);
}

void lambda_create_url(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct url_settings settings = {0};
    struct change_plan plan = {0};
    struct buf json = BUF_INIT(ATTACHMENT_JSON_MAX);
    struct buf answer = BUF_INIT(CALL_JSON_MAX);
    char id[ATTACHMENT_URL_ID_SIZE];
    char now[CLOCK_TEXT_MAX];
    int r = find(call, &name, &function);
    if (r == 0)
        r = read_settings(call, &settings);
    if (r == 0 && function_attachment(function, ATTACHMENT_URL, name.qualifier))
        r = aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                          "Failed to create function url config for [functionArn = %s]. Error "
                          "message:  FunctionUrlConfig exists for this Lambda function",
                          function->latest->arn);
    if (r == 0) {
        struct str time = str_of(clock_iso_z(clock_wall_ms(), now));
        url_id_new(id);
        buf_append_byte(&json, '{');
        append_url(&json, &settings, id, time, time);
        buf_append_byte(&json, '}');
        append_shown(&answer, function, name.qualifier, id, call, &settings, time,
                     (struct str){NULL, 0});
        r = attach_make(call, ATTACHMENT_URL, name.qualifier, &json, &plan.attach);
    }
    if (r < 0) {
        buf_done(&answer);
        call_fail(call);
        return;
    }
    attach_commit(call, function->name, &plan, 201, &answer, NULL);
}

static int find_url(struct call *call, struct function **ret_function,
                    struct function_name *ret_name, struct attachment **ret_url)
{
    int r = find(call, ret_name, ret_function);
    if (r < 0)
        return r;
    *ret_url = function_attachment(*ret_function, ATTACHMENT_URL, ret_name->qualifier);
    return *ret_url ? 0 : aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND, NO_URL);
}

void lambda_get_url(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct attachment *url;
    if (find_url(call, &function, &name, &url) < 0) {
        call_fail(call);
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    append_attachment(&json, url, call);
    call_answer_json(call, 200, &json);
}

void lambda_update_url(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct attachment *url;
    struct url_settings settings;
    struct change_plan plan = {0};
    struct buf json = BUF_INIT(ATTACHMENT_JSON_MAX);
    struct buf answer = BUF_INIT(CALL_JSON_MAX);
    char now[CLOCK_TEXT_MAX];
    int r = find_url(call, &function, &name, &url);
    if (r == 0) {
        settings_of(url, &settings);
        r = read_settings(call, &settings);
    }
    if (r == 0) {
        struct str created = json_str(json_member(attachment_root(url), "CreationTime"));
        struct str time = str_of(clock_iso_z(clock_wall_ms(), now));
        buf_append_byte(&json, '{');
        append_url(&json, &settings, url->url_id, created, time);
        buf_append_byte(&json, '}');
        append_shown(&answer, function, name.qualifier, url->url_id, call, &settings, created,
                     time);
        r = attach_make(call, ATTACHMENT_URL, name.qualifier, &json, &plan.attach);
    }
    if (r < 0) {
        buf_done(&answer);
        call_fail(call);
        return;
    }
    attach_commit(call, function->name, &plan, 200, &answer, NULL);
}

void lambda_delete_url(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct attachment *url;
    if (find_url(call, &function, &name, &url) < 0) {
        call_fail(call);
        return;
    }
    struct change_plan plan = {
        .is_detaching = true, .detach_kind = ATTACHMENT_URL, .detach_qualifier = name.qualifier};
    attach_commit(call, function->name, &plan, 204, NULL, NULL);
}

static void append_listed(struct call *call, struct buf *json, const struct attachment *url)
{
    append_attachment(json, url, call);
}

void lambda_list_urls(struct call *call)
{
    attach_list(call, ATTACHMENT_URL, "FunctionUrlConfigs", append_listed);
}
