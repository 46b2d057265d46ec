# SPDX-License-Identifier: MIT
"""A client of lamina-spawn for tests: speaks src/wire/spawn.h in laminad's place.

`Spawn` starts a real lamina-spawn on a data directory of its own, with build/tests/relay as its
"laminad", which hands both channels to this process. Every wait has a generous deadline; close()
ends the service and checks that no process and no cgroup of it is left.
"""
import contextlib
import glob
import os
import resource
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time

DEADLINE_S = 120
VERSION = 3
(START, KILL, FREEZE, THAW, STATS, INIT_DONE, TREE_FORGET) = range(1, 8)
(HELLO, STARTED, START_FAILED, EXIT, FROZEN, THAWED, STATS_ARE, TEMPLATE_READY,
 TEMPLATE_REFUSED) = range(32, 41)
FILESYSTEM, UNMOUNTED = 41, 42
WORK, WORK_EXIT, FILE, FILE_IS, FILE_END = range(64, 69)
HOT, FROM_NOTHING, NO_WAITER, TEMPLATE, MODEL_FD, SPARE = 1, 2, 4, 8, 16, 32
PATHS = ("nothing", "pool", "waiter", "spare", "fork", "seat")
STEPS = ("none", "request", "cgroup", "clone", "attach", "net", "listen", "tree", "mount", "root",
         "limits", "user", "seccomp", "exec", "died", "template", "filesystem")
EXIT_OOM, EXIT_KILLED = 1, 2
HEAD = struct.Struct("=HHIQ")
MIB = 1 << 20


def message(kind, ident, body=b""):
    return HEAD.pack(VERSION, kind, HEAD.size + len(body), ident) + body


def start_message(ident, tree=bytes(32), memory=128 * MIB, tmp=16 * MIB, cpu=0, pids=0, flags=0,
                  bootstrap=0, env=None, opt_tree=bytes(32), models=bytes(32), template=0,
                  filesystem=bytes(312)):
    block = b"".join(f"{k}={v}".encode() + b"\0" for k, v in (env or {}).items())
    return message(START, ident, tree + opt_tree + models +
                   struct.pack("=3Q6I", template, memory, tmp, cpu, pids, flags, bootstrap, 0,
                               len(block)) + filesystem + block)


