# SPDX-License-Identifier: MIT
"""liblamina against a Runtime API server with the habits, and the faults, of real ones."""
import base64
import json
import socket
import subprocess
import threading
from dataclasses import replace

import pytest

from runtime_api import Quirks, RuntimeApi

LIMIT = 6291556


@pytest.fixture(params=["one by one", "pipelining"])
def api(build, request):
    """A platform; under one of the two the next call is asked for behind each answer, as under laminad."""
    ahead = {"Lamina-Runtime-Pipelining": "1"} if request.param == "pipelining" else {}
    with RuntimeApi() as api:
        api.quirks = Quirks(extra_headers=ahead)
        api.start([build / "tests" / "sdk_probe"])
        yield api


def test_what_a_handler_sees(api):
    trace = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"
    answer = api.invoke(b"s", **{"Lambda-Runtime-Trace-Id": trace,
                                 "Lambda-Runtime-Client-Context": '{"custom":{"a":"\u00fc"}}'.encode().decode("latin-1")})
    seen = answer.json
    assert (seen["trace"], seen["exported"]) == (trace, trace)
    assert seen["arn"].endswith(":function:under-test")
    assert seen["context"] == '{"custom":{"a":"\u00fc"}}'
    assert (seen["remaining"], seen["deadline"], seen["size"]) == (1, 4102444800000, 1)
    again = api.invoke(b"s", **{"Lambda-Runtime-Trace-Id": "Root=2"}).json
    assert (again["exported"], again["context"]) == ("Root=2", "")
    assert again["id"] != seen["id"]
    assert api.invoke(b"s").json["exported"] == ""


def test_answers(api):
    assert api.invoke(b"n").body == b""
    answer = api.invoke(b"t")
    assert (answer.body, answer.headers["Content-Type"]) == (b"hello", "text/plain; charset=utf-8")
    assert api.invoke(b"c").headers["Content-Type"] == "application/json"
    event = b"e\x00\xff" + bytes(range(256)) * 40
    assert api.invoke(event).body == event
    assert api.invoke(b"e").body == b"e"


def test_failures(api):
    answer = api.invoke(b"f\xc3\xbc")
    assert answer.kind == "error"
    assert answer.json == {"errorMessage": 'you said "f\u00fc"\n', "errorType": "Function.Asked"}
    assert answer.headers["Lambda-Runtime-Function-Error-Type"] == "Function.Asked"
    answer = api.invoke(b"r")
    assert answer.json == {"errorMessage": "the handler returned -9 (Bad file descriptor)",
                           "errorType": "Function.HandlerFailed"}
    assert api.invoke(b"c").body == b"3"


def test_sizes_up_to_the_limit_and_past_it(api):
    for size in (0, 1, 4095, 4096, 65536, 1 << 20, LIMIT):
        assert len(api.invoke(b"w%d" % size).body) == size
    for command in (b"w", b"i"):  # whether the handler looks at the result or not
        answer = api.invoke(b"%s%d" % (command, LIMIT + 1))
        assert (answer.kind, answer.json["errorType"]) == ("error", "Function.ResponseSizeTooLarge")
    large = b"e" + b"z" * (LIMIT - 1)
    assert api.invoke(large).body == large
    assert api.invoke(b"c").body == b"11"


@pytest.mark.parametrize("chunk", [1, 3, 1000, 16384, 100000])
def test_chunked_events(api, chunk):
    api.quirks = replace(api.quirks, chunked=chunk, trailers=chunk % 2 == 1, early_hints=chunk > 3)
    event = b"e" + bytes(i * 7 % 251 for i in range(5000 if chunk < 10 else 150000))
    for _ in range(3):
        assert api.invoke(event).body == event


def test_connections_that_close(api):
    api.quirks = replace(api.quirks, close_after_next=True)
    for number in range(3):
        assert api.invoke(b"c").body == b"%d" % (number + 1)
    api.quirks = replace(api.quirks, close_after_next=False, drop_next=2)  # as after a thaw: the kept connection is dead
    assert api.invoke(b"c").body == b"4"
    assert api.invoke(b"c").body == b"5"


def test_the_first_request_for_work_tells_of_the_start(api):
    api.invoke(b"c")
    answer = api.invoke(b"f")
    assert api.next_headers[0]["Lamina-Init-Phases"] == "load=12.346;warm=0.500"
    assert all("Lamina-Init-Phases" not in headers for headers in api.next_headers[1:])
    assert answer.headers["Lamina-Model-Digest"] == "0123abcd"


def test_a_platform_with_a_lower_limit(api):
    api.quirks = Quirks(response_status=413)
    answer = api.invoke(b"w1000")
    assert (answer.kind, answer.json["errorType"]) == ("error", "Function.ResponseSizeTooLarge")
    assert "1000 bytes" in answer.json["errorMessage"]
    api.quirks = Quirks()
    assert api.invoke(b"c").body == b"2"


def test_a_refused_answer_does_not_end_the_process(api):
    api.quirks = replace(api.quirks, response_status=400)
    api.send(b"c")  # refused: nothing arrives
    api.send(b"f")
    assert api.answer().json["errorType"] == "Function.Asked"
    assert api.posts[0] == ("response", 400)


