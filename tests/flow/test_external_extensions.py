# SPDX-License-Identifier: MIT
"""External extensions: the files that a layer brings in /opt/extensions, as processes of their own beside the runtime."""
import json
import re

import pytest
from botocore.exceptions import ClientError

from lambda_function import fresh_name, settings, zip_of
from lamina_service import wait_for
from test_layers import LOOK

EXTENSION = r'''#!/usr/bin/python3
# Registers, notes every event in /tmp/NAME, one JSON a line. What EXTENSION_DOES says, it does.
import http.client, json, os, sys, time

NAME = os.path.basename(__file__)
DOES = dict(each.split("=") for each in os.environ.get("EXTENSION_DOES", "").split(",") if each).get(NAME, "")
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def ask(method, path, body=None, headers={}):
    connection.request(method, "/2020-01-01/extension" + path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def note(what):
    with open("/tmp/" + NAME, "a") as file:
        file.write(json.dumps(what) + "\n")


note({"environment": sorted(os.environ), "cwd": os.getcwd(), "ready": os.path.exists("/tmp/runtime")})
if DOES == "exit":
    sys.exit(7)
if DOES == "wrong name":
    status, _, body = ask("POST", "/register", '{"events": ["SHUTDOWN"]}', {"Lambda-Extension-Name": "another"})
    note({"status": status, "type": json.loads(body)["errorType"]})
events = [] if DOES == "quiet" else ["INVOKE", "SHUTDOWN"]
status, headers, body = ask("POST", "/register", json.dumps({"events": events}),
                            {"Lambda-Extension-Name": NAME, "Lambda-Extension-Accept-Feature": "accountId"})
assert status == 200, body
note(json.loads(body))
mine = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
status, _, body = ask("POST", "/register", '{"events": []}', {"Lambda-Extension-Name": NAME})
note({"again": [status, json.loads(body)["errorType"]]})
if DOES == "init error":
    ask("POST", "/init/error", "{}", {**mine, "Lambda-Extension-Function-Error-Type": "Extension.NoConfig"})
    time.sleep(60)
while True:
    status, headers, body = ask("GET", "/event/next", headers=mine)
    event = json.loads(body)
    note(event)
    if event["eventType"] == "SHUTDOWN":
        print(NAME, "heard", event["shutdownReason"], event["deadlineMs"] > time.time() * 1000, flush=True)
        if DOES == "stays":
            time.sleep(60)
        break
    if DOES == "late":
        time.sleep(1.5)
    if DOES == "crashes":
        os.abort()
    if DOES == "exit error":
        ask("POST", "/exit/error", "{}", {**mine, "Lambda-Extension-Function-Error-Type": "Extension.Broken"})
        time.sleep(60)
'''


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


def function(client, extensions, bootstrap=LOOK, does="", **more):
    """A function with these extensions: {name: content}."""
    layer = client.publish_layer_version(LayerName=fresh_name(), Content={"ZipFile": zip_of(
        {"extensions/" + name: content for name, content in extensions.items()})})
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"bootstrap": bootstrap})},
                                      Layers=[layer["LayerVersionArn"]],
                                      Environment={"Variables": {"EXTENSION_DOES": does}}, **more))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    return name


def call(client, name, *paths):
    return client.invoke(FunctionName=name, Payload=json.dumps(paths))


def noted(client, name, extension):
    answer = call(client, name, "/tmp/" + extension)
    raw = answer["Payload"].read().decode()
    assert "FunctionError" not in answer, raw
    text = re.fullmatch(r'\{"[^"]*":"(.*)"\}', raw, re.S)[1]
    return answer["ResponseMetadata"]["RequestId"], [json.loads(line) for line in text.splitlines()]


def failure(client, name):
    answer = call(client, name)
    assert "FunctionError" in answer
    body = json.load(answer["Payload"])
    return body["errorType"], body["errorMessage"]


def logs(service, name):
    return service.lamina("logs", name).stdout


RUNTIME = LOOK.replace("path=/2018-06-01", "touch /tmp/runtime\npath=/2018-06-01", 1)


def test_extensions_start_before_the_runtime_and_hear_of_calls(client):
    name = function(client, {"one": EXTENSION, "two": EXTENSION}, RUNTIME)
    id, first = noted(client, name, "one")
    begun, registered, again, invoke = first
    assert begun["ready"] is False and begun["cwd"] == "/", "the runtime waits for them"
    assert "AWS_LAMBDA_RUNTIME_API" in begun["environment"] and "AWS_ACCESS_KEY_ID" in begun["environment"]
    assert not {"_HANDLER", "LAMBDA_TASK_ROOT", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_XRAY_CONTEXT_MISSING"} & set(
        begun["environment"])
    assert registered == {"functionName": name, "functionVersion": "$LATEST", "handler": "bootstrap",
                          "accountId": "000000000000"}
    assert again == {"again": [403, "Extension.RegistrationClosed"]} or \
        again == {"again": [403, "Extension.AlreadyRegistered"]}
    assert (invoke["eventType"], invoke["requestId"]) == ("INVOKE", id)
    id, second = noted(client, name, "two")
    assert second[-1]["requestId"] == id and len(second) == 5


