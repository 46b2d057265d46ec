# SPDX-License-Identifier: MIT
"""Attacks from inside a sandbox. Each names the exact errno that it must get."""
import os
import re
import socket
from pathlib import Path

import pytest

from spawn_client import EXIT_OOM, FREEZE, FROZEN, KILL, MIB

ROOT = Path(__file__).resolve().parents[2]


def all_are(result, *names):
    return dict.fromkeys(names, result)


def test_the_hosts_files_are_not_there(spawn, attack):
    result = attack("host_files", {"HOST_DATA": spawn.data})
    assert result == all_are("ENOENT", *result)
    assert "/etc/shadow" in result and "host_data" in result


def test_nothing_but_tmp_can_be_written(attack):
    result = attack("writes")
    # Newer kernels look at the mode first, older ones at the mount.
    assert result.pop("truncate") in ("EACCES", "EROFS")
    assert result == {
        **all_are("EROFS", "/x", "/etc/x", "/usr/x", "/var/task/x", "/opt/x", "/dev/x",
                  "/opt/lamina/x", "/var/x", "/run/x", "/sys/x", "unlink", "chmod", "chown",
                  "setxattr", "mkdir", "fchmod"),
        **all_are("EACCES", "/etc/passwd", "/usr/bin/env", "/var/task/bootstrap",
                  "map_shared_write", "reopen_for_writing"),
        "/home/x": "ENOENT",
        **all_are("EXDEV", "rename", "hard_link_out", "hard_link_usr"),
        **all_are("EPERM", "mknod_null", "mknod_mem", "mknod_disk"),
        **all_are("ok", "mkfifo", "tmp", "dev_null"),
    }


def test_no_privilege_can_be_gained(attack):
    assert attack("privileges") == attack.expect({
        **all_are("EPERM", "setuid", "setgid", "setresuid", "setgroups", "capset", "ambient",
                  "securebits", "realtime", "ioprio", "more_files", "core"),
        "nice": "EACCES",
        **all_are("0", "groups", "capabilities", "bounding"),
        "no_new_privs": "1", "seccomp": "2",
        **all_are("1", *(f"{flag}:{path}" for flag in ("nosuid", "nodev")
                         for path in ("/usr", "/var/task", "/tmp", "/"))),
    })


def test_no_namespace_and_no_mount_can_be_made(attack):
    result = attack("namespaces")
    expected = all_are("EPERM", *result)
    expected["clone3"] = "ENOSYS"
    for later in ("statmount", "listmount"):  # unknown to this libseccomp, or known and refused
        expected[later] = result[later] if result[later] in ("ENOSYS", "EPERM") else "EPERM"
    assert result == expected


def test_other_processes_cannot_be_seen_or_touched(spawn, attack):
    other = spawn.start(attack.tree, env={"ATTACK": "stay"})
    other.wait_log("ready")
    result = attack("processes", {"HOST_PID": str(os.getpid()), "OTHER_PID": str(other.pid)})
    paths = [name for name in result if name.startswith("/proc/")]
    assert len(paths) == 30
    assert result == attack.expect({
        **all_are("EPERM", "ptrace_me", "ptrace_init", "ptrace_seize", "vm_read", "vm_write",
                  "madvise_other", "pidfd_getfd", "kcmp", "migrate_pages"),
        **all_are("ESRCH", "kill_host", "kill_other", "pidfd_host", "prlimit_host",
                  "affinity_host"),
        **all_are("ok", "kill_init", "kill_init_stop", "init_is_there"),
        **all_are("ENOENT", *paths),
        "getppid": "1", "processes": "1", "oom_score": "EACCES", "cgroup_path_shown": "0",
    })
    assert spawn.stats(other)["processes"] == 2  # it lives: lamina-init and the function
    spawn.send(KILL, other.id)
    spawn.exit(other)


def test_the_kernels_dangerous_calls_are_refused(attack):
    result = attack("kernel")
    expected = all_are("EPERM", *result)
    expected.update(all_are("ENOSYS", "io_uring_setup", "io_uring_enter", "io_uring_register",
                            "io_setup", "landlock", "clone3"))
    expected.update(all_are("ENOTTY", "tiocsti", "tiocsti_high_bits", "tioclinux"))
    if result["memfd_secret"] == "ENOSYS":  # unknown to an older libseccomp
        expected["memfd_secret"] = "ENOSYS"
    assert result == expected


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x86 only")
def test_the_other_abis_of_the_processor_do_not_exist(attack):
    result = attack("abi")
    assert len(result) == 7
    assert result == all_are("ENOSYS", *result)


