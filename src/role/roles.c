// SPDX-License-Identifier: MIT

#include "role/roles.h"

#include "aws/arn.h"
#include "base/list.h"
#include "base/mem.h"
#include "meta/registry.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define KIND "role"
#define ROW_BYTES_MAX (256 * 1024)

struct roles {
    struct registry *registry; // borrowed
    char *region, *account;
    struct list pending;          // changes on their way to the disk; loop thread only
    size_t adding;                // of them new roles
    pthread_mutex_t lock;         // of list and count
    struct role *list[ROLES_MAX]; // references, in the order of names
    size_t count;
};

// A change on its way to the disk. The table is changed when it is there.
struct pending {
    struct list link;
    struct roles *roles;
    struct role *role; // a reference; NULL: a deletion, or handed over
    bool is_new;
    char name[ROLE_NAME_MAX + 1];
    roles_done done;
    void *arg;
};

// ---- the table

// Where the name is, or would be. The lock is held.
static size_t place_of(const struct roles *roles, struct str name, bool *ret_is_there)
{
    size_t low = 0, high = roles->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_compare(str_of(roles->list[middle]->name), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_is_there = low < roles->count && str_equal_text(name, roles->list[low]->name);
    return low;
}

struct role *roles_by_name(struct roles *roles, struct str name)
{
    bool is_there;
    pthread_mutex_lock(&roles->lock);
    size_t at = place_of(roles, name, &is_there);
    struct role *role = is_there ? role_ref(roles->list[at]) : NULL;
    pthread_mutex_unlock(&roles->lock);
    return role;
}

struct role *roles_at(struct roles *roles, size_t index)
{
    pthread_mutex_lock(&roles->lock);
    struct role *role = index < roles->count ? role_ref(roles->list[index]) : NULL;
    pthread_mutex_unlock(&roles->lock);
    return role;
}

// arn:aws:iam::<account>:role/<path>/<name>, in this one spelling (another partition is another role): what
// is denied for a role, and which functions have it, is told by the text of its ARN.
struct role *roles_find(struct roles *roles, struct str arn)
{
    struct arn parts;
    struct str account;
    if (!arn_is_role(arn, &account) || !str_equal_text(account, roles->account) ||
        arn_parse(arn, &parts) < 0 || !str_equal_text(parts.partition, "aws"))
        return NULL;
    struct str path = str_skip(parts.resource, sizeof("role") - 1);
    size_t slash = (size_t) str_find_last(path, '/'); // arn_is_role: there is one
    struct role *role = roles_by_name(roles, str_skip(path, slash + 1));
    if (role && str_equal_text(str_part(path, 0, slash + 1), role->path))
        return role;
    role_unref(role);
    return NULL;
}

// Takes the reference.
static int table_put(struct roles *roles, struct role *role)
{
    bool is_there;
    struct role *old = NULL;
    int r = 0;
    pthread_mutex_lock(&roles->lock);
    size_t at = place_of(roles, str_of(role->name), &is_there);
    if (is_there) {
        old = roles->list[at];
        roles->list[at] = role;
    } else if (roles->count == ROLES_MAX) {
        old = role;
        r = -E2BIG;
    } else {
        memmove(&roles->list[at + 1], &roles->list[at],
                (roles->count - at) * sizeof(struct role *));
        roles->list[at] = role;
        roles->count++;
    }
    pthread_mutex_unlock(&roles->lock);
    role_unref(old);
    return r;
}

static void table_remove(struct roles *roles, struct str name)
{
    bool is_there;
    struct role *old = NULL;
    pthread_mutex_lock(&roles->lock);
    size_t at = place_of(roles, name, &is_there);
    if (is_there) {
        old = roles->list[at];
        roles->count--;
        memmove(&roles->list[at], &roles->list[at + 1],
                (roles->count - at) * sizeof(struct role *));
    }
    pthread_mutex_unlock(&roles->lock);
    role_unref(old);
}

// ---- questions

bool roles_is_possible(struct str action)
{
    static const char *const possible[] = {
        "elasticfilesystem:ClientMount", // asked by the service itself, at a start
        "elasticfilesystem:ClientWrite",
        "lambda:InvokeFunction",
        "sagemaker:InvokeEndpoint",
        "sagemaker:InvokeEndpointAsync",
        "sagemaker:InvokeEndpointWithResponseStream",
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:DeleteObjectTagging",
        "s3:DeleteObjectVersion",
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:GetObjectAttributes",
        "s3:GetObjectTagging",
        "s3:GetObjectVersion",
        "s3:ListAllMyBuckets",
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
        "s3:ListBucketVersions",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
        "s3:PutObjectTagging",
    };
    for (size_t i = 0; i < ARRAY_SIZE(possible); i++)
        if (str_equal_text(action, possible[i]))
            return true;
    return false;
}

// Who is kept from a function is kept from its versions and aliases.
static bool is_function_denied(const struct role *role, struct str action, struct str resource)
{
    struct arn_function function;
    if (arn_parse_function(resource, &function) < 0 || function.qualifier.size == 0)
        return false;
    struct str bare = str_part(resource, 0, resource.size - function.qualifier.size - 1);
    return role_evaluate(role, action, bare) == POLICY_DENIES;
}

static enum role_answer ask_role(const struct role *role, struct str action, struct str resource)
{
    enum policy_effect effect = role_evaluate(role, action, resource);
    if (effect == POLICY_ALLOWS && is_function_denied(role, action, resource))
        effect = POLICY_DENIES;
    if (effect == POLICY_DENIES)
        return ROLE_DENIED;
    return effect == POLICY_ALLOWS ? ROLE_ALLOWED : ROLE_NOT_ALLOWED;
}

static enum role_answer ask_names(const struct roles *roles, const struct role_asker *asker,
                                  struct str action, struct str resource)
{
    for (size_t i = 0; i < asker->variable_count; i++) {
        struct role_named named = role_named(&asker->variables[i], roles->region, roles->account);
        if (role_named_allows(&named, action, resource, roles->region, roles->account))
            return ROLE_ALLOWED;
    }
    return ROLE_NOT_ALLOWED;
}

enum role_answer roles_ask(struct roles *roles, const struct role_asker *asker, struct str action,
                           struct str resource)
{
    if (!roles_is_possible(action))
        return ROLE_IMPOSSIBLE;
    struct role *role = roles_find(roles, str_of(asker->role));
    if (!role)
        return ask_names(roles, asker, action, resource);
    enum role_answer answer =
        role->is_for_lambda ? ask_role(role, action, resource) : ROLE_NOT_ALLOWED;
    role_unref(role);
    return answer;
}

bool roles_may(struct roles *roles, const struct role_asker *asker, const char *action,
               const char *resource)
{
    return roles_ask(roles, asker, str_of(action), str_of(resource)) == ROLE_ALLOWED;
}

bool roles_may_all(struct roles *roles, const struct role_asker *asker, const char *action,
                   const char *prefix)
{
    struct role *role = roles_find(roles, str_of(asker->role));
    if (!role) // what the environment names, it names whole
        return roles_may(roles, asker, action, prefix);
    bool may = roles_is_possible(str_of(action)) && role->is_for_lambda &&
               role_evaluate_all(role, str_of(action), str_of(prefix)) == POLICY_ALLOWS;
    role_unref(role);
    return may;
}

bool roles_may_deliver(struct roles *roles, const char *role, struct str destination_arn)
{
    const struct role_asker asker = {.role = role};
    struct role *defined = roles_find(roles, str_of(role));
    bool may = !defined || roles_ask(roles, &asker, STR("lambda:InvokeFunction"),
                                     destination_arn) == ROLE_ALLOWED;
    role_unref(defined);
    return may;
}

// ---- life

struct loading {
    struct roles *roles;
    struct error *err;
};

static int visit_row(void *arg, const char *key, struct str value, int64_t revision)
{
    struct loading *loading = arg;
    struct role *role;
    (void) revision;
    int r = role_read(str_of(key), value, &role, loading->err);
    if (r == 0)
        r = table_put(loading->roles, role);
    return r < 0 ? error_wrap(loading->err, r, "role '%.64s'", key) : 0;
}

int roles_open(struct registry *registry, const char *region, const char *account,
               struct roles **ret_roles, struct error *err)
{
    struct roles *roles = mem_new(struct roles);
    if (!roles)
        return error_set(err, -ENOMEM, "no memory for the roles");
    list_init(&roles->pending);
    pthread_mutex_init(&roles->lock, NULL);
    roles->registry = registry;
    roles->region = mem_copy_text(region);
    roles->account = mem_copy_text(account);
    struct loading loading = {roles, err};
    int r =
        roles->region && roles->account ? 0 : error_set(err, -ENOMEM, "no memory for the roles");
    if (r == 0)
        r = registry_list(registry, KIND, visit_row, &loading, err);
    if (r < 0) {
        roles_close(roles);
        return r;
    }
    *ret_roles = roles;
    return 0;
}

void roles_close(struct roles *roles)
{
    if (!roles)
        return;
    for (size_t i = 0; i < roles->count; i++)
        role_unref(roles->list[i]);
    pthread_mutex_destroy(&roles->lock);
    free(roles->region);
    free(roles->account);
    free(roles);
}

// ---- changes

static bool is_changing(const struct roles *roles, struct str name)
{
    LIST_FOR_EACH (struct pending, each, &roles->pending, link)
        if (str_equal_text(name, each->name))
            return true;
    return false;
}

static void pending_free(struct pending *pending)
{
    list_remove(&pending->link);
    pending->roles->adding -= pending->is_new;
    role_unref(pending->role);
    free(pending);
}

static void committed(void *arg, const struct registry_result *result)
{
    struct pending *pending = arg;
    struct roles *roles = pending->roles;
    roles_done done = pending->done;
    void *done_arg = pending->arg;
    int r = 0;
    if (!result->err && pending->role)
        r = table_put(roles, TAKE_PTR(pending->role)); // there is room: `adding` counts
    else if (!result->err)
        table_remove(roles, str_of(pending->name));
    (void) r;
    pending_free(pending);
    done(done_arg, result->err);
}

static struct pending *pending_new(struct roles *roles, const char *name, roles_done done,
                                   void *arg)
{
    struct pending *pending = mem_new(struct pending);
    if (!pending)
        return NULL;
    pending->roles = roles;
    pending->done = done;
    pending->arg = arg;
    (void) !str_copy(str_of(name), pending->name, sizeof(pending->name)); // a role's: it fits
    list_add_last(&roles->pending, &pending->link);
    return pending;
}

static int may_put(struct roles *roles, const struct role *role, bool is_new)
{
    bool is_there;
    if (is_changing(roles, str_of(role->name)))
        return -EBUSY;
    pthread_mutex_lock(&roles->lock);
    (void) place_of(roles, str_of(role->name), &is_there);
    size_t count = roles->count;
    pthread_mutex_unlock(&roles->lock);
    if (is_there == is_new)
        return is_new ? -EEXIST : -ENOENT;
    return is_new && count + roles->adding >= ROLES_MAX ? -E2BIG : 0;
}

static int submit_put(struct pending *pending)
{
    AUTO_BUF struct buf row = BUF_INIT(ROW_BYTES_MAX);
    int r = role_write(pending->role, &row);
    if (r == 0)
        r = registry_put(pending->roles->registry, KIND, pending->name, buf_str(&row), REGISTRY_ANY,
                         committed, pending);
    return r;
}

int roles_put(struct roles *roles, struct role *role, bool is_new, roles_done done, void *arg)
{
    int r = may_put(roles, role, is_new);
    struct pending *pending = r == 0 ? pending_new(roles, role->name, done, arg) : NULL;
    if (!pending) {
        role_unref(role);
        return r < 0 ? r : -ENOMEM;
    }
    pending->role = role;
    pending->is_new = is_new;
    roles->adding += is_new;
    r = submit_put(pending);
    if (r < 0)
        pending_free(pending);
    return r;
}

int roles_delete(struct roles *roles, struct str name, roles_done done, void *arg)
{
    if (is_changing(roles, name))
        return -EBUSY;
    struct role *role = roles_by_name(roles, name);
    if (!role)
        return -ENOENT;
    struct pending *pending = pending_new(roles, role->name, done, arg);
    role_unref(role);
    if (!pending)
        return -ENOMEM;
    int r = registry_delete(roles->registry, KIND, pending->name, REGISTRY_ANY, committed, pending);
    if (r < 0)
        pending_free(pending);
    return r;
}
