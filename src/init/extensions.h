// SPDX-License-Identifier: MIT
//
// External extensions: the files in /opt/extensions, which run beside the bootstrap
// (docs/inside-a-function.md). Internal to lamina-init.
//
//     lamina-init  -- POST /lamina/init/extensions, their names -->  laminad, on the sandbox's Runtime API
//                  starts each of them
//                  <-- 204 when all have registered ---------------  then the bootstrap may run
//                  -- POST /lamina/init/orders ------------------->  kept until there is something to do:
//                  <-- 202: start the courier; 204: SIGTERM to the bootstrap
//                  -- POST /lamina/init/ended, who and how ------->  an extension or the bootstrap has ended
//
// All of this goes over the listener that everybody in the sandbox can reach. laminad trusts none of
// it: whoever lies about a sandbox from inside it ends that sandbox at worst.
//
// The courier (courier.c) is a child that brings telemetry from laminad to extensions that listen on
// a port: laminad itself can make no connection into the sandbox's network namespace.

#ifndef LAMINA_INIT_EXTENSIONS_H
#define LAMINA_INIT_EXTENSIONS_H

#include <stdint.h>

enum { EXTENSIONS_LISTED_MAX = 32 }; // names told to laminad, which refuses more than ten

enum extensions_order { EXTENSIONS_NOTHING, EXTENSIONS_RUN, EXTENSIONS_COURIER, EXTENSIONS_TERM };

// How many there are in /opt/extensions. 0 is the usual case, and costs one system call.
int extensions_find(void);
// Tells laminad of them and starts them.
void extensions_start(char *const *environment);
// The socket on which orders come; -1 when there is none any more.
int extensions_socket(void);
// Reads from it. The order, when one is whole.
enum extensions_order extensions_read(void);
// Notes that a child has ended. 1 when it was one of them.
int extensions_reap(long pid, int status);
int extensions_alive(void);
// The bootstrap has ended (or could not be run: error).
void extensions_tell_bootstrap(int status, int error);

// courier.c: starts it, once.
void courier_start(void);

struct timeval;

// A connection to the Runtime API or another port inside, or -errno. `limit` of making it, and of
// each read and write; NULL: none.
long api_connect(uint16_t port, const struct timeval *limit);
// Writes all of it. 0 or -errno.
long api_write(long fd, const char *data, unsigned long size);

#endif
