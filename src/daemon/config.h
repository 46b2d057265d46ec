/* SPDX-License-Identifier: MIT
 *
 * config: every setting of laminad, from one table: flag > environment > file > default.
 *
 * The table (config.c) names each setting once: its flag, its environment variable, its key in
 * /etc/lamina/lamina.conf (`key = value`, '#' starts a comment), its default and its range. Flags are
 * the key with two dashes: `--data-dir DIR` or `--data-dir=DIR`.
 * Thread: read once at start, then constant.
 */
#ifndef LAMINA_DAEMON_CONFIG_H
#define LAMINA_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define CONFIG_FILE_DEFAULT "/etc/lamina/lamina.conf"

enum aws_limits_mode { AWS_LIMITS_ENFORCE, AWS_LIMITS_WARN, AWS_LIMITS_OFF };

struct config {
    char *config_file;
    char *data_dir;
    char *listen; /* address:port; port 0 takes a free one, DIR/endpoint tells which */
    char *region;
    char *account_id;
    char *user; /* whom lamina-spawn starts laminad as: a name or uid */
    char *sandbox_uids;
    char *log_level;
    enum aws_limits_mode aws_limits;
    uint64_t concurrency;
    uint64_t queue;
    uint64_t queue_bytes;
    uint64_t queue_wait_ms;
    uint64_t starts_at_once;
    uint64_t freeze_after_ms;
    uint64_t keepalive_s;
    uint64_t memory_reserve_mb;
    uint64_t drain_s;
    uint64_t connections_max;
};

enum config_outcome { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };

/* Reads everything. `environment` is environ, or a test's. -EINVAL with a text for a person. */
MUST_CHECK int config_load(struct config *config, int argc, char *const *argv,
                           char *const *environment, enum config_outcome *ret_outcome,
                           struct error *err);
void config_done(struct config *config);

/* One line a setting: flag, variable, default, what it does. */
void config_print_help(FILE *out);

#endif
