# SPDX-License-Identifier: MIT
"""The Python runtime: imports the function's handler and serves invocations with it.

A function for `python3.x` is a module with a function `handler(event, context)`. This is the bootstrap
around it: what AWS's awslambdaric does, in the same words (error types, messages, log lines), on the
interpreter of the host. It speaks the Runtime API over one kept-alive socket; nothing but the
standard library is imported, and of that as little as possible, since all of it is part of a cold start.

  _HANDLER               module.function; the module may be in folders ("pkg/app.handler", "pkg.app.handler")
  LAMBDA_TASK_ROOT       where the function's files are: first on sys.path
  AWS_LAMBDA_LOG_LEVEL   of the root logger (TRACE DEBUG INFO WARN ERROR FATAL)
"""
import _socket
import json
import logging
import os
import sys
import time

API = "/2018-06-01/runtime/"
RESPONSE_BYTES_MAX = 6 * 1024 * 1024 + 100
FRAMES_OF_OURS = 1  # of a traceback: the one that calls the handler


# ---- the Runtime API

class RuntimeApi:
    """One HTTP/1.1 connection, made anew once when it turns out closed: it may have died while frozen."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.family = _socket.AF_INET6 if ":" in self.address[0] else _socket.AF_INET
        self.host = address
        self.socket = None
        self.first_headers = ""  # of the first request for work only

    def _connect(self):
        self.socket = _socket.socket(self.family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self.socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self.socket.connect(self.address)

    def _close(self):
        self.socket.close()
        self.socket = None

    def exchange(self, method, path, headers="", body=b""):
        """(status, headers with lower-case names, body)"""
        request = ("%s %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: lamina-python\r\n%sContent-Length: %d\r\n\r\n"
                   % (method, API, path, self.host, headers, len(body))).encode("latin-1") + body
        was_used = self.socket is not None
        try:
            return self._exchange(request)
        except OSError:
            if self.socket is not None:
                self._close()
            if not was_used:
                raise
        return self._exchange(request)

    def _exchange(self, request):
        if self.socket is None:
            self._connect()
        self.socket.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._receive()
        lines = data[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self._body(headers, data[end + 4:])
        if headers.get("connection", "").lower() == "close":
            self._close()
        return int(lines[0].split(" ", 2)[1]), headers, body

    def _receive(self):
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionResetError("the Runtime API closed the connection")
        return data

    def _body(self, headers, data):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks(data)
        size = int(headers.get("content-length", 0))
        if len(data) >= size:
            return data[:size]
        parts, have = [data], len(data)
        while have < size:
            parts.append(self._receive())
            have += len(parts[-1])
        return b"".join(parts)

    def _chunks(self, data):
        body = []
        while True:
            while (end := data.find(b"\r\n")) < 0:
                data += self._receive()
            size = int(data[:end].split(b";")[0], 16)
            data = data[end + 2:]
            while len(data) < size + 2:
                data += self._receive()
            if size == 0:
                return b"".join(body)
            body.append(data[:size])
            data = data[size + 2:]


# ---- what a handler is given

class CognitoIdentity:
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self, fields):
        self.cognito_identity_id = fields.get("cognitoIdentityId")
        self.cognito_identity_pool_id = fields.get("cognitoIdentityPoolId")


class Client:
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")

    def __init__(self, fields):
        for name in self.__slots__:
            setattr(self, name, fields.get(name))


class ClientContext:
    __slots__ = ("custom", "env", "client")

    def __init__(self, fields):
        self.custom = fields.get("custom")
        self.env = fields.get("env")
        self.client = Client(fields["client"]) if fields.get("client") else None


class LambdaContext:
    """As https://docs.aws.amazon.com/lambda/latest/dg/python-context.html has it."""

    # The same for all invocations of a process.
    function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
    memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
    log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")

    def __init__(self, headers):
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        client_context = headers.get("lambda-runtime-client-context")
        self.client_context = ClientContext(_fields(client_context)) if client_context else None
        self.identity = CognitoIdentity(_fields(headers.get("lambda-runtime-cognito-identity")))
        self._deadline_ms = int(headers.get("lambda-runtime-deadline-ms") or 0)

    def get_remaining_time_in_millis(self):
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        names = ("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb",
                 "function_version", "invoked_function_arn", "client_context", "identity")
        return "LambdaContext([%s])" % ",".join("%s=%s" % (name, getattr(self, name)) for name in names)


