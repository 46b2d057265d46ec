// SPDX-License-Identifier: MIT

#include "api/auth.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>

#define KEYS_CACHED 32 // one a day, region and service, and one day's overlap

static const struct {
    const char *name; // in the scope of a signature
    enum auth_service service;
} services[] = {
    {"lambda", AUTH_SERVICE_LAMBDA},
    {"sts", AUTH_SERVICE_STS},
    {"iam", AUTH_SERVICE_IAM},
    {"s3", AUTH_SERVICE_S3},
    {"elasticfilesystem", AUTH_SERVICE_EFS},
    {"sagemaker", AUTH_SERVICE_SAGEMAKER},
};

struct key {
    struct str access_key; // owned
    struct str secret;     // owned
};

struct auth {
    struct key *keys_of_people;
    size_t key_count;
    struct str access_key; // owned, as the next two
    struct str secret;
    struct str region;
    struct sigv4_keys *keys;
    struct auth_stats stats;
};

int auth_new(const struct auth_config *config, struct auth **ret_auth)
{
    struct auth *auth = mem_new(struct auth);
    if (!auth)
        return -ENOMEM;
    auth->access_key = str_of(mem_copy_text(config->access_key));
    auth->secret = str_of(mem_copy_text(config->secret));
    auth->region = str_of(mem_copy_text(config->region));
    if (!auth->access_key.data || !auth->secret.data || !auth->region.data ||
        sigv4_keys_new(KEYS_CACHED, &auth->keys) < 0) {
        auth_free(auth);
        return -ENOMEM;
    }
    *ret_auth = auth;
    return 0;
}

static void free_text(struct str text)
{
    char *data = (char *) (uintptr_t) text.data; // owned here, whatever the view says
    if (data)
        mem_wipe(data, text.size);
    free(data);
}

static void key_done(struct key *key)
{
    free_text(key->access_key);
    free_text(key->secret);
}

void auth_free(struct auth *auth)
{
    if (!auth)
        return;
    for (size_t i = 0; i < auth->key_count; i++)
        key_done(&auth->keys_of_people[i]);
    free(auth->keys_of_people);
    free_text(auth->access_key);
    free_text(auth->secret);
    free_text(auth->region);
    sigv4_keys_free(auth->keys);
    free(auth);
}

void auth_stats(const struct auth *auth, struct auth_stats *ret_stats)
{
    *ret_stats = auth->stats;
}

// ---- Keys

static struct key *find_key(const struct auth *auth, struct str access_key)
{
    for (size_t i = 0; i < auth->key_count; i++)
        if (str_equal(auth->keys_of_people[i].access_key, access_key))
            return &auth->keys_of_people[i];
    return NULL;
}

