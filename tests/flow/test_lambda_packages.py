# SPDX-License-Identifier: MIT
"""Packages that travel ahead of the call (Code.LaminaPackage), --aws-limits, and what a restart finds."""
import hashlib
import io
import json
import os
import signal
import zipfile

import pytest

from lamina_service import wait_for
from lambda_function import BOOTSTRAP, ROLE, fresh_name, function, invoke, package, refused, settings, signed

FUNCTIONS = "/2015-03-31/functions"


def put(service, data, digest=None):
    whole = hashlib.sha256(data).hexdigest()
    return signed(service, "PUT", "/lamina/v1/packages/" + (digest or whole), data, {"X-Amz-Content-SHA256": whole})


def request(service, method, path, **members):
    status, headers, body = signed(service, method, path, json.dumps(members).encode())
    return status, headers.get("x-amzn-errortype"), json.loads(body)


def create(service, name, data, **more):
    return request(service, "POST", FUNCTIONS, FunctionName=name, Runtime="provided", Handler="h", Role=ROLE, Timeout=120,
                   MemorySize=1769, Code={"LaminaPackage": hashlib.sha256(data).hexdigest()}, **more)


def settled(client, name):
    """The configuration once nothing is pending or in progress."""
    def look():
        now = client.get_function_configuration(FunctionName=name)
        return now if now["State"] != "Pending" and now.get("LastUpdateStatus") != "InProgress" else None

    return wait_for(look, f"the deployment of {name}")


def test_a_package_becomes_a_function(service):
    name, data, client = fresh_name(), package("ahead"), service.client("lambda")
    status, _, body = put(service, data)
    assert status == 201
    assert json.loads(body) == {"LaminaPackage": hashlib.sha256(data).hexdigest(), "Bytes": len(data)}
    status, _, answer = create(service, name, data)
    assert (status, answer["State"], answer["CodeSize"]) == (201, "Pending", len(data))
    now = settled(client, name)
    assert (now["State"], now["LastUpdateStatus"]) == ("Active", "Successful")
    assert now["CodeSha256"] == answer["CodeSha256"] and now["RevisionId"] != answer["RevisionId"]
    assert invoke(client, name)["marker"] == "ahead"
    client.delete_function(FunctionName=name)


def test_a_package_updates_a_function(service):
    name, data, client = fresh_name(), package("newer"), service.client("lambda")
    with function(client, name):
        assert put(service, data)[0] == 201
        status, _, answer = request(service, "PUT", f"{FUNCTIONS}/{name}/code",
                                    LaminaPackage=hashlib.sha256(data).hexdigest())
        assert (status, answer["LastUpdateStatus"], answer["State"]) == (200, "InProgress", "Active")
        assert settled(client, name)["LastUpdateStatus"] == "Successful"
        assert invoke(client, name)["marker"] == "newer"


def test_publishing_waits_for_the_package(service):
    name, data, client = fresh_name(), package("release"), service.client("lambda")
    assert put(service, data)[0] == 201
    status, _, answer = create(service, name, data, Publish=True)
    assert (status, answer["Version"]) == (201, "1")
    assert invoke(client, name, Qualifier="1")["marker"] == "release"
    client.delete_function(FunctionName=name)


def test_a_package_that_is_no_zip_fails_the_creation(service):
    name, data, client = fresh_name(), b"certainly no zip" * 100, service.client("lambda")
    assert put(service, data)[0] == 201, "bytes are bytes: they are looked at when a function names them"
    assert create(service, name, data)[0] == 201
    now = settled(client, name)
    assert now["State"] == "Failed" and now["StateReasonCode"] == "InvalidZipFileException"
    assert "Could not unzip uploaded file" in now["StateReason"]
    with refused("ResourceConflictException", 409, "currently in the following state: Failed"):
        client.invoke(FunctionName=name)
    with refused("ResourceConflictException", 409):
        client.publish_version(FunctionName=name)
    client.update_function_code(FunctionName=name, ZipFile=package("better"))
    assert settled(client, name)["State"] == "Active", "a good package heals it"
    assert invoke(client, name)["marker"] == "better"
    client.delete_function(FunctionName=name)


def test_a_package_that_is_no_zip_fails_the_update_only(service):
    name, data, client = fresh_name(), b"no zip either" * 100, service.client("lambda")
    with function(client, name):
        before = client.get_function_configuration(FunctionName=name)
        assert put(service, data)[0] == 201
        assert request(service, "PUT", f"{FUNCTIONS}/{name}/code",
                       LaminaPackage=hashlib.sha256(data).hexdigest())[0] == 200
        now = settled(client, name)
        assert (now["State"], now["LastUpdateStatus"]) == ("Active", "Failed")
        assert "Could not unzip uploaded file" in now["LastUpdateStatusReason"]
        assert now["CodeSha256"] == before["CodeSha256"], "the code that serves is the code that is shown"
        assert invoke(client, name)["marker"] == "one"
        client.update_function_configuration(FunctionName=name, Description="again")
        assert settled(client, name)["LastUpdateStatus"] == "Successful"


