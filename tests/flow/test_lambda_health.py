# SPDX-License-Identifier: MIT
"""/healthz, /readyz and /metrics, and Lamina's own operations."""
import http.client
import json
import re
import urllib.parse

import pytest

from lambda_function import fresh_name, function, invoke, signed


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


def get(service, path, **headers):
    place = urllib.parse.urlsplit(service.endpoint)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    finally:
        connection.close()


def metrics(service):
    """{(name, frozenset of labels): value}; fails if the text is not Prometheus's format."""
    status, kind, text = get(service, "/metrics")
    assert status == 200 and kind.startswith("text/plain; version=0.0.4")
    found, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"{name} has two types"
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z_]+="[^"\\\n]*",?)*)\})? ([0-9.]+)', line)
            assert match, f"not a sample: {line}"
            labels = frozenset(re.findall(r'([a-z_]+)="([^"]*)"', match[2] or ""))
            assert (match[1], labels) not in found, f"twice: {line}"
            assert re.sub(r"_(bucket|sum|count)$", "", match[1]) in types or match[1] in types, line
            found[match[1], labels] = float(match[3])
    return found


def test_health_needs_no_signature_on_loopback(service):
    assert get(service, "/healthz")[::2] == (200, "ok\n")
    assert get(service, "/readyz")[::2] == (200, "ready\n")
    assert get(service, "/metrics")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[evil]", "127.1",
                                  "lamina"])
def test_health_is_not_for_web_pages_of_other_names(service, host):
    """A page whose name was rebound to 127.0.0.1 sends its own name as Host."""
    for path in ("/healthz", "/readyz", "/metrics"):
        assert get(service, path, Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:4566"])
def test_health_is_for_literal_addresses(service, host):
    assert get(service, "/healthz", Host=host)[0] == 200


def test_metrics_tell_of_invocations_and_cold_starts(service, client):
    name = fresh_name("metric")
    with function(client, name):
        before = metrics(service)
        assert not [key for key in before if ("function", name) in key[1]], "creating a function starts nothing"
        client.invoke(FunctionName=name, Payload=b'"exit"')["Payload"].read()
        for _ in range(3):
            invoke(client, name)
        now = metrics(service)
        labels = frozenset({("function", name)})
        assert now["lamina_invocations_total", labels] == 4
        assert now["lamina_invocation_errors_total", labels] == 1
        assert now["lamina_invocation_seconds_count", labels] == 4
        phases = {dict(key[1])["phase"] for key in now
                  if key[0] == "lamina_cold_start_seconds_count" and ("function", name) in key[1]}
        assert {"queue", "sandbox", "load", "first_answer"} <= phases <= {"queue", "sandbox", "fetch", "load", "warm",
                                                                          "first_answer"}
        buckets = sorted((float(dict(key[1])["le"].replace("+Inf", "inf")), value) for key, value in now.items()
                         if key[0] == "lamina_invocation_seconds_bucket" and ("function", name) in key[1])
        assert [value for _, value in buckets] == sorted(value for _, value in buckets), "buckets are cumulative"
        assert buckets[-1] == (float("inf"), 4)
        assert now["lamina_spawn_up", frozenset()] == 1
        assert now["lamina_cold_starts_total", frozenset()] >= before["lamina_cold_starts_total", frozenset()] + 1
        assert [key for key in now if key[0] == "lamina_instances" and ("function", name) in key[1]]


def own(service, method, path):
    status, _, body = signed(service, method, path)
    return status, json.loads(body)


def test_status(service, client):
    status, answer = own(service, "GET", "/lamina/v1/status")
    assert status == 200 and answer["ready"] is True
    assert (answer["region"], answer["account_id"], answer["aws_limits"]) == ("us-east-1", "000000000000", "enforce")
    assert answer["pid"] == service.pid("laminad") and answer["disk_free_bytes"] > 0


def test_function_instances_logs_and_stop(service, client):
    name = fresh_name("own")
    path = f"/lamina/v1/functions/{name}"
    assert own(service, "GET", path)[0] == 404
    with function(client, name):
        status, answer = own(service, "GET", path)
        assert (status, answer["instances"], answer["state"]) == (200, {}, "Active")
        assert "last_cold_start" not in answer
        invoke(client, name)
        status, answer = own(service, "GET", path)
        assert sum(answer["instances"].values()) == 1 and answer["invocations"] == 1
        assert answer["memory"]["pss_bytes"] > 0 and answer["unpacked_bytes"] > 0
        assert set(answer["last_cold_start"]["phases_ms"]) == {"queue", "sandbox", "fetch", "load", "warm", "first_answer"}

        _, answer = own(service, "GET", "/lamina/v1/instances?memory=1")
        line, = [line for line in answer["instances"] if line["function"] == name]
        assert (line["version"], line["invocations"], line["memory_mb"]) == ("$LATEST", 1, 1769)
        assert line["pss_bytes"] > 0 and line["pid"] > 0

        _, answer = own(service, "GET", path + "/logs")
        texts = [event["text"] for event in answer["events"]]
        assert "marker one" in texts and any(text.startswith("REPORT RequestId: ") for text in texts)
        assert own(service, "GET", f"{path}/logs?after={answer['next']}")[1] == {"events": []}
        _, last = own(service, "GET", path + "/logs?limit=1")
        assert [event["seq"] for event in last["events"]] == [answer["next"]]
        invoke(client, name)
        _, more = own(service, "GET", f"{path}/logs?after={answer['next']}")
        assert len([e for e in more["events"] if e["text"] == "marker one"]) == 1

        for cache in ("warm", "cold"):
            stopped = 0
            while not stopped:  # the instance may still be tidying up behind its answer
                status, answer = own(service, "POST", f"{path}/stop?cache={cache}")
                assert (status, answer["cache"]) == (200, cache)
                stopped = answer["stopped"]
            assert own(service, "GET", path)[1]["instances"] == {}
            assert invoke(client, name)["marker"] == "one"


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/lamina/v1/functions/nobody/logs", 404),
    ("POST", "/lamina/v1/functions/nobody/stop", 404),
    ("GET", "/lamina/v1/functions/a%20b", 400),
    ("GET", "/lamina/v1/functions/f/logs?limit=10001", 400),
    ("GET", "/lamina/v1/functions/f/logs?after=-1", 400),
    ("GET", "/lamina/v1/functions/f/logs?after=99999999999999999999", 400),
    ("POST", "/lamina/v1/functions/f/stop?cache=tepid", 400),
])
def test_own_operations_refuse_nonsense(service, method, path, status):
    assert own(service, method, path)[0] == status
