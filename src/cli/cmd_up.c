// SPDX-License-Identifier: MIT
//
// lamina up: becomes the service (laminad, beside this program), or starts it in the background.
//
//   up      exec laminad
//   up -d   fork ─► new session, log file ─► exec laminad
//                └► wait until DIR/endpoint is a new file and /readyz says 200, or the child has ended
//
// All options but -d, --wait and --log-file are laminad's and go to it as they are.
#include "cli/command.h"
#include "cli/install.h"
#include "cli/output.h"
#include "client/service.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S_DEFAULT 120
#define POLL_MS 25
#define PROBE_TIMEOUT_MS 10000
#define LOG_SHOWN_BYTES_MAX 4096

// For help and completion; the words are read by read_words, which knows that all others are laminad's.
static const struct option_spec shown_options[] = {
    {.name = "detach",
     .letter = 'd',
     .kind = OPTION_FLAG,
     .help = "in the background: returns when the service is ready"},
    {.name = "wait",
     .kind = OPTION_NUMBER,
     .metavar = "S",
     .help = "with -d: give up after so many seconds (default: 120)"},
    {.name = "log-file",
     .kind = OPTION_TEXT,
     .metavar = "FILE",
     .help = "with -d: the service's messages (/var/log/lamina.log, or DIR.log beside another data "
             "directory)"},
    {.name = "data-dir",
     .kind = OPTION_TEXT,
     .metavar = "DIR",
     .help = "where everything is kept (default: /var/lib/lamina)"},
    {.name = "listen",
     .kind = OPTION_TEXT,
     .metavar = "ADDRESS:PORT",
     .help = "default: 127.0.0.1:4566"},
    {.name = "aws-limits",
     .kind = OPTION_CHOICE,
     .metavar = "MODE",
     .choices = "enforce|warn|off",
     .help = "AWS's package sizes: enforce, warn or off (default: enforce)"},
    {0},
};

struct start {
    char **words; // laminad's argv
    bool is_detached;
    uint64_t wait_s;
    const char *data_dir; // borrowed from argv or the environment
    const char *log_file; // NULL: the default
};

// ---- The command line

// The value of "--name VALUE" or "--name=VALUE" at argv[*at]; NULL: another option. Moves *at.
static const char *value_of(const char *name, int argc, char *const *argv, int *at)
{
    size_t size = strlen(name);
    const char *word = argv[*at];

    if (strncmp(word, name, size) != 0)
        return NULL;
    if (word[size] == '=')
        return word + size + 1;
    if (word[size] == '\0' && *at + 1 < argc)
        return argv[++*at];
    return NULL;
}

static int read_wait(const char *text, uint64_t *ret, struct error *err)
{
    if (str_to_u64(str_of(text), 86400, ret) < 0 || *ret == 0)
        return error_set(err, -EINVAL, "--wait takes seconds, not '%.60s'", text);
    return 0;
}

static int read_words(int argc, char *const *argv, struct start *start, struct error *err)
{
    size_t count = 1;
    int r = 0;

    for (int i = 0; r == 0 && i < argc; i++) {
        int at = i;
        const char *value;
        if (strcmp(argv[i], "-d") == 0 || strcmp(argv[i], "--detach") == 0) {
            start->is_detached = true;
        } else if ((value = value_of("--wait", argc, argv, &i)) != NULL) {
            r = read_wait(value, &start->wait_s, err);
        } else if ((value = value_of("--log-file", argc, argv, &i)) != NULL) {
            start->log_file = value;
        } else {
            value = value_of("--data-dir", argc, argv, &at);
            if (value != NULL)
                start->data_dir = value;
            start->words[count++] = argv[i];
        }
    }
    start->words[count] = NULL;
    return r;
}

// ---- The background

