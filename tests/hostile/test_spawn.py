# SPDX-License-Identifier: MIT
"""What lamina-spawn promises laminad (src/wire/spawn.h), and what it does when it is lied to."""
import errno
import fcntl
import os
import pwd
import select
import signal
import socket
import struct
import subprocess
import time

import pytest

import spawn_client
from spawn_client import (DEADLINE_S, EXIT, EXIT_KILLED, FREEZE, FROZEN, FROM_NOTHING, HEAD, HOT,
                          INIT_DONE, KILL, MIB, MODEL_FD, NO_WAITER, SPARE, START, START_FAILED, STARTED, STATS, THAW, THAWED,
                          TEMPLATE, TREE_FORGET, VERSION, WORK, Job, Spawn, StartFailed, message, start_message)

PATH = {"PATH": "/usr/bin:/bin"}
WANTS_MAX = 16  # POOL_WANTS_MAX of src/spawn/monitor.h


def kill(spawn, instance):
    spawn.send(KILL, instance.id)
    return spawn.exit(instance)


# ---- a start and its end

def test_a_bootstrap_gets_its_environment_and_its_place(spawn):
    gone, text = spawn.run(spawn.script('echo "$0:$A:$PWD:$#:$UNSET"; exit 7'),
                           env={"A": "b = c", **PATH})
    assert text == "/var/task/bootstrap:b = c:/var/task:0:\n"
    assert gone["status"] == 7 << 8 and gone["flags"] == 0 and gone["exec_errno"] == 0
    assert gone["peak"] > 0 and gone["cpu_us"] > 0


def test_standard_output_and_error_can_be_opened_by_name(spawn):
    gone, text = spawn.run(spawn.script("echo out > /dev/stdout; echo err > /dev/stderr"), env=PATH)
    assert (gone["status"], text) == (0, "out\nerr\n")


def test_the_user_has_a_name_and_a_home(spawn):
    _, text = spawn.run(spawn.script("id -un; id -gn; getent passwd $(id -u) | cut -d: -f6; id -u"), env=PATH)
    name, group, home, uid = text.split()
    assert (name, group, home) == ("sbx_user1051", "sbx_user1051", "/tmp")
    assert spawn.uid_first <= int(uid) < spawn.uid_first + spawn.uid_count


@pytest.mark.parametrize("content, expected", [
    (None, errno.ENOENT),
    ((b"#!/bin/sh\n", 0o444), errno.EACCES),
    ((b"no program", 0o555), errno.ENOEXEC),
    ((b"#!/no/such/interpreter\n", 0o555), errno.ELIBACC),
])
def test_a_bootstrap_that_cannot_run_is_told_apart(spawn, content, expected):
    gone, text = spawn.run(spawn.tree({"bootstrap": content} if content else {"x": b""}))
    assert (gone["exec_errno"], gone["status"], text) == (expected, 127 << 8, "")


def test_a_managed_runtime_s_bootstrap_is_the_only_one_tried(build, tmp_path):
    """Python's and node's are Lamina's own, in /opt/lamina; the package's `bootstrap` is a file like any other."""
    python = tmp_path / "runtime" / "runtimes" / "python" / "bootstrap"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho python $0\n")
    python.chmod(0o755)
    with Spawn(build, arguments=["--runtime-dir", str(tmp_path / "runtime")]) as service:
        tree = service.script("echo provided")
        expected = {0: (0, "provided\n"), 1: (0, "python /opt/lamina/runtimes/python/bootstrap\n"),
                    2: (errno.ENOENT, "")}
        for bootstrap, result in expected.items():
            gone, text = service.run(tree, bootstrap=bootstrap, env=PATH)
            assert (gone["exec_errno"], text) == result


def test_a_signal_that_ends_the_bootstrap_is_its_status(spawn):
    gone, _ = spawn.run(spawn.script("kill -SEGV $$"), env=PATH)
    assert gone["status"] & 0x7f == signal.SIGSEGV
    gone, _ = spawn.run(spawn.script("exit 139"), env=PATH)
    assert gone["status"] == 139 << 8


