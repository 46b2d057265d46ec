// SPDX-License-Identifier: MIT

#include "unit.h"

#include "../../examples/speech/resample.h"
#include "../../examples/speech/wav.h"

#include <math.h>

struct header {
    unsigned tag, channels, rate, bits;
    uint32_t data_claims; // what the data chunk says of its size
};

static char *put(char *at, unsigned value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (char) (value >> (8 * i));
    return at + bytes;
}

// A WAV file in `file`; returns its size.
static size_t make(char *file, struct header header, const void *data, size_t size)
{
    char *at = file;
    unsigned frame = header.channels * header.bits / 8;
    memcpy(at, "RIFF\xff\xff\xff\xffWAVELIST\x03\0\0\0abc\0fmt ", 28); // an odd chunk first
    at = put(at + 28, 16, 4);
    at = put(at, header.tag, 2);
    at = put(at, header.channels, 2);
    at = put(at, header.rate, 4);
    at = put(at, header.rate * frame, 4);
    at = put(at, frame, 2);
    at = put(at, header.bits, 2);
    memcpy(at, "data", 4);
    at = put(at + 4, header.data_claims, 4);
    memcpy(at, data, size);
    return (size_t) (at - file) + size;
}

static int parse(struct header header, const void *data, size_t size, struct wav *wav,
                 struct error *err)
{
    char file[4096];
    *err = (struct error){0};
    struct unit_guard guard = unit_guard_new(file, make(file, header, data, size));
    memcpy(guard.data, file, make(file, header, data, size));
    int r = wav_parse(str_of_data(guard.data, make(file, header, data, size)), wav, err);
    unit_guard_free(&guard);
    return r;
}

static void assert_samples(struct header header, const void *data, size_t size,
                           const float *expected, size_t count)
{
    struct wav wav;
    struct error err;
    header.data_claims = (uint32_t) size;
    assert_int_equal(parse(header, data, size, &wav, &err), 0);
    assert_int_equal(wav.count, count);
    assert_int_equal(wav.rate, header.rate);
    assert_false(wav.is_truncated || wav.is_cut);
    for (size_t i = 0; i < count; i++)
        assert_float_equal(wav.samples[i], expected[i], 1e-6);
    wav_done(&wav);
}

static void every_coding(void **state)
{
    assert_samples((struct header){1, 1, 8000, 8, 0}, "\x80\x00\xff", 3,
                   (float[]){0, -1, 127.0f / 128}, 3);
    assert_samples((struct header){1, 1, 16000, 16, 0}, "\0\0\0\x80\0\x40", 6,
                   (float[]){0, -1, 0.5f}, 3);
    assert_samples((struct header){1, 1, 16000, 24, 0}, "\0\0\x80\0\0\x40", 6, (float[]){-1, 0.5f},
                   2);
    assert_samples((struct header){1, 1, 16000, 32, 0}, "\0\0\0\x80\0\0\0\x20", 8,
                   (float[]){-1, 0.25f}, 2);
    float singles[] = {0.5f, -3, NAN};
    assert_samples((struct header){3, 1, 44100, 32, 0}, singles, sizeof singles,
                   (float[]){0.5f, -1, 0}, 3);
    double doubles[] = {0.25, INFINITY};
    assert_samples((struct header){3, 1, 48000, 64, 0}, doubles, sizeof doubles,
                   (float[]){0.25f, 1}, 2);
}

static void stereo_is_the_mean_and_half_a_frame_is_nothing(void **state)
{
    assert_samples((struct header){1, 2, 16000, 16, 0}, "\0\x40\0\x20\0\0\0\x40\1\1", 10,
                   (float[]){0.375f, 0.25f}, 2);
}

static void silence_is_told(void **state)
{
    struct wav wav;
    struct error err;
    char zeros[64] = {0};
    assert_int_equal(parse((struct header){1, 1, 16000, 16, 64}, zeros, 64, &wav, &err), 0);
    assert_true(wav.is_silent);
    assert_int_equal(wav.count, 32);
    wav_done(&wav);
}

static void a_cut_off_recording_is_used_and_told(void **state)
{
    struct wav wav;
    struct error err;
    char data[64] = {1};
    assert_int_equal(parse((struct header){1, 1, 16000, 16, 640}, data, 63, &wav, &err), 0);
    assert_true(wav.is_truncated);
    assert_int_equal(wav.count, 31);
    wav_done(&wav);
    static const uint32_t open_sizes[] = {0, 0x7FFFF000, 0x7FFFFFFF, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(open_sizes); i++) { // as written to a pipe
        assert_int_equal(
            parse((struct header){1, 1, 22050, 16, open_sizes[i]}, data, 64, &wav, &err), 0);
        assert_false(wav.is_truncated);
        assert_int_equal(wav.count, 32);
        wav_done(&wav);
    }
}

static void every_prefix_is_refused_or_shorter(void **state)
{
    char file[4096], data[32] = {1, 2, 3};
    size_t size = make(file, (struct header){1, 1, 16000, 16, 32}, data, 32);
    for (size_t cut = 0; cut < size; cut++) {
        struct wav wav;
        struct error err = {0};
        struct unit_guard guard = unit_guard_new(file, cut);
        int r = wav_parse(str_of_data(guard.data, cut), &wav, &err);
        if (cut < size - 32 + 2) {
            assert_int_equal(r, -EINVAL);
        } else {
            assert_int_equal(r, 0);
            assert_int_equal(wav.count, (cut - (size - 32)) / 2);
            assert_true(wav.is_truncated);
            wav_done(&wav);
        }
        unit_guard_free(&guard);
    }
}

