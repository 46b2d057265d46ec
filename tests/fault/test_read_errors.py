# SPDX-License-Identifier: MIT
"""A disk that cannot be read (EIO), or not be written where nobody waits for it: what is asked says so, nothing is taken for
absent that is only unreadable, and with a disk that reads again all is there."""

import os

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from faults import Faults
from lamina_service import wait_for
from store_reader import check

from lambda_function import invoke, settings, signed

EIO = 5


@pytest.fixture
def struck(make_service):
    service = make_service(start=False)
    faults = Faults(service)
    faults.prepare("count")
    return service, faults


def fill(service):
    client, s3 = service.client(), service.client("s3")
    client.create_function(**settings("f"))
    client.get_waiter("function_active_v2").wait(FunctionName="f")
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="m", Body=bytes(range(256)) * 4096)
    client.invoke(FunctionName="f", InvocationType="Event")
    assert invoke(client, "f")["marker"] == "one"
    return client, s3


def check_filled(service):
    client, s3 = service.client(), service.client("s3")
    assert invoke(client, "f")["marker"] == "one"
    assert s3.get_object(Bucket="models", Key="m")["Body"].read() == bytes(range(256)) * 4096
    check(service.data_dir)


def test_a_start_that_cannot_read_its_data_is_refused_and_changes_nothing(struck):
    service, faults = struck
    service.start()
    fill(service)
    service.stop()
    refused = 0
    for nth in (1, 2, 3, 5, 8, 13):
        faults.strike(EIO, "pread64", nth)
        try:
            service.start()
        except AssertionError as told:
            assert "before it was ready" in str(told)
            refused += 1
            faults.disarm()
        else:  # what was struck is not needed, or was read again
            faults.disarm()
            check_filled(service)
        service.stop()
    assert refused > 0, "nothing was struck"
    service.start()
    check_filled(service)


def test_an_object_that_cannot_be_read(struck):
    service, faults = struck
    service.start()
    client, s3 = fill(service)
    failed = 0
    for call in ("pread64", "read", "pread"):
        for nth in (1, 2, 3):
            faults.strike(EIO, call, nth)
            try:
                assert s3.get_object(Bucket="models", Key="m")["Body"].read() == bytes(range(256)) * 4096
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 500, error
                failed += 1
            except BotoCoreError:  # the head was sent: the body ends before its end
                failed += 1
            faults.disarm()
            assert s3.get_object(Bucket="models", Key="m")["Body"].read() == bytes(range(256)) * 4096
    assert failed > 0, "nothing was struck"
    assert invoke(client, "f")["marker"] == "one"


def test_a_package_that_cannot_be_read_deploys_nothing_half(struck):
    """The spooled request, and the contents that are compared with what is there already."""
    service, faults = struck
    service.start()
    client, _ = fill(service)
    for call in ("pread64", "read", "pread"):
        for nth in (1, 2, 3, 4):
            faults.strike(EIO, call, nth)
            try:
                client.create_function(**settings("again"))
                client.get_waiter("function_active_v2").wait(FunctionName="again")
                faults.disarm()
                assert invoke(client, "again")["marker"] == "one"
                client.delete_function(FunctionName="again")
            except ClientError as error:
                faults.disarm()
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 500, error
                assert [each["FunctionName"] for each in client.list_functions()["Functions"]] == ["f"]
            assert os.listdir(service.data_dir / "tmp") == []
    check_filled(service)


def test_logs_that_cannot_be_read(struck):
    service, faults = struck
    service.start()
    client, _ = fill(service)
    where = "/lamina/v1/functions/f/logs?limit=100"
    wait_for(lambda: b"REPORT" in signed(service, "GET", where)[2], "the log")
    told = []
    for call in ("pread64", "read", "pread"):
        faults.strike(EIO, call, 1)
        status, _, body = signed(service, "GET", where)
        faults.disarm()
        assert status == 500 or b"REPORT" in body
        told.append(status)
    assert 500 in told, "nothing was struck"
    assert b"REPORT" in signed(service, "GET", where)[2]


@pytest.mark.parametrize("error", [str(EIO), "fail"], ids=["EIO once", "ENOSPC for a while"])
def test_logs_that_cannot_be_written_harm_no_call(struck, error):
    """The lines are lost, and counted."""
    service, faults = struck
    service.start()
    client, _ = fill(service)
    faults.strike(error, "write", 1)
    for _ in range(20):
        assert invoke(client, "f")["marker"] == "one"
    wait_for(lambda: faults.calls(), "a line to be written")
    faults.disarm()
    assert invoke(client, "f")["marker"] == "one"
    last = client.invoke(FunctionName="f")["ResponseMetadata"]["RequestId"].encode()
    where = "/lamina/v1/functions/f/logs?limit=1000"
    wait_for(lambda: last in signed(service, "GET", where)[2], "lines to be written again")
