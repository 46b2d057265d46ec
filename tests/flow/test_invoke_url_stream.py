# SPDX-License-Identifier: MIT
"""Function URLs with InvokeMode RESPONSE_STREAM: what the function writes is what the client reads, as it comes."""
import http.client
import urllib.parse

import pytest

import lambda_function as fn

# The path says what to do: the bootstrap answers by hand, each piece a chunk.
BOOTSTRAP = r"""#!/usr/bin/python3 -S
import json, os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
BASE = "/2018-06-01/runtime/invocation/"

def ask(head, parts=()):
    s = socket.create_connection((host, int(port)))
    s.sendall(head.encode())
    for part in parts:
        s.sendall(part)
    answer = b""
    while True:
        data = s.recv(65536)
        if not data:
            return answer
        answer += data

def chunks(pieces):
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"

def stream(id, type, pieces):
    ask(f"POST {BASE}{id}/response HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{type}"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n", chunks(pieces))

def dies():
    yield b"half"
    os._exit(3)

PRELUDE = "Content-Type: application/vnd.awslambda.http-integration-response\r\n"
END = bytes(8)

while True:
    answer = ask(f"GET {BASE}next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    id = [l.split(b": ")[1] for l in head.split(b"\r\n") if l.lower().startswith(b"lambda-runtime-aws-request-id")][0].decode()
    path = json.loads(body)["rawPath"]
    if path == "/text":
        stream(id, "Content-Type: text/event-stream\r\n", [b"one ", b"two ", b"three"])
    elif path == "/bytes":
        stream(id, "", [bytes(range(256))] * 3)
    elif path == "/large":
        stream(id, "", [b"x" * 65536] * 160)
    elif path == "/prelude":
        text = json.dumps({"statusCode": 418, "headers": {"X-Said": "yes", "Content-Type": "text/plain"},
                           "cookies": ["a=1", "b=2"]}).encode()
        stream(id, PRELUDE, [text[:10], text[10:] + END[:3], END[3:] + b"the ", b"body"])
    elif path == "/nobody":
        stream(id, PRELUDE, [b'{"statusCode":204,"headers":{"X-Said":"nothing"}}' + END])
    elif path == "/badprelude":
        stream(id, PRELUDE, [b"nonsense" + END + b"body"])
    elif path == "/endless":
        stream(id, PRELUDE, [b"y" * 65536] * 3)
    elif path == "/split":
        stream(id, PRELUDE, [b'{"statusCode":200,"headers":{"X-Said":"a\\r\\nX-Injected: b"}}' + END])
    elif path == "/dies":
        stream(id, "", dies())
    else:
        data = b'{"statusCode":200,"body":"as it is"}'
        ask(f"POST {BASE}{id}/response HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n", [data])
"""


@pytest.fixture(scope="module")
def url(service):
    client = service.client()
    name = fn.fresh_name("urlstream")
    with fn.function(client, name, Code={"ZipFile": fn.zip_of({"bootstrap": BOOTSTRAP})}):
        config = client.create_function_url_config(FunctionName=name, AuthType="NONE")
        client.add_permission(FunctionName=name, StatementId="public", Action="lambda:InvokeFunctionUrl", Principal="*",
                              FunctionUrlAuthType="NONE")
        # boto3 1.26 does not know InvokeMode.
        body = b'{"InvokeMode":"RESPONSE_STREAM","Cors":{"AllowOrigins":["*"]}}'
        status, _, answer = fn.signed(service, "PUT", f"/2021-10-31/functions/{name}/url", body)
        assert status == 200 and b'"InvokeMode":"RESPONSE_STREAM"' in answer.replace(b": ", b":"), answer
        yield urllib.parse.urlsplit(service.endpoint), urllib.parse.urlsplit(config["FunctionUrl"]).netloc.split(".")[0]


def get(url, path, method="GET", headers={}):
    place, identity = url
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=240)
    try:
        connection.request(method, f"/_lamina/url/{identity}{path}", headers=headers)
        answer = connection.getresponse()
        answer.content = answer.read()
        return answer
    finally:
        connection.close()


def test_bytes_are_passed_on_as_they_are(url):
    answer = get(url, "/text", headers={"Origin": "http://somewhere"})
    assert (answer.status, answer.content) == (200, b"one two three")
    assert answer.getheader("Content-Type") == "text/event-stream"
    assert answer.getheader("Transfer-Encoding") == "chunked"
    assert answer.getheader("Access-Control-Allow-Origin")
    answer = get(url, "/bytes")
    assert answer.content == bytes(range(256)) * 3
    assert answer.getheader("Content-Type") == "application/octet-stream"
    # More than a buffered answer may have.
    assert len(get(url, "/large").content) == 160 * 65536


def test_a_prelude_says_status_headers_and_cookies(url):
    answer = get(url, "/prelude")
    assert (answer.status, answer.content) == (418, b"the body")
    assert (answer.getheader("X-Said"), answer.getheader("Content-Type")) == ("yes", "text/plain")
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    answer = get(url, "/nobody")
    assert (answer.status, answer.content, answer.getheader("X-Said")) == (204, b"", "nothing")
    assert get(url, "/prelude", method="HEAD").status == 418


@pytest.mark.parametrize("path", ["/badprelude", "/endless", "/split"])
def test_a_prelude_that_is_none_is_a_failure(url, path):
    answer = get(url, path)
    assert answer.status == 502 and b"Internal Server Error" in answer.content
    assert answer.getheader("X-Injected") is None


def test_a_function_that_dies_leaves_no_whole_response(url):
    try:
        answer = get(url, "/dies")
    except (http.client.IncompleteRead, ConnectionResetError):
        pass  # cut in the middle
    else:
        assert answer.status == 502  # it died before its first bytes were here
    assert get(url, "/text").content == b"one two three"


def test_an_answer_that_does_not_stream_is_the_body(url):
    answer = get(url, "/other")
    assert (answer.status, answer.content) == (200, b'{"statusCode":200,"body":"as it is"}')
    assert answer.getheader("Content-Type") == "application/json"
