// SPDX-License-Identifier: MIT
//
// The format: "Multimedia Programming Interface and Data Specifications 1.0" (IBM, Microsoft, 1991)
// and "Multiple channel audio data and WAVE files" (Microsoft, 2007) for the extensible form.

#include "wav.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#define CHANNELS_MAX 8
#define RATE_MIN 1000
#define RATE_MAX 384000

enum { FORMAT_PCM = 1, FORMAT_FLOAT = 3, FORMAT_EXTENSIBLE = 0xFFFE };

struct format {
    unsigned tag; // FORMAT_PCM or FORMAT_FLOAT
    unsigned channels;
    unsigned rate;
    unsigned bits;
};

static unsigned load_le(const char *data, size_t bytes)
{
    unsigned value = 0;
    for (size_t i = bytes; i > 0; i--)
        value = value << 8 | (unsigned char) data[i - 1];
    return value;
}

// ---- the header

static const char *format_name(unsigned tag)
{
    switch (tag) {
    case 0x0002:
        return "Microsoft ADPCM";
    case 0x0006:
        return "A-law";
    case 0x0007:
        return "mu-law";
    case 0x0011:
        return "IMA ADPCM";
    case 0x0031:
        return "GSM 6.10";
    case 0x0055:
        return "MP3";
    default:
        return "an unknown coding";
    }
}

static bool is_known_width(const struct format *format)
{
    if (format->tag == FORMAT_FLOAT)
        return format->bits == 32 || format->bits == 64;
    return format->bits == 8 || format->bits == 16 || format->bits == 24 || format->bits == 32;
}

static int parse_format(struct str chunk, struct format *ret_format, struct error *err)
{
    if (chunk.size < 16)
        return error_set(err, -EINVAL, "the format chunk has %zu bytes, 16 at least are needed",
                         chunk.size);
    struct format format = {
        .tag = load_le(chunk.data, 2),
        .channels = load_le(chunk.data + 2, 2),
        .rate = load_le(chunk.data + 4, 4),
        .bits = load_le(chunk.data + 14, 2),
    };
    if (format.tag == FORMAT_EXTENSIBLE && chunk.size >= 26)
        format.tag = load_le(chunk.data + 24, 2); // the first bytes of the sub-format's GUID
    if (format.tag != FORMAT_PCM && format.tag != FORMAT_FLOAT)
        return error_set(err, -EINVAL,
                         "the sound is coded as %s (format %u); only PCM and floats can be read",
                         format_name(format.tag), format.tag);
    if (format.channels < 1 || format.channels > CHANNELS_MAX)
        return error_set(err, -EINVAL, "%u channels: 1 to %d can be read", format.channels,
                         CHANNELS_MAX);
    if (format.rate < RATE_MIN || format.rate > RATE_MAX)
        return error_set(err, -EINVAL, "%u samples a second: %d to %d can be read", format.rate,
                         RATE_MIN, RATE_MAX);
    if (!is_known_width(&format))
        return error_set(err, -EINVAL,
                         "%u bits a sample: 8, 16, 24 and 32, or floats of 32 and 64, can be read",
                         format.bits);
    *ret_format = format;
    return 0;
}

struct parts {
    struct str format, data;
    bool is_truncated;
    bool has_data;
};

// The chunks that count. A chunk starts at an even offset and may claim more than the file has.
static int find_parts(struct str file, struct parts *ret_parts, struct error *err)
{
    struct parts parts = {0};
    if (file.size < 12 || memcmp(file.data, "RIFF", 4) != 0 ||
        memcmp(file.data + 8, "WAVE", 4) != 0)
        return error_set(err, -EINVAL, "this is not a WAV file (no RIFF/WAVE header)");
    for (size_t at = 12; file.size - at >= 8 && !parts.has_data;) {
        const char *id = file.data + at;
        size_t claimed = load_le(id + 4, 4), left = file.size - at - 8;
        struct str chunk = str_of_data(id + 8, claimed < left ? claimed : left);
        if (memcmp(id, "fmt ", 4) == 0) {
            parts.format = chunk;
        } else if (memcmp(id, "data", 4) == 0) {
            // 0 and the largest sizes are what writers to a pipe leave: no promise is broken then.
            bool is_open = claimed == 0 || claimed >= 0x7FFFF000;
            parts.has_data = true;
            parts.data = is_open ? str_of_data(id + 8, left) : chunk;
            parts.is_truncated = !is_open && claimed > left;
        }
        size_t step = 8 + chunk.size + (claimed & 1);
        at = step > file.size - at ? file.size : at + step;
    }
    if (parts.format.data == NULL)
        return error_set(err, -EINVAL, "the file has no format chunk: it is cut off in its header");
    if (!parts.has_data)
        return error_set(err, -EINVAL, "the file has no sound in it: it is cut off in its header");
    *ret_parts = parts;
    return 0;
}

