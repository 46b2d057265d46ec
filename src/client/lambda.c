// SPDX-License-Identifier: MIT
#include "client/lambda.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/percent.h"
#include "base/str.h"
#include "client/code.h"
#include "client/lambda_private.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define FUNCTIONS "/2015-03-31/functions"
#define PATH_BYTES_MAX 2048
#define WHAT_BYTES_MAX 200
#define SETTINGS_BYTES_MAX ((size_t) 1 << 20)
#define POLL_FIRST_MS 5
#define POLL_LAST_MS 500

// ---- Asking

static int build_path(struct buf *path, const char *name, const char *suffix, struct error *err)
{
    buf_append_text(path, FUNCTIONS);
    if (name != NULL) {
        buf_append_byte(path, '/');
        percent_append(path, str_of(name), false);
    }
    buf_append_text(path, suffix);
    int r = buf_status(path);
    return r < 0 ? error_set(err, -ENAMETOOLONG, "the function's name is too long") : 0;
}

// Performs the request and reads the function's configuration in the answer.
static int ask(struct client *client, const char *verb, const char *name,
               const struct client_request *request, struct lambda_function *ret, struct error *err)
{
    struct client_answer answer;
    char what[WHAT_BYTES_MAX];

    snprintf(what, sizeof what, "%s '%.140s'", verb, name);
    int r = client_perform(client, request, &answer, err);
    r = r < 0 ? error_wrap(err, r, "%s", what)
              : client_check(&answer, client_target(client), what, err);
    if (r == 0 && ret != NULL)
        r = lambda_parse_function(buf_str(&answer.body), ret, err);
    client_answer_done(&answer);
    return r;
}

// ---- Reading a configuration

void lambda_take_text(yyjson_val *object, const char *member, char *field, size_t field_size)
{
    struct str value = {0};

    field[0] = '\0';
    if (json_member_str(object, member, &value) == 0)
        (void) !str_copy(str_part(value, 0, field_size - 1), field, field_size);
}

uint64_t lambda_take_number(yyjson_val *object, const char *member)
{
    int64_t value = 0;

    return json_member_i64(object, member, 0, INT64_MAX, &value) == 0 ? (uint64_t) value : 0;
}

static void take_layers(yyjson_val *from, struct lambda_function *ret)
{
    yyjson_val *list = json_member(from, "Layers");
    size_t count = yyjson_arr_size(list);

    for (size_t i = 0; i < count && i < LAMBDA_LAYERS_MAX; i++)
        lambda_take_text(yyjson_arr_get(list, i), "Arn", ret->layers[ret->layer_count++],
                         sizeof ret->layers[0]);
}

void lambda_read_function(yyjson_val *from, struct lambda_function *ret)
{
    *ret = (struct lambda_function){0};
    lambda_take_text(from, "FunctionName", ret->name, sizeof ret->name);
    lambda_take_text(from, "FunctionArn", ret->arn, sizeof ret->arn);
    lambda_take_text(from, "Version", ret->version, sizeof ret->version);
    lambda_take_text(from, "Runtime", ret->runtime, sizeof ret->runtime);
    lambda_take_text(from, "Handler", ret->handler, sizeof ret->handler);
    lambda_take_text(from, "State", ret->state, sizeof ret->state);
    lambda_take_text(from, "LastUpdateStatus", ret->update_status, sizeof ret->update_status);
    lambda_take_text(from, "CodeSha256", ret->code_sha256, sizeof ret->code_sha256);
    lambda_take_text(from, "RevisionId", ret->revision_id, sizeof ret->revision_id);
    lambda_take_text(from, "LastModified", ret->last_modified, sizeof ret->last_modified);
    ret->code_bytes = lambda_take_number(from, "CodeSize");
    ret->memory_mb = (unsigned) lambda_take_number(from, "MemorySize");
    ret->timeout_s = (unsigned) lambda_take_number(from, "Timeout");
    take_layers(from, ret);
    lambda_take_text(yyjson_arr_get_first(json_member(from, "FileSystemConfigs")), "Arn",
                     ret->filesystem_arn, sizeof ret->filesystem_arn);

    bool is_update = strcmp(ret->update_status, "Failed") == 0;
    lambda_take_text(from, is_update ? "LastUpdateStatusReason" : "StateReason", ret->reason,
                     sizeof ret->reason);
    lambda_take_text(from, is_update ? "LastUpdateStatusReasonCode" : "StateReasonCode",
                     ret->reason_code, sizeof ret->reason_code);
}

int lambda_parse_function(struct str text, struct lambda_function *ret, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;

    int r = json_parse(text, CLIENT_ANSWER_BYTES_MAX, &doc, err);
    if (r < 0)
        return error_wrap(err, -EREMOTEIO, "the service's answer");
    lambda_read_function(yyjson_doc_get_root(doc), ret);
    return 0;
}

// ---- Writing settings

static void add_text(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *member,
                     const char *value)
{
    if (value != NULL)
        json_add_str(doc, object, member, str_of(value));
}

static void add_number(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *member,
                       unsigned value)
{
    if (value != 0)
        yyjson_mut_obj_add_uint(doc, object, member, value);
}

