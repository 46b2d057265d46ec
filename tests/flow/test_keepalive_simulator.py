# SPDX-License-Identifier: MIT
"""The keep-alive policy on traces of arrivals: the daemon's own code, played by tests/bench/keepalive.

Times in it are simulated: the figures are the same on every machine."""
import json
import subprocess
from pathlib import Path

import pytest

TRACE = Path(__file__).resolve().parents[1] / "bench" / "traces" / "azure200.csv"
DAY = ("day", "--apps", "100", "--seed", "1")


def run(build, *arguments):
    return subprocess.run([build / "tests" / "keepalive_simulator", *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=240, check=False)


def simulate(build, *arguments):
    result = run(build, *arguments)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    return told, {policy["policy"]: policy for policy in told["policies"]}


@pytest.fixture(scope="module")
def day(build):
    return simulate(build, *DAY)


def test_a_tenth_of_the_memory_and_one_call_in_a_thousand_waits(day):
    _, policies = day
    learned, fixed = policies["learned"], policies["fixed_10_min"]
    assert learned["memory_gib_s"] <= 0.1 * fixed["memory_gib_s"]
    assert learned["within_5ms"] >= 0.999
    assert learned["template_peak_mib"] <= 2048
    # And better than the histogram of idle times on both.
    assert learned["memory_gib_s"] < policies["histogram"]["memory_gib_s"]
    assert learned["within_5ms"] > policies["histogram"]["within_5ms"]


def test_all_policies_see_the_same_calls(day):
    _, policies = day
    assert len({policy["calls"] for policy in policies.values()}) == 1
    for policy in policies.values():
        assert policy["warm"] + policy["forked"] + policy["cold"] == policy["calls"]


def test_the_day_is_distributed_as_published(day):
    told, _ = day
    assert told["hours"] == 24
    triggers = told["triggers"]
    for name, published in (("http", 0.55), ("queue", 0.15), ("event", 0.02), ("timer", 0.16), ("orchestration", 0.07),
                            ("other", 0.05)):
        assert abs(triggers[name]["functions"] - published) < 0.08


def test_the_cap_on_templates_holds(build):
    _, policies = simulate(build, "day", "--apps", "60", "--hours", "3", "--cap", "100")
    assert policies["learned"]["evicted"] > 0
    assert policies["learned"]["template_peak_mib"] <= 100


def test_a_real_trace(build):
    told, policies = simulate(build, TRACE)
    assert told["functions"] == 31
    assert policies["learned"]["calls"] == 199
    assert policies["learned"]["memory_gib_s"] < 0.1 * policies["fixed_10_min"]["memory_gib_s"]
    assert policies["learned"]["penalty_mean_ms"] < policies["fixed_10_min"]["penalty_mean_ms"]


def test_the_same_arguments_print_the_same(build):
    arguments = ("day", "--apps", "30", "--hours", "2", "--seed", "7")
    assert run(build, *arguments).stdout == run(build, *arguments).stdout
    assert run(build, *arguments[:-1], "8").stdout != run(build, *arguments).stdout


def test_wrong_arguments_are_refused(build):
    assert run(build).returncode == 2
    assert run(build, "day", "--apps").returncode == 2
    assert run(build, "day", "--unknown", "1").returncode == 2
    assert run(build, "/nowhere.csv").returncode == 1
