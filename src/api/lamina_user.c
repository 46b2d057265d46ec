// SPDX-License-Identifier: MIT
//
// People and their access keys (docs/lamina-api.md):
//
//   GET    /lamina/v1/users
//   PUT    /lamina/v1/users/NAME    {"Policy": {...}}: makes the user and tells its secret, once; or
//                                   gives a user that exists another policy
//   DELETE /lamina/v1/users/NAME

#include "api/call.h"
#include "api/operations.h"
#include "api/users.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>

struct putting {
    struct call *call;
    struct credentials credentials;
    bool is_new;
    char name[USER_NAME_MAX + 1];
};

static int read_name(struct call *call, struct str *ret_name)
{
    *ret_name = call->labels[0];
    if (users_is_name(*ret_name))
        return 0;
    return aws_error_set(&call->error, AWS_VALIDATION,
                         "A user's name must have 1 to %d of A-Z a-z 0-9 + = , . @ _ -",
                         USER_NAME_MAX);
}

// ---- list

static void append_user(struct buf *json, const struct user *user)
{
    char created[CLOCK_TEXT_MAX];
    buf_append_text(json, "{\"name\":");
    json_append_string(json, str_of(user->name));
    buf_append_text(json, ",\"access_key_id\":");
    json_append_string(json, str_of(user->access_key));
    buf_printf(json, ",\"created\":\"%s\",\"policy\":%s}", clock_iso_z(user->created_ms, created),
               user->policy_text); // was parsed: it is JSON
}

void lamina_list_users(struct call *call)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    const struct user *user;
    buf_append_text(&json, "{\"users\":[");
    for (size_t i = 0; (user = users_at(call->api->users, i)); i++) {
        if (i)
            buf_append_byte(&json, ',');
        append_user(&json, user);
    }
    buf_append_text(&json, "]}");
    call_answer_json(call, 200, &json);
}

// ---- put

static void putting_free(struct putting *putting)
{
    credentials_wipe(&putting->credentials);
    free(putting);
}

static void answer_put(struct putting *putting)
{
    struct buf json = BUF_INIT(4096);
    buf_append_text(&json, "{\"name\":");
    json_append_string(&json, str_of(putting->name));
    if (putting->is_new) {
        buf_append_text(&json, ",\"access_key_id\":");
        json_append_string(&json, str_of(putting->credentials.access_key));
        buf_append_text(&json, ",\"secret_access_key\":");
        json_append_string(&json, str_of(putting->credentials.secret));
    }
    buf_append_byte(&json, '}');
    call_answer_json(putting->call, putting->is_new ? 201 : 200, &json);
}

static void put_done(void *arg, const struct error *err)
{
    struct putting *putting = arg;
    if (!putting->call->request)
        call_free(putting->call);
    else if (err)
        call_fail_internal(putting->call, "api.user", err);
    else
        answer_put(putting);
    putting_free(putting);
}

static int read_policy(struct call *call, struct buf *text, struct policy **ret_policy)
{
    struct error err = {0};
    yyjson_val *value = json_member(call->json, "Policy");
    char *written = value ? yyjson_val_write(value, 0, NULL) : NULL;
    if (!written)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Policy: a policy is required");
    buf_append_text(text, written);
    free(written);
    if (buf_status(text) < 0 || policy_parse(buf_str(text), ret_policy, &err) < 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE, "Policy: %s",
                             err.text[0] ? err.text : "it is too long");
    return 0;
}

static int start_put(struct call *call, struct str name, struct str text, struct policy *policy)
{
    struct putting *putting = mem_new(struct putting);
    if (!putting) {
        policy_free(policy);
        return -ENOMEM;
    }
    putting->call = call;
    (void) !str_copy(name, putting->name, sizeof(putting->name));
    int r = users_put(call->api->users, name, text, policy, &putting->credentials, &putting->is_new,
                      put_done, putting);
    if (r < 0)
        putting_free(putting);
    return r;
}

static void fail_change(struct call *call, int code)
{
    struct error err = {0};
    (void) error_set_errno(&err, code, "change a user");
    call_fail_internal(call, "api.user", &err);
}

void lamina_put_user(struct call *call)
{
    AUTO_BUF struct buf text = BUF_INIT(POLICY_BYTES_MAX);
    struct policy *policy;
    struct str name;
    int r = read_name(call, &name);
    if (r == 0)
        r = read_policy(call, &text, &policy);
    if (r < 0) {
        call_fail(call);
        return;
    }
    r = start_put(call, name, buf_str(&text), policy);
    if (r == -E2BIG)
        call_fail_with(call, AWS_INVALID_PARAMETER_VALUE,
                       "There are %d users, no more are possible", AUTH_KEYS_MAX);
    else if (r < 0)
        fail_change(call, r);
}

// ---- delete

static void answer_deleted(struct call *call)
{
    struct buf json = BUF_INIT(64);
    buf_append_text(&json, "{}");
    call_answer_json(call, 200, &json);
}

static void delete_done(void *arg, const struct error *err)
{
    struct call *call = arg;
    if (!call->request)
        call_free(call);
    else if (err)
        call_fail_internal(call, "api.user", err);
    else
        answer_deleted(call);
}

void lamina_delete_user(struct call *call)
{
    struct str name;
    if (read_name(call, &name) < 0) {
        call_fail(call);
        return;
    }
    int r = users_delete(call->api->users, name, delete_done, call);
    if (r == -ENOENT)
        call_fail_with(call, AWS_RESOURCE_NOT_FOUND, "There is no user '" STR_FORMAT "'",
                       STR_ARGUMENTS(name));
    else if (r < 0)
        fail_change(call, r);
}
