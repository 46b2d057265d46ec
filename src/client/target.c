// SPDX-License-Identifier: MIT
#include "client/target.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "client/credentials_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ENDPOINT "http://127.0.0.1:4566"
#define DEFAULT_REGION "us-east-1"
#define DEFAULT_PROFILE "default"

// An environment variable that is set and not empty, or NULL.
static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

// ---- Endpoint

static bool is_host(struct str host)
{
    bool is_ipv6 = str_has_prefix(host, STR("[")) && str_has_suffix(host, STR("]"));

    if (is_ipv6)
        host = str_part(host, 1, host.size - 2);
    for (size_t i = 0; i < host.size; i++) {
        unsigned char c = (unsigned char) host.data[i];
        if (!isalnum(c) && c != '.' && c != '-' && c != '_' && !(is_ipv6 && c == ':'))
            return false;
    }
    return host.size > 0;
}

static bool is_port(struct str port)
{
    uint64_t value;

    return str_to_u64(port, 65535, &value) == 0 && value > 0;
}

// 0.0.0.0 and [::] are addresses to listen on; one connects to the machine itself.
static struct str connect_host(struct str host)
{
    if (str_equal_text(host, "0.0.0.0"))
        return STR("127.0.0.1");
    return str_equal_text(host, "[::]") ? STR("[::1]") : host;
}

// scheme://host[:port] with nothing behind: a path would have to be signed, and no service of
// ours lives below one.
int target_parse_endpoint(const char *url, struct target *target)
{
    struct str rest = str_of(url), host, port = {0};
    const char *scheme = "http";
    ptrdiff_t colon;

    if (str_has_prefix(rest, STR("http://"))) {
        rest = str_skip(rest, 7);
    } else if (str_has_prefix(rest, STR("https://"))) {
        rest = str_skip(rest, 8);
        scheme = "https";
    } else {
        return -EINVAL;
    }
    if (str_has_suffix(rest, STR("/")))
        rest.size--;
    host = rest;
    colon = str_find_last(rest, ':');
    if (colon >= 0 && !str_has_suffix(rest, STR("]"))) {
        host = str_part(rest, 0, (size_t) colon);
        port = str_skip(rest, (size_t) colon + 1);
        if (!is_port(port))
            return -EINVAL;
    }
    if (!is_host(host) || rest.size >= sizeof target->host - 16)
        return -EINVAL;
    host = connect_host(host);

    bool is_default_port =
        port.size == 0 || str_equal_text(port, strcmp(scheme, "http") == 0 ? "80" : "443");
    snprintf(target->host, sizeof target->host, STR_FORMAT "%s" STR_FORMAT, STR_ARGUMENTS(host),
             is_default_port ? "" : ":", is_default_port ? 0 : (int) port.size,
             port.data != NULL ? port.data : "");
    int size = snprintf(target->endpoint, sizeof target->endpoint, "%s://%s", scheme, target->host);
    return size < (int) sizeof target->endpoint ? 0 : -EINVAL;
}

static int take_endpoint(const char *url, const char *source, struct target *target,
                         struct error *err)
{
    if (target_parse_endpoint(url, target) < 0)
        return error_set(err, -EINVAL,
                         "'%.200s' (from %s) is not an endpoint: http://HOST[:PORT] is", url,
                         source);
    snprintf(target->endpoint_source, sizeof target->endpoint_source, "%s", source);
    return 0;
}

// What a running service wrote into its data directory. 1: taken, 0: there is none.
static int take_endpoint_file(struct target *target, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(TARGET_URL_BYTES_MAX + 16);
    AUTO_BUF struct buf text = BUF_INIT(TARGET_URL_BYTES_MAX);
    AUTO_BUF struct buf url = BUF_INIT(TARGET_URL_BYTES_MAX);

    buf_printf(&path, "%s/endpoint", target->data_dir);
    if (buf_status(&path) < 0 || fs_read_file(AT_FDCWD, path.data, &text) < 0)
        return 0; // not started yet, or not ours to read: the default will tell
    struct str address = str_trim(buf_str(&text));
    bool has_scheme = str_has_prefix(address, STR("http"));
    buf_printf(&url, "%s" STR_FORMAT, has_scheme ? "" : "http://", STR_ARGUMENTS(address));
    if (address.size == 0 || buf_status(&url) < 0)
        return 0;
    int r = take_endpoint(url.data, path.data, target, err);
    return r < 0 ? r : 1;
}

static int find_endpoint(const struct target_options *options, struct target *target,
                         struct error *err)
{
    static const char *const names[] = {"AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL"};

    if (options->endpoint_url != NULL)
        return take_endpoint(options->endpoint_url, "--endpoint-url", target, err);
    if (options->data_dir != NULL) {
        int r = take_endpoint_file(target, err);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *url = environment(names[i]);
        if (url != NULL)
            return take_endpoint(url, names[i], target, err);
    }
    int r = take_endpoint_file(target, err);
    if (r != 0)
        return r < 0 ? r : 0;
    return take_endpoint(DEFAULT_ENDPOINT, "the default", target, err);
}

// ---- Data directory and region

static int find_data_dir(const struct target_options *options, struct target *target,
                         struct error *err)
{
    const char *dir = options->data_dir;

    if (dir == NULL)
        dir = environment("LAMINA_DATA_DIR");
    if (dir == NULL)
        dir = TARGET_DATA_DIR_DEFAULT;
    if (str_copy(str_of(dir), target->data_dir, sizeof target->data_dir) < 0)
        return error_set(err, -ENAMETOOLONG, "the data directory's path is too long");
    return 0;
}