def test_they_hear_of_the_end(service, client):
    name = function(client, {"one": EXTENSION, "two": EXTENSION}, does="two=quiet")
    noted(client, name, "one")
    client.update_function_configuration(FunctionName=name, MemorySize=512)
    wait_for(lambda: "one heard spindown True" in logs(service, name), "the extension to hear of the end")
    assert "two heard" not in logs(service, name)


def test_one_that_stays_is_ended(service, client):
    name = function(client, {"one": EXTENSION}, does="one=stays")
    noted(client, name, "one")
    client.update_function_configuration(FunctionName=name, MemorySize=512)
    wait_for(lambda: "one heard spindown" in logs(service, name), "the extension to hear of the end")
    wait_for(lambda: name not in service.lamina("ps").stdout, "the instance to end")


def test_a_timeout_is_told(service, client):
    name = function(client, {"one": EXTENSION}, "#!/bin/bash\ntrap '' TERM\n" + LOOK.replace("answer='{'", "sleep 60; answer='{'"),
                    Timeout=1)
    kind, message = failure(client, name)
    assert kind == "Sandbox.Timedout" and message.endswith("Task timed out after 1.00 seconds")
    wait_for(lambda: "one heard timeout True" in logs(service, name), "the extension to hear of the time-out")


def test_one_that_asks_after_the_end_began_is_told(service, client):
    """It was at work when the call timed out."""
    name = function(client, {"one": EXTENSION}, LOOK.replace("answer='{'", "sleep 60; answer='{'"), Timeout=1, does="one=late")
    assert failure(client, name)[0] == "Sandbox.Timedout"
    wait_for(lambda: name not in service.lamina("ps").stdout, "the instance to end")
    assert "one heard timeout True" in logs(service, name)


def test_a_name_that_is_none_keeps_nobody_from_running(client):
    name = function(client, {"a b": "#!/bin/sh\nexec sleep 600\n"})
    assert json.load(call(client, name, "/opt/extensions/none")["Payload"]) == {"/opt/extensions/none": "(none)"}


def test_a_runtime_that_ends_is_told(service, client):
    name = function(client, {"one": EXTENSION}, LOOK.replace("answer='{' ", "exit 3; answer='{' "))
    kind, message = failure(client, name)
    assert kind == "Runtime.ExitError" and message.endswith("Runtime exited with error: exit status 3")
    wait_for(lambda: "one heard failure True" in logs(service, name), "the extension to hear of the failure")


@pytest.mark.parametrize("does, kind, text", [
    ("exit", "Extension.Crash", "exit status 7"),
    ("crashes", "Extension.Crash", "signal: aborted"),
    ("init error", "Extension.InitError", "Extension.NoConfig"),
    ("exit error", "Extension.ExitError", "Extension.Broken"),
])
def test_an_extension_that_fails_fails_the_call(client, does, kind, text):
    name = function(client, {"one": EXTENSION, "two": EXTENSION}, does="one=" + does)
    told = failure(client, name)
    assert told[0] == kind and told[1].endswith(" Error: " + text)


def test_one_that_cannot_be_run(client):
    name = function(client, {"one": "this is no program"})
    assert failure(client, name)[0] == "Extension.LaunchError"


def test_eleven_are_too_many(client):
    name = function(client, {f"e{i}": EXTENSION for i in range(11)})
    assert failure(client, name)[0] == "Extension.TooManyExtensions"


def test_another_name_is_an_internal_extension(client):
    name = function(client, {"one": EXTENSION}, does="one=wrong name")
    assert {"status": 403, "type": "Extension.InvalidEventType"} in noted(client, name, "one")[1]


def test_names_cannot_be_announced_later(client):
    """From inside, with the registration open or over: lamina-init's words are taken once."""
    forged = LOOK.replace("path=/2018-06-01", r'''say() {
    exec 4<>"/dev/tcp/$host/$port"
    printf 'POST /lamina/init/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %s\r\n\r\n%s' "$1" "${#2}" "$2" >&4
    head -1 <&4 | tr -d '\r' >>/tmp/said
    exec 4<&- 4>&-
}
say extensions $'mine\n'
say ended 'extension mine 0 0'
say ended 'nonsense'
path=/2018-06-01''', 1)
    name = function(client, {"one": EXTENSION}, forged)
    answer = json.loads(call(client, name, "/tmp/said")["Payload"].read().decode().replace("\n", "|"))
    assert answer == {"/tmp/said": "HTTP/1.1 403 Forbidden|HTTP/1.1 400 Bad Request|HTTP/1.1 400 Bad Request"}
