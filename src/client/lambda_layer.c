// SPDX-License-Identifier: MIT
//
// The operations on layers.
#include "client/lambda.h"

#include "base/base64.h"
#include "base/percent.h"
#include "base/str.h"
#include "client/code.h"
#include "client/lambda_private.h"

#include <errno.h>
#include <string.h>

#define LAYERS "/2018-10-31/layers/"
#define PATH_BYTES_MAX 1024
#define WHAT_BYTES_MAX 200
#define HEAD_BYTES_MAX 8192

static int build_path(struct buf *path, const char *layer, const char *suffix, struct error *err)
{
    buf_append_text(path, LAYERS);
    percent_append(path, str_of(layer), false);
    buf_append_text(path, suffix);
    int r = buf_status(path);
    return r < 0 ? error_set(err, -ENAMETOOLONG, "the layer's name is too long") : 0;
}

static void read_layer(yyjson_val *from, const char *layer, struct lambda_layer *ret)
{
    yyjson_val *content = json_member(from, "Content");

    *ret = (struct lambda_layer){0};
    (void) !str_copy(str_part(str_of(layer), 0, sizeof ret->name - 1), ret->name, sizeof ret->name);
    lambda_take_text(from, "LayerVersionArn", ret->version_arn, sizeof ret->version_arn);
    ret->version = lambda_take_number(from, "Version");
    lambda_take_text(content, "CodeSha256", ret->code_sha256, sizeof ret->code_sha256);
    ret->code_bytes = lambda_take_number(content, "CodeSize");
}

// Performs the request; the answer's document is the caller's to free.
static int ask(struct client *client, const char *verb, const char *layer,
               const struct client_request *request, yyjson_doc **ret_doc, struct error *err)
{
    struct client_answer answer;
    char what[WHAT_BYTES_MAX];

    snprintf(what, sizeof what, "%s '%.140s'", verb, layer);
    int r = client_perform(client, request, &answer, err);
    r = r < 0 ? error_wrap(err, r, "%s", what)
              : client_check(&answer, client_target(client), what, err);
    if (r == 0)
        r = json_parse(buf_str(&answer.body), CLIENT_ANSWER_BYTES_MAX, ret_doc, err);
    client_answer_done(&answer);
    return r;
}

// {"Description":...,"Content":{"ZipFile":" or the package's name, up to where the code begins.
static int write_head(struct buf *head, const char *description, const struct lambda_code *code,
                      bool is_inline, struct error *err)
{
    buf_append_byte(head, '{');
    if (description != NULL) {
        buf_append_text(head, "\"Description\":");
        json_append_string(head, str_of(description));
        buf_append_byte(head, ',');
    }
    buf_append_text(head, is_inline ? "\"Content\":{\"ZipFile\":\""
                                    : "\"Content\":{\"LaminaPackage\":\"");
    if (!is_inline)
        buf_append_text(head, code->sha256_hex);
    int r = buf_status(head);
    return r < 0 ? error_set_errno(err, r, "write the layer's description") : 0;
}

int lambda_publish_layer(struct client *client, const char *layer, const char *description,
                         const struct lambda_code *code, struct lambda_layer *ret,
                         struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);
    AUTO_BUF struct buf head = BUF_INIT(HEAD_BYTES_MAX);
    AUTO_JSON yyjson_doc *doc = NULL;
    bool is_inline = code->size <= LAMBDA_ZIP_INLINE_BYTES_MAX;

    int r = build_path(&path, layer, "/versions", err);
    if (r == 0)
        r = write_head(&head, description, code, is_inline, err);
    if (r == 0 && !is_inline)
        r = lambda_put_package(client, layer, code, err);
    if (r < 0)
        return r;
    struct code_body body = {
        .head = head.data,
        .head_size = head.size,
        .tail = "\"}}",
        .tail_size = 3,
        .zip = code->fd,
        .zip_size = is_inline ? code->size : 0,
    };
    const struct client_request request = {
        .method = "POST",
        .path = path.data,
        .headers = {{"content-type", "application/json"}},
        .source = code_body_read,
        .source_arg = &body,
        .body_size = code_body_size(&body),
        .progress = is_inline ? code->progress : NULL,
        .progress_arg = code->progress_arg,
    };
    r = ask(client, "publish layer", layer, &request, &doc, err);
    if (r == 0)
        read_layer(yyjson_doc_get_root(doc), layer, ret);
    return r;
}

