/* SPDX-License-Identifier: MIT
 *
 * catalog and change over a real registry in a directory of their own.
 */

#include "unit.h"

#include "function/catalog.h"
#include "function/change.h"
#include "loop/loop.h"
#include "meta/registry.h"

#define REGION "us-east-1"
#define ACCOUNT "000000000000"

struct fixture {
    int dir;
    char path[64];
    struct loop *loop;
    struct registry *registry;
    struct catalog *catalog;
    bool is_done;
    int code; /* of the last commit */
    unsigned n_retired;
    char retired[8][64]; /* qualifiers */
    unsigned n_appeared;
    bool is_holding;
    void (*go_on)(void *arg);
    void *go_on_arg;
};

static void retired(void *arg, const struct version *version)
{
    struct fixture *fixture = arg;
    assert_true(fixture->n_retired < 8);
    (void) snprintf(fixture->retired[fixture->n_retired++], 64, "%s", version->qualifier);
}

static void appeared(void *arg, const struct version *version)
{
    struct fixture *fixture = arg;
    assert_non_null(version->qualifier);
    fixture->n_appeared++;
}

/* Keeps a change waiting while fixture->is_holding. */
static bool replacing(void *arg, const struct version *old, const struct version *draft,
                      void (*done_cb)(void *done_arg), void *done_arg)
{
    struct fixture *fixture = arg;
    assert_int_not_equal(old->execution_id, draft->execution_id);
    fixture->go_on = done_cb;
    fixture->go_on_arg = done_arg;
    return fixture->is_holding;
}

static void open_all(struct fixture *fixture)
{
    struct error err = {0};
    fixture->loop = loop_new();
    assert_non_null(fixture->loop);
    int r = registry_open(fixture->path, fixture->loop, &fixture->registry, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
    struct catalog_config config = {
        .region = REGION,
        .account = ACCOUNT,
        .registry = fixture->registry,
        .listener = {.retired = retired,
                     .appeared = appeared,
                     .replacing = replacing,
                     .arg = fixture},
    };
    fixture->catalog = catalog_new(&config);
    assert_non_null(fixture->catalog);
    r = catalog_load(fixture->catalog, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
}

static void close_all(struct fixture *fixture)
{
    registry_close(fixture->registry);
    catalog_free(fixture->catalog);
    loop_free(fixture->loop);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->dir = unit_dir_make(fixture->path);
    open_all(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    close_all(fixture);
    unit_dir_remove(fixture->dir, fixture->path);
    free(fixture);
    return 0;
}

static void done(void *arg, const struct error *err)
{
    struct fixture *fixture = arg;
    fixture->is_done = true;
    fixture->code = err ? err->code : 0;
}

static int commit(struct fixture *fixture, struct change *change, const struct change_plan *plan)
{
    fixture->is_done = false;
    assert_int_equal(change_commit(change, plan, done, fixture), 0);
    assert_false(fixture->is_done); /* never from inside */
    while (!fixture->is_done)
        loop_run_once(fixture->loop, true);
    return fixture->code;
}

static struct version *active(const char *name)
{
    struct version *draft = version_new(name, REGION, ACCOUNT);
    version_set(draft, &draft->runtime, "provided");
    version_set(draft, &draft->handler, "bootstrap");
    version_set(draft, &draft->role, "arn:aws:iam::000000000000:role/r");
    draft->code.has_tree = true;
    draft->state = VERSION_ACTIVE;
    draft->update = VERSION_UPDATE_SUCCESSFUL;
    return draft;
}

static void create(struct fixture *fixture, const char *name)
{
    struct change *change;
    struct change_plan plan = {.latest = active(name), .is_serving = true};
    assert_int_equal(change_begin_create(fixture->catalog, name, &change), 0);
    assert_int_equal(commit(fixture, change, &plan), 0);
}

static void publish(struct fixture *fixture, const char *name)
{
    struct change *change;
    assert_int_equal(change_begin(fixture->catalog, name, &change), 0);
    struct function *function = change_function(change);
    struct change_plan plan = {
        .latest = version_copy(function->latest),
        .is_serving = true,
        .publish = version_copy_as(function->latest, function->next_number),
    };
    assert_int_equal(commit(fixture, change, &plan), 0);
}

static void drop_version(struct fixture *fixture, const char *name, uint64_t number)
{
    struct change *change;
    struct change_plan plan = {.drop_number = number};
    assert_int_equal(change_begin(fixture->catalog, name, &change), 0);
    assert_int_equal(commit(fixture, change, &plan), 0);
}

static void created_functions_are_found_after_the_commit(void **state)
{
    struct fixture *fixture = *state;
    const struct version *version;
    struct change *change;
    struct change *second;
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &version), -ENOENT);
    assert_int_equal(change_begin_create(fixture->catalog, "f", &change), 0);
    /* The name is taken, and nobody sees the function yet. */
    assert_int_equal(change_begin_create(fixture->catalog, "f", &second), -EEXIST);
    assert_int_equal(change_begin(fixture->catalog, "f", &second), -ENOENT);
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &version), -ENOENT);
    assert_int_equal(catalog_count(fixture->catalog), 0);
    assert_null(catalog_next(fixture->catalog, NULL));
    struct change_plan plan = {.latest = active("f"), .is_serving = true};
    assert_int_equal(commit(fixture, change, &plan), 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &version), 0);
    assert_string_equal(version->name, "f");
    assert_int_equal(catalog_find(fixture->catalog, "f", "$LATEST", &version), 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), -ENOENT);
    assert_int_equal(catalog_count(fixture->catalog), 1);
    assert_int_equal(change_begin_create(fixture->catalog, "f", &second), -EEXIST);
}

