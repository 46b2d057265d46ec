# SPDX-License-Identifier: MIT
"""A function that does what its event says: the inside view of tests/flow/test_invoke_*.py.

    with probe(client, service, Timeout=120) as name:
        answer = ask(client, name, "env")

The bootstrap is Python (the host's /usr is visible in a sandbox), speaks the Runtime API itself, and keeps one
connection. An event is {"do": a name below, ...}; environment variable INIT says what the init phase does.
"""
import contextlib
import json
import os
import signal

from lambda_function import fresh_name, function, zip_of
from lamina_service import wait_for

BOOTSTRAP = r'''#!/usr/bin/python3
import http.client, json, os, resource, signal, socket, sys, time

PATH = "/2018-06-01/runtime"
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def call(method, path, body=None, headers=None):
    connection.request(method, PATH + path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()


def end(how):
    sys.stdout.flush()
    if how.startswith("exit"):
        os._exit(int(how[4:]))
    if how.startswith("signal"):
        os.kill(os.getpid(), int(how[6:]))
    if how == "hang":
        while True:
            signal.pause()
    if how == "segv":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        import ctypes
        ctypes.string_at(0)
    if how == "memory":
        hog = []
        while True:
            hog.append(bytearray(os.urandom(4096) * 256))


def spin(ms):
    until = time.process_time() + ms / 1000
    while time.process_time() < until:
        pass


def fill(path, size):
    written = 0
    try:
        with open(path, "wb", buffering=0) as out:
            while written < size:
                written += out.write(b"x" * min(1 << 20, size - written))
    except OSError as error:
        return {"written": written, "errno": error.errno}
    finally:
        try:
            os.unlink(path)
        except OSError:
            pass
    return {"written": written, "errno": 0}


def try_write(path):
    try:
        with open(path, "w") as out:
            out.write("x")
    except OSError as error:
        return error.errno
    return 0


def platform(request):
    """What the platform's listener in the sandbox answers to a request."""
    with socket.create_connection(("127.0.0.1", 4566)) as peer:
        peer.sendall(request.encode())
        return peer.recv(65536).decode()


class Answered(Exception):
    pass


def post(id, body, kind="response", headers=None):
    return call("POST", f"/invocation/{id}/{kind}", body, headers)


def handle(id, headers, event):
    do = event.get("do") if isinstance(event, dict) else None
    if do is None:
        return event
    if do == "env":
        return dict(os.environ)
    if do == "head":
        return headers
    if do == "facts":
        return {"cwd": os.getcwd(), "uid": os.getuid(), "gid": os.getgid(), "argv": sys.argv, "pid": os.getpid(),
                "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "nproc": resource.getrlimit(resource.RLIMIT_NPROC),
                "stdin": os.readlink("/proc/self/fd/0"), "tmp": os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize}
    if do == "raw":
        post(id, event["body"].encode("latin-1"), headers=event.get("headers"))
        raise Answered
    if do == "size":
        status, _, body = post(id, b"x" * event["n"])
        print("posted:", status, body.decode())
        if status != 202 and event.get("then"):
            print("then:", post(id, json.dumps(event["then"]), "error")[0])
        raise Answered
    if do == "error":
        post(id, json.dumps(event["body"]), "error", event.get("headers"))
        raise Answered
    if do == "print":
        sys.stdout.write(event["text"])
        sys.stdout.flush()
        return len(event["text"])
    if do == "flood":
        line = b"y" * 99 + b"\n"
        for _ in range(event["lines"] // 100):
            os.write(1, line * 100)
        return "flooded"
    if do == "end":
        end(event["how"])
    if do == "half":
        # Half a response, and then the end of the process.
        peer = socket.create_connection(connection.host and (connection.host, connection.port))
        peer.sendall(f"POST {PATH}/invocation/{id}/response HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        end("exit0")
    if do == "garbage":
        peer = socket.create_connection((connection.host, connection.port))
        peer.sendall(event["bytes"].encode("latin-1"))
        return peer.recv(65536).decode()
    if do == "wrong-id":
        status, _, body = call("POST", "/invocation/no-such-id/response", "1")
        return [status, json.loads(body)]
    if do == "twice":
        first = post(id, "1")[0]
        status, _, body = post(id, "2")
        print("twice:", first, status, body.decode())
        raise Answered
    if do == "spin":
        started = time.monotonic()
        spin(event["ms"])
        return time.monotonic() - started
    if do == "cpus":
        return len(os.sched_getaffinity(0))
    if do == "clock":
        return time.monotonic()
    if do == "count":
        handle.count = getattr(handle, "count", 0) + 1
        return {"count": handle.count, "boot": BOOT}
    if do == "await-signal":
        return signal.sigwait({signal.SIGUSR1})
    if do == "fill":
        return fill(event["path"], event["size"])
    if do == "touch":
        open(event["path"], "w").close()
        return sorted(os.listdir("/tmp"))
    if do == "write":
        return {path: try_write(path) for path in event["paths"]}
    if do == "platform":
        return platform(event["request"])
    if do == "background":
        # A child that goes on after the answer.
        if os.fork() == 0:
            connection.sock.close()
            n = 0
            while True:
                n += 1
                with open("/tmp/ticks", "w") as out:
                    out.write(str(n))
                time.sleep(0.001)
        return "started"
    if do == "ticks":
        with open("/tmp/ticks") as ticks:
            return int(ticks.read() or 0)
    if do == "marker":
        return MARKER
    raise ValueError(do)


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # kept for await-signal, sent from outside
MARKER = "@MARKER@"
BOOT = os.urandom(8).hex()
init = os.environ.get("INIT", "")
if init:
    print("init:", init)
if init == "error":
    status = call("POST", "/init/error", json.dumps({"errorMessage": "no init today", "errorType": "MyInitError",
                                                    "stackTrace": []}),
                  {"Lambda-Runtime-Function-Error-Type": "Runtime.MyInitError"})[0]
    print("init/error:", status)
    sys.stdout.flush()
    os._exit(4)
elif init.startswith("sleep"):
    time.sleep(float(init[5:]))
elif init:
    end(init)
while True:
    status, headers, body = call("GET", "/invocation/next")
    assert status == 200, (status, body)
    id = headers["lambda-runtime-aws-request-id"]
    try:
        try:
            event = json.loads(body)
        except ValueError:
            event = body.decode("latin-1")
        answer = json.dumps(handle(id, headers, event))
        sys.stdout.flush()
        post(id, answer)
    except Answered:
        sys.stdout.flush()
'''

