/* SPDX-License-Identifier: MIT
 *
 * PublishVersion: a snapshot of $LATEST under the next number. If neither code nor configuration changed
 * since the last one, that one is the answer.
 */

#include <stdlib.h>
#include <string.h>

#include "api/function_shape.h"
#include "api/member.h"
#include "api/operations.h"
#include "api/update.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/change.h"

static void answer(struct call *call, const struct version *shown)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    function_shape_append(&json, shown, shown->qualifier, FUNCTION_SHAPE_WHOLE);
    call_answer_json(call, 201, &json);
}

static void committed(void *arg, const struct error *err)
{
    struct call *call = arg;
    struct version *shown = TAKE_PTR(call->work);
    if (err)
        call_fail_internal(call, "api.publish", err);
    else
        answer(call, shown);
    version_unref(shown);
}

/* Was the code what the caller means? */
static int check_code(struct call *call, struct member_reader *reader, const struct version *latest)
{
    struct str wanted;
    struct digest digest;
    char base64[DIGEST_BASE64_SIZE];
    int r = member_text(reader, "CodeSha256", "codeSha256", 0, SIZE_MAX, &wanted);
    if (r < 0 || !wanted.data)
        return r;
    memcpy(digest.bytes, latest->code.zip_sha256, DIGEST_BYTES);
    if (str_equal_text(wanted, digest_base64(&digest, base64)))
        return 0;
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                         "CodeSHA256 (" STR_FORMAT ") is different from current CodeSHA256 in "
                         "$LATEST (%s). Please try again with the CodeSHA256 in $LATEST.",
                         STR_ARGUMENTS(str_part(wanted, 0, VALIDATION_VALUE_MAX)), base64);
}

static int check_state(struct call *call, const struct version *latest)
{
    if (version_is_invocable(latest))
        return 0;
    return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                         "The operation cannot be performed at this time. The function is "
                         "currently in the following state: %s",
                         version_state_name(latest->state));
}

/* The version to be: $LATEST, with a description of its own if the request has one. */
static int make_version(struct call *call, const struct function *function,
                        struct version **ret_version)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    struct str description;
    int r = check_state(call, function->latest);
    if (r == 0)
        r = check_code(call, &reader, function->latest);
    if (r == 0)
        r = member_text(&reader, "Description", "description", 0, LIMIT_DESCRIPTION_MAX,
                        &description);
    if (r == 0)
        r = validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
    if (r == 0 && json_member(call->json, "PublishTo"))
        r = aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                          "PublishTo is not available in this service yet.");
    if (r < 0)
        return r;
    struct version *version = version_copy_as(function->latest, function->next_number);
    AUTO_FREE char *text = description.data ? str_copy_heap(description) : NULL;
    if (!version || (description.data && !text)) {
        version_unref(version);
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    }
    if (text)
        version_set(version, &version->description, text);
    *ret_version = version;
    return 0;
}

static void commit(struct call *call, struct change *change, struct version *version)
{
    struct change_plan plan = {
        .latest = version_copy(change_function(change)->latest),
        .is_serving = true,
        .publish = version,
    };
    if (!plan.latest) {
        version_unref(version);
        change_abort(change);
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    version_touch(plan.latest, 0); /* publishing gives $LATEST a new RevisionId */
    struct version *shown = version_ref(version);
    call->work = shown;
    int r = change_commit(change, &plan, committed, call);
    if (r < 0) {
        struct error err = {0};
        (void) error_set_errno(&err, r, "commit the version");
        version_unref(shown);
        call_fail_internal(call, "api.publish", &err);
    }
}

void lambda_publish(struct call *call)
{
    struct function_name name;
    struct str revision_id;
    struct change *change;
    struct version *version = NULL;
    int r = update_name(call, &name);
    if (r == 0)
        r = update_revision(call, &revision_id);
    if (r == 0)
        r = update_begin(call, &name, revision_id, &change);
    if (r < 0) {
        call_fail(call);
        return;
    }
    const struct function *function = change_function(change);
    r = make_version(call, function, &version);
    if (r < 0) {
        change_abort(change);
        call_fail(call);
        return;
    }
    struct version *newest = function_newest(function);
    if (newest && version_is_same_content(function->latest, newest)) {
        version_unref(version);
        change_abort(change);
        answer(call, newest);
        return;
    }
    commit(call, change, version);
}
