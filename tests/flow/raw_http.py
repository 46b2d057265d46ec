# SPDX-License-Identifier: MIT
"""Bytes to and from the service over a plain socket, and signatures made by botocore for them."""
import hashlib
import socket
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

DEADLINE_S = 120
FUNCTIONS = "/2015-03-31/functions/"


class Answer:
    """One HTTP answer: status, headers (lower-case names), body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def error(self):
        """The AWS error's name, as SDKs take it from the header."""
        return self.headers.get("x-amzn-errortype", "").split(":")[0]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


class Connection:
    """One connection. Reads wait for DEADLINE_S at most."""

    def __init__(self, endpoint):
        where = urllib.parse.urlsplit(endpoint)
        self.host = where.netloc
        self.socket = socket.create_connection((where.hostname, where.port), DEADLINE_S)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def _more(self):
        data = self.socket.recv(65536)
        self.held += data
        return bool(data)

    def answer(self, method="GET"):
        """The next answer, or None at the connection's end."""
        while b"\r\n\r\n" not in self.held:
            if not self._more():
                assert not self.held, f"an answer was cut off: {self.held!r}"
                return None
        head, _, self.held = self.held.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        size = 0 if method == "HEAD" or status in (100, 204) else int(headers["content-length"])
        while len(self.held) < size:
            assert self._more(), "a body was cut off"
        body, self.held = self.held[:size], self.held[size:]
        return Answer(status, headers, body)

    def is_closed(self):
        """Waits for the end of the connection; True unless another answer came first."""
        try:
            while not self.held:
                if not self._more():
                    return True
        except ConnectionResetError:
            return True
        return False


def request_bytes(method, target, headers, body=b""):
    """A request as it goes over the wire."""
    lines = [f"{method} {target} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def signed_headers(service, method, target, headers=(), body=b"", name="lambda", region="us-east-1", key=None,
                   secret=None, names_hash=True, adjust=None):
    """[(name, value)] of a signed request. `adjust` may change the SigV4Auth before it signs."""
    keys = service.credentials
    where = urllib.parse.urlsplit(service.endpoint)
    request = AWSRequest(method=method, url=service.endpoint + target, data=body,
                         headers=dict(headers, Host=where.netloc))
    if names_hash:
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
    auth = SigV4Auth(Credentials(key or keys["aws_access_key_id"], secret or keys["aws_secret_access_key"]), name, region)
    if adjust:
        adjust(auth)
    auth.add_auth(request)
    made = list(request.headers.items())
    if body or method in ("POST", "PUT"):
        made.append(("Content-Length", str(len(body))))
    return made


def call(service, method, target, headers=(), body=b"", **how):
    """A signed call on a connection of its own."""
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes(method, target, signed_headers(service, method, target, headers, body, **how), body))
        return connection.answer(method)
