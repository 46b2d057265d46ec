// SPDX-License-Identifier: MIT
//
// Random (version 4) UUIDs: request ids, RevisionIds. Any thread.

#ifndef LAMINA_BASE_UUID_H
#define LAMINA_BASE_UUID_H

#define UUID_SIZE 37 // 36 characters and the NUL

// Writes a fresh one, lower case, and returns it.
char *uuid_new(char text[UUID_SIZE]);

#endif
