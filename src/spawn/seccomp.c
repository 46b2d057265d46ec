// SPDX-License-Identifier: MIT

#include "spawn/seccomp.h"

#include "spawn/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

int seccomp_install(enum seccomp_filter which)
{
    const struct sock_fprog function = {.len = ARRAY_SIZE(filter_function),
                                        .filter = filter_function};
    const struct sock_fprog work = {.len = ARRAY_SIZE(filter_work), .filter = filter_work};
    const struct sock_fprog *program = which == SECCOMP_FUNCTION ? &function : &work;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0 ? -errno : 0;
}
