"""Kafka destinations into librdkafka's mock brokers, read back by kcat: everything arrives, in order for each device, with key and headers,
through errors and deaths of brokers and of the bridge."""
import collections
import json
import time
import unittest

from rig import BUILD, Bridge, Collector, Gate, Kafka, Pki, RigTest, Simulator, bridge_binary, free_port, messages, run_cli, wait_until


def setUpModule():
    if "tsan" in BUILD.name:
        raise unittest.SkipTest("ThreadSanitizer crashes in librdkafka's threads, which are made by thrd_create")


WINDOW = 4096  # messages that may be unconfirmed, and so come twice when the bridge dies


class Streams(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def begin(self, generate=0, brokers=1, **keys):
        self.kafka = self.own(Kafka(self.folder.path, brokers, {"breaches": 4, "others": 1}))
        self.sim = self.own(Simulator(self.folder, "acme", generate=generate, span="10h"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim)
        self.bridge.destination("stream", **{"addresses": self.kafka.addresses, "transport": "kafka", "topic": "breaches", **keys})

    def records(self, topic="breaches"):
        """Of breaches."""
        return [r for r in self.kafka.read(topic) if "pbid" in r.headers]

    def wait_for_all(self, topic="breaches", deadline=60):
        expected = set(self.sim.pbids())
        self.got = []

        def missing():
            self.got = self.records(topic)
            return expected - {int(r.headers["pbid"]) for r in self.got}
        wait_until(lambda: not missing(), deadline,
                   lambda: f"{len(missing())} of {len(expected)} are missing\n{self.bridge.log()[-3000:]}", every=0.3)
        return expected

    def check_order(self):
        """Each key in one partition, and in it the last copy of each breach in the order of the archive."""
        archived = [json.loads(line)["pbid"] for line in run_cli("export", "--master", "acme", config=self.bridge.config).stdout.splitlines()]
        place = {pbid: n for n, pbid in enumerate(archived)}
        by_key = collections.defaultdict(list)
        for r in self.got:
            self.assertEqual(messages.json_pbid(r.value), int(r.headers["pbid"]))
            self.assertEqual((r.headers["master"], r.headers["format"]), ("acme", "json"))
            self.assertEqual(r.key, f"acme/did {json.loads(r.value)['device']['did']}")
            by_key[r.key].append(r)
        self.assertGreater(len(by_key), 3)
        for key, records in by_key.items():
            self.assertEqual(len({r.partition for r in records}), 1, key)
            last = {int(r.headers["pbid"]): r.offset for r in records}
            order = [place[pbid] for pbid in sorted(last, key=last.get)]
            self.assertEqual(order, sorted(order), key)

    def repeats(self):
        return len(self.got) - len({r.headers["pbid"] for r in self.got})

    def test_every_breach_through_errors_and_restarts(self):
        self.begin(1000, brokers=3)
        self.kafka.errors(3)
        self.bridge.start()
        self.wait_for_all()
        self.assertEqual(self.repeats(), 0)
        self.check_order()
        # Stopped in order it repeats nothing.
        self.assertEqual(self.bridge.stop(), 0)
        self.sim.generate(300)
        self.bridge.start()
        self.wait_for_all()
        self.assertEqual(self.repeats(), 0)
        # A broker fails, the bridge dies in the middle, all brokers go and come back.
        self.kafka.down(1)
        self.sim.generate(1500, seconds=3)
        before = self.bridge.status()["destinations"][0]["sent"]
        wait_until(lambda: self.bridge.status()["destinations"][0]["sent"] > before + 100, 40, lambda: self.bridge.log()[-3000:])
        self.kafka.errors(3)
        self.bridge.kill()
        self.kafka.up(1)
        self.bridge.start()
        self.wait_for_all()
        self.assertLessEqual(self.repeats(), WINDOW)
        known = self.repeats()
        self.kafka.down()
        self.sim.generate(100)
        self.bridge.wait_for_log(r"deliver stream: cannot deliver[^\n]*(Connection refused|confirmed nothing)", 60)
        self.kafka.up()
        expected = self.wait_for_all()
        self.assertEqual(len(expected), 2900)
        self.assertLessEqual(self.repeats() - known, 100)
        self.check_order()
        self.assertEqual(self.bridge.stop(), 0)
        print(f"\n{len(expected)} breaches, {self.repeats()} repeats")

    def test_a_stop_is_prompt_while_brokers_are_away(self):
        self.begin(200)
        self.bridge.start()
        self.wait_for_all()
        self.kafka.down()
        self.sim.generate(50)
        self.bridge.wait_for_log(r"deliver stream: cannot deliver", 60)
        began = time.monotonic()
        self.assertEqual(self.bridge.stop(), 0)
        self.assertLess(time.monotonic() - began, 6)
        self.kafka.up()
        self.bridge.start()
        self.wait_for_all()

    def test_reload_status_metrics_and_heartbeat(self):
        self.begin(100, heartbeat="1s")
        self.bridge.start()
        self.wait_for_all()
        wait_until(lambda: [r for r in self.kafka.read("breaches") if '"event":"heartbeat"' in r.value and "pbid" not in r.headers], 20,
                   "a heartbeat in the topic")
        shown = self.bridge.status()["destinations"][0]
        self.assertEqual((shown["name"], shown["state"], shown["lag"]), ("stream", "connected", 0))
        self.assertEqual(shown["connected_to"], f"{self.kafka.bootstraps} (topic breaches)")
        self.assertIn('dtbridge_confirmed_total{destination="stream"} 100', self.bridge.http("/metrics", body=True).decode())
        # Another topic: what comes from now on goes there.
        self.bridge.destinations[0]["topic"] = "others"
        self.bridge.write()
        self.bridge.reload()
        wait_until(lambda: "(topic others)" in self.bridge.status()["destinations"][0]["connected_to"], 20, self.bridge.log)
        self.sim.generate(20)
        wait_until(lambda: len(self.records("others")) == 20, 30, self.bridge.log)
        self.assertEqual(len(self.records()), 100)

    def test_too_large_for_the_topic(self):
        self.begin(0)
        self.sim.add([{"pbid": 7_000_001, "time": int(time.time() * 1000) - 1000, "creationTime": int(time.time() * 1000) - 1000,
                       "score": 0.9, "model": {"then": {"name": "A::Long", "pid": 1, "description": "x" * 90_000}},
                       "device": {"did": 1}, "triggeredComponents": []}])
        self.bridge.destinations[0]["max_message"] = "200KiB"
        self.kafka.large(1)
        self.bridge.start()
        self.bridge.wait_for_log(r"deliver stream: undeliverable, passed over[^\n]*7000001[^\n]*max\.message\.bytes", 30)
        self.sim.generate(10)
        wait_until(lambda: len(self.records()) == 10, 30, self.bridge.log)
        wait_until(lambda: self.bridge.status()["destinations"][0]["lag"] == 0, 20, "the cursor moves on")
        explained = run_cli("explain", "--master", "acme", "--pbid", 7_000_001, config=self.bridge.config).stdout.decode()
        self.assertIn("too large for the topic", explained)


class Checks(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def begin(self, **keys):
        self.kafka = self.own(Kafka(self.folder.path, 2, {"breaches": 4}))
        self.sim = self.own(Simulator(self.folder, "acme", generate=10, span="2h"))
        self.bridge = self.own(Bridge(self.folder.path))
        self.bridge.master(self.sim)
        self.bridge.destination("stream", **{"addresses": self.kafka.addresses, "transport": "kafka", "topic": "breaches", **keys})
        self.bridge.write()

    def connect(self, code, *words, env=None):
        got = run_cli("check", "--connect", config=self.bridge.config, env=env)
        text = (got.stdout + got.stderr).decode()
        self.assertEqual(got.returncode, code, text)
        for word in words:
            self.assertIn(word, text)
        return text

    def test_check_connect(self):
        self.begin()
        text = self.connect(0, "destination stream: ok", "a broker answered, and the topic breaches exists", "over kafka")
        self.assertEqual(text.count("destination stream"), 1)  # the brokers are one target
        self.bridge.destinations[0]["topic"] = "braeches"
        self.bridge.write()
        self.connect(1, "destination stream: FAILED", "(topic braeches): the topic does not exist")
        # It only looked.
        self.connect(1, "(topic braeches): the topic does not exist")
        self.bridge.destinations[0].update(addresses=[f"127.0.0.1:{free_port()}"], topic="breaches")
        self.bridge.write()
        self.connect(1, "destination stream: FAILED", "Connection refused")

    def test_check_connect_by_the_service(self):
        self.begin()
        self.bridge.start()
        self.connect(0, "destination stream: ok", "the topic breaches exists")
        self.kafka.down()
        self.connect(1, "destination stream: FAILED", "Connection refused")

    def test_test_event(self):
        self.begin(format="cef")
        got = run_cli("test", "--destination", "stream", config=self.bridge.config)
        text = got.stdout.decode()
        self.assertEqual(got.returncode, 0, text + got.stderr.decode())
        self.assertIn("every in-sync replica", text)
        record, = self.kafka.read("breaches")
        self.assertTrue(record.value.startswith("CEF:0|dtbridge|dtbridge|"), record.value)
        self.assertIn(record.value, text)
        self.assertEqual(record.headers, {"master": "acme", "format": "cef"})

    def test_without_the_library(self):
        """check says what to install; the service runs, delivers elsewhere and keeps what waits."""
        self.begin()
        broken = self.folder / "broken"
        broken.mkdir()
        (broken / "librdkafka.so.1").write_text("not a library\n")
        env = {"LD_LIBRARY_PATH": str(broken)}
        got = run_cli("check", config=self.bridge.config, env=env)
        self.assertEqual(got.returncode, 1)
        line = next(n for n, text in enumerate(self.bridge.config.read_text().splitlines(), 1) if text.startswith("transport"))
        self.assertRegex(got.stderr.decode(), rf'error: \S+dtbridge\.toml:{line}: destination\.transport: destination "stream": Kafka needs '
                                              r"librdkafka: librdkafka\.so\.1 cannot be loaded .*: install the package dtbridge-kafka")
        self.assertEqual(run_cli("check", config=self.bridge.config).returncode, 0)
        siem = self.own(Collector("tcp"))
        self.bridge.destination("siem", address=siem.address, transport="tcp", format="json")
        self.bridge.start(env=env)
        wait_until(lambda: {messages.json_pbid(m) for m in siem.texts()} == set(self.sim.pbids()), 30, self.bridge.log)
        self.bridge.wait_for_log(r"deliver stream: cannot deliver, the archive keeps what waits[^\n]*dtbridge-kafka")
        shown = next(d for d in self.bridge.status()["destinations"] if d["name"] == "stream")
        self.assertIn("install the package dtbridge-kafka", shown["error"])
        self.assertEqual(shown["lag"], 10)
        self.assertEqual(self.bridge.stop(), 0)
        # Installed: what waited goes.
        self.bridge.start()
        wait_until(lambda: len([r for r in self.kafka.read("breaches") if "pbid" in r.headers]) == 10, 30, self.bridge.log)

    def test_the_password_is_nowhere(self):
        """The mock brokers know no SASL: signing in fails, and whatever is said of it does not hold the password."""
        self.begin()
        (self.folder.path / "dtbridge" / "kafka.password").write_text("swordfish-7\n")
        (self.folder.path / "dtbridge" / "kafka.password").chmod(0o600)
        self.bridge.destinations[0]["kafka"] = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "bridge",
                                                "sasl_password_file": "kafka.password"}
        self.bridge.write()
        self.assertNotIn("swordfish", self.connect(1, "destination stream: FAILED"))
        self.bridge.start()
        self.bridge.wait_for_log(r"deliver stream: cannot deliver", 40)
        self.assertNotIn("swordfish", self.bridge.log() + json.dumps(self.bridge.status()))


class SignIn(RigTest):
    """What goes over the wire under TLS and SASL, against a broker that is not librdkafka's. It knows no more than the sign-in, so that
    every check fails behind it."""

    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def setUp(self):
        super().setUp()
        self.pki = Pki(self.folder / "pki")
        self.sim = self.own(Simulator(self.folder, "acme", generate=1, span="2h"))

    def look(self, gate, host="localhost", **keys):
        """What check --connect says of it."""
        bridge = Bridge(self.folder.path, f"bridge-{gate.port}")
        bridge.master(self.sim)
        bridge.token("kafka.password", "correct horse")
        bridge.destination("stream", address=f"{host}:{gate.port}", transport="kafka", topic="breaches", **keys)
        bridge.write()
        got = run_cli("check", "--connect", config=bridge.config)
        text = (got.stdout + got.stderr).decode()
        self.assertEqual(got.returncode, 1, text)
        self.assertEqual(gate.problems, [])
        self.assertNotIn("correct horse", text)
        return text

    def gate(self, **keys):
        return self.own(Gate(**keys))

    def sasl(self, mechanism, user="bridge"):
        return {"sasl_mechanism": mechanism, "sasl_username": user, "sasl_password_file": "kafka.password"}

    def test_tls_is_verified(self):
        trust = {"ca_file": str(self.pki.ca)}
        gate = self.gate(pki=self.pki)
        self.look(gate, tls=trust)
        self.assertEqual(gate.handshakes_failed, 0)
        self.assertGreater(gate.requests, 0)
        for tls, wrong in (({}, "the system knows no such CA"), ({"ca_file": str(self.pki.folder / "other-ca.pem")}, "another CA")):
            gate = self.gate(pki=self.pki)
            self.assertIn("certificate verify failed", self.look(gate, tls=tls), wrong)
            self.assertEqual(gate.requests, 0, wrong)
        self.pki.leaf("elsewhere", names="DNS:elsewhere.test")
        gate = self.gate(pki=self.pki, server="elsewhere")
        self.assertIn("certificate verify failed", self.look(gate, tls=trust))
        self.assertEqual(gate.requests, 0)
        self.look(gate, tls={"verify": False})
        self.assertGreater(gate.requests, 0)

    def test_the_client_certificate_is_shown(self):
        gate = self.gate(pki=self.pki, client_certificate=True)
        self.look(gate, tls={"ca_file": str(self.pki.ca), "cert_file": str(self.pki.client), "key_file": str(self.pki.client_key)})
        self.assertIn("client.test", str(gate.certificates[0]["subject"]))

    def test_sasl(self):
        trust = {"ca_file": str(self.pki.ca)}
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            for pki in (self.pki, None):
                with self.subTest(mechanism=mechanism, tls=bool(pki)):
                    way = {"tls": trust} if pki else {}
                    gate = self.gate(pki=pki, mechanism=mechanism, user="bridge", password="correct horse")
                    self.look(gate, kafka=self.sasl(mechanism), **way)
                    self.assertGreater(gate.passed, 0)
                    self.assertEqual(gate.refused, 0)
            with self.subTest(mechanism=mechanism, wrong=True):
                gate = self.gate(mechanism=mechanism, user="bridge", password="another")
                self.assertRegex(self.look(gate, kafka=self.sasl(mechanism)), r"stream: FAILED\n[^\n]*SASL[^\n]*no, not so")
                self.assertEqual(gate.passed, 0)
        gate = self.gate(mechanism="GSSAPI")
        self.assertRegex(self.look(gate, kafka=self.sasl("SCRAM-SHA-256")), r"SASL[^\n]*GSSAPI")


if __name__ == "__main__":
    unittest.main()
