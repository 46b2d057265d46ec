// SPDX-License-Identifier: MIT
//
// TLS for the server's listeners: OpenSSL between the socket and the parser, over memory buffers, so
// that libuv keeps the socket and nothing blocks. TLS 1.2 and 1.3, no renegotiation, no compression,
// no session cache; a client that speaks ALPN must offer http/1.1.
//
// The handshake counts as a part of the head: it has head_timeout_ms. It is computed on the loop: a
// new connection costs about 1 ms with an RSA key of 2048 bits, 0.2 ms with P-256. A connection costs
// some 30 to 60 KiB more than a plain one.
//
// Loop thread; http_tls_new and http_tls_reload read two small files.

#ifndef LAMINA_HTTP_TLS_H
#define LAMINA_HTTP_TLS_H

#include "base/compiler.h"
#include "base/error.h"

struct http_tls;

// The certificate (PEM, its chain behind it) and its private key (PEM, without a passphrase).
// -EINVAL with the file and OpenSSL's reason; -errno of the files.
int http_tls_new(const char *certificate_path, const char *key_path, struct http_tls **ret_tls,
                 struct error *err) MUST_CHECK;

// Reads the files again: connections made from now on use what is there. On failure everything stays
// as it was.
int http_tls_reload(struct http_tls *tls, struct error *err) MUST_CHECK;

// Not before the servers that use it. Accepts NULL.
void http_tls_free(struct http_tls *tls);

#endif
