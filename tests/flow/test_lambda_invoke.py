# SPDX-License-Identifier: MIT
"""Invoke as the API sees it: types, payloads and their limits, headers, names. What happens inside is test_invoke_*'s."""
import base64
import json
import re

import pytest

from lambda_function import ARN, fresh_name, function, invoke, log_text, loose_client, package, refused, signed

PAYLOAD_MAX = 6291456


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


@pytest.fixture(scope="module")
def echo(client):
    """One published function that the tests of this file call."""
    name = fresh_name("echo")
    with function(client, name, Publish=True):
        yield name


@pytest.mark.parametrize("payload", [b"{}", b"[]", b'"text"', b"0", b"-1.5e3", b"true", b"null", b' { "a" : [ 1 ] } ',
                                     '{"ü":"\\u00fc ☃"}'.encode()])
def test_any_json_is_a_payload(client, echo, payload):
    assert invoke(client, echo, payload)["event"] == json.loads(payload)


def test_no_payload_is_an_empty_object(client, echo):
    answer = client.invoke(FunctionName=echo)
    assert json.loads(answer["Payload"].read())["event"] == {}


@pytest.mark.parametrize("payload", [b"{", b"nonsense", b"{'a':1}", b'{"a":1,}', b"\xff", b"{}{}", b"NaN", b'"\x01"', b" "])
def test_what_is_no_json_is_refused(client, echo, payload):
    with refused("InvalidRequestContentException", 400, "Could not parse request body into json: "):
        client.invoke(FunctionName=echo, Payload=payload)


def test_payload_of_the_largest_size_and_one_byte_more(client, echo):
    assert invoke(client, echo, b'"' + b"x" * (PAYLOAD_MAX - 2) + b'"')["event"] == PAYLOAD_MAX
    with refused("RequestTooLargeException", 413, f"{PAYLOAD_MAX + 1} byte payload is too large for the RequestResponse "
                 f"invocation type (limit {PAYLOAD_MAX} bytes)"):
        client.invoke(FunctionName=echo, Payload=b'"' + b"x" * (PAYLOAD_MAX - 1) + b'"')
    with refused("InvalidRequestContentException", 400, f"at byte {PAYLOAD_MAX}"):
        client.invoke(FunctionName=echo, Payload=b'"' + b"x" * (PAYLOAD_MAX - 1))


def test_a_payload_that_no_one_would_take_is_told_so(client, echo):
    with refused("RequestTooLargeException", 413):
        client.invoke(FunctionName=echo, Payload=b'"' + b"x" * (4 * PAYLOAD_MAX) + b'"')


def test_dry_run_runs_nothing(service, client, echo):
    answer = client.invoke(FunctionName=echo, InvocationType="DryRun", Payload=b'"exit"')
    assert answer["StatusCode"] == 204 and answer["Payload"].read() == b""
    with refused("ResourceNotFoundException", 404, f"{ARN}nobody"):
        client.invoke(FunctionName="nobody", InvocationType="DryRun")
    quiet = fresh_name()
    with function(client, quiet):
        client.invoke(FunctionName=quiet, InvocationType="DryRun")
        _, _, body = signed(service, "GET", "/lamina/v1/instances")
        assert quiet not in [line["function"] for line in json.loads(body)["instances"]]


def test_types_that_are_not_there_are_refused(service, echo):
    client = loose_client(service)
    with refused("ValidationException", 400, "at 'invocationType'", "[Event, RequestResponse, DryRun]"):
        client.invoke(FunctionName=echo, InvocationType="Later")
    with refused("ValidationException", 400, "at 'logType'", "[None, Tail]"):
        client.invoke(FunctionName=echo, LogType="Head")


def test_tail_answers_with_the_log(client, echo):
    answer = client.invoke(FunctionName=echo, LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    text = log_text(answer)
    assert f"START RequestId: {request_id} Version: $LATEST\n" in text
    assert "marker one\n" in text and f"END RequestId: {request_id}\n" in text
    assert re.search(rf"REPORT RequestId: {request_id}\tDuration: [0-9.]+ ms\tBilled Duration: \d+ ms\t"
                     r"Memory Size: 1769 MB\tMax Memory Used: \d+ MB\t", text)
    assert "LogResult" not in client.invoke(FunctionName=echo, LogType="None")


def test_a_function_error_is_a_200_that_says_so(client, echo):
    answer = client.invoke(FunctionName=echo, Payload=b'"exit"')
    assert (answer["StatusCode"], answer["FunctionError"], answer["ExecutedVersion"]) == (200, "Unhandled", "$LATEST")
    error = json.loads(answer["Payload"].read())
    assert error["errorType"] == "Runtime.ExitError" and "exit status 3" in error["errorMessage"]
    assert invoke(client, echo)["marker"] == "one", "the next call works"


def test_every_way_to_name_the_version(client, echo):
    def seen(**names):
        answer = client.invoke(Payload=b"1", **names)
        return answer["ExecutedVersion"], json.loads(answer["Payload"].read())["arn"]

    arn = ARN + echo
    assert seen(FunctionName=echo) == ("$LATEST", arn)
    assert seen(FunctionName=arn) == ("$LATEST", arn)
    assert seen(FunctionName=echo, Qualifier="$LATEST") == ("$LATEST", arn + ":$LATEST")
    assert seen(FunctionName=echo, Qualifier="1") == ("1", arn + ":1")
    assert seen(FunctionName=echo + ":1") == ("1", arn + ":1")
    assert seen(FunctionName=arn + ":1") == ("1", arn + ":1")
    assert seen(FunctionName=f"000000000000:function:{echo}:1", Qualifier="1") == ("1", arn + ":1")
    with refused("InvalidParameterValueException", 400, "The derived qualifier"):
        client.invoke(FunctionName=echo + ":1", Qualifier="2")
    for qualifier in ("2", "01", "alias"):
        with refused("ResourceNotFoundException", 404, f"Function not found: {arn}:{qualifier}"):
            client.invoke(FunctionName=echo, Qualifier=qualifier)


def test_client_context_reaches_the_function(client, echo):
    context = base64.b64encode(json.dumps({"custom": {"who": "me"}}, indent=1).encode()).decode()
    assert invoke(client, echo, b"1", ClientContext=context)["context"] == {"custom": {"who": "me"}}
    for wrong in ("%%%", base64.b64encode(b"no json").decode(), "A" * 3584):
        with refused("InvalidRequestContentException", 400, "Client context"):
            client.invoke(FunctionName=echo, ClientContext=wrong)
    longest = json.dumps({"k": "v" * (2685 - len('{"k": ""}'))}).encode()
    encoded = base64.b64encode(longest).decode()
    assert len(encoded) == 3580
    assert invoke(client, echo, b"1", ClientContext=encoded)["context"]["k"].startswith("vvv")


def test_trace_id_goes_through(service, echo):
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    status, headers, body = signed(service, "POST", f"/2015-03-31/functions/{echo}/invocations", b"1",
                                   {"X-Amzn-Trace-Id": trace})
    assert status == 200 and headers["x-amz-executed-version"] == "$LATEST"
    assert json.loads(body)["trace"].startswith("Root=1-5759e988-bd862e3fe1be46a994272793")
    assert headers["x-amzn-trace-id"].startswith("Root=1-5759e988-bd862e3fe1be46a994272793")


def test_an_update_is_seen_by_the_next_call(client):
    name = fresh_name()
    with function(client, name):
        for marker in ("two", "three", "four"):
            client.update_function_code(FunctionName=name, ZipFile=package(marker))
            assert invoke(client, name)["marker"] == marker
