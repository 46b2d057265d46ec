// SPDX-License-Identifier: MIT
//
// lamina deploy PATH: a model file, a zip or a directory becomes a function, or the new code of one.
//
//   measure ─► compare with the limits ─► build the zip ─► create, or update settings and code
//           ─► wait until the service says Active
#include "cli/deploy_job.h"
#include "cli/interrupt.h"
#include "cli/requirements.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

static const struct option_spec options[] = {
    {.name = "name",
     .kind = OPTION_TEXT,
     .metavar = "NAME",
     .help = "the function's name (default: the file's base name)"},
    {.name = "strategy",
     .kind = OPTION_CHOICE,
     .metavar = "STRATEGY",
     .choices = "package|layer|image|s3|endpoint|filesystem",
     .help = "where the model lives (default: package)"},
    {.name = "filesystem",
     .kind = OPTION_TEXT,
     .metavar = "NAME|ID|ARN|DIR",
     .help = "filesystem: where the model is copied to (default: models)"},
    {.name = "destination",
     .kind = OPTION_TEXT,
     .metavar = "PATH",
     .help = "filesystem: its path there (default: NAME/FILE)"},
    {.name = "filesystems-file",
     .kind = OPTION_TEXT,
     .metavar = "FILE",
     .help = "filesystem: as of lamina filesystem"},
    {.name = "memory",
     .kind = OPTION_NUMBER,
     .metavar = "MB",
     .minimum = LIMIT_MEMORY_MB_MIN,
     .maximum = LIMIT_MEMORY_MB_MAX,
     .help = "memory, and CPU with it (default for models: 1769)"},
    {.name = "timeout",
     .kind = OPTION_NUMBER,
     .metavar = "S",
     .minimum = LIMIT_TIMEOUT_S_MIN,
     .maximum = LIMIT_TIMEOUT_S_MAX,
     .help = "longest call (default for models: 30)"},
    {.name = "tmp",
     .kind = OPTION_NUMBER,
     .metavar = "MB",
     .minimum = LIMIT_TMP_MB_MIN,
     .maximum = LIMIT_TMP_MB_MAX,
     .help = "size of /tmp (default: 512)"},
    {.name = "handler",
     .kind = OPTION_TEXT,
     .metavar = "HANDLER",
     .help = "what the bootstrap is told (default for models: the model's file name)"},
    {.name = "runtime",
     .kind = OPTION_TEXT,
     .metavar = "RUNTIME",
     .help = "default: provided.al2023"},
    {.name = "role",
     .kind = OPTION_TEXT,
     .metavar = "ARN",
     .help = "default: role/lamina of the service's account"},
    {.name = "description", .kind = OPTION_TEXT, .metavar = "TEXT", .help = "for people"},
    {.name = "env",
     .kind = OPTION_LIST,
     .metavar = "NAME=VALUE",
     .help = "a variable for the function; may be repeated, replaces those there are"},
    {.name = "wait",
     .kind = OPTION_NUMBER,
     .metavar = "S",
     .minimum = 1,
     .maximum = 86400,
     .help = "wait so long for the function to become active (default: 300)"},
    {.name = "dry-run", .kind = OPTION_FLAG, .help = "check everything, send nothing"},
    {0},
};

// ---- Limits

// Before anything is compressed or sent: 1 when it fits or the service takes it anyway.
static int check_limits(const struct deploy_job *job, struct error *err)
{
    const struct strategy_size size = deploy_size(job);
    char text[ERROR_TEXT_MAX];

    if (strategy_check(job->strategy, &size).fits || strcmp(job->limits.aws_limits, "off") == 0)
        return 0;
    strategy_describe(&size, text, sizeof text);
    if (strcmp(job->limits.aws_limits, "warn") == 0) {
        output_note(job->cli->is_quiet, "AWS would refuse this package: %s", text);
        return 0;
    }
    return error_set(err, -EFBIG, "%s", text);
}

static int check_bootstrap(const struct deploy_job *job, struct error *err)
{
    const char *runtime = job->settings.runtime;
    bool needs_bootstrap = runtime == NULL || strncmp(runtime, "provided", 8) == 0;

    if (job->package.has_bootstrap || !needs_bootstrap)
        return 0;
    return error_set(err, -EINVAL,
                     "'%s' holds no 'bootstrap' and is not one model; a Python or Node.js handler "
                     "needs --runtime and --handler (--runtime python3.11 --handler app.handler)",
                     job->path);
}

