// SPDX-License-Identifier: MIT

#include "aws/xml.h"

#include <errno.h>
#include <string.h>

void xml_init(struct xml *xml, struct str text)
{
    *xml = (struct xml){.rest = text};
    if (str_has_prefix(text, STR("\xef\xbb\xbf")))
        xml->rest = str_skip(text, 3);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':' || (unsigned char) c >= 0x80;
}

static void skip_space(struct xml *xml)
{
    while (xml->rest.size > 0 && is_space(xml->rest.data[0]))
        xml->rest = str_skip(xml->rest, 1);
}

static bool take(struct xml *xml, struct str text)
{
    if (!str_has_prefix(xml->rest, text))
        return false;
    xml->rest = str_skip(xml->rest, text.size);
    return true;
}

// Up to and over `end`; *ret_before is what came before it.
static int take_until(struct xml *xml, struct str end, struct str *ret_before)
{
    const char *found =
        xml->rest.size ? memmem(xml->rest.data, xml->rest.size, end.data, end.size) : NULL;
    if (!found)
        return -EINVAL;
    size_t size = (size_t) (found - xml->rest.data);
    *ret_before = str_part(xml->rest, 0, size);
    xml->rest = str_skip(xml->rest, size + end.size);
    return 0;
}

static int take_name(struct xml *xml, struct str *ret_name)
{
    size_t size = 0;
    while (size < xml->rest.size && is_name_byte(xml->rest.data[size]))
        size++;
    if (size == 0)
        return -EINVAL;
    *ret_name = str_part(xml->rest, 0, size);
    xml->rest = str_skip(xml->rest, size);
    return 0;
}

static struct str local_name(struct str name)
{
    ptrdiff_t colon = str_find_last(name, ':');
    return colon < 0 ? name : str_skip(name, (size_t) colon + 1);
}

// name="value", any number of them; values are not looked into but for '<'.
static int skip_attributes(struct xml *xml)
{
    for (;;) {
        struct str name, value;
        size_t before = xml->rest.size;
        skip_space(xml);
        if (xml->rest.size == 0)
            return -EINVAL;
        char c = xml->rest.data[0];
        if (c == '>' || c == '/' || c == '?')
            return 0;
        if (before == xml->rest.size || take_name(xml, &name) < 0)
            return -EINVAL;
        skip_space(xml);
        if (!take(xml, STR("=")))
            return -EINVAL;
        skip_space(xml);
        struct str quote = take(xml, STR("\"")) ? STR("\"") : STR("'");
        if (quote.data[0] == '\'' && !take(xml, quote))
            return -EINVAL;
        if (take_until(xml, quote, &value) < 0 || str_find(value, '<') >= 0)
            return -EINVAL;
    }
}

static int close_element(struct xml *xml, struct str name, struct xml_event *event)
{
    if (xml->depth == 0 || !str_equal(xml->open[xml->depth - 1], name))
        return -EINVAL;
    xml->depth--;
    *event = (struct xml_event){.kind = XML_END, .name = local_name(name)};
    return 1;
}

static int start_element(struct xml *xml, struct xml_event *event)
{
    struct str name;
    if (take_name(xml, &name) < 0 || skip_attributes(xml) < 0)
        return -EINVAL;
    bool is_empty = take(xml, STR("/"));
    if (!take(xml, STR(">")) || xml->depth == XML_DEPTH_MAX || (xml->depth == 0 && xml->had_root))
        return -EINVAL;
    xml->had_root = true;
    xml->open[xml->depth++] = name;
    xml->is_closing = is_empty;
    xml->closing = name;
    *event = (struct xml_event){.kind = XML_START, .name = local_name(name)};
    return 1;
}

static int end_element(struct xml *xml, struct xml_event *event)
{
    struct str name;
    if (take_name(xml, &name) < 0)
        return -EINVAL;
    skip_space(xml);
    return take(xml, STR(">")) ? close_element(xml, name, event) : -EINVAL;
}

static int text_event(struct xml *xml, struct str text, bool is_verbatim, struct xml_event *event)
{
    *event = (struct xml_event){.kind = XML_TEXT, .text = text, .is_verbatim = is_verbatim};
    return 1;
}

static int declaration(struct xml *xml)
{
    struct str text;
    if (xml->had_root || take_until(xml, STR("?>"), &text) < 0)
        return -EINVAL;
    // Only UTF-8 has a meaning here; other names would make other text of the same bytes.
    const char *encoding = text.size ? memmem(text.data, text.size, "encoding", 8) : NULL;
    if (!encoding)
        return 0;
    struct str rest = str_skip(text, (size_t) (encoding - text.data) + 8);
    while (rest.size > 0 && (is_space(rest.data[0]) || strchr("='\"", rest.data[0])))
        rest = str_skip(rest, 1);
    return str_equal_nocase(str_part(rest, 0, 5), STR("utf-8")) ? 0 : -EINVAL;
}

// Text before the next '<'. Outside of the root only space.
static int text_before(struct xml *xml, struct xml_event *event)
{
    ptrdiff_t at = str_find(xml->rest, '<');
    size_t size = at < 0 ? xml->rest.size : (size_t) at;
    struct str text = str_part(xml->rest, 0, size);
    xml->rest = str_skip(xml->rest, size);
    if (xml->depth > 0)
        return text_event(xml, text, false, event);
    return str_trim(text).size == 0 ? 0 : -EINVAL;
}

