# SPDX-License-Identifier: MIT
"""A model on a file system, and the same model by every strategy: cold starts in turn, updates, bytes, renames under load, throughput.

The network file system is sshfs on this machine (tests/ssh_server.py): its ssh and sshd share the processors with everything
that is measured, and `dd` stands beside each of its figures. Alone: filesystems.py BUILD [--smoke] [strategies|renames|throughput]
"""
import collections
import concurrent.futures
import datetime
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "flow"))
import random_model  # noqa: E402
import ssh_server  # noqa: E402
from lambda_function import settings, zip_of  # noqa: E402
from lamina_service import Service  # noqa: E402
from layers import call_ms, stop, stored_bytes, until_new  # noqa: E402
from runtime_api import RuntimeApi  # noqa: E402
from shared_files import MOUNT, Share  # noqa: E402

MB = 1 << 20
STRATEGIES = ("package", "layer", "s3", "filesystem")
PER_S, CALLERS = 200, 8
MODES = ("templates", {}), ("plain", {"LAMINA_TEMPLATE_MEMORY": "0"})


def deploy(service, share, path, strategy, name, *more):
    extra = ("--filesystem", "share", "--filesystems-file", share.file) if strategy == "filesystem" else ()
    refresh = ("--env", "MODEL_REFRESH_S=1") if strategy in ("s3", "filesystem") else ()
    service.lamina("deploy", path, "--strategy", strategy, "--name", name, *extra, *refresh, *more)


# ---- the same model by every strategy


def cold_rows(service, client, mode, event, rows, Row, rounds):
    for cache in ("warm", "cold"):
        took = {name: [] for name in STRATEGIES}
        for _ in range(rounds):
            for name in STRATEGIES:
                stop(service, name, cache)
                took[name].append(call_ms(client, name, event)[0])
        for name in STRATEGIES:
            row = rows[f"strategies.{mode}.cold.{cache}.{name}"] = Row(f"{mode}, node {cache}: cold start by {name}", "ms")
            for value, beside in zip(took[name], took["package"]):
                row.add(value, beside)
        bar = 1.15 if mode == "plain" else None
        row = rows[f"filesystem.{mode}.cold.node_{cache}"] = Row(f"{mode} cold start by filesystem, node {cache}, over by package",
                                                                  "x", bar)
        for of_package, of_file in zip(took["package"], took["filesystem"]):
            row.add(of_file / of_package, of_package)
        print(f"bench: {mode}, node {cache}: " + ", ".join(f"{name} p50 {statistics.median(took[name]):.1f} ms" for name in STRATEGIES)
              + f"; filesystem over package {interval([f / p for p, f in zip(took['package'], took['filesystem'])])}",
              file=sys.stderr)


def interval(ratios, draws=2000):
    """Median and its 95 % interval, by drawing again."""
    source = random.Random(1)
    medians = sorted(statistics.median(source.choices(ratios, k=len(ratios))) for _ in range(draws))
    return f"{statistics.median(ratios):.3f} [{medians[draws // 40]:.3f}, {medians[-draws // 40]:.3f}]"


def update_rows(service, share, client, mode, path, new_model, event, rows, Row, rounds):
    """From the command to the first answer of the new model."""
    for name in STRATEGIES:
        row = rows[f"strategies.{mode}.update.{name}"] = Row(f"{mode}: a new model by {name}, to its first answer", "s")
        for number in range(rounds):
            new_model(path, 100 + STRATEGIES.index(name) * 10 + number)
            old = call_ms(client, name, event)[1]
            begin = time.monotonic()
            deploy(service, share, path, name, name)
            until_new(client, name, event, old)
            row.add(time.monotonic() - begin)


