#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares docs/aws-compat.md with the route table, so that the page cannot promise what is not there; and
docs/object-store.md with S3's (src/api/s3_routes.c), under "### Done" and "### Missing".

Every operation of src/api/routes.c must stand in the page exactly once, in the section that fits: an operation with
a function behind it under "Done" or "Lamina's own operations" (with its path), one without under "Missing" (with its
path), and nothing else may stand there. Every test that SECURITY.md names must exist. Links of the docs to files of the repository must lead somewhere.
Exit status 0, or 1 with one line for each difference."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "aws-compat.md"

ROW = re.compile(r'\{\s*HTTP_METHOD_(\w+),\s*"([^"]+)",\s*(?:NULL|"[^"]*"),\s*"(\w+)",\s*\w+,\s*'
                 r'(?:NULL|"[^"]*"),\s*(\w+),\s*\w+\s*\}')
ABSENT = re.compile(r'ABSENT\((\w+),\s*"([^"]+)",\s*"(\w+)"\)')


def routes():
    """operation -> (method, path, is it built)"""
    text = (ROOT / "src" / "api" / "routes.c").read_text()
    table = {}
    for method, path, operation, run in ROW.findall(text):
        table[operation] = (method, path, run != "NULL")
    for method, path, operation in ABSENT.findall(text):
        table[operation] = (method, path, False)
    return table


def page():
    """operation -> list of (section, the row's text)"""
    found, section = {}, None
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        row = re.match(r"\| (\w+) \|", line)
        if row and row[1] != "operation":
            found.setdefault(row[1], []).append((section, line))
    return found


def compare(table, found):
    for operation, (method, path, is_built) in sorted(table.items()):
        rows = found.get(operation, [])
        if len(rows) != 1:
            yield f"{operation}: {len(rows)} rows in {PAGE.name}, must be one"
            continue
        section, line = rows[0]
        is_own = path.startswith("/lamina/")
        wanted = "Missing" if not is_built else "Lamina's own operations" if is_own else "Done"
        if section != wanted:
            yield f"{operation}: stands under '{section}', belongs under '{wanted}'"
        if wanted != "Done" and f"{method} `{path}`" not in line:
            yield f"{operation}: the row does not say {method} {path}"
    for operation in sorted(set(found) - set(table)):
        yield f"{operation}: stands in {PAGE.name}, but has no route"


S3_ROW = re.compile(r'\{HTTP_METHOD_(\w+), S3_(\w+), (?:NULL|"[^"]*"), (?:NULL|"[^"]*"), "(\w+)"')
S3_SHORT = re.compile(r'\bROW\((\w+), (\w+), (?:NULL|"[^"]*"), "(\w+)"')
S3_ABSENT = re.compile(r'\bABSENT\((\w+), (\w+), "([^"]+)", "(\w+)"\)')


def s3_differences():
    """The same for S3: every operation once, in the section that fits, and nothing else."""
    text = (ROOT / "src" / "api" / "s3_routes.c").read_text()
    done = {operation for _, _, operation in S3_ROW.findall(text) + S3_SHORT.findall(text)}
    absent = {operation: f"{method} `/{{bucket}}{'/{key}' if level == 'OBJECT' else ''}?{parameter}`"
              for method, level, parameter, operation in S3_ABSENT.findall(text)}
    if len(done) < 25 or len(absent) < 40:
        sys.exit("check_docs: cannot read src/api/s3_routes.c")
    found, section = {}, None
    for line in (ROOT / "docs" / "object-store.md").read_text().splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        row = re.match(r"\| (\w+) \|", line)
        if row and row[1] not in ("operation", "what") and section in ("Done", "Missing"):
            found.setdefault(row[1], []).append((section, line))
    for operation in sorted(done | set(absent)):
        wanted = "Done" if operation in done else "Missing"
        rows = found.pop(operation, [])
        if [row[0] for row in rows] != [wanted]:
            yield f"{operation}: must stand once in object-store.md, under '{wanted}'"
        elif wanted == "Missing" and absent[operation] not in rows[0][1]:
            yield f"{operation}: the row does not say {absent[operation]}"
    for operation in sorted(found):
        yield f"{operation}: stands in object-store.md, but has no route"


def dead_links():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for document in sorted(pages):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
            if "://" in target or target.startswith("mailto:"):
                continue
            if not (document.parent / target).exists():
                yield f"{document.relative_to(ROOT)}: links to {target}, which is not there"


def missing_tests():
    """Tests that SECURITY.md names as proof, and that are not there. A bare name is one of test_sandbox.py."""
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    units = {path.stem for path in (ROOT / "tests" / "unit").glob("test_*.c")}
    for file, test in re.findall(r"`(?:(test_\w+\.py)::)?(test_\w+)`", (ROOT / "SECURITY.md").read_text()):
        file = file or "test_sandbox.py"
        if test not in units and not re.search(rf"^ *def {test}\(", files.get(file, ""), re.MULTILINE):
            yield f"SECURITY.md: there is no test {file}::{test}"


def main():
    table = routes()
    if len(table) < 80:
        sys.exit("check_docs: cannot read src/api/routes.c")
    problems = [*compare(table, page()), *s3_differences(), *dead_links(), *missing_tests()]
    for problem in problems:
        print(f"check_docs: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
