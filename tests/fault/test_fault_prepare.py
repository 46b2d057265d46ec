# SPDX-License-Identifier: MIT
"""Preparing a model, step by step: kill -9 at each change, and a disk that is full there.

A deployment never fails for its preparation; whatever is interrupted, the next start finds nothing half-made and the next
deployment prepares the model."""
import io
import json
import os
import stat
import zipfile

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from faults import Faults, wait_end
from lambda_function import settings
from store_reader import check

import random_model
from model_function import needs_library

pytestmark = needs_library
ENOSPC, EIO = 28, 5
WIDTH = 64


@pytest.fixture(scope="module")
def bootstrap(build):
    return (build / "runtime/bin/lamina-model").read_bytes()


@pytest.fixture
def struck(make_service):
    service = make_service(start=False)
    return service, Faults(service)


def model_package(bootstrap, seed):
    """Each time another model, so that no step finds its work done."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, mode, content in (("bootstrap", 0o755, bootstrap),
                                    ("net.onnx", 0o644, random_model.mlp(2 * WIDTH * WIDTH * 4, width=WIDTH, seed=seed))):
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(entry, content)
    return out.getvalue()


def create(client, bootstrap, seed, name="f"):
    client.create_function(**settings(name, Code={"ZipFile": model_package(bootstrap, seed)}, Handler="net.onnx", MemorySize=512))
    client.get_waiter("function_active_v2").wait(FunctionName=name)


def described(service):
    return json.loads(service.lamina("describe", "f", "-o", "json").stdout)["model"]


def check_whole(service, client):
    """No staged file, every object tells the truth, every record can be read and names a form that is there."""
    assert os.listdir(service.data_dir / "tmp") == []
    check(service.data_dir)
    for record in (service.data_dir / "prepared").iterdir():
        form = json.loads(record.read_text())["Form"]
        assert (service.data_dir / "objects" / form[:2] / form).exists(), record
    if "f" in {each["FunctionName"] for each in client.list_functions()["Functions"]}:
        call(client)
        client.delete_function(FunctionName="f")


def call(client):
    request = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "data": random_model.some_input(WIDTH)}]}
    answer = client.invoke(FunctionName="f", Payload=json.dumps(request))
    assert "FunctionError" not in answer, answer["Payload"].read()


def preparing_points(struck, bootstrap):
    """(call, nth) of what a preparation changes: between the form's file in tmp/ and the registry's first write."""
    service, faults = struck
    faults.prepare("count")
    service.start()
    create(service.client(), bootstrap, 1, "kept")  # the bootstrap is in the store from now on
    faults.arm()
    create(service.client(), bootstrap, 2)
    faults.disarm()
    calls = faults.calls()
    assert described(service)["prepared"]
    service.client().delete_function(FunctionName="f")
    service.stop()
    synced = [at for at, name in enumerate(calls) if name == "syncfs"][1]
    begin = calls.index("openat", synced)  # the form is staged; before it the function gets its folder of models
    end = calls.index("pwrite64")
    seen, points = {}, []
    for at, name in enumerate(calls):
        seen[name] = seen.get(name, 0) + 1
        if begin <= at < end and name != "write" and [each for each, _ in points].count(name) < 2:
            points.append((name, seen[name]))  # the first two of each
    assert {"openat", "fsync", "linkat"} <= {name for name, _ in points}, calls
    return points


def test_killed_while_a_model_is_prepared(struck, bootstrap):
    points = preparing_points(struck, bootstrap)
    service, faults = struck
    for seed, (name, nth) in enumerate(points, 10):
        faults.prepare("kill", name, nth)
        service.start()
        faults.arm()
        with pytest.raises((BotoCoreError, ClientError)):
            create(service.client(), bootstrap, seed)
        faults.disarm()
        wait_end(service)
    faults.prepare("count")
    service.start()
    client = service.client()
    check_whole(service, client)
    create(client, bootstrap, 10)
    assert described(service)["prepared"]
    check_whole(service, client)


@pytest.mark.parametrize("error", [ENOSPC, EIO], ids=["ENOSPC", "EIO"])
def test_a_disk_that_is_full_or_fails_while_a_model_is_prepared(struck, bootstrap, error):
    points = preparing_points(struck, bootstrap)
    service, faults = struck
    for seed, (name, nth) in enumerate(points, 40):
        faults.prepare(str(error), name, nth)
        service.start()
        client = service.client()
        faults.arm()
        create(client, bootstrap, seed)  # it never fails for this
        faults.disarm()
        model = described(service)
        told = ("the disk", "No space", "Input/output error")
        assert model["prepared"] or any(words in model["reason"] for words in told), (name, nth, model)
        check_whole(service, client)
        service.stop()
