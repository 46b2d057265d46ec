// SPDX-License-Identifier: MIT
//
// Random (version 4) UUIDs: request ids, RevisionIds; and other names that must not meet. Any thread.
//
// The bytes are the kernel's, taken ahead a few hundred at a time by each thread: a call has three such names, and
// three system calls for them. What a thread has taken is wiped as it is handed out. For names, not for keys
// (mem_random), and not in a process that forks: both would name alike.

#ifndef LAMINA_BASE_UUID_H
#define LAMINA_BASE_UUID_H

#include <stddef.h>

#define UUID_SIZE 37 // 36 characters and the NUL

// Writes a fresh one, lower case, and returns it.
char *uuid_new(char text[UUID_SIZE]);

// Unpredictable bytes for such a name; at most UUID_RANDOM_MAX.
#define UUID_RANDOM_MAX 64
void uuid_random(void *data, size_t size);

#endif
