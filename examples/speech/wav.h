// SPDX-License-Identifier: MIT
//
// wav: a RIFF/WAVE file as one channel of floats.
//
// Reads PCM of 8, 16, 24 and 32 bits and IEEE floats of 32 and 64 bits, also behind
// WAVE_FORMAT_EXTENSIBLE, 1 to 8 channels (their mean is taken), 1,000 to 384,000 samples a second.
// Other formats are refused by name. Unknown chunks are skipped.
//
// A data chunk that says 0 or more bytes than the file has (a recording cut off, or a file written
// to a pipe, whose writer could not go back) is read to the file's end; `is_truncated` is set when
// samples that the file promised are missing. Floats beyond what a sound card plays are cut to
// [-1, 1]; those that are not numbers become 0.
//
// Limits: WAV_SECONDS_MAX of sound, the rest is left out and `is_cut` set; 512 MiB of file.
// Errors: -EINVAL with what is wrong with the file; -ENOMEM; those of open and read.

#ifndef LAMINA_EXAMPLES_WAV_H
#define LAMINA_EXAMPLES_WAV_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define WAV_SECONDS_MAX 600
#define WAV_FILE_BYTES_MAX ((size_t) 512 << 20)

struct wav {
    float *samples; // owned: wav_done frees
    size_t count;
    unsigned rate;     // samples a second
    unsigned channels; // that the file had
    bool is_truncated;
    bool is_cut;
    bool is_silent; // every sample is 0
};

int wav_read(const char *path, struct wav *ret_wav, struct error *err) MUST_CHECK;
int wav_parse(struct str file, struct wav *ret_wav, struct error *err) MUST_CHECK;
void wav_done(struct wav *wav);

// Writes 16-bit PCM with one channel.
int wav_write(const char *path, const float *samples, size_t count, unsigned rate,
              struct error *err) MUST_CHECK;

#endif
