// SPDX-License-Identifier: MIT

#include "aws/canonical.h"

#include "base/percent.h"

#include <errno.h>

// ---- Paths

static bool is_plain(struct str path)
{
    for (size_t i = 0; i < path.size; i++) {
        char c = path.data[i];
        bool is_safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '~';
        bool is_single_slash = c == '/' && (i == 0 || path.data[i - 1] != '/');
        if (!is_safe && !is_single_slash)
            return false;
    }
    return path.size > 0 && path.data[0] == '/';
}

static void drop_segment(struct buf *text, size_t start)
{
    while (text->size > start && text->data[text->size - 1] != '/')
        text->size--;
    if (text->size > start)
        text->size--; // the slash before it
}

// Dot segments and empty ones go, as the SDKs do it before they sign; a slash at the end stays.
int canonical_path(struct str path, bool is_s3, struct buf *text)
{
    if (path.size == 0)
        return buf_append_byte(text, '/');
    if (is_s3 || is_plain(path))
        return buf_append_str(text, path);
    size_t start = text->size;
    bool has_slash_at_end = path.data[path.size - 1] == '/';
    struct str rest = path, segment;
    while (rest.size > 0) {
        (void) str_cut(rest, '/', &segment, &rest);
        if (segment.size == 0 || str_equal(segment, STR(".")))
            continue;
        if (str_equal(segment, STR(".."))) {
            drop_segment(text, start);
            continue;
        }
        buf_append_byte(text, '/');
        percent_append(text, segment, false);
    }
    if (has_slash_at_end || text->size == start)
        buf_append_byte(text, '/');
    return buf_status(text);
}

// ---- Queries

struct pair {
    size_t name_at, name_size, value_at, value_size; // in the encoded text
};

struct pairs {
    struct pair pairs[SIGV4_QUERY_PAIRS_MAX];
    size_t count;
    struct buf encoded;
};

// Appends the part's bytes encoded as SigV4 wants them, however the client had encoded them. A '+'
// is a plus: SDKs send spaces as %20.
static int encode_part(struct str part, struct buf *encoded, size_t *ret_at, size_t *ret_size)
{
    char decoded[4096];
    AUTO_BUF struct buf large = BUF_INIT(SIGV4_CANONICAL_MAX);
    char *to = decoded;
    if (part.size > sizeof(decoded)) {
        int r = buf_reserve(&large, part.size);
        if (r < 0)
            return r;
        to = large.data;
    }
    ptrdiff_t size = percent_decode(part, false, to);
    if (size < 0)
        return (int) size;
    *ret_at = encoded->size;
    int r = percent_append(encoded, (struct str){to, (size_t) size}, false);
    *ret_size = encoded->size - *ret_at;
    return r;
}

static int add_pair(struct pairs *pairs, struct str text)
{
    struct str name, value;
    if (pairs->count == SIGV4_QUERY_PAIRS_MAX)
        return -E2BIG;
    (void) str_cut(text, '=', &name, &value);
    struct pair *pair = &pairs->pairs[pairs->count];
    int r = encode_part(name, &pairs->encoded, &pair->name_at, &pair->name_size);
    if (r == 0)
        r = encode_part(value, &pairs->encoded, &pair->value_at, &pair->value_size);
    if (r < 0)
        return r;
    struct str encoded = {pairs->encoded.data + pair->name_at, pair->name_size};
    if (pair->name_size > 0 && str_equal(encoded, STR("X-Amz-Signature")))
        return 0;
    pairs->count++;
    return 0;
}

static int compare_pairs(const struct buf *encoded, const struct pair *left,
                         const struct pair *right)
{
    struct str all = buf_str(encoded);
    int order = str_compare(str_part(all, left->name_at, left->name_size),
                            str_part(all, right->name_at, right->name_size));
    return order ? order
                 : str_compare(str_part(all, left->value_at, left->value_size),
                               str_part(all, right->value_at, right->value_size));
}

// At most SIGV4_QUERY_PAIRS_MAX, nearly always two or three, often sorted already.
static void sort_pairs(struct pairs *pairs)
{
    for (size_t i = 1; i < pairs->count; i++) {
        struct pair moving = pairs->pairs[i];
        size_t at = i;
        while (at > 0 && compare_pairs(&pairs->encoded, &moving, &pairs->pairs[at - 1]) < 0) {
            pairs->pairs[at] = pairs->pairs[at - 1];
            at--;
        }
        pairs->pairs[at] = moving;
    }
}

static int collect_pairs(struct str query, struct pairs *pairs)
{
    while (query.size > 0) {
        struct str part;
        (void) str_cut(query, '&', &part, &query);
        if (part.size == 0)
            continue;
        int r = add_pair(pairs, part);
        if (r < 0)
            return r;
    }
    return buf_status(&pairs->encoded);
}

int canonical_query(struct str query, struct buf *text)
{
    if (query.size == 0)
        return 0;
    struct pairs pairs;
    pairs.count = 0;
    buf_init(&pairs.encoded, SIGV4_CANONICAL_MAX);
    int r = collect_pairs(query, &pairs);
    if (r == 0) {
        sort_pairs(&pairs);
        for (size_t i = 0; i < pairs.count; i++) {
            const struct pair *pair = &pairs.pairs[i];
            if (i > 0)
                buf_append_byte(text, '&');
            buf_append(text, pairs.encoded.data + pair->name_at, pair->name_size);
            buf_append_byte(text, '=');
            buf_append(text, pairs.encoded.data + pair->value_at, pair->value_size);
        }
        r = buf_status(text);
    }
    buf_done(&pairs.encoded);
    return r;
}

// ---- Headers

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

// Trimmed, and every run of blanks inside is one space.
static void append_value(struct str value, struct buf *text)
{
    value = str_trim(value);
    size_t plain = 0; // most values have no run of blanks: one append
    for (size_t i = 0; i < value.size; i++) {
        if (!is_blank(value.data[i]) || (value.data[i] == ' ' && !is_blank(value.data[i + 1])))
            continue;
        buf_append(text, value.data + plain, i - plain);
        buf_append_byte(text, ' ');
        while (i + 1 < value.size && is_blank(value.data[i + 1]))
            i++;
        plain = i + 1;
    }
    buf_append(text, value.data + plain, value.size - plain);
}

int canonical_headers(const struct sigv4_request *request, struct str signed_headers,
                      struct buf *text)
{
    size_t names = 0;
    while (signed_headers.size > 0) {
        struct str name;
        (void) str_cut(signed_headers, ';', &name, &signed_headers);
        if (++names > SIGV4_HEADERS_MAX)
            return -E2BIG;
        size_t found = 0;
        for (size_t i = 0; i < request->header_count; i++) {
            if (!str_equal(request->headers[i].name, name))
                continue;
            if (found == 0)
                buf_append_str(text, name);
            buf_append_byte(text, found++ == 0 ? ':' : ',');
            append_value(request->headers[i].value, text);
        }
        if (found == 0)
            return -EBADMSG;
        buf_append_byte(text, '\n');
    }
    return buf_status(text);
}
