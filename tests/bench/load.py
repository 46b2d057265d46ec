# SPDX-License-Identifier: MIT
"""Under load: events accepted, the first byte of a stream, memory that stays flat, and what neighbours notice of faults.

A neighbour's figures are taken in turn, quiet and during the fault, so that whatever else the machine does is in both."""

import concurrent.futures
import contextlib
import io
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import threading
import time
import urllib.request
import zipfile
from pathlib import Path

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

ROLE = "arn:aws:iam::000000000000:role/bench"

STREAM = r'''#!/usr/bin/python3
import os, socket, time
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
runtime = socket.create_connection((host, int(port)))
runtime.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def answer():
    head = b""
    while b"\r\n\r\n" not in head:
        head += runtime.recv(65536)
    fields = dict(line.split(": ", 1) for line in head.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:])
    fields = {k.lower(): v for k, v in fields.items()}
    body = head.split(b"\r\n\r\n", 1)[1]
    while len(body) < int(fields.get("content-length", 0)):
        body += runtime.recv(65536)
    return fields
while True:
    runtime.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
    name = answer()["lambda-runtime-aws-request-id"]
    runtime.sendall(b"POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                    b"Content-Type: text/plain\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n\r\n" % name.encode())
    time.sleep(0.005)
    text = b"AT:%020d\n" % time.monotonic_ns()
    runtime.sendall(b"%x\r\n%s\r\n" % (len(text), text))
    time.sleep(0.005)
    runtime.sendall(b"3\r\nend\r\n0\r\n\r\n")
    answer()
'''

HOG = r'''
import os, time
LINES = (b"x" * 1023 + b"\n") * 64
def handler(event, context):
    until = time.monotonic() + event["seconds"]
    hog = []
    while time.monotonic() < until:
        if event["do"] == "flood":
            os.write(1, LINES)
        elif event["do"] == "memory":
            hog.append(bytearray(os.urandom(4096) * 256))
        elif event["do"] == "tmp":
            try:
                with open("/tmp/x", "ab") as out:
                    out.write(b"x" * (1 << 20))
            except OSError:
                os.unlink("/tmp/x")
'''
NEVER = "#!/bin/sh\nwhile :; do sleep 1; done\n"
BOMB = "#!/bin/sh\n(while :; do sleep 1000 & done) 2>/dev/null\nexec sleep 1000\n"


def zip_of(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name.replace("_", "."), (2020, 1, 1, 0, 0, 0))
            info.external_attr = 0o100755 << 16
            archive.writestr(info, text)
    return buffer.getvalue()


