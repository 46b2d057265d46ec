# SPDX-License-Identifier: MIT
"""File systems for functions: a directory, or the same directory over sshfs, in a file for --filesystems-file.

    with Share() as share:
        service = make_service(*share.flags)
        share.put("m.onnx", data)                    # beside it, synced, renamed into its place
        client.create_function(..., **share.config)  # FileSystemConfigs, mounted at /mnt/models
"""
import os
import pathlib
import shutil
import tempfile

from ssh_server import SshServer, children

UID = 1234
MOUNT = "/mnt/models"


class Share:
    def __init__(self, over_ssh=False, options=""):
        # Directly beneath the temporary directory, and open to all: others than root read in it.
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="lamina-share-"))
        self.place.chmod(0o755)
        self.directory = self.place / "files"
        self.directory.mkdir()
        self.directory.chmod(0o755)
        os.chown(self.directory, UID, UID)
        self.server = SshServer(self.directory).start() if over_ssh else None
        what = f"mount={self.server.mount}" if over_ssh else f"path={self.directory} uid={UID} gid={UID}"
        self.file = self.place / "etc/filesystems.conf"
        self.file.parent.mkdir()
        self.id, self.point = "fs-" + "0" * 16 + "1", "fsap-" + "0" * 16 + "2"
        self.file.write_text(f"filesystem {self.id} {what} name=share {options}\naccess-point {self.point} {self.id}\n")
        self.file.chmod(0o644)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.close()
        shutil.rmtree(self.place, ignore_errors=True)

    @property
    def flags(self):
        return "--filesystems-file", self.file

    @property
    def arn(self):
        return f"arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/{self.point}"

    @property
    def config(self):
        return {"FileSystemConfigs": [{"Arn": self.arn, "LocalMountPath": MOUNT}]}

    def put(self, name, data, age_s=None):
        """As a careful writer does it. age_s: it looks as old as that."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name("." + path.name + ".part")
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chown(temporary, UID, UID)
        if age_s is not None:
            then = temporary.stat().st_mtime - age_s
            os.utime(temporary, (then, then))
        temporary.rename(path)
        return path

    def server_reads(self):
        """Bytes that the server's processes have read of files, with their requests. (Others hand on what these read.)"""
        total = 0
        for pid in children(self.server.process.pid):
            if b"internal-sftp" not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                continue
            for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith("rchar:"):
                    total += int(line.split()[1])
        return total
