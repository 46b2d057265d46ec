// SPDX-License-Identifier: MIT
//
// The unzip job: a package in, the stream of wire/work.h out. 0 when the stream is complete, whether
// it ends with END or REFUSED; -errno when it could not be written or the source not be read.

#ifndef LAMINA_WORK_UNZIP_H
#define LAMINA_WORK_UNZIP_H

#include "work/zip.h"

int unzip_run(const struct zip_source *source, const struct zip_limits *limits,
              int output) MUST_CHECK;

#endif
