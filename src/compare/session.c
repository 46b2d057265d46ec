// SPDX-License-Identifier: MIT
#include "compare/session.h"

#include "client/service.h"

#include "base/json.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

const char *const compare_phases[COMPARE_PHASES] = {"queue", "sandbox", "fetch",
                                                    "load",  "warm",    "first_answer"};

void session_progress(struct session *session, const char *what)
{
    session->done++;
    if (session->options->progress != NULL)
        session->options->progress(session->options->progress_arg, what, session->done,
                                   session->total);
}

int session_call(struct session *session, struct client *client, double *ret_ms, bool *ret_is_cold,
                 struct error *err)
{
    const struct lambda_call call = {
        .name = session->name,
        .payload = session->event.data,
        .payload_size = session->event.size,
        .wants_log_tail = ret_is_cold != NULL,
    };
    struct client_answer answer;

    int r = lambda_invoke(client, &call, &answer, err);
    if (r == 0 && answer.function_error[0] != '\0')
        r = error_set(err, -EREMOTEIO, "the function reported an error: %.*s",
                      (int) (answer.body.size < 300 ? answer.body.size : 300),
                      answer.body.data != NULL ? answer.body.data : "");
    if (r == 0)
        *ret_ms = (double) answer.total_ns / 1e6;
    if (r == 0 && ret_is_cold != NULL)
        *ret_is_cold = answer.log_tail != NULL && strstr(answer.log_tail, "Init Duration:") != NULL;
    client_answer_done(&answer);
    return r;
}

static uint64_t number(yyjson_val *object, const char *member)
{
    int64_t value = 0;

    return json_member_i64(object, member, 0, INT64_MAX, &value) == 0 ? (uint64_t) value : 0;
}

// {"IDLE":1,"FROZEN":2}
static uint64_t count_instances(yyjson_val *states)
{
    yyjson_val *state, *count;
    size_t i, size;
    uint64_t total = 0;

    yyjson_obj_foreach(states, i, size, state, count) total += yyjson_get_uint(count);
    return total;
}

int session_describe(struct session *session, struct session_state *ret, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    char path[128];

    snprintf(path, sizeof path, "/lamina/v1/functions/%s", session->name);
    int r = service_get(session->client, path, NULL, "describe the function", &doc, err);
    if (r < 0)
        return r;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *cold = json_member(root, "last_cold_start");
    *ret = (struct session_state){
        .stored_bytes = number(root, "stored_bytes"),
        .instances = count_instances(json_member(root, "instances")),
        .cold_starts = number(root, "cold_starts"),
        .total_ms = yyjson_get_num(json_member(cold, "total_ms")),
    };
    for (size_t i = 0; i < COMPARE_PHASES; i++)
        ret->phases_ms[i] =
            yyjson_get_num(json_member(json_member(cold, "phases_ms"), compare_phases[i]));
    return 0;
}
