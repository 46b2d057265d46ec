// SPDX-License-Identifier: MIT
//
// Signs a request of ours: hashes its body, collects its headers, asks src/aws for the signature.
// Internal to this folder.
#ifndef LAMINA_CLIENT_SIGN_H
#define LAMINA_CLIENT_SIGN_H

#include "aws/sigv4.h"
#include "client/client.h"

// *ret: the headers to send besides the request's own and Host. Errors: those of the body's source,
// -EINVAL (a body_sha256_hex that is none), those of sigv4_sign.
MUST_CHECK int request_sign(const struct target *target, const struct client_request *request,
                            struct sigv4_headers *ret, struct error *err);

#endif
