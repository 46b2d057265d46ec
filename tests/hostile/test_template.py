# SPDX-License-Identifier: MIT
"""Templates and their forks (src/wire/template.h): what lamina-spawn promises, and templates that lie to it."""
import contextlib
import errno
import os
import signal
import struct
import time

import pytest

from spawn_client import (DEADLINE_S, EXIT, EXIT_KILLED, EXIT_OOM, FREEZE, FROM_NOTHING, FROZEN, KILL, MIB, NO_WAITER,
                          START_FAILED, STARTED, STATS, STATS_ARE, TEMPLATE, TEMPLATE_READY, TEMPLATE_REFUSED, THAW,
                          THAWED, TREE_FORGET, Spawn, StartFailed, start_message)

PATH = "/usr/bin:/bin"
REASONS = ("none", "threads", "processes", "descriptor", "mapping", "timer", "protocol", "look")


@pytest.fixture(scope="module")
def tree(spawn):
    """A tree whose bootstrap is tests/hostile/template.c."""
    files = {}
    for name, source in (("bootstrap", "template"), ("attack", "attack")):
        with open(os.path.join(spawn.build, "tests", source), "rb") as file:
            files[name] = file.read()
    return spawn.tree(files)


class Refused(Exception):
    def __init__(self, body):
        number, self.error = struct.unpack("=II", body[:8])
        self.reason, self.text = REASONS[number], body[8:].rstrip(b"\0").decode()
        super().__init__(f"{self.reason}: {self.text}")


def launch(spawn, tree, lie="", **options):
    return spawn.start(tree, flags=TEMPLATE, env={"LIE": lie}, **options)


def template(spawn, tree, lie="", **options):
    """A template that may be forked, or Refused."""
    made = launch(spawn, tree, lie, **options)
    kind, _, body, _ = spawn.expect(made.id, TEMPLATE_READY, TEMPLATE_REFUSED)
    if kind == TEMPLATE_REFUSED:
        spawn.exit(made)
        raise Refused(body)
    return made


def shell(spawn, made, tree, script, **options):
    return spawn.start(tree, template=made.id, env={"DO": "shell", "SCRIPT": script, "PATH": PATH}, **options)


def end(spawn, *instances):
    for instance in instances:
        spawn.send(KILL, instance.id)
    return [spawn.exit(instance) for instance in instances]


@pytest.fixture(scope="module")
def honest(spawn, tree):
    return template(spawn, tree)


# ---- what is promised

@pytest.mark.parametrize("flags", [0, NO_WAITER, FROM_NOTHING])
def test_a_fork_is_an_instance_like_any_other(spawn, honest, tree, flags):
    fork = shell(spawn, honest, tree, "echo $X; id -un; pwd; cat /proc/self/comm; ls /tmp; exit 7", flags=flags)
    assert fork.log() == "\nsbx_user1051\n/var/task\ncat\n"
    gone = spawn.exit(fork)
    assert (gone["status"], gone["flags"], gone["exec_errno"]) == (7 << 8, 0, 0)
    assert gone["peak"] > 0 and gone["cpu_us"] > 0
    assert fork.path in {0: ("spare", "fork", "seat"), NO_WAITER: ("fork", "seat"), FROM_NOTHING: ("seat",)}[flags]


def test_a_spare_is_made_ahead_and_has_its_own_environment(spawn, honest, tree):
    end_at = time.monotonic() + DEADLINE_S
    number = 0
    while True:
        number += 1
        fork = spawn.start(tree, template=honest.id,
                           env={"DO": "shell", "SCRIPT": "echo $N", "N": number, "PATH": PATH})
        assert fork.log() == f"{number}\n" and spawn.exit(fork)["status"] == 0
        if fork.path == "spare":
            break
        assert time.monotonic() < end_at


def test_listeners_lead_into_the_forks_own_network(spawn, honest, tree):
    forks = [spawn.start(tree, template=honest.id, env={"DO": "runtime"}) for _ in range(5)]
    for fork in reversed(forks):
        fork.runtime.setblocking(True)
        fork.runtime.settimeout(DEADLINE_S)
        connection, _ = fork.runtime.accept()
        assert connection.recv(10) == b"x"
        connection.close()
        assert spawn.exit(fork)["status"] == 7 << 8
    assert len({fork.uid for fork in forks}) == 5


def test_signals_end_a_fork_as_any_process(spawn, honest, tree):
    fork = spawn.start(tree, template=honest.id, env={"DO": "abort"})
    assert spawn.exit(fork)["status"] & 0x7f == signal.SIGABRT
    fork = shell(spawn, honest, tree, "kill -TERM $$")
    assert spawn.exit(fork)["status"] == signal.SIGTERM


