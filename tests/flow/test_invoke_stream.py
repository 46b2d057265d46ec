# SPDX-License-Identifier: MIT
"""InvokeWithResponseStream: pieces as the runtime posts them, errors in the middle, bounded memory. botocore's own
event-stream reader takes the answers apart, and the JavaScript SDK calls as its users do."""
import base64
import hashlib
import json
import pathlib
import shutil
import subprocess

import pytest
from botocore.eventstream import EventStreamBuffer

import lambda_function as fn
from raw_http import Connection, call, request_bytes, signed_headers

NODE_MODULES = pathlib.Path(__file__).resolve().parents[2] / "build" / "deps" / "npm" / "aws-sdk" / "node_modules"

# Answers as the event says. Pieces are written and flushed one by one.
BOOTSTRAP = r"""#!/usr/bin/python3 -S
import json, os, socket, sys
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
BASE = "/2018-06-01/runtime/invocation/"

def ask(head, parts=()):
    s = socket.create_connection((host, int(port)))
    s.sendall(head.encode())
    for part in parts:
        s.sendall(part)
    answer = b""
    while True:
        data = s.recv(65536)
        if not data:
            return answer
        answer += data

def post(path, body, more=""):
    ask(f"POST {BASE}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}Content-Length: {len(body)}\r\n\r\n", [body])

def chunks(pieces, trailers=b""):
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n" + trailers + b"\r\n"

def stream(id, pieces, trailers=b"", more=""):
    ask(f"POST {BASE}{id}/response HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/x-pieces\r\n{more}"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n", chunks(pieces, trailers))

def then_exit(piece):
    yield piece
    sys.stdout.flush()
    os._exit(7)

def then_hang(piece):
    yield piece
    while True:
        import time
        time.sleep(60)

while True:
    answer = ask(f"GET {BASE}next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    id = [l.split(b": ")[1] for l in head.split(b"\r\n") if l.lower().startswith(b"lambda-runtime-aws-request-id")][0].decode()
    event = json.loads(body)
    mode = event["mode"]
    print("mode", mode, flush=True)
    if mode == "pieces":
        stream(id, [b"piece %d;" % i for i in range(event["n"])])
    elif mode == "large":
        stream(id, (bytes([i % 251]) * 65536 for i in range(event["pieces"])))
    elif mode == "trailers":
        import base64
        why = base64.b64encode(json.dumps({"errorMessage": "broke", "errorType": "Half"}).encode())
        stream(id, [b"begun"], b"Lambda-Runtime-Function-Error-Type: Function.Half\r\n"
               b"Lambda-Runtime-Function-Error-Body: " + why + b"\r\n",
               "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n")
    elif mode == "exit":
        stream(id, then_exit(b"last words"))
    elif mode == "hang":
        stream(id, then_hang(b"waiting"))
    elif mode == "error":
        post(id + "/error", b'{"errorMessage":"no","errorType":"Refused"}', "Lambda-Runtime-Function-Error-Type: Function.Refused\r\n")
    elif mode == "empty":
        stream(id, [])
    else:
        post(id + "/response", json.dumps({"whole": event}).encode())
"""


@pytest.fixture(scope="module")
def stream(service):
    client = service.client()
    with fn.function(client, "streaming", Code={"ZipFile": fn.zip_of({"bootstrap": BOOTSTRAP})}):
        yield "streaming"


def target(name):
    return f"/2021-11-15/functions/{name}/response-streaming-invocations"


