// SPDX-License-Identifier: MIT
//
// The XML reader: it ends, stays within the text, opens as often as it closes; escaping is undone
// by reading.

#include "aws/xml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct str part, struct str whole)
{
    if (part.size && (part.data < whole.data || part.data + part.size > whole.data + whole.size))
        abort();
}

static void walk(struct str text)
{
    struct xml xml;
    struct xml_event event;
    int r, depth = 0;
    xml_init(&xml, text);
    while ((r = xml_next(&xml, &event)) > 0) {
        check_within(event.name, text);
        check_within(event.text, text);
        depth += event.kind == XML_START ? 1 : event.kind == XML_END ? -1 : 0;
        if (depth < 0 || depth > XML_DEPTH_MAX)
            abort();
    }
    if (r == 0 && depth != 0)
        abort();
}

static void walk_contents(struct str text)
{
    AUTO_ARENA struct arena arena;
    struct xml xml;
    struct xml_event event;
    struct str content;
    arena_init(&arena, 1 << 20);
    xml_init(&xml, text);
    while (xml_next(&xml, &event) > 0) {
        int r = event.kind != XML_START    ? 0
                : event.name.size % 2 == 0 ? xml_content(&xml, &arena, &content)
                                           : xml_skip(&xml);
        if (r < 0)
            break;
    }
}

static void write_and_read(struct str text)
{
    AUTO_ARENA struct arena arena;
    AUTO_BUF struct buf written = BUF_INIT(1 << 20);
    struct xml xml;
    struct xml_event event;
    struct str read;
    arena_init(&arena, 1 << 20);
    buf_append_text(&written, "<a>");
    xml_append(&written, text);
    buf_append_text(&written, "</a>");
    xml_init(&xml, buf_str(&written));
    // A NUL has no reference that is allowed.
    bool has_nul = text.size && memchr(text.data, 0, text.size);
    if (text.size > 8192 || has_nul || xml_next(&xml, &event) != 1)
        return;
    if (xml_content(&xml, &arena, &read) != 0 || !str_equal(read, text))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of_data(data, size);
    walk(text);
    walk_contents(text);
    write_and_read(text);
    return 0;
}
