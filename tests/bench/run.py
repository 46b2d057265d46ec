#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench`: every number that SPECIFICATION.md promises, beside one measured in the same run.

Prints a table and writes BUILD/bench.json. Each row is measured ROUNDS times, interleaved with the others, and
the median over the rounds is what counts: this kind of figure moves by a factor of two on a shared machine.

    tests/bench/run.py [--build DIR] [--smoke] [--only AREA,...] [--json FILE] [--check]

--only runs some of the areas (AREAS below; the table at the end has their rows alone). --smoke runs everything once and briefly: it shows that the benchmarks work, not how fast anything is.
--check exits 1 when a bar is missed. Run as root, on a quiet machine.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import fetch  # noqa: E402
import filesystems  # noqa: E402
import keepalive  # noqa: E402
import layers  # noqa: E402
import models  # noqa: E402
import load  # noqa: E402
import object_store  # noqa: E402
import peers  # noqa: E402
import templates  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


class Row:
    """One promised figure: `value` beside `beside`, and the bar that it is held against."""

    def __init__(self, name, unit, bar=None, at_least=False):
        self.name, self.unit, self.bar, self.at_least = name, unit, bar, at_least
        self.values, self.beside = [], []

    def add(self, value, beside=None):
        self.values.append(value)
        if beside:
            self.beside.append(beside)

    @property
    def value(self):
        return statistics.median(self.values)

    @property
    def met(self):
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def as_json(self):
        out = {"name": self.name, "unit": self.unit, "median": self.value, "min": min(self.values),
               "max": max(self.values), "rounds": len(self.values), "bar": self.bar, "met": self.met}
        if self.beside:
            out["beside"] = statistics.median(self.beside)
            out["ratio"] = self.value / out["beside"] if out["beside"] else None
        return out


