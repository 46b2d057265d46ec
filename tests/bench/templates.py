# SPDX-License-Identifier: MIT
"""What templates are worth: an instance that is a fork, against one that is started.

Every absolute figure stands beside one of the same run: the same call warm, the same cold call of a service without
templates, or bare inference. Spares, exhausted spares, and pauses are apart, because they are different promises."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flow"))
import models  # noqa: E402
import random_model  # noqa: E402

NUMPY = """
import numpy
def handler(event, context):
    return float(numpy.ones(8).sum())
"""


class Measured:
    """A service with templates and spares, one whose calls have to fork, one without templates; what to call on them."""

    def __init__(self, service, forking, plain, directory):
        self.service, self.forking, self.plain, self.directory = service, forking, plain, Path(directory)

    def call(self, service, function, *more):
        got = service.tool("bench_invoke", "--endpoint", service.endpoint, "--function", function, "--requests", 1, *more)
        if got["errors"]:
            raise SystemExit(f"bench: a call of {function} failed")
        return got

    def deploy_forked(self, service, name, mib, **settings):
        """bench_forked with that much of weights, published with SnapStart; its qualifier."""
        folder = self.directory / f"forked-{mib}"
        if not folder.exists():
            folder.mkdir()
            shutil.copy(service.build / "tests" / "bench_forked", folder / "bootstrap")
            with open(folder / "weights", "wb") as weights:
                block = os.urandom(1 << 20)
                for _ in range(mib):
                    weights.write(block[1:] + block[:1])
                    block = block[1:] + block[:1]
        service.lamina("deploy", folder, "--name", name, "--memory", str(settings.get("memory", 1769)), "--timeout", "120")
        return publish(service, name)


def aws(service, *arguments):
    done = subprocess.run(["/usr/bin/aws", "--endpoint-url", service.endpoint, "lambda", *arguments, "--output", "json"],
                          env=service.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout or b"null")


def publish(service, name):
    """Publishes it with SnapStart; the version, once it is Active."""
    aws(service, "update-function-configuration", "--function-name", name, "--snap-start", "ApplyOn=PublishedVersions")
    version = aws(service, "publish-version", "--function-name", name)["Version"]
    deadline = time.monotonic() + 300
    while True:
        now = aws(service, "get-function-configuration", "--function-name", name, "--qualifier", version)
        if now["State"] != "Pending":
            break
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {name}:{version} stays Pending")
        time.sleep(0.05)
    if now["SnapStart"]["OptimizationStatus"] != "On":
        raise SystemExit(f"bench: {name}:{version} has no template: {now.get('StateReason')}")
    return version


def stop(service, name, spares="end"):
    post(service, f"/lamina/v1/functions/{name}/stop", f"cache=warm&spares={spares}")


def post(service, path, query):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    request = AWSRequest(method="POST", url=f"{service.endpoint}{path}?{query}", data=b"")
    keys = Credentials(service.env["AWS_ACCESS_KEY_ID"], service.env["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(keys, "lambda", "us-east-1").add_auth(request)
    sent = urllib.request.Request(request.url, data=b"", method="POST", headers=dict(request.headers.items()))
    with urllib.request.urlopen(sent, timeout=60) as answer:
        return json.load(answer)


def listed(service):
    return json.loads(service.lamina("ps", "-o", "json"))


def await_spare(service, name):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if any(each["function"] == name and each["kind"] == "spare" and each["state"] in ("IDLE", "FROZEN")
               for each in listed(service)["instances"]):
            return
        time.sleep(0.005)
    raise SystemExit(f"bench: {name} has no spare")


def from_spare(measured, name, version, times, pause_s):
    """Microseconds from a call's sending to its handler's beginning, of calls that a spare takes."""
    service, found = measured.service, []
    measured.call(service, name, "--qualifier", version)
    for _ in range(times):
        stop(service, name, spares="keep")
        await_spare(service, name)
        time.sleep(pause_s)
        found.append(measured.call(service, name, "--qualifier", version)["handler_p50_us"])
    return found


def by_fork(measured, name, version, times):
    """The same of calls that have to wait for a fork."""
    found = []
    for _ in range(times):
        stop(measured.forking, name)
        found.append(measured.call(measured.forking, name, "--qualifier", version)["handler_p50_us"])
    return found


def cold_calls(measured, service, name, times, payload):
    found = []
    for _ in range(times):
        stop(service, name)
        found.append(measured.call(service, name, "--payload", payload)["first_us"] / 1000)
    return found


def percentile_99(values):
    return sorted(values)[int(0.99 * (len(values) - 1))]


# ---- the rows


def fork_rows(measured, rows, row, smoke):
    times = 3 if smoke else 60
    for service in (measured.service, measured.forking):
        version = measured.deploy_forked(service, "forked-512", 16 if smoke else 512)
    spare = from_spare(measured, "forked-512", version, times, 0)
    fork = by_fork(measured, "forked-512", version, times)
    rows.setdefault("templates.spare", row("call to handler, 512 MiB mapped, from a spare, p50", "ms", 0.4)).add(
        statistics.median(spare) / 1000)
    rows.setdefault("templates.spare.p99", row("the same, p99", "ms")).add(percentile_99(spare) / 1000)
    rows.setdefault("templates.fork", row("call to handler, 512 MiB mapped, having to fork, p50", "ms", 1.2)).add(
        statistics.median(fork) / 1000)
    rows.setdefault("templates.fork.p99", row("the same, p99", "ms")).add(percentile_99(fork) / 1000)
    if not smoke:
        paused = from_spare(measured, "forked-512", version, 3, 30)
        rows.setdefault("templates.spare.paused", row("the same from a spare, after 30 s pauses, p50", "ms", 1.2)).add(
            statistics.median(paused) / 1000)


def slope_row(measured, rows, row, smoke):
    times, found = (3 if smoke else 60), {}
    for mib in (1, 16 if smoke else 1024):
        name = f"forked-{mib}"
        version = measured.deploy_forked(measured.forking, name, mib)
        found[mib] = statistics.median(by_fork(measured, name, version, times))
    small, large = found.values()
    rows.setdefault("templates.slope", row("having to fork, 1 GiB model against 1 MiB", "%", None if smoke else 10)).add(
        100 * (large / small - 1))


def default_load(service, model, times):
    """Milliseconds from the start of lamina-model to its request for work, the engine loading the file as it is."""
    library = service.build / "runtime/lib/libonnxruntime.so"
    digest = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    return statistics.median(models.one(service.build, library, model, digest=digest)[0] for _ in range(times))


def model_rows(measured, rows, row, key, label, model, payload, ratio, times):
    name = f"template-{key}"
    found = {}
    for what, service in (("fork", measured.forking), ("process", measured.plain)):
        service.lamina("deploy", model, "--name", name, "--memory", "1769")
        measured.call(service, name, "--payload", payload)
        found[what] = statistics.median(cold_calls(measured, service, name, times, payload))
    warm = measured.forking.tool("bench_invoke", "--endpoint", measured.forking.endpoint, "--function", name,
                                 "--requests", 20, "--payload", payload)["p50_us"] / 1000
    default = default_load(measured.plain, model, min(times, 5))
    rows.setdefault(f"templates.{key}", row(f"cold call of {label}, API to answer (beside: without templates)", "ms")).add(
        found["fork"], found["process"])
    rows.setdefault(f"templates.{key}.ratio", row(
        f"process start and default load of {label}, against that", "x", ratio, at_least=True)).add(
            default / found["fork"], default)
    rows.setdefault(f"templates.{key}.above", row(
        f"cold call of {label}, above a warm one", "ms", 5 if key == "large" else None)).add(found["fork"] - warm, warm)


def available_mib():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("bench: no MemAvailable")


def weights_of(service, folder):
    """The function's /var/task/weights from outside: the same inode."""
    wanted = (folder / "weights").read_bytes()[:4096]
    for path in (service.data / "trees").glob("*/weights"):
        with open(path, "rb") as file:
            if file.read(4096) == wanted:
                return path
    raise SystemExit("bench: the weights are not in the store")