def test_the_process_ends_when_it_is_told_to(api):
    api.invoke(b"c")
    api.quirks = replace(api.quirks, response_status=500)
    api.send(b"c")
    assert api.wait_end() == 1
    assert "the Runtime API answered 500" in api.output()


def test_the_third_failure_in_a_row_ends_it(build):
    with RuntimeApi() as api:
        api.quirks = Quirks(fail_next=2)
        api.start([build / "tests" / "sdk_probe"])
        assert api.invoke(b"c").body == b"1"
        assert len([1 for headers in api.next_headers if "Lamina-Init-Phases" in headers]) >= 1
        api.quirks = Quirks(fail_next=3)
        api.send(b"c")  # lets the request that is waiting go; the next three fail
        assert api.wait_end() == 1


def test_an_init_error(build):
    with RuntimeApi() as api:
        api.start([build / "tests" / "sdk_probe"], env={"FAIL_INIT": "no \u00e9\x01"})
        answer = api.answer()
        assert answer.kind == "init"
        assert answer.json == {"errorMessage": 'cannot start: "no \u00e9\x01"', "errorType": "Runtime.ProbeBroken"}
        assert api.wait_end() == 1
        assert 'Runtime.ProbeBroken: cannot start: "no' in api.output()


def run_probe(build, **env):
    return subprocess.run([build / "tests" / "sdk_probe"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120, check=False)


@pytest.mark.parametrize("address", ["", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                                     "127.0.0.1:1x", "example.com:80", "[::1:9001", "[]:1", ":9001", "1.2.3:80"])
def test_addresses_that_are_none(build, address):
    result = run_probe(build, AWS_LAMBDA_RUNTIME_API=address)
    assert result.returncode == 1
    assert b"not host:port with an IP address" in result.stderr


def test_nobody_listens(build):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refused, and nobody else can have it
        result = run_probe(build, AWS_LAMBDA_RUNTIME_API="127.0.0.1:%d" % unused.getsockname()[1])
    assert result.returncode == 1
    assert result.stderr.count(b"Connection refused") == 3


BAD_ANSWERS = [
    b"",
    b"garbage\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nLambda-Runtime-Aws-Request-Id: 1\r\n\r\ncut",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nLambda-Runtime-Aws-Request-Id: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",  # no request id
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLambda-Runtime-Aws-Request-Id: ../../x y\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nLambda-Runtime-Aws-Request-Id: 1\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nLambda-Runtime-Aws-Request-Id: 1\r\n\r\n2\r\n{}xx0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nLambda-Runtime-Aws-Request-Id: 1\r\n\r\nfffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200000,
]


@pytest.mark.parametrize("number", range(len(BAD_ANSWERS)))
def test_answers_that_are_none_end_it_without_a_crash(build, number):
    def serve(listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                try:
                    connection.sendall(BAD_ANSWERS[number])
                except OSError:
                    pass  # it hung up in the middle, as it may

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        result = run_probe(build, AWS_LAMBDA_RUNTIME_API="127.0.0.1:%d" % listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        server.join(60)
    assert result.returncode == 1, result
    assert result.stderr.count(b"lamina: next: ") == 3


def test_a_stream_is_sent_as_it_is_written(api):
    for count, size in ((3, 100), (1, 1), (0, 0), (5, 70000)):
        answer = api.invoke(b"S%d,%d" % (count, size))
        assert answer.body == b"[" + b"p" * count * size + b'S"end"'
        assert answer.headers["Lambda-Runtime-Function-Response-Mode"] == "streaming"
        assert answer.chunks[0] == b"[" and answer.chunks[-2:] == [b"S", b'"end"']
        assert [len(chunk) for chunk in answer.chunks[1:-2]] == [size] * count
        assert answer.trailers == {}
    assert api.invoke(b"c").body == b"5"


def test_a_stream_has_no_maximum(api):
    answer = api.invoke(b"S320,65536")
    assert len(answer.body) == 320 * 65536 + 7
    empty = api.invoke(b"Z")
    assert (empty.body, empty.headers["Content-Type"]) == (b"", "text/event-stream")


def test_a_stream_that_fails_ends_with_the_error(api):
    answer = api.invoke(b"X")
    assert (answer.kind, answer.body) == ("response", b"begun")
    assert answer.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.InTheMiddle"
    assert json.loads(base64.b64decode(answer.trailers["Lambda-Runtime-Function-Error-Body"], validate=True)) == {
        "errorMessage": 'no more "here"', "errorType": "Function.InTheMiddle"}
    answer = api.invoke(b"Y")  # before it began it is an error like any other
    assert (answer.kind, answer.json["errorType"]) == ("error", "Function.BeforeIt")
    assert api.invoke(b"c").body == b"3"


def test_a_stream_that_nobody_takes_any_more(api):
    api.quirks = Quirks(hang_up_after=100000)
    answer = api.invoke(b"S500,65536")
    assert answer.kind == "hung-up"
    api.quirks = Quirks()
    assert api.invoke(b"c").body == b"2"
    api.quirks = Quirks(response_status=413)
    api.send(b"S1,1")  # refused at its end: nothing more can be said, and the next one works
    api.send(b"f")
    assert api.answer().json["errorType"] == "Function.Asked"


def test_hello_c(build):
    with RuntimeApi() as api:
        api.start([build / "examples" / "hello-c" / "bootstrap"])
        assert api.invoke({"who": "world"}).json == {"hello": {"who": "world"}}
