// SPDX-License-Identifier: MIT
//
// lamina package PATH: the zip that deploy would send, with all that AWS needs besides, as a file.
#include "cli/deployment.h"
#include "cli/output.h"

#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES ((size_t) 256 << 10)

static const struct option_spec options[] = {
    {.name = "lean",
     .kind = OPTION_FLAG,
     .help = "leave the engine out: for Lamina only, whose sandbox has it"},
    {.name = "no-limits", .kind = OPTION_FLAG, .help = "write it even if AWS would refuse it"},
    {.name = "dry-run", .kind = OPTION_FLAG, .help = "only count the bytes"},
    {0},
};

static int check_limits(const struct cli *cli, const struct package *package, struct error *err)
{
    const struct strategy_size size = deployment_size(package);
    char text[ERROR_TEXT_MAX];

    if (strategy_check(STRATEGY_PACKAGE, &size).fits)
        return 0;
    strategy_describe(&size, text, sizeof text);
    if (!option_is_given(&cli->options, "no-limits"))
        return error_set(err, -EFBIG, "%s", text);
    output_note(cli->is_quiet, "AWS would refuse this package: %s", text);
    return 0;
}

static int copy(int from, uint64_t size, int to, const char *name, struct error *err)
{
    char *block = malloc(COPY_BYTES);
    uint64_t at = 0;
    int r = block != NULL ? 0 : -ENOMEM;

    while (r == 0 && at < size) {
        ssize_t n = pread(from, block, COPY_BYTES, (off_t) at);
        if (n < 0 && errno == EINTR)
            continue;
        r = n < 0 ? -errno : n == 0 ? -ESTALE : fd_write_all(to, block, (size_t) n);
        at += n > 0 ? (uint64_t) n : 0;
    }
    free(block);
    return r < 0 ? error_set_errno(err, r, "write '%s'", name) : 0;
}

// Beside its place first, then renamed: half a zip is never seen under the name.
static int write_file(const struct package *package, const char *name, struct error *err)
{
    AUTO_BUF struct buf temporary = BUF_INIT(4096);

    buf_printf(&temporary, "%s.%ld.tmp", name, (long) getpid());
    int r = buf_status(&temporary);
    if (r < 0)
        return error_set_errno(err, r, "write '%s'", name);
    AUTO_FD int fd = open(temporary.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set_errno(err, -errno, "write '%s'", name);
    r = copy(package->fd, package->zip_bytes, fd, name, err);
    if (r == 0 && rename(temporary.data, name) < 0)
        r = error_set_errno(err, -errno, "write '%s'", name);
    if (r < 0)
        (void) unlink(temporary.data);
    return r;
}

static int write_out(const struct package *package, const char *name, struct error *err)
{
    if (strcmp(name, "-") != 0)
        return write_file(package, name, err);
    if (output_is_terminal(STDOUT_FILENO))
        return error_set(err, -EINVAL, "a zip archive does not go to a terminal: name a file");
    return copy(package->fd, package->zip_bytes, STDOUT_FILENO, "stdout", err);
}

static int print_json(const struct package *package, const char *name, struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    const struct strategy_size size = deployment_size(package);

    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "schema", 1);
    if (name != NULL)
        json_add_visible(doc, root, "file", name);
    yyjson_mut_obj_add_uint(doc, root, "zip_bytes", package->zip_bytes);
    yyjson_mut_obj_add_uint(doc, root, "unzipped_bytes", package->unzipped_bytes);
    yyjson_mut_obj_add_uint(doc, root, "entries", package->entries);
    json_add_str(doc, root, "sha256", str_of(package->sha256_hex));
    json_add_str(doc, root, "handler",
                 str_of(package->handler[0] != '\0' ? package->handler : "bootstrap"));
    yyjson_mut_val *fits = yyjson_mut_obj_add_obj(doc, root, "fits");
    for (int i = 0; i < STRATEGY_COUNT; i++)
        yyjson_mut_obj_add_bool(doc, fits, strategy_name((enum strategy) i),
                                strategy_check((enum strategy) i, &size).fits);
    return output_json(doc, err);
}

