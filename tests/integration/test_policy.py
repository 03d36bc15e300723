"""Throttles, explain, status, replay, inventories and what the rules add, as somebody who only sees the outside finds them."""
import collections
import json
import os
import re
import signal
import subprocess
import time

from rig import Bridge, Collector, RigTest, Simulator, bridge_binary, run_cli, wait_until
from rig import web

HOUR = 3_600_000


def breach(pbid, created, model="Device::Test", device=1, score=0.7, **more):
    """A breach with the members that decide."""
    return {"pbid": pbid, "time": created, "creationTime": created, "score": score, "commentCount": 0,
            "model": {"then": {"name": model, "pid": 7, "uuid": f"80010119-6d7f-0000-0305-{pbid % 7:012}", "priority": 3,
                               "category": "Suspicious", "tags": [], "description": "d"}},
            "device": {"did": device, "hostname": f"pc-{device}.example", "ip": f"10.0.0.{device}",
                       "macaddress": f"00:1a:2b:00:00:{device:02x}"},
            "triggeredComponents": [], **more}


def pbids(collector):
    return [json.loads(t)["pbid"] for t in collector.texts() if '"pbid"' in t]


def events(collector, kind):
    found = [json.loads(t) for t in collector.texts() if '"event"' in t]
    return [e["dtbridge"] for e in found if e["dtbridge"]["event"] == kind]


PLAIN = {"transport": "tcp", "framing": "newline", "header": "none", "format": "json"}
THROTTLE = '[[throttle]]\nby = ["model", "device"]\nlimit = 2\nper = "8s"\n'


