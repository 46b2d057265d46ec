# SPDX-License-Identifier: MIT
"""Python and Node.js functions through the Lambda API, in the sandbox."""
import base64
import json
import os
import re
import shutil
import struct
import subprocess

import pytest

from lambda_function import ROLE, refused, zip_of
from lamina_service import Service
from model_function import MODELS, ROOT, needs_library

needs_python = pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="/usr/bin/python3 is missing")
needs_node = pytest.mark.skipif(not os.access("/usr/bin/node", os.X_OK), reason="/usr/bin/node is missing")


@pytest.mark.parametrize("runtime, interpreter, package", [("python3.12", "/usr/bin/python3", "python3"),
                                                           ("nodejs20.x", "/usr/bin/node", "nodejs")])
def test_a_runtime_whose_interpreter_is_missing_is_refused_with_what_to_install(build, runtime, interpreter, package):
    """The service runs where the interpreter is no program; nothing is changed outside of its mount namespace."""
    hidden = os.path.realpath(interpreter)
    if not os.path.exists(hidden):
        pytest.skip("%s is missing here" % interpreter)
    service = Service(build)
    service.prefix = ("/usr/bin/unshare", "-m", "--propagation", "private", "/bin/sh", "-c",
                      'mount --bind /dev/null "$1" && shift && exec "$@"', "sh", hidden)
    with service:
        with refused("InvalidParameterValueException", 400, runtime, interpreter, "apt-get install %s" % package):
            service.client("lambda").create_function(FunctionName="f", Runtime=runtime, Handler="a.b", Role=ROLE,
                                                     Code={"ZipFile": zip_of({"a.py": ""})})
        assert service.client("lambda").list_functions()["Functions"] == []


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


@pytest.fixture
def create(client, request):
    """create(runtime, handler, files): the new function's name."""
    made = []

    def make(runtime, handler, files, **settings):
        name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:48] + "-%d" % len(made)
        client.create_function(FunctionName=name, Runtime=runtime, Handler=handler, Role=ROLE,
                               Code={"ZipFile": zip_of(files)}, **{"Timeout": 60, "MemorySize": 512, **settings})
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        made.append(name)
        return name

    yield make
    for name in made:
        client.delete_function(FunctionName=name)


def invoke(client, name, event, **more):
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    return json.load(answer["Payload"]), answer


PYTHON = """
import os, sys
def handler(event, context):
    if event == "fail":
        raise ValueError("as asked")
    return {"event": event, "name": context.function_name, "id": context.aws_request_id,
            "env": os.environ.get("AWS_EXECUTION_ENV"), "cwd": os.getcwd(), "path": sys.path[0],
            "left": context.get_remaining_time_in_millis(), "mine": os.environ.get("MINE")}
"""
NODE = """
exports.handler = async (event, context) => {
    if (event === 'fail') throw new RangeError('as asked');
    console.log('seen');
    return { event, name: context.functionName, id: context.awsRequestId, env: process.env.AWS_EXECUTION_ENV,
             cwd: process.cwd(), left: context.getRemainingTimeInMillis(), mine: process.env.MINE };
};
"""
KINDS = [pytest.param("python3.11", "app.handler", {"app.py": PYTHON}, "ValueError", marks=needs_python, id="python"),
         pytest.param("nodejs20.x", "index.handler", {"index.js": NODE}, "RangeError", marks=needs_node, id="node")]


@pytest.mark.parametrize("runtime, handler, files, error", KINDS)
def test_a_handler_answers_fails_and_answers_again(client, create, runtime, handler, files, error):
    name = create(runtime, handler, files, Environment={"Variables": {"MINE": "m"}})
    body, answer = invoke(client, name, {"a": [1, "\u00fc"]}, LogType="Tail")
    assert (body["event"], body["name"], body["mine"]) == ({"a": [1, "\u00fc"]}, name, "m")
    assert (body["env"], body["cwd"]) == ("AWS_Lambda_" + runtime, "/var/task")
    assert 0 < body["left"] <= 60000
    assert body["id"] == answer["ResponseMetadata"]["RequestId"]
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert "START RequestId: %s" % body["id"] in tail and "REPORT RequestId: %s" % body["id"] in tail
    body, answer = invoke(client, name, "fail", LogType="Tail")
    assert (answer["FunctionError"], body["errorType"], body["errorMessage"]) == ("Unhandled", error, "as asked")
    stack = body.get("stackTrace") or body["trace"]
    assert any("/var/task/" in line for line in stack) and not any("/opt/lamina" in line for line in stack[:2])
    assert error in base64.b64decode(answer["LogResult"]).decode()
    assert invoke(client, name, 7)[0]["event"] == 7


@pytest.mark.parametrize("runtime, handler, files, kind", [
    pytest.param("python3.12", "app.handler", {"app.py": "import nothing_there"}, "Runtime.ImportModuleError",
                 marks=needs_python, id="python"),
    pytest.param("nodejs18.x", "index.handler", {"index.js": "require('nothing-there')"}, "Runtime.ImportModuleError",
                 marks=needs_node, id="node")])
