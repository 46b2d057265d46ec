# SPDX-License-Identifier: MIT
"""lamina-model outside of Lamina, against tests/flow/runtime_api.py; and what to compare it with."""
import base64
import contextlib
import json
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from runtime_api import RuntimeApi

ROOT = Path(__file__).resolve().parents[2]
DEPS = ROOT / "build" / "deps"
MODELS = DEPS / "models"
LIBRARY = DEPS / "lib" / "libonnxruntime.so"
BINDING = DEPS / "npm/onnxruntime-node/bin/napi-v6/linux/x64/onnxruntime_binding.node"

needs_library = pytest.mark.skipif(not LIBRARY.exists(), reason="tools/deps inference has not been run")
needs_reference = pytest.mark.skipif(not BINDING.exists() or not shutil.which("node"),
                                     reason="node or onnxruntime-node is missing (tools/deps inference)")


def environment(model_path=None, **more):
    env = {"LAMINA_ONNXRUNTIME": str(LIBRARY), "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}
    if model_path is not None:
        env["MODEL_PATH"] = str(model_path)
    env.update(more)
    return {name: value for name, value in env.items() if value is not None}


@contextlib.contextmanager
def model_function(build, model_path=None, cwd=None, **env):
    """A running lamina-model: `api.invoke(request)`."""
    with RuntimeApi() as api:
        api.start([build / "lamina-model"], env=environment(model_path, **env), cwd=cwd)
        yield api


def infer(api, *inputs, **more):
    """The outputs by name; fails with the function's words when it reported an error."""
    answer = api.invoke({"inputs": list(inputs), **more})
    assert answer.kind == "response", answer.body
    return {output["name"]: output for output in answer.json["outputs"]}


def error(api, request):
    """The type and the message of the error that a request must end in."""
    answer = api.invoke(request)
    assert answer.kind == "error", answer.body[:500]
    assert answer.headers["Lambda-Runtime-Function-Error-Type"] == answer.json["errorType"]
    return answer.json["errorType"], answer.json["errorMessage"]


def tensor(name, datatype, shape, data):
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


def binary(name, datatype, shape, data):
    return {"name": name, "datatype": datatype, "shape": list(shape),
            "parameters": {"binary_data_base64": base64.b64encode(data).decode()}}


def bytes_of(output):
    return base64.b64decode(output["parameters"]["binary_data_base64"], validate=True)


def floats(data):
    return list(struct.unpack("<%df" % (len(data) // 4), data))


def pack_floats(values):
    return struct.pack("<%df" % len(values), *values)


def seeded(seed, count, scale=1.0):
    """The same floats everywhere, exactly representable so that JSON and binary are one thing."""
    source = random.Random(seed)
    return floats(pack_floats([source.uniform(-scale, scale) for _ in range(count)]))


REFERENCE_TYPES = {"FP32": "float32", "INT64": "int64"}


def reference(model_path, runs, outputs, carry=None):
    """What onnxruntime-node says: for each run a dict of name -> (dims, floats).

    A run is a dict of name -> (datatype, dims, bytes)."""
    job = {
        "binding": str(BINDING), "model": str(model_path), "outputs": outputs, "carry": carry or {},
        "runs": [{name: {"type": REFERENCE_TYPES[kind], "dims": list(dims),
                         "base64": base64.b64encode(data).decode()}
                  for name, (kind, dims, data) in run.items()} for run in runs],
    }
    result = subprocess.run([shutil.which("node"), ROOT / "tests/flow/onnx_reference.js"],
                            input=json.dumps(job).encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={"PATH": os.environ["PATH"], "ORT_DISABLE_TELEMETRY": "1"}, check=False)
    assert result.returncode == 0, result.stderr.decode("utf-8", "replace")
    return [{name: (value["dims"], floats(base64.b64decode(value["base64"]))) for name, value in answer.items()}
            for answer in json.loads(result.stdout)]


def assert_close(ours, theirs, tolerance=1e-4):
    assert len(ours) == len(theirs)
    worst = max((abs(a - b) / max(1.0, abs(b)) for a, b in zip(ours, theirs)), default=0.0)
    assert worst <= tolerance, "the largest difference is %g" % worst
