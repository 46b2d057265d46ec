// SPDX-License-Identifier: MIT
//
// Callers of a function, and what they wait: N keep-alive connections, each with one signed
// invocation under way, from one thread. Prints JSON.
//
//     bench_invoke --endpoint http://A:P --function NAME [--callers N] [--seconds S | --requests N]
//     bench_invoke ... [--qualifier N] [--payload FILE]
//     bench_invoke ... --stop end|keep [--pause-ms M]
//     bench_invoke --endpoint http://A:P --get /healthz [--callers N] [--seconds S | --requests N]
//     bench_invoke --rendezvous [--seconds S]
//
// Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. A signature names its second, so a
// request is signed anew each second and not for each sending; the service verifies every one.
//
// --get asks for a path without a signature: what the HTTP server itself does.
//
// --stop, with one caller, has the function's idle instances ended before each call (its spares too, or all but them), and
// waits M ms (50): for what was used up to be made again, and what has ended to be removed.
//
// --rendezvous is the figure to stand beside: two processes, one TCP connection on loopback, a
// request and an answer of an invocation's sizes, blocking reads, nothing parsed.

#include "aws/sigv4.h"
#include "base/buf.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLERS_MAX 1024
#define ANSWER_MAX 65536
#define REQUEST_BYTES 560 // what an invocation has on the wire, both ways
#define ANSWER_BYTES 240
#define PAYLOAD_MAX ((size_t) 6 << 20)

struct caller {
    int fd;
    int64_t sent_ns;
    size_t size; // of the answer so far
    char answer[ANSWER_MAX];
};

static struct {
    struct sockaddr_in address;
    char host[80];
    const char *function, *qualifier; // qualifier NULL: none
    char *payload;
    size_t payload_size;
    const char *get; // or a path to get
    size_t callers;
    double seconds;
    size_t requests;  // 0: by time
    const char *stop; // which spares, in the query of a stop before each call; NULL: none
    int pause_ms;     // after it
    bool is_rendezvous;
    bool is_event; // InvocationType Event: the answer is 202, once it is on the disk
} options = {.callers = 1, .seconds = 3, .pause_ms = 50};

static struct caller callers[CALLERS_MAX];
static char *request_text;
static size_t request_size;
static int64_t request_second;

static int64_t *latencies_ns;
static size_t latency_count, latency_capacity, error_count;
static int64_t handler_ns[CALLERS_MAX]; // sent -> the handler began; of the first ones that told
static size_t handler_count;

