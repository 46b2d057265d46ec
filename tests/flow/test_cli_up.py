# SPDX-License-Identifier: MIT
"""`lamina up` and `lamina down`: the service's life from the command line."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

from lamina_service import DEADLINE_S, clean_environment, is_alive, open_url, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the service makes sandboxes")


@pytest.fixture
def place(build):
    """place.lamina(...): the command line with a data directory of the test's own; nothing is left running."""

    class Place:
        root = pathlib.Path(tempfile.mkdtemp(prefix="lamina-test-"))
        data = root / "data"

        def lamina(self, *arguments, **options):
            settings = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            cwd=self.root, env=self.env(), timeout=2 * DEADLINE_S)
            settings.update(options)
            return subprocess.run([build / "lamina", *map(str, arguments)], **settings)

        def env(self):
            return {**clean_environment(self.root), "LAMINA_DATA_DIR": str(self.data)}

        def up(self, *arguments):
            return self.lamina("up", "-d", "--listen", "127.0.0.1:0", *arguments)

        def pid(self):
            return int((self.data / "laminad.pid").read_text())

        def endpoint(self):
            return (self.data / "endpoint").read_text().strip()

    found = Place()
    found.root.chmod(0o755)
    try:
        yield found
    finally:
        pid = found.pid() if (found.data / "laminad.pid").exists() else None
        found.lamina("down")
        if pid is not None:
            try:
                wait_for(lambda: not is_alive(pid), "the service to end")
            except AssertionError:
                os.kill(pid, signal.SIGKILL)
                raise
        shutil.rmtree(found.root, ignore_errors=True)


def test_up_returns_when_it_is_ready_and_down_when_it_is_gone(place):
    done = place.up("--data-dir", place.data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert f"Lamina is ready on {place.endpoint()}" in done.stderr
    assert "lamina env --data-dir" in done.stderr
    with open_url(place.endpoint() + "/readyz") as answer:
        assert answer.status == 200
    assert json.loads(place.lamina("list", "-o", "json").stdout) == {"schema": 1, "functions": []}
    assert (place.root / "data.log").exists()

    pid = place.pid()
    done = place.lamina("down", "--data-dir", place.data)
    assert done.returncode == 0, done.stderr
    assert not is_alive(pid)
    done = place.lamina("list")
    assert done.returncode == 1 and "cannot reach" in done.stderr
    assert place.lamina("down").returncode == 1


def test_the_data_directory_comes_from_the_environment_too(place):
    done = place.up()
    assert done.returncode == 0, done.stderr
    assert place.lamina("status").returncode == 0
    assert place.lamina("down").returncode == 0


def test_a_second_service_on_the_same_data_is_refused_and_the_first_goes_on(place):
    assert place.up().returncode == 0
    pid, endpoint = place.pid(), place.endpoint()
    done = place.up()
    assert done.returncode == 1
    assert "the service did not start" in done.stderr
    assert is_alive(pid)
    assert (place.pid(), place.endpoint()) == (pid, endpoint)
    assert place.lamina("status").returncode == 0


def test_what_stays_and_what_is_new_after_a_restart(place, build):
    assert place.up().returncode == 0
    first = place.pid()
    code = place.root / "code"
    code.mkdir()
    (code / "bootstrap").write_text("#!/bin/sh\n")
    (code / "bootstrap").chmod(0o755)
    assert place.lamina("deploy", code).returncode == 0
    assert place.lamina("down").returncode == 0
    assert place.up().returncode == 0
    assert place.pid() != first
    assert [f["name"] for f in json.loads(place.lamina("list", "-o", "json").stdout)["functions"]] == ["code"]


def test_after_kill_9_the_leftovers_do_not_mislead(place):
    """The pid and endpoint files of a service that was killed stay: down says so, up starts anew."""
    assert place.up().returncode == 0
    pid = place.pid()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), "the service to die")
    done = place.lamina("down")
    assert done.returncode == 1 and "no service runs" in done.stderr
    done = place.up()
    assert done.returncode == 0, done.stderr
    assert place.pid() != pid
    assert place.lamina("status").returncode == 0


@pytest.mark.parametrize("flags,says", [
    (["--listen", "nonsense"], "listen"),
    (["--no-such-flag"], "no-such-flag"),
    (["--aws-limits", "maybe"], "aws-limits"),
])
def test_a_start_that_fails_says_why(place, flags, says):
    done = place.lamina("up", "-d", *flags)
    assert done.returncode == 1
    assert "the service did not start" in done.stderr
    assert says in done.stderr
    assert not (place.data / "endpoint").exists()


def test_in_the_foreground_it_is_the_service(place, build):
    """Without -d the process that was started becomes the service: its pid is the one that down ends."""
    with open(place.root / "out", "wb") as out:
        started = subprocess.Popen([build / "lamina", "up", "--listen", "127.0.0.1:0"], stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=out, env=place.env(), cwd="/")
    try:
        wait_for(lambda: started.poll() is not None or (place.data / "endpoint").exists(), "the endpoint")
        assert started.poll() is None, (place.root / "out").read_text()
        assert place.pid() == started.pid
        done = place.lamina("down")
        assert done.returncode == 0, done.stderr
        assert started.wait(DEADLINE_S) == 0
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


def test_the_log_file_can_be_named(place):
    log = place.root / "elsewhere.log"
    done = place.up("--log-file", log)
    assert done.returncode == 0, done.stderr
    assert str(log) in done.stderr
    wait_for(lambda: "daemon.ready" in log.read_text(), "the log line")
    assert not (place.root / "data.log").exists()


def test_parents_that_are_missing_are_made(place):
    place.data = place.root / "new" / "parent" / "data"
    done = place.up("--data-dir", place.data)
    assert done.returncode == 0, done.stderr
    assert (place.root / "new" / "parent" / "data.log").exists()


@pytest.mark.parametrize("trap", ["link", "file", "pipe"])
def test_a_log_file_that_somebody_put_there_is_not_written(place, trap):
    victim, log = place.root / "victim", place.root / "data.log"
    victim.write_text("precious")
    if trap == "link":
        log.symlink_to(victim)
    elif trap == "file":
        log.write_text("mine")
        os.chown(log, 65534, 65534)
    else:
        os.mkfifo(log)
    done = place.up()
    assert done.returncode == 1
    assert "log file" in done.stderr
    assert victim.read_text() == "precious" and not (place.data / "endpoint").exists()
