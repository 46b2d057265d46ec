// SPDX-License-Identifier: MIT
//
// The function that bench_sandbox starts: one byte to the Runtime API's port (or to the port given
// as its argument, where it runs bare), then it ends when the other side closes.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    const unsigned long port = count > 1 ? strtoul(arguments[1], NULL, 10) : 9001;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t) port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char byte = 'x';
    if (fd < 0 || connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ||
        write(fd, &byte, 1) != 1)
        return 1;
    return read(fd, &byte, 1) == 0 ? 0 : 1;
}
