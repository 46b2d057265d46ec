// SPDX-License-Identifier: MIT
//
// The mark that a program linked with liblamina bears: its instances can be forks of a template
// (docs/templates.md). Only a hint of what to try: the template itself is checked from outside when it
// runs, so that a stranger's program that bears the mark gains nothing by it.
//
// Blocks (reads the file once); any thread.

#ifndef LAMINA_DEPLOY_MARK_H
#define LAMINA_DEPLOY_MARK_H

#include "base/digest.h"
#include "store/store.h"

#define MARK_TEXT_ABLE "LAMINA-TEMPLATE/1 "
#define MARK_TEXT_ALWAYS "LAMINA-TEMPLATE-DEFAULT/1 "
// No more of a bootstrap is looked at; ours have the mark in their first megabytes.
#define MARK_LOOK_BYTES (64u << 20)

enum mark {
    MARK_NONE,
    MARK_ABLE,   // liblamina: with SnapStart
    MARK_ALWAYS, // lamina-model
};

// Of the tree's `bootstrap`. What cannot be read bears none.
enum mark mark_read(struct store *store, const struct digest *tree_id);

// In one piece of memory, for tests.
enum mark mark_find(const void *data, size_t size);

#endif
