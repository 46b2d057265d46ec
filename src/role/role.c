// SPDX-License-Identifier: MIT

#include "role/role.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "role/trust.h"

#include <errno.h>
#include <string.h>

#define ROW_BYTES_MAX (256 * 1024)

static const struct role_managed managed[] = {
    {"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
     "AWSLambdaBasicExecutionRole",
     {NULL}}, // logs:*, which every function has here
    {"arn:aws:iam::aws:policy/service-role/AWSLambdaRole",
     "AWSLambdaRole",
     {"lambda:InvokeFunction", NULL}},
    {"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
     "AmazonS3ReadOnlyAccess",
     {"s3:Get*", "s3:List*", NULL}},
    {"arn:aws:iam::aws:policy/AmazonS3FullAccess", "AmazonS3FullAccess", {"s3:*", NULL}},
    {"arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole",
     "AWSLambdaVPCAccessExecutionRole",
     {NULL}}, // network interfaces, which no function has here
    {"arn:aws:iam::aws:policy/AmazonElasticFileSystemClientReadOnlyAccess",
     "AmazonElasticFileSystemClientReadOnlyAccess",
     {"elasticfilesystem:ClientMount", NULL}},
    {"arn:aws:iam::aws:policy/AmazonElasticFileSystemClientReadWriteAccess",
     "AmazonElasticFileSystemClientReadWriteAccess",
     {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite", NULL}},
    {"arn:aws:iam::aws:policy/AmazonElasticFileSystemClientFullAccess",
     "AmazonElasticFileSystemClientFullAccess",
     {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite", NULL}},
};

const struct role_managed *role_managed_find(struct str arn)
{
    for (size_t i = 0; i < ARRAY_SIZE(managed); i++)
        if (str_equal_text(arn, managed[i].arn))
            return &managed[i];
    return NULL;
}

// ---- names

bool role_is_name(struct str name, size_t size_max)
{
    if (name.size == 0 || name.size > size_max)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_word = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!is_word && (c == '\0' || !strchr("+=,.@_-", c)))
            return false;
    }
    return true;
}

bool role_is_path(struct str path)
{
    if (path.size == 0 || path.size > ROLE_PATH_MAX || path.data[0] != '/' ||
        path.data[path.size - 1] != '/')
        return false;
    for (size_t i = 0; i < path.size; i++)
        if (path.data[i] <= ' ' || path.data[i] > '~')
            return false;
    return true;
}

// ---- life

static void policy_done(struct role_policy *policy)
{
    free(policy->name);
    free(policy->text);
    policy_free(policy->policy);
}

static void role_free(struct role *role)
{
    for (size_t i = 0; i < role->policy_count; i++)
        policy_done(&role->policies[i]);
    free(role->description);
    free(role->trust);
    free(role);
}

struct role *role_ref(struct role *role)
{
    atomic_fetch_add_explicit(&role->refs, 1, memory_order_relaxed);
    return role;
}

void role_unref(struct role *role)
{
    if (role && atomic_fetch_sub_explicit(&role->refs, 1, memory_order_acq_rel) == 1)
        role_free(role);
}

// IAM's form: what kind of thing it is, and characters that nobody can guess.
static void make_id(char id[ROLE_ID_SIZE])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    unsigned char bytes[ROLE_ID_SIZE];
    mem_random(bytes, sizeof(bytes));
    memcpy(id, "AROA", 4);
    for (size_t i = 4; i < ROLE_ID_SIZE - 1; i++)
        id[i] = alphabet[bytes[i] % 32];
    id[ROLE_ID_SIZE - 1] = '\0';
}

static struct role *role_empty(struct str name, struct str path)
{
    struct role *role = mem_new(struct role);
    if (!role)
        return NULL;
    atomic_init(&role->refs, 1);
    role->session_s_max = 3600;
    if (str_copy(name, role->name, sizeof(role->name)) < 0 ||
        str_copy(path, role->path, sizeof(role->path)) < 0) {
        role_free(role);
        return NULL;
    }
    return role;
}

struct role *role_new(struct str name, struct str path)
{
    struct role *role = role_empty(name, path);
    if (!role)
        return NULL;
    make_id(role->id);
    role->created_ms = clock_wall_ms();
    return role;
}

static int set_text(char **member, struct str text)
{
    char *copy = text.size > 0 ? str_copy_heap(text) : NULL;
    if (text.size > 0 && !copy)
        return -ENOMEM;
    free(*member);
    *member = copy;
    return 0;
}

static int copy_texts(struct role *copy, const struct role *role)
{
    if (role_set_description(copy, str_of(role->description)) < 0 ||
        set_text(&copy->trust, str_of(role->trust)) < 0)
        return -ENOMEM;
    copy->is_for_lambda = role->is_for_lambda;
    for (size_t i = 0; i < role->policy_count; i++)
        if (role_put_policy(copy, str_of(role->policies[i].name), str_of(role->policies[i].text),
                            NULL) < 0)
            return -ENOMEM; // it was parsed before
    return 0;
}

struct role *role_copy(const struct role *role)
{
    struct role *copy = role_empty(str_of(role->name), str_of(role->path));
    if (!copy)
        return NULL;
    memcpy(copy->id, role->id, sizeof(copy->id));
    copy->created_ms = role->created_ms;
    copy->session_s_max = role->session_s_max;
    memcpy(copy->attached, role->attached, sizeof(copy->attached));
    copy->attached_count = role->attached_count;
    if (copy_texts(copy, role) < 0) {
        role_unref(copy);
        return NULL;
    }
    return copy;
}

// ---- changes of a draft

static size_t place_of(const struct role *role, struct str name, bool *ret_is_there)
{
    size_t i = 0;
    int order = 1;
    while (i < role->policy_count &&
           (order = str_compare(str_of(role->policies[i].name), name)) < 0)
        i++;
    *ret_is_there = i < role->policy_count && order == 0;
    return i;
}

// IAM counts without white space; what is between quotes counts as it is.
static size_t bytes_of(struct str text)
{
    size_t count = 0;
    bool is_quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '"' && !(i > 0 && text.data[i - 1] == '\\'))
            is_quoted = !is_quoted;
        count += is_quoted || !(c == ' ' || c == '\n' || c == '\r' || c == '\t');
    }
    return count;
}