class Streamed:
    """An answer read as it comes: events() yields (type, payload)."""

    def __init__(self, service, name, event, headers=()):
        body = json.dumps(event).encode()
        self.connection = Connection(service.endpoint)
        self.connection.send(request_bytes("POST", target(name), signed_headers(service, "POST", target(name), headers, body),
                                           body))
        while b"\r\n\r\n" not in self.connection.held:
            assert self.connection._more()
        head, _, self.rest = self.connection.held.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        self.connection.held = b""

    def _bytes(self):
        """The chunks' contents as they come."""
        assert self.headers["transfer-encoding"] == "chunked", self.headers
        while True:
            while b"\r\n" not in self.rest:
                self._more()
            size, _, self.rest = self.rest.partition(b"\r\n")
            size = int(size, 16)
            while len(self.rest) < size + 2:
                self._more()
            piece, self.rest = self.rest[:size], self.rest[size + 2:]
            if size == 0:
                return
            yield piece

    def _more(self):
        data = self.connection.socket.recv(1 << 20)
        assert data, "the stream was cut off"
        self.rest += data

    def events(self):
        buffer = EventStreamBuffer()
        for piece in self._bytes():
            buffer.add_data(piece)
            for message in buffer:
                yield message.headers[":event-type"], message.payload
        self.connection.socket.close()

    def whole(self):
        """(payload, InvokeComplete)"""
        events = list(self.events())
        assert [kind for kind, _ in events] == ["PayloadChunk"] * (len(events) - 1) + ["InvokeComplete"]
        return b"".join(payload for _, payload in events[:-1]), json.loads(events[-1][1])


