# SPDX-License-Identifier: MIT
"""Models out of an object store: how soon the first inference is there, how fast bytes come, how often, in how much memory.

The store is tests/flow/s3_origin.py on the same machine. Its share of the processor is in every figure.
"""
import concurrent.futures
import hashlib
import http.client
import json
import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "flow"))
import onnx_file as onnx  # noqa: E402
import random_model  # noqa: E402
from lamina_service import Service  # noqa: E402
from lambda_function import settings, zip_of  # noqa: E402
from runtime_api import RuntimeApi  # noqa: E402
from s3_origin import Origin  # noqa: E402

MB = 1 << 20
RATE = 50 * 1000 * 1000  # bytes a second and connection
EVENT = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1024], "data": [0.5] * 1024}]}).encode()


def create(service, name, uri, memory_mb=4096, **variables):
    code = zip_of({"bootstrap": (service.build / "runtime/bin/lamina-model").read_bytes()})
    client = service.client("lambda")
    client.create_function(**settings(name, Code={"ZipFile": code}, MemorySize=memory_mb,
                                      Environment={"Variables": {"MODEL_URI": uri, **variables}}))
    return client


def call(client, name):
    answer = client.invoke(FunctionName=name, Payload=EVENT)
    body = answer["Payload"].read()
    if "FunctionError" in answer:
        raise SystemExit(f"bench: {body}")
    return body


def is_settled(service, name):
    told = subprocess.run([service.build / "lamina", "describe", name, "-o", "json", "--data-dir", service.data_dir],
                          stdout=subprocess.PIPE, check=True).stdout
    return json.loads(told)["model"]["prepared"]


def deploy(service, uri, **variables):
    """Seconds from CreateFunction to the first inference, to Active, and until the prepared form has taken over."""
    begin = time.monotonic()
    client = create(service, "f", uri, **variables)
    while client.get_function_configuration(FunctionName="f")["State"] == "Pending":
        time.sleep(0.01)
    active = time.monotonic() - begin
    call(client, "f")
    took = time.monotonic() - begin
    while not is_settled(service, "f"):
        time.sleep(0.2)  # a processor is wanted for it
    settled = time.monotonic() - begin
    client.delete_function(FunctionName="f")
    return took, active, settled


def bring(service, uri):
    """(seconds until it was here and digested, seconds until it was on the disk) of a fetch by itself."""
    client = service.client("lambda")
    client.create_function(**settings("b", Environment={"Variables": {"MODEL_URI": uri}}))
    client.get_waiter("function_active_v2").wait(FunctionName="b")
    client.delete_function(FunctionName="b")
    ms, network_ms = re.findall(r"model\.fetched .*? ms=(\d+) network_ms=(\d+)", service.log_path.read_text())[-1]
    return int(network_ms) / 1000, int(ms) / 1000


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


def touch_memory(size):
    """A virtual machine gives freed memory back to its host: whoever comes first would pay for having it again."""
    memory = mmap.mmap(-1, size)
    for at in range(0, size, mmap.PAGESIZE):
        memory[at] = 1
    memory.close()


def curl_parallel(origin, folder, key, size):
    """Seconds of curl --parallel for the same ranges into files of the same disk: until they are here, and until they are on it."""
    config = []
    for number, first in enumerate(range(0, size, 8 * MB)):
        config += [f'url = "{origin.endpoint}/models/{key}"', f'output = "{folder}/part{number}"',
                   f'range = "{first}-{min(first + 8 * MB, size) - 1}"', "next"]
    begin = time.monotonic()
    subprocess.run(["/usr/bin/curl", "--parallel", "--parallel-immediate", "--parallel-max", "16", "-sS", "-K", "-"],
                   input="\n".join(config[:-1]).encode(), check=True, stdout=subprocess.DEVNULL)
    took = time.monotonic() - begin
    for part in folder.glob("part*"):
        with open(part, "rb") as file:
            os.fsync(file.fileno())
    synced = time.monotonic() - begin
    for part in folder.glob("part*"):
        part.unlink()
    return took, synced


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


def switch_model(factor):
    shape = [1, 1024]
    return onnx.model([onnx.node("Mul", ["x", "k"], ["y"])], [onnx.value("x", onnx.FLOAT, shape)],
                      [onnx.value("y", onnx.FLOAT, shape)],
                      [onnx.tensor("k", onnx.FLOAT, [1], struct.pack("<f", factor))])


