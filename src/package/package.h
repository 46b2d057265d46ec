/* SPDX-License-Identifier: MIT */
/*
 * A model file, a directory or a zip becomes the zip that CreateFunction takes.
 *
 * This is the front door of src/package; zip.h writes archives, limits.h compares sizes with
 * what AWS allows, model_file.h knows model formats.
 *
 *   a model file (.onnx)   bootstrap (lamina-model) + the model; Handler is the model's name
 *   a directory            every regular file and inner symbolic link below it, sorted by name
 *   a zip                  taken as it is
 *
 * Two runs over the same content give the same bytes. Refused, with the name: links that lead
 * out of the directory, sockets, pipes and devices, names that are not UTF-8 or hold control
 * characters, and model formats that Lamina cannot run (with the line that exports them).
 *
 * The result is an unlinked temporary file in TMPDIR (or /tmp): nothing to clean up after a kill.
 */
#ifndef LAMINA_PACKAGE_PACKAGE_H
#define LAMINA_PACKAGE_PACKAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define PACKAGE_ENTRIES_MAX 100000
#define PACKAGE_DEPTH_MAX 64

enum package_kind {
    PACKAGE_MODEL,
    PACKAGE_DIRECTORY,
    PACKAGE_ZIP,
};

struct package_options {
    const char *bootstrap;   /* path of lamina-model; needed for a model file */
    const char *onnxruntime; /* path of libonnxruntime to put in as lib/libonnxruntime.so; NULL:
                                leave it out (Lamina's sandbox has it, AWS has not) */
    const char *notices;     /* directory with licence texts to put in as NOTICE/; NULL: none */
};

struct package {
    enum package_kind kind;
    int fd; /* the zip, from its start; -1 when nothing is open */
    uint64_t zip_bytes;
    uint64_t unzipped_bytes;
    uint64_t model_bytes; /* of a model file; 0 otherwise */
    uint64_t entries;
    char sha256_hex[65]; /* of the zip */
    char handler[160];   /* the model's file name in the zip; empty for others */
    bool has_bootstrap;  /* an entry "bootstrap" exists */
};

/* Sizes that can be known before anything is compressed: kind, unzipped_bytes, model_bytes,
 * entries (of a zip also zip_bytes). fd stays -1. */
MUST_CHECK int package_measure(const char *path, const struct package_options *options,
                               struct package *ret, struct error *err);

/* Everything. package_done closes the file. */
MUST_CHECK int package_build(const char *path, const struct package_options *options,
                             struct package *ret, struct error *err);
void package_done(struct package *package);

/*
 * The function name that PATH suggests: its base name without the extension, with everything
 * that a function name may not hold turned into '-', cut at 64 characters. -EINVAL when nothing
 * is left of it.
 */
MUST_CHECK int package_name(const char *path, char ret_name[65], struct error *err);

#endif