static int find_region(const struct target_options *options, struct target *target,
                       struct error *err)
{
    static const char *const names[] = {"AWS_REGION", "AWS_DEFAULT_REGION", "LAMINA_REGION"};
    const char *region = options->region;

    for (size_t i = 0; region == NULL && i < ARRAY_SIZE(names); i++)
        region = environment(names[i]);
    if (region == NULL)
        region = DEFAULT_REGION;
    for (const char *c = region; *c != '\0'; c++) {
        if (!isalnum((unsigned char) *c) && *c != '-')
            return error_set(err, -EINVAL, "'%.60s' is not a region", region);
    }
    if (region[0] == '\0' || str_copy(str_of(region), target->region, sizeof target->region) < 0)
        return error_set(err, -EINVAL, "'%.60s' is not a region", region);
    return 0;
}

// ---- Credentials

static int take_credentials_file(const char *path, const char *profile, struct target *target,
                                 struct error *err)
{
    int r = credentials_read(path, profile, &target->credentials, err);

    if (r < 0)
        return r;
    snprintf(target->credentials_source, sizeof target->credentials_source, "%.250s [%.60s]", path,
             profile);
    return 0;
}

static int take_environment_keys(struct target *target, struct error *err)
{
    struct target_credentials *to = &target->credentials;
    const char *secret = environment("AWS_SECRET_ACCESS_KEY");
    const char *token = environment("AWS_SESSION_TOKEN");

    if (secret == NULL)
        return error_set(err, -EINVAL, "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not");
    if (str_copy(str_of(environment("AWS_ACCESS_KEY_ID")), to->access_key, sizeof to->access_key) <
            0 ||
        str_copy(str_of(secret), to->secret_key, sizeof to->secret_key) < 0 ||
        str_copy(str_of(token), to->session_token, sizeof to->session_token) < 0)
        return error_set(err, -EINVAL, "the AWS_* variables hold a key that is too long");
    snprintf(target->credentials_source, sizeof target->credentials_source, "AWS_ACCESS_KEY_ID");
    return 0;
}

static int take_profile(const char *profile, struct target *target, struct error *err)
{
    const char *file = environment("AWS_SHARED_CREDENTIALS_FILE");
    AUTO_BUF struct buf path = BUF_INIT(TARGET_URL_BYTES_MAX);

    if (file != NULL) {
        buf_append_text(&path, file);
    } else {
        const char *home = environment("HOME");
        buf_printf(&path, "%s/.aws/credentials", home != NULL ? home : "");
    }
    int r = buf_status(&path);
    if (r < 0)
        return error_set_errno(err, r, "the credentials file's path");
    return take_credentials_file(path.data, profile != NULL ? profile : DEFAULT_PROFILE, target,
                                 err);
}

static int take_data_dir_credentials(const char *profile, struct target *target, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(TARGET_URL_BYTES_MAX + 16);

    buf_printf(&path, "%s/credentials", target->data_dir);
    int r = buf_status(&path);
    if (r < 0)
        return error_set_errno(err, r, "the credentials file's path");
    r = take_credentials_file(path.data, profile != NULL ? profile : DEFAULT_PROFILE, target, err);
    if (r == -ENOENT && err != NULL && strstr(err->text, "profile") == NULL)
        return error_set(err, r,
                         "no credentials: %s does not exist and no AWS_* variables are set; start "
                         "the service (lamina up -d) or name its data directory (--data-dir)",
                         path.data);
    if (r == -EACCES)
        return error_set(err, r,
                         "may not read %s: it belongs to the service's user; run as root, or let "
                         "root give you the output of 'lamina env'",
                         path.data);
    return r;
}

static int find_credentials(const struct target_options *options, struct target *target,
                            struct error *err)
{
    if (options->data_dir != NULL)
        return take_data_dir_credentials(options->profile, target, err);
    if (options->profile != NULL)
        return take_profile(options->profile, target, err);
    if (environment("AWS_ACCESS_KEY_ID") != NULL)
        return take_environment_keys(target, err);
    if (environment("AWS_PROFILE") != NULL || environment("AWS_SHARED_CREDENTIALS_FILE") != NULL)
        return take_profile(environment("AWS_PROFILE"), target, err);
    return take_data_dir_credentials(NULL, target, err);
}

// The same variable that AWS's clients read.
static int find_ca_bundle(struct target *target, struct error *err)
{
    const char *path = environment("AWS_CA_BUNDLE");

    if (path != NULL && str_copy(str_of(path), target->ca_bundle, sizeof target->ca_bundle) < 0)
        return error_set(err, -EINVAL, "AWS_CA_BUNDLE is too long");
    return 0;
}

int target_resolve_endpoint(const struct target_options *options, struct target *ret,
                            struct error *err)
{
    struct target target = {0};

    int r = find_data_dir(options, &target, err);
    if (r == 0)
        r = find_region(options, &target, err);
    if (r == 0)
        r = find_endpoint(options, &target, err);
    if (r == 0)
        r = find_ca_bundle(&target, err);
    if (r == 0)
        *ret = target;
    return r;
}

int target_resolve(const struct target_options *options, struct target *ret, struct error *err)
{
    struct target target = {0};

    int r = target_resolve_endpoint(options, &target, err);
    if (r == 0)
        r = find_credentials(options, &target, err);
    if (r == 0)
        *ret = target;
    return r;
}
