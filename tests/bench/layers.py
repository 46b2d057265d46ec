# SPDX-License-Identifier: MIT
"""The same model in a function's zip and in a layer: cold starts in turn, bytes stored, a new model to all traffic.

Plain: without templates, so that each cold start is a process that loads the model. What counts is the ratio.
"""

import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "flow"))
import random_model  # noqa: E402
from lamina_service import Service  # noqa: E402


def stop(service, name, cache):
    """Ends the function's instances; with cache=cold its files leave the page cache."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    url = f"{service.endpoint}/lamina/v1/functions/{name}/stop?cache={cache}"
    request = AWSRequest("POST", url, data=b"")
    keys = service.credentials
    SigV4Auth(Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"]), "lambda", "us-east-1").add_auth(request)
    urllib.request.urlopen(urllib.request.Request(url, b"", dict(request.headers), method="POST")).read()


def call_ms(client, name, event):
    begin = time.monotonic()
    answer = client.invoke(FunctionName=name, Payload=event)
    body = answer["Payload"].read()
    if "FunctionError" in answer:
        raise SystemExit(f"bench: {name}: {body[:300]}")
    return (time.monotonic() - begin) * 1000, json.loads(body).get("model_version")


def stored_bytes(data_dir):
    """What the objects take, each inode once."""
    seen = {}
    for folder, _, names in os.walk(Path(data_dir) / "objects"):
        for name in names:
            stat = os.stat(os.path.join(folder, name))
            seen[stat.st_ino] = stat.st_size
    return sum(seen.values())


def cold_rows(service, client, names, event, rows, Row, rounds):
    for cache in ("warm", "cold"):
        took = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                stop(service, name, cache)
                took[name].append(call_ms(client, name, event)[0])
        row = rows[f"layer.cold.node_{cache}"] = Row(f"plain cold start by layer, node {cache}, over by package", "x", 1.15)
        for of_package, of_layer in zip(took["in-zip"], took["in-layer"]):
            row.add(of_layer / of_package, of_package)
        print(f"bench: layer, node {cache}: package p50 {statistics.median(took['in-zip']):.1f} ms, "
              f"layer p50 {statistics.median(took['in-layer']):.1f} ms", file=sys.stderr)


def until_new(client, name, event, old):
    deadline = time.monotonic() + 60
    while call_ms(client, name, event)[1] == old:
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {name} did not take up the new model")


def update_rows(service, client, path, new_model, event, rows, Row, rounds):
    row = rows["layer.update"] = Row("a new model in a followed layer, to its first answer", "s")
    for number in range(rounds):
        new_model(path, 100 + number)
        old = call_ms(client, "in-zip", event)[1]
        begin = time.monotonic()
        service.lamina("deploy", path, "--name", "in-zip")
        until_new(client, "in-zip", event, old)
        package_s = time.monotonic() - begin
        old = call_ms(client, "in-layer", event)[1]
        begin = time.monotonic()
        service.lamina("deploy", path, "--strategy", "layer", "--name", "in-layer")
        until_new(client, "in-layer", event, old)
        row.add(time.monotonic() - begin, package_s)


def measure(build, rows, Row, smoke):
    size, rounds = (1 << 20, 3) if smoke else (16 << 20, 40)
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as directory, \
            Service(build, env={"LAMINA_TEMPLATE_MEMORY": "0"}) as service:
        path = Path(directory) / "random.onnx"

        def new_model(to, seed):
            to.write_bytes(random_model.mlp(size, width=512, seed=seed))

        new_model(path, 1)
        client = service.client("lambda")
        event = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 512],
                                        "data": random_model.some_input(512)}]})
        service.lamina("deploy", path, "--strategy", "layer", "--name", "in-layer")
        once = stored_bytes(service.data_dir)
        for number in range(19):
            service.lamina("deploy", path, "--strategy", "layer", "--name", f"in-layer-{number}")
        rows["layer.stored"] = Row("bytes stored, 20 functions with one layer over 1", "x", 1.01)
        rows["layer.stored"].add(stored_bytes(service.data_dir) / once, once / (1 << 20))
        service.lamina("deploy", path, "--name", "in-zip")
        rows["layer.stored.both"] = Row("... and one more by package: the model once, its zip besides", "x", 2.1)
        rows["layer.stored.both"].add(stored_bytes(service.data_dir) / once, once / (1 << 20))
        cold_rows(service, client, ("in-zip", "in-layer"), event, rows, Row, rounds)
        service.lamina("layer", "follow", "in-layer")
        update_rows(service, client, path, new_model, event, rows, Row, 1 if smoke else 5)


if __name__ == "__main__":  # alone: layers.py BUILD [--smoke]
    class Plain:
        def __init__(self, name, unit, *_):
            self.name, self.values = name, []

        def add(self, value, beside=None):
            self.values.append((round(value, 3), beside and round(beside, 3)))

    found = {}
    measure(Path(sys.argv[1]).resolve(), found, Plain, "--smoke" in sys.argv)
    for each in found.values():
        middle = sorted(each.values)[len(each.values) // 2]
        print(f"{each.name}: median {middle[0]} (beside {middle[1]}), n={len(each.values)}")
