// SPDX-License-Identifier: MIT

#include "aws/sigv4.h"

#include "aws/canonical.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/percent.h"

#include <errno.h>

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CANONICAL_FIRST 2048

// ---- The two texts

int sigv4_canonical_request(const struct sigv4_request *request, const struct sigv4_claim *claim,
                            struct str payload_hash, struct buf *text)
{
    buf_append_str(text, request->method);
    buf_append_byte(text, '\n');
    int r = canonical_path(request->path, str_equal(claim->service, STR("s3")), text);
    buf_append_byte(text, '\n');
    if (r == 0)
        r = canonical_query(request->query, text);
    buf_append_byte(text, '\n');
    if (r == 0)
        r = canonical_headers(request, claim->signed_headers, text);
    buf_append_byte(text, '\n');
    buf_append_str(text, claim->signed_headers);
    buf_append_byte(text, '\n');
    buf_append_str(text, payload_hash);
    return r < 0 ? r : buf_status(text);
}

int sigv4_string_to_sign(const struct sigv4_claim *claim, struct str canonical_request,
                         struct buf *text)
{
    char hex[DIGEST_HEX_SIZE];
    struct digest digest = digest_of(canonical_request.data, canonical_request.size);
    buf_append_str(text, STR("AWS4-HMAC-SHA256\n"));
    buf_append_str(text, claim->time);
    buf_append_byte(text, '\n');
    buf_append_str(text, claim->date);
    buf_append_byte(text, '/');
    buf_append_str(text, claim->region);
    buf_append_byte(text, '/');
    buf_append_str(text, claim->service);
    buf_append_str(text, STR("/aws4_request\n"));
    buf_append_text(text, digest_hex(&digest, hex));
    return buf_status(text);
}

static int sign(const struct sigv4_request *request, const struct sigv4_claim *claim,
                struct str payload_hash, const struct sigv4_key *key, struct digest *ret_signature)
{
    AUTO_BUF struct buf canonical = BUF_INIT(SIGV4_CANONICAL_MAX);
    AUTO_BUF struct buf text = BUF_INIT(512);
    int r = buf_reserve(&canonical, CANONICAL_FIRST);
    if (r == 0)
        r = sigv4_canonical_request(request, claim, payload_hash, &canonical);
    if (r == 0)
        r = sigv4_string_to_sign(claim, buf_str(&canonical), &text);
    if (r < 0)
        return r;
    *ret_signature = digest_hmac(key->bytes.bytes, sizeof(key->bytes.bytes), text.data, text.size);
    return 0;
}

// ---- Verify

int sigv4_verify(const struct sigv4_request *request, const struct sigv4_claim *claim,
                 struct str payload_hash, const struct sigv4_key *key, struct error *err)
{
    struct digest signature;
    int r = sign(request, claim, payload_hash, key, &signature);
    if (r == -EBADMSG)
        return error_set(err, -EBADMSG, "A signed header is missing from the request.");
    if (r == -EINVAL)
        return error_set(err, r, "The query is not correctly percent-encoded.");
    if (r == -E2BIG || r == -EFBIG)
        return error_set(err, -E2BIG, "The request has too many parts to be verified.");
    if (r < 0)
        return error_set(err, r, "No memory to verify the signature.");
    if (digest_equal(&signature, &claim->signature))
        return 0;
    return error_set(
        err, -EKEYREJECTED,
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. Consult the service "
        "documentation for details.");
}

static int expired(const struct sigv4_claim *claim, int64_t limit_s, int64_t now_s,
                   struct error *err)
{
    char limit[CLOCK_TEXT_MAX], now[CLOCK_TEXT_MAX];
    return error_set(err, -ETIME,
                     "Signature expired: " STR_FORMAT " is now earlier than %s (%s - %d min.)",
                     STR_ARGUMENTS(claim->time), clock_basic(limit_s * 1000, limit),
                     clock_basic(now_s * 1000, now), SIGV4_SKEW_MAX_S / 60);
}

