// SPDX-License-Identifier: MIT
//
// One lamina-work job as the deployment thread sees it: asked of lamina-spawn over the work channel,
// its output read with a deadline, its end waited for. Blocks. Closing kills the job: lamina-spawn
// sees the status socket's end. Internal to deploy/.

#ifndef LAMINA_DEPLOY_WORKER_H
#define LAMINA_DEPLOY_WORKER_H

#include "base/compiler.h"
#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

#define WORKER_MEMORY_BYTES (UINT64_C(512) * 1024 * 1024)
#define WORKER_CPU_SECONDS 3600

struct worker {
    int output; // read end of its pipe; owned
    int status; // our end of its status socket; owned
};

struct worker_spec {
    uint32_t kind; // enum work_kind
    uint64_t arguments[4];
    int input;              // borrowed: a regular file, open for reading only
    uint32_t flags;         // enum spawn_work_flags
    uint32_t cpu_seconds;   // 0: WORKER_CPU_SECONDS
    uint64_t memory_bytes;  // 0: WORKER_MEMORY_BYTES
    const uint8_t *tree_id; // borrowed: what it sees at /var/task; NULL: nothing
};

// -errno. *worker is closed on failure.
int worker_start(struct worker *worker, int channel, const struct worker_spec *spec,
                 struct error *err) MUST_CHECK;
// The next bytes; 0 at end-of-file; -ETIME when none came for `wait_ms`; -errno.
ssize_t worker_read(struct worker *worker, void *data, size_t size, int wait_ms) MUST_CHECK;
// After end-of-file: 0 if it ended well; -ECHILD with its end in words, -ENOMEM when it passed its
// memory, -ETIME when it passed its processor time or says nothing, -errno.
int worker_wait(struct worker *worker, int wait_ms, struct error *err) MUST_CHECK;
// Kills it if it still runs. Harmless on a closed one.
void worker_close(struct worker *worker);

#endif
