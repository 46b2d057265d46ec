// SPDX-License-Identifier: MIT
/*
 * wire/spawn.h - what laminad and lamina-spawn say to each other (docs/wire-spawn.md tells the story).
 *
 * Two SOCK_SEQPACKET socket pairs, made by lamina-spawn before it starts laminad:
 *
 *   fd 3  SPAWN_FD_INSTANCES  the loop thread's. Both ways, any number of instances in flight.
 *   fd 4  SPAWN_FD_WORK       the deployment threads'. Only requests; each one carries its own status socket,
 *                             so threads need no lock (a SEQPACKET send is atomic) and no answer gets mixed up.
 *
 * One packet is one message: a struct below, sent whole (START: cut after its environment). Native byte order;
 * both ends are always from one build, and a version that differs is refused. No message holds a path of the host, a
 * directory descriptor or a pointer: trees are named by 32 raw bytes, and lamina-spawn opens `trees/<hex>` itself. The
 * one exception is where in a file system that an administrator named somebody may look (wire/filesystem.h).
 *
 * Trust. lamina-spawn believes nothing that it reads: a packet that is short, long, of an unknown type, with
 * values past a limit or with descriptors that it did not ask for ends the service (our bug, or laminad was
 * taken over), except where a struct says "refused", which answers START_FAILED. laminad believes lamina-spawn.
 *
 * The life of an instance, in messages:
 *
 *      START ---------> STARTED (+4 fds) --- INIT_DONE / FREEZE / THAW / STATS / KILL ---> EXIT
 *         \-----------> START_FAILED                      (EXIT comes exactly once for each STARTED,
 *                                                          whether or not KILL was asked for)
 *
 * End of life: either side reads end-of-file when the other has died, kills all it owns and ends. laminad stops
 * the service by exiting; lamina-spawn then kills every sandbox, removes their cgroups and exits with laminad's
 * status. lamina-spawn passes SIGTERM and SIGINT on to laminad.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "wire/filesystem.h"

#define SPAWN_VERSION 3u
#define SPAWN_FD_INSTANCES 3
#define SPAWN_FD_WORK 4

/* Set by lamina-spawn in laminad's environment to "3,4": laminad started by hand knows that it was not. */
#define SPAWN_ENV_FDS "LAMINA_SPAWN_FDS"

/* Set to where laminad finds its data directory, in a mount namespace of its own: the user need not be able to walk to
 * --data-dir itself (`/root/lamina`). Messages to people name --data-dir. */
#define SPAWN_ENV_DATA "LAMINA_DATA_MOUNT"
#define SPAWN_DATA_MOUNT "/run/lamina/data"
/* What sandboxes see as /opt/lamina, read-only; an empty directory when there is none. */
#define SPAWN_RUNTIME_MOUNT "/run/lamina/runtime"

enum {
    SPAWN_TREE_ID_SIZE = 32,
    SPAWN_ENV_MAX = 8192,         /* bytes of an instance's environment, final NULs counted */
    SPAWN_ENV_VARIABLES_MAX = 4096, /* more than SPAWN_ENV_MAX bytes hold: `a=` and its NUL are 3 */
    SPAWN_INSTANCES_MAX = 2048,   /* alive at once; a START beyond it is refused with EAGAIN */
    SPAWN_WORK_MAX = 8,           /* jobs at once; one beyond it is answered with WORK_EXIT{error = EAGAIN} */
    SPAWN_MESSAGE_MAX = 8704,     /* no message is longer; receive buffers may be this size */
    SPAWN_TEMPLATE_TEXT_MAX = 160,
    SPAWN_FDS_MAX = 4,            /* no message carries more descriptors */
    SPAWN_MEMORY_MIB_MAX = 131072,
    SPAWN_TMP_MIB_MAX = 10240,
};

/* Ports of the two listeners, on 127.0.0.1 inside the sandbox's own network namespace. */
enum { SPAWN_PORT_RUNTIME = 9001, SPAWN_PORT_PLATFORM = 4566 };

