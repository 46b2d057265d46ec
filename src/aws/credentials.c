// SPDX-License-Identifier: MIT

#include "aws/credentials.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX 65536

static void random_text(const char *alphabet, size_t size, char *text)
{
    size_t letters = strlen(alphabet);
    for (size_t i = 0; i < size;) {
        uint8_t byte;
        mem_random(&byte, sizeof(byte));
        if (byte >= 256 - 256 % letters)
            continue; // would make the first letters likelier
        text[i++] = alphabet[byte % letters];
    }
    text[size] = '\0';
}

void credentials_generate(struct credentials *credentials)
{
    snprintf(credentials->access_key, sizeof(credentials->access_key), "AKIA");
    random_text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, credentials->access_key + 4);
    random_text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 40,
                credentials->secret);
}

static int credentials_make(int dir_fd, struct credentials *credentials, struct error *err)
{
    credentials_generate(credentials);
    char text[512];
    int size = snprintf(text, sizeof(text),
                        "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
                        credentials->access_key, credentials->secret);
    int r = fs_write_atomically(dir_fd, CREDENTIALS_FILE, text, (size_t) size, 0600, err);
    mem_wipe(text, sizeof(text));
    return r;
}

static int take(struct str value, char *to, size_t to_size)
{
    return value.size > 0 ? str_copy(value, to, to_size) : -EINVAL;
}

static int parse_line(struct str line, struct credentials *credentials)
{
    struct str name, value;
    if (!str_cut(line, '=', &name, &value))
        return 0;
    name = str_trim(name);
    value = str_trim(value);
    if (str_equal_text(name, "aws_access_key_id"))
        return take(value, credentials->access_key, sizeof(credentials->access_key));
    if (str_equal_text(name, "aws_secret_access_key"))
        return take(value, credentials->secret, sizeof(credentials->secret));
    return 0;
}

// Only the profile [default] is the service's.
static int parse(struct str text, struct credentials *credentials)
{
    bool is_default = false;
    while (text.size > 0) {
        struct str line;
        (void) str_cut(text, '\n', &line, &text);
        line = str_trim(line);
        if (str_has_prefix(line, STR("[")))
            is_default = str_equal_text(line, "[default]");
        else if (is_default && !str_has_prefix(line, STR("#"))) {
            int r = parse_line(line, credentials);
            if (r < 0)
                return r;
        }
    }
    return credentials->access_key[0] && credentials->secret[0] ? 0 : -EINVAL;
}

static int check_mode(int dir_fd, struct error *err)
{
    struct stat status;
    AUTO_FD int fd =
        fs_open_beneath(dir_fd, CREDENTIALS_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return error_set_errno(err, -errno, "look at %s", CREDENTIALS_FILE);
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "%s is not a regular file", CREDENTIALS_FILE);
    if (status.st_mode & 077)
        return error_set(err, -EPERM,
                         "others may read %s: run chmod 600 on it, and change the keys",
                         CREDENTIALS_FILE);
    return 0;
}

int credentials_load(int dir_fd, struct credentials *ret_credentials, struct error *err)
{
    struct credentials credentials = {0};
    int r = check_mode(dir_fd, err);
    if (r == -ENOENT) {
        r = credentials_make(dir_fd, &credentials, err);
    } else if (r == 0) {
        AUTO_BUF struct buf text = BUF_INIT(FILE_BYTES_MAX);
        r = fs_read_file(dir_fd, CREDENTIALS_FILE, &text);
        if (r < 0)
            r = error_set_errno(err, r, "read %s", CREDENTIALS_FILE);
        else if ((r = parse(buf_str(&text), &credentials)) < 0)
            r = error_set(err, -EINVAL,
                          "%s has no aws_access_key_id and aws_secret_access_key under [default]",
                          CREDENTIALS_FILE);
        if (text.data)
            mem_wipe(text.data, text.size);
    } else if (r < 0 && (!err || err->text[0] == '\0')) {
        r = error_set_errno(err, r, "open %s", CREDENTIALS_FILE);
    }
    if (r == 0)
        *ret_credentials = credentials;
    credentials_wipe(&credentials);
    return r;
}

void credentials_wipe(struct credentials *credentials)
{
    mem_wipe(credentials, sizeof(*credentials));
}