static int print_table(const struct cli *cli, const struct package *package, const char *name,
                       struct error *err)
{
    const struct strategy_size size = deployment_size(package);
    char zip[32], unzipped[32], text[ERROR_TEXT_MAX];

    bytes_describe(package->zip_bytes, zip, sizeof zip);
    bytes_describe(package->unzipped_bytes, unzipped, sizeof unzipped);
    strategy_describe(&size, text, sizeof text);
    bool is_piped = name != NULL && strcmp(name, "-") == 0;
    AUTO_BUF struct buf lines = BUF_INIT(8192);
    buf_printf(&lines, "%s%s%s zipped (%llu bytes), %s unzipped (%llu bytes)\n%s\n",
               name != NULL && !is_piped ? name : "", name != NULL && !is_piped ? ": " : "", zip,
               (unsigned long long) package->zip_bytes, unzipped,
               (unsigned long long) package->unzipped_bytes, text);
    if (is_piped)
        output_note(cli->is_quiet, STR_FORMAT, (int) lines.size - 1, lines.data);
    else
        output_text(buf_str(&lines));
    if (package->handler[0] != '\0' && !is_piped)
        output_note(cli->is_quiet,
                    "on AWS: aws lambda create-function --function-name NAME --runtime "
                    "provided.al2023 --handler %s --role ROLE --memory-size 1769 --timeout 30 "
                    "--zip-file fileb://%s",
                    package->handler, name != NULL ? name : "FILE");
    return EXIT_DONE;
}

static int run(struct cli *cli, const struct package_options *runtime, struct package *package,
               struct error *err)
{
    const struct option_set *set = &cli->options;
    const char *path = set->operands[0];
    char function[65], file[80];

    // The unzipped size is known before anything is compressed.
    int r = package_measure(path, runtime, package, err);
    if (r == 0)
        r = check_limits(cli, package, err);
    if (r == 0)
        r = package_build(path, runtime, package, err);
    if (r == 0)
        r = check_limits(cli, package, err);
    if (r < 0)
        return r;
    const char *name = set->operand_count > 1 ? set->operands[1] : NULL;
    if (option_is_given(set, "dry-run")) {
        name = NULL;
    } else {
        if (name == NULL) {
            r = package_name(path, function, err);
            snprintf(file, sizeof file, "%s.zip", function);
            name = file;
            if (r == 0 && package->kind == PACKAGE_ZIP)
                r = error_set(err, -EINVAL, "'%s' is a zip already: name the file to write", path);
        }
        if (r == 0)
            r = write_out(package, name, err);
        if (r < 0)
            return r;
    }
    return cli->is_json && (name == NULL || strcmp(name, "-") != 0)
               ? print_json(package, name, err)
               : print_table(cli, package, name, err);
}

static int run_package(struct cli *cli, struct error *err)
{
    bool is_lean = option_is_given(&cli->options, "lean");
    struct deployment_runtime runtime = {0};
    struct package package = {.fd = -1};

    int r = deployment_find_runtime(is_lean ? DEPLOYMENT_FOR_LAMINA : DEPLOYMENT_FOR_AWS, &runtime,
                                    err);
    if (r == 0)
        r = run(cli, &runtime.options, &package, err);
    package_done(&package);
    deployment_runtime_done(&runtime);
    return r;
}

const struct command cmd_package = {
    .name = "package",
    .usage = "PATH [FILE.zip|-]",
    .summary = "Writes the zip of a model or a directory, which also runs on AWS",
    .details =
        "Of a model file: bootstrap (Lamina's runtime), the model and its engine. Default\n"
        "file: NAME.zip here. When AWS would refuse the zip, nothing is written and every\n"
        "limit is named with the bytes that are too many. Needs no service.",
    .options = options,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_package,
};
