# SPDX-License-Identifier: MIT
"""A model on a function's file system: read once, noticed when it is another, and no trouble when the server is."""
import collections
import concurrent.futures
import hashlib
import json
import os
import signal
import subprocess
import threading

import pytest
from botocore.exceptions import ClientError

from lambda_function import function, settings, zip_of
from lamina_service import wait_for
from model_function import needs_library
from random_model import mlp, some_input
from shared_files import MOUNT, Share
from ssh_server import missing
from test_s3_switch import REQUEST, call, scale, status

pytestmark = needs_library
needs_ssh = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()} (tools/deps check)")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def share():
    with Share() as made:
        yield made


@pytest.fixture
def far():
    with Share(over_ssh=True) as made:
        yield made


def model_settings(build, share, path="m.onnx", **variables):
    code = {"ZipFile": zip_of({"bootstrap": (build / "runtime/bin/lamina-model").read_bytes()})}
    return {"Code": code, "Environment": {"Variables": {"MODEL_PATH": f"{MOUNT}/{path}", **variables}},
            "MemorySize": 512, **share.config}


def model_function(build, client, share, path="m.onnx", refresh="1"):
    return function(client, "f", **model_settings(build, share, path, MODEL_REFRESH_S=refresh))


def described(service, name="f"):
    return json.loads(service.lamina("describe", name, "-o", "json").stdout)["model"]


def test_a_model_is_read_into_the_store_and_prepared(build, make_service, share):
    data = scale(3)
    share.put("a/b/m.onnx", data)
    service = make_service(*share.flags)
    client = service.client("lambda")
    with model_function(build, client, share, "a/b/m.onnx"):
        assert call(client) == (3, sha256(data))
        shown = described(service)
        assert shown["sha256"] == sha256(data) and shown["prepared"], shown
        variables = client.get_function_configuration(FunctionName="f")["Environment"]["Variables"]
        assert variables["MODEL_PATH"] == f"{MOUNT}/a/b/m.onnx"
        digest = sha256(data)
        stored = service.data_dir / "objects" / digest[:2] / digest
        assert stored.read_bytes() == data and stored.stat().st_ino != (share.directory / "a/b/m.onnx").stat().st_ino


def test_the_handler_may_name_it(build, make_service, share):
    share.put("m.onnx", scale(2))
    client = make_service(*share.flags).client("lambda")
    more = model_settings(build, share)
    del more["Environment"]
    with function(client, "f", **{**more, "Handler": f"{MOUNT}/m.onnx"}):
        assert call(client)[0] == 2


def test_renames_under_load_fail_no_call_and_mix_nothing(build, make_service, share):
    """Ten new models in a row and a corrupt one as the eleventh, while four callers go on calling."""
    factors = {}

    def put(factor):
        data = scale(factor)
        factors[sha256(data)] = factor
        share.put("m.onnx", data)
        return sha256(data)
    put(1)
    service = make_service(*share.flags)
    client = service.client("lambda")
    with model_function(build, client, share):
        published = client.publish_version(FunctionName="f")["Version"]
        failures, answers, stop = [], collections.Counter(), threading.Event()

        def caller():
            own = service.client("lambda")
            while not stop.is_set():
                try:
                    answers[call(own)] += 1
                except (AssertionError, ClientError, KeyError) as failure:
                    failures.append(repr(failure))
        callers = [threading.Thread(target=caller) for _ in range(4)]
        for each in callers:
            each.start()
        try:
            for factor in range(2, 12):
                digest = put(factor)
                wait_for(lambda: failures or (factor, digest) in answers, f"model {factor} to answer")
            share.put("m.onnx", scale(12)[:-20] + b"\xff" * 20)
            wait_for(lambda: failures or status(client)[0] == "Failed", "the corrupt model to be refused")
            wait_for(lambda: failures or call(client)[0] == 11, "the eleventh to serve on")
        finally:
            stop.set()
            for each in callers:
                each.join()
        assert not failures, failures[:3]
        assert all(factors[digest] == value for value, digest in answers), "an answer mixed two models"
        assert "does not load" in status(client)[1]
        assert call(client, Qualifier=published)[0] == 1, "a published version keeps its model"


def test_one_overwritten_in_place_is_a_new_version_and_crashes_nothing(build, make_service, share):
    path = share.put("m.onnx", scale(1))
    client = make_service(*share.flags).client("lambda")
    with model_function(build, client, share):
        assert call(client)[0] == 1
        path.write_bytes(b"")  # as it is for a moment, when somebody copies over it
        assert call(client)[0] == 1
        path.write_bytes(scale(2))
        wait_for(lambda: call(client)[0] == 2, "the new content to answer")
        path.unlink()
        assert call(client)[0] == 2
        share.put("m.onnx", scale(3))
        wait_for(lambda: call(client)[0] == 3, "the next one")


