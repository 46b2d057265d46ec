# SPDX-License-Identifier: MIT
"""kill -9 of each process at each step of an invocation: the caller hears of it, nothing is left, a restart goes on."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "flow"))

from lamina_service import DEADLINE_S, cgroups, wait_for  # noqa: E402
from lambda_function import fresh_name, settings  # noqa: E402
from probe import PACKAGE, ask, call, instances, probe  # noqa: E402

STEPS = ["idle", "init", "busy", "frozen"]


def children(pid):
    try:
        return [int(each) for each in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):  # a failing init phase may have ended it already
        os.kill(pid, number)


class Step:
    """A function whose one instance is at a step, and, if that takes one, a call that waits for it."""

    def __init__(self, service, client, name, pool, step):
        self.call = None
        if step == "init":
            configure(client, name, {"INIT": "hang"})
            self.call = pool.submit(call, client, name, {})
            wanted = "INIT"
        elif step == "busy":
            self.call = pool.submit(call, client, name, {"do": "end", "how": "hang"})
            wanted = "BUSY"
        else:
            ask(client, name, "count")
            wanted = "IDLE" if step == "idle" else "FROZEN"
        self.instance = wait_for(
            lambda: next((each for each in instances(service, name) if each["state"] == wanted), None),
            f"an instance that is {wanted}")

    def bootstrap(self):
        """The function's own process: lamina-init's child. An init phase that hangs may be over by now: then pid 1."""
        pid = self.instance["pid"]
        wait_for(lambda: children(pid) or not pathlib.Path(f"/proc/{pid}").exists(), "the bootstrap's process")
        return (children(pid) or [pid])[0]


@contextlib.contextmanager
def at_step(service, step):
    client = service.client()
    with probe(client, step) as name, concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield name, Step(service, client, name, pool, step)


def flags(step):
    return ["--freeze-after-ms", "1" if step == "frozen" else "3600000"]


def expect_end(service):
    """The service ends by itself, with every process that it had started."""
    service.process.wait(DEADLINE_S)
    service.process = None
    wait_for(lambda: not service.processes(), "the service's processes to end")


def create(client):
    """A probe function that goes with its service: clients of before a restart know the old port."""
    name = fresh_name("kill")
    client.create_function(**settings(name, Code={"ZipFile": PACKAGE}, Timeout=240))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    return name


def configure(client, name, variables):
    client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    client.get_waiter("function_updated_v2").wait(FunctionName=name)


@pytest.mark.parametrize("program", ["laminad", "lamina-spawn"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_service_leaves_nothing_and_starts_again(make_service, step, program):
    service = make_service(*flags(step))
    name = create(service.client())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reached = Step(service, service.client(), name, pool, step)
        inside = [reached.instance["pid"], reached.bootstrap()]
        key = service._key()
        os.kill(service.pid("laminad") if program == "laminad" else service.spawn_pid, signal.SIGKILL)
        expect_end(service)
        if reached.call:
            assert reached.call.exception() is not None  # the connection broke off
        if program == "laminad":
            wait_for(lambda: not cgroups(key), "lamina-spawn to remove the cgroups")
    # A frozen process cannot die before somebody thaws it: without lamina-spawn, the next start does.
    service.start()
    for pid in inside:
        wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists() or is_other(pid, key), "the sandbox to end")
    client = service.client()
    if step == "init":
        configure(client, name, {})
    assert ask(client, name, "count")["count"] == 1
    assert instances(service, name)


def is_other(pid, key):
    """The pid was given to another process meanwhile."""
    try:
        return key not in pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return True


@pytest.fixture(scope="module")
def patient(build):
    from lamina_service import Service

    with Service(build, *flags("idle")) as running:
        yield running


@pytest.fixture(scope="module")
def freezing(build):
    from lamina_service import Service

    with Service(build, *flags("frozen")) as running:
        yield running


@pytest.mark.parametrize("victim", ["init", "bootstrap"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_sandbox_fails_its_own_call_only(patient, freezing, step, victim):
    service = freezing if step == "frozen" else patient
    client = service.client()
    with at_step(service, step) as (name, reached):
        pid = reached.instance["pid"] if victim == "init" else reached.bootstrap()
        kill(pid)
        if step == "busy":
            answer, body = reached.call.result()
            assert answer["FunctionError"] == "Unhandled"
            assert json.loads(body)["errorType"] == "Runtime.ExitError"
        elif step == "init":
            # Lambda repeats the init phase within the call; the second instance is killed, too.
            second = wait_for(lambda: [each for each in instances(service, name)
                                       if each["id"] != reached.instance["id"] and each["state"] == "INIT"],
                              "the init phase to be repeated")[0]
            kill(second["pid"])
            answer, body = reached.call.result()
            assert answer["FunctionError"] == "Unhandled"
            configure(client, name, {})
        elif step == "frozen":
            # It dies when it is thawed, by the next call: with that call in its hands, if it got so far.
            call(client, name, {"do": "count"})
        wait_for(lambda: reached.instance["id"] not in [each["id"] for each in instances(service, name)],
                 "the instance to be gone")
        assert ask(client, name, "count")["count"] >= 1


def test_a_signal_ends_the_service_after_the_running_calls(make_service):
    """SIGTERM: new connections are not taken, the call that runs is answered, nothing is left."""
    service = make_service("--drain-s", "600")
    name = create(service.client())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, service.client(), name, "await-signal")
        busy = wait_for(lambda: [each for each in instances(service, name) if each["state"] == "BUSY"],
                        "the call to run")[0]
        key = service._key()
        os.kill(service.pid("laminad"), signal.SIGTERM)
        wait_for(lambda: "daemon.stopping" in service.log(), "the service to begin to stop")
        kill(children(busy["pid"])[0], signal.SIGUSR1)
        assert running.result() == signal.SIGUSR1
        assert service.process.wait(DEADLINE_S) == 0
        service.process = None
    wait_for(lambda: not cgroups(key), "the cgroups to go")
    assert not (service.data_dir / "endpoint").exists()
    assert not (service.data_dir / "laminad.pid").exists()
    service.start()
    assert ask(service.client(), name, "count")["count"] == 1


def test_a_second_signal_does_not_wait(make_service):
    service = make_service()
    name = create(service.client())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(call, service.client(), name, {"do": "end", "how": "hang"})
        wait_for(lambda: [each for each in instances(service, name) if each["state"] == "BUSY"], "the call to run")
        os.kill(service.pid("laminad"), signal.SIGTERM)
        wait_for(lambda: "daemon.stopping" in service.log(), "the service to begin to stop")
        assert service.stop() == 0
        assert running.exception() is not None
