// SPDX-License-Identifier: MIT
//
// lamina-cache: holds models in sealed memory, in a cgroup of its own, so that they are counted once
// whoever maps them. Started by lamina-spawn for laminad, confined as a lamina-work job is:
//
//     lamina-cache 0 0 0 0 0      with a SOCK_SEQPACKET socket as standard output (wire/cache.h)
//
// Ends with the socket. Exit status: 0 laminad closed it, 1 what came was no request.

#include "base/fd.h"
#include "cache/hold.h"
#include "wire/cache.h"

#include <errno.h>
#include <unistd.h>

static int answer(const struct cache_request *request, int error, const struct held *held)
{
    const struct cache_answer answer = {
        .version = CACHE_VERSION,
        .type = error < 0 ? CACHE_FAILED : CACHE_HELD,
        .id = request->id,
        .bytes = error < 0 ? 0 : request->bytes,
        .huge_bytes = error < 0 ? 0 : held->huge_bytes,
        .error = (uint32_t) -error,
    };
    return fd_send_packet(STDOUT_FILENO, &answer, sizeof(answer), &held->fd, error < 0 ? 0 : 1);
}

static int serve(const struct cache_request *request, int source)
{
    struct held held = {.fd = -1};
    int r = hold_file(source, request->bytes, &held);
    r = answer(request, r, &held);
    (void) fd_close(held.fd);
    return r;
}

static int serve_all(void)
{
    for (;;) {
        struct cache_request request;
        size_t fd_count = 0;
        int fds[1] = {-1};
        ssize_t size =
            fd_receive_packet(STDOUT_FILENO, &request, sizeof(request), fds, 1, &fd_count);
        if (size == 0)
            return 0;
        AUTO_FD int source = fd_count > 0 ? fds[0] : -1;
        if (size < 0 || cache_request_check(&request, (uint64_t) size, fd_count) < 0)
            return 1;
        if (serve(&request, source) < 0)
            return 0; // laminad is gone
    }
}

int main(void)
{
    _exit(serve_all()); // no exit handlers: the filter allows little
}
