// SPDX-License-Identifier: MIT

#include "aws/policy.h"

#include "base/json.h"
#include "base/mem.h"

#include <errno.h>

// What a statement is about: one pattern or a list of them, or everything but those.
struct selector {
    yyjson_val *patterns; // a string or an array of strings
    bool is_inverted;
};

struct statement {
    bool is_allow;
    struct selector actions;
    struct selector resources;
};

struct policy {
    yyjson_doc *doc; // owns the patterns
    size_t count;
    struct statement statements[];
};

// ---- matching

static char lowered(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

static bool is_same(char pattern, char c, bool is_case_ignored)
{
    return pattern == '?' || pattern == c || (is_case_ignored && lowered(pattern) == lowered(c));
}

// Greedy, going back to the last star only: earlier stars need no second look, so there is no
// exponential case.
bool policy_matches(struct str pattern, struct str text, bool is_case_ignored)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;
    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.size && is_same(pattern.data[p], text.data[t], is_case_ignored)) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}

static bool selector_covers(const struct selector *selector, struct str text, bool is_case_ignored)
{
    size_t i, count;
    yyjson_val *pattern;
    bool is_found = false;
    if (yyjson_is_str(selector->patterns))
        is_found = policy_matches(json_str(selector->patterns), text, is_case_ignored);
    yyjson_arr_foreach(selector->patterns, i, count, pattern)
    {
        is_found = is_found || policy_matches(json_str(pattern), text, is_case_ignored);
    }
    return is_found != selector->is_inverted;
}

enum policy_effect policy_evaluate(const struct policy *policy, struct str action,
                                   struct str resource)
{
    enum policy_effect effect = POLICY_SILENT;
    for (size_t i = 0; i < policy->count; i++) {
        const struct statement *statement = &policy->statements[i];
        if (!selector_covers(&statement->actions, action, true) ||
            !selector_covers(&statement->resources, resource, false))
            continue;
        if (!statement->is_allow)
            return POLICY_DENIES;
        effect = POLICY_ALLOWS;
    }
    return effect;
}

// ---- all resources of a prefix

// Does the pattern match whatever follows the prefix? Only a star at its end can.
static bool pattern_covers_all(struct str pattern, struct str prefix)
{
    return pattern.size > 0 && pattern.data[pattern.size - 1] == '*' &&
           policy_matches(pattern, prefix, false);
}

// Does it match anything that begins with the prefix? From its first star on it can be anything.
static bool pattern_meets(struct str pattern, struct str prefix)
{
    for (size_t i = 0; i < prefix.size; i++) {
        if (i == pattern.size)
            return false;
        if (pattern.data[i] == '*')
            return true;
        if (!is_same(pattern.data[i], prefix.data[i], false))
            return false;
    }
    return true;
}

static bool any_pattern(const struct selector *selector, struct str prefix,
                        bool (*is_it)(struct str pattern, struct str prefix))
{
    size_t i, count;
    yyjson_val *pattern;
    if (yyjson_is_str(selector->patterns))
        return is_it(json_str(selector->patterns), prefix);
    yyjson_arr_foreach(selector->patterns, i, count, pattern)
    {
        if (is_it(json_str(pattern), prefix))
            return true;
    }
    return false;
}

static bool statement_covers_all(const struct statement *statement, struct str prefix)
{
    const struct selector *resources = &statement->resources;
    return resources->is_inverted ? !any_pattern(resources, prefix, pattern_meets)
                                  : any_pattern(resources, prefix, pattern_covers_all);
}

static bool statement_meets(const struct statement *statement, struct str prefix)
{
    const struct selector *resources = &statement->resources;
    return resources->is_inverted ? !any_pattern(resources, prefix, pattern_covers_all)
                                  : any_pattern(resources, prefix, pattern_meets);
}

enum policy_effect policy_evaluate_all(const struct policy *policy, struct str action,
                                       struct str prefix)
{
    enum policy_effect effect = POLICY_SILENT;
    for (size_t i = 0; i < policy->count; i++) {
        const struct statement *statement = &policy->statements[i];
        if (!selector_covers(&statement->actions, action, true))
            continue;
        if (!statement->is_allow && statement_meets(statement, prefix))
            return POLICY_DENIES;
        if (statement->is_allow && statement_covers_all(statement, prefix))
            effect = POLICY_ALLOWS;
    }
    return effect;
}

// ---- reading

static bool is_pattern(yyjson_val *value)
{
    struct str text = json_str(value);
    return yyjson_is_str(value) && text.size > 0 && memmem(text.data, text.size, "${", 2) == NULL;
}

// "service:Name", or "*".
static bool is_action(yyjson_val *value)
{
    struct str text = json_str(value);
    ptrdiff_t colon = str_find(text, ':');
    return str_equal_text(text, "*") || (colon > 0 && (size_t) colon + 1 < text.size);
}

// "arn:...", or a pattern that begins with a star.
static bool is_resource(yyjson_val *value)
{
    struct str text = json_str(value);
    return text.data[0] == '*' || str_has_prefix(text, STR("arn:"));
}

static bool all_are_good(yyjson_val *patterns, bool (*is_good)(yyjson_val *))
{
    size_t i, count;
    yyjson_val *pattern;
    if (!yyjson_is_arr(patterns))
        return is_pattern(patterns) && is_good(patterns);
    yyjson_arr_foreach(patterns, i, count, pattern)
    {
        if (!is_pattern(pattern) || !is_good(pattern))
            return false;
    }
    return count > 0;
}