def test_what_the_bootstrap_leaves_running_is_killed(spawn):
    instance = spawn.start(spawn.script("sleep 1000 & setsid sleep 1000 & exit 0"), env=PATH)
    assert spawn.exit(instance)["status"] == 0
    assert instance.log() == ""  # end of file: nobody holds the pipe any more


def models(spawn, files):
    """A directory of models; returns (its id, its path). Like laminad's: what is put there later is seen."""
    ident = os.urandom(32)
    path = os.path.join(spawn.data, "models", ident.hex())
    os.mkdir(path)
    for name, text in files.items():
        with open(os.path.join(path, name), "w") as file:
            file.write(text)
    return ident, path


@pytest.mark.parametrize("flags", [FROM_NOTHING, NO_WAITER, HOT])
def test_layers_and_models_are_in_opt(build, tmp_path, flags):
    runtime = tmp_path / "runtime"
    (runtime / "models").mkdir(parents=True)
    (runtime / "ours").write_text("ours\n")
    with Spawn(build, arguments=["--runtime-dir", str(runtime)]) as service:
        layers = service.tree({"bin/tool": b"#!/bin/sh\necho tool\n"})
        base = os.path.join(service.data, "trees", layers.hex())
        os.chmod(base, 0o755)
        os.mkdir(os.path.join(base, "lamina"))
        ident, path = models(service, {"m": "first\n"})
        tree = service.script("/opt/bin/tool; cat /opt/lamina/ours /opt/lamina/models/m; echo here; "
                              "while ! cat /opt/lamina/models/later 2>/dev/null; do sleep 0.05; done; "
                              "> /opt/lamina/models/mine || > /opt/mine || echo read-only")
        for _ in range(2):  # the second may be a waiter
            instance = service.start(tree, opt_tree=layers, models=ident, flags=flags, env=PATH)
            assert instance.wait_log("here") == "tool\nours\nfirst\nhere\n"
            with open(os.path.join(path, "later.new"), "w") as file:
                file.write("later\n")
            os.rename(file.name, os.path.join(path, "later"))
            assert instance.log().startswith("later\n") and service.exit(instance)["status"] == 0
            os.unlink(os.path.join(path, "later"))


def test_layers_cannot_replace_our_runtime_nor_lead_elsewhere(spawn):
    """laminad's trees are laminad's: a link in the place of `lamina` or of the tree is not followed."""
    ok = spawn.script("echo ran")
    for name, error in (("lamina", errno.ELOOP), ("other", errno.ENOENT)):
        layers = spawn.tree({"x": b""})
        base = os.path.join(spawn.data, "trees", layers.hex())
        os.chmod(base, 0o755)
        os.symlink("/trees", os.path.join(base, name))
        with pytest.raises(StartFailed) as caught:
            spawn.start(ok, opt_tree=layers)
        assert (caught.value.step, caught.value.error) == ("tree", error)
    link = os.urandom(32)
    os.symlink("/", os.path.join(spawn.data, "models", link.hex()))
    for options in ({"models": link}, {"models": os.urandom(32)}, {"opt_tree": os.urandom(32)}):
        with pytest.raises(StartFailed) as caught:
            spawn.start(ok, **options)
        assert caught.value.step == "tree"