static void die(const char *what)
{
    fprintf(stderr, "bench_invoke: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static void note(int64_t ns)
{
    if (latency_count == latency_capacity) {
        latency_capacity = latency_capacity ? 2 * latency_capacity : 65536;
        latencies_ns = realloc(latencies_ns, latency_capacity * sizeof(*latencies_ns));
        if (!latencies_ns)
            die("memory");
    }
    latencies_ns[latency_count++] = ns;
}

// ---- The request

static void make_get(void)
{
    int size =
        asprintf(&request_text, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", options.get, options.host);
    if (size < 0)
        die("memory");
    request_size = (size_t) size;
}

// A request with its signature, allocated; the size.
static int make_signed(const char *path, const char *query, const char *payload,
                       size_t payload_size, int64_t now_s, char **ret_text)
{
    struct http_header headers[] = {{STR("host"), str_of(options.host)},
                                    {STR("x-amz-invocation-type"), STR("Event")}};
    struct sigv4_request request = {.method = STR("POST"),
                                    .path = str_of(path),
                                    .headers = headers,
                                    .header_count = options.is_event ? 2 : 1};
    struct sigv4_signer signer = {
        .access_key = str_of(getenv("AWS_ACCESS_KEY_ID")),
        .secret = str_of(getenv("AWS_SECRET_ACCESS_KEY")),
        .region = str_of(getenv("AWS_REGION") ? getenv("AWS_REGION") : "us-east-1"),
        .service = STR("lambda"),
        .wall_s = now_s,
    };
    struct sigv4_headers made;
    struct digest hash = digest_of(payload, payload_size);
    request.query = str_of(query);
    if (sigv4_sign(&signer, &request, &hash, &made, NULL) < 0)
        die("sign");
    int size =
        asprintf(ret_text,
                 "POST %s%s%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\nX-Amz-Date: %s\r\n%s"
                 "X-Amz-Content-Sha256: %s\r\nAuthorization: %s\r\n\r\n%.*s",
                 path, query[0] ? "?" : "", query, options.host, payload_size, made.date,
                 options.is_event ? "X-Amz-Invocation-Type: Event\r\n" : "", made.payload_hash,
                 made.authorization, (int) payload_size, payload);
    if (size < 0)
        die("memory");
    return size;
}

static void sign_request(void)
{
    int64_t now_s = clock_wall_s();
    if (options.get || now_s == request_second)
        return;
    request_second = now_s;
    char path[256], query[64] = "";
    snprintf(path, sizeof(path), "/2015-03-31/functions/%s/invocations", options.function);
    if (options.qualifier)
        snprintf(query, sizeof(query), "Qualifier=%s", options.qualifier);
    free(request_text);
    request_size = (size_t) make_signed(path, query, options.payload, options.payload_size, now_s,
                                        &request_text);
}

static void send_all(const struct caller *caller, const char *text, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t r = send(caller->fd, text + sent, size - sent, MSG_NOSIGNAL);
        if (r <= 0)
            die("send");
        sent += (size_t) r;
    }
}

static void caller_send(struct caller *caller)
{
    sign_request();
    caller->size = 0;
    caller->sent_ns = clock_monotonic_ns();
    send_all(caller, request_text, request_size);
}

static int caller_connect(struct caller *caller)
{
    int on = 1;
    caller->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (caller->fd < 0)
        return -errno;
    if (connect(caller->fd, (struct sockaddr *) &options.address, sizeof(options.address)) < 0)
        return -errno;
    setsockopt(caller->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return 0;
}

// ---- The answer: true when it is whole

static bool is_whole(const struct caller *caller)
{
    const char *end = memmem(caller->answer, caller->size, "\r\n\r\n", 4);
    if (!end)
        return false;
    const char *length = strcasestr(caller->answer, "\r\nContent-Length:"); // node writes it small
    if (!length || length > end)
        die("an answer without a length");
    size_t head = (size_t) (end + 4 - caller->answer);
    return caller->size >= head + strtoul(length + 17, NULL, 10);
}

// A function that tells when its handler began, on the same clock.
static void note_handler(const struct caller *caller)
{
    const char *begun = memmem(caller->answer, caller->size, "\"begun_ns\": ", 12);
    if (begun && handler_count < CALLERS_MAX)
        handler_ns[handler_count++] = strtoll(begun + 12, NULL, 10) - caller->sent_ns;
}

static bool caller_read(struct caller *caller)
{
    ssize_t r = recv(caller->fd, caller->answer + caller->size, ANSWER_MAX - 1 - caller->size, 0);
    if (r <= 0) {
        errno = r == 0 ? ECONNRESET : errno;
        die("receive");
    }
    caller->size += (size_t) r;
    caller->answer[caller->size] = '\0';
    return is_whole(caller);
}

static bool caller_receive(struct caller *caller)
{
    if (!caller_read(caller))
        return false;
    note(clock_monotonic_ns() - caller->sent_ns);
    note_handler(caller);
    const char *good = options.is_event ? "HTTP/1.1 202 " : "HTTP/1.1 200 ";
    bool is_good = strncmp(caller->answer, good, 13) == 0 &&
                   !strcasestr(caller->answer, "\r\nX-Amz-Function-Error:");
    if (!is_good && error_count++ == 0)
        fprintf(stderr, "bench_invoke: %s\n", caller->answer);
    return true;
}

// ---- Rounds

static void stop_instances(struct caller *caller)
{
    char path[256], query[64], *text;
    snprintf(path, sizeof(path), "/lamina/v1/functions/%s/stop", options.function);
    snprintf(query, sizeof(query), "cache=warm&spares=%s", options.stop);
    int size = make_signed(path, query, "", 0, clock_wall_s(), &text);
    caller->size = 0;
    send_all(caller, text, (size_t) size);
    free(text);
    while (!caller_read(caller))
        continue;
    if (strncmp(caller->answer, "HTTP/1.1 200 ", 13) != 0) {
        fprintf(stderr, "bench_invoke: stop: %s\n", caller->answer);
        exit(1);
    }
    (void) poll(NULL, 0, options.pause_ms);
}

static void run_one(int64_t end_ns)
{
    struct caller *caller = &callers[0];
    do {
        if (options.stop)
            stop_instances(caller);
        caller_send(caller);
        while (!caller_receive(caller))
            ;
    } while (options.requests ? latency_count < options.requests : clock_monotonic_ns() < end_ns);
}

static void run_many(int64_t end_ns)
{
    struct epoll_event events[64];
    size_t running = options.callers, sent = options.callers;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < options.callers; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &callers[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, callers[i].fd, &event) < 0)
            die("epoll_ctl");
        caller_send(&callers[i]);
    }
    while (running > 0) {
        int count = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < count; i++) {
            struct caller *caller = events[i].data.ptr;
            if (!caller_receive(caller))
                continue;
            bool is_more =
                options.requests ? sent < options.requests : clock_monotonic_ns() < end_ns;
            sent += is_more;
            running -= !is_more;
            if (is_more)
                caller_send(caller);
        }
    }
    close(epoll);
}

