// SPDX-License-Identifier: MIT
//
// The first byte tells: an ARN of a layer version, which must come back as it was when it is accepted; or a row of
// the registry, which must survive being written and read again.

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/layer_name.h"
#include "function/layer.h"

static void check_arn(struct str text)
{
    struct layer_arn arn;
    char name[VERSION_LAYER_NAME_MAX + 1];
    if (layer_arn_parse(text, &arn) < 0)
        return;
    assert(arn.account.size == 12 && arn.region.size > 0);
    assert(str_copy(arn.name, name, sizeof(name)) == 0 && name[0]); // fits where it is kept
    assert(!strpbrk(name, ":/.\"\\ "));
    assert(str_has_prefix(text, STR("arn:")) && text.size <= LAYER_LABEL_MAX);
}

static void check_row(struct str text)
{
    struct layer_version *version = layer_version_new(), *again = layer_version_new();
    struct error err = {0};
    size_t size;
    assert(version && again);
    if (layer_version_from_json(text, version, &err) == 0) {
        char *json = layer_version_to_json(version, &size);
        assert(json && layer_version_from_json(str_of_data(json, size), again, &err) == 0);
        assert(again->zip_bytes == version->zip_bytes && again->created_ms == version->created_ms);
        assert(memcmp(again->tree_id, version->tree_id, sizeof(again->tree_id)) == 0);
        assert(!again->policy_json == !version->policy_json);
        free(json);
    }
    layer_version_free(version);
    layer_version_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (data[0] & 1)
        check_arn(str_of_data(data + 1, size - 1));
    else
        check_row(str_of_data(data + 1, size - 1));
    return 0;
}
