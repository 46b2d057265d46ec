/* SPDX-License-Identifier: MIT */
#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/filesystems_file.h"

#define CONFIG_FILE_BYTES_MAX ((size_t) 64 * 1024)

/* From the strongest to the weakest. A setting remembers where its value came from, so that a weaker
 * source, read later, does not replace it. */
enum source { SOURCE_NONE, SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

enum kind { KIND_TEXT, KIND_NUMBER, KIND_CHOICE };

struct setting {
    const char *key;
    const char *variable;
    const char *fallback;
    enum kind kind;
    size_t offset; /* of the char * or uint64_t in struct config */
    uint64_t minimum, maximum;
    const char *const *choices; /* KIND_CHOICE: ends with NULL, the value is the index */
    const char *what;
};

static const char *const aws_limits_choices[] = {"enforce", "warn", "off", NULL};
static const char *const no_yes_choices[] = {"no", "yes", NULL};

#define TEXT(member) KIND_TEXT, offsetof(struct config, member), 0, 0, NULL
#define NUMBER(member, minimum, maximum)                                                           \
    KIND_NUMBER, offsetof(struct config, member), (minimum), (maximum), NULL
#define CHOICE(member, choices) KIND_CHOICE, offsetof(struct config, member), 0, 0, (choices)

static const struct setting settings[] = {
    {"config", "LAMINA_CONFIG", CONFIG_FILE_DEFAULT, TEXT(config_file), "configuration file"},
    {"data-dir", "LAMINA_DATA_DIR", "/var/lib/lamina", TEXT(data_dir),
     "where everything is kept; made when missing"},
    {"listen", "LAMINA_LISTEN", "127.0.0.1:4566", TEXT(listen),
     "address:port of the API; port 0 takes a free one (see DIR/endpoint)"},
    {"tls-cert", "LAMINA_TLS_CERT", "", TEXT(tls_cert),
     "PEM file of the certificate and its chain: the API speaks HTTPS; read again at SIGHUP"},
    {"tls-key", "LAMINA_TLS_KEY", "", TEXT(tls_key),
     "PEM file of its private key, readable by the user that laminad runs as"},
    {"insecure-listen", "LAMINA_INSECURE_LISTEN", "no", CHOICE(insecure_listen, no_yes_choices),
     "yes: listen beyond loopback without TLS, too"},
    {"region", "LAMINA_REGION", "us-east-1", TEXT(region), "region in ARNs and signatures"},
    {"account-id", "LAMINA_ACCOUNT_ID", "000000000000", TEXT(account_id), "account in ARNs"},
    {"user", "LAMINA_UID", "", TEXT(user), "user (NAME or UID[:GID]) that laminad runs as"},
    {"sandbox-uids", "LAMINA_SANDBOX_UIDS", "", TEXT(sandbox_uids),
     "FIRST-LAST: the uids of sandboxes (900000-999999)"},
    {"filesystems-file", "LAMINA_FILESYSTEMS_FILE", FILESYSTEMS_FILE_DEFAULT,
     TEXT(filesystems_file),
     "file of root's that names the file systems of functions; read again at SIGHUP"},
    {"log-level", "LAMINA_LOG_LEVEL", "info", TEXT(log_level), "error, warn, info or debug"},
    {"s3-origins", "LAMINA_S3_ORIGINS", "", TEXT(s3_origins),
     "other object stores, as the configuration file's [s3_origin NAME] sections"},
    {"aws-limits", "LAMINA_AWS_LIMITS", "enforce", CHOICE(aws_limits, aws_limits_choices),
     "AWS's size limits: enforce, warn or off"},
    {"concurrency", "LAMINA_CONCURRENCY", "1000", NUMBER(concurrency, 1, 2000),
     "invocations, and instances, at once"},
    {"queue", "LAMINA_QUEUE", "1000", NUMBER(queue, 0, 100000),
     "invocations that may wait beyond those; more are throttled"},
    {"queue-mb", "LAMINA_QUEUE_MB", "64", NUMBER(queue_mb, 1, 65536),
     "payload, in MB, that may wait"},
    {"queue-wait-ms", "LAMINA_QUEUE_WAIT_MS", "10000", NUMBER(queue_wait_ms, 1, 900000),
     "longest wait before an invocation is throttled"},
    {"async-retry-ms", "LAMINA_ASYNC_RETRY_MS", "60000", NUMBER(async_retry_ms, 1, 86400000),
     "pause before an event that failed is tried again; the next one is twice as long"},
    {"starts-at-once", "LAMINA_STARTS_AT_ONCE", "64", NUMBER(starts_at_once, 1, 2000),
     "sandboxes being made at the same moment"},
    {"freeze-after-ms", "LAMINA_FREEZE_AFTER_MS", "1000", NUMBER(freeze_after_ms, 0, 86400000),
     "idle time after which an instance is frozen"},
    {"keepalive-s", "LAMINA_KEEPALIVE_S", "600", NUMBER(keepalive_s, 0, 604800),
     "idle time after which an instance is ended"},
    {"memory-reserve-mb", "LAMINA_MEMORY_RESERVE_MB", "256", NUMBER(memory_reserve_mb, 0, 1048576),
     "available memory, in MB, that no new instance may take"},
    {"template-memory", "LAMINA_TEMPLATE_MEMORY", "2048", NUMBER(template_mb, 0, 1048576),
     "MB that templates may keep of their own; 0: instances are never forked"},
    {"cache-memory", "LAMINA_CACHE_MEMORY", "1024", NUMBER(cache_mb, 0, 65536),
     "MB of hot models that are held on huge pages; 0: models are only files"},
    {"spares", "LAMINA_SPARES", "1", NUMBER(spares, 0, 16),
     "forks of a template that wait ahead of their calls"},
    {"drain-s", "LAMINA_DRAIN_S", "20", NUMBER(drain_s, 0, 3600),
     "longest wait for running invocations at SIGTERM"},
    {"collect-after-s", "LAMINA_COLLECT_AFTER_S", "10", NUMBER(collect_after_s, 1, 86400),
     "how long after a change what nothing names any more is removed from the disk"},
    {"connections", "LAMINA_CONNECTIONS", "10000", NUMBER(connections, 16, 100000),
     "client connections at once"},
};

/* What config_load carries around. */
struct loader {
    struct config *config;
    enum source from[ARRAY_SIZE(settings)];
    bool is_in_section; /* of the configuration file */
    struct buf sections;
    struct error *err;
};

static const struct setting *setting_find(struct str key)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (str_equal_text(key, settings[i].key))
            return &settings[i];
    return NULL;
}

