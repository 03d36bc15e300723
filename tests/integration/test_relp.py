"""RELP into real rsyslog (imrelp), plain and with client certificates: the cursor moves on its answers, so that not even a collector
that is killed with unread data loses a breach."""
import collections
import random
import re
import signal
import time
import unittest

from rig import Bridge, Pki, Rsyslog, RigTest, Simulator, bridge_binary, wait_until
from rig import cursors, messages


class Relp(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def begin(self, generate, **sim):
        self.pki = Pki(self.folder / "pki")
        self.rsyslog = self.own(Rsyslog(self.folder.path, self.pki))
        self.rsyslog.need_relp()
        self.sim = self.own(Simulator(self.folder, "acme", generate=generate, span="10h", **sim))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim)
        self.bridge.destination("plain", address=f"127.0.0.1:{self.rsyslog.relp}", transport="relp", format="json", max_message="60KiB")
        self.bridge.destination("secured", address=f"localhost:{self.rsyslog.relp_tls}", transport="relp+tls", format="cef",
                                tls={"ca_file": str(self.pki.ca), "cert_file": str(self.pki.client), "key_file": str(self.pki.client_key)})

    def arrived(self):
        return {"plain": [messages.json_pbid(m) for m in self.whole("relp.raw")],
                "secured": [messages.cef_pbid(m) for m in self.whole("relp_tls.raw")]}

    def whole(self, name):
        """rsyslog writes a long message in pieces: one that kill -9 cut (and that was not answered) has the next one behind it.
        Events of the bridge itself, such as that a master cannot be polled, are no breaches."""
        lines = [line[line.rindex("<165>"):] for line in self.rsyslog.lines(name) if "<165>" in line]
        return [line for line in lines if '{"dtbridge":{"event":' not in line and "CEF:0|dtbridge|" not in line]

    def wait_for_all(self, deadline=90):
        expected = set(self.sim.pbids())

        def missing():
            return {name: len(gone) for name, got in self.arrived().items() if (gone := expected - set(got))}
        wait_until(lambda: not missing(), deadline, lambda: f"missing: {missing()}\n{self.bridge.log()[-3000:]}", every=0.5)
        return expected, self.arrived()

    def test_every_breach_once(self):
        self.begin(1000)
        self.bridge.start()
        expected, got = self.wait_for_all()
        self.sim.generate(200)
        expected, got = self.wait_for_all()
        self.assertEqual(self.bridge.stop(), 0)
        for name, pbids in got.items():
            self.assertEqual(collections.Counter(pbids), collections.Counter(expected), name)
        # Started again it repeats nothing.
        self.bridge.start()
        self.sim.generate(50)
        expected, got = self.wait_for_all()
        for name, pbids in got.items():
            self.assertEqual(collections.Counter(pbids), collections.Counter(expected), name)

    def test_collector_killed_under_load(self):
        """kill -9 of rsyslog a dozen times while thousands of breaches flow: nothing is missing in its files."""
        total, kills = 6000, 12
        self.begin(total // 2)
        self.bridge.start()
        chance = random.Random(7)
        left = total // 2
        at_kill = []
        breaks = cursors.Breaks(cursors.Files(self.bridge))
        for kill in range(kills):
            share = left // (kills - kill)
            left -= share
            before = len(self.rsyslog.lines("relp.raw"))
            self.sim.generate(share, seconds=2)
            wait_until(lambda: len(self.rsyslog.lines("relp.raw")) > before, 40, "messages before the next kill")
            time.sleep(chance.uniform(0.0, 0.15))
            breaks.now()
            if kill % 3 == 2:
                # With data that it has not read.
                self.rsyslog.process.signal(signal.SIGSTOP)
                time.sleep(0.3)
            self.rsyslog.kill()
            at_kill.append(len(self.rsyslog.lines("relp.raw")))
            time.sleep(chance.uniform(0.0, 0.3))
            self.rsyslog.start()
        mark = time.monotonic()
        self.sim.generate(20)
        expected, _ = self.wait_for_all(120)
        recovery = time.monotonic() - mark
        self.assertEqual(self.bridge.stop(), 0)
        self.assertEqual(len(expected), total + 20)
        print(f"\nlines at each kill: {at_kill}; all there {recovery:.1f} s after the last start")
        for name, pbids in self.arrived().items():
            got = collections.Counter(pbids)
            self.assertEqual(set(got), expected, name)
            repeats = sum(got.values()) - len(got)
            print(f"{name}: {len(got)} breaches, {repeats} repeats after {kills} kills")
            # Only what was not answered for when it was killed.
            self.assertEqual(breaks.too_often(name, {("acme", pbid): n for pbid, n in got.items()}), {}, name)

    def test_bridge_killed_under_load(self):
        self.begin(2000)
        self.bridge.start(wait=False)
        breaks = cursors.Breaks(cursors.Files(self.bridge))
        for _ in range(6):
            wait_until(lambda: self.bridge.process.alive(), 5)
            time.sleep(0.4)
            self.bridge.kill()
            breaks.killed()
            self.bridge.start(wait=False, write=False)
        expected, arrived = self.wait_for_all()
        for name, pbids in arrived.items():
            self.assertEqual(set(pbids), expected, name)
            got = collections.Counter(("acme", pbid) for pbid in pbids)
            self.assertEqual(breaks.too_often(name, got), {}, name)

    def test_wrong_client_certificate_and_renewal(self):
        """rsyslog refuses a stranger; with the right file in its place the bridge goes on without a restart."""
        self.begin(30)
        mine, key = self.folder / "mine.pem", self.folder / "mine.key"
        mine.write_bytes(self.pki.stranger.read_bytes())
        key.write_bytes(self.pki.stranger_key.read_bytes())
        self.bridge.destinations[1]["tls"] = {"ca_file": str(self.pki.ca), "cert_file": str(mine), "key_file": str(key)}
        self.bridge.start()
        self.bridge.wait_for_log(r"deliver secured: cannot deliver")
        wait_until(lambda: len(set(self.arrived()["plain"])) == 30, 30, "the plain destination")
        self.assertEqual(self.arrived()["secured"], [])
        for new, path in ((self.pki.client, mine), (self.pki.client_key, key)):
            path.write_bytes(new.read_bytes())
        expected, got = self.wait_for_all()
        self.assertEqual(collections.Counter(got["secured"]), collections.Counter(expected))
        self.assertFalse(re.search("BEGIN .*PRIVATE", self.bridge.log()))

    def test_message_over_the_collectors_bound(self):
        """imrelp closes at a message over maxDataSize (oversizeMode "abort"): said in words that name the bound; the other
        destination goes on."""
        self.begin(5)
        self.sim.add([{"pbid": 7_000_001, "time": int(time.time() * 1000) - 1000, "creationTime": int(time.time() * 1000) - 1000,
                       "score": 0.9, "model": {"then": {"name": "A::Long", "pid": 1, "description": "x" * 70_000}},
                       "device": {"did": 1}, "triggeredComponents": []}])
        self.bridge.destinations[0]["max_message"] = "100KiB"
        self.bridge.start()
        self.bridge.wait_for_log(r"deliver plain: [^\n]*maxDataSize", 40)
        wait_until(lambda: set(self.arrived()["secured"]) == set(self.sim.pbids()), 30, "the other destination")
        # Mended by a reload.
        self.bridge.destinations[0]["max_message"] = "60KiB"
        self.bridge.write()
        self.bridge.reload()
        self.wait_for_all()


if __name__ == "__main__":
    unittest.main()
