// SPDX-License-Identifier: MIT
//
// Which addresses a redirect may lead to. The lists are IANA's special-purpose registries (RFC 6890),
// as far as somebody could be there who is not on the internet.

#include "fetch/s3_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct network {
    uint32_t address, mask;
};

static bool is_public_v4(uint32_t address)
{
    static const struct network closed[] = {
        {0x00000000, 0xff000000}, // "this" network
        {0x0a000000, 0xff000000}, // private
        {0x64400000, 0xffc00000}, // carrier NAT; metadata services of some clouds
        {0x7f000000, 0xff000000}, // loopback
        {0xa9fe0000, 0xffff0000}, // link-local: 169.254.169.254
        {0xac100000, 0xfff00000}, // private
        {0xc0000000, 0xffffff00}, // protocol assignments: 192.0.0.192
        {0xc0a80000, 0xffff0000}, // private
        {0xc6120000, 0xfffe0000}, // benchmarks
        {0xe0000000, 0xe0000000}, // multicast, reserved, broadcast
    };
    for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
        if ((address & closed[i].mask) == closed[i].address)
            return false;
    return true;
}

static uint32_t v4_at(const uint8_t *bytes)
{
    return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 |
           bytes[3];
}

static bool is_public_v6(const uint8_t bytes[16])
{
    static const uint8_t zeros[12] = {0};
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(bytes, mapped, 12) == 0 || memcmp(bytes, nat64, 12) == 0)
        return is_public_v4(v4_at(bytes + 12));
    if (memcmp(bytes, zeros, 12) == 0)
        return false;                         // ::, ::1, the old v4-compatible form
    if (bytes[0] == 0x20 && bytes[1] == 0x02) // 6to4 holds a v4 address
        return is_public_v4(v4_at(bytes + 2));
    return (bytes[0] & 0xe0) == 0x20; // global unicast; fe80::, fc00::, ff00:: are not in it
}

bool s3_address_is_public(const struct sockaddr *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof(v4));
        return is_public_v4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family != AF_INET6)
        return false;
    memcpy(&v6, address, sizeof(v6));
    return is_public_v6(v6.sin6_addr.s6_addr);
}