static int choice_parse(const struct setting *setting, struct str value, uint64_t *ret_index)
{
    for (uint64_t i = 0; setting->choices[i]; i++)
        if (str_equal_text(value, setting->choices[i])) {
            *ret_index = i;
            return 0;
        }
    return -EINVAL;
}

static int text_assign(char **member, struct str value)
{
    char *copy = NULL;
    if (memchr(value.data ? value.data : "", '\0', value.size))
        return -EINVAL;
    copy = str_copy_heap(value);
    if (!copy)
        return -ENOMEM;
    free(*member);
    *member = copy;
    return 0;
}

/* Takes `value` unless a stronger source has spoken. `where` is for the message: "--listen". */
static int loader_assign(struct loader *loader, const struct setting *setting, enum source source,
                         struct str value, const char *where)
{
    size_t index = (size_t) (setting - settings);
    char *member = (char *) loader->config + setting->offset;
    int r = 0;
    if (loader->from[index] > source)
        return 0;
    if (setting->kind == KIND_TEXT)
        r = text_assign((char **) (void *) member, value);
    else if (setting->kind == KIND_CHOICE)
        r = choice_parse(setting, value, (uint64_t *) (void *) member);
    else
        r = str_to_u64(value, setting->maximum, (uint64_t *) (void *) member);
    if (r == 0 && setting->kind == KIND_NUMBER && *(uint64_t *) (void *) member < setting->minimum)
        r = -ERANGE;
    if (r == -ERANGE)
        return error_set(loader->err, -EINVAL, "%s%s: '" STR_FORMAT "' is outside %llu to %llu",
                         where, setting->key, STR_ARGUMENTS(value),
                         (unsigned long long) setting->minimum,
                         (unsigned long long) setting->maximum);
    if (r < 0)
        return error_set(loader->err, r, "%s%s: '" STR_FORMAT "' is not a valid value (%s)", where,
                         setting->key, STR_ARGUMENTS(value), setting->what);
    loader->from[index] = source;
    return 0;
}

static int load_defaults(struct loader *loader)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        int r = loader_assign(loader, &settings[i], SOURCE_DEFAULT, str_of(settings[i].fallback),
                              "default of ");
        if (r < 0)
            return r;
    }
    return 0;
}

