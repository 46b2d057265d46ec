# SPDX-License-Identifier: MIT
"""A lamina-work that was taken over by the archive it unpacks attacks what is around it.

The attack program runs in lamina-work's place, confined as every job is.
"""
import os
import re
from pathlib import Path

import pytest

from spawn_client import Job, Spawn

SOURCE = Path(__file__).with_name("attack.c").read_text()
# In the order of attack.c's table: the kind of job is the number of the group.
GROUPS = re.findall(r'\{"(\w+)", attack_\w+\}', SOURCE[SOURCE.index("} groups[] = {"):])


@pytest.fixture(scope="module")
def jobs(build):
    with Spawn(build, work="tests/attack") as service:
        yield service


@pytest.fixture
def attack(jobs, tmp_path):
    path = tmp_path / "package"
    path.write_bytes(b"a package")
    fd = os.open(path, os.O_RDONLY)

    def run(group):
        result = Job(jobs, kind=GROUPS.index(group), source=fd).end()
        assert (result["status"], result["step"]) == (0, "none"), result
        return dict(line.rsplit(" ", 1) for line in result["output"].decode().splitlines())

    yield run
    os.close(fd)


def test_it_finds_no_file_of_the_host_and_no_function(attack):
    result = attack("host_files")
    assert len(result) > 30 and set(result.values()) == {"ENOENT"}


def test_it_can_write_to_nothing_but_its_pipe(attack):
    result = attack("writes")
    assert result.pop("dev_null") == "ok"
    # Files: the root is read-only, and there is no /tmp.
    for name in [name for name in result if name.startswith("/")] + ["tmp"]:
        assert result.pop(name) in ("EROFS", "EACCES", "ENOENT"), name
    assert result.pop("reopen_for_writing") == "ENOENT"
    assert result.pop("map_shared_write") == "EBADF"  # it could not even open one
    assert len(result) == 14 and set(result.values()) == {"ENOSYS"}


def test_it_has_no_sockets_no_processes_and_no_kernel_to_play_with(attack):
    network = attack("network")
    assert network.pop("interfaces") == "0"
    assert set(network.values()) == {"ENOSYS"}
    kernel = attack("kernel")
    assert kernel.pop("seccomp") == "EINVAL"  # it may confine itself further
    assert set(kernel.values()) == {"ENOSYS"}
    for group in ("namespaces", "abi"):
        assert set(attack(group).values()) == {"ENOSYS"}


def test_it_has_no_privilege_no_environment_and_its_input_alone(attack):
    result = attack("privileges")
    assert (result["no_new_privs"], result["seccomp"], result["bounding"]) == ("1", "2", "0")
    assert {result[name] for name in ("setuid", "setgid", "setgroups", "capset")} == {"ENOSYS"}
    assert attack("descriptors") == {"stdin_write": "EBADF", "stdin_read": "1", "environment": "0",
                                     "hostname": "lamina", "cwd": "(null)"}
