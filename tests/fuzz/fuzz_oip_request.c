// SPDX-License-Identifier: MIT
//
// Any bytes as an inference request: refused or understood, never more. What was understood is
// answered, and the answer, sent back as a request, must be understood as the same elements.

#include "base/buf.h"
#include "base/error.h"
#include "model_runtime/oip_answer.h"
#include "model_runtime/oip_request.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct oip_identity identity = {"m", "v", "p"};

static int read_all(struct str text, struct oip_request *request)
{
    struct error err = {0};
    if (oip_request_parse(text, request, &err) < 0)
        return -1;
    if (oip_request_read_values(request, &err) == 0)
        return 0;
    oip_request_done(request);
    return -1;
}

// "outputs" of an answer in the place of "inputs" of a request: the tensors' form is the same.
static void check_again(const struct oip_request *first, const bool *is_binary)
{
    static const char start[] = "{\"inputs\":";
    AUTO_BUF struct buf answer = BUF_INIT(ANSWER_BYTES_MAX), text = BUF_INIT(ANSWER_BYTES_MAX + 16);
    struct oip_request second;
    struct error err = {0};

    if (oip_answer_infer(&answer, &identity, (struct str){0}, first->inputs, is_binary,
                         first->input_count, &err) < 0)
        return; // too large
    const char *outputs = memmem(answer.data, answer.size, "\"outputs\":", 10);
    if (outputs == NULL)
        abort();
    buf_append(&text, start, sizeof start - 1);
    buf_append_text(&text, outputs + 10);
    if (read_all(buf_str(&text), &second) < 0 || second.input_count != first->input_count)
        abort();
    for (size_t i = 0; i < first->input_count; i++) {
        const struct tensor *a = &first->inputs[i], *b = &second.inputs[i];
        if (a->datatype != b->datatype || a->count != b->count || a->rank != b->rank)
            abort();
        if (is_binary[i] && a->datatype != DATATYPE_BYTES && memcmp(a->data, b->data, a->size) != 0)
            abort();
    }
    oip_request_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oip_request request;
    bool is_binary[OIP_INPUTS_MAX];

    if (read_all(str_of_data(data, size), &request) < 0)
        return 0;
    if (!request.asks_metadata) {
        memset(is_binary, size & 1, sizeof is_binary);
        check_again(&request, is_binary);
    }
    oip_request_done(&request);
    return 0;
}
