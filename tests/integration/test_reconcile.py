"""What sweeps find, what becomes of acknowledgements, and asking a master again for a span, as an outside observer sees it."""
import collections
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import threading
import time
import unittest

from rig import Bridge, Collector, RigTest, Simulator, bridge_binary, wait_until
from rig import messages, web
from rig.bridge import run_cli

DAY = 86400


def iso(ms):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03}Z"


class Master(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def begin(self, start=True, destination=None, **master):
        self.sim = self.own(Simulator(self.folder, "acme", generate=60, span="3h"))
        self.collector = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim, **{"backfill": "4h", **master})
        self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="json", max_message="64KiB",
                                **(destination or {}))
        if start:
            self.bridge.start()

    def bodies(self):
        return [messages.json_body(m) for m in self.collector.texts()]

    def breaches(self):
        return [b["pbid"] for b in self.bodies() if "pbid" in b]

    def events(self, kind):
        return [b["dtbridge"] for b in self.bodies() if "pbid" not in b and b["dtbridge"]["event"] == kind]

    def wait_for_breaches(self, pbids, deadline=40):
        wait_until(lambda: set(pbids) <= set(self.breaches()), deadline,
                   lambda: f"missing: {sorted(set(pbids) - set(self.breaches()))[:10]}\n{self.bridge.log()[-3000:]}")

    def archived(self, sql, *values):
        """Rows of acme's archive, read beside the running service."""
        file = self.folder.path / "dtbridge/state/masters/acme/archive.db"
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10) as db:
            return db.execute(sql, values).fetchall()


class Reconcile(Master):
    def test_both_directions(self):
        """Shown late (three days after its creation): fetched and delivered. Not shown any more: named. Shown again: said. All
        of it kept in the archive, with counts per window."""
        self.begin(reconcile_interval="2s", reconcile_deep="8d", reconcile_span="8d")
        self.wait_for_breaches(self.sim.pbids())
        now = int(time.time() * 1000)
        late = now - 3 * DAY * 1000
        self.sim.add([{"pbid": 900_001, "time": late - 5000, "creationTime": late, "score": 0.9, "model": {"then": {"name": "A::Late"}},
                       "device": {"did": 1}, "triggeredComponents": []}])
        self.wait_for_breaches([900_001])
        gone = self.sim.pbids()[5:8]
        self.sim.remove(gone)
        self.bridge.wait_for_log(r"not shown by the master any more.*pbids=\W*" + ", ".join(map(str, sorted(gone)))
                                 .replace(", ", r"\W+"), 40)
        rows = lambda: self.archived("SELECT kind, pbid FROM difference ORDER BY pbid")  # noqa: E731
        wait_until(lambda: {p for k, p in rows() if k == 2} == set(gone), 20, rows)
        wait_until(lambda: self.archived("SELECT shown, held, gone FROM window WHERE sweep = 1 ORDER BY id DESC LIMIT 1")
                   == [(58, 61, 3)], 20, lambda: self.archived("SELECT * FROM window WHERE sweep = 1 ORDER BY id DESC LIMIT 3"))
        # Named once, however many sweeps see it.
        self.sim.wait_for_requests(12)
        self.assertEqual(len(re.findall("not shown by the master any more", self.bridge.log())), 1)
        self.sim.remove(gone[:1], value=False)
        self.bridge.wait_for_log(rf"shown again.*{gone[0]}", 40)
        wait_until(lambda: {p for k, p in rows() if k == 2} == set(gone[1:]), 20, rows)
        self.assertEqual(sorted(self.breaches()), sorted(set(self.breaches())), "repeats")

    def test_acknowledgements_are_kept(self):
        """By a poll within its overlap, and by a sweep far behind it; unacknowledged again; comments too."""
        self.begin(reconcile_interval="2s")
        self.wait_for_breaches(self.sim.pbids())
        newest, oldest = self.sim.pbids()[-1], self.sim.pbids()[0]
        states = lambda pbid: self.archived(  # noqa: E731
            "SELECT c.acknowledged, c.acknowledged_at IS NOT NULL FROM change c JOIN breach b ON b.seq = c.seq WHERE b.pbid = ? "
            "ORDER BY c.at", pbid)
        self.sim.acknowledge([newest, oldest])
        wait_until(lambda: states(newest) == [(1, 1)] and states(oldest) == [(1, 1)], 30, lambda: (states(newest), states(oldest)))
        self.sim.acknowledge([oldest], value=False)
        wait_until(lambda: states(oldest) == [(1, 1), (0, 0)], 30, lambda: states(oldest))
        self.assertEqual(states(newest), [(1, 1)])
        self.assertEqual(len(self.breaches()), 60, "a breach was sent again")


