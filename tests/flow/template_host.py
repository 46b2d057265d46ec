# SPDX-License-Identifier: MIT
"""A small lamina-spawn for one template, for testing what is inside of it alone (src/wire/template.h).

    with TemplateHost(api) as host:
        host.start([bootstrap], env={...}, cwd=task)     # waits for READY
        fork = host.fork(env={...})                      # a Fork that asks api for work; its output: fork.log()

The sandbox of a fork is a user, mount and pid namespace with the task at /var/task; the network is the host's, so that
forks reach `api` (tests/flow/runtime_api.py). Needs root."""
import array
import os
import signal
import socket
import struct
import subprocess
import tempfile

READY, FORK, FAILED, FORKED, RUN = range(16, 21)
SPARE = 1
WORD = struct.Struct("<4I")
DEADLINE_S = 60


class TemplateError(Exception):
    pass


class Fork:
    def __init__(self, pid, control, log, sandbox):
        self.pid, self.control, self.output, self.sandbox, self.status = pid, control, log, sandbox, None

    def run(self, env):
        block = b"".join(os.fsencode("%s=%s" % item) + b"\0" for item in env.items())
        self.control.send(WORD.pack(RUN, 0, 0, len(block)) + block)

    def log(self):
        self.output.seek(0)
        return self.output.read().decode("utf-8", "replace")

    def wait(self):
        """The exit status, as waitstatus_to_exitcode has it."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def stop(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.control.close()
        self.sandbox.kill()
        self.sandbox.wait()
        self.output.close()


class TemplateHost:
    def __init__(self, api):
        self.api, self.process, self.forks, self.task = api, None, [], None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fork in self.forks:
            fork.stop()
        if self.process is not None:
            self.control.close()
            self.process.kill()
            self.process.wait()

    def launch(self, argv, env=None, cwd=None):
        """Starts it; what it says comes from receive()."""
        self.task = cwd
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(DEADLINE_S)
        number = theirs.fileno()
        self.process = subprocess.Popen(
            ["/usr/bin/setpriv", "--no-new-privs", "/bin/bash", "-c", 'exec "$@" 3<&%d %d<&-' % (number, number), "sh",
             *map(os.fspath, argv)],
            env={"PATH": "/usr/bin:/bin", "AWS_LAMBDA_RUNTIME_API": self.api.address, "LAMINA_TEMPLATE_FD": "3",
                 "AWS_LAMBDA_FUNCTION_NAME": "under-test", **(env or {})},
            cwd=cwd, stdin=subprocess.DEVNULL, stdout=self.api.log, stderr=self.api.log, pass_fds=(number,))
        self.api.process = self.process  # so that waits for an answer see it end
        theirs.close()

    def receive(self):
        data = self.control.recv(WORD.size)
        if not data:
            raise TemplateError("it ended with %s: %s" % (self.process.wait(), self.api.output()))
        return WORD.unpack(data)

    def start(self, argv, env=None, cwd=None):
        self.launch(argv, env, cwd)
        assert self.receive()[0] == READY
        self.api.process = None
        return self

    def end(self):
        """It is not needed any more: its exit status."""
        self.control.close()
        return self.process.wait(DEADLINE_S)

    def _sandbox(self):
        script = ("mount -t tmpfs none /var && mkdir /var/task && mount --bind \"$1\" /var/task && echo ready && "
                  "exec sleep 1000")
        holder = subprocess.Popen(["unshare", "--user", "--map-root-user", "--pid", "--mount", "--fork", "--kill-child",
                                   "/bin/sh", "-c", script, "sh", os.fspath(self.task)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert holder.stdout.readline() == b"ready\n"
        with open("/proc/%d/task/%d/children" % (holder.pid, holder.pid), encoding="ascii") as children:
            return holder, os.pidfd_open(int(children.read().split()[0]))

    def order(self, spare=False):
        """Forks, without RUN."""
        sandbox, pidfd = self._sandbox()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(DEADLINE_S)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        log = tempfile.TemporaryFile()
        self.control.sendmsg([WORD.pack(FORK, len(self.forks), 0, SPARE if spare else 0)],
                             [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                               array.array("i", [pidfd, theirs.fileno(), log.fileno()]))])
        os.close(pidfd)
        theirs.close()
        data, ancillary, _, _ = ours.recvmsg(WORD.size, 1024)
        assert data, self.api.output()
        kind, _, error, step = WORD.unpack(data)
        assert kind == FORKED, (kind, os.strerror(error), step)
        pid = next(struct.unpack("3i", content)[0] for _, what, content in ancillary if what == socket.SCM_CREDENTIALS)
        self.forks.append(Fork(pid, ours, log, sandbox))
        return self.forks[-1]

    def fork(self, spare=False, env=None):
        fork = self.order(spare)
        fork.run({"AWS_LAMBDA_RUNTIME_API": self.api.address, "AWS_LAMBDA_FUNCTION_NAME": "under-test",
                  "LAMBDA_TASK_ROOT": "/var/task", **(env or {})})
        return fork
