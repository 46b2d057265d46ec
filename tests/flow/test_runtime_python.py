# SPDX-License-Identifier: MIT
"""The Python runtime by itself: handlers as people write them, against a small Runtime API."""
import os
import re

import pytest

from runtime_api import Quirks, RuntimeApi

pytestmark = pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="/usr/bin/python3 is missing")


class Function:
    """A folder with a module, and the runtime started on it."""

    def __init__(self, api, build, task):
        self.api, self.task = api, task
        self.bootstrap = build / "runtime" / "runtimes" / "python" / "bootstrap"

    def start(self, source, handler="app.handler", file="app.py", **env):
        path = self.task / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        self.api.start([self.bootstrap], cwd=self.task, env={
            "_HANDLER": handler, "LAMBDA_TASK_ROOT": str(self.task), "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/under-test",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0", "PYTHONDONTWRITEBYTECODE": "1", **env})
        return self.api


@pytest.fixture
def function(build, tmp_path):
    with RuntimeApi() as api:
        yield Function(api, build, tmp_path)


def test_events_and_results(function):
    api = function.start("def handler(event, context):\n    return event\n")
    for event in ({"a": [1, 2.5, None, True, "\u00fc\U0001f600"]}, [], "text", 7, None, {"deep": [[[{}]]]}):
        answer = api.invoke(event)
        assert (answer.kind, answer.json) == ("response", event)
        assert answer.headers["Content-Type"] == "application/json"
    assert api.invoke(b"").json is None
    assert api.invoke({"a": "\u00fc"}).body == '{"a": "\u00fc"}'.encode()


def test_the_context(function):
    api = function.start(
        "import os\n"
        "def handler(event, c):\n"
        "    cc, ident = c.client_context, c.identity\n"
        "    return [c.aws_request_id, c.function_name, c.function_version, c.memory_limit_in_mb,\n"
        "            c.invoked_function_arn, c.log_group_name, c.log_stream_name,\n"
        "            c.get_remaining_time_in_millis() > 0, cc and [cc.custom, cc.env, cc.client.app_title],\n"
        "            [ident.cognito_identity_id, ident.cognito_identity_pool_id], os.environ.get('_X_AMZN_TRACE_ID')]\n")
    plain = api.invoke({}).json
    assert re.fullmatch("[0-9a-f-]{36}", plain[0])
    assert plain[1:8] == ["under-test", "$LATEST", "128",
                          "arn:aws:lambda:us-east-1:000000000000:function:under-test",
                          "/aws/lambda/under-test", "2026/01/01/[$LATEST]0", True]
    assert plain[8:] == [None, [None, None], None]
    full = api.invoke({}, **{
        "Lambda-Runtime-Client-Context": '{"custom":{"a":"\u00fc"},"env":{},"client":{"app_title":"t"}}'.encode().decode("latin-1"),
        "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
        "Lambda-Runtime-Trace-Id": "Root=1;Sampled=1"}).json
    assert full[8:] == [[{"a": "\u00fc"}, {}, "t"], ["i", "p"], "Root=1;Sampled=1"]


def test_an_exception_is_the_callers_error_with_its_stack(function):
    api = function.start("def inner():\n    raise ValueError('no \"good\"')\n\n"
                         "def handler(event, context):\n    if event:\n        inner()\n    return 'fine'\n")
    answer = api.invoke(True)
    error = answer.json
    assert (answer.kind, error["errorType"], error["errorMessage"]) == ("error", "ValueError", 'no "good"')
    assert error["stackTrace"] == ['  File "%s/app.py", line 6, in handler\n    inner()\n' % function.task,
                                   '  File "%s/app.py", line 2, in inner\n    raise ValueError(\'no "good"\')\n' % function.task]
    assert re.fullmatch("[0-9a-f-]{36}", error["requestId"])
    assert api.invoke(False).json == "fine"
    assert '[ERROR] ValueError: no "good"\nTraceback (most recent call last):\n  File "%s/app.py", line 6' % function.task \
        in api.output()


def test_results_that_are_not_json(function):
    api = function.start("import decimal\ndef handler(event, context):\n    return eval(event)\n")
    answer = api.invoke("{1, 2}")
    assert answer.json["errorType"] == "Runtime.MarshalError"
    assert answer.json["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"
    assert answer.headers["Lambda-Runtime-Function-Error-Type"] == "Runtime.MarshalError"
    assert api.invoke("[decimal.Decimal('1.5'), decimal.Decimal(7)]").json == [1.5, 7]
    assert api.invoke("'x' * 7000000").json["errorType"] == "Function.ResponseSizeTooLarge"
    assert api.invoke(b"{bad").json["errorType"] == "Runtime.UnmarshalError"
    assert api.invoke("1 + 1").json == 2


def test_sys_exit_in_a_handler_ends_the_process(function):
    api = function.start("import sys\ndef handler(event, context):\n    sys.exit(7)\n")
    api.send({})
    assert api.wait_end() == 7


@pytest.mark.parametrize("source, handler, kind, message", [
    ("import nothing_there\n", "app.handler", "Runtime.ImportModuleError",
     "Unable to import module 'app': No module named 'nothing_there'"),
    ("x = 1\n", "missing.handler", "Runtime.ImportModuleError",
     "Unable to import module 'missing': No module named 'missing'"),
    ("x = 1\n", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
    ("x = 1\n", "handler", "Runtime.MalformedHandlerName",
     "Bad handler 'handler': not enough values to unpack (expected 2, got 1)"),
    ("x = 1\n", "sys.exit", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
    ("def handler(:\n", "app.handler", "Runtime.UserCodeSyntaxError",
     "Syntax error in module 'app': invalid syntax (app.py, line 1)"),
    ("1 / 0\n", "app.handler", "ZeroDivisionError", "division by zero"),
    ("import sys; sys.exit('no licence')\n", "app.handler", "SystemExit", "no licence"),
])
def test_a_start_that_fails(function, source, handler, kind, message):
    api = function.start(source, handler)
    answer = api.answer()
    assert answer.kind == "init"
    assert (answer.json["errorType"], answer.json["errorMessage"]) == (kind, message)
    assert all("lamina_runtime" not in line for line in answer.json["stackTrace"])
    assert api.wait_end() == 1
    assert "[ERROR] %s: %s" % (kind, message) in api.output()


def test_handlers_in_folders(function):
    (function.task / "pkg" / "deep").mkdir(parents=True)
    for handler in ("pkg/deep/app.handler", "pkg.deep.app.handler"):
        api = function.start("from . import side\ndef handler(event, context):\n    return side.VALUE\n", handler,
                             "pkg/deep/app.py")
        (function.task / "pkg/deep/side.py").write_text("VALUE = 42\n")
        assert api.invoke({}).json == 42
        api.stop()


def test_log_lines(function):
    api = function.start(
        "import logging\nlogging.getLogger().setLevel(logging.INFO)\nlogging.info('at import')\n"
        "def handler(event, context):\n    print('printed')\n    logging.info('told %s', event)\n"
        "    logging.debug('not told')\n    context.log('by context\\n')\n    return context.aws_request_id\n")
    request_id = api.invoke("me").json
    text = api.output()
    assert re.search(r"^\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t\tat import$", text, re.MULTILINE)
    assert re.search(r"^\[INFO\]\t\S+Z\t%s\ttold me$" % request_id, text, re.MULTILINE)
    assert "printed\n" in text and "by context\n" in text and "not told" not in text


@pytest.mark.parametrize("level, shown", [(None, False), ("INFO", True), ("DEBUG", True), ("ERROR", False)])
def test_the_log_level_of_the_environment(function, level, shown):
    env = {"AWS_LAMBDA_LOG_LEVEL": level} if level else {}
    api = function.start("import logging\ndef handler(event, context):\n    logging.info('told')\n", **env)
    api.invoke({})
    assert ("told" in api.output()) == shown


def test_connections_that_close_and_events_in_chunks(function):
    api = function.start("def handler(event, context):\n    return event\n")
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
    large = "x" * 6000000
    assert api.invoke(large).json == large


def test_the_functions_files_come_first(function):
    """A package of the function's own beats the runtime's and the system's, except what is loaded already."""
    (function.task / "email").mkdir()
    (function.task / "email" / "__init__.py").write_text("OURS = True\n")
    api = function.start("import email, sys\ndef handler(event, context):\n    return [email.OURS, sys.path[0]]\n")
    assert api.invoke({}).json == [True, str(function.task)]