static void an_aborted_creation_leaves_no_trace(void **state)
{
    struct fixture *fixture = *state;
    struct change *change;
    assert_int_equal(change_begin_create(fixture->catalog, "f", &change), 0);
    change_abort(change);
    assert_int_equal(catalog_count(fixture->catalog), 0);
    create(fixture, "f");
}

static void one_change_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    struct change *change;
    struct change *second;
    create(fixture, "f");
    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    assert_int_equal(change_begin(fixture->catalog, "f", &second), -EBUSY);
    change_abort(change);
    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    change_abort(change);
    change_abort(NULL);
}

/* An incomplete draft (no memory) is refused before anything is written. */
static void incomplete_drafts_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct change *change;
    struct change_plan plan = {.latest = active("f"), .is_serving = true};
    plan.latest->is_incomplete = true;
    assert_int_equal(change_begin_create(fixture->catalog, "f", &change), 0);
    assert_int_equal(change_commit(change, &plan, done, fixture), -ENOMEM);
    assert_int_equal(catalog_count(fixture->catalog), 0);
    create(fixture, "f");
}

static void the_old_code_serves_until_the_new_is_deployed(void **state)
{
    struct fixture *fixture = *state;
    const struct version *version;
    struct change *change;
    create(fixture, "f");
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &version), 0);
    uint64_t old = version->execution_id;

    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    struct version *draft = version_copy(version);
    draft->code.has_tree = false;
    draft->update = VERSION_UPDATE_IN_PROGRESS;
    version_renew_execution(draft);
    struct change_plan plan = {.latest = draft};
    assert_int_equal(commit(fixture, change, &plan), 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &version), 0);
    assert_int_equal(version->execution_id, old);
    assert_int_equal(catalog_describe(fixture->catalog, "f", NULL, &version), 0);
    assert_int_equal(version->update, VERSION_UPDATE_IN_PROGRESS);
    assert_int_equal(fixture->n_retired, 0);

    /* The same after a restart. */
    close_all(fixture);
    open_all(fixture);
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &version), 0);
    assert_int_equal(version->update, VERSION_UPDATE_SUCCESSFUL);
    assert_int_equal(catalog_describe(fixture->catalog, "f", NULL, &version), 0);
    assert_int_equal(version->update, VERSION_UPDATE_IN_PROGRESS);

    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    draft = version_copy(version);
    draft->code.has_tree = true;
    draft->update = VERSION_UPDATE_SUCCESSFUL;
    plan = (struct change_plan){.latest = draft, .is_serving = true};
    assert_int_equal(commit(fixture, change, &plan), 0);
    assert_int_equal(fixture->n_retired, 1);
    assert_string_equal(fixture->retired[0], "$LATEST");
}