def processes(service):
    """Of the functions: lamina-model, whatever it calls itself."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                maps = Path("/proc", entry, "exe").readlink().name
                uid = os.stat(f"/proc/{entry}").st_uid
            except OSError:
                continue
            if maps == "bootstrap" and uid >= 900000:
                found.append(int(entry))
    return found


def resident_bytes(service):
    """What processes of functions map of files and memory files, each page counted once."""
    total = 0
    for pid in processes(service):
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_File:", "Pss_Shmem:")):
                    total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


def share_rows(service, share, client, mode, path, event, rows, Row, count):
    """The same model in `count` functions: stored and resident once, whatever the strategies."""
    stored, resident = stored_bytes(service.data_dir), None
    call_ms(client, "package", event)
    stop_all(service, STRATEGIES)
    call_ms(client, "filesystem", event)
    resident = resident_bytes(service)
    names = []
    for number in range(count - 1):
        names.append(f"more-{number}")
        deploy(service, share, path, STRATEGIES[number % 4], names[-1])
    row = rows[f"strategies.{mode}.stored"] = Row(f"{mode}: bytes stored, {count} functions by all strategies over 4", "x")
    row.add(stored_bytes(service.data_dir) / stored, stored / MB)
    for name in names:
        call_ms(client, name, event)
    row = rows[f"strategies.{mode}.resident"] = Row(f"{mode}: resident of files, {count} functions over 1", "x")
    row.add(resident_bytes(service) / resident, resident / MB)
    for name in names:
        client.delete_function(FunctionName=name)


def stop_all(service, names):
    for name in names:
        stop(service, name, "warm")


def instructions(build, service, client, name, event):
    """User-space instructions of lamina-model's start and one call, with what Lamina gave that function's instance."""
    stop_all(service, STRATEGIES)
    call_ms(client, name, event)
    wanted = f"AWS_LAMBDA_FUNCTION_NAME={name}\0".encode()
    pid = next(pid for pid in processes(service) if wanted in Path(f"/proc/{pid}/environ").read_bytes())
    env = dict(part.decode().split("=", 1) for part in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if b"=" in part)
    given = {key: value for key, value in env.items()
             if key in ("MODEL_PATH", "LAMINA_MODEL_COPY", "LAMINA_MODEL_SHA256", "LAMINA_MODEL_PREPARED", "LAMINA_MODEL_PREPACK",
                        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "LAMINA_ONNXRUNTIME")}
    for key in ("MODEL_PATH", "LAMINA_MODEL_COPY", "LAMINA_MODEL_PREPARED", "LAMINA_ONNXRUNTIME"):
        if key in given:
            given[key] = f"/proc/{pid}/root{given[key]}"
    with tempfile.TemporaryDirectory() as folder, RuntimeApi() as api:
        out = Path(folder) / "callgrind"
        api.start(["/usr/bin/valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", build / "lamina-model"], env=given)
        api.invoke(json.loads(event))
        api.process.terminate()  # the count is written at the end
        api.process.wait()
        api.stop()
        counts = [int(line.split()[1]) for line in out.read_text().splitlines() if line.startswith(("summary:", "totals:"))]
        return counts[0]


def instruction_rows(build, service, client, event, rows, Row):
    """What lamina-model executes does not depend on where its model came from."""
    if not os.path.exists("/usr/bin/valgrind"):
        print("bench: no valgrind: instructions are not counted", file=sys.stderr)
        return
    count = {name: instructions(build, service, client, name, event) for name in ("package", "layer", "filesystem")}
    for name in ("layer", "filesystem"):
        row = rows[f"strategies.plain.instructions.{name}"] = Row(f"plain: lamina-model's instructions, {name} over package", "x", 1.05)
        row.add(count[name] / count["package"], count["package"] / 1e6)


def strategies(build, rows, Row, smoke):
    size, rounds, updates, count = (1 * MB, 2, 1, 5) if smoke else (16 * MB, 15, 3, 20)
    for mode, env in MODES:
        with Share() as share, tempfile.TemporaryDirectory(prefix="lamina-bench-") as directory, \
                Service(build, *share.flags, env=env) as service:
            path = Path(directory) / "random.onnx"

            def new_model(to, seed):
                to.write_bytes(random_model.mlp(size, width=512, seed=seed))

            new_model(path, 1)
            client = service.client("lambda")
            event = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 512],
                                            "data": random_model.some_input(512)}]})
            for name in STRATEGIES:
                deploy(service, share, path, name, name)
                call_ms(client, name, event)
            cold_rows(service, client, mode, event, rows, Row, rounds)
            if mode == "plain":
                instruction_rows(build, service, client, event, rows, Row)
            share_rows(service, share, client, mode, path, event, rows, Row, count)
            update_rows(service, share, client, mode, path, new_model, event, rows, Row, updates)


# ---- ten renames, and ten publications, under 200 calls a second


class Load:
    """CALLERS threads that call `name` PER_S times a second in all; each answer's model and first value."""

    def __init__(self, service, name, event):
        self.answers, self.failures, self.stop = collections.Counter(), [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(service.client("lambda"), name, event)) for _ in range(CALLERS)]

    def run(self, client, name, event):
        due = time.monotonic()
        while not self.stop.is_set():
            due += CALLERS / PER_S
            self.stop.wait(max(0, due - time.monotonic()))
            try:
                answer = client.invoke(FunctionName=name, Payload=event)
                body = json.loads(answer["Payload"].read())
                self.answers[body["model_version"], body["outputs"][0]["data"][0]] += 1
            except Exception as error:  # noqa: BLE001  whatever it is, it failed
                self.failures.append(repr(error))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def under_load(service, client, name, event, put, rows, Row, key, times):
    """put(n) publishes model n and returns its digest; put(None) one that is corrupt."""
    published = client.publish_version(FunctionName=name)["Version"]
    old = call_ms(client, name, event)[1]
    first, took, begin = old, [], time.monotonic()
    with Load(service, name, event) as load:
        for number in range(times):
            since = time.monotonic()
            put(number)
            until_new(client, name, event, old)
            took.append(time.monotonic() - since)
            old = call_ms(client, name, event)[1]
        put(None)
        deadline = time.monotonic() + 60
        while client.get_function_configuration(FunctionName=name)["LastUpdateStatus"] != "Failed":
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {name}: the corrupt model was not refused")
            time.sleep(0.05)
        seconds = time.monotonic() - begin
    by_model = collections.defaultdict(set)
    for (digest, value), _ in load.answers.items():
        by_model[digest].add(value)
    mixed = sum(len(values) - 1 for values in by_model.values())
    calls = sum(load.answers.values())
    bad = mixed + (call_ms(client, name, event)[1] != old)
    answer = client.invoke(FunctionName=name, Payload=event, Qualifier=published)
    bad += json.loads(answer["Payload"].read())["model_version"] != first
    rows[f"{key}.failed"] = Row(f"{times} new models and a corrupt one under {PER_S} calls/s: failed calls", "", 0)
    rows[f"{key}.failed"].add(len(load.failures), calls)
    rows[f"{key}.mixed"] = Row("... mixed answers, a published version changed, or the corrupt one taken", "", 0)
    rows[f"{key}.mixed"].add(bad, calls)
    rows[f"{key}.rate"] = Row("... calls a second", "/s")
    rows[f"{key}.rate"].add(calls / seconds)
    rows[f"{key}.took"] = Row("... from the file's or the version's arrival to its first answer", "s")
    for value in took:
        rows[f"{key}.took"].add(value)
    if load.failures:
        print(f"bench: {key}: {load.failures[:3]}", file=sys.stderr)


