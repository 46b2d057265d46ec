// SPDX-License-Identifier: MIT

#include "base/json.h"

#include <errno.h>
#include <stdlib.h>

void json_doc_free_pointer(yyjson_doc **doc)
{
    yyjson_doc_free(*doc);
}

void json_mut_doc_free_pointer(yyjson_mut_doc **doc)
{
    yyjson_mut_doc_free(*doc);
}

// yyjson's reader has no limit of depth (it does not recurse); our walkers do recurse. Counts
// brackets outside strings: false, and the position, where it gets too deep.
static bool is_shallow(struct str text, size_t *ret_position)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (in_string) {
            if (byte == '\\')
                i++;
            else if (byte == '"')
                in_string = false;
        } else if (byte == '"') {
            in_string = true;
        } else if (byte == '[' || byte == '{') {
            if (++depth > JSON_DEPTH_MAX) {
                *ret_position = i;
                return false;
            }
        } else if ((byte == ']' || byte == '}') && depth > 0) {
            depth--;
        }
    }
    return true;
}

int json_parse(struct str text, size_t size_max, yyjson_doc **ret_doc, struct error *err)
{
    if (text.size > size_max)
        return error_set(err, -EFBIG, "JSON of %zu bytes is longer than %zu", text.size, size_max);
    if (text.size == 0)
        return error_set(err, -EINVAL, "no JSON: the text is empty");
    size_t position;
    if (!is_shallow(text, &position))
        return error_set(err, -EINVAL, "JSON is nested deeper than %d at byte %zu", JSON_DEPTH_MAX,
                         position);
    union {
        const char *from;
        char *to;
    } content = {.from = text.data}; // without the in-situ flag yyjson only reads it
    yyjson_read_err why;
    yyjson_doc *doc = yyjson_read_opts(content.to, text.size, YYJSON_READ_NOFLAG, NULL, &why);
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return error_set(err, -ENOMEM, "no memory for JSON of %zu bytes", text.size);
    if (!doc)
        return error_set(err, -EINVAL, "bad JSON at byte %zu: %s", why.pos, why.msg);
    *ret_doc = doc;
    return 0;
}

yyjson_val *json_member(yyjson_val *object, const char *name)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    return yyjson_is_null(value) ? NULL : value;
}

struct str json_str(yyjson_val *value)
{
    return (struct str){yyjson_get_str(value), yyjson_get_len(value) * yyjson_is_str(value)};
}

int json_member_str(yyjson_val *object, const char *name, struct str *ret_value)
{
    yyjson_val *value = json_member(object, name);
    if (!value)
        return -ENOENT;
    if (!yyjson_is_str(value))
        return -EINVAL;
    *ret_value = json_str(value);
    return 0;
}

int json_member_i64(yyjson_val *object, const char *name, int64_t minimum, int64_t maximum,
                    int64_t *ret_value)
{
    yyjson_val *value = json_member(object, name);
    if (!value)
        return -ENOENT;
    if (!yyjson_is_int(value))
        return -EINVAL;
    if (yyjson_is_uint(value) && yyjson_get_uint(value) > INT64_MAX)
        return -ERANGE;
    int64_t number = yyjson_get_sint(value);
    if (number < minimum || number > maximum)
        return -ERANGE;
    *ret_value = number;
    return 0;
}

int json_member_bool(yyjson_val *object, const char *name, bool *ret_value)
{
    yyjson_val *value = json_member(object, name);
    if (!value)
        return -ENOENT;
    if (!yyjson_is_bool(value))
        return -EINVAL;
    *ret_value = yyjson_get_bool(value);
    return 0;
}

int json_member_object(yyjson_val *object, const char *name, yyjson_val **ret_value)
{
    yyjson_val *value = json_member(object, name);
    if (!value)
        return -ENOENT;
    if (!yyjson_is_obj(value))
        return -EINVAL;
    *ret_value = value;
    return 0;
}

int json_member_array(yyjson_val *object, const char *name, yyjson_val **ret_value)
{
    yyjson_val *value = json_member(object, name);
    if (!value)
        return -ENOENT;
    if (!yyjson_is_arr(value))
        return -EINVAL;
    *ret_value = value;
    return 0;
}

// The bytes that may stand in a JSON string as they are, from the start of `text`.
static size_t plain_length(struct str text)
{
    size_t i = 0;
    while (i < text.size && (unsigned char) text.data[i] >= 0x20 &&
           (unsigned char) text.data[i] < 0x80 && text.data[i] != '"' && text.data[i] != '\\')
        i++;
    return i;
}

// The longest valid UTF-8 character at the start, 0 if none.
static size_t character_length(struct str text)
{
    for (size_t size = 1; size <= 4 && size <= text.size; size++)
        if (str_is_utf8(str_part(text, 0, size)))
            return size;
    return 0;
}

// Appends what stands at the start of `text` and is not plain; returns the bytes taken.
static size_t append_special(struct buf *buf, struct str text)
{
    unsigned char byte = (unsigned char) text.data[0];
    switch (byte) {
    case '"':
        buf_append_text(buf, "\\\"");
        return 1;
    case '\\':
        buf_append_text(buf, "\\\\");
        return 1;
    case '\n':
        buf_append_text(buf, "\\n");
        return 1;
    case '\r':
        buf_append_text(buf, "\\r");
        return 1;
    case '\t':
        buf_append_text(buf, "\\t");
        return 1;
    default:
        break;
    }
    if (byte < 0x20) {
        buf_printf(buf, "\\u%04x", byte);
        return 1;
    }
    size_t length = character_length(text);
    if (length == 0) {
        buf_append_text(buf, "\xef\xbf\xbd");
        return 1;
    }
    buf_append(buf, text.data, length);
    return length;
}

int json_append_string(struct buf *buf, struct str text)
{
    buf_append_byte(buf, '"');
    while (text.size > 0) {
        size_t plain = plain_length(text);
        if (plain > 0)
            buf_append(buf, text.data, plain);
        text = str_skip(text, plain);
        if (text.size > 0)
            text = str_skip(text, append_special(buf, text));
    }
    buf_append_byte(buf, '"');
    return buf_status(buf);
}

int json_append_doc(struct buf *buf, const yyjson_mut_doc *doc)
{
    size_t size;
    yyjson_write_err why;
    char *text = yyjson_mut_write_opts(doc, YYJSON_WRITE_NOFLAG, NULL, &size, &why);
    if (!text)
        return why.code == YYJSON_WRITE_ERROR_MEMORY_ALLOCATION ? -ENOMEM : -EINVAL;
    int r = buf_append(buf, text, size);
    free(text);
    return r;
}

bool json_add_str(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, struct str value)
{
    return yyjson_mut_obj_add_strncpy(doc, object, name, value.data ? value.data : "", value.size);
}
