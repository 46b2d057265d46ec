/* SPDX-License-Identifier: MIT */
#include "daemon/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

int paths_sister(const char *name, char path[PATH_MAX], struct error *err)
{
    char self[PATH_MAX];
    const char *slash = NULL;
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int written = 0;
    if (size < 0)
        return error_set_errno(err, -errno, "read /proc/self/exe");
    self[size] = '\0';
    slash = strrchr(self, '/');
    written = snprintf(path, PATH_MAX, "%.*s/%s", slash ? (int) (slash - self) : 0, self, name);
    if (!slash || written >= PATH_MAX)
        return error_set(err, -ENAMETOOLONG, "the path of %s is too long", name);
    if (access(path, X_OK) < 0)
        return error_set_errno(err, -errno, "find %s beside this program: %s", name, path);
    return 0;
}

int paths_write_endpoint(int data_dir_fd, bool is_tls, const char *address, uint16_t port,
                         struct error *err)
{
    char text[128];
    bool is_v6 = strchr(address, ':') != NULL;
    int size = snprintf(text, sizeof(text), "%s://%s%s%s:%u\n", is_tls ? "https" : "http",
                        is_v6 ? "[" : "", address, is_v6 ? "]" : "", (unsigned) port);
    return fs_write_atomically(data_dir_fd, PATHS_ENDPOINT, text, (size_t) size, 0644, err);
}

int paths_write_pid(int data_dir_fd, pid_t pid, struct error *err)
{
    char text[32];
    int size = snprintf(text, sizeof(text), "%d\n", (int) pid);
    return fs_write_atomically(data_dir_fd, PATHS_PID, text, (size_t) size, 0644, err);
}

void paths_remove(int data_dir_fd)
{
    (void) unlinkat(data_dir_fd, PATHS_ENDPOINT, 0); /* not there: it never listened */
    (void) unlinkat(data_dir_fd, PATHS_PID, 0);
}