def client_of(service):
    return boto3.client("lambda", endpoint_url=service.endpoint, region_name="us-east-1",
                        aws_access_key_id=service.env["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=service.env["AWS_SECRET_ACCESS_KEY"],
                        config=Config(retries={"total_max_attempts": 1}, read_timeout=300, max_pool_connections=50))


def create(client, name, **settings):
    client.create_function(**{"FunctionName": name, "Runtime": "provided.al2023", "Handler": "x", "Role": ROLE, "Timeout": 60,
                              "MemorySize": 512, **settings})
    client.get_waiter("function_active_v2").wait(FunctionName=name)


def by_hand(service, method, path, body):
    """What Debian's boto3 does not know yet (InvokeMode)."""
    request = AWSRequest(method, service.endpoint + path, data=json.dumps(body).encode())
    SigV4Auth(Credentials(service.env["AWS_ACCESS_KEY_ID"], service.env["AWS_SECRET_ACCESS_KEY"]), "lambda",
              "us-east-1").add_auth(request)
    made = urllib.request.Request(request.url, request.data, dict(request.headers), method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(made, timeout=60) as answer:
        return json.load(answer)


def pss_mb(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("bench: no Pss of laminad")


def event_rows(service, rows, row, seconds):
    got = service.tool("bench_invoke", "--endpoint", service.endpoint, "--function", "bench-hello", "--callers", 16,
                       "--seconds", seconds, "--event")
    if got["errors"]:
        raise SystemExit(f"bench: {got['errors']} events were not accepted")
    rows.setdefault("async.accept", row("events accepted for good, 16 callers", "/s", 3000, at_least=True)).add(got["per_s"])


def stream_rows(service, rows, row, client, times):
    """From the runtime's first write of a body to the caller's first byte of it: both read the same clock."""
    create(client, "bench-stream", Code={"ZipFile": zip_of(bootstrap=STREAM)})
    client.add_permission(FunctionName="bench-stream", StatementId="all", Action="lambda:InvokeFunctionUrl", Principal="*",
                          FunctionUrlAuthType="NONE")
    url = by_hand(service, "POST", "/2021-10-31/functions/bench-stream/url",
                  {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"})
    host, port = service.endpoint.removeprefix("http://").split(":")
    delays = []
    with socket.create_connection((host, int(port))) as connection:
        request = b"GET /_lamina/url/%s/ HTTP/1.1\r\nHost: x\r\n\r\n" % url["FunctionUrl"].split("//")[1].split(".")[0].encode()
        for _ in range(times):
            connection.sendall(request)
            seen, arrived = b"", None
            while not seen.endswith(b"0\r\n\r\n"):
                piece = connection.recv(65536)
                now = time.monotonic_ns()
                if not piece:
                    raise SystemExit(f"bench: the stream broke off: {seen[-300:]}")
                seen += piece
                if arrived is None and b"AT:" in seen:
                    arrived = now
            delays.append((arrived - int(seen.split(b"AT:")[1][:20])) / 1e6)
    rows.setdefault("stream.first_byte", row("first byte of a stream, after the runtime wrote it, p50", "ms", 1)).add(
        statistics.median(delays))


def flat_rows(service, rows, row, client, calls, cycles):
    laminad = service.children()["laminad"]
    call = ["--endpoint", service.endpoint, "--function", "bench-hello", "--callers", 16]
    service.tool("bench_invoke", *call, "--requests", 5000)
    before = pss_mb(laminad)
    service.tool("bench_invoke", *call, "--requests", calls)
    rows.setdefault("flat.calls", row(f"laminad's growth over {calls:,} calls, PSS", "MB", 2)).add(pss_mb(laminad) - before)
    package = zip_of(bootstrap="#!/bin/sh\n")

    def cycle(number):
        client.create_function(FunctionName="bench-cycle", Runtime="provided.al2023", Handler="x", Role=ROLE,
                               Code={"ZipFile": package}, Description=str(number))
        client.delete_function(FunctionName="bench-cycle")

    for number in range(cycles // 10):
        cycle(number)
    before = pss_mb(laminad)
    for number in range(cycles):
        cycle(number)
    rows.setdefault("flat.cycles", row(f"laminad's growth over {cycles:,} deployments, PSS", "MB", 2)).add(
        pss_mb(laminad) - before)


def restart_row(service, rows, row, client, count, times):
    """Functions with a package each, half of them with a layer; then a stop in order, and how long the start takes."""
    layer = client.publish_layer_version(LayerName="bench-layer", Content={"ZipFile": zip_of(a_txt="a")})["LayerVersionArn"]

    def make(number):
        client.create_function(FunctionName=f"bench-many-{number}", Runtime="provided.al2023", Handler="x", Role=ROLE,
                               Code={"ZipFile": zip_of(bootstrap=f"#!/bin/sh\n#{number}\n")}, Layers=[layer] * (number % 2))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(count)))
    for _ in range(times):
        service.stop()
        start = time.monotonic()
        service.start()
        while not is_ready(service):
            time.sleep(0.002)
        rows.setdefault("restart.ready", row(f"restart to ready with {count:,} functions", "s", 2)).add(
            time.monotonic() - start)


def is_ready(service):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(service.endpoint + "/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


# ---- what neighbours notice


def end_instances(service, name):
    """A runtime that never asks would have its ten seconds of init, and then its time-out, before the next round."""
    for instance in json.loads(service.lamina("ps", "-o", "json"))["instances"]:
        if instance["function"] == name and instance["pid"] > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(instance["pid"], signal.SIGKILL)


@contextlib.contextmanager
def calling(service, client, name, event):
    """Somebody calls that function again and again, whatever becomes of it."""
    is_over = threading.Event()

    def run():
        while not is_over.is_set():
            try:
                client.invoke(FunctionName=name, Payload=event)["Payload"].read()
            except (BotoCoreError, ClientError):
                is_over.wait(0.05)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(0.3)
    try:
        yield
    finally:
        is_over.set()
        while thread.is_alive():
            end_instances(service, name)
            thread.join(0.5)


@contextlib.contextmanager
def connected(service, count, text=b""):
    host, port = service.endpoint.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            peer = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            if text:
                peer.sendall(text)
        yield


@contextlib.contextmanager
def deploying(service, directory, size):
    """A package of that size is on its way the whole time."""
    folder = Path(directory) / "large"
    folder.mkdir(exist_ok=True)
    (folder / "bootstrap").write_text("#!/bin/sh\n")
    (folder / "bootstrap").chmod(0o755)
    with open(folder / "data", "wb") as out:
        for _ in range(size >> 20):
            out.write(os.urandom(1 << 20))
    is_over, state = threading.Event(), {}

    def run():
        number = 0
        while not is_over.is_set():
            state["now"] = subprocess.Popen(
                [service.build / "lamina", "deploy", folder, "--name", f"bench-large-{number}", "--runtime", "provided.al2023",
                 "--handler", "x"], env=service.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            state["now"].wait()
            number += 1

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        state["now"].kill()
        thread.join(120)


def middle(values):
    """The geometric mean: what one caller's round trip takes here has two typical values, by whether the scheduler puts
    the three processes on one processor or wakes another; a median of few slices is either."""
    return statistics.geometric_mean(values)


def faults_of(service, client, directory, package_bytes, seconds):
    """{key: (words, what makes it a context)}"""
    slow = b"POST /2015-03-31/functions/x/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"
    idle = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 2000)

    def call(what):
        event = json.dumps({"do": what, "seconds": seconds}).encode()
        return lambda: calling(service, client, "bench-" + what, event)

    faults = {what: (words, call(what)) for what, words in (
        ("flood", "a flood of log lines"), ("cpu", "a busy loop"), ("memory", "a function out of memory"),
        ("tmp", "a full /tmp"), ("never", "a runtime that never asks"), ("bomb", "a fork bomb"))}
    faults["idle"] = f"{idle} idle connections", lambda: connected(service, idle)
    faults["slow"] = "1000 slow callers", lambda: connected(service, 1000, slow)
    faults["deployment"] = ("a deployment of %d MB" % (package_bytes >> 20),
                            lambda: deploying(service, directory, package_bytes))
    return faults


def neighbour_rows(service, rows, row, client, directory, rounds, slices, seconds, package_bytes, kinds=None):
    """`rounds` times for each fault: `slices` of `seconds` while all is quiet, then as many while it lasts."""
    hog = zip_of(app_py=HOG)
    for what in ("flood", "cpu", "memory", "tmp"):
        create(client, "bench-" + what, Runtime="python3.11", Handler="app.handler", MemorySize=256, Code={"ZipFile": hog})
    for what, text in (("never", NEVER), ("bomb", BOMB)):
        create(client, "bench-" + what, Timeout=3, Code={"ZipFile": zip_of(bootstrap=text)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def victim():
        got = service.tool("bench_invoke", "--endpoint", service.endpoint, "--function", "bench-hello", "--callers", 1,
                           "--seconds", seconds)
        if got["errors"]:
            raise SystemExit("bench: a neighbour's calls failed")
        return {"p50": got["p50_us"], "p99": got["p99_us"]}

    for key, (words, fault) in faults_of(service, client, directory, package_bytes, seconds).items():
        if kinds and key not in kinds:
            continue
        quiet, busy = [], []
        for _ in range(rounds):
            quiet += [victim() for _ in range(slices)]
            with fault():
                busy += [victim() for _ in range(slices)]
        for name, bar in (("p50", 1.5), ("p99", 3)):
            beside = middle([one[name] for one in quiet])
            rows.setdefault(f"neighbour.{key}.{name}", row(f"a neighbour's {name} during: {words}", "x", bar)).add(
                middle([one[name] for one in busy]) / beside, beside)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def measure(service_class, build, directory, rows, row, smoke):
    """Adds the rows `async.*`, `stream.*`, `flat.*`, `neighbour.*`, `restart.*`, with a service of its own."""
    folder = Path(directory) / "load"
    folder.mkdir()
    folder.chmod(0o755)
    service = service_class(build, folder, LAMINA_AWS_LIMITS="off", LAMINA_CONNECTIONS="13000")
    try:
        client = client_of(service)
        service.lamina("deploy", build / "examples/hello-c", "--name", "bench-hello", "--memory", "1769")
        for _ in range(1 if smoke else 5):
            event_rows(service, rows, row, 0.3 if smoke else 4)
        stream_rows(service, rows, row, client, 5 if smoke else 200)
        flat_rows(service, rows, row, client, 2000 if smoke else 100000, 10 if smoke else 1000)
        neighbour_rows(service, rows, row, client, folder, 1 if smoke else 3, 1 if smoke else 4, 0.2 if smoke else 0.6,
                       16 << 20 if smoke else 2 << 30, ("flood", "idle", "deployment") if smoke else None)
        restart_row(service, rows, row, client, 10 if smoke else 1000, 1 if smoke else 3)
    finally:
        service.stop()
