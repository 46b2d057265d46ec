// SPDX-License-Identifier: MIT
//
// lamina filesystem create|list|delete: which directories and mounts of this machine functions can have.
//
// create and delete edit a file that is root's alone, and tell the running service; nobody can do that over the
// network, whatever key they have.
#include "cli/command.h"
#include "cli/filesystems.h"
#include "cli/output.h"
#include "client/service.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNT_DEFAULT "000000000000"

static const struct option_spec options[] = {
    {.name = "path",
     .kind = OPTION_TEXT,
     .metavar = "DIR",
     .help = "create: a directory of this machine"},
    {.name = "mount",
     .kind = OPTION_TEXT,
     .metavar = "fuse.NAME:SOURCE[,OPTIONS]",
     .help = "create: a network file system that the service mounts when it is needed"},
    {.name = "uid",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .minimum = 1,
     .maximum = UINT32_MAX - 1,
     .help = "create: the user that functions are in it (default: who owns DIR)"},
    {.name = "gid",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .minimum = 1,
     .maximum = UINT32_MAX - 1,
     .help = "create: the group"},
    {.name = "uids",
     .kind = OPTION_TEXT,
     .metavar = "A-B",
     .help = "create: users that access points may have instead"},
    {.name = "gids", .kind = OPTION_TEXT, .metavar = "A-B", .help = "create: groups, the same"},
    {.name = "as",
     .kind = OPTION_TEXT,
     .metavar = "UID[:GID]",
     .help = "create --mount: whom its program runs as"},
    {.name = "read-only", .kind = OPTION_FLAG, .help = "create: nobody writes to it"},
    {.name = "immutable",
     .kind = OPTION_FLAG,
     .help = "create: files in it never change once they are there: models are used in place"},
    {.name = "name", .kind = OPTION_TEXT, .metavar = "NAME", .help = "create: for people"},
    {.name = "filesystems-file",
     .kind = OPTION_TEXT,
     .metavar = "FILE",
     .help = "the file to edit (default: the running service's, or LAMINA_FILESYSTEMS_FILE, "
             "or " FILESYSTEMS_FILE_DEFAULT ")"},
    {0},
};

struct job {
    const struct cli *cli;
    struct target target;
    char file_path[FILESYSTEM_PATH_SIZE];
    char account[32];
};

// The account is the running service's; without one, what it will most likely be.
static void find_account(struct job *job)
{
    struct client *client = NULL;
    struct service_limits limits = {0};
    const char *variable = getenv("LAMINA_ACCOUNT_ID");
    struct target target;

    snprintf(job->account, sizeof job->account, "%s",
             variable != NULL && variable[0] != '\0' ? variable : ACCOUNT_DEFAULT);
    if (target_resolve(&job->cli->target, &target, NULL) == 0 &&
        client_new(&target, &client, NULL) == 0 && service_limits(client, &limits, NULL) == 0 &&
        limits.account_id[0] != '\0')
        snprintf(job->account, sizeof job->account, "%s", limits.account_id);
    client_free(client);
}

// ---- telling the service

// A service that does not run, or is not this user's to ask, will see the file all the same.
static int tell(struct job *job, const char *point_id, bool is_wanted, struct error *err)
{
    const struct filesystems_told told = {.target = &job->cli->target,
                                          .data_dir = job->target.data_dir,
                                          .file_path = job->file_path,
                                          .is_quiet = job->cli->is_quiet};

    return filesystems_take_effect(&told, point_id, is_wanted, err);
}

// ---- create

static int read_options(const struct job *job, struct filesystems_new *new, struct error *err)
{
    const struct option_set *set = &job->cli->options;
    bool has_uid = option_is_given(set, "uid");

    *new = (struct filesystems_new){
        .path = option_text(set, "path", NULL),
        .mount = option_text(set, "mount", NULL),
        .name = option_text(set, "name", NULL),
        .uids = option_text(set, "uids", NULL),
        .gids = option_text(set, "gids", NULL),
        .as = option_text(set, "as", NULL),
        .data_dir = job->target.data_dir,
        .uid = (uint32_t) option_number(set, "uid", SPAWN_FILESYSTEM_NO_USER),
        .gid = (uint32_t) option_number(set, "gid", SPAWN_FILESYSTEM_NO_USER),
        .is_read_only = option_is_given(set, "read-only"),
        .is_immutable = option_is_given(set, "immutable"),
    };
    if ((new->path == NULL) == (new->mount == NULL))
        return error_set(err, -EINVAL, "filesystem create takes either --path DIR or --mount");
    if (new->mount != NULL && has_uid != option_is_given(set, "gid"))
        return error_set(err, -EINVAL, "--uid and --gid come together");
    if (has_uid && !option_is_given(set, "gid"))
        new->gid = new->uid;
    return 0;
}

