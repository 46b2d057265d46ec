// SPDX-License-Identifier: MIT
//
// lamina invoke NAME: the payload goes out byte for byte as the function answered it; the log's
// tail goes to stderr.
#include "cli/command.h"
#include "cli/event_file.h"
#include "cli/output.h"
#include "client/lambda.h"

#include "base/json.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct option_spec options[] = {
    {.name = "event",
     .letter = 'e',
     .kind = OPTION_TEXT,
     .metavar = "FILE|-",
     .help = "the event: a file, - for stdin, or JSON itself when it starts with { or ["},
    {.name = "qualifier",
     .kind = OPTION_TEXT,
     .metavar = "VERSION",
     .help = "which version (default: the newest code, $LATEST)"},
    {.name = "timeout",
     .kind = OPTION_NUMBER,
     .metavar = "S",
     .minimum = 1,
     .maximum = 86400,
     .help = "give up after so many seconds (default: never)"},
    {.name = "async",
     .kind = OPTION_FLAG,
     .help = "do not wait: the service keeps the event until the function has handled it"},
    {.name = "dry-run", .kind = OPTION_FLAG, .help = "only check that it could be invoked"},
    {0},
};

// On a terminal the payload is made visible and ends its line; into a file or a pipe it goes as
// it is.
static void print_payload(const struct buf *payload)
{
    if (!output_is_terminal(STDOUT_FILENO)) {
        if (payload->size > 0)
            fwrite(payload->data, 1, payload->size, stdout);
        return;
    }
    output_text(buf_str(payload));
    if (payload->size == 0 || payload->data[payload->size - 1] != '\n')
        fputc('\n', stdout);
}

static void print_log_tail(const struct client_answer *answer)
{
    if (answer->log_tail == NULL || answer->log_tail[0] == '\0')
        return;
    struct str tail = str_of(answer->log_tail);
    if (str_has_suffix(tail, STR("\n")))
        tail.size--;
    output_note(false, STR_FORMAT, STR_ARGUMENTS(tail));
}

static int print_as_json(const struct client_answer *answer, struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    AUTO_JSON yyjson_doc *payload = NULL;
    yyjson_mut_val *root = yyjson_mut_obj(doc);

    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_int(doc, root, "status", answer->status);
    if (answer->function_error[0] != '\0')
        json_add_str(doc, root, "function_error", str_of(answer->function_error));
    else
        yyjson_mut_obj_add_null(doc, root, "function_error");
    json_add_str(doc, root, "executed_version", str_of(answer->executed_version));
    json_add_str(doc, root, "request_id", str_of(answer->request_id));
    yyjson_mut_obj_add_real(doc, root, "total_ms", (double) answer->total_ns / 1e6);
    // A payload is JSON by custom only: what is not goes in as a text.
    if (json_parse(buf_str(&answer->body), CLIENT_ANSWER_BYTES_MAX, &payload, NULL) == 0) {
        yyjson_mut_obj_add_val(doc, root, "payload",
                               yyjson_val_mut_copy(doc, yyjson_doc_get_root(payload)));
    } else {
        AUTO_BUF struct buf text = BUF_INIT(4 * CLIENT_ANSWER_BYTES_MAX);
        text_visible(&text, buf_str(&answer->body), true);
        json_add_str(doc, root, "payload_text", buf_str(&text));
    }
    if (answer->log_tail != NULL) {
        AUTO_BUF struct buf text = BUF_INIT(65536);
        text_visible(&text, str_of(answer->log_tail), true);
        json_add_str(doc, root, "log_tail", buf_str(&text));
    }
    return output_json(doc, err);
}

static int print_answer(const struct cli *cli, const struct client_answer *answer,
                        struct error *err)
{
    if (cli->is_json) {
        int r = print_as_json(answer, err);
        if (r < 0)
            return r;
    } else {
        if (!cli->is_quiet)
            print_log_tail(answer);
        print_payload(&answer->body);
    }
    if (cli->is_verbose)
        output_note(false, "%.3f ms, version %s, request %s", (double) answer->total_ns / 1e6,
                    answer->executed_version, answer->request_id);
    if (answer->function_error[0] == '\0')
        return EXIT_DONE;
    output_error("the function reported an error (%s)", answer->function_error);
    return EXIT_FUNCTION_ERROR;
}

static int run_invoke(struct cli *cli, struct error *err)
{
    const struct option_set *set = &cli->options;
    AUTO_BUF struct buf event = BUF_INIT(EVENT_BYTES_MAX + 1);
    struct client_answer answer;
    struct client *client = NULL;

    int r = event_read(option_text(set, "event", NULL), &event, err);
    if (r == 0)
        r = cli_connect(cli, &client, err);
    if (r < 0)
        return r;
    const struct lambda_call call = {
        .name = set->operands[0],
        .qualifier = option_text(set, "qualifier", NULL),
        .payload = event.data != NULL ? event.data : "",
        .payload_size = event.size,
        .wants_log_tail = !option_is_given(set, "async"),
        .is_dry_run = option_is_given(set, "dry-run"),
        .is_event = option_is_given(set, "async"),
        .timeout_ms = (unsigned) option_number(set, "timeout", 0) * 1000,
    };
    r = lambda_invoke(client, &call, &answer, err);
    if (r == 0 && call.is_dry_run)
        output_note(cli->is_quiet, "'%s' can be invoked", call.name);
    else if (r == 0 && call.is_event && !cli->is_json)
        output_note(cli->is_quiet, "'%s' has the event (request %s); see lamina logs %s", call.name,
                    answer.request_id, call.name);
    else if (r == 0)
        r = print_answer(cli, &answer, err);
    client_answer_done(&answer);
    client_free(client);
    return r;
}

const struct command cmd_invoke = {
    .name = "invoke",
    .usage = "NAME [-e FILE|-]",
    .summary = "Calls a function and prints its answer",
    .details =
        "Without an event, {} is sent: a model then answers with its metadata (inputs, outputs,\n"
        "shapes). The answer goes to stdout, the end of the log to stderr (-q: not). With\n"
        "-o json both come as one JSON object. Exit status 3: the function reported an error.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_invoke,
};
