# SPDX-License-Identifier: MIT
"""An object store of a test's own: what it holds, what it counts, and how it misbehaves.

    with Origin() as origin:
        origin.put("models", "a/m.onnx", data)
        origin.fault = lambda request: request.reset_after(1000)
        ... Service(build, "--config", origin.config(path)) ...
        origin.bytes_sent("models", "a/m.onnx")

HTTP/1.1 over plain sockets, so that it can break off, stall and lie at any byte. It asks for a SigV4 signature of its
own key and checks it with botocore's signer.
"""
import base64
import hashlib
import socket
import ssl
import threading
import time
import urllib.parse

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

# Longer than a block of SHA-256, as AWS's never are and other stores' may be.
KEY, SECRET = "AKIAORIGINTESTKEY000", "origin/secret+of/a/test/" * 3
REASONS = {200: "OK", 206: "Partial Content", 301: "Moved Permanently", 307: "Temporary Redirect", 403: "Forbidden",
           404: "Not Found", 412: "Precondition Failed", 416: "Range", 500: "Internal", 503: "Slow Down"}


class Gone(Exception):
    """The connection is to be closed."""


class Request:
    """One request, and what can be done with it."""

    def __init__(self, origin, connection, method, target, headers):
        self.origin, self.connection = origin, connection
        self.method, self.target, self.headers = method, target, headers
        path, _, query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        bucket, dot, _ = headers.get("host", "").partition(".localhost")
        if dot:
            key = path[1:]
        else:
            bucket, _, key = path[1:].partition("/")
        self.bucket, self.key = bucket, urllib.parse.unquote(key, errors="surrogateescape")
        self.range = None
        if headers.get("range", "").startswith("bytes="):
            first, _, last = headers["range"][6:].partition("-")
            self.range = int(first), int(last)

    def send_head(self, status, headers, length):
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Odd')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {length}", "", ""]
        self.connection.sendall("\r\n".join(lines).encode())

    def answer(self, status, body=b"", headers=None):
        self.send_head(status, headers or {}, len(body))
        if self.method != "HEAD":
            self.connection.sendall(body)

    def error(self, status, code, message="of a test"):
        self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
                    .encode(), {"Content-Type": "application/xml"})

    def send_body(self, body):
        """At the rate of one connection."""
        rate = self.origin.rate
        step = 1 << 20 if not rate else max(4096, int(rate // 50))
        started = time.monotonic()
        for at in range(0, len(body), step):
            piece = body[at:at + step]
            if rate:
                ahead = (at + len(piece)) / rate - (time.monotonic() - started)
                if ahead > 0:
                    time.sleep(ahead)
            self.connection.sendall(piece)
            self.origin.count(self.bucket, self.key, len(piece))


class Origin:
    def __init__(self, rate=None, checksums=True, signed=True, certificate=None):
        """`certificate`: (chain, key) of a store that speaks https."""
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)
        self.rate = rate            # bytes a second and connection; None: as fast as it goes
        self.checksums = checksums
        self.signed = signed        # False: nobody's signature is looked at
        self.digests = {}           # id of the data -> (ETag, SHA-256)
        self.objects = {}           # (bucket, key) -> bytes
        self.versions = {}          # (bucket, key, version) -> bytes
        self.fault = None           # fault(request) -> True: it has answered (or raised Gone)
        self.requests = []          # (method, target)
        self.sent = {}
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.endpoint = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self.is_closed = False

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.is_closed = True
        self.listener.close()

    # ---- Content

    def put(self, bucket, key, data, version=None):
        self.objects[bucket, key] = data
        self.digests[id(data)] = self.etag(data), base64.b64encode(hashlib.sha256(data).digest()).decode()
        if version:
            self.versions[bucket, key, version] = data

    @staticmethod
    def etag(data):
        return '"' + hashlib.md5(data).hexdigest() + '"'

    def bytes_sent(self, bucket, key):
        return self.sent.get((bucket, key), 0)

    def count(self, bucket, key, size):
        with self.lock:
            self.sent[bucket, key] = self.sent.get((bucket, key), 0) + size

    def config(self, folder, *buckets, style="path", name="test", stall_s=20, ca_file=None):
        """The path of a configuration file that names this store."""
        folder.chmod(0o755)
        credentials = folder / f"{name}-credentials"
        credentials.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
        credentials.chmod(0o644)  # laminad runs as another user
        path = folder / "lamina.conf"
        with open(path, "a") as file:
            file.write(f"[s3_origin {name}]\nendpoint = {self.endpoint}\nstyle = {style}\n"
                       f"credentials_file = {credentials}\nstall_s = {stall_s}\nbuckets = {', '.join(buckets)}\n"
                       + (f"ca_file = {ca_file}\n" if ca_file else ""))
        return path

    # ---- Serving

    def _accept(self):
        while not self.is_closed:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as reader:
                while self._serve_one(connection, reader):
                    pass
        except (OSError, Gone):
            pass

    def _serve_one(self, connection, reader):
        line = reader.readline().decode("latin-1").split()
        if len(line) != 3:
            return False
        headers = {}
        while (header := reader.readline().decode("latin-1").strip()):
            name, _, value = header.partition(":")
            headers[name.strip().lower()] = value.strip()
        request = Request(self, connection, line[0], line[1], headers)
        with self.lock:
            self.requests.append((line[0], line[1]))
        if self.signed and not self.is_signed(request):
            request.error(403, "SignatureDoesNotMatch")
        elif not (self.fault and self.fault(request)):
            self._answer(request)
        return True

    def is_signed(self, request):
        """The signature is botocore's own over the same request."""
        given = request.headers.get("authorization", "")
        if "SignedHeaders=" not in given:
            return False
        names = given.split("SignedHeaders=")[1].split(",")[0].split(";")
        signer = S3SigV4Auth(Credentials(KEY, SECRET), "s3", "us-east-1")
        again = AWSRequest(method=request.method, url=f"http://{request.headers['host']}{request.target}",
                           headers={name: request.headers[name] for name in names if name in request.headers})
        again.context["timestamp"] = request.headers["x-amz-date"]
        canonical = "\n".join([
            request.method, request.target.partition("?")[0] or "/",
            signer.canonical_query_string(again), "".join(f"{n}:{request.headers[n]}\n" for n in names),
            ";".join(names), request.headers["x-amz-content-sha256"]])
        text = signer.string_to_sign(again, canonical)
        return given.endswith("Signature=" + signer.signature(text, again))

    def _data(self, request):
        version = request.query.get("versionId")
        if version:
            return self.versions.get((request.bucket, request.key, version))
        return self.objects.get((request.bucket, request.key))

    def _answer(self, request):
        if request.query.get("list-type") == "2":
            self._list(request)
            return
        data = self._data(request)
        if data is None:
            known = any(bucket == request.bucket for bucket, _ in self.objects)
            version = request.query.get("versionId")
            request.error(404, "NoSuchVersion" if version else "NoSuchKey" if known else "NoSuchBucket")
            return
        etag, sha256 = self.digests.get(id(data)) or (self.etag(data), base64.b64encode(hashlib.sha256(data).digest()).decode())
        headers = {"ETag": etag, "Accept-Ranges": "bytes"}
        if self.checksums:
            headers["x-amz-checksum-sha256"] = sha256
        if request.headers.get("if-match") not in (None, headers["ETag"]):
            request.error(412, "PreconditionFailed")
        elif request.range:
            first, last = request.range
            body = memoryview(data)[first:last + 1]
            headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(data)}"
            request.send_head(206, headers, len(body))
            request.send_body(body)
        else:
            request.send_head(200, headers, len(data))
            if request.method != "HEAD":
                request.send_body(data)

    def _list(self, request):
        prefix = request.query.get("prefix", "")
        keys = sorted(key for bucket, key in self.objects if bucket == request.bucket and key.startswith(prefix))
        after = request.query.get("continuation-token", "")
        page = [key for key in keys if key > after][:2]
        more = page and page[-1] != keys[-1]
        entries = "".join(f"<Contents><Key>{urllib.parse.quote(key)}</Key><Size>{len(self.objects[request.bucket, key])}"
                          "</Size></Contents>" for key in page)
        token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
        request.answer(200, f'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                       f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{entries}</ListBucketResult>"
                       .encode())