static int default_log_file(const char *data_dir, struct buf *path, struct error *err)
{
    struct str dir = str_of(data_dir);

    while (dir.size > 1 && str_has_suffix(dir, STR("/")))
        dir.size--;
    // Not inside: the service takes a directory over only when it is empty.
    if (str_equal_text(dir, TARGET_DATA_DIR_DEFAULT))
        buf_append_text(path, "/var/log/lamina.log");
    else
        buf_printf(path, STR_FORMAT ".log", STR_ARGUMENTS(dir));
    int r = buf_status(path);
    return r < 0 ? error_set_errno(err, r, "the log file's path") : 0;
}

// The child. Nothing but system calls between fork and exec.
static void become_service(const char *program, char *const *words, int log_fd, int null_fd)
{
    sigset_t none;

    (void) setsid();
    sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(126);
    execv(program, words);
    _exit(127);
}

struct waiting {
    pid_t child;
    const char *data_dir;
    struct stat before; // of DIR/endpoint; st_ino 0: was not there
    int64_t deadline_ms;
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
    is_interrupted = 1;
}

static bool endpoint_stat(const char *data_dir, struct stat *ret)
{
    AUTO_BUF struct buf path = BUF_INIT(4096);

    buf_printf(&path, "%s/endpoint", data_dir);
    return buf_status(&path) == 0 && stat(path.data, ret) == 0;
}

// The file of an earlier run may still lie there: only one that is new counts.
static bool is_endpoint_new(const struct waiting *waiting)
{
    struct stat now;

    return endpoint_stat(waiting->data_dir, &now) &&
           (now.st_ino != waiting->before.st_ino || now.st_dev != waiting->before.st_dev ||
            now.st_mtim.tv_sec != waiting->before.st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != waiting->before.st_mtim.tv_nsec);
}

static bool is_ready(const struct waiting *waiting, struct target *ret)
{
    const struct target_options options = {.data_dir = waiting->data_dir};
    struct client *client = NULL;
    int status = 0;

    if (!is_endpoint_new(waiting) || target_resolve_endpoint(&options, ret, NULL) < 0 ||
        client_new(ret, &client, NULL) < 0)
        return false;
    int r = service_probe(client, "/readyz", PROBE_TIMEOUT_MS, &status, NULL);
    client_free(client);
    return r == 0 && status == 200;
}

static void pause_ms(long ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000};

    (void) nanosleep(&time, NULL);
}

