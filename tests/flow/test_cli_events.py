# SPDX-License-Identifier: MIT
"""`lamina invoke --async` and `lamina dead-letters`, against a service that does not wait a minute between two tries."""

import json
import re

import pytest

from lamina_service import wait_for

# Fails every event that says so; answers all others.
HANDLER = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("as asked")
    print("handled", event["n"])
    return event
"""


@pytest.fixture
def service(make_service, tmp_path):
    running = make_service("--async-retry-ms", "10")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text(HANDLER)
    running.lamina("deploy", tmp_path / "code", "--name", "picky", "--runtime", "python3.11", "--handler", "app.handler",
                   "--memory", "512", "--timeout", "60")
    return running


def letters(service):
    done = service.lamina("dead-letters", "list", "picky", "-o", "json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_event_is_handled_later(service):
    done = service.lamina("invoke", "picky", "--async", "-e", '{"n": 7}')
    assert done.stdout == ""
    request = re.search(r"'picky' has the event \(request (\S+)\)", done.stderr)[1]
    wait_for(lambda: f"END RequestId: {request}" in service.lamina("logs", "picky").stdout, "the event to be handled")
    assert "handled 7" in service.lamina("logs", "picky").stdout
    told = json.loads(service.lamina("invoke", "picky", "--async", "-e", '{"n": 8}', "-o", "json").stdout)
    assert told["status"] == 202 and told["request_id"] != request
    assert letters(service) == []
    done = service.lamina("dead-letters", "list", "picky")
    assert done.stdout == "" and "no dead letters" in done.stderr


def test_what_cannot_be_handled_is_kept_tried_again_and_removed(service):
    for n in range(3):
        service.lamina("invoke", "picky", "--async", "-e", json.dumps({"n": n, "fail": True}))
    wait_for(lambda: len(letters(service)) == 3, "the events to be given up")
    table = service.lamina("dead-letters", "list", "picky").stdout.splitlines()
    assert table[0].split()[:4] == ["ID", "SUBMITTED", "DIED", "TRIES"] and len(table) == 4

    dead = letters(service)
    assert all(letter["tries"] == 3 and letter["request_id"] for letter in dead)
    done = service.lamina("dead-letters", "purge", "picky", "--id", str(dead[0]["id"]))
    assert "1 are gone" in done.stderr
    assert [letter["id"] for letter in letters(service)] == [letter["id"] for letter in dead[1:]]

    told = json.loads(service.lamina("dead-letters", "retry", "picky", "-o", "json").stdout)
    assert told["retried"] == 2

    def died_again():
        now = letters(service)
        return len(now) == 2 and not {letter["died"] for letter in now} & {letter["died"] for letter in dead}

    wait_for(died_again, "the events to be given up again")
    done = service.lamina("dead-letters", "purge", "picky")
    assert "2 are gone" in done.stderr and letters(service) == []


def test_a_long_list_goes_through_all_pages(service):
    client = service.client("lambda")
    client.put_function_event_invoke_config(FunctionName="picky", MaximumRetryAttempts=0)
    for n in range(105):
        client.invoke(FunctionName="picky", InvocationType="Event", Payload=json.dumps({"n": n, "fail": True}))
    wait_for(lambda: len(letters(service)) == 105, "the events to be given up")
    assert len(service.lamina("dead-letters", "list", "picky").stdout.splitlines()) == 106


def test_mistakes(service):
    done = service.lamina("dead-letters", "burn", "picky", check=False)
    assert done.returncode == 1 and "list, retry or purge" in done.stderr
    done = service.lamina("dead-letters", "list", "nobody", check=False)
    assert done.returncode == 1 and "ResourceNotFoundException" in done.stderr
