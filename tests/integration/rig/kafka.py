"""A Kafka cluster (mock brokers of librdkafka, tests/tools/mock_kafka.cpp), read back by kcat; and a broker of our own for the sign-in."""
import base64
import hashlib
import hmac
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import unittest

from .basics import BUILD, free_port, wait_until
from .process import Process


class Record:
    def __init__(self, fields):
        self.key = fields["key"]
        self.value = fields["payload"]
        self.partition, self.offset = fields["partition"], fields["offset"]
        names = fields.get("headers", [])
        self.headers = dict(zip(names[::2], names[1::2]))


class Kafka:
    """k = Kafka(folder, brokers=3, topics={"breaches": 4}); k.addresses, k.down(1), k.errors(3), k.read("breaches")"""

    def __init__(self, folder, brokers=1, topics=None, name="kafka"):
        if not shutil.which("kcat"):
            raise unittest.SkipTest("kcat is not installed")
        self.count = brokers
        argv = [BUILD / "mock-kafka", brokers, *(f"{topic}:{n}" for topic, n in (topics or {}).items())]
        self.process = Process(name, argv, folder, stdin=subprocess.PIPE)
        self.bootstraps = self.process.wait_for_line("brokers ").removeprefix("brokers ")
        self.addresses = self.bootstraps.split(",")
        self.asked = 0

    def ask(self, word, number):
        self.process.popen.stdin.write(f"{word} {number}\n".encode())
        self.process.popen.stdin.flush()
        self.asked += 1
        answers = wait_until(lambda: (a := self.process.out().splitlines()[1:]) and len(a) >= self.asked and a, 10, f"{word} {number}")
        assert answers[-1] == "ok", f"{word} {number}: {answers[-1]}"

    def down(self, broker=None):
        """One broker, or all."""
        for n in [broker] if broker else range(1, self.count + 1):
            self.ask("down", n)

    def up(self, broker=None):
        for n in [broker] if broker else range(1, self.count + 1):
            self.ask("up", n)

    def errors(self, number):
        self.ask("errors", number)

    def large(self, number):
        self.ask("large", number)

    def read(self, topic):
        """All records, each partition from its beginning, in order."""
        got = subprocess.run(["kcat", "-C", "-b", self.bootstraps, "-t", topic, "-o", "beginning", "-e", "-q", "-J"],
                             capture_output=True, timeout=60)
        if got.returncode:
            raise AssertionError(f"kcat: {got.stderr.decode(errors='replace')[-1000:]}")
        return [Record(json.loads(line)) for line in got.stdout.decode().splitlines()]

    def close(self):
        self.process.popen.stdin.close()
        self.process.stop()


class Gate:
    """A broker up to the sign-in, by the protocol's guide and nothing of librdkafka: TLS (pki), and SASL with one user. It then hangs
    up. .passed counts sign-ins, .refused the wrong ones, .certificates holds what clients showed, .handshakes_failed counts those of TLS."""

    def __init__(self, pki=None, mechanism=None, user="", password="", server="server", client_certificate=False):
        self.mechanism, self.user, self.password = mechanism, user, password
        self.passed = self.refused = self.requests = self.handshakes_failed = 0
        self.certificates = []
        self.problems = []
        self._context = None
        if pki:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(getattr(pki, server), getattr(pki, server + "_key"))
            if client_certificate:
                self._context.verify_mode = ssl.CERT_REQUIRED
                self._context.load_verify_locations(pki.ca)
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self.port = self._listener.getsockname()[1]
        self._over = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self):
        self._over = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()

    def _accept(self):
        while True:
            s, _ = self._listener.accept()
            if self._over:
                s.close()
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        s.settimeout(20)
        try:
            if self._context:
                try:
                    s = self._context.wrap_socket(s, server_side=True)
                    self.certificates.append(s.getpeercert())
                except OSError:
                    self.handshakes_failed += 1
                    return
            self._talk(s)
        except (OSError, EOFError):
            pass
        except Exception as why:  # noqa: BLE001  shown by the test
            self.problems.append(repr(why))
        finally:
            s.close()

    @staticmethod
    def _exactly(s, size):
        data = b""
        while len(data) < size:
            more = s.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _talk(self, s):
        exchange = None
        while True:
            body = self._exactly(s, int.from_bytes(self._exactly(s, 4), "big"))
            key, version, number = struct.unpack(">hhi", body[:8])
            self.requests += 1
            rest = body[10 + max(0, int.from_bytes(body[8:10], "big", signed=True)):]  # behind the client's id
            if key == 18:  # ApiVersions: 0 is the only one known
                apis = [(18, 0, 0), (17, 0, 1), (36, 0, 0), (3, 0, 1), (0, 3, 3), (22, 0, 0)]
                answer = struct.pack(">hi", 0 if version == 0 else 35, len(apis)) + b"".join(struct.pack(">hhh", *a) for a in apis)
            elif key == 17:  # SaslHandshake
                asked = rest[2:].decode()
                known = (self.mechanism or "").encode()
                answer = struct.pack(">hi", 0 if asked == self.mechanism else 33, 1) + struct.pack(">h", len(known)) + known
                exchange = self._plain() if asked == "PLAIN" else self._scram(asked)
                next(exchange)
            elif key == 36:  # SaslAuthenticate
                said = exchange.send(rest[4:])
                if said is None:
                    self.refused += 1
                    answer = struct.pack(">hh", 58, 10) + b"no, not so" + struct.pack(">i", 0)
                else:
                    answer = struct.pack(">hhi", 0, -1, len(said)) + said
            else:
                return
            s.sendall(struct.pack(">ii", len(answer) + 4, number) + answer)

    def _plain(self):
        """RFC 4616."""
        said = yield
        right = said == f"\0{self.user}\0{self.password}".encode()
        self.passed += right
        yield b"" if right else None

    def _scram(self, mechanism):
        """RFC 5802, the server's side."""
        name = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[mechanism]

        def mac(key, text):
            return hmac.new(key, text, name).digest()
        first = yield
        bare = first.split(b",", 2)[2]
        parts = dict(p.split(b"=", 1) for p in bare.split(b","))
        nonce, salt, rounds = parts[b"r"] + b"3rfcNHYJY1ZVvWVs7j", b"some salt", 4096
        server = b"r=" + nonce + b",s=" + base64.b64encode(salt) + b",i=%d" % rounds
        final = yield server
        without, proof = final.rsplit(b",p=", 1)
        salted = hashlib.pbkdf2_hmac(name, self.password.encode(), salt, rounds)
        client_key = mac(salted, b"Client Key")
        message = bare + b"," + server + b"," + without
        signature = mac(hashlib.new(name, client_key).digest(), message)
        # librdkafka before 2.6.1 puts its nonce in front of the whole nonce; Kafka's brokers look at the end alone.
        right = (parts[b"n"] == self.user.encode() and without.startswith(b"c=biws,r=") and without.endswith(nonce) and
                 base64.b64decode(proof) == bytes(a ^ b for a, b in zip(client_key, signature)))
        self.passed += right
        yield b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), message)) if right else None