static void arn_of(const struct job *job, const char *kind, const char *id, char arn[160])
{
    snprintf(arn, 160, "arn:aws:elasticfilesystem:%s:%s:%s/%s", job->target.region, job->account,
             kind, id);
}

static void add_line(const struct job *job, yyjson_mut_doc *doc, yyjson_mut_val *object,
                     const struct filesystem_line *line)
{
    char arn[160];

    arn_of(job, "file-system", line->id, arn);
    json_add_visible(doc, object, "FileSystemId", line->id);
    json_add_visible(doc, object, "FileSystemArn", arn);
    if (line->name[0] != '\0')
        json_add_visible(doc, object, "Name", line->name);
    if (line->path[0] != '\0')
        json_add_visible(doc, object, "Path", line->path);
    else
        json_add_visible(doc, object, "Mount", line->source);
    yyjson_mut_obj_add_bool(doc, object, "ReadOnly", line->flags & SPAWN_FILESYSTEM_RO);
    yyjson_mut_obj_add_bool(doc, object, "Immutable", line->flags & SPAWN_FILESYSTEM_IMMUTABLE);
    if (!(line->flags & SPAWN_FILESYSTEM_OWN_IDENTITY)) {
        yyjson_mut_obj_add_uint(doc, object, "Uid", line->uid);
        yyjson_mut_obj_add_uint(doc, object, "Gid", line->gid);
    }
}

static int print_created(const struct job *job, const struct filesystem_line *line,
                         const char *point_id, struct error *err)
{
    char arn[160];

    arn_of(job, "access-point", point_id, arn);
    if (!job->cli->is_json) {
        output_text(str_of(arn));
        output_text(STR("\n"));
        return EXIT_DONE;
    }
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *object = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, object);
    add_line(job, doc, object, line);
    json_add_visible(doc, object, "AccessPointId", point_id);
    json_add_visible(doc, object, "AccessPointArn", arn);
    int r = output_json(doc, err);
    return r < 0 ? r : EXIT_DONE;
}

static int run_create(struct job *job, struct error *err)
{
    struct filesystems_edit edit;
    struct filesystems_new new;
    char id[SPAWN_FILESYSTEM_ID_SIZE];
    char point_id[SPAWN_FILESYSTEM_ID_SIZE];
    int r = filesystems_edit_begin(&edit, job->file_path, err);

    if (r == 0)
        r = read_options(job, &new, err);
    if (r == 0)
        r = filesystems_add(&edit, &new, id, point_id, err);
    if (r == 0)
        r = filesystems_edit_commit(&edit, err);
    if (r == 0) {
        output_note(job->cli->is_quiet, "%s is in '%s'", id, job->file_path);
        r = tell(job, point_id, true, err);
        find_account(job);
        int printed = print_created(job, filesystems_file_find(edit.file, id), point_id, err);
        r = r < 0 ? r : printed;
    }
    filesystems_edit_end(&edit);
    return r;
}

// ---- list

static void add_cells(struct table *table, const struct filesystem_line *line)
{
    const char *state = line->flags & SPAWN_FILESYSTEM_IMMUTABLE ? "immutable"
                        : line->flags & SPAWN_FILESYSTEM_RO      ? "read-only"
                                                                 : "read-write";

    table_cell(table, "%s", line->id);
    table_cell(table, "%s", line->name);
    if (line->path[0] != '\0')
        table_cell(table, "%s", line->path);
    else
        table_cell(table, "fuse.%s:%s", line->type, line->source);
    if (line->flags & SPAWN_FILESYSTEM_OWN_IDENTITY)
        table_cell(table, "the mount's");
    else
        table_cell(table, "%u:%u", line->uid, line->gid);
    table_cell(table, "%s", state);
}

static void print_table(const struct filesystems_file *file)
{
    static const char *const heads[] = {"FILE SYSTEM", "NAME",   "WHAT",
                                        "USER",        "ACCESS", "ACCESS POINT"};
    struct table table;

    table_init(&table, heads, ARRAY_SIZE(heads));
    for (uint32_t i = 0; i < file->filesystem_count; i++) {
        const struct filesystem_line *line = &file->filesystems[i];
        const struct access_point_line *point = filesystems_default_point(file, line->id);
        add_cells(&table, line);
        table_cell(&table, "%s", point != NULL ? point->id : "");
    }
    table_print(&table);
    table_done(&table);
}