int auth_add_key(struct auth *auth, const char *access_key, const char *secret)
{
    if (auth->key_count == AUTH_KEYS_MAX)
        return -E2BIG;
    struct key *keys = realloc(auth->keys_of_people, (auth->key_count + 1) * sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    auth->keys_of_people = keys;
    struct key key = {str_of(mem_copy_text(access_key)), str_of(mem_copy_text(secret))};
    if (!key.access_key.data || !key.secret.data) {
        key_done(&key);
        return -ENOMEM;
    }
    keys[auth->key_count++] = key;
    sigv4_keys_forget(auth->keys); // one of that name may have had another secret
    return 0;
}

void auth_remove_key(struct auth *auth, const char *access_key)
{
    struct key *key = find_key(auth, str_of(access_key));
    if (!key)
        return;
    key_done(key);
    *key = auth->keys_of_people[--auth->key_count];
    sigv4_keys_forget(auth->keys);
}

// {NULL, 0}: there is no such key (any more).
static struct str secret_of(const struct auth *auth, struct str access_key)
{
    if (str_equal(access_key, auth->access_key))
        return auth->secret;
    const struct key *key = find_key(auth, access_key);
    return key ? key->secret : (struct str){0};
}

static struct str ticket_secret(const struct auth *auth, const struct auth_ticket *ticket)
{
    const struct auth_temporary *temporary = ticket->temporary;
    if (!temporary)
        return secret_of(auth, ticket->claim.access_key);
    return *temporary->is_ended ? (struct str){0} : temporary->secret;
}

bool auth_is_own_key(const struct auth *auth, struct str access_key)
{
    return str_equal(access_key, auth->access_key);
}

struct str auth_secret(const struct auth *auth, struct str access_key)
{
    return secret_of(auth, access_key);
}

// ---- The pieces of a check

static struct sigv4_request signed_request(const struct http_request *request)
{
    return (struct sigv4_request){
        .method = request->method_text,
        .path = request->path,
        .query = request->query,
        .headers = request->headers,
        .header_count = request->header_count,
    };
}

static int refuse(struct auth *auth, struct aws_error *error, enum aws_error_code code,
                  const char *text)
{
    auth->stats.refused_total++;
    return aws_error_set(error, code, "%s", text);
}

// A parse failure in AWS's words: no signature, half a signature, or one that covers too little.
static int refuse_claim(struct auth *auth, struct aws_error *error, const struct error *err)
{
    if (err->code == -ENOENT)
        return refuse(auth, error, AWS_MISSING_AUTHENTICATION_TOKEN, err->text);
    if (err->code == -EBADMSG)
        return refuse(auth, error, AWS_INVALID_SIGNATURE, err->text);
    return refuse(auth, error, AWS_INCOMPLETE_SIGNATURE, err->text);
}

static int refuse_key(struct auth *auth, struct aws_error *error)
{
    return refuse(auth, error, AWS_UNRECOGNIZED_CLIENT,
                  "The security token included in the request is invalid.");
}

// The token is no secret beside the key's own, which the signature proves; all the same it is compared as one.
static bool is_temporary(const struct auth_ticket *ticket)
{
    const struct auth_temporary *temporary = ticket->temporary;
    struct str token = ticket->claim.token;
    return !*temporary->is_ended && str_equal(ticket->claim.access_key, temporary->access_key) &&
           token.data && token.size == temporary->token.size &&
           mem_equal_secret(token.data, temporary->token.data, token.size);
}

// Access keys are public, so compared plainly.
static int check_key(struct auth *auth, const struct auth_ticket *ticket, struct aws_error *error)
{
    struct str access_key = ticket->claim.access_key;
    if (ticket->temporary)
        return is_temporary(ticket) ? 0 : refuse_key(auth, error);
    bool is_known = str_equal(access_key, auth->access_key) ||
                    (ticket->takes_people && find_key(auth, access_key));
    return is_known && !ticket->claim.token.data ? 0 : refuse_key(auth, error);
}

static int find_service(struct auth *auth, const struct sigv4_claim *claim,
                        enum auth_service *ret_service, struct aws_error *error)
{
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        if (str_equal_text(claim->service, services[i].name)) {
            *ret_service = services[i].service;
            return 0;
        }
    }
    return refuse(auth, error, AWS_INVALID_SIGNATURE,
                  "Credential should be scoped to correct service: 'lambda'.");
}

// STS and IAM have one global endpoint, whose signatures say us-east-1 wherever they come from.
static int check_region(struct auth *auth, const struct sigv4_claim *claim,
                        enum auth_service service, struct aws_error *error)
{
    if (str_equal(claim->region, auth->region) ||
        ((service == AUTH_SERVICE_STS || service == AUTH_SERVICE_IAM) &&
         str_equal(claim->region, STR("us-east-1"))))
        return 0;
    auth->stats.refused_total++;
    return aws_error_set(error, AWS_INVALID_SIGNATURE,
                         "Credential should be scoped to a valid region: '" STR_FORMAT "'.",
                         STR_ARGUMENTS(auth->region));
}

static int check_time(struct auth *auth, const struct sigv4_claim *claim, struct aws_error *error)
{
    struct error err = {0};
    if (sigv4_check_time(claim, clock_wall_s(), &err) == 0)
        return 0;
    return refuse(auth, error, AWS_INVALID_SIGNATURE, err.text);
}

