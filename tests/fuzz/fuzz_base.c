// SPDX-License-Identifier: MIT
//
// base's small parsers, each against what must hold for any input: the first byte chooses which.

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/percent.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static void must(bool condition)
{
    if (!condition)
        abort();
}

// Whatever decodes encodes to the same text, and pieces give what the whole gives.
static void try_base64(struct str text)
{
    char *whole = malloc(text.size + 4), *pieces = malloc(text.size + 4);
    ptrdiff_t size = base64_decode(text, whole);
    struct base64_decoder decoder = BASE64_DECODER_INIT;
    ptrdiff_t total = 0, got = 0;
    for (size_t at = 0, step = 1; at < text.size && got >= 0; at += step, step = step % 7 + 1) {
        got = base64_decoder_feed(&decoder, str_part(text, at, step), pieces + total);
        total += got > 0 ? got : 0;
    }
    must((got >= 0 && base64_decoder_finish(&decoder) == 0) == (size >= 0));
    if (size >= 0) {
        must(total == size && !memcmp(whole, pieces, (size_t) size));
        AUTO_BUF struct buf again = BUF_INIT(text.size + 1);
        must(base64_append(&again, whole, (size_t) size) == 0 && str_equal(buf_str(&again), text));
    }
    free(whole);
    free(pieces);
}

static void try_percent(struct str text)
{
    char *data = malloc(text.size + 1);
    ptrdiff_t size = percent_decode(text, true, data);
    must(size <= (ptrdiff_t) text.size);
    AUTO_BUF struct buf encoded = BUF_INIT(3 * text.size + 1);
    must(percent_append(&encoded, text, false) == 0);
    must(percent_decode(buf_str(&encoded), false, encoded.data ? encoded.data : data) ==
         (ptrdiff_t) text.size);
    must(text.size == 0 || !memcmp(encoded.data, text.data, text.size));
    free(data);
}

// What is written parses, and gives the text back if it was UTF-8.
static void try_json_string(struct str text)
{
    AUTO_BUF struct buf buf = BUF_INIT(6 * text.size + 2);
    must(json_append_string(&buf, text) == 0);
    AUTO_JSON yyjson_doc *doc = NULL;
    must(json_parse(buf_str(&buf), buf.size, &doc, NULL) == 0);
    struct str back = json_str(yyjson_doc_get_root(doc));
    must(str_is_utf8(back));
    must(!str_is_utf8(text) || str_equal(back, text));
}

static void try_json(struct str text)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct error err = {0};
    int r = json_parse(text, 1 << 20, &doc, &err);
    must(r == 0 || err.text[0]);
    if (r == 0) {
        struct str name;
        int64_t number;
        (void) !json_member_str(yyjson_doc_get_root(doc), "a",
                                &name); // must not crash: that is all
        (void) !json_member_i64(yyjson_doc_get_root(doc), "a", -5, 5, &number);
    }
}

static void try_numbers(struct str text)
{
    uint64_t u;
    int64_t i;
    char again[32];
    if (str_to_u64(text, UINT64_MAX, &u) == 0) {
        (void) snprintf(again, sizeof again, "%llu", (unsigned long long) u);
        must(str_has_suffix(text, str_of(again))); // but for zeros in front
    }
    if (str_to_i64(text, INT64_MIN, INT64_MAX, &i) == 0 && i < 0)
        must(text.data[0] == '-');
    char when[CLOCK_TEXT_MAX];
    if (clock_parse_basic(text, &i) == 0)
        must(str_equal_text(text, clock_basic(i * 1000, when)));
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    if (digest_parse_hex(text, &digest) == 0)
        must(str_equal_text(text, digest_hex(&digest, hex)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parsers[])(struct str text) = {try_base64, try_percent, try_json_string,
                                                       try_json, try_numbers};
    if (size == 0)
        return 0;
    // A copy of exactly its size, so that ASan sees every byte read too many.
    char *copy = malloc(size - 1);
    if (size > 1)
        memcpy(copy, data + 1, size - 1);
    parsers[data[0] % ARRAY_SIZE(parsers)](str_of_data(copy, size - 1));
    free(copy);
    return 0;
}
