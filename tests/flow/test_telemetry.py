# SPDX-License-Identifier: MIT
"""The Telemetry API and the Logs API: an external extension subscribes and gets what happens, at a port of its own."""
import json
import pathlib
import re

import pytest

from lambda_function import fresh_name, settings, zip_of
from lamina_service import wait_for
from test_layers import LOOK

SUBSCRIBER = r'''#!/usr/bin/python3
# Serves PORT, keeps every item that arrives in /tmp/items, one JSON a line, and subscribes as subscribe.json says.
import http.client, http.server, json, os, socket, socketserver, sys, threading, time

NAME = os.path.basename(__file__)
WANTED = json.load(open("/opt/subscribe.json"))
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
lock = threading.Lock()


def keep(items, where):
    with lock, open("/tmp/items", "a") as file:
        for item in items:
            file.write(json.dumps({**item, "where": where}) + "\n")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if WANTED.get("slow") and not os.path.exists("/tmp/go"):
            time.sleep(60)
        keep(json.loads(body), self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *ignored):
        pass


class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        keep([json.loads(line) for line in self.rfile], "tcp")


def ask(method, path, body=None, headers={}):
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


address = (socket.gethostbyname("sandbox.localdomain"), 4243)
server = socketserver.ThreadingTCPServer(address, Lines) if WANTED.get("tcp") else \
    http.server.ThreadingHTTPServer(address, Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
status, headers, body = ask("POST", "/2020-01-01/extension/register", '{"events": ["INVOKE", "SHUTDOWN"]}',
                            {"Lambda-Extension-Name": NAME})
mine = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
with open("/tmp/answers", "w") as file:
    for request in WANTED["requests"]:
        path = request.pop("PATH", "/2022-07-01/telemetry")
        status, _, body = ask("PUT", path, json.dumps(request), {} if request.pop("nobody", 0) else mine)
        file.write("%d %s|" % (status, body.decode().strip()))
while True:
    event = json.loads(ask("GET", "/2020-01-01/extension/event/next", headers=mine)[2])
    if event["eventType"] == "SHUTDOWN":
        time.sleep(0.5)
        for line in open("/tmp/items"):
            print("ITEM", line, end="", flush=True)
        break
'''
HTTP = {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/here"}
BASIC = {"schemaVersion": "2022-12-13", "types": ["platform", "function", "extension"],
         "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25}, "destination": HTTP}


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


def function(client, *requests, bootstrap=LOOK, **options):
    layer = client.publish_layer_version(LayerName=fresh_name(), Content={"ZipFile": zip_of(
        {"extensions/subscriber": SUBSCRIBER, "subscribe.json": json.dumps({"requests": requests, **options})})})
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"bootstrap": bootstrap})},
                                      Layers=[layer["LayerVersionArn"]]))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    return name


def read(client, name, path):
    answer = client.invoke(FunctionName=name, Payload=json.dumps([path]))
    raw = answer["Payload"].read().decode()
    assert "FunctionError" not in answer, raw
    return answer["ResponseMetadata"]["RequestId"], re.fullmatch(r'\{"[^"]*":"(.*)"\}', raw, re.S)[1]


def items(client, name):
    text = read(client, name, "/tmp/items")[1]
    return [] if text == "(none)" else [json.loads(line) for line in text.splitlines()]


def of(found, kind):
    return [each["record"] for each in found if each["type"] == kind]


