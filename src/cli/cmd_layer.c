// SPDX-License-Identifier: MIT
//
// lamina layer: what layers there are, and which functions take up new versions by themselves.
//
//   list                layers and their newest versions
//   follow FUNCTION     the tag lamina:follow-layers=true: new versions are taken up without a failed call
//   unfollow FUNCTION   without it: the versions that it has now stay
//   rollback FUNCTION   the version before, of each layer (or of LAYER alone), and no longer followed
#include "cli/command.h"
#include "cli/output.h"

#include "base/str.h"
#include "client/lambda.h"
#include "client/service.h"

#include <errno.h>
#include <string.h>

#define FOLLOW_TAG "lamina:follow-layers"
#define WAIT_MS 60000

// ---- list

static void print_layers(yyjson_val *layers)
{
    static const char *const heads[] = {"LAYER", ">NEWEST", "PUBLISHED", "DESCRIPTION"};
    struct table table;
    yyjson_val *layer;
    size_t index, count;

    table_init(&table, heads, ARRAY_SIZE(heads));
    yyjson_arr_foreach(layers, index, count, layer)
    {
        yyjson_val *version = json_member(layer, "LatestMatchingVersion");
        struct str created = json_str(json_member(version, "CreatedDate"));
        struct str description = json_str(json_member(version, "Description"));
        table_cell(&table, STR_FORMAT, STR_ARGUMENTS(json_str(json_member(layer, "LayerName"))));
        table_cell(&table, "%llu",
                   (unsigned long long) yyjson_get_uint(json_member(version, "Version")));
        table_cell(&table, STR_FORMAT, STR_ARGUMENTS(str_part(created, 0, 19)));
        table_cell(&table, STR_FORMAT, STR_ARGUMENTS(description));
    }
    table_print(&table);
    table_done(&table);
}

static int list_layers(struct cli *cli, struct client *client, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    int r = service_get(client, "/2018-10-31/layers", NULL, "list the layers", &doc, err);

    if (r < 0)
        return r;
    yyjson_val *layers = json_member(yyjson_doc_get_root(doc), "Layers");
    if (cli->is_json) {
        AUTO_BUF struct buf text = BUF_INIT(CLIENT_ANSWER_BYTES_MAX);
        char *json = yyjson_val_write(layers, YYJSON_WRITE_PRETTY, NULL);
        buf_append_text(&text, json != NULL ? json : "[]");
        buf_append_byte(&text, '\n');
        free(json);
        output_text(buf_str(&text));
        return EXIT_DONE;
    }
    print_layers(layers);
    return EXIT_DONE;
}

// ---- follow, unfollow

static int set_following(struct cli *cli, struct client *client, const char *name, bool is_on,
                         struct error *err)
{
    struct lambda_function function;
    int r = lambda_get(client, name, &function, err);

    if (r == 0)
        r = lambda_tag(client, function.arn, FOLLOW_TAG, is_on ? "true" : NULL, err);
    if (r < 0)
        return r;
    if (is_on && function.layer_count == 0)
        output_note(cli->is_quiet, "'%s' has no layers yet", name);
    output_note(cli->is_quiet,
                is_on ? "'%s' takes up new versions of its layers from now on"
                      : "'%s' keeps the layer versions that it has",
                name);
    return EXIT_DONE;
}

// ---- rollback

// arn:...:layer:NAME:NUMBER
static int split_arn(const char *arn, char name[144], uint64_t *ret_number, size_t *ret_prefix,
                     struct error *err)
{
    struct str text = str_of(arn);
    ptrdiff_t last = str_find_last(text, ':');
    ptrdiff_t before = last > 0 ? str_find_last(str_part(text, 0, (size_t) last), ':') : -1;

    if (before < 0 || str_to_u64(str_skip(text, (size_t) last + 1), INT64_MAX, ret_number) < 0 ||
        str_copy(str_part(text, (size_t) before + 1, (size_t) (last - before - 1)), name, 144) < 0)
        return error_set(err, -EREMOTEIO, "'%s' is no layer version", arn);
    *ret_prefix = (size_t) last;
    return 0;
}

