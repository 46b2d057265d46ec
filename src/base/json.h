// SPDX-License-Identifier: MIT
//
// JSON by yyjson, with the rules that the whole project shares: strict RFC 8259 (no comments, no
// trailing commas, no NaN), valid UTF-8, sizes and depth limited, and AWS's reading of members: a
// member that is null is absent, unknown members are ignored. Of duplicate members the first counts.
//
// yyjson's own functions may be used on the values (yyjson_val, yyjson_mut_doc); this header is
// for what would otherwise be written again everywhere.
//
//     AUTO_JSON yyjson_doc *doc = NULL;
//     r = json_parse(body, 1 << 20, &doc, &err);
//     struct str name = {0};
//     r = json_member_str(yyjson_doc_get_root(doc), "FunctionName", &name);   // -ENOENT: absent

#ifndef LAMINA_BASE_JSON_H
#define LAMINA_BASE_JSON_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>

#define JSON_DEPTH_MAX 64

void json_doc_free_pointer(yyjson_doc **doc);
void json_mut_doc_free_pointer(yyjson_mut_doc **doc);

#define AUTO_JSON AUTO(json_doc_free_pointer)
#define AUTO_JSON_MUT AUTO(json_mut_doc_free_pointer)

// Parses a whole text (copied: the text may go away). -EFBIG above size_max, -EINVAL for bad JSON or
// one nested deeper than JSON_DEPTH_MAX (the error names the position), -ENOMEM. A parsed value takes 16
// bytes, so the document can be 8 times the text's size.
int json_parse(struct str text, size_t size_max, yyjson_doc **ret_doc,
               struct error *err) MUST_CHECK;

// The member, or NULL if it is absent or null, or if `object` is not an object (or NULL).
yyjson_val *json_member(yyjson_val *object, const char *name) MUST_CHECK;

// Typed members: 0, -ENOENT when absent or null, -EINVAL when of another type, -ERANGE for a number
// outside the limits. Texts are views that live as long as the document; they may hold NULs (from
// \u0000): str_copy refuses those. Numbers must be integers (1.0 is -EINVAL).
int json_member_str(yyjson_val *object, const char *name, struct str *ret_value) MUST_CHECK;
int json_member_i64(yyjson_val *object, const char *name, int64_t minimum, int64_t maximum,
                    int64_t *ret_value) MUST_CHECK;
int json_member_bool(yyjson_val *object, const char *name, bool *ret_value) MUST_CHECK;
int json_member_object(yyjson_val *object, const char *name, yyjson_val **ret_value) MUST_CHECK;
int json_member_array(yyjson_val *object, const char *name, yyjson_val **ret_value) MUST_CHECK;

// A view of a string value; empty for anything else.
struct str json_str(yyjson_val *value) MUST_CHECK;

// Appends the text as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
int json_append_string(struct buf *buf, struct str text);

// Appends a document made with yyjson's mutable API, without spaces. Values that JSON cannot hold
// (NaN, bad UTF-8) make it -EINVAL. For texts from outside use yyjson_mut_strncpy.
int json_append_doc(struct buf *buf, const yyjson_mut_doc *doc) MUST_CHECK;

// Adds a member with a copy of the text; false without memory. `name` is borrowed (a literal).
bool json_add_str(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, struct str value);

#endif
