# SPDX-License-Identifier: MIT
"""lamina filesystem create, list, delete: what root can name, and what is refused in words."""
import json
import os
import pathlib
import subprocess
import threading

import pytest

from filesystem_function import do, reader, share
from lambda_function import fresh_name
from lamina_service import wait_for


@pytest.fixture(scope="module")
def shared(build):
    if os.geteuid() != 0:
        pytest.skip("needs root: the service makes sandboxes")
    with share(build) as running:
        yield running


def refuse(shared, *arguments, says):
    """The command must fail with these words and leave the file as it was."""
    before = shared.file.read_text() if shared.file.exists() else None
    done = shared.service.lamina("filesystem", *arguments, check=False)
    assert done.returncode == 1 and says in done.stderr, (done.returncode, done.stderr)
    assert (shared.file.read_text() if shared.file.exists() else None) == before


def test_create_prints_the_access_point_and_the_running_service_knows_it(shared):
    path = shared.directory("first")
    (path / "x").write_text("y")
    done = shared.service.lamina("filesystem", "create", "--path", path)
    arn = done.stdout.strip()
    assert arn.startswith("arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-")
    name = fresh_name()
    client = shared.service.client("lambda")
    client.create_function(**reader(name, arn))
    assert do(client, name, list="/mnt/x")["list"] == ["x"]


def test_json_list_and_delete(shared):
    path = shared.directory("second", uid=77)
    made = shared.create(path, "--name", "second", "--read-only")
    assert made["Path"] == str(path) and (made["Uid"], made["Gid"], made["ReadOnly"]) == (77, 77, True)
    listed = json.loads(shared.service.lamina("filesystem", "list", "-o", "json").stdout)
    [one] = [each for each in listed if each["FileSystemId"] == made["FileSystemId"]]
    assert one["Name"] == "second" and one["AccessPoints"][0]["AccessPointId"] == made["AccessPointId"]
    table = shared.service.lamina("filesystem", "list").stdout
    assert str(path) in table and "read-only" in table and made["AccessPointId"] in table
    assert shared.file.stat().st_mode & 0o777 == 0o644 and shared.file.stat().st_uid == 0
    shared.file.write_text("# a comment stays\n" + shared.file.read_text())
    shared.service.lamina("filesystem", "delete", "second")
    assert made["FileSystemId"] not in shared.file.read_text() and "# a comment stays" in shared.file.read_text()
    assert path.exists(), "its files are where they were"
    refuse(shared, "delete", "second", says="no file system 'second'")


@pytest.mark.parametrize("path", ["/", "/proc", "/proc/1", "/sys", "/dev/shm", "/etc", "/etc/ssl", "/run", "/boot", "/usr",
                                  "/home", "/root", "/var", "/tmp"])
def test_directories_of_the_machine(shared, path):
    if os.path.isdir(path):
        refuse(shared, "create", "--path", path, "--uid", "5", "--gid", "5", says="'/")


def test_the_service_s_own_directories(shared):
    data = shared.service.data_dir
    refuse(shared, "create", "--path", data, "--uid", "5", says="the data directory")
    refuse(shared, "create", "--path", data / "logs", "--uid", "5", says="the data directory")
    refuse(shared, "create", "--path", data.parent, "--uid", "5", says="holds the data directory")
    refuse(shared, "create", "--path", shared.file.parent, "--uid", "5", says="configuration")
    link = shared.root / "innocent"
    link.symlink_to(data)
    refuse(shared, "create", "--path", link, "--uid", "5", says="the data directory")


def test_what_is_no_directory_or_could_be_replaced(shared):
    file = shared.root / "file"
    file.write_text("")
    refuse(shared, "create", "--path", file, "--uid", "5", says="not a directory")
    refuse(shared, "create", "--path", shared.root / "nothing", says="No such file")
    open_one = shared.directory("open", uid=0, mode=0o777)
    (open_one / "inner").mkdir()
    refuse(shared, "create", "--path", open_one / "inner", "--uid", "5", says="can be written to by others")
    theirs = shared.directory("theirs", uid=1000)
    (theirs / "inner").mkdir()
    refuse(shared, "create", "--path", theirs / "inner", "--uid", "5", says="belongs to the user 1000")
    spaced = shared.directory("a b")
    refuse(shared, "create", "--path", spaced, says="space")
    refuse(shared, "create", "--path", shared.directory("named"), "--name", "a b", says="space")


def test_no_function_is_root(shared):
    path = shared.directory("roots", uid=0)
    refuse(shared, "create", "--path", path, says="--uid and --gid")
    done = shared.service.lamina("filesystem", "create", "--path", path, "--uid", "0", check=False)
    assert done.returncode == 2
    assert shared.create(path, "--uid", "6", "--gid", "7")["Gid"] == 7


def test_usage_and_twice(shared):
    path = shared.directory("twice")
    shared.create(path, "--name", "twice")
    refuse(shared, "create", "--path", path, says="there already")
    refuse(shared, "create", "--path", shared.directory("twice-2"), "--name", "twice", says="already")
    refuse(shared, "create", says="either --path DIR or --mount")
    refuse(shared, "create", "--path", path, "--mount", "fuse.sshfs:h:/d", says="either --path DIR or --mount")
    refuse(shared, "create", "--mount", "nfs:h:/d", says="fuse.NAME:SOURCE")
    refuse(shared, "create", "--mount", "fuse.sshfs:h:/d", "--uid", "5", says="come together")
    refuse(shared, "remove", says="filesystem takes")