// The number of the newest version below `before` (0: of all), in one page of the list.
static int newest_number(struct client *client, const char *layer, uint64_t before,
                         uint64_t *ret_number, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);
    AUTO_BUF struct buf query = BUF_INIT(PATH_BYTES_MAX);
    AUTO_JSON yyjson_doc *doc = NULL;
    char marker[24];

    int r = build_path(&path, layer, "/versions", err);
    if (r < 0)
        return r;
    buf_append_text(&query, "MaxItems=1");
    if (before != 0) {
        // A marker is the base64 of the last item's number.
        AUTO_BUF struct buf encoded = BUF_INIT(sizeof marker * 2);
        snprintf(marker, sizeof marker, "%llu", (unsigned long long) before);
        base64_append(&encoded, marker, strlen(marker));
        buf_append_text(&query, "&Marker=");
        percent_append(&query, buf_str(&encoded), false);
    }
    const struct client_request request = {.method = "GET",
                                           .path = path.data,
                                           .query = query.data,
                                           .timeout_ms = LAMBDA_CONTROL_TIMEOUT_MS};
    r = ask(client, "list the versions of layer", layer, &request, &doc, err);
    if (r < 0)
        return r;
    yyjson_val *list = json_member(yyjson_doc_get_root(doc), "LayerVersions");
    uint64_t number = lambda_take_number(yyjson_arr_get_first(list), "Version");
    if (number == 0)
        return error_set(err, -ENOENT, "layer '%s' has no %sversion", layer,
                         before != 0 ? "earlier " : "");
    *ret_number = number;
    return 0;
}

int lambda_earlier_layer(struct client *client, const char *layer, uint64_t number,
                         uint64_t *ret_number, struct error *err)
{
    return newest_number(client, layer, number, ret_number, err);
}

int lambda_newest_layer(struct client *client, const char *layer, struct lambda_layer *ret,
                        struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);
    AUTO_JSON yyjson_doc *doc = NULL;
    char suffix[40];
    uint64_t number = 0;

    int r = newest_number(client, layer, 0, &number, err);
    if (r < 0)
        return r;
    snprintf(suffix, sizeof suffix, "/versions/%llu", (unsigned long long) number);
    r = build_path(&path, layer, suffix, err);
    if (r < 0)
        return r;
    const struct client_request request = {
        .method = "GET", .path = path.data, .timeout_ms = LAMBDA_CONTROL_TIMEOUT_MS};
    r = ask(client, "look up layer", layer, &request, &doc, err);
    if (r == 0)
        read_layer(yyjson_doc_get_root(doc), layer, ret);
    return r;
}

int lambda_delete_layer(struct client *client, const char *layer, uint64_t version,
                        struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_answer answer;
    char suffix[40];

    snprintf(suffix, sizeof suffix, "/versions/%llu", (unsigned long long) version);
    int r = build_path(&path, layer, suffix, err);
    if (r < 0)
        return r;
    const struct client_request request = {
        .method = "DELETE", .path = path.data, .timeout_ms = LAMBDA_CONTROL_TIMEOUT_MS};
    r = client_perform(client, &request, &answer, err);
    r = r < 0 ? error_wrap(err, r, "delete layer '%s'", layer)
              : client_check(&answer, client_target(client), "delete a layer version", err);
    client_answer_done(&answer);
    return r;
}

int lambda_tag(struct client *client, const char *arn, const char *key, const char *value,
               struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_BYTES_MAX);
    AUTO_BUF struct buf query = BUF_INIT(PATH_BYTES_MAX);
    AUTO_BUF struct buf body = BUF_INIT(PATH_BYTES_MAX);
    struct client_answer answer;

    buf_append_text(&path, "/2017-03-31/tags/");
    percent_append(&path, str_of(arn), false);
    buf_append_text(&query, "tagKeys=");
    percent_append(&query, str_of(key), false);
    if (value != NULL) {
        buf_append_text(&body, "{\"Tags\":{");
        json_append_string(&body, str_of(key));
        buf_append_byte(&body, ':');
        json_append_string(&body, str_of(value));
        buf_append_text(&body, "}}");
    }
    if (buf_status(&path) < 0 || buf_status(&query) < 0 || buf_status(&body) < 0)
        return error_set(err, -ENAMETOOLONG, "the function's ARN or the tag is too long");
    const struct client_request request = {
        .method = value != NULL ? "POST" : "DELETE",
        .path = path.data,
        .query = value != NULL ? NULL : query.data,
        .headers = {{"content-type", "application/json"}},
        .body = body.data,
        .body_size = body.size,
        .timeout_ms = LAMBDA_CONTROL_TIMEOUT_MS,
    };
    int r = client_perform(client, &request, &answer, err);
    r = r < 0 ? error_wrap(err, r, "tag '%s'", arn)
              : client_check(&answer, client_target(client), "tag the function", err);
    client_answer_done(&answer);
    return r;
}