def test_the_same_size_and_time_is_noticed_by_the_digest(build, make_service, share):
    path = share.put("m.onnx", scale(1))
    client = make_service(*share.flags).client("lambda")
    with model_function(build, client, share):
        assert call(client)[0] == 1
        before = path.stat()
        path.write_bytes(scale(2))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        wait_for(lambda: call(client)[0] == 2, "the new content to answer")


def test_rollback_is_there_and_back(build, make_service, share):
    share.put("m.onnx", scale(1))
    service = make_service(*share.flags)
    client = service.client("lambda")
    with model_function(build, client, share):
        share.put("m.onnx", scale(2))
        wait_for(lambda: call(client)[0] == 2, "the second model")
        service.lamina("rollback", "f")
        assert call(client)[0] == 1
        share.put("m.onnx", scale(2))  # the same again: it was rolled back, and stays so
        share.put("m.onnx", scale(3))
        wait_for(lambda: call(client)[0] == 3, "the third")
        service.lamina("rollback", "f")
        assert call(client)[0] == 1


def test_what_was_read_survives_a_kill_and_a_file_that_is_gone(build, make_service, share):
    path = share.put("m.onnx", scale(4))
    service = make_service(*share.flags)
    client = service.client("lambda")
    client.create_function(**settings("f", **model_settings(build, share, MODEL_REFRESH_S="1")))
    client.get_waiter("function_active_v2").wait(FunctionName="f")
    service.stop(signal.SIGKILL)
    path.unlink()
    service.start()
    assert call(service.client("lambda"))[0] == 4


def failure(client, name, more):
    client.create_function(**settings(name, **more))
    made = wait_for(lambda: next((c for c in [client.get_function_configuration(FunctionName=name)]
                                  if c["State"] != "Pending"), None), "the deployment to end")
    assert made["State"] == "Failed", made
    return made["StateReasonCode"], made["StateReason"]


def test_what_is_no_file_is_refused_at_once(build, make_service, share):
    """Each named model.onnx, and none of them keeps anybody waiting."""
    outside = share.place / "outside.onnx"
    outside.write_bytes(scale(1))
    (share.directory / "directory.onnx").mkdir()
    (share.directory / "file").write_bytes(b"x")
    os.mkfifo(share.directory / "fifo.onnx", 0o666)
    os.mknod(share.directory / "device.onnx", 0o666 | 0o20000, os.makedev(1, 3))
    (share.directory / "link.onnx").symlink_to(outside)
    (share.directory / "up.onnx").symlink_to("../outside.onnx")
    secret = share.put("secret.onnx", scale(1))
    os.chown(secret, 0, 0)
    secret.chmod(0o600)
    client = make_service(*share.flags).client("lambda")
    expected = {"none.onnx": "no such file", "directory.onnx": "a directory", "fifo.onnx": "no regular file",
                "device.onnx": "no regular file", "link.onnx": "", "up.onnx": "", "file/m.onnx": "no directory",
                "secret.onnx": "may not"}
    for number, (path, words) in enumerate(expected.items()):
        code, reason = failure(client, f"f{number}", model_settings(build, share, path))
        assert code == "EFSMountFailure" and path in reason and words in reason, (path, code, reason)


def test_an_immutable_file_is_mapped_where_it_lies(build, make_service):
    with Share(options="immutable") as share:
        data = scale(5)
        share.put("m.onnx", data)
        service = make_service(*share.flags)
        client = service.client("lambda")
        with model_function(build, client, share):
            assert call(client) == (5, sha256(data))
            assert not list(service.data_dir.glob(f"objects/*/{sha256(data)}*"))


# ---- over the network


def test_two_hundred_first_calls_read_it_once(build, make_service, far):
    if missing():
        pytest.skip(f"not installed: {missing()}")
    data = mlp(16 << 20)
    far.put("m.onnx", data)
    service = make_service(*far.flags)
    client = service.client("lambda")
    far.put("small.onnx", scale(1))
    with function(client, "warm", **model_settings(build, far, "small.onnx")):  # the mount, and its connections
        before = far.server_reads()
        client.create_function(**settings("f", **model_settings(build, far)))
        request = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1024],
                                          "data": some_input()}]}).encode()
        client.get_waiter("function_active_v2").wait(FunctionName="f")
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            clients = [service.client("lambda") for _ in range(20)]
            answers = list(pool.map(lambda i: clients[i % 20].invoke(FunctionName="f", Payload=request)
                                    ["Payload"].read(), range(200)))
        assert all(b'"outputs"' in answer for answer in answers), answers[0][:300]
        read = far.server_reads() - before
        assert len(data) <= read < len(data) + (2 << 20), f"{read} bytes read of a file of {len(data)}"
        client.delete_function(FunctionName="f")


