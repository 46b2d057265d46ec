# SPDX-License-Identifier: MIT
"""Prepared models against the engine's default load, in the same run and by the same program.

The model has random weights and as many bytes as asked for. Both ways run lamina-model on one thread, from the start of the
process to the request for work, which comes after the first inference; they differ in the prepared form, which is given as a
service gives it: in sealed memory that lamina-cache made (and, beside it, as a file in the page cache). The digest is given to
all: reading 420 MB to digest it is no part of loading. They alternate.
"""

import array
import contextlib
import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flow"))
import random_model  # noqa: E402
from runtime_api import RuntimeApi  # noqa: E402

MIB = 1 << 20


def rollup(pid):
    """MiB of a process: its share of everything, and what no file could give back (a file's pages count as
    private in the kernel's words while only one process maps them)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(size) / 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return {"pss": found["Pss"], "private": found["Anonymous"]}


@contextlib.contextmanager
def sealed(build, path):
    """The file in sealed memory, as lamina-cache holds it (src/wire/cache.h): a descriptor."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    size = path.stat().st_size
    with ours, its, open(path, "rb") as file:
        cache = subprocess.Popen([build / "lamina-cache"], stdin=subprocess.DEVNULL, stdout=its)
        try:
            ours.sendmsg([struct.pack("<IIQQ", 1, 1, 1, size)],
                         [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))])
            answer, control, _, _ = ours.recvmsg(64, socket.CMSG_SPACE(4))
            if struct.unpack_from("<II", answer) != (1, 3):
                raise SystemExit(f"bench: lamina-cache holds nothing: {answer!r}")
            [fd] = array.array("i", control[0][2])
        finally:
            cache.kill()
            cache.wait()
    os.set_inheritable(fd, True)
    try:
        yield fd
    finally:
        os.close(fd)


def start(build, library, path, api, **env):
    """Milliseconds from the start of the process to its request for work."""
    fds = [int(env["LAMINA_MODEL_FD"])] if "LAMINA_MODEL_FD" in env else []
    begin = time.monotonic()
    api.start([build / "lamina-model"], pass_fds=fds, env={
        "MODEL_PATH": str(path), "LAMINA_ONNXRUNTIME": str(library), "LAMINA_THREADS": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769", "LAMINA_MODEL_SHA256": env.pop("digest"), **env})
    while not api.next_headers:
        if api.process.poll() is not None:
            raise SystemExit("bench: lamina-model ended: " + api.output())
        time.sleep(0.0002)
    return (time.monotonic() - begin) * 1000


def one(build, library, path, **env):
    with RuntimeApi() as api:
        took = start(build, library, path, api, **env)
        return took, rollup(api.process.pid)


def three(build, library, path, **env):
    """PSS of three that live at once, together."""
    apis = [RuntimeApi() for _ in range(3)]
    try:
        for api in apis:
            api.__enter__()
            start(build, library, path, api, **env)
        return sum(rollup(api.process.pid)["pss"] for api in apis)
    finally:
        for api in apis:
            api.__exit__()


def deploy(service, path):
    """Deploys it; its prepared form's path, and how it is described."""
    service.lamina("deploy", path, "--name", "bench-model", "--memory", "4096")
    model = json.loads(service.lamina("describe", "bench-model", "-o", "json"))["model"]
    while model["reason"].startswith("it is being prepared"):  # it serves already
        time.sleep(0.05)
        model = json.loads(service.lamina("describe", "bench-model", "-o", "json"))["model"]
    if not model["prepared"]:
        raise SystemExit("bench: the model was not prepared: " + model["reason"])
    [form] = service.data.glob("models/*/*/prepared-*/model.ort")
    return form, model


def instance_rows(service, rows, Row, size):
    """Three instances of a real service at once: what they hold together."""
    event = service.data.parent / "event.json"
    event.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1024],
                                             "data": random_model.some_input(1024)}]}))
    def call():
        service.lamina("invoke", "bench-model", "-e", event)
    for _ in range(20):  # calls that overlap need an instance each
        callers = [threading.Thread(target=call) for _ in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        described = json.loads(service.lamina("describe", "bench-model", "-o", "json"))
        if sum(described["instances"].values()) >= 3:
            break
    count = sum(described["instances"].values())
    rows.setdefault("prepared.instance", Row(f"an instance of a {size} MB model in a service, private", "MB", 16)).add(
        described["memory"]["private_bytes"] / count / MIB)


def measure(service, directory, rows, Row, smoke):
    size = 16 if smoke else 420
    build = service.build
    library = build / "runtime/lib/libonnxruntime.so"
    path = Path(directory) / "random.onnx"
    path.write_bytes(random_model.mlp(size * MIB, width=1024))
    path.chmod(0o644)
    begin = time.monotonic()
    form, model = deploy(service, path)
    rows.setdefault("prepared.deploy", Row(f"deploying a {size} MB model, with its preparation", "s")).add(
        time.monotonic() - begin)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = {"LAMINA_MODEL_PREPARED": str(form), "LAMINA_MODEL_PREPACK": "off", "LAMINA_PREPACK": "off", "digest": digest}
    with sealed(build, form) as fd:
        prepared = {**file, "LAMINA_MODEL_FD": str(fd)}
        compare(build, library, path, rows, Row, size, smoke, digest, file, prepared)
        together = three(build, library, path, **prepared)
    rows.setdefault("prepared.three", Row("three processes with it, together, against one copy of the weights", "x",
                                          None if smoke else 1.25)).add(
        together / (model["shared_bytes"] / MIB), together)
    instance_rows(service, rows, Row, size)
    external_rows(build, library, Path(directory), rows, Row, smoke)


def compare(build, library, path, rows, Row, size, smoke, digest, file, prepared):
    one(build, library, path, **file)  # lamina-cache let the file's pages go: they are read here
    for _ in range(1 if smoke else 7):
        plain_ms, plain = one(build, library, path, digest=digest)
        mapped_ms, mapped = one(build, library, path, **prepared)
        file_ms, _ = one(build, library, path, **file)
        rows.setdefault("prepared.start", Row(f"a {size} MB model, process start to first inference, mapped", "ms")).add(
            mapped_ms, plain_ms)
        rows.setdefault("prepared.file", Row("the same, mapped from a file in the page cache", "ms")).add(file_ms, plain_ms)
        rows.setdefault("prepared.faster", Row("the same, times faster than the engine's default load", "x",
                                               None if smoke else 10, at_least=True)).add(plain_ms / mapped_ms)
        rows.setdefault("prepared.private", Row(f"a {size} MB model mapped, LAMINA_PREPACK=off, private", "MB", 16)).add(
            mapped["private"], plain["private"])


def external_rows(build, library, directory, rows, Row, smoke):
    """A model whose weights are in a file of their own, above 2 GB: the engine maps it, unless it packs it."""
    size = 16 if smoke else 2200
    path = random_model.external_mlp(directory, size * MIB)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for _ in range(1 if smoke else 2):
        plain_ms, plain = one(build, library, path, digest=digest)
        mapped_ms, mapped = one(build, library, path, digest=digest, LAMINA_MODEL_PREPACK="off")
        rows.setdefault("prepared.external", Row(f"a {size} MB model with external data, not packed, to first inference", "ms")).add(
            mapped_ms, plain_ms)
        rows.setdefault("prepared.external.private", Row("its private memory, not packed", "MB", 16)).add(
            mapped["private"], plain["private"])
    for each in (path, directory / "weights.bin"):
        each.unlink()
