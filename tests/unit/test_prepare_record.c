// SPDX-License-Identifier: MIT
//
// Unit tests of deploy/prepare_record: the record's text, and the choice between packed weights and none.

#include "deploy/prepare_record.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static struct prepare_record measured(void)
{
    return (struct prepare_record){
        .model = {{1, 2, 3}},
        .has_form = true,
        .is_measured = true,
        .form = {{4, 5, 6}},
        .bytes = 420 << 20,
        .checked = 8,
        .off = {.cold_us = 40000, .warm_us = 20000, .private_bytes = 1 << 20, .is_equal = true},
        .on = {.cold_us = 350000, .warm_us = 16000, .private_bytes = 420 << 20, .is_equal = true},
    };
}

static const struct prepare_spec roomy = {.memory_bytes = UINT64_C(2048) << 20};

static struct prepare_result chosen(const struct prepare_record *record,
                                    const struct prepare_spec *spec)
{
    struct prepare_result result = {0};
    prepare_record_choose(record, spec, &result);
    assert_true(result.reason[0] != 0);
    return result;
}

static void test_least_time_of_a_cold_start_and_twenty_calls(void **state)
{
    (void) state;
    struct prepare_record record = measured();
    struct prepare_result result = chosen(&record, &roomy); // 440 ms against 670
    assert_true(result.has_form && !result.is_packed);
    assert_int_equal(result.private_bytes, 1 << 20);
    assert_memory_equal(&result.form, &record.form, sizeof(record.form));
    record.on.warm_us = 4000; // 430 ms: as good as the same
    assert_false(chosen(&record, &roomy).is_packed);
    record.on.warm_us = 1000; // 370 ms
    result = chosen(&record, &roomy);
    assert_true(result.has_form && result.is_packed);
    assert_int_equal(result.warm_us, 1000);
}

static void test_packed_weights_must_fit_the_functions_memory(void **state)
{
    (void) state;
    struct prepare_record record = measured();
    const struct prepare_spec tight = {.memory_bytes = UINT64_C(480) << 20};
    record.on.warm_us = 1;
    assert_true(chosen(&record, &roomy).is_packed);
    assert_false(chosen(&record, &tight).is_packed);
}

static void test_what_answers_otherwise_is_not_chosen(void **state)
{
    (void) state;
    struct prepare_record record = measured();
    record.off.is_equal = false;
    assert_true(chosen(&record, &roomy).is_packed);
    record.off.is_equal = true;
    record.on.is_equal = false;
    record.on.warm_us = 1;
    assert_false(chosen(&record, &roomy).is_packed);
    record.off.is_equal = false;
    assert_false(chosen(&record, &roomy).has_form);
}

static void test_the_owner_decides_but_not_against_the_answers(void **state)
{
    (void) state;
    struct prepare_record record = measured();
    struct prepare_spec spec = roomy;
    spec.packing = PREPARE_PACKED;
    assert_true(chosen(&record, &spec).is_packed);
    spec.packing = PREPARE_UNPACKED;
    assert_false(chosen(&record, &spec).is_packed);
    record.off.is_equal = false;
    assert_false(chosen(&record, &spec).has_form);
}

static void test_a_refusal_is_only_a_reason(void **state)
{
    (void) state;
    struct prepare_record record = {.reason = "it uses operators of its own"};
    struct prepare_result result = chosen(&record, &roomy);
    assert_false(result.has_form);
    assert_string_equal(result.reason, record.reason);
}

static void test_a_model_without_a_form_is_packed_as_was_measured(void **state)
{
    (void) state;
    struct prepare_record record = measured();
    record.has_form = false;
    struct prepare_result result = chosen(&record, &roomy);
    assert_true(result.is_measured && !result.has_form && !result.is_packed);
    assert_non_null(strstr(result.reason, "it is too large for a form; as it is, a cold start"));
    record.on.warm_us = 1000;
    assert_true(chosen(&record, &roomy).is_packed);
}

static void check_same(const struct prepare_record *record)
{
    AUTO_BUF struct buf text = BUF_INIT(PREPARE_RECORD_MAX);
    struct prepare_record again;
    prepare_record_append(&text, record);
    assert_int_equal(buf_status(&text), 0);
    assert_int_equal(prepare_record_read(buf_str(&text), &again), 0);
    AUTO_BUF struct buf second = BUF_INIT(PREPARE_RECORD_MAX);
    prepare_record_append(&second, &again);
    assert_int_equal(second.size, text.size);
    assert_memory_equal(second.data, text.data, text.size);
    for (size_t size = 0; size + 1 < text.size; size++) // but the final newline
        assert_int_equal(prepare_record_read(str_of_data(text.data, size), &again), -EBADMSG);
}

static void test_text_and_back_and_every_cut(void **state)
{
    (void) state;
    const struct prepare_record full = measured();
    const struct prepare_record refused = {.reason = "a \"reason\" \x01"};
    struct prepare_record as_it_is = measured();
    as_it_is.has_form = false;
    check_same(&full);
    check_same(&as_it_is);
    check_same(&refused);
}

static void test_bad_texts(void **state)
{
    (void) state;
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{\"Format\":2,\"Model\":\"\"}",
        "{\"Format\":1,\"Model\":\"00\",\"Reason\":\"r\"}",
        "{\"Format\":1,\"Reason\":\"r\"}",
    };
    struct prepare_record record;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(prepare_record_read(str_of(texts[i]), &record), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_time_of_a_cold_start_and_twenty_calls),
        cmocka_unit_test(test_packed_weights_must_fit_the_functions_memory),
        cmocka_unit_test(test_what_answers_otherwise_is_not_chosen),
        cmocka_unit_test(test_the_owner_decides_but_not_against_the_answers),
        cmocka_unit_test(test_a_model_without_a_form_is_packed_as_was_measured),
        cmocka_unit_test(test_a_refusal_is_only_a_reason),
        cmocka_unit_test(test_text_and_back_and_every_cut),
        cmocka_unit_test(test_bad_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