enum spawn_type {
    /* laminad -> lamina-spawn, on fd 3 */
    SPAWN_START = 1,
    SPAWN_KILL = 2,
    SPAWN_FREEZE = 3,
    SPAWN_THAW = 4,
    SPAWN_STATS = 5,
    SPAWN_INIT_DONE = 6,
    SPAWN_TREE_FORGET = 7,
    /* lamina-spawn -> laminad, on fd 3 */
    SPAWN_HELLO = 32,
    SPAWN_STARTED = 33,
    SPAWN_START_FAILED = 34,
    SPAWN_EXIT = 35,
    SPAWN_FROZEN = 36,
    SPAWN_THAWED = 37,
    SPAWN_STATS_ARE = 38,
    SPAWN_TEMPLATE_READY = 39,
    SPAWN_TEMPLATE_REFUSED = 40,
    SPAWN_FILESYSTEM = 41,
    SPAWN_UNMOUNTED = 42,
    /* laminad -> lamina-spawn, on fd 4; and the answers, on the job's own status socket */
    SPAWN_WORK = 64,
    SPAWN_WORK_EXIT = 65,
    SPAWN_FILE = 66,
    SPAWN_FILE_IS = 67,
    SPAWN_FILE_END = 68,
};

/*
 * The head of every message. `id` is the instance's: chosen by laminad, never 0, never used twice in the life of
 * one service. In WORK and FILE it is free for laminad's use and comes back in the answers; in HELLO, TREE_FORGET and
 * FILESYSTEM it is 0.
 */
struct spawn_head {
    uint16_t version; /* SPAWN_VERSION */
    uint16_t type;    /* enum spawn_type */
    uint32_t size;    /* of the whole message, this head included: equals the packet's length */
    uint64_t id;
};

/* ---- requests on fd 3 -------------------------------------------------------------------------------------- */

enum spawn_start_flags {
    /* More starts of this tree with these limits are likely: keep one prepared waiter for it (0.5 ms to the
     * function's first instruction) until it was unused for a minute, or TREE_FORGET. */
    SPAWN_START_HOT = 1u << 0,
    /* Do not use the pool or a waiter: for benchmarks and tests. */
    SPAWN_START_FROM_NOTHING = 1u << 1,
    SPAWN_START_NO_WAITER = 1u << 2,
    /* Make a template, not an instance: refused (step REQUEST, ENOTSUP) until HELLO says can_template. */
    SPAWN_START_TEMPLATE = 1u << 3,
    /* One descriptor comes with START: a sealed memfd (F_SEAL_WRITE, SHRINK and GROW; else refused with EBADF). The
     * bootstrap finds it at SPAWN_MODEL_FD. */
    SPAWN_START_MODEL_FD = 1u << 4,
    /* With template_id: nobody waits for it. The fork may touch ahead what a call will touch (wire/template.h). */
    SPAWN_START_SPARE = 1u << 5,
};

enum { SPAWN_MODEL_FD = 4 };

/* What is run: the first of these that is there. */
enum spawn_bootstrap {
    SPAWN_BOOTSTRAP_PROVIDED = 0, /* /var/task/bootstrap, /opt/bootstrap */
    SPAWN_BOOTSTRAP_PYTHON = 1,   /* /opt/lamina/runtimes/python/bootstrap */
    SPAWN_BOOTSTRAP_NODE = 2,     /* /opt/lamina/runtimes/node/bootstrap */
    SPAWN_BOOTSTRAP_COUNT = 3,
};

