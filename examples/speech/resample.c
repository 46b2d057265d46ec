// SPDX-License-Identifier: MIT

#include "resample.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define ZERO_CROSSINGS 32 // of the sinc, to each side
#define KAISER_BETA 8.0   // 80 dB of stop band
#define PASS_BAND 0.92    // of half the lower rate; the rest is the filter's slope

static unsigned common_divisor(unsigned a, unsigned b)
{
    while (b != 0) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// The modified Bessel function of order 0, by its power series.
static double bessel_i0(double x)
{
    double term = 1, sum = 1;
    for (int k = 1; term > sum * 1e-17; k++) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

// The filter at `x` input samples from its centre; `cutoff` in cycles an input sample, times two.
static double filter_at(double x, double cutoff, double half_width)
{
    double place = x / half_width;
    if (fabs(place) >= 1)
        return 0;
    double window = bessel_i0(KAISER_BETA * sqrt(1 - place * place)) / bessel_i0(KAISER_BETA);
    double angle = M_PI * x * cutoff;
    double sinc = fabs(angle) < 1e-9 ? 1 : sin(angle) / angle;
    return cutoff * sinc * window;
}

// Coefficients for each phase, each normalised: a constant sound stays at its level.
static float *make_table(unsigned phases, int taps, double cutoff, double half_width)
{
    float *table = malloc((size_t) phases * (size_t) taps * sizeof *table);
    for (unsigned phase = 0; table != NULL && phase < phases; phase++) {
        float *row = table + (size_t) phase * (size_t) taps;
        double sum = 0;
        for (int tap = 0; tap < taps; tap++) {
            double x = tap - taps / 2 + 1 - (double) phase / phases;
            row[tap] = (float) filter_at(x, cutoff, half_width);
            sum += (double) row[tap];
        }
        for (int tap = 0; tap < taps; tap++)
            row[tap] = (float) ((double) row[tap] / sum);
    }
    return table;
}

static float convolve(const float *samples, size_t count, size_t centre, const float *row, int taps)
{
    double sum = 0;
    for (int tap = 0; tap < taps; tap++) {
        size_t at =
            centre + (size_t) (tap + 1) - (size_t) (taps / 2); // wraps below 0, then fails the test
        if (at < count)
            sum += (double) samples[at] * (double) row[tap];
    }
    return (float) sum;
}

int resample(const float *samples, size_t count, unsigned from, unsigned to, float **ret_samples,
             size_t *ret_count)
{
    unsigned divisor = common_divisor(from, to), phases = to / divisor, step = from / divisor;
    size_t result_count = (size_t) (((unsigned long long) count * phases + step - 1) / step);
    AUTO_FREE float *result = malloc((result_count + 1) * sizeof *result);
    if (result == NULL)
        return -ENOMEM;
    if (from == to) {
        memcpy(result, samples, count * sizeof *result);
    } else {
        double ratio = to < from ? (double) to / from : 1;
        double half_width = ZERO_CROSSINGS / ratio;
        int taps = 2 * (int) ceil(half_width) + 2;
        AUTO_FREE float *table = make_table(phases, taps, ratio * PASS_BAND, half_width);
        if (table == NULL)
            return -ENOMEM;
        for (size_t i = 0; i < result_count; i++) {
            unsigned long long place = (unsigned long long) i * step;
            const float *row = table + (size_t) (place % phases) * (size_t) taps;
            result[i] = convolve(samples, count, (size_t) (place / phases), row, taps);
        }
    }
    *ret_samples = TAKE_PTR(result);
    *ret_count = result_count;
    return 0;
}