static void add_layers(yyjson_mut_doc *doc, yyjson_mut_val *object,
                       const struct lambda_settings *settings)
{
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, object, "Layers");

    for (size_t i = 0; i < settings->layer_count; i++)
        yyjson_mut_arr_add_strcpy(doc, list, settings->layers[i]);
}

static void add_filesystem(yyjson_mut_doc *doc, yyjson_mut_val *object,
                           const struct lambda_settings *settings)
{
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, object, "FileSystemConfigs");
    yyjson_mut_val *config = yyjson_mut_arr_add_obj(doc, list);

    yyjson_mut_obj_add_strcpy(doc, config, "Arn", settings->filesystem_arn);
    yyjson_mut_obj_add_strcpy(doc, config, "LocalMountPath", settings->filesystem_path);
}

static void add_variables(yyjson_mut_doc *doc, yyjson_mut_val *object,
                          const struct lambda_settings *settings)
{
    yyjson_mut_val *environment = yyjson_mut_obj_add_obj(doc, object, "Environment");
    yyjson_mut_val *variables = yyjson_mut_obj_add_obj(doc, environment, "Variables");

    for (size_t i = 0; i < settings->variable_count; i++)
        yyjson_mut_obj_add_strcpy(doc, variables, settings->variables[i].name,
                                  settings->variables[i].value);
}

// The settings as a JSON object. name: FunctionName, or NULL to leave it out.
static int write_settings(const struct lambda_settings *settings, const char *name, struct buf *out,
                          struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

    if (doc == NULL)
        return error_set(err, -ENOMEM, "no memory for the function's settings");
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    add_text(doc, root, "FunctionName", name);
    add_text(doc, root, "Runtime", settings->runtime);
    add_text(doc, root, "Role", settings->role);
    add_text(doc, root, "Handler", settings->handler);
    add_text(doc, root, "Description", settings->description);
    add_number(doc, root, "MemorySize", settings->memory_mb);
    add_number(doc, root, "Timeout", settings->timeout_s);
    if (settings->tmp_mb != 0) {
        yyjson_mut_val *storage = yyjson_mut_obj_add_obj(doc, root, "EphemeralStorage");
        yyjson_mut_obj_add_uint(doc, storage, "Size", settings->tmp_mb);
    }
    if (settings->has_variables)
        add_variables(doc, root, settings);
    if (settings->layer_count > 0)
        add_layers(doc, root, settings);
    if (settings->filesystem_arn != NULL)
        add_filesystem(doc, root, settings);
    int r = json_append_doc(out, doc);
    return r < 0 ? error_set_errno(err, r, "write the function's settings as JSON") : 0;
}

// ---- Code

// What comes behind the settings in a creation, and alone in an update.
static const char *code_open(bool is_inline, bool is_creation)
{
    if (is_inline)
        return is_creation ? ",\"Code\":{\"ZipFile\":\"" : "{\"ZipFile\":\"";
    return is_creation ? ",\"Code\":{\"LaminaPackage\":\"" : "{\"LaminaPackage\":\"";
}

int lambda_put_package(struct client *client, const char *name, const struct lambda_code *code,
                       struct error *err)
{
    char path[128];
    int fd = code->fd;
    struct client_request request = {
        .method = "PUT",
        .path = path,
        .headers = {{"content-type", "application/zip"}},
        .source = code_file_read,
        .source_arg = &fd,
        .body_size = code->size,
        .body_sha256_hex = code->sha256_hex,
        .progress = code->progress,
        .progress_arg = code->progress_arg,
    };

    snprintf(path, sizeof path, "/lamina/v1/packages/%.64s", code->sha256_hex);
    return ask(client, "upload the package of", name, &request, NULL, err);
}

// head: the settings' JSON of a creation without its last brace; empty for an update.
static int send_code(struct client *client, const char *verb, const char *name,
                     struct client_request *request, struct buf *head,
                     const struct lambda_code *code, struct lambda_function *ret, struct error *err)
{
    bool is_creation = head->size > 0;
    bool is_inline = code->size <= LAMBDA_ZIP_INLINE_BYTES_MAX;
    const char *tail = is_creation ? "\"}}" : "\"}";

    int r = is_inline ? 0 : lambda_put_package(client, name, code, err);
    if (r < 0)
        return r;
    buf_append_text(head, code_open(is_inline, is_creation));
    if (!is_inline)
        buf_append_text(head, code->sha256_hex);
    r = buf_status(head);
    if (r < 0)
        return error_set_errno(err, r, "%s '%s'", verb, name);
    struct code_body body = {
        .head = head->data,
        .head_size = head->size,
        .tail = tail,
        .tail_size = strlen(tail),
        .zip = code->fd,
        .zip_size = is_inline ? code->size : 0,
    };
    request->headers[0] = (struct client_header){"content-type", "application/json"};
    request->source = code_body_read;
    request->source_arg = &body;
    request->body_size = code_body_size(&body);
    if (is_inline) {
        request->progress = code->progress;
        request->progress_arg = code->progress_arg;
    }
    return ask(client, verb, name, request, ret, err);
}

// ---- Operations