static size_t policies_bytes(const struct role *role, const struct role_policy *without)
{
    size_t sum = 0;
    for (size_t i = 0; i < role->policy_count; i++)
        if (&role->policies[i] != without)
            sum += bytes_of(str_of(role->policies[i].text));
    return sum;
}

static int check_room(const struct role *role, const struct role_policy *replaced, struct str text,
                      struct error *err)
{
    if (!replaced && role->policy_count == ROLE_POLICIES_MAX)
        return error_set(err, -E2BIG, "a role can have %d inline policies", ROLE_POLICIES_MAX);
    if (policies_bytes(role, replaced) + bytes_of(text) > ROLE_POLICIES_BYTES_MAX)
        return error_set(err, -E2BIG, "Maximum policy size of %d bytes exceeded for role %s",
                         ROLE_POLICIES_BYTES_MAX, role->name);
    return 0;
}

int role_put_policy(struct role *role, struct str name, struct str text, struct error *err)
{
    bool is_there;
    size_t at = place_of(role, name, &is_there);
    struct role_policy policy = {0};
    int r = check_room(role, is_there ? &role->policies[at] : NULL, text, err);
    if (r == 0)
        r = policy_parse(text, &policy.policy, err);
    if (r < 0)
        return r;
    policy.name = str_copy_heap(name);
    policy.text = str_copy_heap(text);
    if (!policy.name || !policy.text) {
        policy_done(&policy);
        return error_set(err, -ENOMEM, "no memory for a policy");
    }
    if (is_there) {
        policy_done(&role->policies[at]);
    } else {
        memmove(&role->policies[at + 1], &role->policies[at],
                (role->policy_count - at) * sizeof(role->policies[0]));
        role->policy_count++;
    }
    role->policies[at] = policy;
    return 0;
}

