# SPDX-License-Identifier: MIT
"""How lamina-model finds and loads its model, and what it says when it cannot."""
import os
import random
import re
import shutil
import subprocess

import pytest

import onnx_file as onnx
from model_function import (LIBRARY, infer, model_function, needs_library, pack_floats, seeded, tensor)

pytestmark = needs_library
X = tensor("x", "FP32", [1, 2], [1, 2])


def small_model():
    return onnx.model([onnx.node("Add", ["x", "x"], ["y"])], [onnx.value("x", onnx.FLOAT, [1, 2])],
                      [onnx.value("y", onnx.FLOAT, [1, 2])])


def init_error(build, model_path=None, **env):
    """The type and message that a start must fail with; the process ends by itself with 1."""
    with model_function(build, model_path, **env) as api:
        answer = api.answer()
        assert answer.kind == "init", answer
        assert api.wait_end() == 1
        assert answer.headers["Lambda-Runtime-Function-Error-Type"] == answer.json["errorType"]
        assert answer.json["errorMessage"] in api.output()
        assert api.next_headers == []
        return answer.json["errorType"], answer.json["errorMessage"]


# ---- finding it

def test_by_path_by_handler_and_alone(build, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "only.onnx").write_bytes(small_model())
    task = str(tmp_path)
    for env in ({"MODEL_PATH": task + "/deep/only.onnx"}, {"LAMBDA_TASK_ROOT": task, "_HANDLER": "deep/only.onnx"},
                {"LAMBDA_TASK_ROOT": task, "_HANDLER": "bootstrap"}, {"LAMBDA_TASK_ROOT": task}):
        with model_function(build, **env) as api:
            assert infer(api, X)["y"]["data"] == [2.0, 4.0]


def test_nothing_to_load(build, tmp_path):
    kind, message = init_error(build, LAMBDA_TASK_ROOT=str(tmp_path))
    assert kind == "Runtime.ModelNotFound"
    assert "holds no .onnx, .ort, .tflite or .ubj file" in message and "MODEL_PATH is not set" in message
    kind, message = init_error(build, LAMBDA_TASK_ROOT=str(tmp_path), _HANDLER="model.onnx")
    assert (kind, "the handler names" in message) == ("Runtime.ModelNotFound", True)
    kind, message = init_error(build, str(tmp_path / "gone.onnx"))
    assert (kind, "MODEL_PATH names" in message) == ("Runtime.ModelNotFound", True)
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(small_model())
    kind, message = init_error(build, LAMBDA_TASK_ROOT=str(tmp_path))
    assert (kind, "there are 2 model files" in message) == ("Runtime.ModelNotFound", True)


@pytest.mark.parametrize("name, line", [
    ("net.pt", "torch.onnx.export("), ("net.pth", "torch.onnx.export("), ("clf.pkl", "skl2onnx.to_onnx("),
    ("model.safetensors", "optimum-cli export onnx"), ("llama.gguf", "optimum-cli export onnx"),
    ("saved_model.pb", "tf2onnx.convert --saved-model"), ("net.h5", 'format="onnx"'),
])
def test_other_formats_are_refused_with_the_line_that_exports_them(build, tmp_path, name, line):
    (tmp_path / name).write_bytes(b"PK\x03\x04 whatever")
    for env in ({"LAMBDA_TASK_ROOT": str(tmp_path)}, {"LAMBDA_TASK_ROOT": str(tmp_path), "_HANDLER": name},
                {"MODEL_PATH": str(tmp_path / name)}):
        kind, message = init_error(build, **env)
        assert kind == "Runtime.ModelFormatNotSupported"
        assert name in message and line in message and "docs/export-to-onnx.md" in message


