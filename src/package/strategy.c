// SPDX-License-Identifier: MIT
#include "package/strategy.h"

#include "base/buf.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const strategy_names[STRATEGY_COUNT] = {
    [STRATEGY_PACKAGE] = "package",   [STRATEGY_LAYER] = "layer",
    [STRATEGY_IMAGE] = "image",       [STRATEGY_S3] = "s3",
    [STRATEGY_ENDPOINT] = "endpoint", [STRATEGY_FILESYSTEM] = "filesystem",
};

const char *strategy_name(enum strategy strategy)
{
    return strategy_names[strategy];
}

int strategy_find(const char *name)
{
    for (int i = 0; i < STRATEGY_COUNT; i++) {
        if (strcmp(strategy_names[i], name) == 0)
            return i;
    }
    return -1;
}

static struct strategy_verdict compare(uint64_t bytes, uint64_t bytes_max, const char *limit)
{
    if (bytes <= bytes_max)
        return (struct strategy_verdict){.fits = true};
    return (struct strategy_verdict){.limit = limit, .over_bytes = bytes - bytes_max};
}

struct strategy_verdict strategy_check(enum strategy strategy, const struct strategy_size *size)
{
    uint64_t model = size->model_bytes > 0 ? size->model_bytes : size->unzipped_bytes;
    struct strategy_verdict verdict = {.fits = true};

    switch (strategy) {
    case STRATEGY_PACKAGE:
    case STRATEGY_LAYER:
        // The unzipped limit first: an upload by way of S3 lifts the other one, but not this.
        verdict =
            compare(size->unzipped_bytes, (uint64_t) LIMIT_ZIP_UNPACKED_MAX, "250 MB unzipped");
        return verdict.fits
                   ? compare(size->zip_bytes, (uint64_t) LIMIT_ZIP_DIRECT_MAX, "50 MB zipped")
                   : verdict;
    case STRATEGY_IMAGE:
        return compare(size->unzipped_bytes, (uint64_t) LIMIT_GIB(10), "10 GB image");
    case STRATEGY_S3:
        return compare(model, (uint64_t) LIMIT_MIB(LIMIT_MEMORY_MB_MAX),
                       "10,240 MB of memory and /tmp");
    case STRATEGY_ENDPOINT:
    case STRATEGY_FILESYSTEM:
    case STRATEGY_COUNT:
        break;
    }
    return verdict;
}

void bytes_describe(uint64_t bytes, char *text, size_t text_size)
{
    static const char *const units[] = {"KB", "MB", "GB", "TB"};
    double value = (double) bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(text, text_size, "%" PRIu64 " bytes", bytes);
        return;
    }
    while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(text, text_size, value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void describe_over(struct buf *out, enum strategy strategy,
                          const struct strategy_verdict *verdict)
{
    char over[32];

    bytes_describe(verdict->over_bytes, over, sizeof over);
    buf_printf(out, "%s%s: %s over (by %" PRIu64 " bytes; limit: %s)", out->size > 0 ? "; " : "",
               strategy == STRATEGY_PACKAGE ? "zip" : strategy_name(strategy), over,
               verdict->over_bytes, verdict->limit);
}

void strategy_describe(const struct strategy_size *size, char *text, size_t text_size)
{
    AUTO_BUF struct buf over = BUF_INIT(1024);
    AUTO_BUF struct buf fits = BUF_INIT(256);

    for (int i = 0; i < STRATEGY_COUNT; i++) {
        struct strategy_verdict verdict = strategy_check((enum strategy) i, size);
        if (verdict.fits)
            buf_printf(&fits, "%s%s", fits.size > 0 ? ", " : "",
                       i == STRATEGY_PACKAGE ? "zip" : strategy_names[i]);
        else
            describe_over(&over, (enum strategy) i, &verdict);
    }
    snprintf(text, text_size, "%s%s%s%s", over.size > 0 ? over.data : "",
             over.size > 0 && fits.size > 0 ? "; " : "", fits.size > 0 ? fits.data : "",
             fits.size > 0 ? ": fits" : "");
}