// ---- The bare rendezvous

static void read_exactly(int fd, char *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t r = recv(fd, data + at, size - at, 0);
        if (r <= 0)
            exit(0); // the other process has finished
        at += (size_t) r;
    }
}

static void serve_rendezvous(int listener)
{
    static char request[REQUEST_BYTES], answer[ANSWER_BYTES];
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (;;) {
        read_exactly(fd, request, sizeof(request));
        if (send(fd, answer, sizeof(answer), MSG_NOSIGNAL) < 0)
            exit(0);
    }
}

static void run_rendezvous(void)
{
    static char request[REQUEST_BYTES], answer[ANSWER_BYTES];
    socklen_t size = sizeof(options.address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    options.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *) &options.address, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *) &options.address, &size) < 0)
        die("listen");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0)
        serve_rendezvous(listener);
    close(listener);
    if (caller_connect(&callers[0]) < 0)
        die("connect");
    int64_t end_ns = clock_monotonic_ns() + (int64_t) (options.seconds * 1e9);
    do {
        int64_t start_ns = clock_monotonic_ns();
        if (send(callers[0].fd, request, sizeof(request), MSG_NOSIGNAL) < 0)
            die("send");
        read_exactly(callers[0].fd, answer, sizeof(answer));
        note(clock_monotonic_ns() - start_ns);
    } while (clock_monotonic_ns() < end_ns);
    close(callers[0].fd);
    waitpid(child, NULL, 0);
}

// ---- Options and the report

static void parse_endpoint(const char *text)
{
    char address[64];
    unsigned port;
    if (sscanf(text, "http://%63[0-9.]:%u", address, &port) != 2 ||
        inet_pton(AF_INET, address, &options.address.sin_addr) != 1 || port > 65535) {
        fprintf(stderr, "bench_invoke: --endpoint wants http://A.B.C.D:PORT, not '%s'\n", text);
        exit(2);
    }
    options.address.sin_family = AF_INET;
    options.address.sin_port = htons((uint16_t) port);
    snprintf(options.host, sizeof(options.host), "%s:%u", address, port);
}

static void read_payload(const char *path)
{
    FILE *file = fopen(path, "rbe");
    options.payload = malloc(PAYLOAD_MAX);
    if (!file || !options.payload)
        die(path);
    options.payload_size = fread(options.payload, 1, PAYLOAD_MAX, file);
    fclose(file);
}