int xml_next(struct xml *xml, struct xml_event *ret_event)
{
    struct str skipped;
    if (xml->is_closing) {
        xml->is_closing = false;
        return close_element(xml, xml->closing, ret_event);
    }
    while (xml->rest.size > 0) {
        int r = 0;
        if (xml->rest.data[0] != '<') {
            r = text_before(xml, ret_event);
        } else if (take(xml, STR("<?xml"))) {
            r = declaration(xml);
        } else if (take(xml, STR("<!--"))) {
            r = take_until(xml, STR("-->"), &skipped);
        } else if (xml->depth > 0 && take(xml, STR("<![CDATA["))) {
            r = take_until(xml, STR("]]>"), &skipped);
            if (r == 0)
                r = text_event(xml, skipped, true, ret_event);
        } else if (take(xml, STR("</"))) {
            r = end_element(xml, ret_event);
        } else if (take(xml, STR("<"))) {
            r = start_element(xml, ret_event);
        }
        if (r != 0)
            return r;
    }
    return xml->depth == 0 && xml->had_root ? 0 : -EINVAL;
}

// ---- Content

static int append_code_point(struct buf *buf, uint32_t code)
{
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return -EINVAL;
    if (code < 0x80)
        return buf_append_byte(buf, (char) code);
    if (code < 0x800) {
        buf_append_byte(buf, (char) (0xc0 | code >> 6));
    } else {
        if (code < 0x10000) {
            buf_append_byte(buf, (char) (0xe0 | code >> 12));
        } else {
            buf_append_byte(buf, (char) (0xf0 | code >> 18));
            buf_append_byte(buf, (char) (0x80 | (code >> 12 & 0x3f)));
        }
        buf_append_byte(buf, (char) (0x80 | (code >> 6 & 0x3f)));
    }
    return buf_append_byte(buf, (char) (0x80 | (code & 0x3f)));
}

static int append_reference(struct buf *buf, struct str name)
{
    static const struct {
        const char *name;
        char byte;
    } names[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_equal_text(name, names[i].name))
            return buf_append_byte(buf, names[i].byte);
    if (name.size < 2 || name.size > 9 || name.data[0] != '#')
        return -EINVAL;
    bool is_hex = name.data[1] == 'x';
    uint32_t code = 0;
    if (is_hex && name.size < 3)
        return -EINVAL;
    for (size_t i = is_hex ? 2 : 1; i < name.size; i++) {
        char c = name.data[i];
        int digit = c >= '0' && c <= '9'             ? c - '0'
                    : is_hex && c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : is_hex && c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
        if (digit < 0 || code > 0x10ffff)
            return -EINVAL;
        code = code * (is_hex ? 16 : 10) + (uint32_t) digit;
    }
    return append_code_point(buf, code);
}

static int append_decoded(struct buf *buf, struct str text)
{
    while (text.size > 0) {
        ptrdiff_t at = str_find(text, '&');
        buf_append_str(buf, at < 0 ? text : str_part(text, 0, (size_t) at));
        if (at < 0)
            break;
        struct str name;
        text = str_skip(text, (size_t) at + 1);
        if (!str_cut(str_part(text, 0, 16), ';', &name, &(struct str){0}))
            return -EINVAL;
        int r = append_reference(buf, name);
        if (r < 0)
            return r;
        text = str_skip(text, name.size + 1);
    }
    return buf_status(buf);
}

int xml_content(struct xml *xml, struct arena *arena, struct str *ret_text)
{
    AUTO_BUF struct buf text = BUF_INIT(64 * 1024);
    struct xml_event event;
    int r;
    while ((r = xml_next(xml, &event)) > 0 && event.kind == XML_TEXT) {
        r = event.is_verbatim ? buf_append_str(&text, event.text)
                              : append_decoded(&text, event.text);
        if (r < 0)
            return r == -EFBIG ? -EINVAL : r;
    }
    if (r <= 0 || event.kind != XML_END)
        return r < 0 ? r : -EINVAL;
    *ret_text = arena_copy_str(arena, text.size ? buf_str(&text) : STR(""));
    return ret_text->data ? 0 : -ENOMEM;
}

int xml_skip(struct xml *xml)
{
    struct xml_event event;
    unsigned depth = xml->depth;
    int r;
    while ((r = xml_next(xml, &event)) > 0)
        if (event.kind == XML_END && xml->depth == depth - 1)
            return 0;
    return r < 0 ? r : -EINVAL;
}

// ---- Writing

int xml_append(struct buf *buf, struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '&')
            buf_append_text(buf, "&amp;");
        else if (c == '<')
            buf_append_text(buf, "&lt;");
        else if (c == '>')
            buf_append_text(buf, "&gt;");
        else if (c == '"')
            buf_append_text(buf, "&quot;");
        else if ((unsigned char) c < 0x20 || c == 0x7f)
            buf_printf(buf, "&#x%x;", (unsigned) (unsigned char) c);
        else
            buf_append_byte(buf, c);
    }
    return buf_status(buf);
}
