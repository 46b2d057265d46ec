// SPDX-License-Identifier: MIT

#include "api/users.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "meta/registry.h"

#include <errno.h>

#define KIND "user"
#define VALUE_BYTES_MAX (64 * 1024)

struct users {
    struct registry *registry; // borrowed
    struct auth *auth;         // borrowed
    struct user **list;        // in the order of names
    size_t count;
    size_t adding; // of new users: on their way to the disk, and not in the list yet
};

// A change on its way to the disk. The memory is changed when it is there.
struct pending {
    struct users *users;
    struct user *user; // owned; NULL: a deletion, or handed over
    bool is_deletion;
    bool is_addition; // one of users->adding
    char name[USER_NAME_MAX + 1];
    char secret[CREDENTIALS_SECRET_MAX + 1]; // of the user's key
    users_done done;
    void *arg;
};

static void user_free(struct user *user)
{
    if (!user)
        return;
    free(user->policy_text);
    policy_free(user->policy);
    free(user);
}

static void pending_free(struct pending *pending)
{
    user_free(pending->user);
    mem_wipe(pending->secret, sizeof(pending->secret));
    free(pending);
}

bool users_is_name(struct str name)
{
    if (name.size == 0 || name.size > USER_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_word = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!is_word && (c == '\0' || !strchr("+=,.@_-", c)))
            return false;
    }
    return true;
}

// ---- the table

// Where the name is, or would be.
static size_t place_of(const struct users *users, struct str name, bool *ret_is_there)
{
    size_t i = 0;
    int order = 1;
    while (i < users->count && (order = str_compare(str_of(users->list[i]->name), name)) < 0)
        i++;
    *ret_is_there = i < users->count && order == 0;
    return i;
}

const struct user *users_by_name(const struct users *users, struct str name)
{
    bool is_there;
    size_t i = place_of(users, name, &is_there);
    return is_there ? users->list[i] : NULL;
}

const struct user *users_by_key(const struct users *users, struct str access_key)
{
    for (size_t i = 0; i < users->count; i++)
        if (str_equal_text(access_key, users->list[i]->access_key))
            return users->list[i];
    return NULL;
}

const struct user *users_at(const struct users *users, size_t index)
{
    return index < users->count ? users->list[index] : NULL;
}

// Takes the user, in the place of one of the same name.
static int insert(struct users *users, struct user *user)
{
    bool is_there;
    size_t i = place_of(users, str_of(user->name), &is_there);
    if (is_there) {
        if (strcmp(users->list[i]->access_key, user->access_key) != 0) // two were made at once
            auth_remove_key(users->auth, users->list[i]->access_key);
        user_free(users->list[i]);
        users->list[i] = user;
        return 0;
    }
    struct user **list = realloc(users->list, (users->count + 1) * sizeof(struct user *));
    if (!list)
        return -ENOMEM;
    users->list = list;
    memmove(list + i + 1, list + i, (users->count - i) * sizeof(struct user *));
    list[i] = user;
    users->count++;
    return 0;
}

// The user is the caller's from now on, and its key is refused; NULL if there is none.
static struct user *take_user(struct users *users, struct str name)
{
    bool is_there;
    size_t i = place_of(users, name, &is_there);
    if (!is_there)
        return NULL;
    struct user *user = users->list[i];
    auth_remove_key(users->auth, user->access_key);
    users->count--;
    memmove(users->list + i, users->list + i + 1, (users->count - i) * sizeof(struct user *));
    return user;
}

// ---- rows

static int read_row(yyjson_val *root, struct user *user, char secret[CREDENTIALS_SECRET_MAX + 1],
                    struct error *err)
{
    struct str key, hidden, text;
    if (json_member_str(root, "access_key_id", &key) < 0 ||
        json_member_str(root, "secret_access_key", &hidden) < 0 ||
        json_member_str(root, "policy", &text) < 0 ||
        json_member_i64(root, "created_ms", 0, INT64_MAX, &user->created_ms) < 0 ||
        str_copy(key, user->access_key, sizeof(user->access_key)) < 0 ||
        str_copy(hidden, secret, CREDENTIALS_SECRET_MAX + 1) < 0)
        return error_set(err, -EUCLEAN, "the row is not a user's");
    user->policy_text = str_copy_heap(text);
    if (!user->policy_text)
        return error_set(err, -ENOMEM, "no memory for a user");
    return policy_parse(text, &user->policy, err);
}

