"""The main job from the signed poll to what real collectors have stored, as an outside observer sees it."""
import collections
import json
import time
import unittest

from rig import SHARED, Bridge, Collector, Pki, RigTest, Rsyslog, Simulator, SyslogNg, bridge_binary
from rig.basics import slow_build
from rig import messages, policy

class EndToEnd(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def setUp(self):
        super().setUp()
        self.pki = Pki(self.folder / "pki")

    def masters(self, count, **options):
        options.setdefault("generate", 120)
        # Every master has the same pbids on purpose: no shared id space (darktrace.md 7).
        return [self.own(Simulator(self.folder, f"master-{n}", seed=100 + n, span="20h", fqdn=f"dt{n}.example.com",
                                   private=f"{n:02}" * 20, **options)) for n in range(count)]

    def real_destinations(self, bridge, rs, sng, cef_rules="", **extra):
        bridge.destination("cef-udp", address=f"127.0.0.1:{rs.udp}", transport="udp", format="cef", **extra)
        bridge.destination("leef-tcp", address=f"127.0.0.1:{rs.tcp}", transport="tcp", format="leef",
                           rules=bridge.rules("stage-2.toml", policy.STAGE_2), **extra)
        bridge.destination("json-tls", address=f"localhost:{sng.tls}", transport="tls", format="json",
                           tls={"ca_file": str(self.pki.ca), "cert_file": str(self.pki.client),
                                "key_file": str(self.pki.client_key)}, **extra)

    def stored(self, rs, sng):
        """(master, pbid) of everything stored, by destination."""
        def host(line):
            return line.split(" ")[3]
        cef = [(host(line), messages.cef_pbid(line)) for line in rs.lines("udp.raw")]
        leef = [(host(line), messages.leef_pbid(line)) for line in rs.lines("tcp.raw")]
        jsons = [(p["host"], json.loads(p["msg"])["pbid"]) for p in sng.parsed("tls.log")]
        return {"cef-udp": cef, "leef-tcp": leef, "json-tls": jsons}

    def expected(self, sims, decide=None):
        return {(s.name, b["pbid"]) for s in sims for b in s.everything() if decide is None or decide(b)}

    def assert_exactly(self, got, expected, what):
        repeats = [k for k, n in collections.Counter(got).items() if n > 1]
        self.assertEqual(repeats, [], f"{what}: repeats")
        got = set(got)
        self.assertEqual(sorted(expected - got)[:10], [], f"{what}: {len(expected - got)} of {len(expected)} missing")
        self.assertEqual(sorted(got - expected)[:10], [], f"{what}: {len(got - expected)} that were not wanted")

    def test_ten_masters_three_destinations(self):
        """Exactly the expected set at each destination, no duplicates, while one more master hangs and one more collector is
        down; then breaches that appear while it runs."""
        rs = self.own(Rsyslog(self.folder, self.pki))
        sng = self.own(SyslogNg(self.folder, self.pki))
        sims = self.masters(10)
        hanging = self.own(Simulator(self.folder, "hanging", generate=5))
        hanging.fault("hang")
        down = self.own(Collector("tcp"))
        down.refuse()
        bridge = self.own(Bridge(self.folder.path))
        for sim in [hanging, *sims]:
            bridge.master(sim, timeout="60s")
        bridge.destination("down", address=down.address, transport="tcp", format="cef")
        self.real_destinations(bridge, rs, sng)
        bridge.start()
        everything, chosen = self.expected(sims), self.expected(sims, policy.stage_2)
        self.assertGreater(len(everything), len(chosen))
        self.assertGreater(len(chosen), 200)
        rs.wait_for("udp.raw", len(everything), 60)
        rs.wait_for("tcp.raw", len(chosen), 60)
        sng.wait_for("tls.log", len(everything), 60)
        # New ones: nobody waits for the master that hangs or the collector that is down.
        for sim in sims:
            sim.generate(7, seconds=2)
        start = time.monotonic()
        everything, chosen = self.expected(sims), self.expected(sims, policy.stage_2)
        rs.wait_for("udp.raw", len(everything), 20)
        rs.wait_for("tcp.raw", len(chosen), 20)
        sng.wait_for("tls.log", len(everything), 20)
        self.assertLess(time.monotonic() - start, 8 * slow_build(), "new breaches waited for somebody else")
        for name, daemon in (("udp.raw", rs), ("tcp.raw", rs), ("tls.log", sng)):
            daemon.wait_quiet(name)
        stored = self.stored(rs, sng)
        self.assert_exactly(stored["cef-udp"], everything, "CEF over UDP")
        self.assert_exactly(stored["leef-tcp"], chosen, "LEEF over TCP, stage 2")
        self.assert_exactly(stored["json-tls"], everything, "JSON over TLS")
        for sim in sims:
            state = sim.state(False)
            self.assertEqual((state["signature_failures"], state["date_failures"]), (0, 0), sim.name)
        # The collector comes back: its backlog arrives, once.
        down.accept()
        down.wait_for(len(everything), 60)
        time.sleep(1)
        got = [(m.split(" ")[3], messages.cef_pbid(m)) for m in down.texts()]
        self.assert_exactly(got, everything, "the collector that was down")
        # The master that hung answers again.
        hanging.fault("none")
        sng.wait_for("tls.log", len(everything) + 5, 90)
        self.assertEqual(bridge.stop(5), 0, "exit status on SIGTERM")

    def test_nothing_again_after_restart(self):
        """A clean stop and a new start: what was confirmed is not sent again, what came meanwhile is."""
        sims = self.masters(2, generate=200)
        collector = self.own(Collector("tls", pki=self.pki))
        bridge = self.own(Bridge(self.folder.path))
        for sim in sims:
            bridge.master(sim)
        bridge.destination("siem", address=f"localhost:{collector.port}", transport="tls", format="json",
                           tls={"ca_file": str(self.pki.ca)})
        bridge.start()
        collector.wait_for(400)
        self.assertEqual(bridge.stop(5), 0)
        for sim in sims:
            sim.generate(10)
        bridge.start()
        collector.wait_for(420)
        time.sleep(1)
        self.assertEqual(bridge.stop(5), 0)
        got = [(m.split(" ")[2], messages.json_pbid(m)) for m in collector.texts()]
        self.assert_exactly(got, self.expected(sims), "JSON over TLS")

    def test_shape_of_messages(self):
        """The values of the breach are those of the message, in all three formats (product.md 6)."""
        sim = self.own(Simulator(self.folder, "acme", generate=60, seed=3, fqdn="dt.acme.example"))
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim, query={"includebreachurl": True})
        collectors = {}
        for fmt in ("cef", "leef", "json"):
            collectors[fmt] = self.own(Collector("tcp"))
            bridge.destination(fmt, address=collectors[fmt].address, transport="tcp", format=fmt, max_message="64KiB")
        bridge.start()
        for c in collectors.values():
            c.wait_for(60)
        by_pbid = {b["pbid"]: b for b in sim.everything()}
        for text in collectors["cef"].texts():
            m = messages.cef(text)
            b = by_pbid[int(m["externalId"])]
            model = b["model"]["then"]
            self.assertEqual(m["header"][:5], ["CEF:0", "Darktrace", "DCIP", "1", str(model["pid"])])
            self.assertEqual(m["header"][5], model["name"].replace("::", "/"))
            self.assertEqual(int(m["header"][6]), max(1, int(b["score"] * 10 + policy.decimal.Decimal("0.5"))))
            self.assertEqual(m["darktraceUrl"], f"https://dt.acme.example/#modelbreach/{b['pbid']}")
            self.assertEqual(policy.decimal.Decimal(m["cfp1"]), b["score"])
            self.assertEqual((m["cs3"], m["cs4"]), (model["uuid"], "acme"))
            self.assertEqual(int(m["rt"]), b["time"])
        for text in collectors["leef"].texts():
            m = messages.leef(text)
            b = by_pbid[int(m["externalId"])]
            self.assertEqual(m["header"][:3], ["LEEF:2.0", "Darktrace", "DCIP"])
            self.assertEqual(m["header"][4], b["model"]["then"]["name"].replace("::", "/"))
            self.assertEqual(m["cat"], "ModelBreach")
            self.assertEqual(policy.decimal.Decimal(m["score"]), b["score"])
            address = b["device"].get("ip", b["device"].get("ip6"))
            if address:
                self.assertIn(address, (m.get("src"), m.get("identSrc")))
        for text in collectors["json"].texts():
            m = policy.load(text[text.index("{"):])
            b = by_pbid[m["pbid"]]
            self.assertEqual(m["model"], b["model"]["then"])
            for key in ("time", "creationTime", "score", "percentscore", "triggeredComponents", "device", "breachUrl"):
                self.assertEqual(m.get(key), b.get(key), key)

    def captured(self):
        folder = SHARED / "samples" / "darktrace"
        if not folder.is_dir():
            self.skipTest(f"no captured samples in {folder}; DTBRIDGE_SHARED names another folder")
        return [f for f in sorted(folder.glob("api_*.json"))
                if "error" not in f.name and "hostile" not in f.name and "components" not in f.name]

    def test_captured_samples(self):
        """The captured answers, served by the simulated master, forwarded in all formats over all transports, and stored."""
        files = self.captured()
        rs = self.own(Rsyslog(self.folder, self.pki))
        sng = self.own(SyslogNg(self.folder, self.pki))
        sim = self.own(Simulator(self.folder, "captured", data=files, spread="2h"))
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim)
        client = {"ca_file": str(self.pki.ca), "cert_file": str(self.pki.client), "key_file": str(self.pki.client_key)}
        for fmt in ("json", "cef", "leef"):
            bridge.destination(f"{fmt}-udp", address=f"127.0.0.1:{rs.udp}", transport="udp", format=fmt, max_message="60KiB")
            bridge.destination(f"{fmt}-tcp", address=f"127.0.0.1:{rs.tcp}", transport="tcp", format=fmt, max_message="64000B")
            bridge.destination(f"{fmt}-tls", address=f"localhost:{sng.tls}" if fmt == "json" else f"localhost:{rs.tls}",
                               transport="tls", format=fmt, tls=client, max_message="64000B")
        bridge.start()
        entries = sim.expected()
        expected = collections.Counter(e["pbid"] for e in entries)
        n = len(entries)
        self.assertGreaterEqual(n, 43)
        try:
            rs.wait_for("udp.raw", 3 * n)
            rs.wait_for("tcp.raw", 3 * n)
            rs.wait_for("tls.raw", 2 * n)
            sng.wait_for("tls.log", n)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{bridge.log()[-3000:]}") from None
        for name in ("udp.raw", "tcp.raw", "tls.raw"):
            rs.wait_quiet(name, 0.4)
        readers = {"CEF:": messages.cef_pbid, "LEEF:": messages.leef_pbid}
        for name, formats in (("udp.raw", 3), ("tcp.raw", 3), ("tls.raw", 2)):
            got = collections.defaultdict(collections.Counter)
            for line in rs.lines(name):
                kind = next((k for k in readers if f" {k}" in line[:120]), "json")
                got[kind][readers.get(kind, messages.json_pbid)(line)] += 1
            self.assertEqual(len(got), formats)
            for kind, counted in got.items():
                self.assertEqual(counted, expected, f"{kind} in {name}")
        self.assertEqual(collections.Counter(json.loads(p["msg"])["pbid"] for p in sng.parsed("tls.log")), expected)
        self.assertEqual(bridge.stop(5), 0)

    def test_hostile_elements(self):
        """13 elements that no appliance should send among good ones: the good ones arrive, nothing is forged."""
        sim = self.own(Simulator(self.folder, "acme", generate=20))
        from rig import SOURCE
        sim.fault("hostile", file=str(SOURCE / "tests/data/api_edge_cases_hostile.json"))
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim)
        collectors = {}
        for fmt in ("cef", "leef", "json"):
            for framing in ("newline", "octet-counting"):
                c = collectors[fmt, framing] = self.own(Collector("tcp"))
                bridge.destination(f"{fmt}-{framing}", address=c.address, transport="tcp", format=fmt, framing=framing)
        bridge.start()
        good = {e["pbid"] for e in sim.expected()}
        # 910003 is 9.10003e5, an exact integral number; 910004's pbid is beyond int64; 910005 has none.
        hostile = {910001, 910002, 910003, 910006, 910007, 910009, 910010, 910011}
        for (fmt, framing), c in collectors.items():
            read = {"cef": messages.cef_pbid, "leef": messages.leef_pbid, "json": messages.json_pbid}[fmt]
            try:
                c.wait_for(len(good | hostile), 20)
            except AssertionError as e:
                raise AssertionError(f"{e}\n{bridge.log()[-3000:]}") from None
            time.sleep(0.3)
            ids = collections.Counter(read(m) for m in c.texts())
            self.assertEqual(set(ids), good | hostile, (fmt, framing))
            self.assertEqual(max(ids.values()), 1)
            for m in c.messages:
                self.assertNotIn(b"\n", m)
                self.assertTrue(m.startswith(b"<165>"), m[:80])
            forged = next(m for m in c.texts() if read(m) == 910011)
            if fmt == "cef":
                parsed = messages.cef(forged)
                self.assertEqual(parsed["externalId"], "910011")
                self.assertEqual(parsed["dvchost"], "x dvchost=evil darktraceUrl=https://evil.example/")
                self.assertNotIn("evil.example", parsed["darktraceUrl"])
        aside = list((self.folder.path / "dtbridge" / "state").rglob("set-aside.ndjson"))
        self.assertEqual(len(aside), 1)
        self.assertEqual(len(aside[0].read_text().splitlines()), 5)
        self.assertTrue(bridge.process.alive())
        self.assertEqual(bridge.stop(5), 0)


if __name__ == "__main__":
    unittest.main()