static int await_ready(const struct waiting *waiting, struct target *ret, struct error *err)
{
    int status = 0;

    for (;;) {
        if (waitpid(waiting->child, &status, WNOHANG) == waiting->child)
            return error_set(err, -ECHILD, "the service did not start (%s %d)",
                             WIFEXITED(status) ? "exit status" : "signal",
                             WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        if (is_interrupted || clock_monotonic_ms() >= waiting->deadline_ms) {
            (void) kill(waiting->child, SIGTERM);
            return is_interrupted ? error_set(err, -EINTR, "interrupted: the service was ended")
                                  : error_set(err, -ETIMEDOUT,
                                              "the service was not ready in time and was ended");
        }
        if (is_ready(waiting, ret))
            return 0;
        pause_ms(POLL_MS);
    }
}

// What the service said about its failure: the end of what it wrote since `from`.
static void show_log(int fd, off_t from)
{
    char text[LOG_SHOWN_BYTES_MAX];
    off_t end = lseek(fd, 0, SEEK_END);

    if (end - from > (off_t) sizeof text)
        from = end - (off_t) sizeof text;
    ssize_t size = pread(fd, text, sizeof text, from);
    if (size > 0)
        output_note(false, "%.*s", (int) size - (text[size - 1] == '\n'), text);
}

static int make_parents(const char *path)
{
    struct str parent = str_part(str_of(path), 0, (size_t) (str_find_last(str_of(path), '/') + 1));
    AUTO_FREE char *text = str_copy_heap(parent);

    if (text == NULL)
        return -ENOMEM;
    return parent.size > 1 ? fs_make_dirs(AT_FDCWD, text, 0755) : 0;
}

// The default lies beside the data directory, which may be a place where others can write: a link or
// a file that somebody put there is not followed and not written to.
static int open_log(const char *path, bool is_named, int *ret_fd, struct error *err)
{
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | (is_named ? 0 : O_NOFOLLOW);
    struct stat st;

    int r = make_parents(path);
    AUTO_FD int fd = r < 0 ? r : open(path, flags, 0640);
    if (fd < 0)
        return error_set_errno(err, r < 0 ? r : -errno, "open the log file '%s'", path);
    if (!is_named && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid()))
        return error_set(err, -EPERM, "the log file '%s' is somebody else's: name one (--log-file)",
                         path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int start_detached(const struct start *start, const char *program, const char *log_file,
                          struct error *err)
{
    struct waiting waiting = {.data_dir = start->data_dir};
    struct target target;

    AUTO_FD int log_fd = -1;
    int r = open_log(log_file, start->log_file != NULL, &log_fd, err);
    if (r < 0)
        return r;
    AUTO_FD int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return error_set_errno(err, -errno, "open /dev/null");
    off_t log_start = lseek(log_fd, 0, SEEK_END);
    (void) endpoint_stat(start->data_dir, &waiting.before);
    waiting.deadline_ms = clock_monotonic_ms() + (int64_t) start->wait_s * 1000;

    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    waiting.child = fork();
    if (waiting.child < 0)
        return error_set_errno(err, -errno, "start the service");
    if (waiting.child == 0)
        become_service(program, start->words, log_fd, null_fd);
    r = await_ready(&waiting, &target, err);
    if (r < 0) {
        show_log(log_fd, log_start);
        return error_wrap(err, r, "up (log: %s)", log_file);
    }
    output_note(false,
                "Lamina is ready on %s (pid %d, data in %s, log in %s)\n"
                "point AWS clients at it: eval \"$(lamina env%s%s)\"",
                target.endpoint, (int) waiting.child, start->data_dir, log_file,
                strcmp(start->data_dir, TARGET_DATA_DIR_DEFAULT) == 0 ? "" : " --data-dir ",
                strcmp(start->data_dir, TARGET_DATA_DIR_DEFAULT) == 0 ? "" : start->data_dir);
    return EXIT_DONE;
}

static int start(struct start *start, struct error *err)
{
    AUTO_BUF struct buf program = BUF_INIT(INSTALL_PATH_BYTES_MAX);
    AUTO_BUF struct buf log_file = BUF_INIT(INSTALL_PATH_BYTES_MAX);

    int r = install_path("laminad", &program, err);
    if (r < 0)
        return r;
    start->words[0] = program.data;
    if (access(program.data, X_OK) < 0)
        return error_set_errno(err, -errno, "the service's program '%s'", program.data);
    if (start->is_detached) {
        r = default_log_file(start->data_dir, &log_file, err);
        return r < 0
                   ? r
                   : start_detached(start, program.data,
                                    start->log_file != NULL ? start->log_file : log_file.data, err);
    }
    signal(SIGPIPE, SIG_DFL);
    execv(program.data, start->words);
    return error_set_errno(err, -errno, "start '%s'", program.data);
}

static int run_up(int argc, char *const *argv, struct error *err)
{
    const char *data_dir = getenv("LAMINA_DATA_DIR");
    struct start plan = {
        .wait_s = WAIT_S_DEFAULT,
        .data_dir = data_dir != NULL && data_dir[0] != '\0' ? data_dir : TARGET_DATA_DIR_DEFAULT,
    };

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            return help_print(&cmd_up);
    }
    AUTO_FREE char **words = calloc((size_t) argc + 2, sizeof *words);
    if (words == NULL)
        return error_set(err, -ENOMEM, "no memory to start the service");
    plan.words = words;
    int r = read_words(argc, argv, &plan, err);
    if (r < 0) {
        output_error("%s", err->text);
        return EXIT_USAGE;
    }
    return start(&plan, err);
}

const struct command cmd_up = {
    .name = "up",
    .usage = "[-d] [--data-dir DIR] [--listen ADDRESS:PORT] [...]",
    .summary = "Starts the service (as root), here or in the background",
    .details = "All other options are the service's own: laminad --help lists them.",
    .options = shown_options,
    .is_raw = true,
    .run_raw = run_up,
};
