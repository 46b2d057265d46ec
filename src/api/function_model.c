/* SPDX-License-Identifier: MIT */

#include "api/function_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/mem.h"
#include "base/percent.h"
#include "fetch/fetcher.h"
#include "function/catalog.h"
#include "function/version_model.h"
#include "instance/identity.h"
#include "instance/instance.h"
#include "role/roles.h"
#include "store/store.h"

#define ANSWER_MAX ((size_t) 16 * 1024)

/* One question, while the answer is on its way. */
struct asking {
    struct api *api;
    struct http_request *request; /* NULL: the caller is gone */
};

static void respond(struct http_request *request, unsigned status, const struct buf *json)
{
    if (buf_status(json) < 0)
        http_respond_text(
            request, 500, "application/json",
            STR("{\"errorMessage\":\"No memory\",\"errorType\":\"InternalError\"}\n"));
    else
        http_respond_text(request, status, "application/json", buf_str(json));
}

static void refuse(struct http_request *request, unsigned status, const char *type,
                   const char *text)
{
    AUTO_BUF struct buf json = BUF_INIT(ANSWER_MAX);
    buf_append_text(&json, "{\"errorMessage\":");
    json_append_string(&json, str_of(text));
    buf_printf(&json, ",\"errorType\":\"%s\"}\n", type);
    respond(request, status, &json);
}

static void refuse_result(struct http_request *request, const struct fetch_result *result)
{
    static const struct {
        int code;
        unsigned status;
        const char *type;
    } answers[] = {
        {-EINVAL, 400, "InvalidRequest"},      {-E2BIG, 400, "InvalidRequest"},
        {-EACCES, 403, "AccessDenied"},        {-ENOENT, 404, "NoSuchKey"},
        {-ENOSPC, 507, "InsufficientStorage"}, {-ENOMEM, 500, "InternalError"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        if (result->code == answers[i].code) {
            refuse(request, answers[i].status, answers[i].type, result->err.text);
            return;
        }
    refuse(request, 502, "BadGateway", result->err.text);
}

static void answer(struct http_request *request, const char *path, const char *sha256,
                   uint64_t bytes)
{
    AUTO_BUF struct buf json = BUF_INIT(ANSWER_MAX);
    buf_append_text(&json, "{\"path\":");
    json_append_string(&json, str_of(path));
    buf_printf(&json, ",\"sha256\":\"%s\",\"bytes\":%llu}\n", sha256, (unsigned long long) bytes);
    respond(request, 200, &json);
}

/* ---- its own model */

static const char *variable(const struct instance_identity *identity, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < identity->variable_count; i++)
        if (strcmp(identity->variables[i].name, name) == 0)
            value = identity->variables[i].value; /* of two the later counts */
    return value;
}

struct own_search {
    const char *function, *path;
    const struct version_model *found; /* borrowed */
};

static void own_visit(void *arg, const struct version *version)
{
    struct own_search *search = arg;
    const struct version_model *both[] = {&version->model, &version->previous_model};
    char path[VERSION_MODEL_PATH_SIZE];
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        if (!both[i]->has_tree || strcmp(version->name, search->function) != 0)
            continue;
        version_model_path(both[i], path);
        if (strcmp(path, search->path) == 0)
            search->found = both[i];
    }
}

/* The model of the snapshot that this instance runs. */
static bool answer_own(struct api *api, struct http_request *request,
                       const struct instance_identity *identity, const char *uri)
{
    const char *own = variable(identity, "MODEL_URI"), *path = variable(identity, "MODEL_PATH");
    struct own_search search = {.function = identity->function, .path = path};
    char hex[DIGEST_HEX_SIZE];
    if (!own || !path || strcmp(own, uri) != 0)
        return false;
    const struct function *function = catalog_function(api->config.catalog, identity->function);
    if (!function)
        return false;
    own_visit(&search, function->latest);
    if (function->live)
        own_visit(&search, function->live);
    for (size_t i = 0; i < function->n_published && !search.found; i++)
        own_visit(&search, function->published[i]);
    if (!search.found)
        return false;
    answer(request, path, hex_encode(search.found->digest, DIGEST_BYTES, hex), search.found->bytes);
    return true;
}

