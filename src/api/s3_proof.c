/* SPDX-License-Identifier: MIT */

#include "api/s3_proof.h"

#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"

/* ---- The signature */

void s3_error_from_auth(struct aws_error *error, bool is_presigned)
{
    static const struct {
        enum aws_error_code from, to;
    } names[] = {
        {AWS_MISSING_AUTHENTICATION_TOKEN, AWS_S3_ACCESS_DENIED},
        {AWS_INCOMPLETE_SIGNATURE, AWS_S3_AUTHORIZATION_HEADER_MALFORMED},
        {AWS_UNRECOGNIZED_CLIENT, AWS_S3_INVALID_ACCESS_KEY},
        {AWS_INVALID_SIGNATURE, AWS_S3_SIGNATURE_DOES_NOT_MATCH},
        {AWS_EXPIRED_TOKEN, AWS_S3_EXPIRED_TOKEN},
        {AWS_ACCESS_DENIED, AWS_S3_ACCESS_DENIED},
        {AWS_SERVICE_UNAVAILABLE, AWS_S3_SLOW_DOWN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (error->code == names[i].from) {
            error->code = names[i].to;
            break;
        }
    if (error->code == AWS_S3_AUTHORIZATION_HEADER_MALFORMED && is_presigned)
        error->code = AWS_S3_AUTHORIZATION_QUERY_PARAMETERS;
}

int s3_proof_begin(struct s3_call *s3)
{
    struct call *call = s3->call;
    struct auth *auth = call->api->config.auth;
    int r = auth_begin_s3(auth, call->request, &call->ticket, &s3->error);
    s3->is_presigned = call->ticket.claim.is_presigned;
    return r;
}

/* ---- What is said of the body */

static struct str named_hash(const struct s3_call *s3)
{
    return s3->is_presigned ? STR(SIGV4_UNSIGNED_PAYLOAD) : s3_header(s3, "x-amz-content-sha256");
}

bool s3_proof_is_chunked(const struct s3_call *s3, enum chunked_form *ret_form)
{
    return chunked_form_by_name(named_hash(s3), ret_form);
}

static int read_hash(struct s3_call *s3)
{
    struct call *call = s3->call;
    struct str hash = named_hash(s3);
    enum chunked_form form;
    if (str_equal(hash, STR(SIGV4_UNSIGNED_PAYLOAD)))
        return 0;
    if (chunked_form_by_name(hash, &form))
        return form == CHUNKED_UNSIGNED_TRAILER
                   ? 0
                   : auth_chunk_signer(call->api->config.auth, &call->ticket, &s3->signer,
                                       &s3->error);
    if (digest_parse_hex(hash, &s3->proof.sha256) < 0)
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-"
                        "TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-"
                        "PAYLOAD-TRAILER or a valid sha256 value.");
    s3->proof.has_sha256 = true;
    return 0;
}

static int read_md5(struct s3_call *s3)
{
    struct str text = s3_header(s3, "content-md5");
    if (!text.data)
        return 0;
    if (checksum_parse(CHECKSUM_MD5, text, &s3->proof.md5) < 0)
        return s3_error(s3, AWS_S3_INVALID_DIGEST, "The Content-MD5 you specified was invalid.");
    s3->proof.has_md5 = true;
    return 0;
}

static int read_checksum_header(struct s3_call *s3)
{
    for (size_t i = 0; i < s3->header_count; i++) {
        enum checksum_kind kind = checksum_by_header(s3->headers[i].name);
        if (kind == CHECKSUM_NONE)
            continue;
        if (s3->proof.checksum)
            return s3_error(
                s3, AWS_S3_INVALID_REQUEST,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are "
                "not allowed.");
        if (checksum_parse(kind, s3->headers[i].value, &s3->proof.value) < 0)
            return s3_error(s3, AWS_S3_INVALID_REQUEST,
                            "Value for " STR_FORMAT " header is invalid.",
                            STR_ARGUMENTS(s3->headers[i].name));
        s3->proof.checksum = kind;
        s3->proof.has_checksum = true;
    }
    return 0;
}

static int read_trailer(struct s3_call *s3)
{
    struct str name = s3_header(s3, "x-amz-trailer");
    enum chunked_form form;
    if (!name.data)
        return 0;
    enum checksum_kind kind = checksum_by_header(str_trim(name));
    if (!s3_proof_is_chunked(s3, &form) || form == CHUNKED_SIGNED || kind == CHECKSUM_NONE ||
        s3->proof.checksum)
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "The value specified in the x-amz-trailer header is not supported");
    s3->proof.checksum = kind;
    s3->proof.is_trailer = true;
    return 0;
}

static int read_bytes(struct s3_call *s3)
{
    enum chunked_form form;
    const struct http_request *request = s3->call->request;
    struct str text = s3_header(s3, "x-amz-decoded-content-length");
    if (!s3_proof_is_chunked(s3, &form)) {
        if (request->is_chunked)
            return s3_error(s3, AWS_S3_MISSING_CONTENT_LENGTH,
                            "You must provide the Content-Length HTTP header.");
        s3->proof.has_bytes = true;
        s3->proof.bytes = request->content_length;
        return 0;
    }
    if (!text.data)
        return s3_error(s3, AWS_S3_MISSING_CONTENT_LENGTH,
                        "You must provide the Content-Length HTTP header.");
    if (str_to_u64(text, INT64_MAX, &s3->proof.bytes) < 0)
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "x-amz-decoded-content-length must be a number");
    s3->proof.has_bytes = true;
    return 0;
}

