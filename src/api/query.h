// SPDX-License-Identifier: MIT
//
// query: AWS's query protocol, which STS and IAM speak: parameters as a form (in the body, or in the
// query string), XML out.
//
//     Action=GetRole&Version=2010-05-08&RoleName=r
//       -> <GetRoleResponse xmlns="..."><GetRoleResult>...</GetRoleResult><ResponseMetadata>...
//
// Loop thread. A form is at most LIMIT_CONTROL_REQUEST_MAX bytes; a decoded value lives in the request's
// arena, and is UTF-8 without control characters but tab and line ends.

#ifndef LAMINA_API_QUERY_H
#define LAMINA_API_QUERY_H

#include "api/call.h"

// The first value of that name; data == NULL: absent. Sets the error: a value that is not well-formed.
int query_value(struct call *call, const char *name, struct str *ret_value) MUST_CHECK;

// The action that a form names, of at most ACTION bytes; false: none, or not well-formed. Pure.
bool query_find(struct str form, const char *name, struct str *ret_raw) MUST_CHECK;

// Appends text with & < > " and ' as entities.
void query_append_xml(struct buf *xml, struct str text);
// <name>text</name>
void query_append_element(struct buf *xml, const char *name, struct str text);

// Answers 200. `result` is what stands inside <ActionResult>, or empty for actions that have none; its
// memory is freed.
void query_answer(struct call *call, const char *action, struct buf *result);

// Answers call->error: <ErrorResponse>, with the code as these services write it.
void query_fail(struct call *call);

#endif
