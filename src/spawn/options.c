// SPDX-License-Identifier: MIT

#include "spawn/options.h"

#include "wire/filesystems_file.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool number_read(const char *text, char end_at, const char **ret_rest, uint32_t *ret_number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno || number == 0 || number >= UINT32_MAX || *end != end_at)
        return false;
    *ret_number = (uint32_t) number;
    *ret_rest = *end ? end + 1 : end;
    return true;
}

// NAME, UID or UID:GID. /etc/passwd only: a name service must not run in a privileged process.
static int user_parse(struct options *options, const char *text, bool is_optional,
                      struct error *err)
{
    const char *rest;
    if (number_read(text, '\0', &rest, &options->uid)) {
        options->gid = options->uid;
        return 0;
    }
    if (number_read(text, ':', &rest, &options->uid) &&
        number_read(rest, '\0', &rest, &options->gid))
        return 0;
    FILE *file = fopen("/etc/passwd", "re");
    struct passwd *entry = NULL;
    while (file && (entry = fgetpwent(file)))
        if (strcmp(entry->pw_name, text) == 0)
            break;
    if (entry) {
        options->uid = entry->pw_uid;
        options->gid = entry->pw_gid;
    }
    if (file)
        fclose(file);
    if (entry && (options->uid == 0 || options->gid == 0))
        return error_set(err, -EINVAL, "laminad does not run as root: --user %s", text);
    if (!entry && !is_optional)
        return error_set(err, -EINVAL, "there is no user '%s' (--user, LAMINA_UID)", text);
    if (!entry)
        options->uid = options->gid = OPTIONS_FALLBACK_UID;
    return 0;
}

static int uids_parse(struct options *options, const char *text, struct error *err)
{
    const char *rest;
    if (number_read(text, '-', &rest, &options->sandbox_uid_first) &&
        number_read(rest, '\0', &rest, &options->sandbox_uid_last) &&
        options->sandbox_uid_last >= options->sandbox_uid_first)
        return 0;
    return error_set(err, -EINVAL, "'%s' is not FIRST-LAST (--sandbox-uids, LAMINA_SANDBOX_UIDS)",
                     text);
}

static const char *or_environment(const char *value, const char *name)
{
    const char *other = getenv(name);
    return value ? value : other && *other ? other : NULL;
}

int options_parse(struct options *options, int count, char **arguments, struct error *err)
{
    *options = (struct options){0};
    const char *user = NULL, *uids = NULL;
    const struct {
        const char *name;
        const char **value;
    } flags[] = {{"--data-dir", &options->data_dir},
                 {"--runtime-dir", &options->runtime_dir},
                 {"--filesystems-file", &options->filesystems_file},
                 {"--user", &user},
                 {"--sandbox-uids", &uids}};
    int at = 1;
    for (; at < count && strcmp(arguments[at], "--") != 0; at++) {
        size_t i = 0;
        while (i < ARRAY_SIZE(flags) && strcmp(arguments[at], flags[i].name) != 0)
            i++;
        if (strcmp(arguments[at], "--probe") == 0)
            options->is_probe = true;
        else if (i < ARRAY_SIZE(flags) && at + 1 < count && strcmp(arguments[at + 1], "--") != 0)
            *flags[i].value = arguments[++at];
        else
            return error_set(err, -EINVAL, "unknown or incomplete argument '%s'", arguments[at]);
    }
    options->laminad_arguments = arguments + (at < count ? at + 1 : count);
    options->data_dir = or_environment(options->data_dir, "LAMINA_DATA_DIR");
    if (!options->data_dir)
        options->data_dir = "/var/lib/lamina";
    options->filesystems_file =
        or_environment(options->filesystems_file, "LAMINA_FILESYSTEMS_FILE");
    if (!options->filesystems_file)
        options->filesystems_file = FILESYSTEMS_FILE_DEFAULT;
    if (options->filesystems_file[0] != '/')
        return error_set(err, -EINVAL, "'%s' is no absolute path (--filesystems-file)",
                         options->filesystems_file);
    user = or_environment(user, "LAMINA_UID");
    uids = or_environment(uids, "LAMINA_SANDBOX_UIDS");
    int r = user_parse(options, user ? user : "lamina", !user, err);
    if (r == 0)
        r = uids_parse(options, uids ? uids : "900000-999999", err);
    if (r == 0 && options->uid >= options->sandbox_uid_first &&
        options->uid <= options->sandbox_uid_last)
        return error_set(err, -EINVAL, "laminad's uid %u is among the sandboxes' (%u-%u)",
                         options->uid, options->sandbox_uid_first, options->sandbox_uid_last);
    return r;
}