int role_delete_policy(struct role *role, struct str name)
{
    bool is_there;
    size_t at = place_of(role, name, &is_there);
    if (!is_there)
        return -ENOENT;
    policy_done(&role->policies[at]);
    role->policy_count--;
    memmove(&role->policies[at], &role->policies[at + 1],
            (role->policy_count - at) * sizeof(role->policies[0]));
    return 0;
}

const struct role_policy *role_policy(const struct role *role, struct str name)
{
    bool is_there;
    size_t at = place_of(role, name, &is_there);
    return is_there ? &role->policies[at] : NULL;
}

static size_t attached_at(const struct role *role, const struct role_managed *one)
{
    size_t i = 0;
    while (i < role->attached_count && role->attached[i] != one)
        i++;
    return i;
}

int role_attach(struct role *role, const struct role_managed *one)
{
    if (attached_at(role, one) < role->attached_count)
        return 0;
    if (role->attached_count == ROLE_ATTACHED_MAX)
        return -E2BIG;
    role->attached[role->attached_count++] = one;
    return 0;
}

int role_detach(struct role *role, const struct role_managed *one)
{
    size_t at = attached_at(role, one);
    if (at == role->attached_count)
        return -ENOENT;
    role->attached_count--;
    memmove(&role->attached[at], &role->attached[at + 1],
            (role->attached_count - at) * sizeof(role->attached[0]));
    return 0;
}

int role_set_description(struct role *role, struct str text)
{
    return set_text(&role->description, text);
}

int role_set_trust(struct role *role, struct str text, struct error *err)
{
    bool is_for_lambda;
    int r = trust_parse(text, &is_for_lambda, err);
    if (r < 0)
        return r;
    if (set_text(&role->trust, text) < 0)
        return error_set(err, -ENOMEM, "no memory for a role");
    role->is_for_lambda = is_for_lambda;
    return 0;
}

// ---- rights

static bool managed_allows(const struct role_managed *one, struct str action)
{
    for (const char *const *pattern = one->actions; *pattern; pattern++)
        if (policy_matches(str_of(*pattern), action, true))
            return true;
    return false;
}

typedef enum policy_effect evaluation(const struct policy *policy, struct str action,
                                      struct str resource);

static enum policy_effect evaluate(const struct role *role, evaluation *of_policy,
                                   struct str action, struct str resource)
{
    enum policy_effect effect = POLICY_SILENT;
    for (size_t i = 0; i < role->policy_count; i++) {
        enum policy_effect one = of_policy(role->policies[i].policy, action, resource);
        if (one == POLICY_DENIES)
            return POLICY_DENIES;
        if (one == POLICY_ALLOWS)
            effect = POLICY_ALLOWS;
    }
    for (size_t i = 0; effect == POLICY_SILENT && i < role->attached_count; i++)
        if (managed_allows(role->attached[i], action))
            effect = POLICY_ALLOWS;
    return effect;
}

enum policy_effect role_evaluate(const struct role *role, struct str action, struct str resource)
{
    return evaluate(role, policy_evaluate, action, resource);
}

enum policy_effect role_evaluate_all(const struct role *role, struct str action, struct str prefix)
{
    return evaluate(role, policy_evaluate_all, action, prefix);
}

// ---- the registry's form

static void write_policies(const struct role *role, struct buf *row)
{
    buf_append_text(row, ",\"policies\":[");
    for (size_t i = 0; i < role->policy_count; i++) {
        buf_append_text(row, i > 0 ? ",{\"name\":" : "{\"name\":");
        json_append_string(row, str_of(role->policies[i].name));
        buf_append_text(row, ",\"document\":");
        json_append_string(row, str_of(role->policies[i].text));
        buf_append_byte(row, '}');
    }
    buf_append_text(row, "],\"attached\":[");
    for (size_t i = 0; i < role->attached_count; i++) {
        if (i > 0)
            buf_append_byte(row, ',');
        json_append_string(row, str_of(role->attached[i]->arn));
    }
    buf_append_byte(row, ']');
}

