"""TLS 1.2 or later, AEAD with forward secrecy, names and addresses checked: masters and collectors that offer less get no byte."""
import socket
import ssl
import threading
import unittest
import warnings

from rig import Bridge, Collector, Pki, RigTest, Simulator, bridge_binary, wait_until


class Listener:
    """A TLS server with what it offers; counts handshakes that worked and bytes that came through one."""

    def __init__(self, certificate, key, configure):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        configure(self.context)
        self.context.load_cert_chain(certificate, key)
        self.handshakes = self.attempts = 0
        self.bytes = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            self.attempts += 1
            plain.settimeout(5)
            try:
                with self.context.wrap_socket(plain, server_side=True) as c:
                    self.bytes += c.recv(65536)
                    self.handshakes += 1
            except (OSError, ssl.SSLError):
                pass
            plain.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def offer(lowest, highest, ciphers="ALL:@SECLEVEL=0"):
    def configure(context):
        context.set_ciphers(ciphers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that TLS 1.1 is old is the point
            context.minimum_version, context.maximum_version = lowest, highest
    return configure


V = ssl.TLSVersion
ANY = offer(V.TLSv1_2, V.TLSv1_3, "DEFAULT")
# What is offered, with which certificate, and the words for it.
OFFERS = {
    "tls-1-1": ("server", offer(V.TLSv1, V.TLSv1_1), r"TLS before 1\.2"),
    "cbc": ("server", offer(V.TLSv1_2, V.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"), r"agreed to no cipher"),
    "cbc-sha1": ("rsa", offer(V.TLSv1_2, V.TLSv1_2, "ECDHE-RSA-AES128-SHA:@SECLEVEL=0"), r"agreed to no cipher"),
    "no-forward-secrecy": ("rsa", offer(V.TLSv1_2, V.TLSv1_2, "AES256-GCM-SHA384:@SECLEVEL=0"), r"agreed to no cipher"),
    "wrong-name": ("elsewhere", ANY, r"is for other\.example, not for localhost"),
    "wrong-address": ("address", ANY, r"is for 192\.0\.2\.7, not for 127\.0\.0\.1"),
    "address-as-name": ("dotted", ANY, r"not for 127\.0\.0\.1"),
    "short-key": ("short", offer(V.TLSv1_2, V.TLSv1_3, "DEFAULT:@SECLEVEL=0"), r"too short|cannot be trusted"),
}


class Floor(RigTest):
    @classmethod
    def setUpClass(cls):
        bridge_binary()

    def pki(self, folder):
        pki = Pki(folder / "pki")
        pki.leaf("elsewhere", names="DNS:other.example")
        pki.leaf("address", names="IP:192.0.2.7")
        pki.leaf("dotted", names="DNS:127.0.0.1")
        for who, bits in (("rsa", 2048), ("short", 1024)):
            pki.leaf(who, key=("rsa", "-pkeyopt", f"rsa_keygen_bits:{bits}"))
        return pki

    def listeners(self, pki):
        return {name: self.own(Listener(getattr(pki, certificate), getattr(pki, certificate + "_key"), configure))
                for name, (certificate, configure, _) in OFFERS.items()}

    @staticmethod
    def host(name):
        return "localhost" if name == "wrong-name" else "127.0.0.1"

    def assert_refused(self, bridge, listeners, prefix):
        for name, (_, _, words) in OFFERS.items():
            with self.subTest(offer=name):
                wait_until(lambda: listeners[name].attempts > 0, 20, "an attempt")
                bridge.wait_for_log(rf" (poll|deliver) {prefix}{name}: [^\n]*({words})")
        for name, listener in listeners.items():
            self.assertEqual((listener.bytes, listener.handshakes), (b"", 0), name)

    def test_masters(self):
        pki = self.pki(self.folder)
        listeners = self.listeners(pki)
        bridge = self.own(Bridge(self.folder.path))
        good = self.own(Simulator(self.folder, "good", generate=10))
        collector = self.own(Collector("tcp"))
        bridge.master(good)
        for name, listener in listeners.items():
            entry = bridge.master(good, name=f"m-{name}", url=f"https://{self.host(name)}:{listener.port}")
            entry["tls"] = {"ca_file": str(pki.ca)}
        bridge.destination("siem", address=collector.address, transport="tcp", format="json", max_message="64KiB")
        bridge.start()
        self.assert_refused(bridge, listeners, "m-")
        collector.wait_for(10)
        self.assertNotIn(good.private, bridge.log())

    def test_collectors(self):
        for kind in ("tls", "relp+tls"):
            with self.subTest(kind=kind):
                (self.folder / kind).mkdir()
                pki = self.pki(self.folder / kind)
                listeners = self.listeners(pki)
                sim = self.own(Simulator(self.folder / kind, "acme", generate=10))
                bridge = self.own(Bridge(self.folder / kind))
                bridge.master(sim)
                for name, listener in listeners.items():
                    bridge.destination(f"d-{name}", address=f"{self.host(name)}:{listener.port}", transport=kind, format="cef",
                                       tls={"ca_file": str(pki.ca)})
                collector = self.own(Collector(kind, pki=pki))
                bridge.destination("good", address=collector.address, transport=kind, format="cef", tls={"ca_file": str(pki.ca)})
                bridge.start()
                self.assert_refused(bridge, listeners, "d-")
                collector.wait_for(10)


if __name__ == "__main__":
    unittest.main()
