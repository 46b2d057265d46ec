# SPDX-License-Identifier: MIT
"""Hot models are held in sealed memory: instances map it, nobody can change it, and it is bounded."""
import json
import os
import pathlib
import signal

import pytest

import random_model
from lambda_function import signed
from lamina_service import command_lines, is_alive, wait_for
from model_function import needs_library
from probe import instances
from test_prepared_models import call, deploy, first_call, folder, loaded, loads, prepare, write  # noqa: F401 (a fixture)

pytestmark = needs_library
WIDTH = 1024
MIB = 1 << 20
# What is measured on a busy machine may speak for packed weights, which are memory of their own: not held.
UNPACKED = ("--env", "LAMINA_PREPACK=off")


def model(folder, name, seed, layers=2):  # noqa: F811
    return write(folder, name, random_model.mlp(layers * WIDTH * WIDTH * 4, width=WIDTH, seed=seed))


def status(service):
    return json.loads(service.lamina("status", "-o", "json").stdout)


def cache_pid(service):
    """Of this service's lamina-cache: the one whose data directory's device it was started by cannot be told from
    outside, so tests of it run one at a time, as this file's do."""
    found = [pid for pid, arguments in command_lines() if arguments[0] == "lamina-cache" and is_alive(pid)
             and service.process.pid in ancestors(pid)]
    return found[0] if found else None


def ancestors(pid):
    found = []
    while pid > 1:
        stat = pathlib.Path("/proc", str(pid), "stat").read_text()
        pid = int(stat.rsplit(")", 1)[1].split()[1])
        found.append(pid)
    return found


def memory_group(pid):
    """The directory of a process's memory cgroup."""
    for line in pathlib.Path("/proc", str(pid), "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("memory", ""):
            for root in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
                directory = pathlib.Path(root + path)
                if (directory / "memory.usage_in_bytes").exists() or (directory / "memory.current").exists():
                    return directory
    raise AssertionError("process %d is in no memory cgroup that is mounted here" % pid)


def charged(pid):
    """Bytes of its memory cgroup: all, and those of memory files."""
    directory = memory_group(pid)
    name = "memory.usage_in_bytes" if (directory / "memory.usage_in_bytes").exists() else "memory.current"
    stat = dict(line.split() for line in (directory / "memory.stat").read_text().splitlines())
    return int((directory / name).read_text()), int(stat["shmem"])


def restart_instances(service, name, value):
    """Another configuration: instances of the earlier one are not used any more."""
    client = service.client("lambda")
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"ANY": value, "LAMINA_PREPACK": "off"}})
    client.get_waiter("function_updated").wait(FunctionName=name)


def restarted(service, name, value):
    """How the model is loaded by what starts from now on."""
    before = len(loads(service, name))
    restart_instances(service, name, value)
    return first_call(service, name, random_model.some_input(WIDTH), WIDTH, before)[1]


def test_instances_of_a_hot_model_map_sealed_memory(fresh_service, folder):  # noqa: F811
    path = model(folder, "hot.onnx", 1)
    deploy(fresh_service, path, "hot", *UNPACKED)
    values = random_model.some_input(WIDTH)
    first, log = first_call(fresh_service, "hot", values, WIDTH)
    assert "prepared=yes sealed=yes" in log  # from the first start on
    assert "prepared=yes sealed=yes" in restarted(fresh_service, "hot", "again")
    assert call(fresh_service, "hot", values, WIDTH) == first
    told = status(fresh_service)
    assert told["cache_running"] and 8 * MIB <= told["cached_bytes"] <= told["cache_limit_bytes"]
    assert "cache.held" in fresh_service.log()


def test_its_pages_are_the_caches(fresh_service, folder):  # noqa: F811
    """28 MB of weights: read in one go, and charged to lamina-cache, however many instances map them."""
    deploy(fresh_service, model(folder, "charged.onnx", 7, layers=7), "charged", *UNPACKED)
    assert "sealed=yes" in first_call(fresh_service, "charged", random_model.some_input(WIDTH), WIDTH)[1]
    assert charged(cache_pid(fresh_service))[0] > 28 * MIB
    runtimes = [pid for pid, arguments in command_lines() if is_alive(pid) and fresh_service.process.pid in ancestors(pid)
                and arguments[0].endswith("bootstrap")]
    assert runtimes
    for pid in runtimes:
        assert "memfd:model" in pathlib.Path("/proc", str(pid), "maps").read_text()
        assert charged(pid)[1] < 4 * MIB, pid


