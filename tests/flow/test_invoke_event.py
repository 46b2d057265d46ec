# SPDX-License-Identifier: MIT
"""InvocationType Event with boto3: 202 at once, handled later; retries, destinations, dead letters, kill -9."""
import json
import os
import signal

import pytest

from lambda_function import ARN, BOOTSTRAP, fresh_name, function, refused, settings, signed, zip_of
from lamina_service import wait_for

# Answers {"marker": "failing"} as an error while /tmp/failing is named by the event's text; see below.
FAILING = BOOTSTRAP.replace("$id/response", "$id/error").replace("/response HTTP", "/error HTTP")


@pytest.fixture(scope="module")
def events(build):
    """A service whose second and third tries come after a moment."""
    from conftest import needs_root
    from lamina_service import Service
    needs_root()
    with Service(build, env={"LAMINA_ASYNC_RETRY_MS": "1"}) as running:
        yield running


@pytest.fixture(scope="module")
def client(events):
    return events.client("lambda")


def failing(marker="failing"):
    """A function that reports an error for every event."""
    assert "/error HTTP" in FAILING
    return zip_of({"bootstrap": FAILING.replace("MARKER", marker)})


def send(client, name, payload=b"{}", **more):
    answer = client.invoke(FunctionName=name, InvocationType="Event", Payload=payload, **more)
    assert answer["StatusCode"] == 202 and answer["Payload"].read() == b""
    assert "FunctionError" not in answer
    return answer["ResponseMetadata"]["RequestId"]


def log_lines(service, name):
    status, _, body = signed(service, "GET", f"/lamina/v1/functions/{name}/logs?limit=1000")
    assert status == 200
    return [event["text"] for event in json.loads(body)["events"]]


def starts(service, name):
    """The request ids of the function's calls, in their order."""
    return [line.split()[2] for line in log_lines(service, name) if line.startswith("START RequestId: ")]


def wait_starts(service, name, count):
    """Waits until the log, which is written behind the calls, has so many; returns their request ids."""
    wait_for(lambda: len(starts(service, name)) >= count, f"{count} calls in the log")
    found = starts(service, name)
    assert len(found) == count
    return found


def dead_letters(service, name, query=""):
    status, _, body = signed(service, "GET", f"/lamina/v1/functions/{name}/dead-letters{query}")
    assert status == 200
    return json.loads(body)["dead_letters"]


def test_an_event_is_answered_202_and_handled(client, events):
    name = fresh_name()
    with function(client, name):
        first = send(client, name, b'{"n":1}')
        second = send(client, name, b'{"n":2}', Qualifier="$LATEST")
        assert sorted(wait_starts(events, name, 2)) == sorted([first, second])
        assert dead_letters(events, name) == []


def test_what_cannot_be_an_event_is_refused(client, events):
    name = fresh_name()
    with function(client, name):
        with refused("RequestTooLargeException", 413):
            send(client, name, b'"' + b"x" * (1 << 20) + b'"')
        with refused("InvalidRequestContentException", 400):
            send(client, name, b"{")
        with refused("ResourceNotFoundException", 404):
            send(client, name, Qualifier="7")
    with refused("ResourceNotFoundException", 404):
        send(client, "no-such-function")


def test_an_error_is_tried_three_times_with_one_id_then_kept(client, events):
    name = fresh_name()
    with function(client, name, Code={"ZipFile": failing()}):
        request = send(client, name, b'{"n":1}')
        letter, = wait_for(lambda: dead_letters(events, name), "the dead letter")
        assert wait_starts(events, name, 3) == [request] * 3
        assert (letter["request_id"], letter["reason"], letter["tries"]) == (request, "RetriesExhausted", 3)
        assert letter["payload_bytes"] == 7 and "failing" in letter["error"]
        # Told to, it is tried again, now by code that works.
        client.update_function_code(FunctionName=name, ZipFile=settings(name)["Code"]["ZipFile"])
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
        status, _, body = signed(events, "POST", f"/lamina/v1/functions/{name}/dead-letters/retry?id={letter['id']}")
        assert (status, json.loads(body)) == (200, {"retried": 1})
        wait_starts(events, name, 4)
        assert dead_letters(events, name) == []


def test_retries_are_as_configured_and_letters_can_be_purged(client, events):
    name = fresh_name()
    with function(client, name, Code={"ZipFile": failing()}):
        client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
        for _ in range(3):
            send(client, name)
        wait_for(lambda: len(dead_letters(events, name)) == 3, "three dead letters")
        wait_starts(events, name, 3)
        first = dead_letters(events, name, "?limit=1")
        assert len(first) == 1
        assert len(dead_letters(events, name, f"?after={first[0]['id']}")) == 2
        for wrong in ("0", "-1", "x", ""):  # 0 is no id, and above all not all of them
            for method, path in (("DELETE", ""), ("POST", "/retry")):
                where = f"/lamina/v1/functions/{name}/dead-letters{path}?id={wrong}"
                assert signed(events, method, where)[0] == 400, where
        assert len(dead_letters(events, name)) == 3
        status, _, body = signed(events, "DELETE", f"/lamina/v1/functions/{name}/dead-letters")
        assert (status, json.loads(body)) == (200, {"purged": 3})
        assert dead_letters(events, name) == []


