// SPDX-License-Identifier: MIT
//
// The work protocol (docs/wire-work.md): what lamina-work, which parses what strangers made, says to
// the deployment thread that asked for the job.
//
//     lamina-work 1 ENTRIES_MAX BYTES_MAX 0 0        (decimal; lamina-spawn builds it from WORK)
//         fd 0: the package, a regular file open for reading    fd 1: a pipe, this stream
//
// The job is a function from bytes to bytes: it opens no file, and nothing that it says is believed.
// The reader checks every name again and computes every digest itself.
//
// The stream: one work_hello, then frames, then END or REFUSED, then end-of-file. Native byte order:
// both ends are of one build. A frame is its head, `path_size` bytes of path, `data_size` bytes of
// data.
//
//     DIRECTORY  path
//     FILE       path, is_executable, mtime; `total` bytes of content follow in DATA frames
//     DATA       1 to WORK_DATA_MAX bytes of the last FILE; only until its total is reached
//     LINK       path; data is the symlink's target
//     END        total = bytes of all files, count = DIRECTORY, FILE and LINK frames sent
//     REFUSED    the package is bad: code is the reason; path names the entry, as far as it can be
//                named (may be empty); total is the reason's number (entry, byte offset or size)
//
// Anything else, in any other order, is -EPROTO: the worker is broken or was taken over.
//
// PREPARE takes a model for the package and answers with two files: WORK_PREPARED_REPORT, one struct
// work_prepared, and WORK_PREPARED_MODEL, the prepared form (of NO_FORM only the report, of the model
// as it is); or REFUSED with one of the PREPARE_
// reasons and, as the path, words of the engine. The reader shows the report and believes the form
// for this model alone: whoever takes over the worker was that model.

#ifndef LAMINA_WIRE_WORK_H
#define LAMINA_WIRE_WORK_H

#include <stdint.h>

#define WORK_MAGIC UINT32_C(0x4b57414c) // "LAWK"
#define WORK_VERSION UINT32_C(1)

enum work_kind { WORK_KIND_UNZIP = 1, WORK_KIND_PREPARE = 2 };

// Positions of the numbers in struct spawn_work's arg[], and on the command line. UNZIP's:
enum work_argument {
    WORK_ARGUMENT_ENTRIES_MAX = 0,
    WORK_ARGUMENT_BYTES_MAX = 1, // sum of all files; 0: no limit
    WORK_ARGUMENT_RESERVED_2 = 2,
    WORK_ARGUMENT_RESERVED_3 = 3,
};

// PREPARE's:
enum work_prepare_argument {
    WORK_PREPARE_BYTES_MAX = 0, // of the prepared form; 0: no limit
    WORK_PREPARE_TIME_MS = 1,   // for looking and measuring, beside loading; more is not begun
    WORK_PREPARE_HAS_TREE = 2,  // 1: the model is a file of /var/task, where its external data is
    WORK_PREPARE_NO_FORM = 3, // 1: it would be too large; only how the model is loaded is measured
};

#define WORK_PREPARE_TIME_MS_MAX UINT64_C(600000)

#define WORK_PREPARED_REPORT "report"
#define WORK_PREPARED_MODEL "model.ort"

// Two outputs are equal when they differ by at most this part.
#define WORK_PREPARED_TOLERANCE 1e-3

// What was measured, with one thread.
struct work_measured {
    uint64_t cold_us; // session and first inference
    uint64_t warm_us; // one inference, the median
    uint64_t private_bytes;
    double difference; // the largest from the original's answers, relative; not finite: no answers
};

struct work_prepared {
    struct work_measured off, on; // without pre-packed weights, and with them
    uint32_t checked;             // inputs whose answers were compared
    uint32_t reserved;            // 0
};

_Static_assert(sizeof(struct work_prepared) == 72, "work_prepared has a fixed size");

#define WORK_PATH_MAX 4000 // bytes of a path; with "/var/task/" it stays below PATH_MAX
#define WORK_NAME_MAX 255  // bytes of one name in it
#define WORK_DEPTH_MAX 128 // names in it
#define WORK_LINK_MAX 4000 // bytes of a symlink's target
#define WORK_DATA_MAX (256 * 1024)