// Those of sandboxes are derived each time: there are as many as sandboxes, and the cache is for keys that last.
static const struct sigv4_key *signing_key(struct auth *auth, const struct auth_ticket *ticket,
                                           struct str secret, struct sigv4_key *derived)
{
    const struct sigv4_claim *claim = &ticket->claim;
    if (!ticket->temporary)
        return sigv4_keys_get(auth->keys, claim, secret);
    sigv4_key_derive(secret, claim->date, claim->region, claim->service, derived);
    return derived;
}

static int verify(struct auth *auth, const struct http_request *request,
                  const struct auth_ticket *ticket, struct str payload_hash,
                  struct aws_error *error)
{
    struct error err = {0};
    struct sigv4_request what = signed_request(request);
    struct sigv4_key derived = {0};
    struct str secret = ticket_secret(auth, ticket);
    if (!secret.data) // removed since the request began
        return refuse_key(auth, error);
    const struct sigv4_key *key = signing_key(auth, ticket, secret, &derived);
    int r = sigv4_verify(&what, &ticket->claim, payload_hash, key, &err);
    mem_wipe(&derived, sizeof(derived));
    if (r == 0)
        return 0;
    return refuse(auth, error, r == -ENOMEM ? AWS_SERVICE_UNAVAILABLE : AWS_INVALID_SIGNATURE,
                  err.text);
}

// Form, key, scope and time: everything about a claim but its proof.
static int examine(struct auth *auth, const struct http_request *request,
                   struct auth_ticket *ticket, struct aws_error *error)
{
    struct error err = {0};
    struct sigv4_request what = signed_request(request);
    if (sigv4_parse(&what, &ticket->claim, &err) < 0)
        return refuse_claim(auth, error, &err);
    int r = find_service(auth, &ticket->claim, &ticket->service, error);
    if (r == 0)
        r = check_key(auth, ticket, error);
    if (r == 0)
        r = check_region(auth, &ticket->claim, ticket->service, error);
    if (r == 0)
        r = check_time(auth, &ticket->claim, error);
    return r;
}

// ---- The header form

// What the client says its body hashes to. UNSIGNED-PAYLOAD and STREAMING-... would leave the body
// unproven: no API here takes them in the header form.
static int check_named_hash(struct auth *auth, struct str hash, struct digest *ret_digest,
                            struct aws_error *error)
{
    if (digest_parse_hex(hash, ret_digest) == 0)
        return 0;
    auth->stats.refused_total++;
    return aws_error_set(error, AWS_INVALID_SIGNATURE,
                         "x-amz-content-sha256 must be the hexadecimal SHA-256 of the body here; "
                         "'" STR_FORMAT "' is not supported.",
                         STR_ARGUMENTS(str_part(hash, 0, 64)));
}

int auth_begin(struct auth *auth, struct http_request *request, struct auth_ticket *ret_ticket,
               struct aws_error *error)
{
    struct digest named;
    ret_ticket->is_proven = false;
    int r = examine(auth, request, ret_ticket, error);
    if (r < 0)
        return r;
    const struct sigv4_claim *claim = &ret_ticket->claim;
    if (claim->is_presigned)
        return refuse(auth, error, AWS_INVALID_SIGNATURE,
                      "A presigned query is accepted for the URLs in Code.Location only.");
    if (claim->payload_hash.data) {
        r = check_named_hash(auth, claim->payload_hash, &named, error);
        if (r == 0)
            r = verify(auth, request, ret_ticket, claim->payload_hash, error);
        if (r < 0)
            return r;
        ret_ticket->is_proven = true;
    }
    http_request_hash_body(request);
    return 0;
}

