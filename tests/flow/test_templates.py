# SPDX-License-Identifier: MIT
"""Instances that are forks answer as instances that were started, keep nothing of each other, and lose no call."""
import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import signal
import threading

import pytest

from lamina_service import wait_for
from lambda_function import signed
from model_function import MODELS, needs_library, tensor
from probe import instances
from random_model import mlp

pytestmark = needs_library
VAD = MODELS / "silero_vad_v5.onnx"
WIDTH = 64


def templates(service, name):
    listed = json.loads(service.lamina("ps", "-o", "json").stdout)["templates"]
    return [each for each in listed if each["function"] == name]


def ready(service, name):
    """Its template, once it may be forked."""
    return wait_for(lambda: next((each for each in templates(service, name) if each["state"] == "READY"), None),
                    f"the template of {name}")


def end_idle(service, name):
    """The next call finds no instance: one that has just answered may not be idle yet."""
    def stopped():
        status, _, body = signed(service, "POST", f"/lamina/v1/functions/{name}/stop?cache=warm")
        assert status == 200, body
        return not instances(service, name)
    wait_for(stopped, f"the instances of {name} to end")


def infer(client, name, *inputs):
    answer = client.invoke(FunctionName=name, Payload=json.dumps({"inputs": list(inputs)}))
    body = answer["Payload"].read()
    assert "FunctionError" not in answer, body
    return json.loads(body)["outputs"]


def numbers(source, count):
    return [source.uniform(-1, 1) for _ in range(count)]


def speech(seed):
    """One window, with a state that is not all zero."""
    source = random.Random(seed)
    return (tensor("input", "FP32", [1, 512], numbers(source, 512)),
            tensor("state", "FP32", [2, 1, 128], numbers(source, 256)), tensor("sr", "INT64", [1], [16000]))


def deploy(service, folder, model, name, **environment):
    path = folder / f"{name}.onnx"
    if isinstance(model, bytes):
        path.write_bytes(model)
    else:
        shutil.copy(model, path)
    more = [text for key, value in environment.items() for text in ("--env", f"{key}={value}")]
    service.lamina("deploy", path, "--name", name, *more)


@pytest.fixture(scope="module")
def client(service):
    return service.client()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def test_a_fork_answers_bit_for_bit_as_a_process(service, client, folder, make_service):
    plain = make_service("--template-memory", "0")
    for each in (service, plain):
        deploy(each, folder, VAD, "vad", LAMINA_PREPACK="off")  # preparation measures, and may choose otherwise
    ready(service, "vad")
    for seed in range(4):
        wanted = infer(plain.client(), "vad", *speech(seed))
        for _ in range(2):
            assert infer(client, "vad", *speech(seed)) == wanted
            end_idle(service, "vad")
    assert not templates(plain, "vad") or templates(plain, "vad")[0]["state"] == "OFF"
    assert templates(service, "vad")[0]["forks"] >= 8


