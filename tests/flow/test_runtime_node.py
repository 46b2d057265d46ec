# SPDX-License-Identifier: MIT
"""The Node.js runtime by itself: handlers as people write them, against a small Runtime API."""
import base64
import json
import os
import re

import pytest

from runtime_api import Quirks, RuntimeApi

pytestmark = pytest.mark.skipif(not os.access("/usr/bin/node", os.X_OK), reason="/usr/bin/node is missing")


class Function:
    """A folder with a module, and the runtime started on it."""

    def __init__(self, api, build, task):
        self.api, self.task = api, task
        self.bootstrap = build / "runtime" / "runtimes" / "node" / "bootstrap"

    def start(self, source, handler="index.handler", file="index.js", **env):
        path = self.task / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        self.api.start([self.bootstrap], cwd=self.task, env={
            "_HANDLER": handler, "LAMBDA_TASK_ROOT": str(self.task), "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/under-test",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0", **env})
        return self.api


@pytest.fixture
def function(build, tmp_path):
    with RuntimeApi() as api:
        yield Function(api, build, tmp_path)


def test_events_and_results(function):
    api = function.start("exports.handler = async (event) => event;\n")
    for event in ({"a": [1, 2.5, None, True, "\u00fc\U0001f600"]}, [], "text", 7, None, {"deep": [[[{}]]]}):
        answer = api.invoke(event)
        assert (answer.kind, answer.json) == ("response", event)
        assert answer.headers["Content-Type"] == "application/json"
    assert api.invoke(b"").json is None
    large = "\u00fc" * 3000000
    assert api.invoke(large).json == large


@pytest.mark.parametrize("source, file", [
    ("exports.handler = async (e) => e + 1;", "index.js"),
    ("exports.handler = (e) => Promise.resolve(e + 1);", "index.cjs"),
    ("export const handler = async (e) => e + 1;", "index.mjs"),
    ("import fs from 'fs';\nexport default { handler: async (e) => e + 1 };", "index.mjs"),
    ("exports.handler = (e, c, callback) => callback(null, e + 1);", "index.js"),
    ("exports.handler = (e, c, callback) => { setTimeout(() => callback(null, e + 1), 5); };", "index.js"),
    ("exports.handler = (e, c) => { c.succeed(e + 1); };", "index.js"),
    ("exports.handler = (e, c) => { c.done(null, e + 1); };", "index.js"),
    ("exports.handler = (e, c, cb) => { c.callbackWaitsForEmptyEventLoop = false;\n"
     "  setInterval(() => {}, 1000); cb(null, e + 1); };", "index.js"),
    ("const wait = new Promise((r) => setTimeout(r, 5));\nawait wait;\nexport const handler = async (e) => e + 1;",
     "index.mjs"),
], ids=["async", "promise", "esm", "esm-default", "callback", "later", "succeed", "done", "not-waiting", "top-level-await"])
def test_handlers_of_every_shape(function, source, file):
    api = function.start(source, file=file)
    assert [api.invoke(n).json for n in (1, 2, 3)] == [2, 3, 4]


def test_a_package_says_that_js_is_esm(function):
    (function.task / "package.json").write_text('{"type": "module"}')
    api = function.start("import path from 'path';\nexport const handler = async () => path.sep;\n")
    assert api.invoke({}).json == "/"


def test_modules_in_folders_nested_handlers_and_dependencies(function):
    library = function.task / "node_modules" / "left"
    library.mkdir(parents=True)
    (library / "package.json").write_text('{"name": "left", "version": "1.0.0", "main": "main.js"}')
    (library / "main.js").write_text("module.exports = 'left';\n")
    api = function.start("exports.api = { v1: async () => require('left') };\n", "src/deep/app.api.v1", "src/deep/app.js")
    assert api.invoke({}).json == "left"


def test_results_without_a_value(function):
    api = function.start("exports.handler = (e, c, callback) => {\n"
                         "  if (e === 'nothing') return;\n"
                         "  if (e === 'undefined') return Promise.resolve(undefined);\n"
                         "  if (e === 'function') return Promise.resolve(() => 1);\n"
                         "  callback();\n};\n")
    for event in ("nothing", "undefined", "function", "callback"):
        assert api.invoke(event).json is None


def test_the_callback_waits_for_what_was_begun(function):
    api = function.start("const done = [];\nexports.handler = (e, c, callback) => {\n"
                         "  setTimeout(() => done.push(e), 30);\n  callback(null, done);\n};\n")
    assert api.invoke("first").json == ["first"]
    assert api.invoke("second").json == ["first", "second"]


def test_the_context(function):
    api = function.start("exports.handler = async (e, c) => [c.awsRequestId, c.functionName, c.functionVersion,\n"
                         "  c.memoryLimitInMB, c.invokedFunctionArn, c.logGroupName, c.logStreamName,\n"
                         "  c.getRemainingTimeInMillis() > 0, c.clientContext, c.identity,\n"
                         "  process.env._X_AMZN_TRACE_ID ?? null];\n")
    plain = api.invoke({}).json
    assert re.fullmatch("[0-9a-f-]{36}", plain[0])
    assert plain[1:8] == ["under-test", "$LATEST", "128",
                          "arn:aws:lambda:us-east-1:000000000000:function:under-test",
                          "/aws/lambda/under-test", "2026/01/01/[$LATEST]0", True]
    assert plain[8:] == [None, None, None]
    full = api.invoke({}, **{
        "Lambda-Runtime-Client-Context": '{"custom":{"a":"\u00fc"}}'.encode().decode("latin-1"),
        "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
        "Lambda-Runtime-Trace-Id": "Root=1;Sampled=1"}).json
    assert full[8:] == [{"custom": {"a": "\u00fc"}}, {"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"},
                        "Root=1;Sampled=1"]
    assert api.invoke({}).json[10] is None


def test_an_exception_is_the_callers_error_with_its_stack(function):
    api = function.start("class Bad extends Error { constructor(m) { super(m); this.name = 'Bad'; } }\n"
                         "exports.handler = async (e) => { if (e) throw new Bad('no \"good\"'); return 'fine'; };\n")
    answer = api.invoke(True)
    error = answer.json
    assert (answer.kind, error["errorType"], error["errorMessage"]) == ("error", "Bad", 'no "good"')
    assert error["trace"][0] == 'Bad: no "good"'
    assert "%s/index.js:2:" % function.task in error["trace"][1]
    assert api.invoke(False).json == "fine"
    line = next(line for line in api.output().splitlines() if "\tERROR\tInvoke Error \t" in line)
    logged = json.loads(line.split("\t")[4])
    assert (logged["errorType"], logged["errorMessage"]) == ("Bad", 'no "good"')


def test_other_ways_to_fail(function):
    api = function.start("exports.handler = (e, c, callback) => {\n"
                         "  if (e === 'callback') return callback(new RangeError('by callback'));\n"
                         "  if (e === 'string') return callback('just text');\n"
                         "  if (e === 'fail') return c.fail(new Error('by context'));\n"
                         "  if (e === 'sync') throw new TypeError('at once');\n"
                         "  if (e === 'circular') { const o = {}; o.o = o; return Promise.resolve(o); }\n"
                         "  if (e === 'bigint') return Promise.resolve(1n);\n"
                         "  if (e === 'large') return Promise.resolve('x'.repeat(7000000));\n"
                         "  return Promise.resolve('fine');\n};\n")

    def failed(event):
        answer = api.invoke(event)
        assert answer.kind == "error"
        return answer.json["errorType"], answer.json["errorMessage"]

    assert failed("callback") == ("RangeError", "by callback")
    assert failed("string") == ("string", "just text")
    assert failed("fail") == ("Error", "by context")
    assert failed("sync") == ("TypeError", "at once")
    assert failed("circular")[0] == "Runtime.MarshalError"
    assert failed("bigint")[0] == "Runtime.MarshalError"
    assert failed("large")[0] == "Function.ResponseSizeTooLarge"
    assert failed(b"{bad")[0] == "Runtime.UnmarshalError"
    assert api.invoke("fine").json == "fine"


def test_what_nobody_caught_ends_the_process(function):
    api = function.start("exports.handler = (e) => new Promise(() => {\n"
                         "  setTimeout(() => { throw new Error('stray'); }, 5);\n});\n")
    answer = api.invoke({})
    assert (answer.kind, answer.json["errorType"], answer.json["errorMessage"]) == ("error", "Error", "stray")
    assert api.wait_end() == 129
    api = function.start("exports.handler = (e) => new Promise(() => {\n"
                         "  setTimeout(() => Promise.reject(new Error('rejected')), 5);\n});\n")
    answer = api.invoke({})
    assert (answer.json["errorType"], answer.json["errorMessage"]) == ("Runtime.UnhandledPromiseRejection", "Error: rejected")
    assert api.wait_end() == 128


def test_a_promise_that_nothing_can_settle_is_an_error(function):
    api = function.start("exports.handler = (e) => e ? Promise.resolve(e) : new Promise(() => {});\n")
    answer = api.invoke(None)
    assert (answer.kind, answer.json["errorType"]) == ("error", "Runtime.ExitError")
    assert api.invoke(5).json == 5


@pytest.mark.parametrize("source, handler, kind, message", [
    ("require('nothing-there');", "index.handler", "Runtime.ImportModuleError", "Cannot find module 'nothing-there'"),
    ("exports.x = 1;", "missing.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'missing'"),
    ("exports.x = 1;", "index.handler", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
    ("exports.handler = 1;", "index.handler", "Runtime.HandlerNotFound", "index.handler is not a function"),
    ("exports.x = 1;", "handler", "Runtime.MalformedHandlerName", "Bad handler"),
    ("exports.x = 1;", "../index.handler", "Runtime.MalformedHandlerName", "Bad handler"),
    ("exports.handler = async (", "index.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
    ("throw new RangeError('at load');", "index.handler", "RangeError", "at load"),
])
def test_a_start_that_fails(function, source, handler, kind, message):
    api = function.start(source, handler)
    answer = api.answer()
    assert answer.kind == "init"
    assert answer.json["errorType"] == kind
    assert message in answer.json["errorMessage"]
    assert api.wait_end() == 1
    assert kind in api.output()


def test_log_lines(function):
    api = function.start("console.log('at load');\n"
                         "exports.handler = async (e, c) => { console.log('a %s', 'b', { c: 1 }); console.error('two\\nlines');\n"
                         "  console.debug('details'); return c.awsRequestId; };\n")
    request_id = api.invoke({}).json
    lines = api.output().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert any(re.fullmatch(stamp + r"\tundefined\tINFO\tat load", line) for line in lines)
    assert any(re.fullmatch(stamp + "\t" + request_id + r"\tINFO\ta b \{ c: 1 \}", line) for line in lines)
    assert any(re.search("\t" + request_id + "\tDEBUG\tdetails$", line) for line in lines)
    assert "\t" + request_id + "\tERROR\ttwo\rlines\n" in api.output()


def test_the_log_level_of_the_environment(function):
    api = function.start("exports.handler = async () => { console.info('quiet'); console.warn('loud'); };\n",
                         AWS_LAMBDA_LOG_LEVEL="WARN")
    api.invoke({})
    assert "loud" in api.output() and "quiet" not in api.output()


def test_connections_that_close_and_events_in_chunks(function):
    api = function.start("exports.handler = async (event) => event;\n")
    api.quirks = Quirks(close_after_next=True)
    assert [api.invoke(n).json for n in range(3)] == [0, 1, 2]
    for chunk in (1, 7, 60000):
        api.quirks = Quirks(chunked=chunk)
        text = "\u00fc" * (500 if chunk < 10 else 100000)
        assert api.invoke(text).json == text
    api.quirks = Quirks(drop_next=1)
    assert api.invoke(1).json == 1
    assert api.invoke(2).json == 2
    api.quirks = Quirks(response_status=413)
    assert api.invoke(3).json["errorType"] == "Function.ResponseSizeTooLarge"
    api.quirks = Quirks()
    assert api.invoke(4).json == 4


# ---- streamed answers

STREAM = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
    if (event === 'early') throw new Error('before it began');
    if (event === 'http') stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { a: 'b' } });
    else stream.setContentType('text/plain');
    if (event === 'bare') return;
    for (let i = 0; i < (event.count || 3); i++) {
        if (!stream.write('x'.repeat(event.size || 10))) await new Promise((go) => stream.once('drain', go));
    }
    if (event === 'late') throw new RangeError('in the middle');
    stream.end('the end');
});
"""


def test_a_stream_is_sent_as_it_is_written(function):
    api = function.start(STREAM)
    answer = api.invoke("some")
    assert answer.body == b"x" * 30 + b"the end"
    assert answer.headers["Lambda-Runtime-Function-Response-Mode"] == "streaming"
    assert answer.headers["Content-Type"] == "text/plain"
    assert (len(answer.chunks), answer.trailers) == (4, {})
    assert api.invoke("bare").body == b""
    large = api.invoke({"count": 200, "size": 65536})  # 13 MB: more than a whole answer may have
    assert len(large.body) == 200 * 65536 + 7
    assert api.invoke("some").body == answer.body


def test_a_stream_with_a_status_in_front(function):
    api = function.start(STREAM)
    answer = api.invoke("http")
    assert answer.headers["Content-Type"] == "application/vnd.awslambda.http-integration-response"
    prelude, _, body = answer.body.partition(b"\0" * 8)
    assert (json.loads(prelude), body) == ({"statusCode": 201, "headers": {"a": "b"}}, b"x" * 30 + b"the end")


def test_a_stream_that_fails(function):
    api = function.start(STREAM)
    answer = api.invoke("early")
    assert (answer.kind, answer.json["errorMessage"]) == ("error", "before it began")
    answer = api.invoke("late")
    assert (answer.kind, answer.body) == ("response", b"x" * 30)
    assert answer.trailers["Lambda-Runtime-Function-Error-Type"] == "RangeError"
    told = json.loads(base64.b64decode(answer.trailers["Lambda-Runtime-Function-Error-Body"], validate=True))
    assert (told["errorType"], told["errorMessage"]) == ("RangeError", "in the middle")
    assert api.invoke("some").body == b"x" * 30 + b"the end"


def test_a_stream_that_nobody_takes_any_more(function):
    api = function.start(STREAM)
    api.quirks = Quirks(hang_up_after=200000)
    answer = api.invoke({"count": 400, "size": 65536})
    assert answer.kind == "hung-up"
    api.quirks = Quirks()
    assert api.invoke("some").body == b"x" * 30 + b"the end"
