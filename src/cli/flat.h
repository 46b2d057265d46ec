// SPDX-License-Identifier: MIT
//
// A JSON document as lines for people: one leaf a line, its path joined with dots. Members named
// *_bytes are shown as sizes, numbers with at most three decimals, null not at all. So that what
// a newer service says is shown by an older command line too.
#ifndef LAMINA_CLI_FLAT_H
#define LAMINA_CLI_FLAT_H

#include "base/json.h"

void flat_print(yyjson_val *root);

// The text that a leaf is shown as. name: its member's name, which may say that it is a size.
void flat_leaf(const char *name, yyjson_val *leaf, char *text, size_t text_size);

#endif
