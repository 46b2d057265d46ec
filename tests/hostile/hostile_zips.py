#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Zip files that try something, each with the outcome that Lamina has decided on.

As a module: CASES, a list of Case. As a program: `hostile_zips.py DIR` writes each as DIR/<name>.zip
and DIR/index, one line a case: `<name> <outcome>`, where the outcome is OK or a reason of
src/wire/work.h. No archive is kept in the repository; they are all made from the few lines here.
"""

import random
import struct
import sys
import zlib
from pathlib import Path
from typing import Callable, NamedTuple

UNIX = 3
S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFIFO = 0o100000, 0o040000, 0o120000, 0o020000, 0o010000
UTF8 = 1 << 11
DESCRIPTOR = 1 << 3


class Entry:
    """One file of a zip; each number may be made to lie, in the header, the directory or both."""

    def __init__(self, name, content=b"", mode=S_IFREG | 0o644, method=8, **lies):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.mode, self.method = mode, method
        self.plain = content
        self.packed = deflate(content) if method == 8 else content
        self.flags = lies.pop("flags", 0 if self.name.isascii() else UTF8)
        self.host = lies.pop("host", UNIX)
        self.crc = lies.pop("crc", zlib.crc32(content))
        self.size = lies.pop("size", len(content))
        self.packed_size = lies.pop("packed_size", len(self.packed))
        self.time = lies.pop("time", 0)
        self.date = lies.pop("date", 0x21)  # 1980-01-01
        self.extra = lies.pop("extra", b"")
        self.local = lies.pop("local", {})  # members that differ in the header: name, crc, size ...
        self.descriptor = lies.pop("descriptor", None)
        self.offset = lies.pop("offset", None)
        self.disk = lies.pop("disk", 0)
        assert not lies, lies

    def header(self):
        has_descriptor = self.flags & DESCRIPTOR
        name = self.local.get("name", self.name)
        extra = self.local.get("extra", b"")
        return struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, self.local.get("flags", self.flags),
            self.local.get("method", self.method), self.time, self.date,
            self.local.get("crc", 0 if has_descriptor else self.crc),
            self.local.get("packed_size", 0 if has_descriptor else self.packed_size),
            self.local.get("size", 0 if has_descriptor else self.size),
            len(name), len(extra)) + name + extra

    def trailer(self):
        if not self.flags & DESCRIPTOR:
            return b""
        if self.descriptor is not None:
            return self.descriptor
        return struct.pack("<4s3L", b"PK\7\10", self.crc, self.packed_size, self.size)

    def record(self, offset):
        return struct.pack(
            "<4s2B5H3L5H2L", b"PK\1\2", 20, self.host, 20, self.flags, self.method, self.time,
            self.date, self.crc, self.packed_size, self.size, len(self.name), len(self.extra), 0,
            self.disk, 0, self.mode << 16, offset if self.offset is None else self.offset
        ) + self.name + self.extra


def deflate(content):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def end(count, size, offset, comment=b"", **lies):
    return struct.pack("<4s4H2LH", b"PK\5\6", lies.get("disk", 0), lies.get("directory_disk", 0),
                       lies.get("here", count), count, size, offset,
                       lies.get("comment_size", len(comment))) + comment


def end64(count, size, offset, position):
    """Zip64's two end records; `position` is where they start."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, position, 1)


def build(*entries, prefix=b"", comment=b"", gap=b"", zip64=False, **lies):
    """A whole zip. `gap` lies between directory and end record."""
    body, records = bytearray(prefix), b""
    parts = []
    for entry in entries:
        parts.append(entry.record(len(body)))
        body += entry.header() + entry.packed + entry.trailer()
    records = b"".join(parts)
    offset = len(body)
    tail = records + gap
    if zip64:
        tail += end64(len(entries), len(records), offset, offset + len(tail))
        return bytes(body) + tail + end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, comment)
    return bytes(body) + tail + end(lies.pop("count", len(entries)), lies.pop("size", len(records)),
                                    lies.pop("offset", offset), comment, **lies)


BOOTSTRAP = Entry("bootstrap", b"#!/bin/sh\nexit 0\n", S_IFREG | 0o755)


