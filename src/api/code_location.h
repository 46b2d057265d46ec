/* SPDX-License-Identifier: MIT
 *
 * code_location: GetFunction's Code.Location, a URL that hands out a function's package.
 *
 *   http://HOST/lamina/v1/code/<sha256 of the zip>?X-Amz-Algorithm=...&X-Amz-Signature=...
 *
 * The one place where a signature in the query is accepted: GET only, for CODE_LOCATION_EXPIRES_S, and
 * for exactly the path that was signed. The URL names bytes, not a function, so it never shows other code
 * than the answer that it was in.
 */
#ifndef LAMINA_API_CODE_LOCATION_H
#define LAMINA_API_CODE_LOCATION_H

#include <stdbool.h>

#include "api/call.h"
#include "base/digest.h"
#include "function/version.h"

#define CODE_LOCATION_EXPIRES_S 600

/* Is it such a download, judged by path and method? */
bool code_location_is(const struct http_request *request);
/* Checks the signature and answers with the file. Ends the call. */
void code_location_serve(struct call *call);

/* Appends the URL as a JSON string. -ENOMEM and the buffer's own failures. */
MUST_CHECK int code_location_append(struct call *call, const struct version *version,
                                    struct buf *json);

/* The same for any package of the store: a layer's content. */
MUST_CHECK int code_location_append_digest(struct call *call, const struct digest *digest,
                                           struct buf *json);

#endif
