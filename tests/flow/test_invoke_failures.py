# SPDX-License-Identifier: MIT
"""What a caller hears when a function fails, in AWS's words; and the next call works."""
import io
import json
import zipfile

import pytest

from lambda_function import zip_of
from probe import ask, call, end_instances, failure, probe


@pytest.fixture(scope="module")
def client(service):
    return service.client()


@pytest.fixture(scope="module")
def name(client):
    with probe(client, "failures") as made:
        yield made


ENDS = {
    "exit1": "Runtime exited with error: exit status 1",
    "exit255": "Runtime exited with error: exit status 255",
    "exit0": "Runtime exited without providing a reason",
    "signal9": "Runtime exited with error: signal: killed",
    "signal15": "Runtime exited with error: signal: terminated",
    "segv": "Runtime exited with error: signal: segmentation fault",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_process_that_ends_during_a_call(client, name, how):
    kind, message, log = failure(client, name, {"do": "end", "how": how})
    assert kind == "Runtime.ExitError"
    assert message.startswith("RequestId: ") and message.endswith(f" Error: {ENDS[how]}")
    assert f"Error: {ENDS[how]}\nRuntime.ExitError\nEND RequestId: " in log
    assert "\tStatus: error\tError Type: Runtime.ExitError" in log
    assert ask(client, name, "count")["count"] == 1  # another instance


def test_a_process_that_ends_in_the_middle_of_its_response(client, name):
    kind, message, _ = failure(client, name, {"do": "half"})
    assert kind == "Runtime.ExitError"
    assert ask(client, name, "count")["count"] == 1


def test_out_of_memory(client):
    with probe(client, "memory", MemorySize=128) as made:
        kind, message, log = failure(client, made, {"do": "end", "how": "memory"})
        assert kind == "Runtime.OutOfMemory"
        assert message.endswith("Error: Runtime exited with error: signal: killed")
        used = int(log.split("Max Memory Used: ")[1].split(" ")[0])
        assert 100 <= used <= 128, log
        assert ask(client, made, "count")["count"] == 1


def test_a_call_that_takes_too_long(client):
    with probe(client, "slow", Timeout=1) as made:
        kind, message, log = failure(client, made, {"do": "end", "how": "hang"})
        assert kind == "Sandbox.Timedout"
        assert message.endswith(" Error: Task timed out after 1.00 seconds")
        assert "Task timed out after 1.00 seconds\nEND RequestId: " in log
        assert "\tStatus: timeout\n" in log
        if "INIT_REPORT" not in log:  # unless the machine was too busy to start it within ten seconds
            assert "\tDuration: 1000.00 ms\tBilled Duration: " in log


def test_the_call_after_one_that_took_too_long(client):
    # Enough time for a start on a busy machine, so that only the hanging call can run out of it.
    with probe(client, "again", Timeout=10) as made:
        failure(client, made, {"do": "end", "how": "hang"})
        client.update_function_configuration(FunctionName=made, Timeout=240)
        client.get_waiter("function_updated_v2").wait(FunctionName=made)
        assert ask(client, made, "count")["count"] == 1


@pytest.mark.parametrize("how", ["exit3", "exit0", "signal9"])
def test_a_process_that_ends_in_its_init_phase(client, how):
    texts = {**ENDS, "exit3": "Runtime exited with error: exit status 3"}
    with probe(client, "init", Environment={"Variables": {"INIT": how}}) as made:
        kind, message, log = failure(client, made, {})
        assert kind == "Runtime.ExitError"
        assert message.endswith(f" Error: {texts[how]}")
        assert "\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError\t\n" in log
        assert "init: " + how in log  # what it printed is not lost
        # Repaired by a new configuration, the function works.
        client.update_function_configuration(FunctionName=made, Environment={"Variables": {}})
        client.get_waiter("function_updated_v2").wait(FunctionName=made)
        assert ask(client, made, "count")["count"] == 1


def test_an_error_reported_by_the_init_phase(client):
    with probe(client, "init", Environment={"Variables": {"INIT": "error"}}) as made:
        answer, body = call(client, made, {}, LogType="Tail")
        assert answer["FunctionError"] == "Unhandled"
        assert json.loads(body) == {"errorMessage": "no init today", "errorType": "MyInitError", "stackTrace": []}


def test_an_init_phase_that_takes_too_long(client):
    """Ten seconds, and then once more within the function's own time-out."""
    with probe(client, "init", Timeout=1, Environment={"Variables": {"INIT": "hang"}}) as made:
        kind, message, log = failure(client, made, {})
        assert kind == "Sandbox.Timedout"
        assert message.endswith("Task timed out after 1.00 seconds")
        assert "\tPhase: invoke\tStatus: timeout\t\n" in log


def unexecutable():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("bootstrap")
        info.external_attr = 0o100644 << 16
        archive.writestr(info, "#!/bin/sh\nexit 0\n")
    return buffer.getvalue()


@pytest.mark.parametrize("package, text", [
    (zip_of({"other": "x"}), "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
    (zip_of({"bootstrap": "\x7fELF is not enough"}), "fork/exec /var/task/bootstrap: exec format error"),
    (unexecutable(), "fork/exec /var/task/bootstrap: permission denied"),
], ids=["missing", "format", "permission"])
def test_a_bootstrap_that_cannot_be_run(client, package, text):
    with probe(client, "entry", Code={"ZipFile": package}) as made:
        kind, message, _ = failure(client, made, {})
        assert kind == "Runtime.InvalidEntrypoint"
        assert message.endswith(" Error: " + text)


def test_an_idle_instance_that_dies_is_replaced(client, service):
    with probe(client, "idle") as made:
        before = ask(client, made, "count")["boot"]
        end_instances(service, made)
        assert ask(client, made, "count")["boot"] != before
