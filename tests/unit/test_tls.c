// SPDX-License-Identifier: MIT
//
// The HTTP server behind TLS: OpenSSL's client against it, in one thread; certificates that the test
// makes; clients that do not speak TLS, or stop in the middle of it.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/server.h"
#include "http/tls.h"

#include "base/clock.h"
#include "loop/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 120000 // only a hang reaches it
#define LARGE ((size_t) 5 << 20)
#define ASKED_MAX ((size_t) 100000) // of 27 bytes: more than small sockets and the queue hold

static struct {
    char dir[64];
    char certificate[96];
    char key[96];
    struct loop *loop;
    struct http_tls *tls;
    struct http_server *server;
    struct http_listener *listener;
    struct http_request *stream;
} s;

// ---- Certificates

static void write_pem(const char *path, X509 *certificate, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    if (certificate)
        assert_int_equal(PEM_write_X509(file, certificate), 1);
    else
        assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
}

static void make_certificate(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    assert_true(key && certificate);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *) name, -1, -1,
                               0);
    X509_set_issuer_name(certificate, subject);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    write_pem(s.certificate, certificate, NULL);
    write_pem(s.key, NULL, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

// ---- The service

static void on_echo(struct http_request *request, int status)
{
    assert_int_equal(status, 0);
    struct http_response response = {
        .status = 200, .body_kind = HTTP_BODY_BUF, .buf = http_request_take_body(request)};
    http_respond(request, &response);
}

static void on_gone(struct http_request *request)
{
    s.stream = NULL;
}

static void on_head(struct http_request *request, void *user)
{
    if (str_equal_text(request->path, "/stream")) {
        struct http_response response = {.status = 200, .body_kind = HTTP_BODY_STREAM};
        s.stream = request;
        http_request_on_gone(request, on_gone);
        http_respond(request, &response);
        return;
    }
    if (request->has_body)
        http_request_keep_body(request, LARGE, on_echo);
    else
        http_respond_text(request, 200, "text/plain", request->path);
}

static void start(int64_t head_timeout_ms)
{
    struct error err = {0};
    s.loop = loop_new();
    assert_non_null(s.loop);
    make_certificate("first");
    assert_int_equal(http_tls_new(s.certificate, s.key, &s.tls, &err), 0);
    struct http_server_config config = {
        .on_head = on_head, .tls = s.tls, .head_timeout_ms = head_timeout_ms};
    assert_int_equal(http_server_new(s.loop, &config, &s.server), 0);
    assert_int_equal(http_listen_tcp(s.server, "127.0.0.1", 0, &s.listener, &err), 0);
}

static int setup(void **state)
{
    memset(&s, 0, sizeof(s));
    snprintf(s.dir, sizeof(s.dir), "/tmp/lamina-test-tls-XXXXXX");
    if (!mkdtemp(s.dir))
        return -1;
    snprintf(s.certificate, sizeof(s.certificate), "%s/certificate.pem", s.dir);
    snprintf(s.key, sizeof(s.key), "%s/key.pem", s.dir);
    return 0;
}

static int teardown(void **state)
{
    http_server_free(s.server);
    if (s.loop)
        loop_free(s.loop);
    http_tls_free(s.tls);
    (void) unlink(s.certificate);
    (void) unlink(s.key);
    return rmdir(s.dir);
}

// ---- The client

struct client {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
    struct buf in;
    bool is_ended; // the server said so, or closed
};

static int tcp_open(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(http_listener_port(s.listener)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static struct client client_open(void)
{
    struct client client = {.fd = tcp_open(), .context = SSL_CTX_new(TLS_client_method())};
    client.ssl = SSL_new(client.context);
    SSL_set_fd(client.ssl, client.fd);
    buf_init(&client.in, (size_t) 64 << 20);
    return client;
}

static void client_close(struct client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    close(client->fd);
    buf_done(&client->in);
}

static void turn(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    for (int i = 0; i < 3; i++)
        loop_run_once(s.loop, false);
    (void) poll(&poll_fd, 1, 1);
}

#define turn_until(condition, fd_)                                                                 \
    do {                                                                                           \
        int64_t patience_end_ms = clock_monotonic_ms() + PATIENCE_MS;                              \
        while (!(condition) && clock_monotonic_ms() < patience_end_ms)                             \
            turn(fd_);                                                                             \
        assert_true(condition);                                                                    \
    } while (0)

// 1: connected; 0: refused.
static int client_connect(struct client *client)
{
    int64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (clock_monotonic_ms() < end_ms) {
        int r = SSL_connect(client->ssl);
        int error = SSL_get_error(client->ssl, r);
        if (r == 1)
            return 1;
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return 0;
        turn(client->fd);
    }
    fail();
    return 0;
}

static void client_receive(struct client *client)
{
    static char part[1 << 16];
    while (!client->is_ended) {
        int r = SSL_read(client->ssl, part, sizeof(part));
        if (r > 0) {
            assert_int_equal(buf_append(&client->in, part, (size_t) r), 0);
            continue;
        }
        client->is_ended = SSL_get_error(client->ssl, r) != SSL_ERROR_WANT_READ;
        return;
    }
}

static void client_send(struct client *client, struct str text)
{
    SSL_set_mode(client->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    while (text.size > 0) {
        int r = SSL_write(client->ssl, text.data, (int) text.size);
        if (r > 0) {
            text = str_skip(text, (size_t) r);
            continue;
        }
        int error = SSL_get_error(client->ssl, r);
        assert_true(error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE);
        client_receive(client);
        turn(client->fd);
    }
}

static void client_say(struct client *client, const char *text)
{
    client_send(client, str_of(text));
}

static void expect(struct client *client, const char *text)
{
    turn_until((client_receive(client), client->in.size > 0 && strstr(client->in.data, text)),
               client->fd);
}

static void forget(struct client *client)
{
    buf_clear(&client->in);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

// ---- Tests

static void requests_are_served(void **state)
{
    start(0);
    struct client client = client_open();
    assert_int_equal(client_connect(&client), 1);
    assert_true(SSL_version(client.ssl) == TLS1_3_VERSION);
    client_say(&client, GET("/one") GET("/two"));
    expect(&client, "/one");
    expect(&client, "/two");
    forget(&client);
    client_say(&client, "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(&client, "/last");
    turn_until((client_receive(&client), client.is_ended), client.fd);
    assert_int_equal(SSL_get_shutdown(client.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    client_close(&client);
}

// The server's end of the only connection, and the client's, hold little.
static void shrink_sockets(int client_fd)
{
    int small = 65536;
    setsockopt(client_fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    setsockopt(client_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in own, peer;
        socklen_t own_size = sizeof(own), peer_size = sizeof(peer);
        if (getsockname(fd, (struct sockaddr *) &own, &own_size) < 0 ||
            getpeername(fd, (struct sockaddr *) &peer, &peer_size) < 0 ||
            own.sin_port != htons(http_listener_port(s.listener)))
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    }
}

// How many KeyUpdates that ask for one in return are taken, until none is for many turns.
static size_t ask_for_keys(struct client *client, size_t maximum)
{
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLOUT};
    bool is_pending = false;
    size_t n = 0;
    for (int idle_turns = 0; idle_turns < 1000 && n < maximum; idle_turns++) {
        if (!is_pending)
            assert_int_equal(SSL_key_update(client->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        is_pending = SSL_do_handshake(client->ssl) != 1;
        if (is_pending || n % 64 == 0)
            loop_run_once(s.loop, false);
        if (is_pending)
            (void) poll(&poll_fd, 1, 1);
        if (!is_pending) {
            n++;
            idle_turns = 0;
        }
    }
    return n;
}

static void a_client_that_asks_and_never_reads_is_not_read_for_ever(void **state)
{
    static char replies[1 << 16];
    start(0);
    struct client client = client_open();
    assert_int_equal(client_connect(&client), 1);
    shrink_sockets(client.fd);
    assert_true(ask_for_keys(&client, ASKED_MAX) < ASKED_MAX);
    // Once it takes the replies it is read again.
    turn_until((recv(client.fd, replies, sizeof(replies), 0), SSL_do_handshake(client.ssl) == 1),
               client.fd);
    client_close(&client);
}

static void tls_1_2_is_spoken_and_1_1_is_not(void **state)
{
    static const struct {
        int version, is_served;
    } rows[] = {{TLS1_2_VERSION, 1}, {TLS1_1_VERSION, 0}};
    start(0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct client client = client_open();
        SSL_set_security_level(client.ssl, 0);
        assert_int_equal(SSL_set_max_proto_version(client.ssl, rows[i].version), 1);
        assert_int_equal(client_connect(&client), rows[i].is_served);
        client_close(&client);
    }
}

static void large_bodies_both_ways(void **state)
{
    start(0);
    char *body = malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        body[i] = (char) ('a' + i % 23);
    struct client client = client_open();
    char head[128];
    assert_int_equal(client_connect(&client), 1);
    snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
             LARGE);
    client_say(&client, head);
    client_send(&client, (struct str){body, LARGE});
    expect(&client, "\r\n\r\n");
    size_t at = (size_t) (strstr(client.in.data, "\r\n\r\n") + 4 - client.in.data);
    turn_until((client_receive(&client), client.in.size >= at + LARGE), client.fd);
    assert_int_equal(client.in.size, at + LARGE);
    assert_memory_equal(client.in.data + at, body, LARGE);
    free(body);
    client_close(&client);
}

static void streams_too(void **state)
{
    start(0);
    struct client client = client_open();
    assert_int_equal(client_connect(&client), 1);
    client_say(&client, GET("/stream"));
    expect(&client, "\r\n\r\n");
    assert_true(http_stream_write(s.stream, STR("piece"), NULL));
    expect(&client, "5\r\npiece\r\n");
    http_stream_end(s.stream);
    expect(&client, "0\r\n\r\n");
    client_close(&client);
}

static void a_new_certificate_without_a_restart(void **state)
{
    struct error err = {0};
    char name[32] = "";
    start(0);
    struct client before = client_open(), after = client_open();
    assert_int_equal(client_connect(&before), 1);
    turn_until(http_listener_connections(s.listener) == 2, -1);
    make_certificate("second");
    assert_int_equal(http_tls_reload(s.tls, &err), 0);
    struct client newest = client_open();
    assert_int_equal(client_connect(&newest), 1);
    X509 *peer = SSL_get1_peer_certificate(newest.ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name, sizeof(name));
    assert_string_equal(name, "second");
    X509_free(peer);
    client_say(&before, GET("/still"));
    expect(&before, "/still");
    // A reload that fails changes nothing.
    assert_int_equal(truncate(s.key, 10), 0);
    assert_int_equal(http_tls_reload(s.tls, &err), -EINVAL);
    assert_non_null(strstr(err.text, s.key));
    client_close(&before);
    client_close(&after);
    client_close(&newest);
    newest = client_open();
    assert_int_equal(client_connect(&newest), 1);
    client_close(&newest);
}

static void files_that_are_no_certificates(void **state)
{
    struct http_tls *tls;
    struct error err = {0};
    make_certificate("one");
    assert_true(http_tls_new("/nonexistent.pem", s.key, &tls, &err) < 0);
    assert_non_null(strstr(err.text, "/nonexistent.pem"));
    assert_true(http_tls_new(s.certificate, "/nonexistent.pem", &tls, &err) < 0);
    assert_true(http_tls_new(s.key, s.key, &tls, &err) < 0);
    EVP_PKEY *other = EVP_EC_gen("P-256");
    write_pem(s.key, NULL, other);
    EVP_PKEY_free(other);
    assert_true(http_tls_new(s.certificate, s.key, &tls, &err) < 0);
    http_tls_free(NULL);
}

static void only_http_1_1_is_agreed_on(void **state)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1", h2[] = "\x02h2";
    const unsigned char *chosen;
    unsigned size;
    start(0);
    struct client client = client_open();
    SSL_set_alpn_protos(client.ssl, both, sizeof(both) - 1);
    assert_int_equal(client_connect(&client), 1);
    SSL_get0_alpn_selected(client.ssl, &chosen, &size);
    assert_int_equal(size, 8);
    assert_memory_equal(chosen, "http/1.1", 8);
    client_close(&client);
    client = client_open();
    SSL_set_alpn_protos(client.ssl, h2, sizeof(h2) - 1);
    assert_int_equal(client_connect(&client), 0);
    client_close(&client);
}

// Neither is a request, and neither is answered as one.
static void clients_that_do_not_speak_tls(void **state)
{
    static const char *const texts[] = {GET("/plain"), "\x16\x03\x01\xff\xff",
                                        "\x16\x03\x01\x00\x05\x01\x02\x03\x04\x05"};
    start(0);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int fd = tcp_open();
        char answer[256];
        size_t size = i == 2 ? 10 : strlen(texts[i]);
        assert_int_equal(send(fd, texts[i], size, MSG_NOSIGNAL), size);
        shutdown(fd, SHUT_WR);
        ssize_t r = -1;
        int64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;
        bool is_http = false;
        while ((r = recv(fd, answer, sizeof(answer), 0)) != 0 && clock_monotonic_ms() < end_ms) {
            if (r < 0 && errno != EAGAIN)
                break;
            is_http |= r >= 4 && memcmp(answer, "HTTP", 4) == 0;
            turn(fd);
        }
        assert_false(is_http);
        close(fd);
        turn_until(http_listener_connections(s.listener) == 0, -1);
    }
}

// The client's first message cut off anywhere.
static void clients_that_stop_in_the_handshake(void **state)
{
    char hello[4096];
    start(0);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    assert_int_equal(SSL_connect(ssl), -1);
    int size = BIO_read(out, hello, sizeof(hello));
    assert_true(size > 100);
    for (int at = 0; at <= size; at += 13) {
        int fd = tcp_open();
        assert_int_equal(send(fd, hello, (size_t) at, MSG_NOSIGNAL), at);
        turn(fd);
        close(fd);
        turn_until(http_listener_connections(s.listener) == 0, -1);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
}

static void a_handshake_has_a_time_out(void **state)
{
    struct http_server_stats stats;
    start(1);
    int fd = tcp_open();
    turn_until((http_server_stats(s.server, &stats), stats.timeouts_total == 1), -1);
    turn_until(http_listener_connections(s.listener) == 0, -1);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_are_served),
        TEST(a_client_that_asks_and_never_reads_is_not_read_for_ever),
        TEST(tls_1_2_is_spoken_and_1_1_is_not),
        TEST(large_bodies_both_ways),
        TEST(streams_too),
        TEST(a_new_certificate_without_a_restart),
        TEST(files_that_are_no_certificates),
        TEST(only_http_1_1_is_agreed_on),
        TEST(clients_that_do_not_speak_tls),
        TEST(clients_that_stop_in_the_handshake),
        TEST(a_handshake_has_a_time_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
