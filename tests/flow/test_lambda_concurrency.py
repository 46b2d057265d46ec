# SPDX-License-Identifier: MIT
"""Reserved and provisioned concurrency."""
import json
import socket
import struct

import pytest

from lamina_service import wait_for
from lambda_function import ARN, fresh_name, function, invoke, loose_client, package, refused, send_signed, settings, signed, zip_of

# Says that a call has come, and never answers it.
SLOW = r"""#!/bin/bash
LC_ALL=C
host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API##*:}
path=/2018-06-01/runtime/invocation
while exec 3<>"/dev/tcp/$host/$port"; do
    printf 'GET %s/next HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$path" "$host" >&3
    id=''
    while IFS= read -r line <&3; do
        line=${line%$'\r'}
        [ -n "$line" ] || break
        case ${line,,} in lambda-runtime-aws-request-id:*) id=${line#*: } ;; esac
    done
    exec 3<&- 3>&-
    echo "here $id"
    sleep 100000 & wait $!
done
"""


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


def strip(answer):
    answer.pop("ResponseMetadata")
    return answer


def test_reserved_concurrency_is_kept(client):
    name = fresh_name("reserved")
    with function(client, name):
        assert strip(client.get_function_concurrency(FunctionName=name)) == {}
        assert strip(client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=7)) == {
            "ReservedConcurrentExecutions": 7}
        assert strip(client.get_function_concurrency(FunctionName=name)) == {"ReservedConcurrentExecutions": 7}
        assert client.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 7}
        assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 993
        assert invoke(client, name)["marker"] == "one"
        assert client.delete_function_concurrency(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
        client.delete_function_concurrency(FunctionName=name)
        assert "Concurrency" not in client.get_function(FunctionName=name)
    assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000


def test_reserved_zero_switches_a_function_off(client):
    name = fresh_name("off")
    with function(client, name):
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        with refused("TooManyRequestsException", 429, "Rate Exceeded.") as error:
            client.invoke(FunctionName=name)
        assert error.headers["retry-after"]
        client.delete_function_concurrency(FunctionName=name)
        assert invoke(client, name)["marker"] == "one"


def test_reserved_numbers_that_cannot_be(service, client):
    name, loose = fresh_name("wrong"), loose_client(service)
    with function(client, name):
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=900)
        with refused("InvalidParameterValueException", 400, "Specified ReservedConcurrentExecutions for function decreases "
                     "account's UnreservedConcurrentExecution below its minimum value of [100]."):
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=901)
        for wrong in ({"ReservedConcurrentExecutions": -1}, {}):
            with refused("ValidationException", 400, "at 'reservedConcurrentExecutions'"):
                loose.put_function_concurrency(FunctionName=name, **wrong)
    with refused("ResourceNotFoundException", 404):
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)


def test_a_reservation_is_a_limit_and_others_go_on(service, client):
    """One call of a function that never answers holds its only place; the next is told so, other functions run."""
    name, other = fresh_name("one"), fresh_name("other")
    with function(client, name, Code={"ZipFile": zip_of({"bootstrap": SLOW})}, Timeout=900), function(client, other):
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)

        waiting = send_signed(service, "POST", f"/2015-03-31/functions/{name}/invocations", b"1")

        def log():
            _, _, body = signed(service, "GET", f"/lamina/v1/functions/{name}/logs")
            return [event for event in json.loads(body)["events"] if event["text"].startswith("here ")]

        wait_for(log, "the first call to be in the function")
        status, headers, body = signed(service, "POST", f"/2015-03-31/functions/{name}/invocations", b"1")
        assert (status, headers["x-amzn-errortype"]) == (429, "TooManyRequestsException")
        assert json.loads(body)["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert invoke(client, other)["marker"] == "one"
        # A reset, not an orderly end: who only stops sending may still be waiting for its answer.
        waiting.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        waiting.close()


def ready(client, name, qualifier):
    def look():
        now = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
        return now if now["Status"] != "IN_PROGRESS" else None

    return wait_for(look, "provisioned instances")


def instances(service, name):
    _, _, body = signed(service, "GET", "/lamina/v1/instances")
    return [line["version"] for line in json.loads(body)["instances"] if line["function"] == name]


def test_provisioned_concurrency_starts_ahead(service, client):
    name = fresh_name("ahead")
    with function(client, name, Publish=True):
        put = client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=2)
        assert put["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert (put["RequestedProvisionedConcurrentExecutions"], put["AvailableProvisionedConcurrentExecutions"],
                put["AllocatedProvisionedConcurrentExecutions"], put["Status"]) == (2, 0, 0, "IN_PROGRESS")
        now = ready(client, name, "1")
        assert (now["Status"], now["AvailableProvisionedConcurrentExecutions"]) == ("READY", 2)
        assert instances(service, name) == ["1", "1"], "nobody has called yet"
        assert invoke(client, name, Qualifier="1")["version"] == "1"
        assert invoke(client, name)["version"] == "$LATEST"
        listed = client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"]
        assert [config["FunctionArn"] for config in listed] == [f"{ARN}{name}:1"]
        client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
        with refused("ProvisionedConcurrencyConfigNotFoundException", 404, "No Provisioned Concurrency Config found"):
            client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
        client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")


def test_provisioned_concurrency_follows_an_alias(service, client):
    name = fresh_name("follows")
    with function(client, name, Publish=True):
        client.update_function_code(FunctionName=name, ZipFile=package("two"), Publish=True)
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=1)
        assert ready(client, name, "live")["Status"] == "READY"
        assert instances(service, name) == ["1"]
        with refused("ResourceConflictException", 409, "Version is pointed by a Provisioned Concurrency alias"):
            client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
        client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
        wait_for(lambda: "2" in instances(service, name), "an instance of the alias' new version")
        assert ready(client, name, "live")["Status"] == "READY"
        client.delete_alias(FunctionName=name, Name="live")
        assert client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []


def test_provisioned_numbers_that_cannot_be(service, client):
    name, loose = fresh_name("wrong"), loose_client(service)
    with function(client, name, Publish=True):
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
        with refused("InvalidParameterValueException", 400, "Requested Provisioned Concurrency should not be greater than"):
            client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=3)
        client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=2)
        with refused("InvalidParameterValueException", 400, "should not be lower than function's total provisioned"):
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
        with refused("InvalidParameterValueException", 400, "cannot be applied to unpublished function versions."):
            client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="$LATEST",
                                                      ProvisionedConcurrentExecutions=1)
        with refused("ResourceNotFoundException", 404):
            client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="9", ProvisionedConcurrentExecutions=1)
        with refused("ValidationException", 400, "at 'provisionedConcurrentExecutions'"):
            loose.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=0)


def test_a_function_whose_init_fails_is_not_provisioned(client):
    name = fresh_name("fails")
    with function(client, name, Code={"ZipFile": zip_of({"bootstrap": "#!/bin/sh\nexit 1\n"})}, Publish=True):
        client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
        now = ready(client, name, "1")
        assert (now["Status"], now["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")


def test_concurrency_survives_a_restart(fresh_service):
    service, client = fresh_service, fresh_service.client("lambda")
    client.create_function(**settings("f", Publish=True))
    client.put_provisioned_concurrency_config(FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1)
    client.create_function(**settings("off"))
    client.put_function_concurrency(FunctionName="off", ReservedConcurrentExecutions=0)
    service.stop()
    service.start()
    client = service.client("lambda")
    assert ready(client, "f", "1")["Status"] == "READY"
    assert instances(service, "f") == ["1"]
    with refused("TooManyRequestsException", 429):
        client.invoke(FunctionName="off")