def switch(service, models=10, rate=200):
    """Switches to `models` new models in a row and refuses a corrupt one, under `rate` calls a second: (seconds of a switch from
    the upload to its first answer, calls, failures, mixed answers)."""
    s3 = service.client("s3")
    s3.create_bucket(Bucket="switching")
    factors = {}

    def upload(factor, data=None):
        data = data or switch_model(factor)
        factors[hashlib.sha256(data).hexdigest()] = factor
        s3.put_object(Bucket="switching", Key="m.onnx", Body=data)
    upload(1)
    client = create(service, "switching", "s3://switching/m.onnx", memory_mb=512, MODEL_REFRESH_S="1")
    client.get_waiter("function_active_v2").wait(FunctionName="switching")
    seen, bad, calls, stop, lock = set(), [], [0], threading.Event(), threading.Lock()
    begin = time.monotonic()

    def caller():
        own = service.client("lambda")
        while not stop.is_set():
            with lock:
                due = begin + calls[0] / rate
                calls[0] += 1
            if (ahead := due - time.monotonic()) > 0:
                time.sleep(ahead)
            try:
                answer = own.invoke(FunctionName="switching", Payload=EVENT)
                body = json.loads(answer["Payload"].read())
                value, digest = body["outputs"][0]["data"][0], body["model_version"]
                if answer["ResponseMetadata"]["HTTPHeaders"]["x-lamina-model-digest"] != digest or value != 0.5 * factors[digest]:
                    bad.append(f"mixed: {value} of {digest}")
                seen.add(factors[digest])
            except Exception as failure:  # noqa: BLE001 (any is a failed call)
                bad.append(repr(failure))
    callers = [threading.Thread(target=caller) for _ in range(8)]
    for each in callers:
        each.start()
    took = []
    for factor in range(2, models + 2):
        upload(factor)
        uploaded = time.monotonic()
        while factor not in seen and not bad:
            time.sleep(0.002)
        took.append(time.monotonic() - uploaded)
    upload(0, switch_model(99)[:-20] + bytes(20))
    while not bad:
        told = client.get_function_configuration(FunctionName="switching")
        if told["LastUpdateStatus"] == "Failed" and "does not load" in told["LastUpdateStatusReason"]:
            break
        time.sleep(0.05)
    stop.set()
    for each in callers:
        each.join()
    still = json.loads(call(client, "switching"))["outputs"][0]["data"][0]
    if still != 0.5 * (models + 1):
        bad.append("the corrupt model took over")
    client.delete_function(FunctionName="switching")
    if bad:
        print("bench: fetch.switch:", bad[:3], file=sys.stderr)
    return sorted(took)[len(took) // 2], calls[0], len(bad)


def large(service, origin, size):
    """Growth of laminad's own memory in MB while an object of `size` is fetched."""
    origin.put("models", "large", bytes(size))
    stop, peak, pid = threading.Event(), [0], service.pid("laminad")
    before = int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024
    watcher = threading.Thread(target=peak_memory, args=(pid, stop, peak))
    watcher.start()
    client = service.client("lambda")
    client.create_function(**settings("large", Environment={"Variables": {"MODEL_URI": "s3://models/large"}}))
    client.get_waiter("function_active_v2").wait(FunctionName="large")
    client.delete_function(FunctionName="large")
    stop.set()
    watcher.join()
    return peak[0] - before


def measure(build, rows, Row, smoke):
    size = (40 if smoke else 420) * MB
    folder = Path(tempfile.mkdtemp(prefix="lamina-bench-"))
    folder.chmod(0o755)
    model = random_model.mlp(size, width=1024)

    def row(name, *about, **more):
        return rows.setdefault(name, Row(*about, **more))
    try:
        with Origin(signed=False) as origin, Service(build, "--config", origin.config(folder, "models")) as service:
            for number in range(1 if smoke else 3):
                key = f"m{number}.onnx"
                origin.put("models", key, model + bytes([0x32, 1, 65 + number]))  # another digest each time
                origin.rate = RATE
                touch_memory(3 * size)
                took, active, settled = deploy(service, f"s3://models/{key}")
                touch_memory(3 * size)
                beside = plain(build, origin, folder, key)
                row("fetch.first", f"{size // MB} MB model from 50 MB/s a connection, CreateFunction to first inference: times sooner "
                    "than one GET to /tmp and a default load", "", None if smoke else 5, at_least=True).add(beside / took, beside)
                row("fetch.deploy", "the same in seconds", "s").add(took, active)
                row("fetch.settled", "until its prepared form has taken over", "s").add(settled, beside)
                origin.rate = None
                other = f"n{number}.onnx"
                origin.put("models", other, model + bytes([0x32, 1, 97 + number]))
                touch_memory(2 * size)
                here, on_disk = bring(service, f"s3://models/{other}")
                touch_memory(2 * size)
                curl, curl_on_disk = curl_parallel(origin, folder, other, size)
                row("fetch.parallel", "fetched and digested as fast as it goes, of what curl --parallel reaches", "",
                    None if smoke else 0.9, at_least=True).add(curl / here, size / MB / curl)
                row("fetch.durable", "the same until it is on the disk, of curl --parallel and a sync of its files", "",
                    None if smoke else 0.9, at_least=True).add(curl_on_disk / on_disk, size / MB / curl_on_disk)
            origin.put("models", "herd", os.urandom(8 * MB))
            row("fetch.herd", "200 first calls at once: reads of the object", "", 1.01).add(herd(service, origin, "herd"))
            row("fetch.memory", "memory while a 2 GB object is fetched", "MB", 64).add(
                large(service, origin, (64 if smoke else 2048) * MB))
            median, calls, failed = switch(service, 2 if smoke else 10)
            row("fetch.switch", "calls that failed or mixed models: ten new models in a row and a corrupt eleventh, 200 calls/s",
                "", 0).add(failed, calls)
            row("fetch.switched", "from the upload of a new model to its first answer, MODEL_REFRESH_S=1", "s").add(median)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":  # alone: fetch.py BUILD [--smoke]
    class Plain:
        def __init__(self, name, unit, *_, **__):
            self.name, self.unit = name, unit

        def add(self, value, beside=None):
            print(f"{self.name}: {value:.3f} {self.unit} (beside: {beside})", flush=True)

    measure(Path(sys.argv[1]).resolve(), {}, Plain, "--smoke" in sys.argv)
