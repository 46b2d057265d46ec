// SPDX-License-Identifier: MIT
//
// The record that a destination gets: what was asked, how often it was tried, and what came of it.
// Form: AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations". Internal
// to async/.

#ifndef LAMINA_ASYNC_RECORD_H
#define LAMINA_ASYNC_RECORD_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

// A response above this is not in the record (its member is null): destinations are for small answers.
#define RECORD_RESPONSE_MAX (256 * 1024)

struct record {
    const char *condition; // Success, RetriesExhausted, EventAgeExceeded, ZeroReservedConcurrency
    struct str request_id;
    struct str function_arn; // qualified
    struct str payload;      // JSON; empty: null
    uint32_t tries;
    bool was_invoked; // then the following tell what came
    struct str executed_version;
    bool is_function_error;
    struct str response; // JSON, or any bytes (then a string)
    int64_t at_ms;
};

// Appends the JSON. The buffer's sticking failure on overflow.
int record_append(struct buf *buf, const struct record *record) MUST_CHECK;

// The name and the qualifier ("" if none) in a function's ARN. False if it is none.
bool record_destination(struct str arn, struct str *ret_name, struct str *ret_qualifier);

#endif
