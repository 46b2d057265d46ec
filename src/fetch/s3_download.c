// SPDX-License-Identifier: MIT

#include "fetch/s3_download.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define HASH_BLOCK ((size_t) 256 * 1024)
#define POLL_MS 100
#define MEASURE_MS 150
#define CONNECTIONS_STEP 4
// More connections are opened as long as the last ones brought at least this much more.
#define GAIN_PERCENT 10
#define DOWNLOAD_BESIDE_MAX 8 // more than there are threads that fetch

struct download;

// One connection, with the range that it fetches.
struct lane {
    struct download *download;
    struct s3_exchange exchange;
    bool is_busy;    // in the multi handle
    bool is_waiting; // for its next try, at `again_ms`
    bool is_checked; // the answer's head is the one that was asked for
    size_t range;
    uint64_t at, end;
    char *block; // DOWNLOAD_BLOCK_BYTES; owned. What came, up to `at`, and is not in the file yet
    size_t held;
    uint32_t crc;         // of what is in the file of the range: the map's
    uint32_t crc_of_body; // and the store's kind of CRC, where it told one
    unsigned tries;
    int64_t again_ms;
};

// The digest, in order behind the ranges.
struct hasher {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    size_t ready; // ranges 0 .. ready-1 are there
    bool is_over; // no more will come
    int code;
    struct digest digest;
};

struct download {
    const struct s3_download_spec *spec;
    struct store_partial *partial;
    CURLM *multi;
    struct lane lanes[DOWNLOAD_CONNECTIONS_MAX];
    size_t lane_count; // initialised
    size_t lanes_wanted;
    size_t next;    // range to look at for starting
    size_t open;    // lanes busy or waiting
    size_t ready;   // ranges 0 .. ready-1 are there
    bool has_crc;   // the store told the CRC-32 of the whole, and no SHA-256
    uint32_t *crcs; // of that kind, of each range
    uint64_t fetched;
    int64_t began_ns;
    // how fast it went lately
    int64_t measured_ms;
    uint64_t measured_bytes;
    double best_rate;
    struct hasher hasher;
    struct error *err;
};

static uint64_t object_bytes(const struct download *download)
{
    return download->spec->head->bytes;
}

static const char *object_name(const struct download *download)
{
    return download->spec->place->name;
}

// ---- The digest's thread

static int hash_range(const struct download *download, struct digest_stream *stream, size_t range,
                      void *block)
{
    uint64_t at = range * DOWNLOAD_RANGE_BYTES, bytes = object_bytes(download);
    uint64_t end = at + DOWNLOAD_RANGE_BYTES < bytes ? at + DOWNLOAD_RANGE_BYTES : bytes;
    while (at < end) {
        size_t want = end - at < HASH_BLOCK ? (size_t) (end - at) : HASH_BLOCK;
        ssize_t n = pread(store_partial_fd(download->partial), block, want, (off_t) at);
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        digest_update(stream, block, (size_t) n);
        at += (uint64_t) n;
    }
    return 0;
}

// How many ranges are there, once it is more than `have`; fewer only at the end.
static size_t hasher_wait(struct hasher *hasher, size_t have)
{
    pthread_mutex_lock(&hasher->lock);
    while (hasher->ready <= have && !hasher->is_over)
        pthread_cond_wait(&hasher->more, &hasher->lock);
    size_t ready = hasher->ready;
    pthread_mutex_unlock(&hasher->lock);
    return ready;
}

static void *hasher_run(void *arg)
{
    struct download *download = arg;
    struct hasher *hasher = &download->hasher;
    AUTO_DIGEST struct digest_stream stream;
    AUTO_FREE void *block = malloc(HASH_BLOCK);
    size_t done = 0, ready;
    digest_stream_init(&stream);
    hasher->code = block ? 0 : -ENOMEM;
    while (hasher->code == 0 && (ready = hasher_wait(hasher, done)) > done)
        for (; hasher->code == 0 && done < ready; done++)
            hasher->code = hash_range(download, &stream, done, block);
    hasher->digest = digest_finish(&stream);
    return NULL;
}

