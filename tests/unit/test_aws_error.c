// SPDX-License-Identifier: MIT
//
// AWS's errors as JSON, and the table's invariants.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws/error.h"

#include <errno.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static void every_row_is_whole(void **state)
{
    for (int code = 0; code < AWS_ERROR_COUNT; code++) {
        const char *name = aws_error_name((enum aws_error_code) code);
        unsigned status = aws_error_status((enum aws_error_code) code);
        assert_true(status == 304 || (status >= 400 && status <= 599));
        assert_int_equal(strspn(name, LETTERS), strlen(name));
        // The JSON services' names all end so; those of the XML services (IAM, STS, S3) need not.
        assert_true(code >= AWS_INVALID_ACTION || str_has_suffix(str_of(name), STR("Exception")));
        assert_int_equal(aws_error_by_name(str_of(name)), code); // no name twice
    }
    assert_int_equal(aws_error_by_name(STR("NobodysException")), AWS_ERROR_COUNT);
    assert_int_equal(aws_error_by_name(STR("ResourceConflictException:http://x")),
                     AWS_RESOURCE_CONFLICT);
    assert_int_equal(aws_error_by_name(STR("com.amazonaws.lambda#ServiceException")), AWS_SERVICE);
}

static void bodies(void **state)
{
    struct aws_error error;
    AUTO_BUF struct buf body = BUF_INIT(65536);
    assert_int_equal(
        aws_error_set(&error, AWS_RESOURCE_NOT_FOUND, "Function not found: %s", "a\"b"),
        -EREMOTEIO);
    assert_int_equal(aws_error_body(&error, &body), 0);
    assert_string_equal(body.data, "{\"Type\":\"User\",\"Message\":\"Function not found: a\\\"b\","
                                   "\"message\":\"Function not found: a\\\"b\"}");
    buf_clear(&body);
    aws_error_set_reason(&error, AWS_TOO_MANY_REQUESTS, "ConcurrentInvocationLimitExceeded",
                         "Rate Exceeded.");
    assert_int_equal(aws_error_body(&error, &body), 0);
    assert_string_equal(body.data,
                        "{\"Type\":\"User\",\"Reason\":\"ConcurrentInvocationLimitExceeded\","
                        "\"Message\":\"Rate Exceeded.\",\"message\":\"Rate Exceeded.\"}");
    buf_clear(&body);
    aws_error_set(&error, AWS_VALIDATION, "1 validation error detected");
    assert_int_equal(aws_error_body(&error, &body), 0);
    assert_string_equal(body.data, "{\"message\":\"1 validation error detected\"}");
    buf_clear(&body);
    aws_error_set(&error, AWS_SERVICE, "x");
    assert_int_equal(aws_error_body(&error, &body), 0);
    assert_non_null(strstr(body.data, "\"Type\":\"Server\""));
    assert_int_equal(aws_error_set(NULL, AWS_SERVICE, "x"), -EREMOTEIO);
}

static void long_messages_are_cut(void **state)
{
    struct aws_error error;
    aws_error_set(&error, AWS_VALIDATION, "%*s", 5000, "x");
    assert_int_equal(strlen(error.message), AWS_ERROR_MESSAGE_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(bodies),
        cmocka_unit_test(long_messages_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
