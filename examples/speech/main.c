// SPDX-License-Identifier: MIT
//
// speech: how likely it is, at each moment of a sound, that somebody speaks.
//
//     speech [--endpoint-url URL] [--data-dir DIR] [--function NAME] [-o text|json]
//            [--samples OUT.f32] FILE.wav...
//     speech --noise SECONDS OUT.wav
//
// Asks a function that runs silero VAD, one invocation for each 32 milliseconds of sound. Files of
// any rate and number of channels are brought to 16 kHz and one channel; --samples writes what then
// goes to the model, as raw 32-bit floats. Results go to stdout, what else there is to say about a
// file to stderr. Exit: 0, 1 failed, 2 usage.

#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "chart.h"
#include "client/client.h"
#include "detector.h"
#include "resample.h"
#include "wav.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <signal.h>

#define SPEECH_FROM 0.5f // silero's own threshold
#define OUTPUT_BYTES_MAX (4u << 20)

struct options {
    struct target_options target;
    const char *function;
    const char *samples_path; // where to write the samples; NULL: nowhere
    bool is_json;
};

// ---- results

static size_t count_speech(const struct detection *detection)
{
    size_t count = 0;
    for (size_t i = 0; i < detection->count; i++)
        count += detection->probabilities[i] >= SPEECH_FROM;
    return count;
}

static void append_text(struct buf *out, const char *path, double seconds,
                        const struct detection *detection)
{
    bool is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    size_t speech = count_speech(detection);
    buf_printf(out, "%s: %.1f s, speech in %zu %% of it\n", path, seconds,
               speech * 100 / detection->count);
    chart_append(out, detection->probabilities, detection->count, seconds, is_utf8);
    buf_printf(out, "     %zu invocations: p50 %.2f ms, p95 %.2f ms\n", detection->count,
               detection_call_ms(detection, 0.5), detection_call_ms(detection, 0.95));
}

static void append_json(struct buf *out, const char *path, double seconds,
                        const struct detection *detection)
{
    buf_append_text(out, "{\"file\":");
    (void) json_append_string(out, str_of(path));
    buf_printf(
        out,
        ",\"seconds\":%.6f,\"p50_ms\":%.4f,\"p95_ms\":%.4f,\"first_ms\":%.4f,\"probabilities\":[",
        seconds, detection_call_ms(detection, 0.5), detection_call_ms(detection, 0.95),
        detection->call_ms[0]);
    for (size_t i = 0; i < detection->count; i++)
        buf_printf(out, "%s%.9g", i > 0 ? "," : "", (double) detection->probabilities[i]);
    buf_append_text(out, "]}\n");
}

static void say_what_is_special(const char *path, const struct wav *wav)
{
    if (wav->is_truncated)
        (void) fprintf(stderr, "speech: '%s' is cut off: it promises more sound than it holds\n",
                       path);
    if (wav->is_cut)
        (void) fprintf(stderr, "speech: '%s' is long: its first %d s are used\n", path,
                       WAV_SECONDS_MAX);
    if (wav->is_silent)
        (void) fprintf(stderr, "speech: '%s' is silent: all of its samples are 0\n", path);
    if (wav->rate != DETECTOR_RATE || wav->channels != 1)
        (void) fprintf(stderr,
                       "speech: '%s' has %u Hz and %u channel%s: brought to %d Hz and one\n", path,
                       wav->rate, wav->channels, wav->channels == 1 ? "" : "s", DETECTOR_RATE);
}

static int write_samples(const char *path, const float *samples, size_t count, struct error *err)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int r = fd < 0 ? -errno : fd_write_all(fd, samples, count * sizeof *samples);
    return r < 0 ? error_set_errno(err, r, "write '%s'", path) : 0;
}

