# SPDX-License-Identifier: MIT
"""Templates from the inside: liblamina, lamina-model and the Python runtime wait to be forked, and forks begin again."""
import json
import os
import shutil

import pytest

import onnx_file as onnx
from model_function import LIBRARY, binary, bytes_of, infer, model_function, needs_library, pack_floats, seeded
from runtime_api import RuntimeApi
from template_host import TemplateError, TemplateHost

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: enters namespaces"),
    pytest.mark.skipif(not shutil.which("unshare") or not os.access("/usr/bin/setpriv", os.X_OK),
                       reason="unshare or setpriv is missing (util-linux)")]

ONE_LINE = "def handler(event, context):\n    return 1\n"


@pytest.fixture
def api():
    with RuntimeApi() as running:
        yield running


@pytest.fixture
def host(api):
    with TemplateHost(api) as running:
        yield running


@pytest.fixture
def task(tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        os.chmod(folder, 0o755)  # forks are nobody in particular
    return tmp_path


# ---- C

def test_forks_of_a_c_function_serve_calls(build, api, host, task):
    host.start([build / "tests" / "sdk_probe"], cwd=task)
    assert api.next_headers == []  # a template asks for no work
    for i in range(3):
        fork = host.fork(env={"AWS_LAMBDA_LOG_STREAM_NAME": "stream-%d" % i})
        assert api.invoke('show').json["id"]
        phases = api.next_headers[-1].get("Lamina-Init-Phases") or api.next_headers[-2]["Lamina-Init-Phases"]
        assert phases.startswith("restore=")
        assert fork.log() == ""
        fork.stop()
        host.forks.remove(fork)
    assert host.end() == 0


def test_a_spare_waits_and_ends_when_nobody_wants_it(build, api, host, task):
    host.start([build / "tests" / "sdk_probe"], cwd=task)
    spare = host.order(spare=True)
    assert api.next_headers == []
    spare.control.close()
    assert spare.wait() == 0
    spare = host.order(spare=True)
    spare.run({"AWS_LAMBDA_RUNTIME_API": api.address})
    assert api.invoke('show').json["id"]


# ---- the built-in runtime

@needs_library
@pytest.mark.parametrize("spare", [False, True])
def test_forks_of_a_model_answer_as_a_fresh_process(build, api, host, task, spare):
    model = task / "m.onnx"
    weights = [onnx.tensor("w%d" % i, onnx.FLOAT, [128, 128], pack_floats(seeded(i, 128 * 128, 0.2))) for i in range(2)]
    model.write_bytes(onnx.model([onnx.node("MatMul", ["x", "w0"], ["h"]), onnx.node("Tanh", ["h"], ["t"]),
                                  onnx.node("MatMul", ["t", "w1"], ["y"])],
                                 [onnx.value("x", onnx.FLOAT, ["n", 128])], [onnx.value("y", onnx.FLOAT, ["n", 128])],
                                 weights))
    threads = min(2, len(os.sched_getaffinity(0)))
    env = {"LAMINA_ONNXRUNTIME": str(LIBRARY), "MODEL_PATH": str(model), "LAMINA_THREADS": str(threads)}

    def answers(running):
        return [bytes_of(infer(running, binary("x", "FP32", [64, 128], pack_floats(seeded(seed, 64 * 128))),
                               outputs=[{"name": "y", "parameters": {"binary_data_base64": True}}])["y"])
                for seed in (11, 12)]

    host.start([build / "lamina-model"], env=env, cwd=task)
    assert len(os.listdir("/proc/%d/task" % host.process.pid)) == 1
    fork = host.fork(spare=spare)
    forked = answers(api)
    assert len(os.listdir("/proc/%d/task" % fork.pid)) == threads
    assert api.next_headers[0]["Lamina-Init-Phases"].startswith("restore=")
    assert "Lamina-Model-Signature" in api.next_headers[0]
    with model_function(build, model, LAMINA_THREADS=str(threads)) as fresh:
        assert answers(fresh) == forked


# ---- Python

def python(build):
    return [build / "runtime" / "runtimes" / "python" / "bootstrap"]


def python_environment(task, **more):
    return {"_HANDLER": "app.handler", "LAMBDA_TASK_ROOT": str(task), "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", **more}


def fork_environment(task, **more):
    return python_environment(task, **more) | {"LAMBDA_TASK_ROOT": "/var/task"}


def test_forks_of_a_python_function_are_themselves(build, api, host, task):
    (task / "app.py").write_text("""
import os, random, secrets, ssl, sys, uuid
opened = open("/var/task/app.py" if os.path.exists("/var/task/app.py") else os.path.join(os.environ["LAMBDA_TASK_ROOT"], "app.py"))
opened.read(10)
calls = 0
print("initialised", end="")
os.environ["OWN"] = "kept"
random.seed(1)

def handler(event, context):
    global calls
    calls += 1
    print("called")
    return {"random": [random.random(), str(uuid.uuid4()), secrets.token_hex(), ssl.RAND_bytes(8).hex()],
            "calls": calls, "stream": context.log_stream_name, "keys": [os.environ.get("AWS_ACCESS_KEY_ID"),
            os.environ.get("AWS_SESSION_TOKEN"), os.environ["OWN"]], "file": opened.read(20), "pid": os.getpid()}
""")
    host.start(python(build), cwd=task, env=python_environment(task, AWS_ACCESS_KEY_ID="template", AWS_SESSION_TOKEN="t"))
    assert api.output() == "initialised"
    answers = []
    for i in range(3):
        fork = host.fork(env=fork_environment(task, AWS_LAMBDA_LOG_STREAM_NAME="stream-%d" % i,
                                              AWS_ACCESS_KEY_ID="key-%d" % i))
        answers.append(api.invoke({}).json)
        assert fork.log() == "called\n"
        fork.stop()
        host.forks.remove(fork)
    for i, answer in enumerate(answers):
        assert answer["calls"] == 1
        assert answer["stream"] == "stream-%d" % i
        assert answer["keys"] == ["key-%d" % i, None, "kept"]
        assert answer["file"] == answers[0]["file"] != ""
    for values in zip(*(answer["random"] for answer in answers)):
        assert len(set(values)) == len(answers)
    assert api.output() == "initialised"  # nothing unwritten was inherited
    assert host.end() == 0


def test_numpys_generator_is_not_shared(build, api, host, task):
    pytest.importorskip("numpy")
    (task / "app.py").write_text("import numpy\nnumpy.random.seed(3)\n\ndef handler(event, context):\n"
                                 "    return [numpy.random.rand(), float(numpy.ones(1000) @ numpy.ones(1000))]\n")
    host.start(python(build), cwd=task, env=python_environment(task))
    assert len(os.listdir("/proc/%d/task" % host.process.pid)) == 1  # its linear algebra has started no threads
    values = []
    for _ in range(2):
        fork = host.fork(env=fork_environment(task))
        values.append(api.invoke({}).json)
        fork.stop()
        host.forks.remove(fork)
    assert values[0][0] != values[1][0]
    assert values[0][1] == values[1][1] == 1000


HOOKS = """
import os
import snapshot_restore_py
from snapshot_restore_py import register_after_restore, register_before_snapshot

ran = []

@register_before_snapshot
def one():
    ran.append("before 1")

register_before_snapshot(lambda text, more: ran.append(text + more), "before ", more="2")

@register_after_restore
def three():
    ran.append("after 1 " + str(os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")))

register_after_restore(ran.append, "after 2")

def handler(event, context):
    return ran
"""


def test_hooks_run_in_awss_order(build, api, host, task):
    (task / "app.py").write_text(HOOKS)
    host.start(python(build), cwd=task, env=python_environment(task, AWS_LAMBDA_LOG_STREAM_NAME="the template's"))
    for i in range(2):
        fork = host.fork(env=fork_environment(task, AWS_LAMBDA_LOG_STREAM_NAME="s%d" % i))
        assert api.invoke({}).json == ["before 2", "before 1", "after 1 s%d" % i, "after 2"]
        fork.stop()
        host.forks.remove(fork)


@pytest.mark.parametrize("initialization, expected", [
    ("snap-start", ["before 2", "before 1", "after 1 None", "after 2"]),  # started in the ordinary way all the same
    ("on-demand", [])])
def test_hooks_without_a_template(build, api, task, initialization, expected):
    (task / "app.py").write_text(HOOKS)
    api.start(python(build), cwd=task, env=python_environment(task, AWS_LAMBDA_INITIALIZATION_TYPE=initialization))
    assert api.invoke({}).json == expected


def test_a_hook_that_fails_before_the_snapshot_fails_the_init(build, api, host, task):
    (task / "app.py").write_text("from snapshot_restore_py import *\nregister_before_snapshot(lambda: 1 / 0)\n" + ONE_LINE)
    host.launch(python(build), cwd=task, env=python_environment(task))
    answer = api.answer()
    assert (answer.kind, answer.json["errorType"]) == ("init", "Runtime.BeforeSnapshotError")
    assert "division by zero" in answer.json["errorMessage"]
    with pytest.raises(TemplateError, match="ended with 64"):
        host.receive()


def test_a_hook_that_fails_after_the_restore_is_told(build, api, host, task):
    (task / "app.py").write_text("from snapshot_restore_py import *\nregister_after_restore(lambda: 1 / 0)\n" + ONE_LINE)
    host.start(python(build), cwd=task, env=python_environment(task))
    fork = host.fork(env=fork_environment(task))
    answer = api.answer()
    assert (answer.kind, answer.json["errorType"]) == ("restore", "Runtime.AfterRestoreError")
    assert fork.wait() == 65


def test_what_no_fork_could_have_of_its_own_is_named(build, api, host, task):
    (task / "app.py").write_text("journal = open('journal', 'w')\n" + ONE_LINE)
    host.launch(python(build), cwd=task, env=python_environment(task))
    answer = api.answer()
    assert (answer.kind, answer.json["errorType"]) == ("init", "Runtime.NotForkable")
    # The path is cut where it is too long, as that of a temporary directory may be.
    message = answer.json["errorMessage"]
    assert message.startswith("descriptor ") and message.endswith(") is open for writing"), message
    assert str(task)[:40] in message
    with pytest.raises(TemplateError, match="ended with 1"):
        host.receive()


def test_a_handler_that_exits_ends_its_fork_only(build, api, host, task):
    (task / "app.py").write_text("import sys\n\ndef handler(event, context):\n"
                                 "    sys.exit(7) if event else None\n    return json.dumps({})\n\nimport json\n")
    host.start(python(build), cwd=task, env=python_environment(task))
    first, second = host.fork(env=fork_environment(task)), None
    api.send({"exit": True})
    assert first.wait() == 7
    second = host.fork(env=fork_environment(task))
    assert api.invoke({}).json == json.dumps({})
    assert second.status is None
