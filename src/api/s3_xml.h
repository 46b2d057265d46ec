/* SPDX-License-Identifier: MIT
 *
 * s3_xml: the pieces of rest-xml that the operations share. A thread.
 */
#ifndef LAMINA_API_S3_XML_H
#define LAMINA_API_S3_XML_H

#include "api/s3_call.h"
#include "aws/xml.h"

/* <?xml ...?><name xmlns="..."> */
void s3_xml_begin(struct s3_call *s3, const char *name);
/* <name>text</name>, escaped. */
void s3_xml_text(struct buf *xml, const char *name, struct str text);
void s3_xml_number(struct buf *xml, const char *name, uint64_t number);
void s3_xml_time(struct buf *xml, const char *name, int64_t wall_ms);
/* With ?encoding-type=url the text is percent-encoded besides. */
void s3_xml_key(struct buf *xml, const char *name, struct str key, bool is_encoded);
void s3_xml_owner(struct s3_call *s3, const char *name);

/* <ChecksumCRC32>...</ChecksumCRC32><ChecksumType>...</ChecksumType> of "CRC32 <base64> <type>". */
void s3_xml_checksum(struct buf *xml, struct str checksum);

int s3_xml_malformed(struct s3_call *s3); /* MalformedXML */

/* The text of <root><name>text</name>...</root> in the body, in the arena; data == NULL: it has no such
 * element. MalformedXML. */
int s3_xml_single(struct s3_call *s3, const char *root, const char *name,
                  struct str *ret_text) MUST_CHECK;

#endif