int auth_finish(struct auth *auth, struct http_request *request, const struct auth_ticket *ticket,
                struct aws_error *error)
{
    struct digest body, named;
    char hex[DIGEST_HEX_SIZE];
    if (!ticket_secret(auth, ticket).data)
        return refuse_key(auth, error);
    memcpy(body.bytes, http_request_body_sha256(request), sizeof(body.bytes));
    if (!ticket->is_proven) {
        int r = verify(auth, request, ticket, str_of(digest_hex(&body, hex)), error);
        auth->stats.accepted_total += r == 0;
        return r;
    }
    int r = check_named_hash(auth, ticket->claim.payload_hash, &named, error);
    if (r < 0)
        return r;
    if (!digest_equal(&body, &named))
        return refuse(auth, error, AWS_INVALID_SIGNATURE,
                      "The request signature we calculated does not match the signature you "
                      "provided. The body's SHA-256 is not the one in x-amz-content-sha256.");
    auth->stats.accepted_total++;
    return 0;
}

// ---- The presigned form

// Which of the two was signed can only be tried.
static int verify_empty(struct auth *auth, struct http_request *request,
                        const struct auth_ticket *ticket, struct aws_error *error)
{
    char hex[DIGEST_HEX_SIZE];
    struct digest nothing = digest_of("", 0);
    struct str secret = ticket_secret(auth, ticket);
    struct sigv4_request what = signed_request(request);
    struct sigv4_key derived = {0};
    if (!secret.data)
        return refuse_key(auth, error);
    const struct sigv4_key *key = signing_key(auth, ticket, secret, &derived);
    int r = sigv4_verify(&what, &ticket->claim, str_of(digest_hex(&nothing, hex)), key, NULL);
    mem_wipe(&derived, sizeof(derived));
    return r == 0 ? 0 : verify(auth, request, ticket, STR(SIGV4_UNSIGNED_PAYLOAD), error);
}

int auth_check_presigned(struct auth *auth, struct http_request *request,
                         struct auth_ticket *ret_ticket, struct aws_error *error)
{
    int r = examine(auth, request, ret_ticket, error);
    if (r < 0)
        return r;
    if (!ret_ticket->claim.is_presigned || ret_ticket->service != AUTH_SERVICE_LAMBDA)
        return refuse(auth, error, AWS_INVALID_SIGNATURE, "This URL must be presigned.");
    if (request->has_body)
        return refuse(auth, error, AWS_INVALID_SIGNATURE,
                      "A presigned request has no body here: sign it in the header.");
    r = verify_empty(auth, request, ret_ticket, error);
    ret_ticket->is_proven = r == 0;
    auth->stats.accepted_total += r == 0;
    return r;
}

int auth_presign(struct auth *auth, struct str host, struct str path, uint64_t expires_s,
                 struct buf *url)
{
    struct http_header header = {STR("host"), host};
    struct sigv4_request request = {
        .method = STR("GET"),
        .path = path,
        .headers = &header,
        .header_count = 1,
    };
    struct sigv4_signer signer = {
        .access_key = auth->access_key,
        .secret = auth->secret,
        .region = auth->region,
        .service = STR("lambda"),
        .wall_s = clock_wall_s(),
    };
    AUTO_BUF struct buf query = BUF_INIT(SIGV4_CANONICAL_MAX);
    int r = sigv4_presign(&signer, &request, expires_s, &query, NULL);
    if (r < 0)
        return r;
    buf_append_str(url, path);
    buf_append_byte(url, '?');
    return buf_append_str(url, buf_str(&query));
}

// ---- S3's forms

static int s3_refuse(struct auth *auth, struct aws_error *error, enum aws_error_code code,
                     const char *text)
{
    auth->stats.refused_total++;
    return aws_error_set(error, code, "%s", text);
}

