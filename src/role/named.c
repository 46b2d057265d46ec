// SPDX-License-Identifier: MIT

#include "role/named.h"

#include "aws/arn.h"

// ---- what a variable names

// "BUCKET", "MODEL_BUCKET", but not "BUCKETS" or "MYBUCKET".
static bool is_called(struct str name, struct str word)
{
    return str_equal(name, word) || (name.size > word.size && str_has_suffix(name, word) &&
                                     name.data[name.size - word.size - 1] == '_');
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

// A name of a bucket or an endpoint. No pattern can hide in it.
static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!is_word_byte(text.data[i]))
            return false;
    return text.size > 0 && text.size <= 63;
}

static struct role_named thing(enum role_thing kind, struct str name)
{
    return is_plain(name) ? (struct role_named){.thing = kind, .name = name}
                          : (struct role_named){0};
}

// "bucket/key" and "bucket"
static struct role_named bucket_of(struct str path)
{
    struct str key;
    (void) str_cut(path, '/', &path, &key);
    return thing(ROLE_BUCKET, path);
}

static struct role_named function_of(struct str text, const char *region, const char *account)
{
    struct arn_function function;
    if (arn_parse_function(text, &function) < 0 ||
        (function.region.size > 0 && !str_equal_text(function.region, region)) ||
        (function.account.size > 0 && !str_equal_text(function.account, account)))
        return (struct role_named){0};
    return (struct role_named){ROLE_FUNCTION, function.name, function.qualifier};
}

static struct role_named endpoint_of(const struct arn *arn, const char *region, const char *account)
{
    struct str prefix = STR("endpoint/");
    if (!str_equal_text(arn->region, region) || !str_equal_text(arn->account, account) ||
        !str_has_prefix(arn->resource, prefix))
        return (struct role_named){0};
    return thing(ROLE_ENDPOINT, str_skip(arn->resource, prefix.size));
}

static struct role_named named_by_arn(struct str text, const char *region, const char *account)
{
    struct arn arn;
    if (arn_parse(text, &arn) < 0)
        return (struct role_named){0};
    if (str_equal(arn.service, STR("lambda")))
        return function_of(text, region, account);
    if (str_equal(arn.service, STR("s3")) && arn.region.size == 0 && arn.account.size == 0)
        return bucket_of(arn.resource);
    if (str_equal(arn.service, STR("sagemaker")))
        return endpoint_of(&arn, region, account);
    return (struct role_named){0};
}

struct role_named role_named(const struct role_variable *variable, const char *region,
                             const char *account)
{
    struct str name = variable->name, value = variable->value;
    if (str_has_prefix(value, STR("s3://")))
        return bucket_of(str_skip(value, 5));
    if (str_has_prefix(value, STR("arn:")))
        return named_by_arn(value, region, account);
    if (is_called(name, STR("BUCKET")) || is_called(name, STR("BUCKET_NAME")))
        return thing(ROLE_BUCKET, value);
    if (is_called(name, STR("ENDPOINT_NAME")))
        return thing(ROLE_ENDPOINT, value);
    if (is_called(name, STR("FUNCTION_NAME")))
        return function_of(value, region, account);
    return (struct role_named){0};
}

// ---- what that allows

// Takes the text off the front.
static bool skip(struct str *text, struct str prefix)
{
    if (!str_has_prefix(*text, prefix))
        return false;
    *text = str_skip(*text, prefix.size);
    return true;
}

static bool is_one_of(struct str action, const char *const *actions)
{
    for (; *actions; actions++)
        if (str_equal_text(action, *actions))
            return true;
    return false;
}

static bool bucket_allows(const struct role_named *named, struct str action, struct str resource)
{
    static const char *const of_objects[] = {"s3:GetObject", "s3:GetObjectVersion",
                                             "s3:GetObjectAttributes", NULL};
    static const char *const of_buckets[] = {"s3:ListBucket", "s3:ListBucketVersions",
                                             "s3:GetBucketLocation", NULL};
    if (!skip(&resource, STR("arn:aws:s3:::")) || !skip(&resource, named->name))
        return false;
    return resource.size == 0 ? is_one_of(action, of_buckets)
                              : resource.data[0] == '/' && is_one_of(action, of_objects);
}

static bool is_here(struct arn *arn, struct str resource, const char *service, const char *region,
                    const char *account)
{
    return arn_parse(resource, arn) == 0 && str_equal_text(arn->service, service) &&
           str_equal_text(arn->region, region) && str_equal_text(arn->account, account);
}

static bool function_allows(const struct role_named *named, struct str action, struct str resource,
                            const char *region, const char *account)
{
    struct arn arn;
    if (!str_equal(action, STR("lambda:InvokeFunction")) ||
        !is_here(&arn, resource, "lambda", region, account) ||
        !skip(&arn.resource, STR("function:")) || !skip(&arn.resource, named->name))
        return false;
    if (arn.resource.size == 0)
        return named->qualifier.size == 0;
    return arn.resource.data[0] == ':' &&
           (named->qualifier.size == 0 || str_equal(str_skip(arn.resource, 1), named->qualifier));
}

static bool endpoint_allows(const struct role_named *named, struct str action, struct str resource,
                            const char *region, const char *account)
{
    static const char *const actions[] = {"sagemaker:InvokeEndpoint",
                                          "sagemaker:InvokeEndpointAsync",
                                          "sagemaker:InvokeEndpointWithResponseStream", NULL};
    struct arn arn;
    return is_one_of(action, actions) && is_here(&arn, resource, "sagemaker", region, account) &&
           skip(&arn.resource, STR("endpoint/")) && str_equal(arn.resource, named->name);
}

bool role_named_allows(const struct role_named *named, struct str action, struct str resource,
                       const char *region, const char *account)
{
    switch (named->thing) {
    case ROLE_BUCKET:
        return bucket_allows(named, action, resource);
    case ROLE_FUNCTION:
        return function_allows(named, action, resource, region, account);
    case ROLE_ENDPOINT:
        return endpoint_allows(named, action, resource, region, account);
    case ROLE_NOTHING:
        break;
    }
    return false;
}
