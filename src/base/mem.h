// SPDX-License-Identifier: MIT
//
// Heap memory that frees itself at the end of its scope.
//
//     AUTO_FREE char *name = mem_copy_text(text);     // freed on every return
//     if (!name)
//         return -ENOMEM;
//     object->name = TAKE_PTR(name);                   // handed over: no longer freed here

#ifndef LAMINA_BASE_MEM_H
#define LAMINA_BASE_MEM_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// `errno` is preserved.
void mem_free_pointer(void *pointer_to_pointer);

#define AUTO_FREE AUTO(mem_free_pointer)

// The pointer's value; the variable becomes NULL.
#define TAKE_PTR(pointer)                                                                          \
    __extension__({                                                                                \
        __typeof__(pointer) *take_ = &(pointer);                                                   \
        __typeof__(pointer) taken_ = *take_;                                                       \
        *take_ = NULL;                                                                             \
        taken_;                                                                                    \
    })

// One zeroed object, NULL when there is no memory.
#define mem_new(type) ((type *) calloc(1, sizeof(type)))

// Copies, NULL when there is no memory (or when data is NULL and size is not 0).
void *mem_copy(const void *data, size_t size) MUST_CHECK;
char *mem_copy_text(const char *text) MUST_CHECK; // NULL for NULL

// True if equal, in a time that depends on size only: for secrets and signatures.
bool mem_equal_secret(const void *left, const void *right, size_t size) MUST_CHECK;

// Overwrites with zeros in a way the compiler may not leave out.
void mem_wipe(void *data, size_t size);

// Unpredictable bytes from the kernel. Cannot fail once the system has booted; aborts otherwise.
void mem_random(void *data, size_t size);

// False, and *ret_sum untouched, when the sum does not fit.
bool mem_size_add(size_t left, size_t right, size_t *ret_sum) MUST_CHECK;

#endif
