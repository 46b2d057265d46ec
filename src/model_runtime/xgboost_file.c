// SPDX-License-Identifier: MIT

#include "model_runtime/xgboost_file.h"

#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEARNER "learner"

struct cursor {
    const unsigned char *at, *end;
};

// ---- UBJSON: {, a length's type and its bytes, the name, {

static size_t length_bytes(unsigned char type)
{
    switch (type) {
    case 'i':
    case 'U':
        return 1;
    case 'I':
        return 2;
    case 'l':
        return 4;
    case 'L':
        return 8;
    default:
        return 0;
    }
}

static bool is_ubjson(struct cursor in)
{
    const size_t name_size = sizeof(LEARNER) - 1;
    size_t bytes = in.at < in.end ? length_bytes(*in.at++) : 0;
    uint64_t length = 0;
    if (bytes == 0 || (size_t) (in.end - in.at) < bytes + name_size + 1)
        return false;
    for (; bytes > 0; bytes--)
        length = length << 8 | *in.at++; // big-endian
    return length == name_size && memcmp(in.at, LEARNER, name_size) == 0 && in.at[name_size] == '{';
}

// ---- JSON: members are skipped until the one

static void skip_blanks(struct cursor *in)
{
    while (in->at < in->end && strchr(" \t\r\n", *in->at) != NULL && *in->at != '\0')
        in->at++;
}

static bool take(struct cursor *in, char c)
{
    skip_blanks(in);
    bool is_it = in->at < in->end && *in->at == (unsigned char) c;
    in->at += is_it;
    return is_it;
}

// Behind the opening quote; the text is as it stands, escapes and all. False: it has no end here.
static bool take_string(struct cursor *in, struct str *ret_text)
{
    const unsigned char *start = in->at;
    while (in->at < in->end && *in->at != '"')
        in->at += *in->at == '\\' && in->at + 1 < in->end ? 2 : 1;
    if (in->at >= in->end)
        return false;
    *ret_text = str_of_data((const char *) start, (size_t) (in->at - start));
    in->at++;
    return true;
}

// Up to the comma behind a member's value: commas within brackets and texts are not it.
static bool skip_value(struct cursor *in)
{
    struct str ignored;
    for (size_t depth = 0; in->at < in->end;) {
        unsigned char c = *in->at++;
        if (c == '"' && !take_string(in, &ignored))
            return false;
        if (c == ',' && depth == 0)
            return true;
        if ((c == '}' || c == ']') && depth-- == 0)
            return false; // the object's own end
        depth += c == '{' || c == '[';
    }
    return false;
}

static bool is_json(struct cursor in)
{
    struct str name;
    while (take(&in, '"') && take_string(&in, &name) && take(&in, ':')) {
        if (str_equal_text(name, LEARNER))
            return take(&in, '{');
        if (!skip_value(&in))
            return false;
    }
    return false;
}

bool xgboost_head_is_model(const void *data, size_t size)
{
    struct cursor in = {data, (const unsigned char *) data + size};
    return size > 0 && take(&in, '{') && (is_ubjson(in) || is_json(in));
}

bool xgboost_file_is_model(int dir, const char *path)
{
    char head[XGBOOST_HEAD_BYTES];
    struct stat status;
    AUTO_FD int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return false;
    ssize_t size = fd_read_all(fd, head, sizeof head);
    return size > 0 && xgboost_head_is_model(head, (size_t) size);
}
