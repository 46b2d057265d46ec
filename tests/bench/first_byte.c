// SPDX-License-Identifier: MIT
//
// The function that bench_sandbox starts: one byte to the Runtime API's port (or to the one that its
// argument names, where it runs bare), then it ends when the other side closes. It has no libc, so
// that what is measured is the sandbox and not libc's start.

#include "init/bare.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

static uint16_t port_of(const char *text)
{
    unsigned port = 0;
    while (*text >= '0' && *text <= '9')
        port = port * 10 + (unsigned) (*text++ - '0');
    return (uint16_t) port;
}

static int first_byte_main(long count, char **arguments)
{
    const uint16_t port = count > 1 ? port_of(arguments[1]) : 9001;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = (uint16_t) (port << 8 | port >> 8),
                                        .sin_addr.s_addr = 0x0100007f};
    char byte = 'x';
    long fd = CALL(socket, AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || CALL(connect, fd, &address, sizeof(address)) < 0 ||
        CALL(write, fd, &byte, 1) != 1)
        return 1;
    return CALL(read, fd, &byte, 1) == 0 ? 0 : 1;
}

BARE_MAIN(first_byte_main);
