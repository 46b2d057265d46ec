#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the tests. Without arguments all of them, on what `make` built, as CI does.

    tools/run_tests.py [--ci] [--only STAGE,...] [--fuzz-seconds N] [--list]

Stages, in this order:

    build     gcc, into build/ (with --ci: warnings are errors)
    layers    tools/check_layers.py, check_text.py and check_docs.py
    unit      every unit test of build/
    python    every tests/{flow,hostile,fault}/test_*.py, each in a pytest of its own, by the system's Python
    sanitize  clang with ASan and UBSan into build-asan/, and every unit test there
    fuzz      each libFuzzer target over its kept corpus, then for some seconds
    quickstart  make quickstart
    bench     a short run of the benchmark, for its answers and not for its figures

A command that does not end is killed, with all it started, and is one failed test. A test that fails is run
once more by itself; if it passes then, it counts as passed and is printed as FLAKY with what it said the
first time. The output of everything that failed comes once more at the end. Last line:

    N passed, N failed[, N skipped]

and the exit status is 0 only if nothing failed.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = TOP / "build"
BUILD_ASAN = TOP / "build-asan"
PYTHON = "/usr/bin/python3"

UNIT_LIMIT_S = 600
PYTHON_FILE_LIMIT_S = 1800
BUILD_LIMIT_S = 1800
TOTAL_LIMIT_S = 75 * 60  # a run takes half an hour on two cores; this ends one that hangs, not one that is slow
TAIL = 6000

FOREIGN = ("AWS_", "LAMINA_", "BOTO", "PYTEST", "PYTHON", "MESON", "NINJA", "ASAN_", "UBSAN_", "MODEL_", "MALLOC_",
           "GIT_", "MAKE", "MFLAGS", "GLIBC_")
FOREIGN_NAMES = {"CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "LD_PRELOAD", "LD_LIBRARY_PATH", "KEEP", "WAV", "BUILD",
                 "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "DESTDIR"}


class Run:
    """Everything counted so far."""

    def __init__(self, options):
        self.options = options
        self.start = time.monotonic()
        self.passed = 0
        self.skipped = []
        self.failures = []  # (name, output)
        self.flaky = []     # (name, output of the first time)
        self.is_built = True  # False: the build failed, and what needs it is not run
        # Services of the tests live in here, so that what is left of them can be told from other processes.
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="lamina-run-", dir=scratch_parent()))
        self.scratch.chmod(0o755)
        self.env = self.environment()

    def environment(self):
        """The caller's environment without what could change a result; HOME and TMPDIR of our own."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN) and k not in FOREIGN_NAMES}
        home = self.scratch / "home"
        home.mkdir()
        env.update(HOME=str(home), TMPDIR=str(self.scratch), LC_ALL="C.UTF-8", TZ="UTC", NO_PROXY="*", TERM="dumb",
                   PATH="/usr/bin:/bin:/usr/sbin:/sbin:" + os.environ.get("PATH", ""), PYTHONDONTWRITEBYTECODE="1",
                   ASAN_OPTIONS="abort_on_error=0:detect_leaks=1:allocator_may_return_null=0",
                   UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
        symbolizer = shutil.which("llvm-symbolizer-14") or shutil.which("llvm-symbolizer")
        if symbolizer:
            env["ASAN_SYMBOLIZER_PATH"] = symbolizer
        return env

    def left_s(self):
        return TOTAL_LIMIT_S - (time.monotonic() - self.start)

    def command(self, words, limit_s, **options):
        """Runs a command in a session of its own. (status or None when it was killed, output)."""
        limit_s = max(1, min(limit_s, self.left_s()))
        env = dict(self.env, **options.pop("env", {}))
        with tempfile.TemporaryFile(dir=self.scratch) as output:
            process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, env=env, cwd=options.pop("cwd", TOP),
                                       start_new_session=True)
            try:
                status = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                kill_group(process)
            output.seek(0)
            text = output.read().decode(errors="replace")
        if status is None:
            text += f"\n*** killed: it did not end within {limit_s:.0f} s ***"
        return status, text

    def ok(self, name, seconds=None):
        self.passed += 1
        say(f"  ok    {name}" + (f"  ({seconds:.1f} s)" if seconds and seconds >= 1 else ""))

    def fail(self, name, output):
        self.failures.append((name, output))
        say(f"  FAIL  {name}")
        say(indent(tail(output)))

    def flake(self, name, output):
        self.passed += 1
        self.flaky.append((name, output))
        say(f"  FLAKY {name}: failed, and passed when run once more by itself; the first time it said:")
        say(indent(tail(output)))

    def skip(self, name, why):
        self.skipped.append((name, why))
        say(f"  skip  {name}: {why}")

    def check(self, name, words, limit_s, **options):
        """One command that is one test."""
        begin = time.monotonic()
        status, output = self.command(words, limit_s, **options)
        if status == 0:
            self.ok(name, time.monotonic() - begin)
        else:
            self.fail(name, output)
        return status == 0


def reset_signals():
    """Started in the background of a shell, or by nohup, a program finds SIGINT or SIGHUP ignored, and so would
    every program under test."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def scratch_parent():
    """Where laminad, another user, can reach: the temporary directory if everybody may pass, else /tmp."""
    parent = pathlib.Path(tempfile.gettempdir())
    open_to_all = all(path.stat().st_mode & 0o001 for path in [parent, *parent.parents])
    return parent if open_to_all else pathlib.Path("/tmp")


