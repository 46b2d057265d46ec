// SPDX-License-Identifier: MIT
#include "client/credentials_file.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct parser {
    const char *source; // borrowed: the caller's
    struct str profile;
    unsigned line;
    bool in_section;  // any section has begun
    bool in_profile;  // the section is the wanted one
    bool has_profile; // it occurred at all
    struct target_credentials found;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_comment(struct str text)
{
    return text.size > 0 && (text.data[0] == '#' || text.data[0] == ';');
}

// A '#' or ';' begins a comment only after white space: secrets may hold both.
static struct str cut_comment(struct str text)
{
    for (size_t i = 1; i < text.size; i++) {
        if (is_comment(str_skip(text, i)) && is_blank(text.data[i - 1]))
            return str_trim(str_part(text, 0, i));
    }
    return text;
}

static int malformed(const struct parser *parser, const char *what, struct error *err)
{
    return error_set(err, -EINVAL, "%s, line %u: %s", parser->source, parser->line, what);
}

static int take_section(struct parser *parser, struct str line, struct error *err)
{
    struct str name, rest;

    if (!str_cut(str_skip(line, 1), ']', &name, &rest))
        return malformed(parser, "a section name without ']'", err);
    rest = str_trim(rest);
    if (rest.size > 0 && !is_comment(rest))
        return malformed(parser, "text after a section name", err);

    name = str_trim(name);
    if (str_has_prefix(name, STR("profile ")) || str_has_prefix(name, STR("profile\t")))
        name = str_trim(str_skip(name, strlen("profile ")));
    if (name.size == 0)
        return malformed(parser, "an empty section name", err);

    parser->in_section = true;
    parser->in_profile = str_equal(name, parser->profile);
    parser->has_profile |= parser->in_profile;
    return 0;
}

static int take_value(struct parser *parser, struct str value, char *field, size_t field_size,
                      struct error *err)
{
    if (str_copy(value, field, field_size) < 0)
        return malformed(parser, "a value that is too long", err);
    return 0;
}

static int take_setting(struct parser *parser, struct str line, struct error *err)
{
    struct target_credentials *found = &parser->found;
    struct str name, value;

    if (!str_cut(line, '=', &name, &value))
        return malformed(parser, "neither a section nor 'name = value'", err);
    if (!parser->in_section)
        return malformed(parser, "a setting before the first [section]", err);
    name = str_trim(name);
    if (name.size == 0)
        return malformed(parser, "a setting without a name", err);
    if (!parser->in_profile)
        return 0;

    value = cut_comment(str_trim(value));
    if (str_equal_nocase(name, STR("aws_access_key_id")))
        return take_value(parser, value, found->access_key, sizeof found->access_key, err);
    if (str_equal_nocase(name, STR("aws_secret_access_key")))
        return take_value(parser, value, found->secret_key, sizeof found->secret_key, err);
    if (str_equal_nocase(name, STR("aws_session_token")))
        return take_value(parser, value, found->session_token, sizeof found->session_token, err);
    if (str_equal_nocase(name, STR("region")))
        return take_value(parser, value, found->region, sizeof found->region, err);
    return 0;
}

static int take_line(struct parser *parser, struct str line, struct error *err)
{
    if (str_has_suffix(line, STR("\r")))
        line.size--;
    for (size_t i = 0; i < line.size; i++) {
        unsigned char c = (unsigned char) line.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return malformed(parser, "a control character", err);
    }

    struct str text = str_trim(line);
    if (text.size == 0 || is_comment(text))
        return 0;
    if (text.data[0] == '[')
        return take_section(parser, text, err);
    if (is_blank(line.data[0]))
        return 0; // indented: belongs to a nested setting, of which none concerns us
    return take_setting(parser, text, err);
}

int credentials_parse(const char *text, size_t size, const char *profile, const char *source,
                      struct target_credentials *ret, struct error *err)
{
    struct parser parser = {.source = source, .profile = str_of(profile)};
    struct str rest = str_of_data(text, size);

    if (size > CREDENTIALS_FILE_BYTES_MAX)
        return error_set(err, -EINVAL, "%s is longer than %d bytes: no credentials file", source,
                         CREDENTIALS_FILE_BYTES_MAX);
    while (rest.size > 0) {
        struct str line;

        (void) str_cut(rest, '\n', &line, &rest); // the last line may lack its newline
        parser.line++;
        int r = take_line(&parser, line, err);
        if (r < 0)
            return r;
    }

    if (!parser.has_profile)
        return error_set(err, -ENOENT, "%s has no profile [%s]", source, profile);
    if (parser.found.access_key[0] == '\0')
        return error_set(err, -ENODATA, "%s: profile [%s] has no aws_access_key_id", source,
                         profile);
    if (parser.found.secret_key[0] == '\0')
        return error_set(err, -ENODATA, "%s: profile [%s] has no aws_secret_access_key", source,
                         profile);
    *ret = parser.found;
    return 0;
}

int credentials_read(const char *path, const char *profile, struct target_credentials *ret,
                     struct error *err)
{
    // NONBLOCK: somebody may have put a pipe there; a regular file does not mind.
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, -errno, "cannot read %s", path);

    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "%s is not a regular file", path);

    AUTO_BUF struct buf text = BUF_INIT(CREDENTIALS_FILE_BYTES_MAX + 1);
    int r = buf_reserve(&text, CREDENTIALS_FILE_BYTES_MAX + 1);
    if (r < 0)
        return error_set_errno(err, r, "cannot read %s", path);
    ssize_t size = fd_read_all(fd, text.data, CREDENTIALS_FILE_BYTES_MAX + 1);
    if (size < 0)
        return error_set_errno(err, (int) size, "cannot read %s", path);
    return credentials_parse(text.data, (size_t) size, profile, path, ret, err);
}
