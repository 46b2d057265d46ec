// SPDX-License-Identifier: MIT
#include "cli/event_file.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t) 65536)

static int read_file(const char *path, struct buf *event, struct error *err)
{
    AUTO_FD int opened = -1;
    int fd = STDIN_FILENO;

    if (strcmp(path, "-") != 0) {
        opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (opened < 0)
            return error_set_errno(err, -errno, "read the event from '%s'", path);
        fd = opened;
    }
    while (event->size <= EVENT_BYTES_MAX) {
        size_t want = EVENT_BYTES_MAX + 1 - event->size;
        int r = buf_reserve(event, want < READ_BYTES ? want : READ_BYTES);
        if (r < 0)
            return error_set_errno(err, r, "read the event from '%s'", path);
        ssize_t n = read(fd, event->data + event->size, want < READ_BYTES ? want : READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, -errno, "read the event from '%s'", path);
        if (n == 0)
            return 0;
        buf_advance(event, (size_t) n);
    }
    return error_set(err, -EFBIG, "the event in '%s' is larger than AWS takes (%zu bytes)", path,
                     EVENT_BYTES_MAX);
}

int event_read(const char *argument, struct buf *event, struct error *err)
{
    if (argument == NULL)
        return buf_append_text(event, "{}");
    if (argument[0] == '{' || argument[0] == '[')
        return buf_append_text(event, argument);
    return read_file(argument, event, err);
}
