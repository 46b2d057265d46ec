// SPDX-License-Identifier: MIT

#include "fetch/s3_xml.h"

#include "base/buf.h"
#include "base/percent.h"

#include <errno.h>
#include <string.h>

// A walk over elements: the path of open tags, and the text that came since the last tag.
struct walk {
    struct str rest;
    struct str open[S3_XML_DEPTH_MAX];
    size_t depth;
    struct str text; // between the last two tags, raw
};

enum step { STEP_OPEN, STEP_CLOSE, STEP_END };

// "<name attr='x'>" without the brackets -> its name without a prefix.
static struct str tag_name(struct str tag)
{
    size_t size = strcspn(tag.data, " \t\r\n/>");
    struct str name = str_part(tag, 0, size < tag.size ? size : tag.size);
    ptrdiff_t colon = str_find(name, ':');
    return colon < 0 ? name : str_skip(name, (size_t) colon + 1);
}

static int walk_close(struct walk *walk, struct str tag)
{
    struct str name = tag_name(str_skip(tag, 1));
    if (walk->depth == 0 || !str_equal(name, walk->open[walk->depth - 1]))
        return -EBADMSG;
    return STEP_CLOSE; // the caller looks at it, then walk_leave
}

static int walk_open(struct walk *walk, struct str tag)
{
    bool is_empty = tag.data[tag.size - 1] == '/';
    struct str name = tag_name(tag);
    if (name.size == 0 || walk->depth == S3_XML_DEPTH_MAX)
        return -EBADMSG;
    if (is_empty) // <Key/>: nothing to say
        return 1000;
    walk->open[walk->depth++] = name;
    return STEP_OPEN;
}

// The next tag that opens or closes an element. Until then `rest` has no '<' left out.
static int walk_next(struct walk *walk)
{
    for (;;) {
        struct str tag;
        ptrdiff_t start = str_find(walk->rest, '<');
        if (start < 0)
            return walk->depth == 0 ? STEP_END : -EBADMSG;
        walk->text = str_part(walk->rest, 0, (size_t) start);
        walk->rest = str_skip(walk->rest, (size_t) start + 1);
        ptrdiff_t end = str_find(walk->rest, '>');
        if (end <= 0)
            return -EBADMSG;
        tag = str_part(walk->rest, 0, (size_t) end);
        walk->rest = str_skip(walk->rest, (size_t) end + 1);
        if (tag.data[0] == '?')
            continue;
        if (tag.data[0] == '!')
            return -EBADMSG; // no document types, no comments, no CDATA: stores send none
        int r = tag.data[0] == '/' ? walk_close(walk, tag) : walk_open(walk, tag);
        if (r != 1000)
            return r;
    }
}

static void walk_leave(struct walk *walk)
{
    walk->depth--;
}

static bool is_at(const struct walk *walk, const char *first, const char *second, const char *third)
{
    const char *const names[] = {first, second, third};
    size_t depth = third ? 3 : second ? 2 : 1;
    if (walk->depth != depth)
        return false;
    for (size_t i = 0; i < depth; i++)
        if (!str_equal_text(walk->open[i], names[i]))
            return false;
    return true;
}

// ---- Text

