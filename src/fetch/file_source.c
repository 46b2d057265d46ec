// SPDX-License-Identifier: MIT

#include "fetch/file_source.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNWELL_MAX 64 // file systems are few: SPAWN_FILESYSTEMS_MAX

struct known {
    struct file_stat stat;
    struct digest digest;
    int64_t read_ms; // monotonic
    bool is_settled;
};

struct unwell {
    char filesystem_id[SPAWN_FILESYSTEM_ID_SIZE];
    int64_t until_ms; // the next may ask then
};

struct file_source {
    struct file_channel channel;
    struct store *store;
    pthread_mutex_t lock; // of what follows
    struct map known;     // file_place_key -> struct known
    struct unwell unwell[UNWELL_MAX];
};

int file_source_new(int channel_fd, struct store *store, const atomic_bool *is_ending,
                    struct file_source **ret_source)
{
    struct file_source *source = mem_new(struct file_source);
    if (!source)
        return -ENOMEM;
    source->channel = (struct file_channel){channel_fd, is_ending};
    source->store = store;
    pthread_mutex_init(&source->lock, NULL);
    map_init(&source->known, FILE_KNOWN_MAX);
    *ret_source = source;
    return 0;
}

void file_source_free(struct file_source *source)
{
    if (!source)
        return;
    map_done(&source->known, free);
    pthread_mutex_destroy(&source->lock);
    free(source);
}

void file_place_key(const struct file_place *place, char key[FILE_KEY_SIZE])
{
    (void) snprintf(key, FILE_KEY_SIZE, "%s:%s%s/%s", place->use.filesystem_id,
                    place->use.root[0] ? "/" : "", place->use.root, place->path);
}

// ---- What is known

static bool is_same(const struct file_stat *left, const struct file_stat *right)
{
    bool is_same_times = left->size == right->size && left->mtime_ns == right->mtime_ns &&
                         left->ctime_ns == right->ctime_ns;
    // sshfs numbers its files anew whenever it forgot them.
    return is_same_times &&
           (left->is_foreign || (left->inode == right->inode && left->device == right->device));
}

// A clock of the server that is ahead of ours makes a file young for ever: then only waiting helps.
static int64_t age_ms(const struct file_stat *stat)
{
    return clock_wall_ms() - stat->mtime_ns / CLOCK_NS_PER_MS;
}

static bool known_get(struct file_source *source, const char *key, struct known *ret_known)
{
    pthread_mutex_lock(&source->lock);
    const struct known *known = map_get_text(&source->known, key);
    if (known)
        *ret_known = *known;
    pthread_mutex_unlock(&source->lock);
    return known != NULL;
}

static void known_put(struct file_source *source, const char *key, const struct known *known)
{
    void *old = NULL;
    struct known *copy = mem_copy(known, sizeof(*known));
    pthread_mutex_lock(&source->lock);
    if (map_count(&source->known) >= FILE_KNOWN_MAX && !map_get_text(&source->known, key)) {
        map_done(&source->known, free);
        map_init(&source->known, FILE_KNOWN_MAX);
    }
    if (copy && map_replace(&source->known, str_of(key), copy, &old) < 0)
        free(copy);
    free(old);
    pthread_mutex_unlock(&source->lock);
}

void file_source_forget(struct file_source *source, const struct file_place *place)
{
    char key[FILE_KEY_SIZE];
    file_place_key(place, key);
    pthread_mutex_lock(&source->lock);
    free(map_remove(&source->known, str_of(key)));
    pthread_mutex_unlock(&source->lock);
}

// ---- File systems that do not answer

static struct unwell *unwell_find(struct file_source *source, const char *filesystem_id)
{
    for (size_t i = 0; i < UNWELL_MAX; i++)
        if (strcmp(source->unwell[i].filesystem_id, filesystem_id) == 0)
            return &source->unwell[i];
    return NULL;
}

// Whoever comes when the time is over asks for all the others, too.
static bool may_ask(struct file_source *source, const char *filesystem_id)
{
    pthread_mutex_lock(&source->lock);
    struct unwell *unwell = unwell_find(source, filesystem_id);
    bool may = !unwell || clock_monotonic_ms() >= unwell->until_ms;
    if (unwell && may)
        unwell->until_ms = clock_monotonic_ms() + FILE_JOB_STALL_S * 1000;
    pthread_mutex_unlock(&source->lock);
    return may;
}

