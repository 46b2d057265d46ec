# SPDX-License-Identifier: MIT
"""File systems that functions have (docs/filesystems-file.md), attacked from inside and from their servers."""
import contextlib
import errno
import os
import pathlib
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading

import pytest

from lamina_service import wait_for
from spawn_client import (DEADLINE_S, EXIT, FILE_DROP_CACHE, FILE_READ, FILESYSTEM, HOT, KILL, START, START_FAILED,
                          STARTED, TEMPLATE, UNMOUNTED, USE_RO, File, Instance, Spawn, StartFailed, clean_environment,
                          look, read, start_message, use)
from ssh_server import SshServer, children, missing

PATH = {"PATH": "/usr/bin:/bin"}
DISK, READ_ONLY, RANGE, UNMAPPED, REMOTE, OTHER = (f"fs-{n:017x}" for n in range(1, 7))
UNKNOWN = f"fs-{99:017x}"
POINT = f"fsap-{1:017x}"
OWNER = (1000, 1001)


class Place:
    """Directories of the host, and the file that names some of them."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="lamina-filesystems-", dir="/var/tmp"))
        self.top.chmod(0o755)
        self.data, self.other, self.remote = (self.top / name for name in ("data", "other", "remote"))
        for directory in (self.data, self.other, self.remote):
            directory.mkdir()
            os.chown(directory, *OWNER)
        self.remote.chmod(0o777)
        (self.top / "secret").write_text("secret")
        self.conf = self.top / "filesystems.conf"
        self.write("")

    def write(self, more):
        self.conf.write_text(f"""# of a test