// The version before, in place of the ARN. 1 when it moved; 0: not the layer that was asked for.
static int step_back(struct client *client, const char *only, char arn[256], struct error *err)
{
    char name[144];
    uint64_t number = 0;
    size_t prefix = 0;
    int r = split_arn(arn, name, &number, &prefix, err);

    if (r < 0 || (only != NULL && strcmp(only, name) != 0))
        return r;
    r = lambda_earlier_layer(client, name, number, &number, err);
    if (r < 0)
        return r;
    snprintf(arn + prefix, 256 - prefix, ":%llu", (unsigned long long) number);
    return 1;
}

static int roll_back(struct cli *cli, struct client *client, const char *name, const char *only,
                     struct error *err)
{
    struct lambda_settings settings = {0};
    struct lambda_function function;
    int moved = 0;
    int r = lambda_get(client, name, &function, err);

    for (unsigned i = 0; r >= 0 && i < function.layer_count; i++) {
        r = step_back(client, only, function.layers[i], err);
        moved += r > 0;
        settings.layers[settings.layer_count++] = function.layers[i];
    }
    if (r < 0)
        return r;
    if (moved == 0)
        return error_set(err, -ENOENT,
                         only != NULL ? "'%s' does not have the layer '%s'"
                                      : "'%s' has no layers%s",
                         name, only != NULL ? only : "");
    // First: otherwise the newest would be taken up again.
    r = lambda_tag(client, function.arn, FOLLOW_TAG, NULL, err);
    if (r == 0)
        r = lambda_update_settings(client, name, &settings, &function, err);
    if (r == 0)
        r = lambda_wait(client, name, WAIT_MS, &function, err);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < function.layer_count; i++)
        output_note(cli->is_quiet, "%s", function.layers[i]);
    output_note(cli->is_quiet, "'%s' no longer follows its layers (lamina layer follow %s)", name,
                name);
    return EXIT_DONE;
}

static int run_verb(struct cli *cli, struct client *client, struct error *err)
{
    const char *const *operands = cli->options.operands;
    size_t count = cli->options.operand_count;
    const char *verb = operands[0];
    const char *name = count > 1 ? operands[1] : NULL;

    if (strcmp(verb, "list") == 0 && count == 1)
        return list_layers(cli, client, err);
    if (strcmp(verb, "rollback") == 0 && name != NULL)
        return roll_back(cli, client, name, count > 2 ? operands[2] : NULL, err);
    if (strcmp(verb, "follow") == 0 && count == 2)
        return set_following(cli, client, name, true, err);
    if (strcmp(verb, "unfollow") == 0 && count == 2)
        return set_following(cli, client, name, false, err);
    error_set(err, -EINVAL,
              "layer takes: list, follow FUNCTION, unfollow FUNCTION, "
              "rollback FUNCTION [LAYER]");
    return -EINVAL;
}

static int run_layer(struct cli *cli, struct error *err)
{
    struct client *client = NULL;
    int r = cli_connect(cli, &client, err);

    if (r == 0)
        r = run_verb(cli, client, err);
    client_free(client);
    return r;
}

const struct command cmd_layer = {
    .name = "layer",
    .usage = "list | follow FUNCTION | unfollow FUNCTION | rollback FUNCTION [LAYER]",
    .summary = "Lists layers, and lets functions take up new versions of theirs",
    .details =
        "A function has the layer versions that it names, as on AWS. One that follows takes up\n"
        "the newest compatible version when it is published: instances are started beside the\n"
        "old ones, and no call fails; a version that does not start leaves the old one serving,\n"
        "and LastUpdateStatusReason says why. Published function versions never move.\n"
        "rollback goes back one version, and ends the following.",
    .operands_min = 1,
    .operands_max = 3,
    .run = run_layer,
};
