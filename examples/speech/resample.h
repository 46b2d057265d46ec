// SPDX-License-Identifier: MIT
//
// resample: sound at another number of samples a second.
//
// A windowed-sinc low-pass filter (Kaiser, 80 dB) evaluated at each output sample's exact place,
// its coefficients tabled for the ratio's phases: nothing above half of the lower rate is left to
// fold back into what is heard. The result is ceil(count * to / from) samples, in time with the
// input.

#ifndef LAMINA_EXAMPLES_RESAMPLE_H
#define LAMINA_EXAMPLES_RESAMPLE_H

#include "base/compiler.h"

#include <stddef.h>

// Equal rates copy. -ENOMEM. `ret_samples` is the caller's to free.
int resample(const float *samples, size_t count, unsigned from, unsigned to, float **ret_samples,
             size_t *ret_count) MUST_CHECK;

#endif