def memfd(content, seals):
    fd = os.memfd_create("model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


@pytest.mark.parametrize("flags", [FROM_NOTHING, NO_WAITER, HOT])
def test_a_sealed_model_is_descriptor_4(spawn, flags):
    fd = memfd(b"weights", fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    tree = spawn.script("cat <&4; echo; ls /proc/self/fd | wc -l; echo x >&4")
    for _ in range(2):
        os.lseek(fd, 0, os.SEEK_SET)
        gone, text = spawn.run(tree, model_fd=fd, flags=flags, env=PATH)
        assert gone["status"] != 0  # what is sealed cannot be written
        assert text.splitlines()[:2] == ["weights", "5"]  # 0, 1, 2, the model, and ls's own
    os.close(fd)


def test_a_model_that_could_change_is_refused(spawn):
    tree = spawn.script("echo ran")
    half = memfd(b"weights", fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW)
    plain = os.open("/etc/hostname", os.O_RDONLY)
    for fd in (half, plain):
        with pytest.raises(StartFailed) as caught:
            spawn.start(tree, model_fd=fd)
        assert (caught.value.step, caught.value.error) == ("request", errno.EBADF)
        os.close(fd)


@pytest.mark.parametrize("flags, path", [(FROM_NOTHING, "nothing"), (NO_WAITER, "pool")])
def test_listeners_lead_into_the_sandbox(spawn, flags, path):
    tree = spawn.program("first_byte")
    end = time.monotonic() + DEADLINE_S
    while True:
        instance = spawn.start(tree, flags=flags)
        instance.runtime.setblocking(True)
        instance.runtime.settimeout(DEADLINE_S)
        connection, _ = instance.runtime.accept()
        assert connection.recv(10) == b"x"
        connection.close()
        assert spawn.exit(instance)["status"] == 0
        if instance.path == path:  # the pool may be still filling
            break
        assert time.monotonic() < end
    assert instance.platform.getsockname() == ("127.0.0.1", 4566)
    assert instance.runtime.getsockname() == ("127.0.0.1", 9001)


def test_a_hot_tree_gets_a_waiter_and_forget_drops_it(spawn):
    tree = spawn.script("echo $N")
    end = time.monotonic() + DEADLINE_S
    number = 0
    while True:
        number += 1
        instance = spawn.start(tree, flags=HOT, env={"N": number, **PATH})
        assert instance.log() == f"{number}\n"  # a waiter's environment is that of its START
        assert spawn.exit(instance)["status"] == 0
        if instance.path == "waiter":
            break
        assert time.monotonic() < end
    spawn.send(TREE_FORGET, 0, tree)
    instance = spawn.start(tree, env={"N": "last", **PATH})
    assert instance.path != "waiter"
    assert instance.log() == "last\n"
    spawn.exit(instance)


def warm(spawn, tree):
    """Starts it until a waiter has served it; another one is then made or in the making."""
    end = time.monotonic() + DEADLINE_S
    while True:
        instance = spawn.start(tree, flags=HOT, env=PATH)
        spawn.exit(instance)
        if instance.path == "waiter":
            return
        assert time.monotonic() < end


def test_a_waiter_that_had_to_go_serves_nobody(spawn):
    """One tree too many: the oldest one's waiter is killed, and asked for before its end is known."""
    hot = [spawn.script(f"echo {number}") for number in range(WANTS_MAX)]
    for tree in hot:
        warm(spawn, tree)
    for tree in hot:  # the last START of each, in this order, and time to make a waiter again
        warm(spawn, tree)
    for oldest, newest in zip(hot, [spawn.script("echo new") for _ in hot]):
        numbers = [spawn.new_id(), spawn.new_id()]
        spawn.channel.send(start_message(numbers[0], newest, flags=HOT, env=PATH))
        spawn.channel.send(start_message(numbers[1], oldest, env=PATH))
        for number in numbers:
            kind, _, body, fds = spawn.expect(number, STARTED, START_FAILED)
            assert kind == STARTED, body
            instance = spawn_client.Instance(number, body, fds)
            spawn.instances.append(instance)
            assert instance.log() == ("new\n" if number == numbers[0] else f"{hot.index(oldest)}\n")
            assert spawn.exit(instance)["status"] == 0


def test_a_waiter_serves_only_the_limits_it_was_made_for(spawn):
    tree = spawn.script("df -m /tmp | tail -1 | { read a b c; echo $b; }")
    for _ in range(3):
        spawn.run(tree, flags=HOT, tmp=32 * MIB, env=PATH)
    _, text = spawn.run(tree, flags=HOT, tmp=48 * MIB, env=PATH)
    assert text == "48\n"


def test_many_at_once_are_each_their_own(spawn):
    tree = spawn.script("echo $N; read x < /dev/null; exit $N")
    for number in range(60):
        spawn.channel.send(start_message(spawn.new_id(), tree, env={"N": number, **PATH}))
    first = spawn.next_id - 59
    instances = {}
    for number in range(60):
        _, ident, body, fds = spawn.expect(first + number, spawn_client.STARTED)
        instances[number] = spawn_client.Instance(ident, body, fds)
    assert len({instance.uid for instance in instances.values()}) == 60
    for number, instance in instances.items():
        assert instance.log() == f"{number}\n"
        assert spawn.exit(instance)["status"] == number << 8
        instance.close()


def test_a_low_limit_of_open_files_is_raised(build):
    """Services get 1,024 descriptors from many a shell: two per instance would not fit."""
    with Spawn(build, files=(64, 2048)) as service:
        tree = service.program("attack")
        instances = [service.start(tree, env={"ATTACK": "stay"}) for _ in range(100)]
        assert len({instance.uid for instance in instances}) == 100


# ---- what may be asked

def test_freeze_stops_and_thaw_goes_on(spawn):
    instance = spawn.start(spawn.script("while :; do echo x; done"), env=PATH)
    instance.wait_log("x")
    assert spawn.done(instance, FREEZE, FROZEN) == 0
    while select.select([instance.log_fd], [], [], 0)[0]:
        os.read(instance.log_fd, 1 << 20)
    before = spawn.stats(instance)["cpu_us"]
    assert spawn.stats(instance)["cpu_us"] == before
    assert not select.select([instance.log_fd], [], [], 0)[0]
    assert spawn.done(instance, THAW, THAWED) == 0
    instance.wait_log("x")
    assert spawn.done(instance, THAW, THAWED) == 0  # what runs may be thawed
    gone = kill(spawn, instance)
    assert gone["status"] == 9 and gone["flags"] & EXIT_KILLED


def test_kill_reaches_everything_and_exit_comes_once(spawn):
    instance = spawn.start(spawn.script("trap '' TERM INT HUP; sleep 1000 & sleep 1000"), env=PATH)
    gone = kill(spawn, instance)
    assert gone["status"] == 9 and gone["flags"] & EXIT_KILLED
    for request in (KILL, FREEZE, THAW, STATS, INIT_DONE):
        spawn.send(request, instance.id)  # no answer, no harm
    assert spawn.run(spawn.script("exit 0"), env=PATH)[0]["status"] == 0
    assert not [one for one in spawn.unread if one[1] == instance.id]


def test_stats_count_all_processes(spawn):
    instance = spawn.start(spawn.script("sleep 1000 & sleep 1000 & echo up; wait"), env=PATH)
    instance.wait_log("up")
    stats = spawn.stats(instance)
    assert stats["error"] == 0 and stats["processes"] >= 3
    assert 0 < stats["private"] <= stats["pss"] and stats["page_tables"] > 0
    assert 0 < stats["memory"] <= stats["peak"]
    assert int(os.pread(instance.peak_fd, 64, 0)) >= stats["memory"]
    kill(spawn, instance)


def test_cpu_is_free_during_init_and_limited_after(spawn):
    """Not by the clock: by what the kernel is told."""
    instance = spawn.start(spawn.script("sleep 1000"), cpu=72, env=PATH)
    if spawn.cgroup_version == 1:
        [group] = [path for path in spawn.cgroups() if "/cpu/" in path]
        slot = instance.uid - spawn.uid_first
        quota = f"{group}/{slot}/cpu.cfs_quota_us"
        assert open(quota).read() == "-1\n"
        assert open(f"{group}/{slot}/cpu.cfs_period_us").read() == "20000\n"
        spawn.send(INIT_DONE, instance.id)
        assert spawn.stats(instance)["error"] == 0  # INIT_DONE has been obeyed before
        assert open(quota).read() == "1440\n"
    kill(spawn, instance)


def test_a_flood_of_requests_is_answered_and_blocks_nobody(spawn):
    """More STATS than any queue holds, for many instances that are then killed at once."""
    tree = spawn.program("attack")
    instances = [spawn.start(tree, env={"ATTACK": "stay"}) for _ in range(100)]
    for _ in range(50):
        for instance in instances[:20]:
            spawn.send(STATS, instance.id)
    for instance in instances:
        spawn.send(KILL, instance.id)
    answers = 0
    for instance in instances:
        while True:
            kind, _, _, _ = spawn.expect(instance.id, spawn_client.STATS_ARE, EXIT)
            if kind == EXIT:
                break
            answers += 1
        instance.close()
    assert answers <= 1000
    assert spawn.run(spawn.script("echo up"), env=PATH)[1] == "up\n"


# ---- refusals

def test_unknown_trees_and_used_ids_are_refused(spawn):
    with pytest.raises(StartFailed) as failed:
        spawn.start(os.urandom(32))
    assert (failed.value.step, failed.value.error) == ("tree", errno.ENOENT)
    instance = spawn.start(spawn.script("sleep 1000"), env=PATH)
    spawn.channel.send(start_message(instance.id))
    _, _, body, _ = spawn.expect(instance.id, spawn_client.START_FAILED)
    assert struct.unpack("=II", body) == (1, errno.EEXIST)
    kill(spawn, instance)


def test_a_tree_that_is_a_link_is_not_followed(spawn):
    ident = os.urandom(32)
    os.symlink("/etc", os.path.join(spawn.data, "trees", ident.hex()))
    with pytest.raises(StartFailed) as failed:
        spawn.start(ident)
    assert (failed.value.step, failed.value.error) == ("tree", errno.ELOOP)
    file = os.urandom(32)
    with open(os.path.join(spawn.data, "trees", file.hex()), "w"):
        pass
    with pytest.raises(StartFailed) as failed:
        spawn.start(file)
    assert (failed.value.step, failed.value.error) == ("tree", errno.ENOTDIR)


def bad_messages():
    good = start_message(1, env={"A": "b"})
    yield "short", good[:10]
    yield "empty_head", HEAD.pack(VERSION, START, 16, 1)
    yield "longer_than_it_says", good + b"x"
    yield "shorter_than_it_says", good[:-1]
    yield "version", struct.pack("=H", VERSION + 1) + good[2:]
    yield "type_0", message(0, 1)
    yield "type_unknown", message(99, 1)
    yield "answer_as_request", message(spawn_client.HELLO, 1, bytes(16))
    yield "work_on_the_wrong_channel", message(WORK, 1, bytes(48))
    yield "id_0", start_message(0)
    yield "kill_id_0", message(KILL, 0)
    yield "flags", start_message(1, flags=0x80)
    yield "memory_0", start_message(1, memory=0)
    yield "memory_huge", start_message(1, memory=1 << 62)
    yield "tmp_0", start_message(1, tmp=0)
    yield "tmp_huge", start_message(1, tmp=1 << 62)
    yield "cpu_huge", start_message(1, cpu=1 << 31)
    yield "pids_huge", start_message(1, pids=1 << 31)
    yield "bootstrap_unknown", start_message(1, bootstrap=3)
    yield "template_of_a_template", start_message(1, flags=TEMPLATE, template=2)
    yield "spare_without_template", start_message(1, flags=SPARE)
    yield "model_that_did_not_come", start_message(1, flags=MODEL_FD)
    body = start_message(1)[HEAD.size:]  # its last four bytes are env_size
    yield "env_without_nul", message(1, 1, body[:-4] + struct.pack("=I", 3) + b"A=b")
    yield "env_without_name", message(1, 1, body[:-4] + struct.pack("=I", 3) + b"=b\0")
    yield "env_without_equals", message(1, 1, body[:-4] + struct.pack("=I", 3) + b"ab\0")
    yield "env_size_lies", message(1, 1, body[:-4] + struct.pack("=I", 9) + b"A=b\0")
    yield "forget_short", message(TREE_FORGET, 0, bytes(31))


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in bad_messages()])
def test_nonsense_from_laminad_ends_the_service(build, data):
    """It is our bug, or laminad was taken over: neither may go on talking to a root process."""
    service = Spawn(build)
    instance = service.start(service.script("sleep 1000"), env=PATH)
    service.channel.send(data)
    while service.channel.recv(65536):
        pass
    assert instance.log() == ""
    service.close(expected_error="spawn.protocol")


