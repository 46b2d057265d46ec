// SPDX-License-Identifier: MIT

#include "fetch/scanner.h"

#include <assert.h>
#include <string.h>

void scanner_init(struct scanner *scanner, const char *path, struct buf *rest,
                  int (*write)(void *arg, const void *data, size_t size), void *arg)
{
    // The buffer for decoded bytes need not be cleared.
    memset(scanner, 0, offsetof(struct scanner, decoded));
    scanner->rest = rest;
    scanner->write = write;
    scanner->arg = arg;
    struct str left = str_of(path);
    while (left.size > 0) {
        assert(scanner->path_size < SCANNER_PATH_MAX);
        str_cut(left, '.', &scanner->path[scanner->path_size++], &left);
    }
}

static int rest_append(struct scanner *scanner, const char *data, size_t size)
{
    return buf_append(scanner->rest, data, size) < 0 ? SCANNER_REST_TOO_LARGE : 0;
}

// ---- Strings: escapes

// A character that an escape stands for, -1 while it goes on, -2 when it is none. What is not one
// byte in UTF-8 is given as 0x80: it is in no name of ours and in no base64.
static int escape_feed(struct scanner *scanner, unsigned char byte)
{
    static const char plain[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    if (scanner->escape == 1) {
        const char *at = byte ? strchr(plain, byte) : NULL;
        scanner->escape = byte == 'u' ? 2 : 0;
        scanner->escape_code = 0;
        return byte == 'u' ? -1 : at ? (unsigned char) meaning[at - plain] : -2;
    }
    int digit = byte >= '0' && byte <= '9'                 ? byte - '0'
                : (byte | 32) >= 'a' && (byte | 32) <= 'f' ? (byte | 32) - 'a' + 10
                                                           : -1;
    if (digit < 0)
        return -2;
    scanner->escape_code = scanner->escape_code << 4 | (uint32_t) digit;
    if (++scanner->escape < 6)
        return -1;
    scanner->escape = 0;
    return scanner->escape_code < 0x80 ? (int) scanner->escape_code : 0x80;
}

static void name_append(struct scanner *scanner, int byte)
{
    if (scanner->name_size < SCANNER_NAME_MAX)
        scanner->name[scanner->name_size] = (char) byte;
    if (scanner->name_size <= SCANNER_NAME_MAX)
        scanner->name_size++;
}

// ---- Strings that are copied

static int name_end(struct scanner *scanner)
{
    scanner->is_name_matching = false;
    if (scanner->depth != scanner->matched || scanner->matched == 0 ||
        scanner->name_size > SCANNER_NAME_MAX)
        return 0;
    struct str name = {scanner->name, scanner->name_size};
    size_t position = scanner->matched - 1;
    if (!str_equal(name, scanner->path[position]))
        return 0;
    if (scanner->is_seen[position])
        return SCANNER_TWICE;
    scanner->is_seen[position] = true;
    scanner->is_name_matching = true;
    return 0;
}

// Returns the bytes taken, or a negative scanner_error.
static ptrdiff_t string_feed(struct scanner *scanner, const char *data, size_t size)
{
    size_t i = 0;
    for (; i < size && scanner->state == SCANNER_STRING; i++) {
        unsigned char byte = (unsigned char) data[i];
        int meant = byte;
        if (scanner->escape)
            meant = escape_feed(scanner, byte);
        else if (byte == '\\')
            meant = -1, scanner->escape = 1;
        else if (byte == '"')
            meant = -1, scanner->state = SCANNER_BETWEEN;
        else if (byte < 0x20)
            meant = -2;
        if (meant == -2)
            return -SCANNER_BAD_JSON;
        if (meant >= 0 && scanner->is_name)
            name_append(scanner, meant);
    }
    int e = rest_append(scanner, data, i);
    if (e == 0 && scanner->state == SCANNER_BETWEEN && scanner->is_name)
        e = name_end(scanner);
    return e ? -(ptrdiff_t) e : (ptrdiff_t) i;
}

// ---- The string that is decoded

static int decode(struct scanner *scanner, const char *data, size_t size)
{
    while (size > 0) {
        size_t piece = size < SCANNER_PIECE ? size : SCANNER_PIECE;
        ptrdiff_t n =
            base64_decoder_feed(&scanner->decoder, (struct str){data, piece}, scanner->decoded);
        if (n < 0)
            return SCANNER_BAD_BASE64;
        if (n > 0 && scanner->write(scanner->arg, scanner->decoded, (size_t) n) < 0)
            return SCANNER_WRITE;
        data += piece;
        size -= piece;
    }
    return 0;
}

static int target_escape(struct scanner *scanner, unsigned char byte)
{
    int meant = escape_feed(scanner, byte);
    if (meant == -2)
        return SCANNER_BAD_JSON;
    char character = (char) meant;
    return meant < 0 ? 0 : decode(scanner, &character, 1);
}

static size_t plain_run(const char *data, size_t size)
{
    const char *quote = memchr(data, '"', size);
    size_t run = quote ? (size_t) (quote - data) : size;
    const char *backslash = memchr(data, '\\', run);
    return backslash ? (size_t) (backslash - data) : run;
}

static ptrdiff_t target_feed(struct scanner *scanner, const char *data, size_t size)
{
    size_t i = 0;
    while (i < size && scanner->state == SCANNER_TARGET) {
        int e = 0;
        if (scanner->escape) {
            e = target_escape(scanner, (unsigned char) data[i++]);
        } else if (data[i] == '\\') {
            scanner->escape = 1;
            i++;
        } else if (data[i] == '"') {
            scanner->state = SCANNER_BETWEEN;
            i++;
            e = base64_decoder_finish(&scanner->decoder) < 0 ? SCANNER_BAD_BASE64
                                                             : rest_append(scanner, "\"", 1);
        } else {
            size_t run = plain_run(data + i, size - i);
            e = decode(scanner, data + i, run);
            i += run;
        }
        if (e)
            return -(ptrdiff_t) e;
    }
    return (ptrdiff_t) i;
}

// ---- Between strings

static int container_open(struct scanner *scanner, bool is_object)
{
    if (scanner->depth == JSON_DEPTH_MAX)
        return SCANNER_BAD_JSON;
    bool is_on_path =
        scanner->depth == 0 || (scanner->depth == scanner->matched && scanner->is_name_matching &&
                                scanner->is_value_next && scanner->matched < scanner->path_size);
    scanner->is_object[++scanner->depth] = is_object;
    if (is_object && is_on_path)
        scanner->matched = scanner->depth;
    scanner->is_value_next = false;
    return 0;
}

static int container_close(struct scanner *scanner, bool is_object)
{
    if (scanner->depth == 0 || scanner->is_object[scanner->depth] != is_object)
        return SCANNER_BAD_JSON;
    if (scanner->matched == scanner->depth)
        scanner->matched--;
    scanner->depth--;
    scanner->is_value_next = false;
    scanner->is_name_matching = false;
    if (scanner->depth == 0)
        scanner->state = SCANNER_AFTER;
    return 0;
}

static void string_open(struct scanner *scanner)
{
    bool is_in_object = scanner->depth > 0 && scanner->is_object[scanner->depth];
    bool is_target = is_in_object && scanner->is_value_next && scanner->is_name_matching &&
                     scanner->depth == scanner->matched && scanner->matched == scanner->path_size;
    scanner->escape = 0;
    scanner->name_size = 0;
    scanner->is_name = is_in_object && !scanner->is_value_next;
    scanner->is_value_next = false;
    scanner->state = is_target ? SCANNER_TARGET : SCANNER_STRING;
    scanner->has_target |= is_target;
}

static int token_feed(struct scanner *scanner, char byte)
{
    switch (byte) {
    case '{':
    case '[':
        return container_open(scanner, byte == '{');
    case '}':
    case ']':
        return container_close(scanner, byte == '}');
    case '"':
        string_open(scanner);
        return 0;
    case ':':
        scanner->is_value_next = true;
        return 0;
    case ',':
        scanner->is_value_next = false;
        return 0;
    default:
        return 0;
    }
}

static ptrdiff_t between_feed(struct scanner *scanner, const char *data, size_t size)
{
    size_t i = 0;
    while (i < size && scanner->state == SCANNER_BETWEEN) {
        int e = token_feed(scanner, data[i++]);
        if (e)
            return -(ptrdiff_t) e;
    }
    int e = rest_append(scanner, data, i);
    return e ? -(ptrdiff_t) e : (ptrdiff_t) i;
}

static ptrdiff_t after_feed(struct scanner *scanner, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!memchr(" \t\r\n", data[i], 4))
            return -SCANNER_BAD_JSON;
    }
    return (ptrdiff_t) size;
}

int scanner_feed(struct scanner *scanner, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        ptrdiff_t n;
        if (scanner->state == SCANNER_STRING)
            n = string_feed(scanner, from, size);
        else if (scanner->state == SCANNER_TARGET)
            n = target_feed(scanner, from, size);
        else if (scanner->state == SCANNER_AFTER)
            n = after_feed(scanner, from, size);
        else
            n = between_feed(scanner, from, size);
        if (n < 0)
            return (int) -n;
        from += n;
        size -= (size_t) n;
    }
    return 0;
}

// A text that is no container ("x", 7, nothing) ends between strings at depth 0: the parser's matter.
int scanner_finish(struct scanner *scanner)
{
    bool is_complete = scanner->state == SCANNER_AFTER ||
                       (scanner->state == SCANNER_BETWEEN && scanner->depth == 0);
    return is_complete ? 0 : SCANNER_BAD_JSON;
}