int sigv4_check_time(const struct sigv4_claim *claim, int64_t now_s, struct error *err)
{
    char limit[CLOCK_TEXT_MAX], now[CLOCK_TEXT_MAX];
    if (claim->time_s > now_s + SIGV4_SKEW_MAX_S)
        return error_set(
            err, -ETIME,
            "Signature not yet current: " STR_FORMAT " is still later than %s (%s + %d "
            "min.)",
            STR_ARGUMENTS(claim->time), clock_basic((now_s + SIGV4_SKEW_MAX_S) * 1000, limit),
            clock_basic(now_s * 1000, now), SIGV4_SKEW_MAX_S / 60);
    if (claim->is_presigned)
        return claim->time_s + (int64_t) claim->expires_s >= now_s
                   ? 0
                   : error_set(err, -ETIME, "Request has expired");
    if (claim->time_s < now_s - SIGV4_SKEW_MAX_S)
        return expired(claim, now_s - SIGV4_SKEW_MAX_S, now_s, err);
    return 0;
}

// ---- Sign

struct draft {
    struct http_header headers[SIGV4_HEADERS_MAX]; // sorted by name
    size_t count;
    struct buf names; // "host;x-amz-date"
    struct sigv4_request request;
    struct sigv4_claim claim;
    struct sigv4_key key;
    char time[CLOCK_TEXT_MAX];
};

static int add_header(struct draft *draft, struct str name, struct str value)
{
    if (draft->count == SIGV4_HEADERS_MAX)
        return -E2BIG;
    size_t at = draft->count++;
    // Equal names stay in order of arrival.
    while (at > 0 && str_compare(name, draft->headers[at - 1].name) < 0) {
        draft->headers[at] = draft->headers[at - 1];
        at--;
    }
    draft->headers[at] = (struct http_header){name, value};
    return 0;
}

static int list_names(struct draft *draft)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (i > 0 && str_equal(draft->headers[i].name, draft->headers[i - 1].name))
            continue;
        if (i > 0)
            buf_append_byte(&draft->names, ';');
        buf_append_str(&draft->names, draft->headers[i].name);
    }
    return buf_status(&draft->names);
}

static void start_draft(struct draft *draft, const struct sigv4_signer *signer,
                        const struct sigv4_request *request)
{
    draft->count = 0;
    buf_init(&draft->names, SIGV4_AUTHORIZATION_MAX);
    clock_basic(signer->wall_s * 1000, draft->time);
    draft->request = *request;
    draft->claim = (struct sigv4_claim){
        .access_key = signer->access_key,
        .date = {draft->time, 8},
        .region = signer->region,
        .service = signer->service,
        .time = str_of(draft->time),
    };
    sigv4_key_derive(signer->secret, draft->claim.date, signer->region, signer->service,
                     &draft->key);
}

// After the headers are all there.
static int finish_draft(struct draft *draft, struct str payload_hash, char hex[DIGEST_HEX_SIZE])
{
    struct digest signature;
    draft->request.headers = draft->headers;
    draft->request.header_count = draft->count;
    draft->claim.signed_headers = buf_str(&draft->names);
    int r = sign(&draft->request, &draft->claim, payload_hash, &draft->key, &signature);
    if (r == 0)
        digest_hex(&signature, hex);
    return r;
}

static void end_draft(struct draft *draft)
{
    mem_wipe(&draft->key, sizeof(draft->key));
    buf_done(&draft->names);
}

static int sign_draft(struct draft *draft, const struct sigv4_signer *signer,
                      const struct sigv4_request *request, struct sigv4_headers *headers)
{
    char hex[DIGEST_HEX_SIZE];
    int r = 0;
    for (size_t i = 0; i < request->header_count && r == 0; i++)
        r = add_header(draft, request->headers[i].name, request->headers[i].value);
    if (r == 0)
        r = add_header(draft, STR("x-amz-date"), str_of(headers->date));
    if (r == 0)
        r = add_header(draft, STR("x-amz-content-sha256"), str_of(headers->payload_hash));
    if (r == 0 && headers->token[0])
        r = add_header(draft, STR("x-amz-security-token"), str_of(headers->token));
    if (r == 0)
        r = list_names(draft);
    if (r == 0)
        r = finish_draft(draft, str_of(headers->payload_hash), hex);
    if (r < 0)
        return r;
    int size =
        snprintf(headers->authorization, sizeof(headers->authorization),
                 "AWS4-HMAC-SHA256 Credential=" STR_FORMAT "/%.8s/" STR_FORMAT "/" STR_FORMAT
                 "/aws4_request, SignedHeaders=" STR_FORMAT ", Signature=%s",
                 STR_ARGUMENTS(signer->access_key), draft->time, STR_ARGUMENTS(signer->region),
                 STR_ARGUMENTS(signer->service), STR_ARGUMENTS(draft->claim.signed_headers), hex);
    return size < (int) sizeof(headers->authorization) ? 0 : -E2BIG;
}