def test_descriptors_that_were_not_asked_for_end_the_service(build):
    service = Spawn(build)
    socket.send_fds(service.channel, [message(KILL, 1)], [0])
    while service.channel.recv(65536):
        pass
    service.close(expected_error="spawn.protocol")


# ---- work

@pytest.fixture
def package(tmp_path):
    import zipfile
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("bootstrap", "#!/bin/sh\n")
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_a_job_turns_its_input_into_its_output(spawn, package):
    result = Job(spawn, source=package).end()
    assert (result["status"], result["step"], result["error"]) == (0, "none", 0)
    assert b"bootstrap" in result["output"]


def test_jobs_run_side_by_side_with_instances(spawn, package):
    jobs = [Job(spawn, source=os.dup(package)) for _ in range(3)]
    assert spawn.run(spawn.script("exit 0"), env=PATH)[0]["status"] == 0
    for job in jobs:
        # They share an open file and its offset; lamina-work reads by position.
        assert job.end()["status"] == 0


def test_a_job_called_wrongly_says_so(spawn, package):
    assert Job(spawn, kind=999, source=package).end()["status"] == 2 << 8


@pytest.mark.parametrize("kind", ["directory", "pipe", "writable", "path"])
def test_a_job_takes_only_a_file_to_read(spawn, tmp_path, kind):
    read, write = os.pipe()
    path = tmp_path / "x"
    path.write_bytes(b"x")
    source = {"directory": lambda: os.open(tmp_path, os.O_RDONLY),
              "pipe": lambda: os.dup(read),
              "writable": lambda: os.open(path, os.O_RDWR),
              "path": lambda: os.open(path, os.O_PATH)}[kind]()
    result = Job(spawn, source=source).end()
    assert (result["step"], result["error"]) == ("request", errno.EBADF)
    for fd in (read, write, source):
        os.close(fd)


