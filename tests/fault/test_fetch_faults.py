# SPDX-License-Identifier: MIT
"""A fetch whose laminad is killed -9, or refused the disk, at each kind of call that changes it: the model is there whole after
the next start, or the function says why not; nothing half-made is seen, and what was fetched is asked for again at most once."""
import hashlib
import random
import signal

import pytest

from faults import Faults, points, wait_end
from lambda_function import function, invoke, settings, zip_of
from lamina_service import wait_for
from s3_origin import Origin
from store_reader import check
from test_damage import fill, own_mounts, small_disk  # noqa: F401 (fixtures)
from test_s3_models import PACKAGE, failure, folder, outcome, with_model  # noqa: F401 (folder: fixture)

MB = 1 << 20
CONTENT = random.Random(4).randbytes(9 * MB)  # two ranges, the last one short


@pytest.fixture
def origin():
    with Origin() as running:
        running.put("models", "m", CONTENT)
        yield running


@pytest.fixture
def struck(make_service, origin, folder):  # noqa: F811
    service = make_service("--config", origin.config(folder, "models"), start=False)
    return service, Faults(service)


def calls_of(service, faults):
    """The calls of a deployment with a fetch, of which the service's own commit is the end."""
    faults.prepare("count")
    service.start()
    client = service.client("lambda")
    faults.arm()
    client.create_function(**settings("counted", **with_model("s3://models/m")))
    assert outcome(client, "counted")["State"] == "Active"
    faults.disarm()
    client.delete_function(FunctionName="counted")
    service.stop()
    return points(faults.calls(), varying=("write", "pwrite64"))


def check_whole(service):
    assert not list(service.data_dir.glob("partial/*")), "what is done with is gone"
    assert not list(service.data_dir.glob("tmp/*"))
    check(service.data_dir)


def test_killed_at_each_call(struck, origin):
    service, faults = struck
    for name, nth in calls_of(service, faults):
        faults.prepare("kill", name, nth)
        service.start()
        client = service.client("lambda")
        before = origin.bytes_sent("models", "m")
        # Another object's state each time: what was fetched once is not fetched again otherwise.
        origin.put("models", "m", CONTENT[:-16] + f"{name:>12}{nth:04}".encode()[-16:])
        whole = origin.objects["models", "m"]
        faults.arm()
        is_made = True
        try:
            client.create_function(**settings("f", **with_model("s3://models/m")))
            outcome(client, "f")
        except Exception:  # noqa: BLE001 (whichever way the connection ends)
            is_made = False
        faults.disarm()
        if is_made:  # the call came after the answer, or not this time
            service.stop(signal.SIGKILL)
        else:
            wait_end(service)
        faults.prepare("count")
        service.start()
        client = service.client("lambda")
        names = [f["FunctionName"] for f in client.list_functions()["Functions"]]
        assert is_made <= (names == ["f"])
        if not names:
            client.create_function(**settings("f", **with_model("s3://models/m")))
        assert outcome(client, "f")["State"] == "Active", (name, nth)
        assert invoke(client, "f")["sha256"] == hashlib.sha256(whole).hexdigest(), (name, nth)
        assert origin.bytes_sent("models", "m") - before <= 2 * len(whole), (name, nth)
        check_whole(service)
        client.delete_function(FunctionName="f")
        service.stop()


def test_a_full_disk_at_each_call(struck, origin):
    service, faults = struck
    last = dict(calls_of(service, faults))
    for name, nth in last.items():
        faults.prepare("28", name, nth)
        service.start()
        client = service.client("lambda")
        origin.put("models", "m", CONTENT[:-16] + f"{name:>12}{nth:04}".encode()[-16:])
        faults.arm()
        try:
            client.create_function(**settings("f", **with_model("s3://models/m")))
            made = outcome(client, "f")
        except client.exceptions.ServiceException:
            made = None  # the function itself could not be written
        faults.disarm()
        if made and made["State"] == "Failed":
            assert made["StateReasonCode"] == "InternalError" and "s3://models/m" in made["StateReason"], made
        if made:
            client.delete_function(FunctionName="f")
        with function(client, "f", **with_model("s3://models/m")):
            assert invoke(client, "f")["sha256"] == hashlib.sha256(origin.objects["models", "m"]).hexdigest()
        check_whole(service)
        service.stop()


def test_five_gigabytes_on_a_disk_without_room(make_service, small_disk, origin, folder):  # noqa: F811
    """Refused before the first byte; what was there serves on."""
    service = small_disk
    service.stop()
    service.flags += ("--config", str(origin.config(folder, "models")))
    service.start()
    client = service.client("lambda")

    def huge(request):
        if request.key != "huge":
            return False
        if request.method != "HEAD":
            raise AssertionError("a byte of it was asked for")
        request.send_head(200, {"ETag": '"huge"'}, 5 << 30)
        return True
    origin.put("models", "small", b"a small model")
    origin.put("models", "huge", b"")
    origin.fault = huge
    with function(client, "old", **with_model("s3://models/small")):
        code, reason = failure(client, "f", "s3://models/huge")
        assert code == "InternalError" and "s3://models/huge" in reason and "No space left" in reason
        assert invoke(client, "old")["sha256"] == hashlib.sha256(b"a small model").hexdigest()
    assert not list(service.data_dir.glob("partial/*"))
    assert [method for method, target in origin.requests if "huge" in target and method != "HEAD"] == []


def test_a_disk_that_fills_up_during_a_fetch(make_service, small_disk, origin, folder):  # noqa: F811
    service = small_disk
    service.stop()
    service.flags += ("--config", str(origin.config(folder, "models")))
    service.start()
    client = service.client("lambda")
    ballast = []

    def fill_up(request):
        if request.range and not ballast:
            ballast.append(fill(service, leave=2 * MB))
        return False
    origin.fault = fill_up
    code, reason = failure(client, "f", "s3://models/m")
    assert code == "InternalError" and "s3://models/m" in reason and "No space left" in reason
    assert not list(service.data_dir.glob("partial/*")), "it would keep the disk full"
    ballast[0].unlink()
    with function(client, "g", **with_model("s3://models/m")):
        assert invoke(client, "g")["sha256"] == hashlib.sha256(CONTENT).hexdigest()
