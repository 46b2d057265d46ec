# SPDX-License-Identifier: MIT
"""Packages through the API with boto3, hostile and good: AWS's error, or a function; and nothing left behind."""

import base64
import hashlib
import os
import pathlib
import sys

import pytest
from botocore.exceptions import ClientError

from lambda_function import fresh_name, settings
from store_reader import check

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "hostile"))
import hostile_zips  # noqa: E402

BAD_ZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."
EMPTY = "Uploaded file must be a non-empty zip"


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


def create(client, code, **more):
    name = fresh_name()
    return name, client.create_function(**dict(settings(name), Code={"ZipFile": code}, **more))


def refusal(client, code):
    with pytest.raises(ClientError) as caught:
        create(client, code)
    error = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


@pytest.mark.parametrize("case", hostile_zips.CASES, ids=lambda case: case.name)
def test_each_archive_has_its_outcome(client, service, case):
    code = case.make()
    if case.outcome == "OK":
        name, answer = create(client, code)
        assert answer["CodeSize"] == len(code)
        assert answer["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        client.delete_function(FunctionName=name)
        return
    status, kind, message = refusal(client, code)
    assert (status, kind) == (400, "InvalidParameterValueException")
    assert message == EMPTY if not code or case.outcome == "EMPTY" else message.startswith(BAD_ZIP)
    assert os.listdir(service.data_dir / "tmp") == []


def test_a_bomb_is_refused_with_awss_message_before_it_is_unpacked(client, service):
    code = hostile_zips.make("bomb-over-limit")
    assert len(code) < 300_000
    status, kind, message = refusal(client, code)
    assert (status, kind) == (400, "InvalidParameterValueException")
    assert message == "Unzipped size must be smaller than 262144000 bytes"
    assert os.listdir(service.data_dir / "tmp") == []


def test_an_update_with_a_bad_package_leaves_the_old_code(client):
    name, answer = create(client, hostile_zips.GOOD)
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    with pytest.raises(ClientError) as caught:
        client.update_function_code(FunctionName=name, ZipFile=hostile_zips.make("traversal"))
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    assert "'../../etc/passwd': the name leads out of the package" in caught.value.response["Error"]["Message"]
    now = client.get_function_configuration(FunctionName=name)
    assert (now["CodeSha256"], now["State"]) == (answer["CodeSha256"], "Active")


def test_what_was_stored_is_what_its_names_say(service):
    """After all that: an independent reading of the data directory."""
    check(service.data_dir)


def test_the_largest_package_that_aws_takes(client, service):
    """262,143,999 bytes unzipped in a few hundred kilobytes: accepted, and gone again with the function."""
    code = hostile_zips.make("bomb-at-limit")
    name, answer = create(client, code)
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    client.delete_function(FunctionName=name)


def test_a_hundred_thousand_entries(client, service):
    """Of one content: one object, more links than an inode may have. One entry more is refused."""
    name, answer = create(client, hostile_zips.make("entries-100000"))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    client.delete_function(FunctionName=name)
    status, kind, message = refusal(client, hostile_zips.make("entries-100001"))
    assert (status, kind) == (400, "InvalidParameterValueException")
    assert message.startswith(BAD_ZIP) and "too many entries" in message
