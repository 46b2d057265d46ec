// SPDX-License-Identifier: MIT
//
// Writes zip archives: the same content always gives the same bytes.
//
// Every entry carries the date 1980-01-01 00:00 and its Unix mode reduced to 0644, 0755 or a
// symbolic link, so a digest depends on names, order, modes and content only. Compression is
// DEFLATE, or "stored" where the first 256 KiB of an entry shrink by less than a tenth (weights
// are noise to DEFLATE, and it is slow). Sizes are patched into the local header afterwards, so
// there are no data descriptors and every reader that streams can read the result. Zip64 records
// appear only when needed: an entry or offset of 4 GiB and above, or more than 65,534 entries.
// Format: PKWARE APPNOTE 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
//
// The output must be seekable (a file, not a pipe). Memory: 256 KiB of buffers, and the central
// directory (about 60 bytes and the name an entry). Names are given by the caller as relative
// paths with '/'; at most ZIP_NAME_BYTES_MAX. Nothing here checks them: package.c does.
//
// Errors: those of read, write and lseek, -ENOMEM, and -ESTALE when a file's size changed while
// it was being added.
#ifndef LAMINA_PACKAGE_ZIP_H
#define LAMINA_PACKAGE_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define ZIP_NAME_BYTES_MAX 4096

struct zip_writer;

// Writes to fd from its current end of file; fd is borrowed.
MUST_CHECK int zip_writer_new(int fd, struct zip_writer **ret, struct error *err);
void zip_writer_free(struct zip_writer *zip);

// Writes zip64 records for every entry from now on, needed or not: so that tests need no 4 GiB.
void zip_writer_force_zip64(struct zip_writer *zip);

// A regular file: size bytes of fd from its start.
MUST_CHECK int zip_add_file(struct zip_writer *zip, const char *name, bool is_executable, int fd,
                            uint64_t size, struct error *err);
MUST_CHECK int zip_add_bytes(struct zip_writer *zip, const char *name, bool is_executable,
                             const void *data, size_t size, struct error *err);
MUST_CHECK int zip_add_symlink(struct zip_writer *zip, const char *name, const char *target,
                               struct error *err);
// name without a slash at its end
MUST_CHECK int zip_add_directory(struct zip_writer *zip, const char *name, struct error *err);

// Writes the central directory. ret_bytes: the archive's whole size.
MUST_CHECK int zip_finish(struct zip_writer *zip, uint64_t *ret_bytes, struct error *err);

#endif
