// SPDX-License-Identifier: MIT
//
// lamina logs NAME: what a function wrote, oldest first; with --follow also what it is going to.
#include "cli/command.h"
#include "cli/output.h"
#include "client/service.h"

#include "base/percent.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define PAGE_EVENTS 1000
#define FOLLOW_PAUSE_MS 300

static const struct option_spec options[] = {
    {.name = "follow", .letter = 'f', .kind = OPTION_FLAG, .help = "go on until interrupted"},
    {.name = "limit",
     .letter = 'n',
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .minimum = 1,
     .maximum = 1000,
     .help = "only the last N lines (default: all that are kept)"},
    {.name = "time", .letter = 't', .kind = OPTION_FLAG, .help = "each line's time in front"},
    {0},
};

struct reader {
    const struct cli *cli;
    struct client *client;
    struct buf path;
    char what[200];
    char after[24]; // the position of the last event that was seen
    bool has_time;
};

static bool is_decimal(struct str text)
{
    uint64_t value;

    return str_to_u64(text, UINT64_MAX, &value) == 0;
}

static void print_event(const struct reader *reader, yyjson_val *event)
{
    struct str text = {0}, time = {0};
    AUTO_BUF struct buf line = BUF_INIT((size_t) 8 << 20);

    (void) !json_member_str(event, "text", &text);
    (void) !json_member_str(event, "time", &time);
    if (reader->has_time)
        buf_printf(&line, STR_FORMAT " ", STR_ARGUMENTS(time));
    // A line of the log is a line here: what the function put into it is made visible.
    if (str_has_suffix(text, STR("\n")))
        text.size--;
    buf_append_str(&line, text);
    buf_append_byte(&line, '\n');
    output_text(buf_str(&line));
}

static int print_event_json(yyjson_val *event, struct error *err)
{
    char *text = yyjson_val_write(event, 0, NULL);

    if (text == NULL)
        return error_set(err, -EINVAL, "cannot print a log event as JSON");
    puts(text);
    free(text);
    return 0;
}

static int visit_events(struct reader *reader, yyjson_val *events, struct error *err)
{
    yyjson_val *event;
    size_t i, count;
    int r = 0;

    yyjson_arr_foreach(events, i, count, event)
    {
        if (reader->cli->is_json)
            r = print_event_json(event, err);
        else
            print_event(reader, event);
        if (r < 0)
            return r;
    }
    return 0;
}

// One page after the last event that was seen, or (at the start, when only the end is wanted) the
// last `limit` events. *ret_count: how many came. Positions are texts: they are beyond what JSON
// readers keep exactly.
static int read_page(struct reader *reader, uint64_t limit, bool is_tail, size_t *ret_count,
                     struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    yyjson_val *events = NULL;
    struct str next = {0};
    char query[80];

    if (is_tail)
        snprintf(query, sizeof query, "limit=%llu", (unsigned long long) limit);
    else
        snprintf(query, sizeof query, "after=%s&limit=%llu", reader->after,
                 (unsigned long long) limit);
    int r = service_get(reader->client, reader->path.data, query, reader->what, &doc, err);
    if (r < 0)
        return r;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (json_member_array(root, "events", &events) < 0)
        return error_set(err, -EREMOTEIO, "%s: the answer holds no events", reader->what);
    if (json_member_str(root, "next", &next) == 0 && next.size > 0 && is_decimal(next))
        (void) !str_copy(next, reader->after, sizeof reader->after);
    *ret_count = yyjson_arr_size(events);
    return visit_events(reader, events, err);
}

static int read_all(struct reader *reader, struct error *err)
{
    const struct option_set *set = &reader->cli->options;
    bool is_tail = option_is_given(set, "limit");
    bool is_following = option_is_given(set, "follow");
    size_t count = 0;

    for (;;) {
        uint64_t limit = is_tail ? option_number(set, "limit", PAGE_EVENTS) : PAGE_EVENTS;
        int r = read_page(reader, limit, is_tail, &count, err);
        if (r < 0)
            return r;
        if (output_flush() < 0)
            return EXIT_FAILED; // main tells why
        bool is_end = is_tail || count == 0;
        if (is_end && !is_following)
            return EXIT_DONE;
        is_tail = false;
        const struct timespec pause = {.tv_nsec = FOLLOW_PAUSE_MS * 1000000L};
        if (is_end)
            (void) nanosleep(&pause, NULL);
    }
}

static int run_logs(struct cli *cli, struct error *err)
{
    struct reader reader = {
        .cli = cli,
        .path = BUF_INIT(2048),
        .after = "1", // everything: positions are nanoseconds since 1970
        .has_time = option_is_given(&cli->options, "time"),
    };

    snprintf(reader.what, sizeof reader.what, "read the logs of '%.140s'",
             cli->options.operands[0]);
    buf_append_text(&reader.path, "/lamina/v1/functions/");
    percent_append(&reader.path, str_of(cli->options.operands[0]), false);
    buf_append_text(&reader.path, "/logs");
    int r = buf_status(&reader.path);
    if (r < 0)
        r = error_set_errno(err, r, "%s", reader.what);
    if (r == 0)
        r = cli_connect(cli, &reader.client, err);
    if (r == 0)
        r = read_all(&reader, err);
    client_free(reader.client);
    buf_done(&reader.path);
    return r;
}

const struct command cmd_logs = {
    .name = "logs",
    .usage = "NAME [--follow]",
    .summary = "Shows what a function wrote, with the START, END and REPORT lines",
    .details =
        "Control characters are made visible: what a function prints cannot reach the terminal\n"
        "raw. With -o json each event is one JSON object on a line of its own.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_logs,
};