static void add_points(const struct job *job, const struct filesystems_file *file,
                       yyjson_mut_doc *doc, yyjson_mut_val *object, const char *id)
{
    yyjson_mut_val *points = yyjson_mut_obj_add_arr(doc, object, "AccessPoints");
    char arn[160];

    for (uint32_t i = 0; i < file->access_point_count; i++) {
        const struct access_point_line *point = &file->access_points[i];
        char root[SPAWN_FILESYSTEM_ROOT_SIZE + 1];
        if (strcmp(point->filesystem_id, id) != 0)
            continue;
        yyjson_mut_val *each = yyjson_mut_arr_add_obj(doc, points);
        arn_of(job, "access-point", point->id, arn);
        snprintf(root, sizeof root, "/%s", point->root);
        json_add_visible(doc, each, "AccessPointId", point->id);
        json_add_visible(doc, each, "AccessPointArn", arn);
        json_add_visible(doc, each, "Root", root);
    }
}

static int print_json(const struct job *job, const struct filesystems_file *file, struct error *err)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *list = yyjson_mut_arr(doc);

    yyjson_mut_doc_set_root(doc, list);
    for (uint32_t i = 0; i < file->filesystem_count; i++) {
        yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);
        add_line(job, doc, object, &file->filesystems[i]);
        add_points(job, file, doc, object, file->filesystems[i].id);
    }
    int r = output_json(doc, err);
    return r < 0 ? r : EXIT_DONE;
}

static int run_list(struct job *job, struct error *err)
{
    AUTO_FREE struct filesystems_file *file = mem_new(struct filesystems_file);
    int r = file != NULL ? filesystems_read(job->file_path, file, err) : -ENOMEM;

    if (r < 0)
        return r;
    find_account(job);
    if (job->cli->is_json)
        return print_json(job, file, err);
    print_table(file);
    return EXIT_DONE;
}

// ---- delete

static int run_delete(struct job *job, const char *which, struct error *err)
{
    struct filesystems_edit edit;
    char id[SPAWN_FILESYSTEM_ID_SIZE];
    char point_id[SPAWN_FILESYSTEM_ID_SIZE] = "";
    int r = filesystems_edit_begin(&edit, job->file_path, err);

    if (r == 0) {
        // Any point of it tells whether the service has heard.
        for (uint32_t i = 0; i < edit.file->access_point_count; i++) {
            const struct access_point_line *point = &edit.file->access_points[i];
            const struct filesystem_line *line =
                filesystems_file_find(edit.file, point->filesystem_id);
            if (strcmp(line->id, which) == 0 || strcmp(line->name, which) == 0)
                memcpy(point_id, point->id, sizeof point_id);
        }
        r = filesystems_remove(&edit, which, id, err);
    }
    if (r == 0)
        r = filesystems_edit_commit(&edit, err);
    if (r == 0)
        r = tell(job, point_id[0] != '\0' ? point_id : "fsap-00000000000000000", false, err);
    if (r == 0)
        output_note(job->cli->is_quiet,
                    "%s is no longer a file system of functions; its files are where they were",
                    id);
    filesystems_edit_end(&edit);
    return r < 0 ? r : EXIT_DONE;
}

static int run_filesystem(struct cli *cli, struct error *err)
{
    const char *const *operands = cli->options.operands;
    size_t count = cli->options.operand_count;
    struct job job = {.cli = cli};

    int r = target_resolve_endpoint(&cli->target, &job.target, err);
    if (r < 0)
        return r;
    filesystems_find_file(option_text(&cli->options, "filesystems-file", NULL), job.target.data_dir,
                          job.file_path);
    if (strcmp(operands[0], "create") == 0 && count == 1)
        return run_create(&job, err);
    if (strcmp(operands[0], "list") == 0 && count == 1)
        return run_list(&job, err);
    if (strcmp(operands[0], "delete") == 0 && count == 2)
        return run_delete(&job, operands[1], err);
    return error_set(err, -EINVAL,
                     "filesystem takes: create --path DIR | --mount fuse.NAME:SOURCE, list, "
                     "delete ID|NAME");
}

const struct command cmd_filesystem = {
    .name = "filesystem",
    .usage = "create --path DIR | --mount fuse.NAME:SOURCE | list | delete ID|NAME",
    .summary = "Names the directories and mounts that functions can have (root)",
    .details =
        "Functions name an access point of a file system in FileSystemConfigs and find it in "
        "/mnt.\n"
        "create prints the ARN of the file system's default access point; more of them are made "
        "by\n"
        "`aws efs create-access-point`, and may only narrow what is said here. Functions are the\n"
        "user of --uid and --gid in it, never root. The file that says so is root's alone and is\n"
        "edited on this machine only: no key can do it over the network.",
    .options = options,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_filesystem,
};
