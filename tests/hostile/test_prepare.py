# SPDX-License-Identifier: MIT
"""Hostile models harm only the worker that prepares them; and what a taken-over one could reach.

The models run in the real lamina-work, confined by lamina-spawn as laminad has it done, with limits that a test can
wait for.
"""
import os
import re
import signal
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))
import onnx_file as onnx  # noqa: E402
import random_model  # noqa: E402
from spawn_client import Job, MIB, Spawn  # noqa: E402

PREPARE, ENGINE = 2, 1
REFUSED, FILE, DATA, END = 6, 2, 3, 5
SOURCE = Path(__file__).with_name("attack.c").read_text()
GROUPS = re.findall(r'\{"(\w+)", attack_\w+\}', SOURCE[SOURCE.index("} groups[] = {"):])


@pytest.fixture(scope="module")
def jobs(build):
    if not (build / "runtime/lib/libonnxruntime.so").exists():
        pytest.skip("tools/deps inference has not been run")
    with Spawn(build, arguments=("--runtime-dir", str(build / "runtime"))) as service:
        yield service


def prepare(jobs, tmp_path, model, memory=900, seconds=60, bytes_max=0, time_ms=3000):
    path = tmp_path / "model"
    path.write_bytes(model)
    fd = os.open(path, os.O_RDONLY)
    try:
        return Job(jobs, kind=PREPARE, arguments=(bytes_max, time_ms, 0, 0), source=fd, memory=memory * MIB,
                   seconds=seconds, flags=ENGINE).end()
    finally:
        os.close(fd)


def frames(output):
    """[(type, code, path, data), ...]; any cut at the end is left out."""
    at, found = 8, []
    while at + 32 <= len(output):
        kind, _, code, path_size, data_size = struct.unpack_from("<BBHII", output, at)
        at += 32
        found.append((kind, code, output[at:at + path_size], output[at + path_size:at + path_size + data_size]))
        at += path_size + data_size
    return found


def good_model():
    return random_model.mlp(4 * 128 * 128 * 4, width=128)


def test_an_honest_model_is_prepared_in_the_sandbox(jobs, tmp_path):
    result = prepare(jobs, tmp_path, good_model())
    assert result["status"] == 0 and result["flags"] == 0
    kinds = [frame[0] for frame in frames(result["output"])]
    assert kinds[:3] == [FILE, DATA, FILE] and kinds[-1] == END


def loop_model():
    """Adds one to a number 2^62 times."""
    body = (onnx._bytes(1, onnx.node("Add", ["sum_in", "one"], ["sum_out"]))
            + onnx._bytes(1, onnx.node("Identity", ["go_in"], ["go_out"])) + onnx._bytes(2, "body")
            + b"".join(onnx._bytes(11, each) for each in (
                onnx.value("i", onnx.INT64, []), onnx.value("go_in", onnx.BOOL, []), onnx.value("sum_in", onnx.FLOAT, [])))
            + b"".join(onnx._bytes(12, each) for each in (
                onnx.value("go_out", onnx.BOOL, []), onnx.value("sum_out", onnx.FLOAT, []))))
    attribute = onnx._bytes(5, onnx._bytes(1, "body") + onnx._bytes(6, body) + onnx._int(20, 5))
    loop = (b"".join(onnx._bytes(1, name) for name in ("many", "", "x")) + onnx._bytes(2, "y")
            + onnx._bytes(4, "Loop") + attribute)
    return onnx.model([loop], [onnx.value("x", onnx.FLOAT, [])], [onnx.value("y", onnx.FLOAT, [])],
                      initializers=[onnx.tensor("many", onnx.INT64, [], struct.pack("<q", 1 << 62)),
                                    onnx.tensor("one", onnx.FLOAT, [], struct.pack("<f", 1.0))])


def test_a_model_without_end_meets_its_processor_time(jobs, tmp_path):
    result = prepare(jobs, tmp_path, loop_model(), seconds=1)
    assert os.WIFSIGNALED(result["status"]) and os.WTERMSIG(result["status"]) in (signal.SIGXCPU, signal.SIGKILL)
    assert frames(result["output"]) == []


