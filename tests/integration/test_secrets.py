"""Recognisable secrets are planted in every place that takes one; the bridge and all its commands run at debug level through
faults; nothing that they wrote, showed or kept holds one of them, in any spelling."""
import base64
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import unittest
import urllib.parse

from rig import Bridge, Collector, Pki, RigTest, Simulator, bridge_binary, run_cli
from rig.secrets import spellings

PRIVATE = "5ec2e7000000000000000000000000000000aa01"
OTHER = "5ec2e7000000000000000000000000000000aa02"
PROXY = "pr0xy-s3cret/&+kLmN"
API = "4p1-t0ken-planted-XyZ"


class Proxy:
    """CONNECT with a password; refuses while .refuse is set. Keeps what it was told."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.refuse = False
        self.heads = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, c):
        head = b""
        while b"\r\n\r\n" not in head:
            more = c.recv(4096)
            if not more:
                return
            head += more
        self.heads.append(head)
        if self.refuse:
            c.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            c.close()
            return
        host, port = head.split(b" ")[1].decode().rsplit(":", 1)
        out = socket.create_connection((host, int(port)))
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for a, b in ((c, out), (out, c)):
            threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    @staticmethod
    def _pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Secrets(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def test_nothing_shows_a_secret(self):
        pki = Pki(self.folder / "pki")
        key_lines = [line for line in pathlib.Path(pki.client_key).read_text().splitlines() if "-----" not in line]
        self.secrets = {s for secret in (PRIVATE, OTHER, PROXY, API) for s in spellings(secret)}
        self.secrets |= {line.encode() for line in key_lines if len(line) > 16}
        self.seen = []  # (where, bytes)

        sim = self.own(Simulator(self.folder, "acme", generate=40, span="1h", private=PRIVATE))
        direct = self.own(Simulator(self.folder, "beta", generate=40, span="1h", private=OTHER))
        proxy = Proxy()
        self.addCleanup(proxy.close)
        collector = self.own(Collector("tls", pki=pki, client_certificate=True))
        bridge = self.own(Bridge(self.folder.path))
        bridge.service["log_format"] = "json"
        (bridge.folder / "proxy.password").write_text(PROXY + "\n")
        (bridge.folder / "api.token").write_text(API + "\n")
        bridge.master(sim, timeout="3s", proxy=f"http://soc@127.0.0.1:{proxy.port}", proxy_password_file="proxy.password")
        bridge.master(direct, timeout="3s")
        bridge.destination("siem", address=f"localhost:{collector.port}", transport="tls", format="json",
                           tls={"ca_file": str(pki.ca), "cert_file": str(pki.client), "key_file": str(pki.client_key)})
        bridge.write()
        with open(bridge.config, "a") as f:
            f.write('\n[[api_token]]\nname = "t"\nfile = "api.token"\nmasters = ["acme"]\n')
        bridge.start(write=False)
        collector.wait_for(80, 60)
        self.assertIn(base64.b64encode(f"soc:{PROXY}".encode()), proxy.heads[0], "the password is used")
        self.assertEqual(self.found(b"".join(proxy.heads)), True, "the search finds what is there")

        # Faults at debug level: each of them is told of somewhere. What waits for a person's hand comes last.
        for kind in ("date_error", "truncated", "server_error", "cut", "signature_error"):
            for s in (direct, sim):
                s.fault(kind, count=1)
                s.generate(2)
                s.wait_for_requests(1, 60)
        bridge.wait_for_log("refused the signature", 30)
        collector.reset()
        collector.refuse()
        proxy.refuse = True
        bridge.wait_for_log("407|proxy", 30)
        self.look_at(bridge)
        proxy.refuse = False
        collector.accept()
        for s in (sim, direct):
            s.fault("none")
        # A reload with wrong tokens in wrong places: errors quote what was found.
        text = bridge.config.read_text()
        (bridge.folder / "acme.token").write_text(OTHER + "x\x01\n" + PRIVATE)
        bridge.config.write_text(text.replace('private_token_file = "acme.token"', f'private_token = "{PRIVATE}"'))
        bridge.reload()
        bridge.wait_for_log("the last good one stays in force")
        for config in (text, bridge.config.read_text()):
            bridge.config.write_text(config)
            for argv in (["check"], ["sign", "--master", "acme", "/modelbreaches?pbid=1"],
                         ["get", "--master", "acme", "/modelbreaches?pbid=1"], ["status"], ["status", "--json"],
                         ["recover", "--master", "acme"], ["forget", "other"], ["version"]):
                ended = run_cli(*argv, config=bridge.config)
                self.seen.append((" ".join(argv), ended.stdout + ended.stderr))
        (bridge.folder / "acme.token").write_text(PRIVATE + "\n")
        bridge.config.write_text(text)
        bridge.reload()
        self.look_at(bridge)
        self.control(bridge)
        # The tokens are in memory, so there must be no core, whatever the shell that started it allows.
        limits = pathlib.Path(f"/proc/{bridge.process.pid}/limits").read_text()
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        bridge.process.signal(signal.SIGSEGV)
        bridge.process.wait(20)
        self.look_at(bridge, alive=False)
        self.assertEqual([p for p in bridge.folder.rglob("core*")], [])
        for path in sorted((bridge.folder / "state").rglob("*")):
            if path.is_file():
                self.seen.append((str(path), path.read_bytes()))
        for where, content in self.seen:
            if self.found(content):
                self.fail(f"a secret is in {where}: {self.around(content)}")
        self.assertGreater(len(self.seen), 25)

    def found(self, content):
        return any(s in content for s in self.secrets)

    def around(self, content):
        s = next(s for s in self.secrets if s in content)
        at = content.index(s)
        return content[max(0, at - 120):at + len(s) + 20]

    def look_at(self, bridge, alive=True):
        self.seen.append(("the log", bridge.log().encode()))
        if not alive:
            return
        pid = bridge.process.pid
        self.seen.append(("ps", subprocess.run(["ps", "-ww", "-o", "args", "-p", str(pid)],
                                               capture_output=True).stdout))
        self.seen.append(("environ", pathlib.Path(f"/proc/{pid}/environ").read_bytes()))
        for page in ("/", "/healthz", "/readyz", "/readyz?strict", "/metrics", "/api/v1/status", "/api/v1/masters",
                     "/api/v1/breaches?master=acme", "/nothing/here", "/../../acme.token"):
            self.seen.append((page, bridge.http(page, body=True) or b""))

    def control(self, bridge):
        """Every request that the control socket knows, and some that it does not."""
        path = bridge.folder / "state" / "control.sock"
        if not path.exists():
            return
        for request in ("status", "sign", "get", "check", "test", "explain", "config", "nothing"):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(10)
                s.connect(str(path))
                body = {"command": request, "master": "acme", "destination": "siem", "target": "/modelbreaches?pbid=1"}
                s.sendall(json.dumps(body).encode() + b"\n")
                answer = b""
                try:
                    while more := s.recv(65536):
                        answer += more
                        if answer.endswith(b"\n"):
                            break
                except TimeoutError:
                    pass
                self.seen.append(("control " + request, answer))


if __name__ == "__main__":
    unittest.main()