static int load_flag(struct loader *loader, int argc, char *const *argv, int *index)
{
    struct str key = {0}, value = {0};
    const struct setting *setting = NULL;
    bool has_value = str_cut(str_skip(str_of(argv[*index]), 2), '=', &key, &value);
    setting = setting_find(key);
    if (!setting)
        return error_set(loader->err, -EINVAL, "unknown option --" STR_FORMAT, STR_ARGUMENTS(key));
    if (!has_value) {
        if (*index + 1 >= argc)
            return error_set(loader->err, -EINVAL, "--%s needs a value", setting->key);
        value = str_of(argv[++*index]);
    }
    return loader_assign(loader, setting, SOURCE_FLAG, value, "--");
}

static int load_flags(struct loader *loader, int argc, char *const *argv,
                      enum config_outcome *ret_outcome)
{
    for (int i = 1; i < argc; i++) {
        int r = 0;
        if (str_equal_text(str_of(argv[i]), "--help") || str_equal_text(str_of(argv[i]), "-h"))
            *ret_outcome = CONFIG_HELP;
        else if (str_equal_text(str_of(argv[i]), "--version"))
            *ret_outcome = CONFIG_VERSION;
        else if (str_has_prefix(str_of(argv[i]), STR("--")))
            r = load_flag(loader, argc, argv, &i);
        else
            r = error_set(loader->err, -EINVAL, "unexpected argument '%s'", argv[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int load_environment(struct loader *loader, char *const *environment)
{
    for (; environment && *environment; environment++) {
        struct str name = {0}, value = {0};
        if (!str_cut(str_of(*environment), '=', &name, &value) || value.size == 0)
            continue; /* set to nothing counts as not set */
        for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
            int r = 0;
            if (str_equal_text(name, settings[i].variable))
                r = loader_assign(loader, &settings[i], SOURCE_ENVIRONMENT, value, "environment: ");
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int load_line(struct loader *loader, struct str line, unsigned number)
{
    struct str key = {0}, value = {0};
    const struct setting *setting = NULL;
    line = str_trim(line);
    if (line.size == 0 || line.data[0] == '#')
        return 0;
    if (line.data[0] == '[' || loader->is_in_section) {
        loader->is_in_section = true; /* fetch/origin.c reads them */
        buf_append_str(&loader->sections, line);
        buf_append_byte(&loader->sections, '\n');
        return 0;
    }
    if (!str_cut(line, '=', &key, &value))
        return error_set(loader->err, -EINVAL, "%s, line %u: not `key = value`",
                         loader->config->config_file, number);
    setting = setting_find(str_trim(key));
    if (!setting || setting == setting_find(STR("config")))
        return error_set(loader->err, -EINVAL, "%s, line %u: unknown setting '" STR_FORMAT "'",
                         loader->config->config_file, number, STR_ARGUMENTS(str_trim(key)));
    return loader_assign(loader, setting, SOURCE_FILE, str_trim(value), "configuration file: ");
}

static int load_file(struct loader *loader)
{
    const char *path = loader->config->config_file;
    AUTO_BUF struct buf text = BUF_INIT(CONFIG_FILE_BYTES_MAX);
    struct str rest = {0}, line = {0};
    bool is_named = loader->from[setting_find(STR("config")) - settings] > SOURCE_DEFAULT;
    int r = fs_read_file(AT_FDCWD, path, &text);
    if (r == -ENOENT && !is_named)
        return 0;
    if (r < 0)
        return error_set_errno(loader->err, r, "read the configuration file '%s'", path);
    rest = buf_str(&text);
    for (unsigned number = 1; rest.size > 0; number++) {
        (void) str_cut(rest, '\n', &line, &rest);
        r = load_line(loader, line, number);
        if (r < 0)
            return r;
    }
    if (buf_status(&loader->sections) < 0)
        return error_set(loader->err, -E2BIG, "%s: too many sections", path);
    return loader->sections.size > 0
               ? loader_assign(loader, setting_find(STR("s3-origins")), SOURCE_FILE,
                               buf_str(&loader->sections), "configuration file: ")
               : 0;
}

static bool is_account_id(const char *text)
{
    return strlen(text) == 12 && strspn(text, "0123456789") == 12;
}

static bool is_region(const char *text)
{
    size_t size = strlen(text);
    return size >= 1 && size <= 32 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

/* Of "address:port". What is no address at all is refused when it is listened on. */
static bool is_beyond_loopback(const char *listen)
{
    bool is_address = listen[0] == '[' || (listen[0] >= '0' && listen[0] <= '9');
    return is_address && strncmp(listen, "127.", 4) != 0 && strncmp(listen, "[::1]:", 6) != 0;
}

/* Signatures keep callers apart, but nobody's code, data and answers secret: beyond the machine that is TLS's part. */
static int config_check_tls(const struct config *config, struct error *err)
{
    if (!config->tls_cert[0] != !config->tls_key[0])
        return error_set(err, -EINVAL, "%s is missing: TLS needs tls-cert and tls-key",
                         config->tls_cert[0] ? "tls-key" : "tls-cert");
    if (config->tls_cert[0] && (config->tls_cert[0] != '/' || config->tls_key[0] != '/'))
        return error_set(err, -EINVAL, "tls-cert, tls-key: '%s' is not an absolute path",
                         config->tls_cert[0] != '/' ? config->tls_cert : config->tls_key);
    if (!config->tls_cert[0] && !config->insecure_listen && is_beyond_loopback(config->listen))
        return error_set(
            err, -EINVAL,
            "listen: '%s' can be reached from other machines, and without TLS others can read what "
            "travels: set tls-cert and tls-key, or say --insecure-listen=yes",
            config->listen);
    return 0;
}

static int config_check(const struct config *config, struct error *err)
{
    if (!is_account_id(config->account_id))
        return error_set(err, -EINVAL, "account-id: '%s' is not twelve digits", config->account_id);
    if (!is_region(config->region))
        return error_set(err, -EINVAL, "region: '%s' is not a region's name", config->region);
    if (config->data_dir[0] != '/')
        return error_set(err, -EINVAL, "data-dir: '%s' is not an absolute path", config->data_dir);
    if (log_level_parse(config->log_level) < 0)
        return error_set(err, -EINVAL, "log-level: '%s' is not error, warn, info or debug",
                         config->log_level);
    if (config->filesystems_file[0] != '/')
        return error_set(err, -EINVAL, "filesystems-file: '%s' is not an absolute path",
                         config->filesystems_file);
    return config_check_tls(config, err);
}

int config_load(struct config *config, int argc, char *const *argv, char *const *environment,
                enum config_outcome *ret_outcome, struct error *err)
{
    struct loader loader = {
        .config = config, .sections = BUF_INIT(CONFIG_FILE_BYTES_MAX), .err = err};
    enum config_outcome outcome = CONFIG_RUN;
    int r = 0;
    *config = (struct config){0};
    r = load_defaults(&loader);
    if (r == 0)
        r = load_flags(&loader, argc, argv, &outcome);
    if (r == 0 && outcome == CONFIG_RUN)
        r = load_environment(&loader, environment);
    if (r == 0 && outcome == CONFIG_RUN)
        r = load_file(&loader);
    buf_done(&loader.sections);
    if (r == 0 && outcome == CONFIG_RUN)
        r = config_check(config, err);
    if (r < 0) {
        config_done(config);
        return r;
    }
    *ret_outcome = outcome;
    return 0;
}

void config_done(struct config *config)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (settings[i].kind == KIND_TEXT) {
            char **member = (char **) (void *) ((char *) config + settings[i].offset);
            free(*member);
            *member = NULL;
        }
}

/* As a flag's value; NULL without memory. */
static char *setting_text(const struct config *config, const struct setting *setting)
{
    const char *member = (const char *) config + setting->offset;
    const uint64_t *number = (const uint64_t *) (const void *) member;
    char text[24];
    if (setting->offset == offsetof(struct config, config_file))
        return mem_copy_text("/dev/null"); /* it was read */
    if (setting->kind == KIND_TEXT)
        return mem_copy_text(*(char *const *) (const void *) member);
    if (setting->kind == KIND_CHOICE)
        return mem_copy_text(setting->choices[*number]);
    snprintf(text, sizeof(text), "%llu", (unsigned long long) *number);
    return mem_copy_text(text);
}

static char *setting_flag(const struct setting *setting)
{
    char text[64];
    snprintf(text, sizeof(text), "--%s", setting->key);
    return mem_copy_text(text);
}

int config_flags(const struct config *config, char *flags[CONFIG_FLAGS_MAX], size_t *ret_count)
{
    size_t count = 0;
    _Static_assert(2 * ARRAY_SIZE(settings) <= CONFIG_FLAGS_MAX, "every setting has room");
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        flags[count++] = setting_flag(&settings[i]);
        flags[count++] = setting_text(config, &settings[i]);
        if (flags[count - 1] && flags[count - 2])
            continue;
        while (count > 0)
            free(flags[--count]);
        return -ENOMEM;
    }
    *ret_count = count;
    return 0;
}

void config_print_help(FILE *out)
{
    fputs("usage: laminad [OPTION VALUE]...\n\n"
          "A setting is a flag, else an environment variable, else a line `key = value` of the\n"
          "configuration file, else its default.\n\n",
          out);
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        fprintf(out, "  --%-18s %-26s %s [%s]\n", settings[i].key, settings[i].variable,
                settings[i].what, settings[i].fallback);
}
