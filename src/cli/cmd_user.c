// SPDX-License-Identifier: MIT
//
// lamina user add|list|delete: people with access keys of their own.
#include "cli/command.h"
#include "cli/event_file.h"
#include "cli/output.h"
#include "client/service.h"

#include "base/percent.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct option_spec options[] = {
    {.name = "policy",
     .kind = OPTION_TEXT,
     .metavar = "FILE|-|JSON",
     .help = "add: what the user may do, as an IAM policy"},
    {.name = "invoke",
     .kind = OPTION_TEXT,
     .metavar = "PATTERN",
     .help = "add: may invoke the functions of these names (* and ?), and nothing else"},
    {0},
};

struct people {
    const struct cli *cli;
    struct client *client;
    const char *name; // NULL: list
    struct buf path;
    char what[160];
};

// ---- add

// A policy for those who only call functions: every version and alias of the names that match.
static int append_invoke_policy(struct people *people, const char *pattern, struct buf *json,
                                struct error *err)
{
    struct service_limits limits;
    AUTO_BUF struct buf arn = BUF_INIT(1024);
    int r = service_limits(people->client, &limits, err);
    if (r < 0)
        return r;
    buf_printf(&arn, "arn:aws:lambda:*:%s:function:%s", limits.account_id, pattern);
    buf_append_text(json, "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
                          "\"Action\":\"lambda:InvokeFunction\",\"Resource\":[");
    json_append_string(json, buf_str(&arn));
    buf_append_text(&arn, ":*");
    buf_append_byte(json, ',');
    json_append_string(json, buf_str(&arn));
    buf_append_text(json, "]}]}");
    return buf_status(&arn);
}

static int append_policy(struct people *people, struct buf *json, struct error *err)
{
    const char *policy = option_text(&people->cli->options, "policy", NULL);
    const char *pattern = option_text(&people->cli->options, "invoke", NULL);
    if ((policy == NULL) == (pattern == NULL))
        return error_set(err, -EINVAL, "user add takes either --policy or --invoke");
    if (pattern != NULL)
        return append_invoke_policy(people, pattern, json, err);
    AUTO_BUF struct buf text = BUF_INIT(EVENT_BYTES_MAX + 1);
    int r = event_read(policy, &text, err);
    if (r == 0)
        buf_append_str(json, buf_str(&text));
    return r;
}

// The form of an AWS credentials file: `lamina user add ann ... >> ~/.aws/credentials`.
static int print_key(yyjson_val *root, struct error *err)
{
    struct str key, secret, name;
    if (json_member_str(root, "name", &name) < 0)
        return error_set(err, -EREMOTEIO, "the answer names no user");
    if (json_member_str(root, "access_key_id", &key) < 0 ||
        json_member_str(root, "secret_access_key", &secret) < 0) {
        output_note(false, "the policy of '" STR_FORMAT "' was replaced; its key stays",
                    STR_ARGUMENTS(name));
        return 0;
    }
    printf("[" STR_FORMAT "]\naws_access_key_id = " STR_FORMAT
           "\naws_secret_access_key = " STR_FORMAT "\n",
           STR_ARGUMENTS(name), STR_ARGUMENTS(key), STR_ARGUMENTS(secret));
    output_note(false, "the secret is shown this once");
    return 0;
}

static int run_add(struct people *people, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    AUTO_BUF struct buf json = BUF_INIT(EVENT_BYTES_MAX);
    buf_append_text(&json, "{\"Policy\":");
    int r = append_policy(people, &json, err);
    if (r < 0)
        return r;
    buf_append_byte(&json, '}');
    if (buf_status(&json) < 0)
        return error_set(err, buf_status(&json), "the policy is too long");
    r = service_put(people->client, people->path.data, buf_str(&json), people->what, &doc, err);
    if (r < 0)
        return r;
    return people->cli->is_json ? output_json_value(yyjson_doc_get_root(doc), err)
                                : print_key(yyjson_doc_get_root(doc), err);
}

// ---- list, delete

static void add_row(struct table *table, yyjson_val *user)
{
    static const char *const members[] = {"name", "access_key_id", "created"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        struct str text = {0};
        (void) !json_member_str(user, members[i], &text);
        table_cell(table, STR_FORMAT, STR_ARGUMENTS(text));
    }
}

static int run_list(struct people *people, struct error *err)
{
    static const char *const heads[] = {"NAME", "ACCESS KEY", "CREATED"};
    AUTO_JSON yyjson_doc *doc = NULL;
    yyjson_val *list, *user;
    struct table table;
    size_t i, count;

    int r = service_get(people->client, people->path.data, NULL, people->what, &doc, err);
    if (r < 0)
        return r;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (people->cli->is_json)
        return output_json_value(root, err);
    if (json_member_array(root, "users", &list) < 0)
        return error_set(err, -EREMOTEIO, "%s: the answer holds no list", people->what);
    table_init(&table, heads, ARRAY_SIZE(heads));
    yyjson_arr_foreach(list, i, count, user)
    {
        add_row(&table, user);
    }
    table_print(&table);
    table_done(&table);
    return EXIT_DONE;
}

static int run_delete(struct people *people, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    int r = service_delete(people->client, people->path.data, NULL, people->what, &doc, err);
    if (r == 0)
        output_note(people->cli->is_quiet, "the key of '%s' is refused from now on", people->name);
    return r;
}

static int run_action(struct people *people, const char *action, struct error *err)
{
    bool is_list = strcmp(action, "list") == 0;
    if (!is_list && strcmp(action, "add") != 0 && strcmp(action, "delete") != 0)
        return error_set(err, -EINVAL, "user takes add, list or delete, not '%.60s'", action);
    if (is_list != (people->name == NULL))
        return error_set(err, -EINVAL, is_list ? "user list takes no name" : "user %s needs a name",
                         action);
    (void) snprintf(people->what, sizeof people->what, "%s user%s%.70s", action,
                    is_list ? "s" : " ", is_list ? "" : people->name);
    buf_append_text(&people->path, "/lamina/v1/users");
    if (!is_list) {
        buf_append_byte(&people->path, '/');
        percent_append(&people->path, str_of(people->name), false);
    }
    int r = cli_connect((struct cli *) (uintptr_t) people->cli, &people->client, err);
    if (r < 0)
        return r;
    return is_list            ? run_list(people, err)
           : action[0] == 'a' ? run_add(people, err)
                              : run_delete(people, err);
}

static int run_user(struct cli *cli, struct error *err)
{
    struct people people = {.cli = cli, .name = cli->options.operands[1], .path = BUF_INIT(1024)};
    if (cli->options.operand_count < 2)
        people.name = NULL;
    int r = run_action(&people, cli->options.operands[0], err);
    client_free(people.client);
    buf_done(&people.path);
    return r;
}

const struct command cmd_user = {
    .name = "user",
    .usage = "add|list|delete [NAME] [--policy FILE | --invoke PATTERN]",
    .summary = "Gives people access keys of their own, and says what each may do",
    .details =
        "A user may do what its policy allows (IAM's JSON: Effect, Action, Resource), and\n"
        "nothing else. add prints the key in the form of an AWS credentials file, once; for a\n"
        "user that exists it replaces the policy. The service's own key may do everything.",
    .options = options,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_user,
};
