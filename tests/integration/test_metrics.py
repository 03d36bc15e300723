"""Metrics, alert rules and dashboard: checked by promtool, scraped by a real Prometheus; heartbeats and health events."""
import http.client
import json
import re
import shutil
import subprocess
import time
import unittest
import urllib.parse

from rig import SOURCE, Collector, Pki, Process, Simulator, free_port, wait_until
from rig import web
from test_web import WebTest

PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
DEPLOY = SOURCE / "deploy"
# Of Prometheus itself, of scraping, of PromQL.
NOT_OURS = {"up"}
# ProcSubset=pid of the unit.
UNIT_PROC = ["sh", "-c", 'mount -t proc -o subset=pid proc /proc && exec "$@"', "sh"]
# Of bridges with a database alone; test_postgres.py looks at it.
OF_A_DATABASE = {"dtbridge_bridges"}


def samples(text):
    """{name: {labels as text: value}} of the text format."""
    out = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = re.fullmatch(r"([a-z_]+)(\{.*\})? (\S+)", line).groups()
        out.setdefault(name, {})[labels or ""] = float(value)
    return out


def names_in(expression):
    """The metric names of a PromQL expression that are meant to be ours."""
    return set(re.findall(r"\b((?:dtbridge|process)_[a-z_]+|up)\b", re.sub(r'"[^"]*"', '""', expression))) - NOT_OURS


