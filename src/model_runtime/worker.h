// SPDX-License-Identifier: MIT
//
// worker: the threads of the engine, which begin to exist when they may.
//
//     worker_create (by the engine, as it loads)  ->  recorded  --- workers_start() --->  running
//                                                        `------ worker_join() ------>  run to its end
//
// fork() carries one thread over, so a template must not have more than one; its engine still has to
// be made for the threads that its forks will use. The engine's creation of threads is therefore
// taken over: it is told that a thread exists, and the thread is made by workers_start(), in the fork.
// Until then a run does all of its work on the thread that asked for it: what it left to a worker's
// queue it takes back (ONNX Runtime: ThreadPoolTempl::EndParallelSection). Results do not depend on
// it, since the work is cut by the number of threads asked for, not by those that are there.
//
// One thread calls all of this. Workers take no signals: those are the main thread's.
// Limit: WORKERS_MAX at once.

#ifndef LAMINA_MODEL_RUNTIME_WORKER_H
#define LAMINA_MODEL_RUNTIME_WORKER_H

#include <stddef.h>

#define WORKERS_MAX 128

struct worker;

// As ONNX Runtime's OrtCustomCreateThreadFn, less its types. `unused`: its creation options. NULL:
// there are too many, or the thread was to start at once and could not.
const struct worker *worker_create(void *unused, void (*work)(void *), void *arg);

// As OrtCustomJoinThreadFn: waits for its end. One that never ran is run first: its end frees what
// the engine gave it.
void worker_join(const struct worker *worker);

// Starts what was recorded; what is created later starts at once. 0, or a negative errno when some
// could not be made: the engine then works with fewer, and slower.
int workers_start(void);

size_t workers_recorded(void); // that do not run yet

#endif
