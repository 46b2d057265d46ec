// SPDX-License-Identifier: MIT
//
// From a request to what it claims about its signature.

#include "aws/sigv4.h"

#include "base/clock.h"
#include "base/percent.h"

#include <errno.h>

#define ALGORITHM "AWS4-HMAC-SHA256"

static struct str header_of(const struct sigv4_request *request, struct str name, size_t *ret_count)
{
    struct str value = {NULL, 0};
    *ret_count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        if (!str_equal(request->headers[i].name, name))
            continue;
        if ((*ret_count)++ == 0)
            value = request->headers[i].value;
    }
    return value;
}

// One header or none; more is an error, whatever they say.
static int single_header(const struct sigv4_request *request, const char *name,
                         struct str *ret_value, struct error *err)
{
    size_t count;
    *ret_value = header_of(request, str_of(name), &count);
    return count <= 1 ? 0 : error_set(err, -EINVAL, "More than one '%s' header.", name);
}

static bool has_query_signature(const struct sigv4_request *request)
{
    struct str query = request->query, pair;
    while (query.size > 0) {
        (void) str_cut(query, '&', &pair, &query);
        if (str_has_prefix(pair, STR("X-Amz-Algorithm=")) ||
            str_has_prefix(pair, STR("X-Amz-Signature=")) ||
            str_has_prefix(pair, STR("X-Amz-Credential=")))
            return true;
    }
    return false;
}

// Presigned URLs of signature version 2: ?AWSAccessKeyId=...&Expires=...&Signature=...
static bool has_version_2_query(const struct sigv4_request *request)
{
    struct str query = request->query, pair;
    while (query.size > 0) {
        (void) str_cut(query, '&', &pair, &query);
        if (str_has_prefix(pair, STR("AWSAccessKeyId=")))
            return true;
    }
    return false;
}

bool sigv4_is_signed(const struct sigv4_request *request)
{
    size_t count;
    (void) header_of(request, STR("authorization"), &count);
    return count > 0 || has_query_signature(request);
}

// ---- Parts both forms share

static bool is_digits(struct str text, size_t size)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.size == size;
}

static bool is_scope_part(struct str text, size_t size_max)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\')
            return false;
    }
    return text.size > 0 && text.size <= size_max;
}

// key/date/region/service/aws4_request. A key could hold a slash, so it is cut from the end.
static int parse_credential(struct str text, struct sigv4_claim *claim, struct error *err)
{
    struct str parts[5];
    struct str rest = text;
    for (int i = 4; i > 0; i--) {
        ptrdiff_t slash = str_find_last(rest, '/');
        if (slash < 0)
            return error_set(err, -EINVAL,
                             "Credential must have exactly 5 slash-delimited elements, e.g. "
                             "keyid/date/region/service/term, got '" STR_FORMAT "'",
                             STR_ARGUMENTS(str_part(text, 0, 200)));
        parts[i] = str_skip(rest, (size_t) slash + 1);
        rest = str_part(rest, 0, (size_t) slash);
    }
    parts[0] = rest;
    if (!is_scope_part(parts[0], SIGV4_ACCESS_KEY_MAX) || !is_digits(parts[1], 8) ||
        !is_scope_part(parts[2], SIGV4_SCOPE_PART_MAX) ||
        !is_scope_part(parts[3], SIGV4_SCOPE_PART_MAX))
        return error_set(err, -EINVAL, "Credential is malformed.");
    if (!str_equal(parts[4], STR("aws4_request")))
        return error_set(err, -EINVAL,
                         "Credential should be scoped with a valid terminator: 'aws4_request'.");
    claim->access_key = parts[0];
    claim->date = parts[1];
    claim->region = parts[2];
    claim->service = parts[3];
    return 0;
}

// 64 hex digits; a wrong length is malformed, not a mismatch.
static int parse_signature(struct str text, struct sigv4_claim *claim, struct error *err)
{
    if (digest_parse_hex(text, &claim->signature) < 0)
        return error_set(err, -EINVAL, "Signature is not 64 lower-case hexadecimal digits.");
    return 0;
}

static int parse_time(struct str text, struct sigv4_claim *claim, struct error *err)
{
    if (clock_parse_basic(text, &claim->time_s) < 0)
        return error_set(err, -EINVAL,
                         "Date must be in ISO-8601 'basic format'. Got '" STR_FORMAT "'.",
                         STR_ARGUMENTS(str_part(text, 0, 64)));
    claim->time = text;
    if (!str_equal(claim->date, str_part(text, 0, 8)))
        return error_set(
            err, -EINVAL,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of "
            "date from HTTP: '" STR_FORMAT "' != '" STR_FORMAT "', from '" STR_FORMAT "'.",
            STR_ARGUMENTS(claim->date), STR_ARGUMENTS(str_part(text, 0, 8)), STR_ARGUMENTS(text));
    return 0;
}

// ---- What must be signed

static bool is_listed(struct str list, struct str name)
{
    struct str each;
    while (list.size > 0) {
        (void) str_cut(list, ';', &each, &list);
        if (str_equal(each, name))
            return true;
    }
    return false;
}

