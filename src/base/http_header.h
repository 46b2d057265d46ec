// SPDX-License-Identifier: MIT
//
// One header of an HTTP message as two views: what the server parses (http/), and what signatures
// cover (aws/). Here because both need it and neither may include the other.

#ifndef LAMINA_BASE_HTTP_HEADER_H
#define LAMINA_BASE_HTTP_HEADER_H

#include "base/str.h"

struct http_header {
    struct str name;  // parsed ones are lower case
    struct str value; // without surrounding space; may be empty
};

#endif
