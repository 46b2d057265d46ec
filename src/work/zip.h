// SPDX-License-Identifier: MIT
//
// A zip file as a list of entries, read with suspicion.
//
// A zip tells everything twice: in the directory at its end, and in a header before each entry. Two
// programs that believe different halves see two different packages, so here the halves must agree:
// name, method, flags, sizes and checksum; entries may not share bytes; the directory must end where
// the end record begins. All of this is checked by zip_open, before any content is unpacked.
//
//     | header, content [, descriptor] | ... | directory: one record an entry | [zip64 end] | end |
//       ^-------------------------------------- offset in the record
//
// Accepted: stored and deflated entries, data descriptors, zip64, a stub before the first entry when
// the offsets allow for it, any comment. Names become UTF-8 paths without "." and empty parts.
//
// Source: PKWARE APPNOTE.TXT 6.3.10. One thread. Memory: the directory (at most ZIP_DIRECTORY_MAX)
// and about 100 bytes an entry.

#ifndef LAMINA_WORK_ZIP_H
#define LAMINA_WORK_ZIP_H

#include "base/compiler.h"
#include "wire/work.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZIP_DIRECTORY_MAX (64u * 1024 * 1024)

// Where the bytes are: a descriptor read by pread, or memory (tests) if `memory` is not NULL.
struct zip_source {
    int fd;                // borrowed
    const uint8_t *memory; // borrowed
    uint64_t size;
};

// Reads exactly `size` bytes at `offset`. -ENODATA past the end, -errno.
int zip_source_read(const struct zip_source *source, uint64_t offset, void *data,
                    size_t size) MUST_CHECK;

struct zip_limits {
    uint64_t entries_max; // at least 1
    uint64_t bytes_max;   // the sum of all files must not be more; 0: no limit
};

// Why the package is bad. `path` is the entry's name as far as it can be told, not NUL-terminated.
struct zip_refusal {
    enum work_reason reason;
    uint64_t number; // the entry's position in the directory, or a size
    uint32_t path_size;
    char path[WORK_PATH_MAX];
};

enum zip_type { ZIP_FILE, ZIP_DIRECTORY, ZIP_LINK };

struct zip_entry {
    const char *raw_name; // as in the directory; borrowed from it
    uint16_t raw_name_size;
    uint16_t flags;
    uint16_t method; // 0 stored, 8 deflate
    uint32_t checksum;
    uint64_t compressed_size;
    uint64_t size;
    uint64_t header_offset;
    uint64_t content_offset;
    uint64_t end; // first byte behind content and descriptor
    int64_t mtime;
    char *path; // owned; UTF-8, relative, clean; "" for the package's own root, which is no entry
    uint32_t path_size;
    uint32_t position; // in the directory
    uint8_t type;      // enum zip_type
    bool is_executable;
};

struct zip {
    struct zip_source source;
    uint8_t *directory;
    struct zip_entry *entries; // in the order of their offsets
    size_t entry_count;
    uint64_t total_bytes; // of all files
};

// 0; -EBADMSG: the package is bad, *ret_refusal says why; -ENOMEM, other -errno. On failure *zip is
// empty; zip_done is harmless.
int zip_open(struct zip *zip, const struct zip_source *source, const struct zip_limits *limits,
             struct zip_refusal *ret_refusal) MUST_CHECK;
void zip_done(struct zip *zip);

// Unpacks a file or a link's target: `write` gets the content in pieces of at most WORK_DATA_MAX; it
// returns 0 or -errno, which ends the unpacking. Size and checksum are checked at the end.
int zip_unpack(const struct zip *zip, const struct zip_entry *entry,
               int (*write)(void *arg, const void *data, size_t size), void *arg,
               struct zip_refusal *ret_refusal) MUST_CHECK;

// Fills the refusal, for the whole package or for an entry; returns -EBADMSG.
int zip_refuse_whole(struct zip_refusal *refusal, enum work_reason reason, uint64_t number);
int zip_refuse(struct zip_refusal *refusal, enum work_reason reason, const struct zip_entry *entry,
               uint64_t number);

// ---- zip_name.c

// From the bytes in the directory to a clean path (owned, NUL-terminated). 0, -ENOMEM or -EBADMSG
// with *ret_reason. `is_dos`: made by a DOS or Windows tool (old ones write '\' for '/').
// *ret_is_directory: it ended in '/'.
int zip_name_clean(const char *raw, size_t raw_size, bool is_marked_utf8, bool is_dos,
                   char **ret_path, uint32_t *ret_size, bool *ret_is_directory,
                   enum work_reason *ret_reason) MUST_CHECK;

// May a link at `path` point to `target`? It must stay inside: relative, ".." only in front and not
// more of them than the link is deep. (A ".." behind a name could climb out through another link.)
bool zip_link_stays_inside(const char *path, size_t path_size, const char *target,
                           size_t target_size) MUST_CHECK;

#endif
