# SPDX-License-Identifier: MIT
"""Invoke as a caller sees it: what goes in, what comes out, and what stands in the log."""
import base64
import json
import re

import pytest

from lambda_function import ARN, log_text, refused, signed
from lamina_service import wait_for
from probe import ask, call, failure, probe

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
LIMIT = 6291456


@pytest.fixture(scope="module")
def client(service):
    return service.client()


@pytest.fixture(scope="module")
def name(client):
    with probe(client, "answers") as made:
        yield made


def test_the_answer_is_what_the_function_posted(client, name):
    answer, body = call(client, name, {"a": [1, "two", None]})
    assert json.loads(body) == {"a": [1, "two", None]}
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer and "LogResult" not in answer
    assert re.fullmatch(UUID, answer["ResponseMetadata"]["RequestId"])


def test_the_request_id_is_the_function_s(client, name):
    answer, body = call(client, name, {"do": "head"})
    head = json.loads(body)
    assert head["lambda-runtime-aws-request-id"] == answer["ResponseMetadata"]["RequestId"]
    assert int(head["lambda-runtime-deadline-ms"]) > 1_700_000_000_000
    assert head["content-type"] == "application/json"


@pytest.mark.parametrize("body", ['{"not": json', "", "null", "plain text", "\xff\x00\x01 binary"])
def test_bytes_are_passed_on_untouched(client, name, body):
    answer, got = call(client, name, {"do": "raw", "body": body})
    assert "FunctionError" not in answer
    assert got == body.encode("latin-1")


def test_the_largest_event_is_accepted_and_one_byte_more_is_not(client, name):
    event = b'"' + b"e" * (LIMIT - 2) + b'"'
    answer = client.invoke(FunctionName=name, Payload=event)
    assert len(answer["Payload"].read()) == LIMIT
    with refused("RequestTooLargeException", 413, str(LIMIT)):
        client.invoke(FunctionName=name, Payload=event + b" ")
    assert ask(client, name, "cpus") > 0  # the service goes on


def test_the_largest_response_is_accepted_and_one_byte_more_is_not(client, name):
    answer, body = call(client, name, {"do": "size", "n": LIMIT + 100})
    assert "FunctionError" not in answer and len(body) == LIMIT + 100
    kind, message, log = failure(client, name, {"do": "size", "n": LIMIT + 101, "then": {"errorMessage": "so be it"}})
    assert kind == "Function.ResponseSizeTooLarge"
    assert message == (f"Response payload size ({LIMIT + 101} bytes) exceeded maximum allowed payload size "
                       f"({LIMIT + 100} bytes).")
    assert ask(client, name, "cpus") > 0


def test_invalid_json_is_refused_before_any_instance_sees_it(client, name):
    with refused("InvalidRequestContentException", 400, "Could not parse request body into json"):
        client.invoke(FunctionName=name, Payload=b'{"a":')


def test_no_event_at_all_becomes_an_empty_object(client, name):
    answer = client.invoke(FunctionName=name)
    assert json.loads(answer["Payload"].read()) == {}


def test_a_dry_run_answers_204_and_runs_nothing(client):
    with probe(client, "dry", Environment={"Variables": {"INIT": "exit1"}}) as made:
        answer = client.invoke(FunctionName=made, InvocationType="DryRun", Payload=b"{}")
        assert answer["StatusCode"] == 204
        assert answer["Payload"].read() == b""


def test_the_client_context_reaches_the_function_decoded(client, name):
    context = {"client": {"app_title": "t"}, "custom": {"k": "v"}}
    encoded = base64.b64encode(json.dumps(context).encode()).decode()
    _, body = call(client, name, {"do": "head"}, ClientContext=encoded)
    assert json.loads(json.loads(body)["lambda-runtime-client-context"]) == context


