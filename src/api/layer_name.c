/* SPDX-License-Identifier: MIT */

#include "api/layer_name.h"

#include <errno.h>

#include "api/validation.h"
#include "aws/arn.h"

#define LAYER_NAME_PATTERN                                                                         \
    "(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+"

/* arn:<partition>:lambda:<region>:<account>:layer:<rest> */
static int parse_layer(struct str text, struct layer_arn *layer, struct str *ret_rest)
{
    struct arn arn;
    if (text.size > LAYER_LABEL_MAX || arn_parse(text, &arn) < 0 ||
        !str_equal(arn.service, STR("lambda")) || !arn_is_account(arn.account) ||
        arn.region.size == 0 || !str_has_prefix(arn.resource, STR("layer:")))
        return -EINVAL;
    layer->region = arn.region;
    layer->account = arn.account;
    *ret_rest = str_skip(arn.resource, sizeof("layer:") - 1);
    return 0;
}

int layer_arn_parse(struct str text, struct layer_arn *ret_arn)
{
    struct layer_arn layer;
    struct str rest;
    struct str number;
    if (parse_layer(text, &layer, &rest) < 0 || !str_cut(rest, ':', &layer.name, &number) ||
        !arn_is_function_name(layer.name) || number.size == 0 || number.size > 18 ||
        str_to_u64(number, INT64_MAX, &layer.number) < 0)
        return -EINVAL;
    *ret_arn = layer;
    return 0;
}

static int refuse(struct call *call, struct str label)
{
    AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
    if (label.size > LAYER_LABEL_MAX)
        validation_add(&validation, label, "layerName", "have length less than or equal to %d",
                       LAYER_LABEL_MAX);
    else
        validation_add(&validation, label, "layerName",
                       "satisfy regular expression pattern: " LAYER_NAME_PATTERN);
    return validation_finish(&validation, AWS_VALIDATION, &call->error);
}

static int no_such(struct call *call)
{
    return aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND,
                         "The resource you requested does not exist.");
}

int layer_label(struct call *call, struct str *ret_name)
{
    struct str label = call->labels[0];
    struct layer_arn layer;
    if (arn_is_function_name(label)) {
        *ret_name = label;
        return 0;
    }
    if (parse_layer(label, &layer, &layer.name) < 0 || !arn_is_function_name(layer.name))
        return refuse(call, label);
    if (!str_equal_text(layer.account, call->api->account))
        return aws_error_set(&call->error, AWS_ACCESS_DENIED,
                             "This service has the layers of account %s only; " STR_FORMAT
                             " is of another.",
                             call->api->account, STR_ARGUMENTS(label));
    if (!str_equal_text(layer.region, call->api->region))
        return no_such(call);
    *ret_name = layer.name;
    return 0;
}

int layer_number(struct call *call, uint64_t *ret_number)
{
    struct str label = call->labels[1];
    int64_t number;
    if (str_to_i64(label, INT64_MIN, INT64_MAX, &number) < 0)
        return aws_error_set(&call->error, AWS_SERIALIZATION,
                             "'" STR_FORMAT "' at 'VersionNumber' is not an integer",
                             STR_ARGUMENTS(str_part(label, 0, VALIDATION_VALUE_MAX)));
    if (number < 1)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Layer Version Cannot be less than 1.");
    *ret_number = (uint64_t) number;
    return 0;
}

int layer_labels(struct call *call, struct str *ret_name, uint64_t *ret_number)
{
    int r = layer_label(call, ret_name);
    if (r == 0)
        r = layer_number(call, ret_number);
    return r;
}

void layer_arn_append(struct buf *out, const struct api *api, const char *name, uint64_t number)
{
    buf_printf(out, "arn:aws:lambda:%s:%s:layer:%s", api->region, api->account, name);
    if (number)
        buf_printf(out, ":%llu", (unsigned long long) number);
}