static size_t utf8_encode(uint32_t point, char to[4])
{
    if (point < 0x80) {
        to[0] = (char) point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (char) (0xc0 | point >> 6);
        to[1] = (char) (0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        to[0] = (char) (0xe0 | point >> 12);
        to[1] = (char) (0x80 | (point >> 6 & 0x3f));
        to[2] = (char) (0x80 | (point & 0x3f));
        return 3;
    }
    to[0] = (char) (0xf0 | point >> 18);
    to[1] = (char) (0x80 | (point >> 12 & 0x3f));
    to[2] = (char) (0x80 | (point >> 6 & 0x3f));
    to[3] = (char) (0x80 | (point & 0x3f));
    return 4;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char) (digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// "#38", "#x26" -> the character. 0: none.
static uint32_t reference(struct str name)
{
    bool is_hex = name.size > 1 && (name.data[1] | 0x20) == 'x';
    uint32_t point = 0;
    size_t i = is_hex ? 2 : 1;
    if (i >= name.size || name.size > 9)
        return 0;
    for (; i < name.size; i++) {
        int digit = hex_value(name.data[i]);
        if (digit < 0 || (!is_hex && digit > 9))
            return 0;
        point = point * (is_hex ? 16 : 10) + (uint32_t) digit;
        if (point > 0x10ffff)
            return 0;
    }
    return point >= 0xd800 && point < 0xe000 ? 0 : point;
}

static uint32_t entity(struct str name)
{
    static const struct {
        const char *name;
        char byte;
    } known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    if (name.size > 1 && name.data[0] == '#')
        return reference(name);
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (str_equal_text(name, known[i].name))
            return (uint32_t) known[i].byte;
    return 0;
}

// Undoes entities. -EBADMSG, -ENAMETOOLONG (`to` is cut then, and ended).
static int text_decode(struct str raw, char *to, size_t to_size)
{
    size_t used = 0;
    int r = 0;
    while (raw.size > 0 && r == 0) {
        char bytes[4] = {raw.data[0]};
        size_t size = 1, taken = 1;
        if (raw.data[0] == '&') {
            ptrdiff_t end = str_find(str_part(raw, 0, raw.size < 12 ? raw.size : 12), ';');
            uint32_t point = end > 1 ? entity(str_part(raw, 1, (size_t) end - 1)) : 0;
            if (point == 0) {
                r = -EBADMSG;
                break;
            }
            size = utf8_encode(point, bytes);
            taken = (size_t) end + 1;
        }
        if (used + size >= to_size) {
            r = -ENAMETOOLONG;
            break;
        }
        memcpy(to + used, bytes, size);
        used += size;
        raw = str_skip(raw, taken);
    }
    to[used] = '\0';
    return r;
}

static void for_people(char *text)
{
    for (; *text; text++)
        if ((unsigned char) *text < 0x20 || *text == 0x7f)
            *text = ' ';
}

// ---- Errors

void s3_xml_error(struct str text, struct s3_xml_error *ret_error)
{
    struct walk walk = {.rest = text};
    int step;
    *ret_error = (struct s3_xml_error){0};
    while ((step = walk_next(&walk)) == STEP_OPEN || step == STEP_CLOSE) {
        if (step == STEP_OPEN)
            continue;
        if (is_at(&walk, "Error", "Code", NULL))
            (void) text_decode(walk.text, ret_error->code, sizeof(ret_error->code));
        else if (is_at(&walk, "Error", "Message", NULL))
            (void) text_decode(walk.text, ret_error->message, sizeof(ret_error->message));
        walk_leave(&walk);
    }
    for_people(ret_error->code);
    for_people(ret_error->message);
}

// ---- Lists

#define ROOT "ListBucketResult"

static int key_read(struct str raw, bool is_encoded, char key[S3_KEY_MAX + 1])
{
    char text[3 * S3_KEY_MAX + 1];
    int r = text_decode(raw, text, sizeof(text));
    if (r < 0)
        return r;
    if (!is_encoded)
        return str_copy(str_of(text), key, S3_KEY_MAX + 1);
    ptrdiff_t size = percent_decode(str_of(text), true, text);
    if (size < 0 || memchr(text, '\0', (size_t) size))
        return -EBADMSG;
    return str_copy(str_of_data(text, (size_t) size), key, S3_KEY_MAX + 1);
}

static int entry_read(const struct walk *walk, bool is_encoded, struct s3_xml_entry *entry)
{
    if (is_at(walk, ROOT, "Contents", "Key"))
        return key_read(walk->text, is_encoded, entry->key);
    if (is_at(walk, ROOT, "Contents", "Size"))
        return str_to_u64(str_trim(walk->text), INT64_MAX, &entry->bytes) < 0 ? -EBADMSG : 0;
    return 0;
}

static int page_read(const struct walk *walk, struct s3_xml_page *page)
{
    if (is_at(walk, ROOT, "IsTruncated", NULL))
        page->is_truncated = str_equal_nocase(str_trim(walk->text), STR("true"));
    else if (is_at(walk, ROOT, "NextContinuationToken", NULL))
        return text_decode(walk->text, page->token, sizeof(page->token));
    return 0;
}

int s3_xml_list(struct str text, int (*each)(void *arg, const struct s3_xml_entry *entry),
                void *arg, struct s3_xml_page *ret_page)
{
    struct walk walk = {.rest = text};
    struct s3_xml_entry entry = {0};
    struct s3_xml_page page = {0};
    bool has_root = false;
    int step, r = 0;
    while ((step = walk_next(&walk)) == STEP_OPEN || step == STEP_CLOSE) {
        if (step == STEP_OPEN) {
            has_root |= is_at(&walk, ROOT, NULL, NULL);
            if (is_at(&walk, ROOT, "Contents", NULL))
                entry = (struct s3_xml_entry){0};
            continue;
        }
        r = entry_read(&walk, true, &entry);
        if (r == 0)
            r = page_read(&walk, &page);
        if (r == 0 && is_at(&walk, ROOT, "Contents", NULL))
            r = entry.key[0] ? each(arg, &entry) : -EBADMSG;
        if (r < 0)
            return r;
        walk_leave(&walk);
    }
    if (step < 0 || !has_root)
        return -EBADMSG;
    *ret_page = page;
    return 0;
}