/*
 * START: make a sandbox, run its bootstrap. Answered by STARTED or START_FAILED, in any order among instances.
 *
 * Sees: host /usr read-only, a synthesised /etc, /var/task = the tree, /opt = the layers' tree with our runtime over its
 * empty directory `lamina` (a tree without one is refused), /opt/lamina/models = DATA/models/<hex of models_id> (all
 * three read-only; empty when the id is all zero; what laminad links into models later appears in what runs already),
 * /tmp (tmpfs of tmp_bytes, the only writable place), /dev, /proc, and at most one file system at /mnt/<name>, nosuid
 * and nodev, mounted before the bootstrap runs.
 * Runs the bootstrap, with cwd /var/task and argv[0] only; none that can be run: EXIT with exec_errno. Exactly the environment given (lamina-spawn adds nothing), stdin /dev/null, stdout and
 * stderr the log pipe. Has all of the CPU until INIT_DONE, then cpu_millis.
 *
 * Refused (START_FAILED): an unknown tree or models directory (step TREE, ENOENT), an id in use (EEXIST), too many
 * (EAGAIN), a template that is not there or not ready (step TEMPLATE, ESRCH), a file system that cannot be had (step
 * FILESYSTEM; spawn_filesystem_failure() says which of AWS's errors that is), one together with a template or a fork of
 * one (step FILESYSTEM, ENOTSUP: AWS has no SnapStart with file systems either).
 */
struct spawn_start {
    struct spawn_head head;
    uint8_t tree_id[SPAWN_TREE_ID_SIZE];     /* raw bytes; all zero: no tree */
    uint8_t opt_tree_id[SPAWN_TREE_ID_SIZE]; /* a tree too; all zero: /opt holds nothing but our runtime */
    uint8_t models_id[SPAWN_TREE_ID_SIZE];   /* all zero: none */
    uint64_t template_id;                    /* fork that live template, whose trees and limits must be these; 0: none */
    uint64_t memory_bytes;               /* hard limit of the sandbox, /tmp's content included; 16 MiB or more */
    uint64_t tmp_bytes;                  /* size of /tmp; 1 MiB or more */
    uint32_t cpu_millis;                 /* 1000 is one CPU; 0: no limit */
    uint32_t pids_max;                   /* threads and processes; 0: 1024, as Lambda */
    uint32_t flags;                      /* enum spawn_start_flags; unknown bits are an error */
    uint32_t bootstrap;                  /* enum spawn_bootstrap */
    uint32_t reserved;                   /* 0 */
    uint32_t env_size;                   /* bytes used of env */
    struct spawn_filesystem_use filesystem;
    char env[SPAWN_ENV_MAX];             /* NAME=value\0NAME=value\0 ...; the message ends after env_size bytes */
};

/*
 * KILL, FREEZE, THAW, STATS, INIT_DONE: one instance. An id that is not alive is no error and gets no answer
 * (its EXIT is on the way, or was read already).
 *   KILL       SIGKILL to every process in it, frozen or not. EXIT follows.
 *   FREEZE     answered by FROZEN when no process of it runs any more; error != 0 when that failed.
 *   THAW       answered by THAWED when its processes run again; no need to wait for it before writing to the
 *              sandbox's sockets. Thawing what runs is fine. Requests are obeyed in the order sent.
 *   STATS      answered by STATS_ARE, unless it ends first: nothing follows EXIT.
 *   INIT_DONE  the init phase is over: cpu_millis of START applies from now on. No answer.
 */
struct spawn_request {
    struct spawn_head head;
};

/* TREE_FORGET: drop prepared waiters of this tree, be it at /var/task or /opt; the store is about to remove it. No answer. Running
 * instances keep their files (a mounted directory outlives its name). */
struct spawn_tree_forget {
    struct spawn_head head;
    uint8_t tree_id[SPAWN_TREE_ID_SIZE];
};

/* ---- answers on fd 3 --------------------------------------------------------------------------------------- */

/* HELLO: the first message, before any request. */
struct spawn_hello {
    struct spawn_head head;
    uint32_t cgroup_version; /* 1 or 2 */
    uint32_t instances_max;
    uint32_t uid_first; /* sandboxes of this service use these uids and no others */
    uint32_t uid_count;
    uint32_t flags; /* enum spawn_hello_flags */
    uint32_t reserved;
};

enum spawn_hello_flags {
    SPAWN_HELLO_CAN_TEMPLATE = 1u << 0, /* START may ask for templates and their forks */
};