/* A new RevisionId alone must not cost the instances. */
static void unchanged_execution_is_not_retired(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, "f");
    publish(fixture, "f");
    assert_int_equal(fixture->n_retired, 0);
}

static void pending_and_failed_are_told_apart(void **state)
{
    struct fixture *fixture = *state;
    const struct version *version = NULL;
    struct change *change;
    struct version *draft = active("f");
    draft->state = VERSION_PENDING;
    draft->code.has_tree = false;
    struct change_plan plan = {.latest = draft};
    assert_int_equal(change_begin_create(fixture->catalog, "f", &change), 0);
    assert_int_equal(commit(fixture, change, &plan), 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &version), -EAGAIN);
    assert_int_equal(version->state, VERSION_PENDING);

    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    draft = version_copy(version);
    draft->state = VERSION_FAILED;
    plan = (struct change_plan){.latest = draft};
    assert_int_equal(commit(fixture, change, &plan), 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &version), -EBADFD);
}

static void numbers_are_never_used_twice(void **state)
{
    struct fixture *fixture = *state;
    const struct version *version;
    create(fixture, "f");
    publish(fixture, "f");
    publish(fixture, "f");
    drop_version(fixture, "f", 2);
    assert_int_equal(fixture->n_retired, 1);
    assert_string_equal(fixture->retired[0], "2");
    close_all(fixture);
    open_all(fixture);
    publish(fixture, "f");
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", "2", &version), -ENOENT);
    assert_int_equal(catalog_find(fixture->catalog, "f", "3", &version), 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", "03", &version), -ENOENT);
    assert_int_equal(catalog_find(fixture->catalog, "f", "0", &version), -ENOENT);
    assert_int_equal(catalog_find(fixture->catalog, "f", "-3", &version), -ENOENT);
    assert_int_equal(catalog_find(fixture->catalog, "f", "18446744073709551616", &version),
                     -ENOENT);
}

static void deleting_takes_everything_along(void **state)
{
    struct fixture *fixture = *state;
    const struct version *version;
    struct change *change;
    create(fixture, "f");
    create(fixture, "g");
    publish(fixture, "f");
    struct version *held;
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), 0);
    held = version_ref(version);
    struct change_plan plan = {.drop_function = true};
    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    assert_int_equal(commit(fixture, change, &plan), 0);
    assert_int_equal(fixture->n_retired, 2);
    assert_null(catalog_function(fixture->catalog, "f"));
    assert_string_equal(held->qualifier, "1"); /* who holds it may go on with it */
    version_unref(held);
    close_all(fixture);
    open_all(fixture);
    assert_int_equal(catalog_count(fixture->catalog), 1);
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), -ENOENT);
    create(fixture, "f"); /* the name is free, and begins at 1 again */
    publish(fixture, "f");
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), 0);
}

static void everything_survives_a_restart(void **state)
{
    struct fixture *fixture = *state;
    const struct version *version;
    char revision[UUID_SIZE];
    create(fixture, "f");
    publish(fixture, "f");
    assert_int_equal(catalog_describe(fixture->catalog, "f", NULL, &version), 0);
    (void) snprintf(revision, sizeof(revision), "%s", version->revision_id);
    close_all(fixture);
    open_all(fixture);
    assert_int_equal(catalog_describe(fixture->catalog, "f", NULL, &version), 0);
    assert_string_equal(version->revision_id, revision);
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), 0);
    assert_string_equal(version->qualified_arn,
                        "arn:aws:lambda:us-east-1:000000000000:function:f:1");
}