static void hasher_tell(struct hasher *hasher, size_t ready, bool is_over)
{
    pthread_mutex_lock(&hasher->lock);
    hasher->ready = ready;
    hasher->is_over |= is_over;
    pthread_cond_signal(&hasher->more);
    pthread_mutex_unlock(&hasher->lock);
}

static int hasher_start(struct download *download, struct error *err)
{
    struct hasher *hasher = &download->hasher;
    pthread_mutex_init(&hasher->lock, NULL);
    pthread_cond_init(&hasher->more, NULL);
    int r = pthread_create(&hasher->thread, NULL, hasher_run, download);
    return r ? error_set_errno(err, -r, "start the thread of a digest") : 0;
}

static int hasher_join(struct download *download)
{
    struct hasher *hasher = &download->hasher;
    hasher_tell(hasher, hasher->ready, true);
    pthread_join(hasher->thread, NULL);
    pthread_cond_destroy(&hasher->more);
    pthread_mutex_destroy(&hasher->lock);
    return hasher->code;
}

// ---- What comes

static int lane_check(struct lane *lane)
{
    const struct s3_answer *answer = &lane->exchange.answer;
    const struct download *download = lane->download;
    if (answer->status != 206)
        return error_set(download->err, -EPROTO,
                         "%s: %s answered %ld to a range: it serves no parts",
                         object_name(download), download->spec->place->host, answer->status);
    if (!answer->has_range || answer->first != lane->at || answer->last + 1 != lane->end ||
        answer->total != object_bytes(download))
        return error_set(download->err, -EPROTO,
                         "%s: %s answered with another range than was asked for",
                         object_name(download), download->spec->place->host);
    lane->is_checked = true;
    return 0;
}

// curl gives 16 KiB at a time. The page cache takes what one write brings in the largest pages that fit, which costs less to
// write, to hash and to map.
static int lane_flush(struct lane *lane)
{
    struct download *download = lane->download;
    int r = store_partial_write(download->partial, lane->at - lane->held, lane->block, lane->held,
                                download->err);
    lane->crc = crc32c(lane->crc, lane->block, lane->held);
    if (download->has_crc)
        lane->crc_of_body =
            (uint32_t) crc32(lane->crc_of_body, (const Bytef *) lane->block, (uInt) lane->held);
    lane->held = 0;
    return r;
}

static int lane_take(void *arg, const void *data, size_t size)
{
    struct lane *lane = arg;
    struct download *download = lane->download;
    const char *from = data;
    int r = lane->is_checked ? 0 : lane_check(lane);
    if (r == 0 && size > lane->end - lane->at)
        r = error_set(download->err, -EPROTO, "%s: %s sent more than the range",
                      object_name(download), download->spec->place->host);
    while (r == 0 && size > 0) {
        size_t room = DOWNLOAD_BLOCK_BYTES - lane->held, n = size < room ? size : room;
        memcpy(lane->block + lane->held, from, n);
        lane->held += n;
        lane->at += n;
        download->fetched += n;
        from += n;
        size -= n;
        if (lane->held == DOWNLOAD_BLOCK_BYTES || lane->at == lane->end)
            r = lane_flush(lane);
    }
    return r;
}

// ---- Lanes

static int lane_begin(struct lane *lane)
{
    struct download *download = lane->download;
    struct s3_exchange *exchange = &lane->exchange;
    lane->is_checked = false;
    lane->is_waiting = false;
    (void) snprintf(exchange->range, sizeof(exchange->range), "bytes=%llu-%llu",
                    (unsigned long long) lane->at, (unsigned long long) lane->end - 1);
    memcpy(exchange->if_match, download->spec->head->etag, sizeof(exchange->if_match));
    int r = s3_exchange_begin(exchange, download->err);
    if (r < 0)
        return r;
    if (curl_multi_add_handle(download->multi, exchange->easy) != CURLM_OK)
        return error_set(download->err, -ENOMEM, "%s: no memory for a request",
                         object_name(download));
    lane->is_busy = true;
    return 0;
}

