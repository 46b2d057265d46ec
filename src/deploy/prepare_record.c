// SPDX-License-Identifier: MIT

#include "deploy/prepare_record.h"

#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FORMAT 1
#define WARM_CALLS 20
// What an instance needs beside the model's private memory.
#define AS_IT_IS "it is too large for a form; as it is, "
#define INSTANCE_BYTES (UINT64_C(64) * 1024 * 1024)

// ---- text

static void append_measured(struct buf *out, const char *name,
                            const struct prepare_packing_measured *measured)
{
    buf_printf(out,
               ",\"%s\":{\"ColdUs\":%" PRIu64 ",\"WarmUs\":%" PRIu64 ",\"PrivateBytes\":%" PRIu64
               ",\"IsEqual\":%s}",
               name, measured->cold_us, measured->warm_us, measured->private_bytes,
               measured->is_equal ? "true" : "false");
}

void prepare_record_append(struct buf *out, const struct prepare_record *record)
{
    char model[DIGEST_HEX_SIZE], form[DIGEST_HEX_SIZE];
    buf_printf(out, "{\"Format\":%d,\"Model\":\"%s\"", FORMAT, digest_hex(&record->model, model));
    if (record->has_form)
        buf_printf(out, ",\"Form\":\"%s\",\"Bytes\":%" PRIu64, digest_hex(&record->form, form),
                   record->bytes);
    if (record->is_measured) {
        buf_printf(out, ",\"Checked\":%" PRIu32, record->checked);
        append_measured(out, "Off", &record->off);
        append_measured(out, "On", &record->on);
    } else {
        buf_printf(out, ",\"Reason\":");
        json_append_string(out, str_of(record->reason));
    }
    buf_printf(out, "}\n");
}

static int read_digest(yyjson_val *object, const char *name, struct digest *ret_digest)
{
    struct str text;
    int r = json_member_str(object, name, &text);
    return r < 0 ? r : digest_parse_hex(text, ret_digest);
}

static int read_number(yyjson_val *object, const char *name, uint64_t *ret_number)
{
    int64_t number;
    int r = json_member_i64(object, name, 0, INT64_MAX, &number);
    if (r == 0)
        *ret_number = (uint64_t) number;
    return r;
}

static int read_measured(yyjson_val *object, const char *name,
                         struct prepare_packing_measured *measured)
{
    yyjson_val *member;
    int r = json_member_object(object, name, &member);
    if (r == 0)
        r = read_number(member, "ColdUs", &measured->cold_us);
    if (r == 0)
        r = read_number(member, "WarmUs", &measured->warm_us);
    if (r == 0)
        r = read_number(member, "PrivateBytes", &measured->private_bytes);
    return r < 0 ? r : json_member_bool(member, "IsEqual", &measured->is_equal);
}

static int read_form(yyjson_val *root, struct prepare_record *record)
{
    int r = read_digest(root, "Form", &record->form);
    if (r == 0)
        r = read_number(root, "Bytes", &record->bytes);
    record->has_form = true;
    return r == 0 && record->bytes == 0 ? -EBADMSG : r;
}

static int read_both_measured(yyjson_val *root, struct prepare_record *record)
{
    uint64_t checked = 0;
    int r = read_number(root, "Checked", &checked);
    if (r == 0)
        r = read_measured(root, "Off", &record->off);
    if (r == 0)
        r = read_measured(root, "On", &record->on);
    record->checked = (uint32_t) checked;
    record->is_measured = true;
    return r == 0 && checked > UINT32_MAX ? -EBADMSG : r;
}

static int read_reason(yyjson_val *root, struct prepare_record *record)
{
    struct str reason;
    int r = json_member_str(root, "Reason", &reason);
    if (r == 0 && (reason.size >= sizeof(record->reason) || memchr(reason.data, 0, reason.size)))
        r = -EBADMSG;
    if (r == 0)
        memcpy(record->reason, reason.data, reason.size);
    return r;
}

int prepare_record_read(struct str text, struct prepare_record *ret_record)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct prepare_record record = {0};
    int64_t format;
    if (json_parse(text, PREPARE_RECORD_MAX, &doc, NULL) < 0)
        return -EBADMSG;
    yyjson_val *root = yyjson_doc_get_root(doc);
    int r = json_member_i64(root, "Format", FORMAT, FORMAT, &format);
    if (r == 0)
        r = read_digest(root, "Model", &record.model);
    if (r == 0)
        r = json_member(root, "Form") ? read_form(root, &record) : 0;
    if (r == 0)
        r = record.has_form || json_member(root, "Checked") ? read_both_measured(root, &record)
                                                            : read_reason(root, &record);
    if (r < 0)
        return -EBADMSG;
    *ret_record = record;
    return 0;
}

// ---- the choice

static uint64_t weight(const struct prepare_packing_measured *measured)
{
    return measured->cold_us + WARM_CALLS * measured->warm_us;
}

static void say(struct prepare_result *result, const char *why)
{
    (void) snprintf(result->reason, sizeof(result->reason), "%s", why);
}

static void say_measured(const struct prepare_record *record, struct prepare_result *result)
{
    (void) snprintf(
        result->reason, sizeof(result->reason),
        "%sa cold start and %d calls take %.1f ms with pre-packed weights (%.1f MB "
        "private), %.1f ms without (%.1f MB)",
        record->has_form ? "" : AS_IT_IS, WARM_CALLS, (double) weight(&record->on) / 1e3,
        (double) record->on.private_bytes / 1048576.0, (double) weight(&record->off) / 1e3,
        (double) record->off.private_bytes / 1048576.0);
}

static bool choose_packed(const struct prepare_record *record, const struct prepare_spec *spec,
                          struct prepare_result *result)
{
    if (spec->packing != PREPARE_AUTO)
        return say(result, "LAMINA_PREPACK says so"), spec->packing == PREPARE_PACKED;
    if (!record->on.is_equal)
        return say(result, "with pre-packed weights it answers otherwise"), false;
    if (!record->off.is_equal)
        return say(result, "without pre-packed weights it answers otherwise"), true;
    if (record->on.private_bytes + INSTANCE_BYTES > spec->memory_bytes)
        return say(result, "pre-packed weights do not fit the function's memory"), false;
    say_measured(record, result);
    // By less than a tenth is noise, and the same model should not be packed here and not there.
    return weight(&record->on) < weight(&record->off) / 10 * 9;
}

void prepare_record_choose(const struct prepare_record *record, const struct prepare_spec *spec,
                           struct prepare_result *result)
{
    if (!record->is_measured) {
        say(result, record->reason);
        return;
    }
    bool is_packed = choose_packed(record, spec, result);
    const struct prepare_packing_measured *chosen = is_packed ? &record->on : &record->off;
    if (!chosen->is_equal) {
        say(result, is_packed ? "with pre-packed weights (LAMINA_PREPACK) it answers otherwise"
                              : "without pre-packed weights (LAMINA_PREPACK) it answers otherwise");
        return;
    }
    result->is_measured = true;
    result->has_form = record->has_form;
    result->is_packed = is_packed;
    result->form = record->form;
    result->form_bytes = record->bytes;
    result->cold_us = chosen->cold_us;
    result->warm_us = chosen->warm_us;
    result->private_bytes = chosen->private_bytes;
}
