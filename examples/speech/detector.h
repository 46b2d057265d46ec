// SPDX-License-Identifier: MIT
//
// detector: the speech detector silero VAD (v5 or v6), running as a function.
//
// One invocation a window: 512 samples at 16 kHz, with the 64 samples before them in front, as the
// model was trained. What the model remembers (`state`) goes back and forth with each call, so
// any instance may answer any call. The last window is filled up with silence.

#ifndef LAMINA_EXAMPLES_DETECTOR_H
#define LAMINA_EXAMPLES_DETECTOR_H

#include "base/error.h"
#include "client/client.h"

#define DETECTOR_RATE 16000
#define DETECTOR_WINDOW 512
#define DETECTOR_CONTEXT 64

struct detection {
    float *probabilities; // of speech, one a window; owned
    double *call_ms;      // of each invocation; owned
    size_t count;
};

// Windows of `count` samples.
size_t detector_windows(size_t count);

int detector_run(struct client *client, const char *function, const float *samples, size_t count,
                 struct detection *ret_detection, struct error *err) MUST_CHECK;
void detection_done(struct detection *detection);

// The `share`-th part of the sorted calls: 0.5 is the median. 0 for none.
double detection_call_ms(const struct detection *detection, double share);

#endif