/* How a start was served. */
enum spawn_path {
    SPAWN_PATH_NOTHING = 0,
    SPAWN_PATH_POOL = 1,
    SPAWN_PATH_WAITER = 2,
    SPAWN_PATH_SPARE = 3, /* a fork that was made ahead */
    SPAWN_PATH_FORK = 4,  /* forked now, into a sandbox made ahead */
    SPAWN_PATH_SEAT = 5,  /* the sandbox was made now too */
};

/* Where a start's time went; microseconds from the START's arrival, 0 for what had been done ahead. */
struct spawn_timings {
    uint32_t clone_us;  /* the sandbox's first process exists, in its namespaces */
    uint32_t cgroup_us; /* cgroups made and limits set */
    uint32_t attach_us; /* the process is in them (a v1 attach can wait for the kernel's readers) */
    uint32_t net_us;    /* network namespace and listeners handed over */
    uint32_t mount_us;  /* root in place, privileges dropped, filter on, lamina-init runs */
    uint32_t total_us;  /* until STARTED was sent: bootstrap's exec is next */
};

/* The descriptors that come with STARTED, in this order; all are the receiver's to close. */
enum spawn_started_fd {
    SPAWN_STARTED_RUNTIME = 0,  /* listening TCP socket 127.0.0.1:9001 of the sandbox, non-blocking */
    SPAWN_STARTED_PLATFORM = 1, /* listening TCP socket 127.0.0.1:4566 of the sandbox, non-blocking */
    SPAWN_STARTED_LOG = 2,      /* read end of the pipe that is its stdout and stderr, non-blocking */
    SPAWN_STARTED_PEAK = 3,     /* the cgroup's peak memory file: pread at 0 gives decimal bytes and a newline */
    SPAWN_STARTED_FDS = 4,
};

/* STARTED: the sandbox stands and lamina-init has its orders. The Runtime API will be called soon, or EXIT comes. */
struct spawn_started {
    struct spawn_head head;
    uint32_t path; /* enum spawn_path */
    uint32_t uid;  /* the sandbox's own uid, for ps */
    uint32_t pid;  /* of its pid 1, as the host sees it: for people; never signal it */
    uint32_t reserved;
    struct spawn_timings timings;
};

/* The step at which a start failed; spawn_step_name() gives the word for logs. */
enum spawn_step {
    SPAWN_STEP_NONE = 0,
    SPAWN_STEP_REQUEST = 1, /* values out of range, id in use, too many */
    SPAWN_STEP_CGROUP = 2,
    SPAWN_STEP_CLONE = 3,
    SPAWN_STEP_ATTACH = 4,
    SPAWN_STEP_NET = 5,
    SPAWN_STEP_LISTEN = 6,
    SPAWN_STEP_TREE = 7,
    SPAWN_STEP_MOUNT = 8,
    SPAWN_STEP_ROOT = 9,
    SPAWN_STEP_LIMITS = 10,
    SPAWN_STEP_USER = 11,
    SPAWN_STEP_SECCOMP = 12,
    SPAWN_STEP_EXEC = 13, /* of lamina-init */
    SPAWN_STEP_DIED = 14, /* it ended without a word; error is its wait status */
    SPAWN_STEP_TEMPLATE = 15, /* of a fork: there is no such template that is ready */
    SPAWN_STEP_FILESYSTEM = 16, /* it cannot be mounted: spawn_filesystem_failure(error), spawn_filesystem_reason(error) */
    SPAWN_STEP_COUNT = 17,
};

/* START_FAILED: nothing of the instance is left, and no EXIT will come. */
struct spawn_start_failed {
    struct spawn_head head;
    uint32_t step;  /* enum spawn_step */
    uint32_t error; /* errno, positive */
};

enum spawn_exit_flags {
    SPAWN_EXIT_OOM = 1u << 0,    /* the kernel killed at least one of its processes for memory */
    SPAWN_EXIT_KILLED = 1u << 1, /* KILL had been asked for */
};

