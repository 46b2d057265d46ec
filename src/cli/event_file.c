// SPDX-License-Identifier: MIT
#include "cli/event_file.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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
    for (;;) {
        int r = buf_reserve(event, 1);
        if (r < 0)
            return error_set(err, r, "the event in '%s' is larger than AWS takes (%zu bytes)", path,
                             event->maximum);
        ssize_t n = read(fd, event->data + event->size, event->capacity - event->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, -errno, "read the event from '%s'", path);
        if (n == 0)
            return 0;
        buf_advance(event, (size_t) n);
    }
}

int event_read(const char *argument, struct buf *event, struct error *err)
{
    if (argument == NULL)
        return buf_append_text(event, "{}");
    if (argument[0] == '{' || argument[0] == '[')
        return buf_append_text(event, argument);
    return read_file(argument, event, err);
}