/* ---- any other */

static void gone(struct http_request *request)
{
    struct asking *asking = request->user;
    asking->request = NULL;
}

static void fetched(void *arg, struct fetch_result *result)
{
    struct asking *asking = arg;
    struct http_request *request = asking->request;
    struct version_model model = {.has_tree = true};
    char path[VERSION_MODEL_PATH_SIZE], hex[DIGEST_HEX_SIZE];
    free(asking);
    if (!request)
        return;
    http_request_on_gone(request, NULL);
    if (result->code < 0) {
        refuse_result(request, result);
        return;
    }
    memcpy(model.digest, result->digest.bytes, DIGEST_BYTES);
    memcpy(model.name, result->name, sizeof(model.name));
    version_model_path(&model, path);
    answer(request, path, digest_hex(&result->digest, hex), result->bytes);
}

static int fetch(struct api *api, struct http_request *request,
                 const struct instance_identity *identity, struct str uri)
{
    AUTO_FREE struct role_variable *variables =
        calloc(identity->variable_count + 1, sizeof(*variables));
    struct asking *asking = variables ? mem_new(struct asking) : NULL;
    char arn[VERSION_ARN_MAX];
    if (!asking)
        return -ENOMEM;
    for (size_t i = 0; i < identity->variable_count; i++)
        variables[i] = (struct role_variable){str_of(identity->variables[i].name),
                                              str_of(identity->variables[i].value)};
    const struct role_asker asker = {identity->role ? identity->role : "", variables,
                                     identity->variable_count};
    (void) snprintf(arn, sizeof(arn), "arn:aws:lambda:%s:%s:function:%s", api->region, api->account,
                    identity->function);
    const struct fetch_request wanted = {
        .uri = uri, .asker = &asker, .has_set = true, .set = digest_of(arn, strlen(arn))};
    *asking = (struct asking){.api = api, .request = request};
    request->user = asking;
    http_request_on_gone(request, gone);
    int r = fetcher_start(api->config.fetcher, &wanted, fetched, asking);
    if (r < 0) {
        http_request_on_gone(request, NULL);
        free(asking);
    }
    return r;
}

/* "uri=s3%3A%2F%2Fb%2Fk&..." -> decoded. -EINVAL. */
static int uri_read(struct str query, char uri[S3_URI_MAX + 1])
{
    struct str pair, name, value;
    while (query.size > 0) {
        (void) str_cut(query, '&', &pair, &query);
        (void) str_cut(pair, '=', &name, &value);
        if (!str_equal_text(name, "uri") || value.size > 3 * (size_t) S3_URI_MAX)
            continue;
        AUTO_FREE char *text = malloc(value.size + 1);
        ptrdiff_t size = text ? percent_decode(value, true, text) : -ENOMEM;
        return size < 0 ? (int) size
                        : str_copy(str_of_data(text, (size_t) size), uri, S3_URI_MAX + 1);
    }
    return -EINVAL;
}

void api_on_model(void *arg, struct http_request *request, struct instance_identity *identity)
{
    struct api *api = arg;
    char uri[S3_URI_MAX + 1];
    int r = uri_read(request->query, uri);
    if (r < 0) {
        refuse(request, 400, "InvalidRequest", "model?uri=s3://bucket/key is asked for");
        return;
    }
    if (identity->is_ended) {
        refuse(request, 403, "AccessDenied", "the sandbox is ending");
        return;
    }
    if (answer_own(api, request, identity, uri))
        return;
    r = fetch(api, request, identity, str_of(uri));
    if (r < 0)
        refuse(request, 429, "TooManyRequests", "too many models wait to be fetched");
}
