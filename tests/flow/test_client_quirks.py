# SPDX-License-Identifier: MIT
"""What runtimes and adapters of others do that the text of the Runtime API does not say, end to end: as AWS's C++ client, Go's
and Rust's runtimes write it, and as the Web Adapter goes about it. (aws-lambda-ric itself: test_runtime_official.py.)"""
import json

import pytest

import lambda_function as fn
from test_invoke_stream import Streamed

# Answers by the event's text, over sockets of its own.
BOOTSTRAP = r"""#!/usr/bin/python3 -S
import base64, json, os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
BASE = "/2018-06-01/runtime/"
kept = socket.create_connection((host, int(port)))

def read(sock):
    got = b""
    while b"\r\n\r\n" not in got:
        more = sock.recv(65536)
        if not more:
            return None, got
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    fields = {k.lower(): v.strip() for k, _, v in (l.partition(":") for l in head.decode("latin-1").split("\r\n")[1:])}
    while len(body) < int(fields.get("content-length", 0)):
        body += sock.recv(65536)
    fields["status"] = head.split()[1].decode()
    return fields, body

def send(path, body, headers=()):
    lines = [f"POST {BASE}{path} HTTP/1.1", "Host: x", *headers]
    if not any(h.startswith("Transfer-Encoding") for h in headers):
        lines.append(f"Content-Length: {len(body)}")
    kept.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
    return read(kept)[0]["status"]

def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)

while True:
    # As libcurl asks: one connection for all, Accept and User-Agent, no body.
    kept.sendall(f"GET {BASE}invocation/next HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: AWS_Lambda_Cpp/0.2.6\r\n"
                 "Accept: */*\r\n\r\n".encode())
    fields, body = read(kept)
    assert fields["content-type"] == "application/json" and int(fields["lambda-runtime-deadline-ms"]) > 0
    id, event = fields["lambda-runtime-aws-request-id"], json.loads(body or b"null")
    error = b'{"errorMessage":"broken","errorType":"Broken"}'
    stream = ["Lambda-Runtime-Function-Response-Mode: streaming", "Transfer-Encoding: chunked"]
    if event == "cpp":
        status = send(f"invocation/{id}/response", b'"of C++"', ["Content-Type: text/html", "Expect:", "User-Agent: AWS_Lambda_Cpp/0.2.6"])
    elif event == "go":
        cause = json.dumps({"working_directory": "/var/task", "exceptions": [{"stack": "x" * 900000}], "paths": []})
        status = send(f"invocation/{id}/error", error, ["Lambda-Runtime-Function-XRay-Error-Cause: " + cause,
                                                       "Lambda-Runtime-Function-Error-Type: Broken"])
    elif event == "rust":
        status = send(f"invocation/{id}/error", error, ["Lambda-Runtime-Function-Error-Type: &alloc::string::String"])
    elif event == "node id":
        status = send("invocation/" + "".join("%%%02X" % ord(c) for c in id) + "/response", b'"its id was escaped"')
    elif event == "large, then an error":
        status = send(f"invocation/{id}/response", b'"' + b"x" * 6400000 + b'"')
        assert status == "413", status
        status = send(f"invocation/{id}/error", error)
        assert status in ("202", "400"), status
    elif event == "rust trailers":
        why = base64.b64encode(error).decode()
        status = send(f"invocation/{id}/response", chunk(b"begun") + b"0\r\n" + (
            "lambda-runtime-function-error-type: Broken\r\nlambda-runtime-function-error-body:" + why + "\r\n\r\n").encode(), stream)
    elif event == "trailers in the text":
        status = send(f"invocation/{id}/response", chunk(b"begun") + chunk(
            b"Lambda-Runtime-Function-Error-Type: Broken\r\n") + b"0\r\n\r\n", stream)
    elif event == "another mode":
        status = send(f"invocation/{id}/response", b"1", ["Lambda-Runtime-Function-Response-Mode: sideways"])
        assert status == "400", status
    elif event == "restore":  # as Python's asks, but only with SnapStart
        other = socket.create_connection((host, int(port)))
        other.sendall(f"GET {BASE}restore/next HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status = send(f"invocation/{id}/response", json.dumps(read(other)[0]["status"]).encode())
    else:
        needed = ["FUNCTION_NAME", "FUNCTION_VERSION", "FUNCTION_MEMORY_SIZE", "LOG_GROUP_NAME", "LOG_STREAM_NAME"]
        values = {name: os.environ["AWS_LAMBDA_" + name] for name in needed}  # Rust's panics without one
        int(values["FUNCTION_MEMORY_SIZE"])
        status = send(f"invocation/{id}/response", json.dumps(values).encode())
    print(event, status, flush=True)
"""


@pytest.fixture(scope="module")
def name(service):
    with fn.function(service.client(), "quirks", Code={"ZipFile": fn.zip_of({"bootstrap": BOOTSTRAP})}):
        yield "quirks"


def ask(service, name, event):
    answer = service.client().invoke(FunctionName=name, Payload=json.dumps(event))
    return json.loads(answer["Payload"].read()), answer.get("FunctionError")


BROKEN = ({"errorMessage": "broken", "errorType": "Broken"}, "Unhandled")


