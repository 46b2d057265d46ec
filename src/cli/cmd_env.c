// SPDX-License-Identifier: MIT
//
// lamina env: eval "$(lamina env)" and every AWS client of this shell talks to Lamina.
#include "cli/command.h"
#include "cli/output.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define VARIABLES_MAX 8

struct variable {
    const char *name;
    const char *value; // NULL: to be unset
};

// 'it'\''s': what a shell reads as exactly this text.
static void append_quoted(struct buf *out, const char *text)
{
    buf_append_byte(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buf_append_text(out, "'\\''");
        else
            buf_append_byte(out, *text);
    }
    buf_append_byte(out, '\'');
}

// Each line ends in ';' so that eval $(lamina env), without quotes, is right too.
static void print_shell(const struct variable *variables, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        AUTO_BUF struct buf line = BUF_INIT(65536);
        if (variables[i].value == NULL) {
            printf("unset %s;\n", variables[i].name);
            continue;
        }
        buf_printf(&line, "export %s=", variables[i].name);
        append_quoted(&line, variables[i].value);
        printf("%s;\n", line.data);
    }
}

static int print_json(const struct variable *variables, size_t count, struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);

    yyjson_mut_doc_set_root(doc, root);
    for (size_t i = 0; i < count; i++) {
        if (variables[i].value != NULL)
            yyjson_mut_obj_add_strcpy(doc, root, variables[i].name, variables[i].value);
    }
    return output_json(doc, err);
}

// What the shell has set for another service would beat or break what we export.
static size_t add_unset(struct variable *variables, size_t count, const char *name)
{
    if (getenv(name) == NULL)
        return count;
    variables[count] = (struct variable){.name = name};
    return count + 1;
}

static int run_env(struct cli *cli, struct error *err)
{
    struct variable variables[VARIABLES_MAX];
    struct target target;
    size_t count = 0;

    // "lamina env" is asked what the service's own values are, not what the shell has already.
    if (cli->target.data_dir == NULL && cli->target.profile == NULL) {
        const char *data_dir = getenv("LAMINA_DATA_DIR");
        cli->target.data_dir =
            data_dir != NULL && data_dir[0] != '\0' ? data_dir : TARGET_DATA_DIR_DEFAULT;
    }
    int r = target_resolve(&cli->target, &target, err);
    if (r < 0)
        return r;
    const struct target_credentials *credentials = &target.credentials;
    variables[count++] = (struct variable){"AWS_ENDPOINT_URL", target.endpoint};
    variables[count++] = (struct variable){"AWS_ACCESS_KEY_ID", credentials->access_key};
    variables[count++] = (struct variable){"AWS_SECRET_ACCESS_KEY", credentials->secret_key};
    variables[count++] = (struct variable){"AWS_REGION", target.region};
    variables[count++] = (struct variable){"AWS_DEFAULT_REGION", target.region};
    if (credentials->session_token[0] != '\0')
        variables[count++] = (struct variable){"AWS_SESSION_TOKEN", credentials->session_token};
    else
        count = add_unset(variables, count, "AWS_SESSION_TOKEN");
    count = add_unset(variables, count, "AWS_PROFILE");
    count = add_unset(variables, count, "AWS_ENDPOINT_URL_LAMBDA");
    if (cli->is_json)
        return print_json(variables, count, err);
    print_shell(variables, count);
    return EXIT_DONE;
}

const struct command cmd_env = {
    .name = "env",
    .usage = "[--data-dir DIR]",
    .summary = "Prints the export lines that point AWS clients at Lamina",
    .details =
        "  eval \"$(lamina env)\"\n"
        "  aws --endpoint-url \"$AWS_ENDPOINT_URL\" lambda list-functions\n\n"
        "AWS CLI 2.13 and later, boto3 1.28 and later read AWS_ENDPOINT_URL themselves; older\n"
        "ones, such as Debian 12's, need --endpoint-url (boto3: endpoint_url=). Reading the\n"
        "credentials takes the rights of the service's user or of root.",
    .run = run_env,
};
