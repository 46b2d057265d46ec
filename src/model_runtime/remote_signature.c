// SPDX-License-Identifier: MIT

#include "model_runtime/remote.h"

#include "base/buf.h"
#include "base/mem.h"
#include "model_runtime/sha256.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void hmac(const void *key, size_t key_size, const char *text,
                 unsigned char out[SHA256_BYTES])
{
    unsigned char pad[64], inner[SHA256_BYTES], digest[SHA256_BYTES];
    struct sha256 sha256;
    if (key_size > sizeof pad) { // RFC 2104: a longer key is its digest
        sha256_init(&sha256);
        sha256_update(&sha256, key, key_size);
        sha256_final(&sha256, digest);
        key = digest;
        key_size = sizeof digest;
    }
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = (unsigned char) ((i < key_size ? ((const unsigned char *) key)[i] : 0) ^ 0x36);
    sha256_init(&sha256);
    sha256_update(&sha256, pad, sizeof pad);
    sha256_update(&sha256, text, strlen(text));
    sha256_final(&sha256, inner);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = (unsigned char) (pad[i] ^ 0x36 ^ 0x5c);
    sha256_init(&sha256);
    sha256_update(&sha256, pad, sizeof pad);
    sha256_update(&sha256, inner, sizeof inner);
    sha256_final(&sha256, out);
}

static void hex_of(const unsigned char bytes[SHA256_BYTES], char hex[SHA256_HEX_BYTES])
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

static void signing_key(const struct remote *remote, const char *date,
                        unsigned char key[SHA256_BYTES])
{
    char first[512];
    (void) snprintf(first, sizeof first, "AWS4%s", remote->secret);
    hmac(first, strlen(first), date, key);
    hmac(key, SHA256_BYTES, remote->region, key);
    hmac(key, SHA256_BYTES, "s3", key);
    hmac(key, SHA256_BYTES, "aws4_request", key);
}

int remote_sign(const struct remote *remote, const char *range,
                struct remote_signature *ret_signature)
{
    const char *names = remote->token != NULL
                            ? "host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token"
                            : "host;range;x-amz-content-sha256;x-amz-date";
    struct buf canonical = BUF_INIT((size_t) 32 * 1024);
    unsigned char key[SHA256_BYTES], bytes[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES], scope[160], text[512], date[9];
    struct sha256 sha256;
    time_t now = time(NULL);
    struct tm utc;
    (void) gmtime_r(&now, &utc);
    (void) strftime(ret_signature->time, sizeof ret_signature->time, "%Y%m%dT%H%M%SZ", &utc);
    (void) snprintf(date, sizeof date, "%.8s", ret_signature->time);
    buf_printf(&canonical,
               "GET\n%s\n%s\nhost:%s\nrange:%s\nx-amz-content-sha256:" REMOTE_EMPTY_SHA256
               "\nx-amz-date:%s\n",
               remote->path, remote->query, remote->host, range, ret_signature->time);
    if (remote->token != NULL)
        buf_printf(&canonical, "x-amz-security-token:%s\n", remote->token);
    buf_printf(&canonical, "\n%s\n" REMOTE_EMPTY_SHA256, names);
    if (buf_status(&canonical) < 0) {
        buf_done(&canonical);
        return -ENOMEM;
    }
    sha256_init(&sha256);
    sha256_update(&sha256, canonical.data, canonical.size);
    sha256_final(&sha256, bytes);
    buf_done(&canonical);
    hex_of(bytes, hex);
    (void) snprintf(scope, sizeof scope, "%s/%s/s3/aws4_request", date, remote->region);
    (void) snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", ret_signature->time, scope,
                    hex);
    signing_key(remote, date, key);
    hmac(key, sizeof key, text, bytes);
    hex_of(bytes, hex);
    (void) snprintf(ret_signature->authorization, sizeof ret_signature->authorization,
                    "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                    remote->access_key, scope, names, hex);
    mem_wipe(key, sizeof key);
    return 0;
}
