# SPDX-License-Identifier: MIT
"""SnapStart: a published version's instances are forks of a process that ran the init phase once."""
import json
import os
import re
import signal

import pytest

from lamina_service import wait_for
from lambda_function import function, invoke, log_text, package, refused, settings, signed, zip_of
from probe import instances

pytestmark = pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="/usr/bin/python3 is missing")
ON = {"ApplyOn": "PublishedVersions"}

MODULE = """
import os, random, uuid
born = uuid.uuid4().hex        # once, in the template
calls = []
def handler(event, context):
    calls.append(event)
    return {"born": born, "calls": len(calls), "random": random.random(), "uuid": uuid.uuid4().hex,
            "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], "version": context.function_version,
            "stream": context.log_stream_name, "key": os.environ.get("AWS_ACCESS_KEY_ID")}
"""


def python(source):
    return {"Runtime": "python3.12", "Handler": "app.handler", "Code": {"ZipFile": zip_of({"app.py": source})},
            "SnapStart": ON}


def settled(client, name, version):
    """The published version once it is no longer Pending."""
    def look():
        found = client.get_function_configuration(FunctionName=name, Qualifier=version)
        return None if found["State"] == "Pending" else found
    return wait_for(look, f"{name}:{version} to be prepared")


def publish(client, name):
    published = client.publish_version(FunctionName=name)
    return published, settled(client, name, published["Version"])


def end_idle(service, name):
    """The next call finds no instance: one that has just answered may not be idle yet."""
    def stopped():
        status, _, body = signed(service, "POST", f"/lamina/v1/functions/{name}/stop?cache=warm")
        assert status == 200, body
        return not instances(service, name)
    wait_for(stopped, f"the instances of {name} to end")


@pytest.fixture(scope="module")
def client(service):
    return service.client()


