# SPDX-License-Identifier: MIT
"""Models out of an object store: how soon the first inference is there, how fast bytes come, how often, in how much memory.

The store is tests/flow/s3_origin.py on the same machine. Its share of the processor is in every figure.
"""
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "flow"))
import random_model  # noqa: E402
from lamina_service import Service  # noqa: E402
from lambda_function import settings, zip_of  # noqa: E402
from runtime_api import RuntimeApi  # noqa: E402
from s3_origin import Origin  # noqa: E402

MB = 1 << 20
RATE = 50 * 1000 * 1000  # bytes a second and connection
EVENT = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1024], "data": [0.5] * 1024}]}).encode()


def deploy(service, uri, **variables):
    """Seconds from CreateFunction to the first inference."""
    client = service.client("lambda")
    code = zip_of({"bootstrap": (service.build / "runtime/bin/lamina-model").read_bytes()})
    begin = time.monotonic()
    client.create_function(**settings("f", Code={"ZipFile": code}, MemorySize=4096,
                                      Environment={"Variables": {"MODEL_URI": uri, **variables}}))
    while client.get_function_configuration(FunctionName="f")["State"] == "Pending":
        time.sleep(0.01)
    active = time.monotonic() - begin
    answer = client.invoke(FunctionName="f", Payload=EVENT)
    if "FunctionError" in answer:
        raise SystemExit(f"bench: {answer['Payload'].read()}")
    took = time.monotonic() - begin
    client.delete_function(FunctionName="f")
    return took, active


def fetched(service):
    """[(bytes, seconds)] of what the service says it fetched."""
    text = service.log_path.read_text()
    return [(int(size), int(ms) / 1000) for size, ms in
            re.findall(r"model\.fetched .*? fetched=(\d+) ms=(\d+)", text)]


def plain(build, origin, folder, key):
    """Seconds of the way without Lamina: one GET into /tmp, and the engine's default load."""
    begin = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", origin.port)
    connection.request("GET", f"/models/{key}")
    path = folder / "plain.onnx"
    with open(path, "wb") as file:
        shutil.copyfileobj(connection.getresponse(), file, MB)
    with RuntimeApi() as api:
        api.start([build / "lamina-model"], env={
            "MODEL_PATH": str(path), "LAMINA_ONNXRUNTIME": str(build / "runtime/lib/libonnxruntime.so"),
            "LAMINA_THREADS": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "4096"})
        while not api.next_headers:
            time.sleep(0.001)
        took = time.monotonic() - begin
    path.unlink()
    return took


def curl_parallel(origin, folder, key, size):
    """Seconds of curl --parallel for the same ranges, into one directory."""
    config = []
    for number, first in enumerate(range(0, size, 8 * MB)):
        config += [f'url = "{origin.endpoint}/models/{key}"', f'output = "{folder}/part{number}"',
                   f'range = "{first}-{min(first + 8 * MB, size) - 1}"', "next"]
    begin = time.monotonic()
    subprocess.run(["/usr/bin/curl", "--parallel", "--parallel-immediate", "--parallel-max", "16", "-sS", "-K", "-"],
                   input="\n".join(config[:-1]).encode(), check=True, stdout=subprocess.DEVNULL)
    took = time.monotonic() - begin
    for part in folder.glob("part*"):
        part.unlink()
    return took


def peak_memory(pid, stop, peak):
    while not stop.is_set():
        text = Path(f"/proc/{pid}/status").read_text()
        peak[0] = max(peak[0], int(re.search(r"RssAnon:\s+(\d+)", text)[1]) / 1024)
        time.sleep(0.002)


def herd(service, origin, key):
    """Bytes at the origin, in objects, when 200 instances' first calls ask for the model at once."""
    from test_s3_models import ASKING
    client = service.client("lambda")
    client.create_function(**settings("herd", Code={"ZipFile": ASKING}, MemorySize=128,
                                      Environment={"Variables": {"A_BUCKET": "models"}}))
    client.get_waiter("function_active_v2").wait(FunctionName="herd")
    before = origin.bytes_sent("models", key)

    def ask(_):
        body = json.loads(service.client("lambda").invoke(FunctionName="herd", Payload=f'"s3://models/{key}"'
                                                          .encode())["Payload"].read())
        assert body["answer"]["status"] == 200, body
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        list(pool.map(ask, range(200)))
    client.delete_function(FunctionName="herd")
    return (origin.bytes_sent("models", key) - before) / len(origin.objects["models", key])


def measure(build, rows, Row, smoke):
    size = (16 if smoke else 420) * MB
    folder = Path(tempfile.mkdtemp(prefix="lamina-bench-"))
    folder.chmod(0o755)
    model = random_model.mlp(size, width=1024)
    try:
        with Origin(signed=False) as origin, Service(build, "--config", origin.config(folder, "models")) as service:
            for number in range(1 if smoke else 3):
                key = f"m{number}.onnx"
                origin.put("models", key, model + bytes([0x32, 1, 65 + number]))  # another digest each time
                origin.rate = RATE
                slow, active = deploy(service, f"s3://models/{key}")
                network = fetched(service)[-1][1]
                beside = plain(build, origin, folder, key)
                rows.setdefault("fetch.first", Row(
                    f"{size // MB} MB model from 50 MB/s a connection: fetched and answering, times sooner than one GET and "
                    "a default load", "", None if smoke else 5, at_least=True)).add(
                        beside / (network + slow - active), beside)
                rows.setdefault("fetch.deploy", Row("the same, CreateFunction to first inference, with its preparation",
                                                    "s")).add(slow, beside)
                origin.rate = None
                other = f"n{number}.onnx"
                origin.put("models", other, model + bytes([0x32, 1, 97 + number]))
                deploy(service, f"s3://models/{other}")
                mine = fetched(service)[-1][1]
                curl = curl_parallel(origin, folder, other, size)
                rows.setdefault("fetch.parallel", Row("fetching as fast as it goes, of what curl --parallel reaches", "",
                                                      None if smoke else 0.9, at_least=True)).add(
                                                          curl / mine, size / MB / curl)
            origin.put("models", "herd", os.urandom(8 * MB))
            rows.setdefault("fetch.herd", Row("200 first calls at once: reads of the object", "", 1.01)).add(
                herd(service, origin, "herd"))
            origin.put("models", "large", bytes((64 if smoke else 2048) * MB))
            stop, peak = threading.Event(), [0]
            before = int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{service.pid('laminad')}/status").read_text())[1]) / 1024
            watcher = threading.Thread(target=peak_memory, args=(service.pid("laminad"), stop, peak))
            watcher.start()
            client = service.client("lambda")
            client.create_function(**settings("large", Environment={"Variables": {"MODEL_URI": "s3://models/large"}}))
            client.get_waiter("function_active_v2").wait(FunctionName="large")
            stop.set()
            watcher.join()
            rows.setdefault("fetch.memory", Row("memory while a 2 GB object is fetched", "MB", 64)).add(peak[0] - before)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":  # alone: fetch.py BUILD [--smoke]
    class Plain:
        def __init__(self, name, unit, *_, **__):
            self.name, self.unit = name, unit

        def add(self, value, beside=None):
            print(f"{self.name}: {value:.3f} {self.unit} (beside: {beside})", flush=True)

    measure(Path(sys.argv[1]).resolve(), {}, Plain, "--smoke" in sys.argv)
