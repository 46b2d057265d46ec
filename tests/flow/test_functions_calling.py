# SPDX-License-Identifier: MIT
"""Functions that call functions: in every way there is, and without end."""
import json
from pathlib import Path

import pytest

pytest.importorskip("boto3")
from calling_function import RUNTIME, SIGNING, caller  # noqa: E402
from lambda_function import ARN, fresh_name, function, invoke, zip_of  # noqa: E402
from lamina_service import wait_for  # noqa: E402

CHAIN = SIGNING + r'''
def handler(event, context):
    print("link", event["depth"])
    status, error, body = call_next(os.environ["NEXT_FUNCTION_NAME"], event["kind"],
                                    json.dumps(dict(event, depth=event["depth"] + 1)).encode())
    if status == 202:
        return "accepted"
    return json.loads(body) if status == 200 else {"depth": event["depth"], "status": status, "error": error}
'''


def chain(service, name, following, **settings):
    return function(service.client("lambda"), name, Runtime=RUNTIME, Handler="app.handler", Timeout=300, MemorySize=128,
                    Code={"ZipFile": zip_of({"app.py": CHAIN})},
                    Environment={"Variables": {"NEXT_FUNCTION_NAME": following}}, **settings)


def test_in_every_way_that_the_sdk_has(service):
    client = service.client("lambda")
    with function(client, fresh_name("callee")) as callee:
        name = callee["FunctionName"]
        client.publish_version(FunctionName=name)
        with caller(service, fresh_name("caller"), CALLEE_FUNCTION_NAME=name) as ask:
            call = ("lambda", "invoke")
            plain, tail, version, event, dry, missing, broken = ask(
                (*call, {"FunctionName": name, "Payload": '{"a": 1}', "ClientContext": "eyJhIjogMX0="}),
                (*call, {"FunctionName": callee["FunctionArn"], "Payload": "1", "LogType": "Tail"}),
                (*call, {"FunctionName": name, "Qualifier": "1", "Payload": "1"}),
                (*call, {"FunctionName": name, "InvocationType": "Event", "Payload": '"from inside"'}),
                (*call, {"FunctionName": name, "InvocationType": "DryRun"}),
                (*call, {"FunctionName": name, "Qualifier": "7"}),
                (*call, {"FunctionName": name, "Payload": '"exit"'}))
            answer = json.loads(plain["Payload"])
            assert (plain["status"], answer["event"], answer["context"]) == (200, {"a": 1}, {"a": 1})
            assert "LogResult" in tail
            assert json.loads(version["Payload"])["version"] == "1"
            assert (event["status"], dry["status"]) == (202, 204)
            assert (missing["status"], missing["code"]) == (404, "ResourceNotFoundException")
            assert broken["FunctionError"] == "Unhandled"
            wait_for(lambda: service.lamina("logs", name).stdout.count("REPORT ") >= 4, "the event to be handled")
            status, headers, body = ask.by_hand(
                "POST", "/2021-11-15/functions/%s/response-streaming-invocations" % name, "5", sign="header")
            assert (status, headers["Content-Type"]) == (200, "application/vnd.amazon.eventstream"), body
            assert "InvokeComplete" in body and '"event":5' in body


def test_a_function_that_calls_itself_is_stopped(service):
    name = fresh_name("self")
    with chain(service, name, name):
        end = invoke(service.client("lambda"), name, json.dumps({"depth": 0, "kind": "RequestResponse"}).encode())
        assert end == {"depth": 16, "status": 400, "error": "RecursiveInvocationException"}


# An instance that is started for the call of another's init phase goes on counting from there.
CHAIN_OF_INITS = SIGNING + r'''
print("init")
END = call_next(os.environ["NEXT_FUNCTION_NAME"], "RequestResponse", b"null")

def handler(event, context):
    return END[1] if END[0] != 200 else json.loads(END[2])
'''


def test_a_function_whose_init_calls_itself_is_stopped(service):
    client, name = service.client("lambda"), fresh_name("init")
    with function(client, name, Runtime=RUNTIME, Handler="app.handler", Timeout=300, MemorySize=128,
                  Code={"ZipFile": zip_of({"app.py": CHAIN_OF_INITS})},
                  Environment={"Variables": {"NEXT_FUNCTION_NAME": name}}):
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=24)
        assert invoke(client, name, b"null") == "RecursiveInvocationException"


def test_two_functions_that_send_each_other_events_are_stopped(service):
    one, two = fresh_name("one"), fresh_name("two")
    with chain(service, one, two), chain(service, two, one):
        assert invoke(service.client("lambda"), one, json.dumps({"depth": 0, "kind": "Event"}).encode()) == "accepted"
        lines = []

        def is_over():
            lines[:] = [line.split()[-1] for name in (one, two)
                        for line in service.lamina("logs", name).stdout.splitlines() if "link " in line]
            return len(lines) >= 17

        wait_for(is_over, "seventeen calls")
        assert sorted(map(int, lines)) == list(range(17))


def test_destinations_that_lead_back_are_stopped(service):
    client, name = service.client("lambda"), fresh_name("circle")
    with function(client, name):
        client.put_function_event_invoke_config(FunctionName=name, DestinationConfig={"OnSuccess": {
            "Destination": ARN + name}})
        assert client.invoke(FunctionName=name, InvocationType="Event", Payload=b"0")["StatusCode"] == 202
        wait_for(lambda: "async.undelivered" in service.log(), "the end of the circle")


JS_MODULES = Path(__file__).resolve().parents[2] / "build" / "deps" / "npm" / "aws-sdk" / "node_modules"
JS_HANDLER = r'''
const { LambdaClient, InvokeCommand, InvokeWithResponseStreamCommand, ListFunctionsCommand } = require("@aws-sdk/client-lambda");
const client = new LambdaClient({});
exports.handler = async (event) => {
  const plain = await client.send(new InvokeCommand({ FunctionName: event.name, Payload: "1" }));
  const streamed = await client.send(new InvokeWithResponseStreamCommand({ FunctionName: event.name, Payload: "2" }));
  let text = "";
  for await (const part of streamed.EventStream)
    if (part.PayloadChunk) text += Buffer.from(part.PayloadChunk.Payload).toString();
  let denied = "";
  try { await client.send(new ListFunctionsCommand({})); } catch (error) { denied = error.name; }
  return [JSON.parse(Buffer.from(plain.Payload)), JSON.parse(text), denied];
};
'''


@pytest.mark.skipif(not (JS_MODULES / "@aws-sdk" / "client-lambda").exists() or not Path("/usr/bin/node").exists(),
                    reason="Debian's node or @aws-sdk/client-lambda is missing (tools/deps check)")
def test_the_javascript_sdk_finds_the_platform_by_itself(service):
    client, files = service.client("lambda"), {"app.js": JS_HANDLER}
    for path in JS_MODULES.rglob("*"):
        if path.is_file() and path.suffix in (".js", ".json", ".cjs") and "dist-es" not in path.parts:
            files["node_modules/%s" % path.relative_to(JS_MODULES)] = path.read_bytes()
    with function(client, fresh_name("callee")) as callee, \
            function(client, fresh_name("js"), Runtime="nodejs18.x", Handler="app.handler", Timeout=300,
                     Code={"ZipFile": zip_of(files)},
                     Environment={"Variables": {"CALLEE_FUNCTION_NAME": callee["FunctionName"]}}) as caller_js:
        one, two, denied = invoke(client, caller_js["FunctionName"], json.dumps({"name": callee["FunctionName"]}).encode())
        assert (one["event"], two["event"], denied) == (1, 2, "AccessDeniedException")
