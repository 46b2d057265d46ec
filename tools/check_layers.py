#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks who may include whom (ARCHITECTURE.md, "Who may include whom").

The table of layers is the one in meson.build, which also decides what each folder links with. For every
source file under src/ and include/:

- a quoted include names a file of the file's own folder, or of a folder below it in the table;
- into another folder only through its front doors: FRONT_DOORS here where a folder has some, every header
  of the folder otherwise;
- nothing includes a .c file of another folder;
- the first line is the SPDX line.

Prints one line a finding and exits 1 if there are any.
"""

import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent

# Headers that other folders may include. A folder that is missing here has no inside yet: all its headers
# are open. base is made to be included everywhere.
FRONT_DOORS = {
    "loop": {"loop.h", "job.h", "state.h"},
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.MULTILINE)
LAYER = re.compile(r"^    \['(\w+)', \[([^\]]*)\]", re.MULTILINE)


def read_layers(text):
    """{folder: set of folders it may include} from meson.build's `layers` table."""
    start = text.index("layers = [")
    table = text[start:text.index("\n]\n", start)]
    layers = {name: set(re.findall(r"'(\w+)'", below)) for name, below in LAYER.findall(table)}
    layers["init"] = {"wire"}  # constants only: it links with nothing
    layers["sdk"] |= {"wire"}  # the same
    return layers


def front_doors(folder):
    """Names of the headers of the folder that are open to others, or None for all."""
    declared = TOP / "src" / folder / "FRONT_DOORS"
    if declared.exists():
        return set(declared.read_text().split())
    return FRONT_DOORS.get(folder)


def check_include(folder, included, layers):
    """What is wrong with `#include "included"` in a file of the folder, or None."""
    if included == "lamina.h":
        return None if folder == "sdk" or "sdk" in layers[folder] else "lamina.h is for sdk and above"
    if "/" not in included:
        if not (TOP / "src" / folder / included).exists():
            return None  # made by the build
        return f'"{included}" has no folder: write "{folder}/{included}"'
    other, name = included.split("/", 1)
    if other == folder:
        return None
    if other not in layers:
        return f'"{included}": there is no folder src/{other}'
    if other not in layers[folder]:
        return f'"{included}": {folder} may not include {other} (see layers in meson.build)'
    if name.endswith(".c"):
        return f'"{included}": a source file of another folder'
    doors = front_doors(other)
    if doors is not None and name not in doors:
        return f'"{included}" is the inside of {other}: its front doors are {", ".join(sorted(doors))}'
    return None


def check_file(path, folder, layers):
    text = path.read_text(encoding="utf-8", errors="replace")
    if "SPDX-License-Identifier: MIT" not in text.split("\n", 1)[0]:
        yield 1, "the first line is not the SPDX line"
    for match in INCLUDE.finditer(text):
        problem = check_include(folder, match.group(1), layers)
        if problem:
            yield text.count("\n", 0, match.start()) + 1, problem


def main():
    layers = read_layers((TOP / "meson.build").read_text())
    findings = 0
    files = 0
    for path in sorted((TOP / "src").rglob("*.[ch]")):
        folder = path.relative_to(TOP / "src").parts[0]
        files += 1
        if folder not in layers:
            print(f"{path.relative_to(TOP)}:1: src/{folder} is not in meson.build's layers")
            findings += 1
            continue
        for line, problem in check_file(path, folder, layers):
            print(f"{path.relative_to(TOP)}:{line}: {problem}")
            findings += 1
    print(f"check_layers: {files} files, {findings} findings", file=sys.stderr)
    return 1 if findings or not files else 0


if __name__ == "__main__":
    sys.exit(main())
