// SPDX-License-Identifier: MIT
//
// A model file, a directory or a zip becomes the zip that CreateFunction takes.
//
// This is the front door of src/package; zip.h writes archives, strategy.h compares sizes with
// what AWS allows.
//
//   a model file (.onnx, ...)    bootstrap (lamina-model), the model, and its external data when
//                                it lies beside it as NAME.data or NAME_data, and a warm_up.json
//                                that lies beside it; Handler is the model's file name
//   a directory                  every file and inner symbolic link below it, sorted by name;
//                                without a bootstrap but with one model at its top it is treated
//                                as that model and gets the built-in runtime
//   a zip                        taken as it is
//
// Two runs over the same content give the same bytes. Refused, with the name: what file_list.h
// refuses, a bootstrap that is not executable, and model formats that Lamina cannot run (with the
// line that exports them).
//
// The result is an unlinked temporary file in TMPDIR (or /tmp): nothing to clean up after a kill.
#ifndef LAMINA_PACKAGE_PACKAGE_H
#define LAMINA_PACKAGE_PACKAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define PACKAGE_HANDLER_BYTES_MAX 129

enum package_kind {
    PACKAGE_MODEL,
    PACKAGE_DIRECTORY,
    PACKAGE_ZIP,
};

// A model's package can be divided: the model for a layer, where the function finds it beneath
// /opt/model, and the runtime for the function.
enum package_part {
    PACKAGE_WHOLE,
    PACKAGE_LAYER,   // model/NAME, its data and warm_up.json
    PACKAGE_RUNTIME, // bootstrap and libraries; of an s3://bucket/key, too
};
#define PACKAGE_LAYER_FOLDER "model/"

// What goes in besides; NULL: nothing.
struct package_options {
    enum package_part part; // others than WHOLE: of a model only, else -EINVAL
    const char *more; // of a directory: another one whose content goes in too; what both have is
                      // taken from the first (dependencies that were installed beside the code)
    const char *bootstrap; // path of lamina-model; needed for a model
    // Directory of libraries to put in as lib/NAME: ONNX Runtime and what it needs. Lamina's
    // sandbox has them, AWS has not.
    const char *libraries;
    const char *marker;  // text of an extra entry ".lamina-marker": another digest, same function;
                         // not for a zip
    const char *notices; // directory of licence texts to put in as NOTICE/NAME
};

struct package {
    enum package_kind kind;
    int fd; // the zip, from its start; -1 when nothing is open
    uint64_t zip_bytes;
    uint64_t unzipped_bytes;
    uint64_t model_bytes; // of the model and its external data; 0 when there is none
    uint64_t entries;
    char sha256_hex[65];                     // of the zip
    char handler[PACKAGE_HANDLER_BYTES_MAX]; // the model's file name in the zip; empty without one
    bool has_bootstrap;                      // the zip holds an executable "bootstrap"
};

// What is known before anything is compressed: kind, unzipped_bytes, model_bytes, entries, handler,
// has_bootstrap, and of a zip also zip_bytes. fd stays -1.
MUST_CHECK int package_measure(const char *path, const struct package_options *options,
                               struct package *ret, struct error *err);

// Everything. package_done closes the file.
MUST_CHECK int package_build(const char *path, const struct package_options *options,
                             struct package *ret, struct error *err);
void package_done(struct package *package);

// The function name that a path suggests: its base name without the extension, with everything
// that a function name may not hold turned into '-', cut at 64 characters. -EINVAL when nothing
// is left of it.
MUST_CHECK int package_name(const char *path, char ret_name[65], struct error *err);

#endif