def test_what_a_fork_leaves_running_is_killed(spawn, honest, tree):
    fork = shell(spawn, honest, tree, "sleep 1000 & setsid sleep 1000 & exit 0")
    assert spawn.exit(fork)["status"] == 0
    assert fork.log() == ""


def test_a_fork_is_frozen_thawed_measured_and_killed(spawn, honest, tree):
    fork = shell(spawn, honest, tree, "echo up; while :; do :; done")
    fork.wait_log("up")
    assert spawn.done(fork, FREEZE, FROZEN) == 0
    stats = spawn.stats(fork)
    assert stats["processes"] == 2 and stats["private"] > 0 and stats["error"] == 0  # lamina-init and the fork
    assert spawn.done(fork, THAW, THAWED) == 0
    assert spawn.done(fork, FREEZE, FROZEN) == 0
    gone, = end(spawn, fork)
    assert gone["status"] == 9 and gone["flags"] & EXIT_KILLED


def test_a_template_is_frozen_thawed_and_measured(spawn, tree):
    made = template(spawn, tree)
    assert spawn.done(made, FREEZE, FROZEN) == 0
    assert spawn.done(made, THAW, THAWED) == 0
    end_at = time.monotonic() + DEADLINE_S
    while spawn.stats(made)["processes"] != 2:  # a spare may just be forked: its helper counts
        assert time.monotonic() < end_at
    fork = shell(spawn, made, tree, "echo fine", flags=NO_WAITER)
    assert fork.log() == "fine\n" and spawn.exit(fork)["status"] == 0
    end(spawn, made)


@pytest.mark.parametrize("way", ["killed", "frozen", "forgotten"])
def test_forks_outlive_their_template(spawn, tree, way):
    made = template(spawn, tree)
    forks = [shell(spawn, made, tree, "echo up; sleep 1000", flags=flags) for flags in (0, NO_WAITER, FROM_NOTHING)]
    for fork in forks:
        fork.wait_log("up")
    if way == "frozen":
        assert spawn.done(made, FREEZE, FROZEN) == 0
    if way == "forgotten":
        spawn.send(TREE_FORGET, 0, tree)
    gone, = end(spawn, made)
    assert gone["status"] == 9 and gone["flags"] & EXIT_KILLED
    assert made.log() == "template 100\n"
    with pytest.raises(StartFailed) as failed:
        shell(spawn, made, tree, "true")
    assert (failed.value.step, failed.value.error) == ("template", errno.ESRCH)
    for fork in forks:
        assert spawn.stats(fork)["processes"] >= 2
    assert [one["status"] for one in end(spawn, *forks)] == [9] * len(forks)


def test_a_template_that_is_not_ready_cannot_be_forked(spawn, tree):
    made = launch(spawn, tree, "silent")
    for ident in (made.id, 987654, made.id):
        with pytest.raises(StartFailed) as failed:
            spawn.start(tree, template=ident)
        assert (failed.value.step, failed.value.error) == ("template", errno.ESRCH)
    gone, = end(spawn, made)
    assert gone["status"] == 9


def test_a_fork_gets_its_templates_trees_or_none(spawn, honest):
    with pytest.raises(StartFailed) as failed:
        spawn.start(spawn.script("true"), template=honest.id)
    assert (failed.value.step, failed.value.error) == ("template", errno.EINVAL)


def test_a_bootstrap_that_is_no_template_is_told_apart(spawn):
    """An ordinary one ends, or waits for its first event: laminad decides how long. One that is not there says so."""
    made = launch(spawn, spawn.tree({"other": b""}))
    gone = spawn.exit(made)
    assert (gone["status"], gone["exec_errno"]) == (127 << 8, errno.ENOENT)
    made = launch(spawn, spawn.script("exec 3>&-; sleep 1000"))
    kind, _, body, _ = spawn.expect(made.id, TEMPLATE_READY, TEMPLATE_REFUSED)
    assert kind == TEMPLATE_REFUSED and Refused(body).reason == "protocol"
    assert spawn.exit(made)["status"] == 9


def test_memory_of_a_fork_is_its_own(spawn, honest, tree):
    fork = spawn.start(tree, template=honest.id, env={"DO": "attack", "ATTACK": "memory"}, memory=48 * MIB)
    gone = spawn.exit(fork)
    assert gone["status"] == 9 and gone["flags"] & EXIT_OOM and gone["peak"] <= 48 * MIB
    fork = shell(spawn, honest, tree, "echo well")
    assert fork.log() == "well\n" and spawn.exit(fork)["status"] == 0