def at_once(measured, name, version, count, payload, folder):
    """`count` calls at the same moment, each handler waiting until all of them run: (their figures, MiB taken)."""
    service, lowest = measured.service, []
    barrier = weights_of(service, folder)
    (measured.directory / "payload").write_text(payload)
    with open(barrier, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = available_mib()
        client = threading.Thread(target=lambda: lowest.append(service.tool(
            "bench_invoke", "--endpoint", service.endpoint, "--function", name, "--qualifier", version, "--callers", count,
            "--requests", count, "--payload", measured.directory / "payload")))
        client.start()
        deadline = time.monotonic() + 60
        while not all_run(service, name, count):
            if time.monotonic() > deadline:
                states = [each["state"] for each in listed(service)["instances"] if each["function"] == name]
                raise SystemExit(f"bench: {name}: {count} instances do not run at once, but "
                                 f"{ {state: states.count(state) for state in sorted(set(states))} }")
            time.sleep(0.01)
        taken = before - available_mib()
    client.join()
    if lowest[0]["errors"]:
        raise SystemExit(f"bench: {lowest[0]['errors']} of {count} calls at once failed")
    return lowest[0], taken


def all_run(service, name, count):
    with urllib.request.urlopen(f"{service.endpoint}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return f'lamina_instances{{function="{name}",state="BUSY"}} {count}\n' in text


def crowd_rows(measured, rows, row, smoke):
    count, mib = (20, 16) if smoke else (1000, 256)
    version = measured.deploy_forked(measured.service, "crowd", mib)
    got, taken = at_once(measured, "crowd", version, count, '{"percent": 1, "barrier": true}',
                         measured.directory / f"forked-{mib}")
    rows.setdefault("templates.crowd", row(f"{count} instances at once, each {mib} MiB mapped: all answered", "ms",
                                           None if smoke else 2000)).add(got["elapsed_ms"])
    rows.setdefault("templates.crowd.memory", row("MemAvailable fell by, page tables included", "MiB",
                                                  None if smoke else 1229)).add(taken)
    stop(measured.service, "crowd")
    (measured.directory / "all").write_text('{"percent": 100}')
    bare = measured.service.tool("bench_invoke", "--endpoint", measured.service.endpoint, "--function", "crowd",
                                 "--qualifier", version, "--requests", 10, "--payload", measured.directory / "all")
    stop(measured.service, "crowd")
    got = measured.service.tool("bench_invoke", "--endpoint", measured.service.endpoint, "--function", "crowd",
                                "--qualifier", version, "--callers", count, "--requests", count, "--payload",
                                measured.directory / "all")
    if got["errors"]:
        raise SystemExit("bench: calls of the crowd failed")
    ideal = count * bare["p50_us"] / 1000 / os.cpu_count()
    rows.setdefault("templates.crowd.all", row(f"{count} calls that read all of it, against bare reading, + 1 s", "x",
                                               None if smoke else 1.15)).add(
        max(0.0, got["elapsed_ms"] - 1000) / ideal, ideal)


def read_bytes(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith("read_bytes:"):
                    total += int(line.split()[1])
    return total


def tree_of(pid):
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = stat.read_text()
            children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(text.split(" ", 1)[0]))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def first_calls_row(measured, rows, row, smoke):
    """The model is read once, however many first calls there are. The tree's read_bytes are those of all that live;
    nothing of it ends while they are taken."""
    count, service = (10 if smoke else 1000), measured.service
    model = measured.directory / "once.onnx"
    model.write_bytes(random_model.mlp(8 << 20 if smoke else 64 << 20, seed=7))
    service.lamina("deploy", model, "--name", "once", "--memory", "1769")
    post(service, "/lamina/v1/functions/once/stop", "cache=cold")
    before = read_bytes(tree_of(service.process.pid))
    (measured.directory / "once.json").write_text(json.dumps({"inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 1024], "data": [0.5] * 1024}]}))
    got = service.tool("bench_invoke", "--endpoint", service.endpoint, "--function", "once", "--callers", count,
                       "--requests", count, "--payload", measured.directory / "once.json")
    if got["errors"]:
        raise SystemExit(f"bench: {got['errors']} first calls failed")
    read = read_bytes(tree_of(service.process.pid)) - before
    rows.setdefault("templates.once", row(f"{count} first calls: bytes read, against the model's", "x",
                                          1.05)).add(read / model.stat().st_size)


def python_rows(measured, rows, row, smoke):
    folder = measured.directory / "numpy"
    folder.mkdir()
    (folder / "app.py").write_text(NUMPY)
    service, times, found = measured.forking, (3 if smoke else 30), {}
    service.lamina("deploy", folder, "--name", "with-numpy", "--runtime", "python3.12", "--handler", "app.handler",
                   "--memory", "1769")
    version = publish(service, "with-numpy")
    for what, more in (("fork", ("--qualifier", version)), ("process", ())):
        calls = []
        for _ in range(times):
            stop(service, "with-numpy")
            calls.append(measured.call(service, "with-numpy", *more)["first_us"] / 1000)
        found[what] = statistics.median(calls)
    rows.setdefault("templates.numpy", row("Python with numpy and SnapStart: cold call", "ms", 8)).add(
        found["fork"], found["process"])


def measure(service, forking, plain, directory, rows, row, model, smoke):
    """Adds the rows `templates.*`. `forking` is a service with LAMINA_SPARES=0, `plain` one with LAMINA_TEMPLATE_MEMORY=0;
    `row` is run.py's class."""
    measured = Measured(service, forking, plain, directory)
    speech = measured.directory / "speech.json"
    speech.write_text(json.dumps({"inputs": [
        {"name": "input", "datatype": "FP32", "shape": [1, 512], "data": [0.01] * 512},
        {"name": "state", "datatype": "FP32", "shape": [2, 1, 128], "data": [0.0] * 256},
        {"name": "sr", "datatype": "INT64", "shape": [1], "data": [16000]}]}))
    fork_rows(measured, rows, row, smoke)
    slope_row(measured, rows, row, smoke)
    model_rows(measured, rows, row, "speech", "silero VAD", model, speech, 15, 3 if smoke else 40)
    if not smoke:
        large = measured.directory / "large.onnx"
        large.write_bytes(random_model.mlp(420 << 20, seed=3))
        wide = measured.directory / "large.json"
        wide.write_text(json.dumps({"inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 1024], "data": [0.5] * 1024}]}))
        model_rows(measured, rows, row, "large", "a 420 MB model", large, wide, 20, 10)
    crowd_rows(measured, rows, row, smoke)
    first_calls_row(measured, rows, row, smoke)
    python_rows(measured, rows, row, smoke)