class Updates(Master):
    def test_events_for_what_was_sent(self):
        """updates = true: one event for each change of a breach that this destination was sent; none for what its rules hold
        back; none for a destination without updates."""
        self.begin(start=False, destination={"updates": True}, reconcile_interval="2s")
        plain = self.own(Collector("tcp"))
        self.bridge.destination("plain", address=plain.address, transport="tcp", format="json", max_message="64KiB")
        strict = self.own(Collector("tcp"))
        cef = self.own(Collector("tcp"))
        self.bridge.destination("strict", address=strict.address, transport="tcp", format="json", max_message="64KiB",
                                updates=True, rules=self.bridge.rules("r.toml", "[forward]\nmin_score = 0.7\n"))
        self.bridge.destination("cef", address=cef.address, transport="tcp", format="cef", updates=True)
        self.bridge.start()
        self.wait_for_breaches(self.sim.pbids())
        plain.wait_for(60)
        cef.wait_for(60)
        everything = [b for b in self.sim.everything() if not b.get("acknowledged")]
        high = [b["pbid"] for b in everything if b["score"] >= 0.7][:2]
        low = [b["pbid"] for b in everything if b["score"] < 0.7][:2]
        strict.wait_for(sum(b["score"] >= 0.7 for b in self.sim.everything()))
        self.assertEqual((len(high), len(low)), (2, 2))
        self.sim.acknowledge(high + low)
        wait_until(lambda: len(self.events("update")) == 4, 30, lambda: self.events("update"))
        told = self.events("update")
        self.assertEqual({int(re.match(r"breach (\d+) ", e["message"]).group(1)) for e in told}, set(high + low))
        for e in told:
            self.assertRegex(e["message"], r"^breach \d+ \(.+\) was acknowledged by analyst1$")
            self.assertEqual((e["master"], e["destination"]), ("acme", "siem"))
            self.assertLess(abs(e["time"] - time.time() * 1000), 120_000)
        of_strict = lambda: [json.loads(m[m.index("{"):])["dtbridge"] for m in strict.texts() if '"event"' in m]  # noqa: E731
        wait_until(lambda: len(of_strict()) == 2, 30, of_strict)
        wait_until(lambda: sum("|update|" in m for m in cef.texts()) == 4, 30, cef.texts)
        # The metrics tell how long they took, by model.
        models = collections.Counter(b["model"]["then"]["name"].replace("::", "/") for b in everything if b["pbid"] in high + low)
        metrics = web.get(self.bridge, "/metrics").body.decode()
        found = lambda name: {m: float(n) for m, n in re.findall(  # noqa: E731
            rf'^{name}{{master="acme",model="([^"]*)"}} (\S+)$', metrics, re.M)}
        self.assertEqual(found("dtbridge_breaches_acknowledged_total"), models)
        took = found("dtbridge_acknowledge_seconds_total")
        for model in models:
            ages = [time.time() - b["creationTime"] / 1000 for b in everything
                    if b["pbid"] in high + low and b["model"]["then"]["name"].replace("::", "/") == model]
            self.assertAlmostEqual(took[model], sum(ages), delta=120 * len(ages))
        self.assertRegex([m for m in cef.texts() if "|update|" in m][0],
                         r"CEF:0\|dtbridge\|dtbridge\|[^|]+\|update\|Breach acknowledged\|\d+\|")
        self.sim.acknowledge(high[:1], value=False)
        wait_until(lambda: len(self.events("update")) == 5, 30, lambda: self.events("update"))
        self.assertRegex(self.events("update")[-1]["message"], rf"^breach {high[0]} \(.+\) was unacknowledged$")
        # Nothing twice, however often it is shown since.
        self.sim.wait_for_requests(8)
        self.assertEqual(len(self.events("update")), 5)
        self.assertEqual({int(re.match(r"breach (\d+) ", e["message"]).group(1)) for e in of_strict()}, set(high))
        self.assertEqual(plain.count(), 60)

    def test_events_come_behind_their_breaches(self):
        """Acknowledged while the collector is away: it gets the breaches first, then an event for each and in order."""
        self.begin(start=False, destination={"updates": True}, reconcile_interval="2s")
        self.collector.refuse()
        self.bridge.start()
        pbids = [b["pbid"] for b in self.sim.everything() if not b.get("acknowledged")]
        self.bridge.wait_for_log("siem: cannot deliver")
        wait_until(lambda: self.archived("SELECT count(*) FROM breach") == [(60,)], 30)
        self.sim.acknowledge(pbids)
        wait_until(lambda: self.archived("SELECT count(*) FROM change") == [(len(pbids),)], 30)
        self.sim.acknowledge(pbids[:1], value=False)
        wait_until(lambda: self.archived("SELECT count(*) FROM change") == [(len(pbids) + 1,)], 30)
        self.collector.accept()
        wait_until(lambda: len(self.events("update")) == len(pbids) + 1, 60, lambda: len(self.events("update")))
        order = [(b.get("pbid") or int(b["dtbridge"]["message"].split()[1]), "pbid" in b) for b in self.bodies()]
        for pbid in pbids:
            self.assertEqual([is_breach for p, is_breach in order if p == pbid][:2], [True, False], pbid)
        self.assertEqual([re.search(r"was (\w+)", e["message"]).group(1) for e in self.events("update")
                          if e["message"].startswith(f"breach {pbids[0]} ")], ["acknowledged", "unacknowledged"])


