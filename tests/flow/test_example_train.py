# SPDX-License-Identifier: MIT
"""examples/train-on-filesystem: a function trains and renames, another one answers with the new model, nothing is deployed."""
import hashlib
import json
from pathlib import Path

import pytest

from lambda_function import function, zip_of
from lamina_service import wait_for
from model_function import ROOT
from shared_files import MOUNT, Share

EXAMPLE = ROOT / "examples/train-on-filesystem"
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/libxgboost.so.0")
pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="libxgboost-dev is not installed (tools/deps check)")
ROWS = [[float(i), float(i % 3)] for i in range(60)]


def labels(factor):
    return [factor * row[0] + row[1] for row in ROWS]


def train(client, factor):
    """Its answer; what it trained predicts about `factor` times the first column."""
    answer = client.invoke(FunctionName="train", Payload=json.dumps({"rows": ROWS, "labels": labels(factor)}))
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    assert body["error"] < factor
    return body


def ask(client, rows=((30.0, 0.0),)):
    """(the first output, the model's digest)."""
    meta = json.loads(client.invoke(FunctionName="price", Payload=b"{}")["Payload"].read())
    name = meta["inputs"][0]["name"]
    flat = [value for row in rows for value in row]
    answer = client.invoke(FunctionName="price", Payload=json.dumps({"inputs": [
        {"name": name, "datatype": "FP32", "shape": [len(rows), 2], "data": flat}]}))
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    return body["outputs"][0]["data"][0], body["model_version"]


def test_a_trained_model_answers_without_a_deployment(make_service):
    with Share() as share:
        service = make_service(*share.flags)
        client = service.client("lambda")
        code = {name: (EXAMPLE / name).read_text() for name in ("train.py", "xgboost_c.py")}
        with function(client, "train", Code={"ZipFile": zip_of(code)}, Runtime="python3.11", Handler="train.handler",
                      MemorySize=512, Environment={"Variables": {"MODEL_FILE": f"{MOUNT}/price/model.json"}}, **share.config):
            first = train(client, 2)
            path = share.directory / "price/model.json"
            assert hashlib.sha256(path.read_bytes()).hexdigest() == first["sha256"]
            service.lamina("deploy", str(path), "--strategy", "filesystem", "--name", "price", "--memory", "512",
                           "--filesystems-file", str(share.file), "--env", "MODEL_REFRESH_S=1")
            value, digest = ask(client)
            assert digest == first["sha256"] and abs(value - 60) < 6
            before = client.get_function_configuration(FunctionName="price")
            second = train(client, 5)
            wait_for(lambda: ask(client)[1] == second["sha256"], "the new model to answer")
            assert abs(ask(client)[0] - 150) < 15
            after = client.get_function_configuration(FunctionName="price")
            assert after["CodeSha256"] == before["CodeSha256"] and after["Environment"] == before["Environment"]
            assert sorted(p.name for p in path.parent.iterdir()) == ["model.json"]
            client.delete_function(FunctionName="price")