@pytest.mark.parametrize("event, expected", [
    ("cpp", ("of C++", None)),
    ("go", BROKEN),  # a cause of 900 kB in one header
    ("rust", BROKEN),
    ("node id", ("its id was escaped", None)),
    ("restore", ("404", None)),
])
def test_clients_as_they_are(service, name, event, expected):
    assert ask(service, name, event) == expected
    assert ask(service, name, "variables")[1] is None  # and the same process goes on


def test_a_413_may_be_followed_by_an_error(service, name):
    told, kind = ask(service, name, "large, then an error")
    assert kind == "Unhandled" and told["errorType"] in ("Function.ResponseSizeTooLarge", "Broken")
    assert ask(service, name, "cpp") == ("of C++", None)


def test_trailers_as_rusts_runtime_writes_them(service, name):
    payload, complete = Streamed(service, name, "rust trailers").whole()
    assert (payload, json.loads(complete["ErrorDetails"])) == (b"begun", BROKEN[0])
    payload, complete = Streamed(service, name, "trailers in the text").whole()  # an older one's: they are text then
    assert (payload[:5], complete) == (b"begun", {})


def test_another_response_mode_is_told_to_both(service, name):
    told, kind = ask(service, name, "another mode")
    assert (kind, told["errorType"]) == ("Unhandled", "Runtime.InvalidResponseModeHeader")
    assert ask(service, name, "cpp") == ("of C++", None)


def test_what_rusts_runtime_panics_without(service, name):
    values, kind = ask(service, name, "variables")
    assert kind is None and values["FUNCTION_NAME"] == name and all(values.values())


def test_a_c_program_on_plain_sockets(service, build):
    """tests/flow/plain_runtime.c: a connection for each request, and no library."""
    with fn.function(service.client(), "plain", Code={"ZipFile": fn.zip_of(
            {"bootstrap": (build / "tests/plain_runtime").read_bytes()})}) as _:
        for event in (1, {"a": "\u00fc"}, "x" * 6000000, None):
            assert ask(service, "plain", event) == ([event], None)
        assert ask(service, "plain", "fail") == ({"errorMessage": "as told", "errorType": "Plain"}, "Unhandled")
        assert ask(service, "plain", 2) == ([2], None)


# The Web Adapter in a zip function: a layer's external extension that is the runtime, too, and a wrapper that executes the
# handler, which is a web server's start script.
ADAPTER = r"""#!/usr/bin/python3
import http.client, json, os, socket, threading, time
api = os.environ["AWS_LAMBDA_RUNTIME_API"]

def ask(method, path, body=None, headers={}, to=api):
    connection = http.client.HTTPConnection(to)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read()

answer, _ = ask("POST", "/2020-01-01/extension/register", '{"events":[]}', {"Lambda-Extension-Name": "lambda-adapter"})
mine = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
threading.Thread(target=ask, args=("GET", "/2020-01-01/extension/event/next", None, mine), daemon=True).start()

def is_up():
    try:
        return 100 <= ask("GET", "/", to="127.0.0.1:8080")[0].status < 500
    except OSError:
        return False

while not is_up():
    time.sleep(0.01)
while True:
    answer, event = ask("GET", "/2018-06-01/runtime/invocation/next")
    id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    asked = json.loads(event)
    page, body = ask("POST", "/events", event, {"x-amzn-lambda-context": json.dumps({"request_id": id})}, to="127.0.0.1:8080")
    told = json.dumps({"statusCode": page.status, "headers": dict(page.headers), "body": body.decode()})
    ask("POST", f"/2018-06-01/runtime/invocation/{id}/response", told, {"Content-Type": "application/json"})
"""
SERVER = r"""import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(201)
        self.end_headers()
        self.wfile.write(b"a page for " + body + b" " + self.headers.get("x-amzn-lambda-context", "").encode())
    do_GET = do_POST = answer
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", 8080), Page).serve_forever()
"""


def test_a_web_adapter_is_runtime_and_extension(service):
    client, layer, name = service.client(), fn.fresh_name("adapter"), fn.fresh_name("web")
    content = fn.zip_of({"extensions/lambda-adapter": ADAPTER,
                         "bootstrap": '#!/bin/sh\nexec "$LAMBDA_TASK_ROOT/$_HANDLER"\n'})
    arn = client.publish_layer_version(LayerName=layer, Content={"ZipFile": content})["LayerVersionArn"]
    code = {"ZipFile": fn.zip_of({"run.sh": "#!/bin/sh\nexec /usr/bin/python3 /var/task/server.py\n", "server.py": SERVER})}
    with fn.function(client, name, Runtime="python3.11", Handler="run.sh", Layers=[arn], Code=code,
                     Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}}):
        for n in range(3):
            answer = client.invoke(FunctionName=name, Payload=json.dumps({"n": n}))
            told = json.loads(answer["Payload"].read())
            assert "FunctionError" not in answer, told
            assert told["statusCode"] == 201
            assert told["body"] == 'a page for {"n": %d} {"request_id": "%s"}' % (n, answer["ResponseMetadata"]["RequestId"])
    client.delete_layer_version(LayerName=layer, VersionNumber=1)