def corrupt(model):
    return model[:-40] + b"\xff" * 40


def renames(build, rows, Row, smoke):
    size, times = (1 * MB, 2) if smoke else (4 * MB, 10)
    event = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 512], "data": random_model.some_input(512)}]})
    models = [random_model.mlp(size, width=512, seed=seed) for seed in range(times + 1)]
    with Share() as share, tempfile.TemporaryDirectory(prefix="lamina-bench-") as directory, \
            Service(build, *share.flags) as service:
        client = service.client("lambda")
        path = share.put("m.onnx", models[times])
        deploy(service, share, path, "filesystem", "on-files")
        under_load(service, client, "on-files", event,
                   lambda n: share.put("m.onnx", corrupt(models[0]) if n is None else models[n]), rows, Row, "filesystem.renames", times)
        local = Path(directory) / "m.onnx"
        local.write_bytes(models[times])
        deploy(service, share, local, "layer", "in-layer")
        service.lamina("layer", "follow", "in-layer")

        def publish(n):
            zipped = zip_of({"model/m.onnx": corrupt(models[0]) if n is None else models[n]})
            client.publish_layer_version(LayerName="m", Content={"ZipFile": zipped})
        under_load(service, client, "in-layer", event, publish, rows, Row, "layer.publishes", times)


# ---- how fast models are read


