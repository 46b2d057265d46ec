// SPDX-License-Identifier: MIT

#include "http/tls.h"

#include "base/mem.h"
#include "http/connection.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

// A record's largest plaintext: what one SSL_read yields at most.
#define RECORD_BYTES_MAX 16384
// The input BIO grows to what is written into it at once, and stays so.
#define INPUT_BYTES 8192
// Records, headers and tags of the largest answer.
#define CIPHER_BYTES_MAX ((size_t) 256 << 20)

struct http_tls {
    char *certificate_path;
    char *key_path;
    SSL_CTX *context;
};

struct http_tls_session {
    SSL *ssl;
    BIO *input;  // owned by ssl: what the socket gave
    BIO *output; // owned by ssl: what the socket is to get
};

// ---- Certificates

static int ssl_error(struct error *err, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    ERR_clear_error();
    return error_set(err, -EINVAL, "%s: %s", what, reason ? reason : "OpenSSL gives no reason");
}

// Clients that know ALPN ask for h2 first; what is spoken here is said, or the handshake ends.
static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                           const unsigned char *offered, unsigned offered_size, void *argument)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, ret_size, ours, sizeof(ours) - 1, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int load_files(SSL_CTX *context, const struct http_tls *tls, struct error *err)
{
    if (SSL_CTX_use_certificate_chain_file(context, tls->certificate_path) != 1)
        return ssl_error(err, tls->certificate_path);
    if (SSL_CTX_use_PrivateKey_file(context, tls->key_path, SSL_FILETYPE_PEM) != 1)
        return ssl_error(err, tls->key_path);
    if (SSL_CTX_check_private_key(context) != 1)
        return ssl_error(err, "the key is not the certificate's");
    return 0;
}

int http_tls_reload(struct http_tls *tls, struct error *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return error_set_errno(err, -ENOMEM, "TLS");
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    int r = load_files(context, tls, err);
    if (r < 0) {
        SSL_CTX_free(context);
        return r;
    }
    SSL_CTX_free(tls->context); // sessions hold references of their own
    tls->context = context;
    return 0;
}

int http_tls_new(const char *certificate_path, const char *key_path, struct http_tls **ret_tls,
                 struct error *err)
{
    struct http_tls *tls = mem_new(struct http_tls);
    if (!tls)
        return error_set_errno(err, -ENOMEM, "TLS");
    tls->certificate_path = mem_copy_text(certificate_path);
    tls->key_path = mem_copy_text(key_path);
    int r = -ENOMEM;
    if (tls->certificate_path && tls->key_path)
        r = http_tls_reload(tls, err);
    if (r < 0) {
        http_tls_free(tls);
        return r;
    }
    *ret_tls = tls;
    return 0;
}

void http_tls_free(struct http_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->context);
    free(tls->certificate_path);
    free(tls->key_path);
    free(tls);
}

// ---- Sessions

struct http_tls_session *http_tls_session_new(struct http_tls *tls)
{
    struct http_tls_session *session = mem_new(struct http_tls_session);
    if (!session)
        return NULL;
    session->ssl = SSL_new(tls->context);
    session->input = BIO_new(BIO_s_mem());
    session->output = BIO_new(BIO_s_mem());
    if (!session->ssl || !session->input || !session->output) {
        SSL_free(session->ssl);
        BIO_free(session->input);
        BIO_free(session->output);
        free(session);
        return NULL;
    }
    SSL_set_bio(session->ssl, session->input, session->output);
    SSL_set_accept_state(session->ssl);
    return session;
}

void http_tls_session_free(struct http_tls_session *session)
{
    if (!session)
        return;
    SSL_free(session->ssl); // and both BIOs
    free(session);
}

bool http_tls_is_ready(const struct http_tls_session *session)
{
    return SSL_is_init_finished(session->ssl);
}

// Appends everything that OpenSSL wants on the wire. The memory BIO keeps what it once grew to, so it
// is emptied often.
static int take_output(struct http_tls_session *session, struct buf *output)
{
    size_t size = BIO_ctrl_pending(session->output);
    int r = size > 0 ? buf_reserve(output, size) : 0;
    if (r < 0 || size == 0)
        return r;
    if (BIO_read(session->output, output->data + output->size, (int) size) != (int) size)
        return -EPROTO;
    buf_advance(output, size);
    return 0;
}

void http_tls_flush(struct http_connection *connection)
{
    struct buf output = BUF_INIT(CIPHER_BYTES_MAX);
    if (take_output(connection->tls, &output) < 0) {
        buf_done(&output);
        http_connection_break(connection);
    } else if (output.size > 0) {
        http_write_raw(connection, STR(""), &output, NULL);
    }
}

static int encrypt_part(struct http_tls_session *session, struct str plain, struct buf *cipher)
{
    while (plain.size > 0) {
        struct str record = str_part(plain, 0, RECORD_BYTES_MAX);
        size_t written;
        if (SSL_write_ex(session->ssl, record.data, record.size, &written) != 1)
            return -EPIPE; // the session has ended
        int r = take_output(session, cipher);
        if (r < 0)
            return r;
        plain = str_skip(plain, written);
    }
    return 0;
}

int http_tls_encrypt(struct http_tls_session *session, struct str head, struct str body,
                     struct buf *ret_cipher)
{
    ERR_clear_error();
    buf_init(ret_cipher, CIPHER_BYTES_MAX);
    if (!http_tls_is_ready(session))
        return -EPIPE;
    int r = encrypt_part(session, head, ret_cipher);
    if (r == 0)
        r = encrypt_part(session, body, ret_cipher);
    if (r < 0)
        buf_done(ret_cipher);
    return r;
}

void http_tls_say_goodbye(struct http_connection *connection)
{
    ERR_clear_error();
    if (http_tls_is_ready(connection->tls))
        (void) SSL_shutdown(connection->tls->ssl); // the client's own goodbye is not waited for
    http_tls_flush(connection);
}

// What is whole by now goes to the parser, a record at a time.
static enum http_tls_state decrypt(struct http_connection *connection)
{
    struct http_tls_session *session = connection->tls;
    char plain[RECORD_BYTES_MAX];
    int r;
    for (;;) {
        // SSL_get_error() looks at the thread's queue too, where a handler may have left something.
        ERR_clear_error();
        r = SSL_read(session->ssl, plain, sizeof(plain));
        if (r <= 0)
            break;
        http_connection_feed(connection, plain, (size_t) r);
        if (connection->is_closed || connection->is_lingering)
            return HTTP_TLS_OPEN;
    }
    int error = SSL_get_error(session->ssl, r);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ)
        return HTTP_TLS_OPEN;
    return error == SSL_ERROR_ZERO_RETURN ? HTTP_TLS_ENDED : HTTP_TLS_BROKEN;
}

enum http_tls_state http_tls_input(struct http_connection *connection, const char *data,
                                   size_t size)
{
    struct str rest = {data, size};
    enum http_tls_state state = HTTP_TLS_OPEN;
    while (rest.size > 0 && state == HTTP_TLS_OPEN) {
        struct str slice = str_part(rest, 0, INPUT_BYTES);
        rest = str_skip(rest, slice.size);
        if (BIO_write(connection->tls->input, slice.data, (int) slice.size) != (int) slice.size)
            return HTTP_TLS_BROKEN;
        state = decrypt(connection);
        if (connection->is_closed || connection->is_lingering)
            break;
    }
    return state;
}