# ---- life and death of the service

def test_sigterm_to_spawn_reaches_laminad_and_all_ends(build):
    service = Spawn(build)
    instance = service.start(service.script("trap '' TERM; while :; do sleep 1; done"), env=PATH)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=DEADLINE_S) == 128 + signal.SIGTERM  # the relay dies of it
    assert instance.log() == ""
    assert service.cgroups() == []
    service.forget()


def test_kill_9_of_spawn_ends_every_sandbox(build):
    service = Spawn(build)
    instance = service.start(service.script("echo up; sleep 1000"), env=PATH)
    instance.wait_log("up")
    service.process.kill()
    service.process.wait(timeout=DEADLINE_S)
    assert instance.log() == ""  # its processes are gone: the pipe has no writer
    data = service.data
    assert service.leash.recv(1) == b""  # laminad has died with it
    service.forget(keep_data=True)
    with Spawn(build, keep_data=data) as again:
        assert again.run(again.script("exit 0"), env=PATH)[0]["status"] == 0
    spawn_client.remove(data)
    assert service.cgroups() == []


def test_a_start_removes_what_a_killed_service_left_even_when_frozen(build):
    service = Spawn(build)
    instance = service.start(service.script("echo up; sleep 1000"), env=PATH)
    instance.wait_log("up")
    assert service.done(instance, FREEZE, FROZEN) == 0
    data, pid = service.data, instance.pid
    service.process.kill()
    service.process.wait(timeout=DEADLINE_S)
    service.forget(keep_data=True)
    with Spawn(build, keep_data=data) as again:
        assert not is_alive(pid)
        assert again.run(again.script("exit 0"), env=PATH)[0]["status"] == 0
    assert service.cgroups() == []
    spawn_client.remove(data)


