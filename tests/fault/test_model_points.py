# SPDX-License-Identifier: MIT
"""kill -9, and a disk that is full or fails, at each durable step of a function whose model is in a bucket (MODEL_URI): the
model's fetching, its tree, its link into the function's models, the function itself."""

import os

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from faults import Faults, points, wait_end
from store_reader import check

from lambda_function import invoke, settings

ENOSPC, EIO = 28, 5


@pytest.fixture
def struck(make_service):
    service = make_service(start=False)
    return service, Faults(service)


def put(service, n):
    service.client("s3").put_object(Bucket="models", Key=n, Body=(n * 100).encode())


def create(client, n):
    """Each time another model, so that no step finds its work done."""
    client.create_function(**settings("f", Environment={"Variables": {"MODEL_URI": f"s3://models/{n}"}}))
    client.get_waiter("function_active_v2").wait(FunctionName="f")


def check_whole(service):
    """No staged file, every name tells the truth, and the function is there whole or not at all."""
    client = service.client()
    assert os.listdir(service.data_dir / "tmp") == []
    check(service.data_dir)
    if client.list_functions()["Functions"]:
        client.get_waiter("function_active_v2").wait(FunctionName="f")
        assert invoke(client, "f")["marker"] == "one"
        client.delete_function(FunctionName="f")


def learn(service, faults):
    faults.prepare("count")
    service.start()
    service.client("s3").create_bucket(Bucket="models")
    service.client().create_function(**settings("before"))  # its package is in the store from now on
    service.client().get_waiter("function_active_v2").wait(FunctionName="before")
    service.client().delete_function(FunctionName="before")
    put(service, "counted")
    faults.arm()
    create(service.client(), "counted")
    faults.disarm()
    service.client().delete_function(FunctionName="f")
    service.stop()
    found = points(faults.calls(), varying=("write", "pwrite64"))
    assert {"linkat", "fdatasync"} <= {name for name, _ in found}, found
    return found


def test_killed_at_each_call(struck):
    service, faults = struck
    for name, nth in learn(service, faults):
        faults.prepare("kill", name, nth)
        service.start()
        check_whole(service)
        put(service, f"{name}-{nth}")
        faults.arm()
        with pytest.raises((BotoCoreError, ClientError)):
            create(service.client(), f"{name}-{nth}")
            invoke(service.client(), "f")  # the last steps can come behind Active
            service.client().list_functions()
        faults.disarm()
        wait_end(service)
    faults.prepare("count")
    service.start()
    check_whole(service)
    put(service, "again")
    create(service.client(), "again")
    check_whole(service)


@pytest.mark.parametrize("error", [ENOSPC, EIO], ids=["ENOSPC", "EIO"])
def test_a_disk_that_is_full_or_fails_at_each_call(struck, error):
    service, faults = struck
    for name, nth in learn(service, faults):
        faults.prepare(str(error), name, nth)
        service.start()
        check_whole(service)
        put(service, f"{name}-{nth}")
        faults.arm()
        try:
            create(service.client(), f"{name}-{nth}")
        except ClientError as told:
            assert told.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 500), told
        except Exception as told:  # the waiter's: the function is there, and Failed says why
            assert "Failed" in str(told), told
            service.client().delete_function(FunctionName="f")
        faults.disarm()
        service.stop()
    faults.prepare("count")
    service.start()
    check_whole(service)
    put(service, "again")
    create(service.client(), "again")
    check_whole(service)
