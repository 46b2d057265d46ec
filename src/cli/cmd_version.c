// SPDX-License-Identifier: MIT
//
// lamina version
#include "cli/command.h"
#include "cli/output.h"

#include <stdio.h>

static int run_version(struct cli *cli, struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = NULL;

    if (!cli->is_json) {
        printf("lamina %s\n", LAMINA_VERSION);
        return EXIT_DONE;
    }
    doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "version", LAMINA_VERSION);
    return output_json(doc, err);
}

const struct command cmd_version = {
    .name = "version",
    .usage = "",
    .summary = "Prints the version",
    .run = run_version,
};
