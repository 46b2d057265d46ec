# SPDX-License-Identifier: MIT
"""What an earlier version left is what this one goes on with (make_upgrade_data.py made the data directories)."""

import os
import pathlib
import pwd
import sqlite3
import tarfile

import pytest

from make_upgrade_data import package

KEPT = sorted((pathlib.Path(__file__).parent / "corpus/upgrade").glob("*.tar.gz"))


@pytest.fixture(params=KEPT, ids=[path.name.split(".")[0] for path in KEPT])
def upgraded(request, make_service):
    """A service, not started yet, whose data directory is that of an earlier version."""
    service = make_service(start=False)
    service.data_dir.mkdir()
    with tarfile.open(request.param) as archive:
        archive.extractall(service.data_dir)
    uid, gid = service_user()
    for folder, _, names in os.walk(service.data_dir):
        for name in ["", *names]:
            os.lchown(os.path.join(folder, name), uid, gid)
    return service


def service_user():
    """Whom laminad runs as on this machine: the user `lamina` if there is one."""
    try:
        user = pwd.getpwnam("lamina")
        return user.pw_uid, user.pw_gid
    except KeyError:
        return 899999, 899999


def answer(client, **what):
    return client.invoke(FunctionName="kept", **what)["Payload"].read()


def test_functions_and_versions_are_there_and_answer(upgraded):
    client = upgraded.start().client()
    function = client.get_function(FunctionName="kept")["Configuration"]
    assert function["Description"] == "from an earlier version"
    assert function["MemorySize"] == 256
    assert function["State"] == "Active"
    assert [v["Version"] for v in client.list_versions_by_function(FunctionName="kept")["Versions"]] == ["$LATEST", "1"]
    assert answer(client) == b'"two hello"'
    assert answer(client, Qualifier="1") == b'"one hello"'


def test_it_can_be_changed_and_started_again(upgraded):
    client = upgraded.start().client()
    client.update_function_code(FunctionName="kept", ZipFile=package("three"), Publish=True)
    client.get_waiter("function_updated_v2").wait(FunctionName="kept")
    upgraded.stop()
    client = upgraded.start().client()
    assert answer(client, Qualifier="2") == b'"three hello"'
    assert answer(client, Qualifier="1") == b'"one hello"'


def test_a_newer_registry_is_refused_and_left_alone(upgraded):
    upgraded.start().stop()
    registry = upgraded.data_dir / "registry.db"
    with sqlite3.connect(registry) as database:
        database.execute("PRAGMA user_version = 9999")
    with pytest.raises(AssertionError, match="newer"):
        upgraded.start()
    upgraded.stop()
    with sqlite3.connect(registry) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (9999,)
        assert database.execute("SELECT count(*) FROM registry").fetchone()[0] > 0


def test_there_is_a_data_directory_of_every_schema(build):
    steps = list((pathlib.Path(__file__).parents[2] / "src/meta/schema").glob("*.sql"))
    made = {int(path.name.split(".")[0].removeprefix("schema-")) for path in KEPT}
    assert made == set(range(1, len(steps) + 1)), "run make_upgrade_data.py for the new schema, and keep the old files"