def test_destinations_are_called_with_the_record(client, events):
    name, bad, good, sink = (fresh_name() for _ in range(4))
    with function(client, sink), function(client, good), function(client, bad, Code={"ZipFile": failing()}):
        destination = {"Destination": ARN + sink}
        client.put_function_event_invoke_config(FunctionName=good, DestinationConfig={"OnSuccess": destination})
        client.put_function_event_invoke_config(FunctionName=bad, MaximumRetryAttempts=1,
                                                DestinationConfig={"OnFailure": destination})
        send(client, good)
        wait_starts(events, sink, 1)
        send(client, bad)
        wait_starts(events, sink, 2)
        wait_starts(events, bad, 2)
        assert dead_letters(events, bad) == []


def test_a_right_that_was_taken_away_ends_the_delivery(client, events):
    """A destination was allowed when it was set; at delivery the role may not call it any more, or it is gone."""
    iam, role, good, bad, sink = events.client("iam"), fresh_name("role"), *(fresh_name() for _ in range(3))
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allowed = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": ARN + sink}
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]["Arn"]

    def allow():
        iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=json.dumps({"Statement": [allowed]}))

    allow()
    with function(client, sink), function(client, good, Role=arn), \
            function(client, bad, Role=arn, Code={"ZipFile": failing()}):
        for name in (good, bad):
            client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={
                "OnSuccess": {"Destination": ARN + sink}, "OnFailure": {"Destination": ARN + sink}})
        iam.delete_role_policy(RoleName=role, PolicyName="p")
        before = metric(events, "lamina_events_undelivered_total")
        send(client, bad, b'{"kept":1}')
        [letter] = wait_for(lambda: dead_letters(events, bad), "the dead letter")
        assert letter["reason"] == "RetriesExhausted"
        send(client, good)
        wait_for(lambda: metric(events, "lamina_events_undelivered_total") == before + 2, "the success's record")
        assert dead_letters(events, good) == []
        assert starts(events, sink) == []
        allow()
        send(client, good)
        wait_starts(events, sink, 1)
        client.delete_function(FunctionName=sink)
        send(client, bad)
        wait_for(lambda: len(dead_letters(events, bad)) == 2, "the second dead letter")
        with function(client, sink):
            assert starts(events, sink) == []
    wait_for(lambda: delete_role(iam, role), "the functions' instances to end")


def delete_role(iam, name):
    try:
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)
    except iam.exceptions.DeleteConflictException:
        return False
    return True


def metric(service, name):
    import urllib.request
    with urllib.request.urlopen(service.endpoint + "/metrics", timeout=120) as answer:
        return int(next(line for line in answer.read().decode().splitlines() if line.startswith(name + " ")).split()[1])


def test_the_metrics_count_events(client, events):
    import urllib.request
    with urllib.request.urlopen(events.endpoint + "/metrics", timeout=120) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
    assert int(lines["lamina_events_accepted_total"]) > 0
    assert int(lines["lamina_events_buried_total"]) >= 4
    assert int(lines["lamina_queue_commits_total"]) > 0
    assert "lamina_events_waiting" in lines and "lamina_dead_letters" in lines


def test_a_deleted_function_takes_its_events_along(client, events):
    name = fresh_name()
    with function(client, name, Code={"ZipFile": failing()}):
        client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
        send(client, name)
        wait_for(lambda: dead_letters(events, name), "the dead letter")
    with function(client, name):
        assert dead_letters(events, name) == []


def test_no_accepted_event_is_lost_by_kill_minus_9(make_service):
    """laminad is killed while events wait and are tried. Each ends as a dead letter, which is as durable as it was."""
    service = make_service()
    client = service.client()
    client.create_function(**settings("f", Code={"ZipFile": failing()}))
    client.get_waiter("function_active_v2").wait(FunctionName="f")
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
    accepted = []
    for _ in range(2):
        client = service.client()
        accepted += [send(client, "f", json.dumps(i).encode()) for i in range(25)]
        process, service.process = service.process, None
        os.kill(service.pid("laminad"), signal.SIGKILL)
        process.wait(120)
        wait_for(lambda: not service.processes(), "the service's processes to end")
        service.start()
    wait_for(lambda: len(dead_letters(service, "f")) >= len(accepted), "every event to be handled")
    assert sorted(letter["request_id"] for letter in dead_letters(service, "f")) == sorted(accepted)