static void what_cannot_be_read_is_named(void **state)
{
    static const struct {
        struct header header;
        const char *part;
    } rows[] = {
        {{7, 1, 8000, 8, 4}, "mu-law"},
        {{0x55, 1, 8000, 8, 4}, "MP3"},
        {{1, 0, 8000, 16, 4}, "0 channels"},
        {{1, 9, 8000, 16, 4}, "9 channels"},
        {{1, 1, 999, 16, 4}, "999 samples a second"},
        {{1, 1, 400000, 16, 4}, "400000 samples a second"},
        {{1, 1, 8000, 12, 4}, "12 bits"},
        {{3, 1, 8000, 16, 4}, "16 bits"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct wav wav;
        struct error err;
        assert_int_equal(parse(rows[i].header, "\1\1\1\1", 4, &wav, &err), -EINVAL);
        assert_non_null(strstr(err.text, rows[i].part));
    }
    struct wav wav;
    struct error err = {0};
    assert_int_equal(wav_parse(STR("not a sound at all"), &wav, &err), -EINVAL);
    assert_int_equal(wav_read("/nowhere.wav", &wav, &err), -ENOENT);
}

static void what_is_written_reads_back(void **state)
{
    char path[64], file[80];
    int fd = unit_dir_make(path);
    struct error err = {0};
    struct wav wav;
    static const float samples[] = {0, 0.5f, -0.5f, 2, -2};
    (void) snprintf(file, sizeof file, "%s/x.wav", path);
    assert_int_equal(wav_write(file, samples, 5, 16000, &err), 0);
    assert_int_equal(wav_read(file, &wav, &err), 0);
    assert_int_equal(wav.count, 5);
    assert_float_equal(wav.samples[1], 0.5f, 1e-4);
    assert_float_equal(wav.samples[3], 1, 1e-4);
    wav_done(&wav);
    unit_dir_remove(fd, path);
}

// ---- resample

// The largest difference, away from the ends, between a resampled sine and the same sine made at
// the new rate.
static double sine_error(double hertz, unsigned from, unsigned to)
{
    size_t count = from, made;
    float *samples = malloc(count * sizeof *samples), *result;
    double largest = 0;
    assert_non_null(samples);
    for (size_t i = 0; i < count; i++)
        samples[i] = (float) sin(2 * M_PI * hertz * (double) i / from);
    assert_int_equal(resample(samples, count, from, to, &result, &made), 0);
    assert_int_equal(made, to);
    for (size_t i = made / 8; i < made - made / 8; i++)
        largest = fmax(largest, fabs((double) result[i] - sin(2 * M_PI * hertz * (double) i / to)));
    free(samples);
    free(result);
    return largest;
}

// What is left, away from the ends, of a sine that the new rate cannot hold.
static double alias_level(double hertz, unsigned from, unsigned to)
{
    size_t count = from, made;
    float *samples = malloc(count * sizeof *samples), *result;
    double largest = 0;
    assert_non_null(samples);
    for (size_t i = 0; i < count; i++)
        samples[i] = (float) sin(2 * M_PI * hertz * (double) i / from);
    assert_int_equal(resample(samples, count, from, to, &result, &made), 0);
    for (size_t i = made / 8; i < made - made / 8; i++)
        largest = fmax(largest, fabs((double) result[i]));
    free(samples);
    free(result);
    return largest;
}

static void tones_keep_their_shape_and_place(void **state)
{
    static const unsigned rates[] = {8000, 11025, 22050, 44100, 48000, 96000, 11127, 16001};
    for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
        assert_true(sine_error(440, rates[i], 16000) < 1e-3);
        assert_true(sine_error(3000, rates[i], 16000) < 1e-3);
    }
}

static void tones_above_the_new_limit_vanish(void **state)
{
    assert_true(alias_level(9000, 44100, 16000) < 1e-3);
    assert_true(alias_level(12345, 44100, 16000) < 1e-3);
    assert_true(alias_level(20000, 48000, 16000) < 1e-3);
}

static void equal_rates_copy_and_short_sounds_survive(void **state)
{
    float *result;
    size_t made;
    static const float samples[] = {0.25f, -0.5f, 1};
    assert_int_equal(resample(samples, 3, 16000, 16000, &result, &made), 0);
    assert_int_equal(made, 3);
    assert_memory_equal(result, samples, sizeof samples);
    free(result);
    assert_int_equal(resample(samples, 1, 44100, 16000, &result, &made), 0);
    assert_int_equal(made, 1);
    free(result);
    assert_int_equal(resample(samples, 0, 44100, 16000, &result, &made), 0);
    assert_int_equal(made, 0);
    free(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_coding),
        cmocka_unit_test(stereo_is_the_mean_and_half_a_frame_is_nothing),
        cmocka_unit_test(silence_is_told),
        cmocka_unit_test(a_cut_off_recording_is_used_and_told),
        cmocka_unit_test(every_prefix_is_refused_or_shorter),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(tones_keep_their_shape_and_place),
        cmocka_unit_test(tones_above_the_new_limit_vanish),
        cmocka_unit_test(equal_rates_copy_and_short_sounds_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
