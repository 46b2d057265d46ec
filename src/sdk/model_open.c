// SPDX-License-Identifier: MIT
//
// lamina_model_open: asks the platform where a model is, and opens it. A connection of its own, so that
// it can be called at any time, also from a handler.

#include <lamina.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 16384
#define URI_MAX 2200

// ---- The request

// The Runtime API is at an address, on Lamina as on AWS: no name service, which a static program lacks.
static int connect_to(const char *api)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strrchr(api, ':');
    if (!colon || (size_t) (colon - api) >= sizeof host)
        return -EINVAL;
    memcpy(host, api, (size_t) (colon - api));
    host[colon - api] = '\0';
    address.sin_port = htons((uint16_t) strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return -EHOSTUNREACH;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof address) == 0)
        return fd;
    int code = -errno;
    if (fd >= 0)
        close(fd);
    return code;
}

static int encode(const char *uri, char *to, size_t size)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t used = 0;
    for (; *uri; uri++) {
        int is_plain = strchr(plain, *uri) != NULL;
        if (used + 4 > size)
            return -ENAMETOOLONG;
        used += (size_t) (is_plain ? snprintf(to + used, 2, "%c", *uri)
                                   : snprintf(to + used, 4, "%%%02X", (unsigned char) *uri));
    }
    to[used] = '\0';
    return 0;
}

static int send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EPIPE;
        data += n;
        size -= (size_t) n;
    }
    return 0;
}

// Everything up to the end of the connection.
static int receive_all(int fd, char *to, size_t size)
{
    size_t used = 0;
    for (;;) {
        ssize_t n = recv(fd, to + used, size - 1 - used, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t) n;
        if (used == size - 1)
            return -EMSGSIZE;
    }
    to[used] = '\0';
    return 0;
}

// ---- The answer

static int code_of(long status)
{
    switch (status) {
    case 200:
        return 0;
    case 400:
        return -EINVAL;
    case 403:
        return -EACCES;
    case 404:
        return -ENOENT;
    case 429:
        return -EAGAIN;
    case 507:
        return -ENOSPC;
    default:
        return -EIO;
    }
}

// The value of "path" in place: only what JSON must escape in a path is undone.
static char *path_of(char *body)
{
    char *from = strstr(body, "\"path\":\"");
    if (!from)
        return NULL;
    char *path = from += 8, *to = path;
    for (; *from && *from != '"'; from++) {
        if (*from == '\\' && from[1] == 'u') {
            unsigned code;
            if (sscanf(from + 2, "%4x", &code) != 1 || code == 0 || code > 0x7f)
                return NULL;
            *to++ = (char) code;
            from += 5;
            continue;
        }
        if (*from == '\\')
            from++;
        *to++ = *from;
    }
    if (*from != '"')
        return NULL;
    *to = '\0';
    return path;
}

static int open_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int ask(const char *api, const char *encoded)
{
    char text[3 * URI_MAX + 512];
    char *answer = malloc(ANSWER_MAX);
    int fd = answer ? connect_to(api) : -ENOMEM;
    int r = fd < 0 ? fd : 0;
    if (r == 0) {
        int n = snprintf(text, sizeof text,
                         "GET /2018-06-01/lamina/model?uri=%s HTTP/1.1\r\nHost: %s\r\n"
                         "Connection: close\r\n\r\n",
                         encoded, api);
        r = n < 0 || (size_t) n >= sizeof text ? -ENAMETOOLONG : send_all(fd, text, (size_t) n);
        if (r == 0)
            r = receive_all(fd, answer, ANSWER_MAX);
        close(fd);
    }
    if (r == 0)
        r = code_of(strtol(answer + strcspn(answer, " "), NULL, 10));
    char *body = r == 0 ? strstr(answer, "\r\n\r\n") : NULL;
    char *path = body ? path_of(body) : NULL;
    if (r == 0)
        r = path ? open_path(path) : -EPROTO;
    free(answer);
    return r;
}

int lamina_model_open(const char *uri)
{
    char encoded[3 * URI_MAX + 1];
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    const char *own = getenv("MODEL_URI"), *path = getenv("MODEL_PATH");
    int is_own = !uri || (own && strcmp(uri, own) == 0);
    if (is_own && path && path[0])
        return open_path(path);
    if (!uri)
        return -ENOENT;
    if (!api || !api[0])
        return -ENOSYS;
    int r = encode(uri, encoded, sizeof encoded);
    return r < 0 ? r : ask(api, encoded);
}