def test_there_is_no_network_but_loopback(attack):
    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.socket(socket.AF_UNIX) as local:
        name = f"lamina-host-{os.getpid()}"
        local.bind("\0" + name)
        local.listen()
        result = attack("network", {"HOST_PORT": str(server.getsockname()[1]), "ABSTRACT": name})
    assert result == {
        **all_are("ok", "tcp", "udp6", "unix", "netlink_route"),
        **all_are("EPERM", "raw", "raw6", "raw_high_bits", "sctp", "interface_down",
                  "interface_address"),
        **all_are("EAFNOSUPPORT", "packet", "vsock", "vsock_high_bits", "unix_high_bits", "alg",
                  "bluetooth", "can", "key", "xdp", "tipc", "rds"),
        **all_are("EPROTONOSUPPORT", "netfilter", "audit", "uevent"),
        **all_are("ECONNREFUSED", "host_port", "abstract"),
        **all_are("ENETUNREACH", "metadata", "lan", "internet"),
        "low_port": "EACCES", "runtime_port": "EADDRINUSE", "interfaces": "1",
    }


def test_no_descriptor_and_no_variable_is_inherited(attack):
    result = attack("descriptors")
    assert result == {"fd0": "/null", "fd1": "pipe:", "fd2": "pipe:", "stdin_write": "ok",
                      "stdin_read": "0", "environment": "1", "cwd": "/var/task",
                      "hostname": "lamina"}


def test_two_sandboxes_share_nothing(spawn, attack):
    name = f"lamina-shared-{os.getpid()}"
    victim = spawn.start(attack.tree, env={"ATTACK": "victim", "ABSTRACT": name})
    ready = victim.wait_log("ready")
    assert "ok" in ready and " E" not in ready, ready
    result = attack("neighbour", {"ABSTRACT": name, "OTHER_PID": str(victim.pid)})
    assert result == {"abstract": "ECONNREFUSED", "tcp": "ECONNREFUSED", "shm": "ENOENT",
                      "secret": "ENOENT", "kill": "ESRCH", "processes": "1"}
    other = spawn.start(attack.tree, env={"ATTACK": "stay"})
    other.wait_log("ready")
    assert other.uid != victim.uid
    for one in (victim, other):
        spawn.send(KILL, one.id)
        spawn.exit(one)


def test_a_fork_bomb_ends_at_its_limit_and_leaves_nothing(spawn, attack):
    assert attack("forks", pids=50) == {"fork": "EAGAIN", "children": "49"}
    assert attack("descriptors")["cwd"] == "/var/task"  # the next one is well


def test_a_memory_hog_is_killed_and_told_apart(spawn, attack):
    gone, text = spawn.run(attack.tree, env={"ATTACK": "memory"}, memory=48 * MIB)
    assert gone["status"] == 9, (gone, text)
    assert gone["flags"] & EXIT_OOM
    assert 40 * MIB <= gone["peak"] <= 48 * MIB
    gone, _ = spawn.run(attack.tree, env={"ATTACK": "descriptors"}, memory=48 * MIB)
    assert gone["status"] == 0 and not gone["flags"] & EXIT_OOM


def test_tmp_holds_what_was_configured_and_no_more(attack):
    assert attack("tmp", tmp=8 * MIB) == {
        "write": "ENOSPC", "bytes": str(8 * MIB), "create": "ENOSPC", "is_bounded": "1",
        "unlink": "ok", "write_again": "ENOSPC"}


def test_open_files_are_limited_as_in_lambda(attack):
    assert attack("open_files") == {"dup": "EMFILE", "files": "1021", "inotify": "ok",
                                    "memfd": "ok"}


def test_files_in_tmp_count_as_memory(spawn, attack):
    gone, _ = spawn.run(attack.tree, env={"ATTACK": "tmp"}, memory=32 * MIB, tmp=256 * MIB)
    assert gone["status"] == 9 and gone["flags"] & EXIT_OOM


def allowed_numbers():
    """The call numbers of tools/make_filter.c's list for functions."""
    source = (ROOT / "tools/make_filter.c").read_text()
    table = source[source.index("function_allowed[]"):]
    names = set(re.findall(r'"(\w+)"', table[:table.index("};")])) | {"socket", "clone"}
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h").read_text()
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", header))
    # Names that this system's headers do not know yet have these numbers on every architecture.
    later = {"fchmodat2": 452, "cachestat": 451, "map_shadow_stack": 453, "futex_wake": 454,
             "futex_wait": 455, "futex_requeue": 456, "mseal": 462, "futex_waitv": 449}
    return {int(numbers.get(name, later.get(name, -1))) for name in names}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
def test_no_call_number_gets_past_the_filter_that_is_not_on_the_list(attack):
    result = attack("numbers")
    reached = {int(name) for name, value in result.items() if value == "reached"}
    assert len(reached) > 150  # it did try
    assert reached - allowed_numbers() == set()
    assert {result[f"far{i}"] for i in range(7)} == {"ENOSYS"}


def test_a_frozen_sandbox_is_killed_all_the_same(spawn, attack):
    instance = spawn.start(attack.tree, env={"ATTACK": "stay"})
    instance.wait_log("ready")
    assert spawn.done(instance, FREEZE, FROZEN) == 0
    spawn.send(KILL, instance.id)
    assert spawn.exit(instance)["status"] == 9