static int load_row(struct users *users, struct user *user, struct str value, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    char secret[CREDENTIALS_SECRET_MAX + 1];
    int r = json_parse(value, VALUE_BYTES_MAX, &doc, err);
    if (r == 0)
        r = read_row(yyjson_doc_get_root(doc), user, secret, err);
    if (r < 0)
        return r;
    r = auth_add_key(users->auth, user->access_key, secret);
    mem_wipe(secret, sizeof(secret));
    return r < 0 ? error_set_errno(err, r, "know the key") : 0;
}

struct loading {
    struct users *users;
    struct error *err;
};

static int visit_row(void *arg, const char *key, struct str value, int64_t revision)
{
    struct loading *loading = arg;
    struct user *user = mem_new(struct user);
    (void) revision;
    if (!user)
        return error_set(loading->err, -ENOMEM, "no memory for a user");
    int r = str_copy(str_of(key), user->name, sizeof(user->name));
    if (r == 0)
        r = load_row(loading->users, user, value, loading->err);
    if (r == 0)
        r = insert(loading->users, user);
    if (r < 0)
        user_free(user);
    if (r == -E2BIG) { // the others must not suffer: without a key, this one has no rights
        log_warn("api.user_skipped", "user=%.64s most=%d", key, AUTH_KEYS_MAX);
        return 0;
    }
    return r < 0 ? error_wrap(loading->err, r, "user '%.64s'", key) : 0;
}

int users_new(struct registry *registry, struct auth *auth, struct users **ret_users,
              struct error *err)
{
    struct users *users = mem_new(struct users);
    if (!users)
        return error_set(err, -ENOMEM, "no memory for the users");
    users->registry = registry;
    users->auth = auth;
    struct loading loading = {users, err};
    int r = registry_list(registry, KIND, visit_row, &loading, err);
    if (r < 0) {
        users_free(users);
        return r;
    }
    *ret_users = users;
    return 0;
}

void users_free(struct users *users)
{
    if (!users)
        return;
    for (size_t i = 0; i < users->count; i++)
        user_free(users->list[i]);
    free(users->list);
    free(users);
}

// ---- changes

// The row of a user whose key is `secret`'s.
static int write_row(struct buf *row, const struct user *user, struct str secret)
{
    buf_append_text(row, "{\"access_key_id\":");
    json_append_string(row, str_of(user->access_key));
    buf_append_text(row, ",\"secret_access_key\":");
    json_append_string(row, secret);
    buf_printf(row, ",\"created_ms\":%lld,\"policy\":", (long long) user->created_ms);
    json_append_string(row, str_of(user->policy_text));
    buf_append_byte(row, '}');
    return buf_status(row);
}

static int apply_put(struct pending *pending)
{
    struct users *users = pending->users;
    struct user *user = pending->user;
    // A change of an existing user, too: what was committed in between may have taken its key away.
    bool is_known = auth_secret(users->auth, str_of(user->access_key)).data;
    int r = 0;
    if (!is_known)
        r = pending->secret[0] ? auth_add_key(users->auth, user->access_key, pending->secret)
                               : -ENOKEY;
    if (r == 0)
        r = insert(users, user);
    if (r == 0)
        pending->user = NULL;
    return r;
}

// It is still on the disk: without this it could not be deleted again, and would be back after the next start.
static void restore_deleted(struct pending *pending)
{
    struct users *users = pending->users;
    if (pending->user && !users_by_name(users, str_of(pending->name)) &&
        auth_add_key(users->auth, pending->user->access_key, pending->secret) == 0 &&
        insert(users, pending->user) == 0)
        pending->user = NULL;
}