def kill_group(process):
    """Kills what is left of the command's session; harmless when nothing is."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def say(text):
    print(text, flush=True)


def tail(text):
    return text if len(text) <= TAIL else "[...]\n" + text[-TAIL:]


def indent(text):
    return "\n".join("        | " + line for line in text.rstrip().splitlines())


# ---- Stages


def stage_build(run):
    configure = ["meson", "setup", BUILD, f"-Dpkg_config_path={BUILD}/deps/prefix/lib/pkgconfig", "-Dtests=enabled",
                 f"-Dwerror={'true' if run.options.ci else 'false'}"]
    if (BUILD / "build.ninja").exists():
        configure = ["meson", "configure", BUILD, "-Dtests=enabled",
                     f"-Dwerror={'true' if run.options.ci else 'false'}"]
    run.is_built = run.check("configure with gcc", configure, BUILD_LIMIT_S, env={"CC": "gcc"}) and run.check(
        "build with gcc", ["ninja", "-C", BUILD, "all", *unit_targets(BUILD)], BUILD_LIMIT_S)


def stage_layers(run):
    run.check("check_layers", [PYTHON, TOP / "tools/check_layers.py"], 60)
    run.check("check_text", [PYTHON, TOP / "tools/check_text.py"], 60)
    run.check("check_docs", [PYTHON, TOP / "tools/check_docs.py"], 60)


def unit_tests(build):
    """[(name, program)] of the unit tests that meson knows."""
    listed = subprocess.run(["meson", "introspect", "--tests", str(build)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    tests = json.loads(listed.stdout) if listed.returncode == 0 and listed.stdout else []
    return sorted((test["name"], test["cmd"][0]) for test in tests)


def unit_targets(build):
    return [os.path.relpath(program, build) for _, program in unit_tests(build)]


def run_unit_tests(run, build, label):
    tests = unit_tests(build)
    if not tests:
        run.fail(f"{label}: unit tests", "meson knows none: is cmocka installed (tools/deps check)?")
    for name, program in tests:
        first = unit_test(run, program)
        if first[0] and not first[1]:
            run.passed += first[0] - 1
            run.ok(f"{label}: {name} ({first[0]} tests)")
            continue
        again = unit_test(run, program)
        if again[0] and not again[1]:
            run.passed += again[0] - 1
            run.flake(f"{label}: {name}", first[2])
        else:
            run.passed += first[0]
            run.fail(f"{label}: {name}" + (f" ({', '.join(first[1])})" if first[1] else ""), first[2])


def unit_test(run, program):
    """(number passed, [what failed], output). A crash after the last test counts, too."""
    if not os.path.exists(program):
        return 0, ["it was not built"], ""
    status, output = run.command([program], UNIT_LIMIT_S, env={"CMOCKA_MESSAGE_OUTPUT": "stdout"})
    if "LeakSanitizer has encountered a fatal error" in output:
        # The machine forbids the ptrace that the leak check needs: everything else still counts.
        say(f"        {os.path.basename(program)}: leaks are not checked here (ptrace is forbidden)")
        status, output = run.command([program], UNIT_LIMIT_S, env={"ASAN_OPTIONS": "detect_leaks=0"})
    passed = len(re.findall(r"^\[       OK \] ", output, re.MULTILINE))
    failed = sorted(set(re.findall(r"^\[  FAILED  \] (\w+)$", output, re.MULTILINE)))
    if status != 0 and not failed:
        failed = [f"status {status}"]
    return passed, failed, output


def stage_unit(run):
    run_unit_tests(run, BUILD, "unit")


def stage_python(run):
    if os.geteuid() != 0:
        run.skip("python tests", "they need root: the service makes sandboxes")
        return
    files = sorted(path for folder in ("flow", "hostile", "fault") for path in (TOP / "tests" / folder).glob("test_*.py"))
    if not files:
        run.fail("python tests", "there are none")
    beside = start_sanitize_build(run)
    for path in files:
        python_file(run, path)
    if beside:
        try:
            beside.wait(BUILD_LIMIT_S)
        except subprocess.TimeoutExpired:
            beside.kill()  # `sanitize` will say what hangs


def start_sanitize_build(run):
    """These tests wait more than they compute: what `sanitize` and `fuzz` need is compiled meanwhile. They report how it went."""
    if not {"sanitize", "fuzz"} & set(run.options.chosen) or not configure_sanitize(run):
        return None
    return subprocess.Popen(["nice", "-n", "19", "ninja", "-k0", "-j1", "-C", str(BUILD_ASAN), "all", *unit_targets(BUILD_ASAN)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=run.env)


def python_file(run, path):
    """Runs the tests of one file; those that fail once more, each by itself."""
    label = str(path.relative_to(TOP / "tests"))
    begin = time.monotonic()
    status, output, cases = pytest(run, [path], PYTHON_FILE_LIMIT_S)
    counted = 0
    for name, outcome, text in cases:
        full = f"{label}::{name}"
        if outcome == "passed":
            run.passed += 1
            counted += 1
        elif outcome == "skipped":
            run.skip(full, text)
        elif run.left_s() < 60:
            run.fail(full, text + "\n(no time left to run it once more)")
        else:
            again, _, second = pytest(run, [f"{path}::{name}"], PYTHON_FILE_LIMIT_S)
            if again == 0 and any(o == "passed" for _, o, _ in second):
                run.flake(full, text)
            else:
                run.fail(full, text)
    if status is None:
        kill_left_over(run)  # the services of a file that was killed
    if not cases or status not in (0, 1):
        # 5: pytest found no test. 2-4, None: it was interrupted, broke, or was killed.
        run.fail(f"{label} (as a whole, status {status})", output)
    say(f"  {'ok   ' if status == 0 else '     '} {label}: {counted} of {len(cases)} passed"
        f"  ({time.monotonic() - begin:.1f} s)")


def pytest(run, what, limit_s):
    """(status, output, [(test, outcome, text)])."""
    report = run.scratch / "report.xml"
    report.unlink(missing_ok=True)
    status, output = run.command([PYTHON, "-m", "pytest", "-q", "-c", TOP / "tests/pytest.ini", "--rootdir", TOP / "tests",
                                  f"--junitxml={report}", *what], limit_s,
                                 env={"LAMINA_BUILD": str(BUILD), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    return status, output, read_report(report, output)


def read_report(report, output):
    try:
        root = xml.parse(report).getroot()
    except (OSError, xml.ParseError):
        return []
    cases = {}
    for case in root.iter("testcase"):
        name = case.get("name")
        if case.get("classname", "").count(".") and case.get("classname").rsplit(".", 1)[1][:1].isupper():
            name = case.get("classname").rsplit(".", 1)[1] + "::" + name
        outcome, text = "passed", ""
        for kind in ("failure", "error", "skipped"):
            for part in case.findall(kind):
                outcome = "skipped" if kind == "skipped" else "failed"
                text += (part.get("message") or "") + "\n" + (part.text or "") if kind != "skipped" else part.get("message") or ""
        if outcome == "failed":
            text += "".join((part.text or "") for part in case.findall("system-err") + case.findall("system-out"))
        # A test with an error in its teardown is reported twice: it failed.
        if name not in cases or outcome == "failed":
            cases[name] = (name, outcome, text)
    return list(cases.values())


def configure_sanitize(run):
    if (BUILD_ASAN / "build.ninja").exists():
        return True
    if not shutil.which("clang", path=run.env["PATH"]):
        run.fail("configure with clang", "clang is not installed (tools/deps check)")
        return False
    return run.check("configure with clang", [
        "meson", "setup", BUILD_ASAN, f"-Dpkg_config_path={BUILD}/deps/prefix/lib/pkgconfig", "-Dtests=enabled",
        "-Dfuzz=true", "-Db_sanitize=address,undefined", "-Doptimization=1",
        f"-Dwerror={'true' if run.options.ci else 'false'}", f"-Ddeps_dir={BUILD}/deps"],
        BUILD_LIMIT_S, env={"CC": "clang"})


def stage_sanitize(run):
    if configure_sanitize(run) and run.check("build with clang, ASan and UBSan", [
            "ninja", "-C", BUILD_ASAN, "all", *unit_targets(BUILD_ASAN)], BUILD_LIMIT_S):
        run_unit_tests(run, BUILD_ASAN, "sanitize")


def stage_fuzz(run):
    if not configure_sanitize(run):
        return
    if not run.check("build the fuzz targets", ["ninja", "-C", BUILD_ASAN], BUILD_LIMIT_S):
        return
    targets = sorted((BUILD_ASAN / "tests").glob("fuzz_*.corpus"))
    if not targets:
        run.fail("fuzz", "there are no targets")
    for listed in targets:
        fuzz_target(run, listed.with_suffix(""), TOP / listed.read_text().strip())


def fuzz_target(run, program, corpus):
    name = program.name
    kept = sorted(path for path in corpus.glob("**/*") if path.is_file()) if corpus.is_dir() else []
    if not kept:
        run.fail(f"{name}: corpus", f"{corpus} holds no file")
    else:
        run.check(f"{name}: {len(kept)} kept inputs", [program, "-runs=0", "-timeout=60", corpus], 300)
    seconds = run.options.fuzz_seconds
    if run.left_s() < seconds + 60:
        # A slow day of the machine: the kept inputs were tried, new ones must wait for a better one.
        run.skip(f"{name}: {seconds} s", "no time left")
        return
    work = run.scratch / name
    work.mkdir(exist_ok=True)
    # A gate must judge the change and not the dice: with --ci every run tries the same inputs. `make fuzz` looks for new ones.
    same = ["-seed=1", "-runs=200000"] if run.options.ci else []
    run.check(f"{name}: {seconds} s", [program, *same, f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=3000",
                                       f"-artifact_prefix={work}/", "-print_final_stats=1", work, *([corpus] if kept else [])],
              seconds + 240)
    for crash in sorted(work.glob("crash-*")) + sorted(work.glob("timeout-*")) + sorted(work.glob("oom-*")):
        data = crash.read_bytes()[:2048]
        say(f"        {crash.name}, first bytes in hex (keep it in {corpus.relative_to(TOP)}): {data.hex()}")
    shutil.rmtree(work, ignore_errors=True)


def stage_quickstart(run):
    if os.geteuid() != 0:
        run.skip("quickstart", "needs root")
        return
    run.check("make quickstart", ["make", "--no-print-directory", "quickstart"], 420,
              env={"LAMINA_LISTEN": "127.0.0.1:0"})


def stage_bench(run):
    if os.geteuid() != 0:
        run.skip("bench", "needs root")
        return
    run.check("bench, short", [PYTHON, TOP / "tests/bench/run.py", "--smoke"], 900, env={"LAMINA_BUILD": str(BUILD)})


STAGES = {
    "build": stage_build,
    "layers": stage_layers,
    "unit": stage_unit,
    "python": stage_python,
    "quickstart": stage_quickstart,
    "bench": stage_bench,
    "sanitize": stage_sanitize,
    "fuzz": stage_fuzz,
}

NEED_BUILD = {"unit", "python", "quickstart", "bench"}


def kill_left_over(run):
    """Kills what was started with a file of this run's scratch directory; returns one line for each."""
    mark = str(run.scratch).encode()
    lines = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path("/proc", entry, "cmdline").read_bytes()
            if mark not in words:
                continue
            os.kill(int(entry), signal.SIGKILL)
        except OSError:
            continue  # it ended meanwhile
        lines.append(f"{entry} {words.replace(bytes(1), b' ').decode(errors='replace')}")
    return lines


