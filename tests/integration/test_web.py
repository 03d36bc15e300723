"""The network face from outside: who may see what, health, status, the pull API with curl (product.md 9)."""
import os
import re
import shutil
import ssl
import subprocess
import threading
import time
import unittest

from rig import SOURCE, Bridge, Collector, Pki, RigTest, Simulator, wait_until
from rig import web

TOKEN_A = "planted-token-acme-5f2c8a7d9b1e4c3f"
TOKEN_ALL = "planted-token-all-0c4d7e8f9a1b2c3d"


def own_address():
    """An address of this host that is not loopback."""
    words = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    return next((w for w in words if ":" not in w), None)


class WebTest(RigTest):
    def bridge(self, *masters, tls=False, tokens=False, listen="127.0.0.1"):
        b = self.own(Bridge(self.folder.path))
        for sim in masters:
            b.master(sim)
        b.tokens = []
        if tokens:
            self.add_token(b, "acme-siem", TOKEN_A, ["acme"])
            self.add_token(b, "all", TOKEN_ALL, ["*"])
        if tls:
            self.pki = Pki(self.folder / "pki")
            b.service["listen"] = f"{listen}:{b.port}"
            b.service["listen_tls"] = {"cert_file": str(self.pki.server), "key_file": str(self.pki.server_key)}
        return b

    def add_token(self, bridge, name, text, masters):
        bridge.token(f"{name}.token", text)
        bridge.tokens.append({"name": name, "file": f"{name}.token", "masters": masters})

    def start(self, b, ca=None):
        """The rig's file has no place for tokens: they are appended."""
        b.write()
        self.append_tokens(b)
        b.start(wait=False, write=False)
        wait_until(lambda: self.alive(b, ca), 20, lambda: b.log()[-2000:])
        return b

    def append_tokens(self, b):
        with open(b.config, "a") as out:
            for t in b.tokens:
                out.write(f'[[api_token]]\nname = "{t["name"]}"\nfile = "{t["file"]}"\n'
                          f'masters = [{", ".join(chr(34) + m + chr(34) for m in t["masters"])}]\n')

    def alive(self, b, ca):
        if not b.process.alive():
            raise AssertionError(b.log()[-3000:])
        try:
            return web.get(b, "/healthz", ca=ca, timeout=5).status == 200
        except OSError:
            return False

    def archived(self, b, name, count, **how):
        def there():
            masters = {m["name"]: m for m in web.get(b, "/api/v1/status", **how).json()["masters"]}
            return masters[name]["archived"] >= count
        wait_until(there, 40, f"{count} breaches of {name}")

    def read_all(self, b, master, limit=1000, **how):
        """Everything by cursor: the lines without the last of each answer."""
        lines, after = [], ""
        for _ in range(1000):
            got = web.get(b, f"/api/v1/breaches?master={master}&limit={limit}&after={after}", **how)
            self.assertEqual(got.status, 200, got.body[:300])
            *some, last = got.lines()
            lines += some
            after = last["next"]
            if not last["more"]:
                return lines, last
        raise AssertionError("no end")


