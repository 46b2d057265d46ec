# SPDX-License-Identifier: MIT
"""AWS's own runtime for Node.js, aws-lambda-ric, unchanged as npm has it: in a function's package, and in a layer with
the handler alone in the package. tools/deps compiles its native client, which is AWS's C++ runtime on libcurl."""
import base64
import contextlib
import json
import os
import pathlib

import pytest

import lambda_function as fn
from test_invoke_stream import Streamed

RUNTIME = pathlib.Path(__file__).resolve().parents[2] / "build" / "deps" / "npm" / "aws-lambda-ric"
pytestmark = pytest.mark.skipif(not (RUNTIME / "rapid-client.node").exists() or not os.access("/usr/bin/node", os.X_OK),
                                reason="node or aws-lambda-ric is missing (tools/deps check)")
NATIVE, HTTP = {}, {"AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1": "true"}  # its two clients of the Runtime API

# What people write, and nothing of ours.
HANDLER = """
let calls = 0;
exports.handler = async (event, context) => {
    calls++;
    const what = event?.do ?? 'echo';
    if (what === 'echo') return event;
    if (what === 'calls') return { calls, pid: process.pid };
    if (what === 'throw') throw new RangeError('no \\u00fc today\\x7f');
    if (what === 'throw text') throw 'just words';
    if (what === 'deep') { const deep = (n) => { if (!n) throw new Error('x'.repeat(500)); deep(n - 1); };
                           Error.stackTraceLimit = 2000; deep(1500); }
    if (what === 'exit') process.exit(3);
    if (what === 'large') return 'x'.repeat(event.size);
    if (what === 'circle') { const circle = {}; circle.circle = circle; return circle; }
    if (what === 'nothing') return;
    if (what === 'hang') return new Promise(() => setTimeout(() => {}, 1 << 30));
    if (what === 'log') { console.log('a line'); console.error('an error line'); return 1; }
    if (what === 'context') return { ...context, left: context.getRemainingTimeInMillis(), argument: process.argv.length,
                                     trace: process.env._X_AMZN_TRACE_ID, handler: process.env._HANDLER, cwd: process.cwd() };
};
exports.old = (event, context, callback) => { setImmediate(() => callback(null, { old: event })); };
exports.stream = awslambda.streamifyResponse(async (event, stream) => {
    stream.setContentType('text/plain');
    for (let i = 0; i < event.count; i++)
        if (!stream.write('x'.repeat(event.size))) await new Promise((go) => stream.once('drain', go));
    if (event.fails) throw new TypeError('in the middle');
    stream.end('the end');
});
"""


def files(handler=HANDLER, name="index.js", under=""):
    found = {}
    if handler:
        found[name] = handler
    if under is not None:
        root = under + "node_modules/aws-lambda-ric/"
        for path in ("index.mjs", "package.json", "rapid-client.node"):
            found[root + path] = (RUNTIME / path).read_bytes()
        for path in sorted((RUNTIME / "node_modules").rglob("*.*js*")):
            found[root + str(path.relative_to(RUNTIME))] = path.read_bytes()
    return found


def bootstrap(where):
    return f"#!/bin/sh\nexec /usr/bin/node {where}/node_modules/aws-lambda-ric/index.mjs \"$_HANDLER\"\n"


def package(handler=HANDLER, name="index.js"):
    return fn.zip_of({**files(handler, name), "bootstrap": bootstrap("/var/task")})


@contextlib.contextmanager
def deployed(service, handler=HANDLER, name="index.js", entry="index.handler", env=NATIVE, **more):
    function = fn.fresh_name("official")
    with fn.function(service.client(), function, Handler=entry, Code={"ZipFile": package(handler, name)},
                     Environment={"Variables": env}, **more):
        yield function


@pytest.fixture(scope="module", params=[NATIVE, HTTP], ids=["native", "http"])
def function(service, request):
    with deployed(service, env=request.param) as name:
        yield name


