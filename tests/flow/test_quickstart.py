# SPDX-License-Identifier: MIT
"""tools/quickstart, which the README's first screen promises: it shows what it says and leaves nothing behind."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from lamina_service import DEADLINE_S, clean_environment, command_lines, is_alive, wait_for
from model_function import MODELS, ROOT, needs_library

pytestmark = [needs_library,
              pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the service makes sandboxes"),
              pytest.mark.skipif(not (MODELS / "silero_vad_v5.onnx").exists(),
                                 reason="tools/deps inference has not been run")]
needs_voice = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is missing (tools/deps inference)")


@pytest.fixture
def place():
    """A folder that the service's user may pass through; emptied of processes and removed afterwards."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="lamina-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        for pid, words in command_lines():
            if any(str(path) in word for word in words):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        shutil.rmtree(path, ignore_errors=True)


def environment(build, place, **more):
    env = clean_environment(place)
    env.update(BUILD=str(build), TMPDIR=str(place), LAMINA_LISTEN="127.0.0.1:0", **more)
    return env


def run(build, place, **more):
    return subprocess.run([ROOT / "tools/quickstart"], env=environment(build, place, **more), cwd="/",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280,
                          check=False, text=True)


def leftovers(place):
    return [words for pid, words in command_lines() if is_alive(pid) and any(str(place) in word for word in words)]


def assert_nothing_left(place):
    wait_for(lambda: not leftovers(place), "the quickstart's processes to end")
    assert list(place.iterdir()) == []


@needs_voice
def test_it_shows_what_it_promises_and_leaves_nothing(build, place):
    done = run(build, place)
    assert done.returncode == 0, done.stdout
    text = done.stdout
    assert re.search(r"speech\.wav: [0-9.]+ s, speech in [1-9][0-9] % of it", text)
    assert re.search(r"noise\.wav: [0-9.]+ s, speech in 0 % of it", text)
    assert text.count("  1 |") == 2 and text.count("  0 |") == 2  # the two charts
    assert len(re.findall(r"\d+ invocations: p50 [0-9.]+ ms", text)) == 2
    for phase in ("queue", "sandbox", "fetch", "load", "warm", "first_answer", "total"):
        assert re.search(r"^ +%s +[0-9.]+$" % phase, text, re.MULTILINE), phase
    assert re.search(r"memory of the instance: \S+ \S+, of them its own: \S+ \S+", text)
    for strategy in ("package", "layer", "s3", "filesystem"):
        assert re.search(r"^ +%s +measured" % strategy, text, re.MULTILINE), strategy
    assert len(re.findall(r"^   build/lamina ", text[text.index("Next:"):], re.MULTILINE)) == 3
    assert_nothing_left(place)


def test_your_own_sound_and_kept_running(build, place):
    """WAV and KEEP; then the three next commands, as they are printed."""
    sound = place / "mine.wav"
    subprocess.run([build / "examples" / "speech", "--noise", "1", sound], stdin=subprocess.DEVNULL, timeout=240,
                   check=True)
    done = run(build, place, WAV=str(sound), KEEP="1")
    assert done.returncode == 0, done.stdout
    assert re.search(r"mine\.wav: 1\.0 s, speech in 0 % of it", done.stdout)
    sound.unlink()
    commands = [line.strip() for line in done.stdout[done.stdout.index("Next:"):].splitlines()[1:] if line.strip()]
    assert len(commands) == 3
    script = "set -e; cd %s; " % ROOT + "; ".join(commands).replace("build/lamina", str(build / "lamina"))
    tried = subprocess.run(["bash", "-c", script], env=clean_environment(place), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240, check=False, text=True)
    assert tried.returncode == 0, tried.stdout
    assert '"model_name":"speech"' in tried.stdout
    assert_nothing_left(place)


def test_a_sound_that_is_not_there(build, place):
    done = run(build, place, WAV=str(place / "gone.wav"))
    assert done.returncode == 1 and "cannot be read" in done.stdout
    assert_nothing_left(place)


@needs_voice
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(build, place, number):
    with open(place.parent / (place.name + ".out"), "w+b") as out:
        os.unlink(out.name)
        process = subprocess.Popen([ROOT / "tools/quickstart"], env=environment(build, place), cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            def is_running():
                assert process.poll() is None
                return any("laminad" in os.path.basename(words[0]) for words in leftovers(place))

            wait_for(is_running, "the quickstart's service")
            os.killpg(process.pid, number)  # as a terminal does
            status = process.wait(DEADLINE_S)
            out.seek(0)
            assert status == 128 + number, out.read().decode()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert_nothing_left(place)
