"""kill -9 of the bridge at random moments, 20 times during a run of 20,000 breaches: at each collector no pbid is missing, and only
what a cursor had not passed when the bridge was killed comes again."""
import collections
import os
import random
import time
import unittest

from rig import Bridge, Collector, Pki, RigTest, Simulator, bridge_binary, wait_until
from rig import cursors, messages

TOTAL = int(os.environ.get("DTBRIDGE_KILL_BREACHES", "20000"))
KILLS = int(os.environ.get("DTBRIDGE_KILLS", "20"))


class Kill(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def test_kill(self):
        pki = Pki(self.folder / "pki")
        seed = int(os.environ.get("DTBRIDGE_KILL_SEED", random.randrange(1 << 30)))
        chance = random.Random(seed)
        print(f"\nkill -9: seed {seed} (DTBRIDGE_KILL_SEED repeats it)")
        # Half of them are there at the start, the other half appears while it runs, so that both back-fill and polling are hit.
        sims = [self.own(Simulator(self.folder, f"master-{n}", seed=n + 1, generate=TOTAL // 4, span="10h")) for n in range(2)]
        tcp, tls = self.own(Collector("tcp")), self.own(Collector("tls", pki=pki))
        bridge = self.own(Bridge(self.folder.path))
        for sim in sims:
            bridge.master(sim, interval="200ms")
        bridge.destination("tcp", address=tcp.address, transport="tcp", format="leef", framing="octet-counting")
        bridge.destination("tls", address=f"localhost:{tls.port}", transport="tls", format="cef",
                           tls={"ca_file": str(pki.ca)})
        collectors = {"tcp": (tcp, messages.leef_pbid), "tls": (tls, messages.cef_pbid)}
        bridge.start(wait=False)
        left = TOTAL // 4
        at_kill = []
        breaks = cursors.Breaks(cursors.Files(bridge))
        for kill in range(KILLS):
            share = left if kill == KILLS - 1 else left // (KILLS - kill)
            left -= share
            before = tcp.count() + tls.count()
            for sim in sims:
                sim.generate(share, seconds=5)
            # Short waits hit the start and the poll, longer ones the delivery; each has new breaches to be in the middle of.
            time.sleep(chance.choice((chance.uniform(0.02, 0.3), chance.uniform(0.2, 1.0))))
            if kill % 2:
                # On a slow machine these waits end before anything is sent; half of the kills come in the middle of sending.
                enough = before + chance.randint(1, max(2, share))
                end = time.monotonic() + 20
                while tcp.count() + tls.count() < enough and time.monotonic() < end and bridge.process.alive():
                    time.sleep(0.005)
            self.assertTrue(bridge.process.alive(), f"ended by itself before kill {kill + 1}:\n{bridge.log()[-3000:]}")
            bridge.kill()
            breaks.killed()
            at_kill.append([c.count() for c, _ in collectors.values()])
            if kill % 5 == 4:
                for c, _ in collectors.values():
                    c.close_connections()
            bridge.start(wait=False, write=False)
        expected = {(s.name, e["pbid"]) for s in sims for e in s.expected()}
        self.assertEqual(len(expected), TOTAL // 2 * 2)

        def arrived(name):
            c, read = collectors[name]
            return [(m.split(" ")[3], read(m)) for m in c.texts()]

        for name in collectors:
            last = [0]

            def complete():
                if collectors[name][0].count() < len(expected) or collectors[name][0].count() == last[0]:
                    return collectors[name][0].count() >= len(expected) and expected <= set(arrived(name))
                last[0] = collectors[name][0].count()
                return expected <= set(arrived(name))

            wait_until(complete, 150, lambda: f"{len(expected - set(arrived(name)))} of {len(expected)} missing at {name}; "
                                              f"the log ends:\n{bridge.log()[-3000:]}", every=0.5)
        # Once everything is confirmed a kill repeats nothing.
        wait_until(lambda: all(self.is_confirmed(bridge, s.name) for s in sims), 20, bridge.log)
        at_rest = [c.count() for c, _ in collectors.values()]
        bridge.kill()
        breaks.killed()
        bridge.start(write=False)
        for sim in sims:
            sim.generate(5)
        expected = {(s.name, e["pbid"]) for s in sims for e in s.expected()}
        for name in collectors:
            wait_until(lambda: expected <= set(arrived(name)), 30, bridge.log, every=0.2)
        self.assertEqual([c.count() for c, _ in collectors.values()], [n + 10 for n in at_rest])
        self.assertEqual(bridge.stop(10), 0)
        print("messages at the collectors at each kill:", at_kill)
        for name, (c, _) in collectors.items():
            got = collections.Counter(arrived(name))
            self.assertEqual(expected - set(got), set(), f"missing at {name}")
            self.assertEqual(set(got) - expected, set(), f"never made, yet at {name}")
            repeats = sum(n - 1 for n in got.values())
            print(f"{name}: {len(got)} breaches, {repeats} repeats after {KILLS} kills, {c.cut} frames cut, "
                  f"{len(c.bad_frames)} bad")
            self.assertEqual(c.bad_frames, [])
            self.assertEqual(breaks.too_often(name, got), {}, f"more was repeated than the cursor had not passed at {name}")

    @staticmethod
    def is_confirmed(bridge, master):
        """Whether both destinations' cursors stand at the end of the master's archive."""
        last, seqs = cursors.standing(bridge.service["state_dir"])[master]
        return seqs == {"tcp": last, "tls": last}


if __name__ == "__main__":
    unittest.main()
