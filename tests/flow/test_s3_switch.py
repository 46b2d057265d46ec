# SPDX-License-Identifier: MIT
"""New models take the old one's place: without a failed call, never mixed, and never when they are worse."""
import collections
import hashlib
import json
import signal
import threading

import pytest
from botocore.exceptions import ClientError

import onnx_file as onnx
from lambda_function import function, settings, signed, zip_of
from lamina_service import wait_for
from model_function import needs_library, pack_floats

pytestmark = needs_library
BUCKET = "models"


def scale(factor, width=2):
    """A model whose y is x times `factor`."""
    shape = [1, width]
    return onnx.model([onnx.node("Mul", ["x", "k"], ["y"])], [onnx.value("x", onnx.FLOAT, shape)],
                      [onnx.value("y", onnx.FLOAT, shape)],
                      [onnx.tensor("k", onnx.FLOAT, [1], pack_floats([factor]))])


def sha256(data):
    return hashlib.sha256(data).hexdigest()


REQUEST = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}).encode()


def call(client, name="f", **more):
    """(the first output value, the model's digest) of one answer; it fails with the function's words."""
    answer = client.invoke(FunctionName=name, Payload=REQUEST, **more)
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-lamina-model-digest"] == body["model_version"]
    return body["outputs"][0]["data"][0], body["model_version"]


@pytest.fixture
def store(fresh_service):
    s3 = fresh_service.client("s3")
    s3.create_bucket(Bucket=BUCKET)

    def put(data, key="m.onnx"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        return sha256(data)
    put.service = fresh_service
    return put


def model_function(build, client, refresh="1", **more):
    code = {"ZipFile": zip_of({"bootstrap": (build / "runtime/bin/lamina-model").read_bytes()})}
    variables = {"MODEL_URI": f"s3://{BUCKET}/m.onnx", "MODEL_REFRESH_S": refresh, **more}
    return function(client, "f", Code=code, Environment={"Variables": variables})


def status(client):
    c = client.get_function_configuration(FunctionName="f")
    return c["LastUpdateStatus"], c.get("LastUpdateStatusReason", "")


def test_one_command_deploys_what_is_in_a_bucket(build, store):
    digest = store(scale(3), "some/m.onnx")
    service = store.service
    service.lamina("deploy", f"s3://{BUCKET}/some/m.onnx", "--name", "f")
    assert call(service.client("lambda")) == (3, digest)
    shown = json.loads(service.lamina("describe", "f", "-o", "json").stdout)
    assert digest in json.dumps(shown)


def test_one_command_uploads_and_deploys_a_file(build, store, tmp_path):
    service = store.service
    (tmp_path / "m.onnx").write_bytes(scale(4))
    service.lamina("deploy", str(tmp_path / "m.onnx"), "--strategy", "s3", "--name", "f", "--env", "MODEL_REFRESH_S=1")
    client = service.client("lambda")
    assert call(client)[0] == 4
    (tmp_path / "m.onnx").write_bytes(scale(5))
    service.lamina("deploy", str(tmp_path / "m.onnx"), "--strategy", "s3", "--name", "f", "--env", "MODEL_REFRESH_S=1")
    wait_for(lambda: call(client)[0] == 5, "the new model to answer")


def test_switches_under_load_fail_no_call_and_mix_nothing(build, store):
    """Ten new models in a row and a corrupt one as the eleventh, while four callers go on calling."""
    factors = {store(scale(1)): 1}
    client = store.service.client("lambda")
    with model_function(build, client):
        failures, answers, stop = [], collections.Counter(), threading.Event()

        def caller():
            own = store.service.client("lambda")
            while not stop.is_set():
                try:
                    answers[call(own)] += 1
                except (AssertionError, ClientError, KeyError) as failure:
                    failures.append(repr(failure))
        callers = [threading.Thread(target=caller) for _ in range(4)]
        for each in callers:
            each.start()
        try:
            wait_for(lambda: failures or answers, "the first model to answer")
            for factor in range(2, 12):
                digest = store(scale(factor))
                factors[digest] = factor
                wait_for(lambda: failures or (factor, digest) in answers, f"model {factor} to answer")
            store(scale(12)[:-20] + b"\xff" * 20)
            wait_for(lambda: failures or status(client)[0] == "Failed", "the corrupt model to be refused")
            wait_for(lambda: failures or call(client)[0] == 11, "the eleventh to serve on")
        finally:
            stop.set()
            for each in callers:
                each.join()
        assert not failures, failures[:3]
        assert all(factors[digest] == value for value, digest in answers), "an answer mixed two models"
        assert "does not load" in status(client)[1]
        assert set(factors) == {digest for _, digest in answers}


def test_other_inputs_are_refused_and_the_next_good_one_is_taken(build, store):
    store(scale(1))
    client = store.service.client("lambda")
    with model_function(build, client):
        assert call(client)[0] == 1
        store(scale(2, width=3))
        wait_for(lambda: status(client)[0] == "Failed", "the refusal")
        assert "takes other inputs" in status(client)[1]
        assert call(client)[0] == 1
        store(scale(2))
        wait_for(lambda: call(client)[0] == 2, "the next one")
        wait_for(lambda: status(client)[0] == "Successful", "its success to be told")


def test_without_an_interval_a_start_looks(build, store):
    store(scale(1))
    client = store.service.client("lambda")
    with model_function(build, client, refresh="0"):
        assert call(client)[0] == 1
        digest = store(scale(2))
        store.service.client("lambda").update_function_configuration(FunctionName="f", Description="another instance",
                                                                     MemorySize=1770)
        wait_for(lambda: status(client)[0] == "Successful", "the change")
        wait_for(lambda: call(client) == (2, digest), "the new model, noticed when an instance was started")


def test_rollback_is_there_and_back(build, store):
    one = store(scale(1))
    client = store.service.client("lambda")
    with model_function(build, client):
        status_code, headers, body = signed(store.service, "POST", "/lamina/v1/functions/f/rollback")
        assert status_code == 400 and b"no earlier model" in body
        two = store(scale(2))
        wait_for(lambda: call(client)[1] == two, "the second model")
        store.service.lamina("rollback", "f")
        assert call(client) == (1, one)
        published = client.publish_version(FunctionName="f")["Version"]
        store(scale(2))  # the same again: it was rolled back, and stays so
        three = store(scale(3))
        wait_for(lambda: call(client)[1] == three, "the third")
        assert call(client, Qualifier=published) == (1, one), "a published version keeps its model"
        store.service.lamina("rollback", "f")
        store.service.lamina("rollback", "f")
        assert call(client)[1] == three


def test_what_serves_and_what_was_before_survive_a_kill(build, store):
    one = store(scale(1))
    client = store.service.client("lambda")
    with model_function(build, client):
        two = store(scale(2))
        wait_for(lambda: call(client)[1] == two, "the second model")
    client.create_function(**settings("f", Code={"ZipFile": zip_of({"bootstrap": (build / "runtime/bin/lamina-model").read_bytes()})},
                                      Environment={"Variables": {"MODEL_URI": f"s3://{BUCKET}/m.onnx", "MODEL_REFRESH_S": "1"}}))
    client.get_waiter("function_active_v2").wait(FunctionName="f")
    store(scale(1))
    wait_for(lambda: call(client)[1] == one, "the other model")
    store.service.stop(signal.SIGKILL)
    store.service.start()
    client = store.service.client("lambda")
    assert call(client)[1] == one
    store.service.lamina("rollback", "f")
    assert call(client)[1] == two
