// SPDX-License-Identifier: MIT
//
// lamina dead-letters list|retry|purge FUNCTION: asynchronous events that were given up.
#include "cli/command.h"
#include "cli/flat.h"
#include "cli/output.h"
#include "client/service.h"

#include "base/percent.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGE_LETTERS 100

static const struct option_spec options[] = {
    {.name = "id", .kind = OPTION_TEXT, .metavar = "ID", .help = "retry, purge: this one only"},
    {0},
};

static const struct column {
    const char *head;
    const char *member;
} columns[] = {
    {"ID", "id"},
    {"SUBMITTED", "submitted"},
    {"DIED", "died"},
    {">TRIES", "tries"},
    {"REASON", "reason"},
    {"ERROR", "error"},
    {">SIZE", "payload_bytes"},
};

struct letters {
    const struct cli *cli;
    struct client *client;
    struct buf path;
    char what[200];
};

static void add_row(struct table *table, yyjson_val *letter)
{
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        char text[256];
        flat_leaf(columns[i].member, json_member(letter, columns[i].member), text, sizeof text);
        table_cell(table, "%s", text);
    }
}

static int print_line(yyjson_val *letter, struct error *err)
{
    char *line = yyjson_val_write(letter, 0, NULL);

    if (line == NULL)
        return error_set(err, -EINVAL, "cannot print a dead letter as JSON");
    puts(line);
    free(line);
    return 0;
}

// One page into the table, or onto stdout. *ret_next: what to ask for after it; empty at the end.
static int list_page(struct letters *letters, struct table *table, struct buf *query,
                     struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    yyjson_val *list = NULL, *letter;
    int64_t next = 0;
    size_t i, count;

    int r = service_get(letters->client, letters->path.data, query->data, letters->what, &doc, err);
    if (r < 0)
        return r;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (json_member_array(root, "dead_letters", &list) < 0)
        return error_set(err, -EREMOTEIO, "%s: the answer holds no list", letters->what);
    yyjson_arr_foreach(list, i, count, letter)
    {
        if (!letters->cli->is_json)
            add_row(table, letter);
        else if ((r = print_line(letter, err)) < 0)
            return r;
    }
    buf_clear(query);
    if (count > 0 && json_member_i64(root, "next", 0, INT64_MAX, &next) == 0)
        buf_printf(query, "limit=%d&after=%lld", PAGE_LETTERS, (long long) next);
    return buf_status(query);
}

static int run_list(struct letters *letters, struct error *err)
{
    AUTO_BUF struct buf query = BUF_INIT(1024);
    const char *heads[ARRAY_SIZE(columns)];
    struct table table;
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        heads[i] = columns[i].head;
    table_init(&table, heads, ARRAY_SIZE(columns));
    buf_printf(&query, "limit=%d", PAGE_LETTERS);
    do {
        r = list_page(letters, &table, &query, err);
    } while (r == 0 && query.size > 0);
    if (r == 0 && !letters->cli->is_json) {
        if (table.cell_count == ARRAY_SIZE(columns))
            output_note(letters->cli->is_quiet, "there are no dead letters");
        else
            table_print(&table);
    }
    table_done(&table);
    return r;
}

// Retry and purge: one call, which tells how many it concerned.
static int run_change(struct letters *letters, bool is_retry, struct error *err)
{
    const char *id = option_text(&letters->cli->options, "id", NULL);
    AUTO_BUF struct buf query = BUF_INIT(1024);
    AUTO_JSON yyjson_doc *doc = NULL;
    int64_t count = 0;

    if (id != NULL) {
        buf_append_text(&query, "id=");
        percent_append(&query, str_of(id), false);
    }
    if (is_retry)
        buf_append_text(&letters->path, "/retry");
    int r = is_retry ? service_post(letters->client, letters->path.data, query.data, letters->what,
                                    &doc, err)
                     : service_delete(letters->client, letters->path.data, query.data,
                                      letters->what, &doc, err);
    if (r < 0)
        return r;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (letters->cli->is_json)
        return output_json_value(root, err);
    (void) !json_member_i64(root, is_retry ? "retried" : "purged", 0, INT64_MAX, &count);
    output_note(letters->cli->is_quiet,
                is_retry ? "%lld are tried again" : "%lld are gone for good", (long long) count);
    return EXIT_DONE;
}

static int find_action(const char *word, struct error *err)
{
    static const char *const actions[] = {"list", "retry", "purge"};

    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        if (strcmp(actions[i], word) == 0)
            return (int) i;
    }
    return error_set(err, -EINVAL, "dead-letters takes list, retry or purge, not '%.60s'", word);
}

static int run_dead_letters(struct cli *cli, struct error *err)
{
    const char *function = cli->options.operands[1];
    struct letters letters = {.cli = cli, .path = BUF_INIT(2048)};

    int action = find_action(cli->options.operands[0], err);
    if (action < 0)
        return action;
    snprintf(letters.what, sizeof letters.what, "the dead letters of '%.140s'", function);
    buf_append_text(&letters.path, "/lamina/v1/functions/");
    percent_append(&letters.path, str_of(function), false);
    buf_append_text(&letters.path, "/dead-letters");
    int r = cli_connect(cli, &letters.client, err);
    if (r == 0)
        r = action == 0 ? run_list(&letters, err) : run_change(&letters, action == 1, err);
    client_free(letters.client);
    buf_done(&letters.path);
    return r;
}

const struct command cmd_dead_letters = {
    .name = "dead-letters",
    .usage = "list|retry|purge FUNCTION [--id ID]",
    .summary = "Shows, tries again or removes asynchronous events that were given up",
    .details =
        "An event of invoke --async that a function could not handle, after its retries or past "
        "its\n"
        "age, is kept here unless the function has a destination for it. With -o json each is one\n"
        "JSON object on a line, its payload included.",
    .options = options,
    .operands_min = 2,
    .operands_max = 2,
    .run = run_dead_letters,
};
