// SPDX-License-Identifier: MIT
//
// lamina deploy PATH: a model file, a zip or a directory becomes a function, or the new code of one.
//
//   measure ─► compare with the limits ─► build the zip ─► create, or update settings and code
//           ─► wait until the service says Active
#include "cli/deployment.h"
#include "cli/interrupt.h"
#include "cli/requirements.h"
#include "cli/output.h"
#include "client/lambda.h"
#include "client/service.h"
#include "package/package.h"
#include "package/strategy.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/digest.h"
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

struct job {
    const struct cli *cli;
    const char *path;
    char name[65];
    struct package package;
    struct client *client;
    struct service_limits limits;
    struct lambda_settings settings;
    struct lambda_variable variables[OPTION_LIST_MAX];
    char variable_names[OPTION_LIST_MAX][260];
    char role[128];
    struct progress progress;
    struct lambda_function function;
    const char *action;
    int64_t start_ns;
};

// ---- What was asked for

static int take_variables(struct job *job, struct error *err)
{
    const struct option_set *set = &job->cli->options;

    for (size_t i = 0; i < set->list_count; i++) {
        struct str name, value;
        if (!str_cut(str_of(set->list[i]), '=', &name, &value) || name.size == 0)
            return error_set(err, -EINVAL, "--env takes NAME=VALUE, not '%.60s'", set->list[i]);
        if (str_copy(name, job->variable_names[i], sizeof job->variable_names[i]) < 0)
            return error_set(err, -EINVAL, "--env: a name is too long");
        job->variables[i] =
            (struct lambda_variable){job->variable_names[i], value.data != NULL ? value.data : ""};
    }
    job->settings.has_variables = set->list_count > 0;
    job->settings.variables = job->variables;
    job->settings.variable_count = set->list_count;
    return 0;
}

static int take_name(struct job *job, struct error *err)
{
    const char *name = option_text(&job->cli->options, "name", NULL);

    if (name == NULL)
        return package_name(job->path, job->name, err);
    if (str_copy(str_of(name), job->name, sizeof job->name) < 0 || name[0] == '\0')
        return error_set(err, -EINVAL, "--name takes 1 to %d characters", LIMIT_FUNCTION_NAME_MAX);
    return 0;
}

static int check_strategy(const struct job *job, struct error *err)
{
    const char *name = option_text(&job->cli->options, "strategy", NULL);

    if (name == NULL && strncmp(job->path, "s3://", 5) == 0)
        name = "s3";
    if (name == NULL || strcmp(name, strategy_name(STRATEGY_PACKAGE)) == 0)
        return 0;
    return error_set(err, -ENOTSUP,
                     "the strategy '%s' is not built yet: this version deploys by 'package' (the "
                     "model in the function's zip)",
                     name);
}

static void take_settings(struct job *job)
{
    const struct option_set *set = &job->cli->options;
    struct lambda_settings *to = &job->settings;

    to->memory_mb = (unsigned) option_number(set, "memory", 0);
    to->timeout_s = (unsigned) option_number(set, "timeout", 0);
    to->tmp_mb = (unsigned) option_number(set, "tmp", 0);
    to->handler = option_text(set, "handler", NULL);
    to->runtime = option_text(set, "runtime", NULL);
    to->role = option_text(set, "role", NULL);
    to->description = option_text(set, "description", NULL);
    // A model's name is what the built-in runtime finds it by: it goes along with every code.
    if (to->handler == NULL && job->package.handler[0] != '\0')
        to->handler = job->package.handler;
}

// Only for a function that does not exist yet: what was not said.
static void add_defaults(struct job *job)
{
    struct lambda_settings *to = &job->settings;
    bool is_model = job->package.handler[0] != '\0';

    if (to->runtime == NULL)
        to->runtime = "provided.al2023";
    if (to->handler == NULL)
        to->handler = "bootstrap";
    if (to->memory_mb == 0 && is_model)
        to->memory_mb = DEPLOYMENT_MODEL_MEMORY_MB;
    if (to->timeout_s == 0 && is_model)
        to->timeout_s = DEPLOYMENT_MODEL_TIMEOUT_S;
    if (to->role == NULL) {
        snprintf(job->role, sizeof job->role, "arn:aws:iam::%s:role/lamina",
                 job->limits.account_id);
        to->role = job->role;
    }
}

// ---- Limits

