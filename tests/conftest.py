# SPDX-License-Identifier: MIT
"""What all Python tests share: the build, services, and a time limit for each test.

    tools/run_tests.py                                   everything, as CI does
    /usr/bin/python3 -m pytest tests/flow/test_x.py      one file, with what is in build/

LAMINA_BUILD names another build directory.
"""

import contextlib
import os
import pathlib
import signal
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS))

from lamina_service import Service  # noqa: E402
from radosgw import RadosGateway  # noqa: E402
from radosgw import missing as missing_programs  # noqa: E402

TEST_LIMIT_S = 900


@pytest.fixture(scope="session")
def build():
    """The build directory, as a Path."""
    path = pathlib.Path(os.environ.get("LAMINA_BUILD") or TESTS.parent / "build").resolve()
    if not (path / "build.ninja").exists():
        pytest.exit(f"{path} is no build directory: run `make` first, or set LAMINA_BUILD", 2)
    return path


def needs_root():
    if os.geteuid() != 0:
        pytest.skip("needs root: the service makes sandboxes")


@pytest.fixture(scope="session")
def service(build):
    """One service for all tests of the file; each test uses function names of its own."""
    needs_root()
    with Service(build) as running:
        yield running


@pytest.fixture(scope="session")
def radosgw():
    """A real object store beside ours (radosgw.py), one for all tests of the file."""
    lacking = missing_programs()
    if lacking:
        pytest.skip(f"Ceph is not installed: {', '.join(lacking)} (tools/deps check)")
    with RadosGateway() as running:
        yield running


@pytest.fixture
def fresh_service(build):
    """A service for this test alone."""
    needs_root()
    with Service(build) as running:
        yield running


@pytest.fixture
def make_service(build):
    """make_service(*flags, env={}, start=True): services for this test, ended after it."""
    needs_root()
    with contextlib.ExitStack() as stack:

        def make(*flags, start=True, **options):
            made = Service(build, *flags, **options)
            if start:
                return stack.enter_context(made)
            stack.callback(made.close)
            return made

        yield make


def pytest_configure(config):
    # In the background of a shell SIGINT is ignored, and would be in every program under test.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class TestTookTooLong(Exception):
    """Raised in the test by SIGALRM."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """A test that hangs fails where it hangs, with its traceback, and the others go on."""

    def give_up(number, frame):
        raise TestTookTooLong(f"the test took longer than {TEST_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