@needs_ssh
def test_a_server_that_hangs_and_goes_holds_nothing(build, make_service, far):
    far.put("m.onnx", scale(1), age_s=60)
    service = make_service(*far.flags)
    client = service.client("lambda")
    with model_function(build, client, far), function(client, "other"):
        assert call(client)[0] == 1
        far.server.stop()
        wait_for(lambda: "model.look_failed" in service.log(), "a look to be given up")
        assert call(client)[0] == 1
        client.invoke(FunctionName="other")
        far.server.go_on()
        far.put("m.onnx", scale(2), age_s=60)
        wait_for(lambda: call(client)[0] == 2, "the next model, once the server answers")
        far.server.kill()
        far.put("m.onnx", scale(3), age_s=60)
        assert call(client)[0] == 2
        far.server.start()
        wait_for(lambda: call(client)[0] == 3, "the next model, once the server is back")


# ---- lamina deploy


def deploy(service, share, path, *more, **options):
    return service.lamina("deploy", str(path), "--strategy", "filesystem", "--name", "f",
                          "--filesystems-file", str(share.file), *more, **options)


def test_one_command_uses_a_file_where_it_lies(make_service, share):
    path = share.put("some/m.onnx", scale(3))
    service = make_service(*share.flags)
    deploy(service, share, path)
    assert call(service.client("lambda"))[0] == 3
    shown = service.client("lambda").get_function_configuration(FunctionName="f")
    assert shown["Environment"]["Variables"]["MODEL_PATH"] == f"{MOUNT}/some/m.onnx"
    assert shown["FileSystemConfigs"] == share.config["FileSystemConfigs"]
    share.put("some/m.onnx", scale(4))
    wait_for(lambda: call(service.client("lambda"))[0] == 4, "the new model to answer")


def test_one_command_copies_a_file_into_one(make_service, share, tmp_path):
    (tmp_path / "m.onnx").write_bytes(scale(3))
    service = make_service(*share.flags)
    deploy(service, share, tmp_path / "m.onnx", "--filesystem", "share")
    assert call(service.client("lambda"))[0] == 3
    assert (share.directory / "f/m.onnx").read_bytes() == scale(3)
    (tmp_path / "m.onnx").write_bytes(scale(4))
    deploy(service, share, tmp_path / "m.onnx", "--filesystem", share.arn)
    wait_for(lambda: call(service.client("lambda"))[0] == 4, "the new model to answer")
    assert sorted(os.listdir(share.directory / "f")) == ["m.onnx"]


def test_one_command_makes_a_file_system_where_there_is_none(make_service, share, tmp_path):
    share.file.write_text("# mine\n")
    (tmp_path / "m.onnx").write_bytes(scale(6))
    service = make_service(*share.flags)
    deploy(service, share, tmp_path / "m.onnx", "--filesystem", str(share.directory))
    assert call(service.client("lambda"))[0] == 6
    assert share.file.read_text().startswith("# mine\nfilesystem fs-")


def test_what_cannot_be_deployed_is_said(make_service, share, tmp_path):
    (tmp_path / "m.onnx").write_bytes(scale(1))
    service = make_service(*share.flags)

    def refused(*more, **options):
        done = deploy(service, share, tmp_path / "m.onnx", *more, check=False, **options)
        assert done.returncode == 1
        return done.stderr
    assert "names none" in refused("--filesystem", "nosuch")
    assert "without '..'" in refused("--filesystem", "share", "--destination", "../x.onnx")
    (share.directory / "away").symlink_to(tmp_path)
    assert "away/x.onnx" in refused("--filesystem", "share", "--destination", "away/x.onnx")
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize("options, words", [("size=64k", "No space left"), ("ro", "Read-only file system")])
def test_a_file_system_that_is_full_or_read_only_is_said_and_left_as_it_was(make_service, share, tmp_path, options, words):
    (tmp_path / "m.onnx").write_bytes(mlp(1 << 20, width=512))
    service = make_service(*share.flags)
    command = [service.build / "lamina", "deploy", tmp_path / "m.onnx", "--strategy", "filesystem", "--name", "f",
               "--filesystem", "share", "--filesystems-file", share.file]
    script = f'mount -t tmpfs -o {options} none "$0" && "$@"; echo $? && find "$0" -type f'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, share.directory, *command], env=service.env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n" and words in done.stderr and str(share.directory) in done.stderr, done
    with pytest.raises(ClientError):
        service.client("lambda").get_function(FunctionName="f")