int sigv4_sign(const struct sigv4_signer *signer, const struct sigv4_request *request,
               const struct digest *payload_hash, struct sigv4_headers *ret_headers,
               struct error *err)
{
    struct sigv4_headers headers = {0};
    struct draft draft;
    start_draft(&draft, signer, request);
    snprintf(headers.date, sizeof(headers.date), "%.16s", draft.time);
    if (payload_hash)
        digest_hex(payload_hash, headers.payload_hash);
    else
        snprintf(headers.payload_hash, sizeof(headers.payload_hash), "%s", EMPTY_HASH);
    int r = str_copy(signer->token, headers.token, sizeof(headers.token));
    if (r == 0)
        r = sign_draft(&draft, signer, request, &headers);
    end_draft(&draft);
    if (r < 0)
        return error_set_errno(err, r, "sign the request");
    *ret_headers = headers;
    return 0;
}

// ---- Presign

static void append_pair(struct buf *query, const char *name, struct str value)
{
    if (query->size > 0)
        buf_append_byte(query, '&');
    buf_append_text(query, name);
    buf_append_byte(query, '=');
    percent_append(query, value, false);
}

static int append_presigned_pairs(struct draft *draft, const struct sigv4_signer *signer,
                                  uint64_t expires_s, struct buf *query)
{
    char credential[SIGV4_ACCESS_KEY_MAX + 2 * SIGV4_SCOPE_PART_MAX + 32], expires[24];
    int size = snprintf(credential, sizeof(credential),
                        STR_FORMAT "/%.8s/" STR_FORMAT "/" STR_FORMAT "/aws4_request",
                        STR_ARGUMENTS(signer->access_key), draft->time,
                        STR_ARGUMENTS(signer->region), STR_ARGUMENTS(signer->service));
    if (size >= (int) sizeof(credential) || expires_s > SIGV4_EXPIRES_MAX_S)
        return -E2BIG;
    snprintf(expires, sizeof(expires), "%llu", (unsigned long long) expires_s);
    append_pair(query, "X-Amz-Algorithm", STR("AWS4-HMAC-SHA256"));
    append_pair(query, "X-Amz-Credential", str_of(credential));
    append_pair(query, "X-Amz-Date", str_of(draft->time));
    append_pair(query, "X-Amz-Expires", str_of(expires));
    if (signer->token.size > 0)
        append_pair(query, "X-Amz-Security-Token", signer->token);
    append_pair(query, "X-Amz-SignedHeaders", STR("host"));
    return buf_status(query);
}

int sigv4_presign(const struct sigv4_signer *signer, const struct sigv4_request *request,
                  uint64_t expires_s, struct buf *query, struct error *err)
{
    AUTO_BUF struct buf own = BUF_INIT(SIGV4_CANONICAL_MAX);
    char hex[DIGEST_HEX_SIZE];
    struct draft draft;
    start_draft(&draft, signer, request);
    buf_append_str(&own, request->query);
    int r = append_presigned_pairs(&draft, signer, expires_s, &own);
    for (size_t i = 0; i < request->header_count && r == 0; i++)
        r = add_header(&draft, request->headers[i].name, request->headers[i].value);
    if (r == 0)
        r = list_names(&draft);
    draft.request.query = buf_str(&own);
    if (r == 0)
        r = finish_draft(&draft, STR(SIGV4_UNSIGNED_PAYLOAD), hex);
    end_draft(&draft);
    if (r < 0)
        return error_set_errno(err, r, "presign the request");
    append_pair(&own, "X-Amz-Signature", str_of(hex));
    buf_append_str(query, buf_str(&own));
    r = buf_status(&own) < 0 ? buf_status(&own) : buf_status(query);
    return r < 0 ? error_set_errno(err, r, "presign the request") : 0;
}