def test_a_start_removes_what_a_dead_service_of_another_directory_left(build):
    """It may never be started again, and its frozen processes would stay for ever."""
    with Spawn(build) as running:
        alive = running.start(running.script("echo up; sleep 1000"), env=PATH)
        alive.wait_log("up")
        dead = Spawn(build)
        data = dead.data  # kept to the end: else its inode, and so its key, may be another's
        instance = dead.start(dead.script("echo up; sleep 1000"), env=PATH)
        instance.wait_log("up")
        assert dead.done(instance, FREEZE, FROZEN) == 0
        pid = instance.pid
        dead.process.kill()
        dead.process.wait(timeout=DEADLINE_S)
        dead.forget(keep_data=True)
        end = time.monotonic() + DEADLINE_S
        while dead.cgroups() or is_alive(pid):  # the lock may be held for a moment by what still ends
            assert time.monotonic() < end
            with Spawn(build):
                pass
        spawn_client.remove(data)
        assert running.stats(alive)["error"] == 0  # whose lock is held is left alone
        kill(running, alive)


def test_two_services_on_one_data_directory_are_refused(build):
    with Spawn(build) as first:
        with pytest.raises(RuntimeError, match="another Lamina service runs on data directory"):
            Spawn(build, keep_data=first.data)
        assert first.run(first.script("exit 0"), env=PATH)[0]["status"] == 0


