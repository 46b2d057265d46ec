// SPDX-License-Identifier: MIT

#include "spawn/seccomp.h"

#include "spawn/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

int seccomp_install(enum seccomp_filter which)
{
    const struct sock_fprog programs[] = {
        [SECCOMP_FUNCTION] = {.len = ARRAY_SIZE(filter_function), .filter = filter_function},
        [SECCOMP_HOLDER] = {.len = ARRAY_SIZE(filter_holder), .filter = filter_holder},
        [SECCOMP_TEMPLATE] = {.len = ARRAY_SIZE(filter_template), .filter = filter_template},
        [SECCOMP_WORK] = {.len = ARRAY_SIZE(filter_work), .filter = filter_work},
        [SECCOMP_CACHE] = {.len = ARRAY_SIZE(filter_cache), .filter = filter_cache},
        [SECCOMP_ENGINE] = {.len = ARRAY_SIZE(filter_engine), .filter = filter_engine},
    };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &programs[which]) < 0 ? -errno : 0;
}