static int analyse(struct client *client, const struct options *options, const char *path,
                   struct error *err)
{
    AUTO_FREE float *samples = NULL;
    AUTO_BUF struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);
    struct detection detection = {0};
    struct wav wav;
    size_t count;

    int r = wav_read(path, &wav, err);
    if (r < 0)
        return r;
    say_what_is_special(path, &wav);
    r = resample(wav.samples, wav.count, wav.rate, DETECTOR_RATE, &samples, &count);
    wav_done(&wav);
    if (r < 0)
        return error_set_errno(err, r, "'%s'", path);
    if (options->samples_path != NULL)
        r = write_samples(options->samples_path, samples, count, err);
    if (r < 0)
        return r;
    r = detector_run(client, options->function, samples, count, &detection, err);
    if (r < 0)
        return error_wrap(err, r, "'%s'", path);
    if (options->is_json)
        append_json(&out, path, (double) count / DETECTOR_RATE, &detection);
    else
        append_text(&out, path, (double) count / DETECTOR_RATE, &detection);
    detection_done(&detection);
    if (buf_status(&out) < 0 || fwrite(out.data, 1, out.size, stdout) != out.size ||
        fflush(stdout) != 0)
        return error_set(err, -EIO, "'%s': its result could not be written", path);
    return 0;
}

// ---- a sound to compare with

// White noise of a quarter of full scale, the same at each run: numbers from a 64-bit congruential
// generator (Knuth's MMIX constants).
static int write_noise(const char *path, double seconds, struct error *err)
{
    size_t count = (size_t) (seconds * DETECTOR_RATE);
    AUTO_FREE float *samples = malloc((count + 1) * sizeof *samples);
    uint64_t random = 20260101;
    if (samples == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu samples", count);
    for (size_t i = 0; i < count; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        samples[i] = ((float) (random >> 40) / (float) (1 << 23) - 1) / 4;
    }
    return wav_write(path, samples, count, DETECTOR_RATE, err);
}

// ---- the command line

static int usage(void)
{
    (void) fputs("usage: speech [--endpoint-url URL] [--data-dir DIR] [--function NAME]\n"
                 "              [-o text|json] [--samples OUT.f32] FILE.wav...\n"
                 "       speech --noise SECONDS OUT.wav\n",
                 stderr);
    return 2;
}

static int fail(const struct error *err)
{
    (void) fprintf(stderr, "speech: %s\n", err->text);
    return 1;
}

static int run_noise(const char *seconds_text, char *const *files, int count)
{
    struct error err = {0};
    char *end;
    double seconds = strtod(seconds_text, &end);
    if (count != 1 || *end != '\0' || !(seconds > 0 && seconds <= WAV_SECONDS_MAX))
        return usage();
    return write_noise(files[0], seconds, &err) < 0 ? fail(&err) : 0;
}

static int run_files(const struct options *options, char *const *files, int count)
{
    struct error err = {0};
    struct target target;
    struct client *client;
    int status = 0;

    if (count == 0)
        return usage();
    if (target_resolve(&options->target, &target, &err) < 0 ||
        client_new(&target, &client, &err) < 0)
        return fail(&err);
    for (int i = 0; i < count; i++)
        if (analyse(client, options, files[i], &err) < 0)
            status = fail(&err);
    client_free(client);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"endpoint-url", required_argument, NULL, 'e'},
        {"data-dir", required_argument, NULL, 'd'},
        {"function", required_argument, NULL, 'f'},
        {"output", required_argument, NULL, 'o'},
        {"noise", required_argument, NULL, 'n'},
        {"samples", required_argument, NULL, 's'},
        {0},
    };
    struct options options = {.function = "speech"};
    const char *noise = NULL;
    int option;

    (void) setlocale(LC_CTYPE, "");
    (void) signal(SIGPIPE, SIG_IGN);
    while ((option = getopt_long(argc, argv, "o:", long_options, NULL)) != -1) {
        if (option == 'e')
            options.target.endpoint_url = optarg;
        else if (option == 'd')
            options.target.data_dir = optarg;
        else if (option == 'f')
            options.function = optarg;
        else if (option == 'n')
            noise = optarg;
        else if (option == 's')
            options.samples_path = optarg;
        else if (option == 'o' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0))
            options.is_json = strcmp(optarg, "json") == 0;
        else
            return usage();
    }
    return noise != NULL ? run_noise(noise, argv + optind, argc - optind)
                         : run_files(&options, argv + optind, argc - optind);
}
