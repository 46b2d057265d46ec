# SPDX-License-Identifier: MIT
"""PUT and GET of one large object, our store beside Ceph's radosgw, by the same raw client over one connection.

radosgw's OSD keeps everything in memory and syncs nothing; ours has the object on the disk before it answers. The
content is new each round (equal content would be stored once), and read back into one buffer.
"""

import os
import socket
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "flow"))
import radosgw  # noqa: E402
import s3_signer  # noqa: E402
from lamina_service import Service  # noqa: E402

MIB = 1 << 20


class Connection:
    """One connection to a store, and requests that name nothing of their body."""

    def __init__(self, store):
        self.store = store
        address = urllib.parse.urlsplit(store.endpoint)
        self.socket = socket.create_connection((address.hostname, address.port))

    def close(self):
        self.socket.close()

    def head(self, method, target, length):
        signed = s3_signer.Signed(self.store, method, target, {}, "UNSIGNED-PAYLOAD")
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in signed.headers.items()),
                 f"content-length: {length}", "", ""]
        return "\r\n".join(lines).encode()

    def answer(self):
        """(status, length of the body, what of it came with the head)."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.socket.recv(65536)
            if not piece:
                raise SystemExit("bench: the store closed the connection")
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split()[1]), int(fields.get("content-length", 0)), rest

    def put(self, target, file=None, size=0):
        self.socket.sendall(self.head("PUT", target, size))
        if file:
            file.seek(0)
            self.socket.sendfile(file, 0, size)
        status, length, rest = self.answer()
        while len(rest) < length:
            rest += self.socket.recv(65536)
        if status != 200:
            raise SystemExit(f"bench: PUT {target}: {status} {rest.decode()}")

    def get(self, target):
        self.socket.sendall(self.head("GET", target, 0))
        status, length, rest = self.answer()
        buffer, left = bytearray(MIB), length - len(rest)
        while left > 0:
            left -= self.socket.recv_into(buffer, min(left, MIB))
        if status != 200:
            raise SystemExit(f"bench: GET {target}: {status}")
        return length


def seconds(call, *arguments):
    begin = time.monotonic()
    call(*arguments)
    return time.monotonic() - begin


class Bench:
    """A store that is measured: a connection, a bucket, and what was taken."""

    def __init__(self, store):
        self.connection = Connection(store)
        self.connection.put("/bench")
        self.puts, self.gets = [], []

    def round(self, number, file, size):
        self.puts.append(seconds(self.connection.put, f"/bench/{number}", file, size))
        self.gets.append(seconds(self.connection.get, f"/bench/{number}"))


def measure(build, directory, rows, Row, smoke):
    """Adds store.put and store.get: how often our seconds fit into radosgw's."""
    lacking = radosgw.missing()
    if lacking:
        print(f"bench: no object store rows: Ceph is not installed ({', '.join(lacking)})", file=sys.stderr)
        return
    size = (32 if smoke else 1024) * MIB
    rows["store.put"] = Row("PUT of an object, times radosgw's speed", "", 1.0, True)
    rows["store.get"] = Row("GET of it, times radosgw's speed", "", 1.0, True)
    rounds = 1 if smoke else 3
    with radosgw.RadosGateway() as gateway, Service(build) as service, \
            tempfile.NamedTemporaryFile(dir=directory) as file:
        theirs, ours = Bench(gateway), Bench(service)
        for number in range(rounds):  # in turn: what else the machine does is the same for both
            for each in (theirs, ours):
                file.seek(0)
                for _ in range(size // MIB):
                    file.write(os.urandom(MIB))
                file.flush()
                each.round(number, file, size)
    for name, mine, other in (("store.put", ours.puts, theirs.puts), ("store.get", ours.gets, theirs.gets)):
        for took, beside in zip(mine, other):
            rows[name].add(beside / took, size / MIB / beside)
        print(f"bench: {name}: ours {[round(size / MIB / each) for each in mine]} MiB/s, "
              f"radosgw {[round(size / MIB / each) for each in other]} MiB/s", file=sys.stderr)


if __name__ == "__main__":  # alone: object_store.py BUILD [--smoke]
    class Plain:
        def __init__(self, name, *_):
            self.name = name

        def add(self, value, beside):
            print(self.name, round(value, 2))

    measure(Path(sys.argv[1]).resolve(), None, {}, Plain, "--smoke" in sys.argv)
