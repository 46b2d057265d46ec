# SPDX-License-Identifier: MIT
"""A fork of a template is in a sandbox like any other: all of test_sandbox.py's attacks, from inside of forks."""
import os

import pytest

from spawn_client import Spawn, TEMPLATE, TEMPLATE_READY
from test_sandbox import *  # noqa: F401,F403


class ForkedSpawn(Spawn):
    """A Spawn whose instances are forks: the first START of a tree makes its template."""

    def __init__(self, build):
        self.templates = {}
        super().__init__(build)

    def template(self, tree):
        if tree not in self.templates:
            made = super().start(tree, flags=TEMPLATE)
            self.expect(made.id, TEMPLATE_READY)
            self.templates[tree] = made.id
        return self.templates[tree]

    def start(self, tree=bytes(32), **options):
        env = {"DO": "attack", **options.pop("env", {})}
        return super().start(tree, template=self.template(tree), env=env, **options)


@pytest.fixture(scope="module")
def spawn(build):
    with ForkedSpawn(build) as service:
        yield service


@pytest.fixture(scope="module")
def attack(spawn):
    programs = {}
    for name, source in (("bootstrap", "template"), ("attack", "attack")):
        with open(os.path.join(spawn.build, "tests", source), "rb") as file:
            programs[name] = file.read()
    tree = spawn.tree(programs)

    def run(group, environment=None, status=0, **options):
        gone, text = spawn.run(tree, env={"ATTACK": group, **(environment or {})}, **options)
        assert gone["status"] == status, (gone, text)
        return dict(line.rsplit(" ", 1) for line in text.splitlines())

    # Another uid is not refused but does not exist there, and the parent is outside.
    others = {"setuid": "EINVAL", "setgid": "EINVAL", "setresuid": "EINVAL", "getppid": "0"}
    run.tree = tree
    run.expect = lambda met: {name: others.get(name, value) for name, value in met.items()}
    return run