class Service:
    """A Lamina of our own: a fresh data directory, a free port, ended by pid."""

    def __init__(self, build, directory, **environment):
        self.build, self.data, self.directory = build, Path(directory) / "data", Path(directory)
        # The file of file systems is this service's own, not the machine's.
        self.own = {"LAMINA_DATA_DIR": str(self.data), "LAMINA_FILESYSTEMS_FILE": str(self.directory / "filesystems.conf")}
        self.settings = dict(os.environ, **self.own, **environment)
        self.start()

    def start(self):
        (self.data / "endpoint").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [self.build / "lamina", "up", "--data-dir", self.data, "--listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.directory / "up.log", "wb"), env=self.settings)
        deadline = time.monotonic() + 60
        while not (self.data / "endpoint").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"bench: lamina did not start: {(self.directory / 'up.log').read_text()}")
            time.sleep(0.002)
        self.endpoint = (self.data / "endpoint").read_text().strip()
        if not self.endpoint.startswith("http"):
            self.endpoint = "http://" + self.endpoint
        self.env = dict(os.environ, AWS_ENDPOINT_URL=self.endpoint, AWS_SHARED_CREDENTIALS_FILE=str(self.data / "credentials"),
                        AWS_REGION="us-east-1", **self.own)
        self.env.pop("AWS_PROFILE", None)
        for line in (self.data / "credentials").read_text().splitlines():
            key, _, value = line.partition("=")
            if key.strip() in ("aws_access_key_id", "aws_secret_access_key"):
                self.env[key.strip().upper()] = value.strip()

    def lamina(self, *arguments, check=True):
        done = subprocess.run([self.build / "lamina", *arguments], env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode != 0:
            raise SystemExit(f"bench: lamina {' '.join(map(str, arguments))}: {done.stderr.decode()}")
        return done.stdout

    def tool(self, name, *arguments):
        done = subprocess.run([self.build / "tests" / name, *map(str, arguments)], env=self.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise SystemExit(f"bench: {name} {' '.join(map(str, arguments))} exited {done.returncode}")
        return json.loads(done.stdout)

    def children(self):
        """pids of lamina-spawn and laminad: the process we started, and its child of that name."""
        found = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = stat.read_text()
            except OSError:
                continue
            pid, rest = int(text.split(" ", 1)[0]), text.rpartition(")")
            name, parent = text[text.index("(") + 1:text.rindex(")")], int(rest[2].split()[1])
            if pid == self.process.pid and name == "lamina-spawn":
                found["spawn"] = pid
            if parent == self.process.pid and name == "laminad":
                found["laminad"] = pid
        return found

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def pss_mb(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) / 1024


def sandbox_rows(service, rows, rounds, pause_ms):
    got = service.tool("bench_sandbox", "--rounds", rounds, "--pause-ms", pause_ms)
    bare = got["fork_exec_us"]["p50"] / 1000
    where = "back to back" if pause_ms == 0 else f"after {pause_ms} ms pauses"
    for key, label, bar in (("nothing", "from nothing", 3.2), ("pool", "from the pool", 1.8),
                            ("waiter", "from a prepared waiter", 1.0)):
        row = rows.setdefault(f"sandbox.{key}.{pause_ms}",
                              Row(f"sandbox start to first byte, {label}, {where}", "ms", bar if pause_ms == 0 else None))
        row.add(got[f"{key}_us"]["p50"] / 1000, bare)
    bare = got["bare_fork_us"]["p50"] / 1000
    for key, label, bar in (("spare", "a spare fork", 0.4), ("fork", "by a fork", 1.2), ("seat", "by a fork, its sandbox made now", None)):
        rows.setdefault(f"sandbox.{key}.{pause_ms}",
                        Row(f"fork of a template with {got['model_mib']} MiB to first byte, {label}, {where}", "ms",
                            bar if pause_ms == 0 else None)).add(got[f"{key}_us"]["p50"] / 1000, bare)
    if pause_ms and "attach" in got.get("steps_us", {}):
        rows.setdefault("sandbox.attach", Row(f"of that: cgroup attach, {where}", "ms")).add(
            got["steps_us"]["attach"] / 1000)


def invoke_rows(service, rows, seconds):
    bare = service.tool("bench_invoke", "--rendezvous", "--seconds", seconds)
    one = service.tool("bench_invoke", "--endpoint", service.endpoint, "--function", "bench-hello", "--callers", 1,
                       "--seconds", seconds)
    many = service.tool("bench_invoke", "--endpoint", service.endpoint, "--function", "bench-hello", "--callers", 16,
                        "--seconds", seconds)
    if one["errors"] or many["errors"]:
        raise SystemExit("bench: invocations failed")
    rows.setdefault("invoke.above", Row("warm invoke of hello-c, p50 above the bare rendezvous", "us", 60)).add(
        one["p50_us"] - bare["p50_us"], bare["p50_us"])
    rows.setdefault("invoke.rate", Row("signed invocations, 16 callers", "/s", 20000, at_least=True)).add(
        many["per_s"], bare["per_s"])


def thaw_row(service, rows, times):
    """A call that finds its instance frozen, beside the same call 10 ms later. Frozen is seen, not assumed."""
    frozen, warm = [], []
    for _ in range(times):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            states = [i["state"] for i in json.loads(service.lamina("ps", "-o", "json"))["instances"]
                      if i["function"] == "bench-hello"]
            if states and all(s.lower() == "frozen" for s in states):
                break
            time.sleep(0.1)
        else:
            raise SystemExit("bench: the instance of bench-hello was not frozen within 30 s")
        got = service.tool("bench_invoke", "--endpoint", service.endpoint, "--function", "bench-hello", "--callers", 1,
                           "--requests", 2)
        frozen.append(got["first_us"])
        warm.append(got["last_us"])
    rows.setdefault("invoke.thawed", Row("first call of a frozen instance", "ms")).add(
        statistics.median(frozen) / 1000, statistics.median(warm) / 1000)


def memory_rows(service, rows):
    pids = service.children()
    rows.setdefault("memory.laminad", Row("laminad idle, PSS", "MB", 20)).add(pss_mb(pids["laminad"]))
    rows.setdefault("memory.spawn", Row("lamina-spawn idle, PSS", "MB", 5)).add(pss_mb(pids["spawn"]))


def instance_row(service, rows):
    described = json.loads(service.lamina("describe", "bench-hello", "-o", "json"))
    instances = sum(described["instances"].values())
    rows.setdefault("memory.instance", Row("an idle native instance, private", "MB", 1)).add(
        described["memory"]["private_bytes"] / instances / 2**20)


def sigv4_row(service, rows):
    got = service.tool("bench_sigv4")
    rows.setdefault("sigv4", Row("SigV4 verification, key cached", "us")).add(got["verify_us"], got["sign_us"])


def model_rows(service, rows, model, smoke):
    out = service.lamina("compare", model, "-o", "json", *(["--quick"] if smoke else []))
    measured = [r for r in json.loads(out)["rows"] if r["status"] == "measured"]
    for row in measured:
        for kind in ("node_cold", "node_warm"):
            if kind in row:
                rows.setdefault(f"model.{row['strategy']}.{kind}", Row(
                    f"silero VAD, {row['strategy']}, {kind.replace('_', ' ')} start, p50", "ms")).add(
                        row[kind]["total_ms"]["p50"])
        rows.setdefault(f"model.{row['strategy']}.warm", Row(
            f"silero VAD, {row['strategy']}, warm call, p50", "ms")).add(row["warm_ms"]["p50"])


def deploy_handlers(service, directory):
    """{what: function} of the handlers that this service can run: C always, Python and node where they are."""
    made = {"hello-c": "bench-hello"}
    for what, runtime, name, text in (("a Python handler", "python3.11", "app.py", peers.PYTHON_HANDLER),
                                      ("a node handler", "nodejs18.x", "app.js", peers.NODE_HANDLER)):
        folder = Path(directory) / runtime
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        function = "bench-" + runtime.replace(".", "-")
        told = service.lamina("deploy", folder, "--name", function, "--runtime", runtime, "--handler", "app.handler",
                              "--memory", "1769", "-o", "json", check=False)
        if told:
            made[what] = function
        else:
            print(f"bench: {what} cannot run here: left out", file=sys.stderr)
    return made


def handler_rows(service, rows, directory, cache, seconds, smoke):
    """Handlers at 1, 16 and 64 callers, and the same node handler behind other servers."""
    targets = [(what, service.endpoint, function) for what, function in deploy_handlers(service, directory).items()]
    others = [peers.bare_node(directory), None if smoke else peers.serverless_offline(directory, cache)]
    others = [peer for peer in others if peer]
    rates = {}
    try:
        targets += [(peer.name, peer.endpoint, peer.function) for peer in others]
        for callers in (1, 16, 64):
            for what, endpoint, function in targets:
                service.tool("bench_invoke", "--endpoint", endpoint, "--function", function, "--callers", callers,
                             "--seconds", seconds / 4)  # instances start, compilers warm up
                got = service.tool("bench_invoke", "--endpoint", endpoint, "--function", function, "--callers", callers,
                                   "--seconds", seconds)
                if got["errors"]:
                    raise SystemExit(f"bench: {got['errors']} calls of {what} failed")
                rates[what, callers] = got["per_s"]
                bar = 20000 if (what, callers) == ("hello-c", 16) else None
                rows.setdefault(f"handler.{what}.{callers}", Row(
                    f"warm calls, {what}, {callers} callers", "/s", bar, at_least=True)).add(got["per_s"])
    finally:
        for peer in others:
            peer.stop()
    for what in ("a Python handler", "a node handler"):
        if (what, 16) in rates and ("serverless-offline", 16) in rates:
            rows.setdefault(f"handler.{what}.ratio", Row(
                f"{what}, 16 callers, against serverless-offline", "x", 5, at_least=True)).add(
                    rates[what, 16] / rates["serverless-offline", 16])


def template_rows(build, rows, smoke):
    """Services of their own: the packages are larger than AWS's limits; one is without spares, one without templates."""
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as directory:
        os.chmod(directory, 0o755)
        made = []
        try:
            for name, megabytes, spares in (("spares", 2048, 1), ("forks", 2048, 0), ("processes", 0, 0)):
                (Path(directory) / name).mkdir()
                made.append(Service(build, Path(directory) / name, LAMINA_AWS_LIMITS="off",
                                    LAMINA_TEMPLATE_MEMORY=str(megabytes), LAMINA_SPARES=str(spares)))
            templates.measure(*made, directory, rows, Row, speech_model(build), smoke)
        finally:
            for service in made:
                service.stop()


def prepared_rows(build, rows, smoke):
    """A service of its own: the model is larger than AWS's packages."""
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as directory:
        os.chmod(directory, 0o755)
        service = Service(build, directory, LAMINA_AWS_LIMITS="off")
        try:
            models.measure(service, directory, rows, Row, smoke)
        finally:
            service.stop()


def speech_model(build):
    model = build / "deps/models/silero_vad_v5.onnx"
    return model if model.exists() else ROOT / "build/deps/models/silero_vad_v5.onnx"


def base_rows(build, rows, smoke):
    """The sandbox, the invocation path, and a small model: several rounds, interleaved."""
    rounds = 1 if smoke else 5
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as directory:
        os.chmod(directory, 0o755)
        service = Service(build, directory)
        try:
            for number in range(rounds):
                print(f"bench: round {number + 1} of {rounds}", file=sys.stderr)
                if number == 0:
                    memory_rows(service, rows)
                    service.lamina("deploy", build / "examples/hello-c", "--name", "bench-hello", "--memory", "1769")
                sandbox_rows(service, rows, 5 if smoke else 150, 0)
                sandbox_rows(service, rows, 2 if smoke else 20, 300)
                invoke_rows(service, rows, 0.5 if smoke else 4)
                thaw_row(service, rows, 1 if smoke else 5)
                if number == 0:
                    instance_row(service, rows)
                sigv4_row(service, rows)
            handler_rows(service, rows, directory, build / "deps/npm", 0.5 if smoke else 4, smoke)
            model_rows(service, rows, speech_model(build), smoke)
        finally:
            service.stop()


def load_rows(build, rows, smoke):
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as directory:
        os.chmod(directory, 0o755)
        load.measure(Service, build, directory, rows, Row, smoke)


AREAS = {
    "base": base_rows,
    "templates": template_rows,
    "models": prepared_rows,
    "load": load_rows,
    "object_store": lambda build, rows, smoke: object_store.measure(build, None, rows, Row, smoke),
    "fetch": lambda build, rows, smoke: fetch.measure(build, rows, Row, smoke),
    "keepalive": lambda build, rows, smoke: keepalive.measure(build, rows, Row, smoke),
    "layers": lambda build, rows, smoke: layers.measure(build, rows, Row, smoke),
    "strategies": lambda build, rows, smoke: filesystems.strategies(build, rows, Row, smoke),
    "filesystem_renames": lambda build, rows, smoke: filesystems.renames(build, rows, Row, smoke),
    "filesystem_throughput": lambda build, rows, smoke: filesystems.throughput(build, rows, Row, smoke),
}


def report(rows, machine):
    print(f"\n{machine}\n")
    print(f"{'figure':62} {'median':>10} {'min':>10} {'max':>10} {'beside':>9}  {'bar':>9}")
    for row in rows.values():
        beside = f"{statistics.median(row.beside):9.2f}" if row.beside else " " * 9
        bar = "" if row.bar is None else f"{'>=' if row.at_least else '<='} {row.bar:g} {'met' if row.met else 'MISSED'}"
        print(f"{row.name:62} {row.value:10.2f} {min(row.values):10.2f} {max(row.values):10.2f} {beside} {row.unit:3} {bar}")


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("--build", type=Path, default=ROOT / "build")
    parse.add_argument("--smoke", action="store_true")
    parse.add_argument("--only", default=",".join(AREAS), help="of " + " ".join(AREAS))
    parse.add_argument("--json", type=Path)
    parse.add_argument("--check", action="store_true")
    options = parse.parse_args()
    chosen = options.only.split(",")
    if set(chosen) - set(AREAS):
        parse.error(f"--only: the areas are {' '.join(AREAS)}")

    rows = {}
    for area in chosen:
        start = time.monotonic()
        AREAS[area](options.build.resolve(), rows, options.smoke)
        print(f"bench: {area} took {time.monotonic() - start:.0f} s", file=sys.stderr)

    machine = f"{os.cpu_count()} processors, Linux {os.uname().release}, load {os.getloadavg()[0]:.2f}"
    report(rows, machine)
    target = options.json or options.build / "bench.json"
    target.write_text(json.dumps({"schema": 1, "machine": machine, "smoke": options.smoke,
                                  "rows": {k: r.as_json() for k, r in rows.items()}}, indent=1) + "\n")
    print(f"\nwritten: {target}", file=sys.stderr)
    missed = [k for k, r in rows.items() if r.met is False]
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
