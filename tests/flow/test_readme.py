# SPDX-License-Identifier: MIT
"""The commands of the README and of docs/runtimes.md, run one after the other as a reader would type them."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from lamina_service import DEADLINE_S, clean_environment

ROOT = pathlib.Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```$", re.M | re.S)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the service makes sandboxes")


def blocks():
    """(language, text) of each block after the first screen, whose commands are `make quickstart` itself."""
    found = FENCE.findall((ROOT / "README.md").read_text())
    assert "git clone" in found[0][1] and "make quickstart" in found[0][1]
    return found[1:]


def as_script(build, out):
    """One shell script of all blocks: eval and exports must reach the blocks behind them."""
    lines = ["set -eu", f"cd '{ROOT}'"]
    for language, text in blocks():
        if language == "sh":
            lines += [f"echo '$ {line}'\n{line}" if "'" not in line else line for line in text.splitlines()]
        else:
            lines += ["/usr/bin/python3 - <<'PYTHON'", text, "PYTHON"]
    script = "\n".join(lines)
    assert "/tmp/speech.zip" in script
    return script.replace("build/lamina", str(build / "lamina")).replace("build/examples", str(build / "examples")).replace(
        "/tmp/speech.zip", str(out / "speech.zip"))


@pytest.fixture
def place():
    root = pathlib.Path(tempfile.mkdtemp(prefix="lamina-test-"))
    root.chmod(0o755)
    yield root
    shutil.rmtree(root, ignore_errors=True)


def test_every_command_of_the_readme_works(build, place):
    if not (ROOT / "build/deps/models/silero_vad_v5.onnx").exists():
        pytest.skip("tools/deps inference has not been run")
    env = {**clean_environment(place), "LAMINA_DATA_DIR": str(place / "data"), "LAMINA_LISTEN": "127.0.0.1:0",
           "TMPDIR": str(place)}
    try:
        done = subprocess.run(["/bin/sh", "-c", as_script(build, place)], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=2 * DEADLINE_S)
    finally:
        subprocess.run([build / "lamina", "down"], env=env, capture_output=True, stdin=subprocess.DEVNULL,
                       timeout=2 * DEADLINE_S)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert '"FunctionName": "speech"' in done.stdout
    assert '{"hello": {"name": "you"}}' in done.stdout
    assert "package     measured" in done.stdout
    assert (place / "speech.zip").stat().st_size > 1000000
    assert "the service on" in done.stderr and "has ended" in done.stderr


def test_the_handlers_of_the_page_about_runtimes_work(service, place):
    """Each block writes a handler, deploys it and calls it."""
    found = [text for language, text in FENCE.findall((ROOT / "docs" / "runtimes.md").read_text()) if language == "sh"]
    assert len(found) == 2 and "python3.11" in found[0] and "nodejs18.x" in found[1]
    env = {**service.env, "PATH": f"{service.build}:/usr/bin:/bin"}
    for text, interpreter in zip(found, ("/usr/bin/python3", "/usr/bin/node")):
        if not os.access(interpreter, os.X_OK):
            continue
        done = subprocess.run(["/bin/sh", "-eu", "-c", text], env=env, cwd=place, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=2 * DEADLINE_S)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert '"hello": "you"' in done.stdout or '"hello":"you"' in done.stdout