/* What serves goes on serving until whoever makes the new snapshot's template says that it stands. */
static void what_serves_is_replaced_when_the_new_one_stands(void **state)
{
    struct fixture *fixture = *state;
    const struct version *before, *after;
    struct change *change;
    create(fixture, "f");
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &before), 0);
    uint64_t old = before->execution_id;
    fixture->is_holding = true;
    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    struct change_plan plan = {.latest = version_copy(change_function(change)->latest),
                               .is_serving = true};
    version_renew_execution(plan.latest);
    fixture->is_done = false;
    assert_int_equal(change_commit(change, &plan, done, fixture), 0);
    loop_run_once(fixture->loop, false);
    assert_false(fixture->is_done);
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &after), 0);
    assert_int_equal(after->execution_id, old);
    fixture->go_on(fixture->go_on_arg);
    while (!fixture->is_done)
        loop_run_once(fixture->loop, true);
    assert_int_equal(fixture->code, 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &after), 0);
    assert_int_not_equal(after->execution_id, old);
    assert_int_equal(fixture->n_retired, 1);
}

/* With SnapStart: PENDING, then what its preparation found; the same code, so no instance has to end. */
static void a_published_version_can_change_its_state(void **state)
{
    struct fixture *fixture = *state;
    const struct version *version;
    struct change *change;
    create(fixture, "f");
    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    struct change_plan first = {.latest = version_copy(change_function(change)->latest)};
    first.latest->has_snap_start = true;
    first.publish = version_copy_as(first.latest, 1);
    assert_int_equal(commit(fixture, change, &first), 0);
    assert_int_equal(fixture->n_appeared, 2); /* $LATEST, when it was created, and 1 */
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), -EAGAIN);
    uint64_t execution = version->execution_id;
    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    struct change_plan second = {.replace = version_copy(version)};
    second.replace->state = VERSION_ACTIVE;
    second.replace->is_optimized = true;
    assert_int_equal(commit(fixture, change, &second), 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), 0);
    assert_int_equal(version->execution_id, execution);
    assert_int_equal(fixture->n_retired, 0);
    assert_int_equal(fixture->n_appeared, 2);
    close_all(fixture);
    open_all(fixture);
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), 0);
    assert_true(version->is_optimized);
    publish(fixture, "f"); /* the next number is as it was */
    assert_int_equal(catalog_find(fixture->catalog, "f", "2", &version), -EAGAIN);
}

static void pages_follow_the_names(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"b", "a-1", "A", "a", "c_2"};
    static const char *const sorted[] = {"A", "a", "a-1", "b", "c_2"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        create(fixture, names[i]);
    struct function *function = catalog_next(fixture->catalog, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
        assert_non_null(function);
        assert_string_equal(function->name, sorted[i]);
        function = catalog_next(fixture->catalog, function->name);
    }
    assert_null(function);
    assert_string_equal(catalog_next(fixture->catalog, "a-0")->name, "a-1");
}

static int damaged(void *arg, const struct version *version, struct error *err)
{
    return strcmp(version->qualifier, arg) == 0 ? error_set(err, -EUCLEAN, "an object is bad") : 0;
}

static void damaged_code_is_failed_until_it_is_back(void **state)
{
    struct fixture *fixture = *state;
    const struct version *version;
    char bad[] = "1";
    create(fixture, "f");
    publish(fixture, "f");
    assert_int_equal(catalog_check(fixture->catalog, damaged, bad), 1);
    assert_int_equal(catalog_find(fixture->catalog, "f", NULL, &version), 0);
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), -EBADFD);
    assert_string_equal(version->state_reason, "an object is bad");
    close_all(fixture);
    open_all(fixture);
    assert_int_equal(catalog_find(fixture->catalog, "f", "1", &version), 0);
}