// Names in lower case, sorted and each once, as the canonical form wants them. A list in another
// order would be signed in another order by some clients and not by others.
static int check_list(struct str list, struct error *err)
{
    struct str each, last = {NULL, 0};
    if (list.size == 0)
        return error_set(err, -EINVAL, "SignedHeaders is empty.");
    while (list.size > 0) {
        bool is_more = str_cut(list, ';', &each, &list);
        bool is_sorted = !last.data || str_compare(last, each) < 0;
        bool is_lower = true;
        for (size_t i = 0; i < each.size; i++)
            is_lower &= !(each.data[i] >= 'A' && each.data[i] <= 'Z') && each.data[i] > 0x20;
        if (each.size == 0 || !is_sorted || !is_lower || (is_more && list.size == 0))
            return error_set(err, -EINVAL,
                             "SignedHeaders must be a sorted list of lower-case names.");
        last = each;
    }
    return 0;
}

// An unsigned x-amz-* header could be added by whoever sees the request, and would change what it
// does. A presigned URL signs what its maker knew: only host and what it lists.
static int check_signed(const struct sigv4_request *request, struct str list, struct error *err)
{
    int r = check_list(list, err);
    if (r < 0)
        return r;
    if (!is_listed(list, STR("host")))
        return error_set(err, -EBADMSG,
                         "'Host' must be a 'SignedHeader' in the AWS Authorization.");
    for (size_t i = 0; i < request->header_count; i++) {
        struct str name = request->headers[i].name;
        if (str_has_prefix(name, STR("x-amz-")) && !is_listed(list, name))
            return error_set(err, -EBADMSG,
                             "'" STR_FORMAT "' must be a 'SignedHeader' in the AWS Authorization.",
                             STR_ARGUMENTS(str_part(name, 0, 64)));
    }
    return 0;
}

// ---- The header form

struct parts {
    struct str credential, signed_headers, signature;
};

static struct str *part_of(struct parts *parts, struct str name)
{
    if (str_equal(name, STR("Credential")))
        return &parts->credential;
    if (str_equal(name, STR("SignedHeaders")))
        return &parts->signed_headers;
    return str_equal(name, STR("Signature")) ? &parts->signature : NULL;
}

// Name=value, separated by commas with or without space, in any order.
static int cut_parts(struct str rest, struct parts *parts, struct error *err)
{
    while (rest.size > 0) {
        struct str each, name, value;
        (void) str_cut(rest, ',', &each, &rest);
        each = str_trim(each);
        if (!str_cut(each, '=', &name, &value))
            return error_set(err, -EINVAL,
                             "'" STR_FORMAT "' not a valid key=value pair (missing equal-sign) in "
                             "Authorization header.",
                             STR_ARGUMENTS(str_part(each, 0, 64)));
        struct str *part = part_of(parts, name);
        if (!part || part->data)
            return error_set(err, -EINVAL, "Unexpected '" STR_FORMAT "' in Authorization header.",
                             STR_ARGUMENTS(str_part(name, 0, 64)));
        *part = value;
    }
    return 0;
}

static int check_parts(const struct parts *parts, struct error *err)
{
    const char *missing[3];
    size_t count = 0;
    if (!parts->credential.data)
        missing[count++] = "Credential";
    if (!parts->signature.data)
        missing[count++] = "Signature";
    if (!parts->signed_headers.data)
        missing[count++] = "SignedHeaders";
    if (count == 0)
        return 0;
    return error_set(err, -EINVAL, "Authorization header requires '%s' parameter.", missing[0]);
}

// X-Amz-Date; curl and old clients may sign `Date` instead, in the same form.
static int header_time(const struct sigv4_request *request, struct str *ret_time, struct error *err)
{
    int r = single_header(request, "x-amz-date", ret_time, err);
    if (r == 0 && !ret_time->data)
        r = single_header(request, "date", ret_time, err);
    if (r == 0 && !ret_time->data)
        r = error_set(
            err, -EINVAL,
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' "
            "header.");
    return r;
}

static int parse_header_form(const struct sigv4_request *request, struct str authorization,
                             struct sigv4_claim *claim, struct error *err)
{
    struct str algorithm, rest, time;
    struct parts parts = {0};
    (void) str_cut(authorization, ' ', &algorithm, &rest);
    if (!str_equal(algorithm, STR(ALGORITHM)))
        return error_set(err, -EPROTONOSUPPORT,
                         "Unsupported signing algorithm '" STR_FORMAT "': use " ALGORITHM ".",
                         STR_ARGUMENTS(str_part(algorithm, 0, 64)));
    int r = cut_parts(rest, &parts, err);
    if (r == 0)
        r = check_parts(&parts, err);
    if (r == 0)
        r = parse_credential(parts.credential, claim, err);
    if (r == 0)
        r = parse_signature(parts.signature, claim, err);
    if (r == 0)
        r = header_time(request, &time, err);
    if (r == 0)
        r = parse_time(time, claim, err);
    if (r == 0)
        r = check_signed(request, parts.signed_headers, err);
    if (r == 0)
        r = single_header(request, "x-amz-security-token", &claim->token, err);
    if (r == 0)
        r = single_header(request, "x-amz-content-sha256", &claim->payload_hash, err);
    claim->signed_headers = parts.signed_headers;
    return r;
}

