/* SPDX-License-Identifier: MIT */

#include "api/s3_xml.h"

#include <errno.h>

#include "api/s3_bodies.h"
#include "base/clock.h"
#include "base/percent.h"

void s3_xml_begin(struct s3_call *s3, const char *name)
{
    buf_printf(&s3->answer, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s xmlns=\"%s\">", name,
               S3_NAMESPACE);
}

void s3_xml_text(struct buf *xml, const char *name, struct str text)
{
    buf_printf(xml, "<%s>", name);
    xml_append(xml, text);
    buf_printf(xml, "</%s>", name);
}

void s3_xml_number(struct buf *xml, const char *name, uint64_t number)
{
    buf_printf(xml, "<%s>%llu</%s>", name, (unsigned long long) number, name);
}

void s3_xml_time(struct buf *xml, const char *name, int64_t wall_ms)
{
    char text[CLOCK_TEXT_MAX];
    buf_printf(xml, "<%s>%s</%s>", name, clock_iso_z(wall_ms, text), name);
}

void s3_xml_key(struct buf *xml, const char *name, struct str key, bool is_encoded)
{
    buf_printf(xml, "<%s>", name);
    if (is_encoded)
        percent_append(xml, key, true);
    else
        xml_append(xml, key);
    buf_printf(xml, "</%s>", name);
}

void s3_xml_checksum(struct buf *xml, struct str checksum)
{
    struct str name, value, type, rest;
    (void) str_cut(checksum, ' ', &name, &rest);
    (void) str_cut(rest, ' ', &value, &type);
    if (name.size == 0)
        return;
    buf_printf(xml, "<Checksum" STR_FORMAT ">" STR_FORMAT "</Checksum" STR_FORMAT ">",
               STR_ARGUMENTS(name), STR_ARGUMENTS(value), STR_ARGUMENTS(name));
    s3_xml_text(xml, "ChecksumType", type);
}

int s3_xml_malformed(struct s3_call *s3)
{
    return s3_error(s3, AWS_S3_MALFORMED_XML,
                    "The XML you provided was not well-formed or did not validate against our "
                    "published schema");
}

int s3_xml_single(struct s3_call *s3, const char *root, const char *name, struct str *ret_text)
{
    int r = s3_body_single(s3->body, &s3->arena, root, name, ret_text);
    if (r == -ENOMEM)
        return s3_error_memory(s3);
    return r < 0 ? s3_xml_malformed(s3) : 0;
}