def expanding(elements):
    """x + a constant that is one number in the file and `elements` numbers in memory."""
    return onnx.model([onnx.node("ConstantOfShape", ["shape"], ["big"], value=onnx.tensor("v", onnx.FLOAT, [1], b"\0\0\0?")),
                       onnx.node("ReduceSum", ["big"], ["sum"], keepdims=0), onnx.node("Add", ["x", "sum"], ["y"]),
                       onnx.node("Identity", ["big"], ["z"])],
                      [onnx.value("x", onnx.FLOAT, [2])], [onnx.value("y", onnx.FLOAT, [2]), onnx.value("z", onnx.FLOAT, None)],
                      initializers=[onnx.tensor("shape", onnx.INT64, [1], struct.pack("<q", elements))])


@pytest.mark.parametrize("gib", [4, 1 << 20])
def test_a_memory_bomb_ends_in_its_worker(jobs, tmp_path, gib):
    result = prepare(jobs, tmp_path, expanding(gib << 28), memory=400)
    is_killed = os.WIFSIGNALED(result["status"]) and result["flags"] & 1  # out of memory
    is_refused = [frame[0] for frame in frames(result["output"])] == [REFUSED]
    assert is_killed or (result["status"] == 0 and is_refused), result
    assert prepare(jobs, tmp_path, good_model())["status"] == 0


def test_a_form_that_is_too_large_is_refused(jobs, tmp_path):
    result = prepare(jobs, tmp_path, good_model(), bytes_max=1000)
    [(kind, _, _, data)] = frames(result["output"])
    assert (result["status"], kind, data) == (0, REFUSED, b"")


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"ORTM" * 1000, good_model()[:-7], good_model()[:5000],
                                     os.urandom(5000)], ids=["empty", "zeros", "ort", "cut", "half", "random"])
def test_what_is_no_model_is_refused(jobs, tmp_path, content):
    result = prepare(jobs, tmp_path, content)
    assert result["status"] == 0
    assert [frame[0] for frame in frames(result["output"])] == [REFUSED]


def test_a_model_cannot_read_files_beside_it(jobs, tmp_path):
    """External data at a place of the host and of the sandbox: neither is loaded."""
    for location in ("/etc/passwd", "../../../etc/passwd", "/proc/self/environ", "/opt/lamina/lib/libonnxruntime.so"):
        model = onnx.model([onnx.node("Add", ["x", "w"], ["y"])], [onnx.value("x", onnx.UINT8, [16])],
                           [onnx.value("y", onnx.UINT8, [16])],
                           initializers=[onnx.external("w", onnx.UINT8, [16], location, 0, 16)])
        result = prepare(jobs, tmp_path, model)
        assert (result["status"], [frame[0] for frame in frames(result["output"])]) == (0, [REFUSED]), location


# ---- a worker that was taken over, with an engine's filter

@pytest.fixture(scope="module")
def taken_over(build):
    with Spawn(build, work="tests/attack") as service:
        yield service


@pytest.mark.parametrize("group", ["host_files", "writes", "network", "kernel", "namespaces", "processes"])
def test_an_engines_filter_opens_no_more_than_it_says(taken_over, tmp_path, group):
    if group not in GROUPS:
        pytest.skip("attack.c has no such group")
    path = tmp_path / "package"
    path.write_bytes(b"a model")
    results = []
    for flags in (0, ENGINE):
        fd = os.open(path, os.O_RDONLY)
        result = Job(taken_over, kind=GROUPS.index(group), source=fd, flags=flags).end()
        os.close(fd)
        assert (result["status"], result["step"]) == (0, "none"), result
        results.append(dict(line.rsplit(" ", 1) for line in result["output"].decode().splitlines()))
    plain, engine = results
    opened = {name for name in plain if plain[name] != "ok" and engine[name] == "ok"}
    assert opened <= {"memfd_create"}, (opened, plain, engine)
