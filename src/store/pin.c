// SPDX-License-Identifier: MIT

#include "store/layout.h"

#include "base/mem.h"

struct store_pin *pin_new(struct store *store)
{
    struct store_pin *pin = mem_new(struct store_pin);
    if (!pin)
        return NULL;
    pin->store = store;
    pthread_mutex_lock(&store->pins_lock);
    list_add_last(&store->pins, &pin->link);
    pthread_mutex_unlock(&store->pins_lock);
    return pin;
}

void pin_tree(struct store_pin *pin, const struct digest *tree)
{
    pthread_mutex_lock(&pin->store->pins_lock);
    pin->tree = *tree;
    pin->has_tree = true;
    pthread_mutex_unlock(&pin->store->pins_lock);
}

void pin_blob(struct store_pin *pin, const struct digest *blob)
{
    pthread_mutex_lock(&pin->store->pins_lock);
    pin->blob = *blob;
    pin->has_blob = true;
    pthread_mutex_unlock(&pin->store->pins_lock);
}

void pin_models(struct store_pin *pin, const struct digest *set)
{
    pthread_mutex_lock(&pin->store->pins_lock);
    pin->models = *set;
    pin->has_models = true;
    pthread_mutex_unlock(&pin->store->pins_lock);
}

void store_unpin(struct store_pin *pin)
{
    if (!pin)
        return;
    struct store *store = pin->store;
    pthread_mutex_lock(&store->pins_lock);
    list_remove(&pin->link);
    bool is_kept = store->is_collecting;
    if (is_kept)
        list_add_last(&store->pins_kept, &pin->link);
    pthread_mutex_unlock(&store->pins_lock);
    if (!is_kept)
        free(pin);
}

void store_collect_begin(struct store *store)
{
    pthread_mutex_lock(&store->pins_lock);
    store->is_collecting = true;
    pthread_mutex_unlock(&store->pins_lock);
}

void store_collect_end(struct store *store)
{
    pthread_mutex_lock(&store->pins_lock);
    store->is_collecting = false;
    LIST_FOR_EACH_SAFE (struct store_pin, pin, &store->pins_kept, link) {
        list_remove(&pin->link);
        free(pin);
    }
    pthread_mutex_unlock(&store->pins_lock);
}

void pin_each(struct store *store, void (*visit)(void *arg, const struct store_pin *pin), void *arg)
{
    pthread_mutex_lock(&store->pins_lock);
    LIST_FOR_EACH (struct store_pin, pin, &store->pins, link)
        visit(arg, pin);
    LIST_FOR_EACH (struct store_pin, kept, &store->pins_kept, link)
        visit(arg, kept);
    pthread_mutex_unlock(&store->pins_lock);
}