static struct lane *lane_free(struct download *download)
{
    for (size_t i = 0; i < download->lane_count; i++)
        if (!download->lanes[i].is_busy && !download->lanes[i].is_waiting)
            return &download->lanes[i];
    if (download->lane_count == DOWNLOAD_CONNECTIONS_MAX)
        return NULL;
    struct lane *lane = &download->lanes[download->lane_count];
    lane->block = malloc(DOWNLOAD_BLOCK_BYTES);
    if (!lane->block)
        return NULL;
    if (s3_exchange_init(&lane->exchange, download->spec->place, download->err) < 0) {
        free(TAKE_PTR(lane->block));
        return NULL;
    }
    lane->download = download;
    lane->exchange.sink = lane_take;
    lane->exchange.arg = lane;
    download->lane_count++;
    return lane;
}

static int lane_start(struct download *download, size_t range)
{
    struct lane *lane = lane_free(download);
    uint64_t bytes = object_bytes(download);
    if (!lane)
        return error_set(download->err, -ENOMEM, "%s: no memory for a connection",
                         object_name(download));
    lane->range = range;
    lane->at = range * DOWNLOAD_RANGE_BYTES;
    lane->end = lane->at + DOWNLOAD_RANGE_BYTES < bytes ? lane->at + DOWNLOAD_RANGE_BYTES : bytes;
    lane->held = 0;
    lane->crc = 0;
    lane->crc_of_body = (uint32_t) crc32(0, NULL, 0);
    lane->tries = 0;
    download->open++;
    return lane_begin(lane);
}

static void ready_advance(struct download *download)
{
    size_t count = store_partial_ranges(download->partial), before = download->ready;
    while (download->ready < count && store_partial_has(download->partial, download->ready))
        download->ready++;
    if (download->ready > before)
        hasher_tell(&download->hasher, download->ready, false);
}

static int lane_complete(struct lane *lane)
{
    struct download *download = lane->download;
    download->open--;
    download->crcs[lane->range] = lane->crc_of_body;
    int r = store_partial_mark(download->partial, lane->range, lane->crc, download->err);
    if (r == 0)
        ready_advance(download);
    return r;
}

static bool is_worth_another_try(int code)
{
    return code == -EAGAIN || code == -EHOSTUNREACH;
}

// Not at once, and not all at the same moment.
static void lane_retry(struct lane *lane)
{
    int64_t pause_ms = (int64_t) DOWNLOAD_PAUSE_MS << lane->tries;
    lane->is_waiting = true;
    lane->again_ms = clock_monotonic_ms() + pause_ms + (int64_t) (lane->range % 16) * 3;
}

static int lane_ended(struct lane *lane, CURLcode code)
{
    struct download *download = lane->download;
    struct error err = {0};
    lane->is_busy = false;
    curl_multi_remove_handle(download->multi, lane->exchange.easy);
    if (lane->exchange.sink_code < 0 && download->err->code < 0)
        return download->err->code; // lane_take has said it; else the body of an error was too long
    int r = s3_exchange_judge(&lane->exchange, code, &err);
    if (r == 0 && lane->at == lane->end)
        return lane_complete(lane);
    if (r == 0)
        r = lane->exchange.answer.status == 206
                ? error_set(&err, -EAGAIN, "%s: an answer was shorter than it said",
                            object_name(download))
                : lane_check(lane);
    if (is_worth_another_try(r) && ++lane->tries < DOWNLOAD_TRIES_MAX) {
        lane_retry(lane);
        return 0;
    }
    if (err.code)
        *download->err = err;
    if (r == -ESTALE)
        return error_set(download->err, r,
                         "%s: PreconditionFailed: the object was changed while it "
                         "was fetched",
                         object_name(download));
    return r;
}

// ---- The loop

static int lanes_fill(struct download *download)
{
    size_t count = store_partial_ranges(download->partial);
    int64_t now_ms = clock_monotonic_ms();
    int r = 0;
    for (size_t i = 0; r == 0 && i < download->lane_count; i++)
        if (download->lanes[i].is_waiting && download->lanes[i].again_ms <= now_ms)
            r = lane_begin(&download->lanes[i]);
    while (r == 0 && download->open < download->lanes_wanted && download->next < count) {
        size_t range = download->next++;
        if (!store_partial_has(download->partial, range))
            r = lane_start(download, range);
    }
    return r;
}

