#!/usr/bin/env python3
"""Whether the bridge has become slow: every stage and the whole way against parsing the same breaches once by Boost.JSON in the
same run, and one master's archive against its own beginning. A limit is about twice what README.md's figures say, and a contract's
limit (product.md 10) where there is one; what is over it is measured once more before it counts, for a machine may be busy."""
import json
import os
import pathlib
import subprocess
import unittest

os.environ.setdefault("DTBRIDGE_BUILD", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "bench"))
import way  # noqa: E402

# Times one Boost.JSON parse of the same breaches of 5 KB.
STAGES = {"split": 0.15, "take": 0.6, "append": 1.3, "read_on": 0.05, "read_backlog": 0.3, "parse_again": 0.5, "decide": 0.05,
          "format_json": 0.75, "format_cef": 0.35, "format_leef": 0.3, "frame": 0.05, "send_tcp": 0.05, "send_tls": 0.15, "whole way": 2.6}
WAYS = {"tcp-cef": (dict(transport="tcp", form="cef"), 2.6), "tcp-json": (dict(transport="tcp", form="json"), 3.0)}
GROWN = 2.0
TLS = dict(transport="tls", form="cef", master_tls=True)


def within(limit, measure, tries=2):
    """The measured ratio, the best of so many tries that one needs to come under the limit."""
    best = measure()
    while best > limit and tries > 1:
        tries -= 1
        best = min(best, measure())
    return best


def stages():
    folder = way.Folder("dtbridge-bench-")
    try:
        path = folder / "ratios"
        subprocess.run([way.BUILD / "bench-stages", "--benchmark_filter=/5KB", "--benchmark_repetitions=5", "--benchmark_min_time=0.02",
                        f"--ratios={path}"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return {name: figures["boost_json"] for name, figures in json.loads(path.read_text())["stages"]["5KB"].items()}
    finally:
        folder.close()


def grown(rows):
    """What appending, reading and looking up new keys cost at so many rows, times what they cost at 1,000 (keys that are known are
    all in memory there)."""
    folder = way.Folder("dtbridge-bench-")
    try:
        out = subprocess.run([way.BUILD / "bench-archive", folder.path, str(rows), "2000"], check=True, capture_output=True, text=True).stdout
        lines = [json.loads(line) for line in out.splitlines()]
        return {key: lines[-1][key] / lines[0][key] for key in ("append_us", "read_us", "unknown_us")}
    finally:
        folder.close()


class Ratios(unittest.TestCase):
    def assert_within(self, what, limit, ratio):
        print(f"{what}: {ratio:.2f}, at most {limit}")
        self.assertLessEqual(ratio, limit, what)

    def test_stages(self):
        figures = stages()
        if any(figures[name] > limit for name, limit in STAGES.items()):
            again = stages()
            figures = {name: min(ratio, again[name]) for name, ratio in figures.items()}
        for name, limit in STAGES.items():
            with self.subTest(name):
                self.assert_within(f"{name} over parse_boost", limit, figures[name])

    def test_whole_way(self):
        for name, (how, limit) in WAYS.items():
            def measure():
                return way.backlog(20_000, **how)["cpu_us"] / way.yardstick()["boost_json"]
            with self.subTest(name):
                self.assert_within(f"{name} over parse_boost", limit, within(limit, measure))

    def test_tls_costs_at_most_a_third_more(self):
        def measure():
            return way.backlog(20_000, **TLS)["cpu_us"] / way.backlog(20_000, **WAYS["tcp-cef"][0])["cpu_us"]
        self.assert_within("TLS on both ends over TCP", 1.33, within(1.33, measure))

    def test_an_archive_of_a_hundred_thousand_costs_what_a_small_one_does(self):
        figures = grown(100_000)
        if max(figures.values()) > GROWN:
            again = grown(100_000)
            figures = {what: min(ratio, again[what]) for what, ratio in figures.items()}
        for what, ratio in figures.items():
            with self.subTest(what):
                self.assert_within(f"{what} at 100,000 breaches over 1,000", GROWN, ratio)


if __name__ == "__main__":
    unittest.main()