class Health(WebTest):
    def test_ready_strict_and_reasons(self):
        sim = self.own(Simulator(self.folder, "acme", generate=5))
        collector = self.own(Collector("tcp"))
        b = self.bridge(sim)
        b.destination("siem", address=collector.address, transport="tcp")
        self.start(b)
        collector.wait_for(5)
        wait_until(lambda: web.get(b, "/readyz?strict").json() == {"ready": True, "reasons": []}, 20,
                   lambda: str(web.get(b, "/readyz?strict").body))
        collector.refuse()
        sim.fault("status", status=500)
        wait_until(lambda: web.get(b, "/readyz?strict").status == 503, 30, lambda: str(web.get(b, "/readyz").body))
        wait_until(lambda: len(web.get(b, "/readyz").json()["reasons"]) == 2, 30, lambda: str(web.get(b, "/readyz").body))
        ready = web.get(b, "/readyz")
        self.assertEqual((ready.status, ready.json()["ready"]), (200, True), "a dead collector is named, no reason for 503")
        words = " ".join(ready.json()["reasons"])
        self.assertRegex(words, "master acme cannot be polled: .+")
        self.assertRegex(words, "destination siem cannot be reached: .+")
        state = {d["name"]: d for d in web.get(b, "/api/v1/status").json()["destinations"]}["siem"]
        self.assertNotEqual(state["error"], "")
        sim.fault("none")
        collector.accept()
        wait_until(lambda: web.get(b, "/readyz?strict").status == 200, 60, lambda: str(web.get(b, "/readyz").body))

    def test_status_is_that_of_the_control_socket(self):
        sim = self.own(Simulator(self.folder, "acme", generate=20))
        collector = self.own(Collector("tcp"))
        b = self.bridge(sim)
        b.destination("siem", address=collector.address, transport="tcp")
        self.start(b)
        collector.wait_for(20)
        wait_until(lambda: web.get(b, "/api/v1/status").json()["destinations"][0]["confirmed"] == 20, 20, "confirmed")

        def both():
            a, c = web.get(b, "/api/v1/status").json(), web.control(b, "status")["status"]
            for one in (a, c):
                for m in one["masters"]:
                    for moving in ("last_poll", "last_success", "position", "repeated", "answers"):
                        m.pop(moving, None)
            return a if a == c else None
        status = wait_until(both, 30, "the same status twice")
        self.assertEqual([m["name"] for m in status["masters"]], ["acme"])
        self.assertEqual(status["masters"][0]["archived"], 20)
        d = status["destinations"][0]
        self.assertEqual((d["confirmed"], d["lag"], d["stuck"]), (20, 0, False))
        wait_until(lambda: sum(web.get(b, "/api/v1/status").json()["destinations"][0]["confirmed_24h"]) == 20, 20,
                   "the half hours add up to what was confirmed")

    def test_no_method_changes_a_thing(self):
        sim = self.own(Simulator(self.folder, "acme", generate=3))
        b = self.start(self.bridge(sim))
        self.archived(b, "acme", 3)
        before = web.get(b, "/api/v1/breaches?master=acme").body
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
            for path in ("/", "/api/v1/breaches?master=acme", "/metrics", "/api/v1/status"):
                got = web.get(b, path, method=method)
                self.assertEqual(got.status, 405, f"{method} {path}")
                self.assertEqual(got.headers["Allow"], "GET, HEAD")
        self.assertEqual(web.get(b, "/api/v1/breaches?master=acme").body, before)
        for path in ("/", "/api/v1/status", "/nothing"):
            headers = web.get(b, path).headers
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["X-Frame-Options"], "DENY")
            self.assertEqual(headers["Referrer-Policy"], "no-referrer")
            self.assertEqual(headers["Cache-Control"], "no-store")


