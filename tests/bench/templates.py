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


def cold(service, name, times, *more, spares="end", pause_ms=50):
    """`times` calls, before each of which the function's instances end: with their spares, so that it has to wait for a fork, or
    but for those. A pause lets what was used up be made again; it is one process, so that nothing else begins meanwhile."""
    got = service.tool("bench_invoke", "--endpoint", service.endpoint, "--function", name, "--requests", times,
                       "--stop", spares, "--pause-ms", pause_ms, *more)
    if got["errors"]:
        raise SystemExit(f"bench: {got['errors']} calls of {name} failed")
    return got


def cold_ms(service, name, times, payload, spares):
    """The median of calls, from their sending to their answer. A spare runs the model once before it is one."""
    return cold(service, name, times, "--payload", payload, spares=spares, pause_ms=200)["p50_us"] / 1000


def deploy_model(service, name, model):
    """Deploys it, and waits for its prepared form: a large model is served before it is there."""
    service.lamina("deploy", model, "--name", name, "--memory", "1769")
    deadline = time.monotonic() + 120
    while not json.loads(service.lamina("describe", name, "-o", "json"))["model"].get("prepared"):
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {name} is not prepared: {service.lamina('describe', name).decode()}")
        time.sleep(0.1)


# ---- the rows


def fork_rows(measured, rows, row, smoke):
    times, name = (3 if smoke else 150), "forked-512"
    for service in (measured.service, measured.forking):
        version = measured.deploy_forked(service, name, 16 if smoke else 512)
        measured.call(service, name, "--qualifier", version)
    spare = cold(measured.service, name, times, "--qualifier", version, spares="keep")
    fork = cold(measured.forking, name, times, "--qualifier", version)
    for key, label, bar, got in (("spare", "from a spare", 0.4, spare), ("fork", "having to fork", 1.2, fork)):
        rows.setdefault(f"templates.{key}", row(f"call to handler, 512 MiB mapped, {label}, p50", "ms", bar)).add(
            got["handler_p50_us"] / 1000)
        rows.setdefault(f"templates.{key}.p99", row("the same, p99", "ms")).add(got["handler_p99_us"] / 1000)
    if not smoke:
        paused = cold(measured.service, name, 3, "--qualifier", version, spares="keep", pause_ms=30000)
        rows.setdefault("templates.spare.paused", row("the same from a spare, after 30 s pauses, p50", "ms", 1.2)).add(
            paused["handler_p50_us"] / 1000)


def slope_row(measured, rows, row, smoke):
    """The two in turn: what else the machine does is the same for both."""
    times, rounds, versions = (1 if smoke else 15), 5, {}
    sizes = (1, 16 if smoke else 1024)
    found = {mib: [] for mib in sizes}
    for mib in sizes:
        versions[mib] = measured.deploy_forked(measured.forking, f"forked-{mib}", mib)
        measured.call(measured.forking, f"forked-{mib}", "--qualifier", versions[mib])
    for _ in range(rounds):
        for mib in sizes:
            found[mib].append(cold(measured.forking, f"forked-{mib}", times, "--qualifier",
                                   versions[mib])["handler_p50_us"])
    small, large = (statistics.median(each) for each in found.values())
    rows.setdefault("templates.slope", row("having to fork, 1 GiB model against 1 MiB", "%", None if smoke else 10)).add(
        100 * (large / small - 1))


def default_load(service, model, times):
    """Milliseconds from the start of lamina-model to its request for work, the engine loading the file as it is."""
    library = service.build / "runtime/lib/libonnxruntime.so"
    digest = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    return statistics.median(models.one(service.build, library, model, digest=digest)[0] for _ in range(times))


def model_rows(measured, rows, row, key, label, model, payload, ratio, times):
    """A cold call by a fork, and one that a spare takes, beside a warm call, one without templates, and the engine's
    default load."""
    name, found = f"template-{key}", {}
    for what, service, spares in (("fork", measured.forking, "end"), ("spare", measured.service, "keep"),
                                  ("process", measured.plain, "end")):
        deploy_model(service, name, model)
        measured.call(service, name, "--payload", payload)
        found[what] = cold_ms(service, name, times, payload, spares)
    warm = measured.forking.tool("bench_invoke", "--endpoint", measured.forking.endpoint, "--function", name,
                                 "--requests", 20, "--payload", payload)["p50_us"] / 1000
    default = default_load(measured.plain, model, min(times, 5))
    for what, suffix, how in (("fork", "", "having to fork"), ("spare", ".spare", "from a spare")):
        rows.setdefault(f"templates.{key}{suffix}", row(
            f"cold call of {label}, {how} (beside: without templates)", "ms")).add(found[what], found["process"])
        rows.setdefault(f"templates.{key}{suffix}.ratio", row(
            "process start and default load against that", "x", ratio, at_least=True)).add(default / found[what], default)
        rows.setdefault(f"templates.{key}{suffix}.above", row(
            "that above a warm call", "ms", 5 if key == "large" else None)).add(found[what] - warm, warm)


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
            time.sleep(0.03)  # to look is work, too
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
    deploy_model(service, "once", model)
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
        found[what] = cold(service, "with-numpy", times, *more)["p50_us"] / 1000
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