def test_what_is_asked_for_is_shown(client):
    with function(client, "asked", SnapStart=ON) as created:
        off = {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
        assert created["SnapStart"] == off
        assert client.get_function_configuration(FunctionName="asked")["SnapStart"] == off
        client.update_function_configuration(FunctionName="asked", Timeout=9)
        assert client.get_function_configuration(FunctionName="asked")["SnapStart"] == off
        client.update_function_configuration(FunctionName="asked", SnapStart={"ApplyOn": "None"})
        assert client.get_function_configuration(FunctionName="asked")["SnapStart"]["ApplyOn"] == "None"


def test_what_it_does_not_go_with_is_refused(client):
    with function(client, "alone", SnapStart=ON):
        with refused("InvalidParameterValueException", 400, "Ephemeral storage greater than 512 MB"):
            client.update_function_configuration(FunctionName="alone", EphemeralStorage={"Size": 1024})
        version, _ = publish(client, "alone")
        with refused("InvalidParameterValueException", 400, "Provisioned Concurrency is not supported"):
            client.put_provisioned_concurrency_config(FunctionName="alone", Qualifier=version["Version"],
                                                      ProvisionedConcurrentExecutions=1)


def test_instances_of_a_published_version_are_forks(service, client):
    with function(client, "forks", **python(MODULE)):
        published, ready = publish(client, "forks")
        assert (published["State"], published["SnapStart"]["OptimizationStatus"]) == ("Pending", "Off")
        assert (ready["State"], ready["SnapStart"]) == ("Active", {**ON, "OptimizationStatus": "On"})
        assert "StateReason" not in ready
        answers = []
        for _ in range(3):
            answer = client.invoke(FunctionName="forks:1", Payload=b"{}", LogType="Tail")
            log = log_text(answer)
            assert re.search(r"^RESTORE_START Runtime Version: python3.12\t", log, re.M), log
            assert re.search(r"^RESTORE_REPORT Restore Duration: [\d.]+ ms$", log, re.M), log
            assert re.search(r"\tRestore Duration: [\d.]+ ms\tBilled Restore Duration: \d+ ms\t", log), log
            assert "Init Duration" not in log
            answers.append(json.load(answer["Payload"]))
            end_idle(service, "forks")
        assert {each["type"] for each in answers} == {"snap-start"}
        assert {each["version"] for each in answers} == {"1"}
        assert {each["calls"] for each in answers} == {1}  # nothing of one is seen by another
        assert len({each["born"] for each in answers}) == 1
        for own in ("random", "uuid", "stream", "key"):
            assert len({each[own] for each in answers}) == 3, own
        latest = invoke(client, "forks", b"{}")
        assert (latest["type"], latest["born"] != answers[0]["born"]) == ("on-demand", True)


def test_c_functions_are_forked(service, client, build):
    probe = {"bootstrap": (build / "tests" / "sdk_probe").read_bytes()}
    with function(client, "in-c", SnapStart=ON, Code={"ZipFile": zip_of(probe)}):
        _, ready = publish(client, "in-c")
        assert (ready["State"], ready["SnapStart"]) == ("Active", {**ON, "OptimizationStatus": "On"})
        for _ in range(2):
            answer = client.invoke(FunctionName="in-c:1", Payload=b'"k"', LogType="Tail")
            assert json.load(answer["Payload"]) == {"type": "snap-start", "calls": 1}  # no other's state
            assert "Restore Duration: " in log_text(answer)
            assert invoke(client, "in-c:1", b'"k"')["calls"] == 2  # its own
            end_idle(service, "in-c")
        assert invoke(client, "in-c", b'"k"') == {"type": "on-demand", "calls": 1}


def test_the_c_example_is_forked(service, client, build):
    example = build / "examples" / "hello-c" / "bootstrap"
    if not example.exists():
        pytest.skip("this build has no examples")
    with function(client, "hello-c", SnapStart=ON, Code={"ZipFile": zip_of({"bootstrap": example.read_bytes()})}):
        _, ready = publish(client, "hello-c")
        assert ready["SnapStart"]["OptimizationStatus"] == "On"
        assert invoke(client, "hello-c:1", b"7") == {"hello": 7}
        assert {each["kind"] for each in instances(service, "hello-c")} <= {"fork", "spare"}


def test_what_is_deleted_before_its_turn_gets_no_template(service, client):
    """Two are prepared at a time: the third waits, and is deleted meanwhile."""
    slow = python("import time\ntime.sleep(2)\ndef handler(event, context):\n    return 1\n")
    with function(client, "one", **slow), function(client, "two", **slow):
        with function(client, "three", **slow):
            for name in ("one", "two", "three"):
                client.publish_version(FunctionName=name)
        for name in ("one", "two"):
            settled(client, name, "1")
        with function(client, "four", **python(MODULE)):  # its turn is after that of "three"
            publish(client, "four")
            listed = json.loads(service.lamina("ps", "-o", "json").stdout)["templates"]
            assert {each["function"] for each in listed} & {"one", "three", "four"} == {"one", "four"}


def test_publishing_the_same_again_gives_the_same_version(client):
    with function(client, "again", **python(MODULE)):
        first, _ = publish(client, "again")
        assert client.publish_version(FunctionName="again")["Version"] == first["Version"]
        client.update_function_configuration(FunctionName="again", SnapStart={"ApplyOn": "None"})
        second = client.publish_version(FunctionName="again")
        assert (second["Version"], second["State"]) == ("2", "Active")


@pytest.mark.parametrize("what, source, word", [
    ("threads", "import threading, time\nthreading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()\n",
     "thread"),
    ("sockets", "import socket\nkept = socket.socket()\n", "socket"),
    ("pipes", "import os\nkept = os.pipe()\n", "pipe"),
])
def test_what_cannot_be_carried_over_is_named(service, client, what, source, word):
    with function(client, what, **python(source + "def handler(event, context):\n    return 7\n")):
        _, ready = publish(client, what)
        assert (ready["State"], ready["SnapStart"]["OptimizationStatus"]) == ("Active", "Off")
        assert word in ready["StateReason"]
        assert ready["StateReasonCode"] == "SnapStartOff"
        assert invoke(client, f"{what}:1") == 7
        described = json.loads(service.lamina("describe", what, "-o", "json").stdout)
        template = next(each for each in described["templates"] if each["version"] == "1")
        assert template["state"] == "REFUSED" and word in template["reason"]


def test_a_runtime_that_cannot_be_forked_is_told(client):
    with function(client, "unmarked", SnapStart=ON, Code={"ZipFile": package("plain")}):
        _, ready = publish(client, "unmarked")
        assert (ready["State"], ready["SnapStart"]["OptimizationStatus"]) == ("Active", "Off")
        assert "cannot be forked" in ready["StateReason"]
        assert invoke(client, "unmarked:1")["marker"] == "plain"


def test_an_init_phase_that_fails_fails_the_version(client):
    with function(client, "broken", **python("raise ValueError('no weights')\n")):
        _, failed = publish(client, "broken")
        assert failed["State"] == "Failed"
        assert failed["StateReasonCode"] == "FunctionError"
        with refused("ResourceConflictException", 409, "Failed"):
            client.invoke(FunctionName="broken:1")


def test_a_call_before_it_is_ready_is_refused(client):
    with function(client, "slow", **python("import time\ntime.sleep(3)\ndef handler(event, context):\n    return 1\n")):
        client.publish_version(FunctionName="slow")
        with refused("SnapStartNotReadyException", 409):
            client.invoke(FunctionName="slow:1")
        assert settled(client, "slow", "1")["SnapStart"]["OptimizationStatus"] == "On"
        assert invoke(client, "slow:1") == 1


def test_forks_that_crash_often_get_another_template(service, client):
    """All forks of a template have one layout: whoever tries out addresses meets another one soon."""
    source = MODULE.replace("    calls.append(event)\n", "    if event == 'crash':\n        os.kill(os.getpid(), 11)\n")
    with function(client, "crashing", **python(source)):
        publish(client, "crashing")
        born = invoke(client, "crashing:1", b"{}")["born"]
        for _ in range(5):
            answer = client.invoke(FunctionName="crashing:1", Payload=b'"crash"')
            assert json.load(answer["Payload"])["errorType"] == "Runtime.ExitError"
        wait_for(lambda: "template.replaced function=crashing version=1" in service.log(), "another template")

        def other():
            end_idle(service, "crashing")
            return invoke(client, "crashing:1", b"{}")["born"] != born
        wait_for(other, "forks of the other template")


def test_an_after_restore_hook_that_fails_is_the_callers_exception(client):
    source = ("from snapshot_restore_py import register_after_restore\n"
              "@register_after_restore\ndef again():\n    raise OSError('no connection')\n"
              "def handler(event, context):\n    return 1\n")
    with function(client, "hooked", **python(source)):
        _, ready = publish(client, "hooked")
        assert ready["SnapStart"]["OptimizationStatus"] == "On"
        with refused("SnapStartException", 400, "afterRestore", "no connection"):
            client.invoke(FunctionName="hooked:1")


def test_preparing_goes_on_after_a_kill(make_service):
    service = make_service()
    client = service.client()
    client.create_function(**settings("kept", **python(
        "import time\ntime.sleep(3)\ndef handler(event, context):\n    return 1\n")))
    client.get_waiter("function_active_v2").wait(FunctionName="kept")
    assert client.publish_version(FunctionName="kept")["State"] == "Pending"
    service.stop(signal.SIGKILL)
    service.start()
    client = service.client()
    assert settled(client, "kept", "1")["SnapStart"]["OptimizationStatus"] == "On"
    assert invoke(client, "kept:1") == 1
