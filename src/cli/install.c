// SPDX-License-Identifier: MIT
#include "cli/install.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int install_path(const char *name, struct buf *path, struct error *err)
{
    char self[INSTALL_PATH_BYTES_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);

    if (size < 0)
        return error_set_errno(err, -errno, "find Lamina's own program");
    self[size] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    buf_printf(path, "%s/%s", self, name);
    int r = buf_status(path);
    return r < 0 ? error_set_errno(err, r, "find '%s' beside Lamina's own program", name) : 0;
}
