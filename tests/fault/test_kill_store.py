# SPDX-License-Identifier: MIT
"""kill -9 of laminad in the middle of an update, of lamina-spawn and lamina-work in the middle of a create.

laminad strikes itself at its nth call that changes the disk; the unit tests do it at every single one, here it
is the first and the last of each name, with everything real around it. After each: the service starts again, no
function is half there, what was promised is there, nothing is left in tmp/, and the next call works.
(laminad in a create: test_fault_points.py.)
"""

import os
import random
import signal
import threading

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from faults import Faults, children, is_stopped, points, wait_end
from lamina_service import wait_for
from store_reader import check

from lambda_function import BOOTSTRAP, function, invoke, package, settings, zip_of


@pytest.fixture
def struck(make_service):
    """A service that is not started yet, and its faults."""
    service = make_service(start=False)
    return service, Faults(service)


def attempt(call, **parameters):
    """True if the call was answered with success, False if nobody answered or an error came."""
    try:
        call(**parameters)
        return True
    except (BotoCoreError, ClientError):
        return False


def count_calls(service, faults, do):
    """The calls that `do(client)` takes, and a service that has done it once."""
    faults.prepare("count")
    service.start()
    faults.arm()
    do(service.client())
    faults.disarm()
    service.stop()
    return faults.calls()


def check_after_restart(service):
    assert os.listdir(service.data_dir / "tmp") == []
    check(service.data_dir)


def end(service, promised):
    """It has killed itself, unless it kept its promise."""
    if promised:
        service.stop()
    else:
        wait_end(service)


def names(client):
    return {each["FunctionName"] for each in client.list_functions()["Functions"]}


def test_laminad_killed_in_an_update(struck):
    service, faults = struck
    old, new = package("old"), package("new")

    def update(client, code=new):
        client.update_function_code(FunctionName="f", ZipFile=code)
        client.get_waiter("function_updated_v2").wait(FunctionName="f")

    faults.prepare("count")
    service.start()
    service.client().create_function(**settings("f", Code={"ZipFile": old}))
    service.client().get_waiter("function_active_v2").wait(FunctionName="f")
    service.stop()
    calls = count_calls(service, faults, update)
    chosen, killed, promised = points(calls), 0, True
    for name, nth in chosen:
        faults.prepare("kill", name, nth)
        service.start()
        client = service.client()
        check_after_restart(service)
        client.get_waiter("function_updated_v2").wait(FunctionName="f")
        marker = invoke(client, "f")["marker"]
        assert marker == "new" if promised else marker in ("old", "new"), (name, nth)
        update(client, old)
        faults.arm()
        promised = attempt(update, client=client)
        faults.disarm()
        killed += not promised
        end(service, promised)
    faults.prepare("count")
    service.start()
    check_after_restart(service)
    client = service.client()
    if not promised:
        update(client)
    assert invoke(client, "f")["marker"] == "new"
    assert killed > len(chosen) // 2


@pytest.mark.parametrize("call", ["openat", "syncfs", "fdatasync"])
def test_spawn_killed_while_a_create_is_under_way(struck, call):
    service, faults = struck
    faults.prepare("stop", call, 1)
    service.start()
    laminad = service.pid("laminad")
    faults.arm()
    client = service.client()
    caller = threading.Thread(target=attempt, args=(client.create_function,), kwargs=settings("f"))
    caller.start()
    wait_for(lambda: is_stopped(laminad), "laminad to stop at its call")
    os.kill(service.spawn_pid, signal.SIGKILL)
    faults.disarm()
    try:
        os.kill(laminad, signal.SIGCONT)
    except ProcessLookupError:
        pass  # it has died with its parent already
    wait_end(service)
    caller.join()
    faults.prepare("count")
    service.start()
    client = service.client()
    check_after_restart(service)
    if "f" in names(client):
        client.get_waiter("function_active_v2").wait(FunctionName="f")
        client.delete_function(FunctionName="f")
    with function(client, "f"):
        assert invoke(client, "f")["marker"] == "one"


def test_work_killed_in_the_middle_of_a_package(struck):
    """The package is larger than all buffers, so that lamina-work waits for laminad, which is stopped."""
    service, faults = struck
    code = zip_of({"bootstrap": BOOTSTRAP.replace("MARKER", "one"), "model": random.Random(1).randbytes(4 << 20)})
    parameters = settings("f", Code={"ZipFile": code})
    # The spool's file is the first that is made; the next is the first one that lamina-work unpacked.
    faults.prepare("stop", "openat", 2)
    service.start()
    laminad = service.pid("laminad")
    client = service.client()
    errors = []

    def create():
        try:
            client.create_function(**parameters)
        except ClientError as error:
            errors.append(error.response["Error"]["Code"])

    faults.arm()
    caller = threading.Thread(target=create)
    caller.start()
    wait_for(lambda: is_stopped(laminad), "laminad to stop at its call")
    worker, = wait_for(lambda: children(service.spawn_pid, "lamina-work"), "lamina-work to be there")
    os.kill(worker, signal.SIGKILL)
    faults.disarm()
    os.kill(laminad, signal.SIGCONT)
    caller.join()
    assert errors == ["ServiceException"]
    assert "f" not in names(client)
    assert os.listdir(service.data_dir / "tmp") == []
    client.create_function(**parameters)
    client.get_waiter("function_active_v2").wait(FunctionName="f")
    assert invoke(client, "f")["marker"] == "one"
    check(service.data_dir)