/* EXIT: all its processes are gone. The bootstrap's own end decides status; what it left running is killed. */
struct spawn_exit {
    struct spawn_head head;
    int32_t status;             /* as wait(2) has it, of the bootstrap: WIFEXITED, WTERMSIG and so on */
    uint32_t flags;             /* enum spawn_exit_flags */
    uint32_t exec_errno;        /* not 0: bootstrap could not be run: ENOENT (there is none), EACCES, ENOEXEC, ELIBACC
                                   (there is one, its interpreter or loader is missing); status is 127 << 8 */
    uint32_t reserved;
    uint64_t memory_peak_bytes; /* most that it used at once; 0 where the kernel does not tell */
    uint64_t cpu_us;            /* user and system time of all its processes */
};

/*
 * FROZEN, THAWED. And UNMOUNTED: the server of its file system has gone or was given up; all that the instance does
 * there fails from now on, also when the server is back. New instances have a new mount: this one should be ended when
 * it has no call.
 */
struct spawn_done {
    struct spawn_head head;
    uint32_t error; /* 0 or errno */
    uint32_t reserved;
};

/*
 * The answers to a START with SPAWN_START_TEMPLATE, after its STARTED: once the bootstrap has said that it is ready to be
 * forked (wire/template.h) it is looked at from outside, and one of these two comes. After REFUSED it is killed: EXIT
 * follows. A template that never says so is laminad's to KILL.
 */
struct spawn_template_ready {
    struct spawn_head head;
    uint32_t check_us; /* what the look took */
    uint32_t files;    /* regular files that it holds open: each fork has them too */
};

enum spawn_template_reason {
    SPAWN_REASON_NONE = 0,
    SPAWN_REASON_THREADS = 1,    /* it has more than one */
    SPAWN_REASON_PROCESSES = 2,  /* it has children */
    SPAWN_REASON_DESCRIPTOR = 3, /* it holds one that cannot be shared: a socket, a pipe, a directory ... */
    SPAWN_REASON_MAPPING = 4,    /* it maps memory that its forks would share and can write */
    SPAWN_REASON_TIMER = 5,
    SPAWN_REASON_PROTOCOL = 6, /* what it sent is not in wire/template.h */
    SPAWN_REASON_LOOK = 7,     /* it could not be looked at: error */
    SPAWN_REASON_COUNT = 8,
};

struct spawn_template_refused {
    struct spawn_head head;
    uint32_t reason; /* enum spawn_template_reason */
    uint32_t error;  /* errno of looking, or 0 */
    /* For the function's owner, NUL-terminated: `descriptor 7 is a socket`. Names in it come from the template; control
     * characters are taken out. */
    char text[SPAWN_TEMPLATE_TEXT_MAX];
};

/*
 * FILESYSTEM: a row of the table of file systems. After HELLO, and whenever the file was read again (SIGHUP to
 * lamina-spawn) without an error: BEGIN, a packet for each line, END; the new table is the one between them. Access
 * points come after the file system that they are of. START and FILE are held against the same table, so what was sent
 * in the moment of a change may be refused (ENODEV).
 */
enum spawn_filesystem_kind {
    SPAWN_FILESYSTEM_BEGIN = 0,
    SPAWN_FILESYSTEM_IS = 1,
    SPAWN_FILESYSTEM_ACCESS_POINT = 2,
    SPAWN_FILESYSTEM_END = 3,
};

struct spawn_filesystem {
    struct spawn_head head;
    uint32_t kind;
    uint32_t flags;                               /* enum spawn_filesystem_flags */
    char id[SPAWN_FILESYSTEM_ID_SIZE];            /* "fs-..." or "fsap-..." */
    char filesystem_id[SPAWN_FILESYSTEM_ID_SIZE]; /* of an access point */
    uint32_t uid, gid;                            /* or SPAWN_FILESYSTEM_NO_USER */
    uint32_t uid_first, uid_last, gid_first, gid_last; /* other users that access points may have; last < first: none */
    char root[SPAWN_FILESYSTEM_ROOT_SIZE];        /* of an access point, without leading slash */
    char name[SPAWN_FILESYSTEM_LABEL_SIZE];
};