def file(name, content=b"x", **kw):
    return Entry(name, content, **kw)


def link(name, target):
    return Entry(name, target if isinstance(target, bytes) else target.encode(), S_IFLNK | 0o777,
                 method=0)


def zip64_sizes():
    """An entry whose sizes stand in the zip64 field only, as streaming packers write them."""
    content = b"content" * 100
    packed = deflate(content)
    sizes = struct.pack("<2H2Q", 1, 16, len(content), len(packed))
    return Entry("big", content, size=0xFFFFFFFF, packed_size=0xFFFFFFFF, extra=sizes,
                 local={"extra": sizes})


def overlapping():
    """Fifield's idea, small: many records whose contents are the same bytes."""
    kernel = Entry("kernel", b"\0" * 100000)
    body = kernel.header() + kernel.packed
    records = [kernel.record(0)]
    for i in range(50):
        again = Entry(f"copy-{i}", b"\0" * 100000, offset=0)
        records.append(again.record(0))
    directory = b"".join(records)
    return body + directory + end(len(records), len(directory), len(body))


def quoted():
    """Fifield's better idea: a header lies inside the content of the entry before it."""
    inner = Entry("inner", b"\0" * 1000)
    inner_bytes = inner.header() + inner.packed
    outer = Entry("outer", inner_bytes, method=0)
    body = outer.header() + outer.packed
    directory = outer.record(0) + inner.record(len(outer.header()))
    return body + directory + end(2, len(directory), len(body))


