// SPDX-License-Identifier: MIT
//
// Takes one long base64 string out of a JSON text that comes in pieces. Everything else is copied to
// `rest`, where the string stands empty; the decoded bytes go to `write` as they come.
//
//     {"FunctionName":"f","Code":{"ZipFile":"UEsDB..."}}   with path "Code.ZipFile"
//     {"FunctionName":"f","Code":{"ZipFile":""}}           and the zip's bytes
//
// It looks at JSON's tokens only as far as it must to know where it is: whether `rest` is JSON the
// parser says later, and it is exactly if the whole was. A name on the path that is there twice in
// its object is refused, since parsers differ in which one they believe. Names and base64 may be
// escaped ("\/" and "=" are written by real clients). One thread at a time.

#ifndef LAMINA_FETCH_SCANNER_H
#define LAMINA_FETCH_SCANNER_H

#include "base/base64.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCANNER_PATH_MAX 4
#define SCANNER_NAME_MAX 32
#define SCANNER_PIECE (32 * 1024) // characters decoded at a time

enum scanner_state {
    SCANNER_BETWEEN, // outside strings
    SCANNER_STRING,  // in a string that is copied
    SCANNER_TARGET,  // in the string that is decoded
    SCANNER_AFTER,   // behind the whole value: white space only
};

struct scanner {
    struct buf *rest;                                       // borrowed
    int (*write)(void *arg, const void *data, size_t size); // 0 or -errno, which ends the scan
    void *arg;

    struct str path[SCANNER_PATH_MAX];
    size_t path_size;
    bool is_seen[SCANNER_PATH_MAX]; // the name was there

    enum scanner_state state;
    bool is_object[JSON_DEPTH_MAX + 1]; // of the open containers, from 1
    size_t depth;                       // open containers
    size_t matched;                     // how many of them, from the root, are on the path
    bool is_value_next;                 // a ':' came: the next token is a member's value
    bool is_name_matching;              // ... and its name is the path's next
    bool is_name;                       // SCANNER_STRING: it is a member's name

    // In strings: an escape under way (0: none, 1: behind '\', 2-5: digits of \u), and a name so far.
    uint8_t escape;
    uint32_t escape_code;
    char name[SCANNER_NAME_MAX];
    size_t name_size; // SCANNER_NAME_MAX + 1: longer than any of ours

    struct base64_decoder decoder;
    bool has_target;
    uint8_t decoded[SCANNER_PIECE];
};

enum scanner_error {
    SCANNER_BAD_JSON = 1,
    SCANNER_TWICE,
    SCANNER_BAD_BASE64,
    SCANNER_REST_TOO_LARGE,
    SCANNER_WRITE, // `write` failed
};

// `path`: names joined by '.', a literal; every name shorter than SCANNER_NAME_MAX.
void scanner_init(struct scanner *scanner, const char *path, struct buf *rest,
                  int (*write)(void *arg, const void *data, size_t size), void *arg);

// 0 or enum scanner_error; after an error nothing more may be fed.
int scanner_feed(struct scanner *scanner, const void *data, size_t size) MUST_CHECK;
// The text is complete. 0 or enum scanner_error.
int scanner_finish(struct scanner *scanner) MUST_CHECK;

#endif