filesystem {DISK} path={self.data} uid={OWNER[0]} gid={OWNER[1]} uids=2000-2999 gids=2000-2999 name=disk
filesystem {READ_ONLY} path={self.data} uid={OWNER[0]} gid={OWNER[1]} ro
filesystem {UNMAPPED} path={self.data}
filesystem {OTHER} path={self.other} uid={OWNER[0]} gid={OWNER[1]}
access-point {POINT} {DISK} root=/a/b uid=2000 gid=2001 ro name=point
{more}""")

    def file(self, name, content=b"", owner=OWNER, mode=0o644):
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.chown(path, *owner)
        path.chmod(mode)
        return path

    def close(self):
        shutil.rmtree(self.top, ignore_errors=True)


@pytest.fixture(scope="module")
def place(build):
    made = Place()
    with Spawn(build, arguments=("--filesystems-file", str(made.conf))) as spawn:
        can_map = look(spawn, DISK, "")[0] != errno.EOPNOTSUPP
    if can_map:
        yield made
    made.close()
    if not can_map:
        pytest.skip("the file system of /var/tmp cannot be idmapped")


@pytest.fixture(scope="module")
def spawn(build, place):
    with Spawn(build, arguments=("--filesystems-file", str(place.conf))) as service:
        yield service


@pytest.fixture
def clean(place):
    """The directories, empty."""
    for directory in (place.data, place.other, place.remote):
        for child in directory.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    return place


def shell(spawn, text, filesystem=DISK, status=0, **options):
    gone, said = spawn.run(spawn.script(text), env=PATH, filesystem=use(filesystem, **options))
    assert gone["status"] == status << 8, (gone, said)
    return said


def refused(spawn, *arguments, **options):
    with pytest.raises(StartFailed) as caught:
        spawn.run(spawn.script("exit 0"), env=PATH, filesystem=use(*arguments, **options))
    assert caught.value.step == "filesystem"
    return caught.value.error


def attack(spawn, group, filesystem=DISK, environment=None, **options):
    gone, text = spawn.run(spawn.program("attack"), env={"ATTACK": group, **(environment or {})},
                           filesystem=use(filesystem, **options))
    assert gone["status"] == 0, (gone, text)
    return dict(line.rsplit(" ", 1) for line in text.splitlines())


# ---- what a function has of it

def test_a_directory_is_read_and_written(spawn, clean):
    clean.file("in", b"from the host\n")
    assert shell(spawn, "cat /mnt/data/in; echo out > /mnt/data/out; mkdir /mnt/data/d; ls /mnt") == \
        "from the host\ndata\n"
    assert (clean.data / "out").read_text() == "out\n"


def test_what_a_function_makes_belongs_to_the_access_points_user(spawn, clean):
    text = shell(spawn, "umask 022; echo x > /mnt/data/f; stat -c '%u %g' /mnt/data/f /mnt/data; id -u; id -g")
    uid = text.split()[-1]
    assert text.split() == [uid] * 6
    assert spawn.uid_first <= int(uid) < spawn.uid_first + spawn.uid_count
    made = (clean.data / "f").stat()
    assert (made.st_uid, made.st_gid) == OWNER
    shell(spawn, "echo x > /mnt/data/f", root="theirs", user=(2500, 2600), create=(2500, 2600, 0o755))
    made = (clean.data / "theirs/f").stat()
    assert (made.st_uid, made.st_gid) == (2500, 2600)


def test_what_belongs_to_others_is_nobodys(spawn, clean):
    clean.file("other", b"readable\n", owner=(5, 6), mode=0o666)
    clean.file("closed", b"no", owner=(0, 0), mode=0o600)
    text = shell(spawn, "cd /mnt/data; stat -c '%u %g' other; cat other; echo x 2>&- >> other && echo written; "
                 "cat closed 2>&- && echo read; chmod 777 other 2>&- && echo changed; true")
    assert text == "65534 65534\nreadable\n"


def test_two_instances_share_it(spawn, clean):
    first = spawn.start(spawn.script("echo one > /mnt/data/f; read x < /mnt/data/f; echo wrote; sleep 1000"), env=PATH,
                        filesystem=use(DISK))
    first.wait_log("wrote")
    assert shell(spawn, "cat /mnt/data/f; echo two >> /mnt/data/f") == "one\n"
    assert (clean.data / "f").read_text() == "one\ntwo\n"
    spawn.send(KILL, first.id)
    spawn.exit(first)


@pytest.mark.parametrize("way", [{"filesystem": READ_ONLY}, {"flags": USE_RO}])
def test_read_only_is_read_only(spawn, clean, way):
    clean.file("f", b"x")
    said = attack(spawn, "filesystem", environment={"ATTACK_WRITES": "1"}, **way)
    assert {name: result for name, result in said.items() if name.startswith("write:")} == {
        f"write:{name}": "EROFS" for name in ("open", "create", "mkdir", "unlink", "rename", "chmod", "truncate", "link",
                                              "symlink", "utime")}


def test_only_the_name_is_in_mnt(spawn, clean):
    assert shell(spawn, "ls -A /mnt; touch /mnt/x 2>&- || echo no; mkdir /mnt/y 2>&- || echo no; "
                 "rmdir /mnt/odd-_.9 2>&- || echo no; mv /mnt/odd-_.9 /mnt/z 2>&- || echo no",
                 name="odd-_.9") == "odd-_.9\nno\nno\nno\nno\n"
    _, text = spawn.run(spawn.script("ls -A /mnt; touch /mnt/x 2>&- || echo no"), env=PATH)
    assert text == "no\n"


def test_hot_functions_and_many_at_once(spawn, clean):
    script = spawn.script("echo $$ > /mnt/data/$N; cat /mnt/data/$N")
    idents = [spawn.new_id() for _ in range(60)]
    for ident in idents:
        socket.send_fds(spawn.channel, [start_message(ident, script, flags=HOT, env={"N": str(ident), **PATH},
                                                      filesystem=use(DISK))], [])
    for ident in idents:
        kind, _, body, fds = spawn.expect(ident, STARTED, START_FAILED)
        assert kind == STARTED, body
        for fd in fds:
            os.close(fd)
    for ident in idents:
        _, _, body, _ = spawn.expect(ident, EXIT)
    assert sorted(int(path.name) for path in clean.data.iterdir()) == idents
    assert {(path.stat().st_uid, path.stat().st_gid) for path in clean.data.iterdir()} == {OWNER}


def test_a_waiter_has_it_too(spawn, clean):
    script, paths = spawn.script("cat /mnt/data/f"), []
    clean.file("f", b"x")
    for _ in range(200):
        instance = spawn.start(script, env=PATH, flags=HOT, filesystem=use(DISK))
        paths.append(instance.path)
        assert instance.log() == "x"
        spawn.exit(instance)
        if paths[-1] == "waiter":
            break
    assert paths[0] == "pool" and paths[-1] == "waiter"
    # Another root, another user: not that waiter.
    assert shell(spawn, "ls /mnt/data", root="sub", create=(2000, 2000, 0o755), user=(2000, 2000)) == ""
    assert spawn.start(script, env=PATH, flags=HOT, filesystem=use(DISK, flags=USE_RO)).path != "waiter"


def test_a_waiter_that_cannot_be_made_is_not_tried_for_ever(spawn, clean):
    root = clean.file("gone/f", b"x").parent
    script = spawn.script("cat /mnt/data/f")
    spawn.run(script, env=PATH, flags=HOT, filesystem=use(DISK, "gone"))
    shutil.rmtree(root)
    for _ in range(5):
        with contextlib.suppress(StartFailed):
            spawn.run(script, env=PATH, flags=HOT, filesystem=use(DISK, "gone"))
    assert refused(spawn, DISK, "gone") == errno.ENOENT
    assert shell(spawn, "echo well") == "well\n"


def test_one_killed_while_its_mount_is_made(spawn, clean):
    script = spawn.script("sleep 1000")
    for _ in range(20):
        ident = spawn.new_id()
        socket.send_fds(spawn.channel, [start_message(ident, script, env=PATH, filesystem=use(DISK))], [])
        spawn.send(KILL, ident)
        kind, _, _, fds = spawn.expect(ident, STARTED, START_FAILED)
        for fd in fds:
            os.close(fd)
        if kind == STARTED:
            spawn.expect(ident, EXIT)
    assert shell(spawn, "echo well") == "well\n"


def test_templates_have_none(spawn, clean):
    with pytest.raises(StartFailed) as caught:
        spawn.start(spawn.script("exit 0"), env=PATH, filesystem=use(DISK), flags=TEMPLATE)
    assert (caught.value.step, caught.value.error) == ("filesystem", errno.ENOTSUP)


# ---- attacks from inside

def test_attacks_from_inside(spawn, clean):
    clean.file("f", b"x")
    clean.file("tool", pathlib.Path("/usr/bin/id").read_bytes(), owner=(0, 0), mode=0o4755)
    os.mknod(clean.data / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (clean.data / "null").chmod(0o666)
    os.mknod(clean.data / "disk", stat.S_IFBLK | 0o666, os.makedev(254, 0))
    (clean.data / "disk").chmod(0o666)
    said = attack(spawn, "filesystem")
    assert said == {
        "nosuid": "ok", "nodev": "ok",
        "device": "EACCES", "block device": "EACCES",
        "mknod char": "EPERM", "mknod block": "EPERM",
        "chown root": "EOVERFLOW", "chown other": "EOVERFLOW", "chgrp other": "EOVERFLOW",
        "link out": "EXDEV", "link in": "EXDEV", "rename out": "EXDEV",
        "name_to_handle": "EPERM", "open_by_handle": "EPERM",
        "setuid program": "0",
        "remount": "EPERM", "umount": "EPERM", "bind": "EPERM", "open_tree": "EPERM",
        "xattr trusted": "EPERM", "xattr capability": "EPERM",
        "parent is mnt": "ok",
        "mkfifo": "EACCES", "socket": "EACCES",
    }


def test_nothing_outside_the_access_point_is_reached(spawn, clean):
    clean.file("a/mine", b"mine\n")
    clean.file("b/theirs", b"theirs\n", mode=0o666)
    for name, target in (("up", ".."), ("theirs", "../b/theirs"), ("absolute", str(clean.top / "secret")),
                         ("root", "/proc/1/root/etc/shadow"), ("host", str(clean.data / "b/theirs"))):
        (clean.data / "a" / name).symlink_to(target)
    text = shell(spawn, "cd /mnt/data; cat mine; for f in theirs absolute root host up/b/theirs ../b/theirs "
                 "/mnt/data/../data/../b/theirs; do cat $f 2>&- && echo BAD $f; done; ls -A up; true", root="a")
    assert text == "mine\ndata\n"


@pytest.mark.parametrize("root, error", [
    ("missing", errno.ENOENT), ("file", errno.ENOTDIR), ("file/below", errno.ENOTDIR), ("link", errno.ELOOP),
    ("link/b", errno.ELOOP), ("out", errno.ELOOP), ("fifo", errno.ENOTDIR), ("a/missing", errno.ENOENT),
])
def test_a_root_that_is_no_directory_is_refused(spawn, clean, root, error):
    clean.file("file")
    clean.file("a/b/x")
    (clean.data / "link").symlink_to("a")
    (clean.data / "out").symlink_to(clean.other)
    os.mkfifo(clean.data / "fifo")
    assert refused(spawn, DISK, root) == error


def test_what_is_mounted_below_is_not_crossed(build, clean):
    (clean.data / "mounted").mkdir()
    (clean.data / "mounted" / "below").write_text("of the directory")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "test", clean.data / "mounted"], check=True)
    try:
        (clean.data / "mounted" / "secret").write_text("of the mount")
        with Spawn(build, arguments=("--filesystems-file", str(clean.conf))) as spawn:
            assert shell(spawn, "ls /mnt/data/mounted") == "below\n"
            assert refused(spawn, DISK, "mounted") == errno.EXDEV
            assert look(spawn, DISK, "mounted/secret")[0] == errno.EXDEV
    finally:
        subprocess.run(["umount", clean.data / "mounted"], check=True)


def test_ids_and_users_that_nobody_allowed(spawn, clean):
    assert refused(spawn, UNKNOWN) == errno.ENODEV
    assert refused(spawn, DISK, user=(3000, 2000)) == errno.EPERM
    assert refused(spawn, DISK, user=(2000, 1)) == errno.EPERM
    assert refused(spawn, READ_ONLY, user=(2000, 2000)) == errno.EPERM
    assert refused(spawn, DISK, "new", create=(3000, 3000, 0o755)) == errno.EPERM
    assert refused(spawn, UNMAPPED, user=(1000, 1000)) == errno.EOPNOTSUPP
    # It can map users: then the line has to say whose files functions make.
    assert refused(spawn, UNMAPPED) == errno.EINVAL


def test_a_missing_root_is_made_as_asked(spawn, clean):
    shell(spawn, "echo x > /mnt/data/f", root="p/q/r", user=(2000, 2001), create=(2000, 2001, 0o750))
    for name in ("p", "p/q", "p/q/r"):
        made = (clean.data / name).stat()
        assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (2000, 2001, 0o750)
    shell(spawn, "true", root="p", user=(2000, 2001), create=(2500, 2500, 0o777))  # it is there: it stays
    assert stat.S_IMODE((clean.data / "p").stat().st_mode) == 0o750
    clean.file("file")
    assert refused(spawn, DISK, "file/below", create=(2000, 2001, 0o750)) == errno.ENOTDIR


def test_nothing_is_made_where_the_line_says_ro(spawn, clean):
    maker = {"create": (*OWNER, 0o755)}
    assert refused(spawn, READ_ONLY, "new", **maker) == errno.EROFS
    assert look(spawn, READ_ONLY, "", root="new/below", **maker)[0] == errno.EROFS
    assert os.listdir(clean.data) == []
    clean.file("there/f", b"x")
    assert shell(spawn, "cat /mnt/data/f", READ_ONLY, root="there", **maker) == "x"


@contextlib.contextmanager
def swapped(one, two):
    """Two names of a directory change places all the time."""
    is_over = threading.Event()

    def swap():
        while not is_over.is_set():
            subprocess_rename(one, two)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def subprocess_rename(one, two):
    libc_rename(-100, os.fsencode(one), -100, os.fsencode(two), 2)  # RENAME_EXCHANGE


def libc_rename(*arguments):
    import ctypes
    return ctypes.CDLL(None, use_errno=True).renameat2(*arguments)


def test_a_directory_that_becomes_a_symlink_is_never_followed(spawn, clean):
    clean.file("a/f", b"mine")
    (clean.other / "f").write_text("theirs")
    (clean.data / "b").symlink_to(clean.other)
    seen = set()
    with swapped(clean.data / "a", clean.data / "b"):
        for _ in range(300):
            file = File(spawn, DISK, "f", flags=FILE_READ, root="a")
            error = file.looked()["error"]
            seen.add(file.content() if error == 0 else errno.errorcode[error])
            file.close()
    assert seen <= {b"mine", "ELOOP", "ENOTDIR"}, seen
    with swapped(clean.data / "a", clean.data / "b"):
        for _ in range(40):
            with contextlib.suppress(StartFailed):
                assert shell(spawn, "cat /mnt/data/f", root="a") == "mine"


# ---- files that laminad asks for

def test_a_file_is_looked_at_and_read(spawn, clean):
    content = os.urandom(3_000_000)
    path = clean.file("m/model.onnx", content)
    error, found = look(spawn, DISK, "m/model.onnx")
    there = path.stat()
    assert (error, found["size"], found["inode"], found["mtime"], found["ctime"]) == (
        0, len(content), there.st_ino, there.st_mtime_ns, there.st_ctime_ns)
    assert read(spawn, DISK, "m/model.onnx") == content
    assert read(spawn, DISK, "model.onnx", root="m") == content
    with open(path, "r+b") as file:
        os.fsync(file.fileno())
    file = File(spawn, DISK, "m/model.onnx", flags=FILE_READ | FILE_DROP_CACHE)
    assert file.looked()["error"] == 0 and file.content() == content and file.ended()["error"] == 0
    file.close()
    clean.file("empty")
    assert read(spawn, DISK, "empty") == b""


def test_what_is_no_regular_file_is_refused_at_once(spawn, clean):
    os.mkfifo(clean.data / "fifo")
    os.mknod(clean.data / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(clean.data)
        listener.bind("socket")
        os.chdir("/")
    (clean.data / "directory").mkdir()
    for name, error in (("fifo", errno.EINVAL), ("device", errno.EINVAL), ("socket", errno.EINVAL),
                        ("directory", errno.EISDIR), ("missing", errno.ENOENT), ("fifo/x", errno.ENOTDIR)):
        for flags in (0, FILE_READ):
            assert look(spawn, DISK, name, flags=flags)[0] == error, name


def test_links_are_followed_as_long_as_they_stay(spawn, clean):
    clean.file("a/v1/model", b"one")
    clean.file("b/model", b"other")
    links = {"current": "v1", "model": "v1/../v1/model", "out": "../b/model", "up": "../../../secret",
             "absolute": str(clean.data / "a/v1/model"), "loop": "loop", "magic": "/proc/self/fd/0"}
    for name, target in links.items():
        (clean.data / "a" / name).symlink_to(target)
    assert read(spawn, DISK, "current/model", root="a") == b"one"
    assert read(spawn, DISK, "model", root="a") == b"one"
    assert {name: errno.errorcode[look(spawn, DISK, name, root="a")[0]] for name in
            ("out", "up", "absolute", "loop", "magic")} == {
                "out": "EXDEV", "up": "EXDEV", "absolute": "EXDEV", "loop": "ELOOP", "magic": "EXDEV"}


def test_files_are_opened_as_the_access_points_user(spawn, clean):
    clean.file("closed", b"x", owner=(0, 0), mode=0o600)
    clean.file("ours", b"x", owner=(2000, 2000), mode=0o600)
    assert look(spawn, DISK, "closed")[0] == errno.EACCES
    assert look(spawn, DISK, "ours")[0] == errno.EACCES
    assert look(spawn, DISK, "ours", user=(2000, 2000))[0] == 0
    assert look(spawn, DISK, "ours", user=(3000, 2000))[0] == errno.EPERM
    assert look(spawn, UNKNOWN, "ours")[0] == errno.ENODEV


def test_an_access_points_root_is_looked_at(spawn, clean):
    assert look(spawn, DISK, "")[0] == 0
    assert look(spawn, DISK, "", root="none")[0] == errno.ENOENT
    assert look(spawn, DISK, "", root="made", create=(2000, 2000, 0o755))[0] == 0
    assert (clean.data / "made").stat().st_uid == 2000
    assert look(spawn, UNMAPPED, "")[0] == errno.EINVAL


def test_one_that_is_written_meanwhile_shows_it(spawn, clean):
    path = clean.file("f", b"a" * 8_000_000)
    file = File(spawn, DISK, "f", flags=FILE_READ)
    before = file.looked()
    with open(path, "r+b") as writer:
        writer.write(b"b")
    file.content()
    after = file.ended()
    assert after["mtime"] != before["mtime"] and after["error"] == 0
    file.close()


def test_a_reader_that_goes_ends_it(spawn, clean):
    clean.file("f", b"a" * 8_000_000)
    for _ in range(60):  # more than there may be at once
        file = File(spawn, DISK, "f", flags=FILE_READ)
        assert file.looked()["error"] == 0
        file.close()
    assert len(read(spawn, DISK, "f")) == 8_000_000


def test_more_than_forty_at_once_are_refused(spawn, clean):
    clean.file("f", b"a" * 8_000_000)
    files = [File(spawn, DISK, "f", flags=FILE_READ) for _ in range(41)]
    assert [file.looked()["error"] for file in files].count(errno.EAGAIN) == 1
    assert shell(spawn, "head -c 1 /mnt/data/f") == "a"  # mounts go on
    for file in files:
        file.close()


# ---- the file

def table(spawn):
    """The rows of one table, as laminad hears them."""
    rows = []
    while True:
        _, _, body, _ = spawn.expect(0, FILESYSTEM)
        kind, flags, ident, of, uid, gid, *ranges = struct.unpack("=II24s24s6I", body[:80])
        root, name = body[80:184].rstrip(b"\0").decode(), body[184:].rstrip(b"\0").decode()
        if kind == 0:
            rows = []
        elif kind == 3:
            return rows
        else:
            rows.append((kind, flags, ident.rstrip(b"\0").decode(), of.rstrip(b"\0").decode(), uid, gid, root, name))


def test_laminad_hears_the_table_and_its_changes(build, clean):
    with Spawn(build, arguments=("--filesystems-file", str(clean.conf))) as spawn:
        rows = table(spawn)
        assert [row[2] for row in rows] == [DISK, POINT, READ_ONLY, UNMAPPED, OTHER]
        assert rows[0] == (1, 0, DISK, "", *OWNER, "", "disk")
        assert rows[1] == (2, 1, POINT, DISK, 2000, 2001, "a/b", "point")
        assert rows[3][1] == 8
        clean.write(f"filesystem {UNKNOWN} path={clean.other} uid=7 gid=7")
        os.kill(spawn.process.pid, signal.SIGHUP)
        assert [row[2] for row in table(spawn)] == [DISK, POINT, READ_ONLY, UNMAPPED, OTHER, UNKNOWN]
        os.chown(clean.other, 7, 7)
        shell(spawn, "touch /mnt/data/f", UNKNOWN)
        assert (clean.other / "f").stat().st_uid == 7
        # The same id elsewhere, and as somebody else: what ran goes on, what starts is new.
        running = spawn.start(spawn.script("echo up; read line; echo x > /mnt/data/old"), env=PATH,
                              filesystem=use(UNKNOWN))
        running.wait_log("up")
        os.chown(clean.data, 8, 8)
        clean.write(f"filesystem {UNKNOWN} path={clean.data} uid=8 gid=8")
        os.kill(spawn.process.pid, signal.SIGHUP)
        table(spawn)
        shell(spawn, "touch /mnt/data/new", UNKNOWN)
        assert (clean.data / "new").stat().st_uid == 8
        assert spawn.exit(running)["status"] == 0
        assert (clean.other / "old").stat().st_uid == 7
        clean.write("")
        os.kill(spawn.process.pid, signal.SIGHUP)
        table(spawn)
        assert refused(spawn, UNKNOWN) == errno.ENODEV
    for directory in (clean.data, clean.other):
        os.chown(directory, *OWNER)


def test_a_bad_file_at_sighup_changes_nothing(build, clean):
    spawn = Spawn(build, arguments=("--filesystems-file", str(clean.conf)))
    try:
        table(spawn)
        clean.write("filesystem")
        os.kill(spawn.process.pid, signal.SIGHUP)
        clean.file("f", b"still\n")
        assert shell(spawn, "cat /mnt/data/f") == "still\n"
        clean.write("")
        os.kill(spawn.process.pid, signal.SIGHUP)
        table(spawn)
    finally:
        clean.write("")
        spawn.close("line 7: a file system's id is fs- and 17 hexadecimal digits")


def start_error(build, conf):
    with pytest.raises(RuntimeError) as caught:
        Spawn(build, arguments=("--filesystems-file", str(conf)))
    return str(caught.value)


def test_a_bad_file_stops_the_start(build, clean):
    clean.write("nonsense")
    assert f"{clean.conf}', line 7: it begins with neither" in start_error(build, clean.conf)
    clean.write("")
    clean.conf.chmod(0o666)
    assert "must belong to root and be writable by nobody else" in start_error(build, clean.conf)
    clean.conf.chmod(0o644)
    os.chown(clean.conf, 1000, 0)
    assert "must belong to root" in start_error(build, clean.conf)
    os.chown(clean.conf, 0, 0)
    assert "is no absolute path" in start_error(build, "filesystems.conf")
    with Spawn(build, arguments=("--filesystems-file", str(clean.top / "none"))) as spawn:
        assert table(spawn) == []
        assert refused(spawn, DISK) == errno.ENODEV


# ---- a real network file system, and what becomes of its server

needs_sshfs = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())} (tools/deps check)")


@pytest.fixture
def server(clean):
    with SshServer(clean.remote) as running:
        clean.write(f"filesystem {REMOTE} mount={running.mount}")
        yield running
        running.go_on() if running.process.poll() is None else None
    clean.write("")


@pytest.fixture
def far(build, clean, server):
    """A service whose REMOTE is on the server."""
    with Spawn(build, arguments=("--filesystems-file", str(clean.conf))) as service:
        yield service


def programs(spawn, name):
    """Processes of this service with that name."""
    return [pid for pid in children(spawn.process.pid)
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == name]


def mounts(pid):
    """Of FUSE, in its mount namespace."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return pathlib.Path(f"/proc/{pid}/mountinfo").read_text().count(" - fuse")
    return 0