def test_forks_and_spares_are_shown(service, client, folder):
    deploy(service, folder, VAD, "shown")
    ready(service, "shown")
    infer(client, "shown", *speech(1))
    wait_for(lambda: sorted(each["kind"] for each in instances(service, "shown")) == ["fork", "spare"],
             "a fork and a spare")
    described = json.loads(service.lamina("describe", "shown", "-o", "json").stdout)
    assert described["templates"][0]["state"] == "READY"
    assert described["templates"][0]["own_bytes"] > 0
    text = service.lamina("ps").stdout
    assert "READY" in text and "spare" in text
    configuration = client.get_function_configuration(FunctionName="shown")
    assert configuration["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}


def test_a_template_that_is_killed_is_made_again(service, client, folder):
    deploy(service, folder, mlp(1 << 16, WIDTH), "killed")
    for _ in range(3):
        template = ready(service, "killed")
        os.kill(template["pid"], signal.SIGKILL)
        wait_for(lambda: all(each.get("id") != template["id"] for each in templates(service, "killed")),
                 "the template's end to be noticed")
        end_idle(service, "killed")
        infer(client, "killed", tensor("x", "FP32", [1, WIDTH], [0.5] * WIDTH))


def expected(client, name, inputs):
    return [infer(client, name, each) for each in inputs]


def inputs_of(count):
    source = random.Random(11)
    return [tensor("x", "FP32", [1, WIDTH], numbers(source, WIDTH)) for _ in range(count)]


def attempt(client, name, given):
    """None when its instance was killed: the last kill may be noticed late."""
    answer = client.invoke(FunctionName=name, Payload=json.dumps({"inputs": [given]}))
    body = json.loads(answer["Payload"].read())
    return None if "FunctionError" in answer else body["outputs"]


def killer(service, names, stopped):
    """Kills an instance or a template now and then; not so often that no template is ever ready."""
    source, pause_s = random.Random(5), float(os.environ.get("LAMINA_TEST_KILL_S", "0.05"))
    while not stopped.wait(pause_s):
        listed = json.loads(service.lamina("ps", "-o", "json").stdout)
        alive = [each["pid"] for kind in ("instances", "templates") for each in listed[kind]
                 if each["function"] in names and each.get("pid")]
        if alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(source.choice(alive), signal.SIGKILL)


def test_kills_at_random_lose_and_mix_nothing(service, client, folder):
    """Each answer is either its own, or an error that says that its instance was killed. Of a runtime that was built with
    AddressSanitizer: LAMINA_TEST_CALLS=10000 LAMINA_TEST_KILL_S=1
    ASAN_OPTIONS=detect_leaks=0 (looking for leaks needs ptrace)."""
    calls = int(os.environ.get("LAMINA_TEST_CALLS", "400"))
    names, inputs = ("mixed-a", "mixed-b"), inputs_of(8)
    given = {name: os.environ[name] for name in ("ASAN_OPTIONS",) if name in os.environ}
    for seed, name in enumerate(names):
        deploy(service, folder, mlp(1 << 16, WIDTH, seed=seed), name, **given)
    wanted = {name: expected(client, name, inputs) for name in names}
    assert wanted["mixed-a"] != wanted["mixed-b"]

    def one(number):
        name, which = names[number % 2], number // 2 % len(inputs)
        answer = client.invoke(FunctionName=name, Payload=json.dumps({"inputs": [inputs[which]]}))
        body = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            assert body["errorType"] in ("Runtime.ExitError", "Sandbox.Failure"), body
            assert "exit status" not in body["errorMessage"], body  # it ended by itself
            return 0
        assert body["outputs"] == wanted[name][which]
        return 1

    stopped = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        killing = pool.submit(killer, service, names, stopped)
        done = list(pool.map(one, range(calls)))
        stopped.set()
        killing.result()
    assert len(done) == calls and sum(done) > calls // 2
    for name in names:
        for which, each in enumerate(inputs):
            answer = wait_for(lambda: attempt(client, name, each), f"{name} to be left alone")
            assert answer == wanted[name][which]


def test_an_update_under_load_fails_no_call(service, client, folder):
    models = [mlp(1 << 16, WIDTH, seed=seed) for seed in (21, 22)]
    given = tensor("x", "FP32", [1, WIDTH], [0.25] * WIDTH)
    deploy(service, folder, models[1], "updated")
    new = infer(client, "updated", given)
    deploy(service, folder, models[0], "updated")
    old = infer(client, "updated", given)
    assert old != new
    stopped, seen = threading.Event(), []

    def load():
        while not stopped.is_set():
            seen.append(infer(client, "updated", given))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for _ in range(4)]
        for round_ in range(4):
            deploy(service, folder, models[(round_ + 1) % 2], "updated")
            wanted = (new, old)[round_ % 2]
            wait_for(lambda: seen and seen[-1] == wanted, "the new model to answer")
        stopped.set()
        for each in loads:
            each.result()
    assert all(each in (old, new) for each in seen)


def test_many_first_calls_make_one_template(make_service, folder):
    service = make_service("--keepalive-s", "600")
    client = service.client()
    deploy(service, folder, mlp(4 << 20, WIDTH, seed=31), "crowd")
    given = tensor("x", "FP32", [1, WIDTH], [0.5] * WIDTH)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: infer(client, "crowd", given), range(64)))
    assert all(each == answers[0] for each in answers)
    assert len(templates(service, "crowd")) == 1
    assert all(each["kind"] != "process" for each in instances(service, "crowd"))
    text = service.log()
    assert text.count("template.ready function=crowd ") == 1, text
