"""Answers far larger than memory: what the bridge takes of them, and what it takes of memory meanwhile."""
import sqlite3
import time
import unittest
import urllib.parse

from rig import BUILD, Bridge, Collector, RigTest, Simulator, bridge_binary, wait_until
from rig.basics import slow_build

MIB = 1024


class Volume(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def begin(self, **simulator):
        self.sim = self.own(Simulator(self.folder, "acme", tls=False, **simulator))
        self.collector = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="cef")

    def assert_small(self):
        peak = self.bridge.process.resident_kib()
        print(f"peak resident memory {peak / MIB:.1f} MiB")
        if BUILD.name == "release":
            self.assertLess(peak, 64 * MIB)

    def swept(self):
        """What the last sweep noted: how many the master showed, how many the archive holds in its window, how many of them are not shown."""
        file = self.folder.path / "dtbridge/state/masters/acme/archive.db"
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30) as db:
            return db.execute("SELECT shown, held, gone FROM window WHERE sweep = 1 ORDER BY id DESC LIMIT 1").fetchall()

    def test_answer_of_a_gibibyte(self):
        """1 GiB for one minute, the shortest window there is: taken as it streams, whole, in bounded memory."""
        self.begin(generate=50, span="30s")
        self.bridge.master(self.sim, backfill="1m", timeout=f"{int(240 * slow_build())}s", interval="1s")
        self.sim.fault("huge", bytes=1 << 30, count=1, **{"with": "elements"})
        self.bridge.start()
        wait_until(lambda: not self.sim.state(False)["faults"], 60, "the huge answer was not asked for")
        self.bridge.wait_for_log("the master answers", 240 * slow_build())
        self.collector.wait_for(50, 60)
        self.sim.generate(5)
        self.collector.wait_for(55, 60)
        self.assert_small()
        self.assertEqual(self.collector.count(), 55)

    def test_answer_over_the_bound(self):
        """100 MB for two hours is over the 64 MiB that such an answer may have: given up, and asked for in shorter windows."""
        self.begin(generate=50, span="90m", no_gzip=True)
        self.bridge.master(self.sim, backfill="2h", timeout=f"{int(60 * slow_build())}s", interval="1s")
        self.sim.fault("huge", bytes=100_000_000, count=1, **{"with": "elements"})
        self.bridge.start()
        self.bridge.wait_for_log("the answer is too large", 60 * slow_build())
        self.collector.wait_for(50, 60)

        def spans():
            asked = [urllib.parse.parse_qs(urllib.parse.urlsplit(t).query) for t in self.sim.state()["last_targets"] if "/modelbreaches?" in t]
            return [int(q["endtime"][0]) - int(q["starttime"][0]) for q in asked]
        self.assertEqual(spans()[0], 3_600_000)
        self.assertLessEqual(spans()[1], 3_600_000 // 2 + 60_000)
        self.sim.generate(5)
        self.collector.wait_for(55, 60)
        self.assert_small()
        self.assertEqual(self.collector.count(), 55)

    def test_hundred_thousand_breaches_in_one_window(self):
        """All created in the same second, so no window can be short enough: each archived and delivered once; a sweep over the
        same window compares them."""
        count = 100_000
        self.begin(generate=count, span="1s", until=int(time.time() * 1000) - 30_000)
        self.bridge.service["log_level"] = "info"
        self.bridge.master(self.sim, backfill="2m", timeout=f"{int(240 * slow_build())}s", interval="60s",
                           reconcile_interval="5s", reconcile_span="10m", reconcile_deep="10m")
        self.bridge.start()
        start = time.monotonic()
        wait_until(lambda: self.collector.count() >= count, 400 * slow_build(),
                   lambda: f"{self.collector.count()} of {count}\n{self.bridge.log()[-2000:]}", every=1)
        print(f"{count} breaches in {time.monotonic() - start:.0f} s")
        self.assert_small()
        wait_until(self.swept, 200 * slow_build(), self.bridge.log, every=1)
        [(shown, held, gone)] = self.swept()
        # A sweep asks by activity, and a few breaches have a time well before their creation.
        self.assertGreater(held, count * 9 // 10)
        self.assertEqual((shown, gone), (held, 0))
        print(f"swept after {time.monotonic() - start:.0f} s")
        self.assert_small()
        self.assertEqual(self.collector.count(), count)
        self.assertNotIn("not shown by the master", self.bridge.log())


if __name__ == "__main__":
    unittest.main()
