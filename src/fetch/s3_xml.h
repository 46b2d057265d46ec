// SPDX-License-Identifier: MIT
//
// What object stores answer in XML: an error, or a page of a list. A scanner for these two, not an
// XML parser: it walks tags, undoes the five entities and character references, and knows no
// documents types, processing instructions or namespaces beyond skipping them. Anything else is
// -EBADMSG. Linear in the text's size; holds nothing.
//
// Pure; any thread.

#ifndef LAMINA_FETCH_S3_XML_H
#define LAMINA_FETCH_S3_XML_H

#include "base/compiler.h"
#include "base/str.h"
#include "fetch/s3_uri.h"

#include <stdbool.h>
#include <stdint.h>

#define S3_XML_DEPTH_MAX 16
#define S3_ERROR_CODE_MAX 64
#define S3_ERROR_MESSAGE_MAX 256

struct s3_xml_error {
    char code[S3_ERROR_CODE_MAX + 1]; // "NoSuchKey"; "" if there is none
    char message[S3_ERROR_MESSAGE_MAX + 1];
};
// Whatever text a store sent: what is no such document leaves both empty. Control characters become
// spaces; what is too long is cut.
void s3_xml_error(struct str text, struct s3_xml_error *ret_error);

struct s3_xml_entry {
    char key[S3_KEY_MAX + 1]; // decoded
    uint64_t bytes;
};
struct s3_xml_page {
    bool is_truncated;
    char token[S3_KEY_MAX * 3 + 1]; // NextContinuationToken
};
// Calls `each` for every object of a ListObjectsV2 answer; a negative answer of it ends the reading
// and is returned.
int s3_xml_list(struct str text, int (*each)(void *arg, const struct s3_xml_entry *entry),
                void *arg, struct s3_xml_page *ret_page) MUST_CHECK;

#endif