// ---- Telling

static int print_json(const struct deploy_job *job, struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);

    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "schema", 1);
    yyjson_mut_obj_add_str(doc, root, "name", job->name);
    yyjson_mut_obj_add_str(doc, root, "action", job->action);
    yyjson_mut_obj_add_str(doc, root, "strategy", strategy_name(job->strategy));
    json_add_str(doc, root, "arn", str_of(job->function.arn));
    json_add_str(doc, root, "state", str_of(job->function.state));
    json_add_str(doc, root, "handler", str_of(job->function.handler));
    yyjson_mut_obj_add_uint(doc, root, "memory_mb", job->function.memory_mb);
    yyjson_mut_obj_add_uint(doc, root, "timeout_s", job->function.timeout_s);
    yyjson_mut_obj_add_str(doc, root, "zip_sha256", job->package.sha256_hex);
    yyjson_mut_obj_add_uint(doc, root, "zip_bytes", job->package.zip_bytes);
    yyjson_mut_obj_add_uint(doc, root, "unzipped_bytes", job->package.unzipped_bytes);
    yyjson_mut_obj_add_uint(doc, root, "model_bytes", deploy_size(job).model_bytes);
    if (job->strategy == STRATEGY_LAYER) {
        json_add_str(doc, root, "layer", str_of(job->layer_version.version_arn));
        yyjson_mut_obj_add_uint(doc, root, "layer_zip_bytes", job->layer.zip_bytes);
        yyjson_mut_obj_add_bool(doc, root, "is_layer_new", job->is_layer_new);
    }
    yyjson_mut_obj_add_real(doc, root, "seconds",
                            (double) (clock_monotonic_ns() - job->start_ns) / 1e9);
    return output_json(doc, err);
}

static int print_result(const struct deploy_job *job, struct error *err)
{
    char zip[32], unzipped[32];

    if (job->cli->is_json)
        return print_json(job, err);
    bytes_describe(job->package.zip_bytes, zip, sizeof zip);
    bytes_describe(job->package.unzipped_bytes, unzipped, sizeof unzipped);
    AUTO_BUF struct buf line = BUF_INIT(2048);
    buf_printf(&line, "%s %s (%s zipped, %s unzipped", job->name, job->action, zip, unzipped);
    if (job->function.memory_mb != 0)
        buf_printf(&line, ", %u MB of memory", job->function.memory_mb);
    buf_printf(&line, ") in %.2f s\n", (double) (clock_monotonic_ns() - job->start_ns) / 1e9);
    output_text(buf_str(&line));
    if (strcmp(job->action, "created") == 0)
        output_note(job->cli->is_quiet, "call it: lamina invoke %s -e FILE", job->name);
    return EXIT_DONE;
}

// ---- The whole

static int look_up(struct deploy_job *job, bool *ret_exists, struct error *err)
{
    int r = lambda_get(job->client, job->name, &job->function, err);

    if (r == -ENOENT) {
        error_clear(err);
        job->function = (struct lambda_function){0};
        *ret_exists = false;
        return 0;
    }
    *ret_exists = true;
    return r;
}

// What can be wrong is found before the service is asked, except for its own limits.
static int prepare(struct deploy_job *job, const struct package_options *runtime, struct error *err)
{
    int r = deploy_take_strategy(job, err);

    if (r == 0)
        r = deploy_take_variables(job, err);
    if (r == 0)
        r = deploy_take_name(job, err);
    if (r == 0 && job->strategy == STRATEGY_S3)
        r = deploy_take_uri(job, err);
    if (r == 0 && job->strategy == STRATEGY_FILESYSTEM)
        r = deploy_take_filesystem(job, err);
    if (r == 0)
        r = deploy_measure(job, runtime, err);
    if (r < 0)
        return r;
    deploy_take_settings(job);
    return check_bootstrap(job, err);
}

