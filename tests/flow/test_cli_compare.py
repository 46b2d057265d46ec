# SPDX-License-Identifier: MIT
"""`lamina compare`: rows, figures and that it leaves nothing behind, whatever happens."""

import json
import signal
import subprocess

import pytest

from lamina_service import DEADLINE_S, wait_for
from onnx_file import FLOAT, INT64, model, node, value

STRATEGIES = ["package", "layer", "image", "s3", "endpoint", "filesystem"]
PHASES = ["queue", "sandbox", "fetch", "load", "warm", "first_answer"]


@pytest.fixture(scope="module")
def code(build):
    """The C example: it starts in a millisecond, so that the whole measurement is short."""
    path = build / "examples" / "hello-c"
    if not (path / "bootstrap").exists():
        pytest.skip("this build has no examples")
    return path


def leftovers(service):
    """The functions of comparisons that are there now."""
    names = [f["name"] for f in json.loads(service.lamina("list", "-o", "json").stdout)["functions"]]
    return [name for name in names if name.startswith("lamina-compare-")]


def check_spread(spread, count=None):
    assert set(spread) == {"n", "min", "p50", "p95", "p99", "max"}
    assert count is None or spread["n"] == count
    assert 0 <= spread["min"] <= spread["p50"] <= spread["p95"] <= spread["p99"] <= spread["max"]


def check_measured(row, cold_starts):
    assert row["status"] == "measured" and row["reason"] is None
    for kind in ("node_cold", "node_warm"):
        check_spread(row[kind]["total_ms"], cold_starts)
        check_spread(row[kind]["caller_ms"], cold_starts)
        assert list(row[kind]["phases_ms"]) == PHASES
        for phase in PHASES:
            check_spread(row[kind]["phases_ms"][phase], cold_starts)
        assert row[kind]["total_ms"]["min"] > 0
    check_spread(row["warm_ms"])
    assert row["warm_ms"]["n"] >= 20
    assert [load["callers"] for load in row["throughput"]] == [1, 8, 32]
    for load in row["throughput"]:
        assert load["calls"] > 0 and load["failed"] <= load["calls"] and load["per_s"] > 0
        check_spread(load["ms"])
    assert row["bytes"]["zip"] > 0 and row["bytes"]["unzipped"] > 0 and row["bytes"]["stored"] > 0
    assert row["memory"]["pss_bytes"] > 0 and row["memory"]["private_bytes"] > 0
    update = row["update"]
    check_spread(update["seconds"], update["rounds"])
    assert update["rounds"] >= 1 and update["bytes_moved"] > 0 and update["failed"] <= update["calls"]
    assert update["redeploy"] is True


def check_beside(row):
    """The model lies beside the function: a new one is an upload or a rename, and no call fails for it."""
    assert row["status"] == "measured" and row["update"]["redeploy"] is False
    assert row["update"]["rounds"] >= 1 and row["update"]["failed"] == 0


def test_six_rows_one_of_them_measured(service, code):
    told = json.loads(service.lamina("compare", code, "--quick", "-o", "json").stdout)
    assert told["schema"] == 1 and told["quick"] is True
    assert [row["strategy"] for row in told["rows"]] == STRATEGIES
    check_measured(told["rows"][0], 5)
    assert told["rows"][1]["status"] == "not_built" and "a layer is for a model" in told["rows"][1]["reason"]
    for row in told["rows"][1:]:
        assert row["status"] == "not_built" and row["reason"]
        assert "node_cold" not in row
    assert leftovers(service) == []


def test_the_table_says_the_same(service, code):
    done = service.lamina("compare", code, "--quick", "-e", '{"name": "x"}')
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["STRATEGY", "STATUS"]
    assert [line.split()[0] for line in lines[1:7]] == STRATEGIES
    assert lines[1].split()[1] == "measured" and lines[2].split()[1] == "not_built"
    for phase in PHASES:
        assert any(line.startswith(phase) for line in lines)
    assert "calls failed meanwhile" in done.stdout
    assert leftovers(service) == []


def test_a_model_is_asked_with_zeros_of_its_own_shapes(service, tmp_path):
    """Nobody gave an event: the metadata tells what the model takes; free dimensions become 1."""
    if not (service.build / "runtime/lib/libonnxruntime.so").exists():
        pytest.skip("this build has no ONNX Runtime")
    inputs = [value("x", FLOAT, ["batch", 3]), value("n", INT64, [])]
    outputs = [value("y", FLOAT, ["batch", 3]), value("m", INT64, [])]
    (tmp_path / "net.onnx").write_bytes(model([node("Identity", ["x"], ["y"]), node("Identity", ["n"], ["m"])], inputs, outputs))
    told = json.loads(service.lamina("compare", tmp_path / "net.onnx", "--quick", "-o", "json").stdout)
    assert told["event"] == "zeros of the model's input shapes"
    rows = {row["strategy"]: row for row in told["rows"]}
    for name in ("package", "layer", "s3", "filesystem"):
        row = rows[name]
        check_measured(row, 5) if name in ("package", "layer") else check_beside(row)
        assert row["node_warm"]["phases_ms"]["load"]["min"] > 0
    assert not [each for each in service.client().list_layers()["Layers"] if each["LayerName"].startswith("lamina-compare")]
    assert leftovers(service) == []
    assert json.loads(service.lamina("filesystem", "list", "-o", "json").stdout) == [], "the one that was made for it is gone"


def test_a_model_over_the_limits_is_infeasible_with_the_number(service, tmp_path):
    with open(tmp_path / "big.onnx", "wb") as file:  # in a directory: s3 is measured with a file, and this is no model
        file.truncate(300 << 20)
    told = json.loads(service.lamina("compare", tmp_path, "-o", "json").stdout)
    rows = {row["strategy"]: row for row in told["rows"]}
    for name in ("package", "layer"):
        assert rows[name]["status"] == "infeasible"
        over = (300 << 20) + (service.build / "runtime/bin/lamina-model").stat().st_size - 262144000
        assert f"(by {over} bytes)" in rows[name]["reason"] and "250 MB unzipped" in rows[name]["reason"]
    assert {rows[name]["status"] for name in ("image", "s3", "endpoint", "filesystem")} == {"not_built"}
    assert leftovers(service) == []


def test_a_function_that_fails_is_said_and_deleted(service, tmp_path):
    root = tmp_path / "broken"
    root.mkdir()
    (root / "bootstrap").write_text("#!/bin/sh\nexit 3\n")
    (root / "bootstrap").chmod(0o755)
    done = service.lamina("compare", root, "--quick", check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "the function reported an error" in done.stderr and "Runtime.ExitError" in done.stderr
    assert leftovers(service) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_deletes_what_was_made(service, build, code, number):
    comparing = subprocess.Popen([build / "lamina", "compare", code, "--cold-starts", "10000"], env=service.env,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: leftovers(service), "the function to be there")
        comparing.send_signal(number)
        out, _ = comparing.communicate(timeout=DEADLINE_S)
        assert comparing.returncode == -number
        assert out == b""
    finally:
        comparing.kill()
        comparing.wait()
    assert leftovers(service) == []


def test_mistakes_come_before_anything_is_deployed(service, tmp_path):
    (tmp_path / "net.pt").write_text("x")
    for path, says in ((tmp_path / "net.pt", "torch.onnx.export"), (tmp_path / "nothing", "No such file")):
        done = service.lamina("compare", path, check=False)
        assert done.returncode == 1 and says in done.stderr
    assert leftovers(service) == []
