// SPDX-License-Identifier: MIT

#include "deploy/prepare_known.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct entry {
    struct digest key;
    struct prepare_record record;
    int64_t used_ms; // monotonic
};

struct prepare_known {
    int dir; // DIR/prepared; owned
    struct entry *entries;
    size_t count, capacity;
};

static struct entry *entry_find(const struct prepare_known *known, const struct digest *key)
{
    for (size_t i = 0; i < known->count; i++)
        if (memcmp(&known->entries[i].key, key, sizeof(*key)) == 0)
            return &known->entries[i];
    return NULL;
}

static void entry_drop(struct prepare_known *known, struct entry *entry)
{
    char hex[DIGEST_HEX_SIZE];
    (void) !unlinkat(known->dir, digest_hex(&entry->key, hex), 0); // else the next start has it
    *entry = known->entries[--known->count];
}

static void make_room(struct prepare_known *known)
{
    struct entry *oldest = NULL;
    for (size_t i = 0; i < known->count; i++) {
        struct entry *entry = &known->entries[i];
        if (!entry->record.has_form && (!oldest || entry->used_ms < oldest->used_ms))
            oldest = entry;
    }
    if (oldest)
        entry_drop(known, oldest);
}

static int grow(struct prepare_known *known)
{
    size_t capacity = known->capacity ? 2 * known->capacity : 16;
    if (known->count == PREPARE_RECORDS_MAX)
        return -ENOMEM;
    if (capacity > PREPARE_RECORDS_MAX)
        capacity = PREPARE_RECORDS_MAX;
    struct entry *grown = reallocarray(known->entries, capacity, sizeof(grown[0]));
    if (!grown)
        return -ENOMEM;
    known->entries = grown;
    known->capacity = capacity;
    return 0;
}

int prepare_known_put(struct prepare_known *known, const struct digest *key,
                      const struct prepare_record *record)
{
    struct entry *entry = entry_find(known, key);
    if (!entry && known->count == PREPARE_RECORDS_MAX)
        make_room(known);
    if (!entry && known->count == known->capacity) {
        int r = grow(known);
        if (r < 0)
            return r;
    }
    if (!entry)
        entry = &known->entries[known->count++];
    *entry = (struct entry){*key, *record, clock_monotonic_ms()};
    return 0;
}

bool prepare_known_find(struct prepare_known *known, const struct digest *key,
                        struct prepare_record *ret_record)
{
    struct entry *entry = entry_find(known, key);
    if (!entry)
        return false;
    entry->used_ms = clock_monotonic_ms();
    *ret_record = entry->record;
    return true;
}

void prepare_known_drop(struct prepare_known *known, const struct digest *key)
{
    struct entry *entry = entry_find(known, key);
    if (entry)
        entry_drop(known, entry);
}

int prepare_known_write(const struct prepare_known *known, const struct digest *key,
                        const struct prepare_record *record, struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    AUTO_BUF struct buf text = BUF_INIT(PREPARE_RECORD_MAX);
    prepare_record_append(&text, record);
    int r = buf_status(&text);
    if (r < 0)
        return error_set(err, r, "no memory for a record");
    return fs_write_atomically(known->dir, digest_hex(key, hex), text.data, text.size, 0644, err);
}

// ---- at start

static void read_record(struct prepare_known *known, const char *name)
{
    struct digest key;
    struct prepare_record record;
    AUTO_BUF struct buf text = BUF_INIT(PREPARE_RECORD_MAX);
    if (digest_parse_hex(str_of(name), &key) == 0 && fs_read_file(known->dir, name, &text) == 0 &&
        prepare_record_read(buf_str(&text), &record) == 0 &&
        prepare_known_put(known, &key, &record) == 0)
        return;
    // Half of a write that was cut short, or of another version.
    log_warn("prepare.record_dropped", "name=%s", LOG_TEXT(name));
    (void) !unlinkat(known->dir, name, 0);
}

static int read_records(struct prepare_known *known, struct error *err)
{
    int copy = openat(known->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        int code = -errno;
        fd_close(copy);
        return error_set_errno(err, code, "list the prepared models");
    }
    for (struct dirent *each; (each = readdir(dir));)
        if (strcmp(each->d_name, ".") != 0 && strcmp(each->d_name, "..") != 0)
            read_record(known, each->d_name);
    closedir(dir);
    return 0;
}

int prepare_known_open(int data_dir_fd, struct prepare_known **ret_known, struct error *err)
{
    struct prepare_known *known = mem_new(struct prepare_known);
    if (!known)
        return error_set(err, -ENOMEM, "no memory for preparations");
    known->dir = fs_make_dir_open(data_dir_fd, "prepared", 0755);
    int r = known->dir < 0 ? error_set_errno(err, known->dir, "open 'prepared'")
                           : read_records(known, err);
    if (r < 0) {
        prepare_known_close(known);
        return r;
    }
    *ret_known = known;
    return 0;
}

void prepare_known_close(struct prepare_known *known)
{
    if (!known)
        return;
    fd_close(known->dir);
    free(known->entries);
    free(known);
}

// ---- collection

void prepare_known_live(struct prepare_known *known, struct deploy_live *live,
                        bool (*is_used)(void *arg, const struct digest *form), void *arg)
{
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = known->count; i-- > 0;) {
        struct entry *entry = &known->entries[i];
        bool is_old = now_ms - entry->used_ms > (int64_t) PREPARE_KEPT_S * 1000;
        if (!entry->record.has_form)
            continue;
        if (is_old && !is_used(arg, &entry->record.form))
            entry_drop(known, entry);
        else
            deploy_live_add(live, NULL, entry->record.form.bytes);
    }
}
