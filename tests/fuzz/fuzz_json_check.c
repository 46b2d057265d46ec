/* SPDX-License-Identifier: MIT
 *
 * The check of Invoke's payload against the parser: they must agree on every text that is not nested
 * deeper than the parser goes.
 */

#include <assert.h>
#include <stdint.h>

#include "api/json_check.h"
#include "base/json.h"

static bool is_deep(const uint8_t *data, size_t size)
{
    size_t depth = 0;
    for (size_t i = 0; i < size; i++)
        depth += data[i] == '[' || data[i] == '{';
    return depth > JSON_DEPTH_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t position = 0;
    const char *why = NULL;
    yyjson_doc *doc = NULL;
    struct str text = str_of_data(data, size);
    int checked = json_check(text, &position, &why);
    if (is_deep(data, size))
        return 0;
    int parsed = json_parse(text, 1 << 20, &doc, NULL);
    assert((checked == 0) == (parsed == 0));
    assert(checked == 0 || (position <= size && why));
    yyjson_doc_free(doc);
    return 0;
}