def ask(service, name, event, **more):
    """(what was answered, the kind of error or None)"""
    answer = service.client().invoke(FunctionName=name, Payload=json.dumps(event, ensure_ascii=False).encode(), **more)
    return json.loads(answer["Payload"].read()), answer.get("FunctionError")


def test_events_and_results(service, function):
    for event in ({"a": [1, 2.5, None, True, "\u00fc\U0001f600"]}, [], "text", 7, None, {"deep": [[[{}]]]}):
        assert ask(service, function, event) == (event, None)
    large = "\u00fc" * 2900000  # an event of nearly 6 MB, and an answer
    assert ask(service, function, large) == (large, None)
    assert ask(service, function, {"do": "nothing"}) == (None, None)
    # The client makes a std::string of the Content-Type of each event: without one it would end here.
    assert json.loads(service.client().invoke(FunctionName=function)["Payload"].read()) == {}
    first, second = (ask(service, function, {"do": "calls"})[0] for _ in range(2))
    assert (second["calls"], second["pid"]) == (first["calls"] + 1, first["pid"])  # one process took them all


def test_errors_with_their_stack(service, function):
    told, kind = ask(service, function, {"do": "throw"})
    assert (kind, told["errorType"], told["errorMessage"]) == ("Unhandled", "RangeError", "no \u00fc today%7F")
    assert told["trace"][0].startswith("RangeError: no") and "/var/task/index.js:" in told["trace"][1]
    told, kind = ask(service, function, {"do": "throw text"})
    assert (kind, told) == ("Unhandled", {"errorType": "string", "errorMessage": "just words", "trace": []})
    told, kind = ask(service, function, {"do": "circle"})
    assert (kind, told["errorType"]) == ("Unhandled", "Runtime.JSONStringifyError")
    # Its X-Ray cause is a header of some hundred kilobytes.
    told, kind = ask(service, function, {"do": "deep"})
    assert (kind, told["errorMessage"], len(told["trace"]) > 1400) == ("Unhandled", "x" * 500, True)
    assert ask(service, function, 1) == (1, None)


def test_the_context(service, function):
    context = {"client": {"installation_id": "i"}, "custom": {"k": "\u00fc"}, "env": {}}
    answer = service.client().invoke(FunctionName=function, Payload=b'{"do":"context"}', LogType="Tail",
                                     ClientContext=base64.b64encode(json.dumps(context).encode()).decode())
    told = json.loads(answer["Payload"].read())
    assert told["awsRequestId"] == answer["ResponseMetadata"]["RequestId"]
    assert told["invokedFunctionArn"] == fn.ARN + function
    assert (told["functionName"], told["functionVersion"], told["memoryLimitInMB"]) == (function, "$LATEST", "1769")
    assert (told["logGroupName"], told["handler"], told["cwd"]) == ("/aws/lambda/" + function, "index.handler", "/var/task")
    assert told["clientContext"] == context and "identity" not in told and "[$LATEST]" in told["logStreamName"]
    assert 0 < told["left"] <= 120000
    assert told["trace"] == told["xRayTraceId"] and told["trace"].startswith("Root=1-")
    body, trace = b'{"do":"context"}', "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    status, _, answer = fn.signed(service, "POST", f"/2015-03-31/functions/{function}/invocations", body,
                                  {"X-Amzn-Trace-Id": trace})
    assert (status, json.loads(answer)["trace"], json.loads(answer)["xRayTraceId"]) == (200, trace, trace)


def test_lines_are_logged(service, function):
    answer = service.client().invoke(FunctionName=function, Payload=b'{"do":"log"}', LogType="Tail")
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    request = answer["ResponseMetadata"]["RequestId"]
    assert any(line.endswith(f"\t{request}\tINFO\ta line") for line in lines), lines
    assert any(line.endswith(f"\t{request}\tERROR\tan error line") for line in lines), lines


