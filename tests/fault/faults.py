# SPDX-License-Identifier: MIT
"""A service whose laminad is killed, stopped or refused the disk at its nth call that changes it (shim.h)."""

import pathlib
import shutil
import subprocess
import sys

from lamina_service import DEADLINE_S, command_lines, wait_for

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(TESTS / "flow"))
sys.path.append(str(TESTS / "hostile"))


class Faults:
    """The shim of one service. Nothing happens before arm()."""

    def __init__(self, service):
        self.service = service
        self.armed = service.root / "arm"
        self.calls_log = service.root / "arm.log"
        self.calls_log.touch()
        self.calls_log.chmod(0o666)
        # laminad runs as another user: the library must be where everybody can read it.
        self.library = service.root / "libfault_shim.so"
        shutil.copy(service.build / "tests/fault/libfault_shim.so", self.library)
        self.library.chmod(0o755)

    def prepare(self, action, name="", nth=0):
        """For the next start of the service: strike at the nth call of that name."""
        self.disarm()
        self.service.more_env.update(LD_PRELOAD=str(self.library),
                                     LAMINA_TEST_FAULT=f"laminad,{self.armed},{action},{nth},{name}".rstrip(","))

    def arm(self):
        self.calls_log.write_text("")
        self.armed.touch()

    def strike(self, action, name="", nth=0):
        """As prepare(), from now on and for the running service."""
        self.calls_log.write_text("")
        part = self.armed.with_suffix(".part")
        part.write_text(f"{action},{nth},{name}".rstrip(","))
        part.rename(self.armed)

    def disarm(self):
        self.armed.unlink(missing_ok=True)

    def calls(self):
        """The names of the calls since arm()."""
        return self.calls_log.read_text().split()


def points(calls, varying=("write",)):
    """Where to strike, as (name, nth): the first call of each name, the last if there are several, in their order.

    How often a body is written depends on how it arrives: of the `varying` names only the first call counts.
    """
    chosen = {}
    for at, name in enumerate(calls):
        chosen.setdefault((name, 1), at)
    for name in set(calls) - set(varying):
        nth = calls.count(name)
        chosen.setdefault((name, nth), len(calls) - calls[::-1].index(name) - 1)
    return sorted(chosen, key=chosen.get)


def wait_end(service):
    """The service ends by itself: its log says how. It can be started again afterwards."""
    process, service.process = service.process, None
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError("the service went on without a part of it\n" + service.log_tail()) from None
    wait_for(lambda: not service.processes(), "the service's processes to end")


def children(pid, name):
    """The pids of the processes of that name beneath `pid`."""
    found = []
    for other, words in command_lines():
        if pathlib.Path(words[0]).name != name:
            continue
        at = other
        while at > 1 and at != pid:
            at = parent(at)
        if at == pid:
            found.append(other)
    return found


def parent(pid):
    try:
        stat = pathlib.Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return 0
    return int(stat.rsplit(")", 1)[1].split()[1])


def is_stopped(pid):
    try:
        stat = pathlib.Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] == "T"
