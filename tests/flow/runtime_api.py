# SPDX-License-Identifier: MIT
"""A small Lambda Runtime API server, for running a bootstrap outside of any platform.

    with RuntimeApi() as api:
        process = api.start([bootstrap], env={...}, cwd=task)
        answer = api.invoke({"inputs": []})        # Answer(kind, body, headers)

One invocation at a time; each wait has a generous deadline and also ends, with the process's
stderr in the message, when the process does. Quirks of real servers (chunked bodies, closed
connections, refusals) are chosen by `api.quirks`.
"""
import json
import os
import queue
import select
import socket
import subprocess
import tempfile
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEADLINE_S = 120
PREFIX = "/2018-06-01/runtime/"


@dataclass
class Answer:
    kind: str  # "response", "error", "init" or "restore"
    body: bytes
    headers: dict
    chunks: list = None  # of a streamed answer
    trailers: dict = None

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Quirks:
    chunked: int = 0  # bytes a chunk of the event; 0: with Content-Length
    trailers: bool = False
    early_hints: bool = False  # a 103 before each answer to next
    close_after_next: bool = False
    drop_next: int = 0  # this many requests for work are cut off unanswered
    fail_next: int = 0  # this many requests for work are answered 500
    response_status: int = 202
    error_status: int = 202
    hang_up_after: int = -1  # bytes of a streamed answer, after which the connection is closed
    extra_headers: dict = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one segment an answer, as real servers send it
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        api = self.server.api
        if self.path != PREFIX + "invocation/next":
            return self.reply(404, b"{}")
        api.next_headers.append(dict(self.headers))
        if api.quirks.drop_next > 0:
            api.quirks.drop_next -= 1
            self.close_connection = True
            return None
        if api.quirks.fail_next > 0:
            api.quirks.fail_next -= 1
            return self.reply(500, b'{"errorMessage":"no","errorType":"InternalServerError"}')
        event = api.events.get()
        # A process that was stopped while it waited for work has left its request behind: the event is
        # for the one that was started after it.
        if event is None or self.peer_is_gone():
            if event is not None:
                with api.events.mutex:
                    api.events.queue.appendleft(event)
                    api.events.not_empty.notify()
            self.close_connection = True
            return None
        if api.quirks.early_hints:
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            self.wfile.flush()
        return self.reply(200, event.payload, {**event.headers, **api.quirks.extra_headers},
                          chunk=api.quirks.chunked, close=api.quirks.close_after_next)

    def peer_is_gone(self):
        if not select.select([self.connection], [], [], 0)[0]:
            return False
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def do_POST(self):
        api = self.server.api
        if self.headers.get("Transfer-Encoding") == "chunked":
            return self.take_stream()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self.path[len(PREFIX):].split("/")
        if parts in (["init", "error"], ["restore", "error"]):
            api.answers.put(Answer(parts[0], body, dict(self.headers)))
            return self.reply(202, b'{"status":"OK"}')
        kind, status = parts[2], 0
        status = api.quirks.response_status if kind == "response" else api.quirks.error_status
        api.posts.append((kind, status))
        if status == 202:
            api.answers.put(Answer(kind, body, dict(self.headers)))
        return self.reply(status, b'{"status":"OK"}')

    def take_stream(self):
        """An answer in chunks: kept as they came, with the trailers."""
        api, chunks, have = self.server.api, [], 0
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            if size == 0:
                break
            chunks.append(self.rfile.read(size))
            assert self.rfile.readline() == b"\r\n"
            have += size
            if 0 <= api.quirks.hang_up_after <= have:
                self.close_connection = True
                api.answers.put(Answer("hung-up", b"".join(chunks), dict(self.headers), chunks))
                return None
        trailers = {}
        while (line := self.rfile.readline().strip()):
            name, _, value = line.decode("latin-1").partition(":")
            trailers[name] = value.strip()
        status = api.quirks.response_status
        api.posts.append(("response", status))
        if status == 202:
            api.answers.put(Answer("response", b"".join(chunks), dict(self.headers), chunks, trailers))
        return self.reply(status, b'{"status":"OK"}')

    def reply(self, status, body, headers=None, chunk=0, close=False):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if close:
            self.send_header("Connection", "close")
        if chunk:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), chunk):
                piece = body[at:at + chunk]
                self.wfile.write(b"%x;q=1\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\nX-Trailer: 1\r\n\r\n" if self.server.api.quirks.trailers
                             else b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        self.wfile.flush()


@dataclass
class Event:
    payload: bytes
    headers: dict


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a process that was killed in the middle of an exchange is part of the tests


class RuntimeApi:
    def __init__(self):
        self.quirks = Quirks()
        self.events = queue.Queue()
        self.answers = queue.Queue()
        self.next_headers = []
        self.posts = []
        self.process = None
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.api = self
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        self.log = tempfile.TemporaryFile()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.events.put(None)
        self.server.shutdown()
        self.server.server_close()
        self.log.close()

    def start(self, argv, env=None, cwd=None, **kwargs):
        """Starts the bootstrap with a clean environment plus `env`."""
        environment = {"PATH": "/usr/bin:/bin", "AWS_LAMBDA_RUNTIME_API": self.address,
                       "AWS_LAMBDA_FUNCTION_NAME": "under-test", **(env or {})}
        self.process = subprocess.Popen([os.fspath(a) for a in argv], env=environment, cwd=cwd,
                                        stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, **kwargs)
        return self.process

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def output(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def send(self, payload, **headers):
        if not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        base = {"Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
                "Lambda-Runtime-Deadline-Ms": "4102444800000",
                "Lambda-Runtime-Invoked-Function-Arn":
                    "arn:aws:lambda:us-east-1:000000000000:function:under-test"}
        self.events.put(Event(payload, {**base, **headers}))

    def answer(self):
        """The next answer. Fails at once when the process has ended without one."""
        for _ in range(DEADLINE_S * 10):
            try:
                return self.answers.get(timeout=0.1)
            except queue.Empty:
                if self.process is not None and self.process.poll() is not None \
                        and self.answers.empty():
                    break
        state = None if self.process is None else self.process.poll()
        raise AssertionError("no answer; the process's state is %s\n%s" % (state, self.output()))

    def invoke(self, payload, **headers):
        self.send(payload, **headers)
        return self.answer()

    def wait_end(self):
        """The exit status of a process that ends by itself."""
        return self.process.wait(DEADLINE_S)
