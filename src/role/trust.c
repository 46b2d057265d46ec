// SPDX-License-Identifier: MIT

#include "role/trust.h"

#include "aws/policy.h"
#include "base/json.h"

#include <errno.h>

#define STATEMENTS_MAX 100

// Is one of the strings of a string or a list it? -EINVAL: neither.
static int has(yyjson_val *value, bool (*is_it)(struct str text), bool *ret_has)
{
    size_t i, count;
    yyjson_val *each;
    *ret_has = false;
    if (yyjson_is_str(value)) {
        *ret_has = is_it(json_str(value));
        return 0;
    }
    if (!yyjson_is_arr(value) || yyjson_arr_size(value) == 0)
        return -EINVAL;
    yyjson_arr_foreach(value, i, count, each)
    {
        if (!yyjson_is_str(each))
            return -EINVAL;
        *ret_has = *ret_has || is_it(json_str(each));
    }
    return 0;
}

static bool is_lambda(struct str text)
{
    return str_equal(text, STR("lambda.amazonaws.com"));
}

static bool is_assume(struct str text)
{
    return policy_matches(text, STR("sts:AssumeRole"), true);
}

static bool is_nothing(struct str text)
{
    (void) text;
    return false;
}

// "*", or {"Service": ..., "AWS": ..., "Federated": ...}
static int read_principal(yyjson_val *value, bool *ret_is_lambda)
{
    size_t i, count;
    yyjson_val *key, *each;
    *ret_is_lambda = yyjson_equals_str(value, "*");
    if (*ret_is_lambda)
        return 0;
    if (!yyjson_is_obj(value) || yyjson_obj_size(value) == 0)
        return -EINVAL;
    yyjson_obj_foreach(value, i, count, key, each)
    {
        bool is_service = yyjson_equals_str(key, "Service"), is_it;
        if (!is_service && !yyjson_equals_str(key, "AWS") && !yyjson_equals_str(key, "Federated"))
            return -EINVAL;
        if (has(each, is_service ? is_lambda : is_nothing, &is_it) < 0)
            return -EINVAL;
        *ret_is_lambda = *ret_is_lambda || is_it;
    }
    return 0;
}

static int check_members(yyjson_val *object, const char *const *known, struct error *err)
{
    size_t i, count;
    yyjson_val *key, *value;
    yyjson_obj_foreach(object, i, count, key, value)
    {
        const char *const *name = known;
        while (*name && !yyjson_equals_str(key, *name))
            name++;
        struct str shown = str_part(json_str(key), 0, 60);
        if (!*name)
            return error_set(err, -EINVAL, "assume-role policy: " STR_FORMAT " is not supported",
                             STR_ARGUMENTS(shown));
        if (yyjson_obj_get(object, *name) != value)
            return error_set(err, -EINVAL, "assume-role policy: %s is there twice", *name);
    }
    return 0;
}

struct verdict {
    bool is_allowed, is_denied;
};

static int read_statement(yyjson_val *object, struct verdict *verdict, struct error *err)
{
    static const char *const known[] = {"Sid", "Effect", "Principal", "Action", NULL};
    bool is_for_lambda, is_assuming;
    if (!yyjson_is_obj(object))
        return error_set(err, -EINVAL, "assume-role policy: a statement must be an object");
    int r = check_members(object, known, err);
    if (r < 0)
        return r;
    yyjson_val *effect = yyjson_obj_get(object, "Effect");
    bool is_allow = yyjson_equals_str(effect, "Allow");
    if (!is_allow && !yyjson_equals_str(effect, "Deny"))
        return error_set(err, -EINVAL, "assume-role policy: Effect must be Allow or Deny");
    if (read_principal(yyjson_obj_get(object, "Principal"), &is_for_lambda) < 0)
        return error_set(err, -EINVAL,
                         "assume-role policy: Principal must be \"*\" or have Service, AWS or "
                         "Federated");
    if (has(yyjson_obj_get(object, "Action"), is_assume, &is_assuming) < 0)
        return error_set(err, -EINVAL, "assume-role policy: Action must be a pattern or a list");
    if (is_for_lambda && is_assuming && is_allow)
        verdict->is_allowed = true;
    else if (is_for_lambda && is_assuming)
        verdict->is_denied = true;
    return 0;
}

static int read_root(yyjson_val *root, struct verdict *verdict, struct error *err)
{
    static const char *const known[] = {"Version", "Id", "Statement", NULL};
    if (!yyjson_is_obj(root))
        return error_set(err, -EINVAL, "an assume-role policy must be a JSON object");
    int r = check_members(root, known, err);
    if (r < 0)
        return r;
    yyjson_val *list = yyjson_obj_get(root, "Statement");
    size_t count = yyjson_is_arr(list) ? yyjson_arr_size(list) : 1;
    if (!list || count == 0 || count > STATEMENTS_MAX)
        return error_set(err, -EINVAL, "an assume-role policy must have 1 to %d statements",
                         STATEMENTS_MAX);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = read_statement(yyjson_is_arr(list) ? yyjson_arr_get(list, i) : list, verdict, err);
    return r;
}

int trust_parse(struct str text, bool *ret_is_for_lambda, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct verdict verdict = {0};
    if (text.size > TRUST_BYTES_MAX)
        return error_set(err, -E2BIG, "Cannot exceed quota for ACLSizePerRole: %d",
                         TRUST_BYTES_MAX);
    int r = json_parse(text, TRUST_BYTES_MAX, &doc, err);
    if (r < 0)
        return r == -ENOMEM ? r : error_wrap(err, -EINVAL, "the assume-role policy is not JSON");
    r = read_root(yyjson_doc_get_root(doc), &verdict, err);
    if (r == 0)
        *ret_is_for_lambda = verdict.is_allowed && !verdict.is_denied;
    return r;
}