class Backfill(Master):
    """The master has 200 breaches over 20 days, of which polling reaches back an hour."""

    def setUp(self):
        super().setUp()
        self.sim = self.own(Simulator(self.folder, "acme", generate=200, span="480h"))
        self.collector = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim, backfill="1h", reconcile_interval="2s", reconcile_span="1h", reconcile_deep="1h")
        self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="json", max_message="64KiB")
        self.bridge.write()
        self.all = self.sim.expected()

    def cli(self, *more, master="acme", **keys):
        return run_cli("backfill", "--master", master, *more, config=self.bridge.config, **keys)

    def within(self, start, end):
        return {e["pbid"] for e in self.all if start <= e["created"] < end}

    def count(self):
        return len(self.archived("SELECT pbid FROM breach"))

    def assert_answer(self, got, shown=None, archived=None, before=None, left_to_polling=False):
        self.assertEqual(got.returncode, 0, got.stderr.decode())
        self.assertEqual(got.stderr, b"", "progress in a pipe")
        left = r"acme: what was created after \S+ is left to polling, .*\n" if left_to_polling else ""
        found = re.fullmatch(r"acme: (\d+) shown, (\d+) archived, (\d+) archived before\n" + left, got.stdout.decode())
        self.assertTrue(found, got.stdout)
        numbers = tuple(map(int, found.groups()))
        for wanted, number in zip((shown, archived, before), numbers):
            if wanted is not None:
                self.assertEqual(number, wanted, got.stdout)
        return numbers

    def test_beside_a_running_service(self):
        self.bridge.start()
        self.bridge.wait_for_log("the master answers")
        self.bridge.wait_for_log("sweep done")
        before = self.count()
        self.assertLess(before, 5)
        start, end = self.all[20]["created"], self.all[60]["created"]
        got = self.cli("--from", iso(start), "--to", iso(end))
        self.assert_answer(got, archived=40, before=0)
        rows = self.archived("SELECT pbid, archive_only FROM breach WHERE archive_only = 1")
        self.assertEqual({p for p, _ in rows}, self.within(start, end))
        # Once per breach: again, it changes nothing.
        self.assert_answer(self.cli("--from", iso(start), "--to", iso(end)), archived=0, before=40)
        # --deliver forwards what is new.
        start, end = self.all[40]["created"], self.all[80]["created"]
        self.assert_answer(self.cli("--from", str(start), "--to", str(end), "--deliver"), archived=20, before=20)
        wanted = {e["pbid"] for e in self.all[60:80]}
        wait_until(lambda: wanted <= set(self.breaches()), 20, lambda: sorted(self.breaches()))
        self.assertEqual(set(self.breaches()) & {e["pbid"] for e in self.all[:60]}, set(), "archived only, and sent")
        self.assertEqual(self.bridge.stop(8), 0)

    def test_without_a_service(self):
        start, end = self.all[10]["created"], self.all[50]["created"]
        self.assert_answer(self.cli("--from", iso(start), "--to", iso(end)), archived=40, before=0)
        self.assert_answer(self.cli("--from", iso(self.all[45]["created"]), "--to", iso(self.all[60]["created"]), "--deliver"),
                           archived=10, before=5)
        self.bridge.start(write=False)
        wanted = {e["pbid"] for e in self.all[50:60]}
        wait_until(lambda: wanted <= set(self.breaches()), 30, lambda: self.bridge.log()[-2000:])
        self.assertEqual(set(self.breaches()) & {e["pbid"] for e in self.all[10:50]}, set(), "archived only, and sent")

    def test_interrupted_and_run_again(self):
        """Ctrl-C in the middle: the service goes on, and the same command does the rest."""
        self.bridge.start()
        self.bridge.wait_for_log("the master answers")
        self.sim.fault("slow", seconds=1, match="creationtime=true")
        command = subprocess.Popen([bridge_binary(), "backfill", "--master", "acme", "--from", "-20d", "--to", "now",
                                    "--config", self.bridge.config], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: self.count() >= 3, 30, self.count)
            second = self.cli("--from", "-30d", "--to", "now")
            self.assertEqual(second.returncode, 1)
            self.assertIn(b"already running", second.stderr)
            command.send_signal(signal.SIGINT)
            command.communicate(timeout=20)
        finally:
            command.kill()
        self.bridge.wait_for_log("back-fill ended early", 30)
        self.assertLess(self.count(), 200)
        self.sim.fault("none")
        self.assert_answer(self.cli("--from", "-30d", "--to", "now"), left_to_polling=True)
        wait_until(lambda: self.count() == 200, 20, self.count)
        self.assertTrue(self.bridge.process.alive())

    def test_progress_on_a_terminal(self):
        self.bridge.start()
        self.bridge.wait_for_log("the master answers")
        controller, terminal = pty.openpty()
        text = []

        def read():
            try:
                while piece := os.read(controller, 4096):
                    text.append(piece)
            except OSError:
                pass
        reader = threading.Thread(target=read)
        reader.start()
        done = subprocess.run([bridge_binary(), "backfill", "--master", "acme", "--from", "-30d", "--to", "now", "--config",
                               self.bridge.config], stdout=subprocess.PIPE, stderr=terminal, timeout=60)
        os.close(terminal)
        reader.join(10)
        os.close(controller)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(b"".join(text).decode(), r"\d+% 20\d\d-\d\d-\d\dT[^\r]*shown, \d+ archived")

    def test_refusals(self):
        for argv, words in ((("--from", "-1h"), b"to"), (("--from", "yesterday", "--to", "now"), b"yesterday"),
                            (("--from", "now", "--to", "-1h"), b"before")):
            got = self.cli(*argv)
            self.assertEqual(got.returncode, 2, argv)
            self.assertIn(words, got.stderr)
        self.assertEqual(self.cli("--from", "-1h", "--to", "now", master="nobody").returncode, 2)
        self.bridge.start()
        got = self.cli("--from", "-1h", "--to", "now", master="nobody")
        self.assertEqual(got.returncode, 2)
        self.assertIn(b"nobody", got.stderr)
        # A master that refuses: words, and status 1.
        self.sim.fault("bad_signature")
        got = self.cli("--from", "-1h", "--to", "now")
        self.assertEqual(got.returncode, 1)
        self.assertIn(b"signature", got.stderr)
        self.assertNotIn(self.sim.private.encode(), got.stderr)


if __name__ == "__main__":
    unittest.main()
