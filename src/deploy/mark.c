// SPDX-License-Identifier: MIT

#include "deploy/mark.h"

#include "base/fd.h"
#include "store/look.h"

#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (256 * 1024)
// What one piece may have of a mark that begins in it; the longest is shorter.
#define OVERLAP_BYTES 64

_Static_assert(sizeof(MARK_TEXT_ALWAYS) <= OVERLAP_BYTES, "no mark falls between two pieces");

enum mark mark_find(const void *data, size_t size)
{
    if (memmem(data, size, MARK_TEXT_ALWAYS, strlen(MARK_TEXT_ALWAYS)))
        return MARK_ALWAYS;
    return memmem(data, size, MARK_TEXT_ABLE, strlen(MARK_TEXT_ABLE)) ? MARK_ABLE : MARK_NONE;
}

static enum mark read_file(int fd)
{
    static _Thread_local char piece[OVERLAP_BYTES + PIECE_BYTES];
    enum mark best = MARK_NONE;
    size_t kept = 0;
    for (size_t total = 0; total < MARK_LOOK_BYTES && best != MARK_ALWAYS;) {
        ssize_t got = read(fd, piece + kept, PIECE_BYTES);
        if (got <= 0)
            break;
        size_t size = kept + (size_t) got;
        enum mark found = mark_find(piece, size);
        best = found > best ? found : best;
        total += (size_t) got;
        kept = size < OVERLAP_BYTES ? size : OVERLAP_BYTES;
        memmove(piece, piece + size - kept, kept);
    }
    return best;
}

enum mark mark_read(struct store *store, const struct digest *tree_id)
{
    uint64_t bytes = 0;
    AUTO_FD int fd = -1;
    if (store_tree_open(store, tree_id, "bootstrap", &fd, &bytes) < 0)
        return MARK_NONE;
    return read_file(fd);
}