static void attach(struct fixture *fixture, const char *name, enum attachment_kind kind,
                   const char *qualifier, const char *json)
{
    struct change *change;
    struct change_plan plan = {0};
    struct error err = {0};
    int r = attachment_new(kind, qualifier, str_of(json), &plan.attach, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
    assert_int_equal(change_begin(fixture->catalog, name, &change), 0);
    assert_int_equal(commit(fixture, change, &plan), 0);
}

#define URL_ID "abcdefghijklmnopqrstuvwxyz012345"
#define URL_JSON "{\"UrlId\":\"" URL_ID "\",\"AuthType\":\"NONE\"}"

static void aliases_lead_to_versions(void **state)
{
    struct fixture *fixture = *state;
    const struct version *version;
    unsigned n_second = 0;
    create(fixture, "f");
    publish(fixture, "f");
    publish(fixture, "f");
    attach(fixture, "f", ATTACHMENT_ALIAS, "live", "{\"FunctionVersion\":\"1\"}");
    attach(fixture, "f", ATTACHMENT_ALIAS, "newest", "{\"FunctionVersion\":\"$LATEST\"}");
    attach(fixture, "f", ATTACHMENT_ALIAS, "lost", "{\"FunctionVersion\":\"7\"}");
    attach(
        fixture, "f", ATTACHMENT_ALIAS, "both",
        "{\"FunctionVersion\":\"1\",\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"2\":0.5}}}");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(catalog_find(fixture->catalog, "f", "live", &version), 0);
        assert_string_equal(version->qualifier, "1");
        assert_int_equal(catalog_find(fixture->catalog, "f", "newest", &version), 0);
        assert_string_equal(version->qualifier, "$LATEST");
        assert_int_equal(catalog_find(fixture->catalog, "f", "lost", &version), -ENOENT);
        assert_int_equal(catalog_find(fixture->catalog, "f", "none", &version), -ENOENT);
        for (int i = 0; i < 200; i++) {
            assert_int_equal(catalog_find(fixture->catalog, "f", "both", &version), 0);
            n_second += version_number(version) == 2;
            assert_int_equal(catalog_describe(fixture->catalog, "f", "both", &version), 0);
            assert_string_equal(version->qualifier, "1"); /* what is shown is the main one */
        }
        close_all(fixture);
        open_all(fixture);
    }
    assert_in_range(n_second, 1, 399); /* both are drawn; only one of them: once in 2^399 */
}

static void attachments_replace_and_survive_and_go(void **state)
{
    struct fixture *fixture = *state;
    struct change *change;
    create(fixture, "f");
    create(fixture, "g");
    attach(fixture, "f", ATTACHMENT_POLICY, "", "{\"a\":1}");
    attach(fixture, "f", ATTACHMENT_POLICY, "", "{\"a\":2}");
    attach(fixture, "f", ATTACHMENT_URL, "", URL_JSON);
    attach(fixture, "g", ATTACHMENT_POLICY, "live", "{\"a\":3}");
    close_all(fixture);
    open_all(fixture);
    struct function *function = catalog_function(fixture->catalog, "f");
    assert_string_equal(function_attachment(function, ATTACHMENT_POLICY, "")->json, "{\"a\":2}");
    assert_null(function_attachment(function, ATTACHMENT_POLICY, "live"));
    assert_ptr_equal(catalog_url(fixture->catalog, STR(URL_ID))->function, function);
    struct change_plan plan = {
        .is_detaching = true, .detach_kind = ATTACHMENT_POLICY, .detach_qualifier = ""};
    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    assert_int_equal(commit(fixture, change, &plan), 0);
    assert_null(function_attachment(function, ATTACHMENT_POLICY, ""));
    plan = (struct change_plan){.drop_function = true};
    assert_int_equal(change_begin(fixture->catalog, "f", &change), 0);
    assert_int_equal(commit(fixture, change, &plan), 0);
    assert_null(catalog_url(fixture->catalog, STR(URL_ID)));
    close_all(fixture);
    open_all(fixture); /* a row that was left would be one without a function: an error */
    assert_string_equal(
        function_attachment(catalog_function(fixture->catalog, "g"), ATTACHMENT_POLICY, "live")
            ->json,
        "{\"a\":3}");
}