def test_wrong_names_of_packages(service):
    data = package()
    status, headers, body = put(service, data, "0" * 64)
    assert (status, headers["x-amzn-errortype"]) == (400, "InvalidParameterValueException") and b"SHA-256" in body
    for wrong in ("abc", "G" * 64, hashlib.sha256(data).hexdigest().upper()):
        assert put(service, data, wrong)[0] == 400
    for wrong in ("1" * 64, "x", ""):
        status, code, answer = request(service, "POST", FUNCTIONS, FunctionName=fresh_name(), Runtime="provided",
                                       Handler="h", Role=ROLE, Code={"LaminaPackage": wrong})
        assert (status, code) == (400, "InvalidParameterValueException"), answer
    status, code, _ = request(service, "POST", FUNCTIONS, FunctionName="f", Runtime="provided", Handler="h", Role=ROLE,
                              Code={"LaminaPackage": "1" * 64, "ZipFile": "UEsFBg=="})
    assert (status, code) == (400, "InvalidParameterValueException")


def large_package(size):
    """A working package of a bootstrap and `size` bytes of noise, stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        info = zipfile.ZipInfo("bootstrap", (2020, 1, 1, 0, 0, 0))
        info.external_attr = 0o100755 << 16
        archive.writestr(info, BOOTSTRAP.replace("MARKER", "large"))
        archive.writestr(zipfile.ZipInfo("noise", (2020, 1, 1, 0, 0, 0)), os.urandom(size))
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["off", "warn"])
def test_aws_limits_can_be_lifted(make_service, mode):
    service = make_service("--aws-limits", mode)
    name, data, client = fresh_name(), large_package(53 << 20), service.client("lambda")
    assert put(service, data)[0] == 201
    assert create(service, name, data)[0] == 201
    assert settled(client, name)["CodeSize"] == len(data) > 52428800
    assert invoke(client, name)["marker"] == "large"
    assert ("deploy.beyond_aws" in service.log()) == (mode == "warn")
    assert json.loads(signed(service, "GET", "/lamina/v1/status")[2])["aws_limits"] == mode


def test_aws_limits_hold_for_packages_too(service):
    status, headers, body = put(service, large_package(53 << 20))
    assert (status, headers["x-amzn-errortype"]) == (413, "RequestEntityTooLargeException")
    assert b"Zipped size must be smaller than 52428800 bytes" in body


def test_everything_is_there_after_a_restart(fresh_service):
    service, client = fresh_service, fresh_service.client("lambda")
    client.create_function(**settings("kept", Publish=True, Environment={"Variables": {"GREETING": "hi"}},
                                      Tags={"team": "ml"}))
    client.update_function_code(FunctionName="kept", ZipFile=package("two"))
    client.create_function(**settings("gone"))
    client.delete_function(FunctionName="gone")
    before = client.get_function(FunctionName="kept")
    service.stop()
    service.start()
    client = service.client("lambda")
    after = client.get_function(FunctionName="kept")
    assert after["Configuration"] == before["Configuration"] and after["Tags"] == {"team": "ml"}
    assert [f["FunctionName"] for f in client.list_functions()["Functions"]] == ["kept"]
    assert invoke(client, "kept")["marker"] == "two"
    assert invoke(client, "kept", Qualifier="1")["greeting"] == "hi"


def test_what_was_answered_survives_kill_9(fresh_service):
    service = fresh_service
    names = []
    for number in range(3):
        client = service.client("lambda")
        names.append(f"f{number}")
        client.create_function(**settings(names[-1], Publish=True))
        client.update_function_configuration(FunctionName=names[0], Description=f"round {number}")
        os.kill(service.pid("laminad"), signal.SIGKILL)
        service.stop()
        service.start()
        client = service.client("lambda")
        assert [f["FunctionName"] for f in client.list_functions()["Functions"]] == names
        assert client.get_function_configuration(FunctionName=names[0])["Description"] == f"round {number}"
        assert invoke(client, names[-1], Qualifier="1")["version"] == "1"


def test_a_deployment_behind_the_answer_survives_kill_9(fresh_service):
    """Killed at whatever moment between the answer and the end of the deployment, it is Active after a restart."""
    service, data = fresh_service, large_package(24 << 20)
    for number in range(3):
        name = f"f{number}"
        assert put(service, data)[0] == 201
        assert create(service, name, data)[0] == 201
        os.kill(service.pid("laminad"), signal.SIGKILL)
        service.stop()
        service.start()
        client = service.client("lambda")
        assert settled(client, name)["State"] == "Active"
        assert invoke(client, name)["marker"] == "large"


def test_a_creation_that_was_never_answered_leaves_no_half(fresh_service):
    """laminad is killed while the body arrives: nothing of it is found, and the name is free."""
    import http.client
    import urllib.parse

    service = fresh_service
    place = urllib.parse.urlsplit(service.endpoint)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
    keys = service.credentials
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    body = b'{"FunctionName":"half","Code":{"ZipFile":"' + b"A" * (12 << 20) + b'"}}'
    signed_request = AWSRequest(method="POST", url=service.endpoint + FUNCTIONS, data=body)
    SigV4Auth(Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"]), "lambda",
              "us-east-1").add_auth(signed_request)
    connection.putrequest("POST", FUNCTIONS)
    for key, value in signed_request.headers.items():
        connection.putheader(key, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:8 << 20])
    wait_for(lambda: any((service.data_dir / "tmp").iterdir()), "a file that is being written")
    os.kill(service.pid("laminad"), signal.SIGKILL)
    service.stop()
    connection.close()
    service.start()
    client = service.client("lambda")
    assert client.list_functions()["Functions"] == []
    assert not any((service.data_dir / "tmp").iterdir())
    client.create_function(**settings("half"))
    assert invoke(client, "half")["marker"] == "one"