// Before anything is compressed or sent: 1 when it fits or the service takes it anyway.
static int check_limits(const struct job *job, struct error *err)
{
    const struct strategy_size size = deployment_size(&job->package);
    char text[ERROR_TEXT_MAX];

    if (strategy_check(STRATEGY_PACKAGE, &size).fits || strcmp(job->limits.aws_limits, "off") == 0)
        return 0;
    strategy_describe(&size, text, sizeof text);
    if (strcmp(job->limits.aws_limits, "warn") == 0) {
        output_note(job->cli->is_quiet, "AWS would refuse this package: %s", text);
        return 0;
    }
    return error_set(err, -EFBIG, "%s", text);
}

static int check_bootstrap(const struct job *job, struct error *err)
{
    const char *runtime = job->settings.runtime;
    bool needs_bootstrap = runtime == NULL || strncmp(runtime, "provided", 8) == 0;

    if (job->package.has_bootstrap || !needs_bootstrap)
        return 0;
    return error_set(err, -EINVAL,
                     "'%s' holds no 'bootstrap' and is not one model: the runtime provided.al2023 "
                     "starts the program of that name",
                     job->path);
}

// ---- Sending

static void on_upload(void *arg, uint64_t sent, uint64_t received)
{
    progress_move(arg, sent);
}

static struct lambda_code code_of(struct job *job)
{
    struct lambda_code code = {
        .fd = job->package.fd,
        .size = job->package.zip_bytes,
        .progress = on_upload,
        .progress_arg = &job->progress,
    };

    memcpy(code.sha256_hex, job->package.sha256_hex, sizeof code.sha256_hex);
    progress_start(&job->progress, job->cli->is_quiet, "uploading",
                   code.size <= LAMBDA_ZIP_INLINE_BYTES_MAX ? BASE64_ENCODED_SIZE(code.size)
                                                            : code.size);
    return code;
}

static bool is_same_code(const struct job *job)
{
    char base64[DIGEST_BASE64_SIZE];
    struct digest digest;

    return digest_parse_hex(str_of(job->package.sha256_hex), &digest) == 0 &&
           strcmp(digest_base64(&digest, base64), job->function.code_sha256) == 0;
}

static bool are_settings_asked(const struct job *job)
{
    const struct lambda_settings *to = &job->settings;

    return to->memory_mb != 0 || to->timeout_s != 0 || to->tmp_mb != 0 || to->role != NULL ||
           to->description != NULL || to->has_variables || to->runtime != NULL ||
           (to->handler != NULL && strcmp(to->handler, job->function.handler) != 0);
}

static int wait_until_ready(struct job *job, struct error *err)
{
    unsigned wait_s = (unsigned) option_number(&job->cli->options, "wait", 300);

    return lambda_wait(job->client, job->name, wait_s * 1000, &job->function, err);
}

static int create(struct job *job, struct error *err)
{
    job->action = "created";
    add_defaults(job);
    const struct lambda_code code = code_of(job);
    int r = lambda_create(job->client, job->name, &job->settings, &code, &job->function, err);
    progress_end(&job->progress);
    return r < 0 ? r : wait_until_ready(job, err);
}

// Code first: while the new handler's name is not yet known the old code would not find it, and
// the other way round; a model that keeps its file name has no such moment.
static int update(struct job *job, struct error *err)
{
    bool is_new_code = !is_same_code(job);
    bool are_new_settings = are_settings_asked(job);
    int r = 0;

    job->action = is_new_code || are_new_settings ? "updated" : "unchanged";
    if (is_new_code) {
        const struct lambda_code code = code_of(job);
        r = lambda_update_code(job->client, job->name, &code, &job->function, err);
        progress_end(&job->progress);
        if (r == 0)
            r = wait_until_ready(job, err);
    }
    if (r == 0 && are_new_settings) {
        r = lambda_update_settings(job->client, job->name, &job->settings, &job->function, err);
        if (r == 0)
            r = wait_until_ready(job, err);
    }
    return r;
}

// Of a function that is just being created or updated by somebody else, the end is awaited first.
static int send(struct job *job, bool exists, struct error *err)
{
    if (!exists)
        return create(job, err);
    if (strcmp(job->function.state, "Failed") == 0)
        return error_set(err, -EBUSY,
                         "'%s' exists but could not be created (%s): delete it, then deploy again",
                         job->name, job->function.reason);
    int r = strcmp(job->function.state, "Pending") == 0 ||
                    strcmp(job->function.update_status, "InProgress") == 0
                ? wait_until_ready(job, err)
                : 0;
    return r < 0 ? r : update(job, err);
}