struct spawn_stats {
    struct spawn_head head;
    uint64_t memory_bytes;      /* charged to its cgroup now, page cache that it touched first included */
    uint64_t memory_peak_bytes;
    uint64_t pss_bytes;         /* over its processes: private memory and its share of what is shared */
    uint64_t private_bytes;     /* over its processes: what would be freed if it ended */
    uint64_t page_table_bytes;
    uint64_t anonymous_bytes;   /* over its processes, of pss: without what is mapped from files */
    uint64_t cpu_us;
    uint32_t processes;
    uint32_t error;             /* not 0: it ended meanwhile or could not be read; the rest is 0 */
};

/* ---- work, on fd 4 ----------------------------------------------------------------------------------------- */

/* The descriptors that come with WORK, in this order, all needed. */
enum spawn_work_fd {
    SPAWN_WORK_INPUT = 0,  /* regular file, open for reading only: lamina-work's stdin */
    SPAWN_WORK_OUTPUT = 1, /* write end of a pipe: lamina-work's stdout, all that it can write to */
    SPAWN_WORK_STATUS = 2, /* one end of a SOCK_SEQPACKET pair: one WORK_EXIT comes, then end-of-file */
    SPAWN_WORK_FDS = 3,
};

/*
 * WORK: run `lamina-work KIND ARG ARG ARG ARG` (decimal numbers) confined: own namespaces, own uid, no network, no
 * file system but /usr read-only, a tight syscall filter, memory and CPU time limits. stdin, stdout as above, stderr
 * /dev/null, no other descriptor, empty environment. What kinds and arguments mean is wire/work.h's business.
 * The job is killed when the reader of the status socket closes it.
 */
struct spawn_work {
    struct spawn_head head;
    uint32_t kind;
    uint32_t cpu_seconds; /* RLIMIT_CPU; 1 to 3600; with SPAWN_WORK_CACHE 0 */
    uint64_t memory_bytes;
    uint64_t arg[4];
    uint32_t flags;    /* enum spawn_work_flags; unknown bits are an error */
    uint32_t reserved; /* 0 */
    uint8_t tree_id[SPAWN_TREE_ID_SIZE]; /* that the job sees at /var/task, read-only; all zero: none */
};

enum spawn_work_flags {
    /* The job loads an inference library (/opt/lamina/lib): its filter also allows files in memory and looking at
     * folders. */
    SPAWN_WORK_ENGINE = 1u << 0,
    /* Run lamina-cache (wire/cache.h) instead of lamina-work: the output is a SOCK_SEQPACKET socket, cpu_seconds may be 0
     * (no limit), and its filter allows to send descriptors. */
    SPAWN_WORK_CACHE = 1u << 1,
};

/* WORK_EXIT: the job and all its processes are gone. */
struct spawn_work_exit {
    struct spawn_head head;
    int32_t status; /* as wait(2) */
    uint32_t flags; /* enum spawn_exit_flags */
    uint32_t step;  /* not 0: it never ran, and error says why */
    uint32_t error;
};

/* ---- files of file systems, on fd 4 ------------------------------------------------------------------------ */

enum spawn_file_fd {
    SPAWN_FILE_STATUS = 0, /* one end of a SOCK_SEQPACKET pair: FILE_IS comes, then, of a read, FILE_END; then end-of-file */
    SPAWN_FILE_OUTPUT = 1, /* SPAWN_FILE_READ only: write end of a pipe for the content */
};

enum spawn_file_flags {
    SPAWN_FILE_READ = 1u << 0, /* the content too */
    SPAWN_FILE_DROP_CACHE = 1u << 1, /* forget what this machine remembers of the content, and read it anew */
};

/*
 * FILE: look at one regular file of a file system, or read it. It is opened as the access point's user, beneath the access
 * point's root; symbolic links are followed as long as they stay beneath it. What is no regular file is refused without
 * waiting: a directory (EISDIR), a FIFO, socket or device (EINVAL). An empty path, without READ, looks at the root itself,
 * which is made if use says CREATE: can an instance have it?
 *
 * Everything that may hang is done in a process of the file system's own: an answer comes within SPAWN_FILE_DEADLINE_MS, and
 * while reading, a server that says nothing for as long ends the read (ETIMEDOUT). Closing the status socket, or the
 * pipe, ends it too. At most SPAWN_FILE_MAX at once for a file system; more are refused (EAGAIN).
 */
