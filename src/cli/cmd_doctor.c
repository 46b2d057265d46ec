// SPDX-License-Identifier: MIT
//
// lamina doctor: what this machine has and lacks for the sandbox, and what to do about it.
//
// The kernel's features are tried by lamina-spawn --probe, the program that will use them; what it
// prints is turned into rows with advice. Files, disk and limits are looked at here.
#include "cli/command.h"
#include "cli/install.h"
#include "cli/output.h"
#include "package/strategy.h"

#include "base/buf.h"
#include "base/fault_points.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_BYTES_MAX 65536
#define DISK_BYTES_WANTED (UINT64_C(1) << 30)
#define OPEN_FILES_WANTED 20000

extern char **environ;

enum finding { FINDING_OK, FINDING_FALLBACK, FINDING_MISSING };

static const char *const finding_names[] = {"ok", "fallback", "missing"};

struct report {
    struct table table;
    yyjson_mut_doc *doc;
    yyjson_mut_val *checks;
    bool is_json;
    unsigned missing;
};

// What to do when a feature of lamina-spawn --probe is missing.
static const struct advice {
    const char *name;
    const char *text;
} advices[] = {
    {"root", "run as root: sudo lamina doctor, sudo lamina up"},
    {"clone3", "needs Linux 5.7 or later; in a container, its seccomp profile must allow clone3"},
    {"namespaces", "in a container: start it with --privileged (or CAP_SYS_ADMIN and no AppArmor)"},
    {"root_is_a_mount", "in a chroot: make it a mount first (mount --bind DIR DIR)"},
    {"net_namespace",
     "in a container: start it with --privileged; else the kernel lacks CONFIG_NET_NS"},
    {"mount_api", "needs Linux 5.12 or later; in a container: start it with --privileged"},
    {"proc_subset",
     "a container that masks parts of /proc forbids this: start it with --privileged"},
    {"openat2", "needs Linux 5.6 or later; an old container runtime's seccomp profile hides it"},
    {"close_range",
     "needs Linux 5.9 or later; an old container runtime's seccomp profile hides it"},
    {"seccomp", "the kernel lacks CONFIG_SECCOMP_FILTER"},
    {"sandbox_uids",
     "the user namespace lacks uids 900000-999999: choose others by LAMINA_SANDBOX_UIDS"},
    {"cgroups",
     "needs writable cgroups (memory, cpu, pids, freezer): with systemd, run as a unit with "
     "Delegate=yes; in a container, mount /sys/fs/cgroup writable"},
    {"idmapped_mounts",
     "needs Linux 5.12 or later and ext4, xfs, btrfs or another that can be mapped (tmpfs: 6.3)"},
    {"fuse", "modprobe fuse; in a container: --device /dev/fuse"},
    {"sshfs", "apt-get install sshfs, if file systems of other machines are wanted"},
};

static const char *find_advice(struct str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
        if (str_equal_text(name, advices[i].name))
            return advices[i].text;
    }
    return "";
}

static void add(struct report *report, struct str name, enum finding finding, struct str detail,
                const char *advice)
{
    if (finding != FINDING_MISSING)
        advice = "";
    report->missing += finding == FINDING_MISSING;
    if (report->is_json) {
        yyjson_mut_val *check = yyjson_mut_arr_add_obj(report->doc, report->checks);
        json_add_str(report->doc, check, "name", name);
        yyjson_mut_obj_add_str(report->doc, check, "finding", finding_names[finding]);
        json_add_str(report->doc, check, "detail", detail);
        json_add_str(report->doc, check, "advice", str_of(advice));
        return;
    }
    table_cell(&report->table, "%s", finding_names[finding]);
    table_cell(&report->table, STR_FORMAT, STR_ARGUMENTS(name));
    table_cell(&report->table, STR_FORMAT "%s%s", STR_ARGUMENTS(detail),
               advice[0] != '\0' && detail.size > 0 ? "; " : "", advice);
}

// ---- lamina-spawn --probe

