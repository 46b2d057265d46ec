#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks what every file in git must keep to, whatever is in it:

- source files and scripts say their licence in the first three lines;
- no path of one machine (a home directory, a checkout) and no address of a package registry or mirror:
  tools/deps uses what the machine is configured for;
- no large file, and no binary outside the test corpora: what is big is fetched by tools/deps.

Prints one line a finding and exits 1 if there are any.
"""

import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
LICENSED = {".c", ".h", ".py", ".sh", ".js"}
BYTES_MAX = 512 * 1024

FORBIDDEN = [
    (re.compile(r"""(?:^|[\s"'`(=:])/(?:work|root/[\w.]|home/(?!x\b))[\w./-]*/"""), "a path of one machine"),
    (re.compile(r"https?://(?:[\w-]+\.)*(?:registry|npm|npmjs|pypi|deb|security|snapshot|archive|proxy)\.[\w.-]+"),
     "the address of a package registry or mirror"),
]


def findings(path):
    data = (TOP / path).read_bytes()
    if len(data) > BYTES_MAX:
        yield 1, f"{len(data)} bytes: more than {BYTES_MAX}"
    if "corpus" in path.parts:
        return
    if b"\0" in data:
        yield 1, "a binary file outside a corpus"
        return
    lines = data.decode(errors="replace").split("\n")
    if (path.suffix in LICENSED or lines[0].startswith("#!")) and not any("SPDX-License-Identifier: MIT" in line for line in lines[:3]):
        yield 1, "no SPDX line"
    for number, line in enumerate(lines, 1):
        for pattern, what in FORBIDDEN:
            found = pattern.search(line)
            if found:
                yield number, f"{what}: {found.group(0).strip()}"


def files():
    """The paths that git knows; everything outside build directories where there is no git (a release's archive)."""
    # The checkout may be another user's: that is no danger to a program that only lists it.
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=TOP, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, check=False)
    if listed.returncode == 0:
        return [pathlib.Path(name.decode()) for name in listed.stdout.split(b"\0") if name]
    return [path.relative_to(TOP) for path in TOP.rglob("*")
            if path.is_file() and not path.relative_to(TOP).parts[0].startswith(("build", ".git"))]


def main():
    paths = files()
    count = 0
    for path in paths:
        if not (TOP / path).is_file():
            continue
        for number, text in findings(path):
            print(f"{path}:{number}: {text}")
            count += 1
    print(f"check_text: {len(paths)} files, {count} findings", file=sys.stderr)
    return 1 if count or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