def test_two_services_side_by_side_use_other_uids_and_groups(build):
    with Spawn(build) as first, Spawn(build) as second:
        assert first.key() != second.key()
        assert abs(first.uid_first - second.uid_first) >= first.uid_count
        one = first.start(first.script("echo up; sleep 1000"), env=PATH)
        one.wait_log("up")
        second.close()
        assert first.stats(one)["error"] == 0  # the other's end did not touch it
        kill(first, one)


@pytest.fixture
def delegated():
    """A v2 cgroup as systemd makes one with Delegate=yes: the service is alone in it."""
    if not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("cgroup v1: nothing is delegated")
    with open("/sys/fs/cgroup/cgroup.subtree_control", "w") as file:
        file.write("+memory +cpu +pids")
    path = f"/sys/fs/cgroup/lamina-test-{os.getpid()}"
    os.mkdir(path)
    yield path
    for directory, _, _ in os.walk(path, topdown=False):
        os.rmdir(directory)


def test_a_delegated_v2_group_is_enough(build, delegated):
    with Spawn(build, group=delegated) as service:
        instance = service.start(service.script("echo up; sleep 1000"), env=PATH)
        instance.wait_log("up")
        [subtree] = service.cgroups()
        assert subtree == f"{delegated}/lamina-{service.key()}"
        slot = instance.uid - service.uid_first
        assert open(f"{subtree}/{slot}/memory.max").read() == f"{128 * MIB}\n"
        assert open(f"{subtree}/{slot}/pids.max").read() == "1025\n"
        # The service itself is in a leaf: a group with controllers for children holds no process.
        assert open(f"{delegated}/cgroup.procs").read() == ""
        assert str(service.process.pid) in open(
            f"{delegated}/lamina-main-{service.key()}/cgroup.procs").read().split()
        kill(service, instance)


def test_kill_9_of_the_keeper_ends_the_service(build):
    service = Spawn(build)
    instance = service.start(service.script("echo up; sleep 1000"), env=PATH)
    instance.wait_log("up")
    # Its copies in sandboxes, which wait for a root, have its name: they are in pid namespaces.
    [keeper] = [pid for pid in os.listdir("/proc")
                if pid.isdigit() and is_child(pid, service.process.pid)
                and comm(pid) == "lamina-keeper" and len(status_of(pid)["NSpid"].split()) == 1]
    os.kill(int(keeper), signal.SIGKILL)
    while service.channel.recv(65536):
        pass
    assert instance.log() == ""
    service.close(expected_error="spawn.keeper")


