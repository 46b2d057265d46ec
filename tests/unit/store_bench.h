// SPDX-License-Identifier: MIT
//
// A store in a directory of the test's own, for tests of what lies in it.

#ifndef LAMINA_TESTS_STORE_BENCH_H
#define LAMINA_TESTS_STORE_BENCH_H

#include "scratch.h"
#include "store/store.h"

static struct store *store;
static struct error err;

#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_ = (call);                                                                          \
        if (ok_ < 0)                                                                               \
            fail_msg("%s: %d %s", #call, ok_, err.text);                                           \
    } while (0)

static int set_up(void **state)
{
    error_clear(&err);
    return store_open(scratch_make(), &store, &err);
}

static int tear_down(void **state)
{
    store_close(store);
    store = NULL;
    scratch_remove();
    return 0;
}

#endif
