// SPDX-License-Identifier: MIT
//
// Any bytes as a file's beginning: an XGBoost model or not, told of those bytes alone. What is one stays one whatever
// follows, and of no file that is empty, or another object, it is said.

#include "model_runtime/xgboost_file.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = malloc(size + 1); // so that a read beyond is seen
    if (!exact)
        abort();
    exact[size] = '{';
    if (size > 0)
        memcpy(exact, data, size);
    bool is_model = xgboost_head_is_model(exact, size);
    if (is_model && !xgboost_head_is_model(exact, size + 1))
        abort();
    if (is_model && !memmem(exact, size, "learner", 7))
        abort();
    free(exact);
    char *alone = malloc(size > 0 ? size : 1);
    if (!alone)
        abort();
    if (size > 0)
        memcpy(alone, data, size);
    if (xgboost_head_is_model(alone, size) != is_model)
        abort();
    free(alone);
    return 0;
}
