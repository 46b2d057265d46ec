// SPDX-License-Identifier: MIT
#include "kind.h"

// Starts: the figures of a quiet machine (SPECIFICATION.md; speech detector 60.0 ms) and of the design's measurements
// (42 and 420 MB: ONNX Runtime's default load against a mapped file). Memory: Private_Dirty of lamina-model after one
// inference, 72 and 665 MiB for the two large ones as they are loaded by default, 10 MiB below their weights when the
// weights are mapped. Forks: call to first inference less a warm inference.
const struct kind kinds[KINDS] = {
    // name              share start  ord.   rebuild templ. fork  p99   fork   run   model
    {"small (2 MB)", 0.25, 40, 12.4, 40, 12.4, 0.85, 1.42, 0.40, 0.05, 2},
    {"speech detector", 0.20, 60, 23.2, 60, 23.2, 1.45, 4.25, 0.40, 0.15, 2.3},
    {"42 MB", 0.25, 156, 72.4, 45, 12.0, 2.40, 4.60, 0.45, 4.1, 42},
    {"420 MB", 0.15, 1078, 664.5, 75, 12.0, 2.40, 4.80, 0.50, 28.8, 420},
    {"Python and numpy", 0.15, 266, 27.7, 280, 27.7, 2.80, 4.20, 1.50, 1.0, 0},
};
