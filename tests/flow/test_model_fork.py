# SPDX-License-Identifier: MIT
"""A loaded model can be forked: the process holds nothing that a fork would share, and forks answer as fresh processes."""
import collections
import json
import os
import struct
import subprocess

import pytest

import onnx_file as onnx
from model_function import LIBRARY, MODELS, binary, needs_library, pack_floats, seeded

pytestmark = [needs_library, pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")]
FORKS = 6


def weights(name, seed, *dims):
    count = 1
    for dim in dims:
        count *= dim
    return onnx.tensor(name, onnx.FLOAT, dims, pack_floats(seeded(seed, count, 0.2)))


def perceptron(path):
    """Five layers of 256, a batch of rows: large enough to be cut for two threads."""
    layers = 5
    nodes = []
    for i in range(layers):
        nodes += [onnx.node("Gemm", ["x%d" % i, "w%d" % i, "b%d" % i], ["g%d" % i]),
                  onnx.node("Tanh", ["g%d" % i], ["x%d" % (i + 1)])]
    initializers = [weights("w%d" % i, i, 256, 256) for i in range(layers)]
    initializers += [weights("b%d" % i, 100 + i, 256) for i in range(layers)]
    path.write_bytes(onnx.model(nodes, [onnx.value("x0", onnx.FLOAT, ["n", 256])],
                                [onnx.value("x%d" % layers, onnx.FLOAT, ["n", 256])], initializers))
    return lambda seed: {"inputs": [binary("x0", "FP32", [48, 256], pack_floats(seeded(seed, 48 * 256)))],
                         "outputs": [{"name": "x%d" % layers, "parameters": {"binary_data_base64": True}}]}


def convolutions(path):
    """Convolutions, a pooled sum and a softmax."""
    nodes = [onnx.node("Conv", ["x", "w0"], ["c0"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
             onnx.node("Relu", ["c0"], ["r0"]),
             onnx.node("Conv", ["r0", "w1"], ["c1"], kernel_shape=[3, 3], strides=[2, 2]),
             onnx.node("Sigmoid", ["c1"], ["s1"]),
             onnx.node("GlobalAveragePool", ["s1"], ["p"]),
             onnx.node("Flatten", ["p"], ["f"]),
             onnx.node("Gemm", ["f", "w2"], ["y"])]
    initializers = [weights("w0", 7, 16, 3, 3, 3), weights("w1", 8, 32, 16, 3, 3), weights("w2", 9, 32, 10)]
    path.write_bytes(onnx.model(nodes, [onnx.value("x", onnx.FLOAT, [1, 3, 64, 64])],
                                [onnx.value("y", onnx.FLOAT, [1, 10])], initializers))
    return lambda seed: {"inputs": [binary("x", "FP32", [1, 3, 64, 64], pack_floats(seeded(seed, 3 * 64 * 64)))],
                         "outputs": [{"name": "y", "parameters": {"binary_data_base64": True}}]}


def speech(path):
    os.symlink(MODELS / "silero_vad_v5.onnx", path)
    return lambda seed: {
        "inputs": [binary("input", "FP32", [1, 576], pack_floats(seeded(seed, 576, 0.5))),
                   binary("state", "FP32", [2, 1, 128], pack_floats(seeded(seed + 1000, 256, 0.5))),
                   binary("sr", "INT64", [], struct.pack("<q", 16000))],
        "outputs": [{"name": name, "parameters": {"binary_data_base64": True}} for name in ("output", "stateN")]}


Case = collections.namedtuple("Case", "model requests home")


@pytest.fixture(scope="module", params=[perceptron, convolutions, speech], ids=lambda make: make.__name__)
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.__name__)
    make = request.param(folder / "m.onnx")
    requests = []
    for seed in range(FORKS):
        requests.append(folder / ("%d.json" % seed))
        requests[-1].write_text(json.dumps(make(seed)))
    (folder / "warm_up.json").write_text(json.dumps(make(99)))
    home = folder / "home"
    home.mkdir()
    return Case(folder / "m.onnx", requests, home)


def run(build, case, threads, mode):
    """(facts, answers)"""
    env = {"LAMINA_ONNXRUNTIME": str(LIBRARY), "PATH": "/usr/bin", "HOME": str(case.home), "TMPDIR": str(case.home)}
    result = subprocess.run([build / "tests" / "model_fork", case.model, str(threads), mode, *case.requests], env=env,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=240,
                            check=False, text=True, cwd=case.home)
    assert result.returncode == 0, result.stderr
    facts, answers = collections.defaultdict(list), []
    for line in result.stdout.splitlines():
        _, name, value = line.split(" ", 2)
        facts[name].append(value)
    for path in case.requests:
        answer = path.with_name(path.name + ".answer")
        answers.append(json.loads(answer.read_text()))
        answer.unlink()
    return facts, answers


@pytest.mark.parametrize("threads", [1, 2])
def test_forks_answer_bit_for_bit_as_a_fresh_process(build, case, threads):
    facts, forked = run(build, case, threads, "fork")
    assert facts["threads"] == ["1"]
    assert facts["recorded"] == [str(threads - 1)]
    assert facts["descriptor"] == []
    assert facts["writable_shared"] == []
    assert os.listdir(case.home) == []  # the engine wrote no file of its own

    facts, fresh = run(build, case, threads, "fresh")
    assert facts["threads"] == [str(threads)]
    assert forked == fresh
    assert len({json.dumps(answer, sort_keys=True) for answer in fresh}) == FORKS  # of different inputs
