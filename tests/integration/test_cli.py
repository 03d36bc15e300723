"""Commands as users script them: output, exit status, words; bad configurations; reload and stop."""
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import unittest
import unittest.mock

from rig import SOURCE, Bridge, Collector, RigTest, Simulator, bridge_binary, run_cli, wait_until
from rig.basics import slow_build
from rig import messages, policy
from rig.simulator import sign

DATA = SOURCE / "tests" / "data"
DERIVED = DATA / "api_edge_cases_derived.json"


class Commands(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def test_version_and_usage(self):
        got = run_cli("version")
        self.assertEqual(got.returncode, 0)
        self.assertRegex(got.stdout.decode(), r"^dtbridge \d+\.\d+\.\d+")
        for argv in (["no-such-command"], [], ["filter"], ["format", "--format", "xml"], ["format"], ["sign"],
                     ["check", "--no-such-option"]):
            got = run_cli(*argv)
            self.assertEqual(got.returncode, 2, argv)
            self.assertNotEqual(got.stderr, b"", argv)
        self.assertEqual(run_cli("--help").returncode, 0)

    # filter

    def filter(self, rules, data, **kwargs):
        (self.folder / "r.toml").write_text(rules)
        return run_cli("filter", "--rules", self.folder / "r.toml", **({"stdin": data} if isinstance(data, bytes) else {}),
                       **kwargs) if isinstance(data, bytes) else run_cli("filter", "--rules", self.folder / "r.toml", data)

    def test_filter_stage_2(self):
        """Agrees with an independent reading of stage 2 on every breach there is."""
        for path in (DERIVED, *sorted((DATA / "breaches").glob("*.*json"))):
            text = path.read_text()
            try:
                breaches = policy.load(text)
            except json.JSONDecodeError:
                breaches = [policy.load(line) for line in text.splitlines() if line.strip()]
            breaches = breaches if isinstance(breaches, list) else [breaches]
            got = self.filter(policy.STAGE_2, path)
            self.assertEqual((got.returncode, got.stderr), (0, b""))
            lines = [json.loads(line) for line in got.stdout.decode().splitlines()]
            self.assertEqual([line["pbid"] for line in lines], [b["pbid"] for b in breaches])
            for line, b in zip(lines, breaches):
                self.assertEqual(line["forward"], policy.stage_2(b), (b["pbid"], line["reason"]))
                self.assertTrue(line["reason"])

    def test_filter_stdin_and_bad_elements(self):
        good = b'{"pbid": 1, "time": 1704100000000, "score": 0.51}\n'
        got = self.filter(policy.STAGE_2, good + b'{"no": "pbid"}\n' + good.replace(b"1,", b"2,", 1))
        self.assertEqual(got.returncode, 1)
        self.assertEqual([json.loads(line)["pbid"] for line in got.stdout.splitlines()], [1, 2])
        self.assertEqual(len(got.stderr.splitlines()), 1)
        self.assertIn(b"1", got.stderr.splitlines()[0])
        got = self.filter("[forward]\nmin_skore = 1\n", good)
        self.assertEqual((got.returncode, got.stdout), (1, b""))
        self.assertRegex(got.stderr.decode(), r"r\.toml:2.*min_skore")
        self.assertEqual(run_cli("filter", "--rules", self.folder / "missing.toml").returncode, 1)

    def test_shipped_stages(self):
        """mappings/stage-N.toml decide as the guide says (product.md 5)."""
        def b(pbid, score, tags=()):
            return {"pbid": pbid, "time": 1704100000000, "creationTime": 1704100000000, "score": score,
                    "model": {"then": {"name": "A::B", "tags": list(tags), "category": "Informational", "priority": 0}}}
        data = [b(1, 0.5), b(2, 0.501), b(3, 0.499), b(4, 0.1, ["Enhanced Monitoring"]), b(5, 0.9, ["lower priority"]),
                b(6, 0.9, ["Enhanced Monitoring", "lower priority"]), b(7, 0.41), b(8, 0.4), b(9, 1), b(10, 0)]
        expected = {1: {2, 5, 6, 9}, 2: {2, 4, 9}, 3: {1, 2, 3, 4, 7, 9}}
        for stage, forwarded in expected.items():
            path = SOURCE / "mappings" / f"stage-{stage}.toml"
            if not path.exists():
                self.skipTest(f"{path} is not there yet")
            got = run_cli("filter", "--rules", path, stdin=json.dumps(data).encode())
            self.assertEqual(got.returncode, 0, got.stderr)
            lines = [json.loads(line) for line in got.stdout.decode().splitlines()]
            self.assertEqual({line["pbid"] for line in lines if line["forward"]}, forwarded, f"stage {stage}")

    # format

    def test_format_inputs_agree(self):
        """Array, one object and one per line give the same messages."""
        breaches = json.loads(DERIVED.read_text())
        arrays = run_cli("format", "--format", "cef", stdin=json.dumps(breaches).encode())
        lines = run_cli("format", "--format", "cef", stdin="\n".join(map(json.dumps, breaches)).encode())
        dash = run_cli("format", "--format", "cef", "-", stdin=json.dumps(breaches).encode())
        single = b"".join(run_cli("format", "--format", "cef", stdin=json.dumps(b).encode()).stdout for b in breaches[:5])
        self.assertEqual(arrays.returncode, 0, arrays.stderr)
        self.assertEqual(arrays.stdout, lines.stdout)
        self.assertEqual(arrays.stdout, dash.stdout)
        self.assertTrue(arrays.stdout.startswith(single))
        self.assertEqual(len(arrays.stdout.splitlines()), 36)

    def test_format_broken_input(self):
        got = run_cli("format", "--format", "json", stdin=b'[{"pbid":1,"time":1704100000000},{"pbid":2,"ti')
        self.assertEqual(got.returncode, 1)
        self.assertEqual(len(got.stdout.splitlines()), 1)
        self.assertTrue(got.stderr)
        self.assertEqual(run_cli("format", "--format", "json", self.folder / "nowhere.json").returncode, 1)

    def test_format_for_a_destination_without_a_master(self):
        """A file without [[master]] is right (a warning says that nothing is polled), but a message needs a master's name."""
        bridge = Bridge(self.folder.path)
        del bridge.destination("siem", address="siem.example", transport="tcp")["masters"]  # all there are
        bridge.write()
        got = run_cli("format", "--destination", "siem", stdin=b"{}", config=bridge.config)
        self.assertEqual((got.returncode, got.stdout), (2, b""))
        self.assertIn(b"destination 'siem' serves no master of ", got.stderr)

    # sign

    def test_sign_equals_vectors(self):
        """The curl line carries the vector's signature for its date."""
        vectors = json.loads((DATA / "signature_vectors.json").read_text())
        for v in vectors:
            bridge = Bridge(self.folder.path, "sign-" + v["id"].replace("_", "-"))
            bridge.masters.append(({"name": "acme", "url": "https://dt.acme.example", "public_token": v["public_token"],
                                    "private_token_file": bridge.token("t", v["private_token"])}, None))
            bridge.destination("d", address="127.0.0.1:1", transport="tcp")
            bridge.write()
            target, post = v["request"], []
            if "{" in target or "unacknowledge?" in target:
                target, body = target.split("?", 1)
                post = ["--post", body]
            got = run_cli("sign", "--master", "acme", "--date", v["date"], *post, target, config=bridge.config)
            self.assertEqual(got.returncode, 0, (v["id"], got.stderr))
            line = got.stdout.decode().strip()
            words = shlex.split(line)
            self.assertEqual(words[0], "curl")
            headers = dict(w.split(": ", 1) for w in words if w.lower().startswith("dtapi-"))
            self.assertEqual(headers["DTAPI-Signature"], v["signature"], v["id"])
            self.assertEqual(headers["DTAPI-Token"], v["public_token"])
            self.assertEqual(headers["DTAPI-Date"], v["date"])
            self.assertTrue(any(w.startswith("https://dt.acme.example/modelbreaches") for w in words))
            self.assertNotIn(v["private_token"], line)
        got = run_cli("sign", "--master", "nobody", "/modelbreaches", config=bridge.config)
        self.assertEqual(got.returncode, 2)
        self.assertIn(b"acme", got.stderr)

    def test_signed_line_works_with_curl(self):
        sim = self.own(Simulator(self.folder, "acme", generate=3))
        bridge = Bridge(self.folder.path)
        bridge.master(sim)
        bridge.destination("d", address="127.0.0.1:1", transport="tcp")
        bridge.write()
        got = run_cli("sign", "--master", "acme", "/modelbreaches?pbid=2", config=bridge.config)
        self.assertEqual(got.returncode, 0, got.stderr)
        words = shlex.split(got.stdout.decode())
        extra = [] if "--cacert" in words or "-k" in words else ["--cacert", str(sim.ca_file)]
        answer = subprocess.run([*words, *extra, "-sS"], capture_output=True, timeout=20)
        self.assertEqual(json.loads(answer.stdout)["pbid"], 2)

    def test_get(self):
        sim = self.own(Simulator(self.folder, "acme", generate=3))
        bridge = Bridge(self.folder.path)
        bridge.master(sim)
        bridge.destination("d", address="127.0.0.1:1", transport="tcp")
        bridge.write()
        got = run_cli("get", "--master", "acme", "/modelbreaches?pbid=2", config=bridge.config)
        self.assertEqual(json.loads(got.stdout)["pbid"], 2, got.stderr)


class Configuration(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def setUp(self):
        super().setUp()
        self.bridge = Bridge(self.folder.path)
        self.bridge.token("acme.token", "7" * 40)
        (self.bridge.folder / "empty.token").write_text("")
        (self.bridge.folder / "two.token").write_text("a\nb\n")
        (self.bridge.folder / "bad.toml").write_text("[forward]\nmin_score = 2\n")
        self.good = [
            '[service]', f'state_dir = "{self.bridge.folder}/state"', 'listen = ""', '',
            '[[master]]', 'name = "acme"', 'url = "https://dt.acme.example"', 'public_token = "1234567890"',
            'private_token_file = "acme.token"', '',
            '[[destination]]', 'name = "siem"', 'address = "127.0.0.1:6514"', 'transport = "tcp"', 'format = "json"']

    def check(self, lines):
        self.bridge.config.write_text("\n".join(lines) + "\n")
        return run_cli("check", config=self.bridge.config)

    def test_good(self):
        got = self.check(self.good)
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertIn(b"1 master, 1 destination", got.stdout)

    def replaced(self, old, new):
        lines = list(self.good)
        at = next(i for i, line in enumerate(lines) if line.startswith(old))
        lines[at] = new
        return lines, at + 1

    def added(self, after, new):
        lines = list(self.good)
        at = next(i for i, line in enumerate(lines) if line.startswith(after))
        lines.insert(at + 1, new)
        return lines, at + 2

    # (how, where, new line, words that the message must hold)
    BAD = [
        ("add", "state_dir", "no_such_key = 1", "no_such_key"),
        ("add", "state_dir", 'log_level = "loud"', "log_level"),
        ("add", "state_dir", "log_level = 3", "log_level"),
        ("add", "state_dir", 'log_format = "xml"', "log_format"),
        ("replace", 'listen = ""', 'listen = "127.0.0.1:0"', "listen"),
        ("replace", 'listen = ""', 'listen = "127.0.0.1:70000"', "listen"),
        ("replace", 'listen = ""', 'listen = "0.0.0.0:9480"', "listen"),
        ("replace", 'name = "acme"', 'name = "Acme"', "name"),
        ("replace", 'name = "acme"', 'name = "../etc"', "name"),
        ("replace", 'name = "acme"', 'name = ""', "name"),
        ("replace", 'name = "acme"', f'name = "{"a" * 64}"', "name"),
        ("replace", 'name = "acme"', "name = 5", "name"),
        ("replace", "url =", 'url = "ftp://dt.acme.example"', "url"),
        ("replace", "url =", 'url = "https://dt.acme.example/path"', "url"),
        ("replace", "url =", 'url = "https://dt.acme.example:0"', "url"),
        ("replace", "url =", 'url = "dt.acme.example"', "url"),
        ("replace", "public_token", 'public_token = ""', "public_token"),
        ("replace", "private_token_file", 'private_token_file = "missing.token"', "private_token_file"),
        ("replace", "private_token_file", 'private_token_file = "empty.token"', "private_token_file"),
        ("replace", "private_token_file", 'private_token_file = "two.token"', "private_token_file"),
        ("replace", "private_token_file", "# left out", "private_token_file"),
        ("add", "private_token_file", 'interval = "soon"', "interval"),
        ("add", "private_token_file", 'interval = "-5s"', "interval"),
        ("add", "private_token_file", "interval = 10", "interval"),
        ("add", "private_token_file", 'window = "all"', "window"),
        ("add", "private_token_file", 'time_parameters = "words"', "time_parameters"),
        ("add", "private_token_file", 'date_format = "german"', "date_format"),
        ("add", "private_token_file", 'tls = { ca_file = "missing.pem" }', "ca_file"),
        ("add", "private_token_file", 'tls = { fingerprint_sha256 = "abc" }', "fingerprint_sha256"),
        ("add", "private_token_file", 'tls = { verify = "no" }', "verify"),
        ("add", "private_token_file", 'proxy = "socks://x:1"', "proxy"),
        ("add", "private_token_file", "query = { starttime = 5 }", "starttime"),
        ("add", "private_token_file", 'query = { group = "device" }', "group"),
        ("add", "private_token_file", "query = { pbid = 5 }", "pbid"),
        ("add", "private_token_file", "query = { creationtime = true }", "creationtime"),
        ("replace", 'name = "siem"', 'name = "SIEM 1"', "name"),
        ("replace", "address", 'address = "127.0.0.1:0"', "address"),
        ("replace", "address", "# left out", "address"),
        ("replace", "transport", 'transport = "sctp"', "transport"),
        ("replace", "transport", 'framing = "nul"\ntransport = "relp"', "framing"),
        ("replace", "transport", 'topic = "a b"\ntransport = "kafka"', "topic"),
        ("replace", "transport", 'framing = "nul"\ntransport = "kafka"', "framing"),
        ("add", "transport", 'topic = "breaches"', "topic"),
        ("replace", "format =", 'format = "xml"', "format"),
        ("add", "transport", 'framing = "cr"', "framing"),
        ("add", "transport", 'header = "rfc822"', "header"),
        ("add", "transport", 'masters = ["nobody-*"]', "masters"),
        ("add", "transport", 'rules = "missing.toml"', "rules"),
        ("add", "transport", 'rules = "bad.toml"', "bad.toml"),
        ("add", "transport", 'max_message = "1B"', "max_message"),
        ("add", "transport", 'max_message = "big"', "max_message"),
        ("add", "transport", 'facility = "local9"', "facility"),
        ("add", "transport", 'profile = "nosuchsiem"', "profile"),
        ("add", "transport", 'pace = "fast"', "pace"),
        ("add", "transport", 'heartbeat = "5 minutes"', "heartbeat"),
        ("add", "transport", 'app_name = "a b"', "app_name"),
        ("add", "transport", 'fields = "missing.toml"', "fields"),
        ("add", "transport", 'tls = { cert_file = "missing.pem" }', "cert_file"),
        ("add", "transport", 'held_back = "maybe"', "held_back"),
    ]

    def test_bad(self):
        """Each gives one line with file, line, key and the remedy; exit 1; run refuses alike and starts nothing."""
        self.assertGreaterEqual(len(self.BAD), 40)
        for how, where, new, key in self.BAD:
            with self.subTest(line=new):
                lines, number = (self.added if how == "add" else self.replaced)(where, new)
                got = self.check(lines)
                self.assertEqual(got.returncode, 1, got.stdout + got.stderr)
                errors = [line for line in got.stderr.decode().splitlines() if "error" in line and key in line]
                self.assertGreaterEqual(len(errors), 1, got.stderr.decode())
                if key == "bad.toml":
                    self.assertIn("bad.toml:2", errors[0])
                elif "left out" not in new:
                    self.assertIn(f"dtbridge.toml:{number}:", errors[0])
                self.assertRegex(errors[0], r"expected|not built yet|refused|unknown key|leave|is missing|has too",
                                 "no remedy")
        run = run_cli("run", config=self.bridge.config)
        self.assertEqual(run.returncode, 1)
        self.assertFalse((self.bridge.folder / "state").exists())

    def test_all_at_once(self):
        lines = [line.replace('"acme"', '"A"').replace('"tcp"', '"sctp"') for line in self.good] + ["zzz = 1"]
        got = self.check(lines)
        text = got.stderr.decode()
        for word in ("name", "transport", "zzz"):
            self.assertIn(word, text)

    def test_two_of_one_name(self):
        got = self.check(self.good + self.good[4:9])
        self.assertEqual(got.returncode, 1)
        self.assertRegex(got.stderr.decode(), r":\d+:.*name")
        got = self.check(self.good + self.good[10:])
        self.assertEqual(got.returncode, 1)

    def test_missing_and_broken_file(self):
        got = run_cli("check", config=self.folder / "nowhere.toml")
        self.assertEqual(got.returncode, 1)
        self.assertIn(b"nowhere.toml", got.stderr)
        got = self.check(["[service", "x"])
        self.assertEqual(got.returncode, 1)
        self.assertIn(b"dtbridge.toml:1", got.stderr)

    def test_world_readable_token_is_a_warning(self):
        (self.bridge.folder / "acme.token").chmod(0o644)
        got = self.check(self.good)
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertRegex(got.stderr.decode(), r"warning.*acme\.token")


class Service(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def begin(self):
        self.sim = self.own(Simulator(self.folder, "acme", generate=50, span="2h"))
        self.collector = self.own(Collector("tcp"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim)
        self.bridge.destination("siem", address=self.collector.address, transport="tcp", format="json", max_message="64KiB")
        self.bridge.start()
        self.collector.wait_for(50)

    def pbids(self):
        return sorted(map(messages.json_pbid, self.collector.texts()))

    def test_reload(self):
        """A broken file is reported and the last good set stays; a good one takes effect; nothing is lost or repeated, and a
        connection that did not change stays."""
        self.begin()
        good = self.bridge.config.read_text()
        self.bridge.config.write_text(good + "\n[[destination]]\nnmae = 5\n")
        self.bridge.reload()
        self.bridge.wait_for_log(r"nmae")
        self.sim.generate(5)
        self.collector.wait_for(55)
        self.assertEqual(self.collector.connections, 1)
        second = self.own(Collector("tcp"))
        self.bridge.destination("second", address=second.address, transport="tcp", format="cef",
                                rules=self.bridge.rules("stage-2.toml", policy.STAGE_2))
        self.bridge.write()
        self.bridge.reload()
        chosen = sorted(b["pbid"] for b in self.sim.everything() if policy.stage_2(b))
        second.wait_for(len(chosen))
        self.sim.generate(5)
        self.collector.wait_for(60)
        time.sleep(0.5)
        self.assertEqual(self.collector.connections, 1, "the unchanged destination was connected anew")
        self.assertEqual(self.pbids(), sorted(self.sim.pbids()))
        chosen = sorted(b["pbid"] for b in self.sim.everything() if policy.stage_2(b))
        wait_until(lambda: len(second.messages) >= len(chosen), 10, "the new destination")
        self.assertEqual(sorted(map(messages.cef_pbid, second.texts())), chosen)
        self.assertTrue(self.bridge.process.alive())
        self.assertEqual(self.bridge.stop(5), 0)

    def test_stop(self):
        """SIGTERM in the middle of work: exit 0 within 5 s, also with a master that hangs and a collector that stalls."""
        self.begin()
        self.sim.fault("hang")
        self.collector.stall()
        self.sim.wait_for_requests(1)
        start = time.monotonic()
        self.bridge.process.signal(signal.SIGTERM)
        self.assertEqual(self.bridge.process.wait(8), 0)
        self.assertLess(time.monotonic() - start, 5.5 * slow_build())

    def test_service_manager(self):
        """sd_notify(3): READY once it serves, WATCHDOG while it moves, RELOADING around a reload, STOPPING at the end."""
        told = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(self.folder / "notify"))
            manager.settimeout(10 * slow_build())

            def until(start, count=1):
                while sum(line.startswith(start) for line in told) < count:
                    told.extend(manager.recv(4096).decode().splitlines())

            with unittest.mock.patch.dict(os.environ, NOTIFY_SOCKET=str(self.folder / "notify"), WATCHDOG_USEC="200000"):
                self.begin()
            until("READY=1")
            until("WATCHDOG=1", 3)
            self.assertIn("STATUS=1 master, 1 destination", told)
            self.bridge.reload()
            until("RELOADING=1")
            until("READY=1", 2)
            self.bridge.process.signal(signal.SIGTERM)
            until("STOPPING=1")
            self.assertEqual(self.bridge.process.wait(8), 0)

    def test_get_and_sign(self):
        """A signed GET through the running service and without one; a signed request that the master takes as it stands."""
        self.begin()
        newest = max(b["pbid"] for b in self.sim.everything())
        target = f"/modelbreaches?pbid={newest}"
        for running in (True, False):
            if not running:
                self.assertEqual(self.bridge.stop(), 0)
            got = run_cli("get", "--master", "acme", target, config=self.bridge.config)
            self.assertEqual(got.returncode, 0, got.stderr)
            self.assertEqual(json.loads(got.stdout)["pbid"], newest)
            self.assertIn(b"HTTP status 200", got.stderr)
            lost = run_cli("get", "--master", "acme", "/modelbreaches/999999999", config=self.bridge.config)
            self.assertEqual(lost.returncode, 1)
            self.assertIn(b"HTTP status 404", lost.stderr)
            line = run_cli("sign", "--master", "acme", target, config=self.bridge.config)
            self.assertEqual(line.returncode, 0, line.stderr)
            self.assertNotIn(self.sim.private, line.stdout.decode())
            headers = {}
            for word in shlex.split(line.stdout.decode()):
                name, colon, value = word.partition(": ")
                if colon and name.startswith("DTAPI-"):
                    headers[name] = value
            self.assertEqual(headers["DTAPI-Signature"],
                             sign(target, headers["DTAPI-Date"], headers["DTAPI-Token"], self.sim.private))
            for argv in (["get", "--master", "nobody", target], ["sign", "--master", "nobody", target],
                         ["get", "--master", "acme", "no-slash"], ["sign", "--master", "acme"]):
                self.assertEqual(run_cli(*argv, config=self.bridge.config).returncode, 2, argv)

    def test_forget(self):
        """State of what is no longer configured is named at start, kept, and deleted only on request and with the service down."""
        self.begin()
        self.bridge.destinations[0]["name"] = "renamed"
        self.bridge.write()
        refused = run_cli("forget", "siem", "--yes", config=self.bridge.config)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(str(self.bridge.process.pid), refused.stderr.decode())
        self.assertEqual(self.bridge.stop(), 0)
        self.bridge.start()
        self.bridge.wait_for_log("destination siem is no longer configured")
        self.assertEqual(self.bridge.stop(), 0)
        self.assertEqual(run_cli("forget", "renamed", "--yes", config=self.bridge.config).returncode, 2)
        self.assertEqual(run_cli("forget", "nobody", "--yes", config=self.bridge.config).returncode, 2)
        unsure = run_cli("forget", "siem", config=self.bridge.config)
        self.assertEqual(unsure.returncode, 1)
        self.assertIn(b"nothing was deleted", unsure.stderr)
        done = run_cli("forget", "siem", "--yes", config=self.bridge.config)
        self.assertEqual((done.returncode, done.stdout), (0, b"destination siem: 1 cursor forgotten\n"), done.stderr)
        self.assertEqual(run_cli("forget", "siem", "--yes", config=self.bridge.config).returncode, 2)

    def test_one_writer(self):
        self.begin()
        second = run_cli("run", config=self.bridge.config, timeout=15)
        self.assertEqual(second.returncode, 1)
        self.assertIn(str(self.bridge.process.pid), second.stderr.decode())

    def test_collector_reset(self):
        """RST in the middle: everything unconfirmed is sent again, nothing is missing."""
        self.begin()
        for _ in range(5):
            self.sim.generate(40)
            time.sleep(0.3)
            self.collector.reset()
        expected = set(self.sim.pbids())
        wait_until(lambda: expected <= set(self.pbids()), 60, "breaches after resets")
        repeats = len(self.pbids()) - len(set(self.pbids()))
        self.assertLess(repeats, 5 * 64 + 1, "more was repeated than can have been in flight")

    def test_sign_through_the_service(self):
        self.begin()
        got = run_cli("sign", "--master", "acme", "/modelbreaches?pbid=2", config=self.bridge.config)
        self.assertEqual(got.returncode, 0, got.stderr)
        words = shlex.split(got.stdout.decode())
        headers = dict(w.split(": ", 1) for w in words if w.lower().startswith("dtapi-"))
        self.assertEqual(headers["DTAPI-Signature"],
                         sign("/modelbreaches?pbid=2", headers["DTAPI-Date"], self.sim.public, self.sim.private))
        self.assertFalse(re.search(self.sim.private, got.stdout.decode()))


if __name__ == "__main__":
    unittest.main()
