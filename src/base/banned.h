// SPDX-License-Identifier: MIT
//
// Functions that nobody may call, because each has a safe relative and no safe use. The build
// includes this file before every source file (`-include base/banned.h`), so a call does not
// compile; the message names what to use. An address of one (`&strcpy`) is not caught.

#ifndef LAMINA_BASE_BANNED_H
#define LAMINA_BASE_BANNED_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

// Declared first: the macros below would otherwise break the declarations themselves.
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BANNED(function, instead) sorry_##function##_is_banned_use_##instead

#undef strcpy
#define strcpy(to, from) BANNED(strcpy, str_copy)
#undef strcat
#define strcat(to, from) BANNED(strcat, buf_append)
#undef strncpy
#define strncpy(to, from, size) BANNED(strncpy, str_copy)
#undef strncat
#define strncat(to, from, size) BANNED(strncat, buf_append)
#undef stpcpy
#define stpcpy(to, from) BANNED(stpcpy, str_copy)
#undef strtok
#define strtok(text, separators) BANNED(strtok, str_cut)
#undef strtok_r
#define strtok_r(text, separators, state) BANNED(strtok_r, str_cut)
#undef sprintf
#define sprintf(...) BANNED(sprintf, snprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf, vsnprintf)
#undef atoi
#define atoi(text) BANNED(atoi, str_to_u64)
#undef atol
#define atol(text) BANNED(atol, str_to_u64)
#undef atoll
#define atoll(text) BANNED(atoll, str_to_u64)
#undef alloca
#define alloca(size) BANNED(alloca, arena_alloc)
#undef mktemp
#define mktemp(template) BANNED(mktemp, O_TMPFILE)
#undef tmpnam
#define tmpnam(name) BANNED(tmpnam, O_TMPFILE)
#undef gmtime
#define gmtime(time) BANNED(gmtime, gmtime_r)
#undef localtime
#define localtime(time) BANNED(localtime, localtime_r)
#undef ctime
#define ctime(time) BANNED(ctime, clock_iso)
#undef asctime
#define asctime(time) BANNED(asctime, clock_iso)

#endif
