# SPDX-License-Identifier: MIT
"""XGBoost models in JSON and UBJSON: the built-in runtime answers bit for bit as XGBoost's own prediction of the same rows."""
import hashlib
import json
import math
import os
import random
import shutil
import subprocess
import zipfile

import pytest

from model_function import binary, bytes_of, error, infer, model_function, pack_floats, seeded, tensor
from runtime_api import RuntimeApi
from template_host import TemplateHost
from test_model_start import init_error
from xgboost_reference import LIBRARY, NAN, needs_xgboost, rows_of, trained

pytestmark = needs_xgboost
COLUMNS = 6
BINARY = {"parameters": {"binary_data_base64": True}}

# objective, settings: what the one output is called, and its shape for N rows
OBJECTIVES = [
    ("binary:logistic", {}, "probabilities", []),
    ("multi:softprob", {"num_class": 3}, "probabilities", [3]),
    ("multi:softmax", {"num_class": 4}, "classes", []),
    ("binary:logitraw", {}, "margins", []),
    ("reg:squarederror", {}, "predictions", []),
    ("count:poisson", {}, "predictions", []),
    ("rank:pairwise", {}, "scores", []),
    ("binary:logistic", {"booster": "gblinear"}, "probabilities", []),
    ("reg:squarederror", {"booster": "dart", "rate_drop": 0.3}, "predictions", []),
    ("binary:logistic", {"num_parallel_tree": 3, "subsample": 0.5}, "probabilities", []),
]


def xgboost_function(build, path, **env):
    return model_function(build, path, LAMINA_XGBOOST=str(LIBRARY), **env)


def names(case):
    return case[0].replace(":", "-") + "".join("-" + str(value) for value in case[1].values())


@pytest.mark.parametrize("ending", ["ubj", "json"])
@pytest.mark.parametrize("case", OBJECTIVES, ids=names)
def test_answers_are_xgboost_s_own(build, tmp_path, case, ending):
    objective, settings, output, tail = case
    booster = trained(objective, **settings)
    path = tmp_path / ("model." + ending)
    booster.save(path)
    with xgboost_function(build, path) as api:
        for rows in (1, 2, 50):
            values = rows_of(rows, rows, COLUMNS, missing=0.3)
            shape, expected = booster.predict(rows, COLUMNS, values)
            answer = infer(api, binary("input", "FP32", [rows, COLUMNS], pack_floats(values)), outputs=[{"name": output, **BINARY}])
            assert answer[output]["shape"] == [rows] + tail == shape
            assert bytes_of(answer[output]) == expected
        assert "engine=xgboost-1." in api.output() and "not_warmed" not in api.output()


def save(tmp_path, name="m.ubj", objective="binary:logistic", **settings):
    path = tmp_path / name
    booster = trained(objective, **settings)
    booster.save(path)
    return path, booster


