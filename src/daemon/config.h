/* SPDX-License-Identifier: MIT
 *
 * config: every setting of laminad, from one table: flag > environment > file > default.
 *
 * The table (config.c) names each setting once: its key in /etc/lamina/lamina.conf (`key = value`, '#'
 * starts a comment), its environment variable, its default, its range and what it does. The flag is the
 * key with two dashes: `--data-dir DIR` or `--data-dir=DIR`.
 * Thread: read once at start, then constant.
 */
#ifndef LAMINA_DAEMON_CONFIG_H
#define LAMINA_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define CONFIG_FILE_DEFAULT "/etc/lamina/lamina.conf"

enum aws_limits_mode { AWS_LIMITS_ENFORCE, AWS_LIMITS_WARN, AWS_LIMITS_OFF };

struct config {
    char *config_file;
    char *data_dir;
    char *listen;   /* address:port; port 0 takes a free one, DIR/endpoint tells which */
    char *tls_cert; /* PEM, the chain; "": plain HTTP */
    char *tls_key;
    char *region;
    char *account_id;
    char *user;         /* whom laminad runs as: NAME or UID[:GID]; "" leaves it to lamina-spawn */
    char *sandbox_uids; /* FIRST-LAST; "" leaves it to lamina-spawn */
    char *filesystems_file; /* lamina-spawn reads it */
    char *log_level;
    char *s3_origins; /* the text of the [s3_origin NAME] sections: fetch/origin.h */
    uint64_t aws_limits;      /* enum aws_limits_mode */
    uint64_t insecure_listen; /* 1: beyond loopback without TLS, too */
    uint64_t concurrency;
    uint64_t queue;
    uint64_t queue_mb;
    uint64_t queue_wait_ms;
    uint64_t async_retry_ms;
    uint64_t starts_at_once;
    uint64_t freeze_after_ms;
    uint64_t keepalive_s;
    uint64_t memory_reserve_mb;
    uint64_t template_mb;
    uint64_t cache_mb;
    uint64_t spares;
    uint64_t drain_s;
    uint64_t collect_after_s;
    uint64_t connections;
};

enum config_outcome { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };

/* Reads everything; `environment` is environ, or a test's. -EINVAL with a text for a person, -ENOMEM, or
 * what opening a configuration file that was named explicitly gives. */
MUST_CHECK int config_load(struct config *config, int argc, char *const *argv,
                           char *const *environment, enum config_outcome *ret_outcome,
                           struct error *err);
void config_done(struct config *config);

/* The same settings as flags, "--key", "value", for a process that may not read what we read (the configuration file can be
 * root's alone): appended to `flags`, which has room for CONFIG_FLAGS_MAX. Each is the caller's to free. -ENOMEM. */
#define CONFIG_FLAGS_MAX 64
MUST_CHECK int config_flags(const struct config *config, char *flags[CONFIG_FLAGS_MAX],
                            size_t *ret_count);

/* One line a setting: flag, variable, default, what it does. */
void config_print_help(FILE *out);

#endif
