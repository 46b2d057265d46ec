# SPDX-License-Identifier: MIT
"""The Extensions API through a function that brings an internal extension of its own: a thread beside the runtime."""
import json

import pytest

from lambda_function import ARN, zip_of
from probe import BOOTSTRAP, call, failure, probe

EXTENSION = r'''
import threading

EXTENSION_PATH = "/2020-01-01/extension"
events, refusals = [], []


def extension():
    mine = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

    def ask(method, path, body=None, headers=None):
        mine.request(method, EXTENSION_PATH + path, body, headers or {})
        answer = mine.getresponse()
        return answer.status, answer.headers, answer.read()

    status, _, body = ask("POST", "/register", json.dumps({"events": ["SHUTDOWN"]}), {"Lambda-Extension-Name": "mine"})
    refusals.append([status, json.loads(body)["errorType"]])
    status, headers, body = ask("POST", "/register", json.dumps({"events": ["INVOKE"]}), {"Lambda-Extension-Name": "mine"})
    assert status == 200, body
    events.append(json.loads(body))
    id = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
    ready.set()
    if os.environ.get("EXTENSION") == "fails":
        ask("POST", "/init/error", "{}", {**id, "Lambda-Extension-Function-Error-Type": "Extension.NoConfig"})
        return
    while True:
        status, _, body = ask("GET", "/event/next", headers=id)
        assert status == 200, body
        events.append(json.loads(body))
        seen.release()


ready, seen = threading.Event(), threading.Semaphore(0)
threading.Thread(target=extension, daemon=True).start()
ready.wait()
'''
HANDLER = '''
    if do == "events":
        seen.acquire()  # the event of this very call
        return {"events": events, "refusals": refusals}
'''


def package():
    code = BOOTSTRAP.replace('    if do == "env":', HANDLER + '    if do == "env":')
    return zip_of({"bootstrap": code.replace('MARKER = "@MARKER@"', EXTENSION + 'MARKER = "@MARKER@"')})


@pytest.fixture(scope="module")
def client(service):
    return service.client()


def test_an_internal_extension_is_told_of_each_call(client):
    with probe(client, "extension", Code={"ZipFile": package()}) as name:
        ids = []
        for number in range(1, 4):
            answer, body = call(client, name, {"do": "events"})
            assert "FunctionError" not in answer, body
            ids.append(answer["ResponseMetadata"]["RequestId"])
            told = json.loads(body)
            registered, *invokes = told["events"]
            assert len(invokes) <= number  # on a busy machine a call may have found another instance
            assert registered == {"functionName": name, "functionVersion": "$LATEST", "handler": "bootstrap"}
            assert invokes[-1]["requestId"] == ids[-1]
            assert {each["requestId"] for each in invokes} <= set(ids)
            assert invokes[-1]["eventType"] == "INVOKE"
            assert invokes[-1]["invokedFunctionArn"] == ARN + name
            assert invokes[-1]["tracing"]["value"].startswith("Root=1-")
            assert told["refusals"] == [[403, "Extension.InvalidEventType"]]


def test_an_extension_that_fails_its_init_phase_fails_the_call(client):
    with probe(client, "extension", Code={"ZipFile": package()},
               Environment={"Variables": {"EXTENSION": "fails"}}) as name:
        kind, message, _ = failure(client, name, {})
        assert kind == "Extension.InitError"
        assert message.endswith(" Error: Extension.NoConfig")