// ---- Telling

static int print_json(const struct job *job, struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);

    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "schema", 1);
    yyjson_mut_obj_add_str(doc, root, "name", job->name);
    yyjson_mut_obj_add_str(doc, root, "action", job->action);
    yyjson_mut_obj_add_str(doc, root, "strategy", strategy_name(STRATEGY_PACKAGE));
    json_add_str(doc, root, "arn", str_of(job->function.arn));
    json_add_str(doc, root, "state", str_of(job->function.state));
    json_add_str(doc, root, "handler", str_of(job->function.handler));
    yyjson_mut_obj_add_uint(doc, root, "memory_mb", job->function.memory_mb);
    yyjson_mut_obj_add_uint(doc, root, "timeout_s", job->function.timeout_s);
    yyjson_mut_obj_add_str(doc, root, "zip_sha256", job->package.sha256_hex);
    yyjson_mut_obj_add_uint(doc, root, "zip_bytes", job->package.zip_bytes);
    yyjson_mut_obj_add_uint(doc, root, "unzipped_bytes", job->package.unzipped_bytes);
    yyjson_mut_obj_add_uint(doc, root, "model_bytes", job->package.model_bytes);
    yyjson_mut_obj_add_real(doc, root, "seconds",
                            (double) (clock_monotonic_ns() - job->start_ns) / 1e9);
    return output_json(doc, err);
}

static int print_result(const struct job *job, struct error *err)
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

static int look_up(struct job *job, bool *ret_exists, struct error *err)
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
static int prepare(struct job *job, const struct package_options *runtime, struct error *err)
{
    int r = check_strategy(job, err);

    if (r == 0)
        r = take_variables(job, err);
    if (r == 0)
        r = take_name(job, err);
    if (r == 0)
        r = package_measure(job->path, runtime, &job->package, err);
    if (r < 0)
        return r;
    take_settings(job);
    return check_bootstrap(job, err);
}

static int deploy(struct job *job, const struct package_options *runtime, struct error *err)
{
    bool is_dry = option_is_given(&job->cli->options, "dry-run");
    bool exists = false;

    int r = service_limits(job->client, &job->limits, err);
    if (r == 0)
        r = check_limits(job, err);
    if (r == 0)
        r = look_up(job, &exists, err);
    if (r == 0)
        r = package_build(job->path, runtime, &job->package, err);
    if (r == 0)
        r = check_limits(job, err); // now with the zipped size
    if (r < 0)
        return r;
    if (is_dry) {
        job->action = exists ? is_same_code(job) ? "would be unchanged" : "would be updated"
                             : "would be created";
        return print_result(job, err);
    }
    r = send(job, exists, err);
    return r < 0 ? r : print_result(job, err);
}

// A Python function brings what its requirements.txt names.
static int add_requirements(const struct job *job, struct package_options *runtime_options,
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
    static struct job job; // not on the stack: it holds the names of all variables
    struct deployment_runtime runtime = {0};
    struct buf installed = BUF_INIT(0);

    job = (struct job){.cli = cli,
                       .path = cli->options.operands[0],
                       .package = {.fd = -1},
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
    client_free(job.client);
    deployment_runtime_done(&runtime);
    requirements_remove(&installed);
    return interrupt_happened() ? interrupt_die() : r;
}

const struct command cmd_deploy = {
    .name = "deploy",
    .usage = "PATH [--name NAME] [--memory MB] [--timeout S]",
    .summary = "Makes a function of a model file, a zip or a directory, or updates it",
    .details =
        "A model file (.onnx, .ort) is zipped with Lamina's built-in runtime. A directory or a "
        "zip\n"
        "needs an executable 'bootstrap' at its top, or one model. A function that exists gets\n"
        "the new code, and only the settings that are said. What AWS would refuse is refused\n"
        "before anything is sent, unless the service runs with --aws-limits warn or off.\n\n"
        "With --runtime python3.x a directory's requirements.txt is installed by pip into the\n"
        "package (pip's own settings count: PIP_INDEX_URL, PIP_FIND_LINKS ...).",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_deploy,
};
