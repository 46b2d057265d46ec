// SPDX-License-Identifier: MIT

#include "aws/arn.h"

#include <errno.h>
#include <stddef.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_word(char c) // [a-zA-Z0-9-_]
{
    return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

static bool is_all(struct str text, bool (*is)(char c))
{
    for (size_t i = 0; i < text.size; i++)
        if (!is(text.data[i]))
            return false;
    return text.size > 0;
}

static bool is_printable(char c)
{
    return c > 0x20 && c < 0x7f;
}

int arn_parse(struct str text, struct arn *ret_arn)
{
    struct arn arn;
    struct str rest = text, head;
    if (text.size > ARN_TEXT_MAX || !is_all(text, is_printable))
        return -EINVAL;
    if (!str_cut(rest, ':', &head, &rest) || !str_equal(head, STR("arn")))
        return -EINVAL;
    if (!str_cut(rest, ':', &arn.partition, &rest) || !str_cut(rest, ':', &arn.service, &rest) ||
        !str_cut(rest, ':', &arn.region, &rest) || !str_cut(rest, ':', &arn.account, &rest))
        return -EINVAL;
    arn.resource = rest;
    if (arn.partition.size == 0 || arn.service.size == 0 || arn.resource.size == 0)
        return -EINVAL;
    *ret_arn = arn;
    return 0;
}

// ---- Parts

bool arn_is_account(struct str text)
{
    return text.size == 12 && is_all(text, is_digit);
}

bool arn_is_region(struct str text)
{
    struct str rest = text, part;
    size_t words = 0;
    if (text.size > 32)
        return false;
    while (str_cut(rest, '-', &part, &rest)) {
        if (!is_all(part, is_lower) || (words == 0 && part.size < 2))
            return false;
        words++;
    }
    return words >= 2 && part.size == 1 && is_digit(part.data[0]);
}

bool arn_is_function_name(struct str text)
{
    return text.size <= ARN_FUNCTION_NAME_MAX && is_all(text, is_word);
}

bool arn_is_alias(struct str text)
{
    return text.size <= ARN_QUALIFIER_MAX && is_all(text, is_word) && !is_all(text, is_digit);
}

bool arn_is_version(struct str text)
{
    return text.size <= 18 && is_all(text, is_digit) && text.data[0] != '0';
}

bool arn_is_qualifier(struct str text)
{
    return str_equal(text, STR("$LATEST")) || arn_is_alias(text) || arn_is_version(text);
}

static bool is_role_byte(char c)
{
    return is_word(c) || (c != '\0' && c == '/') || c == '+' || c == '=' || c == ',' || c == '.' ||
           c == '@';
}

bool arn_is_role(struct str text, struct str *ret_account)
{
    struct arn arn;
    if (arn_parse(text, &arn) < 0 || !str_equal(arn.service, STR("iam")) || arn.region.size > 0 ||
        !str_has_prefix(arn.partition, STR("aws")) || !arn_is_account(arn.account) ||
        !str_has_prefix(arn.resource, STR("role/")))
        return false;
    struct str name = str_skip(arn.resource, sizeof("role/") - 1);
    if (!is_all(name, is_role_byte) || name.data[name.size - 1] == '/')
        return false;
    *ret_account = arn.account;
    return true;
}

// ---- Functions

// name[:qualifier]
static int parse_name(struct str text, struct arn_function *function)
{
    bool has_qualifier = str_cut(text, ':', &function->name, &function->qualifier);
    if (!arn_is_function_name(function->name))
        return -EINVAL;
    return !has_qualifier || arn_is_qualifier(function->qualifier) ? 0 : -EINVAL;
}

static int parse_full(struct str text, struct arn_function *function)
{
    struct arn arn;
    if (arn_parse(text, &arn) < 0 || !str_has_prefix(arn.partition, STR("aws")) ||
        !str_equal(arn.service, STR("lambda")) || !arn_is_region(arn.region) ||
        !arn_is_account(arn.account) || !str_has_prefix(arn.resource, STR("function:")))
        return -EINVAL;
    function->region = arn.region;
    function->account = arn.account;
    return parse_name(str_skip(arn.resource, sizeof("function:") - 1), function);
}

int arn_parse_function(struct str text, struct arn_function *ret_function)
{
    struct arn_function function = {0};
    struct str head, rest;
    int r;
    if (str_has_prefix(text, STR("arn:"))) {
        r = parse_full(text, &function);
    } else if (str_cut(text, ':', &head, &rest) && arn_is_account(head) &&
               str_has_prefix(rest, STR("function:"))) {
        function.account = head;
        r = parse_name(str_skip(rest, sizeof("function:") - 1), &function);
    } else if (str_has_prefix(text, STR("function:")) &&
               parse_name(str_skip(text, sizeof("function:") - 1), &function) == 0) {
        r = 0;
    } else { // a function may be called "function", with a qualifier
        r = parse_name(text, &function);
    }
    if (r < 0)
        return r;
    *ret_function = function;
    return 0;
}
