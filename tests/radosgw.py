# SPDX-License-Identifier: MIT
"""A real object store beside ours: Ceph's radosgw (Debian's packages), a monitor and one OSD that keeps everything in
memory, all on loopback, with a directory and ports of their own. Ended by pid.

    with RadosGateway() as gateway:
        gateway.client("s3").list_buckets()

Starting takes about ten seconds, so tests of a file share one (fixture `radosgw` of conftest.py). Debian 12 has Ceph
16.2: it takes no checksums other than Content-MD5 and x-amz-content-sha256, and no trailers behind a streamed body.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
import uuid

from lamina_service import DEADLINE_S, clean_environment, wait_for

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
REGION = "default"
MEMORY_BYTES = 6 << 30  # what the OSD says it has; nothing is taken before it is written

CONFIG = """[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon}/0]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_mon_client_mode = crc
run_dir = {root}
admin_socket =
log_file = {root}/$name.log
mon_cluster_log_file = {root}/cluster.log
mon_data = {root}/mon
osd_data = {root}/osd
osd_objectstore = memstore
memstore_device_bytes = {memory}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_warn_on_pool_no_redundancy = false
mon_data_avail_crit = 1
mon_data_avail_warn = 1
osd_class_dir = /usr/lib/x86_64-linux-gnu/rados-classes
rgw_region =
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
rgw_enable_quota_threads = false
rgw_dynamic_resharding = false
rgw_run_sync_thread = false
rgw_nfs_lru_lanes = 1
rgw_frontends = beast endpoint=127.0.0.1:{http}
rgw_dns_name = s3.localhost
"""


def missing():
    """Programs that are not installed."""
    return [name for name in PROGRAMS if not shutil.which(name, path="/usr/bin:/usr/sbin:/bin")]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class RadosGateway:
    """A running gateway: endpoint, credentials and boto3 clients, as lamina_service.Service has them."""

    credentials = {"aws_access_key_id": "RADOSGWTESTKEY000000", "aws_secret_access_key": "a-secret-of-the-tests-only"}
    region = "us-east-1"

    def __enter__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="lamina-rgw-"))
        self.home = self.root / "home"
        self.home.mkdir()
        self.running = []
        self.endpoint = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *failure):
        self.close()

    # ---- Life

    def _start(self):
        http, fsid = free_port(), str(uuid.uuid4())
        mon = free_port()
        self.config = self.root / "ceph.conf"
        self.config.write_text(CONFIG.format(fsid=fsid, root=self.root, mon=mon, http=http, memory=MEMORY_BYTES))
        monmap = self.root / "monmap"
        (self.root / "osd").mkdir()
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon}]", monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._spawn("ceph-mon", "-f", "-i", "a", "--public-addr", f"v2:127.0.0.1:{mon}")
        osd = str(uuid.uuid4())
        self._run("ceph", "--connect-timeout", str(DEADLINE_S), "osd", "new", osd, "0")
        self._run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd)
        self._spawn("ceph-osd", "-f", "-i", "0")
        self._spawn("radosgw", "-f", "-n", "client.rgw")
        self.endpoint = f"http://127.0.0.1:{http}"
        wait_for(self._answers, "radosgw to answer")
        self._run("radosgw-admin", "user", "create", "--uid=tests", "--display-name=tests",
                  "--access-key=" + self.credentials["aws_access_key_id"],
                  "--secret=" + self.credentials["aws_secret_access_key"])

    def _answers(self):
        for program, process in self.running:
            if process.poll() is not None:
                raise AssertionError(f"{program} ended with {process.returncode}:\n{self.log_tail()}")
        try:
            urllib.request.urlopen(self.endpoint, timeout=5).close()
            return True
        except (urllib.error.URLError, OSError):
            return False

    def close(self):
        for _, process in reversed(self.running):
            process.send_signal(signal.SIGKILL)  # nothing of it is to be kept
            process.wait()
        self.running = []
        shutil.rmtree(self.root, ignore_errors=True)

    def log_tail(self):
        texts = [path.read_text(errors="replace")[-2000:] for path in sorted(self.root.glob("*.log"))]
        return "\n".join(texts)

    def _command(self, program, *arguments):
        return [program, "-c", str(self.config), *(str(each) for each in arguments)]

    def _environment(self):
        env = clean_environment(self.home)
        env["CEPH_CONF"] = str(self.config)
        return env

    def _run(self, program, *arguments):
        command = self._command(program, *arguments)
        if program == "monmaptool":
            command = [program, *(str(each) for each in arguments)]
        done = subprocess.run(command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S, cwd=self.root)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{self.log_tail()}")

    def _spawn(self, program, *arguments):
        with open(self.root / f"{program}.out.log", "wb") as log:
            process = subprocess.Popen(self._command(program, *arguments), env=self._environment(), cwd=self.root,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running.append((program, process))

    # ---- Clients

    @property
    def env(self):
        """An environment in which AWS's clients reach it."""
        env = clean_environment(self.home)
        env.update(AWS_ACCESS_KEY_ID=self.credentials["aws_access_key_id"],
                   AWS_SECRET_ACCESS_KEY=self.credentials["aws_secret_access_key"],
                   AWS_REGION=self.region, AWS_DEFAULT_REGION=self.region, AWS_ENDPOINT_URL=self.endpoint)
        return env

    def client(self, name="s3", **settings):
        import boto3
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=DEADLINE_S,
                        read_timeout=2 * DEADLINE_S, max_pool_connections=64, proxies={})
        options = dict(endpoint_url=self.endpoint, region_name=self.region, config=config, **self.credentials)
        options.update(settings)
        return boto3.session.Session().client(name, **options)

    def aws(self, *arguments, check=True, **options):
        """Runs Debian's AWS CLI against it. The result has returncode, stdout and stderr (text)."""
        env = self.env
        env.update(options.pop("env", {}))
        settings = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                        timeout=2 * DEADLINE_S, cwd=str(self.root))
        settings.update(options)
        if "input" in settings:
            del settings["stdin"]
        command = ["/usr/bin/aws", "--endpoint-url", self.endpoint, *(str(each) for each in arguments)]
        done = subprocess.run(command, env=env, **settings)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done