def test_pieces_arrive_as_events(service, stream):
    answer = Streamed(service, stream, {"mode": "pieces", "n": 5}, {"X-Amz-Log-Type": "Tail"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert answer.headers["x-amz-executed-version"] == "$LATEST"
    payload, complete = answer.whole()
    assert payload == b"".join(b"piece %d;" % i for i in range(5))
    assert list(complete) == ["LogResult"]
    log = base64.b64decode(complete["LogResult"]).decode()
    assert "mode pieces" in log and answer.headers["x-amzn-requestid"] in log
    assert Streamed(service, stream, {"mode": "empty"}).whole() == (b"", {})


def test_a_piece_arrives_before_the_next_is_made(service, stream):
    """The function hangs after its first piece: that one is here, and later the time-out is told."""
    client = service.client()
    client.update_function_configuration(FunctionName=stream, Timeout=8)
    client.get_waiter("function_updated_v2").wait(FunctionName=stream)
    try:
        events = Streamed(service, stream, {"mode": "hang"}).events()
        assert next(events) == ("PayloadChunk", b"waiting")
        kind, payload = next(events)
        assert kind == "InvokeComplete"
        complete = json.loads(payload)
        assert complete["ErrorCode"] == "Sandbox.Timedout" and "timed out" in complete["ErrorDetails"], complete
        assert list(events) == []
    finally:
        client.update_function_configuration(FunctionName=stream, Timeout=120)
        client.get_waiter("function_updated_v2").wait(FunctionName=stream)


def memory_kb(process, name):
    lines = (process / "status").read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith(name + ":")][0]


def test_more_than_six_megabytes_stream_through_little_memory(service, stream):
    laminad = pathlib.Path("/proc") / str(service.pid("laminad"))
    try:
        (laminad / "clear_refs").write_text("5")  # the peak begins anew
    except OSError:
        pytest.skip("this kernel cannot forget a process's peak of memory")
    before = memory_kb(laminad, "VmRSS")
    pieces = 1024  # 64 MiB
    expected = hashlib.sha256()
    for i in range(pieces):
        expected.update(bytes([i % 251]) * 65536)
    got, size = hashlib.sha256(), 0
    for kind, payload in Streamed(service, stream, {"mode": "large", "pieces": pieces}).events():
        if kind == "PayloadChunk":
            got.update(payload)
            size += len(payload)
        else:
            assert json.loads(payload) == {}
    assert (size, got.digest()) == (pieces * 65536, expected.digest())
    if "libasan" not in (laminad / "maps").read_text():  # which keeps what was freed
        assert memory_kb(laminad, "VmHWM") - before < 24 * 1024


def test_callers_that_do_not_read_hold_their_function_and_nothing_else(service, stream):
    slow = [Streamed(service, stream, {"mode": "large", "pieces": 512}) for _ in range(2)]
    try:
        assert Streamed(service, stream, {"mode": "pieces", "n": 1}).whole() == (b"piece 0;", {})
        # One of them reads after all: nothing was lost meanwhile.
        assert len(slow[0].whole()[0]) == 512 * 65536
    finally:
        for answer in slow:
            answer.connection.socket.close()
    assert Streamed(service, stream, {"mode": "pieces", "n": 1}).whole() == (b"piece 0;", {})


def test_errors_are_told_at_the_end(service, stream):
    payload, complete = Streamed(service, stream, {"mode": "trailers"}).whole()
    assert payload == b"begun"
    assert complete["ErrorCode"] == "Function.Half"
    assert json.loads(complete["ErrorDetails"]) == {"errorMessage": "broke", "errorType": "Half"}
    payload, complete = Streamed(service, stream, {"mode": "exit"}).whole()
    # A sandbox's end may be heard of before its last bytes are read.
    assert payload in (b"", b"last words")
    assert complete["ErrorCode"].startswith("Runtime."), complete
    payload, complete = Streamed(service, stream, {"mode": "error"}).whole()
    assert payload == b""
    assert json.loads(complete["ErrorDetails"]) == {"errorMessage": "no", "errorType": "Refused"}
    # And the next call works.
    assert Streamed(service, stream, {"mode": "pieces", "n": 1}).whole() == (b"piece 0;", {})


def test_a_response_that_does_not_stream_is_one(service, stream):
    payload, complete = Streamed(service, stream, {"mode": "plain"}).whole()
    assert (json.loads(payload), complete) == ({"whole": {"mode": "plain"}}, {})


def test_a_streamed_response_is_collected_for_invoke(service, stream):
    answer = service.client().invoke(FunctionName=stream, Payload=b'{"mode":"pieces","n":3}')
    assert answer["Payload"].read() == b"piece 0;piece 1;piece 2;"


def test_callers_that_leave_disturb_nobody(service, stream):
    for _ in range(3):
        answer = Streamed(service, stream, {"mode": "large", "pieces": 400})
        assert answer.status == 200
        answer.connection.socket.close()
    assert Streamed(service, stream, {"mode": "pieces", "n": 2}).whole()[1] == {}


def test_what_is_refused_before_it_streams(service, stream):
    answer = call(service, "POST", target(stream), {"X-Amz-Invocation-Type": "DryRun"}, b"{}")
    assert (answer.status, answer.body) == (204, b"")
    answer = call(service, "POST", target(stream), {"X-Amz-Invocation-Type": "Event"}, b"{}")
    assert (answer.status, answer.error) == (400, "ValidationException")
    answer = call(service, "POST", target("not-there"), body=b"{}")
    assert (answer.status, answer.error) == (404, "ResourceNotFoundException")
    answer = call(service, "POST", target(stream), body=b"{")
    assert (answer.status, answer.error) == (400, "InvalidRequestContentException")


SCRIPT = r"""
const { LambdaClient, InvokeWithResponseStreamCommand } = require("@aws-sdk/client-lambda");
(async () => {
    const client = new LambdaClient({ endpoint: process.env.AWS_ENDPOINT_URL, region: "us-east-1", maxAttempts: 1 });
    for (const event of [{ mode: "pieces", n: 4 }, { mode: "trailers" }]) {
        const answer = await client.send(new InvokeWithResponseStreamCommand({
            FunctionName: process.argv.at(-1), Payload: Buffer.from(JSON.stringify(event)) }));
        let text = "", complete = null;
        for await (const part of answer.EventStream) {
            if (part.PayloadChunk) text += Buffer.from(part.PayloadChunk.Payload).toString();
            if (part.InvokeComplete) complete = part.InvokeComplete;
        }
        console.log(JSON.stringify({ status: answer.StatusCode, version: answer.ExecutedVersion, text, complete }));
    }
})().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.mark.skipif(not (NODE_MODULES / "@aws-sdk" / "client-lambda").exists() or not shutil.which("node"),
                    reason="node or @aws-sdk/client-lambda is missing (tools/deps check)")
def test_the_javascript_sdk_reads_the_stream(service, stream):
    done = subprocess.run(["node", "-e", SCRIPT, stream], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=240, cwd=str(service.root),
                          env=dict(service.env, NODE_PATH=str(NODE_MODULES)))
    assert done.returncode == 0, done.stderr
    first, second = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["text"] == "piece 0;piece 1;piece 2;piece 3;"
    assert (first["status"], first["version"], first["complete"]) == (200, "$LATEST", {})
    assert second["text"] == "begun" and second["complete"]["ErrorCode"] == "Function.Half"
