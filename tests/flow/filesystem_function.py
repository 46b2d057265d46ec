# SPDX-License-Identifier: MIT
"""Services with file systems, and a Python function that does in /mnt what its event says.

    with share(build) as shared:                    a service whose file of file systems is its own
        made = shared.create(shared.directory("models", uid=1234))
        client.create_function(**reader("f", made["AccessPointArn"]))
        do(client, "f", list="/mnt/x")
"""
import contextlib
import json
import os
import pathlib
import tempfile

from lambda_function import invoke, settings, zip_of
from lamina_service import Service

HANDLER = """
import errno, os

def attempt(work):
    try:
        return work()
    except OSError as problem:
        return {"error": errno.errorcode[problem.errno]}

def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return "written"

def look(path):
    its = os.lstat(path)
    return {"uid": its.st_uid, "gid": its.st_gid, "mode": its.st_mode & 0o7777}

WORK = {
    "list": lambda path: sorted(os.listdir(path)),
    "read": lambda path: open(path).read(),
    "stat": look,
    "write": lambda argument: write(*argument),
    "mkdir": lambda path: os.mkdir(path),
    "mknod": lambda path: os.mknod(path, 0o20666, os.makedev(1, 3)),
    "chown": lambda argument: os.chown(argument[0], argument[1], argument[2]),
    "symlink": lambda argument: os.symlink(*argument),
    "mounts": lambda path: [line.split()[3] for line in open("/proc/self/mounts") if line.split()[1] == path],
    "ids": lambda _: [os.getuid(), os.getgid()],
}

def handler(event, context):
    return {name: attempt(lambda: WORK[name](argument)) for name, argument in event.items()}
"""

VPC = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}


def configs(arn, path="/mnt/x"):
    return [{"Arn": arn, "LocalMountPath": path}]


def reader(name, arn=None, path="/mnt/x", **changes):
    """Parameters of CreateFunction."""
    made = settings(name, Runtime="python3.11", Handler="app.handler", Code={"ZipFile": zip_of({"app.py": HANDLER})})
    if arn:
        made.update(FileSystemConfigs=configs(arn, path), VpcConfig=VPC)
    made.update(changes)
    return made


def do(client, name, **work):
    """What the function answers; it must have worked."""
    return invoke(client, name, json.dumps(work).encode())


class Share:
    """A service with a file of file systems of its own."""

    def __init__(self, service, root):
        self.service, self.root = service, root
        self.file = root / "etc" / "filesystems.conf"

    def directory(self, name, uid=1234, gid=None, mode=0o755):
        path = self.root / name
        path.mkdir()
        os.chown(path, uid, uid if gid is None else gid)
        path.chmod(mode)
        return path

    def create(self, path, *arguments):
        """lamina filesystem create -o json."""
        done = self.service.lamina("filesystem", "create", "--path", path, "-o", "json", *arguments)
        return json.loads(done.stdout)


@contextlib.contextmanager
def share(build, *flags):
    with contextlib.ExitStack() as stack:
        root = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamina-share-")))
        root.chmod(0o755)
        file = root / "etc" / "filesystems.conf"
        file.parent.mkdir()
        service = stack.enter_context(Service(build, "--filesystems-file", file, *flags))
        yield Share(service, root)