PACKAGE = zip_of({"bootstrap": BOOTSTRAP})


@contextlib.contextmanager
def probe(client, stem="probe", **changes):
    """A probe function; yields its name."""
    name = fresh_name(stem)
    changes.setdefault("Code", {"ZipFile": PACKAGE})
    changes.setdefault("Timeout", 240)
    with function(client, name, **changes):
        yield name


def call(client, name, event=None, **parameters):
    """(answer of boto3, body as bytes)"""
    if event is not None:
        parameters["Payload"] = json.dumps(event).encode()
    answer = client.invoke(FunctionName=name, **parameters)
    return answer, answer["Payload"].read()


def ask(client, name, do, **event):
    """What the function found out; fails if it reported an error."""
    answer, body = call(client, name, {"do": do, **event})
    assert "FunctionError" not in answer, body
    return json.loads(body)


def failure(client, name, event=None, **parameters):
    """(error type, message) of a call that must fail; its log tail comes third."""
    from lambda_function import log_text

    answer, body = call(client, name, event, LogType="Tail", **parameters)
    assert answer.get("FunctionError") == "Unhandled", (answer, body)
    assert answer["StatusCode"] == 200
    error = json.loads(body)
    return error["errorType"], error["errorMessage"], log_text(answer)


def instances(service, name):
    """What `lamina ps` says of a function's instances."""
    listed = json.loads(service.lamina("ps", "-o", "json").stdout)["instances"]
    return [each for each in listed if each["function"] == name]


def kill_instances(service, name):
    """From outside, as the kernel might: their calls end with Runtime.ExitError."""
    for each in instances(service, name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each["pid"], signal.SIGKILL)


def end_instances(service, name):
    """The next call starts anew, whichever instances there were: on a busy machine there may be more than one."""
    kill_instances(service, name)
    wait_for(lambda: not instances(service, name), "the killed instances to be noticed")