def test_many_forks_at_once(spawn, honest, tree):
    """None fails, though far more are asked for than were made ahead."""
    ids = [spawn.new_id() for _ in range(100)]
    for ident in ids:
        spawn.channel.send(start_message(ident, tree, template=honest.id,
                                         env={"DO": "shell", "SCRIPT": "exit 4", "PATH": PATH}))
    for ident in ids:
        kind, _, body, fds = spawn.expect(ident, STARTED, START_FAILED)
        assert kind == STARTED, struct.unpack("=II", body)
        for fd in fds:
            os.close(fd)
    assert {struct.unpack("=i", spawn.expect(ident, EXIT)[2][:4])[0] for ident in ids} == {4 << 8}


# ---- what is looked at before a template may be forked

@pytest.mark.parametrize("lie, reason, text", [
    ("thread", "threads", "it has a second thread: 'bootstrap'"),
    ("child", "processes", "it has a child process: 'bootstrap'"),
    ("socket", "descriptor", "descriptor 4 cannot be shared by forks: 'socket:["),
    ("pipe", "descriptor", "descriptor 4 cannot be shared by forks: 'pipe:["),
    ("epoll", "descriptor", "descriptor 4 cannot be shared by forks: 'anon_inode:[eventpoll]'"),
    ("eventfd", "descriptor", "descriptor 4 cannot be shared by forks: 'anon_inode:[eventfd"),
    ("inotify", "descriptor", "descriptor 4 cannot be shared by forks: 'anon_inode:inotify'"),
    ("timerfd", "descriptor", "descriptor 4 cannot be shared by forks: 'anon_inode:[timerfd]'"),
    ("directory", "descriptor", "descriptor 4 cannot be shared by forks: '/var/task'"),
    ("path", "descriptor", "descriptor 4 cannot be shared by forks: '/'"),
    ("tmp", "descriptor", "descriptor 4 cannot be shared by forks: '/tmp/file'"),
    ("memfd", "descriptor", "descriptor 4 cannot be shared by forks: '/memfd:shared (deleted)'"),
    ("shared", "mapping", "it shares memory that can be written: '/dev/zero (deleted)"),
    ("timer", "timer", "it has a timer that forks would not have"),
    ("terminal", "descriptor", "descriptor 4 cannot be shared by forks: '/tmp/?[31mred?'"),
])
def test_what_cannot_be_shared_is_named(spawn, tree, lie, reason, text):
    with pytest.raises(Refused) as refused:
        template(spawn, tree, lie)
    assert refused.value.reason == reason
    assert refused.value.text.startswith(text), refused.value.text


def test_looking_at_a_template_waits_for_no_lease(build):
    """lamina-spawn opens what it looks at; a lease lets its holder keep whoever opens waiting for 45 s."""
    with Spawn(build) as service:
        with open(os.path.join(service.build, "tests", "template"), "rb") as file:
            tree = service.tree({"bootstrap": file.read()})
        begin = time.monotonic()
        with pytest.raises(Refused) as refused:
            template(service, tree, "lease")
        assert refused.value.text.startswith("descriptor 5 cannot be shared by forks: '/memfd:leased")
        assert time.monotonic() - begin < 40  # /proc/sys/fs/lease-break-time


def test_forks_do_not_share_how_far_a_file_was_read(spawn):
    with open(os.path.join(spawn.build, "tests", "template"), "rb") as file:
        tree = spawn.tree({"bootstrap": file.read(), "words": (b"one two three", 0o444)})
    made = template(spawn, tree, "file")
    forks = [spawn.start(tree, template=made.id, env={"DO": "read"}, flags=flags) for flags in (0, NO_WAITER, 0)]
    assert [fork.wait_log("\n") for fork in forks] == ["one \n"] * 3
    end(spawn, *forks, made)


# ---- templates that lie

def is_alive(spawn):
    """The service answers and makes sandboxes."""
    gone, text = spawn.run(spawn.script("echo alive"), env={"PATH": PATH})
    assert (gone["status"], text) == (0, "alive\n")


@pytest.mark.parametrize("lie", ["nonsense", "forked_without_order", "closed", "exit", "flood", "stray",
                                 "descriptors"])
