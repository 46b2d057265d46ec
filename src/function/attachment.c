/* SPDX-License-Identifier: MIT */

#include "function/attachment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const kind_names[ATTACHMENT_KINDS] = {
    [ATTACHMENT_ALIAS] = "alias",       [ATTACHMENT_POLICY] = "policy",
    [ATTACHMENT_URL] = "url",           [ATTACHMENT_EVENT_INVOKE] = "event_invoke",
    [ATTACHMENT_RESERVED] = "reserved", [ATTACHMENT_PROVISIONED] = "provisioned",
};

const char *attachment_kind_name(enum attachment_kind kind)
{
    return kind_names[kind];
}

yyjson_val *attachment_root(const struct attachment *attachment)
{
    return yyjson_doc_get_root(attachment->doc);
}

static int bad(const struct attachment *attachment, const char *member, struct error *err)
{
    return error_set(err, -EBADMSG, "%s '%s': member '%s' is missing or wrong",
                     attachment_kind_name(attachment->kind), attachment->qualifier, member);
}

/* "$LATEST" is 0. */
static int read_number(struct str text, uint64_t *ret_number)
{
    if (str_equal(text, STR("$LATEST"))) {
        *ret_number = 0;
        return 0;
    }
    int r = str_to_u64(text, INT64_MAX, ret_number);
    return r < 0 || *ret_number == 0 ? -EINVAL : 0;
}

/* {"AdditionalVersionWeights": {"2": 0.2}}, with one pair at most. */
static int read_weights(struct attachment *alias, yyjson_val *routing)
{
    yyjson_val *weights = json_member(routing, "AdditionalVersionWeights");
    yyjson_obj_iter iter;
    if (!weights || yyjson_obj_size(weights) == 0)
        return 0;
    if (!yyjson_is_obj(weights) || yyjson_obj_size(weights) > 1)
        return -EINVAL;
    yyjson_obj_iter_init(weights, &iter);
    yyjson_val *key = yyjson_obj_iter_next(&iter);
    yyjson_val *weight = yyjson_obj_iter_get_val(key);
    if (read_number(json_str(key), &alias->route.extra_number) < 0 || !yyjson_is_num(weight))
        return -EINVAL;
    alias->route.extra_weight = yyjson_get_num(weight);
    return alias->route.extra_weight >= 0 && alias->route.extra_weight <= 1 ? 0 : -EINVAL;
}

static int read_alias(struct attachment *alias, struct error *err)
{
    yyjson_val *root = attachment_root(alias);
    struct str target;
    if (json_member_str(root, "FunctionVersion", &target) < 0 ||
        read_number(target, &alias->route.number) < 0)
        return bad(alias, "FunctionVersion", err);
    if (read_weights(alias, json_member(root, "RoutingConfig")) < 0)
        return bad(alias, "RoutingConfig", err);
    return 0;
}

static int read_url(struct attachment *url, struct error *err)
{
    struct str id;
    if (json_member_str(attachment_root(url), "UrlId", &id) < 0 ||
        id.size != sizeof(url->url_id) - 1 || str_copy(id, url->url_id, sizeof(url->url_id)) < 0)
        return bad(url, "UrlId", err);
    return 0;
}

static int read_count(struct attachment *attachment, const char *member, struct error *err)
{
    int64_t number;
    if (json_member_i64(attachment_root(attachment), member, 0, INT32_MAX, &number) < 0)
        return bad(attachment, member, err);
    attachment->number = (uint32_t) number;
    return 0;
}

static int read_members(struct attachment *attachment, struct error *err)
{
    switch (attachment->kind) {
    case ATTACHMENT_ALIAS:
        return read_alias(attachment, err);
    case ATTACHMENT_URL:
        return read_url(attachment, err);
    case ATTACHMENT_RESERVED:
        return read_count(attachment, "ReservedConcurrentExecutions", err);
    case ATTACHMENT_PROVISIONED:
        return read_count(attachment, "ProvisionedConcurrentExecutions", err);
    case ATTACHMENT_POLICY:
    case ATTACHMENT_EVENT_INVOKE:
    case ATTACHMENT_KINDS:
        break;
    }
    return 0;
}

int attachment_new(enum attachment_kind kind, const char *qualifier, struct str json,
                   struct attachment **ret_attachment, struct error *err)
{
    struct attachment *attachment = mem_new(struct attachment);
    if (!attachment)
        return error_set(err, -ENOMEM, "no memory for an attachment");
    attachment->kind = kind;
    attachment->qualifier = mem_copy_text(qualifier);
    attachment->json = str_copy_heap(json);
    int r = -ENOMEM;
    if (attachment->qualifier && attachment->json)
        r = json_parse(json, ATTACHMENT_JSON_MAX, &attachment->doc, err);
    if (r == -EINVAL || (r == 0 && !yyjson_is_obj(attachment_root(attachment))))
        r = error_set(err, -EBADMSG, "%s '%s' is no JSON object", attachment_kind_name(kind),
                      qualifier);
    if (r == 0)
        r = read_members(attachment, err);
    if (r < 0) {
        attachment_free(attachment);
        return r;
    }
    *ret_attachment = attachment;
    return 0;
}

void attachment_free(struct attachment *attachment)
{
    if (!attachment)
        return;
    yyjson_doc_free(attachment->doc);
    free(attachment->qualifier);
    free(attachment->json);
    free(attachment);
}