int s3_proof_read(struct s3_call *s3)
{
    int r = read_hash(s3);
    if (r < 0 || s3->route->body == S3_BODY_NONE)
        return r;
    r = read_md5(s3);
    if (r == 0)
        r = read_checksum_header(s3);
    if (r == 0)
        r = read_trailer(s3);
    if (r == 0 && s3->route->body == S3_BODY_OBJECT)
        r = read_bytes(s3);
    return r;
}

/* ---- What is found of it */

static int bad_digest(struct s3_call *s3, const char *what)
{
    return s3_error(s3, AWS_S3_BAD_DIGEST, "The %s you specified did not match what we received.",
                    what);
}

static int check_checksum(struct s3_call *s3, const struct checksum_value *found,
                          struct str trailer)
{
    struct s3_proof *proof = &s3->proof;
    if (proof->is_trailer) {
        if (!trailer.data)
            return s3_error(s3, AWS_S3_MALFORMED_TRAILER,
                            "The request contained trailing data that was not well-formed or did "
                            "not conform to our published schema.");
        if (checksum_parse(proof->checksum, trailer, &proof->value) < 0)
            return s3_error(s3, AWS_S3_INVALID_REQUEST, "Value for %s trailing header is invalid.",
                            checksum_header(proof->checksum));
    }
    if ((proof->is_trailer || proof->has_checksum) &&
        !checksum_equal(proof->checksum, found, &proof->value))
        return bad_digest(s3, checksum_name(proof->checksum));
    proof->value = *found;
    return 0;
}

int s3_proof_check(struct s3_call *s3, const struct receive_result *result)
{
    const struct s3_proof *proof = &s3->proof;
    if (proof->has_sha256 && !digest_equal(&proof->sha256, &result->sha256))
        return s3_error(s3, AWS_S3_CONTENT_SHA256_MISMATCH,
                        "The provided 'x-amz-content-sha256' header does not match what was "
                        "computed.");
    if (proof->has_md5 && !checksum_equal(CHECKSUM_MD5, &proof->md5, &result->md5))
        return bad_digest(s3, "Content-MD5");
    return proof->checksum ? check_checksum(s3, &result->checksum, result->trailer) : 0;
}

static struct checksum_value checksum_of(enum checksum_kind kind, struct str data)
{
    struct checksum_stream stream;
    checksum_init(&stream, kind);
    checksum_update(&stream, data.data, data.size);
    return checksum_finish(&stream);
}

int s3_proof_check_kept(struct s3_call *s3)
{
    struct receive_result result = {.sha256 = digest_of(s3->body.data, s3->body.size)};
    result.md5 = checksum_of(CHECKSUM_MD5, s3->body);
    if (s3->proof.checksum)
        result.checksum = checksum_of(s3->proof.checksum, s3->body);
    /* Of a kept body s3_proof_unframe has compared the trailer. */
    s3->proof.is_trailer = false;
    return s3_proof_check(s3, &result);
}

static int append_piece(void *arg, const void *data, size_t size)
{
    return buf_append(arg, data, size);
}

int s3_proof_unframe(struct s3_call *s3, struct buf *body)
{
    enum chunked_form form;
    struct chunked chunked;
    struct buf plain = BUF_INIT(S3_XML_BODY_MAX);
    if (!s3_proof_is_chunked(s3, &form))
        return 0;
    chunked_init(&chunked, form, &s3->signer, append_piece, &plain);
    int r = chunked_feed(&chunked, body->data, body->size);
    if (r == 0)
        r = chunked_finish(&chunked);
    if (r == 0 && s3->proof.is_trailer) {
        struct checksum_value found = checksum_of(s3->proof.checksum, buf_str(&plain));
        r = check_checksum(s3, &found,
                           chunked_trailer(&chunked, str_of(checksum_header(s3->proof.checksum))));
    } else if (r < 0) {
        s3_proof_explain(s3, r);
        r = -EREMOTEIO;
    }
    chunked_done(&chunked);
    buf_done(body);
    *body = plain;
    return r;
}

void s3_proof_explain(struct s3_call *s3, int code)
{
    struct error err = {0};
    switch (code) {
    case -EBADMSG:
        (void) s3_error(s3, AWS_S3_INCOMPLETE_BODY,
                        "You did not provide the number of bytes specified by the Content-Length "
                        "HTTP header");
        return;
    case -EINVAL:
        (void) s3_error(s3, AWS_S3_INVALID_REQUEST, "The body is not aws-chunked as it should be");
        return;
    case -EKEYREJECTED:
        (void) s3_error(s3, AWS_S3_SIGNATURE_DOES_NOT_MATCH,
                        "The request signature we calculated does not match the signature you "
                        "provided. Check your key and signing method.");
        return;
    case -EFBIG:
        (void) s3_error(s3, AWS_S3_ENTITY_TOO_LARGE,
                        "Your proposed upload exceeds the maximum allowed object size.");
        return;
    case -ECANCELED:
        (void) s3_error(s3, AWS_S3_REQUEST_TIMEOUT, "The client has gone.");
        return;
    default:
        (void) error_set_errno(&err, code, "take a body");
        (void) s3_error_internal(s3, "s3.body", &err);
    }
}
