// SPDX-License-Identifier: MIT
//
// What this processor is, as far as compiled kernels differ by it: a digest of its model and of the
// instructions that it has. What was made for one processor is not used on another.

#ifndef LAMINA_BASE_CPU_H
#define LAMINA_BASE_CPU_H

#include "base/digest.h"

struct digest cpu_digest(void);

#endif
