// SPDX-License-Identifier: MIT
//
// lamina-work's own confinement, on top of the one in which lamina-spawn started it (namespaces, a
// uid of its own, cgroup, filter): a program started by hand is confined as well. After it the
// process can read its input, write its output, take memory and exit; it cannot open, execute,
// create or signal anything. A forbidden system call kills it.
//
// Builds with AddressSanitizer keep the resource limits but not the filter or the memory limit: the
// sanitizer's own calls would be killed.

#ifndef LAMINA_WORK_CONFINE_H
#define LAMINA_WORK_CONFINE_H

#include "base/compiler.h"

#define CONFINE_MEMORY_BYTES (256ull * 1024 * 1024)
#define CONFINE_CPU_SECONDS 3600
#define CONFINE_ENGINE_FILES 32

// -errno; the job must not run then.
int confine_self(void) MUST_CHECK;

// For a job with an inference library in it: resource limits only. What it may ask of the kernel is
// lamina-spawn's filter; it can read the host's /usr and write to memory and its output.
int confine_engine(void) MUST_CHECK;

#endif
