/* SPDX-License-Identifier: MIT */

#include "api/member.h"

#include <string.h>

void member_reader_done(struct member_reader *reader)
{
    validation_done(&reader->validation);
}

/* The names of Jackson's tokens, which AWS's messages show. */
static const char *token_name(yyjson_val *value)
{
    if (yyjson_is_str(value))
        return "STRING_VALUE";
    if (yyjson_is_int(value))
        return "NUMBER_VALUE";
    if (yyjson_is_num(value))
        return "DECIMAL_VALUE";
    if (yyjson_is_bool(value))
        return yyjson_get_bool(value) ? "TRUE_VALUE" : "FALSE_VALUE";
    if (yyjson_is_arr(value))
        return "START_ARRAY";
    if (yyjson_is_obj(value))
        return "START_OBJECT";
    return "NULL_VALUE";
}

int member_wrong_type(struct aws_error *error, yyjson_val *value, const char *wanted)
{
    return aws_error_set(error, AWS_SERIALIZATION, "%s can not be converted to %s",
                         token_name(value), wanted);
}

size_t member_length(struct str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++)
        n += ((unsigned char) text.data[i] & 0xc0) != 0x80;
    return n;
}

int member_text(struct member_reader *reader, const char *name, const char *path, size_t length_min,
                size_t length_max, struct str *ret_text)
{
    yyjson_val *value = json_member(reader->object, name);
    struct str text = {NULL, 0};
    *ret_text = text;
    if (!value)
        return 0;
    if (!yyjson_is_str(value))
        return member_wrong_type(reader->error, value, "a String");
    text = json_str(value);
    /* No text of ours may hold a NUL: they end up in C strings and environment blocks. */
    if (memchr(text.data, '\0', text.size))
        return aws_error_set(reader->error, AWS_INVALID_PARAMETER_VALUE,
                             "The value of '%s' holds a NUL character", name);
    size_t length = member_length(text);
    if (length < length_min)
        validation_add(&reader->validation, text, path, "have length greater than or equal to %zu",
                       length_min);
    if (length > length_max)
        validation_add(&reader->validation, text, path, "have length less than or equal to %zu",
                       length_max);
    *ret_text = text;
    return 0;
}

int member_number(struct member_reader *reader, const char *name, const char *path, int64_t minimum,
                  int64_t maximum, uint32_t *ret_value)
{
    yyjson_val *value = json_member(reader->object, name);
    if (!value)
        return 0;
    if (!yyjson_is_int(value) || (yyjson_is_uint(value) && yyjson_get_uint(value) > INT32_MAX) ||
        (yyjson_is_sint(value) && yyjson_get_sint(value) < INT32_MIN))
        return member_wrong_type(reader->error, value, "an Integer");
    int64_t number = yyjson_get_sint(value);
    if (number < minimum)
        validation_add_number(&reader->validation, number, path,
                              "have value greater than or equal to %lld", (long long) minimum);
    else if (number > maximum)
        validation_add_number(&reader->validation, number, path,
                              "have value less than or equal to %lld", (long long) maximum);
    else
        *ret_value = (uint32_t) number;
    return 0;
}

int member_bool(struct member_reader *reader, const char *name, bool *ret_value)
{
    yyjson_val *value = json_member(reader->object, name);
    if (!value)
        return 0;
    if (!yyjson_is_bool(value))
        return member_wrong_type(reader->error, value, "a Boolean");
    *ret_value = yyjson_get_bool(value);
    return 0;
}

int member_object(struct member_reader *reader, const char *name, yyjson_val **ret_value)
{
    yyjson_val *value = json_member(reader->object, name);
    if (value && !yyjson_is_obj(value))
        return member_wrong_type(reader->error, value, "an Object");
    *ret_value = value;
    return 0;
}

int member_array(struct member_reader *reader, const char *name, yyjson_val **ret_value)
{
    yyjson_val *value = json_member(reader->object, name);
    if (value && !yyjson_is_arr(value))
        return member_wrong_type(reader->error, value, "a List");
    *ret_value = value;
    return 0;
}

int member_choice(struct member_reader *reader, const char *name, const char *path,
                  const char *const *choices, const char *shown, struct str *ret_text)
{
    int r = member_text(reader, name, path, 0, SIZE_MAX, ret_text);
    if (r < 0 || !ret_text->data)
        return r;
    for (size_t i = 0; choices[i]; i++)
        if (str_equal_text(*ret_text, choices[i]))
            return 0;
    validation_add(&reader->validation, *ret_text, path, "satisfy enum value set: %s", shown);
    return 0;
}
