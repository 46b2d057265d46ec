/* SPDX-License-Identifier: MIT
 *
 * The JSON of CreateFunction and UpdateFunctionConfiguration, and what becomes of it: a draft that was
 * accepted must survive the registry's form and come back the same. The first byte tells which.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/function_settings.h"
#include "base/limits.h"

static void check_accepted(const struct version *draft)
{
    struct version *copy = NULL;
    size_t size;
    char *json = version_to_json(draft, &size);
    assert(json);
    int r = version_from_json(json, size, draft->name, "us-east-1", "000000000000", &copy, NULL);
    assert(r == 0);
    struct version *published = version_copy_as(copy, 1);
    assert(published && version_is_same_content(draft, published));
    assert(draft->memory_mb >= LIMIT_MEMORY_MB_MIN && draft->memory_mb <= LIMIT_MEMORY_MB_MAX);
    assert(draft->timeout_s >= LIMIT_TIMEOUT_S_MIN && draft->timeout_s <= LIMIT_TIMEOUT_S_MAX);
    version_unref(published);
    version_unref(copy);
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    yyjson_doc *doc = NULL;
    struct aws_error error = {0};
    char *tags = NULL;
    struct function_settings_context context = {.account = "000000000000"};
    if (size < 1)
        return 0;
    context.is_new = data[0] & 1;
    if (json_parse(str_of_data(data + 1, size - 1), 1 << 20, &doc, NULL) < 0)
        return 0;
    struct version *draft = version_new("f", "us-east-1", "000000000000");
    assert(draft);
    if (!context.is_new) {
        version_set(draft, &draft->runtime, "provided");
        version_set(draft, &draft->handler, "h");
        version_set(draft, &draft->role, "arn:aws:iam::000000000000:role/r");
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (function_settings_read(root, &context, draft, &error) == 0)
        check_accepted(draft);
    else
        assert(error.message[0] != '\0');
    if (function_settings_tags(root, &tags, &error) == 0)
        free(tags);
    version_unref(draft);
    yyjson_doc_free(doc);
    return 0;
}