static void settings_of_asynchronous_calls_have_defaults(void **state)
{
    struct fixture *fixture = *state;
    struct event_invoke settings;
    create(fixture, "f");
    publish(fixture, "f");
    attach(fixture, "f", ATTACHMENT_EVENT_INVOKE, "1",
           "{\"MaximumRetryAttempts\":0,\"OnFailure\":\"arn:x\"}");
    catalog_event_invoke(fixture->catalog, "f", NULL, &settings);
    assert_int_equal(settings.retries_max, 2);
    assert_int_equal(settings.age_s_max, 21600);
    assert_int_equal(settings.on_failure.size, 0);
    catalog_event_invoke(fixture->catalog, "f", "1", &settings);
    assert_int_equal(settings.retries_max, 0);
    assert_int_equal(settings.age_s_max, 21600);
    assert_str_equal(settings.on_failure, "arn:x");
    catalog_event_invoke(fixture->catalog, "none", "1", &settings);
    assert_int_equal(settings.retries_max, 2);
}

static void bad_attachments_are_refused(void **state)
{
    static const struct {
        enum attachment_kind kind;
        const char *json;
    } rows[] = {
        {ATTACHMENT_POLICY, "["},
        {ATTACHMENT_POLICY, "[]"},
        {ATTACHMENT_ALIAS, "{}"},
        {ATTACHMENT_ALIAS, "{\"FunctionVersion\":\"0\"}"},
        {ATTACHMENT_ALIAS, "{\"FunctionVersion\":\"x\"}"},
        {ATTACHMENT_ALIAS, "{\"FunctionVersion\":\"1\",\"RoutingConfig\":"
                           "{\"AdditionalVersionWeights\":{\"2\":1.5}}}"},
        {ATTACHMENT_ALIAS, "{\"FunctionVersion\":\"1\",\"RoutingConfig\":"
                           "{\"AdditionalVersionWeights\":{\"2\":0.1,\"3\":0.1}}}"},
        {ATTACHMENT_URL, "{\"UrlId\":\"short\"}"},
        {ATTACHMENT_RESERVED, "{\"ReservedConcurrentExecutions\":-1}"},
        {ATTACHMENT_PROVISIONED, "{}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct attachment *attachment = NULL;
        struct error err = {0};
        int r = attachment_new(rows[i].kind, "q", str_of(rows[i].json), &attachment, &err);
        if (r != -EBADMSG)
            fail_msg("%s: %d", rows[i].json, r);
        assert_string_not_equal(err.text, "");
        assert_null(attachment);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(created_functions_are_found_after_the_commit),
        TEST(an_aborted_creation_leaves_no_trace),
        TEST(one_change_at_a_time),
        TEST(incomplete_drafts_are_refused),
        TEST(the_old_code_serves_until_the_new_is_deployed),
        TEST(unchanged_execution_is_not_retired),
        TEST(pending_and_failed_are_told_apart),
        TEST(numbers_are_never_used_twice),
        TEST(deleting_takes_everything_along),
        TEST(everything_survives_a_restart),
        TEST(what_serves_is_replaced_when_the_new_one_stands),
        TEST(a_published_version_can_change_its_state),
        TEST(pages_follow_the_names),
        TEST(damaged_code_is_failed_until_it_is_back),
        TEST(aliases_lead_to_versions),
        TEST(attachments_replace_and_survive_and_go),
        TEST(settings_of_asynchronous_calls_have_defaults),
        TEST(bad_attachments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
