/* SPDX-License-Identifier: MIT
 *
 * validation: AWS's "N validation errors detected: ...", which names every member of a request that
 * breaks a constraint of the API's model, not only the first.
 *
 *     AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
 *     if (timeout > 900)
 *         validation_add(&validation, text, "timeout", "have value less than or equal to %d", 900);
 *     return validation_finish(&validation, AWS_VALIDATION, error);
 *
 * Values that the caller sent are echoed, at most VALIDATION_VALUE_MAX bytes of each. The whole text is
 * cut at the maximum of struct aws_error.
 */
#ifndef LAMINA_API_VALIDATION_H
#define LAMINA_API_VALIDATION_H

#include "aws/error.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#define VALIDATION_VALUE_MAX 512
#define VALIDATION_TEXT_MAX (64 * 1024)

struct validation {
    struct buf text;
    unsigned count;
};

#define VALIDATION_INIT                                                                            \
    {                                                                                              \
        BUF_INIT(VALIDATION_TEXT_MAX), 0                                                           \
    }
#define AUTO_VALIDATION AUTO(validation_done)

void validation_done(struct validation *validation);

/* "Value '<value>' at '<member>' failed to satisfy constraint: Member must <format...>". `member` is
 * the path in lower camel case: "ephemeralStorage.size". */
void validation_add(struct validation *validation, struct str value, const char *member,
                    const char *format, ...) PRINTF_LIKE(4, 5);
/* The same for a number that breaks a bound. */
void validation_add_number(struct validation *validation, long long value, const char *member,
                           const char *format, ...) PRINTF_LIKE(4, 5);
/* The same for a member that must be there and is not: "Value null at ... must not be null". */
void validation_add_null(struct validation *validation, const char *member);

/* 0 if nothing was added, else what aws_error_set returns. */
MUST_CHECK int validation_finish(const struct validation *validation, enum aws_error_code code,
                                 struct aws_error *error);

#endif