def test_ranges_and_whom_a_program_runs_as(shared):
    path = shared.directory("ranges", uid=3000)
    made = shared.create(path, "--uids", "3001-3009", "--gids", "3001-3002")
    assert f"path={path} uid=3000 gid=3000 uids=3001-3009 gids=3001-3002\n" in shared.file.read_text()
    efs = shared.service.client("efs")
    assert efs.create_access_point(ClientToken="r", FileSystemId=made["FileSystemId"], PosixUser={"Uid": 3009, "Gid": 3001})
    refuse(shared, "create", "--path", shared.directory("ranges-2"), "--uids", "9-1", says="ends before it begins")
    refuse(shared, "create", "--path", shared.directory("ranges-3"), "--as", "5", says="as= is for mount= only")
    refuse(shared, "create", "--mount", "fuse.sshfs:h:/d", "--as", "x", says="as=")
    shared.service.lamina("filesystem", "create", "--mount", "fuse.sshfs:h:/d", "--as", "5:6", "--name", "as")
    assert " as=5:6 name=as\n" in shared.file.read_text()


def test_only_root(shared, build):
    path = shared.directory("users")
    command = ["setpriv", "--reuid", "65534", "--clear-groups", build / "lamina", "filesystem", "create", "--path", path,
               "--filesystems-file", "/tmp/of-nobody/filesystems.conf"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=shared.service.env)
    assert done.returncode == 1 and "only root" in done.stderr, done.stderr


def test_a_file_that_others_can_write_is_refused(shared):
    shared.file.touch()
    shared.file.chmod(0o666)
    try:
        refuse(shared, "create", "--path", shared.directory("w"), says="must belong to root")
    finally:
        shared.file.chmod(0o644)


def test_a_process_of_somebody_else_does_not_say_which_file_root_writes(shared):
    """The pid file is laminad's, and who took that over can write another pid into it."""
    data, named, theirs = (shared.root / name for name in ("taken", "of-root.conf", "of-theirs.conf"))
    data.mkdir()
    for file, path, digit in ((named, "/srv/root-s", "1"), (theirs, "/srv/their-s", "2")):
        file.write_text(f"filesystem fs-{digit * 17} path={path} uid=5 gid=5\n")
    program = shared.root / "lamina-spawn"
    program.symlink_to("/usr/bin/python3")
    with subprocess.Popen(["setpriv", "--reuid", "65534", "--clear-groups", program, "-c", "import sys; sys.stdin.read()",
                           "--data-dir", data, "--filesystems-file", theirs], stdin=subprocess.PIPE) as process:
        comm = pathlib.Path(f"/proc/{process.pid}/comm")
        wait_for(lambda: comm.read_text().strip() == "lamina-spawn", "the process to have its name")
        (data / "laminad.pid").write_text(f"{process.pid}\n")
        done = subprocess.run([shared.service.build / "lamina", "filesystem", "list"], capture_output=True, text=True,
                              env=dict(shared.service.env, LAMINA_DATA_DIR=str(data), LAMINA_FILESYSTEMS_FILE=str(named)))
        process.kill()
    assert "/srv/root-s" in done.stdout and "/srv/their-s" not in done.stdout, (done.stdout, done.stderr)


def test_without_a_service_it_is_known_at_the_start(build):
    with share(build) as own:
        own.service.stop()
        path = own.directory("before")
        done = own.service.lamina("filesystem", "create", "--path", path, "--filesystems-file", own.file)
        assert "when it is started" in done.stderr
        own.service.start()
        client = own.service.client("lambda")
        client.create_function(**reader("f", done.stdout.strip()))
        assert do(client, "f", list="/mnt/x")["list"] == []


def test_edits_at_once_lose_nothing(shared):
    paths = [shared.directory(f"many-{index}") for index in range(8)]
    made = []
    threads = [threading.Thread(target=lambda path=path: made.append(shared.create(path))) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = shared.file.read_text()
    assert len(made) == 8 and all(f"path={path} " in text for path in paths)


@pytest.mark.parametrize("step", ["before", "written", "renamed"])
def test_a_crash_leaves_the_old_file_or_the_new_one(shared, step):
    """strace kills the command at the system call: the file is whole, whatever it had got to."""
    if not pathlib.Path("/usr/bin/strace").exists():
        pytest.skip("needs strace")
    call = {"before": "fsync:when=1", "written": "renameat2,renameat,rename:when=1", "renamed": "fsync:when=2"}[step]
    name, when = call.split(":")
    path = shared.directory("crash-" + step)
    before = shared.file.read_text()
    command = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:{when}",
               shared.service.build / "lamina", "filesystem", "create", "--path", path]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=shared.service.env)
    assert done.returncode != 0
    after = shared.file.read_text()
    assert after == before or (after.startswith(before) and f"path={path} " in after and after.endswith("\n"))
    assert json.loads(shared.service.lamina("filesystem", "list", "-o", "json").stdout)
