/* SPDX-License-Identifier: MIT */
#include "daemon/descriptors.h"

#include <errno.h>
#include <inttypes.h>

int descriptors_share(uint64_t limit, uint64_t concurrency, uint64_t connections,
                      uint64_t *ret_connections, struct error *err)
{
    const uint64_t aside = concurrency * DESCRIPTORS_PER_INSTANCE + DESCRIPTORS_OWN;
    const uint64_t left = limit > aside ? limit - aside : 0;
    if (left < DESCRIPTORS_CONNECTIONS_MIN)
        return error_set(err, -EMFILE,
                         "the limit of open files, %" PRIu64
                         ", is too low for --concurrency %" PRIu64 ", which takes %" PRIu64
                         ": raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower "
                         "--concurrency",
                         limit, concurrency, aside + DESCRIPTORS_CONNECTIONS_MIN);
    *ret_connections = connections < left ? connections : left;
    return 0;
}
