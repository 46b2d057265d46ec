# SPDX-License-Identifier: MIT
"""While somebody misbehaves, other functions go on: each is answered, whatever the neighbour does meanwhile.

How fast they are answered is a benchmark's business; here every answer must come and be right.
"""
import contextlib
import resource
import socket
import threading

import pytest

import faults  # noqa: F401  (puts tests/flow on the path)
from lambda_function import function, package, zip_of
from probe import call, probe
from lamina_service import Service

IDLE = 10_000
SLOW = 1_000
CALLS = 20


@pytest.fixture(scope="module")
def busy(build):
    with Service(build, "--connections", str(IDLE + 2 * SLOW)) as running:
        yield running


@pytest.fixture(scope="module")
def client(busy):
    return busy.client()


@pytest.fixture(scope="module")
def victim(client):
    """invoke() calls a function of a good neighbour and checks its answer."""
    with function(client, "victim"):
        name = "victim"

        def invoke(times=CALLS):
            for number in range(times):
                answer, body = call(client, name, number)
                assert answer["StatusCode"] == 200 and "FunctionError" not in answer, body
                assert b'"event":%d' % number in body

        invoke(1)
        yield invoke


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 1_000:
        pytest.skip(f"needs {IDLE + 1_000} descriptors, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connections(stack, service, count, first_bytes=b""):
    host, port = service.endpoint.removeprefix("http://").split(":")
    opened = []
    for _ in range(count):
        peer = stack.enter_context(socket.create_connection((host, int(port)), timeout=120))
        if first_bytes:
            peer.sendall(first_bytes)
        opened.append(peer)
    return opened


def test_ten_thousand_idle_connections(busy, victim, many_descriptors):
    with contextlib.ExitStack() as stack:
        connections(stack, busy, IDLE)
        victim()
    victim(1)


def test_a_thousand_callers_that_never_finish_their_request(busy, victim, many_descriptors):
    head = b"POST /2015-03-31/functions/victim/invocations HTTP/1.1\r\nHost: x\r\nX-Slow: "
    body = b"POST /2015-03-31/functions/victim/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"
    with contextlib.ExitStack() as stack:
        slow = connections(stack, busy, SLOW // 2, head) + connections(stack, busy, SLOW // 2, body)
        victim(CALLS // 2)
        for peer in slow[::10]:  # a byte now and then
            with contextlib.suppress(OSError):
                peer.sendall(b"y")
        victim(CALLS // 2)
    victim(1)


@contextlib.contextmanager
def meanwhile(client, name, event, answers=None):
    """The neighbour's own call runs during the block. Whatever becomes of it, it must end."""
    failures = []

    def run():
        try:
            answer = call(client, name, event)
            if answers is not None:
                answers.append(answer)
        except Exception as error:  # its own fault
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(280)
        assert not thread.is_alive(), "the neighbour's call does not end"


@pytest.mark.parametrize("event", [
    {"do": "flood", "lines": 300_000},  # 30 MB of log
    {"do": "end", "how": "memory"},
    {"do": "spin", "ms": 500},
    {"do": "fill", "path": "/tmp/x", "size": 1 << 30},
], ids=["log_flood", "memory_hog", "cpu_hog", "full_tmp"])
def test_a_function_that_takes_all_it_can(client, victim, event):
    with probe(client, "neighbour", MemorySize=256, Timeout=120) as name:
        with meanwhile(client, name, event):
            victim()
    victim(1)


GIGABYTE = """
import os
LINES = (b"x" * 1023 + b"\\n") * 1024
def handler(event, context):
    left = 1 << 30
    while left > 0:
        left -= os.write(1, LINES)
    return "written"
"""


def test_a_gigabyte_of_log(busy, client, victim):
    """Read as fast as it comes, and not kept: what is dropped is counted, and the files stay as small as they are."""
    with function(client, "gigabyte", Runtime="python3.11", Handler="app.handler", Timeout=300, MemorySize=256,
                  Code={"ZipFile": zip_of({"app.py": GIGABYTE})}):
        answers = []
        with meanwhile(client, "gigabyte", {}, answers):
            victim()
        answer, body = answers[0]
        assert (answer["StatusCode"], "FunctionError" not in answer, body) == (200, True, b'"written"')
        kept = sum(path.stat().st_size for path in (busy.data_dir / "logs").rglob("*gigabyte*") if path.is_file())
        assert kept < 40 << 20
        log = busy.lamina("logs", "gigabyte").stdout
        dropped = sum(int(line.split("Bytes: ")[1].split()[0]) for line in log.splitlines() if "LOGS_DROPPED" in line)
        assert dropped > 900 << 20, log[-2000:]
    victim(1)


NEVER = "#!/bin/sh\nwhile :; do sleep 1; done\n"
# Holds as many processes as it may have, and then asks no more: what it takes is not the test's own machine.
BOMB = "#!/bin/sh\n(while :; do sleep 1000 & done) 2>/dev/null\nexec sleep 1000\n"


def test_runtimes_that_never_ask_for_work_and_one_is_a_fork_bomb(client, victim):
    with function(client, "never", Code={"ZipFile": zip_of({"bootstrap": NEVER})}, Timeout=3), \
            function(client, "bomb", Code={"ZipFile": zip_of({"bootstrap": BOMB})}, Timeout=3):
        with meanwhile(client, "never", {}), meanwhile(client, "bomb", {}):
            victim()
    victim(1)


def test_the_victim_was_worth_it(client, victim):
    """The neighbours are gone and nothing of the service is: a new function deploys and answers."""
    with function(client, "after", Code={"ZipFile": package("after")}):
        _, body = call(client, "after", 1)
        assert b'"marker":"after"' in body