def check_left_over(run):
    left = kill_left_over(run)
    if left:
        run.fail("nothing is left running", "\n".join(left))
    else:
        run.ok("nothing is left running")


def summary(run):
    say(f"\n==== summary, after {time.monotonic() - run.start:.0f} s ====")
    for name, why in run.skipped:
        say(f"skipped {name}: {why}")
    for name, output in run.flaky:
        say(f"\nFLAKY {name}")
        say(indent(tail(output)))
    for name, output in run.failures:
        say(f"\nFAILED {name}")
        say(indent(tail(output)))
    for name, _ in run.failures:
        say(f"FAILED {name}")
    skipped = f", {len(run.skipped)} skipped" if run.skipped else ""
    say(f"{run.passed} passed, {len(run.failures)} failed{skipped}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ci", action="store_true", help="warnings are errors")
    parser.add_argument("--only", default="", help="these stages only, separated by commas")
    parser.add_argument("--fuzz-seconds", type=int, default=5)
    parser.add_argument("--list", action="store_true", help="print the stages")
    options = parser.parse_args()
    chosen = [name for name in options.only.split(",") if name] or list(STAGES)
    unknown = [name for name in chosen if name not in STAGES]
    if unknown:
        parser.error(f"no stage {', '.join(unknown)}; there are: {', '.join(STAGES)}")
    if options.list:
        say("\n".join(STAGES))
        return 0
    options.chosen = chosen
    os.umask(0o022)
    reset_signals()
    run = Run(options)
    try:
        for name in chosen:
            say(f"\n==== {name} ({time.monotonic() - run.start:.0f} s) ====")
            if run.left_s() < 5:
                run.fail(name, "no time left: not run")
                continue
            if not run.is_built and name in NEED_BUILD:
                run.fail(name, "not run: the build failed")
                continue
            try:
                STAGES[name](run)
            except Exception as error:  # a fault of this program is a failed test, not a lost run
                import traceback
                run.fail(f"{name} (tools/run_tests.py itself)", f"{error}\n{traceback.format_exc()}")
        check_left_over(run)
    finally:
        shutil.rmtree(run.scratch, ignore_errors=True)
    summary(run)
    return 1 if run.failures or not run.passed else 0


if __name__ == "__main__":
    sys.exit(main())
