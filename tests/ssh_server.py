# SPDX-License-Identifier: MIT
"""A real SSH server on a port of its own, for file systems over sshfs.

    with SshServer(directory) as server:
        line = f"filesystem {ident} mount={server.mount}"

Its keys, configuration and log are in a directory of its own, and it serves SFTP only. stop() and go_on() halt it and
its connections, as a server that hangs; kill() ends them, as one that vanishes; start() brings it back.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PROGRAMS = ("/usr/sbin/sshd", "/usr/bin/sshfs", "/usr/bin/ssh-keygen")
DEADLINE_S = 30


def missing():
    """What is not installed (tools/deps check), and /dev/fuse."""
    return [path for path in (*PROGRAMS, "/dev/fuse") if not os.path.exists(path)]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def children(pid):
    """Its processes, the given one first."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += children(int(child))
    return found


class SshServer:
    def __init__(self, directory, user="root"):
        self.directory, self.user, self.port = str(directory), user, free_port()
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="lamina-sshd-"))
        self.process = None
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.place / name],
                           check=True)
        shutil.copy(self.place / "key.pub", self.place / "authorized")
        host = (self.place / "host.pub").read_text().rsplit(" ", 1)[0]
        (self.place / "known").write_text(f"[127.0.0.1]:{self.port} {host}\n")
        (self.place / "config").write_text(f"""
ListenAddress 127.0.0.1
Port {self.port}
HostKey {self.place}/host
AuthorizedKeysFile {self.place}/authorized
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
ForceCommand internal-sftp
""")
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)

    @property
    def mount(self):
        """What mount= is to be."""
        return (f"fuse.sshfs:{self.user}@127.0.0.1:{self.directory},port={self.port},"
                f"IdentityFile={self.place}/key,UserKnownHostsFile={self.place}/known")

    def start(self):
        with open(self.place / "log", "ab") as log:
            self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", self.place / "config"],
                                            stdin=subprocess.DEVNULL, stderr=log)
        end = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            assert self.process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.01)

    def log(self):
        return (self.place / "log").read_text(errors="replace")

    def signal(self, number):
        for pid in children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """It and its connections, at once."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()