def bomb(size):
    """`size` zero bytes, deflated; made piece by piece so that it costs no memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed, crc, piece = bytearray(), 0, b"\0" * (1 << 20)
    for start in range(0, size, len(piece)):
        now = piece[:min(len(piece), size - start)]
        crc = zlib.crc32(now, crc)
        packed += packer.compress(now)
    packed += packer.flush()
    entry = Entry("zeros", crc=crc, size=size, packed_size=len(packed))
    entry.packed = bytes(packed)
    return build(BOOTSTRAP, entry)


def many(count, content=b"x"):
    packed = deflate(content)
    crc = zlib.crc32(content)
    body, parts = bytearray(), []
    for i in range(count):
        entry = Entry.__new__(Entry)
        entry.__dict__.update(
            name=b"d%d/f%d" % (i % 100, i), mode=S_IFREG | 0o644, method=8, plain=content,
            packed=packed, flags=0, host=UNIX, crc=crc, size=len(content), packed_size=len(packed),
            time=0, date=0x21, extra=b"", local={}, descriptor=None, offset=None, disk=0)
        parts.append(entry.record(len(body)))
        body += entry.header() + packed
    directory = b"".join(parts)
    return (bytes(body) + directory + end64(count, len(directory), len(body), len(body) + len(directory))
            + end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF))


def cut(data, size):
    return data[:-size]


def patched(data, at, new):
    return data[:at] + new + data[at + len(new):]


GOOD = build(BOOTSTRAP, file("model.onnx", bytes(range(256)) * 40))


class Case(NamedTuple):
    name: str
    outcome: str  # OK, or a reason of src/wire/work.h
    make: Callable[[], bytes]


def case(name, outcome, make):
    return Case(name, outcome, make if callable(make) else lambda: make)


CASES = [
    # What ordinary packers write
    case("good", "OK", GOOD),
    case("stored", "OK", build(Entry("bootstrap", b"#!/bin/sh\n", S_IFREG | 0o755, method=0))),
    case("directories", "OK", build(Entry("lib/", mode=S_IFDIR | 0o755, method=0), file("lib/a"), BOOTSTRAP)),
    case("directory-twice", "OK", build(Entry("lib/", mode=S_IFDIR | 0o755, method=0),
                                        Entry("lib/", mode=S_IFDIR | 0o755, method=0))),
    case("dot-slash", "OK", build(Entry("./", mode=S_IFDIR | 0o755, method=0), file("./bootstrap"), file("a//b"))),
    case("descriptor", "OK", build(file("bootstrap", b"data" * 50, flags=DESCRIPTOR))),
    case("descriptor-unsigned", "OK", build(file("f", b"data", flags=DESCRIPTOR, descriptor=struct.pack(
        "<3L", zlib.crc32(b"data"), len(deflate(b"data")), 4)))),
    case("descriptor-64", "OK", build(file("f", b"data", flags=DESCRIPTOR, descriptor=struct.pack(
        "<4sL2Q", b"PK\7\10", zlib.crc32(b"data"), len(deflate(b"data")), 4)))),
    case("zip64", "OK", build(BOOTSTRAP, file("f"), zip64=True)),
    case("zip64-sizes", "OK", lambda: build(BOOTSTRAP, zip64_sizes())),
    case("huge-comment", "OK", build(BOOTSTRAP, comment=b"c" * 65535)),
    case("comment-with-end-record", "OK", build(BOOTSTRAP, comment=b"PK\5\6" + b"\0" * 40)),
    case("stub-in-front", "OK", build(BOOTSTRAP, prefix=b"#!/bin/sh\nexec true\n")),
    case("case", "OK", build(file("Model"), file("model"), file("MODEL"))),
    case("setuid", "OK", build(Entry("bootstrap", b"x", S_IFREG | 0o6755))),
    case("no-unix-modes", "OK", build(file("bootstrap", host=0))),
    case("dos-backslashes", "OK", build(file(b"lib\\a.txt", host=0))),
    case("unix-backslash", "OK", build(file(b"a\\b"))),
    case("utf8-name", "OK", build(file("sch\u00f6n/\u6a21\u578b.onnx"))),
    case("utf8-name-unmarked", "OK", build(file("sch\u00f6n".encode(), flags=0))),
    case("cp437-name", "OK", build(file(b"sch\x94n", flags=0))),
    case("control-characters", "OK", build(file(b"Icon\r"), file(b"a\x1b[31mb"))),
    case("python-mtime", "OK", build(file("a.py", b"x = 1\n", extra=struct.pack("<2HBl", 0x5455, 5, 1, 1700000000)))),
    case("empty-files", "OK", build(file("a/__init__.py", b""), file("b/__init__.py", b""), BOOTSTRAP)),
    case("links-inside", "OK", build(file("lib/libx.so.1"), link("lib/libx.so", "libx.so.1"), link("x", "lib/libx.so"),
                                     link("lib/deep/up", "../../x"))),
    case("dangling-link", "OK", build(link("a", "not-there"))),
    case("depth-at-limit", "OK", build(file("/".join(["d"] * 128)))),
    case("name-at-limit", "OK", build(file("n" * 255))),

    # Not a whole zip
    case("empty", "EMPTY", build()),
    case("only-the-root", "EMPTY", build(Entry("./", mode=S_IFDIR | 0o755, method=0))),
    case("nothing", "NOT_ZIP", b""),
    case("not-a-zip", "NOT_ZIP", b"\x7fELF" + b"\0" * 1000),
    case("text", "NOT_ZIP", b"hello, world\n" * 10),
    case("tar", "NOT_ZIP", b"bootstrap".ljust(257, b"\0") + b"ustar" + b"\0" * 1000),
    case("truncated-end", "TRUNCATED", cut(GOOD, 1)),
    case("truncated-half", "TRUNCATED", GOOD[:len(GOOD) // 2]),
    case("only-a-header", "TRUNCATED", BOOTSTRAP.header()),
    case("trailing-garbage", "TRUNCATED", GOOD + b"garbage"),
    case("comment-too-long", "TRUNCATED", build(BOOTSTRAP, comment=b"c", comment_size=9)),
    case("directory-cut", "DAMAGED", build(BOOTSTRAP, file("f"), size=10)),
    case("directory-elsewhere", "DAMAGED", build(BOOTSTRAP, offset=0)),
    case("directory-offset-wild", "DAMAGED", build(BOOTSTRAP, offset=0xFFFFFFFE)),
    case("count-too-high", "DAMAGED", build(BOOTSTRAP, count=2)),
    case("count-too-low", "DAMAGED", build(BOOTSTRAP, file("f"), count=1)),
    case("gap-before-end", "DAMAGED", build(BOOTSTRAP, gap=b"gap")),
    case("record-signature", "DAMAGED", patched(GOOD, GOOD.index(b"PK\1\2"), b"PK\1\3")),
    case("extra-runs-over", "DAMAGED", build(file("f", extra=struct.pack("<2H", 0x9999, 50)))),
    case("zip64-missing-field", "DAMAGED", build(file("f", size=0xFFFFFFFF))),
    case("multi-volume", "MULTI_VOLUME", build(BOOTSTRAP, disk=1)),
    case("entry-on-other-volume", "MULTI_VOLUME", build(file("f", disk=3))),

    # What is in it
    case("encrypted", "ENCRYPTED", build(file("secret", flags=1))),
    case("encrypted-strong", "ENCRYPTED", build(file("secret", flags=1 | 1 << 6))),
    case("encrypted-aes", "ENCRYPTED", build(file("secret", method=99))),
    case("bzip2", "METHOD", build(file("f", method=12))),
    case("zstd", "METHOD", build(file("f", method=93))),
    case("name-empty", "NAME_EMPTY", build(file(b""))),
    case("name-only-dots", "NAME_EMPTY", build(file(b"././."))),
    case("name-nul", "NAME_NUL", build(file(b"boot\0strap"))),
    case("name-not-utf8", "NAME_NOT_UTF8", build(file(b"sch\xf6n", flags=UTF8))),
    case("name-overlong-utf8", "NAME_NOT_UTF8", build(file(b"\xc0\xae\xc0\xae/etc/passwd", flags=UTF8))),
    case("absolute", "NAME_ABSOLUTE", build(file("/etc/passwd"))),
    case("absolute-double", "NAME_ABSOLUTE", build(file("//etc/passwd"))),
    case("absolute-drive", "NAME_ABSOLUTE", build(file(b"C:\\windows\\x", host=0))),
    case("traversal", "NAME_TRAVERSAL", build(file("../../etc/passwd"))),
    case("traversal-inside", "NAME_TRAVERSAL", build(file("a/../../b"))),
    case("traversal-harmless", "NAME_TRAVERSAL", build(file("a/../b"))),
    case("traversal-directory", "NAME_TRAVERSAL", build(Entry("../", mode=S_IFDIR | 0o755, method=0))),
    case("traversal-backslash", "NAME_TRAVERSAL", build(file(b"..\\..\\etc\\passwd", host=0))),
    case("name-too-long", "NAME_TOO_LONG", build(file("n" * 256))),
    case("path-too-long", "NAME_TOO_LONG", build(file("/".join(["n" * 200] * 20)))),
    case("too-deep", "NAME_TOO_LONG", build(file("/".join(["d"] * 129)))),
    case("duplicate", "DUPLICATE", build(file("bootstrap", b"one"), file("bootstrap", b"two"))),
    case("duplicate-spelled", "DUPLICATE", build(file("a/b"), file("a/./b"))),
    case("file-and-directory", "CONFLICT", build(file("a"), file("a/b"))),
    case("directory-and-file", "CONFLICT", build(Entry("a/", mode=S_IFDIR | 0o755, method=0), file("a"))),
    case("file-beneath-link", "CONFLICT", build(link("a", "b"), file("a/c"))),
    case("conflict-not-adjacent", "CONFLICT", build(file("a"), file("a-b"), file("a.c"), file("a/d"))),
    case("device", "FILE_TYPE", build(Entry("null", mode=S_IFCHR | 0o666))),
    case("fifo", "FILE_TYPE", build(Entry("pipe", mode=S_IFIFO | 0o666))),
    case("link-named-as-directory", "OK", build(Entry("a/", mode=S_IFDIR | 0o777, method=0))),
    case("link-absolute", "LINK_OUT", build(link("a", "/etc/passwd"))),
    case("link-out", "LINK_OUT", build(link("a", "../etc/passwd"))),
    case("link-out-deep", "LINK_OUT", build(link("a/b/c", "../../../etc"))),
    case("link-through-link", "LINK_OUT", build(link("l", "a/../../x"), file("a/b"))),
    case("link-empty", "LINK_OUT", build(link("a", b""))),
    case("link-nul", "LINK_OUT", build(link("a", b"b\0c"))),
    case("link-too-long", "LINK_OUT", build(link("a", "b" * 4001))),

    # The two halves tell different things
    case("other-name-in-header", "HEADERS_DIFFER", build(file("safe", local={"name": b"evil"}))),
    case("traversal-in-header", "HEADERS_DIFFER", build(file("safe.txt", local={"name": b"../../x"}))),
    case("other-size-in-header", "HEADERS_DIFFER", build(file("f", local={"size": 77}))),
    case("other-crc-in-header", "HEADERS_DIFFER", build(file("f", local={"crc": 77}))),
    case("other-method-in-header", "HEADERS_DIFFER", build(file("f", local={"method": 0}))),
    case("encrypted-in-header", "HEADERS_DIFFER", build(file("f", local={"flags": 1}))),
    case("wrong-descriptor", "HEADERS_DIFFER", build(file("f", b"data", flags=DESCRIPTOR, descriptor=struct.pack(
        "<4s3L", b"PK\7\10", 1, 2, 3)))),
    case("no-descriptor", "HEADERS_DIFFER", build(file("f", b"data", flags=DESCRIPTOR, descriptor=b""))),
    case("header-elsewhere", "HEADERS_DIFFER", build(file("f", offset=3))),
    case("header-past-directory", "HEADERS_DIFFER", build(file("f", offset=100000))),
    case("overlapping", "OVERLAP", overlapping),
    case("quoted-overlap", "OVERLAP", quoted),
    case("content-into-directory", "OVERLAP", build(Entry("f", b"x" * 10, method=0, size=60, packed_size=60))),

    # Contents
    case("wrong-crc", "CHECKSUM", build(file("f", b"content", crc=12345))),
    case("size-too-small", "SIZE", build(file("f", b"content" * 100, size=10))),
    case("size-too-large", "SIZE", build(file("f", b"content" * 100, size=701))),
    case("size-impossible", "SIZE", build(file("f", b"content", size=1 << 30))),
    case("stored-size-differs", "SIZE", build(Entry("f", b"content", method=0, size=8))),
    case("directory-with-content", "SIZE", build(Entry("d/", b"content", mode=S_IFDIR | 0o755, method=0))),
    case("deflate-garbage", "COMPRESSED_DATA", lambda: build(raw("f", b"\xff" * 40, 100))),
    case("deflate-cut", "COMPRESSED_DATA", lambda: build(raw("f", deflate(b"content" * 100)[:-3], 700))),
    case("deflate-more-behind", "COMPRESSED_DATA", lambda: build(raw("f", deflate(b"content") + b"more", 7,
                                                                     zlib.crc32(b"content")))),
]

# Slow to make or to unpack: tests take them one by one.
LARGE_CASES = [
    case("bomb-at-limit", "OK", lambda: bomb(262144000 - 17 - 1)),
    case("bomb-over-limit", "TOO_LARGE", lambda: bomb(262144000)),
    case("entries-100000", "OK", lambda: many(100000)),
    case("entries-100001", "TOO_MANY", lambda: many(100001)),
]


def raw(name, packed, size, crc=0):
    entry = Entry(name, b"", size=size, packed_size=len(packed), crc=crc)
    entry.packed = packed
    return entry


def make(name):
    """The bytes of the case of that name."""
    return next(each for each in CASES + LARGE_CASES if each.name == name).make()


SIZES = (1, 32767, 32768, 32769, 33000, 40000, 65000, 65504, 65535, 65536, 65537, 98304, 131072, 262143, 262144,
         262145, 300000, 524288, 560000, 1900000)


def of_size(size, method):
    """Two files of that size, hardly compressible."""
    content = random.Random(size).randbytes(size)
    return build(Entry("a", content, method=method), Entry("b", content, method=method))


def main():
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for each in CASES:
        (directory / f"{each.name}.zip").write_bytes(each.make())
        lines.append(f"{each.name} {each.outcome}\n")
    (directory / "index").write_text("".join(lines))
    for size in SIZES:
        (directory / f"size-stored-{size}.zip").write_bytes(of_size(size, 0))
        (directory / f"size-deflated-{size}.zip").write_bytes(of_size(size, 8))


if __name__ == "__main__":
    main()