class Metrics(WebTest):
    def running(self):
        self.sim = self.own(Simulator(self.folder, "acme", generate=60))
        self.pki = Pki(self.folder / "pki")
        self.collector = self.own(Collector("tls", pki=self.pki))
        b = self.bridge(self.sim)
        if subprocess.run(["unshare", "-m", *UNIT_PROC, "true"], capture_output=True).returncode == 0:
            b.prefix = ["unshare", "-m", *UNIT_PROC]
        b.destination("siem", address=f"localhost:{self.collector.port}", transport="tls", format="cef", max_message="2KiB",
                      tls={"ca_file": str(self.pki.ca)}, rules=b.rules("half.toml", '[forward]\nmin_score = 0.5\n'
                                                                       '[models]\n"Compliance / *" = "never"\n"With \\"quotes\\" \\\\ *" = 0.1\n'))
        self.start(b)
        self.archived(b, "acme", 60)
        wait_until(lambda: web.get(b, "/api/v1/status").json()["destinations"][0]["lag"] == 0, 30, "delivered")
        # Size and age of the archives are looked up every ten seconds.
        wait_until(lambda: samples(web.get(b, "/metrics").body.decode()).get("dtbridge_archive_breaches") == {'{master="acme"}': 60.0}, 120,
                   "facts of the archive", every=0.5)
        return b

    def test_they_say_what_status_says(self):
        b = self.running()
        reply = web.get(b, "/metrics")
        self.assertEqual(reply.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        m = samples(reply.body.decode())
        status = web.get(b, "/api/v1/status").json()
        master, destination = status["masters"][0], status["destinations"][0]
        one = '{master="acme"}'
        self.assertEqual(m["dtbridge_breaches_archived_total"][one], 60)
        self.assertEqual(m["dtbridge_breaches_late_total"][one], master["late"])
        self.assertGreater(m["dtbridge_polls_total"]['{master="acme",outcome="ok"}'], 0)
        self.assertEqual(m["dtbridge_answer_seconds_count"][one], m["dtbridge_answer_seconds_bucket"]['{master="acme",le="+Inf"}'])
        self.assertGreater(m["dtbridge_answer_bytes_sum"][one], 60 * 1000)
        self.assertEqual(m["dtbridge_archive_breaches"][one], 60)
        self.assertLess(abs(m["dtbridge_archive_oldest_timestamp_seconds"][one] - time.time()), 120)
        siem = '{destination="siem"}'
        expected = {x["pbid"] for x in self.sim.everything() if float(x["score"]) >= 0.5}
        by_kind = m["dtbridge_decisions_total"]
        self.assertEqual(sum(by_kind.values()), 60)
        self.assertEqual(sum(v for k, v in by_kind.items() if 'forward="true"' in k), m["dtbridge_sent_total"][siem])
        self.assertGreater(by_kind['{destination="siem",forward="false",reason="model"}'], 0)
        self.assertGreater(by_kind['{destination="siem",forward="true",reason="score"}'], 0)
        self.assertLessEqual(by_kind['{destination="siem",forward="true",reason="score"}'], len(expected))
        self.assertEqual(m["dtbridge_confirmed_total"][siem], destination["confirmed"])
        self.assertEqual(m["dtbridge_shortened_total"][siem], destination["shortened"])
        received = sum(len(x) for x in self.collector.messages)
        framing = sum(len(f"{len(x)} ") for x in self.collector.messages)
        self.assertEqual(m["dtbridge_sent_bytes_total"][siem], received + framing)
        self.assertEqual((m["dtbridge_lag_breaches"][siem], m["dtbridge_lag_seconds"][siem], m["dtbridge_stalled_seconds"][siem]), (0, 0, 0))
        expiry = m["dtbridge_certificate_expiry_seconds"]
        self.assertLess(abs(expiry['{side="destination",name="siem"}'] - 30 * 86400), 3600)
        self.assertLess(abs(expiry['{side="master",name="acme"}'] - 3650 * 86400), 3600)
        self.assertLess(abs(m["process_start_time_seconds"][""] - time.time()), 300)
        self.assertLess(abs(m["process_resident_memory_bytes"][""] / 1024 - b.process.resident_kib("VmRSS")), 16 << 10)
        # The age of what waits grows while the collector is away, and is none of "time since the last event".
        self.collector.refuse()
        time.sleep(1.5)
        self.sim.generate(5)
        self.archived(b, "acme", 65)
        wait_until(lambda: samples(web.get(b, "/metrics").body.decode())["dtbridge_lag_seconds"][siem] >= 2, 30, "lag grows")
        m = samples(web.get(b, "/metrics").body.decode())
        self.assertEqual(m["dtbridge_lag_breaches"][siem], 5)
        self.assertEqual(m["dtbridge_destination_up"][siem], 0)

    def test_a_collector_that_ends_idle_connections_is_up(self):
        self.sim = self.own(Simulator(self.folder, "acme", generate=5))
        collector = self.own(Collector("tcp"))
        b = self.bridge(self.sim)
        b.destination("siem", address=f"127.0.0.1:{collector.port}", transport="tcp")
        self.start(b)
        collector.wait_for(5)

        def ended():
            d = web.get(b, "/api/v1/status").json()["destinations"][0]
            if d["state"] == "connected":
                collector.close_connections()
            return d["state"] == "waiting" and not d["error"]
        # A connection has to stay for a second before its end counts as one in order.
        wait_until(ended, 120, "nothing to carry, so nothing is connected", every=2.5)
        self.assertEqual(samples(web.get(b, "/metrics").body.decode())["dtbridge_destination_up"]['{destination="siem"}'], 1)
        self.assertEqual(web.get(b, "/readyz?strict").status, 200)
        # One that refuses is down, though nothing waits for it.
        collector.refuse()
        wait_until(lambda: samples(web.get(b, "/metrics").body.decode())["dtbridge_destination_up"]['{destination="siem"}'] == 0, 60,
                   "it cannot be reached")

    @unittest.skipUnless(PROMTOOL, "promtool is not installed")
    def test_promtool_and_a_real_prometheus(self):
        b = self.running()
        # Somebody acknowledges one: until then no model has a time to acknowledge.
        now = int(time.time() * 1000)
        fresh = {**json.loads(json.dumps(self.sim.everything()[0], default=float)), "pbid": 900001, "creationTime": now, "time": now}
        fresh.pop("acknowledged", None)
        self.sim.add([fresh])
        self.archived(b, "acme", 61)
        self.sim.acknowledge([900001])
        wait_until(lambda: "dtbridge_breaches_acknowledged_total" in samples(web.get(b, "/metrics").body.decode()), 60, "acknowledged")
        text = web.get(b, "/metrics").body
        checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, timeout=60)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, b"", b""), "promtool has nothing to say")
        ours = set(samples(text.decode()))
        # Every name of the alerts and the dashboard is one that the bridge has.
        rules = (DEPLOY / "prometheus" / "dtbridge-alerts.yml").read_text()
        used = set().union(*(names_in(e) for e in re.findall(r"expr: (.*)", rules)))
        dashboard = json.loads((DEPLOY / "grafana" / "dtbridge.json").read_text())
        expressions = [t["expr"] for p in dashboard["panels"] for t in p.get("targets", [])]
        self.assertGreater(len(expressions), 25)
        for e in expressions + [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]:
            used |= names_in(e)
        self.assertEqual(used - ours, OF_A_DATABASE, "names that no metric has")
        documented = set(re.findall(r"`(dtbridge_[a-z_]+)`", (SOURCE / "docs" / "operating.md").read_text()))
        self.assertEqual(documented - {re.sub("_(bucket|sum|count)$", "", n) for n in ours}, set(), "documented and not there")
        self.assertEqual(subprocess.run([PROMTOOL, "check", "rules", DEPLOY / "prometheus" / "dtbridge-alerts.yml"], capture_output=True).returncode, 0)
        tested = subprocess.run([PROMTOOL, "test", "rules", "dtbridge-alerts-test.yml"], cwd=DEPLOY / "prometheus", capture_output=True)
        self.assertEqual(tested.returncode, 0, tested.stderr + tested.stdout)
        if not PROMETHEUS:
            self.skipTest("prometheus is not installed")
        port = free_port()
        config = self.folder / "prometheus.yml"
        config.write_text(f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n"
                          f"rule_files: [{DEPLOY / 'prometheus' / 'dtbridge-alerts.yml'}]\nscrape_configs:\n- job_name: dtbridge\n"
                          f"  static_configs: [{{targets: ['127.0.0.1:{b.port}']}}]\n")
        server = self.own(Process("prometheus", [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
                                                 f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], self.folder.path))

        def ask(expression):
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                c.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
                answer = c.getresponse()
                if answer.status == 503:  # starting
                    return []
                r = json.loads(answer.read())
                self.assertEqual(r["status"], "success", f"{expression}: {r}")
                return r["data"]["result"]
            except OSError:
                return []
            finally:
                c.close()
        wait_until(lambda: any(r["value"][1] == "1" for r in ask('up{job="dtbridge"}')), 60, lambda: server.err()[-2000:])
        self.assertEqual(ask('dtbridge_breaches_archived_total{master="acme"}')[0]["value"][1], "61")
        # Each expression of the dashboard is one that Prometheus takes.
        for e in expressions:
            for variable, value in (("$instance", ".*"), ("$master", ".*"), ("$destination", ".*"), ("$__rate_interval", "1m")):
                e = e.replace(variable, value)
            ask(e)