static int run_probe(const char *program, struct buf *output, struct error *err)
{
    char *const words[] = {(char *) (uintptr_t) program, (char *) (uintptr_t) "--probe", NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t pid = 0;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(err, -errno, "make a pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int r = -posix_spawn(&pid, program, &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    (void) fd_close(ends[1]);
    AUTO_FD int from = ends[0];
    if (r < 0)
        return error_set_errno(err, r, "run '%s --probe'", program);
    ssize_t size = 0;
    r = buf_reserve(output, PROBE_BYTES_MAX);
    if (r == 0)
        size = fd_read_all(from, output->data, PROBE_BYTES_MAX);
    if (size > 0)
        buf_advance(output, (size_t) size);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r < 0 || size < 0 ? error_set_errno(err, r < 0 ? r : (int) size, "read the probe") : 0;
}

// "works    NAME   detail", "missing  NAME  detail", "fallback NAME  detail"
static void take_probe_line(struct report *report, struct str line)
{
    struct str word, name, detail;
    enum finding finding;

    (void) str_cut(line, ' ', &word, &line);
    (void) str_cut(str_trim(line), ' ', &name, &detail);
    detail = str_trim(detail);
    if (str_equal_text(detail, "-"))
        detail = (struct str){0};
    if (str_equal_text(word, "works"))
        finding = FINDING_OK;
    else if (str_equal_text(word, "fallback"))
        finding = FINDING_FALLBACK;
    else if (str_equal_text(word, "missing"))
        finding = FINDING_MISSING;
    else
        return; // a newer probe's line of another kind
    add(report, name, finding, detail, find_advice(name));
}

static void check_kernel(struct report *report)
{
    AUTO_BUF struct buf program = BUF_INIT(INSTALL_PATH_BYTES_MAX);
    AUTO_BUF struct buf output = BUF_INIT(PROBE_BYTES_MAX);
    struct error err = {0};
    struct str rest, line;

    int r = install_path("lamina-spawn", &program, &err);
    if (r == 0)
        r = run_probe(program.data, &output, &err);
    if (r < 0) {
        add(report, STR("lamina-spawn"), FINDING_MISSING, str_of(err.text),
            "build or install Lamina again");
        return;
    }
    for (rest = buf_str(&output); rest.size > 0;) {
        (void) str_cut(rest, '\n', &line, &rest);
        take_probe_line(report, line);
    }
}

// ---- Files, disk, limits

static void check_file(struct report *report, const char *name, const char *advice)
{
    AUTO_BUF struct buf path = BUF_INIT(INSTALL_PATH_BYTES_MAX);

    int r = install_path(name, &path, NULL);
    bool is_there = r == 0 && access(path.data, R_OK) == 0;
    add(report, str_of(name), is_there ? FINDING_OK : FINDING_MISSING,
        is_there ? (struct str){0} : STR("not found beside the program lamina"), advice);
}

// The data directory, or the nearest directory above it that exists.
static int open_existing(const char *path)
{
    AUTO_BUF struct buf shorter = BUF_INIT(PATH_MAX);

    buf_append_text(&shorter, path);
    while (buf_status(&shorter) == 0 && shorter.size > 0) {
        int fd = open(shorter.data, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            return open(shorter.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ptrdiff_t slash = str_find_last(buf_str(&shorter), '/');
        size_t size = slash > 0 ? (size_t) slash : 0;
        shorter.size = size;
        shorter.data[size] = '\0';
    }
    return open(path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void check_disk(struct report *report, const char *data_dir)
{
    char free_text[32], detail[PATH_MAX + 128];
    uint64_t bytes = 0;

    AUTO_FD int fd = open_existing(data_dir);
    int r = fd < 0 ? -errno : fs_bytes_free(fd, &bytes);
    if (r < 0) {
        snprintf(detail, sizeof detail, "cannot look at '%s': %s", data_dir, error_name(r));
        add(report, STR("disk"), FINDING_MISSING, str_of(detail), "");
        return;
    }
    bytes_describe(bytes, free_text, sizeof free_text);
    snprintf(detail, sizeof detail, "%s free for '%s'", free_text, data_dir);
    add(report, STR("disk"), bytes >= DISK_BYTES_WANTED ? FINDING_OK : FINDING_MISSING,
        str_of(detail), "a gigabyte at least should be free: choose another --data-dir");
}

static void check_open_files(struct report *report)
{
    struct rlimit limit = {0};
    char detail[128];

    (void) getrlimit(RLIMIT_NOFILE, &limit);
    bool is_enough = limit.rlim_max >= OPEN_FILES_WANTED;
    snprintf(detail, sizeof detail, "%llu descriptors (ulimit -Hn)%s",
             (unsigned long long) limit.rlim_max,
             is_enough ? "" : ": fewer callers and instances at once; 20000 are good");
    add(report, STR("open_files"), is_enough ? FINDING_OK : FINDING_FALLBACK, str_of(detail), "");
}

static int finish(struct report *report, const struct cli *cli, struct error *err)
{
    int r = 0;

    if (report->is_json) {
        yyjson_mut_obj_add_bool(report->doc, yyjson_mut_doc_get_root(report->doc), "can_run",
                                report->missing == 0);
        r = output_json(report->doc, err);
    } else {
        table_print(&report->table);
        if (report->missing == 0)
            output_note(cli->is_quiet, "this machine can run Lamina");
        else
            output_note(cli->is_quiet, "this machine cannot run Lamina yet: %u thing%s missing",
                        report->missing, report->missing == 1 ? " is" : "s are");
    }
    return r < 0 ? r : report->missing == 0 ? EXIT_DONE : EXIT_FAILED;
}

// What the tests interrupt; nothing of this machine is looked at.
static int list_fault_points(const struct cli *cli, struct error *err)
{
    static const char *const heads[] = {"OPERATION", "POINT", "CALL", "NTH", "STEP"};
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    struct table table;

    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "schema", 1);
    yyjson_mut_val *points = yyjson_mut_obj_add_arr(doc, root, "fault_points");
    table_init(&table, heads, ARRAY_SIZE(heads));
    for (size_t i = 0; i < ARRAY_SIZE(fault_points); i++) {
        const struct fault_point *point = &fault_points[i];
        yyjson_mut_val *each = yyjson_mut_arr_add_obj(doc, points);
        yyjson_mut_obj_add_str(doc, each, "operation", point->operation);
        yyjson_mut_obj_add_str(doc, each, "name", point->name);
        yyjson_mut_obj_add_str(doc, each, "call", point->call);
        yyjson_mut_obj_add_uint(doc, each, "nth", point->nth);
        yyjson_mut_obj_add_str(doc, each, "step", point->step);
        table_cell(&table, "%s", point->operation);
        table_cell(&table, "%s", point->name);
        table_cell(&table, "%s", point->call);
        table_cell(&table, "%u", point->nth);
        table_cell(&table, "%s", point->step);
    }
    int r = 0;
    if (cli->is_json)
        r = output_json(doc, err);
    else
        table_print(&table);
    table_done(&table);
    return r < 0 ? r : EXIT_DONE;
}

static int run_doctor(struct cli *cli, struct error *err)
{
    if (option_is_given(&cli->options, "fault-points"))
        return list_fault_points(cli, err);
    static const char *const heads[] = {"FINDING", "WHAT", "DETAIL"};
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    struct report report = {.doc = doc, .is_json = cli->is_json};
    struct target target;

    int r = target_resolve_endpoint(&cli->target, &target, err);
    if (r < 0)
        return r;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "schema", 1);
    report.checks = yyjson_mut_obj_add_arr(doc, root, "checks");
    table_init(&report.table, heads, ARRAY_SIZE(heads));
    check_kernel(&report);
    check_file(&report, "laminad", "build or install Lamina again");
    check_file(&report, "lamina-work", "build or install Lamina again");
    check_file(&report, "lamina-cache", "build or install Lamina again");
    check_file(&report, "lamina-init", "build or install Lamina again");
    check_file(&report, "lamina-model", "build or install Lamina again");
    check_file(&report, "runtime/lib/libonnxruntime.so",
               "models need it: tools/deps inference, then make");
    check_file(&report, "runtime/lib/libtensorflowlite_c.so",
               "TensorFlow Lite models need it: tools/deps inference, then make");
    check_file(&report, "runtime/lib/libxgboost.so",
               "XGBoost models need it: tools/deps inference, then make");
    check_open_files(&report);
    check_disk(&report, target.data_dir);
    r = finish(&report, cli, err);
    table_done(&report.table);
    return r;
}

static const struct option_spec doctor_options[] = {
    {.name = "fault-points", .kind = OPTION_FLAG, .help = "list the steps that tests interrupt"},
    {0},
};

const struct command cmd_doctor = {
    .name = "doctor",
    .usage = "[--data-dir DIR] [--fault-points]",
    .options = doctor_options,
    .summary = "Tells what this machine has and lacks to run Lamina, and what to do",
    .details =
        "ok: works. fallback: Lamina does without, the detail says how. missing: Lamina refuses\n"
        "to start; there is no half sandbox. Exit status 1 when something is missing.",
    .run = run_doctor,
};