def test_the_library_is_missing_or_is_not_one(build, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(small_model())
    lone = tmp_path / "bin"
    lone.mkdir()
    shutil.copy(build / "lamina-model", lone / "lamina-model")  # nothing beside it
    kind, message = init_error(lone, model, LAMINA_ONNXRUNTIME=None)
    assert kind == "Runtime.ModelNotFound" and "libonnxruntime.so is not in" in message
    not_a_library = tmp_path / "lib.so"
    not_a_library.write_bytes(b"\x7fELF nonsense")
    kind, message = init_error(build, model, LAMINA_ONNXRUNTIME=str(not_a_library))
    assert kind == "Runtime.EngineNotUsable" and "open ONNX Runtime" in message
    kind, message = init_error(build, model, LAMINA_ONNXRUNTIME="libz.so.1")
    assert kind == "Runtime.EngineNotUsable"


def test_the_library_beside_the_program_is_found(build, tmp_path):
    (tmp_path / "lib").mkdir()
    shutil.copy(build / "lamina-model", tmp_path / "lamina-model")
    os.symlink(LIBRARY, tmp_path / "lib" / "libonnxruntime.so")
    model = tmp_path / "m.onnx"
    model.write_bytes(small_model())
    with model_function(tmp_path, model, LAMINA_ONNXRUNTIME=None) as api:
        assert infer(api, X)["y"]["data"] == [2.0, 4.0]


# ---- phases, warm-up, threads, telemetry

def phases(api):
    text = api.next_headers[0]["Lamina-Init-Phases"]
    return {name: float(value) for name, value in re.findall(r"([a-z_]+)=([0-9.]+)", text)}


def test_phases_are_told_once(build, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(small_model())
    with model_function(build, model) as api:
        infer(api, X)
        infer(api, X)
        assert set(phases(api)) == {"load", "warm"}
        assert phases(api)["load"] > 0
        assert not any("Lamina-Init-Phases" in headers for headers in api.next_headers[1:])
        assert "model.loaded file=%s" % model in api.output()


def test_the_inputs_signature_is_told_once(build, tmp_path):
    def told(name, content):
        model = tmp_path / name
        model.write_bytes(content)
        with model_function(build, model) as api:
            infer(api, X)
            infer(api, X)
            assert not any("Lamina-Model-Signature" in headers for headers in api.next_headers[1:])
            return api.next_headers[0]["Lamina-Model-Signature"]

    def other(operation, datatype, dims):
        return onnx.model([onnx.node(operation, ["x"], ["y"])], [onnx.value("x", datatype, dims)],
                          [onnx.value("y", datatype, dims)])

    first = told("a.onnx", other("Identity", onnx.FLOAT, [1, "n"]))
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert told("b.onnx", other("Neg", onnx.FLOAT, [1, "m"])) == first  # another model, the same requests
    assert told("c.onnx", other("Neg", onnx.FLOAT, [1, 2])) != first


def test_a_model_that_cannot_run_on_zeros_still_starts(build, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(onnx.model(  # Reshape of one element into pairs
        [onnx.node("Reshape", ["x", "pairs"], ["y"])], [onnx.value("x", onnx.FLOAT, ["n"])],
        [onnx.value("y", onnx.FLOAT, ["m", 2])],
        initializers=[onnx.tensor("pairs", onnx.INT64, [2], (-1).to_bytes(8, "little", signed=True) + (2).to_bytes(8, "little"))]))
    request = tensor("x", "FP32", [4], [1, 2, 3, 4])
    with model_function(build, model) as api:
        assert infer(api, request)["y"]["shape"] == [2, 2]
        assert "model.not_warmed" in api.output()
    (tmp_path / "warm_up.json").write_text('{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[0,0]}]}')
    with model_function(build, model) as api:
        assert infer(api, request)["y"]["shape"] == [2, 2]
        assert "model.not_warmed" not in api.output()
    (tmp_path / "warm_up.json").write_text("not a request")
    with model_function(build, model) as api:
        assert infer(api, request)["y"]["shape"] == [2, 2]
        assert "reason=warm_up.json: the request is not JSON" in api.output()


def thread_count(pid):
    return len(os.listdir("/proc/%d/task" % pid))


def test_threads_follow_the_processor_share(build, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(small_model())
    processors = len(os.sched_getaffinity(0))
    for memory, wanted in (("128", 1), ("1769", 1), ("3538", 2), ("10240", 6)):
        with model_function(build, model, AWS_LAMBDA_FUNCTION_MEMORY_SIZE=memory) as api:
            infer(api, X)
            assert "threads=%d " % min(wanted, processors) in api.output()
            assert thread_count(api.process.pid) == min(wanted, processors)
    with model_function(build, model, LAMINA_THREADS="2", AWS_LAMBDA_FUNCTION_MEMORY_SIZE="128") as api:
        infer(api, X)
        assert thread_count(api.process.pid) == min(2, processors)


def test_nothing_is_reported_to_the_librarys_maker(build, tmp_path):
    """No thread, file or socket of the library's own telemetry (it opens a database under HOME)."""
    model, home = tmp_path / "m.onnx", tmp_path / "home"
    model.write_bytes(small_model())
    home.mkdir()
    with model_function(build, model, HOME=str(home), TMPDIR=str(home)) as api:
        infer(api, X)
        pid = api.process.pid
        open_files = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
        sockets = [name for name in open_files if name.startswith("socket:")]
        assert len(sockets) == 1  # the Runtime API
        assert not [name for name in open_files if str(home) in name or ".db" in name]
        assert thread_count(pid) == 1
    assert list(home.iterdir()) == []


# ---- model files that are not what they should be

def test_truncated_models_are_refused(build, tmp_path):
    weights = pack_floats(seeded(3, 4096))
    whole = onnx.model([onnx.node("MatMul", ["x", "w"], ["y"])], [onnx.value("x", onnx.FLOAT, [1, 64])],
                       [onnx.value("y", onnx.FLOAT, [1, 64])], initializers=[onnx.tensor("w", onnx.FLOAT, [64, 64], weights)])
    model = tmp_path / "m.onnx"
    for size in (1, 10, 100, len(whole) // 2, len(whole) - 1):
        model.write_bytes(whole[:size])
        kind, message = init_error(build, model)
        assert kind == "Runtime.ModelNotLoadable"
        assert str(model) in message
    model.write_bytes(b"")
    assert init_error(build, model)[0] == "Runtime.ModelNotLoadable"


def test_garbage_is_refused(build, tmp_path):
    source = random.Random(7)
    for name in ("m.onnx", "m.ort"):
        model = tmp_path / name
        for content in (b"\0" * 1000, b"\xff" * 1000, source.randbytes(10000), b"<html>not found</html>",
                        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", b"ORTM" + b"\1" * 500):
            model.write_bytes(content)
            kind, message = init_error(build, model)
            assert kind == "Runtime.ModelNotLoadable", content[:20]
            assert str(model) in message


def test_damaged_bytes_never_hang_or_hurt(build, tmp_path):
    """A flipped byte may leave a model valid, refused, or crash the function's process; nothing else."""
    whole = bytearray(small_model())
    source = random.Random(11)
    model = tmp_path / "m.onnx"
    for _ in range(12):
        damaged = bytearray(whole)
        damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        model.write_bytes(damaged)
        with model_function(build, model) as api:
            api.send({"inputs": [X]})
            try:
                assert api.answer().kind in ("response", "error", "init")
            except AssertionError:
                assert api.process.poll() is not None  # it ended, by whatever way
    assert sorted(os.listdir(tmp_path)) == ["m.onnx"]


@pytest.mark.parametrize("dims", [[2**40], [2**31, 2**31], [-5], [2**62, 4]])
def test_huge_and_negative_dimensions_are_refused(build, tmp_path, dims):
    model = tmp_path / "m.onnx"
    model.write_bytes(onnx.model([onnx.node("Identity", ["w"], ["y"])], [], [onnx.value("y", onnx.FLOAT, None)],
                                 initializers=[onnx.tensor("w", onnx.FLOAT, dims, b"\0" * 16)]))
    assert init_error(build, model)[0] == "Runtime.ModelNotLoadable"


def test_too_many_dimensions_are_refused_by_name(build, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(onnx.model([onnx.node("Identity", ["deep"], ["y"])], [onnx.value("deep", onnx.FLOAT, [1] * 17)],
                                 [onnx.value("y", onnx.FLOAT, [1] * 17)]))
    kind, message = init_error(build, model)
    assert kind == "Runtime.ModelNotLoadable" and "'deep' has 17 dimensions, at most 16" in message


def test_weights_in_a_file_beside_the_model(build, tmp_path):
    weights = pack_floats([1, 2, 3, 4])
    model = tmp_path / "m.onnx"

    def put(location):
        model.write_bytes(onnx.model([onnx.node("MatMul", ["x", "w"], ["y"])], [onnx.value("x", onnx.FLOAT, [1, 2])],
                                     [onnx.value("y", onnx.FLOAT, [1, 2])],
                                     initializers=[onnx.external("w", onnx.FLOAT, [2, 2], location, 0, 16)]))

    put("m.onnx.data")
    assert init_error(build, model)[0] == "Runtime.ModelNotLoadable"
    (tmp_path / "m.onnx.data").write_bytes(weights)
    with model_function(build, model) as api:
        assert infer(api, X)["y"]["data"] == [7.0, 10.0]
    # Nor does it read what lies elsewhere.
    outside = tmp_path.parent / (tmp_path.name + ".outside")
    outside.write_bytes(weights)
    try:
        for location in ("../" + outside.name, str(outside)):
            put(location)
            assert init_error(build, model)[0] == "Runtime.ModelNotLoadable"
    finally:
        outside.unlink()


# ---- outside of any platform

def test_it_says_who_starts_it(build):
    result = subprocess.run([build / "lamina-model"], env={"MODEL_PATH": "/none.onnx"}, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
    assert result.returncode == 1
    assert b"AWS_LAMBDA_RUNTIME_API is not set" in result.stderr
