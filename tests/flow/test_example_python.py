# SPDX-License-Identifier: MIT
"""examples/python-onnx: a user's own Python handler around a model, checked against an independent run."""
import base64
import random
import shutil
import struct
import subprocess

import pytest

from model_function import (DEPS, LIBRARY, MODELS, ROOT, assert_close, needs_library, needs_reference, pack_floats,
                            reference)
from runtime_api import RuntimeApi


def has_numpy():
    return subprocess.run(["/usr/bin/python3", "-c", "import numpy"], stdin=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


pytestmark = [needs_library, pytest.mark.skipif(not has_numpy(), reason="/usr/bin/python3 has no numpy (python3-numpy)")]
MODEL = MODELS / "silero_vad_v5.onnx"
RATE, WINDOW, CONTEXT = 16000, 512, 64


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    for name in ("app.py", "onnx.py"):
        shutil.copy(ROOT / "examples/python-onnx" / name, folder / name)
    return folder


def start(api, build, task, **env):
    api.start([build / "runtime/runtimes/python/bootstrap"], cwd=task,
              env={"_HANDLER": "app.handler", "LAMBDA_TASK_ROOT": str(task), "LAMINA_ONNXRUNTIME": str(LIBRARY),
                   "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1", **env})
    return api


def noise(count, seed=3):
    source = random.Random(seed)
    return [source.randrange(-8000, 8000) for _ in range(count)]


@needs_reference
def test_its_probabilities_equal_an_independent_run(build, task):
    samples = noise(5 * WINDOW + 100)
    signal = [0.0] * CONTEXT + [sample / 32768 for sample in samples] + [0.0] * (WINDOW - 100)
    runs = [{"input": ("FP32", [1, CONTEXT + WINDOW], pack_floats(signal[at:at + CONTEXT + WINDOW])),
             "sr": ("INT64", [], struct.pack("<q", RATE))} for at in range(0, len(signal) - CONTEXT, WINDOW)]
    runs[0]["state"] = ("FP32", [2, 1, 128], bytes(1024))
    theirs = [answer["output"][1][0] for answer in reference(MODEL, runs, ["output"], carry={"stateN": "state"})]
    pcm = base64.b64encode(struct.pack("<%dh" % len(samples), *samples)).decode()
    with RuntimeApi() as api:
        answer = start(api, build, task, MODEL_PATH=str(MODEL)).invoke({"pcm": pcm, "probabilities": True}).json
    assert_close(answer["probabilities"], theirs, 1e-4)
    assert answer["seconds"] == len(samples) / RATE


def test_what_it_answers_and_what_it_refuses(build, task):
    shutil.copy(MODEL, task / MODEL.name)  # no MODEL_PATH: beside the module
    with RuntimeApi() as api:
        start(api, build, task)
        assert api.invoke({"pcm": ""}).json == {"seconds": 0.0, "speech": []}
        silence = base64.b64encode(bytes(2 * RATE)).decode()
        assert api.invoke({"pcm": silence}).json == {"seconds": 1.0, "speech": []}
        assert api.invoke({}).json["errorType"] == "KeyError"
        assert api.invoke({"pcm": "?"}).json["errorType"] == "Error"  # binascii.Error
        assert api.invoke({"pcm": silence}).json["seconds"] == 1.0
        assert b"libonnxruntime" in open("/proc/%d/maps" % api.process.pid, "rb").read()


def test_a_model_that_is_none_fails_the_start(build, task, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with RuntimeApi() as api:
        start(api, build, task, MODEL_PATH=str(tmp_path / "bad.onnx"))
        answer = api.answer()
        assert (answer.kind, answer.json["errorType"]) == ("init", "RuntimeError")
        assert api.wait_end() == 1


@pytest.mark.skipif(not shutil.which("cc"), reason="cc is missing")
def test_its_table_of_functions_is_the_headers(tmp_path):
    names = {}
    source = (ROOT / "examples/python-onnx/onnx.py").read_text()
    exec(source[source.index("PLACES = {"):source.index("TYPES = {")], names)  # pylint: disable=exec-used
    program = tmp_path / "places.c"
    program.write_text("#include <stddef.h>\n#include <stdio.h>\n#include <onnxruntime_c_api.h>\nint main(void)\n{\n" + "".join(
        '    printf("%s %%zu\\n", offsetof(OrtApi, %s) / sizeof(void *));\n' % (name, name) for name in names["PLACES"]) + "}\n")
    subprocess.run(["cc", "-w", "-I", DEPS / "prefix/include/onnxruntime", program, "-o", tmp_path / "places"],
                   stdin=subprocess.DEVNULL, timeout=240, check=True)
    out = subprocess.run([tmp_path / "places"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=240, check=True,
                         text=True).stdout
    assert {line.split()[0]: int(line.split()[1]) for line in out.splitlines()} == names["PLACES"]
