# SPDX-License-Identifier: MIT
"""What somebody else did to the data directory: damage, loss, a second service, a disk that is full."""

import ctypes
import os
import shutil
import subprocess

import pytest
from botocore.exceptions import ClientError

import faults  # noqa: F401 (where the flow tests' helpers are)
from lamina_service import DEADLINE_S, clean_environment
from store_reader import check, manifest_entries, object_name, objects

from lambda_function import fresh_name, function, invoke, package, refused, settings, zip_of, BOOTSTRAP

CLONE_NEWNS = 0x00020000


def create(client, name="f", **changes):
    client.create_function(**settings(name, **changes))
    client.get_waiter("function_active_v2").wait(FunctionName=name)


def only_tree(service):
    """(tree id, {path: object's file}) of the one tree that is there."""
    manifest, = (service.data_dir / "manifests").iterdir()
    known = objects(service.data_dir)
    return manifest.name, {path: known[object_name(member)] for kind, path, member in
                           manifest_entries(manifest.read_bytes()) if kind == "f" and member["size"]}


def replace_content(path, content):
    mode = path.stat().st_mode & 0o777
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def test_a_lost_farm_is_made_again(make_service):
    service = make_service()
    create(service.client())
    service.stop()
    shutil.rmtree(service.data_dir / "trees" / only_tree(service)[0])
    service.start()
    assert "store.rebuilt" in service.log()
    check(service.data_dir)
    assert invoke(service.client(), "f")["marker"] == "one"


def test_a_lost_object_comes_back_from_the_farm(make_service):
    service = make_service()
    create(service.client())
    service.stop()
    only_tree(service)[1]["bootstrap"].unlink()
    service.start()
    check(service.data_dir)
    assert invoke(service.client(), "f")["marker"] == "one"


@pytest.mark.parametrize("damage", ["cut", "lost with the farm", "manifest"])
def test_a_function_whose_bytes_are_damaged_says_so_and_others_run(make_service, damage):
    service = make_service()
    client = service.client()
    create(client)
    service.stop()
    tree, files = only_tree(service)
    if damage == "cut":
        replace_content(files["bootstrap"], b"#!/bin/sh\n")
    elif damage == "manifest":
        replace_content(service.data_dir / "manifests" / tree, b"lamina-tree 1\nend 0\n")
    else:
        files["bootstrap"].unlink()
        shutil.rmtree(service.data_dir / "trees" / tree)
    service.start()
    client = service.client()
    assert "function.damaged" in service.log()
    configuration = client.get_function_configuration(FunctionName="f")
    assert configuration["State"] == "Failed"
    assert "StateReason" in configuration
    with pytest.raises(ClientError):
        client.invoke(FunctionName="f")
    create(client, "g", Code={"ZipFile": package("another")})
    assert invoke(client, "g")["marker"] == "another"
    # The same package once more repairs it.
    client.update_function_code(FunctionName="f", ZipFile=package())
    client.get_waiter("function_updated_v2").wait(FunctionName="f")
    assert invoke(client, "f")["marker"] == "one"
    check(service.data_dir)


def test_a_changed_byte_is_found_when_the_content_is_deployed_again(make_service):
    service = make_service()
    client = service.client()
    create(client)
    bootstrap = only_tree(service)[1]["bootstrap"]
    replace_content(bootstrap, bootstrap.read_bytes().replace(b"marker one", b"marker 0ne"))
    create(client, "g")
    assert bootstrap.read_bytes().count(b"0ne") == 0
    assert invoke(client, "g")["marker"] == "one"
    check(service.data_dir)