class Instance:
    """A started sandbox: its answer, its descriptors, what it has written."""

    def __init__(self, ident, body, fds):
        self.id = ident
        path, self.uid, self.pid, _ = struct.unpack("=IIII", body[:16])
        self.path = PATHS[path]
        self.timings = dict(zip(("clone", "cgroup", "attach", "net", "mount", "total"),
                                struct.unpack("=6I", body[16:40])))
        self.runtime = socket.socket(fileno=fds[0])
        self.platform = socket.socket(fileno=fds[1])
        self.log_fd, self.peak_fd = fds[2], fds[3]

    def log(self):
        """All that it writes, until it has ended."""
        text = b""
        end = time.monotonic() + DEADLINE_S
        while True:
            ready, _, _ = select.select([self.log_fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"instance {self.id} does not end; so far: {text!r}"
            data = os.read(self.log_fd, 65536)
            if not data:
                return text.decode(errors="replace")
            text += data

    def wait_log(self, marker):
        """What it has written, up to and with the marker."""
        text = b""
        end = time.monotonic() + DEADLINE_S
        while marker.encode() not in text:
            ready, _, _ = select.select([self.log_fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"no {marker!r} in {text!r}"
            data = os.read(self.log_fd, 65536)
            assert data, f"it ended without {marker!r}: {text!r}"
            text += data
        return text.decode(errors="replace")

    def close(self):
        self.runtime.close()
        self.platform.close()
        for fd in (self.log_fd, self.peak_fd):
            with contextlib.suppress(OSError):
                os.close(fd)


def clean_environment():
    """The caller's, without what would change lamina-spawn's defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LAMINA_")}


def prepare(files, group):
    """In lamina-spawn's process, before its exec: a limit of open files, a cgroup (v2) to be in."""
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
    if group:
        with open(os.path.join(group, "cgroup.procs"), "w") as file:
            file.write("0")


def remove(path):
    shutil.rmtree(path, ignore_errors=True)


class Spawn:
    def __init__(self, build, *, keep_data=None, environment=None, files=None, work="lamina-work",
                 arguments=(), group=None):
        self.build = str(build)
        self.data = keep_data or tempfile.mkdtemp(prefix="lamina-spawn-")
        self.owns_data = keep_data is None
        self.programs = tempfile.mkdtemp(prefix="lamina-programs-")
        os.chmod(self.programs, 0o755)
        for name, source in (("lamina-spawn", "lamina-spawn"), ("lamina-init", "lamina-init"),
                             ("lamina-work", work), ("laminad", "tests/relay")):
            shutil.copy(os.path.join(self.build, source), os.path.join(self.programs, name))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [os.path.join(self.programs, "lamina-spawn"), "--data-dir", self.data, *arguments, "--"],
            stdin=theirs, stderr=self.stderr, env={**clean_environment(), **(environment or {})},
            preexec_fn=lambda: prepare(files, group))
        theirs.close()
        self.leash = ours
        self.closed, self.known_key = False, None
        self.next_id = 0
        self.instances = []
        self.unread = []
        try:
            ours.settimeout(DEADLINE_S)
            data, fds, _, _ = socket.recv_fds(ours, 1, 2)
            if not data:
                raise RuntimeError("lamina-spawn did not start: " + self.errors())
            self.channel = socket.socket(fileno=fds[0])
            self.work_channel = socket.socket(fileno=fds[1])
            self.channel.settimeout(DEADLINE_S)
            kind, _, body, _ = self.receive()
            assert kind == HELLO
            self.key()
            (self.cgroup_version, self.instances_max, self.uid_first, self.uid_count,
             self.flags, _) = struct.unpack("=6I", body)
        except BaseException:
            self.process.kill()
            self.process.wait()
            ours.close()
            remove(self.programs)
            if self.owns_data:
                remove(self.data)
            raise

    # ---- life

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

    def key(self):
        if not self.known_key:
            stat = os.stat(self.data)
            self.known_key = f"{stat.st_dev:x}-{stat.st_ino:x}"
        return self.known_key

    def cgroups(self):
        return [path for path in glob.glob(f"/sys/fs/cgroup/**/lamina-{self.key()}",
                                           recursive=True)]

    def close(self, expected_error=""):
        """Ends the service as laminad's end does it; nothing of it may be left."""
        if self.closed:
            return
        self.release()
        status = self.process.wait(timeout=DEADLINE_S)
        left = self.cgroups()
        self.forget()
        assert status == 0, self.last_errors
        assert left == [], self.last_errors
        assert "Sanitizer" not in self.last_errors, self.last_errors
        # An error line means that an operator must act: an orderly end has none.
        assert expected_error in self.last_errors, self.last_errors
        unexpected = [line for line in self.last_errors.splitlines() if " error " in line
                      and not (expected_error and expected_error in line)]
        assert unexpected == []

    def release(self):
        for instance in self.instances:
            instance.close()
        self.instances = []
        for one in (self.channel, self.work_channel, self.leash):
            one.close()

    def forget(self, keep_data=False):
        """After its end: removes what is this client's. keep_data: the next service takes it."""
        self.closed = True
        self.release()
        self.last_errors = self.errors()
        remove(self.programs)
        if self.owns_data and not keep_data:
            remove(self.data)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
        else:
            print(self.errors())
            try:
                self.close()
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                print("while cleaning up:", error)
                self.process.kill()
                self.process.wait()

    # ---- messages

    def receive(self):
        data, fds, flags, _ = socket.recv_fds(self.channel, 16384, 16)
        assert data, "lamina-spawn is gone: " + self.errors()
        assert not flags & socket.MSG_CTRUNC
        version, kind, size, ident = HEAD.unpack(data[:HEAD.size])
        assert version == VERSION and size == len(data)
        return kind, ident, data[HEAD.size:], fds

    def expect(self, ident, *kinds):
        """The next message about the instance that is one of these kinds; others wait their turn."""
        for at, one in enumerate(self.unread):
            if one[1] == ident and one[0] in kinds:
                return self.unread.pop(at)
        while True:
            one = self.receive()
            if one[1] == ident and one[0] in kinds:
                return one
            self.unread.append(one)

    def new_id(self):
        self.next_id += 1
        return self.next_id

    def send(self, kind, ident, body=b""):
        self.channel.send(message(kind, ident, body))

    # ---- trees

    def tree(self, files):
        """Puts a tree into the store's farm; returns its id. files: name -> bytes or (bytes, mode)"""
        ident = os.urandom(32)
        base = os.path.join(self.data, "trees", ident.hex())
        os.mkdir(base)
        for name, content in files.items():
            content, mode = content if isinstance(content, tuple) else (content, 0o555)
            path = os.path.join(base, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
            os.chmod(path, mode)
        os.chmod(base, 0o555)
        return ident

    def script(self, text):
        return self.tree({"bootstrap": ("#!/bin/sh\n" + text).encode()})

    def program(self, name):
        with open(os.path.join(self.build, "tests", name), "rb") as file:
            return self.tree({"bootstrap": file.read()})

    # ---- instances

    def start(self, tree=bytes(32), *, model_fd=None, **options):
        ident = self.new_id()
        if model_fd is not None:
            options["flags"] = options.get("flags", 0) | MODEL_FD
        socket.send_fds(self.channel, [start_message(ident, tree, **options)],
                        [] if model_fd is None else [model_fd])
        kind, _, body, fds = self.expect(ident, STARTED, START_FAILED)
        if kind == START_FAILED:
            step, error = struct.unpack("=II", body)
            raise StartFailed(STEPS[step], error)
        instance = Instance(ident, body, fds)
        self.instances.append(instance)
        return instance

    def exit(self, instance):
        _, _, body, _ = self.expect(instance.id, EXIT)
        names = ("status", "flags", "exec_errno", "reserved", "peak", "cpu_us")
        return dict(zip(names, struct.unpack("=iIIIQQ", body)))

    def run(self, tree=bytes(32), **options):
        """Starts, reads the log to its end, waits for the exit. -> (exit, log)"""
        instance = self.start(tree, **options)
        text = instance.log()
        gone = self.exit(instance)
        instance.close()
        self.instances.remove(instance)
        return gone, text

    def done(self, instance, request, answer):
        self.send(request, instance.id)
        _, _, body, _ = self.expect(instance.id, answer)
        return struct.unpack("=II", body)[0]

    def stats(self, instance):
        self.send(STATS, instance.id)
        _, _, body, _ = self.expect(instance.id, STATS_ARE)
        names = ("memory", "peak", "pss", "private", "page_tables", "anonymous", "cpu_us", "processes",
                 "error")
        return dict(zip(names, struct.unpack("=7QII", body)))


class StartFailed(Exception):
    def __init__(self, step, error):
        super().__init__(f"{step}: {os.strerror(error) if error < 200 else error}")
        self.step, self.error = step, error


class Job:
    """One job of the work channel; end() gives its output and how it ended."""

    def __init__(self, spawn, kind=1, arguments=(1000, 1 << 20, 0, 0), *, source=None,
                 memory=64 * MIB, seconds=60, ident=5, flags=0, tree=bytes(32)):
        read, write = os.pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.read, self.status = read, ours
        body = struct.pack("=IIQ4QII32s", kind, seconds, memory, *arguments, flags, 0, tree)
        socket.send_fds(spawn.work_channel, [message(WORK, ident, body)],
                        [source, write, theirs.fileno()])
        os.close(write)
        theirs.close()
        ours.settimeout(DEADLINE_S)

    def end(self):
        output = b""
        while data := os.read(self.read, 65536):
            output += data
        os.close(self.read)
        answer = self.status.recv(100)
        assert self.status.recv(100) == b""  # one answer, then the end
        self.status.close()
        head = HEAD.unpack(answer[:16])
        assert head[1] == WORK_EXIT and head[3] == 5
        status, flags, step, error = struct.unpack("=iIII", answer[16:])
        return {"status": status, "flags": flags, "step": STEPS[step],
                "error": error, "output": output}


NO_USER = 0xffffffff
USE_RO, USE_CREATE = 1, 4
FILE_READ, FILE_DROP_CACHE = 1, 2


def use(filesystem, root="", name="data", flags=0, user=(NO_USER, NO_USER), create=None):
    """struct spawn_filesystem_use. create: (uid, gid, mode) makes what is missing of the root."""
    flags |= USE_CREATE if create else 0
    return struct.pack("=24s104s160s6I", filesystem.encode(), root.encode(), name.encode(), flags, *user,
                       *(create or (0, 0, 0)))


class File:
    """A look at a file of a file system, or a read of it (FILE). `error` and `stat` come with FILE_IS."""

    def __init__(self, spawn, filesystem, path, *, flags=0, ident=9, kind=socket.SOCK_SEQPACKET, output=None, **options):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        fds = [theirs.fileno()]
        self.read, write = output or os.pipe() if flags & FILE_READ else (None, None)
        if flags & FILE_READ:
            fds.append(write)
        body = use(filesystem, name="", **options) + struct.pack("=II1024s", flags, 0, path.encode())
        socket.send_fds(spawn.work_channel, [message(FILE, ident, body)], fds)
        theirs.close()
        if write is not None:
            os.close(write)
        ours.settimeout(DEADLINE_S)
        self.status = ours

    def answer(self, kind, form, names):
        data = self.status.recv(1000)
        assert data, "it has ended without an answer"
        version, said, size, ident = HEAD.unpack(data[:HEAD.size])
        assert (version, said, size, ident) == (VERSION, kind, len(data), 9)
        return dict(zip(names, struct.unpack(form, data[HEAD.size:])))

    def looked(self):
        return self.answer(FILE_IS, "=IIQQQqq", ("error", "flags", "size", "inode", "device", "mtime", "ctime"))

    def ended(self):
        return self.answer(FILE_END, "=IIQQqq", ("error", "_", "bytes", "size", "mtime", "ctime"))

    def content(self):
        data = b""
        while piece := os.read(self.read, 1 << 20):
            data += piece
        return data

    def close(self):
        self.status.close()
        if self.read is not None:
            os.close(self.read)


def look(spawn, filesystem, path, **options):
    """The errno of a look, and what was there."""
    file = File(spawn, filesystem, path, **options)
    found = file.looked()
    file.close()
    return found["error"], found


def read(spawn, filesystem, path, **options):
    """The whole content."""
    file = File(spawn, filesystem, path, flags=FILE_READ, **options)
    found = file.looked()
    assert found["error"] == 0, os.strerror(found["error"])
    data = file.content()
    end = file.ended()
    file.close()
    assert (end["error"], end["bytes"]) == (0, len(data)), end
    return data