// ---- The query form

// Decodes into the claim's own memory.
static int decode(struct str value, struct sigv4_claim *claim, struct str *ret_value)
{
    if (value.size > SIGV4_DECODED_MAX - claim->decoded_size)
        return -E2BIG;
    char *to = claim->decoded + claim->decoded_size;
    ptrdiff_t size = percent_decode(value, false, to);
    if (size < 0)
        return (int) size;
    claim->decoded_size += (size_t) size;
    *ret_value = (struct str){to, (size_t) size};
    return 0;
}

struct query_form {
    struct str algorithm, credential, date, expires, signed_headers, signature, token;
};

static struct str *query_part(struct query_form *form, struct str name)
{
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {
        {"X-Amz-Algorithm", offsetof(struct query_form, algorithm)},
        {"X-Amz-Credential", offsetof(struct query_form, credential)},
        {"X-Amz-Date", offsetof(struct query_form, date)},
        {"X-Amz-Expires", offsetof(struct query_form, expires)},
        {"X-Amz-SignedHeaders", offsetof(struct query_form, signed_headers)},
        {"X-Amz-Signature", offsetof(struct query_form, signature)},
        {"X-Amz-Security-Token", offsetof(struct query_form, token)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (str_equal_text(name, rows[i].name))
            return (struct str *) (void *) ((char *) form + rows[i].offset);
    return NULL;
}

static int cut_query(struct str query, struct query_form *form, struct sigv4_claim *claim,
                     struct error *err)
{
    while (query.size > 0) {
        struct str pair, name, value;
        (void) str_cut(query, '&', &pair, &query);
        (void) str_cut(pair, '=', &name, &value);
        struct str *part = query_part(form, name);
        if (!part)
            continue;
        if (part->data)
            return error_set(err, -EINVAL, "More than one '" STR_FORMAT "' in the query.",
                             STR_ARGUMENTS(name));
        if (decode(value, claim, part) < 0)
            return error_set(err, -EINVAL, "'" STR_FORMAT "' in the query is malformed.",
                             STR_ARGUMENTS(name));
    }
    return 0;
}

static int parse_expires(struct str text, struct sigv4_claim *claim, struct error *err)
{
    if (str_to_u64(text, SIGV4_EXPIRES_MAX_S, &claim->expires_s) < 0)
        return error_set(err, -EINVAL, "X-Amz-Expires must be a number of at most %d seconds.",
                         SIGV4_EXPIRES_MAX_S);
    return 0;
}

static int parse_query_form(const struct sigv4_request *request, struct sigv4_claim *claim,
                            struct error *err)
{
    struct query_form form = {0};
    int r = cut_query(request->query, &form, claim, err);
    if (r < 0)
        return r;
    if (!str_equal(form.algorithm, STR(ALGORITHM)))
        return error_set(err, -EPROTONOSUPPORT, "X-Amz-Algorithm must be " ALGORITHM ".");
    if (!form.credential.data || !form.date.data || !form.expires.data ||
        !form.signed_headers.data || !form.signature.data)
        return error_set(err, -EINVAL,
                         "A presigned query requires X-Amz-Credential, X-Amz-Date, X-Amz-Expires, "
                         "X-Amz-SignedHeaders and X-Amz-Signature.");
    claim->is_presigned = true;
    r = parse_credential(form.credential, claim, err);
    if (r == 0)
        r = parse_signature(form.signature, claim, err);
    if (r == 0)
        r = parse_time(form.date, claim, err);
    if (r == 0)
        r = parse_expires(form.expires, claim, err);
    if (r == 0)
        r = check_signed(request, form.signed_headers, err);
    claim->signed_headers = form.signed_headers;
    claim->token = form.token;
    return r;
}

int sigv4_parse(const struct sigv4_request *request, struct sigv4_claim *ret_claim,
                struct error *err)
{
    struct str authorization;
    bool is_query = has_query_signature(request);
    // Not the whole of it: `decoded` is only ever written before it is read.
    memset(ret_claim, 0, offsetof(struct sigv4_claim, decoded));
    ret_claim->decoded_size = 0;
    int r = single_header(request, "authorization", &authorization, err);
    if (r < 0)
        return r;
    if (request->header_count > SIGV4_HEADERS_MAX)
        return error_set(err, -EINVAL, "Too many headers.");
    if (authorization.data && is_query)
        return error_set(err, -EINVAL, "Both a header and the query hold a signature.");
    if (authorization.data)
        return parse_header_form(request, authorization, ret_claim, err);
    if (is_query)
        return parse_query_form(request, ret_claim, err);
    if (has_version_2_query(request))
        return error_set(err, -EPROTONOSUPPORT,
                         "Presigned URLs of signature version 2 are not accepted: use " ALGORITHM
                         " (version 4).");
    return error_set(err, -ENOENT, "Missing Authentication Token");
}