static int deploy(struct deploy_job *job, const struct package_options *runtime, struct error *err)
{
    bool is_dry = option_is_given(&job->cli->options, "dry-run");
    bool exists = false;

    int r = service_limits(job->client, &job->limits, err);
    if (r == 0)
        r = check_limits(job, err);
    if (r == 0)
        r = look_up(job, &exists, err);
    if (r == 0)
        r = deploy_build(job, runtime, err);
    if (r == 0)
        r = check_limits(job, err); // now with the zipped size
    if (r == 0)
        r = deploy_find_layer(job, err);
    if (r < 0)
        return r;
    if (is_dry) {
        job->action = exists ? deploy_is_same_code(job) && !job->is_layer_new ? "would be unchanged"
                                                                              : "would be updated"
                             : "would be created";
        return print_result(job, err);
    }
    r = deploy_send(job, exists, err);
    return r < 0 ? r : print_result(job, err);
}

// A Python function brings what its requirements.txt names.
static int add_requirements(const struct deploy_job *job, struct package_options *runtime_options,
                            struct buf *path, struct error *err)
{
    const char *runtime = option_text(&job->cli->options, "runtime", "");

    if (strncmp(runtime, "python", 6) != 0)
        return 0;
    interrupt_watch(); // pip hears the terminal's Ctrl-C as well; what it left is to be removed
    int r = requirements_install(job->path, job->cli->is_quiet, path, err);
    if (interrupt_happened())
        r = error_set(err, -EINTR, "interrupted");
    runtime_options->more = path->size > 0 ? path->data : NULL;
    return r;
}

static int run_deploy(struct cli *cli, struct error *err)
{
    static struct deploy_job job; // not on the stack: it holds the names of all variables
    struct deployment_runtime runtime = {0};
    struct buf installed = BUF_INIT(0);

    job = (struct deploy_job){.cli = cli,
                              .path = cli->options.operands[0],
                              .package = {.fd = -1},
                              .layer = {.fd = -1},
                              .start_ns = clock_monotonic_ns()};
    int r = deployment_find_runtime(DEPLOYMENT_FOR_LAMINA, &runtime, err);
    if (r == 0)
        r = add_requirements(&job, &runtime.options, &installed, err);
    if (r == 0)
        r = prepare(&job, &runtime.options, err);
    if (r == 0)
        r = cli_connect(cli, &job.client, err);
    if (r == 0)
        client_set_interrupt(job.client, interrupt_flag());
    if (r == 0)
        r = deploy(&job, &runtime.options, err);
    progress_end(&job.progress);
    package_done(&job.package);
    package_done(&job.layer);
    client_free(job.client);
    deployment_runtime_done(&runtime);
    requirements_remove(&installed);
    return interrupt_happened() ? interrupt_die() : r;
}

const struct command cmd_deploy = {
    .name = "deploy",
    .usage = "PATH|s3://URI [--name NAME] [--memory MB] [--timeout S]",
    .summary = "Makes a function of a model file, a zip or a directory, or updates it",
    .details =
        "A model file (.onnx, .ort, .tflite, .ubj or .json of XGBoost) is zipped with Lamina's\n"
        "built-in runtime. A directory or a zip needs an executable 'bootstrap' at its top, or one\n"
        "model. A function that exists gets the new code, and only the settings that are said. What\n"
        "AWS would refuse is refused before anything is sent, unless the service runs with\n"
        "--aws-limits warn or off.\n\n"
        "With --runtime python3.x a directory's requirements.txt is installed by pip into the\n"
        "package (pip's own settings count: PIP_INDEX_URL, PIP_FIND_LINKS ...).\n\n"
        "s3://BUCKET/KEY (or a prefix that ends in /) makes a function of the runtime alone, which finds\n"
        "the object as its model; with --strategy s3 a model file is uploaded to the service's own\n"
        "store first. A new object under that key takes the old one's place: MODEL_REFRESH_S.\n\n"
        "--strategy layer publishes the model as a layer, which has the model's name, and makes a\n"
        "function of the runtime alone that has it; the layer's newest version is used again when\n"
        "it is the same model.\n\n"
        "--strategy filesystem leaves a model where it is if that is in a file system of functions\n"
        "(lamina filesystem list), and copies it into one otherwise, as root. Another file renamed\n"
        "into its place is taken up within two seconds (MODEL_REFRESH_S).",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_deploy,
};
