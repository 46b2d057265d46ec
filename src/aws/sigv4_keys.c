// SPDX-License-Identifier: MIT
//
// Derived signing keys, and the cache of them.

#include "aws/sigv4.h"

#include "base/mem.h"

#include <errno.h>

static struct digest hmac_step(const struct digest *key, struct str text)
{
    return digest_hmac(key->bytes, sizeof(key->bytes), text.data, text.size);
}

void sigv4_key_derive(struct str secret, struct str date, struct str region, struct str service,
                      struct sigv4_key *ret_key)
{
    char first[4 + 256] = "AWS4";
    size_t size =
        secret.size < 256 ? secret.size : 256; // credentials are shorter by their own limit
    if (size > 0)
        memcpy(first + 4, secret.data, size);
    struct digest key = digest_hmac(first, 4 + size, date.data, date.size);
    mem_wipe(first, sizeof(first));
    key = hmac_step(&key, region);
    key = hmac_step(&key, service);
    ret_key->bytes = hmac_step(&key, STR("aws4_request"));
    mem_wipe(&key, sizeof(key));
}

struct entry {
    uint64_t used; // 0: empty
    size_t name_size;
    char name[SIGV4_ACCESS_KEY_MAX + 8 + 2 * SIGV4_SCOPE_PART_MAX + 3]; // the parts, joined by '/'
    struct sigv4_key key;
};

struct sigv4_keys {
    uint64_t clock;
    size_t count;
    struct entry entries[];
};

int sigv4_keys_new(size_t count_max, struct sigv4_keys **ret_keys)
{
    struct sigv4_keys *keys = calloc(1, sizeof(*keys) + count_max * sizeof(struct entry));
    if (!keys)
        return -ENOMEM;
    keys->count = count_max;
    *ret_keys = keys;
    return 0;
}

void sigv4_keys_forget(struct sigv4_keys *keys)
{
    mem_wipe(keys->entries, keys->count * sizeof(struct entry));
}

void sigv4_keys_free(struct sigv4_keys *keys)
{
    if (!keys)
        return;
    sigv4_keys_forget(keys);
    free(keys);
}

// Parts are free of '/' but for the access key, which comes last.
static size_t make_name(const struct sigv4_claim *claim,
                        char name[sizeof(((struct entry *) 0)->name)])
{
    const struct str parts[] = {claim->date, claim->region, claim->service, claim->access_key};
    size_t size = 0;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        memcpy(name + size, parts[i].data, parts[i].size);
        size += parts[i].size;
        if (i + 1 < ARRAY_SIZE(parts))
            name[size++] = '/';
    }
    return size;
}

const struct sigv4_key *sigv4_keys_get(struct sigv4_keys *keys, const struct sigv4_claim *claim,
                                       struct str secret)
{
    char name[sizeof(((struct entry *) 0)->name)];
    size_t size = make_name(claim, name);
    struct entry *oldest = &keys->entries[0];
    for (size_t i = 0; i < keys->count; i++) {
        struct entry *entry = &keys->entries[i];
        if (entry->used && entry->name_size == size && memcmp(entry->name, name, size) == 0) {
            entry->used = ++keys->clock;
            return &entry->key;
        }
        if (entry->used < oldest->used)
            oldest = entry;
    }
    sigv4_key_derive(secret, claim->date, claim->region, claim->service, &oldest->key);
    memcpy(oldest->name, name, size);
    oldest->name_size = size;
    oldest->used = ++keys->clock;
    return &oldest->key;
}
