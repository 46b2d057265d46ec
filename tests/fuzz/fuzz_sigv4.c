// SPDX-License-Identifier: MIT
//
// A signed request whose query, path, Authorization and one more header a stranger chose: parsed and
// verified, never accepted.
//
// Input: four parts, separated by NUL: path, query, Authorization, another header's value.

#include "aws/sigv4.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str parts[4] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}};
    struct str rest = {(const char *) data, size};
    for (size_t i = 0; i < 4; i++)
        (void) str_cut(rest, '\0', &parts[i], &rest);
    struct http_header headers[] = {
        {STR("host"), STR("h")},
        {STR("x-amz-date"), STR("20150830T123600Z")},
        {STR("x-amz-log-type"), parts[3]},
        {STR("authorization"), parts[2]},
    };
    struct sigv4_request request = {
        .method = STR("GET"),
        .path = parts[0],
        .query = parts[1],
        .headers = headers,
        .header_count = parts[2].size > 0 ? 4 : 3,
    };
    struct sigv4_claim claim;
    struct sigv4_key key = {{{1, 2, 3}}};
    struct error err = {0};
    (void) !sigv4_is_signed(&request);
    int r = sigv4_parse(&request, &claim, &err);
    if (r < 0) {
        assert(err.text[0]);
        return 0;
    }
    assert(claim.access_key.size > 0 && claim.access_key.size <= SIGV4_ACCESS_KEY_MAX);
    assert(claim.region.size <= SIGV4_SCOPE_PART_MAX && claim.service.size <= SIGV4_SCOPE_PART_MAX);
    assert(claim.date.size == 8 && claim.time.size == 16);
    (void) !sigv4_check_time(&claim, 1440938160, &err);
    struct sigv4_keys *keys;
    if (sigv4_keys_new(2, &keys) == 0) {
        (void) sigv4_keys_get(keys, &claim, STR("secret"));
        sigv4_keys_free(keys);
    }
    r = sigv4_verify(&request, &claim, STR("UNSIGNED-PAYLOAD"), &key, &err);
    assert(r == -EKEYREJECTED || r == -EINVAL || r == -E2BIG || r == -EBADMSG);

    // What is canonical already stays as it is.
    AUTO_BUF struct buf once = BUF_INIT(SIGV4_CANONICAL_MAX);
    AUTO_BUF struct buf twice = BUF_INIT(SIGV4_CANONICAL_MAX);
    struct sigv4_claim plain = {.service = STR("s3"), .signed_headers = STR("host")};
    request.path = STR("/");
    if (sigv4_canonical_request(&request, &plain, STR(""), &once) < 0)
        return 0;
    struct str query, ignored, all = buf_str(&once);
    (void) str_cut(all, '\n', &ignored, &all);
    (void) str_cut(all, '\n', &ignored, &all);
    (void) str_cut(all, '\n', &query, &all);
    request.query = query;
    if (sigv4_canonical_request(&request, &plain, STR(""), &twice) < 0)
        return 0; // encoded, it may be too long
    assert(str_equal(buf_str(&once), buf_str(&twice)));
    return 0;
}
