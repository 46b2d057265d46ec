/* SPDX-License-Identifier: MIT
 *
 * member: typed members of a request's JSON, with AWS's answers for wrong types and broken constraints.
 *
 *     struct member_reader reader = {.object = call->json, .error = &call->error};
 *     struct str handler;
 *     r = member_text(&reader, "Handler", "handler", 0, 128, &handler);   // data == NULL: absent
 *     ...
 *     r = validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
 *
 * A wrong type is an error at once (SerializationException); a broken constraint is noted in the
 * reader's validation, so that all of them are answered together. null is absent. Texts are views
 * into the document; none of them holds a NUL. Lengths count characters (code points), as AWS does.
 */
#ifndef LAMINA_API_MEMBER_H
#define LAMINA_API_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "api/validation.h"
#include "base/json.h"

struct member_reader {
    yyjson_val *object; /* borrowed; NULL reads as an empty object */
    struct validation validation;
    struct aws_error *error; /* borrowed */
};

#define MEMBER_READER_INIT(object_, error_)                                                        \
    {                                                                                              \
        (object_), VALIDATION_INIT, (error_)                                                       \
    }
#define AUTO_MEMBER_READER AUTO(member_reader_done)

void member_reader_done(struct member_reader *reader);

/* `name` as in the JSON, `path` as in messages. *ret_text.data == NULL if it is absent. */
MUST_CHECK int member_text(struct member_reader *reader, const char *name, const char *path,
                           size_t length_min, size_t length_max, struct str *ret_text);
/* *ret_value stays as it was if the member is absent. */
MUST_CHECK int member_number(struct member_reader *reader, const char *name, const char *path,
                             int64_t minimum, int64_t maximum, uint32_t *ret_value);
MUST_CHECK int member_bool(struct member_reader *reader, const char *name, bool *ret_value);
/* *ret_value is NULL if it is absent. */
MUST_CHECK int member_object(struct member_reader *reader, const char *name,
                             yyjson_val **ret_value);
MUST_CHECK int member_array(struct member_reader *reader, const char *name, yyjson_val **ret_value);
/* The text, which must be one of `choices` (ends with NULL) if it is there. `shown` is how AWS lists
 * them: "[Active, PassThrough]". */
MUST_CHECK int member_choice(struct member_reader *reader, const char *name, const char *path,
                             const char *const *choices, const char *shown, struct str *ret_text);

/* The SerializationException for a value of the wrong type; `wanted` as "String", "Integer". */
int member_wrong_type(struct aws_error *error, yyjson_val *value, const char *wanted);

/* Characters of a valid UTF-8 text. */
size_t member_length(struct str text);

#endif
