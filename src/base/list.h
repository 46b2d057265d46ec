// SPDX-License-Identifier: MIT
//
// An intrusive doubly linked list: the link is a member of the object, so nothing is allocated and
// an object is removed without a search. The head is a link too. A link that is not in a list
// points to itself after list_init(); list_remove() leaves it so, and removing it again is harmless.
//
//     struct list idle;                         // head
//     list_init(&idle);
//     list_add_last(&idle, &instance->link);
//     LIST_FOR_EACH (struct instance, each, &idle, link)
//         ...                                   // `each` must not be removed: use the SAFE form

#ifndef LAMINA_BASE_LIST_H
#define LAMINA_BASE_LIST_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *previous;
};

#define LIST_INIT(head)                                                                            \
    {                                                                                              \
        &(head), &(head)                                                                           \
    }

static inline void list_init(struct list *head)
{
    head->next = head->previous = head;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_is_linked(const struct list *link)
{
    return link->next && link->next != link;
}

static inline void list_insert_between(struct list *link, struct list *before, struct list *after)
{
    link->previous = before;
    link->next = after;
    before->next = link;
    after->previous = link;
}

static inline void list_add_first(struct list *head, struct list *link)
{
    list_insert_between(link, head, head->next);
}

static inline void list_add_last(struct list *head, struct list *link)
{
    list_insert_between(link, head->previous, head);
}

// Zeroed links (of a calloc'ed object that was never added) are accepted.
static inline void list_remove(struct list *link)
{
    if (link->next) {
        link->previous->next = link->next;
        link->next->previous = link->previous;
    }
    list_init(link);
}

static inline struct list *list_first(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->next;
}

static inline struct list *list_last(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->previous;
}

static inline struct list *list_take_first(struct list *head)
{
    struct list *first = list_first(head);
    if (first)
        list_remove(first);
    return first;
}

// Moves every element of `from` to the end of `to`; `from` is empty afterwards.
static inline void list_move_all(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    list_init(from);
}

static inline size_t list_count(const struct list *head)
{
    size_t count = 0;
    for (const struct list *link = head->next; link != head; link = link->next)
        count++;
    return count;
}

#define LIST_ENTRY(link, type, member) container_of(link, type, member)

#define LIST_FOR_EACH(type, each, head, member)                                                    \
    for (type *each = LIST_ENTRY((head)->next, type, member); &each->member != (head);             \
         each = LIST_ENTRY(each->member.next, type, member))

// `each` may be removed or freed in the body.
#define LIST_FOR_EACH_SAFE(type, each, head, member)                                               \
    for (type *each = LIST_ENTRY((head)->next, type, member),                                      \
              *each##_next = LIST_ENTRY(each->member.next, type, member);                          \
         &each->member != (head);                                                                  \
         each = each##_next, each##_next = LIST_ENTRY(each->member.next, type, member))

#endif