static int messages_read(struct download *download)
{
    CURLMsg *message;
    int left, r = 0;
    while (r == 0 && (message = curl_multi_info_read(download->multi, &left)) != NULL) {
        struct s3_exchange *exchange = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; // the message goes with its handle
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &exchange);
        r = lane_ended(container_of(exchange, struct lane, exchange), code);
    }
    return r;
}

static void lanes_adapt(struct download *download)
{
    int64_t now_ms = clock_monotonic_ms(), passed_ms = now_ms - download->measured_ms;
    if (passed_ms < MEASURE_MS)
        return;
    double rate = (double) (download->fetched - download->measured_bytes) / (double) passed_ms;
    bool pays = rate * 100 >= download->best_rate * (100 + GAIN_PERCENT);
    if (pays && download->lanes_wanted + CONNECTIONS_STEP <= DOWNLOAD_CONNECTIONS_MAX)
        download->lanes_wanted += CONNECTIONS_STEP;
    if (rate > download->best_rate)
        download->best_rate = rate;
    download->measured_ms = now_ms;
    download->measured_bytes = download->fetched;
}

static int download_turn(struct download *download)
{
    int running;
    int r = lanes_fill(download);
    if (r < 0)
        return r;
    if (curl_multi_perform(download->multi, &running) != CURLM_OK)
        return error_set(download->err, -EIO, "%s: libcurl failed", object_name(download));
    r = messages_read(download);
    if (r < 0)
        return r;
    lanes_adapt(download);
    if (download->open > 0)
        (void) curl_multi_poll(download->multi, NULL, 0, POLL_MS, NULL);
    return 0;
}

static int download_loop(struct download *download)
{
    const atomic_bool *is_ending = download->spec->is_ending;
    int r = 0;
    download->measured_ms = clock_monotonic_ms();
    ready_advance(download);
    while (r == 0 && download->ready < store_partial_ranges(download->partial)) {
        if (is_ending && atomic_load(is_ending))
            return error_set(download->err, -ECANCELED, "the service is ending");
        r = download_turn(download);
    }
    return r;
}

static void lanes_done(struct download *download)
{
    for (size_t i = 0; i < download->lane_count; i++) {
        if (download->lanes[i].is_busy)
            curl_multi_remove_handle(download->multi, download->lanes[i].exchange.easy);
        s3_exchange_done(&download->lanes[i].exchange);
        free(download->lanes[i].block);
    }
}

static int download_run(struct download *download)
{
    int r = hasher_start(download, download->err);
    if (r < 0)
        return r;
    r = download_loop(download);
    int hashed = hasher_join(download);
    if (r == 0 && hashed < 0)
        r = error_set_errno(download->err, hashed, "%s: read what came", object_name(download));
    lanes_done(download);
    return r;
}

// ---- Checksums of the whole

static bool is_sha256_right(const char *told, const struct digest *digest)
{
    char text[DIGEST_BASE64_SIZE];
    return told[0] == '\0' || strchr(told, '-') || strcmp(told, digest_base64(digest, text)) == 0;
}

static bool is_crc_right(const struct download *download, const char *told)
{
    size_t count = store_partial_ranges(download->partial);
    uint64_t bytes = object_bytes(download);
    uint32_t crc = (uint32_t) crc32(0, NULL, 0);
    char raw[16];
    // Ranges of an earlier process have no CRC here; they were checked when they were opened again.
    bool is_known = download->has_crc && download->fetched == bytes;
    if (!is_known || told[0] == '\0' || strlen(told) != 8 ||
        base64_decode(str_of(told), raw) != (ptrdiff_t) sizeof(crc))
        return true;
    for (size_t i = 0; i < count; i++) {
        uint64_t left = bytes - i * DOWNLOAD_RANGE_BYTES;
        uint64_t size = left < DOWNLOAD_RANGE_BYTES ? left : DOWNLOAD_RANGE_BYTES;
        crc = (uint32_t) crc32_combine(crc, download->crcs[i], (z_off_t) size);
    }
    crc = htonl(crc);
    return memcmp(raw, &crc, sizeof(crc)) == 0;
}