def test_a_module_that_cannot_be_imported_is_said_at_each_call(client, create, runtime, handler, files, kind):
    name = create(runtime, handler, files)
    for _ in range(2):
        body, answer = invoke(client, name, {})
        assert (answer["FunctionError"], body["errorType"]) == ("Unhandled", kind)
        assert "nothing" in body["errorMessage"]


@needs_python
def test_python_packages_in_the_zip(client, create):
    name = create("python3.11", "pkg/main.run", {
        "pkg/main.py": "import dep\nfrom pkg import other\ndef run(event, context):\n    return [dep.VALUE, other.VALUE]\n",
        "pkg/other.py": "VALUE = 'other'\n", "dep/__init__.py": "VALUE = 'dep'\n"})
    assert invoke(client, name, {})[0] == ["dep", "other"]


@needs_node
def test_node_packages_in_the_zip(client, create):
    name = create("nodejs20.x", "index.handler", {
        "index.mjs": "import dep from 'dep';\nexport const handler = async () => dep;\n",
        "node_modules/dep/package.json": '{"name":"dep","version":"1.0.0","main":"main.js"}',
        "node_modules/dep/main.js": "module.exports = 'dep';\n"})
    assert invoke(client, name, {})[0] == "dep"


@needs_python
def test_a_bootstrap_in_the_zip_is_not_run_by_a_managed_runtime(client, create):
    name = create("python3.11", "app.handler", {"app.py": "def handler(e, c):\n    return 'python'\n",
                                                "bootstrap": "#!/bin/sh\nexit 3\n"})
    assert invoke(client, name, {})[0] == "python"


@needs_python
@needs_node
def test_the_runtime_of_a_function_may_change(client, create):
    name = create("python3.11", "app.handler", {"app.py": "def handler(e, c):\n    return 'python'\n",
                                                "app.js": "exports.handler = async () => 'node';\n"})
    assert invoke(client, name, {})[0] == "python"
    client.update_function_configuration(FunctionName=name, Runtime="nodejs20.x")
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert invoke(client, name, {})[0] == "node"


@needs_python
def test_a_handler_that_exits_or_never_answers_is_replaced(client, create):
    name = create("python3.11", "app.handler", {
        "app.py": "import os, time\ndef handler(event, context):\n    if event == 'exit':\n        os._exit(5)\n"
                  "    if event == 'hang':\n        time.sleep(3600)\n    return event\n"}, Timeout=3)
    body, answer = invoke(client, name, "exit")
    assert (answer["FunctionError"], body["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert "exit status 5" in body["errorMessage"]
    body, answer = invoke(client, name, "hang")
    assert "Task timed out after 3.00 seconds" in body["errorMessage"]
    assert invoke(client, name, "fine")[0] == "fine"


def test_identifiers(client):
    code = {"ZipFile": zip_of({"app.py": ""})}
    for runtime, part in (("java21", "The runtime java21 is not available in this service"),
                          ("python2.7", "The runtime python2.7 is not available in this service"),
                          ("python3", "Member must satisfy enum value set: [provided, provided.al2, provided.al2023, python3.8")):
        with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
            client.create_function(FunctionName="never", Runtime=runtime, Handler="a.b", Role=ROLE, Code=code)
        assert part in str(refused.value)


# ---- the example, deployed as its README says

@needs_python
@needs_library
def test_the_python_example_hears_speech(service, client, tmp_path):
    if subprocess.run(["/usr/bin/python3", "-c", "import numpy"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        pytest.skip("/usr/bin/python3 has no numpy (python3-numpy)")
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is missing (tools/deps inference)")
    for source in ("app.py", "onnx.py"):
        shutil.copy(ROOT / "examples/python-onnx" / source, tmp_path / source)
    shutil.copy(MODELS / "silero_vad_v5.onnx", tmp_path / "silero_vad_v5.onnx")
    service.lamina("deploy", tmp_path, "--name", "heard", "--runtime", "python3.11", "--handler", "app.handler",
                   "--memory", "1769")
    wav = tmp_path.parent / "voice.wav"
    subprocess.run(["espeak-ng", "-w", wav, "One voice, and silence around it."], stdin=subprocess.DEVNULL, timeout=240,
                   check=True, env={**service.env, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)})
    samples = struct.unpack("<%dh" % ((wav.stat().st_size - 44) // 2), wav.read_bytes()[44:][: (wav.stat().st_size - 44) // 2 * 2])
    # 22,050 Hz to 16 kHz by the nearest sample: coarse, and still a voice. A second of silence in front.
    voice = [0] * 16000 + [samples[int(i * 22050 / 16000)] for i in range(int(len(samples) * 16000 / 22050))]
    pcm = base64.b64encode(struct.pack("<%dh" % len(voice), *voice)).decode()
    body, answer = invoke(client, "heard", {"pcm": pcm})
    client.delete_function(FunctionName="heard")
    assert "FunctionError" not in answer, body
    assert body["seconds"] == len(voice) / 16000
    heard = sum(end - start for start, end in body["speech"])
    assert 0.3 * (body["seconds"] - 1) < heard <= body["seconds"] - 0.8
    assert all(start > 0.8 for start, _ in body["speech"])
