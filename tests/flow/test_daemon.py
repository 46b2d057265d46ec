# SPDX-License-Identifier: MIT
"""laminad's own life: options, configuration file, readiness, files in the data directory, and who may start it."""
import contextlib
import io
import os
import pathlib
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import urllib.parse
import zipfile

import botocore.config
import botocore.exceptions
import pytest

from lamina_service import DEADLINE_S, open_url, wait_for


def run(build, *arguments, **options):
    return subprocess.run([build / "laminad", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE_S, **options)


def test_help_names_every_setting_and_version_the_version(build):
    done = run(build, "--help")
    assert done.returncode == 0
    for name in ("--data-dir", "LAMINA_DATA_DIR", "--listen", "127.0.0.1:4566", "LAMINA_CONCURRENCY", "--keepalive-s"):
        assert name in done.stdout
    assert run(build, "--version").stdout.startswith("laminad 0.")


@pytest.mark.parametrize("arguments, says", [
    (["--nonsense", "1"], "unknown option --nonsense"),
    (["--concurrency", "0"], "--concurrency: '0' is outside 1 to 2000"),
    (["--data-dir", "relative"], "is not an absolute path"),
    (["--config", "/nowhere"], "read the configuration file '/nowhere'"),
])
def test_bad_options_are_refused_with_status_2(build, arguments, says):
    done = run(build, *arguments)
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.startswith("laminad: ")


def test_only_root_may_start_it(build):
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        # The build may lie where nobody else can walk, so the program is run through a descriptor.
        with open(build / "laminad", "rb") as program:
            done = subprocess.run([f"/proc/self/fd/{program.fileno()}", "--data-dir", f"{place}/data"],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S,
                                  pass_fds=[program.fileno()], user=65534, group=65534, extra_groups=[], cwd="/",
                                  env={"PATH": "/usr/bin:/bin"})
        assert done.returncode == 1, done.stderr
        assert "must be started as root" in done.stderr


def test_a_port_that_is_taken_is_told(make_service):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = make_service(start=False, listen=f"127.0.0.1:{port}")
        with pytest.raises(AssertionError, match="before it was ready"):
            service.start()
        assert "Address already in use" in service.log()
        service.process = None


def test_the_configuration_file_is_read(make_service):
    file = tempfile.NamedTemporaryFile("w", suffix=".conf")
    file.write("# ours\nregion = eu-central-1\nconcurrency = 7\n")
    file.flush()
    service = make_service("--config", file.name, "--account-id", "123456789012")
    client = service.client(region_name="eu-central-1")
    assert client.list_functions()["Functions"] == []
    assert service.client("sts", region_name="eu-central-1").get_caller_identity()["Account"] == "123456789012"
    file.close()


def test_the_data_directory_says_where_the_service_is(service):
    assert (service.data_dir / "endpoint").read_text() == service.endpoint + "\n"
    assert int((service.data_dir / "laminad.pid").read_text()) == service.spawn_pid
    keys = os.stat(service.data_dir / "credentials")
    assert stat.S_IMODE(keys.st_mode) == 0o600 and keys.st_uid != 0
    status = pathlib.Path(f"/proc/{service.pid('laminad')}/status").read_text()
    assert "Uid:\t0\t" not in status
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status


def test_the_service_manager_is_told_when_it_is_ready(make_service):
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        path = f"{place}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            os.chmod(path, 0o777)
            manager.settimeout(DEADLINE_S)
            service = make_service(env={"NOTIFY_SOCKET": path})
            assert manager.recv(4096).decode().startswith("READY=1")
            assert "daemon.ready" in service.log()
            with open_url(service.endpoint + "/healthz") as answer:
                assert answer.status == 200
            assert service.stop() == 0
            assert manager.recv(4096).decode().startswith("STOPPING=1")


def large_package():
    """A zip that takes a while to unpack: many files, each of its own content."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("bootstrap", "#!/bin/sh\n")
        for number in range(4000):
            archive.writestr(f"data/{number}", f"{number}\n" * 500)
    return packed.getvalue()


def test_an_impatient_end_during_a_deployment_is_an_orderly_one(make_service):
    """The second signal waits for nothing: the threads that unpack are still at it while the process ends."""
    service = make_service()
    client = service.client(config=botocore.config.Config(retries={"total_max_attempts": 1}))

    def create():
        try:
            client.create_function(FunctionName="large", Runtime="provided.al2023", Handler="x",
                                   Role="arn:aws:iam::000000000000:role/x", Code={"ZipFile": large_package()})
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            pass  # it is cut off

    def is_unpacking():
        return any((service.data_dir / "objects").glob("??/?*"))

    caller = threading.Thread(target=create)
    caller.start()
    wait_for(is_unpacking, "the package to be unpacked")
    os.kill(service.spawn_pid, signal.SIGTERM)
    wait_for(lambda: "daemon.stop" in service.log(), "the first signal to be heard")
    assert service.stop() == 0, service.log()
    caller.join(DEADLINE_S)
    assert "Sanitizer" not in service.log(), service.log()
    service.start()  # on what is left
    names = [function["FunctionName"] for function in service.client().list_functions()["Functions"]]
    assert names in ([], ["large"])


@pytest.fixture
def few_files(make_service, monkeypatch):
    """few_files(limit, *flags): a service that cannot raise its limit of open files."""
    def start(limit, *flags):
        service = make_service(*flags, start=False)
        popen = subprocess.Popen
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", lambda command, **options: popen(
                ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "prlimit",
                 f"--nofile={limit}:{limit}", *command], **options))
            service.start(wait=False)
        return service
    return start


def test_clients_get_no_descriptors_that_instances_need(few_files):
    service = few_files(1024, "--concurrency", "100")
    service.wait_ready()
    assert "limit=1024 connections=68 wanted=10000" in service.log()
    address = urllib.parse.urlsplit(service.endpoint)
    with contextlib.ExitStack() as stack:
        for _ in range(100):  # those that are too many are closed or wait; the service lives
            stack.enter_context(socket.create_connection((address.hostname, address.port), DEADLINE_S))
    assert service.client().list_functions()["Functions"] == []
    assert service.stop() == 0


def test_too_few_descriptors_are_told_before_the_start(few_files):
    service = few_files(900, "--concurrency", "100")
    assert service.process.wait(DEADLINE_S) == 1
    assert "the limit of open files, 900, is too low for --concurrency 100, which takes 972" in service.log()
    service.process = None
