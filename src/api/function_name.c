/* SPDX-License-Identifier: MIT */

#include "api/function_name.h"

#include <errno.h>
#include <string.h>

#include "api/validation.h"
#include "aws/arn.h"

#define PATTERN(name_characters)                                                                   \
    "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?"            \
    "(\\d{12}:)?(function:)?(" name_characters "+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"

#define SEGMENTS_MAX 8

struct locator {
    struct str region;
    struct str account;
    struct str name;
    struct str qualifier; /* data == NULL: none */
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(struct str text, const char *extra)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!is_letter(c) && !(c >= '0' && c <= '9') && (c == '\0' || !strchr(extra, c)))
            return false;
    }
    return text.size > 0;
}

static bool is_partition(struct str text)
{
    if (text.size == 0)
        return true;
    if (!str_has_prefix(text, STR("aws")))
        return false;
    for (size_t i = 3; i < text.size; i++)
        if (!is_letter(text.data[i]) && text.data[i] != '-')
            return false;
    return true;
}

/* Cuts the label at its colons. -EINVAL if there are more parts than any form has. */
static int split(struct str label, struct str parts[SEGMENTS_MAX], size_t *ret_n)
{
    size_t n = 0;
    bool is_more = true;
    while (is_more) {
        if (n == SEGMENTS_MAX)
            return -EINVAL;
        is_more = str_cut(label, ':', &parts[n], &label);
        n++;
    }
    *ret_n = n;
    return 0;
}

/* Every part before the name is optional, as in AWS's pattern. */
static int locate(struct str label, bool has_dots, struct locator *ret)
{
    struct str parts[SEGMENTS_MAX];
    size_t n;
    size_t at = 0;
    if (split(label, parts, &n) < 0)
        return -EINVAL;
    struct locator found = {0};
    if (n > 3 && str_equal(parts[0], STR("arn")) && is_partition(parts[1]) &&
        str_equal(parts[2], STR("lambda")))
        at = 3;
    if (n - at > 1 && arn_is_region(parts[at]))
        found.region = parts[at++];
    if (n - at > 1 && arn_is_account(parts[at]))
        found.account = parts[at++];
    if (n - at > 1 && str_equal(parts[at], STR("function")))
        at++;
    found.name = parts[at++];
    if (n > at)
        found.qualifier = parts[at++];
    if (at != n || !is_word(found.name, has_dots ? "-_." : "-_"))
        return -EINVAL;
    if (found.qualifier.data && !str_equal(found.qualifier, STR("$LATEST")) &&
        !is_word(found.qualifier, "-_"))
        return -EINVAL;
    *ret = found;
    return 0;
}

static size_t label_max(enum function_name_rule rule, struct str label)
{
    if (rule == FUNCTION_NAME_NAMESPACED)
        return LIMIT_FUNCTION_LABEL_NAMESPACED_MAX;
    if (rule == FUNCTION_NAME_NEW && str_find(label, ':') < 0)
        return LIMIT_FUNCTION_NAME_MAX;
    return LIMIT_FUNCTION_LABEL_MAX;
}

static int check_label(struct str label, enum function_name_rule rule, struct locator *ret,
                       struct validation *validation)
{
    bool has_dots = rule == FUNCTION_NAME_NAMESPACED;
    if (label.size < 1)
        validation_add(validation, label, "functionName", "have length greater than or equal to 1");
    else if (label.size > label_max(rule, label))
        validation_add(validation, label, "functionName", "have length less than or equal to %zu",
                       label_max(rule, label));
    int r = locate(label, has_dots, ret);
    if (r < 0)
        validation_add(validation, label, "functionName", "satisfy regular expression pattern: %s",
                       has_dots ? PATTERN("[a-zA-Z0-9-_\\.]") : PATTERN("[a-zA-Z0-9-_]"));
    return r;
}

static void check_qualifier(struct str qualifier, struct validation *validation)
{
    if (!qualifier.data)
        return;
    if (qualifier.size < 1)
        validation_add(validation, qualifier, "qualifier",
                       "have length greater than or equal to 1");
    if (qualifier.size > LIMIT_QUALIFIER_MAX)
        validation_add(validation, qualifier, "qualifier", "have length less than or equal to %d",
                       LIMIT_QUALIFIER_MAX);
    if (qualifier.size > 0 && !is_word(qualifier, "$-_"))
        validation_add(validation, qualifier, "qualifier",
                       "satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)");
}

static int check_place(const struct locator *found, const char *region, const char *account,
                       struct aws_error *error)
{
    if (found->account.data && !str_equal_text(found->account, account))
        return aws_error_set(error, AWS_ACCESS_DENIED,
                             "Functions of account '" STR_FORMAT
                             "' are not accessible to account '%s'",
                             STR_ARGUMENTS(found->account), account);
    if (found->region.data && !str_equal_text(found->region, region))
        return aws_error_set(error, AWS_RESOURCE_NOT_FOUND,
                             "Functions from '" STR_FORMAT
                             "' are not reachable in this region ('%s')",
                             STR_ARGUMENTS(found->region), region);
    return 0;
}

int function_name_parse(struct str label, struct str query_qualifier, enum function_name_rule rule,
                        const char *region, const char *account, struct function_name *ret_name,
                        struct aws_error *error)
{
    AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
    struct locator found = {0};
    (void) check_label(label, rule, &found, &validation); /* the violation says so */
    check_qualifier(query_qualifier, &validation);
    bool is_bare_new = rule == FUNCTION_NAME_NEW && str_find(label, ':') < 0;
    int r = validation_finish(&validation,
                              is_bare_new ? AWS_INVALID_PARAMETER_VALUE : AWS_VALIDATION, error);
    if (r < 0)
        return r;
    r = check_place(&found, region, account, error);
    if (r < 0)
        return r;
    if (rule == FUNCTION_NAME_NEW && found.name.size > LIMIT_FUNCTION_NAME_MAX)
        return aws_error_set(error, AWS_INVALID_PARAMETER_VALUE,
                             "The function name must have length less than or equal to %d",
                             LIMIT_FUNCTION_NAME_MAX);
    if (found.qualifier.data && query_qualifier.data &&
        !str_equal(found.qualifier, query_qualifier))
        return aws_error_set(error, AWS_INVALID_PARAMETER_VALUE,
                             "The derived qualifier from the function name does not match the "
                             "specified qualifier.");
    struct str qualifier = query_qualifier.data ? query_qualifier : found.qualifier;
    /* A label's qualifier has no limit of its own in the model; ours keeps it beneath the query's. */
    if (str_copy(found.name, ret_name->name, sizeof(ret_name->name)) < 0 ||
        str_copy(qualifier, ret_name->qualifier, sizeof(ret_name->qualifier)) < 0)
        return aws_error_set(error, AWS_INVALID_PARAMETER_VALUE, "The qualifier is too long");
    return 0;
}