def _fields(text):
    """An object out of a header, which holds UTF-8 read as Latin-1; {} for none."""
    if not text:
        return {}
    fields = json.loads(text.encode("latin-1").decode("utf-8"))
    return fields if isinstance(fields, dict) else {}


# ---- logging

class RequestFilter(logging.Filter):
    request_id = ""

    def filter(self, record):
        record.aws_request_id = RequestFilter.request_id
        return True


def start_logging():
    """Lambda's line for each record. The root logger has its handler before the function's module is
    imported, and WARNING as its level unless the environment says otherwise."""
    # stdout is a pipe to the platform: a line must leave when it is written, not when a buffer is full.
    sys.stdout.reconfigure(line_buffering=True)
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
                                  "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(RequestFilter())
    handler.terminator = ""
    root = logging.getLogger()
    root.addHandler(handler)
    level = {"TRACE": "DEBUG", "FATAL": "CRITICAL", "WARN": "WARNING"}.get(
        os.environ.get("AWS_LAMBDA_LOG_LEVEL", ""), os.environ.get("AWS_LAMBDA_LOG_LEVEL", ""))
    if level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        root.setLevel(level)


# ---- errors

class Fault(Exception):
    """An error of the function's owner's, found by the runtime."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.trace = list(trace)


def error_of(exception, frames_to_skip, request_id):
    """What the caller is told. The stack is the function's own: without the runtime's frames."""
    if isinstance(exception, Fault):
        kind, message, trace = exception.kind, exception.message, exception.trace
    else:
        import traceback
        kind, message = type(exception).__name__, str(exception)
        trace = traceback.format_list(traceback.extract_tb(exception.__traceback__)[frames_to_skip:])
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}


def log_error(error):
    lines = ["[ERROR] %s: %s" % (error["errorType"], error["errorMessage"])]
    if error["stackTrace"]:
        lines += ["Traceback (most recent call last):"] + [line.rstrip("\n") for line in error["stackTrace"]]
    print("\n".join(lines), flush=True)


def report(api, path, error):
    """Posts an error. Its type travels as a header too, in the one form that the platform counts by."""
    kind = error["errorType"]
    header = kind if kind.startswith(("Runtime.", "Function.")) and kind.isascii() and kind.isprintable() \
        else "Function.Unhandled"
    api.exchange("POST", path, "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: %s\r\n" % header,
                 json.dumps(error).encode())


# ---- the handler

def find_handler(name):
    import importlib
    try:
        module_name, function_name = name.rsplit(".", 1)
    except ValueError as error:
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '%s': %s" % (name, error)) from error
    try:
        if module_name.split(".")[0] in sys.builtin_module_names:
            raise Fault("Runtime.BuiltInModuleConflict",
                        "Cannot use built-in module %s as a handler module" % module_name)
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error)) from error
    except SyntaxError as error:
        place = '  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)
        raise Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, error),
                    [place]) from error
    try:
        return getattr(module, function_name)
    except AttributeError as error:
        raise Fault("Runtime.HandlerNotFound",
                    "Handler '%s' missing on module '%s'" % (function_name, module_name)) from error


def _plain(value):
    """What json does not know and AWS's runtime does: decimal.Decimal, which DynamoDB answers with."""
    if type(value).__name__ == "Decimal":
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def call_handler(handler, payload, context):
    """The answer as bytes; a Fault when the event or the result is not JSON."""
    try:
        event = json.loads(payload) if payload else None
    except ValueError as error:
        raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error) from error
    result = handler(event, context)
    try:
        return json.dumps(result, ensure_ascii=False, default=_plain).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error) from error