def test_an_answer_that_is_too_large(service, function):
    """The native client hears 413 and ends its loop, with status 0: the next call has another process."""
    told, kind = ask(service, function, {"do": "large", "size": 7000000})
    assert (kind, told["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    assert ask(service, function, 1) == (1, None)


def test_a_process_that_ends(service, function):
    told, kind = ask(service, function, {"do": "exit"})
    assert (kind, told["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert "exit status 3" in told["errorMessage"]
    assert ask(service, function, 1) == (1, None)


def test_time_that_is_up(service):
    with deployed(service, Timeout=3) as name:
        told, kind = ask(service, name, {"do": "hang"})
        assert (kind, told["errorType"]) == ("Unhandled", "Sandbox.Timedout")
        assert ask(service, name, 1) == (1, None)


@pytest.mark.parametrize("env", [NATIVE, HTTP], ids=["native", "http"])
def test_streams(service, env):
    with deployed(service, entry="index.stream", env=env) as name:
        streamed = Streamed(service, name, {"count": 150, "size": 65536})
        assert streamed.headers["content-type"] == "application/vnd.amazon.eventstream"
        assert streamed.whole() == (b"x" * 150 * 65536 + b"the end", {})
        payload, complete = Streamed(service, name, {"count": 2, "size": 5, "fails": True}).whole()
        told = json.loads(complete["ErrorDetails"])
        assert (payload, told["errorType"], told["errorMessage"]) == (b"x" * 10, "TypeError", "in the middle")
        # Who asks plainly gets it whole, from the same process.
        answer = service.client().invoke(FunctionName=name, Payload=b'{"count":2,"size":2}')
        assert answer["Payload"].read() == b"xxxxthe end"


@pytest.mark.parametrize("handler, name, entry", [
    ("export const handler = async (event) => ({ esm: event });", "index.mjs", "index.handler"),
    ("exports.handler = async (event) => ({ esm: event });", "lib/deep.cjs", "lib/deep.handler"),
    ("exports.a = { b: { handler: async (event) => ({ esm: event }) } };", "index.js", "index.a.b.handler"),
], ids=["esm", "cjs in a folder", "nested"])
def test_handlers_of_every_shape(service, handler, name, entry):
    with deployed(service, handler, name, entry) as function:
        assert ask(service, function, [1]) == ({"esm": [1]}, None)


@pytest.mark.parametrize("handler, entry, kind", [
    ("exports.other = 1;", "index.handler", "Runtime.HandlerNotFound"),
    ("this is no JavaScript", "index.handler", "Runtime.UserCodeSyntaxError"),
    ("require('left-pad');", "index.handler", "Runtime.ImportModuleError"),
    ("throw new EvalError('while it was loaded');", "index.handler", "EvalError"),
    ("exports.handler = async () => 1;", "handler", "Runtime.MalformedHandlerName"),
], ids=["no handler", "syntax", "no module", "throws", "bad name"])
def test_a_start_that_fails_is_told(service, handler, entry, kind):
    with deployed(service, handler, entry=entry) as function:
        told, error = ask(service, function, 1)
        assert (error, told["errorType"]) == ("Unhandled", kind), told
        assert ask(service, function, 1)[0]["errorType"] == kind  # each start says so anew


def test_the_runtime_in_a_layer(service):
    """The package holds the handler alone: /opt/bootstrap is the runtime."""
    client, layer = service.client(), fn.fresh_name("runtime")
    content = fn.zip_of({**files(handler=None), "bootstrap": bootstrap("/opt")})
    arn = client.publish_layer_version(LayerName=layer, Content={"ZipFile": content})["LayerVersionArn"]
    name = fn.fresh_name("official")
    with fn.function(client, name, Handler="index.handler", Layers=[arn], Code={"ZipFile": fn.zip_of({"index.js": HANDLER})}):
        assert ask(service, name, {"a": 1}) == ({"a": 1}, None)
        assert ask(service, name, {"do": "throw"})[0]["errorType"] == "RangeError"
    client.delete_layer_version(LayerName=layer, VersionNumber=1)


def test_many_callers(service):
    from concurrent.futures import ThreadPoolExecutor
    with deployed(service) as name, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: ask(service, name, n), range(40))) == [(n, None) for n in range(40)]