static void parse_options(int count, char **texts)
{
    static const struct option long_options[] = {
        {"endpoint", required_argument, NULL, 'e'},
        {"function", required_argument, NULL, 'f'},
        {"callers", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},
        {"requests", required_argument, NULL, 'n'},
        {"get", required_argument, NULL, 'g'},
        {"qualifier", required_argument, NULL, 'q'},
        {"payload", required_argument, NULL, 'p'},
        {"stop", required_argument, NULL, 'k'},
        {"pause-ms", required_argument, NULL, 'm'},
        {"rendezvous", no_argument, NULL, 'r'},
        {"event", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(count, texts, "", long_options, NULL)) != -1) {
        switch (c) {
        case 'e':
            parse_endpoint(optarg);
            break;
        case 'f':
            options.function = optarg;
            break;
        case 'g':
            options.get = optarg;
            break;
        case 'c':
            options.callers = strtoul(optarg, NULL, 10);
            break;
        case 's':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'n':
            options.requests = strtoul(optarg, NULL, 10);
            break;
        case 'q':
            options.qualifier = optarg;
            break;
        case 'p':
            read_payload(optarg);
            break;
        case 'k':
            options.stop = optarg;
            break;
        case 'm':
            options.pause_ms = (int) strtol(optarg, NULL, 10);
            break;
        case 'v':
            options.is_event = true;
            break;
        case 'r':
            options.is_rendezvous = true;
            break;
        default:
            exit(2);
        }
    }
    bool is_whole_call =
        options.function && getenv("AWS_ACCESS_KEY_ID") && getenv("AWS_SECRET_ACCESS_KEY");
    bool is_target = options.host[0] && (is_whole_call || options.get);
    if (options.callers < 1 || options.callers > CALLERS_MAX ||
        (options.stop && (options.callers > 1 || !options.function)) ||
        (!options.is_rendezvous && !is_target)) {
        fprintf(stderr, "usage: bench_invoke --endpoint URL --function NAME [--event] | --get PATH "
                        "[--callers N] [--seconds S | --requests N] | --rendezvous\n");
        exit(2);
    }
}

static int compare(const void *left, const void *right)
{
    int64_t l = *(const int64_t *) left, r = *(const int64_t *) right;
    return (l > r) - (l < r);
}

static double percentile_us(double part)
{
    return (double) latencies_ns[(size_t) (part * (double) (latency_count - 1))] / 1000;
}

static void report(int64_t elapsed_ns)
{
    double first_us = (double) latencies_ns[0] / 1000;
    double last_us = (double) latencies_ns[latency_count - 1] / 1000;
    char handler[160] = "";
    qsort(latencies_ns, latency_count, sizeof(*latencies_ns), compare);
    qsort(handler_ns, handler_count, sizeof(*handler_ns), compare);
    if (handler_count > 0)
        snprintf(handler, sizeof(handler),
                 ", \"handler_p50_us\": %.1f, \"handler_p99_us\": %.1f, \"handler_max_us\": %.1f",
                 (double) handler_ns[handler_count / 2] / 1000,
                 (double) handler_ns[handler_count * 99 / 100] / 1000,
                 (double) handler_ns[handler_count - 1] / 1000);
    printf("{\"callers\": %zu, \"requests\": %zu, \"errors\": %zu, \"per_s\": %.0f, "
           "\"first_us\": %.1f, \"last_us\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, "
           "\"p99_us\": %.1f, \"max_us\": %.1f, \"elapsed_ms\": %.1f%s}\n",
           options.callers, latency_count, error_count,
           (double) latency_count * 1e9 / (double) elapsed_ns, first_us, last_us,
           percentile_us(0.5), percentile_us(0.9), percentile_us(0.99), percentile_us(1),
           (double) elapsed_ns / 1e6, handler);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    parse_options(argc, argv);
    if (!options.payload) {
        options.payload = strdup("{}");
        options.payload_size = 2;
    }
    int64_t start_ns = clock_monotonic_ns();
    if (options.is_rendezvous) {
        run_rendezvous();
        report(clock_monotonic_ns() - start_ns);
        return 0;
    }
    if (options.get)
        make_get();
    for (size_t i = 0; i < options.callers; i++)
        if (caller_connect(&callers[i]) < 0)
            die("connect");
    start_ns = clock_monotonic_ns();
    int64_t end_ns = start_ns + (int64_t) (options.seconds * 1e9);
    if (options.callers == 1)
        run_one(end_ns);
    else
        run_many(end_ns);
    report(clock_monotonic_ns() - start_ns);
    return 0;
}
