"""check --connect, test --destination and profiles against real masters' and collectors' faults: what is said, and the exit status."""
import contextlib
import datetime
import hashlib
import json
import socket
import ssl
import subprocess
import threading
import unittest

from rig import Bridge, Collector, Pki, RigTest, Rsyslog, Simulator, SyslogNg, bridge_binary, free_port, run_cli, wait_until


def fingerprint(pem):
    """SHA-256 of the DER, as openssl has it."""
    text = subprocess.run(["openssl", "x509", "-in", pem, "-noout", "-fingerprint", "-sha256"], check=True, capture_output=True)
    return text.stdout.decode().strip().split("=")[1].replace(":", "").lower()


class PlainProxy:
    """CONNECT for everybody."""

    def __init__(self):
        self.asked = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(c,), daemon=True).start()

    def _tunnel(self, c):
        head = b""
        while b"\r\n\r\n" not in head:
            head += c.recv(4096)
        target = head.split()[1].decode()
        self.asked.append(target)
        host, port = target.rsplit(":", 1)
        far = socket.create_connection((host, int(port)))
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for a, b in ((c, far), (far, c)):
            threading.Thread(target=self._copy, args=(a, b), daemon=True).start()

    @staticmethod
    def _copy(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()


class ConnectTest(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def setUp(self):
        super().setUp()
        self.bridge = Bridge(self.folder.path)

    def check(self, write=True):
        if write:
            self.bridge.write()
        got = run_cli("check", "--connect", "--json", config=self.bridge.config, timeout=120)
        self.assertTrue(got.stdout, got.stderr)
        answer = json.loads(got.stdout)
        self.assertEqual(got.returncode, 0 if answer["ok"] else 1)
        self.assertEqual(answer["ok"], all(c["ok"] for c in answer["checks"]))
        self.answer = answer
        return answer["checks"]

    def text(self):
        got = run_cli("check", "--connect", config=self.bridge.config, timeout=120)
        self.status = got.returncode
        return got.stdout.decode()


class Masters(ConnectTest):
    def simulator(self, **options):
        self.sim = self.own(Simulator(self.folder, "acme", **options))
        return self.sim

    def one(self, **keys):
        self.bridge.masters.clear()
        self.bridge.destinations.clear()
        self.bridge.master(self.sim, **keys)
        (check,) = self.check()
        return check

    def test_good(self):
        """Everything that is known of a good master, by the file's own means."""
        self.simulator(generate=20, span="2h")
        c = self.one(url=f"https://localhost:{self.sim.port}")
        self.assertTrue(c["ok"], c)
        self.assertEqual((c["kind"], c["name"], c["outcome"], c["problem"]), ("master", "acme", "ok", ""))
        self.assertIn("127.0.0.1", c["resolves_to"])
        self.assertEqual(c["connected_to"].rsplit(":", 1)[1], str(self.sim.port))
        self.assertEqual(c["tls"]["version"], "TLSv1.3")
        self.assertEqual(c["tls"]["fingerprint_sha256"], fingerprint(self.sim.ca_file))
        self.assertTrue(c["tls"]["self_signed"])
        self.assertLessEqual(abs(c["skew_seconds"]), 1)
        newest = max(b["created"] for b in self.sim.expected())
        self.assertEqual(datetime.datetime.fromisoformat(c["newest_breach"].replace("Z", "+00:00")).timestamp(), newest / 1000)
        text = self.text()
        self.assertEqual(self.status, 0)
        self.assertIn("master acme: ok\n", text)
        self.assertIn(f'fingerprint_sha256 = "{fingerprint(self.sim.ca_file)}"', text)
        self.assertRegex(text, rf"  https://localhost:{self.sim.port} resolves to [^;]*127\.0\.0\.1[^;]*; connected to \S+:{self.sim.port}\n")
        for word in ("signature, date and permission accepted", "clock skew", "newest breach", "TLSv1.3"):
            self.assertIn(word, text)

    def test_read_only(self):
        """Nothing but GET of /modelbreaches, and no state on this side."""
        self.simulator(generate=3)
        self.one()
        state = self.sim.state(False)
        self.assertEqual(set(state["requests_by_path"]), {"/modelbreaches"})
        self.assertFalse((self.bridge.folder / "state").exists())

    def test_newest_far_back(self):
        """Looks further back until it sees one: 10 days ago, and none at all."""
        created = 1000 * int(datetime.datetime.now().timestamp()) - 10 * 86_400_000
        self.simulator(generate=2, span="1h", until=created)
        self.assertEqual(self.one()["newest_breach_age_seconds"] // 3600, 240)
        self.sim = self.own(Simulator(self.folder, "empty"))
        c = self.one()
        self.assertTrue(c["ok"], c)
        self.assertIsNone(c["newest_breach"])
        self.assertIn("no breach in the last 31 days", "".join(c["notes"]))

    def test_answers(self):
        """Each answer that is none, with what to do."""
        self.simulator(generate=1)
        for fault, outcome, words in (
                ("signature_error", "signature_error", "private_token_file"),
                ("forbidden", "permission_redirect", "Unrestricted Devices"),
                ("login_redirect", "login_redirect", "DTAPI headers"),
                ("html_login", "login_page", "log"),
                ("html_block", "web_page", ""),
                ("server_error", "server_error", ""),
                ("empty_body", "empty_body", ""),
                ("truncated", "cut", "")):
            with self.subTest(fault):
                self.sim.fault("none")
                self.sim.fault(fault)
                c = self.one()
                self.assertFalse(c["ok"])
                self.assertEqual(c["outcome"], outcome)
                self.assertIn(words, c["problem"])
        self.sim.fault("none")

    def test_wrong_token(self):
        self.simulator(generate=1)
        self.bridge.master(self.sim)
        self.bridge.token("acme.token", "0" * 40)
        (c,) = self.check()
        self.assertEqual(c["outcome"], "signature_error")
        text = self.text()
        self.assertEqual(self.status, 1)
        self.assertIn("master acme: FAILED", text)
        self.assertNotIn("0" * 40, text)

    def test_clock(self):
        """A master whose clock is far off: taken by its own date, and said."""
        self.simulator(generate=5, clock_offset=7200)
        c = self.one()
        self.assertTrue(c["ok"], c)
        self.assertLessEqual(abs(c["skew_seconds"] - 7200), 2)
        self.assertIn("NTP", "".join(c["notes"]))
        self.sim.fault("clock", offset=-90)
        c = self.one()
        self.assertLessEqual(abs(c["skew_seconds"] + 90), 2)
        self.assertIn("NTP", "".join(c["notes"]))

    def test_not_reached(self):
        self.simulator()
        for keys, outcome, step, words in (
                ({"url": f"https://127.0.0.1:{free_port()}"}, "unreachable", "connect", "refused"),
                ({"url": "https://no-such-host.invalid"}, "unresolved", "resolve", "no-such-host.invalid"),
                ({"tls": {}}, "tls_refused", "tls", "self-signed"),
                ({"tls": {"fingerprint_sha256": "0" * 64}}, "tls_refused", "tls", fingerprint(self.sim.ca_file)),
                ({"url": f"https://127.0.0.2:{self.sim.port}"}, "unreachable", "connect", "")):
            with self.subTest(str(keys)):
                c = self.one(**keys)
                self.assertFalse(c["ok"])
                self.assertEqual((c["outcome"], c["step"]), (outcome, step), c)
                self.assertIn(words, c["problem"])

    def test_fingerprint_when_refused(self):
        """The fingerprint is printed where verification failed, and works as a pin."""
        self.simulator(generate=1)
        c = self.one(tls={})
        found = c["tls"]["fingerprint_sha256"]
        self.assertEqual(found, fingerprint(self.sim.ca_file))
        self.assertIn(f'fingerprint_sha256 = "{found}"', self.text())
        c = self.one(tls={"fingerprint_sha256": found})
        self.assertTrue(c["ok"])
        self.assertEqual(c["tls"]["verified_by"], "fingerprint")

    def test_plaintext_port(self):
        self.sim = self.own(Simulator(self.folder, "acme", tls=False))
        c = self.one(url=f"https://127.0.0.1:{self.sim.port}")
        self.assertFalse(c["ok"])
        self.assertRegex(c["problem"], "TLS on this port")

    def test_proxy(self):
        self.simulator(generate=1)
        proxy = self.own(PlainProxy())
        c = self.one(proxy=f"http://{proxy.address}")
        self.assertTrue(c["ok"], c)
        self.assertEqual(c["proxy"], proxy.address)
        self.assertEqual(set(proxy.asked), {f"127.0.0.1:{self.sim.port}"})
        self.assertIn(f"through the proxy {proxy.address}", self.text())
        c = self.one(proxy=f"http://127.0.0.1:{free_port()}")
        self.assertFalse(c["ok"])
        self.assertIn("proxy", c["problem"])

    def test_parallel(self):
        """Twenty masters of which most hang: all are answered for within one deadline."""
        self.simulator(generate=1)
        hanging = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hanging.close)
        for n in range(20):
            self.bridge.master(self.sim, name=f"m{n:02}", timeout="3s")
        for entry, _ in self.bridge.masters[:15]:
            entry["url"] = "https://127.0.0.1:%d" % hanging.getsockname()[1]
        began = datetime.datetime.now()
        checks = self.check()
        self.assertLess((datetime.datetime.now() - began).total_seconds(), 15 * 3)
        self.assertEqual([c["name"] for c in checks], [f"m{n:02}" for n in range(20)])
        self.assertEqual([c["ok"] for c in checks], [False] * 15 + [True] * 5)
        self.assertTrue(all("timed out" in c["problem"] or "in time" in c["problem"] for c in checks[:15]), checks[0])


class Destinations(ConnectTest):
    def setUp(self):
        super().setUp()
        self.pki = Pki(self.folder / "pki")
        self.bridge.masters.append(({"name": "acme", "url": "http://127.0.0.1:1", "public_token": "x",
                                     "private_token_file": self.bridge.token("t", "y")}, None))

    def one(self, **keys):
        self.bridge.destinations.clear()
        self.bridge.destination("siem", **keys)
        return next(c for c in self.check() if c["kind"] == "destination")

    def tls(self, client=None, ca=None):
        keys = {"ca_file": str(ca or self.pki.ca)}
        if client:
            keys["cert_file"] = str(getattr(self.pki, client))
            keys["key_file"] = str(getattr(self.pki, client + "_key"))
        return keys

    def test_tls(self):
        collector = self.own(Collector("tls", pki=self.pki))
        c = self.one(address=collector.address, tls=self.tls())
        self.assertTrue(c["ok"], c)
        self.assertEqual(c["tls"]["version"], "TLSv1.3")
        self.assertEqual([x["subject"] for x in c["tls"]["chain"]], ["CN=server.test"])
        self.assertEqual(c["tls"]["chain"][0]["issuer"], "CN=Test CA")
        self.assertIn(c["tls"]["days_left"], (29, 30))
        self.assertEqual(collector.messages, [])
        self.assertIn("certificate CN=server.test, expires ", self.text())
        c = self.one(address=collector.address)
        self.assertFalse(c["ok"])
        self.assertIn("ca_file", c["problem"])
        self.assertEqual(c["tls"]["fingerprint_sha256"], fingerprint(self.pki.server))
        c = self.one(address=collector.address, tls={**self.tls(), "server_name": "other.test"})
        self.assertFalse(c["ok"])
        self.assertRegex(c["problem"], "not for other.test")

    def test_client_certificate(self):
        """TLS 1.3: the client's handshake is done before the collector has looked at its certificate."""
        collector = self.own(Collector("tls", pki=self.pki, client_certificate=True))
        collector._context.minimum_version = ssl.TLSVersion.TLSv1_3
        c = self.one(address=collector.address, tls=self.tls("client"))
        self.assertTrue(c["ok"], c)
        self.assertIn("did not refuse", c["verdict"])
        self.assertEqual(c["client_certificate"]["subject"], "CN=client.test")
        self.assertIn(c["client_certificate"]["days_left"], (29, 30))
        c = self.one(address=collector.address, tls=self.tls("stranger"))
        self.assertFalse(c["ok"])
        self.assertRegex(c["problem"], "CA|refused")
        self.assertEqual(c["step"], "done")  # the handshake was
        c = self.one(address=collector.address, tls=self.tls())
        self.assertFalse(c["ok"])
        self.assertIn("cert_file", c["problem"])

    def test_client_certificate_tls_1_2(self):
        collector = self.own(Collector("tls", pki=self.pki, client_certificate=True))
        collector._context.maximum_version = ssl.TLSVersion.TLSv1_2
        c = self.one(address=collector.address, tls=self.tls("client"))
        self.assertTrue(c["ok"], c)
        self.assertEqual(c["tls"]["version"], "TLSv1.2")
        c = self.one(address=collector.address, tls=self.tls())
        self.assertFalse(c["ok"])
        self.assertIn("cert_file", c["problem"])

    def test_expired(self):
        collector = self.own(Collector("tls", pki=self.pki))
        self._expired()
        collector._context.load_cert_chain(self.pki.old, self.pki.old_key)
        c = self.one(address=collector.address, tls=self.tls())
        self.assertFalse(c["ok"])
        self.assertIn("expired on 2020-01-02", c["problem"])
        self.assertLess(c["tls"]["days_left"], -300)

    def _expired(self):
        self.pki._leaf("ca", "old", "serverAuth")
        (self.pki.folder / "ca.db").write_text("")
        (self.pki.folder / "serial").write_text("77\n")
        (self.pki.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=ca.db\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
            "copy_extensions=copy\n[p]\ncommonName=supplied\n")
        self.pki._run("ca", "-config", "ca.cnf", "-batch", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "old.csr", "-out",
                      "old.pem", "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-notext")

    def test_tcp_and_udp(self):
        collector = self.own(Collector("tcp"))
        c = self.one(address=collector.address, transport="tcp")
        self.assertTrue(c["ok"], c)
        self.assertIn("dtbridge test", c["verdict"])
        self.assertEqual(collector.messages, [])
        c = self.one(address=f"127.0.0.1:{free_port()}", transport="tcp")
        self.assertFalse(c["ok"])
        self.assertIn("refused", c["problem"])
        udp = self.own(Collector("udp"))
        c = self.one(address=f"localhost:{udp.port}", transport="udp")
        self.assertTrue(c["ok"], c)
        self.assertIn("127.0.0.1", c["resolves_to"])
        self.assertIn("UDP shakes no hands", c["verdict"])
        self.assertEqual(udp.messages, [])
        c = self.one(address="no-such-host.invalid", transport="udp")
        self.assertFalse(c["ok"])

    def test_relp(self):
        """The session is opened, so that a port that does not speak RELP is told from one that does."""
        collector = self.own(Collector("relp"))
        c = self.one(address=collector.address, transport="relp")
        self.assertTrue(c["ok"], c)
        self.assertEqual(c["transport"], "relp")
        self.assertIn("opened a RELP session", c["verdict"])
        secured = self.own(Collector("relp+tls", pki=self.pki))
        c = self.one(address=secured.address, transport="relp+tls", tls=self.tls())
        self.assertTrue(c["ok"], c)
        self.assertEqual((c["transport"], c["tls"]["version"]), ("relp+tls", "TLSv1.3"))
        self.assertEqual(collector.messages + secured.messages, [])
        lines = self.own(Collector("tcp"))
        c = self.one(address=lines.address, transport="relp")
        self.assertFalse(c["ok"])
        self.assertIn("does it speak RELP on this port", c["problem"])

    def test_wrong_port(self):
        """TLS to a port that speaks plain text, and a collector that hangs up at once."""
        plain = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(plain.close)

        def greet():
            with contextlib.suppress(OSError):
                while True:
                    c, _ = plain.accept()
                    c.sendall(b"220 hello\r\n")
                    c.close()
        threading.Thread(target=greet, daemon=True).start()
        address = "127.0.0.1:%d" % plain.getsockname()[1]
        c = self.one(address=address)
        self.assertFalse(c["ok"])
        self.assertIn("TLS on this port", c["problem"])
        c = self.one(address=address, transport="tcp")
        self.assertFalse(c["ok"])
        self.assertIn("closed", c["problem"])

    def test_all_addresses(self):
        """Each address of a destination is looked at, also those behind the first that works."""
        first = self.own(Collector("tcp"))
        dead = f"127.0.0.1:{free_port()}"
        self.bridge.destination("siem", addresses=[first.address, dead], transport="tcp")
        found = {c["address"]: c["ok"] for c in self.check() if c["kind"] == "destination"}
        self.assertEqual(found, {first.address: True, dead: False})

    def refusals(self, address, wrong_name):
        """A client certificate of the right name is accepted; none, one of another CA, and one of another name are not."""
        self.assertTrue(self.one(address=address, tls=self.tls("client"))["ok"], self.answer)
        for client, words in ((None, "cert_file"), ("stranger", "CA|certificate|closed|reset"),
                              *([("other_name", "certificate|closed|reset")] if wrong_name else [])):
            # rsyslog's OpenSSL driver looks at the name only when the whole handshake has come by its first look at the connection:
            # what is finished at a later read is taken under any name of the CA. So it is asked until it was quick enough.
            for attempt in range(10 if client == "other_name" else 1):
                with self.subTest(client, attempt=attempt):
                    c = self.one(address=address, tls=self.tls(client))
                if not c["ok"]:
                    break
            with self.subTest(client):
                self.assertFalse(c["ok"], c)
                self.assertRegex(c["problem"], words)

    def test_rsyslog(self):
        """A real collector that wants a client certificate of a name."""
        self.pki._leaf("ca", "other_name", "clientAuth")
        self.pki.folder.joinpath("other-name.pem").symlink_to("other_name.pem")
        rsyslog = self.own(Rsyslog(self.folder, self.pki))
        self.refusals(f"localhost:{rsyslog.tls}", True)

    def test_relp(self):
        """A RELP session is opened and closed again; a collector that speaks none is found out. Real rsyslog, plain and with certificates."""
        rsyslog = self.own(Rsyslog(self.folder, self.pki))
        rsyslog.need_relp()
        c = self.one(address=f"localhost:{rsyslog.relp}", transport="relp")
        self.assertTrue(c["ok"], c)
        self.assertIn("opened a RELP session", c["verdict"])
        self.assertNotIn("tls", c)
        c = self.one(address=f"localhost:{rsyslog.relp_tls}", transport="relp+tls", tls=self.tls("client"))
        self.assertTrue(c["ok"], c)
        self.assertEqual(c["transport"], "relp+tls")
        self.assertEqual(c["client_certificate"]["subject"], "CN=client.test")
        self.assertFalse(self.one(address=f"localhost:{rsyslog.relp_tls}", transport="relp+tls", tls=self.tls("stranger"))["ok"])
        other = self.own(Collector("tcp"))
        self.assertFalse(self.one(address=other.address, transport="relp")["ok"])

    def test_syslog_ng(self):
        """Another, with another TLS library's habits."""
        syslog_ng = self.own(SyslogNg(self.folder, self.pki))
        self.refusals(f"localhost:{syslog_ng.tls}", False)


class TestEvents(ConnectTest):
    def setUp(self):
        super().setUp()
        self.bridge.masters.append(({"name": "acme", "url": "http://127.0.0.1:1", "public_token": "x",
                                     "private_token_file": self.bridge.token("t", "y")}, None))

    def send(self, *more):
        self.bridge.write()
        return run_cli("test", "--destination", "siem", *more, config=self.bridge.config)

    def sent(self):
        got = self.send("--json")
        answer = json.loads(got.stdout)
        self.assertEqual(got.returncode, 0 if answer["ok"] else 1)
        return answer

    def destination(self, kind, **keys):
        self.bridge.destinations.clear()
        self.collector = self.own(Collector(kind, keep_raw=True, **keys.pop("collector", {})))
        self.bridge.destination("siem", address=self.collector.address, transport=kind, **keys)

    def test_bytes(self):
        """What is printed is what the collector got, in every format, framing and header."""
        for keys in ({"format": "json"}, {"format": "cef"}, {"format": "leef"}, {"format": "json", "framing": "octet-counting"},
                     {"format": "cef", "framing": "nul"}, {"format": "json", "header": "none", "json": {"bom": True}}):
            with self.subTest(str(keys)):
                self.destination("tcp", **keys)
                answer = self.sent()
                self.assertTrue(answer["ok"], answer)
                wait_until(lambda: len(self.collector.raw) >= answer["size"], 10, "bytes")
                self.assertEqual(bytes(self.collector.raw), answer["bytes"].encode())
                self.assertIn(answer["marker"], answer["bytes"])
                if keys["format"] == "json":
                    body = json.loads(answer["bytes"][answer["bytes"].index("{"):])["dtbridge"]
                    self.assertEqual((body["event"], body["destination"], body["master"]), ("test", "siem", "acme"))
                if keys["format"] == "cef":
                    self.assertRegex(answer["bytes"], r"CEF:0\|dtbridge\|dtbridge\|[0-9.]+\|test\|Test event\|3\|rt=\d{13} ")
                if keys["format"] == "leef":
                    self.assertRegex(answer["bytes"], r"LEEF:2\.0\|dtbridge\|dtbridge\|[0-9.]+\|test\|")
                if keys.get("framing") == "octet-counting":
                    length, rest = answer["bytes"].split(" ", 1)
                    self.assertEqual(int(length), len(rest))

    def test_text(self):
        self.destination("tcp", format="cef")
        got = self.send()
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        lines = got.stdout.decode().splitlines()
        self.assertRegex(lines[0], rf"^sent to siem, {self.collector.address}, newline, \d+ bytes:$")
        self.assertTrue(lines[1].startswith("<165>") and lines[1].endswith("\\x0a"), lines[1])
        self.assertEqual(lines[1].replace("\\x0a", "\n").replace("\\\\", "\\").encode(), bytes(self.collector.raw))
        self.assertIn("confirmed", lines[2])
        self.assertEqual(self.collector.count(), 1)

    def test_tls(self):
        pki = Pki(self.folder / "pki")
        self.destination("tls", collector={"pki": pki}, tls={"ca_file": str(pki.ca)})
        answer = self.sent()
        self.assertTrue(answer["ok"], answer)
        self.collector.wait_for(1)

    def test_relp(self):
        """The collector's answer is the confirmation; the frame with its number is what is printed."""
        self.destination("relp", format="cef")
        answer = self.sent()
        self.assertTrue(answer["ok"], answer)
        self.assertIn("the collector answered", answer["verdict"])
        self.assertEqual(answer["framing"], "relp")
        self.assertRegex(answer["bytes"], r"(?s)^2 syslog \d+ <165>.*\n$")
        self.assertIn(answer["bytes"].encode(), bytes(self.collector.raw))
        self.assertEqual(self.collector.count(), 1)

    def test_refused_certificate(self):
        """The handshake is done, the event written, and the alert comes: not confirmed."""
        pki = Pki(self.folder / "pki")
        self.destination("tls", collector={"pki": pki, "client_certificate": True}, tls={"ca_file": str(pki.ca)})
        answer = self.sent()
        self.assertFalse(answer["ok"])
        self.assertIn("cert_file", answer["problem"])
        self.assertEqual(self.collector.count(), 0)

    def test_udp(self):
        self.destination("udp", format="leef")
        answer = self.sent()
        self.assertTrue(answer["ok"], answer)
        self.assertEqual((answer["framing"], "UDP can lose" in answer["verdict"]), ("datagram", True))
        self.collector.wait_for(1)
        self.assertEqual(self.collector.messages[0], answer["bytes"].encode())
        self.bridge.destinations[0]["address"] = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
        answer = self.sent()
        self.assertFalse(answer["ok"])
        self.assertIn("ICMP", answer["problem"])

    def test_relp(self):
        self.destination("relp", format="cef")
        answer = self.sent()
        self.assertTrue(answer["ok"], answer)
        self.assertEqual((answer["framing"], "answered for the message" in answer["verdict"]), ("relp", True))
        # TXNR COMMAND LEN MESSAGE LF; the session's first frame opens it.
        message = self.collector.messages[0]
        self.assertEqual(answer["bytes"].encode(), b"2 syslog %d %s\n" % (len(message), message))
        self.assertEqual(self.collector.count(), 1)

    def test_nobody(self):
        self.destination("tcp")
        self.collector.refuse()
        got = self.send()
        self.assertEqual(got.returncode, 1)
        self.assertIn("FAILED", got.stdout.decode())
        self.bridge.write()
        got = run_cli("test", "--destination", "nobody", config=self.bridge.config)
        self.assertEqual(got.returncode, 2)
        self.assertIn(b"siem", got.stderr)


class ThroughTheService(ConnectTest):
    def test_both(self):
        """Beside a running service it is the service that connects: the command itself may not even read the token. The
        service's stream is not disturbed."""
        sim = self.own(Simulator(self.folder, "acme", generate=10))
        collector = self.own(Collector("tcp"))
        bridge = self.own(self.bridge)
        bridge.master(sim)
        bridge.destination("siem", address=collector.address, transport="tcp", max_message="64KiB")
        bridge.start()
        collector.wait_for(10)
        checks = self.check(write=False)
        self.assertEqual(self.answer["by"], "service")
        self.assertEqual([(c["kind"], c["name"], c["ok"]) for c in checks],
                         [("master", "acme", True), ("destination", "siem", True)])
        got = run_cli("test", "--destination", "siem", "--json", config=bridge.config)
        answer = json.loads(got.stdout)
        self.assertTrue(answer["ok"], answer)
        wait_until(lambda: any(answer["marker"].encode() in m for m in collector.messages), 20, "the test event")
        self.assertEqual(collector.count(), 11)
        sim.generate(5)
        collector.wait_for(16)
        got = run_cli("test", "--destination", "nobody", config=bridge.config)
        self.assertEqual(got.returncode, 2)
        # What the file has and the service does not yet.
        bridge.destination("second", address=collector.address, transport="tcp")
        bridge.write()
        got = run_cli("check", "--connect", config=bridge.config)
        self.assertIn(b"'second' of the file yet: reload", got.stderr)
        self.assertEqual(got.returncode, 1, "not everything of the file was checked")
        answer = json.loads(run_cli("check", "--connect", "--json", config=bridge.config).stdout)
        self.assertEqual(([c["name"] for c in answer["checks"]], answer["ok"]), (["acme", "siem"], False))
        self.assertEqual(bridge.stop(), 0)

    def test_stop_in_the_middle(self):
        """A service that is stopped while it checks stops in time."""
        hanging = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hanging.close)
        sim = self.own(Simulator(self.folder, "acme", generate=1))
        bridge = self.own(self.bridge)
        bridge.master(sim)
        bridge.destination("siem", address="127.0.0.1:%d" % hanging.getsockname()[1],
                           tls={"verify": False})
        bridge.start()
        command = subprocess.Popen([bridge_binary(), "check", "--connect", "--config", bridge.config],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        sim.wait_for_requests(1)
        self.assertEqual(bridge.stop(10), 0)
        out, _ = command.communicate(timeout=30)
        self.assertEqual(command.returncode, 1, out)

    def test_more_than_one_request(self):
        """More targets than one request of the control socket takes."""
        collector = self.own(Collector("tcp"))
        bridge = self.own(self.bridge)
        bridge.masters.append(({"name": "acme", "url": "http://127.0.0.1:1", "public_token": "x",
                                "private_token_file": bridge.token("t", "y")}, None))
        for n in range(70):
            bridge.destination(f"d{n:03}", address=collector.address, transport="tcp")
        bridge.start()
        checks = self.check(write=False)
        self.assertEqual([c["name"] for c in checks], ["acme"] + [f"d{n:03}" for n in range(70)])
        self.assertEqual(sum(c["ok"] for c in checks), 70)
        self.assertEqual(bridge.stop(), 0)


if __name__ == "__main__":
    unittest.main()