class Events(WebTest):
    def texts(self, collector, kind):
        return [t for t in collector.texts() if re.search(kind, t)]

    def test_heartbeats_in_each_format(self):
        sim = self.own(Simulator(self.folder, "acme", generate=3))
        b = self.bridge(sim)
        there = {}
        for form in ("cef", "leef", "json"):
            there[form] = self.own(Collector("tcp"))
            b.destination(form, address=there[form].address, transport="tcp", format=form, heartbeat="1s")
        quiet = self.own(Collector("tcp"))
        b.destination("quiet", address=quiet.address, transport="tcp", format="cef")
        self.start(b)
        signs = {"cef": r"CEF:0\|dtbridge\|dtbridge\|[0-9.]+\|heartbeat\|Heartbeat\|1\|.*msg=alive",
                 "leef": r"LEEF:2\.0\|dtbridge\|dtbridge\|[0-9.]+\|heartbeat\|", "json": r'"event":"heartbeat"'}
        for form, sign in signs.items():
            wait_until(lambda form=form, sign=sign: len(self.texts(there[form], sign)) >= 3, 30, lambda form=form: str(there[form].texts()[-3:]))
        beats = [t for t, m in zip(there["cef"].times, there["cef"].texts()) if "heartbeat" in m]
        self.assertGreater(beats[2] - beats[0], 1.0, "not faster than asked for")
        self.assertEqual(self.texts(quiet, "heartbeat"), [])
        self.assertEqual(len(self.texts(there["json"], '"pbid"')), 3)
        # A collector that comes back hears the present state, not a queue of old ones.
        there["cef"].refuse()
        time.sleep(3)
        before = there["cef"].count()
        there["cef"].accept()
        there["cef"].wait_for(before + 1)
        time.sleep(0.5)
        self.assertLessEqual(there["cef"].count() - before, 3)

    def test_certificates_and_disk_are_told_once(self):
        sim = self.own(Simulator(self.folder, "acme", generate=3))
        pki = Pki(self.folder / "pki")
        pki._leaf("ca", "server", "serverAuth", days=5)
        ends, other = self.own(Collector("tls", pki=pki)), self.own(Collector("tcp"))
        b = self.bridge(sim)
        b.archive["min_free"] = "900000GiB"
        b.destination("ends", address=f"localhost:{ends.port}", transport="tls", format="json", tls={"ca_file": str(pki.ca)})
        b.destination("other", address=other.address, transport="tcp", format="cef")
        self.start(b)
        wait_until(lambda: self.texts(ends, "certificate of destination ends expires in [45] days"), 30, lambda: str(ends.texts()))
        wait_until(lambda: self.texts(other, r"\|health\|Disk is full\|9\|"), 60, lambda: str(other.texts()))
        wait_until(lambda: self.texts(ends, "Disk is full|to be left"), 60, lambda: str(ends.texts()))
        time.sleep(3)
        self.assertEqual(len(self.texts(ends, "certificate of destination")), 1)
        self.assertEqual(len(self.texts(other, "Disk is full")), 1)
        self.assertEqual(self.texts(other, "certificate"), [], "that collector's certificate is not the other's business")

    def test_a_master_that_goes_and_comes_back(self):
        acme, bank = (self.own(Simulator(self.folder, name, generate=3, seed=i)) for i, name in enumerate(("acme", "bank"), 1))
        of_acme, of_bank = self.own(Collector("tcp")), self.own(Collector("tcp"))
        b = self.bridge(acme, bank)
        b.destination("a", masters=["acme"], address=of_acme.address, transport="tcp", format="cef")
        b.destination("b", masters=["bank"], address=of_bank.address, transport="tcp", format="leef")
        self.start(b)
        of_acme.wait_for(3)
        of_bank.wait_for(3)
        began = time.monotonic()
        acme.fault("status", status=500)
        wait_until(lambda: self.texts(of_acme, r"\|health\|Master cannot be polled\|8\|"), 120, lambda: str(of_acme.texts()))
        self.assertGreater(time.monotonic() - began, 55, "a poll or two that fail are no news")
        acme.fault("none")
        wait_until(lambda: self.texts(of_acme, r"\|health\|Master can be polled again\|3\|"), 120, lambda: str(of_acme.texts()))
        self.assertEqual(len(self.texts(of_acme, r"\|health\|")), 2)
        self.assertEqual(self.texts(of_bank, "acme|health"), [], "another customer's master")


if __name__ == "__main__":
    unittest.main()
