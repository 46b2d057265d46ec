# SPDX-License-Identifier: MIT
"""`lamina deploy DIR --runtime python3.x`: what requirements.txt names is installed into the package."""

import base64
import hashlib
import json
import subprocess
import zipfile

import pytest

PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.skipif(subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode != 0,
                                reason="needs Debian's python3-pip")


def write_wheel(folder, name, version, files):
    """A wheel as PEP 427 has it, without any tool."""
    info = f"{name}-{version}.dist-info"
    files = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = ""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in files.items():
            wheel.writestr(member, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{member},sha256={digest},{len(text)}\n"
        wheel.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return path


@pytest.fixture
def code(tmp_path):
    (tmp_path / "wheels").mkdir()
    write_wheel(tmp_path / "wheels", "greeting", "1.0", {"greeting/__init__.py": "def greet(name):\n    return f'hello {name}'\n"})
    root = tmp_path / "code"
    root.mkdir()
    (root / "app.py").write_text("from greeting import greet\ndef handler(event, context):\n    return greet(event['name'])\n")
    (root / "requirements.txt").write_text("greeting==1.0\n")
    return root


def options(code):
    return dict(env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(code.parent / "wheels"), "TMPDIR": str(code.parent),
                     "PIP_NO_CACHE_DIR": "1"})


def deploy(service, code, *more, check=True):
    return service.lamina("deploy", code, "--runtime", "python3.11", "--handler", "app.handler", "-o", "json", *more,
                          check=check, **options(code))


def test_what_it_names_goes_in_and_the_same_each_time(service, code):
    first = json.loads(deploy(service, code, "--dry-run").stdout)
    again = json.loads(deploy(service, code, "--dry-run", "-q").stdout)
    own = sum(path.stat().st_size for path in code.iterdir())
    assert first["unzipped_bytes"] > own + len("def greet")
    assert first["zip_sha256"] == again["zip_sha256"]
    assert not list(code.parent.glob("lamina-pip-*")), "pip's directory is removed"


def test_the_function_imports_it(service, code):
    told = json.loads(deploy(service, code, "--name", "greeter", "--memory", "512", "--timeout", "60").stdout)
    assert told["action"] == "created"
    assert service.lamina("invoke", "greeter", "-e", '{"name": "you"}', "-q").stdout == '"hello you"'
    assert json.loads(deploy(service, code, "--name", "greeter").stdout)["action"] == "unchanged"


def test_what_cannot_be_installed_is_said(service, code):
    (code / "requirements.txt").write_text("no-such-thing-anywhere==9\n")
    done = deploy(service, code, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "no-such-thing-anywhere" in done.stderr and "pip could not install" in done.stderr
    assert not list(code.parent.glob("lamina-pip-*"))


def test_other_runtimes_leave_it_alone(service, code):
    (code / "bootstrap").write_text("#!/bin/sh\n")
    (code / "bootstrap").chmod(0o755)
    (code / "requirements.txt").write_text("no-such-thing-anywhere==9\n")
    service.lamina("deploy", code, "--name", "plain", "--dry-run", **options(code))