def test_somebody_elses_directory_is_not_taken_over(build, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").write_text("x")
    os.chown(data, 12345, 12345)
    with pytest.raises(RuntimeError, match="is not empty and belongs to uid 12345"):
        Spawn(build, keep_data=str(data))
    assert (data / "file").read_text() == "x" and data.stat().st_uid == 12345


def laminad_uid():
    """The user `lamina`, where there is one."""
    try:
        return pwd.getpwnam("lamina").pw_uid
    except KeyError:
        return 899999


def laminad_of(service):
    """Its child in no pid namespace of its own that is not root's."""
    [found] = [pid for pid in os.listdir("/proc") if pid.isdigit()
               and is_child(pid, service.process.pid) and os.stat(f"/proc/{pid}").st_uid != 0
               and len(status_of(pid)["NSpid"].split()) == 1]
    return found


def test_the_data_directory_may_lie_where_laminad_cannot_walk(build, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Spawn(build, keep_data=str(closed / "data")) as service:
        laminad = laminad_of(service)
        environment = open(f"/proc/{laminad}/environ").read().split("\0")
        assert "LAMINA_DATA_MOUNT=/run/lamina/data" in environment
        seen = os.stat(f"/proc/{laminad}/root/run/lamina/data")
        assert (seen.st_dev, seen.st_ino, seen.st_uid) == (
            os.stat(closed / "data").st_dev, os.stat(closed / "data").st_ino, laminad_uid())
        # Seen from the host, nothing is mounted there.
        assert not any("/run/lamina/data" in line for line in open("/proc/self/mountinfo"))
        assert service.run(service.script("echo up"), env=PATH)[1] == "up\n"


def test_laminad_runs_without_privileges(build):
    with Spawn(build) as service:
        laminad = laminad_of(service)
        status = status_of(laminad)
        assert status["Uid"].split() == [str(laminad_uid())] * 4
        assert status["Groups"].strip() == ""
        assert status["NoNewPrivs"] == "1"
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0


def status_of(pid):
    return dict(line.split(":\t", 1) for line in
                open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)


def is_alive(pid):
    """A zombie that its new parent has not reaped yet is not alive."""
    try:
        return status_of(pid)["State"][0] not in "ZX"
    except OSError:
        return False


def comm(pid):
    try:
        return open(f"/proc/{pid}/comm").read().strip()
    except OSError:
        return ""


def is_child(pid, parent):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1] == str(parent)
    except OSError:
        return False


def test_probe_names_each_feature(build):
    done = subprocess.run([os.path.join(build, "lamina-spawn"), "--probe"], stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=DEADLINE_S, text=True)
    lines = [line.split(None, 2) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert {line[0] for line in lines} <= {"works", "fallback"}
    assert {"seccomp", "cgroups", "net_namespace", "proc_subset"} <= {line[1] for line in lines}


@pytest.mark.parametrize("arguments, words", [
    (["--nonsense"], "unknown or incomplete argument '--nonsense'"),
    (["--data-dir"], "unknown or incomplete argument '--data-dir'"),
    (["--user", "no-such-user"], "there is no user 'no-such-user'"),
    (["--user", "root"], "laminad does not run as root"),
    (["--sandbox-uids", "5"], "is not FIRST-LAST"),
    (["--sandbox-uids", "9-8"], "is not FIRST-LAST"),
    (["--user", "900001"], "is among the sandboxes'"),
])
def test_wrong_arguments_are_named(build, arguments, words):
    done = subprocess.run([os.path.join(build, "lamina-spawn"), *arguments, "--"],
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=DEADLINE_S,
                          text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 2 and words in done.stderr