def test_a_damaged_registry_is_refused_with_advice(make_service):
    service = make_service()
    create(service.client())
    service.stop()
    registry = service.data_dir / "registry.db"
    registry.write_bytes(b"\xa5" * registry.stat().st_size)
    service.start(wait=False)
    process, service.process = service.process, None
    assert process.wait(DEADLINE_S) != 0
    assert "is damaged" in service.log() and "put a copy in its place" in service.log()
    for name in ("registry.db", "registry.db-wal", "registry.db-shm"):
        (service.data_dir / name).unlink(missing_ok=True)
    service.start()  # as advised: without functions
    assert service.client().list_functions()["Functions"] == []


def test_a_second_service_is_refused_and_names_the_first(service):
    second = subprocess.run([service.build / "laminad", "--data-dir", service.data_dir, "--listen", "127.0.0.1:0"],
                            env=clean_environment(service.home), stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, timeout=DEADLINE_S)
    assert second.returncode != 0
    assert f"process {service.spawn_pid}" in second.stderr
    client, name = service.client(), fresh_name()
    with function(client, name):  # and the first goes on
        assert invoke(client, name)["marker"] == "one"


# ---- A full disk: the data directory is a small file system in a mount namespace of this process

@pytest.fixture(scope="module")
def own_mounts():
    """This process sees its own mounts from now on; they go with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS) != 0:
        pytest.skip("needs root and a mount namespace")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


@pytest.fixture
def small_disk(own_mounts, make_service):
    """A service with 64 MiB for its data."""
    service = make_service(start=False)
    service.data_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "lamina-test", service.data_dir], check=True)
    try:
        yield service.start()
    finally:
        service.close(check=False)
        subprocess.run(["umount", "--lazy", service.data_dir], check=False)


def fill(service, leave):
    """A file that leaves so many bytes of the disk free. Returns its path."""
    ballast = service.data_dir / "ballast"
    free = os.statvfs(service.data_dir)
    with open(ballast, "ab") as file:
        os.posix_fallocate(file.fileno(), 0, max(free.f_bavail * free.f_bsize - leave, 1))
    return ballast


def test_a_full_disk_refuses_a_package_and_harms_nothing(small_disk):
    service = small_disk
    client = service.client()
    create(client)
    large = zip_of({"bootstrap": BOOTSTRAP.replace("MARKER", "large"), "model": os.urandom(8 << 20)})
    ballast = fill(service, leave=28 << 20)  # enough for the zip, not for its content besides the reserve
    with refused("ServiceException", 500, "disk"):
        client.create_function(**settings("g", Code={"ZipFile": large}))
    ballast.unlink()
    ballast = fill(service, leave=4 << 20)  # not even for the zip
    with refused("ServiceException", 500, "disk"):
        client.create_function(**settings("g", Code={"ZipFile": large}))
    assert os.listdir(service.data_dir / "tmp") == []
    assert invoke(client, "f")["marker"] == "one"
    assert [each["FunctionName"] for each in client.list_functions()["Functions"]] == ["f"]
    ballast.unlink()
    create(client, "g", Code={"ZipFile": large})
    assert invoke(client, "g")["marker"] == "large"
    check(service.data_dir)


def test_a_registry_that_cannot_grow_refuses_the_change_and_keeps_the_old(small_disk):
    service = small_disk
    client = service.client()
    create(client)
    ballast = fill(service, leave=0)
    kept = is_refused = None
    for i in range(500):  # until what SQLite has of room is used up
        try:
            client.update_function_configuration(FunctionName="f", Description=f"{i} " + "d" * 200)
            client.get_waiter("function_updated_v2").wait(FunctionName="f")
            kept = f"{i} "
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceException", error
            is_refused = True
            break
    assert is_refused
    assert invoke(client, "f")["marker"] == "one"
    now = client.get_function_configuration(FunctionName="f")["Description"]
    assert now.startswith(kept) if kept else now == ""
    ballast.unlink()
    client.update_function_configuration(FunctionName="f", Description="after")
    client.get_waiter("function_updated_v2").wait(FunctionName="f")
    service.stop()
    service.start()
    assert service.client().get_function_configuration(FunctionName="f")["Description"] == "after"
