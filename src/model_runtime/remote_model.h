// SPDX-License-Identifier: MIT
//
// remote_model: on AWS (or anywhere outside Lamina) MODEL_URI=s3://bucket/key[?versionId=] is fetched by
// lamina-model itself, into memory. Lamina brings models by itself and sets MODEL_PATH: nothing happens here then.
//
//     MODEL_URI ──parallel ranged GETs──> memfd <── /tmp/lamina-model/<name> (a link: engines go by the name)
//
// Endpoint: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL (both with the bucket in the path), else
// https://<bucket>.s3.<AWS_REGION>.amazonaws.com. Credentials: AWS_ACCESS_KEY_ID and its kin, as the function has
// them; without any the request is unsigned. CA certificates: AWS_CA_BUNDLE, else the system's.
// libcurl.so.4 is opened at run time (AWS's provided.al2023 has it), so that lamina-model needs it only then.
//
// Every range names the ETag that the first one had, and is tried REMOTE_TRIES times. One thread; blocks.
// Errors: -ENOENT, -EACCES, -ESTALE (changed meanwhile), -ELIBACC (no libcurl), -EIO, -ENOMEM; the text has the
// store's code.

#ifndef LAMINA_MODEL_RUNTIME_REMOTE_MODEL_H
#define LAMINA_MODEL_RUNTIME_REMOTE_MODEL_H

#include "base/error.h"

#define REMOTE_RANGE_BYTES (8u << 20)
#define REMOTE_CONNECTIONS 8
#define REMOTE_TRIES 4

// Does nothing if MODEL_URI is not set or MODEL_PATH is; sets MODEL_PATH otherwise.
int remote_model_fetch(struct error *err) MUST_CHECK;

#endif