def begin(spawn, script, filesystem=REMOTE, **options):
    """A START whose answer is not waited for."""
    ident = spawn.new_id()
    socket.send_fds(spawn.channel, [start_message(ident, spawn.script(script), env=PATH,
                                                  filesystem=use(filesystem, **options))], [])
    return ident


def answer(spawn, ident):
    """(step, error) of a START that failed."""
    kind, _, body, _ = spawn.expect(ident, STARTED, START_FAILED)
    assert kind == START_FAILED
    return struct.unpack("=II", body)


@needs_sshfs
def test_over_sshfs(far, clean):
    (clean.remote / "in").write_text("far\n")
    assert shell(far, "cat /mnt/data/in; echo x > /mnt/data/out; mv /mnt/data/out /mnt/data/new; ls /mnt/data",
                 REMOTE) == "far\nin\nnew\n"
    assert (clean.remote / "new").read_text() == "x\n"
    assert read(far, REMOTE, "in") == b"far\n"
    assert look(far, REMOTE, "in")[1]["flags"] == 16
    (clean.remote / "d").mkdir(mode=0o777)
    assert shell(far, "ls -A /mnt/data; touch /mnt/data/x 2>&- || echo no", REMOTE, root="d", flags=USE_RO) == "no\n"
    assert len(programs(far, "sshfs")) == 1