int role_write(const struct role *role, struct buf *row)
{
    buf_append_text(row, "{\"path\":");
    json_append_string(row, str_of(role->path));
    buf_printf(row, ",\"id\":\"%s\",\"created_ms\":%lld,\"session_s_max\":%lld", role->id,
               (long long) role->created_ms, (long long) role->session_s_max);
    if (role->description) {
        buf_append_text(row, ",\"description\":");
        json_append_string(row, str_of(role->description));
    }
    if (role->trust) {
        buf_append_text(row, ",\"trust\":");
        json_append_string(row, str_of(role->trust));
    }
    write_policies(role, row);
    buf_append_byte(row, '}');
    return buf_status(row);
}

static int read_policies(yyjson_val *root, struct role *role, struct error *err)
{
    yyjson_val *list, *each;
    struct str name, text;
    size_t i, count;
    int r = json_member_array(root, "policies", &list);
    if (r < 0)
        return r == -ENOENT ? 0 : error_set(err, -EUCLEAN, "policies");
    yyjson_arr_foreach(list, i, count, each)
    {
        if (json_member_str(each, "name", &name) < 0 ||
            json_member_str(each, "document", &text) < 0)
            return error_set(err, -EUCLEAN, "policy %zu", i);
        r = role_put_policy(role, name, text, err);
        if (r < 0)
            return r == -ENOMEM ? r : error_wrap(err, -EUCLEAN, "policy %zu", i);
    }
    return 0;
}

// What an earlier version knew and this one does not gives no rights, and is shown no more.
static int read_attached(yyjson_val *root, struct role *role, struct error *err)
{
    yyjson_val *list, *each;
    size_t i, count;
    int r = json_member_array(root, "attached", &list);
    if (r < 0)
        return r == -ENOENT ? 0 : error_set(err, -EUCLEAN, "attached");
    yyjson_arr_foreach(list, i, count, each)
    {
        const struct role_managed *one = role_managed_find(json_str(each));
        if (one && role_attach(role, one) < 0)
            return error_set(err, -EUCLEAN, "attached %zu", i);
    }
    return 0;
}

static bool is_id(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!(text.data[i] >= 'A' && text.data[i] <= 'Z') &&
            !(text.data[i] >= '0' && text.data[i] <= '9'))
            return false;
    return text.size > 0;
}

static int read_members(yyjson_val *root, struct role *role, struct error *err)
{
    struct str text = {0};
    if (json_member_str(root, "id", &text) < 0 || !is_id(text) ||
        str_copy(text, role->id, ROLE_ID_SIZE) < 0 ||
        json_member_i64(root, "created_ms", 0, INT64_MAX, &role->created_ms) < 0 ||
        json_member_i64(root, "session_s_max", 3600, 43200, &role->session_s_max) < 0)
        return error_set(err, -EUCLEAN, "id, created_ms or session_s_max");
    if (json_member_str(root, "description", &text) == 0 && role_set_description(role, text) < 0)
        return error_set(err, -ENOMEM, "no memory for a role");
    int r = -ENOENT;
    if (json_member_str(root, "trust", &text) == 0)
        r = role_set_trust(role, text, err);
    if (r < 0)
        return r == -ENOMEM ? r : error_set(err, -EUCLEAN, "trust");
    r = read_policies(root, role, err);
    return r < 0 ? r : read_attached(root, role, err);
}

int role_read(struct str name, struct str row, struct role **ret_role, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct str path = {0};
    int r = json_parse(row, ROW_BYTES_MAX, &doc, err);
    if (r < 0)
        return r == -ENOMEM ? r : error_wrap(err, -EUCLEAN, "the row is not a role's");
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (json_member_str(root, "path", &path) < 0 || !role_is_path(path) ||
        !role_is_name(name, ROLE_NAME_MAX))
        return error_set(err, -EUCLEAN, "the row is not a role's: name or path");
    struct role *role = role_empty(name, path);
    if (!role)
        return error_set(err, -ENOMEM, "no memory for a role");
    r = read_members(root, role, err);
    if (r < 0) {
        role_unref(role);
        return r;
    }
    *ret_role = role;
    return 0;
}
