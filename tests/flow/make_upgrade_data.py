#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the data directory that later versions must still read: run once for each release that changes the schema or
the store's format, and keep the file.

    sudo LAMINA_BUILD=build tests/flow/make_upgrade_data.py tests/flow/corpus/upgrade/schema-N.tar.gz

It holds what test_upgrade.py asks for: function `kept` with an environment, a published version 1 that answers "one"
and a $LATEST that answers "two". No credentials: the service that finds the directory makes its own.
"""

import io
import os
import pathlib
import sys
import tarfile
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lamina_service import Service  # noqa: E402

BOOTSTRAP = """#!/bin/sh
while :; do
    head=$(mktemp)
    curl -sS -D "$head" -o /dev/null "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next"
    id=$(grep -i '^lambda-runtime-aws-request-id:' "$head" | tr -d '\\r' | cut -d' ' -f2)
    curl -sS -o /dev/null -d "\\"ANSWER $GREETING\\"" \\
        "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response"
done
"""


def package(answer):
    """A zip whose bootstrap answers each event with the answer and $GREETING."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("bootstrap", (2026, 1, 2, 3, 4, 6))
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, BOOTSTRAP.replace("ANSWER", answer))
        archive.writestr(zipfile.ZipInfo("empty/file", (2026, 1, 2, 3, 4, 6)), b"")
    return data.getvalue()


def fill(service):
    client = service.client()
    client.create_function(FunctionName="kept", Runtime="provided.al2023", Handler="x", Timeout=60, MemorySize=256,
                           Role="arn:aws:iam::000000000000:role/r", Description="from an earlier version",
                           Environment={"Variables": {"GREETING": "hello"}}, Code={"ZipFile": package("one")},
                           Publish=True)
    client.get_waiter("function_active_v2").wait(FunctionName="kept")
    client.update_function_code(FunctionName="kept", ZipFile=package("two"))
    client.get_waiter("function_updated_v2").wait(FunctionName="kept")


def main():
    target = pathlib.Path(sys.argv[1]).resolve()
    build = pathlib.Path(os.environ.get("LAMINA_BUILD", "build")).resolve()
    with Service(build) as service:
        fill(service)
        service.stop()
        leave_out = {"credentials", "endpoint", "laminad.pid", "logs", "tmp"}
        with tarfile.open(target, "w:gz") as archive:
            for path in sorted(service.data_dir.iterdir()):
                if path.name not in leave_out:
                    archive.add(path, path.name)
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