static int read_selector(yyjson_val *object, size_t index, const char *name, const char *inverted,
                         bool (*is_good)(yyjson_val *), struct selector *ret_selector,
                         struct error *err)
{
    yyjson_val *plain = yyjson_obj_get(object, name), *other = yyjson_obj_get(object, inverted);
    if ((plain == NULL) == (other == NULL))
        return error_set(err, -EINVAL, "statement %zu must have either %s or %s", index, name,
                         inverted);
    yyjson_val *patterns = plain != NULL ? plain : other;
    if (!all_are_good(patterns, is_good))
        return error_set(
            err, -EINVAL,
            "statement %zu: %s must be a pattern or a list of them, of the right form and without "
            "variables",
            index, plain != NULL ? name : inverted);
    *ret_selector = (struct selector){patterns, plain == NULL};
    return 0;
}

// A member that is not understood could be what was meant to limit the statement.
static int check_members(yyjson_val *object, const char *const *known, const char *what,
                         size_t index, struct error *err)
{
    size_t i, count;
    yyjson_val *key, *value;
    yyjson_obj_foreach(object, i, count, key, value)
    {
        const char *const *name = known;
        while (*name != NULL && !yyjson_equals_str(key, *name))
            name++;
        struct str shown = str_part(json_str(key), 0, 60);
        if (*name == NULL)
            return error_set(err, -EINVAL, "%s %zu: " STR_FORMAT " is not supported", what, index,
                             STR_ARGUMENTS(shown));
        if (yyjson_obj_get(object, *name) != value)
            return error_set(err, -EINVAL, "%s %zu has %s twice", what, index, *name);
    }
    return 0;
}

static int read_statement(yyjson_val *object, size_t index, struct statement *statement,
                          struct error *err)
{
    static const char *const known[] = {"Sid",      "Effect",      "Action", "NotAction",
                                        "Resource", "NotResource", NULL};
    if (!yyjson_is_obj(object))
        return error_set(err, -EINVAL, "statement %zu must be an object", index);
    int r = check_members(object, known, "statement", index, err);
    if (r < 0)
        return r;
    yyjson_val *effect = yyjson_obj_get(object, "Effect");
    statement->is_allow = yyjson_equals_str(effect, "Allow");
    if (!statement->is_allow && !yyjson_equals_str(effect, "Deny"))
        return error_set(err, -EINVAL, "statement %zu: Effect must be Allow or Deny", index);
    r = read_selector(object, index, "Action", "NotAction", is_action, &statement->actions, err);
    if (r == 0)
        r = read_selector(object, index, "Resource", "NotResource", is_resource,
                          &statement->resources, err);
    return r;
}

static int read_statements(yyjson_val *root, struct policy *policy, struct error *err)
{
    yyjson_val *list = yyjson_obj_get(root, "Statement");
    for (size_t i = 0; i < policy->count; i++) {
        yyjson_val *object = yyjson_is_arr(list) ? yyjson_arr_get(list, i) : list;
        int r = read_statement(object, i, &policy->statements[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_root(yyjson_val *root, size_t *ret_count, struct error *err)
{
    static const char *const known[] = {"Version", "Id", "Statement", NULL};
    if (!yyjson_is_obj(root))
        return error_set(err, -EINVAL, "a policy must be a JSON object");
    int r = check_members(root, known, "policy", 0, err);
    if (r < 0)
        return r;
    yyjson_val *version = yyjson_obj_get(root, "Version");
    if (version != NULL && !yyjson_equals_str(version, "2012-10-17") &&
        !yyjson_equals_str(version, "2008-10-17"))
        return error_set(err, -EINVAL, "Version must be \"2012-10-17\"");
    yyjson_val *list = yyjson_obj_get(root, "Statement");
    *ret_count = yyjson_is_arr(list) ? yyjson_arr_size(list) : 1;
    if (list == NULL || *ret_count == 0 || *ret_count > POLICY_STATEMENTS_MAX)
        return error_set(err, -EINVAL, "a policy must have 1 to %d statements",
                         POLICY_STATEMENTS_MAX);
    return 0;
}

int policy_parse(struct str text, struct policy **ret_policy, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    size_t count = 0;
    int r = json_parse(text, POLICY_BYTES_MAX, &doc, err);
    if (r < 0)
        return r == -ENOMEM ? r : error_wrap(err, -EINVAL, "the policy is not JSON");
    r = check_root(yyjson_doc_get_root(doc), &count, err);
    if (r < 0)
        return r;
    AUTO_FREE struct policy *policy =
        calloc(1, sizeof *policy + count * sizeof policy->statements[0]);
    if (policy == NULL)
        return error_set(err, -ENOMEM, "no memory for a policy");
    policy->count = count;
    r = read_statements(yyjson_doc_get_root(doc), policy, err);
    if (r < 0)
        return r;
    policy->doc = TAKE_PTR(doc);
    *ret_policy = TAKE_PTR(policy);
    return 0;
}

void policy_free(struct policy *policy)
{
    if (policy == NULL)
        return;
    yyjson_doc_free(policy->doc);
    free(policy);
}