enum { SPAWN_FILE_DEADLINE_MS = 12000, SPAWN_FILE_MAX = 40 };

struct spawn_file {
    struct spawn_head head;
    struct spawn_filesystem_use use; /* name empty */
    uint32_t flags;                  /* enum spawn_file_flags */
    uint32_t reserved;               /* 0 */
    char path[SPAWN_FILE_PATH_SIZE]; /* relative, of normal components, NUL-padded; empty: the root itself */
};

/* FILE_IS: what is there. When error is not 0, nothing else follows and the rest is 0. The content is sent from the file
 * that these are of, open all the while; a file that was overwritten meanwhile shows in FILE_END. */
struct spawn_file_is {
    struct spawn_head head;
    uint32_t error; /* errno: spawn_filesystem_failure(error) */
    uint32_t flags; /* SPAWN_FILESYSTEM_FOREIGN, _IMMUTABLE of its row */
    uint64_t size, inode, device;
    int64_t mtime_ns, ctime_ns; /* since 1970 */
};

/* FILE_END: error 0: all of the file is in the pipe. size and times once more, after the last byte was read: when they
 * differ from FILE_IS, it was written to meanwhile. */
struct spawn_file_end {
    struct spawn_head head;
    uint32_t error;
    uint32_t reserved;
    uint64_t bytes; /* that were written to the pipe */
    uint64_t size;
    int64_t mtime_ns, ctime_ns;
};

#define SPAWN_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has a fixed size")
SPAWN_ASSERT_SIZE(struct spawn_head, 16);
SPAWN_ASSERT_SIZE(struct spawn_start, 160 + 312 + SPAWN_ENV_MAX);
SPAWN_ASSERT_SIZE(struct spawn_filesystem, 16 + 8 + 48 + 24 + 104 + 64);
SPAWN_ASSERT_SIZE(struct spawn_file, 16 + 312 + 8 + SPAWN_FILE_PATH_SIZE);
SPAWN_ASSERT_SIZE(struct spawn_file_is, 64);
SPAWN_ASSERT_SIZE(struct spawn_file_end, 56);
SPAWN_ASSERT_SIZE(struct spawn_request, 16);
SPAWN_ASSERT_SIZE(struct spawn_tree_forget, 48);
SPAWN_ASSERT_SIZE(struct spawn_hello, 40);
SPAWN_ASSERT_SIZE(struct spawn_started, 56);
SPAWN_ASSERT_SIZE(struct spawn_start_failed, 24);
SPAWN_ASSERT_SIZE(struct spawn_exit, 48);
SPAWN_ASSERT_SIZE(struct spawn_done, 24);
SPAWN_ASSERT_SIZE(struct spawn_stats, 80);
SPAWN_ASSERT_SIZE(struct spawn_template_ready, 24);
SPAWN_ASSERT_SIZE(struct spawn_template_refused, 24 + SPAWN_TEMPLATE_TEXT_MAX);
SPAWN_ASSERT_SIZE(struct spawn_work, 104);
SPAWN_ASSERT_SIZE(struct spawn_work_exit, 32);
_Static_assert(sizeof(struct spawn_start) <= SPAWN_MESSAGE_MAX, "START fits the receive buffer");

/* The word for a step, for logs and errors: "cgroup", "clone", ...; "?" for a number that is none. */
static inline const char *spawn_step_name(uint32_t step)
{
    static const char *const names[SPAWN_STEP_COUNT] = {
        "none", "request", "cgroup", "clone", "attach", "net",     "listen", "tree",
        "mount", "root",   "limits", "user",  "seccomp", "exec", "died", "template", "filesystem",
    };
    return step < SPAWN_STEP_COUNT ? names[step] : "?";
}
