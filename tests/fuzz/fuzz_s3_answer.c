// SPDX-License-Identifier: MIT
//
// What comes from outside to the fetcher: URIs in environments, and what stores answer in XML. Whatever the text,
// keys and codes are within their limits and hold no NUL; a URI that is taken has a bucket that is one.

#include "fetch/fetch_plan.h"
#include "fetch/s3_uri.h"
#include "fetch/s3_xml.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int each(void *arg, const struct s3_xml_entry *entry)
{
    size_t *count = arg;
    assert(strlen(entry->key) >= 1 && strlen(entry->key) <= S3_KEY_MAX);
    return ++*count > 100 ? -E2BIG : 0;
}

static void check_uri(struct str text)
{
    struct s3_uri uri;
    struct error err = {0};
    char arn[S3_ARN_SIZE], name[256];
    if (s3_uri_parse(text, &uri, &err) < 0) {
        assert(err.text[0]);
        return;
    }
    assert(s3_bucket_is_valid(uri.bucket));
    assert(uri.key.size <= S3_KEY_MAX && uri.version_id.size <= S3_VERSION_ID_MAX);
    s3_uri_arn(&uri, arn);
    fetch_name_of_key(uri.key, name);
    assert(name[0] && !strchr(name, '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); // an exact block: what is read beyond it is found
    struct str text;
    struct s3_xml_error error;
    struct s3_xml_page page;
    size_t count = 0;
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    char *exact = realloc(copy, size ? size : 1);
    text = str_of_data(exact, size);
    check_uri(text);
    s3_xml_error(text, &error);
    (void) !s3_xml_list(text, each, &count, &page);
    free(exact);
    return 0;
}
