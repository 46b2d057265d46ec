// SPDX-License-Identifier: MIT
//
// file_source: which content a file of a file system has at this moment, read only when that is not known. The digest
// decides; a stat is a hint. Internal to fetch/.
//
//     look ─► stat as before, and settled? ──yes──► the digest that is known
//               │ no
//               ├─ over FUSE, and written less than FILE_SETTLE_MS ago: wait, look again (FILE_WAIT_MAX_MS at most)
//               ▼
//     read into a staged file ─► whole? ──no (somebody writes to it)──► wait, look again (FILE_TORN_MAX times)
//               │ yes
//               ▼
//     its digest; `settled` if it was FILE_SETTLE_MS old then. One that is not is read again at the first look
//     FILE_SETTLE_MS later: two contents within one tick of the file system's clock have one stat.
//
// Over FUSE the first read waits instead, since clocks tick in whole seconds there, and a second read would cost the
// network as much as the first.
//
// A file system that did not answer in time is asked once in FILE_UNWELL_MS; all others who want something of it hear
// -ETIMEDOUT at once, so that it holds no threads.
//
// Any thread, several at a time. Limits: FILE_KNOWN_MAX files known, then all are forgotten (and read once more).

#ifndef LAMINA_FETCH_FILE_SOURCE_H
#define LAMINA_FETCH_FILE_SOURCE_H

#include "base/digest.h"
#include "fetch/file_job.h"
#include "store/store.h"

#define FILE_SETTLE_MS 2000
#define FILE_WAIT_MAX_MS 15000
#define FILE_TORN_MAX 5
#define FILE_TORN_PAUSE_MS 300
#define FILE_UNWELL_MS 5000
#define FILE_KNOWN_MAX 10000

// "fs-...:/root/path", whoever asks.
#define FILE_KEY_SIZE                                                                              \
    (SPAWN_FILESYSTEM_ID_SIZE + SPAWN_FILESYSTEM_ROOT_SIZE + SPAWN_FILE_PATH_SIZE + 4)
void file_place_key(const struct file_place *place, char key[FILE_KEY_SIZE]);

struct file_source;

// channel_fd is borrowed.
int file_source_new(int channel_fd, struct store *store, const atomic_bool *is_ending,
                    struct file_source **ret_source) MUST_CHECK;
void file_source_free(struct file_source *source); // accepts NULL

// One question over several looks; begin with all zero, and free `staged` if nobody takes it.
struct file_question {
    int64_t began_ms; // monotonic
    struct file_stat seen;
    unsigned torn;

    // The answer.
    bool
        is_in_place; // immutable: it is mapped where it lies, and was not read; only bytes and seen count
    struct digest digest;
    uint64_t bytes;
    struct store_file *staged; // it was read now; NULL: the content is known
    int64_t again_ms;          // of FILE_AGAIN
};

#define FILE_AGAIN 1

// 0; FILE_AGAIN: ask again after again_ms; -ESTALE: it is written to all the time; as file_read; -ENOSPC.
int file_source_look(struct file_source *source, const struct file_place *place,
                     struct file_question *question, struct error *err) MUST_CHECK;

// The content that is known of it is not in the store any more: the next look reads it.
void file_source_forget(struct file_source *source, const struct file_place *place);

#endif
