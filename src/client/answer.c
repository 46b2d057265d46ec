// SPDX-License-Identifier: MIT
//
// What the service answered, read as AWS's clients read it.

#include "client/client.h"

#include "base/json.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

#define ERROR_BODY_BYTES_MAX ((size_t) 1 << 20)

void client_answer_done(struct client_answer *answer)
{
    buf_done(&answer->body);
    free(answer->log_tail);
    answer->log_tail = NULL;
}

static int code_of_status(int status)
{
    switch (status) {
    case 401:
    case 403:
        return -EACCES;
    case 404:
        return -ENOENT;
    case 409:
        return -EBUSY;
    case 412:
        return -ESTALE;
    case 413:
        return -EFBIG;
    case 429:
        return -EAGAIN;
    default:
        return status >= 400 && status < 500 ? -EINVAL : -EREMOTEIO;
    }
}

static struct str first_member(yyjson_val *root, const char *one, const char *other)
{
    struct str value = {0};

    if (json_member_str(root, one, &value) < 0 && json_member_str(root, other, &value) < 0)
        return (struct str){0};
    return value;
}

int client_check(const struct client_answer *answer, const struct target *target, const char *what,
                 struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;

    if (answer->status >= 200 && answer->status < 300)
        return 0;
    int code = code_of_status(answer->status);
    bool is_json = json_parse(buf_str(&answer->body), ERROR_BODY_BYTES_MAX, &doc, NULL) == 0;
    yyjson_val *root = is_json ? yyjson_doc_get_root(doc) : NULL;
    struct str message = first_member(root, "message", "Message");
    struct str type = answer->error_type[0] != '\0' ? str_of(answer->error_type)
                                                    : first_member(root, "__type", "code");

    if (type.size == 0 && message.size == 0)
        return error_set(err, code, "%s: %s answered status %d and no AWS error", what,
                         target->endpoint, answer->status);
    // A key that is not the service's: say where it came from. A right that is missing: AWS's own
    // words name who lacks what.
    bool is_right_missing = str_equal_text(type, "AccessDeniedException") && message.size > 0;
    if (code == -EACCES && !is_right_missing)
        return error_set(err, code, "%s: " STR_FORMAT ": %.*s (credentials from %s, sent to %s)",
                         what, STR_ARGUMENTS(type), (int) (message.size < 200 ? message.size : 200),
                         message.data != NULL ? message.data : "", target->credentials_source,
                         target->endpoint);
    return error_set(err, code, "%s: " STR_FORMAT "%s" STR_FORMAT, what, STR_ARGUMENTS(type),
                     type.size > 0 && message.size > 0 ? ": " : "", STR_ARGUMENTS(message));
}