def test_a_template_that_speaks_nonsense_is_ended(spawn, tree, lie):
    made = launch(spawn, tree, lie)
    if lie == "exit":
        assert spawn.exit(made)["status"] == 9 << 8
    else:
        is_alive(spawn)  # meanwhile too
        kind, _, body, _ = spawn.expect(made.id, TEMPLATE_REFUSED)
        assert Refused(body).reason == "protocol"
        spawn.exit(made)
    if lie == "descriptors":  # what was sent with the word does not stay with lamina-spawn
        held = set()
        for fd in os.scandir(f"/proc/{spawn.process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                held.add(os.readlink(fd.path))
        assert made.log().strip() not in held
    is_alive(spawn)


def test_a_template_that_grows_ends_at_its_limit(spawn, tree):
    made = launch(spawn, tree, "grow", memory=48 * MIB)
    gone = spawn.exit(made)
    assert gone["status"] == 9 and gone["flags"] & EXIT_OOM and gone["peak"] <= 48 * MIB


def zombies(parent):
    count = 0
    with open(f"/proc/{parent}/task/{parent}/children") as file:
        for pid in file.read().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/stat") as stat:
                count += stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    return count


def test_children_that_nobody_ordered_are_reaped(spawn, tree):
    """They are lamina-spawn's children, by CLONE_PARENT, and nothing else of it."""
    made = template(spawn, tree, "spray")
    fork = shell(spawn, made, tree, "echo fine")
    assert fork.log() == "fine\n" and spawn.exit(fork)["status"] == 0
    end(spawn, made)
    is_alive(spawn)
    end_at = time.monotonic() + DEADLINE_S
    while zombies(spawn.process.pid) > 9:  # what ends just now
        assert time.monotonic() < end_at


@pytest.mark.parametrize("lie", ["says_it_itself", "plain_child", "keep_caps", "no_groups", "keep_user", "names_holder"])
def test_a_fork_that_is_not_what_it_should_be_gets_no_environment(build, lie):
    """Not in the sandbox, not in its cgroups, not its user, with capabilities, or somebody else."""
    with Spawn(build) as service:
        with open(os.path.join(service.build, "tests", "template"), "rb") as file:
            tree = service.tree({"bootstrap": file.read()})
        made = template(service, tree, lie)
        with pytest.raises(StartFailed) as failed:
            shell(service, made, tree, "echo secret")
        assert failed.value.step == "template"
        assert failed.value.error in (errno.EPERM, errno.ECHILD, errno.EPIPE), failed.value
        is_alive(service)
        end(service, made)


def test_a_template_that_stops_what_it_sees_stops_no_helper(build):
    """A seat is made by a helper that shows among the template's processes while lamina-spawn's keeper waits for it."""
    with Spawn(build) as service:
        with open(os.path.join(service.build, "tests", "template"), "rb") as file:
            tree = service.tree({"bootstrap": file.read()})
        for _ in range(4):
            made = template(service, tree, "stops")
            idents = [service.new_id() for _ in range(12)]
            for ident in idents:
                service.channel.send(start_message(ident, tree, template=made.id))
            service.send(STATS, made.id)
            service.expect(made.id, STATS_ARE)  # the keeper's answer, after all that it was told to make
            end(service, made)
        other = template(service, tree)  # by the same keeper
        fork = shell(service, other, tree, "echo fine")
        assert fork.log() == "fine\n" and service.exit(fork)["status"] == 0
        end(service, other)


def test_a_template_that_cannot_fork_says_why(spawn, tree):
    made = template(spawn, tree, "fails")
    with pytest.raises(StartFailed) as failed:
        shell(spawn, made, tree, "true")
    assert (failed.value.step, failed.value.error) == ("template", errno.ENOMEM)
    end(spawn, made)


def test_a_template_that_dies_at_an_order_fails_the_start(spawn, tree):
    made = template(spawn, tree, "dies")
    with pytest.raises(StartFailed) as failed:
        shell(spawn, made, tree, "true")
    assert failed.value.step == "template"
    assert spawn.exit(made)["status"] == 3 << 8
    is_alive(spawn)


def test_a_template_that_answers_no_order_is_killed(build):
    with Spawn(build) as service:
        with open(os.path.join(service.build, "tests", "template"), "rb") as file:
            tree = service.tree({"bootstrap": file.read()})
        made = template(service, tree, "no_answer")
        with pytest.raises(StartFailed) as failed:
            shell(service, made, tree, "true")
        assert (failed.value.step, failed.value.error) == ("template", errno.ETIMEDOUT)
        assert service.exit(made)["status"] == 9


def test_nothing_but_the_one_setns_is_allowed(spawn, tree):
    """The owner of a user namespace would get every capability over what it owns: not one at a time."""
    made = template(spawn, tree, "parts")
    ident = spawn.new_id()
    spawn.channel.send(start_message(ident, tree, template=made.id))
    tried = dict(line.split() for line in made.wait_log("tried").splitlines() if line.startswith("setns"))
    assert tried == {"setns_own_user": "EINVAL",
                     **dict.fromkeys(("setns_user", "setns_net", "setns_user_and_net", "setns_mnt", "setns_pid",
                                      "setns_any"), "EPERM")}
    end(spawn, made)
    spawn.expect(ident, START_FAILED)


# ---- siblings

def test_siblings_and_their_template_are_strangers(spawn, tree):
    """From a fork neither its template nor another fork exists, by pid, by name or by abstract socket."""
    made = template(spawn, tree)
    name = f"lamina-sibling-{os.getpid()}"
    victim = spawn.start(tree, template=made.id, env={"DO": "attack", "ATTACK": "victim", "ABSTRACT": name})
    ready = victim.wait_log("ready")
    assert "ok" in ready and " E" not in ready, ready
    for other in (victim.pid, made.pid, 100):
        fork = spawn.start(tree, template=made.id, env={"DO": "attack", "ATTACK": "neighbour", "ABSTRACT": name,
                                                        "OTHER_PID": str(other)})
        result = dict(line.rsplit(" ", 1) for line in fork.log().splitlines())
        assert spawn.exit(fork)["status"] == 0
        assert result == {"abstract": "ECONNREFUSED", "tcp": "ECONNREFUSED", "shm": "ENOENT", "secret": "ENOENT",
                          "kill": "ESRCH", "processes": "1"}
        assert fork.uid != victim.uid != made.uid
    end(spawn, victim, made)


def test_a_fork_reaches_no_other_process_by_any_number(spawn, tree):
    """kill, ptrace, process_vm_*, /proc/PID/mem, prlimit, affinity: against sibling, template and lamina-spawn."""
    made = template(spawn, tree)
    sibling = spawn.start(tree, template=made.id, env={"DO": "attack", "ATTACK": "stay"})
    sibling.wait_log("ready")
    for host, other in ((spawn.process.pid, sibling.pid), (made.pid, 100)):
        fork = spawn.start(tree, template=made.id, env={"DO": "attack", "ATTACK": "processes", "HOST_PID": str(host),
                                                        "OTHER_PID": str(other)})
        result = dict(line.rsplit(" ", 1) for line in fork.log().splitlines())
        assert spawn.exit(fork)["status"] == 0
        assert {result[name] for name in ("kill_host", "kill_other", "pidfd_host", "prlimit_host",
                                          "affinity_host")} == {"ESRCH"}
        assert {value for name, value in result.items() if name.startswith("/proc/")} == {"ENOENT"}
        assert {result[name] for name in ("ptrace_seize", "vm_read", "vm_write", "pidfd_getfd")} == {"EPERM"}
    assert spawn.stats(sibling)["processes"] == 2
    end(spawn, sibling, made)


# ---- ends

@pytest.mark.parametrize("who", ["spawn", "laminad"])
def test_nothing_is_left_of_templates_and_forks_when_the_service_is_killed(build, who):
    service = Spawn(build)
    with open(os.path.join(service.build, "tests", "template"), "rb") as file:
        tree = service.tree({"bootstrap": file.read()})
    made = template(service, tree)
    forks = [shell(service, made, tree, "echo up; sleep 1000", flags=flags) for flags in (0, NO_WAITER, 0)]
    for fork in forks:
        fork.wait_log("up")
    assert service.done(made, FREEZE, FROZEN) == 0 and service.done(forks[0], FREEZE, FROZEN) == 0
    if who == "laminad":
        service.close()  # as its end is seen: nothing may be left
        return
    service.process.send_signal(signal.SIGKILL)
    service.process.wait(timeout=DEADLINE_S)
    service.forget(keep_data=True)
    with Spawn(build, keep_data=service.data) as again:  # sweeps what the dead one left
        is_alive(again)
    assert again.cgroups() == []
    service.owns_data = True
    service.forget()


def test_a_fork_that_is_killed_before_its_sandbox_stands_ends(spawn, honest, tree):
    """KILL follows START at once: START_FAILED, or EXIT, and nothing is left."""
    for flags in (FROM_NOTHING, NO_WAITER, 0):
        ident = spawn.new_id()
        spawn.channel.send(start_message(ident, tree, template=honest.id, flags=flags,
                                         env={"DO": "shell", "SCRIPT": "sleep 1000", "PATH": PATH}))
        spawn.send(KILL, ident)
        kind, _, _, fds = spawn.expect(ident, STARTED, START_FAILED)
        for fd in fds:
            os.close(fd)
        if kind == STARTED:
            status, told = struct.unpack("=iI", spawn.expect(ident, EXIT)[2][:8])
            assert status == 9 and told & EXIT_KILLED