class Tokens(WebTest):
    def test_each_token_reads_its_masters_and_no_other(self):
        acme = self.own(Simulator(self.folder, "acme", generate=4))
        bank = self.own(Simulator(self.folder, "bank", generate=6, seed=9))
        collector = self.own(Collector("tcp"))
        b = self.bridge(acme, bank, tokens=True)
        b.destination("of-bank", masters=["bank"], address=collector.address, transport="tcp")
        b.destination("of-acme", masters=["acme"], address=collector.address, transport="tcp")
        self.start(b)
        self.archived(b, "acme", 4)
        self.archived(b, "bank", 6)
        path = "/api/v1/breaches?master="
        self.assertEqual(web.get(b, path + "acme").status, 401, "on loopback too, once there are tokens")
        self.assertEqual(web.get(b, "/api/v1/newest").status, 401)
        for wrong in (TOKEN_A[:-1], TOKEN_A + "x", "x" * len(TOKEN_A), ""):
            got = web.get(b, path + "acme", wrong)
            self.assertEqual((got.status, got.headers["WWW-Authenticate"]), (401, 'Bearer realm="dtbridge"'))
            self.assertIn("error", got.json())
        self.assertEqual(web.get(b, "/api/v1/status", "wrong").status, 401, "a wrong token is worse than none")
        self.assertEqual(len(self.read_all(b, "acme", token=TOKEN_A)[0]), 4)
        for other in ("bank", "nobody"):
            self.assertEqual(web.get(b, path + other, TOKEN_A).status, 403)
        self.assertEqual(web.get(b, path + "nobody", TOKEN_ALL).status, 404)
        self.assertEqual(web.get(b, path + "acme&rules=none", TOKEN_ALL).status, 404)
        self.assertEqual(web.get(b, path + "acme&limit=0", TOKEN_ALL).status, 400)
        self.assertEqual(len(self.read_all(b, "bank", token=TOKEN_ALL)[0]), 6)
        self.assertEqual([m["name"] for m in web.get(b, "/api/v1/masters", TOKEN_A).json()["masters"]], ["acme"])
        self.assertEqual([m["name"] for m in web.get(b, "/api/v1/masters", TOKEN_ALL).json()["masters"]], ["acme", "bank"])
        # Nothing of the other customer is in any answer to this token.
        seen = web.get(b, "/api/v1/status", TOKEN_A)
        self.assertEqual([m["name"] for m in seen.json()["masters"]], ["acme"])
        self.assertEqual([d["name"] for d in seen.json()["destinations"]], ["of-acme"])
        for path in ("/api/v1/status", "/api/v1/newest", "/api/v1/masters", "/readyz"):
            self.assertNotIn(b"bank", web.get(b, path, TOKEN_A).body, path)
        self.assertEqual(web.get(b, "/metrics", TOKEN_A).status, 403)
        self.assertEqual(web.get(b, "/metrics", TOKEN_ALL).status, 200)
        # A cursor of one master is none of another.
        cursor = self.read_all(b, "acme", token=TOKEN_ALL)[1]["next"]
        self.assertEqual(web.get(b, f"/api/v1/breaches?master=bank&after={cursor}", TOKEN_ALL).status, 400)
        # The tokens are nowhere in what the bridge wrote or says.
        said = b.log().encode() + b"".join(web.get(b, p, TOKEN_ALL).body for p in ("/metrics", "/api/v1/status", "/", "/readyz"))
        with open(f"/proc/{b.process.pid}/cmdline", "rb") as f:
            said += f.read()
        self.assertNotIn(b"planted-token", said)

    def test_other_hosts_need_tls_and_a_token(self):
        address = own_address()
        if not address:
            self.skipTest("this host has no address but loopback")
        sim = self.own(Simulator(self.folder, "acme", generate=3))
        b = self.bridge(sim, tls=True, tokens=True, listen="0.0.0.0")
        ca = self.pki.ca
        self.start(b, ca)
        there = {"host": address, "ca": ca}
        self.archived(b, "acme", 3, token=TOKEN_ALL, **there)
        self.assertEqual(web.get(b, "/healthz", **there).status, 200)
        self.assertEqual(web.get(b, "/readyz", **there).json(), {"ready": True}, "reasons are not for everybody")
        self.assertEqual(web.get(b, "/readyz", TOKEN_ALL, **there).json(), {"ready": True, "reasons": []})
        for path in ("/metrics", "/api/v1/status", "/api/v1/masters", "/api/v1/newest", "/api/v1/breaches?master=acme"):
            self.assertEqual(web.get(b, path, **there).status, 401, path)
            self.assertEqual(web.get(b, path, TOKEN_ALL, **there).status, 200, path)
        self.assertEqual(web.get(b, "/", **there).status, 200, "the page is without data")
        self.assertEqual(web.get(b, "/api/v1/status", ca=ca).status, 200, "this host itself")
        with self.assertRaises(OSError):
            web.get(b, "/healthz", host=address)  # no plain HTTP

    def test_a_reload_takes_renewed_certificate_and_token(self):
        sim = self.own(Simulator(self.folder, "acme", generate=2))
        b = self.bridge(sim, tls=True, tokens=True)
        ca = self.pki.ca
        self.start(b, ca)
        self.archived(b, "acme", 2, ca=ca)

        def served():
            return ssl.get_server_certificate(("127.0.0.1", b.port))
        before = served()
        self.assertEqual(web.get(b, "/api/v1/masters", TOKEN_A, ca=ca).status, 200)
        self.pki._leaf("ca", "server", "serverAuth")
        b.token("acme-siem.token", "another-token-0123456789abcdef")
        self.assertEqual(served(), before, "not before the reload")
        b.reload()
        wait_until(lambda: served() != before, 20, "the renewed certificate")
        wait_until(lambda: web.get(b, "/api/v1/masters", "another-token-0123456789abcdef", ca=ca).status == 200, 20, "the new token")
        self.assertEqual(web.get(b, "/api/v1/masters", TOKEN_A, ca=ca).status, 401)
        # A key that does not fit: the whole reload is refused, what was good stays.
        self.pki._leaf("ca", "other", "serverAuth")
        shutil.copy(self.pki.folder / "other.key", self.pki.server_key)
        b.reload()
        b.wait_for_log("last good one stays in force")
        self.assertEqual(web.get(b, "/healthz", ca=ca).status, 200)
        wait_until(lambda: any("configuration on disk" in r for r in web.get(b, "/readyz", ca=ca).json()["reasons"]), 20, "said")


