# SPDX-License-Identifier: MIT
"""A new function with a large model serves it at once, as it is, and takes up the prepared form when that is made."""
import hashlib
import json
import os
import random
import signal
import sys
import threading

import pytest
from botocore.exceptions import ClientError

import random_model
from lambda_function import settings, zip_of
from lamina_service import command_lines, wait_for
from model_function import assert_close, needs_library, tensor

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "fault"))
from faults import children  # noqa: E402

pytestmark = needs_library
WIDTH = 1024
PREPARE = "2"  # WORK_KIND_PREPARE: the first word of a worker
MODEL = random_model.mlp(48 << 20, width=WIDTH)
DIGEST = hashlib.sha256(MODEL).hexdigest()
VALUES = [random.Random(3).uniform(-1, 1) for _ in range(WIDTH)]
EVENT = json.dumps({"inputs": [tensor("x", "FP32", [1, WIDTH], VALUES)]})


def create(build, service, files=None, variables=None, **more):
    service.client("s3").create_bucket(Bucket="models")
    service.client("s3").put_object(Bucket="models", Key="m.onnx", Body=MODEL)
    runtime = (build / "runtime/bin/lamina-model").read_bytes()
    code = {"ZipFile": zip_of({"bootstrap": runtime} if files is None else {**files, "runtime": runtime})}
    client = service.client("lambda")
    client.create_function(**settings("f", Code=code, MemorySize=2048, Timeout=60, **more,
                                      Environment={"Variables": {"MODEL_URI": "s3://models/m.onnx", **(variables or {})}}))
    return client


def state(client):
    return client.get_function_configuration(FunctionName="f")["State"]


def answer(client, qualifier="$LATEST"):
    got = client.invoke(FunctionName="f", Qualifier=qualifier, Payload=EVENT)
    body = json.loads(got["Payload"].read())
    assert "FunctionError" not in got, body
    assert got["ResponseMetadata"]["HTTPHeaders"]["x-lamina-model-digest"] == DIGEST
    return body["outputs"][0]["data"]


def model(service):
    return json.loads(service.lamina("describe", "f", "-o", "json").stdout)["model"]


class Held:
    """The process that prepares the model, stopped when it appears, until go_on()."""

    def __init__(self, service):
        self.service, self.pids, self.is_over = service, set(), False
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.is_over:
            for pid in children(self.service.process.pid, "lamina-work"):
                if any(pid == other and words[1:2] == [PREPARE] for other, words in command_lines()) and pid not in self.pids:
                    os.kill(pid, signal.SIGSTOP)
                    self.pids.add(pid)

    def go_on(self):
        self.is_over = True
        self.thread.join()
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


@pytest.fixture
def held(fresh_service):
    holding = Held(fresh_service)
    yield holding
    holding.go_on()


def test_it_serves_before_it_is_prepared_and_settles_without_a_failed_call(build, fresh_service, held):
    service = fresh_service
    client = create(build, service)
    wait_for(lambda: state(client) == "Active", "the function to be active")
    assert "it is being prepared" in model(service)["reason"] and not model(service)["prepared"]
    before = client.get_function_configuration(FunctionName="f")
    first = answer(client)
    failures, stop, calls = [], threading.Event(), []

    def caller():
        own = service.client("lambda")
        while not stop.is_set():
            try:
                calls.append(answer(own))
            except (AssertionError, ClientError, KeyError) as failure:
                failures.append(repr(failure))
    callers = [threading.Thread(target=caller) for _ in range(3)]
    for each in callers:
        each.start()
    try:
        wait_for(lambda: failures or calls, "calls to be answered")
        held.go_on()
        wait_for(lambda: failures or model(service)["prepared"], "the form to be taken up")
        told = len(calls)
        wait_for(lambda: failures or len(calls) > told + 3, "calls after it")
    finally:
        stop.set()
        for each in callers:
            each.join()
    assert not failures, failures[:3]
    for each in (calls[0], calls[-1]):
        assert_close(each, first, 1e-4)
    after = client.get_function_configuration(FunctionName="f")
    assert (after["RevisionId"], after["LastModified"]) == (before["RevisionId"], before["LastModified"])
    assert after["LastUpdateStatus"] == "Successful"


def test_a_published_version_waits_for_the_form_and_keeps_its_bits(build, fresh_service, held):
    service = fresh_service
    client = create(build, service)
    wait_for(lambda: state(client) == "Active", "the function to be active")
    wait_for(lambda: held.pids, "the preparation to begin")
    answer(client)
    done = []
    publisher = threading.Thread(target=lambda: done.append(service.client("lambda").publish_version(FunctionName="f")))
    publisher.start()
    answer(client)  # it serves meanwhile
    assert not done
    held.go_on()
    publisher.join()
    assert done[0]["Version"] == "1" and done[0]["State"] == "Active"
    assert model(service)["prepared"], "publishing settles $LATEST, too"
    assert answer(client, "1") == answer(client)
    assert client.publish_version(FunctionName="f")["Version"] == "1"


def test_killed_before_it_is_settled_it_goes_on_at_the_next_start(build, fresh_service, held):
    service = fresh_service
    client = create(build, service)
    wait_for(lambda: state(client) == "Active", "the function to be active")
    wait_for(lambda: held.pids, "the preparation to begin")
    service.stop(signal.SIGKILL)
    held.go_on()
    service.start()
    client = service.client("lambda")
    answer(client)
    wait_for(lambda: model(service)["prepared"], "the form to be taken up")
    answer(client)


def test_changed_while_it_is_prepared_nothing_of_the_old_is_taken_up(build, fresh_service, held):
    service = fresh_service
    client = create(build, service)
    wait_for(lambda: state(client) == "Active", "the function to be active")
    wait_for(lambda: held.pids, "the preparation to begin")
    client.delete_function(FunctionName="f")
    client.create_function(**settings("f"))
    held.go_on()
    wait_for(lambda: "prepare.done" in service.log_path.read_text(), "the preparation to end")
    assert not json.loads(service.lamina("describe", "f", "-o", "json").stdout).get("model")


def test_one_that_does_not_start_otherwise_stays_as_it_is(build, fresh_service, held):
    service = fresh_service
    # Packed weights are what it was measured with, and what its instances do not start with: with a form, and without.
    starter = '#!/bin/sh\n[ "$LAMINA_MODEL_PREPACK" = on ] && exit 1\nexec /var/task/runtime\n'
    client = create(build, service, files={"bootstrap": starter}, variables={"LAMINA_PREPACK": "on"})
    wait_for(lambda: state(client) == "Active", "the function to be active")
    answer(client)
    held.go_on()
    wait_for(lambda: "settle.done" in service.log_path.read_text(), "the function to settle")
    assert "does not serve here" in model(service)["reason"] and not model(service)["prepared"]
    assert service.log_path.read_text().count("switch.refused") == 1
    answer(client)