def test_a_subscriber_gets_what_happens(client):
    name = function(client, BASIC, bootstrap=LOOK.replace("answer='{' comma=", "echo 'printed \"text\"'; answer='{' comma="))
    id, answers = read(client, name, "/tmp/answers")
    assert answers == "200 OK|"
    seen = {}

    def has_come():
        seen["items"] = items(client, name)
        return any(each["requestId"] == id for each in of(seen["items"], "platform.report"))

    wait_for(has_come, "the report to be delivered")
    found = seen["items"]
    assert {each["where"] for each in found} == {"/here"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each["time"]) for each in found)
    assert of(found, "platform.initStart") == [{"initializationType": "on-demand", "phase": "init"}]
    assert of(found, "platform.telemetrySubscription") == [
        {"name": "subscriber", "state": "Subscribed", "types": ["platform", "function", "extension"]}]
    assert of(found, "platform.extension") == [
        {"name": "subscriber", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}]
    assert of(found, "platform.initRuntimeDone")[0]["status"] == "success"
    assert of(found, "platform.initReport")[0]["metrics"]["durationMs"] > 0
    mine = {kind: [each for each in of(found, kind) if each["requestId"] == id]
            for kind in ("platform.start", "platform.runtimeDone", "platform.report")}
    assert mine["platform.start"][0]["version"] == "$LATEST"
    assert mine["platform.start"][0]["tracing"]["value"].startswith("Root=1-")
    assert mine["platform.runtimeDone"][0]["status"] == "success"
    assert mine["platform.runtimeDone"][0]["metrics"]["producedBytes"] > 0
    report = mine["platform.report"][0]
    assert report["status"] == "success" and report["metrics"]["memorySizeMB"] >= 128
    assert report["metrics"]["billedDurationMs"] >= report["metrics"]["durationMs"]
    assert report["metrics"]["initDurationMs"] > 0
    assert 'printed "text"' in of(found, "function")


def test_the_end_is_delivered(service, client):
    """What is buffered when the instance ends comes while the extension still runs."""
    name = function(client, {**BASIC, "types": ["function"], "buffering": {"timeoutMs": 30000}},
                    bootstrap=LOOK.replace("answer='{' comma=", "echo buffered; answer='{' comma="))
    assert items(client, name) == []
    client.update_function_configuration(FunctionName=name, MemorySize=512)
    wait_for(lambda: '"record": "buffered"' in service.lamina("logs", name).stdout, "the rest to be delivered")


def test_tcp_brings_lines(client):
    name = function(client, {**BASIC, "types": ["platform"], "destination": {"protocol": "TCP", "port": 4243}}, tcp=True)
    wait_for(lambda: of(items(client, name), "platform.report"), "a report by TCP")


def test_the_logs_api_has_its_own_names(client):
    request = {"PATH": "/2020-08-15/logs", "schemaVersion": "2021-03-18", "types": ["platform", "function"],
               "buffering": {"timeoutMs": 25}, "destination": HTTP}
    name = function(client, request)
    wait_for(lambda: of(items(client, name), "platform.report"), "a report")
    kinds = {each["type"] for each in items(client, name)}
    assert "platform.logsSubscription" in kinds and not {"platform.initStart", "platform.telemetrySubscription"} & kinds


def test_two_subscriptions_get_every_item_once(client):
    """Also those with which a delivery becomes due."""
    wanted = {**BASIC, "types": ["function"], "buffering": {"maxItems": 1000, "maxBytes": 1048576, "timeoutMs": 1000}}
    logs = {**wanted, "PATH": "/2020-08-15/logs", "schemaVersion": "2021-03-18",
            "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/there"}}
    name = function(client, wanted, logs,
                    bootstrap=LOOK.replace("answer='{' comma=", "[[ $event != *answers* ]] || seq 2500; answer='{' comma="))
    read(client, name, "/tmp/answers")

    def lines(where):
        return [each["record"] for each in items(client, name) if each["where"] == where]

    for where in ("/here", "/there"):
        wait_for(lambda: "2500" in lines(where), f"the last item to come {where}")
        assert sorted(lines(where), key=int) == [str(i) for i in range(1, 2501)]


BAD = [
    ({"schemaVersion": "1999-01-01"}, "schemaVersion"),
    ({"types": []}, "types"),
    ({"types": ["weather"]}, "types"),
    ({"types": "platform"}, "types"),
    ({"buffering": {"maxItems": 999}}, "maxItems"),
    ({"buffering": {"maxItems": 10001}}, "maxItems"),
    ({"buffering": {"maxBytes": 262143}}, "maxBytes"),
    ({"buffering": {"maxBytes": "many"}}, "maxBytes"),
    ({"buffering": {"timeoutMs": 24}}, "timeoutMs"),
    ({"buffering": {"timeoutMs": 30001}}, "timeoutMs"),
    ({"buffering": 7}, "buffering"),
    ({"destination": {"protocol": "HTTP", "URI": "http://127.0.0.1:4243"}}, "URI"),
    ({"destination": {"protocol": "HTTP", "URI": "http://example.com/"}}, "URI"),
    ({"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/ HTTP/1.1\r\nX: y"}}, "URI"),
    ({"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:70000"}}, "URI"),
    ({"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:9001/"}}, "platform's own"),
    ({"destination": {"protocol": "TCP", "port": 0}}, "port"),
    ({"destination": {"protocol": "UDP", "port": 4243}}, "protocol"),
    ({"destination": None}, "protocol"),
]


