// SPDX-License-Identifier: MIT
//
// Any bytes as a CreateFunction body: the same outcome whatever the pieces; and where the scanner
// accepts, what it hands on is JSON exactly if the whole was, with the same member as the parser sees.

#include "base/buf.h"
#include "base/json.h"
#include "fetch/scanner.h"

#include <stdlib.h>

#define SIZE_MAX_HERE (64 * 1024)

static void must(bool condition)
{
    if (!condition)
        abort();
}

struct scan {
    int error;
    bool has_target;
    struct buf rest, zip;
};

static int on_write(void *arg, const void *data, size_t size)
{
    struct scan *scan = arg;
    must(size > 0);
    return buf_append(&scan->zip, data, size);
}

static void scan_in(struct str text, size_t step_max, struct scan *scan)
{
    static struct scanner scanner;
    buf_init(&scan->rest, SIZE_MAX_HERE);
    buf_init(&scan->zip, SIZE_MAX_HERE);
    scanner_init(&scanner, "Code.ZipFile", &scan->rest, on_write, scan);
    scan->error = 0;
    for (size_t at = 0, step = 1; scan->error == 0 && at < text.size;
         at += step, step = step % step_max + 1) {
        struct str piece = str_part(text, at, step);
        scan->error = scanner_feed(&scanner, piece.data, piece.size);
    }
    if (scan->error == 0)
        scan->error = scanner_finish(&scanner);
    scan->has_target = scanner.has_target;
}

static void scan_done(struct scan *scan)
{
    buf_done(&scan->rest);
    buf_done(&scan->zip);
}

static void compare_with_parser(struct str text, const struct scan *scan)
{
    AUTO_JSON yyjson_doc *whole = NULL;
    AUTO_JSON yyjson_doc *rest = NULL;
    int r = json_parse(text, SIZE_MAX_HERE, &whole, NULL);
    if (scan->error) {
        // Valid JSON is refused for a member twice, for its base64 or for its size, never as bad JSON.
        must(r < 0 || scan->error != SCANNER_BAD_JSON);
        return;
    }
    must((json_parse(buf_str(&scan->rest), SIZE_MAX_HERE, &rest, NULL) < 0) == (r < 0));
    if (r < 0)
        return;
    yyjson_val *member = json_member(json_member(yyjson_doc_get_root(whole), "Code"), "ZipFile");
    must(yyjson_is_str(member) == scan->has_target);
    yyjson_val *left = json_member(json_member(yyjson_doc_get_root(rest), "Code"), "ZipFile");
    must(!scan->has_target || json_str(left).size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scan pieces, whole;
    struct str text = str_of_data(data, size < SIZE_MAX_HERE ? size : SIZE_MAX_HERE);
    scan_in(text, 13, &pieces);
    scan_in(text, SIZE_MAX, &whole);
    must(pieces.error == whole.error && pieces.has_target == whole.has_target);
    if (whole.error == 0) {
        must(str_equal(buf_str(&pieces.rest), buf_str(&whole.rest)));
        must(str_equal(buf_str(&pieces.zip), buf_str(&whole.zip)));
    }
    compare_with_parser(text, &whole);
    scan_done(&pieces);
    scan_done(&whole);
    return 0;
}