@needs_sshfs
def test_sshfs_cannot_map_users(far):
    assert refused(far, REMOTE, user=(1000, 1000)) == errno.EOPNOTSUPP
    assert refused(far, REMOTE, "x", create=(1000, 1000, 0o755)) == errno.EOPNOTSUPP


@needs_sshfs
def test_attacks_over_sshfs(far, clean):
    for name, target in (("out", "../secret"), ("absolute", str(clean.top / "secret")), ("in", "f")):
        (clean.remote / name).symlink_to(target)
    (clean.remote / "f").write_text("f")
    os.mkfifo(clean.remote / "pipe")
    assert [look(far, REMOTE, name)[0] for name in ("out", "absolute", "in", "pipe")] == [
        errno.EPERM, errno.EPERM, 0, errno.EINVAL]  # sshfs itself refuses links that lead out
    said = attack(far, "filesystem", REMOTE)
    assert {name: said[name] for name in ("nosuid", "nodev", "mknod char", "link out", "umount", "mkfifo", "socket")} == {
        "nosuid": "ok", "nodev": "ok", "mknod char": "EPERM", "link out": "EXDEV", "umount": "EPERM", "mkfifo": "EACCES",
        "socket": "EACCES"}


def test_only_a_pipe_is_written_to(spawn, clean):
    """Who is written to would see root's credentials, on bytes that a stranger chose."""
    clean.file("f", b"x")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    file = File(spawn, DISK, "f", flags=FILE_READ, output=(os.dup(ours.fileno()), os.dup(theirs.fileno())))
    assert file.looked()["error"] == errno.EINVAL
    file.close()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        file = File(spawn, DISK, "f", kind=kind)
        with pytest.raises((AssertionError, TimeoutError, ConnectionResetError)):
            file.status.settimeout(0.2 if kind == socket.SOCK_DGRAM else DEADLINE_S)
            file.looked()
        file.close()
    theirs.close()
    assert ours.recv(8) == b""  # nothing came
    ours.close()
    assert shell(spawn, "cat /mnt/data/f") == "x"


