# SPDX-License-Identifier: MIT
"""Requests that two readers could read in two ways, floods, and clients that are slow, silent or half gone: against
the real service, over plain sockets."""
import json
import socket
import threading

import pytest

from raw_http import FUNCTIONS, Connection, request_bytes, signed_headers

HEALTH = "/healthz"


def health(service):
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("GET", HEALTH, [("Host", connection.host)]))
        return connection.answer().status


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

AMBIGUOUS = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 41\r\n\r\n{}",
    "the same length twice": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": b"Content-Length: 2, 2\r\n\r\n{}",
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity, chunked": b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "a coding that is not ours": b"Transfer-Encoding: gzip\r\n\r\n",
    "a coding with a space before": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a coding after a tab": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a quoted coding": b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    "a folded header": b"X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
    "a bare line feed": b"X: a\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
    "a bare carriage return": b"X: a\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
    "a NUL": b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "a signed length": b"Content-Length: +2\r\n\r\n{}",
    "a length in hex": b"Content-Length: 0x2\r\n\r\n{}",
    "a length too large for a number": b"Content-Length: 18446744073709551618\r\n\r\n{}",
    "two hosts": b"Host: other\r\nContent-Length: 2\r\n\r\n{}",
    "a chunk size that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "a chunk size that wraps around": b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
    "chunks ended by line feeds": b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
}