class Pull(WebTest):
    def test_everything_once_and_only_news_after(self):
        sim = self.own(Simulator(self.folder, "acme", generate=230))
        b = self.start(self.bridge(sim))
        self.archived(b, "acme", 230)
        lines, last = self.read_all(b, "acme", limit=50)
        self.assertEqual(sorted(line["breach"]["pbid"] for line in lines), sorted(sim.pbids()))
        self.assertEqual([line["seq"] for line in lines], sorted({line["seq"] for line in lines}))
        originals = {o["pbid"]: o for o in sim.all().json()}
        for line in lines:
            self.assertEqual(line["breach"], originals[line["breach"]["pbid"]], "the breach is the master's, byte for value")
        # The long poll ends with the news and not with its 30 s.
        waiting = threading.Thread(target=lambda: (time.sleep(1), sim.generate(3)))
        waiting.start()
        began = time.monotonic()
        got = web.get(b, f"/api/v1/breaches?master=acme&wait=30s&after={last['next']}")
        waiting.join()
        self.assertGreaterEqual(len(got.lines()), 2)
        self.assertLess(time.monotonic() - began, 25)
        self.assertFalse({line.get("seq") for line in got.lines()[:-1]} & {line["seq"] for line in lines})
        began = time.monotonic()
        empty = web.get(b, f"/api/v1/breaches?master=acme&wait=1s&after={self.read_all(b, 'acme')[1]['next']}")
        self.assertEqual(len(empty.lines()), 1)
        self.assertGreaterEqual(time.monotonic() - began, 0.9)
        # A restart of the bridge changes no cursor.
        self.assertEqual(b.stop(), 0)
        self.start(b)
        self.assertEqual(len(web.get(b, f"/api/v1/breaches?master=acme&after={last['next']}").lines()), 4)

    def test_a_large_answer_is_streamed(self):
        sim = self.own(Simulator(self.folder, "acme", generate=6000))
        b = self.start(self.bridge(sim))
        self.archived(b, "acme", 6000)
        before = b.process.resident_kib("VmHWM")
        got = web.get(b, "/api/v1/breaches?master=acme&limit=10000")
        self.assertEqual(len(got.lines()), 6001)
        grown = b.process.resident_kib("VmHWM") - before
        self.assertGreater(len(got.body), 12 << 20)
        self.assertLess(grown, 8 << 10, "KiB of memory for an answer of MiB")
        self.assertEqual(got.headers["Transfer-Encoding"], "chunked")
        self.assertEqual(got.headers["Content-Type"], "application/x-ndjson")

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_the_examples_of_the_documentation(self):
        sim = self.own(Simulator(self.folder, "acme", generate=40))
        collector = self.own(Collector("tcp"))
        b = self.bridge(sim, tls=True, tokens=True)
        b.destination("siem", address=collector.address, transport="tcp", rules=b.rules("high.toml", "[forward]\nmin_score = 0.8\n"))
        ca = self.pki.ca
        self.start(b, ca)
        self.archived(b, "acme", 40, ca=ca)
        text = (SOURCE / "docs" / "pull.md").read_text()
        masters, first, cef, loop = re.findall(r"```sh\n(.*?)```", text, re.S)
        env = {"BRIDGE": f"https://localhost:{b.port}", "TOKEN": TOKEN_A, "CA": ca, "ROUNDS": 2}

        def run(script):
            done = web.shell(script, env, self.folder.path)
            self.assertEqual((done.returncode, done.stderr), (0, b""), done.stdout[-500:])
            return web.Reply(200, {}, done.stdout)
        self.assertEqual(run(masters).json(), {"masters": [{"name": "acme", "labels": {}}]})
        self.assertEqual(len(run(first).lines()), 11)
        expected = {x["pbid"] for x in sim.everything() if float(x["score"]) >= 0.8}
        self.assertTrue(expected)
        messages = [line["message"] for line in run(cef).lines()[:-1]]
        self.assertEqual({int(re.search(r"externalId=(\d+)", m)[1]) for m in messages}, expected)
        self.assertTrue(all(m.startswith("CEF:0|Darktrace|") for m in messages))
        sim.generate(5)
        self.archived(b, "acme", 45, ca=ca)
        env["ROUNDS"] = 1
        run(loop)
        got = web.Reply(200, {}, (self.folder / "acme.ndjson").read_bytes()).lines()
        self.assertEqual(sorted(x["breach"]["pbid"] for x in got), sorted(sim.pbids()))
        sim.generate(2)
        run(loop)  # goes on at its cursor, and waits for what is not polled yet
        got = web.Reply(200, {}, (self.folder / "acme.ndjson").read_bytes()).lines()
        self.assertGreater(len(got), 45)
        self.assertEqual(len({x["seq"] for x in got}), len(got), "nothing twice")
        env["TOKEN"] = "wrong"
        self.assertNotEqual(web.shell(masters, env, self.folder.path).returncode, 0)

    def test_greedy_and_slow_clients_cost_nobody_else(self):
        sim = self.own(Simulator(self.folder, "acme", generate=3000))
        collector = self.own(Collector("tcp"))
        b = self.bridge(sim)
        b.destination("siem", address=collector.address, transport="tcp")
        self.start(b)
        collector.wait_for(3000, 60)
        import socket
        clients = []
        for i in range(100):
            s = socket.create_connection(("127.0.0.1", b.port), timeout=10)
            clients.append(s)
            if i % 3 == 0:
                s.sendall(b"GET / HT")  # drips
            elif i % 3 == 1:
                s.sendall(b"GET /api/v1/breaches?master=acme&limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")  # never reads
            else:
                s.sendall(b"GET /api/v1/breaches?master=acme&after=&wait=60s&model=none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sim.generate(10)
        collector.wait_for(3010, 20)
        self.assertEqual(web.get(b, "/healthz", timeout=10).status, 200)
        with open(f"/proc/{b.process.pid}/limits") as f:
            self.assertIn("open files", f.read())
        self.assertLess(len(os.listdir(f"/proc/{b.process.pid}/fd")), 110, "64 connections at most are kept")
        self.assertLess(b.process.resident_kib(), 64 << 10)
        for s in clients:
            s.close()


if __name__ == "__main__":
    unittest.main()