def test_bad_subscriptions(client):
    """One function asks for them all, the good one last."""
    requests = [{**BASIC, **change} for change, _ in BAD]
    name = function(client, *requests, {**BASIC, "nobody": 1}, BASIC)
    answers = read(client, name, "/tmp/answers")[1].split("|")
    assert len(answers) == len(BAD) + 3
    for (change, word), answer in zip(BAD, answers):
        assert answer.startswith("400 ") and "ValidationError" in answer and word in answer, (change, answer)
    assert answers[-3].startswith("403 ") and "MissingExtensionIdentifier" in answers[-3]
    assert answers[-2] == "200 OK"


def test_a_receiver_that_takes_nothing_loses_items_and_is_told(client):
    """The function is not held up by it; later the extension hears how much was lost."""
    flood = LOOK.replace("answer='{' comma=", "for i in {1..40}; do printf '%050000d\\n' 0; done; answer='{' comma=")
    name = function(client, BASIC, bootstrap=flood.replace("for name in", "[[ $event != *go* ]] || touch /tmp/go; for name in"),
                    slow=True)
    for _ in range(3):
        assert items(client, name) == []
    read(client, name, "/tmp/go")
    wait_for(lambda: of(items(client, name), "platform.logsDropped"), "the loss to be told")
    dropped = of(items(client, name), "platform.logsDropped")[0]
    assert dropped["droppedRecords"] > 0 and dropped["droppedBytes"] > 0


def test_internal_extensions_alone_are_told_that_it_is_not_supported(client):
    """No courier runs without an external extension; extensions accept this answer and go on."""
    registering = LOOK.replace("path=/2018-06-01", r'''exec 4<>"/dev/tcp/$host/$port"
printf 'POST /2020-01-01/extension/register HTTP/1.1\r\nHost: x\r\nLambda-Extension-Name: inside\r\nContent-Length: 13\r\n\r\n{"events":[]}' >&4
while IFS= read -r line <&4; do line=${line%$'\r'}; [ -n "$line" ] || break; case ${line,,} in lambda-extension-identifier:*) ext=${line#*: } ;; content-length:*) n=${line#*: } ;; esac; done
read -r -N "$n" <&4
printf 'PUT /2022-07-01/telemetry HTTP/1.1\r\nHost: x\r\nLambda-Extension-Identifier: %s\r\nContent-Length: 2\r\n\r\n{}' "$ext" >&4
head -1 <&4 | tr -d '\r' >/tmp/said
printf 'GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: x\r\nLambda-Extension-Identifier: %s\r\n\r\n' "$ext" >&4
path=/2018-06-01''', 1)
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"bootstrap": registering})}))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    assert read(client, name, "/tmp/said")[1].startswith("HTTP/1.1 202")


def test_a_public_extension_works_as_it_is_shipped(service, client):
    """Serverless, Inc.'s OpenTelemetry extension, unmodified: a layer with an external extension, a wrapper for Node.js
    and the Logs API. It prints what it would send, which it makes of the report that was delivered to it."""
    path = pathlib.Path(__file__).resolve().parents[2] / "build/deps/npm/otel-extension/extension.zip"
    if not path.exists():
        pytest.skip("tools/deps check has not been run")
    layer = client.publish_layer_version(LayerName=fresh_name(), Content={"ZipFile": path.read_bytes()})
    name = fresh_name()
    client.create_function(**settings(
        name, Runtime="nodejs18.x", Handler="app.handler", Layers=[layer["LayerVersionArn"]],
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel-extension/otel-handler"}},
        Code={"ZipFile": zip_of({"app.js": "exports.handler = async (event) => ({answer: event.question});"})}))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    for number in range(3):
        answer = client.invoke(FunctionName=name, Payload=json.dumps({"question": number}))
        assert json.load(answer["Payload"]) == {"answer": number}

    def log():
        return service.lamina("logs", name).stdout

    assert "EXTENSION\tName: otel-extension\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in log()
    wait_for(lambda: "<Buffer" in log(), "the extension to make its payload")