enum work_frame_type {
    WORK_DIRECTORY = 1,
    WORK_FILE = 2,
    WORK_DATA = 3,
    WORK_LINK = 4,
    WORK_END = 5,
    WORK_REFUSED = 6,
};

struct work_hello {
    uint32_t magic;
    uint32_t version;
};

struct work_frame {
    uint8_t type;          // enum work_frame_type
    uint8_t is_executable; // FILE: 0 or 1
    uint16_t code;         // REFUSED: enum work_reason
    uint32_t path_size;    // at most WORK_PATH_MAX
    uint32_t data_size;    // at most WORK_DATA_MAX
    uint32_t count;        // END
    uint64_t total;        // FILE, END, REFUSED
    int64_t mtime;         // FILE: seconds since 1970
};

_Static_assert(sizeof(struct work_hello) == 8, "work_hello has a fixed size");
_Static_assert(sizeof(struct work_frame) == 32, "work_frame has a fixed size");

// Why a package is refused: the name, and the words for a person ("the package ..." is the subject
// where no entry is named, else the entry is).
#define WORK_REASONS(X)                                                                            \
    X(NOT_ZIP, "it is not a zip file")                                                             \
    X(TRUNCATED, "the file is cut short")                                                          \
    X(DAMAGED, "its directory is damaged")                                                         \
    X(EMPTY, "it holds no files")                                                                  \
    X(MULTI_VOLUME, "it is split over several files")                                              \
    X(TOO_MANY, "it has too many entries")                                                         \
    X(TOO_LARGE, "it is too large unzipped")                                                       \
    X(ENCRYPTED, "the entry is encrypted")                                                         \
    X(METHOD, "the entry is compressed in a way other than deflate")                               \
    X(NAME_EMPTY, "an entry has no name")                                                          \
    X(NAME_NUL, "the name holds a NUL byte")                                                       \
    X(NAME_NOT_UTF8, "the name is marked as UTF-8 but is not")                                     \
    X(NAME_ABSOLUTE, "the name is absolute")                                                       \
    X(NAME_TRAVERSAL, "the name leads out of the package")                                         \
    X(NAME_TOO_LONG, "the name is too long or too deep")                                           \
    X(DUPLICATE, "the name is there twice")                                                        \
    X(CONFLICT, "the name is both a file and a directory")                                         \
    X(FILE_TYPE, "the entry is neither file, directory nor symbolic link")                         \
    X(LINK_OUT, "the symbolic link leads out of the package")                                      \
    X(HEADERS_DIFFER, "the entry's two headers contradict each other")                             \
    X(OVERLAP, "the entry shares its bytes with another")                                          \
    X(CHECKSUM, "the content does not have the checksum that is recorded")                         \
    X(SIZE, "the content does not have the size that is recorded")                                 \
    X(COMPRESSED_DATA, "the compressed content is damaged")                                        \
    X(READ, "it could not be read")                                                                \
    X(PREPARE_ENGINE, "there is no engine to prepare it with")                                     \
    X(PREPARE_LOAD, "the engine could not prepare it")                                             \
    X(PREPARE_TOO_LARGE, "its prepared form is too large")                                         \
    X(PREPARE_RUN, "no inputs were found that it runs on, so nothing could be compared")           \
    X(PREPARE_DIFFERS, "its prepared form answers otherwise than it does itself")

enum work_reason {
#define WORK_REASON_ENUM(name, text) WORK_REASON_##name,
    WORK_REASONS(WORK_REASON_ENUM)
#undef WORK_REASON_ENUM
        WORK_REASON_COUNT
};

// The words; NULL for a number that is no reason.
static inline const char *work_reason_text(unsigned reason)
{
#define WORK_REASON_TEXT(name, text) text,
    static const char *const texts[WORK_REASON_COUNT] = {WORK_REASONS(WORK_REASON_TEXT)};
#undef WORK_REASON_TEXT
    return reason < WORK_REASON_COUNT ? texts[reason] : 0;
}

#endif
