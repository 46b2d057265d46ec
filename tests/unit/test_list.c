// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/list.h"

struct item {
    struct list link;
    int number;
};

static int numbers(const struct list *head)
{
    int sum = 0;
    for (const struct list *link = head->next; link != head; link = link->next)
        sum = sum * 10 + ((const struct item *) (const void *) link)->number;
    return sum;
}

static void adds_and_removes(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_take_first(&head));
    list_add_last(&head, &items[1].link);
    list_add_last(&head, &items[2].link);
    list_add_first(&head, &items[0].link);
    assert_int_equal(numbers(&head), 123);
    assert_int_equal(list_count(&head), 3);
    assert_true(list_is_linked(&items[1].link));
    list_remove(&items[1].link);
    list_remove(&items[1].link); // harmless
    assert_false(list_is_linked(&items[1].link));
    assert_int_equal(numbers(&head), 13);
    assert_ptr_equal(list_last(&head), &items[2].link);
    assert_ptr_equal(list_take_first(&head), &items[0].link);
    assert_int_equal(numbers(&head), 3);
    struct item never = {0};
    list_remove(&never.link);
    assert_false(list_is_linked(&never.link));
}

static void iterates_while_removing(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[5];
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_add_last(&head, &items[i].link);
    }
    int sum = 0;
    LIST_FOR_EACH (struct item, each, &head, link)
        sum += each->number;
    assert_int_equal(sum, 10);
    LIST_FOR_EACH_SAFE (struct item, each, &head, link)
        if (each->number % 2 == 0)
            list_remove(&each->link);
    assert_int_equal(numbers(&head), 13);
}

static void moves_all(void **state)
{
    struct list one = LIST_INIT(one), two = LIST_INIT(two);
    struct item items[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    list_move_all(&one, &two);
    assert_true(list_is_empty(&one));
    list_add_last(&one, &items[0].link);
    list_add_last(&one, &items[1].link);
    list_add_last(&two, &items[2].link);
    list_add_last(&two, &items[3].link);
    list_move_all(&one, &two);
    assert_int_equal(numbers(&one), 1234);
    assert_true(list_is_empty(&two));
    list_move_all(&two, &one);
    assert_int_equal(numbers(&two), 1234);
    assert_int_equal(list_count(&one), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_and_removes),
        cmocka_unit_test(iterates_while_removing),
        cmocka_unit_test(moves_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
