# SPDX-License-Identifier: MIT
"""What keeping instances costs, by policy: keepalive_simulator on the synthesised day and on the small real trace.

Nothing here is a time that was measured: the same arguments print the same figures on any machine."""

import json
import subprocess
from pathlib import Path

TRACE = Path(__file__).resolve().parent / "traces" / "azure200.csv"
SEEDS = (1, 2, 3)
GIB_DAY = 86400  # GiB-seconds of one GiB held for a day


def simulate(build, *arguments):
    """{policy: its figures}"""
    out = subprocess.run([build / "tests" / "keepalive_simulator", *map(str, arguments)], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, check=True)
    return {policy["policy"]: policy for policy in json.loads(out.stdout)["policies"]}


def part_of_fixed(policies, name):
    return 100 * policies[name]["memory_gib_s"] / policies["fixed_10_min"]["memory_gib_s"]


def measure(build, rows, row, smoke):
    """Adds the rows `keepalive.*`; `row` is run.py's class. A smoke run is a short day, which no bar is meant for."""
    day = ["day", "--apps", 100, "--hours", 1 if smoke else 24]
    for seed in SEEDS[:1] if smoke else SEEDS:
        got = simulate(build, *day, "--seed", seed)
        learned = got["learned"]
        rows.setdefault("keepalive.memory", row(
            "memory-seconds, learned keep-alive, of fixed 10 minutes", "%", None if smoke else 10)).add(
                part_of_fixed(got, "learned"), part_of_fixed(got, "histogram"))
        rows.setdefault("keepalive.within", row(
            "calls with at most 5 ms of start penalty", "%", None if smoke else 99.9, at_least=True)).add(
                100 * learned["within_5ms"], 100 * got["fixed_10_min"]["within_5ms"])
        rows.setdefault("keepalive.templates", row("templates' memory, mean over the day", "GiB", 2)).add(
            learned["template_gib_s"] / GIB_DAY * (24 if smoke else 1))
        rows.setdefault("keepalive.rebuilding", row("time spent making templates, a day", "s")).add(
            learned["rebuild_s"])
    got = simulate(build, TRACE)
    rows.setdefault("keepalive.trace", row("the same on 20 real minutes, of fixed 10 minutes", "%")).add(
        part_of_fixed(got, "learned"), part_of_fixed(got, "histogram"))