static void committed(void *arg, const struct registry_result *result)
{
    struct pending *pending = arg;
    struct error err = {0};
    const struct error *told = result->err;
    if (pending->is_addition)
        pending->users->adding--;
    if (!told && pending->user && !pending->is_deletion) {
        int r = apply_put(pending);
        if (r < 0) { // on the disk, and known after the next start
            (void) error_set_errno(&err, r, "user '%s'", pending->name);
            told = &err;
        }
    }
    if (!told && pending->is_deletion) // again: a change before this one may have put it back
        user_free(take_user(pending->users, str_of(pending->name)));
    else if (pending->is_deletion)
        restore_deleted(pending);
    pending->done(pending->arg, told);
    pending_free(pending);
}

static struct user *user_new(struct str name, struct str text, const struct user *before)
{
    struct user *user = mem_new(struct user);
    if (!user)
        return NULL;
    user->policy_text = str_copy_heap(text);
    if (!user->policy_text || str_copy(name, user->name, sizeof(user->name)) < 0) {
        user_free(user);
        return NULL;
    }
    user->created_ms = before ? before->created_ms : clock_wall_ms();
    if (before)
        memcpy(user->access_key, before->access_key, sizeof(user->access_key));
    return user;
}

// Submits the change; the pending change is taken, also on failure.
static int submit(struct pending *pending)
{
    AUTO_BUF struct buf row = BUF_INIT(VALUE_BYTES_MAX);
    int r = write_row(&row, pending->user, str_of(pending->secret));
    if (r == 0)
        r = registry_put(pending->users->registry, KIND, pending->name, buf_str(&row), REGISTRY_ANY,
                         committed, pending);
    if (row.data)
        mem_wipe(row.data, row.size);
    if (r < 0)
        pending_free(pending);
    return r;
}

int users_put(struct users *users, struct str name, struct str text, struct policy *policy,
              struct credentials *ret_credentials, bool *ret_is_new, users_done done, void *arg)
{
    const struct user *before = users_by_name(users, name);
    struct pending *pending = mem_new(struct pending);
    struct user *user = user_new(name, text, before);
    // What was accepted is written, and the next start must find room for it.
    bool is_full = !before && users->count + users->adding >= AUTH_KEYS_MAX;
    if (!pending || !user || is_full) {
        int r = !pending || !user ? -ENOMEM : -E2BIG;
        policy_free(policy);
        user_free(user);
        free(pending);
        return r;
    }
    user->policy = policy;
    *pending = (struct pending){.users = users, .user = user, .done = done, .arg = arg};
    memcpy(pending->name, user->name, sizeof(pending->name));
    *ret_is_new = !before;
    if (before) {
        struct str secret = auth_secret(users->auth, str_of(before->access_key));
        (void) !str_copy(secret, pending->secret, sizeof(pending->secret)); // came from one as long
    } else {
        credentials_generate(ret_credentials);
        memcpy(user->access_key, ret_credentials->access_key, sizeof(user->access_key));
        memcpy(pending->secret, ret_credentials->secret, sizeof(pending->secret));
    }
    pending->is_addition = !before;
    users->adding += !before;
    int r = submit(pending);
    if (r < 0)
        users->adding -= *ret_is_new;
    return r;
}

int users_delete(struct users *users, struct str name, users_done done, void *arg)
{
    const struct user *user = users_by_name(users, name);
    if (!user)
        return -ENOENT;
    struct pending *pending = mem_new(struct pending);
    if (!pending)
        return -ENOMEM;
    *pending = (struct pending){.users = users, .is_deletion = true, .done = done, .arg = arg};
    (void) !str_copy(name, pending->name, sizeof(pending->name));
    (void) !str_copy(auth_secret(users->auth, str_of(user->access_key)), pending->secret,
                     sizeof(pending->secret)); // came from one as long
    int r = registry_delete(users->registry, KIND, pending->name, REGISTRY_ANY, committed, pending);
    if (r < 0)
        pending_free(pending);
    else // from now on, whether the disk is quick or not
        pending->user = take_user(users, name);
    return r;
}
