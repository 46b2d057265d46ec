// SPDX-License-Identifier: MIT
//
// The service's own credentials: made at the first start, kept in DIR/credentials (the AWS
// shared-credentials format, profile [default], mode 0600), so that AWS clients can read the file
// as it is. Blocking: at start only.

#ifndef LAMINA_AWS_CREDENTIALS_H
#define LAMINA_AWS_CREDENTIALS_H

#include "base/compiler.h"
#include "base/error.h"

#define CREDENTIALS_FILE "credentials"
#define CREDENTIALS_ACCESS_KEY_MAX 128
#define CREDENTIALS_SECRET_MAX 128

struct credentials {
    char access_key[CREDENTIALS_ACCESS_KEY_MAX + 1];
    char secret[CREDENTIALS_SECRET_MAX + 1];
};

// Reads the file beneath `dir_fd`, or makes it with fresh random keys if it is not there. A file that
// others may read or write (mode & 077), or without the two keys, is an error that says what to do.
int credentials_load(int dir_fd, struct credentials *ret_credentials, struct error *err) MUST_CHECK;

// A new key and its secret, of AWS's own shape, which some clients check.
void credentials_generate(struct credentials *ret_credentials);

void credentials_wipe(struct credentials *credentials);

#endif
