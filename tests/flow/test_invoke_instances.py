# SPDX-License-Identifier: MIT
"""Instances over time: one call each, more under load, frozen when idle, ended when forgotten, replaced by updates."""
import concurrent.futures
import json
import threading

import pytest

from lamina_service import wait_for
from lambda_function import refused, zip_of
from probe import BOOTSTRAP, ask, call, end_instances, failure, instances, kill_instances, probe


def states(service, name):
    return sorted(each["state"] for each in instances(service, name))


@pytest.fixture(scope="module")
def client(service):
    return service.client()


def test_calls_one_after_the_other_share_an_instance(service, client):
    with probe(client, "one") as name:
        assert ask(client, name, "count")["count"] == 1
        wait_for(lambda: ask(client, name, "count")["count"] >= 5, "an instance to be used again and again")


def test_calls_at_once_get_an_instance_each(service, client):
    with probe(client, "many") as name, concurrent.futures.ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(failure, client, name, {"do": "end", "how": "hang"}) for _ in range(4)]
        wait_for(lambda: states(service, name).count("BUSY") == 4, "four busy instances")
        end_instances(service, name)
        for each in calls:
            kind, message, _ = each.result()
            assert kind == "Runtime.ExitError", message
        assert ask(client, name, "count")["count"] == 1


def test_an_idle_instance_is_frozen_and_thawed_by_the_next_call(make_service):
    service = make_service("--freeze-after-ms", "1")
    client = service.client()
    with probe(client, "frozen") as name:
        ask(client, name, "background")  # with a child that never rests
        first = instances(service, name)[0]["id"]
        for _ in range(3):
            wait_for(lambda: set(states(service, name)) == {"FROZEN"}, "the instances to be frozen")
            assert ask(client, name, "count")["count"] >= 1
        assert first in [each["id"] for each in instances(service, name)]


def test_an_instance_that_nobody_calls_is_ended(make_service):
    service = make_service("--keepalive-s", "1", "--freeze-after-ms", "100")
    client = service.client()
    with probe(client, "forgotten") as name:
        boot = ask(client, name, "count")["boot"]
        wait_for(lambda: not instances(service, name), "the instance to be ended")
        assert ask(client, name, "count")["boot"] != boot


def test_beyond_the_concurrency_calls_are_throttled(make_service):
    service = make_service("--concurrency", "1", "--queue", "0")
    client = service.client()
    with probe(client, "limit") as name, concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(call, client, name, {"do": "end", "how": "hang"})
        wait_for(lambda: states(service, name) == ["BUSY"], "the first call to run")
        with refused("TooManyRequestsException", 429, "Rate Exceeded") as error:
            client.invoke(FunctionName=name, Payload=b"{}")
        assert int(error.headers["retry-after"]) > 0
        kill_instances(service, name)
        assert running.result()[0]["FunctionError"] == "Unhandled"
        assert ask(client, name, "count")["count"] == 1


def test_a_call_that_waits_gets_its_turn(make_service):
    service = make_service("--concurrency", "1", "--queue", "10")
    client = service.client()
    with probe(client, "queue") as name, concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [each.result() for each in [pool.submit(ask, client, name, "count") for _ in range(4)]]
        assert sorted(each["count"] for each in answers) == [1, 2, 3, 4]


def test_an_update_replaces_instances_and_fails_no_call(service, client):
    """Callers call without a pause while the code changes under them; each answer is of a version that was current."""
    with probe(client, "update", Code={"ZipFile": package("v0")}) as name:
        assert ask(client, name, "marker") == "v0"
        stop = threading.Event()
        seen, errors = [], []

        def caller():
            mine = service.client()
            while not stop.is_set():
                try:
                    seen.append(ask(mine, name, "marker"))
                except Exception as error:  # every kind counts
                    errors.append(error)

        threads = [threading.Thread(target=caller) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 5):
                wanted = f"v{number}"
                client.update_function_code(FunctionName=name, ZipFile=package(wanted))
                client.get_waiter("function_updated_v2").wait(FunctionName=name)
                wait_for(lambda: errors or wanted in seen, f"an answer of {wanted}")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert errors == []
        assert ask(client, name, "marker") == "v4"
        order = [seen.index(f"v{number}") for number in range(5) if f"v{number}" in seen]
        assert order == sorted(order)


def package(marker):
    return zip_of({"bootstrap": BOOTSTRAP.replace("@MARKER@", marker)})


def test_a_deleted_function_s_instances_end(service, client):
    with probe(client, "deleted") as name:
        ask(client, name, "count")
        client.delete_function(FunctionName=name)
        wait_for(lambda: not instances(service, name), "the instance to end")


def test_the_memory_of_an_instance_can_be_asked_for(service, client):
    with probe(client, "memory") as name:
        ask(client, name, "count")
        described = json.loads(service.lamina("describe", name, "-o", "json").stdout)
        assert described["memory"]["pss_bytes"] > 1 << 20
