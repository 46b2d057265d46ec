// SPDX-License-Identifier: MIT
//
// XML as S3's rest-xml has it: a reader for small documents that strangers send, and escaping for
// what we write.
//
// The reader is a cursor over text in memory and takes no memory of its own:
//
//     xml_init(&xml, text);
//     while ((r = xml_next(&xml, &event)) > 0) ...
//
// The subset: elements with attributes (skipped), text with the five named entities and character
// references, CDATA, comments, one XML declaration. What an S3 client never sends is refused, not
// skipped: DOCTYPE (and so entities of one's own and external ones), processing instructions,
// encodings other than UTF-8. Namespace prefixes are cut off. Limits: XML_DEPTH_MAX.

#ifndef LAMINA_AWS_XML_H
#define LAMINA_AWS_XML_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define XML_DEPTH_MAX 16

enum xml_kind { XML_START, XML_END, XML_TEXT };

struct xml_event {
    enum xml_kind kind;
    struct str name;  // START, END: local name
    struct str text;  // TEXT: as written: xml_decode
    bool is_verbatim; // TEXT: of a CDATA section: nothing to decode
};

struct xml {
    struct str rest;
    unsigned depth;
    struct str open[XML_DEPTH_MAX]; // whole names, to be closed by the same
    struct str closing;             // of an element without content
    bool is_closing;
    bool had_root;
};

void xml_init(struct xml *xml, struct str text);
// 1: an event; 0: the document is complete; -EINVAL: not well-formed or not in the subset.
int xml_next(struct xml *xml, struct xml_event *ret_event) MUST_CHECK;

// Text content of the element that was just started, until its end; child elements are -EINVAL. In
// `arena`. -ENOMEM.
int xml_content(struct xml *xml, struct arena *arena, struct str *ret_text) MUST_CHECK;
// Over the element that was just started, whatever is in it.
int xml_skip(struct xml *xml) MUST_CHECK;

// Appends with & < > " and what XML cannot hold (control characters) as references.
int xml_append(struct buf *buf, struct str text);

#endif
