# SPDX-License-Identifier: MIT
"""Models are prepared once, mapped by all who run them, and never the reason that a deployment fails."""
import contextlib
import json
import pathlib
import re
import shutil
import sqlite3
import struct
import subprocess

import pytest

import onnx_file as onnx
import random_model
from lamina_service import wait_for
from model_function import LIBRARY, MODELS, assert_close, infer, model_function, needs_library, seeded, tensor

pytestmark = needs_library
WIDTH = 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Readable by the service's user."""
    path = tmp_path_factory.mktemp("models")
    for each in (path, *path.parents[:2]):
        each.chmod(0o755)
    return path


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def small(folder, name="small.onnx", seed=1, layers=4):
    return write(folder, name, random_model.mlp(layers * WIDTH * WIDTH * 4, width=WIDTH, seed=seed))


def deploy(service, path, name, *flags):
    service.lamina("deploy", path, "--name", name, *flags)
    return describe(service, name)


def describe(service, name):
    return json.loads(service.lamina("describe", name, "-o", "json").stdout)["model"]


def call(service, name, values, width=WIDTH):
    """The answer of one call."""
    request = {"inputs": [tensor("x", "FP32", [len(values) // width, width], values)]}
    answer = service.client("lambda").invoke(FunctionName=name, Payload=json.dumps(request))
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    return body["outputs"][0]["data"]


def loads(service, name):
    """What its processes said when they loaded the model; instances that are forks said nothing."""
    lines = service.lamina("logs", name, check=False).stdout.splitlines()
    return [line for line in lines if "model.loaded" in line or "model.not_prepared" in line]


def loaded(service, name, before=0):
    """How the model was loaded since there were `before` lines of loads(): a template may do it before any call."""
    wait_for(lambda: any("model.loaded" in line for line in loads(service, name)[before:]), "the model's log line")
    return "\n".join(loads(service, name)[before:])


def first_call(service, name, values, width=WIDTH, before=0):
    """A call, and how the model that answered it was loaded."""
    answer = call(service, name, values, width)
    return answer, loaded(service, name, before)


def records(service):
    return sorted(service.data_dir.joinpath("prepared").iterdir())


def forms(service):
    return sorted(service.data_dir.joinpath("models").glob("*/*/prepared-*/model.ort"))


# ---- what is made

def test_a_deployed_model_is_mapped_and_described(fresh_service, build, folder):
    path = small(folder)
    model = deploy(fresh_service, path, "mapped")
    assert model["prepared"] is True
    assert model["path"] == "/var/task/small.onnx"
    assert model["bytes"] == path.stat().st_size
    assert model["shared_bytes"] > 4 * WIDTH * WIDTH * 4
    assert model["resident_bytes"] == model["shared_bytes"] + model["private_bytes"]
    assert model["prepack"] in ("on", "off")
    assert model["reason"]
    values, log = first_call(fresh_service, "mapped", random_model.some_input(WIDTH))
    assert "prepared=yes" in log and "model.not_prepared" not in log
    with model_function(build, path) as api:  # the file itself, outside of Lamina
        expected = infer(api, tensor("x", "FP32", [1, WIDTH], random_model.some_input(WIDTH)))["y"]["data"]
    assert_close(values, expected, 1e-3)


def test_one_form_for_all_functions_and_for_every_start(fresh_service, folder):
    path = small(folder)
    for name in ("one", "two"):
        assert deploy(fresh_service, path, name)["prepared"]
    [one, two] = forms(fresh_service)
    assert one.stat().st_ino == two.stat().st_ino and one.stat().st_mode & 0o777 == 0o444
    assert len(records(fresh_service)) == 1
    assert fresh_service.log().count("prepare.done") == 1
    before = len(loads(fresh_service, "two"))
    fresh_service.stop()
    fresh_service.start()
    assert "prepared=yes" in first_call(fresh_service, "two", random_model.some_input(WIDTH), before=before)[1]
    assert fresh_service.log().count("prepare.done") == 1


def test_lamina_prepack_decides_when_it_is_set(fresh_service, folder):
    path = small(folder)
    client = fresh_service.client("lambda")
    deploy(fresh_service, path, "packed")
    for value in ("on", "off"):
        client.update_function_configuration(FunctionName="packed", Environment={"Variables": {"LAMINA_PREPACK": value}})
        client.get_waiter("function_updated").wait(FunctionName="packed")
        model = describe(fresh_service, "packed")
        assert (model["prepack"], model["reason"]) == (value, "LAMINA_PREPACK says so")
    assert fresh_service.log().count("prepare.done") == 1


@pytest.mark.parametrize("strategy", ["layer", "s3"])
def test_other_strategies_use_the_same_form(fresh_service, folder, strategy):
    """A package first, then the same model another way: found, not prepared again."""
    path = small(folder)
    assert deploy(fresh_service, path, "first")["prepared"]
    if strategy == "s3":
        store = fresh_service.client("s3")
        store.create_bucket(Bucket="models")
        store.put_object(Bucket="models", Key="small.onnx", Body=path.read_bytes())
        model = deploy(fresh_service, "s3://models/small.onnx", "second")
        assert model["path"].startswith("/opt/lamina/models/")
    else:
        model = deploy(fresh_service, path, "second", "--strategy", "layer")
        assert model["path"].startswith("/opt/")
    assert model["prepared"], model
    assert call(fresh_service, "second", random_model.some_input(WIDTH)) == call(fresh_service, "first", random_model.some_input(WIDTH))
    assert "prepared=yes" in loaded(fresh_service, "second")
    assert fresh_service.log().count("prepare.done") == 1
    assert len({form.stat().st_ino for form in forms(fresh_service)}) == 1


# ---- what cannot be prepared runs the ordinary way, and says why

def test_a_model_that_the_engine_does_not_load(fresh_service, folder):
    custom = onnx.model([onnx.node("NobodyHasThis", ["x"], ["y"])], [onnx.value("x", onnx.FLOAT, [1, 2])],
                        [onnx.value("y", onnx.FLOAT, [1, 2])])
    model = deploy(fresh_service, write(folder, "custom.onnx", custom), "custom")
    assert model["prepared"] is False
    assert model["reason"].startswith("the engine could not prepare it: ") and "NobodyHasThis" in model["reason"]


def test_a_model_that_runs_on_nothing_made_up(fresh_service, folder):
    # Its weights have 8 rows, and it takes one number that must be row 7,000,000 or so.
    picky = onnx.model([onnx.node("Reshape", ["x", "shape"], ["y"])],
                       [onnx.value("x", onnx.FLOAT, ["n"]), onnx.value("shape", onnx.INT64, [2])],
                       [onnx.value("y", onnx.FLOAT, [7919, "m"])])
    model = deploy(fresh_service, write(folder, "picky.onnx", picky), "picky")
    assert model["prepared"] is False and model["reason"].startswith("no inputs were found that it runs on")


def test_a_model_that_runs_on_nothing_larger(fresh_service, folder):
    """What an open dimension above 1 would give is not known: its form is not used."""
    single = onnx.model([onnx.node("Reshape", ["x", "shape"], ["y"])], [onnx.value("x", onnx.FLOAT, ["n", 3])],
                        [onnx.value("y", onnx.FLOAT, [1, 3])],
                        initializers=[onnx.tensor("shape", onnx.INT64, [2], struct.pack("<2q", 1, 3))])
    model = deploy(fresh_service, write(folder, "single.onnx", single), "single")
    assert model["prepared"] is False and model["reason"].startswith("no inputs were found that it runs on")
    assert call(fresh_service, "single", [1.0, 2.0, 3.0], 3) == [1.0, 2.0, 3.0]


def outside(weights=64):
    return onnx.model([onnx.node("Add", ["x", "w"], ["y"])], [onnx.value("x", onnx.FLOAT, ["n", weights])],
                      [onnx.value("y", onnx.FLOAT, ["n", weights])],
                      initializers=[onnx.external("w", onnx.FLOAT, [1, weights], "weights.bin", 0, 4 * weights)])


def test_external_data_that_is_missing(fresh_service, folder):
    path = folder / "missing"
    path.mkdir()
    described = deploy(fresh_service, write(path, "outside.onnx", outside()), "outside")
    assert described["prepared"] is False
    assert described["reason"].startswith("the engine could not prepare it: ")


def test_weights_in_other_files_are_part_of_the_form(fresh_service, build, folder):
    """Two packages with one model file and other weights: each has a form of its own."""
    for name, first in (("ones", 1.0), ("twos", 2.0)):
        path = folder / name
        path.mkdir()
        shutil.copy(build / "runtime/bin/lamina-model", path / "bootstrap")
        write(path, "outside.onnx", outside())
        write(path, "weights.bin", struct.pack("<64f", *[first] * 64))
        assert deploy(fresh_service, path, name, "--handler", "outside.onnx")["prepared"], describe(fresh_service, name)
        assert call(fresh_service, name, [0.5] * 64, 64) == [first + 0.5] * 64
        assert "prepared=yes" in loaded(fresh_service, name)
    assert len({form.stat().st_ino for form in forms(fresh_service)}) == 2


# ---- the mapped model cannot be taken away

def test_nothing_that_happens_to_the_file_ends_an_instance(fresh_service, folder):
    path = small(folder)
    deploy(fresh_service, path, "kept")
    values = random_model.some_input(WIDTH)
    before, log = first_call(fresh_service, "kept", values)
    assert "prepared=yes" in log
    [form] = forms(fresh_service)
    shutil.rmtree(form.parent.parent)  # as a collection would: names only
    for each in records(fresh_service):
        each.unlink()
    for _ in range(3):
        assert call(fresh_service, "kept", values) == before
    fresh_service.lamina("delete", "kept")


def test_a_form_that_is_gone_is_no_failure(make_service, folder):
    service = make_service(env={"LAMINA_CACHE_MEMORY": "0"})
    deploy(service, small(folder), "lost")
    loaded(service, "lost")
    before = len(loads(service, "lost"))
    service.stop()
    [form] = forms(service)
    objects = [path for path in service.data_dir.joinpath("objects").rglob("*") if path.is_file()
               and path.stat().st_ino == form.stat().st_ino]
    for path in (form, *objects):
        path.unlink()
    service.start()
    assert "prepare.form_gone" in service.log()
    values, log = first_call(service, "lost", random_model.some_input(WIDTH), before=before)
    assert "model.not_prepared" in log and "prepared=no" in log and len(values) == WIDTH
    assert deploy(service, small(folder), "again")["prepared"]  # and made anew
    assert service.log().count("prepare.done") == 2


def test_a_link_that_is_gone_is_made_again(fresh_service, folder):
    deploy(fresh_service, small(folder), "linked")
    loaded(fresh_service, "linked")
    before = len(loads(fresh_service, "linked"))
    [form] = forms(fresh_service)
    fresh_service.stop()
    form.unlink()
    fresh_service.start()
    assert "prepared=yes" in first_call(fresh_service, "linked", random_model.some_input(WIDTH), before=before)[1]


def move_to_another_machine(service):
    """As if all that a stopped service has were made on another processor: what it noted of itself then is another."""
    with contextlib.closing(sqlite3.connect(service.data_dir / "registry.db")) as database, database:
        rows = database.execute("SELECT kind, key, value FROM registry WHERE kind NOT LIKE 'user%'").fetchall()
        for kind, key, value in rows:
            text = value.decode() if isinstance(value, bytes) else value
            moved = re.sub(r'"(Platform|Wish)":"[0-9a-f]{64}"', r'"\1":"%s"' % (64 * "a"), text)
            if moved != text:
                database.execute("UPDATE registry SET value = ? WHERE kind = ? AND key = ?",
                                 (moved.encode() if isinstance(value, bytes) else moved, kind, key))
    for record in records(service):
        record.rename(record.with_name(record.name[::-1]))


def test_what_another_processor_made_is_not_used_and_made_anew(fresh_service, folder):
    """$LATEST is prepared again beside what serves; a published version, whose bits stay what they are, is loaded as it is."""
    deploy(fresh_service, small(folder), "moved")
    fresh_service.client("lambda").publish_version(FunctionName="moved")
    values = random_model.some_input(WIDTH)
    expected, _ = first_call(fresh_service, "moved", values)
    fresh_service.stop()
    [record] = records(fresh_service)
    move_to_another_machine(fresh_service)
    [old] = {form.parent.name for form in forms(fresh_service)}
    fresh_service.start()
    wait_for(lambda: describe(fresh_service, "moved")["prepared"], "the form to be made anew")
    assert fresh_service.log().count("prepare.done") == 2
    assert record.exists()  # the key of this machine
    assert_close(call(fresh_service, "moved", values), expected, 1e-3)
    assert not [line for line in loads(fresh_service, "moved") if old in line]
    published = json.loads(fresh_service.client("lambda").invoke(FunctionName="moved", Qualifier="1", Payload=json.dumps(
        {"inputs": [tensor("x", "FP32", [1, WIDTH], values)]}))["Payload"].read())
    assert_close(published["outputs"][0]["data"], expected, 1e-3)
    assert any("prepared=no" in line for line in loads(fresh_service, "moved"))


def test_a_record_that_was_cut_short_is_made_anew(fresh_service, folder):
    path = small(folder)
    deploy(fresh_service, path, "first")
    [record] = records(fresh_service)
    text = record.read_bytes()
    fresh_service.stop()
    record.write_bytes(text[:len(text) // 2])
    fresh_service.start()
    assert "prepare.record_dropped" in fresh_service.log()
    assert deploy(fresh_service, path, "second")["prepared"]
    assert [each.name for each in records(fresh_service)] == [record.name]


# ---- lamina-model by itself

def threads_of(pid):
    return len(list(pathlib.Path("/proc", str(pid), "task").iterdir()))


def test_one_thread_and_no_file_of_its_making(build, folder, tmp_path):
    path = small(folder)
    home = tmp_path / "home"
    home.mkdir()
    with model_function(build, path, HOME=str(home), XDG_CACHE_HOME=str(home), TMPDIR=str(home)) as api:
        infer(api, tensor("x", "FP32", [1, WIDTH], random_model.some_input(WIDTH)))
        assert threads_of(api.process.pid) == 1
        kinds = [str(link.readlink()) for link in pathlib.Path("/proc", str(api.process.pid), "fd").iterdir()
                 if int(link.name) > 2]
        assert not [kind for kind in kinds if kind.startswith("/") and not kind.startswith("/dev/")], kinds
    assert list(home.rglob("*")) == []


def work(build, path, no_form="0"):
    """What lamina-work makes of it, outside of its sandbox: its files."""
    with open(path, "rb") as model:
        done = subprocess.run([build / "lamina-work", "2", "0", "8000", "0", no_form], stdin=model, stdout=subprocess.PIPE,
                              env={"LAMINA_ONNXRUNTIME": str(LIBRARY)}, check=True)
    files, at, name = {}, 8, None
    while at < len(done.stdout):
        kind, _, _, path_size, data_size, _, _, _ = struct.unpack_from("<BBHIIIQq", done.stdout, at)
        at += 32
        path_bytes, data = done.stdout[at:at + path_size], done.stdout[at + path_size:at + path_size + data_size]
        at += path_size + data_size
        if kind == 2:
            name = path_bytes.decode()
            files[name] = b""
        elif kind == 3:
            files[name] += data
    return files


def prepare(build, path):
    return work(build, path)["model.ort"]


def anonymous_mb(pid):
    text = pathlib.Path("/proc", str(pid), "smaps_rollup").read_text()
    return int(re.search(r"^Anonymous: +(\d+) kB", text, re.M).group(1)) / 1024


def test_too_large_for_a_form_it_is_measured_as_it_is(build, folder):
    files = work(build, small(folder, layers=64), no_form="1")
    assert list(files) == ["report"]
    _, _, off_private, off_differs, _, _, on_private, on_differs, checked, _ = struct.unpack("<QQQdQQQdII", files["report"])
    assert (on_differs, checked) == (0, 8) and off_differs <= 1e-3
    assert on_private > 16 << 20  # 16 MB of weights, packed
    assert off_private > 0


def test_external_data_is_mapped_unless_it_is_packed(build, tmp_path):
    """32 MB of weights in a file of their own: without packed weights no process has a copy."""
    path = random_model.external_mlp(tmp_path, 32 << 20)
    private = {}
    answers = []
    for prepack in ("on", "off"):
        with model_function(build, path, LAMINA_MODEL_PREPACK=prepack) as api:
            answers.append(infer(api, tensor("x", "FP32", [1, 1024], random_model.some_input()))["y7"]["data"])
            private[prepack] = anonymous_mb(api.process.pid)
            assert "weights.bin" in pathlib.Path("/proc", str(api.process.pid), "maps").read_text() or prepack == "on"
    assert private["off"] < 16 and private["on"] > private["off"] + 24, private
    assert_close(answers[1], answers[0], 1e-3)


@pytest.mark.parametrize("prepack", ["on", "off"])
def test_a_form_answers_as_the_model_does(build, folder, tmp_path, prepack):
    path = small(folder)
    form = write(tmp_path, "model.ort", prepare(build, path))
    request = tensor("x", "FP32", [3, WIDTH], seeded(3, 3 * WIDTH))
    with model_function(build, path) as api:
        expected = infer(api, request)["y"]["data"]
    with model_function(build, path, LAMINA_MODEL_PREPARED=str(form), LAMINA_MODEL_PREPACK=prepack,
                        LAMINA_MODEL_SHA256="ab" * 32) as api:
        assert_close(infer(api, request)["y"]["data"], expected, 1e-3)
        assert "digest=abababababab" in api.output() and "prepared=yes" in api.output()


def test_real_models_answer_alike(build, tmp_path):
    path = MODELS / "silero_vad_v5.onnx"
    if not path.exists():
        pytest.skip("tools/deps inference has not been run")
    form = write(tmp_path, "model.ort", prepare(build, path))
    request = [tensor("input", "FP32", [2, 576], seeded(5, 2 * 576, 0.5)),
               tensor("state", "FP32", [2, 2, 128], seeded(6, 512)), tensor("sr", "INT64", [], [16000])]
    answers = []
    for env in ({}, {"LAMINA_MODEL_PREPARED": str(form), "LAMINA_MODEL_PREPACK": "off"}):
        with model_function(build, path, **env) as api:
            answers.append(infer(api, *request))
    for name in ("output", "stateN"):
        assert_close(answers[1][name]["data"], answers[0][name]["data"], 1e-3)


def test_a_form_that_is_none_is_told_and_not_used(build, folder, tmp_path):
    path = small(folder)
    for content in (b"", b"nonsense", prepare(build, path)[:1000]):
        bad = write(tmp_path, "bad.ort", content)
        with model_function(build, path, LAMINA_MODEL_PREPARED=str(bad)) as api:
            infer(api, tensor("x", "FP32", [1, WIDTH], random_model.some_input(WIDTH)))
            assert "model.not_prepared" in api.output() and "prepared=no" in api.output()