@pytest.mark.parametrize("tail", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_ambiguous_framing_is_refused_and_closed(service, tail):
    """Nothing that follows it is read as a request: one answer, 400, in AWS's form, then the end."""
    with Connection(service.endpoint) as connection:
        connection.send(b"POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nHost: " + connection.host.encode() +
                        b"\r\n" + tail + SMUGGLED)
        answer = connection.answer()
        # The head of the chunked ones is right: unsigned, they are refused for that first.
        assert answer.status == 400 or (answer.status == 403 and b"\r\nTransfer-Encoding: chunked\r\n\r\n" in b"\r\n" + tail)
        assert "message" in json.loads(answer.body)
        assert connection.is_closed(), connection.answer()
    assert health(service) == 200


@pytest.mark.parametrize("text, status", [
    (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    (b"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    (b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", 405),
    (b"GET http://elsewhere/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /health\x80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # a TLS client
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: magic\r\n\r\n", 417),
])
def test_what_is_not_our_http_is_refused(service, text, status):
    with Connection(service.endpoint) as connection:
        connection.send(text)
        answer = connection.answer()
        assert answer.status == status, answer
        json.loads(answer.body)
        assert connection.is_closed()


def test_unusual_but_right_requests_are_served(service):
    with Connection(service.endpoint) as connection:
        host = connection.host.encode()
        for text in (
                b"\r\n\r\nGET /healthz HTTP/1.1\r\nHOST:" + host + b"\r\n\r\n",
                b"GET http://" + host + b"/healthz HTTP/1.1\r\nHost: " + host + b"\r\n\r\n",
                b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"2;x=y\r\nab\r\n0\r\nTrailer: t\r\n\r\n",
        ):
            assert connection.send(text).answer().status == 200
        connection.send(b"HEAD /healthz HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert connection.answer("HEAD").status == 200


def test_pipelined_requests_are_answered_in_order(service):
    with Connection(service.endpoint) as connection:
        one = request_bytes("GET", HEALTH, [("Host", connection.host)])
        signed = request_bytes("GET", FUNCTIONS, signed_headers(service, "GET", FUNCTIONS))
        unsigned = request_bytes("GET", FUNCTIONS, [("Host", connection.host)])
        connection.send((one + signed + unsigned) * 50)
        assert [connection.answer().status for _ in range(150)] == [200, 200, 403] * 50


def test_a_flood_of_headers_is_refused(service):
    floods = [
        b"".join(b"X-%d: y\r\n" % i for i in range(100000)),
        b"X: " + b"y" * 1000000,
        b"X:" + b" " * 1000000,
        b"X" * 1000000,
    ]
    for flood in floods:
        with Connection(service.endpoint) as connection:
            try:
                connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + flood)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has heard enough
            answer = connection.answer()
            assert answer.status == 431, answer
            json.loads(answer.body)
    assert health(service) == 200


def test_a_long_target_is_refused(service):
    with Connection(service.endpoint) as connection:
        connection.send(b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.answer().status == 431


def test_a_slow_client_is_served_whenever_it_is_ready(service):
    """Byte by byte, and others are not kept waiting meanwhile."""
    with Connection(service.endpoint) as slow:
        for byte in request_bytes("GET", FUNCTIONS, signed_headers(service, "GET", FUNCTIONS)):
            slow.send(bytes([byte]))
        assert health(service) == 200
        assert slow.answer().status == 200


def test_many_silent_clients_keep_nobody_from_being_served(service):
    """Opened, with nothing or half a request sent, and left: each costs the service a little memory."""
    silent = []
    try:
        for i in range(500):
            connection = Connection(service.endpoint)
            silent.append(connection)
            if i % 2:
                connection.send(b"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nX-Half: ")
        assert health(service) == 200
        with Connection(service.endpoint) as connection:
            connection.send(request_bytes("GET", FUNCTIONS, signed_headers(service, "GET", FUNCTIONS)))
            assert connection.answer().status == 200
    finally:
        for connection in silent:
            connection.socket.close()


def test_a_half_closed_client_gets_its_answer(service):
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("GET", FUNCTIONS, signed_headers(service, "GET", FUNCTIONS)))
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.answer().status == 200
        assert connection.is_closed()


@pytest.mark.parametrize("text", [b"GET /healthz", b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
                                  b"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{"])
def test_a_client_that_stops_in_the_middle_is_answered_once_and_closed(service, text):
    with Connection(service.endpoint) as connection:
        connection.send(text)
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.answer().status in (400, 403)
        assert connection.is_closed()


def test_clients_that_vanish_leave_nothing(service):
    """Resets at every point of a request."""
    whole = request_bytes("POST", FUNCTIONS + "nothing/invocations",
                          signed_headers(service, "POST", FUNCTIONS + "nothing/invocations", body=b"{}"), b"{}")
    for at in range(0, len(whole) + 1, 7):
        connection = Connection(service.endpoint)
        connection.send(whole[:at])
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.socket.close()
    assert health(service) == 200


def test_expect_continue(service):
    target = FUNCTIONS + "nothing/invocations"
    with Connection(service.endpoint) as connection:
        headers = signed_headers(service, "POST", target, body=b"{}") + [("Expect", "100-continue")]
        connection.send(request_bytes("POST", target, headers))
        assert connection.answer().status == 100
        connection.send(b"{}")
        assert connection.answer().status == 404
    # A request that will be refused is not asked for its body.
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("POST", target, [("Host", connection.host), ("Content-Length", "2"),
                                                      ("Expect", "100-continue")]))
        assert connection.answer().status == 403
        assert connection.is_closed()


def test_six_megabytes_and_one_byte(service):
    """413 in AWS's words, told before the body is sent, or after all of it was."""
    target, body = FUNCTIONS + "nothing/invocations", b'"' + b"a" * (6291456 - 1) + b'"'
    assert len(body) == 6291457
    for expects in (False, True):
        headers = signed_headers(service, "POST", target, body=body) + ([("Expect", "100-continue")] if expects else [])
        with Connection(service.endpoint) as connection:
            connection.send(request_bytes("POST", target, headers, b"" if expects else body))
            answer = connection.answer()
            assert (answer.status, answer.error) == (413, "RequestTooLargeException"), answer
            assert "6291457 byte payload is too large" in json.loads(answer.body)["message"]
    # Six megabytes are a payload: the function is what is missing.
    body = body[:-2] + b'"'
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("POST", target, signed_headers(service, "POST", target, body=body), body))
        assert connection.answer().status == 404
    client = service.client()
    with pytest.raises(client.exceptions.RequestTooLargeException):
        client.invoke(FunctionName="nothing", Payload=b'"' + b"a" * 6291456 + b'"')


def test_a_body_without_end_is_refused(service):
    """Chunked, so that no length gives it away."""
    target = FUNCTIONS + "nothing/invocations"
    with Connection(service.endpoint) as connection:
        headers = [h for h in signed_headers(service, "POST", target, body=b"") if h[0] != "Content-Length"]
        connection.send(request_bytes("POST", target, headers + [("Transfer-Encoding", "chunked")]))
        chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        answers = []
        reader = threading.Thread(target=lambda: answers.append(connection.answer()))
        reader.start()
        try:
            for _ in range(4096):  # 256 MB, if it were let
                if answers:
                    break
                connection.send(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        reader.join(240)
        assert answers and answers[0].status == 413, answers
    assert health(service) == 200


@pytest.mark.parametrize("body", [b"{", b"[]x", b"{\"FunctionName\":}", b"\xff\xfe", b"{\"a\":\"\\ud800\"}", b"nonsense",
                                  b"[" * 100000, b"{\"a\":" * 50000])
def test_bad_json_is_told_so(service, body):
    for target in (FUNCTIONS, FUNCTIONS + "nothing/versions"):
        with Connection(service.endpoint) as connection:
            connection.send(request_bytes("POST", target, signed_headers(service, "POST", target, body=body), body))
            answer = connection.answer()
            assert answer.status in (400, 404), answer
            assert "message" in json.loads(answer.body)
            if target == FUNCTIONS:
                assert answer.error in ("InvalidRequestContentException", "SerializationException"), answer
