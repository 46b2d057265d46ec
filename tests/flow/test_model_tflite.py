# SPDX-License-Identifier: MIT
"""TensorFlow Lite models: the same wake-word model in two formats gives equal answers."""
import hashlib
import json
import pathlib

import pytest

from model_function import (DEPS, MODELS, assert_close, binary, bytes_of, error, floats, infer, model_function,
                            needs_library, pack_floats, seeded)
from test_model_start import init_error

WAKEWORDS = MODELS / "wakeword"
TFLITE = DEPS / "lib" / "libtensorflowlite_c.so"
pytestmark = [needs_library, pytest.mark.skipif(not TFLITE.exists(), reason="tools/deps inference has not been run")]
needs_models = pytest.mark.skipif(not WAKEWORDS.exists(), reason="tools/deps check has not been run")
NAMES = ["hey_jarvis_v0.1", "alexa_v0.1", "hey_mycroft_v0.1", "timer_v0.1", "embedding_model"]


def tflite_function(build, path, **env):
    return model_function(build, path, LAMINA_TFLITE=str(TFLITE), **env)


def answer(api, data):
    """The outputs, in order, of one run with `data` as the one input."""
    metadata = api.invoke({}).json
    [spec] = metadata["inputs"]
    shape = [1 if size < 0 else size for size in spec["shape"]]
    outputs = infer(api, binary(spec["name"], "FP32", shape, pack_floats(data)), parameters={"binary_data_base64": True})
    return shape, [(output["shape"], floats(bytes_of(output))) for output in outputs.values()]


def elements(api):
    [spec] = api.invoke({}).json["inputs"]
    count = 1
    for size in spec["shape"]:
        count *= max(size, 1)
    return count


@needs_models
@pytest.mark.parametrize("name", NAMES)
def test_one_model_in_two_formats_answers_alike(build, name):
    with tflite_function(build, WAKEWORDS / (name + ".tflite")) as lite, \
            model_function(build, WAKEWORDS / (name + ".onnx")) as onnx:
        count = elements(lite)
        for seed in range(4):
            values = seeded(seed, count, 3.0)
            shape, ours = answer(lite, values)
            other_shape, theirs = answer(onnx, values)
            assert shape == other_shape
            for (_, our), (_, their) in zip(ours, theirs):
                assert_close(our, their, 1e-3)
        assert "engine=tensorflow_lite-2." in lite.output() and "threads=1" in lite.output()


@needs_models
def test_metadata_says_what_it_is(build):
    path = WAKEWORDS / "hey_jarvis_v0.1.tflite"
    with tflite_function(build, path) as api:
        metadata = api.invoke({}).json
        assert metadata["platform"] == "tensorflow_lite"
        assert metadata["versions"] == [hashlib.sha256(path.read_bytes()).hexdigest()]
        assert metadata["inputs"][0]["shape"] == [1, 16, 96]
        kind, message = error(api, {"inputs": [{"name": metadata["inputs"][0]["name"], "datatype": "FP32",
                                                "shape": [2, 16, 96], "data": [0] * 3072}]})
        assert kind == "Function.InvalidInput" and "[1,16,96]" in message.replace(" ", "")
        tasks = list(pathlib.Path("/proc", str(api.process.pid), "task").iterdir())
        assert len(tasks) == 1


@needs_models
def test_a_wake_word_is_deployed_like_any_model(fresh_service, tmp_path):
    path = WAKEWORDS / "hey_jarvis_v0.1.tflite"
    fresh_service.lamina("deploy", path, "--name", "jarvis")
    described = json.loads(fresh_service.lamina("describe", "jarvis", "-o", "json").stdout)["model"]
    assert described["path"] == "/var/task/hey_jarvis_v0.1.tflite"
    assert described["reason"] == "it is in the form that is used in place already"
    client = fresh_service.client("lambda")
    metadata = json.loads(client.invoke(FunctionName="jarvis", Payload=b"{}")["Payload"].read())
    assert metadata["versions"] == [described["sha256"]]
    request = {"inputs": [{"name": metadata["inputs"][0]["name"], "datatype": "FP32", "shape": [1, 16, 96],
                           "data": seeded(1, 1536)}]}
    [output] = json.loads(client.invoke(FunctionName="jarvis", Payload=json.dumps(request))["Payload"].read())["outputs"]
    assert 0 <= output["data"][0] <= 1


def test_what_is_no_model(build, tmp_path):
    bad = tmp_path / "bad.tflite"
    for content in (b"", b"nonsense", b"\x1c\0\0\0TFL3" + b"\xff" * 4000, b"\0" * 4096):
        bad.write_bytes(content)
        kind, _ = init_error(build, bad, LAMINA_TFLITE=str(TFLITE))
        assert kind == "Runtime.ModelNotLoadable", content[:8]


@needs_models
def test_every_cut_of_a_model_ends_in_words(build, tmp_path):
    whole = (WAKEWORDS / "hey_rhasspy_v0.1.tflite").read_bytes()
    cut = tmp_path / "cut.tflite"
    for size in (4, 8, 100, 1000, len(whole) // 2, len(whole) - 1000):
        cut.write_bytes(whole[:size])
        kind, message = init_error(build, cut, LAMINA_TFLITE=str(TFLITE))
        assert kind == "Runtime.ModelNotLoadable" and message


def test_the_library_is_missing_or_is_not_one(build, tmp_path):
    model = tmp_path / "m.tflite"
    model.write_bytes(b"x")
    kind, _ = init_error(build, model, LAMINA_TFLITE="libz.so.1")
    assert kind == "Runtime.EngineNotUsable"
