// SPDX-License-Identifier: MIT
//
// What a signature costs: parsing and verifying an invocation as boto3 sends it, with the derived
// key cached as laminad caches it; and signing one. Prints JSON, microseconds of this thread's
// processor time (others on the machine do not count), the median of rounds.

#include "aws/sigv4.h"

#include "base/clock.h"

#include <errno.h>

#define ROUNDS 21
#define CALLS 5000

static struct http_header headers[12];
static struct sigv4_request request = {
    .method = {"POST", 4},
    .path = {"/2015-03-31/functions/hello/invocations", 39},
    .headers = headers,
};
static struct sigv4_headers made;
static const struct sigv4_signer signer = {
    .access_key = {"AKIDEXAMPLE234567890", 20},
    .secret = {"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40},
    .region = {"us-east-1", 9},
    .service = {"lambda", 6},
    .wall_s = 1440938160,
};

static void add(const char *name, const char *value)
{
    headers[request.header_count++] = (struct http_header){str_of(name), str_of(value)};
}

static void must(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "bench_sigv4: %s: %d\n", what, r);
    exit(1);
}

static void sign_once(void)
{
    static const struct http_header signed_ones[] = {{{"host", 4}, {"127.0.0.1:4566", 14}}};
    struct sigv4_request plain = request;
    plain.headers = signed_ones;
    plain.header_count = 1;
    must(sigv4_sign(&signer, &plain, NULL, &made, NULL), "sign");
}

static void verify_once(struct sigv4_keys *keys)
{
    struct sigv4_claim claim;
    must(sigv4_parse(&request, &claim, NULL), "parse");
    must(sigv4_verify(&request, &claim, claim.payload_hash,
                      sigv4_keys_get(keys, &claim, signer.secret), NULL),
         "verify");
}

static int64_t spent_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return spent.tv_sec * CLOCK_NS_PER_S + spent.tv_nsec;
}

static int compare(const void *left, const void *right)
{
    double l = *(const double *) left, r = *(const double *) right;
    return (l > r) - (l < r);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), compare);
    return values[ROUNDS / 2];
}

int main(void)
{
    double verify_us[ROUNDS], sign_us[ROUNDS];
    struct sigv4_keys *keys;
    must(sigv4_keys_new(32, &keys), "keys");
    sign_once();
    add("host", "127.0.0.1:4566");
    add("accept-encoding", "identity");
    add("user-agent", "Boto3/1.26.27 Python/3.11.2 Linux/6.1 Botocore/1.29.27");
    add("x-amz-date", made.date);
    add("x-amz-content-sha256", made.payload_hash);
    add("authorization", made.authorization);
    add("content-length", "0");
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start_ns = spent_ns();
        for (int i = 0; i < CALLS; i++)
            verify_once(keys);
        int64_t middle_ns = spent_ns();
        for (int i = 0; i < CALLS; i++)
            sign_once();
        verify_us[round] = (double) (middle_ns - start_ns) / CALLS / 1000;
        sign_us[round] = (double) (spent_ns() - middle_ns) / CALLS / 1000;
    }
    printf("{\"verify_us\": %.3f, \"sign_us\": %.3f}\n", median(verify_us), median(sign_us));
    sigv4_keys_free(keys);
    return 0;
}
