// SPDX-License-Identifier: MIT
//
// A manifest: what a tree is made of, as text that has exactly one form (docs/store-format.md), so
// that its SHA-256 is the tree's id.
//
//     lamina-tree 1
//     d lib
//     f x 12 - <sha256> bootstrap
//     f r 340 1767225600 <sha256> lib/handler.py
//     f r 0 - - lib/empty.txt
//     l lib/model.onnx ../model.onnx
//     end 5
//
// Sorted by path ('/' before all other bytes, so that what is beneath a directory follows it), every
// directory named before what is in it. Internal to store/. One thread at a time.

#ifndef LAMINA_STORE_MANIFEST_H
#define LAMINA_STORE_MANIFEST_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_BYTES_MAX (64u * 1024 * 1024)

enum manifest_type { MANIFEST_DIRECTORY, MANIFEST_FILE, MANIFEST_LINK };

struct manifest_entry {
    char *path; // owned
    size_t path_size;
    uint8_t type; // enum manifest_type
    bool is_executable;
    bool has_mtime; // *.py
    int64_t mtime;
    uint64_t size;        // FILE
    struct digest digest; // FILE with size > 0
    char *target;         // LINK; owned
};

struct manifest {
    struct manifest_entry *entries; // owned
    size_t count;
    size_t capacity;
};

#define AUTO_MANIFEST AUTO(manifest_done)

void manifest_done(struct manifest *manifest);

// A zeroed entry at the end; NULL without memory. Order is made by manifest_sort.
struct manifest_entry *manifest_add(struct manifest *manifest) MUST_CHECK;
void manifest_sort(struct manifest *manifest);

// The text of a sorted manifest. -EFBIG.
int manifest_write(const struct manifest *manifest, struct buf *text) MUST_CHECK;

// Takes exactly the texts that manifest_write makes; -EUCLEAN with the line's number otherwise.
// Paths and targets were checked: they stay in the tree.
int manifest_parse(struct str text, struct manifest *ret_manifest, struct error *err) MUST_CHECK;

// 0 for a path that a tree may have; -EINVAL, -ENAMETOOLONG.
int manifest_path_check(struct str path) MUST_CHECK;
// 0 for a target that stays in the tree; -EXDEV.
int manifest_target_check(struct str path, struct str target) MUST_CHECK;

// Is it a Python source, whose mtime its .pyc records?
bool manifest_keeps_mtime(struct str path) MUST_CHECK;

#endif
