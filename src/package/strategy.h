// SPDX-License-Identifier: MIT
//
// What AWS allows, strategy by strategy, compared with exact byte counts before anything is sent.
//
// Sources: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
// zip upload 50 MB (52,428,800), unzipped with layers 250 MB (262,144,000), image 10 GB,
// memory and /tmp 10,240 MB.
#ifndef LAMINA_PACKAGE_STRATEGY_H
#define LAMINA_PACKAGE_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum strategy {
    STRATEGY_PACKAGE,
    STRATEGY_LAYER,
    STRATEGY_IMAGE,
    STRATEGY_S3,
    STRATEGY_ENDPOINT,
    STRATEGY_FILESYSTEM,
    STRATEGY_COUNT,
};

// "package", "layer", "image", "s3", "endpoint", "filesystem"
const char *strategy_name(enum strategy strategy);
// -1: there is no strategy of this name
int strategy_find(const char *name);

struct strategy_size {
    uint64_t zip_bytes;      // 0: not known yet
    uint64_t unzipped_bytes; // of the whole package
    uint64_t model_bytes;    // of the model alone; 0: not known, then unzipped_bytes counts
};

struct strategy_verdict {
    bool fits;
    const char *limit;   // what is exceeded: "50 MB zipped", "250 MB unzipped"; NULL when it fits
    uint64_t over_bytes; // by how much
};

struct strategy_verdict strategy_check(enum strategy strategy, const struct strategy_size *size);

// One line for a person: "zip: 41 MB over 50 MB zipped (94,371,840 bytes); layer: ...; image: fits;
// s3: fits; ...". Cut at size. text is always terminated.
void strategy_describe(const struct strategy_size *size, char *text, size_t text_size);

// "41 MB", "1.5 KB", "812 bytes": for people; 1 MB is 1,048,576 bytes as AWS counts it.
void bytes_describe(uint64_t bytes, char *text, size_t text_size);

#endif
