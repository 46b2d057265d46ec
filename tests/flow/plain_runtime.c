// SPDX-License-Identifier: MIT
//
// A function as somebody writes it who has only Lambda's documentation: the Runtime API over plain sockets, a connection for
// each request, no library. Answers each event with itself in brackets; "fail" is an error.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (8 * 1024 * 1024)
#define PATH "/2018-06-01/runtime/invocation/"

static char buffer[BUFFER_BYTES];

static int dial(const char *api)
{
    char host[64] = "";
    unsigned port = 0;
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (sscanf(api, "%63[^:]:%u", host, &port) != 2 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        exit(2);
    address.sin_port = htons((unsigned short) port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
        exit(3);
    return fd;
}

static void send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            exit(4);
        data += sent;
        size -= (size_t) sent;
    }
}

// The whole answer in `buffer`: its body.
static char *receive_all(int fd, size_t *ret_size)
{
    size_t used = 0;
    for (ssize_t got; (got = recv(fd, buffer + used, BUFFER_BYTES - 1 - used, 0)) > 0;)
        used += (size_t) got;
    close(fd);
    buffer[used] = '\0';
    char *body = strstr(buffer, "\r\n\r\n");
    if (!body)
        exit(5);
    *body = '\0';
    *ret_size = used - (size_t) (body + 4 - buffer);
    return body + 4;
}

static void read_id(char id[64])
{
    for (const char *line = buffer; (line = strstr(line, "\r\n")) != NULL; line += 2)
        if (strncasecmp(line + 2, "Lambda-Runtime-Aws-Request-Id:", 30) == 0 &&
            sscanf(line + 32, " %63[^\r]", id) == 1)
            return;
    exit(6);
}

static void post(const char *api, const char *id, const char *what, const char *body, size_t size)
{
    char head[512];
    const int fd = dial(api);
    const int length = snprintf(head, sizeof(head),
                                "POST " PATH "%s/%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                                "Content-Length: %zu\r\n\r\n",
                                id, what, api, size);
    send_all(fd, head, (size_t) length);
    send_all(fd, body, size);
    (void) receive_all(fd, &size);
}

int main(void)
{
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    if (!api)
        return 1;
    for (;;) {
        char id[64], head[256];
        size_t size;
        const int fd = dial(api);
        const int length =
            snprintf(head, sizeof(head),
                     "GET " PATH "next HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", api);
        send_all(fd, head, (size_t) length);
        char *event = receive_all(fd, &size);
        read_id(id);
        if (size == 6 && memcmp(event, "\"fail\"", 6) == 0) {
            static const char error[] = "{\"errorMessage\":\"as told\",\"errorType\":\"Plain\"}";
            post(api, id, "error", error, sizeof(error) - 1);
            continue;
        }
        char *answer = malloc(size + 2);
        if (!answer)
            return 7;
        answer[0] = '[';
        memcpy(answer + 1, event, size);
        answer[size + 1] = ']';
        post(api, id, "response", answer, size + 2);
        free(answer);
    }
}