// ---- samples

static float load_float(const char *data, unsigned bits)
{
    double value;
    float single;
    if (bits == 64) {
        memcpy(&value, data, 8);
    } else {
        memcpy(&single, data, 4);
        value = (double) single;
    }
    if (isnan(value))
        return 0;
    return (float) fmin(1, fmax(-1, value));
}

static float load_sample(const char *data, const struct format *format)
{
    if (format->tag == FORMAT_FLOAT)
        return load_float(data, format->bits);
    if (format->bits == 8) // the only unsigned width
        return ((float) (unsigned char) data[0] - 128) / 128;
    unsigned raw = load_le(data, format->bits / 8) << (32 - format->bits);
    return (float) (int32_t) raw / 2147483648.0f;
}

static int load_samples(const struct format *format, struct str data, struct wav *wav,
                        struct error *err)
{
    size_t width = format->bits / 8, frame = width * format->channels;
    size_t count = data.size / frame, count_max = (size_t) format->rate * WAV_SECONDS_MAX;
    wav->is_cut = count > count_max;
    wav->count = wav->is_cut ? count_max : count;
    wav->is_silent = true;
    wav->samples = malloc((wav->count + 1) * sizeof *wav->samples);
    if (wav->samples == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu samples", wav->count);
    for (size_t i = 0; i < wav->count; i++) {
        float sum = 0;
        for (size_t channel = 0; channel < format->channels; channel++)
            sum += load_sample(data.data + i * frame + channel * width, format);
        wav->samples[i] = sum / (float) format->channels;
        wav->is_silent = wav->is_silent && wav->samples[i] == 0;
    }
    return 0;
}

int wav_parse(struct str file, struct wav *ret_wav, struct error *err)
{
    struct wav wav = {0};
    struct format format = {0};
    struct parts parts = {0};
    int r = find_parts(file, &parts, err);
    if (r == 0)
        r = parse_format(parts.format, &format, err);
    if (r == 0)
        r = load_samples(&format, parts.data, &wav, err);
    if (r < 0)
        return r;
    if (wav.count == 0) {
        wav_done(&wav);
        return error_set(err, -EINVAL, "the file has no sound in it");
    }
    wav.rate = format.rate;
    wav.channels = format.channels;
    wav.is_truncated = parts.is_truncated;
    *ret_wav = wav;
    return 0;
}

void wav_done(struct wav *wav)
{
    free(wav->samples);
    *wav = (struct wav){0};
}

// ---- files

int wav_read(const char *path, struct wav *ret_wav, struct error *err)
{
    struct stat status;
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    if (!S_ISREG(status.st_mode) || (size_t) status.st_size > WAV_FILE_BYTES_MAX)
        return error_set(err, -EINVAL, "'%s' is not a file of at most 512 MiB", path);
    AUTO_FREE char *data = malloc((size_t) status.st_size + 1);
    if (data == NULL)
        return error_set(err, -ENOMEM, "no memory for '%s'", path);
    ssize_t size = fd_read_all(fd, data, (size_t) status.st_size);
    if (size < 0)
        return error_set_errno(err, (int) size, "read '%s'", path);
    int r = wav_parse(str_of_data(data, (size_t) size), ret_wav, err);
    return r < 0 ? error_wrap(err, r, "'%s'", path) : 0;
}

static char *store_le(char *out, unsigned value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (char) (value >> (8 * i));
    return out + bytes;
}

int wav_write(const char *path, const float *samples, size_t count, unsigned rate,
              struct error *err)
{
    size_t size = 44 + 2 * count;
    AUTO_FREE char *data = malloc(size);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set_errno(err, -errno, "create '%s'", path);
    if (data == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu samples", count);
    char *at = data;
    memcpy(at, "RIFF", 4);
    at = store_le(at + 4, (unsigned) size - 8, 4);
    memcpy(at, "WAVEfmt ", 8);
    at = store_le(at + 8, 16, 4);
    at = store_le(at, FORMAT_PCM, 2);
    at = store_le(at, 1, 2);
    at = store_le(at, rate, 4);
    at = store_le(at, rate * 2, 4);
    at = store_le(at, 2, 2);
    at = store_le(at, 16, 2);
    memcpy(at, "data", 4);
    at = store_le(at + 4, (unsigned) (2 * count), 4);
    for (size_t i = 0; i < count; i++)
        at = store_le(at, (unsigned) (int) lrintf(fmaxf(-1, fminf(1, samples[i])) * 32767), 2);
    int r = fd_write_all(fd, data, size);
    return r < 0 ? error_set_errno(err, r, "write '%s'", path) : 0;
}
