"""Whatever the master answers, the bridge keeps polling, says in plain words what is wrong, loses nothing, and recovers."""
import json
import re
import time
import unittest

from rig import BUILD, SOURCE, Bridge, Collector, Pki, RigTest, Simulator, bridge_binary, wait_until
from rig import messages

CASES = {c["case"]: c for c in json.loads((SOURCE / "tests/data/api_error_responses.json").read_text())}

# What the log must say of each row of darktrace.md 2.6: words that an operator can act on.
WORDS = {
    "bad_signature": r"signature",
    "clock_skew": r"date",
    "signature_error_other_key": r"signature",
    "redirect_login": r"login",
    "redirect_403": r"permission",
    "html_login_200_new": r"login page",
    "html_login_200_old": r"login page",
    "not_found_json": r"404",
    "response_error": r"refused the request",
    "input_error": r"INPUT ERROR|parameter",
    "empty_body_200": r"no body",
    "truncated_json": r"middle of its JSON|cut",
    "rate_limited": r"429|fewer requests",
    "server_error": r"500",
    "bad_gateway": r"502",
    "proxy_block_200": r"web page|Access Denied",
}


class Faults(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def begin(self, generate=40, timeout="5s", tls=True, no_gzip=False, **master):
        self.sim = self.own(Simulator(self.folder, "acme", tls=tls, generate=generate, span="2h", fqdn="dt.acme.example", no_gzip=no_gzip))
        self.collector = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim, timeout=timeout, backfill="3h", **master)
        self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="json", max_message="64KiB")
        self.bridge.start()

    def keys(self):
        return [(b["pbid"], b["creationTime"]) for b in map(messages.json_body, self.collector.texts())]

    def expected(self):
        return {(e["pbid"], e["created"]) for e in self.sim.expected()}

    def assert_all_arrive(self, deadline=60):
        expected = self.expected()
        wait_until(lambda: expected <= set(self.keys()), deadline,
                   lambda: f"{len(expected - set(self.keys()))} of {len(expected)} missing; the log ends:\n"
                           + self.bridge.log()[-3000:], every=0.2)
        got = self.keys()
        self.assertEqual(len(got), len(set(got)), "repeats in a run in which the collector was fine")
        self.assertEqual(set(got) - expected, set())
        self.assertTrue(self.bridge.process.alive())

    def run_fault(self, kind, words=None, rounds=2, after=None, **settings):
        """The fault starts after a first poll; breaches appear while it lasts; it ends; all must arrive."""
        self.assert_all_arrive()
        mark = len(self.bridge.log())
        self.sim.fault(kind, **settings)
        self.sim.generate(5)
        self.sim.wait_for_requests(rounds, 45)
        if words:
            wait_until(lambda: re.search(words, self.bridge.log()[mark:], re.I), 30,
                       lambda: f"nothing like {words!r} was logged about {kind}:\n{self.bridge.log()[mark:][-2000:]}")
        self.assertNotIn(self.sim.private, self.bridge.log(), "the private token is in the log")
        self.sim.fault("none")
        self.sim.generate(5)
        self.assert_all_arrive()
        if after:
            after()

    def test_error_answers(self):
        """Each row of darktrace.md 2.6 at a master of its own, all at once: each is named in words, none stops another (one
        more master is well all the time), and all that appeared meanwhile arrives when the answers are right again."""
        self.collector = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="json", max_message="64KiB")
        sims = {}
        for case in [*CASES, "well"]:
            name = case.replace("_", "-")
            sims[case] = self.own(Simulator(self.folder, name, generate=10, span="1h"))
            self.bridge.master(sims[case], backfill="2h", timeout="5s")

        def arrived(name):
            return {(b["pbid"], b["creationTime"]) for m in self.collector.texts() if m.split(" ")[2] == name
                    for b in [messages.json_body(m)]}

        def missing():
            return {s.name: len(gone) for s in sims.values()
                    if (gone := {(e["pbid"], e["created"]) for e in s.expected()} - arrived(s.name))}

        self.bridge.start()
        wait_until(lambda: not missing(), 60, missing, every=0.3)
        mark = len(self.bridge.log())
        for case, sim in sims.items():
            if case != "well":
                settings = {"retry_after": 1} if case == "rate_limited" else {}
                sim.fault(case, **settings)
        for sim in sims.values():
            sim.generate(5)
        wait_until(lambda: "well" not in missing(), 10, "the well master waited for others", every=0.1)
        for case, words in WORDS.items():
            line = re.compile(rf"\b{sims[case].name}\b[^\n]*({words})", re.I)
            with self.subTest(case=case, meaning=CASES[case]["meaning"]):
                wait_until(lambda: line.search(self.bridge.log()[mark:]), 20,
                           lambda: f"not said in words like {words!r}:\n" + "\n".join(
                               text for text in self.bridge.log()[mark:].splitlines() if sims[case].name in text))
        wait_until(lambda: (123, 1704100006000) in arrived("single-object"), 20, "a single object with a pbid is a breach")
        log = self.bridge.log()
        for sim in sims.values():
            self.assertNotIn(sim.private, log, "the private token is in the log")
            sim.fault("none")
            sim.generate(5)
        # What needs a person's hand is asked again after half a minute at most, at first.
        wait_until(lambda: not missing(), 60, lambda: f"{missing()}\n{self.bridge.log()[-3000:]}", every=0.5)
        self.assertEqual(len(self.collector.messages), len(CASES) * 20 + 20 + 1, "repeats")

    def test_cut_answers(self):
        self.begin(generate=200)
        self.run_fault("cut", words=r"cut", fraction=0.5)
        self.run_fault("reset", words=r"cut|reset|connection", fraction=0.7)
        self.run_fault("cut", words=r"middle of its JSON|cut", fraction=0.4, complete=True)
        self.run_fault("cut", fraction=0.0)

    def test_cut_and_reset_of_answers_without_breaches(self):
        """Also an answer that holds none was cut, and is called so, not a master that cannot be reached."""
        for kind in ("cut", "reset"):
            sim = self.own(Simulator(self.folder, f"empty-{kind}"))
            collector = self.own(Collector("tcp"))
            bridge = self.own(Bridge(self.folder.path, kind))
            bridge.master(sim, backfill="1m")
            bridge.destination("siem", address=collector.address, transport="tcp", format="json")
            bridge.start()
            bridge.wait_for_log("the master answers")
            sim.fault(kind, bytes=1)
            bridge.wait_for_log(r"outcome=\W*cut")
            self.assertNotRegex(bridge.log(), r"outcome=\W*unreachable")
            sim.fault("none")
            bridge.wait_for_log("the master answers again", 30)

    def test_cut_backfill_keeps_whole_elements(self):
        """Elements before a cut stay: with every answer cut at 60 % the newest still arrive."""
        self.sim = self.own(Simulator(self.folder, "acme", generate=300, span="10m"))
        self.sim.fault("cut", fraction=0.6)
        self.collector = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim, backfill="11m")
        self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="json", max_message="64KiB")
        self.bridge.start()
        self.collector.wait_for(100, 30)
        self.sim.fault("none")
        self.assert_all_arrive()

    def test_slow_and_drip(self):
        self.begin(timeout="2s")
        self.run_fault("slow", words=r"timed out|too long|time", seconds=4, rounds=1)
        self.run_fault("drip", words=r"timed out|too long|time", bytes_per_second=200, rounds=2)
        self.run_fault("drip", words=r"timed out|too long|time", bytes_per_second=1, rounds=2)

    def test_hang(self):
        self.begin(timeout="2s")
        self.run_fault("hang", words=r"timed out|too long|time", rounds=1)
        self.run_fault("close_after", requests=1)
        self.run_fault("close_after", requests=0)

    def test_tls_refused(self):
        self.begin()
        self.assert_all_arrive()
        self.sim.fault("close_after", requests=0, count=3)
        failures = self.sim.state(False)["handshake_failures"]
        self.sim.fault("tls_refused")
        self.sim.generate(5)
        wait_until(lambda: self.sim.state(False)["handshake_failures"] > failures, 30, "no handshake was refused")
        wait_until(lambda: re.search("no cipher|handshake|alert", self.bridge.status()["masters"][0]["error"], re.I), 30,
                   lambda: str(self.bridge.status()["masters"]))
        self.sim.fault("none")
        self.assert_all_arrive()

    def test_rate_limited(self):
        """Retry-After is honoured: no request before it is over, seconds or date."""
        self.begin()
        self.assert_all_arrive()
        for settings, least in (({"retry_after": 4}, 4.0), ({"retry_after_date": 5}, 3.9)):
            self.sim.wait_for_requests(1)
            self.sim.fault("rate_limited", count=1, **settings)
            wait_until(lambda: not self.sim.state(False)["faults"], 20, "the request that is refused")
            start = time.monotonic()
            before = self.sim.state(False)["requests"]
            wait_until(lambda: self.sim.state(False)["requests"] > before, 30, "the next request", every=0.02)
            self.assertGreater(time.monotonic() - start, least - 1)  # what a busy machine sees late
            self.sim.generate(3)
            self.assert_all_arrive()

    def test_clock_ahead_and_behind(self):
        """40 minutes off, more than the half hour that a master tolerates: the date is learnt from the answer, skew is reported,
        and polling goes on at once."""
        for offset in (2400, -2400):
            with self.subTest(offset=offset):
                sim = self.own(Simulator(self.folder, f"clock{'ahead' if offset > 0 else 'behind'}", generate=50, span="2h",
                                         clock_offset=offset))
                self.sim = sim
                self.collector = self.own(Collector("tcp"))
                self.bridge = self.own(Bridge(self.folder.path, sim.name + "-bridge"))
                self.bridge.master(sim)
                self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="json",
                                        max_message="64KiB")
                self.bridge.start()
                self.assert_all_arrive()
                sim.generate(5)
                self.assert_all_arrive()
                self.bridge.wait_for_log(r"skew_seconds\W+-?2[34]\d\d")
                self.assertLess(sim.state(False)["date_failures"], 4)

    def test_clock_changes_while_running(self):
        self.begin()
        self.assert_all_arrive()
        for offset in (2400, -2400, 3600, -3600, 0):
            self.sim.fault("clock", offset=offset)
            self.sim.wait_for_requests(3)
            self.sim.generate(5)
            self.assert_all_arrive()

    def test_late_creation(self):
        """Created three days after its activity: found, as polling asks by creation."""
        self.begin()
        self.assert_all_arrive()
        self.sim.fault("late", seconds=3 * 86400, count=3)
        now = int(time.time() * 1000)
        self.sim.add([{"pbid": 500_000 + n, "time": now - 5000, "creationTime": now, "score": 0.9,
                       "model": {"then": {"name": "A::Late", "pid": 1}}, "device": {"did": 1}, "triggeredComponents": []}
                      for n in range(3)])
        self.assert_all_arrive()

    def test_shown_late(self):
        """Shown 3 s after its creation, behind the position of the last poll: the overlap finds it."""
        self.begin(overlap="1m")
        self.assert_all_arrive()
        self.sim.rate(4)
        self.sim.fault("late", seconds=10, hidden=3, count=12)
        time.sleep(7)
        self.sim.rate(0)
        self.assert_all_arrive()

    def test_old_appliance_ignores_creationtime(self):
        """auto turns to activity with a warning and the hourly sweep's way still finds what polling by activity finds."""
        self.begin()
        self.assert_all_arrive()
        self.sim.fault("ignore_creationtime")
        self.sim.generate(10)
        self.assert_all_arrive()
        self.assertFalse(self.bridge.status()["masters"][0]["by_activity"])
        # Active now, created days ago: what such an appliance shows, and one that knows creationtime would not.
        now = int(time.time() * 1000)
        late = {**self.sim.everything()[0], "pbid": 900001, "time": now - 2000, "creationTime": now - 3 * 86_400_000}
        self.sim.add(json.dumps([late], default=float))
        self.bridge.wait_for_log(r"warning poll acme: the master ignores creationtime=true: polling by activity from now on", 30)
        self.assert_all_arrive()
        self.assertTrue(self.bridge.status()["masters"][0]["by_activity"])
        self.sim.generate(10)
        self.assert_all_arrive()
        wait_until(lambda: any("/modelbreaches?" in t and "creationtime" not in t for t in self.sim.state()["last_targets"]), 20,
                   "polls by activity")

    def test_repeated_unordered(self):
        self.begin()
        self.run_fault("repeat", rounds=3)
        self.run_fault("unordered", rounds=3)

    def test_replaced(self):
        """The same pbids with another creation are new breaches: delivered, and said."""
        # The hourly sweep, here every 3 s, is what looks back so far.
        self.begin(generate=30, reconcile_interval="3s")
        self.assert_all_arrive()
        before = self.expected()
        self.sim.fault("replaced", seconds=-45)
        after = self.expected()
        self.assertFalse(before & after)
        wait_until(lambda: after <= set(self.keys()), 60, "breaches of the replaced appliance")
        self.bridge.wait_for_log(r"ids again")
        got = self.keys()
        self.assertEqual((len(got), set(got)), (60, before | after))
        self.assertEqual(self.bridge.status()["masters"][0]["reused_pbids"], 30)
        wait_until(lambda: "master acme uses ids again that were archived with another creation time (30)"
                   in (self.bridge.http("/readyz", body=True) or b"").decode(), 20, "a reason in /readyz")

    def test_huge_answer(self):
        """Padded to 100 MB: taken as it streams, or refused with words; memory stays flat, nothing is lost."""
        self.begin(timeout="30s")
        self.run_fault("huge", bytes=100_000_000, rounds=2, count=2)
        if BUILD.name == "release":
            self.assertLess(self.bridge.process.resident_kib(), 64 * 1024)

    def test_huge_element(self):
        """An element of 8 MB is over the bound of 4 MiB: it is set aside, the others arrive."""
        self.begin(no_gzip=True)
        self.assert_all_arrive()
        self.sim.fault("huge", bytes=8_000_000, **{"with": "string"}, count=2)
        self.sim.generate(5)
        self.sim.wait_for_requests(3)
        self.assert_all_arrive()
        self.assertGreaterEqual(self.bridge.status()["masters"][0]["set_aside"], 1)

    def test_gzip_bomb(self):
        """Blanks compress 1,000 to 1; the bound is 200 to 1."""
        self.begin()
        self.run_fault("huge", words="more than 200 times", bytes=300_000_000, rounds=2, count=2)

    def test_connection_refused_and_back(self):
        """The master's host is up, the service is not; then it is back with what it missed."""
        self.sim = self.own(Simulator(self.folder, "acme", generate=20, until=int(time.time() * 1000)))
        port = self.sim.port
        until = self.sim.expected()[-1]["created"]
        self.collector = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim)
        self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="json", max_message="64KiB")
        self.bridge.start()
        self.assert_all_arrive()
        old = self.expected()
        tls = self.sim.tls_folder
        self.sim.stop()
        self.bridge.wait_for_log(r"refused")
        self.sim = self.own(Simulator(self.folder, "acme-again", listen=f"127.0.0.1:{port}", tls_folder=tls, generate=5,
                                      first_pbid=1000, span="5s"))
        wait_until(lambda: {k[0] for k in self.keys()} >= {e["pbid"] for e in self.sim.expected()}, 60, "the new ones")
        self.assertTrue(old <= set(self.keys()))
        self.assertGreater(until, 0)

    def test_tls_faults_are_mended_without_restart(self):
        """Expired, for another name, of an unknown CA, and one that does not match the pin: each is said in words, nothing is
        asked of that master, another master goes on; with a right certificate at the same address all arrives."""
        pki = Pki(self.folder / "pki")
        pki.leaf("expired", expired=True)
        pki.leaf("other-name", names="DNS:somebody-else.example")
        pki.leaf("strange", ca="other-ca")
        bad = {"expired": ("expired", {"ca_file": str(pki.ca)}, r"expired"),
               "name": ("other-name", {"ca_file": str(pki.ca)}, r"name|somebody-else"),
               "ca": ("strange", {"ca_file": str(pki.ca)}, r"issuer|unknown|trust|CA"),
               "pin": ("strange", {"fingerprint_sha256": pki.fingerprint("server")}, r"pin|fingerprint")}
        self.collector = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="json", max_message="64KiB")
        sims = {}
        for name, (certificate, tls, _) in bad.items():
            sims[name] = self.own(Simulator(self.folder, name, tls_folder=pki.served(certificate), generate=5, span="1h"))
            self.bridge.master(sims[name], backfill="2h", timeout="5s", tls=tls)
        self.bridge.start()
        for name, (_, _, words) in bad.items():
            self.bridge.wait_for_log(rf"\b{name}\b[^\n]*({words})", 30)
            self.assertEqual(sims[name].state()["requests"], 0)
        self.assertEqual(self.collector.texts(), [])
        for name, sim in sims.items():
            sim.stop()
            self.own(Simulator(self.folder, f"{name}-mended", listen=f"127.0.0.1:{sim.port}",
                               tls_folder=pki.served("server"), generate=5, span="1h"))
        self.collector.wait_for(20, 90)
        self.assertEqual({m.split(" ")[2] for m in self.collector.texts()}, set(bad))

    def test_tokens_exchanged_while_running(self):
        """The master's tokens are exchanged: said as a signature that is refused; the new ones in file and configuration are
        taken at the reload, and what appeared meanwhile arrives."""
        self.begin()
        self.assert_all_arrive()
        self.sim.exchange_tokens("fedcba98" * 5, "01234567" * 5)
        self.sim.generate(5)
        self.bridge.wait_for_log(r"signature", 30)
        entry, _ = self.bridge.masters[0]
        entry["public_token"] = self.sim.public
        self.bridge.token("acme.token", self.sim.private)
        self.bridge.write()
        self.bridge.reload()
        self.sim.generate(5)
        self.assert_all_arrive()
        self.assertNotIn(self.sim.private, self.bridge.log())

    def test_wrong_certificate(self):
        """Another certificate than the CA file's: nothing is sent to it, and the log says why."""
        sim = self.own(Simulator(self.folder, "acme", generate=5))
        other = self.own(Simulator(self.folder, "other", generate=5))
        self.collector = self.own(Collector("tcp"))
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim, tls={"ca_file": str(other.ca_file)})
        bridge.master(other, name="pinned", tls={"fingerprint_sha256": other.state()["fingerprint_sha256"]})
        bridge.master(other, name="wrong-pin", tls={"fingerprint_sha256": "ab" * 32})
        bridge.destination("siem", address=self.collector.address, transport="tcp", format="json")
        bridge.start()
        bridge.wait_for_log(r"acme.*certificate|certificate.*acme")
        bridge.wait_for_log(r"wrong-pin.*(pin|fingerprint)|(pin|fingerprint).*wrong-pin")
        self.collector.wait_for(5)
        time.sleep(0.5)
        self.assertEqual({m.split(" ")[2] for m in self.collector.texts()}, {"pinned"})
        self.assertEqual(sim.state()["requests"], 0)


if __name__ == "__main__":
    unittest.main()
