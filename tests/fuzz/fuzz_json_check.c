/* SPDX-License-Identifier: MIT
 *
 * The check of Invoke's payload against the parser: they must agree on every text. Numbers are left as text
 * there: whether 1e999999 fits into a double is not the grammar's business.
 */

#include <assert.h>
#include <stdint.h>

#include "api/json_check.h"
#include "base/json.h"

/* At most this many brackets can be nested: the parser has no limit of its own, ours has. */
static bool is_deep(const uint8_t *data, size_t size)
{
    size_t depth = 0;
    for (size_t i = 0; i < size; i++)
        depth += data[i] == '[' || data[i] == '{';
    return depth > JSON_CHECK_DEPTH_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t position = 0;
    const char *why = NULL;
    struct str text = str_of_data(data, size);
    int checked = json_check(text, &position, &why);
    if (is_deep(data, size))
        return 0;
    yyjson_doc *doc = yyjson_read((const char *) data, size, YYJSON_READ_NUMBER_AS_RAW);
    assert((checked == 0) == (doc != NULL));
    assert(checked == 0 || (position <= size && why));
    yyjson_doc_free(doc);
    return 0;
}