static void told(struct file_source *source, const char *filesystem_id, int code)
{
    pthread_mutex_lock(&source->lock);
    struct unwell *unwell = unwell_find(source, filesystem_id);
    if (code == -ETIMEDOUT) {
        if (!unwell)
            unwell = unwell_find(source, "");
        if (unwell) {
            memcpy(unwell->filesystem_id, filesystem_id, sizeof(unwell->filesystem_id));
            unwell->until_ms = clock_monotonic_ms() + FILE_UNWELL_MS;
        }
    } else if (unwell && code != -EAGAIN && code != -ECANCELED) {
        *unwell = (struct unwell){0};
    }
    pthread_mutex_unlock(&source->lock);
}

// ---- Reading

static int take(void *arg, const void *data, size_t size, struct error *err)
{
    return store_file_write(arg, data, size, err);
}

static int again(struct file_question *question, int64_t after_ms)
{
    question->again_ms = after_ms;
    return FILE_AGAIN;
}

static int read_whole(struct file_source *source, const struct file_place *place,
                      struct file_question *question, struct store_file *file, struct error *err)
{
    bool is_whole = false;
    int r = file_read(&source->channel, place, take, file, &question->seen, &is_whole, err);
    if (r < 0)
        return r;
    if (is_whole)
        return store_file_finish(file, err);
    if (++question->torn < FILE_TORN_MAX)
        return again(question, FILE_TORN_PAUSE_MS * question->torn);
    return error_set(err, -ESTALE, "%s:%s%s/%.300s: it was written to each time while it was read",
                     place->use.filesystem_id, place->use.root[0] ? "/" : "", place->use.root,
                     place->path);
}

// Young before the first byte was read: another content may have come within the same tick.
static int read_now(struct file_source *source, const struct file_place *place, const char *key,
                    struct file_question *question, bool is_settled, struct error *err)
{
    const struct file_stat looked = question->seen;
    struct store_file *file = NULL;
    int r = store_file_new(source->store, &file, err);
    if (r == 0)
        r = read_whole(source, place, question, file, err);
    if (r != 0) {
        store_file_free(file);
        return r;
    }
    const struct known known = {.stat = question->seen,
                                .digest = store_file_digest(file),
                                .read_ms = clock_monotonic_ms(),
                                .is_settled = is_settled && is_same(&question->seen, &looked)};
    known_put(source, key, &known);
    question->staged = file;
    question->digest = known.digest;
    question->bytes = store_file_bytes(file);
    return 0;
}

// ---- Looking

static void answer_known(struct file_question *question, const struct known *known)
{
    question->digest = known->digest;
    question->bytes = known->stat.size;
}

static int look(struct file_source *source, const struct file_place *place,
                struct file_question *question, struct error *err)
{
    char key[FILE_KEY_SIZE];
    struct known known;
    struct file_stat stat;
    int64_t now_ms = clock_monotonic_ms();
    int r = file_look(&source->channel, place, &stat, err);
    if (r < 0)
        return r;
    bool was_seen = question->began_ms != 0 && is_same(&stat, &question->seen);
    if (question->began_ms == 0)
        question->began_ms = now_ms;
    question->seen = stat;
    question->is_in_place = stat.is_immutable;
    question->bytes = stat.size;
    if (stat.is_immutable)
        return 0;
    file_place_key(place, key);
    bool is_known = known_get(source, key, &known) && is_same(&stat, &known.stat);
    if (is_known && (known.is_settled || now_ms - known.read_ms < FILE_SETTLE_MS)) {
        answer_known(question, &known);
        return 0;
    }
    int64_t age = age_ms(&stat);
    bool is_settled = age >= FILE_SETTLE_MS || is_known || was_seen;
    bool may_wait = stat.is_foreign && now_ms - question->began_ms < FILE_WAIT_MAX_MS;
    if (!is_settled && may_wait)
        return again(question, age >= 0 ? FILE_SETTLE_MS - age : FILE_SETTLE_MS);
    return read_now(source, place, key, question, is_settled, err);
}

int file_source_look(struct file_source *source, const struct file_place *place,
                     struct file_question *question, struct error *err)
{
    const char *id = place->use.filesystem_id;
    if (!may_ask(source, id))
        return error_set(err, -ETIMEDOUT, "%s: it did not answer in time a moment ago", id);
    int r = look(source, place, question, err);
    told(source, id, r);
    return r;
}
