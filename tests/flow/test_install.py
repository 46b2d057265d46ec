# SPDX-License-Identifier: MIT
"""`make install`: what lies where, and that it works from there."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from lambda_function import function, invoke
from lamina_service import Service, clean_environment

@pytest.fixture(scope="module")
def installed(build):
    """The prefix of an installation into a directory of its own."""
    root = Path(tempfile.mkdtemp(prefix="lamina-install-"))
    root.chmod(0o755)
    try:
        env = dict(clean_environment(root), DESTDIR=str(root))
        done = subprocess.run(["meson", "install", "-C", str(build), "--no-rebuild"], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
        assert done.returncode == 0, done.stdout
        yield next(root.glob("**/bin/lamina")).parent.parent
    finally:
        shutil.rmtree(root, ignore_errors=True)


def programs_of(installed):
    """Where the programs are: lib/lamina, or another library directory that the build was told."""
    return (installed / "bin/laminad").resolve().parent


def test_programs_lie_together_and_are_linked_from_bin(installed):
    programs = programs_of(installed)
    for name in ("lamina", "laminad", "lamina-spawn", "lamina-work", "lamina-cache", "lamina-init", "lamina-model"):
        assert os.access(programs / name, os.X_OK), name
    for name in ("lamina", "laminad"):
        assert (installed / "bin" / name).resolve() == (programs / name).resolve()
    assert os.access(programs / "runtime/bin/lamina-model", os.X_OK)
    assert (installed / "include/lamina.h").is_file()
    assert (programs.parent / "liblamina.a").is_file()


def test_nothing_installed_can_be_written_by_others(installed):
    for path in installed.rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o022 == 0, path


def test_programs_need_no_library_of_the_build(installed):
    for name in ("lamina", "laminad", "lamina-spawn", "lamina-work", "lamina-cache", "lamina-model"):
        listed = subprocess.run(["ldd", programs_of(installed) / name], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert "not found" not in listed and "build" not in listed, listed


def test_the_unit_starts_what_was_installed(installed):
    unit = (installed / "lib/systemd/system/lamina.service").read_text()
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert str(programs_of(installed) / "laminad").endswith(start.split("=", 1)[1])
    assert "Delegate=yes" in unit and "Type=notify" in unit
    assert (installed / "lib/sysusers.d/lamina.conf").read_text().splitlines()[-1].startswith("u lamina ")


def test_the_installed_service_answers(installed):
    if os.geteuid() != 0:
        pytest.skip("needs root: the service makes sandboxes")
    version = subprocess.run([installed / "bin/lamina", "version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                             timeout=120)
    assert version.returncode == 0 and version.stdout
    with Service(installed / "bin") as service:
        client = service.client()
        with function(client, "installed"):
            assert invoke(client, "installed", b'{"a": 1}')["event"] == {"a": 1}
