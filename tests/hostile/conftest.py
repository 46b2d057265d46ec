# SPDX-License-Identifier: MIT
"""Fixtures of the attacks: one lamina-spawn for a file of tests, without laminad."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from spawn_client import Spawn  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def needs_root():
    if os.geteuid() != 0:
        pytest.skip("the sandbox needs root")


@pytest.fixture(scope="module")
def spawn(build):
    with Spawn(build) as service:
        yield service


@pytest.fixture(scope="module")
def attack(spawn):
    """attack(group, **start) -> {attack: result}. The sandbox ends with status 0, or the test fails."""
    tree = spawn.program("attack")

    def run(group, environment=None, status=0, **options):
        gone, text = spawn.run(tree, env={"ATTACK": group, **(environment or {})}, **options)
        assert gone["status"] == status, (gone, text)
        return dict(line.rsplit(" ", 1) for line in text.splitlines())

    run.tree = tree
    run.expect = dict  # what is met there; forks of a template meet a few things otherwise
    return run