int lambda_create(struct client *client, const char *name, const struct lambda_settings *settings,
                  const struct lambda_code *code, struct lambda_function *ret, struct error *err)
{
    struct client_request request = {.method = "POST", .path = FUNCTIONS};
    AUTO_BUF struct buf head = BUF_INIT(SETTINGS_BYTES_MAX);

    int r = write_settings(settings, name, &head, err);
    if (r < 0)
        return r;
    head.size--; // the object's last brace: Code goes in before it
    return send_code(client, "create", name, &request, &head, code, ret, err);
}

int lambda_update_code(struct client *client, const char *name, const struct lambda_code *code,
                       struct lambda_function *ret, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);
    AUTO_BUF struct buf head = BUF_INIT(SETTINGS_BYTES_MAX);

    int r = build_path(&path, name, "/code", err);
    if (r < 0)
        return r;
    struct client_request request = {.method = "PUT", .path = path.data};
    return send_code(client, "update the code of", name, &request, &head, code, ret, err);
}

int lambda_update_settings(struct client *client, const char *name,
                           const struct lambda_settings *settings, struct lambda_function *ret,
                           struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);
    AUTO_BUF struct buf body = BUF_INIT(SETTINGS_BYTES_MAX);

    int r = build_path(&path, name, "/configuration", err);
    if (r == 0)
        r = write_settings(settings, NULL, &body, err);
    if (r < 0)
        return r;
    const struct client_request request = {
        .method = "PUT",
        .path = path.data,
        .headers = {{"content-type", "application/json"}},
        .body = body.data,
        .body_size = body.size,
        .timeout_ms = LAMBDA_CONTROL_TIMEOUT_MS,
    };
    return ask(client, "update the settings of", name, &request, ret, err);
}

int lambda_get(struct client *client, const char *name, struct lambda_function *ret,
               struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);

    int r = build_path(&path, name, "/configuration", err);
    if (r < 0)
        return r;
    const struct client_request request = {
        .method = "GET", .path = path.data, .timeout_ms = LAMBDA_CONTROL_TIMEOUT_MS};
    return ask(client, "look up", name, &request, ret, err);
}

int lambda_delete(struct client *client, const char *name, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);

    int r = build_path(&path, name, "", err);
    if (r < 0)
        return r;
    const struct client_request request = {
        .method = "DELETE", .path = path.data, .timeout_ms = LAMBDA_CONTROL_TIMEOUT_MS};
    return ask(client, "delete", name, &request, NULL, err);
}

static void pause_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000};

    (void) nanosleep(&time, NULL); // a signal only makes the next look come sooner
}

int lambda_wait(struct client *client, const char *name, unsigned timeout_ms,
                struct lambda_function *ret, struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    unsigned wait_ms = POLL_FIRST_MS;

    for (;;) {
        int r = lambda_get(client, name, ret, err);
        if (r < 0)
            return r;
        if (strcmp(ret->state, "Failed") == 0 || strcmp(ret->update_status, "Failed") == 0)
            return error_set(err, -EREMOTEIO, "'%s' could not be deployed: %s%s%s", name,
                             ret->reason_code, ret->reason_code[0] != '\0' ? ": " : "",
                             ret->reason);
        if (strcmp(ret->state, "Pending") != 0 && strcmp(ret->update_status, "InProgress") != 0)
            return 0;
        if (clock_monotonic_ms() >= deadline_ms)
            return error_set(err, -ETIMEDOUT, "'%s' is still not ready after %u s", name,
                             timeout_ms / 1000);
        pause_ms(wait_ms);
        wait_ms = wait_ms + wait_ms / 2 + 1;
        if (wait_ms > POLL_LAST_MS)
            wait_ms = POLL_LAST_MS;
    }
}

static const char *invocation_type(const struct lambda_call *call)
{
    if (call->is_dry_run)
        return "DryRun";
    return call->is_event ? "Event" : "RequestResponse";
}

int lambda_invoke(struct client *client, const struct lambda_call *call, struct client_answer *ret,
                  struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);
    AUTO_BUF struct buf query = BUF_INIT(PATH_BYTES_MAX);
    char what[WHAT_BYTES_MAX];

    *ret = (struct client_answer){0};
    int r = build_path(&path, call->name, "/invocations", err);
    if (r < 0)
        return r;
    if (call->qualifier != NULL) {
        buf_append_text(&query, "Qualifier=");
        percent_append(&query, str_of(call->qualifier), false);
    }
    struct client_request request = {
        .method = "POST",
        .path = path.data,
        .query = query.data,
        .headers = {{"content-type", "application/json"},
                    {"x-amz-invocation-type", invocation_type(call)},
                    {"x-amz-log-type", call->wants_log_tail ? "Tail" : "None"}},
        .body = call->payload,
        .body_size = call->payload_size,
        .sink = call->sink,
        .sink_arg = call->sink_arg,
        .timeout_ms = call->timeout_ms,
    };
    snprintf(what, sizeof what, "invoke '%.140s'", call->name);
    r = client_perform(client, &request, ret, err);
    return r < 0 ? error_wrap(err, r, "%s", what)
                 : client_check(ret, client_target(client), what, err);
}