def test_the_arn_says_how_the_function_was_called(client, name):
    def arn(**parameters):
        return json.loads(call(client, parameters.pop("FunctionName", name), {"do": "head"}, **parameters)[1])[
            "lambda-runtime-invoked-function-arn"]

    assert arn() == ARN + name
    assert arn(Qualifier="$LATEST") == ARN + name + ":$LATEST"
    assert arn(FunctionName=ARN + name) == ARN + name
    version = client.publish_version(FunctionName=name)["Version"]
    client.get_waiter("published_version_active").wait(FunctionName=name, Qualifier=version)
    assert arn(Qualifier=version) == f"{ARN}{name}:{version}"
    assert arn(FunctionName=f"{name}:{version}") == f"{ARN}{name}:{version}"
    answer, body = call(client, name, {"do": "env"}, Qualifier=version)
    assert answer["ExecutedVersion"] == version
    assert json.loads(body)["AWS_LAMBDA_FUNCTION_VERSION"] == version


def test_a_trace_id_is_passed_on_or_made(service, client, name):
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    path = f"/2015-03-31/functions/{name}/invocations"
    status, headers, body = signed(service, "POST", path, b'{"do":"head"}', {"X-Amzn-Trace-Id": trace})
    assert status == 200
    assert json.loads(body)["lambda-runtime-trace-id"] == trace
    made = ask(client, name, "head")["lambda-runtime-trace-id"]
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", made)


def test_headers_that_have_no_value_are_not_sent(client, name):
    head = ask(client, name, "head")
    assert "lambda-runtime-client-context" not in head
    assert "lambda-runtime-cognito-identity" not in head


def test_the_log_tail_has_lambda_s_lines(client):
    with probe(client, "tail") as made:
        answer, _ = call(client, made, {"do": "print", "text": "from inside\nhalf"}, LogType="Tail")
        id = answer["ResponseMetadata"]["RequestId"]
        log = log_text(answer)
        number = r"[0-9]+\.[0-9]{2}"
        assert re.search(rf"^START RequestId: {id} Version: \$LATEST\nfrom inside\nhalf\nEND RequestId: {id}\n"
                         rf"REPORT RequestId: {id}\tDuration: {number} ms\tBilled Duration: [0-9]+ ms\t"
                         rf"Memory Size: 1769 MB\tMax Memory Used: [1-9][0-9]* MB\tInit Duration: {number} ms\t\n$",
                         log, re.M), log

        def warm():
            answer, _ = call(client, made, {}, LogType="Tail")
            return "Init Duration" not in log_text(answer) and answer

        answer = wait_for(warm, "a call that pays for no start")
        log = log_text(answer)
        assert log.startswith(f"START RequestId: {answer['ResponseMetadata']['RequestId']} ")
        assert "INIT_START" not in log and "from inside" not in log


def test_the_log_tail_is_the_last_four_kilobytes(client, name):
    text = "".join(f"line {n:6}\n" for n in range(2000))
    answer, _ = call(client, name, {"do": "print", "text": text}, LogType="Tail")
    log = base64.b64decode(answer["LogResult"])
    assert len(log) == 4096
    assert b"line   1999\nEND RequestId" in log and b"line      0" not in log


def test_an_error_of_the_function_is_the_payload_unchanged(client, name):
    error = {"errorMessage": "it is late", "errorType": "MyError", "stackTrace": ["a", "b"], "more": 1}
    answer, body = call(client, name, {"do": "error", "body": error})
    assert answer["StatusCode"] == 200 and answer["FunctionError"] == "Unhandled"
    assert json.loads(body) == error
    assert "cpus" not in json.loads(body) and ask(client, name, "cpus") > 0


def test_the_runtime_api_refuses_what_it_must(client, name):
    status, error = ask(client, name, "wrong-id")
    assert (status, error["errorType"]) == (400, "InvalidRequestID")
    answer, body = call(client, name, {"do": "twice"}, LogType="Tail")
    assert body == b"1"
    assert ask(client, name, "garbage", bytes="\x16\x03\x01\x02\x00 hello\r\n\r\n").startswith("HTTP/1.1 400")


def test_aws_cli_2_invokes(service, client, name, tmp_path):
    out = tmp_path / "out"
    done = service.aws("lambda", "invoke", "--function-name", name, "--payload", '{"x":1}', "--cli-binary-format",
                       "raw-in-base64-out", "--log-type", "Tail", out)
    assert json.loads(out.read_text()) == {"x": 1}
    shown = json.loads(done.stdout)
    assert shown["StatusCode"] == 200 and shown["ExecutedVersion"] == "$LATEST"
    assert b"REPORT RequestId" in base64.b64decode(shown["LogResult"])