// Version 2 is what boto3 makes by default for presigned URLs of another endpoint than AWS's.
static int s3_refuse_claim(struct auth *auth, struct aws_error *error, const struct error *err)
{
    switch (err->code) {
    case -ENOENT:
        return s3_refuse(auth, error, AWS_S3_ACCESS_DENIED, "Access Denied");
    case -EPROTONOSUPPORT:
        return s3_refuse(
            auth, error, AWS_S3_INVALID_REQUEST,
            "The authorization mechanism you have provided is not supported. Please use "
            "AWS4-HMAC-SHA256 (signature version 4). With boto3: "
            "Config(signature_version='s3v4'); with the AWS CLI: aws configure set "
            "default.s3.signature_version s3v4.");
    case -EBADMSG:
        return s3_refuse(auth, error, AWS_S3_ACCESS_DENIED, err->text);
    default:
        return s3_refuse(auth, error, AWS_INCOMPLETE_SIGNATURE, err->text);
    }
}

static int s3_check_scope(struct auth *auth, struct auth_ticket *ticket, struct aws_error *error)
{
    struct error err = {0};
    const struct sigv4_claim *claim = &ticket->claim;
    int r = find_service(auth, claim, &ticket->service, error);
    if (r == 0 && ticket->service != AUTH_SERVICE_S3)
        return s3_refuse(auth, error, AWS_INCOMPLETE_SIGNATURE, "The service must be s3.");
    if (r == 0)
        r = check_region(auth, claim, ticket->service, error);
    if (r < 0) {
        error->code = AWS_INCOMPLETE_SIGNATURE;
        return r;
    }
    if (sigv4_check_time(claim, clock_wall_s(), &err) < 0)
        return s3_refuse(
            auth, error,
            claim->is_presigned ? AWS_S3_ACCESS_DENIED : AWS_S3_REQUEST_TIME_TOO_SKEWED,
            claim->is_presigned
                ? "Request has expired"
                : "The difference between the request time and the server's time is too "
                  "large.");
    return 0;
}

int auth_begin_s3(struct auth *auth, struct http_request *request, struct auth_ticket *ret_ticket,
                  struct aws_error *error)
{
    struct error err = {0};
    struct sigv4_request what = signed_request(request);
    ret_ticket->is_proven = false;
    if (sigv4_parse(&what, &ret_ticket->claim, &err) < 0)
        return s3_refuse_claim(auth, error, &err);
    const struct sigv4_claim *claim = &ret_ticket->claim;
    int r = check_key(auth, ret_ticket, error);
    if (r == 0)
        r = s3_check_scope(auth, ret_ticket, error);
    if (r < 0)
        return r;
    struct str hash = claim->is_presigned ? STR(SIGV4_UNSIGNED_PAYLOAD) : claim->payload_hash;
    if (!hash.data)
        return s3_refuse(auth, error, AWS_S3_INVALID_REQUEST,
                         "Missing required header for this request: x-amz-content-sha256");
    r = verify(auth, request, ret_ticket, hash, error);
    if (r == 0) {
        ret_ticket->is_proven = true;
        auth->stats.accepted_total++;
    }
    return r;
}

int auth_chunk_signer(struct auth *auth, const struct auth_ticket *ticket,
                      struct chunked_signer *ret_signer, struct aws_error *error)
{
    const struct sigv4_claim *claim = &ticket->claim;
    struct chunked_signer signer = {.seed = claim->signature};
    struct sigv4_key derived = {0};
    struct str secret = ticket_secret(auth, ticket);
    if (!secret.data)
        return refuse_key(auth, error);
    signer.key = *signing_key(auth, ticket, secret, &derived);
    mem_wipe(&derived, sizeof(derived));
    int size = snprintf(signer.scope, sizeof(signer.scope),
                        STR_FORMAT "/" STR_FORMAT "/" STR_FORMAT "/aws4_request",
                        STR_ARGUMENTS(claim->date), STR_ARGUMENTS(claim->region),
                        STR_ARGUMENTS(claim->service));
    if (size < 0 || (size_t) size >= sizeof(signer.scope) ||
        str_copy(claim->time, signer.time, sizeof(signer.time)) < 0)
        return refuse(auth, error, AWS_INCOMPLETE_SIGNATURE, "The signature's scope is malformed.");
    *ret_signer = signer;
    mem_wipe(&signer, sizeof(signer));
    return 0;
}
