/* SPDX-License-Identifier: MIT */

#include "api/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

bool attach_has_qualifier(const struct function *function, const char *qualifier)
{
    uint64_t number;
    if (qualifier[0] == '\0' || strcmp(qualifier, VERSION_LATEST) == 0)
        return true;
    if (qualifier[0] != '0' && str_to_u64(str_of(qualifier), UINT64_MAX, &number) == 0)
        return function_published(function, number) != NULL;
    return function_attachment(function, ATTACHMENT_ALIAS, qualifier) != NULL;
}

int attach_find(struct call *call, enum attach_qualifier rule, struct function_name *ret_name,
                struct function **ret_function)
{
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, ret_name);
    if (r < 0)
        return r;
    if (rule == ATTACH_IGNORES_QUALIFIER)
        ret_name->qualifier[0] = '\0';
    struct function *function = catalog_function(call->api->config.catalog, ret_name->name);
    if (!function || !attach_has_qualifier(function, ret_name->qualifier))
        return call_no_function(call, ret_name);
    if (strcmp(ret_name->qualifier, VERSION_LATEST) == 0)
        ret_name->qualifier[0] = '\0';
    if (rule == ATTACH_PUBLISHED && ret_name->qualifier[0] == '\0')
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Provisioned Concurrency Configs cannot be applied to unpublished "
                             "function versions.");
    *ret_function = function;
    return 0;
}

void attach_append_arn(struct buf *json, const struct function *function, const char *qualifier)
{
    bool is_qualified = qualifier && qualifier[0];
    buf_printf(json, "\"%s%s%s\"", function->latest->arn, is_qualified ? ":" : "",
               is_qualified ? qualifier : "");
}

int attach_make(struct call *call, enum attachment_kind kind, const char *qualifier,
                struct buf *json, struct attachment **ret_attachment)
{
    struct error err = {0};
    int r = buf_status(json);
    if (r == 0)
        r = attachment_new(kind, qualifier, buf_str(json), ret_attachment, &err);
    buf_done(json);
    if (r == -ENOMEM)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    if (r < 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "The settings are not valid: %s", err.text);
    return 0;
}

/* Markers carry one character before the qualifier, since "" is one. */
void attach_list(struct call *call, enum attachment_kind kind, const char *member,
                 void (*append)(struct call *call, struct buf *json,
                                const struct attachment *attachment))
{
    struct function_name name;
    struct function *function;
    char marker[LIMIT_QUALIFIER_MAX + 2];
    char last[LIMIT_QUALIFIER_MAX + 2] = "";
    size_t page;
    size_t n = 0;
    bool is_more = false;
    int r = attach_find(call, ATTACH_IGNORES_QUALIFIER, &name, &function);
    if (r == 0)
        r = call_paging(call, &page, marker, sizeof(marker));
    if (r < 0) {
        call_fail(call);
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    const char *after = marker[0] ? marker + 1 : NULL;
    const struct attachment *each = function_attachment_next(function, kind, after);
    buf_printf(&json, "{\"%s\":[", member);
    for (; each && !is_more; each = function_attachment_next(function, kind, each->qualifier)) {
        is_more = n == page;
        if (is_more)
            break;
        if (n++)
            buf_append_byte(&json, ',');
        append(call, &json, each);
        (void) snprintf(last, sizeof(last), ":%s", each->qualifier);
    }
    buf_append_byte(&json, ']');
    if (is_more)
        call_append_marker(&json, last);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

struct committing {
    char *name;
    unsigned status;
    bool has_answer;
    struct buf answer;
    void (*then)(struct api *api, const char *name);
};

static void committing_free(struct committing *committing)
{
    buf_done(&committing->answer);
    free(committing->name);
    free(committing);
}

static void committed(void *arg, const struct error *err)
{
    struct call *call = arg;
    struct committing *committing = TAKE_PTR(call->work);
    if (err) {
        call_fail_internal(call, "api.attach", err);
    } else {
        if (committing->then)
            committing->then(call->api, committing->name);
        if (committing->has_answer)
            call_answer_json(call, committing->status, &committing->answer);
        else
            call_answer_empty(call, committing->status);
    }
    committing_free(committing);
}

static void plan_drop(const struct change_plan *plan)
{
    version_unref(plan->latest);
    attachment_free(plan->attach);
}

static int begin(struct call *call, const char *name, struct change **ret_change)
{
    int r = change_begin(call->api->config.catalog, name, ret_change);
    if (r == -EBUSY)
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                             "The operation cannot be performed at this time. An update is in "
                             "progress for resource: arn:aws:lambda:%s:%s:function:%s",
                             call->api->region, call->api->account, name);
    return r < 0 ? aws_error_set(&call->error, AWS_SERVICE, "No memory") : 0;
}

void attach_commit(struct call *call, const char *name, const struct change_plan *plan,
                   unsigned status, struct buf *answer,
                   void (*then)(struct api *api, const char *name))
{
    struct change *change = NULL;
    struct committing *committing = mem_new(struct committing);
    int r = committing ? 0 : aws_error_set(&call->error, AWS_SERVICE, "No memory");
    if (r == 0) {
        committing->name = mem_copy_text(name);
        committing->status = status;
        committing->then = then;
        committing->has_answer = answer != NULL;
        buf_init(&committing->answer, CALL_JSON_MAX);
        if (answer) {
            committing->answer = *answer;
            buf_init(answer, 0);
        }
        r = begin(call, name, &change);
    }
    if (r < 0) {
        plan_drop(plan);
        if (committing)
            committing_free(committing);
        else if (answer)
            buf_done(answer);
        call_fail(call);
        return;
    }
    call->work = committing;
    r = change_commit(change, plan, committed, call);
    if (r < 0) {
        struct error err = {0};
        (void) error_set_errno(&err, r, "commit a change of '%s'", name);
        committing_free(TAKE_PTR(call->work));
        call_fail_internal(call, "api.attach", &err);
    }
}
