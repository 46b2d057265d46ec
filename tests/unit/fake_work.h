// SPDX-License-Identifier: MIT
//
// fake_work: a process in lamina-spawn's place on the work channel. Each WORK packet gets a process
// that runs the test's worker in lamina-work's place; its end is told, and it is killed when whoever
// asked hangs up, as lamina-spawn does it. Opened before the test has threads.

#ifndef LAMINA_TESTS_FAKE_WORK_H
#define LAMINA_TESTS_FAKE_WORK_H

#include "wire/spawn.h"
#include "wire/work.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct fake_work {
    int channel; // the asking end: SPAWN_FD_WORK
    pid_t pid;
};

// What a worker does, in a process of its own: its exit status.
typedef int fake_worker(int input, int output, const struct spawn_work *work);
// The flags of its end, for what a process cannot do to itself; NULL: 0.
typedef uint32_t fake_worker_flags(int input);

// -1: cannot.
int fake_work_open(struct fake_work *fake, fake_worker *run, fake_worker_flags *flags);
void fake_work_close(struct fake_work *fake);
void fake_work_kill(struct fake_work *fake); // nobody works any more; the channel stays

// What an input that begins with "worker:" says behind it, up to a space or its end; false: another.
bool fake_work_word(int input, char word[64]);

// The stream (wire/work.h). Errors are the reader's to find.
void fake_work_hello(int fd);
void fake_work_frame(int fd, struct work_frame frame, const char *path, const void *data,
                     size_t size);
void fake_work_file(int fd, const char *path, const void *data, size_t size);
void fake_work_text(int fd, const char *path, const char *content); // a file
void fake_work_end(int fd, uint32_t count, uint64_t total);

#endif