def dd_seconds(share, names):
    """Parallel dd from a mount of its own, of these files, into files of this machine's disk, synced."""
    source, options = share.server.mount.removeprefix("fuse.sshfs:").split(",", 1)
    copies = " ".join(f"dd if=m/{name} of=o/{name} bs=1M conv=fsync status=none &" for name in names)
    script = (f"mkdir m o && sshfs {source} m -o {options},ro && start=$(date +%s%N) && {{ {copies} wait; }} "
              "&& end=$(date +%s%N); umount -l m; echo $(((end - start) / 1000))")
    with tempfile.TemporaryDirectory(prefix="lamina-bench-", dir="/var/tmp") as folder:
        done = subprocess.run(["unshare", "-m", "sh", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              check=True, text=True)
        return int(done.stdout.split()[-1]) / 1e6


def read_seconds(service, client, names):
    """From the first look at one of them until the last is in the store, digest, sync and all; as the service says."""
    fetched = re.compile(r"(\S+)Z info model\.fetched function=t-\d+ .*fetched=\d+ ms=(\d+)")
    before = len(fetched.findall(service.log()))
    clients = [service.client("lambda") for _ in names]

    def point(number):
        clients[number].update_function_configuration(FunctionName=f"t-{number}", Environment={
            "Variables": {"MODEL_PATH": f"{MOUNT}/{names[number]}"}})
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(point, range(len(names))))
    deadline = time.monotonic() + 120
    while len(fetched.findall(service.log())) < before + len(names):
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: not all was fetched:\n{service.log_tail()}")
        time.sleep(0.05)
    ends = [(datetime.datetime.fromisoformat(at).timestamp(), int(ms) / 1000) for at, ms in fetched.findall(service.log())[before:]]
    for number in range(len(names)):
        while client.get_function_configuration(FunctionName=f"t-{number}")["LastUpdateStatus"] == "InProgress":
            time.sleep(0.05)
    return max(0.001, max(at for at, _ in ends) - min(at - took for at, took in ends))


def throughput(build, rows, Row, smoke):
    if ssh_server.missing():
        print(f"bench: no throughput: {ssh_server.missing()} missing", file=sys.stderr)
        return
    code = {"ZipFile": zip_of({"bootstrap": (build / "runtime/bin/lamina-model").read_bytes()})}
    with Share(over_ssh=True) as share, Service(build, *share.flags) as service:
        client = service.client("lambda")
        share.put("first.json", b"x" * 1000, age_s=60)  # random bytes of a kind that is not prepared: reading is measured
        for number in range(32):
            client.create_function(**settings(f"t-{number}", Code=code, MemorySize=512, Timeout=30, **share.config,
                                              Environment={"Variables": {"MODEL_PATH": f"{MOUNT}/first.json"}}))
            client.get_waiter("function_active_v2").wait(FunctionName=f"t-{number}", WaiterConfig={"Delay": 1})
        for count, size in ((1, 128), (8, 24), (32, 6)):
            size = 1 if smoke else size
            row = rows[f"filesystem.throughput.{count}"] = Row(f"{count} models of {size} MiB read at once over sshfs, over parallel dd",
                                                               "x", None if smoke else 0.9, at_least=True)
            for number in range(1 if smoke else 3):
                names = [f"r{count}-{number}-{i}.json" for i in range(count)]
                for name in names:
                    share.put(name, os.urandom(size * MB), age_s=60)
                by_dd = dd_seconds(share, names)
                ours = read_seconds(service, client, names)
                row.add(by_dd / ours, count * size / by_dd)
                print(f"bench: {count} x {size} MiB: dd {count * size / by_dd:.0f} MiB/s, ours {count * size / ours:.0f} MiB/s", file=sys.stderr)
                for name in names:
                    (share.directory / name).unlink()


PARTS = {"strategies": strategies, "renames": renames, "throughput": throughput}


def measure(build, rows, Row, smoke, parts=tuple(PARTS)):
    for part in parts:
        PARTS[part](build, rows, Row, smoke)


if __name__ == "__main__":  # alone
    class Plain:
        def __init__(self, name, unit, bar=None, at_least=False):
            self.name, self.unit, self.bar, self.values = name, unit, bar, []

        def add(self, value, beside=None):
            self.values.append((round(value, 3), beside and round(beside, 3)))

    found = {}
    chosen = [word for word in sys.argv[2:] if word in PARTS] or list(PARTS)
    measure(Path(sys.argv[1]).resolve(), found, Plain, "--smoke" in sys.argv, chosen)
    for each in found.values():
        middle = sorted(each.values)[len(each.values) // 2]
        print(f"{each.name}: median {middle[0]} {each.unit} (beside {middle[1]}), n={len(each.values)}"
              + (f", bar {each.bar}" if each.bar is not None else ""))