def serve_one(api, handler):
    status, headers, payload = api.exchange("GET", "invocation/next", api.first_headers)
    api.first_headers = ""
    if status != 200:
        raise OSError("the Runtime API answered %d to a request for work" % status)
    context = LambdaContext(headers)
    RequestFilter.request_id = context.aws_request_id
    if "lambda-runtime-trace-id" in headers:
        os.environ["_X_AMZN_TRACE_ID"] = headers["lambda-runtime-trace-id"]
    path = "invocation/%s/" % context.aws_request_id
    try:
        answer = call_handler(handler, payload, context)
        if len(answer) > RESPONSE_BYTES_MAX:
            raise Fault("Function.ResponseSizeTooLarge",
                        "Response payload size (%d bytes) exceeded maximum allowed payload size (%d bytes)."
                        % (len(answer), RESPONSE_BYTES_MAX))
    except Exception as exception:  # whatever a handler raises is the invocation's end, not ours
        error = error_of(exception, FRAMES_OF_OURS + 1, context.aws_request_id)
        log_error(error)
        report(api, path + "error", error)
        return
    finally:
        sys.stdout.flush()
    status, _, body = api.exchange("POST", path + "response", "Content-Type: application/json\r\n", answer)
    if status == 413:
        report(api, path + "error", error_of(Fault("Function.ResponseSizeTooLarge", body.decode("utf-8", "replace")),
                                             0, context.aws_request_id))
    elif status >= 500:
        raise OSError("the Runtime API answered %d to an answer" % status)


def layer_paths():
    """Where the function's layers have modules, in AWS's order; a function without layers looks nowhere."""
    if not os.path.isdir("/opt/python"):
        return []
    return ["/opt/python/lib/python%d.%d/site-packages" % sys.version_info[:2], "/opt/python"]


def fail_start(api, path, exception, kind=None, status=1):
    """Reports why there will be no invocations, and ends."""
    error = error_of(exception, 0, "")
    error["stackTrace"] = [line for line in error["stackTrace"]
                           if "importlib" not in line and "lamina_runtime.py" not in line]
    if kind:
        error["errorType"] = kind
    log_error(error)
    report(api, path, error)
    sys.exit(status)


def serve(api, handler):
    while True:
        try:
            serve_one(api, handler)
        except OSError as error:
            print("lamina-python: %s" % error, file=sys.stderr, flush=True)
            sys.exit(1)


# ---- SnapStart

def hooks():
    """AWS's module, when the function has imported it."""
    return sys.modules.get("snapshot_restore_py")


def before_snapshot(api):
    try:
        registered = hooks().get_before_snapshot() if hooks() else []
        while registered:
            function, args, kwargs = registered.pop()
            function(*args, **kwargs)
    except BaseException as exception:
        fail_start(api, "init/error", exception, "Runtime.BeforeSnapshotError", 64)


def after_restore(api):
    try:
        for function, args, kwargs in hooks().get_after_restore() if hooks() else []:
            function(*args, **kwargs)
    except BaseException as exception:
        fail_start(api, "restore/error", exception, "Runtime.AfterRestoreError", 65)


def serve_restored(handler, restore_ms):
    """In a fork of a template: everything that names an instance is read again."""
    began = time.monotonic()
    LambdaContext.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    after_restore(api)
    restore_ms += (time.monotonic() - began) * 1000
    api.first_headers = "Lamina-Init-Phases: restore=%.3f\r\n" % restore_ms
    serve(api, handler)


def main():
    """Never returns: the process ends when the platform says so, or with 1."""
    # The place of this file, which nobody but bootstrap needs, becomes the function's; ours comes last.
    ours, sys.path[0] = sys.path[0], os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    sys.path[1:1] = layer_paths()
    sys.path.append(ours)
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    snapshot = None
    if "LAMINA_TEMPLATE_FD" in os.environ:
        import lamina_snapshot as snapshot
        snapshot.prepare()
    start_logging()
    try:
        handler = find_handler(os.environ.get("_HANDLER", ""))
    except BaseException as exception:  # SystemExit too: a module may call sys.exit
        fail_start(api, "init/error", exception)
    # A SnapStart function that is started in the ordinary way, for want of a template, still relies on its hooks.
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        before_snapshot(api)
        if snapshot is None:
            after_restore(api)
    if snapshot is None:
        serve(api, handler)
    try:
        snapshot.serve_forks(lambda restore_ms: serve_restored(handler, restore_ms))
    except snapshot.NotForkable as exception:
        fail_start(api, "init/error", exception, "Runtime.NotForkable")
