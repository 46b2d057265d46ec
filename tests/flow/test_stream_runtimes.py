# SPDX-License-Identifier: MIT
"""Streams of liblamina and of the Node.js runtime, from the handler to the caller of InvokeWithResponseStream."""
import json
import os

import pytest

import lambda_function as fn
from test_invoke_stream import Streamed

NODE = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    stream.setContentType('text/plain');
    for (let i = 0; i < event.count; i++) {
        if (!stream.write('x'.repeat(event.size))) await new Promise((go) => stream.once('drain', go));
    }
    if (event.fails) throw new RangeError('in the middle');
    stream.end('the end');
});
"""


@pytest.fixture(scope="module")
def probe(service, build):
    with fn.function(service.client(), "probe",
                     Code={"ZipFile": fn.zip_of({"bootstrap": (build / "tests" / "sdk_probe").read_bytes()})}):
        yield "probe"


@pytest.fixture(scope="module")
def node(service):
    if not os.access("/usr/bin/node", os.X_OK):
        pytest.skip("/usr/bin/node is missing")
    with fn.function(service.client(), "node-stream", Runtime="nodejs20.x", Handler="app.handler",
                     Code={"ZipFile": fn.zip_of({"app.js": NODE})}):
        yield "node-stream"


def test_liblamina_streams_to_the_caller(service, probe):
    payload, complete = Streamed(service, probe, "S5,70000").whole()
    assert (payload, complete) == (b"[" + b"p" * 350000 + b'S"end"', {})
    payload, complete = Streamed(service, probe, "S200,65536").whole()  # 13 MB: no answer could be that large
    assert (len(payload), complete) == (200 * 65536 + 7, {})
    assert Streamed(service, probe, "Z").whole() == (b"", {})
    # One who asks plainly gets it whole.
    assert service.client().invoke(FunctionName=probe, Payload=b'"S2,3"')["Payload"].read() == b'[ppppppS"end"'


def test_liblamina_tells_how_a_stream_failed(service, probe):
    payload, complete = Streamed(service, probe, "X").whole()
    assert (payload, complete["ErrorCode"]) == (b"begun", "Function.InTheMiddle")
    assert json.loads(complete["ErrorDetails"])["errorMessage"] == 'no more "here"'
    payload, complete = Streamed(service, probe, "Y").whole()
    assert (payload, json.loads(complete["ErrorDetails"])["errorType"]) == (b"", "Function.BeforeIt")
    assert Streamed(service, probe, "S1,1").whole()[0] == b'[pS"end"'


def test_node_streams_to_the_caller(service, node):
    payload, complete = Streamed(service, node, {"count": 150, "size": 65536}).whole()
    assert (payload, complete) == (b"x" * 150 * 65536 + b"the end", {})
    payload, complete = Streamed(service, node, {"count": 2, "size": 5, "fails": True}).whole()
    assert (payload, complete["ErrorCode"]) == (b"x" * 10, "Function.Unknown")  # a type of the handler's own
    told = json.loads(complete["ErrorDetails"])
    assert (told["errorType"], told["errorMessage"]) == ("RangeError", "in the middle")
    assert Streamed(service, node, {"count": 1, "size": 1}).whole() == (b"xthe end", {})