class Policy(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def simulator(self, name="acme", breaches=()):
        sim = self.own(Simulator(self.folder, name))
        if breaches:
            sim.add(list(breaches))
        return sim

    def explain(self, bridge, pbid, master="acme"):
        got = run_cli("explain", "--master", master, "--pbid", str(pbid), "--json", config=bridge.config)
        self.assertEqual(got.returncode, 0, got.stderr.decode())
        answer = json.loads(got.stdout)
        self.assertEqual((answer["master"], answer["pbid"]), (master, pbid))
        return [{d["name"]: d for d in b["destinations"]} | {"": b} for b in answer["breaches"]]

    def explain_or_none(self, bridge, pbid):
        got = run_cli("explain", "--master", "acme", "--pbid", str(pbid), "--json", config=bridge.config)
        return json.loads(got.stdout)["breaches"]

    def wait_all_done(self, bridge, deadline=40):
        """Until every destination has no lag."""
        def done():
            s = bridge.status()
            # A back-fill asks slice by slice: the first success may be one without breaches.
            return s if s["destinations"] and all(d["lag"] == 0 and d["cursors"] and all(c["seq"] > 0 for c in d["cursors"])
                                                  for d in s["destinations"]) else None
        return wait_until(done, deadline, lambda: json.dumps(bridge.status(), indent=1)[:3000])

    def test_throttles(self):
        """Two of each model on each device pass, the others are summed up and explained; a kill changes nothing."""
        start = int(time.time() * 1000) - 4000
        made = [breach(n, start + n * 50, model=f"M::{n % 3}", device=1 + n % 2) for n in range(1, 61)]
        made.append(breach(100, start + 3200, model="M::0", device=1, acknowledged=False))
        sim = self.simulator(breaches=made)
        collector = self.own(Collector("tcp"))
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim)
        bridge.destination("siem", address=collector.address, rules=bridge.rules("r.toml", THROTTLE), **PLAIN)
        bridge.start()
        self.assertEqual(run_cli("check", config=bridge.config).returncode, 0)
        self.wait_all_done(bridge)
        wait_until(lambda: len(events(collector, "throttled")) >= 6, 40, lambda: str(collector.texts()[-5:]))
        got = pbids(collector)
        self.assertEqual(len(got), len(set(got)))
        of_key = collections.Counter((b["model"]["then"]["name"], b["device"]["did"]) for b in made if b["pbid"] in got)
        self.assertEqual(sorted(of_key.values()), [2] * 6, of_key)
        told = events(collector, "throttled")
        self.assertEqual(sum(int(re.match(r"\d+", e["message"])[0]) for e in told), len(made) - 12)
        for e in told:
            self.assertRegex(e["message"], r'of model "M/\d" on device "pc-\d\.example" were held back by throttle by model, '
                                           r'device: 2 per 8s \(r\.toml:1\), the first created 2\S+Z, the last 2\S+Z: https?://'
                                           r'\S+/#modelbreach/\d+$')
            self.assertEqual((e["master"], e["destination"]), ("acme", "siem"))
        held = next(b["pbid"] for b in made if b["pbid"] not in got)
        answer = self.explain(bridge, held)[0]["siem"]
        self.assertEqual(answer["outcome"], "throttled")
        self.assertEqual(answer["reason"], "throttle by model, device: 2 per 8s (r.toml:1)")
        status = bridge.status()["destinations"][0]
        self.assertEqual((status["throttled"], status["confirmed"]), (len(made) - 12, 12))
        # The newest breaches of the status page say what became of each; a pull has no throttles.
        newest = web.get(bridge, "/api/v1/newest").json()["breaches"]
        self.assertEqual(len(newest), 50)
        for b in newest:
            said = b["decisions"][0]
            self.assertEqual((said["forward"], said.get("withheld")), (True, None) if b["pbid"] in got else (False, "throttled"))
            if b["pbid"] not in got:
                self.assertEqual(said["reason"], "throttle by model, device: 2 per 8s (r.toml:1) holds it back")
        pulled = web.get(bridge, "/api/v1/breaches?master=acme&rules=r").lines()
        self.assertEqual(len(pulled), len(made) + 1)
        # Killed and started again: nothing that passed or was held is decided anew, no summary comes twice.
        bridge.kill()
        bridge.start()
        # One that comes late counts in the window that is over; one of now starts anew.
        sim.add([breach(200, start + 120, model="M::1", device=1)])
        wait_until(lambda: len(self.explain_or_none(bridge, 200)) == 1, 90, "the late one is archived")
        sim.add([breach(201, int(time.time() * 1000), "M::1", 1)])
        wait_until(lambda: 201 in pbids(collector), 40, "the breach of a new window")
        self.wait_all_done(bridge)
        wait_until(lambda: self.explain(bridge, 200)[0]["siem"]["outcome"] == "throttled", 20, "the late one is throttled")
        self.assertNotIn(200, pbids(collector))
        wait_until(lambda: len(events(collector, "throttled")) == 7, 30, "the summary of the late one alone")
        self.assertTrue(events(collector, "throttled")[-1]["message"].startswith("1 breach of model"))
        # filter decides the same for the same breaches in the same order.
        file = self.folder.path / "in.ndjson"
        order = sorted(made, key=lambda b: b["pbid"] not in got)
        file.write_text("\n".join(json.dumps(b) for b in order))
        said = run_cli("filter", "--rules", bridge.folder / "r.toml", file)
        lines = [json.loads(line) for line in said.stdout.splitlines()]
        self.assertEqual([line["pbid"] for line in lines if line["forward"]], [b["pbid"] for b in order[:12]])
        self.assertIn("throttle by model, device: 2 per 8s", lines[-1]["reason"])

    def test_explain(self):
        """Every fate has its words, by the policy that decided and not by today's."""
        now = int(time.time() * 1000)
        made = [breach(1, now - 3 * HOUR, score=0.9), breach(2, now - 3 * HOUR, score=0.2),
                breach(3, now - 30_000, score=0.8, acknowledged=False)]
        big = breach(4, now - 2 * HOUR, score=0.95)
        big["device"]["hostname"] = "x" * 900
        sim = self.simulator(breaches=made + [big])
        other = self.simulator("other")
        good, down = self.own(Collector("tcp")), self.own(Collector("tcp"))
        down.refuse()
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim)
        bridge.master(other)
        rules = bridge.rules("r.toml", "[forward]\nmin_score = 0.5\n")
        bridge.destination("good", address=good.address, rules=rules, max_message="1KiB", masters=["acme"], **PLAIN)
        bridge.destination("down", address=down.address, rules=rules, masters=["acme"], **PLAIN)
        bridge.destination("not-his", address=good.address, masters=["other"], **PLAIN)
        fresh = {"address": good.address, "masters": ["acme"], **PLAIN}
        bridge.destination("fresh", **fresh)["start"] = "1h"
        bridge.start()
        wait_until(lambda: {d["name"]: d["lag"] for d in bridge.status()["destinations"]} ==
                   {"good": 0, "down": 4, "not-his": 0, "fresh": 0}, 40, lambda: str(bridge.status()["destinations"]))
        wait_until(lambda: self.explain(bridge, 4)[0]["good"]["outcome"] == "undeliverable", 20,
                   lambda: str(self.explain(bridge, 4)))
        one = self.explain(bridge, 1)[0]
        self.assertEqual(one["good"]["outcome"], "forwarded")
        self.assertEqual(one["good"]["reason"], "score 0.9 is at least 0.5 of [forward] (r.toml:2)")
        self.assertRegex(one["good"]["at"], r"^20\d\d-.*Z$")
        self.assertEqual(one["down"]["outcome"], "waiting")
        self.assertIn("by the policy in force it will be forwarded: score 0.9", one["down"]["reason"])
        self.assertEqual(one["not-his"]["outcome"], "not_served")
        self.assertEqual(one["fresh"]["outcome"], "passed_over")
        self.assertRegex(one["fresh"]["reason"], r"created before 20\S+Z")
        self.assertEqual(one[""]["model"], "Device/Test")
        self.assertFalse(one[""]["late"] or one[""]["archive_only"] or one[""]["dropped"])
        self.assertEqual(self.explain(bridge, 3)[0]["fresh"]["outcome"], "forwarded")
        self.assertEqual(self.explain(bridge, 2)[0]["good"]["reason"], "score 0.2 is under 0.5 of [forward] (r.toml:2)")
        self.assertEqual(self.explain(bridge, 4)[0]["good"]["reason"], "does not fit max_message, not even shortened")
        # Another policy now: what was decided keeps its reason, what waits gets the new one.
        bridge.rules("r.toml", "# another\n\n[forward]\nmin_score = 0.1\n")
        bridge.reload()
        bridge.wait_for_log("new configuration is in force")
        two = self.explain(bridge, 2)[0]
        self.assertEqual(two["good"]["outcome"], "held_back")
        self.assertEqual(two["good"]["reason"], "score 0.2 is under 0.5 of [forward] (r.toml:2)")
        self.assertIn("it will be forwarded: score 0.2 is at least 0.1 of [forward] (r.toml:4)", two["down"]["reason"])
        # The same pbid with another time is another breach: both are told of.
        sim.add([breach(1, now - 1000, score=0.3)])
        wait_until(lambda: len(self.explain(bridge, 1)) == 2, 30, "the second breach of pbid 1")
        self.assertEqual(bridge.stop(), 0)
        # Without the service, and in words.
        said = run_cli("explain", "--master", "acme", "--pbid", "1", config=bridge.config)
        text = said.stdout.decode()
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertEqual(text.count("master acme, pbid 1, created"), 2)
        self.assertRegex(text, r"good +forwarded, confirmed 20\S+Z: score 0\.9 is at least 0\.5 of \[forward\] \(r\.toml:2\)\n"
                               r" +by r\.toml \(SHA-256 [0-9a-f]{12}")
        none = run_cli("explain", "--master", "acme", "--pbid", "99", config=bridge.config)
        self.assertEqual((none.returncode, none.stdout), (1, b""))
        self.assertIn("no breach with pbid 99 was ever archived of master acme", none.stderr.decode())
        self.assertEqual(run_cli("explain", "--master", "nobody", "--pbid", "1", config=bridge.config).returncode, 2)

    def test_status(self):
        """One shape for scripts, words for people; without a service what the archives tell, and 1."""
        sim = self.simulator(breaches=[breach(n, int(time.time() * 1000) - n * 1000, score=n / 10) for n in range(1, 10)])
        collector = self.own(Collector("tcp"))
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim)
        bridge.destination("siem", address=collector.address, **PLAIN,
                           rules=bridge.rules("r.toml", '[forward]\nmin_score = 0.5\nalways_tags = ["Never Seen"]\n'))
        before = run_cli("status", config=bridge.config)
        self.assertEqual(before.returncode, 1)  # not even a configuration
        bridge.write()
        before = run_cli("status", config=bridge.config)
        self.assertEqual(before.returncode, 1)
        self.assertIn("no service runs", before.stdout.decode())
        # As systemd does it: the socket is in a runtime directory, and commands know the state folder alone.
        runtime = self.folder.path / "run"
        runtime.mkdir()
        bridge.start(env={"RUNTIME_DIRECTORY": str(runtime)})
        status = self.wait_all_done(bridge)
        self.assertTrue((runtime / "control.sock").is_socket())
        self.assertTrue((bridge.folder / "state" / "control.sock").is_symlink())
        self.assertEqual(set(status), {"version", "started", "ready", "reasons", "masters", "destinations"})
        self.assertTrue(status["ready"])
        m, d = status["masters"][0], status["destinations"][0]
        self.assertLessEqual({"name", "state", "last_poll", "last_success", "position", "skew_seconds", "error", "archived",
                              "late", "set_aside", "archive_bytes"}, set(m))
        self.assertLessEqual({"name", "state", "connected_to", "error", "cursors", "lag", "lag_seconds", "sent", "confirmed",
                              "held_back", "lost", "policy_lines"}, set(d))
        self.assertEqual((m["archived"], d["confirmed"], d["held_back"], d["cursors"]),
                         (9, 5, 4, [{"master": "acme", "seq": 9}]))
        self.assertEqual(d["policy_lines"],
                         [{"line": 2, "file": "r.toml", "text": "score", "since_start": 9, "last_24h": 9,
                           "never_in_a_week": False},
                          {"line": 3, "file": "r.toml", "text": 'always_tags "Never Seen"', "since_start": 0, "last_24h": 0,
                           "never_in_a_week": False}])
        text = run_cli("status", config=bridge.config).stdout.decode()
        self.assertRegex(text, r"(?m)^  acme +\S.* ago .*\b9\b")
        self.assertRegex(text, r"(?m)^  siem +connected +127\.0\.0\.1:\d+ ")
        self.assertIn("Policy of siem: 9 decisions in 24 hours", text)
        self.assertRegex(text, r"(?m)^ +9 +9 +score +r\.toml:2$")
        self.assertEqual(bridge.stop(), 0)
        rest = run_cli("status", "--json", config=bridge.config)
        self.assertEqual(rest.returncode, 1)
        status = json.loads(rest.stdout)
        self.assertEqual((status["ready"], status["masters"][0]["state"], status["masters"][0]["archived"]),
                         (False, "stopped", 9))
        self.assertEqual(status["destinations"][0]["cursors"], [{"master": "acme", "seq": 9}])
        self.assertIsNotNone(status["masters"][0]["position"])
        # Counters over 24 hours outlive the restart, those since the start do not.
        bridge.start()
        lines = bridge.status()["destinations"][0]["policy_lines"]
        self.assertEqual([(line["since_start"], line["last_24h"]) for line in lines], [(0, 9), (0, 0)])
        self.assertFalse((bridge.folder / "state" / "control.sock").is_symlink())

    def test_replay(self):
        """What the policy forwards goes again, by the order given, beside the service and without; cursors stay."""
        now = int(time.time() * 1000)
        made = [breach(n, now - 6 * HOUR + n * 60_000, model="A::Odd" if n % 2 else "B::Even", score=0.9 if n % 5 else 0.1)
                for n in range(1, 101)]
        sim = self.simulator(breaches=made)
        collector = self.own(Collector("tcp"))
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim)
        bridge.destination("siem", address=collector.address, **PLAIN, rules=bridge.rules(
            "r.toml", '[forward]\nmin_score = 0.5\n[[throttle]]\nby = ["master"]\nlimit = 10\nper = "24h"\n'))
        bridge.start()
        self.wait_all_done(bridge)
        self.assertEqual(len(pbids(collector)), 10)
        cursors = bridge.status()["destinations"][0]["cursors"]
        wanted = [b["pbid"] for b in made if b["score"] > 0.5]

        def replay(*args, code=0):
            """Exit status, what arrived meanwhile."""
            seen = len(collector.messages)
            got = run_cli("replay", "--destination", "siem", *args, config=bridge.config)
            self.assertEqual(got.returncode, code, got.stdout + got.stderr)
            self.assertEqual(got.stderr if code == 0 and "--dry-run" not in args else b"", b"")  # silent in a pipe
            return got, [json.loads(t)["pbid"] for t in collector.texts()[seen:]]

        got, sent = replay()
        self.assertEqual(sorted(sent), wanted)
        self.assertIn(b"replayed: confirmed 80, held back 20", got.stdout)
        self.assertEqual(sorted(replay("--model", "a / odd")[1]), [p for p in wanted if p % 2])
        first, last = made[19]["creationTime"], made[39]["creationTime"]
        self.assertEqual(sorted(replay("--from", str(first), "--to", str(last))[1]), [p for p in wanted if 20 <= p < 40])
        self.assertEqual(replay("--pbid", "7", "--master", "acme")[1], [7])
        self.assertEqual(replay("--pbid", "5")[1], [])
        self.assertEqual(replay("--pbid", "-9223372036854775808")[1], [])  # Unified View has negative ones
        got, sent = replay("--dry-run", "--from", "-5h")
        self.assertEqual(sent, [])
        lines = [json.loads(line) for line in got.stdout.splitlines()]
        after = [b["pbid"] for b in made if b["score"] > 0.5 and b["creationTime"] >= time.time() * 1000 - 5 * HOUR]
        self.assertEqual(sorted(line["pbid"] for line in lines)[-len(after):], after)
        self.assertLessEqual(len(lines) - len(after), 1)  # a clock that went on meanwhile
        self.assertIn("score 0.9 is at least 0.5", lines[0]["reason"])
        self.assertIn(f"would send {len(lines)} (held back ".encode(), got.stderr)
        for bad in (["--master", "nobody"], ["--from", "now", "--to", "-1h"], ["--pbid", "x"], ["--pace", "fast"]):
            self.assertEqual(run_cli("replay", "--destination", "siem", *bad, config=bridge.config).returncode, 2, bad)
        self.assertEqual(run_cli("replay", "--destination", "none", config=bridge.config).returncode, 2)
        status = bridge.status()["destinations"][0]
        self.assertEqual((status["cursors"], status["confirmed"]), (cursors, 10))
        # Slowly, and interrupted: the service ends it, too.
        seen = len(collector.messages)
        slow = subprocess.Popen([str(bridge_binary()), "replay", "--destination", "siem", "--pace", "5/s", "--config",
                                 str(bridge.config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: len(collector.messages) > seen + 3, 30, "the slow replay begins")
        busy = run_cli("replay", "--destination", "siem", config=bridge.config)
        self.assertEqual(busy.returncode, 1)
        self.assertIn(b"under way already", busy.stderr)
        slow.send_signal(signal.SIGINT)
        self.assertNotEqual(slow.wait(20), 0)
        slow.communicate()
        wait_until(lambda: run_cli("replay", "--destination", "siem", "--pbid", "7",
                                   config=bridge.config).returncode == 0, 30, "the place is free again")
        self.assertLess(len(collector.messages) - seen, 75)
        # Without the service.
        self.assertEqual(bridge.stop(), 0)
        got, sent = replay("--from", str(first))
        self.assertEqual(sorted(sent), [p for p in wanted if p >= 20])
        rest = json.loads(run_cli("status", "--json", config=bridge.config).stdout)
        self.assertEqual(rest["destinations"][0]["cursors"], cursors)

    def test_labels_and_inventory(self):
        """Labels of a model and of an inventory reach every format; the inventory is read again when it changes."""
        now = int(time.time() * 1000)
        sim = self.simulator(breaches=[breach(n, now - HOUR + n, device=n) for n in (1, 2, 3)])
        kinds = {kind: self.own(Collector("tcp")) for kind in ("cef", "leef", "json")}
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim, labels={"tenant": "acme-corp", "site": "of the master"})
        (bridge.folder / "assets.csv").write_text("ip,site,owner\n10.0.0.1,plant-7,ann\n10.0.0.2,office,\"b, c\"\n"
                                                  "10.0.0.2,again,x\nnonsense,y,z\n")
        bridge.enrich = {"file": "assets.csv", "key": "ip"}
        rules = bridge.rules("r.toml", '[models]\n"Device / Test" = { min_score = 0.1, severity = 9, '
                                       'labels = { playbook = "PB-12" } }\n[devices]\n"label:site=plant-*" = "always"\n')
        for kind in ("cef", "leef"):
            (bridge.folder / f"{kind}.toml").write_text(
                f'format = "{kind}"\nfields = [\n{{ key = "externalId", from = "@pbid" }},\n' + "".join(
                    f'{{ key = "{key}", from = "@label.{name}"' +
                    (f', label = "{name}"' if kind == "cef" else "") + " },\n"
                    for key, name in (("cs1", "playbook"), ("cs2", "site"), ("cs3", "owner"), ("cs4", "tenant"))) +
                ('{ key = "cat", value = "ModelBreach" },\n' if kind == "leef" else "") + "]\n")
        for kind, collector in kinds.items():
            extra = {"fields": f"{kind}.toml"} if kind != "json" else {"annotate": True}
            bridge.destination(kind, address=collector.address, transport="tcp", framing="newline", header="none",
                               format=kind, rules=rules, **extra)
        bridge.write()
        check = run_cli("check", config=bridge.config)
        self.assertEqual(check.returncode, 0, check.stderr)
        self.assertRegex(check.stderr.decode(), r"warning: \S*assets\.csv:4: 10\.0\.0\.2: stands in line 3 already")
        self.assertRegex(check.stderr.decode(), r'warning: \S*assets\.csv:5: ip: found "nonsense"; expected an IPv4')
        bridge.start()
        for collector in kinds.values():
            collector.wait_for(3)
        cef = {re.search(r"externalId=(\d)", t)[1]: t for t in kinds["cef"].texts()}
        self.assertIn("cs1=PB-12 ", cef["1"])
        self.assertIn("cs2=plant-7 ", cef["1"])
        self.assertIn("cs3=ann ", cef["1"])
        self.assertIn("cs4=acme-corp ", cef["1"])
        self.assertIn("cs3=b, c ", cef["2"])
        self.assertIn("cs2=of the master ", cef["3"])
        self.assertNotIn("cs3=", cef["3"])
        self.assertTrue(all(t.split("|")[6] == "9" for t in cef.values()), cef)
        leef = {re.search(r"externalId=(\d)", t)[1]: t for t in kinds["leef"].texts()}
        for part in ("cs1=PB-12", "cs2=plant-7", "cs3=ann", "cs4=acme-corp"):
            self.assertIn(part, leef["1"])
        shown = {j["pbid"]: j["dtbridge"] for j in map(json.loads, kinds["json"].texts())}
        self.assertEqual(shown[1]["labels"], {"playbook": "PB-12", "site": "plant-7", "owner": "ann", "tenant": "acme-corp"})
        self.assertEqual(shown[3]["labels"], {"playbook": "PB-12", "tenant": "acme-corp", "site": "of the master"})
        self.assertIn('always by device "label:site=plant-*" (r.toml:4)', shown[1]["reason"])
        # The same labels stand behind what is pulled and what the status page says.
        reasons = {b["pbid"]: {d["reason"] for d in b["decisions"]} for b in web.get(bridge, "/api/v1/newest").json()["breaches"]}
        self.assertEqual(reasons, {n: {shown[n]["reason"]} for n in shown})
        pulled = web.get(bridge, "/api/v1/breaches?master=acme&rules=r").lines()[:-1]
        self.assertEqual({x["breach"]["pbid"]: x["reason"] for x in pulled}, {n: shown[n]["reason"] for n in shown})
        # Emptied by an editor: the last good one stays. Then a new one.
        (bridge.folder / "assets.csv").write_text("")
        bridge.wait_for_log("the inventory is not right; the last good one stays", 30)
        sim.add([breach(11, now - 5000, device=1)])
        kinds["json"].wait_for(4)
        self.assertIn('"owner":"ann"', kinds["json"].texts()[-1])
        new = bridge.folder / "assets.new"
        new.write_text("ip,owner\n10.0.0.3,eve\n")
        os.replace(new, bridge.folder / "assets.csv")
        bridge.wait_for_log("the inventory was read again", 30)
        sim.add([breach(13, now - 4000, device=3)])
        kinds["json"].wait_for(5)
        self.assertEqual(json.loads(kinds["json"].texts()[-1])["dtbridge"]["labels"]["owner"], "eve")

    def test_a_mapping_from_a_spreadsheet(self):
        """CSV wherever a mapping file is, with errors by line."""
        now = int(time.time() * 1000)
        sim = self.simulator(breaches=[breach(1, now - HOUR, "A::Odd", score=0.3), breach(2, now - HOUR, "B::Even", score=0.3),
                                       breach(3, now - HOUR, "C::Third", score=0.3)])
        collector = self.own(Collector("tcp"))
        bridge = self.own(Bridge(self.folder.path))
        bridge.master(sim)
        table = "model;min_score;action;note\r\nA / *;40%;;\"reviewed;\r\nin March\"\r\nB::Even;;always;\r\n"
        bridge.destination("siem", address=collector.address, rules=bridge.rules("m.csv", table), **PLAIN)
        bridge.start()
        self.wait_all_done(bridge)
        collector.wait_for(2)
        self.assertEqual(sorted(pbids(collector)), [2, 3])
        self.assertEqual(self.explain(bridge, 1)[0]["siem"]["reason"],
                         'score 0.3 is under 40% of model "A / *" (m.csv:2)')
        self.assertEqual(self.explain(bridge, 2)[0]["siem"]["reason"], 'always by model "B::Even" (m.csv:4)')
        texts = [line["text"] for line in bridge.status()["destinations"][0]["policy_lines"]]
        self.assertEqual(texts, ['model "A / *"', 'model "B::Even"', "everything else"])
        bridge.rules("m.csv", table + "D;;often;\r\nA/*;0.1;;\r\n")
        check = run_cli("check", config=bridge.config).stderr.decode()
        self.assertRegex(check, r'm\.csv:5: .*often.*expected always, never or nothing')
        self.assertRegex(check, r'm\.csv:6: .*says the same as "A / \*" in line 2')
        bridge.reload()
        bridge.wait_for_log("the last good one stays in force")
        sim.add([breach(4, now - 1000, "B::Even", score=0.1)])
        collector.wait_for(3)