def test_hands_that_die_are_not_missed(spawn, clean):
    """More often than a file system may lose hands: each is known to be dead, and not waited for."""
    clean.file("f", b"x")
    for _ in range(20):
        assert shell(spawn, "cat /mnt/data/f") == "x"
        for hand in programs(spawn, "lamina-hand"):
            os.kill(hand, signal.SIGKILL)
            wait_for(lambda: not pathlib.Path(f"/proc/{hand}").exists(), "the hand to be reaped")


@needs_sshfs
def test_its_program_has_no_rights(far):
    shell(far, "true", REMOTE)
    program, = programs(far, "sshfs")
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{program}/status").read_text().splitlines())
    assert [status[name] for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs")] == ["0" * 16] * 3 + ["1"]
    root = pathlib.Path(f"/proc/{program}/root")
    assert os.listdir(root / "run") in ([], ["systemd"])
    # A disk's node is written through a mount that is read only: none can be opened but those that everybody may.
    nodes = {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"}
    assert {f"/dev/{name}" for name in os.listdir(root / "dev")} == nodes | {"/dev/fd"}
    for line in pathlib.Path(f"/proc/{program}/mountinfo").read_text().splitlines():
        _, _, _, _, place, options, *_ = line.split()
        assert place in nodes or {"ro", "nodev", "nosuid"} <= set(options.split(",")), line


@needs_sshfs
def test_a_server_that_hangs_stops_nothing_else(far, server, clean):
    (clean.remote / "f").write_text("x")
    instance = far.start(far.script("echo up; read line; while true; do cat /mnt/data/f; done"), env=PATH,
                         filesystem=use(REMOTE))
    instance.wait_log("up")
    program, = programs(far, "sshfs")
    os.kill(program, signal.SIGSTOP)
    hanging = [begin(far, "true"), begin(far, "true")]
    file = File(far, REMOTE, "f", flags=FILE_READ)
    for _ in range(3):  # meanwhile
        assert shell(far, "echo well") == "well\n"
        assert shell(far, "echo well", OTHER) == "well\n"
    assert not [one for one in far.unread if one[1] in hanging]
    kind, _, body, _ = far.expect(hanging[0], STARTED, START_FAILED)
    assert kind == START_FAILED and struct.unpack("=II", body) == (16, errno.ETIMEDOUT)
    kind, _, body, fds = far.expect(hanging[1], STARTED, START_FAILED)  # as late, or tried again with a new connection
    assert kind == STARTED or struct.unpack("=II", body) == (16, errno.ETIMEDOUT)
    for fd in fds:
        os.close(fd)
    assert file.looked()["error"] in (errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNABORTED)
    file.close()
    # What hung was aborted: the instance that was in there can be ended, and the next one has a new connection.
    far.send(KILL, instance.id)
    far.exit(instance)
    assert shell(far, "cat /mnt/data/f", REMOTE) == "x"
    assert programs(far, "sshfs") != [program]


@needs_sshfs
def test_an_instance_that_hangs_is_ended_all_the_same(far, server, clean):
    """Nobody else uses the file system: that its server hangs is found out because of the KILL."""
    (clean.remote / "f").write_text("x")
    instance = far.start(far.script("exec 0< /mnt/data/f; echo up; while true; do ls /mnt/data > /dev/null; done"),
                         env=PATH, filesystem=use(REMOTE))
    instance.wait_log("up")
    os.kill(programs(far, "sshfs")[0], signal.SIGSTOP)
    far.send(KILL, instance.id)
    assert far.exit(instance)["flags"] & 2
    assert shell(far, "cat /mnt/data/f", REMOTE) == "x"


@needs_sshfs
def test_a_server_that_stops_in_the_middle_of_a_read(far, server, clean):
    (clean.remote / "big").write_bytes(bytes(64_000_000))
    file = File(far, REMOTE, "big", flags=FILE_READ)
    assert file.looked()["error"] == 0
    os.read(file.read, 1 << 20)
    server.stop()
    drain = threading.Thread(target=file.content)
    drain.start()
    end = file.ended()
    assert end["error"] in (errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNABORTED, errno.EIO), os.strerror(end["error"])
    assert end["bytes"] < 64_000_000
    server.go_on()
    drain.join()
    file.close()
    assert len(read(far, REMOTE, "big")) == 64_000_000


@needs_sshfs
def test_a_server_that_vanishes_and_comes_back(far, server, clean):
    (clean.remote / "f").write_text("x")
    instance = far.start(far.script("echo up; while cat /mnt/data/f > /dev/null 2>&1; do :; done; echo failed"), env=PATH,
                         filesystem=use(REMOTE))
    instance.wait_log("up")
    idle = far.start(far.script("sleep 1000"), env=PATH, filesystem=use(REMOTE))
    server.kill()
    instance.wait_log("failed")
    far.exit(instance)
    far.expect(idle.id, UNMOUNTED)  # laminad is to end it
    assert answer(far, begin(far, "true")) == (16, errno.ECONNREFUSED)
    assert look(far, REMOTE, "f")[0] == errno.ECONNREFUSED
    assert shell(far, "echo well") == "well\n"
    server.start()
    assert shell(far, "cat /mnt/data/f", REMOTE) == "x"
    for _ in range(5):  # away for a moment only: nobody who starts has to know
        server.kill()
        server.start()
        assert shell(far, "cat /mnt/data/f", REMOTE) == "x"


@needs_sshfs
def test_a_mount_of_the_hosts_that_hangs_holds_only_who_is_in_it(build, server, clean):
    """Under path= the connection is not lamina-spawn's to abort: what is stuck stays so, and nothing waits for it."""
    far = clean.top / "far"
    far.mkdir(exist_ok=True)
    (clean.remote / "f").write_text("x")
    kind, _, rest = server.mount.partition(":")
    source, _, options = rest.partition(",")
    assert kind == "fuse.sshfs"
    program = subprocess.Popen(["sshfs", source, far, "-f", "-o", f"{options},allow_other,attr_timeout=0,entry_timeout=0"])
    try:
        while not os.path.ismount(far):
            assert program.poll() is None
        clean.write(f"filesystem {REMOTE} path={far}")
        with Spawn(build, arguments=("--filesystems-file", str(clean.conf))) as spawn:
            assert shell(spawn, "cat /mnt/data/f", REMOTE) == "x"
            assert refused(spawn, REMOTE, user=(1000, 1000)) == errno.EOPNOTSUPP
            instance = spawn.start(spawn.script("echo up; while cat /mnt/data/f; do :; done > /dev/null"), env=PATH,
                                   filesystem=use(REMOTE))
            instance.wait_log("up")
            os.kill(program.pid, signal.SIGSTOP)
            assert look(spawn, REMOTE, "f")[0] == errno.ETIMEDOUT
            spawn.send(KILL, instance.id)
            for _ in range(3):
                assert shell(spawn, "echo well", OTHER) == "well\n"
                assert shell(spawn, "echo well") == "well\n"
            os.kill(program.pid, signal.SIGCONT)
            assert spawn.exit(instance)["flags"] & 2
            assert shell(spawn, "cat /mnt/data/f", REMOTE) == "x"
    finally:
        os.kill(program.pid, signal.SIGCONT)
        subprocess.run(["umount", "-l", far])
        program.kill()
        program.wait()


@needs_sshfs
def test_a_program_that_is_not_there(build, clean):
    clean.write(f"filesystem {REMOTE} mount=fuse.no-such-program:x:/y")
    with Spawn(build, arguments=("--filesystems-file", str(clean.conf))) as spawn:
        assert refused(spawn, REMOTE) == errno.ENOPKG
    clean.write("")


@needs_sshfs
def test_nothing_of_it_is_left(build, clean, server):
    for end in ("orderly", "spawn", "mounter"):
        spawn = Spawn(build, arguments=("--filesystems-file", str(clean.conf)))
        shell(spawn, "true", REMOTE)
        shell(spawn, "true")
        processes = children(spawn.process.pid)
        assert programs(spawn, "sshfs") and programs(spawn, "lamina-mounter")
        # Over sshfs: its mounter, hands and program see it; lamina-spawn, the keeper and the host do not.
        assert mounts("self") == mounts(spawn.process.pid) == 0
        assert [mounts(pid) for pid in programs(spawn, "lamina-mounter")].count(1) == 1
        if end == "spawn":
            spawn.process.kill()
            spawn.process.wait()
            spawn.forget()
        else:
            if end == "mounter":
                for pid in programs(spawn, "lamina-mounter"):
                    os.kill(pid, signal.SIGKILL)
                    wait_gone(pid)
                shell(spawn, "true", REMOTE)  # a new one
                processes += children(spawn.process.pid)
            spawn.close()
        for pid in processes:
            wait_gone(pid)


def wait_gone(pid):
    """Until the process has ended."""
    import select
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        ready, _, _ = select.select([fd], [], [], DEADLINE_S)
        os.close(fd)
        assert ready, pathlib.Path(f"/proc/{pid}/status").read_text()


# ---- when parts of it end at the wrong moment

@needs_sshfs
@pytest.mark.parametrize("how", ["line", "mounter"])
def test_an_instance_hears_that_its_mounter_has_ended(far, server, clean, how):
    idle = far.start(far.script("sleep 1000"), env=PATH, filesystem=use(REMOTE))
    local = far.start(far.script("sleep 1000"), env=PATH, filesystem=use(DISK))
    if how == "line":
        clean.write(f"filesystem {REMOTE} mount={server.mount} name=other")
        os.kill(far.process.pid, signal.SIGHUP)
    else:
        for pid in programs(far, "lamina-mounter"):
            os.kill(pid, signal.SIGKILL)
    far.expect(idle.id, UNMOUNTED)
    assert shell(far, "echo well", REMOTE) == "well\n"  # a new connection
    assert not [one for one in far.unread if one[0] == UNMOUNTED]  # a directory stays what it is
    assert local.id


def halt(pid):
    """Until all of its threads have stopped."""
    os.kill(pid, signal.SIGSTOP)
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        while state(task) != "T":
            pass


def state(process):
    """The letter of ps."""
    return (process / "stat").read_text().rsplit(")", 1)[1].split()[0]


def hands(spawn):
    return programs(spawn, "lamina-hand")


def syscall_of(pid):
    return pathlib.Path(f"/proc/{pid}/syscall").read_text().split()[0]


@needs_sshfs
def test_a_mount_that_was_made_as_its_server_went_is_not_handed_out(far, server, clean):
    """A hand has made it, then the program ends, and the mounter hears of both at once."""
    (clean.remote / "f").write_text("x")
    assert shell(far, "cat /mnt/data/f", REMOTE) == "x"
    program, = programs(far, "sshfs")
    mounter, = programs(far, "lamina-mounter")
    hand, = hands(far)
    waits = syscall_of(hand)
    halt(program)
    ident = begin(far, "cat /mnt/data/f")
    while syscall_of(hand) == waits:  # until it asks the program
        pass
    halt(mounter)
    os.kill(program, signal.SIGCONT)
    while syscall_of(hand) != waits:  # until it has answered
        pass
    os.kill(program, signal.SIGKILL)
    wait_gone(program)
    os.kill(mounter, signal.SIGCONT)
    kind, _, body, fds = far.expect(ident, STARTED, START_FAILED)
    assert kind == STARTED
    instance = Instance(ident, body, fds)
    far.instances.append(instance)
    assert instance.log() == "x"
    far.exit(instance)


@needs_sshfs
def test_the_service_ends_while_an_instance_hangs(far, server, clean):
    """Its close() checks that nothing is left, and that no error was logged."""
    (clean.remote / "f").write_text("x")
    instance = far.start(far.script("exec 0< /mnt/data/f; echo up; while true; do ls /mnt/data > /dev/null; done"),
                         env=PATH, filesystem=use(REMOTE))
    instance.wait_log("up")
    os.kill(programs(far, "sshfs")[0], signal.SIGSTOP)
