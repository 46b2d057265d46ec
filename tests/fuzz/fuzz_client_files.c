// SPDX-License-Identifier: MIT
//
// What the command line reads that others may have written: credentials files, endpoints, option
// words, zip archives' directories, and text on its way to a terminal. The first byte chooses.

#include "cli/output.h"
#include "client/credentials_file.h"
#include "client/target.h"
#include "package/zip_read.h"

#include "base/str.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(bool condition)
{
    if (!condition)
        abort();
}

static bool is_terminated(const char *field, size_t size)
{
    return memchr(field, '\0', size) != NULL;
}

static void try_credentials(const char *text, size_t size)
{
    struct target_credentials got;
    struct error err = {0};
    int r = credentials_parse(text, size, "default", "FILE", &got, &err);

    if (r < 0) {
        must(r == -EINVAL || r == -ENOENT || r == -ENODATA);
        must(err.text[0] != '\0');
        return;
    }
    must(got.access_key[0] != '\0' && is_terminated(got.access_key, sizeof got.access_key));
    must(got.secret_key[0] != '\0' && is_terminated(got.secret_key, sizeof got.secret_key));
    must(is_terminated(got.session_token, sizeof got.session_token));
    // Nothing that could end a header's line.
    must(strpbrk(got.access_key, "\r\n") == NULL && strpbrk(got.session_token, "\r\n") == NULL);
}

static void try_endpoint(const char *text, size_t size)
{
    struct target once = {0}, again = {0};
    char *url = str_copy_heap(str_of_data(text, size));

    must(url != NULL);
    if (target_parse_endpoint(url, &once) == 0) {
        must(strpbrk(once.host, "/@?#\r\n ") == NULL && once.host[0] != '\0');
        must(target_parse_endpoint(once.endpoint, &again) == 0);
        must(strcmp(once.endpoint, again.endpoint) == 0 && strcmp(once.host, again.host) == 0);
    }
    free(url);
}

static void try_visible(const char *text, size_t size)
{
    AUTO_BUF struct buf out = BUF_INIT((size_t) 1 << 20);

    text_visible(&out, str_of_data(text, size), true);
    must(str_is_utf8(buf_str(&out)));
    for (size_t i = 0; i < out.size; i++) {
        unsigned char c = (unsigned char) out.data[i];
        must((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t');
    }
}

static void try_zip(const char *data, size_t size)
{
    struct zip_totals totals;
    struct error err = {0};
    int r = zip_totals_of(data, size, &totals, &err);

    must(r == 0 || r == -EINVAL);
    must(r != 0 || totals.entries <= size / 46);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *) data + 1;
    switch (data[0] % 4) {
    case 0:
        try_credentials(text, size - 1);
        break;
    case 1:
        try_endpoint(text, size - 1);
        break;
    case 2:
        try_visible(text, size - 1);
        break;
    default:
        try_zip(text, size - 1);
        break;
    }
    return 0;
}
