// SPDX-License-Identifier: MIT

#include "spawn/net.h"

#include "wire/spawn.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// One function at a time talks to the Runtime API, over few connections.
#define NET_BACKLOG 64

static int loopback_up(int fd)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static int listener_open(int fd, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, NET_BACKLOG) < 0)
        return -errno;
    return 0;
}

static int listener_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

int net_make(int ret_listeners[2], uint32_t *ret_step)
{
    static const uint16_t ports[2] = {SPAWN_PORT_RUNTIME, SPAWN_PORT_PLATFORM};
    *ret_step = SPAWN_STEP_NET;
    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    *ret_step = SPAWN_STEP_LISTEN;
    for (int i = 0; i < 2; i++) {
        int fd = listener_socket();
        if (fd < 0)
            return fd;
        int r = i == 0 ? loopback_up(fd) : 0;
        if (r == 0)
            r = listener_open(fd, ports[i]);
        if (r < 0)
            return r; // the process ends: nothing to close
        ret_listeners[i] = fd;
    }
    return 0;
}