def test_metadata_says_what_it_is(build, tmp_path):
    path, _ = save(tmp_path, objective="multi:softprob", num_class=3)
    with xgboost_function(build, path) as api:
        metadata = api.invoke({}).json
        assert metadata["platform"] == "xgboost"
        assert metadata["versions"] == [hashlib.sha256(path.read_bytes()).hexdigest()]
        assert metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, COLUMNS]}]
        assert metadata["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]
        [output] = infer(api, tensor("input", "FP32", [1, COLUMNS], [0.5] * COLUMNS)).values()
        assert math.isclose(sum(output["data"]), 1, rel_tol=1e-5)


def test_what_is_missing_is_nan(build, tmp_path):
    path, booster = save(tmp_path)
    values = seeded(3, COLUMNS)
    values[1] = NAN
    with xgboost_function(build, path) as api:
        data = [value if value == value else "NaN" for value in values]
        [output] = infer(api, tensor("input", "FP32", [1, COLUMNS], data)).values()
        assert pack_floats(output["data"]) == booster.predict(1, COLUMNS, values)[1]
        [zero] = infer(api, tensor("input", "FP32", [1, COLUMNS], [value if value == value else 0 for value in values])).values()
        assert zero["data"] != output["data"]  # zero is a value


def test_what_a_caller_can_do_wrong(build, tmp_path):
    path, booster = save(tmp_path)
    with xgboost_function(build, path) as api:
        good = tensor("input", "FP32", [1, COLUMNS], [0.0] * COLUMNS)
        for bad, part in (({**good, "shape": [COLUMNS]}, "expected FP32 [-1,6], given FP32 [6]"),
                          ({**good, "shape": [2, COLUMNS]}, "data has 6 elements"),
                          ({**good, "shape": [1, 5], "data": [0] * 5}, "given FP32 [1,5]"),
                          ({**good, "datatype": "FP64"}, "given FP64"),
                          ({**good, "name": "x"}, "its inputs are 'input'"),
                          ({**good, "data": [0, 0, "Infinity", 0, 0, 0]}, "element 2 is infinite"),
                          ({**good, "data": [0, 0, 0, 0, 0, "-Infinity"]}, "element 5 is infinite"),
                          ({**good, "data": [0, 0, None, 0, 0, 0]}, "element 2 is null")):
            kind, message = error(api, {"inputs": [bad]})
            assert kind == "Function.InvalidInput" and part in message, message
        kind, message = error(api, {"inputs": [good], "outputs": [{"name": "classes"}]})
        assert kind == "Function.InvalidInput" and "probabilities" in message
        [output] = infer(api, {**good, "shape": [0, COLUMNS], "data": []}).values()
        assert output["shape"] == [0] and output["data"] == []
        [output] = infer(api, good).values()
        assert pack_floats(output["data"]) == booster.predict(1, COLUMNS, [0.0] * COLUMNS)[1]


def test_many_rows_and_calls_are_one_thread_and_no_more_memory(build, tmp_path):
    path, booster = save(tmp_path, rounds=50)
    with xgboost_function(build, path, LAMINA_THREADS="2") as api:
        values = rows_of(9, 20000, COLUMNS)
        request = binary("input", "FP32", [20000, COLUMNS], pack_floats(values))
        ask = {"inputs": [request], "outputs": [{"name": "probabilities", **BINARY}]}
        [output] = api.invoke(ask).json["outputs"]
        assert bytes_of(output) == booster.predict(20000, COLUMNS, values)[1]
        assert len(os.listdir("/proc/%d/task" % api.process.pid)) == 1

        def resident():
            return int(open("/proc/%d/statm" % api.process.pid).read().split()[1])

        for _ in range(5):
            api.invoke(ask)
        before = resident()
        for _ in range(40):
            api.invoke(ask)
        assert (resident() - before) * 4096 < 8 << 20  # 40 rounds of 0.5 MB would be 20


def test_the_model_is_found_by_its_content(build, tmp_path):
    path, _ = save(tmp_path, "trees.json")
    (tmp_path / "warm_up.json").write_text(json.dumps({"inputs": [tensor("input", "FP32", [1, COLUMNS], [1] * COLUMNS)]}))
    (tmp_path / "config.json").write_text('{"learner": 1}')
    with xgboost_function(build, None, LAMBDA_TASK_ROOT=str(tmp_path)) as api:
        assert api.invoke({}).json["platform"] == "xgboost"
        assert "not_warmed" not in api.output()
    shutil.copy(path, tmp_path / "model")  # no ending at all
    with xgboost_function(build, tmp_path / "model") as api:
        assert api.invoke({}).json["platform"] == "xgboost"


# ---- files that are none

def test_what_is_no_model(build, tmp_path):
    for name, content in (("m.ubj", b""), ("m.ubj", b"nonsense"), ("m.ubj", b"binf" + b"\xff" * 4000), ("m.json", b"{}"),
                          ("m.json", b'{"learner": 1}'), ("m.json", b'{"learner": {}}'), ("m.json", b'{"learner": {"a": [[[['),
                          ("m.ubj", b"{L\0\0\0\0\0\0\0\x07learner{" + b"\xff" * 400),
                          ("m.ubj", b"{L\0\0\0\0\0\0\0\x07learner{L\x7f\xff\xff\xff\xff\xff\xff\xff" + b"a" * 400)):
        bad = tmp_path / name
        bad.write_bytes(content)
        kind, message = init_error(build, bad, LAMINA_XGBOOST=str(LIBRARY))
        assert kind in ("Runtime.ModelNotLoadable", "Runtime.OutOfMemory") and message, content[:20]
        assert "Stack trace" not in message and "\n" not in message


@pytest.mark.parametrize("ending", ["ubj", "json"])
def test_cut_and_changed_models_end_in_words_or_answer(build, tmp_path, ending):
    """Nothing but the function itself is at stake: what its own library makes of a damaged file ends this process only."""
    path, _ = save(tmp_path, "whole." + ending, rounds=2)
    whole, source = path.read_bytes(), random.Random(7)
    bad = tmp_path / ("bad." + ending)
    for size in [len(whole) * part // 10 for part in range(1, 10)] + [len(whole) - 1]:
        bad.write_bytes(whole[:size])
        kind, message = init_error(build, bad, LAMINA_XGBOOST=str(LIBRARY))
        assert kind == "Runtime.ModelNotLoadable" and message, size
    for _ in range(12):
        changed = bytearray(whole)
        for _ in range(8):
            changed[source.randrange(40, len(changed))] = source.randrange(256)
        bad.write_bytes(changed)
        with xgboost_function(build, bad) as api:
            api.send({"inputs": [tensor("input", "FP32", [1, COLUMNS], [0.5] * COLUMNS)]})
            try:
                assert api.answer().kind in ("response", "error", "init")
            except AssertionError:
                assert api.process.poll() is not None  # it ended, by whatever way


def test_the_library_is_missing_or_is_not_one(build, tmp_path):
    path, _ = save(tmp_path)
    kind, message = init_error(build, path, LAMINA_XGBOOST=str(tmp_path / "none.so"))
    assert kind == "Runtime.EngineNotUsable" and "XGBoost" in message
    kind, message = init_error(build, path, LAMINA_XGBOOST="libz.so.1")
    assert kind == "Runtime.EngineNotUsable" and "it is not XGBoost" in message


# ---- templates

@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: enters namespaces")
@pytest.mark.parametrize("spare", [False, True])
def test_forks_answer_as_a_fresh_process(build, tmp_path, spare):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        os.chmod(folder, 0o755)  # forks are nobody in particular
    path, booster = save(tmp_path, rounds=20)
    values = rows_of(4, 3000, COLUMNS)
    ask = binary("input", "FP32", [3000, COLUMNS], pack_floats(values))
    with RuntimeApi() as api, TemplateHost(api) as host:
        # What the owner says of threads counts for nothing: OpenMP's would not be there in a fork.
        host.start([build / "lamina-model"], cwd=tmp_path,
                   env={"LAMINA_XGBOOST": str(LIBRARY), "MODEL_PATH": str(path), "OMP_NUM_THREADS": "8", "LAMINA_THREADS": "2"})
        assert len(os.listdir("/proc/%d/task" % host.process.pid)) == 1
        fork = host.fork(spare=spare)
        [output] = infer(api, ask, outputs=[{"name": "probabilities", **BINARY}]).values()
        assert bytes_of(output) == booster.predict(3000, COLUMNS, values)[1]
        assert len(os.listdir("/proc/%d/task" % fork.pid)) == 1


# ---- deployed

@pytest.mark.parametrize("ending", ["ubj", "json"])
def test_a_model_is_deployed_like_any(fresh_service, tmp_path, ending):
    path, booster = save(tmp_path, "churn." + ending)
    fresh_service.lamina("deploy", path)
    described = json.loads(fresh_service.lamina("describe", "churn", "-o", "json").stdout)
    assert described["model"]["path"] == "/var/task/churn." + ending
    assert described["model"]["prepared"] is False and "no form of it to be mapped" in described["model"]["reason"]
    values = rows_of(2, 5, COLUMNS)
    request = {"inputs": [binary("input", "FP32", [5, COLUMNS], pack_floats(values))],
               "outputs": [{"name": "probabilities", **BINARY}]}
    client = fresh_service.client("lambda")
    for _ in range(3):
        answer = json.loads(client.invoke(FunctionName="churn", Payload=json.dumps(request))["Payload"].read())
        assert bytes_of(answer["outputs"][0]) == booster.predict(5, COLUMNS, values)[1]
    # By default it has a template, as every model.
    [instance] = json.loads(fresh_service.lamina("ps", "-o", "json").stdout)["instances"][:1]
    assert instance["kind"] in ("fork", "spare"), instance


def test_what_is_deployed_must_be_one(fresh_service, tmp_path):
    for name in ("settings.json", "m.ubj"):
        (tmp_path / name).write_text('{"inputs": []}')
        refused = fresh_service.lamina("deploy", tmp_path / name, check=False)
        assert refused.returncode == 1
        assert f"'{tmp_path / name}' is not an XGBoost model" in refused.stderr and "learner" in refused.stderr
    (tmp_path / "old.bst").write_bytes(b"binf")
    refused = fresh_service.lamina("deploy", tmp_path / "old.bst", check=False)
    assert refused.returncode == 1 and 'save_model("model.ubj")' in refused.stderr


def test_a_package_for_aws_brings_the_engine(build, tmp_path):
    path, _ = save(tmp_path)
    subprocess.run([build / "lamina", "package", path, tmp_path / "out.zip"], check=True, stdin=subprocess.DEVNULL)
    libraries = {name for name in zipfile.ZipFile(tmp_path / "out.zip").namelist() if name.startswith("lib/")}
    assert libraries == {"lib/libxgboost.so", "lib/libdmlc.so.0", "lib/libgomp.so.1"}


TRAINER = '''
import ctypes, os
xgboost = ctypes.CDLL(os.environ["LAMINA_XGBOOST"])
def handler(event, context):
    numbers = [ctypes.c_int() for _ in range(3)]
    xgboost.XGBoostVersion(*map(ctypes.byref, numbers))
    return [number.value for number in numbers]
'''


def test_a_python_function_finds_the_library(fresh_service, tmp_path):
    (tmp_path / "app.py").write_text(TRAINER)
    fresh_service.lamina("deploy", tmp_path, "--name", "trainer", "--runtime", "python3.11", "--handler", "app.handler")
    version = json.loads(fresh_service.client("lambda").invoke(FunctionName="trainer")["Payload"].read())
    assert len(version) == 3 and version[0] >= 1, version
