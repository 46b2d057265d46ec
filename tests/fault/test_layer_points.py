# SPDX-License-Identifier: MIT
"""kill -9, and a disk that is full or fails, at each durable step of publishing a layer and of giving a function layers."""

import os
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from faults import Faults, points, wait_end
from lamina_service import wait_for
from store_reader import check

from lambda_function import ARN, BOOTSTRAP, invoke, package, settings, zip_of

ENOSPC, EIO = 28, 5
LAYER = "arn:aws:lambda:us-east-1:000000000000:layer:l"


@pytest.fixture
def struck(make_service):
    service = make_service(start=False)
    return service, Faults(service)


def publish(client, marker):
    return client.publish_layer_version(LayerName="l", Content={"ZipFile": zip_of({"marker": marker})})["Version"]


def delete(client, number):
    client.delete_layer_version(LayerName="l", VersionNumber=number)


def take(client, numbers, marker):
    """A function that has the layers: the merge is new each time."""
    client.create_function(**settings("f", Code={"ZipFile": package(marker)}, Layers=[f"{LAYER}:{numbers[0]}"]))


def grant(client, number):
    client.add_layer_version_permission(LayerName="l", VersionNumber=number, StatementId="s", Principal="*",
                                        Action="lambda:GetLayerVersion")


def versions(client):
    return [each["Version"] for each in client.list_layer_versions(LayerName="l")["LayerVersions"]]


def check_whole(service, client):
    """No staged file, every name tells the truth, what is listed can be read, and a function answers or is not there."""
    assert os.listdir(service.data_dir / "tmp") == []
    check(service.data_dir)
    for number in versions(client):
        client.get_layer_version(LayerName="l", VersionNumber=number)
    for function in client.list_functions()["Functions"]:
        client.get_waiter("function_active_v2").wait(FunctionName="f")
        invoke(client, "f")
        client.delete_function(FunctionName="f")


STEPS = {
    "publish": lambda client, marker: publish(client, marker),
    "delete": lambda client, marker: delete(client, versions(client)[0]),
    "policy": lambda client, marker: grant(client, versions(client)[0]),
    "take": lambda client, marker: take(client, versions(client), marker),
}


def calls_of(service, faults, step):
    faults.prepare("count")
    service.start()
    client = service.client()
    publish(client, "before")
    faults.arm()
    STEPS[step](client, "counted")
    faults.disarm()
    calls = faults.calls()
    service.stop()
    return points(calls)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_call(struck, step):
    service, faults = struck
    highest = 1
    for at, (name, nth) in enumerate(calls_of(service, faults, step)):
        faults.prepare("kill", name, nth)
        service.start()
        client = service.client()
        check_whole(service, client)
        now = publish(client, f"fresh {at}")
        assert now > highest, "a number was used twice"
        highest = now
        faults.arm()
        with pytest.raises((BotoCoreError, ClientError)):
            STEPS[step](client, f"{step} {at}")
        wait_end(service)
        faults.disarm()
    faults.prepare("count")
    service.start()
    check_whole(service, service.client())


@pytest.mark.parametrize("error", [ENOSPC, EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_is_full_or_fails_at_each_call(struck, step, error):
    """The caller hears of it or it is done; nothing half-made is seen, also after a restart."""
    service, faults = struck
    for at, (name, nth) in enumerate(calls_of(service, faults, step)):
        if name in ("fdatasync", "fsync"):
            continue  # a failed sync of the registry ends the service's writing: test_fault_points.py
        faults.prepare(str(error), name, nth)
        service.start()
        client = service.client()
        check_whole(service, client)  # what the full disk before left behind
        publish(client, f"fresh {at}")
        faults.arm()
        try:
            STEPS[step](client, f"{step} {at}")
        except ClientError as told:
            assert told.response["ResponseMetadata"]["HTTPStatusCode"] == 500, told
        faults.disarm()
        service.stop()
    service.start()
    check_whole(service, service.client())


@pytest.mark.parametrize("kind", ["breaks", "large"])
def test_a_refusal_that_cannot_be_written_is_not_tried_without_end(struck, kind):
    """Its function would remember a layer version that does not serve; without a disk the next try is seconds later."""
    service, faults = struck
    faults.prepare("count")
    service.start()
    client = service.client()

    def put(name, **files):
        return client.publish_layer_version(LayerName=name, Content={"ZipFile": zip_of(files)})["LayerVersionArn"]
    layers = [put("l", bootstrap=BOOTSTRAP), put("other", a="1")]
    client.create_function(**settings("f", Code={"ZipFile": zip_of({"data": "x"})}, Layers=layers))
    client.get_waiter("function_active_v2").wait(FunctionName="f")
    if kind == "breaks":
        told = "switch.commit function=f"
        put("l", bootstrap="#!/bin/sh\nexit 3\n")
    else:
        told = "layer.follow function=f error"
        put("l", bootstrap=BOOTSTRAP, zeros=b"\0" * (200 << 20))
        put("other", zeros=b"\0" * (100 << 20))
    faults.strike(str(EIO), "fdatasync", 2)  # the tag is written; from then on the registry takes no more
    began = time.monotonic()
    client.tag_resource(Resource=ARN + "f", Tags={"lamina:follow-layers": "true"})
    wait_for(lambda: told in service.log(), "the refusal to fail")
    for _ in range(50):  # the old version serves
        invoke(client, "f")
    assert service.log().count(told) <= 1 + (time.monotonic() - began) // 5
