// SPDX-License-Identifier: MIT
//
// Stands in for laminad in tests of lamina-spawn: hands the two channels to the test over its
// standard input (a unix socket), and stays until the test closes it.

#include "base/fd.h"
#include "wire/spawn.h"

#include <signal.h>
#include <unistd.h>

int main(void)
{
    const int fds[] = {SPAWN_FD_INSTANCES, SPAWN_FD_WORK};
    char byte = 'x';
    signal(SIGUSR1, SIG_IGN); // "read your files again"
    if (fd_send_packet(0, &byte, 1, fds, 2) < 0)
        return 1;
    close(fds[0]);
    close(fds[1]);
    return read(0, &byte, 1) == 0 ? 0 : 1;
}