static int download_finish(struct download *download, struct s3_downloaded *ret_downloaded)
{
    const struct s3_head *head = download->spec->head;
    const struct digest *digest = &download->hasher.digest;
    ret_downloaded->network_us = (uint64_t) (clock_monotonic_ns() - download->began_ns) / 1000;
    if (!is_sha256_right(head->sha256, digest) || !is_crc_right(download, head->crc32)) {
        store_partial_drop(TAKE_PTR(download->partial)); // from the beginning, next time
        return error_set(download->err, -EBADMSG,
                         "%s: BadDigest: what came does not have the checksum that the store knows",
                         object_name(download));
    }
    int r = store_partial_finish(download->partial, digest, &ret_downloaded->file, download->err);
    if (r < 0)
        return r;
    ret_downloaded->digest = *digest;
    ret_downloaded->fetched_bytes = download->fetched;
    ret_downloaded->partial = TAKE_PTR(download->partial);
    return 0;
}

// The same object in the same state: whose half is there may be gone on with.
static struct digest partial_key(const struct s3_download_spec *spec, unsigned beside)
{
    AUTO_BUF struct buf text = BUF_INIT((size_t) 16 * 1024);
    buf_printf(&text, "%s %s %s?%s %s", spec->place->origin->endpoint, spec->place->origin->name,
               spec->place->path, spec->place->query, spec->head->etag);
    if (beside)
        buf_printf(&text, " %u", beside);
    return digest_of(text.data, text.size);
}

// Two flights may want the same object (by itself, and beneath a prefix): the second one fetches it
// beside the first, never into the same file.
static int partial_open(struct download *download)
{
    const struct s3_download_spec *spec = download->spec;
    int r = -EBUSY;
    for (unsigned beside = 0; r == -EBUSY && beside < DOWNLOAD_BESIDE_MAX; beside++) {
        struct digest key = partial_key(spec, beside);
        error_clear(download->err);
        r = store_partial_open(spec->store, &key, spec->head->bytes, DOWNLOAD_RANGE_BYTES,
                               &download->partial, download->err);
    }
    if (r == -EBUSY)
        r = error_set(download->err, -EAGAIN, "it is being fetched too often at once");
    return r < 0 ? error_wrap(download->err, r, "%s", spec->place->name) : 0;
}

int s3_download(const struct s3_download_spec *spec, struct s3_downloaded *ret_downloaded,
                struct error *err)
{
    AUTO_FREE struct download *download = mem_new(struct download);
    if (!download)
        return error_set(err, -ENOMEM, "no memory for a download");
    download->spec = spec;
    download->err = err;
    download->began_ns = clock_monotonic_ns();
    download->lanes_wanted = DOWNLOAD_CONNECTIONS_FIRST;
    download->has_crc = spec->head->crc32[0] != '\0' && spec->head->sha256[0] == '\0';
    int r = partial_open(download);
    if (r < 0)
        return r;
    download->crcs = calloc(store_partial_ranges(download->partial) + 1, sizeof(uint32_t));
    download->multi = curl_multi_init();
    if (download->crcs && download->multi) {
        curl_multi_setopt(download->multi, CURLMOPT_MAXCONNECTS, (long) DOWNLOAD_CONNECTIONS_MAX);
        r = download_run(download);
    } else {
        r = error_set(err, -ENOMEM, "no memory for a download");
    }
    if (r == 0)
        r = download_finish(download, ret_downloaded);
    if (download->multi)
        curl_multi_cleanup(download->multi);
    free(download->crcs);
    if (r == -ESTALE || r == -EBADMSG || r == -ENOSPC)
        store_partial_drop(download->partial); // nobody will go on with it
    else
        store_partial_free(download->partial);
    return r;
}