def test_a_model_in_place_is_held_as_well(fresh_service, folder, build):  # noqa: F811
    source = model(folder, "source.onnx", 8)
    path = write(folder, "inplace.ort", prepare(build, source))
    assert "used in place already" in deploy(fresh_service, path, "inplace")["reason"]
    values = random_model.some_input(WIDTH)
    first, log = first_call(fresh_service, "inplace", values, WIDTH)
    assert "sealed=yes" in log and len(first) == WIDTH


def test_after_a_restart_it_is_held_before_anybody_calls(fresh_service, folder):  # noqa: F811
    deploy(fresh_service, model(folder, "again.onnx", 6), "again", *UNPACKED)
    values = random_model.some_input(WIDTH)
    first, _ = first_call(fresh_service, "again", values, WIDTH)
    before = len(loads(fresh_service, "again"))
    fresh_service.stop()
    fresh_service.start()
    wait_for(lambda: status(fresh_service)["cached_models"] == 1, "the model to be held again")
    second, log = first_call(fresh_service, "again", values, WIDTH, before)
    assert "prepared=yes sealed=yes" in log and second == first


def test_a_cold_stop_leaves_nothing_of_it_in_memory(fresh_service, folder):  # noqa: F811
    deploy(fresh_service, model(folder, "cold.onnx", 4), "cold", *UNPACKED)
    values = random_model.some_input(WIDTH)
    first, log = first_call(fresh_service, "cold", values, WIDTH)
    assert "sealed=yes" in log and status(fresh_service)["cached_models"] == 1

    def stopped():  # one that has just answered may not be idle yet
        code, _, body = signed(fresh_service, "POST", "/lamina/v1/functions/cold/stop?cache=cold")
        assert code == 200, body
        return not instances(fresh_service, "cold")
    wait_for(stopped, "its instances to end")
    assert status(fresh_service)["cached_models"] == 0
    assert call(fresh_service, "cold", values, WIDTH) == first
    wait_for(lambda: status(fresh_service)["cached_models"] == 1, "the model to be hot again")


def test_the_cache_is_confined_and_may_die(fresh_service, folder):  # noqa: F811
    path = model(folder, "dying.onnx", 2)
    deploy(fresh_service, path, "dying", *UNPACKED)
    assert "sealed=yes" in loaded(fresh_service, "dying")
    pid = cache_pid(fresh_service)
    text = pathlib.Path("/proc", str(pid), "status").read_text()
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert fields["CapEff"] == fields["CapBnd"] == "0000000000000000" and fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2" and "0" not in fields["Uid"].split()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: cache_pid(fresh_service) is None, "the end of lamina-cache")
    # What is held stays held; what is asked for next has another one started.
    assert "sealed=yes" in restarted(fresh_service, "dying", "third")
    deploy(fresh_service, model(folder, "next.onnx", 9), "next", *UNPACKED)
    assert "sealed=yes" in loaded(fresh_service, "next")
    assert cache_pid(fresh_service) not in (None, pid)


def test_a_model_that_is_larger_than_the_cache(make_service, folder):  # noqa: F811
    service = make_service(env={"LAMINA_CACHE_MEMORY": "10"})
    deploy(service, model(folder, "large.onnx", 3, layers=3), "large")
    assert "prepared=yes sealed=no" in loaded(service, "large")
    assert "prepared=yes sealed=no" in restarted(service, "large", "again")
    told = status(service)
    assert (told["cached_models"], told["cache_running"]) == (0, False)


def test_without_a_cache_models_are_files(make_service, folder):  # noqa: F811
    service = make_service(env={"LAMINA_CACHE_MEMORY": "0"})
    deploy(service, model(folder, "file.onnx", 4), "file")
    assert "prepared=yes sealed=no" in loaded(service, "file")
    assert cache_pid(service) is None


@pytest.mark.parametrize("kind", ["a pipe", "a plain memfd"])
def test_lamina_model_takes_no_descriptor_that_is_not_sealed(build, folder, tmp_path, kind):  # noqa: F811
    from model_function import infer, model_function, tensor
    path = model(folder, "plain.onnx", 5)
    fd = os.pipe()[0] if kind == "a pipe" else os.memfd_create("x")
    if kind != "a pipe":
        os.write(fd, b"ORTM" * 1000)
    os.set_inheritable(fd, True)
    from model_function import environment
    from runtime_api import RuntimeApi
    with RuntimeApi() as api:
        api.start([build / "lamina-model"], env=environment(path, LAMINA_MODEL_FD=str(fd)), pass_fds=[fd])
        infer(api, tensor("x", "FP32", [1, WIDTH], random_model.some_input(WIDTH)))
        assert "model.not_prepared reason=descriptor %d is not a sealed memfd" % fd in api.output()
    os.close(fd)
