# SPDX-License-Identifier: MIT
"""Reads a data directory's store as docs/store-format.md describes it, independently of the program that wrote it.

    check(data_dir)      asserts that every name tells the truth
"""

import hashlib
import os
import re
import stat
import urllib.parse

OBJECT = re.compile(r"([0-9a-f]{64})(\.x)?(\.m(-?\d+))?$")
MTIME_DEFAULT = 315532800


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def objects(data_dir):
    """{object name: path}"""
    found = {}
    for fan in sorted((data_dir / "objects").iterdir()):
        for path in fan.iterdir():
            assert path.name.startswith(fan.name), path
            found[path.name] = path
    return found


def check_object(path):
    digest, executable, has_mtime, mtime = OBJECT.match(path.name).groups()
    now = path.lstat()
    assert stat.S_IMODE(now.st_mode) == (0o555 if executable else 0o444), path
    assert int(now.st_mtime) == (int(mtime) if has_mtime else MTIME_DEFAULT), path
    assert now.st_size > 0 and sha256(path) == digest, path


def manifest_entries(text):
    """[(kind, path, {members})], in the manifest's order."""
    lines = text.decode().split("\n")
    assert lines[0] == "lamina-tree 1" and lines[-1] == "" and lines[-2] == f"end {len(lines) - 3}"
    entries = []
    for line in lines[1:-2]:
        words = line.split(" ")
        name = urllib.parse.unquote
        if words[0] == "d":
            entries.append(("d", name(words[1]), {}))
        elif words[0] == "l":
            entries.append(("l", name(words[1]), {"target": name(words[2])}))
        else:
            assert words[0] == "f" and len(words) == 6, line
            entries.append(("f", name(words[5]), {"x": words[1] == "x", "size": int(words[2]), "mtime": words[3],
                                                  "digest": words[4]}))
    return entries


def object_name(member):
    return (member["digest"] + (".x" if member["x"] else "") +
            ("" if member["mtime"] == "-" else ".m" + member["mtime"]))


def check_farm(root, entries, known):
    """The farm holds exactly the manifest's entries, files as links onto the objects."""
    expected = set()
    for kind, path, member in entries:
        expected.add(path)
        now = os.lstat(root / path)
        if kind == "d":
            assert stat.S_ISDIR(now.st_mode) and stat.S_IMODE(now.st_mode) == 0o555, path
        elif kind == "l":
            assert os.readlink(root / path) == member["target"], path
        else:
            assert stat.S_ISREG(now.st_mode) and now.st_size == member["size"], path
            assert stat.S_IMODE(now.st_mode) == (0o555 if member["x"] else 0o444), path
            if member["size"] > 0:
                assert os.path.samestat(now, os.lstat(known[object_name(member)])), path
    found = set()
    for directory, folders, files in os.walk(root):
        for each in folders + files:
            found.add(os.path.relpath(os.path.join(directory, each), root))
    assert found == expected


def check(data_dir):
    """Asserts that objects, manifests and trees are what their names say. Returns {tree id: entries}."""
    known = objects(data_dir)
    for path in known.values():
        check_object(path)
    trees = {}
    for path in sorted((data_dir / "manifests").iterdir()):
        text = path.read_bytes()
        assert hashlib.sha256(text).hexdigest() == path.name
        trees[path.name] = manifest_entries(text)
        for kind, name, member in trees[path.name]:
            assert kind != "f" or member["size"] == 0 or object_name(member) in known, name
    for path in (data_dir / "trees").iterdir():
        assert path.name in trees, f"{path} has no manifest"
        check_farm(path, trees[path.name], known)
    return trees
